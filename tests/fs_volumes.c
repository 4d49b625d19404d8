// SPDX-License-Identifier: GPL-2.0
/*
 * Volumes with features that the ext2 of old did not have, and volumes that other programs have
 * made or changed: they are read, written, and left as e2fsck(8) and the ext4 driver want them.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "caches.h"
#include "debugfs.h"
#include "dm.h"
#include "handle.h"
#include "harness.h"
#include "task.h"

/* offsets on the device */
#define SUPER		1024

/* A volume of 16 MiB that is not mounted, for who makes it anew. */
FIXTURE(fs_volumes) {
	struct vol v;
	int kmsg;
};

FIXTURE_SETUP(fs_volumes)
{
	struct vol_conf conf = SMALL_1K;

	conf.no_poison = true;
	ASSERT_EQ(0, vol_up(&self->v, &conf));
	ASSERT_EQ(0, vol_umount(&self->v));
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
}

FIXTURE_TEARDOWN(fs_volumes)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

/* Run a command of the shell, in which $dev is the device and $dir where it is mounted. */
static int sh(struct vol *v, const char *command, ...)
{
	char cmd[1024];
	const char *const argv[] = { "bash", "-euo", "pipefail", "-c", cmd, NULL };
	va_list ap;
	int n;

	n = snprintf(cmd, sizeof(cmd), "dev=%s dir=%s tree=/tmp/tree; ", v->dev, env_dir());
	va_start(ap, command);
	vsnprintf(cmd + n, sizeof(cmd) - n, command, ap);
	va_end(ap);
	return run(0, argv);
}

/* A new volume, of blocks of @bs bytes, with what mke2fs(8) gives it by itself, and @options. */
static int make(struct vol *v, unsigned int bs, const char *options)
{
	v->bs = bs;
	return sh(v, "mke2fs -q -F -t ext2 -b %u -E nodiscard,lazy_itable_init=0 %s $dev", bs, options);
}

static int mount_it(struct vol *v, const char *data)
{
	return vol_mount(v, env_fstype(), 0, data);
}

/* Files in many groups, of one block and of many; all of generation @gen. */
static void fill(struct __test_metadata *_metadata, uint64_t gen)
{
	char name[32];
	int i;

	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		ASSERT_EQ(0, vol_mkdir(name));
		snprintf(name, sizeof(name), "d%d/f", i);
		ASSERT_LE(0, close(vol_make(name, i % 8 ? 2000 : 400 * KIB, gen)));
	}
}

static void check(struct __test_metadata *_metadata, uint64_t gen)
{
	char name[32];
	int i;

	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "d%d/f", i);
		EXPECT_TRUE(vol_holds(name, i % 8 ? 2000 : 400 * KIB, gen))
			TH_LOG("%s", name);
	}
}

static void drop(struct __test_metadata *_metadata)
{
	char name[32];
	int i;

	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "d%d/f", i);
		ASSERT_EQ(0, unlink(vol_path(name)));
		*strrchr(name, '/') = 0;
		ASSERT_EQ(0, rmdir(vol_path(name)));
	}
}

/* Written and read by us and by ext4 in turn, with a check after each. */
static void used_by_both(struct __test_metadata *_metadata, struct vol *v)
{
	struct statfs ours, theirs;

	ASSERT_EQ(0, mount_it(v, NULL));
	fill(_metadata, 1);
	vol_sync();
	ASSERT_EQ(0, statfs(env_dir(), &ours));
	ASSERT_EQ(0, vol_switch(v, "ext4"));
	ASSERT_EQ(0, statfs(env_dir(), &theirs));
	EXPECT_EQ(ours.f_bfree, theirs.f_bfree);
	EXPECT_EQ(ours.f_ffree, theirs.f_ffree);
	check(_metadata, 1);
	drop(_metadata);
	fill(_metadata, 2);
	ASSERT_EQ(0, vol_switch(v, env_fstype()));
	check(_metadata, 2);
	drop(_metadata);
	fill(_metadata, 3);
	ASSERT_EQ(0, vol_umount(v));
}

/* 64 groups, of which 32 have their descriptors in one block: all of them in their groups. */
#define META_BG	"-g 256 -N 1024 -O meta_bg,^resize_inode"

TEST_F(fs_volumes, meta_bg)
{
	struct statfs ours, theirs;

	ASSERT_EQ(0, make(&self->v, 1024, META_BG));
	used_by_both(_metadata, &self->v);
	/* nothing is reserved for more descriptors, so that all count the same */
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	ASSERT_EQ(0, statfs(env_dir(), &ours));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	ASSERT_EQ(0, statfs(env_dir(), &theirs));
	EXPECT_EQ(theirs.f_blocks, ours.f_blocks);
}

