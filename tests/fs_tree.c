// SPDX-License-Identifier: GPL-2.0
/*
 * A tree with everything (tree/): made by one driver, read by the other, changed by that, read by the first
 * one, and so on. All that can be seen of it is equal each time. The other one is ext4, and the kernel's own ext2 where
 * that is.
 */
#include <sys/mount.h>

#include "debugfs.h"
#include "harness.h"
#include "module.h"
#include "tree/tree.h"

VOL_FIXTURE(fs_tree);
FIXTURE_VARIANT_ADD(fs_tree, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_tree, bs1k_is256) { .conf = SMALL_CONF(1024, 256) };
FIXTURE_VARIANT_ADD(fs_tree, bs4k) { .conf = VOL_4K };
FIXTURE_VARIANT_ADD(fs_tree, bs4k_is128) { .conf = VOL_CONF(4096, 128) };

#define SECONDS	900

/* Each of the two has changed it, and one of them again. */
static unsigned int rounds(void)
{
	return env_on_debug() ? 2 : 3;
}

/* Unmount, have it checked, and mount it with this driver. Reading changes nothing. */
static int change_driver(struct vol *v, const char *fstype)
{
	int err = v->mounted ? vol_umount(v) : 0;

	if (!err)
		err = vol_fsck(v);
	return err ? err : vol_mount(v, fstype, MS_NOATIME, NULL);
}

static const char *ours(void)
{
	return env_fstype();
}

/* The kernel's own ext2 driver, as scripts/peer-ext2 names it. */
#define EXT2	"ext2-peer"

/* Its lseek(2) knows of no holes. */
static unsigned int without(const char *a, const char *b)
{
	return strcmp(a, EXT2) && strcmp(b, EXT2) ? 0 : WITHOUT_HOLES;
}

/* What the driver that has made or changed it shows, is what it shows when it is mounted again, and what the other shows. */
static void read_by_all(struct __test_metadata *_metadata, struct vol *v, const char *by, const char *other)
{
	const unsigned int left_out = without(by, other);
	struct listing own, again, theirs;

	/* it does not know yet how many blocks there will be */
	if (strcmp(by, ours()))
		vol_sync();
	ASSERT_EQ(0, tree_list(&own, left_out));
	ASSERT_EQ(0, change_driver(v, by));
	ASSERT_EQ(0, tree_list(&again, left_out));
	EXPECT_TRUE(tree_equal(&own, by, &again, "mounted again"));
	ASSERT_EQ(0, change_driver(v, other));
	ASSERT_EQ(0, tree_list(&theirs, left_out));
	EXPECT_TRUE(tree_equal(&again, by, &theirs, other));
	ASSERT_LT(10000, own.len);
	tree_free(&own);
	tree_free(&again);
	tree_free(&theirs);
}

static void in_turn(struct __test_metadata *_metadata, struct vol *v, const char *first, const char *second)
{
	const char *const by[] = { first, second };
	const char *wrong;
	unsigned int round;

	ASSERT_EQ(0, change_driver(v, first));
	wrong = tree_make(v->bs, v->isize > 128);
	ASSERT_EQ(NULL, wrong) TH_LOG("%s", wrong);
	read_by_all(_metadata, v, first, second);
	for (round = 1; round <= rounds(); round++) {
		wrong = tree_change(v->bs, round, !strcmp(by[round % 2], EXT2));
		ASSERT_EQ(NULL, wrong) TH_LOG("round %u: %s", round, wrong);
		read_by_all(_metadata, v, by[round % 2], by[!(round % 2)]);
	}
}

TEST_F_TIMEOUT(fs_tree, made_here, SECONDS)
{
	in_turn(_metadata, &self->v, ours(), "ext4");
}

TEST_F_TIMEOUT(fs_tree, made_by_ext4, SECONDS)
{
	in_turn(_metadata, &self->v, "ext4", ours());
}

/* 0 if the driver is there, or is now; -errno. */
static int load_ext2(void)
{
	const char *const mbcache[] = { "modprobe", "-q", "mbcache", NULL };
	int err;

	run(1, mbcache);
	err = module_insert(getenv("EXT2_KO"));
	return err == -EEXIST ? 0 : err;
}

static bool has_ext2(const struct vol *v)
{
	const char *file = getenv("EXT2_KO");

	/* it reads neither attributes nor times that are beyond 128 bytes */
	return v->isize == 128 && file && !access(file, F_OK);
}

#define NO_EXT2	"no such driver in this kernel, or for inodes of this size"

TEST_F_TIMEOUT(fs_tree, made_here_then_ext2, SECONDS)
{
	if (!has_ext2(&self->v))
		SKIP(return, NO_EXT2);
	ASSERT_EQ(0, load_ext2());
	in_turn(_metadata, &self->v, ours(), EXT2);
}

TEST_F_TIMEOUT(fs_tree, made_by_ext2, SECONDS)
{
	if (!has_ext2(&self->v))
		SKIP(return, NO_EXT2);
	ASSERT_EQ(0, load_ext2());
	in_turn(_metadata, &self->v, EXT2, ours());
}