static long op_mount(void *v)
{
	return mount_it(v, NULL);
}

/* When the first block of descriptors is waited for, the next one is on its way. */
TEST_F(fs_volumes, meta_bg_is_read_ahead)
{
	struct vol_map map = { .nr = 1 };
	const off_t bs = 1024, second = (1 + 32 * 256) * bs;
	struct task mounting;
	int device;

	if (!env_is_retryfs())
		SKIP(return, "others read what they like");
	ASSERT_EQ(0, make(&self->v, bs, META_BG));
	device = open(self->v.dev, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, device);
	map.e[0] = (struct vol_extent){ .sector = 2 * bs / 512, .len = bs / 512, .reads = true };
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, forget_all());
	if (cached_pages(device, 0, 0) < 0)
		SKIP(return, "cachestat(2): %s", strerror(-cached_pages(device, 0, 0)));
	EXPECT_EQ(0, cached_pages(device, second, bs));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&mounting, op_mount, &self->v));
	EXPECT_BLOCKED(&mounting);
	EXPECT_EQ(1, cached_pages(device, second, bs));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&mounting, JOIN_SECONDS));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_unroute(&self->v));
	close(device);
}

/* One that has grown: its first 32 groups have their descriptors behind each superblock. */
TEST_F(fs_volumes, meta_bg_from_a_group_on)
{
	ASSERT_EQ(0, sh(&self->v, "mke2fs -q -F -t ext2 -b 1024 -g 256 -N 512 -O ^resize_inode $dev 8193"));
	ASSERT_EQ(0, debugfs(&self->v, "feature meta_bg"));
	ASSERT_EQ(0, debugfs(&self->v, "ssv first_meta_bg 1"));
	/* the bitmaps that it leaves are not right: e2fsck(8) mends them */
	ASSERT_EQ(0, sh(&self->v, "resize2fs -f $dev 16384; e2fsck -fy $dev > /dev/null || [ $? = 1 ]"));
	ASSERT_EQ(0, vol_fsck(&self->v));
	used_by_both(_metadata, &self->v);
}

/* The primary superblock and the first descriptors of each meta group are gone. */
TEST_F(fs_volumes, meta_bg_from_backups)
{
	const off_t bs = 1024, group = 256 * bs;
	char *zeroes = buf_alloc(2 * bs);

	if (!env_is_retryfs())
		SKIP(return, "ext4 wants the first descriptors of all but the first meta groups");
	ASSERT_EQ(0, make(&self->v, bs, META_BG));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	fill(_metadata, 1);
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_write(&self->v, zeroes, 2 * bs, SUPER));
	ASSERT_EQ(0, vol_dev_write(&self->v, zeroes, bs, bs + 32 * group));
	EXPECT_EQ(-EINVAL, mount_it(&self->v, NULL));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, "sb=257"));
	check(_metadata, 1);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(1, sh(&self->v, "e2fsck -fy -b 257 -B 1024 $dev > /dev/null"));
}

TEST_F(fs_volumes, meta_bg_that_is_impossible)
{
	ASSERT_EQ(0, make(&self->v, 1024, META_BG));
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, SUPER + 0x104, 3));
	if (env_is_retryfs()) {
		EXPECT_EQ(-EUCLEAN, mount_it(&self->v, NULL));
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "cannot mount", "impossible first meta group", NULL }));
	}
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, SUPER + 0x104, 0));
}

/* Two backups, which the superblock names, or none. */
TEST_F(fs_volumes, sparse_super2)
{
	ASSERT_EQ(0, make(&self->v, 1024, "-g 1024 -O sparse_super2"));
	used_by_both(_metadata, &self->v);
	ASSERT_EQ(0, vol_dev_write(&self->v, buf_alloc(2 * KIB), 2 * KIB, SUPER));
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, "sb=1025"));
		check(_metadata, 3);
		ASSERT_EQ(0, vol_umount(&self->v));
	}
	ASSERT_EQ(0, make(&self->v, 1024, "-g 1024 -O sparse_super2 -E num_backup_sb=0"));
	used_by_both(_metadata, &self->v);
}

/* Blocks larger than a page, by all sizes that mke2fs has; fs_large_blocks uses them. Some kernels have none: the log says so. */
TEST_F(fs_volumes, larger_than_a_page)
{
	const bool are_there = !access("/sys/kernel/mm/transparent_hugepage", F_OK);
	unsigned int bs;

	for (bs = 8192; bs <= 65536; bs *= 2) {
		ASSERT_EQ(0, make(&self->v, bs, ""));
		if (are_there) {
			used_by_both(_metadata, &self->v);
			continue;
		}
		EXPECT_EQ(-EINVAL, mount_it(&self->v, NULL));
		if (env_is_retryfs())
			EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
				"retryfs", "cannot mount", "larger than a page", NULL }));
	}
	ASSERT_EQ(0, make(&self->v, 1024, ""));
}

/* A directory of which nobody counts the directories in it, as there were too many. */
TEST_F(fs_volumes, dir_nlink)
{
	ASSERT_EQ(0, make(&self->v, 1024, "-O dir_nlink"));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_mkdir("d/a"));
	ASSERT_EQ(0, vol_mkdir("d/empty"));
	ASSERT_EQ(0, vol_mkdir("other"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif d links_count 1"));
	ASSERT_EQ(0, debugfs(&self->v, "sif d/empty links_count 1"));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	EXPECT_EQ(1, vol_links("d"));
	EXPECT_EQ(0, vol_mkdir("d/b"));
	EXPECT_EQ(1, vol_links("d"));
	EXPECT_EQ(0, rmdir(vol_path("d/a")));
	EXPECT_EQ(1, vol_links("d"));
	EXPECT_EQ(0, rename(vol_path("other"), vol_path("d/other")));
	EXPECT_EQ(1, vol_links("d"));
	EXPECT_EQ(0, rename(vol_path("d/b"), vol_path("b")));
	EXPECT_EQ(1, vol_links("d"));
	EXPECT_EQ(0, rename(vol_path("b"), vol_path("d/empty")));
	EXPECT_EQ(2, vol_links("d/empty"));
	EXPECT_EQ(1, vol_links("d"));
	ASSERT_EQ(0, vol_umount(&self->v));
	/* two of them are left */
	ASSERT_EQ(0, debugfs(&self->v, "sif d links_count 4"));
}

/* Up to where they are counted: beyond, a directory needs an index. */
TEST_F(fs_volumes, dir_nlink_overflow)
{
	ASSERT_EQ(0, make(&self->v, 1024, "-O dir_nlink"));
	ASSERT_EQ(0, vol_mount(&self->v, "ext4", 0, NULL));
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, sh(&self->v, "cd $dir/d && touch some-file-with-a-rather-long-name-{1..60} && mkdir a"));
	ASSERT_EQ(0, vol_mkdir("linear"));
	ASSERT_EQ(0, vol_mkdir("linear/a"));
	ASSERT_EQ(0, vol_prefill("f", 0, 10, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif d links_count 65000"));
	ASSERT_EQ(0, debugfs(&self->v, "sif linear links_count 65000"));
	ASSERT_EQ(0, debugfs(&self->v, "sif f links_count 65000"));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	EXPECT_EQ(-EMLINK, vol_mkdir("linear/b"));
	EXPECT_EQ(-EMLINK, vol_link("f", "g"));
	EXPECT_EQ(65000, vol_links("d"));
	EXPECT_EQ(0, vol_mkdir("d/b"));
	EXPECT_EQ(1, vol_links("d"));
	EXPECT_EQ(-EMLINK, vol_rename("d/b", "linear/b", 0));
	/* it is counted there, and no link is added */
	EXPECT_EQ(0, vol_rename("linear/a", "linear/b", 0));
	EXPECT_EQ(65000, vol_links("linear"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif d links_count 4"));
	ASSERT_EQ(0, debugfs(&self->v, "sif linear links_count 3"));
	ASSERT_EQ(0, debugfs(&self->v, "sif f links_count 1"));
}

/* Without the feature a count of one is wrong, and 65,000 is the end. */
TEST_F(fs_volumes, no_dir_nlink)
{
	ASSERT_EQ(0, make(&self->v, 1024, ""));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_mkdir("d/a"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif d links_count 64999"));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	EXPECT_EQ(0, vol_mkdir("d/b"));
	EXPECT_EQ(65000, vol_links("d"));
	EXPECT_EQ(-EMLINK, vol_mkdir("d/c"));
	EXPECT_EQ(0, vol_rename("d/b", "d/c", 0));
	EXPECT_EQ(65000, vol_links("d"));
	EXPECT_EQ(0, vol_rename("d/c", "d/a", 0));
	EXPECT_EQ(64999, vol_links("d"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif d links_count 3"));
}

/* Sectors in 48 bits: read, counted on, written; and in blocks, if that is what the inode says. */
TEST_F(fs_volumes, huge_file)
{
	const uint64_t many = 0x300000000;
	struct stat st;
	int fd;

	ASSERT_EQ(0, make(&self->v, 4096, "-O huge_file"));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	ASSERT_EQ(0, vol_prefill("f", 0, 8 * KIB, 1));
	ASSERT_EQ(0, vol_prefill("g", 0, 8 * KIB, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif f blocks 0x300000010"));
	ASSERT_EQ(0, debugfs(&self->v, "sif g blocks 2"));
	ASSERT_EQ(0, debugfs(&self->v, "sif g flags 0x40000"));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	EXPECT_EQ(many + 16, st.st_blocks);
	ASSERT_EQ(0, stat(vol_path("g"), &st));
	EXPECT_EQ(16, st.st_blocks);
	ASSERT_EQ(0, vol_prefill("f", 8 * KIB, 4 * KIB, 1));
	ASSERT_EQ(0, vol_prefill("g", 8 * KIB, 4 * KIB, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	EXPECT_EQ(many + 24, st.st_blocks);
	ASSERT_EQ(0, stat(vol_path("g"), &st));
	EXPECT_EQ(24, st.st_blocks);
	/* what block pointers reach, which is more than sectors in 32 bits */
	fd = vol_open("far", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, close(fd));
	ASSERT_EQ(0, vol_prefill("far", 4402345721856 - 4096, 4096, 1));
	EXPECT_EQ(-EFBIG, vol_prefill("far", 4402345721856, 4096, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif f blocks 24"));
	ASSERT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, "ext4", 0, NULL));
	ASSERT_EQ(0, stat(vol_path("far"), &st));
	EXPECT_EQ(4402345721856, st.st_size);
	EXPECT_EQ(8 * 4, st.st_blocks);
	EXPECT_TRUE(vol_holds("g", 12 * KIB, 1));
}

/* resize2fs(8) is told that it cannot be done, and has changed nothing. */
TEST_F(fs_volumes, resized_while_mounted)
{
	struct statfs before, after;

	if (!env_is_retryfs())
		SKIP(return, "ext4 does it");
	ASSERT_EQ(0, sh(&self->v, "mke2fs -q -F -t ext2 -b 1024 $dev 8000"));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	ASSERT_EQ(0, statfs(env_dir(), &before));
	EXPECT_EQ(0, sh(&self->v, "! resize2fs $dev > /tmp/log 2>&1"));
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_blocks, after.f_blocks);
	ASSERT_EQ(0, vol_umount(&self->v));
}

/* A tree of files, and the same tree, changed: what the programs below put into a volume. */
#define TREE \
	"rm -rf $tree $tree.new; mkdir -p $tree/a/b $tree/many; cd $tree; seq 100 > small; seq 60000 > large; " \
	"truncate -s 3M sparse; echo end >> sparse; ln -s small short; ln -s $(printf %%0200d 0) long; " \
	"touch many/name-of-a-file-{1..70}; ln small a/hard; seq 7 > a/b/deep; mkfifo pipe; cp -a . $tree.new; "
#define CHANGE \
	"rm -r many/*[0-4] large; seq 5000 >> small; cp -r a c; mv a/b b; mkdir many/{1..9}; " \
	"seq 300000 > many/1/new; ln small many/link; truncate -s 1000 sparse"

struct writer {
	const char *name, *command;
};

#define MKE2FS	"mke2fs -q -F -t ext2 -E nodiscard,lazy_itable_init=0 "
#define SMALL	MKE2FS "-b 1024 -d $tree $dev "
#define FUSE2FS	"modprobe -qa fuse; fuse2fs -f -o fakeroot $dev $dir & " UNTIL_MOUNTED
#define UNTIL_MOUNTED "until mountpoint -q $dir; do kill -0 $!; done; "
#define TO_DEV	"; dd if=/tmp/img of=$dev bs=1M status=none"

static const struct writer writers[] = {
	{ "mke2fs, a tar", "tar -C $tree -cf /tmp/tar .; " MKE2FS "-d /tmp/tar $dev" },
	{ "mke2fs for the Hurd", MKE2FS "-o hurd -d $tree $dev" },
	{ "mke2fs, old", MKE2FS "-E revision=0 -d $tree $dev" },
	{ "genext2fs", "genext2fs -B 1024 -b 12288 -N 1000 -z -d $tree /tmp/img" TO_DEV },
	{ "genext2fs, 4 KiB", "genext2fs -B 4096 -b 4096 -N 1000 -d $tree /tmp/img" TO_DEV },
	{ "fuse2fs", MKE2FS "-b 1024 $dev; " FUSE2FS "cp -a $tree/. $dir; umount $dir; wait" },
	{ "tune2fs, features", SMALL "; tune2fs -O dir_nlink,huge_file,extra_isize,has_journal $dev" },
	{ "tune2fs, larger inodes", SMALL "-I 128; e2fsck -fy $dev || [ $? = 1 ]; tune2fs -I 256 $dev" },
	{ "resize2fs, grown", SMALL "-g 512 -O ^resize_inode 6000; resize2fs -f $dev" },
	{ "resize2fs, shrunk", SMALL "-g 1024; resize2fs -f $dev 9000" },
	{ "e2fsck -D", SMALL "; e2fsck -fyD $dev || [ $? = 1 ]" },
};

#define LIST	"list() { cd $1; find . -path ./lost+found -prune -o ! -type d " PRINT " | sort; }; "
#define PRINT	"-printf '%%p %%y %%s %%n %%l\\n'"
#define DIFF	"diff -r --no-dereference -x lost+found -x pipe $tree $dir"

/* What is in the volume is what is in the tree, with all types of files, sizes and links. */
static int same_as_tree(struct vol *v, const char *suffix)
{
	return sh(v, "tree=$tree%s; " LIST "diff <(list $tree) <(list $dir); " DIFF, suffix);
}

static void made_by(struct __test_metadata *_metadata, struct vol *v, const struct writer *w)
{
	ASSERT_EQ(0, sh(v, "{ %s; } > /tmp/log 2>&1 || { cat /tmp/log; exit 1; }", w->command))
		TH_LOG("%s", w->name);
	ASSERT_EQ(0, mount_it(v, NULL))
		TH_LOG("%s", w->name);
	EXPECT_EQ(0, same_as_tree(v, ""))
		TH_LOG("%s", w->name);
	EXPECT_EQ(0, sh(v, "cd $dir; " CHANGE))
		TH_LOG("%s", w->name);
	ASSERT_EQ(0, vol_switch(v, "ext4"))
		TH_LOG("%s", w->name);
	EXPECT_EQ(0, same_as_tree(v, ".new"))
		TH_LOG("%s", w->name);
	ASSERT_EQ(0, vol_umount(v));
}

TEST_F_TIMEOUT(fs_volumes, made_by_others, 600)
{
	/* The debug kernel is slow, and it is not the tools that it looks at: some of them. */
	const int step = env_on_debug() ? 4 : 1;
	int i;

	ASSERT_EQ(0, sh(&self->v, TREE "cd $tree.new; " CHANGE));
	for (i = 0; i < ARRAY_SIZE(writers); i += step)
		made_by(_metadata, &self->v, &writers[i]);
}

#define MKE2FS_UNINIT "mke2fs -q -F -t ext2 -b 1024 -g 1024 -N 2048"

/*
 * Groups that nobody has initialised, on a device that was not zero: half of them are used by us, and
 * all by ext4 after that.
 */
static int make_uninit(struct vol *v)
{
	int err = sh(v, "head -c 16M < <(tr '\\0' '\\245' < /dev/zero) > $dev");

	v->bs = 1024;
	return err ?: sh(v, MKE2FS_UNINIT " -O uninit_bg -E nodiscard,lazy_itable_init=1 $dev");
}

TEST_F(fs_volumes, uninit_bg)
{
	ASSERT_EQ(0, make_uninit(&self->v));
	ASSERT_EQ(0, sh(&self->v, "dumpe2fs $dev 2> /dev/null | grep -c 'INODE_UNINIT, BLOCK_UNINIT' > /dev/null"));
	used_by_both(_metadata, &self->v);
	/* what the descriptors count is what the bitmaps say that are made */
	EXPECT_FALSE(kmsg_has(self->kmsg, (const char *[]){ "retryfs", "taken for", NULL }));
}

/* Files of ext4 in such groups, several of which have blocks in use and no inode. */
static void make_used_uninit(struct __test_metadata *_metadata, struct vol *v)
{
	ASSERT_EQ(0, make_uninit(v));
	ASSERT_EQ(0, vol_mount(v, "ext4", 0, "noinit_itable"));
	ASSERT_LE(0, close(vol_make("large", 5 * MIB, 1)));
	ASSERT_LE(0, close(vol_make("small", 1 * KIB, 2)));
	ASSERT_EQ(0, vol_umount(v));
	ASSERT_EQ(0, sh(v, "dumpe2fs $dev 2> /dev/null | grep -c '\\[INODE_UNINIT\\]' > /dev/null"));
}

#define WHAT_IS_LEFT	"dumpe2fs $dev 2> /dev/null |" \
			" sed -nE 's/^(Group [0-9]+:).*(\\[.*)/\\1 \\2/p; s/.*, ([0-9]+ unused inodes)/\\1/p'"

/* Who frees something, or discards what is free, initialises nothing: that may fail, or be killed. */
TEST_F(fs_volumes, uninit_bg_and_what_is_freed)
{
	const char *data = env_is_retryfs() ? NULL : "noinit_itable";
	struct fstrim_range range = { .len = UINT64_MAX };
	int fd;

	make_used_uninit(_metadata, &self->v);
	ASSERT_EQ(0, sh(&self->v, WHAT_IS_LEFT " > /tmp/left"));
	ASSERT_EQ(0, mount_it(&self->v, data));
	ASSERT_EQ(0, unlink(vol_path("large")));
	ASSERT_EQ(0, unlink(vol_path("small")));
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, sh(&self->v, WHAT_IS_LEFT " | diff /tmp/left -"));
	ASSERT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, mount_it(&self->v, data));
	fd = vol_open_dir(".");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, FITRIM, &range));
	EXPECT_LT(8 * MIB, range.len);
	close(fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, sh(&self->v, WHAT_IS_LEFT " | diff /tmp/left -"));
}

/* A block of a group whose bitmap nobody has made, and where none is in use. */
TEST_F(fs_volumes, uninit_bg_and_what_was_never_in_use)
{
	const int flags = 2048 + 18, block_uninit = 2;
	int group = 14;
	char where[16];

	make_used_uninit(_metadata, &self->v);
	while (group && !(vol_dev_get(&self->v, 16, flags + group * 32) & block_uninit))
		group--;
	ASSERT_LT(0, group);
	snprintf(where, sizeof(where), "group %d:", group);
	/* a bit that is set in what is there in place of a bitmap */
	ASSERT_EQ(0, debugfs(&self->v, "set_inode_field small block[0] %d", 1 + group * 1024 + 704));
	ASSERT_EQ(0, mount_it(&self->v, "errors=remount-ro"));
	unlink(vol_path("small"));
	if (env_is_retryfs()) {
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "corrupt", where, "without a block bitmap", NULL }));
		EXPECT_EQ(-EROFS, vol_open("new", O_CREAT | O_RDWR));
	}
	ASSERT_EQ(0, vol_umount(&self->v));
	/* EXT2_ERROR_FS */
	EXPECT_EQ(2, vol_dev_get(&self->v, 16, SUPER + 58) & 2);
	ASSERT_EQ(0, make_uninit(&self->v));
}

static long op_create(void *name)
{
	const int fd = vol_open(name, O_CREAT | O_EXCL | O_RDWR);

	return fd < 0 ? fd : close(fd);
}

/* Does the task sleep, and no signal would wake it? */
static bool is_uninterruptible(pid_t pid)
{
	char path[32], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%*d %*s %c", &state) != 1)
		state = '?';
	fclose(f);
	return state == 'D';
}

/*
 * The rest of an inode table is being read ahead when it is initialised: the inodes that come to its blocks are among
 * zeroes, and not among what was there.
 */
TEST_F(fs_volumes, uninit_bg_and_what_is_being_read)
{
	struct dm_seg to[2] = { { .type = "linear" }, { .type = "delay" } };
	const struct vol_map none = { .nr = 0 };
	struct task creating;
	uint64_t table, isize;
	char name[16];
	int i;

	ASSERT_EQ(0, make_uninit(&self->v));
	isize = vol_dev_get(&self->v, 16, SUPER + 88);
	table = vol_dev_get(&self->v, 32, 2048 + 8) * 2;
	/* of group 0, up to the block that has lost+found */
	to[0].len = table + (11 * isize + 1023) / 1024 * 2;
	to[1].start = to[0].len;
	to[1].len = table + 128 * isize / 512 - to[1].start;
	snprintf(to[0].params, sizeof(to[0].params), "%s 0", env_dev());
	snprintf(to[1].params, sizeof(to[1].params), "%s %lu 120000 %s %lu 0", env_dev(), to[1].start,
		 env_dev(), to[1].start);
	ASSERT_EQ(0, vol_route_after(&self->v, &none, to, 2));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, task_start(&creating, op_create, "f"));
	EXPECT_BLOCKED(&creating);
	/* what is kept goes on then */
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(0, task_join(&creating, JOIN_SECONDS));
	for (i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		EXPECT_EQ(0, op_create(name));
	}
}

/*
 * Who is to initialise a group waits until another one has initialised another group, and is killed meanwhile: the
 * table of inodes has what it had, and is not taken for initialised.
 */
TEST_F(fs_volumes, uninit_bg_and_a_kill)
{
	struct task first;
	int status, same;
	pid_t pid;

	if (!env_is_retryfs())
		SKIP(return, "others initialise in the background");
	ASSERT_EQ(0, make_uninit(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, "ext4", 0, "noinit_itable"));
	/* each in a group of its own, with an inode table that is left for later */
	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("b"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&first, op_create, "a/x"));
	EXPECT_BLOCKED(&first);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(op_create("b/y") ? 1 : 0);
	for (same = 0; same < 20 && !waitpid(pid, &status, WNOHANG); same++) {
		usleep(1000);
		if (!is_uninterruptible(pid))
			same = 0;
	}
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&first, JOIN_SECONDS));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_NE(0, access(vol_path("b/y"), F_OK));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, mount_it(&self->v, NULL));
	EXPECT_EQ(0, op_create("b/y"));
	ASSERT_EQ(0, vol_umount(&self->v));
}