/* Both of them make the same tree, each on a volume of its own, and the same changes of it. */
TEST_F_TIMEOUT(fs_tree, made_alike, SECONDS)
{
	const char *const by[] = { ours(), "ext4" };
	struct listing made[2], changed[2];
	const char *wrong;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_umount(&self->v));
		ASSERT_EQ(0, vol_mkfs(&self->v, &variant->conf));
		ASSERT_EQ(0, change_driver(&self->v, by[i]));
		wrong = tree_make(self->v.bs, self->v.isize > 128);
		ASSERT_EQ(NULL, wrong) TH_LOG("%s", wrong);
		vol_sync();
		ASSERT_EQ(0, tree_list(&made[i], WITHOUT_HISTORY));
		wrong = tree_change(self->v.bs, 1, false);
		ASSERT_EQ(NULL, wrong) TH_LOG("%s", wrong);
		ASSERT_EQ(0, change_driver(&self->v, by[i]));
		ASSERT_EQ(0, tree_list(&changed[i], WITHOUT_HISTORY | WITHOUT_BLOCKS));
	}
	EXPECT_TRUE(tree_equal(&made[0], by[0], &made[1], by[1]));
	EXPECT_TRUE(tree_equal(&changed[0], by[0], &changed[1], by[1]));
}

/* What is listed, and what makes it another: a command of the shell, or one of debugfs(8), which has no $. */
static const struct {
	const char *property, *command;
} differences[] = {
	{ "/f mode", "chmod 600 $dir/f" },
	{ "/f mode", "chown 70000 $dir/f" },
	{ "/f mode", "chgrp 70000 $dir/f" },
	{ "/f mode", "ln $dir/f $dir/g" },
	{ "/g type", "mv $dir/g $dir/h" },
	{ "/n mode", "rm $dir/n; mknod $dir/n b 1 2" },
	{ "/n type", "rm $dir/n; mknod $dir/n c 1 2" },
	{ "/f inode", "cp -a $dir/f $dir/new; mv $dir/new $dir/f" },
	{ "/f content", "printf x | dd of=$dir/f bs=1 seek=100 conv=notrunc status=none" },
	{ "/f size", "truncate -s 9000 $dir/f" },
	{ "/f size", "fallocate -p -o 1024 -l 1024 $dir/f" },
	{ "/f data", "fallocate -p -o 3072 -l 1024 $dir/f" },
	{ "/f map", "fallocate -p -o 5120 -l 1024 $dir/f" },
	{ "/f atime", "touch -a -d @5.000000001 $dir/f" },
	{ "/f mtime", "touch -m -d @5.000000001 $dir/f" },
	{ "/f ctime", "sif f ctime_extra 0x40" },
	{ "/f btime", "sif f crtime_extra 0x40" },
	{ "/f generation", "sif f generation 4711" },
	{ "/f flags", "chattr +A $dir/f" },
	{ "/f xflags", "chattr +S $dir/f" },
	{ "/f attributes", "chattr +d $dir/f" },
	{ "/f xattr user.a", "setfattr -n user.a -v 1 $dir/f" },
	{ "/f xattr user.a", "setfattr -n user.a -v 2 $dir/f" },
	{ "/f xattr system.posix_acl_access", "setfacl -m u:70001:r $dir/f" },
	{ "/d xattr system.posix_acl_default", "setfacl -d -m u:70001:r $dir/d" },
	{ "/l target", "ln -sfn another $dir/l" },
};

static int sh(const char *command)
{
	char cmd[512];
	const char *const argv[] = { "bash", "-euc", cmd, NULL };

	snprintf(cmd, sizeof(cmd), "dir=%s; %s", env_dir(), command);
	return run(0, argv);
}

/* A difference in each property is seen. */
TEST_F_TIMEOUT(fs_tree, differences, SECONDS)
{
	struct listing list[2];
	unsigned int i;

	if (self->v.bs != 1024 || self->v.isize == 128)
		SKIP(return, "the same with all of them");
	ASSERT_EQ(0, sh("head -c 8192 /dev/zero > $dir/f; mkdir $dir/d; ln -s to $dir/l; mknod $dir/n b 1 1"));
	ASSERT_EQ(0, tree_list(&list[1], 0));
	for (i = 0; i < ARRAY_SIZE(differences); i++) {
		list[0] = list[1];
		if (strchr(differences[i].command, '$')) {
			ASSERT_EQ(0, sh(differences[i].command));
		} else {
			ASSERT_EQ(0, vol_umount(&self->v));
			ASSERT_EQ(0, debugfs(&self->v, differences[i].command));
			ASSERT_EQ(0, vol_mount(&self->v, ours(), MS_NOATIME, NULL));
		}
		ASSERT_EQ(0, tree_list(&list[1], 0));
		EXPECT_TRUE(tree_differs(&list[0], &list[1], differences[i].property))
			TH_LOG("%s, %s", differences[i].property, differences[i].command);
		tree_free(&list[0]);
	}
	EXPECT_FALSE(tree_differs(&list[1], &list[1], "/f mode"));
}

TEST_HARNESS_MAIN