/* A bitmap that is not there says nothing of an inode. */
TEST_F(fs_volumes, uninit_bg_and_handles)
{
	struct handle h;

	if (!env_is_retryfs())
		SKIP(return, "the messages of retryfs");
	ASSERT_EQ(0, make_uninit(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
	ASSERT_EQ(0, handle_of(vol_path("lost+found"), &h));
	/* the third of the last but one group */
	h.word[0] = 14 * 128 + 3;
	h.word[1] = 0xa5a5a5a5;
	EXPECT_EQ(-ESTALE, handle_open(&h, O_RDONLY));
	EXPECT_FALSE(kmsg_has(self->kmsg, (const char *[]){ "retryfs", "corrupt", NULL }));
	ASSERT_EQ(0, vol_umount(&self->v));
}

/* A descriptor that is not what its checksum says is none to be trusted for writing. */
TEST_F(fs_volumes, uninit_bg_with_a_bad_checksum)
{
	const off_t flags = 2048 + 3 * 32 + 18;
	int64_t old;

	ASSERT_EQ(0, make(&self->v, 1024, "-g 1024 -N 2048 -O uninit_bg"));
	old = vol_dev_get(&self->v, 16, flags);
	ASSERT_LE(0, old);
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, flags, old ^ 1));
	if (env_is_retryfs()) {
		EXPECT_EQ(-EUCLEAN, mount_it(&self->v, NULL));
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "corrupt", "group 3", "checksum", NULL }));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
		EXPECT_EQ(-EUCLEAN, vol_read_write());
		ASSERT_EQ(0, vol_umount(&self->v));
	}
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, flags, old));
}

/* More inodes that were never used than there are: none, as any inode of the table may be in use. */
TEST_F(fs_volumes, uninit_bg_with_an_impossible_count)
{
	ASSERT_EQ(0, make_uninit(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "set_bg 0 itable_unused 4000"));
	ASSERT_EQ(0, debugfs(&self->v, "set_bg 0 checksum calc"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	if (env_is_retryfs())
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "group 0", "4000 inodes that were never used", "taken for 0", NULL }));
	EXPECT_EQ(0, vol_read_write());
	ASSERT_LE(0, close(vol_make("small", 1 * KIB, 2)));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, sh(&self->v, "e2fsck -fy $dev > /dev/null 2>&1 || [ $? = 1 ]"));
}

/*
 * Backups say of groups that were initialised since that they are not: what is in them would be wiped out by who
 * believes that, and writes.
 */
TEST_F(fs_volumes, uninit_bg_from_a_backup)
{
	make_used_uninit(_metadata, &self->v);
	ASSERT_EQ(0, vol_dev_write(&self->v, buf_alloc(2 * KIB), 2 * KIB, SUPER));
	if (env_is_retryfs()) {
		ASSERT_EQ(0, mount_it(&self->v, "sb=1025"));
		EXPECT_EQ(-EROFS, vol_open("new", O_CREAT | O_RDWR));
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "initialised since", "mounted read-only", NULL }));
		EXPECT_EQ(-EROFS, vol_read_write());
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "cannot remount read-write", "initialised since", NULL }));
		EXPECT_TRUE(vol_holds("large", 5 * MIB, 1));
		EXPECT_TRUE(vol_holds("small", 1 * KIB, 2));
		ASSERT_EQ(0, vol_umount(&self->v));
	}
	/* all groups are initialised then, and the backups know it */
	ASSERT_EQ(0, sh(&self->v, "e2fsck -fy -b 1025 -B 1024 $dev > /dev/null || [ $? = 1 ]"));
}

/* What is in use on every volume was initialised: who believes something else makes zeroes of the root. */
static void no_first_group(struct __test_metadata *_metadata, struct vol *v, int kmsg,
			   const char *change, const char *undo, const char *what)
{
	ASSERT_EQ(0, make_uninit(v));
	ASSERT_EQ(0, debugfs(v, "%s", change));
	ASSERT_EQ(0, debugfs(v, "set_bg 0 checksum calc"));
	EXPECT_EQ(-EUCLEAN, mount_it(v, NULL));
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "corrupt", "group 0", what, NULL }));
	ASSERT_EQ(0, vol_mount(v, env_fstype(), MS_RDONLY, NULL));
	EXPECT_EQ(0, access(vol_path("lost+found"), F_OK));
	EXPECT_EQ(-EUCLEAN, vol_read_write());
	ASSERT_EQ(0, vol_umount(v));
	ASSERT_EQ(0, debugfs(v, "%s", undo));
	ASSERT_EQ(0, debugfs(v, "set_bg 0 checksum calc"));
	ASSERT_EQ(0, vol_fsck(v));
}

TEST_F(fs_volumes, uninit_bg_without_the_first_group)
{
	if (!env_is_retryfs())
		SKIP(return, "the messages of retryfs");
	no_first_group(_metadata, &self->v, self->kmsg, "set_bg 0 flags 0x2", "set_bg 0 flags 0x0",
		       "block bitmap not initialised");
}

TEST_F(fs_volumes, uninit_bg_without_the_root)
{
	if (!env_is_retryfs())
		SKIP(return, "the messages of retryfs");
	no_first_group(_metadata, &self->v, self->kmsg, "set_bg 0 flags 0x1", "set_bg 0 flags 0x0",
		       "inode bitmap not initialised");
	/* one of the reserved ones, of which there are ten; and lost+found is not */
	no_first_group(_metadata, &self->v, self->kmsg, "set_bg 0 itable_unused 119",
		       "set_bg 0 itable_unused 117", "reserved inodes that were never used");
}

/*
 * With checksums of all metadata a volume is only read: the pointers of an index have less room, and groups
 * can be left to be initialised later, on a device that was not zero.
 */
TEST_F(fs_volumes, metadata_csum)
{
	struct handle h;
	char name[16];
	struct stat st;
	int i;

	ASSERT_EQ(0, make_uninit(&self->v));
	ASSERT_EQ(0, sh(&self->v, MKE2FS_UNINIT
			" -I 256 -O dir_index,metadata_csum -E nodiscard,lazy_itable_init=1 $dev 2> /dev/null"));
	ASSERT_EQ(0, vol_mount(&self->v, "ext4", 0, "noinit_itable"));
	ASSERT_EQ(0, vol_mkdir("d"));
	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "d/file%03d", i);
		ASSERT_LE(0, close(open(vol_path(name), O_CREAT | O_EXCL | O_WRONLY, 0644)));
	}
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, sh(&self->v, "debugfs -R 'htree_dump d' $dev 2>&1 | grep -c 'Number of entries' > /dev/null"));

	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "d/file%03d", i);
		EXPECT_EQ(0, stat(vol_path(name), &st))
			TH_LOG("%s", name);
	}
	EXPECT_EQ(-1, stat(vol_path("d/none"), &st));
	EXPECT_EQ(ENOENT, errno);
	/* the third inode of the last but one group, whose bitmap is not there */
	ASSERT_EQ(0, handle_of(vol_path("lost+found"), &h));
	h.word[0] = 14 * 128 + 3;
	h.word[1] = 0xa5a5a5a5;
	EXPECT_EQ(-ESTALE, handle_open(&h, O_RDONLY));
	EXPECT_FALSE(kmsg_has(self->kmsg, (const char *[]){ "retryfs", "corrupt", NULL }));
	ASSERT_EQ(0, vol_umount(&self->v));
}

TEST_HARNESS_MAIN
