// SPDX-License-Identifier: GPL-2.0
/*
 * The state of the volume, and what others change of it while it is mounted: e2fsck(8)
 * under a read-only mount, tune2fs(8), counters that a crash or another tool left wrong,
 * and a remount that is forced.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "debugfs.h"
#include "ext2.h"
#include "harness.h"
#include "stop.h"
#include "task.h"

/* offsets on the device */
#define SUPER		1024
#define S_RESERVED	(SUPER + 0x08)
#define S_STATE		(SUPER + 0x3a)
#define S_LASTCHECK	(SUPER + 0x40)
#define VALID		1
#define ERROR		2
/* in a descriptor */
#define D_FREE_BLOCKS	12
#define D_FREE_INODES	14
#define D_USED_DIRS	16

#define NOBODY		65534
#define SOMEBODY	1000

FIXTURE(fs_state) {
	struct vol v;
	off_t desc;
	int kmsg;
};

FIXTURE_VARIANT(fs_state) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(fs_state, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_state, bs4k) { .conf = SMALL_4K };

FIXTURE_SETUP(fs_state)
{
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	/* the descriptor of the first group */
	self->desc = self->v.bs == 1024 ? 2048 : self->v.bs;
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
}

FIXTURE_TEARDOWN(fs_state)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

static int remount(unsigned long flags, const char *data)
{
	return mount(NULL, env_dir(), NULL, MS_REMOUNT | flags, data) ? -errno : 0;
}

static long free_blocks(void)
{
	struct statfs st;

	return statfs(env_dir(), &st) ? -errno : (long)st.f_bfree;
}

static long available_blocks(void)
{
	struct statfs st;

	return statfs(env_dir(), &st) ? -errno : (long)st.f_bavail;
}

/* A block for a new file, by user @uid without capabilities. */
static int write_as(uid_t uid, const char *name, size_t len)
{
	char *buf = buf_alloc(len);
	int fd, err;

	if (seteuid(uid))
		return -errno;
	fd = vol_open(name, O_CREAT | O_RDWR);
	err = fd < 0 ? fd : pwrite(fd, buf, len, 0) == (ssize_t)len ? 0 : -errno;
	if (seteuid(0))
		return -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* A name, a directory and a few blocks are made, and go again. */
static int use_it(void)
{
	int err = vol_prefill("used", 0, 20 * KIB, 1);

	err = err ?: vol_mkdir("dir");
	err = err ?: vol_prefill("dir/used", 0, 20 * KIB, 1);
	err = err ?: unlink(vol_path("dir/used")) ? -errno : 0;
	err = err ?: rmdir(vol_path("dir")) ? -errno : 0;
	return err ?: unlink(vol_path("used")) ? -errno : 0;
}

/* The root of a machine after a crash: mounted read-only, checked and repaired, remounted. */
TEST_F(fs_state, repaired_under_a_read_only_mount)
{
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	long free;

	free = free_blocks();
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, S_STATE, 0));
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, self->desc + D_FREE_BLOCKS, 7));
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, self->desc + D_USED_DIRS, 5));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
	ASSERT_EQ(1, run(1, mend));
	EXPECT_EQ(VALID, vol_dev_get(&self->v, 16, S_STATE));
	ASSERT_EQ(0, remount(0, NULL));
	EXPECT_EQ(0, vol_dev_get(&self->v, 16, S_STATE));
	EXPECT_EQ(free, free_blocks());
	EXPECT_EQ(0, use_it());
	ASSERT_EQ(0, remount(MS_RDONLY, NULL));
	EXPECT_EQ(VALID, vol_dev_get(&self->v, 16, S_STATE));
	/* and once more: nothing is to be repaired now */
	ASSERT_EQ(0, remount(0, NULL));
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(VALID, vol_dev_get(&self->v, 16, S_STATE));
}

/*
 * Corruption that is found while the volume is read-only is not forgotten when it becomes read-write: e2fsck is to look. If it has looked
 * by then, nothing is said.
 */
TEST_F(fs_state, corrupt_while_read_only)
{
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	struct fstrim_range range = { .len = ULLONG_MAX };
	int dir, i;

	ASSERT_EQ(0, vol_prefill("a", 0, 100, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "clri a"));
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, S_LASTCHECK, 1));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_dev_set(&self->v, 16, S_STATE, VALID));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
		EXPECT_EQ(-EUCLEAN, vol_open("a", O_RDONLY));
		EXPECT_EQ(VALID, vol_dev_get(&self->v, 16, S_STATE));
		if (i == 1)
			ASSERT_EQ(1, run(1, mend));
		ASSERT_EQ(0, remount(0, NULL));
		dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
		ASSERT_LE(0, dir);
		/* where the disk can */
		errno = 0;
		ioctl(dir, FITRIM, &range);
		EXPECT_EQ(i == 0, errno == EUCLEAN);
		close(dir);
		ASSERT_EQ(0, vol_umount(&self->v));
		EXPECT_EQ(i == 0 ? VALID | ERROR : VALID, vol_dev_get(&self->v, 16, S_STATE));
	}
}

/* What was repaired is not what was mounted any more: that is told, and not written to. */
TEST_F(fs_state, changed_under_a_read_only_mount)
{
	/* blocks and inodes of a group; meta_bg; dir_index, and the seed of its hashes */
	static const struct { off_t at; uint32_t bit; } places[] = {
		{ SUPER + 0x20, 0x40 }, { SUPER + 0x28, 0x40 }, { SUPER + 0x60, 0x40 },
		{ SUPER + 0x5c, 0x20 }, { SUPER + 0xec, 1 },
	};
	const off_t desc = self->desc;
	uint32_t old;
	int i;

	if (!env_is_retryfs())
		SKIP(return, "ext4 takes the counts as they were at mount");
	ASSERT_EQ(0, vol_read_only());
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		old = vol_dev_get(&self->v, 32, places[i].at);
		ASSERT_EQ(0, vol_dev_set(&self->v, 32, places[i].at, old ^ places[i].bit));
		EXPECT_GT(0, remount(0, NULL)) TH_LOG("place %d", i);
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "cannot remount", NULL }));
		ASSERT_EQ(0, vol_dev_set(&self->v, 32, places[i].at, old));
	}
	old = vol_dev_get(&self->v, 32, desc);
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, desc, old + 1));
	EXPECT_GT(0, remount(0, NULL));
	EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){ "retryfs", "cannot remount", NULL }));
	EXPECT_EQ(-EROFS, vol_open("f", O_CREAT | O_RDWR));
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, desc, old));
	EXPECT_EQ(0, remount(0, NULL));
	EXPECT_EQ(0, use_it());
}

/* A feature that is set when the first file needs it is set again, when tune2fs has taken it away. */
TEST_F(fs_state, large_file_taken_away)
{
	const off_t ro_compat = SUPER + 0x64;
	int fd, i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_read_only());
		ASSERT_EQ(0, vol_dev_set(&self->v, 32, ro_compat, vol_dev_get(&self->v, 32, ro_compat) & ~2));
		ASSERT_EQ(0, remount(0, NULL));
		fd = vol_open("f", O_CREAT | O_RDWR);
		ASSERT_LE(0, fd);
		EXPECT_EQ(0, ftruncate(fd, 3072 * MIB));
		EXPECT_EQ(0, fsync(fd));
		EXPECT_EQ(2, vol_dev_get(&self->v, 32, ro_compat) & 2);
		EXPECT_EQ(0, ftruncate(fd, 0));
		close(fd);
	}
}

/* tune2fs -m, -r, -u on the mounted volume. */
TEST_F(fs_state, reserved_blocks_of_a_mounted_volume)
{
	const char *const none[] = { "tune2fs", "-r", "0", self->v.dev, NULL };
	const char *const user[] = { "tune2fs", "-u", "1000", self->v.dev, NULL };
	uint32_t blocks = vol_dev_get(&self->v, 32, SUPER + 0x04);
	const size_t bs = self->v.bs;

	ASSERT_EQ(0, chmod(env_dir(), 01777));
	ASSERT_EQ(0, write_as(NOBODY, "a", bs));
	EXPECT_EQ(free_blocks(), available_blocks());
	/* all of them, which tune2fs does not do */
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, S_RESERVED, blocks));
	EXPECT_EQ(0, available_blocks());
	EXPECT_EQ(-ENOSPC, write_as(NOBODY, "b", bs));
	EXPECT_EQ(-ENOSPC, write_as(SOMEBODY, "b2", bs));
	EXPECT_EQ(0, write_as(0, "c", bs));
	/* more than there are: not more than all */
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, S_RESERVED, 0xffffffff));
	EXPECT_EQ(0, available_blocks());
	EXPECT_EQ(0, write_as(0, "d", bs));
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, S_RESERVED, blocks));
	if (env_is_retryfs()) {
		/* ext4 has looked at that when it was mounted */
		ASSERT_EQ(0, run(0, user));
		EXPECT_EQ(0, write_as(SOMEBODY, "e", bs));
		EXPECT_EQ(-ENOSPC, write_as(NOBODY, "f", bs));
	}
	ASSERT_EQ(0, run(0, none));
	EXPECT_EQ(free_blocks(), available_blocks());
	EXPECT_EQ(0, write_as(NOBODY, "g", bs));
	/* and it stays */
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(0, vol_dev_get(&self->v, 32, S_RESERVED));
}

/* Counters of a group that cannot be: what counts is the bitmap. */
TEST_F(fs_state, counters_out_of_range)
{
	static const int fields[] = { D_FREE_BLOCKS, D_FREE_INODES, D_USED_DIRS };
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	long free = free_blocks();
	struct statfs st;
	int old, i;

	ASSERT_EQ(0, vol_prefill("f", 0, 10 * KIB, 1));
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		ASSERT_EQ(0, vol_umount(&self->v));
		old = vol_dev_get(&self->v, 16, self->desc + fields[i]);
		ASSERT_EQ(0, vol_dev_set(&self->v, 16, self->desc + fields[i], 65535));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
		EXPECT_TRUE(vol_holds("f", 10 * KIB, 1));
		ASSERT_EQ(0, statfs(env_dir(), &st));
		if (env_is_retryfs()) {
			EXPECT_LE(st.f_bfree, st.f_blocks);
			EXPECT_LE(st.f_ffree, st.f_files);
			EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
				"retryfs", "group 0", "e2fsck", NULL }));
		}
		/* repaired meanwhile, nothing is wrong any more */
		ASSERT_EQ(0, vol_dev_set(&self->v, 16, self->desc + fields[i], old));
		ASSERT_EQ(0, vol_read_write());
		ASSERT_EQ(0, vol_read_only());
		EXPECT_EQ(VALID, vol_dev_get(&self->v, 16, S_STATE));
		ASSERT_EQ(0, vol_dev_set(&self->v, 16, self->desc + fields[i], 65535));
		/* a read-only mount has changed nothing */
		ASSERT_EQ(0, vol_umount(&self->v));
		EXPECT_EQ(65535, vol_dev_get(&self->v, 16, self->desc + fields[i]));
		EXPECT_EQ(VALID, vol_dev_get(&self->v, 16, S_STATE));

		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=remount-ro"));
		EXPECT_EQ(0, use_it());
		ASSERT_EQ(0, vol_umount(&self->v));
		if (env_is_retryfs()) {
			/* e2fsck is to look what else it is */
			EXPECT_EQ(VALID | ERROR, vol_dev_get(&self->v, 16, S_STATE));
		}
		/* how many directories there are, no bitmap says */
		if (fields[i] == D_USED_DIRS)
			run(1, mend);
		EXPECT_EQ(old, vol_dev_get(&self->v, 16, self->desc + fields[i]));
		ASSERT_EQ(0, vol_dev_set(&self->v, 16, S_STATE, VALID));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	}
	ASSERT_EQ(0, unlink(vol_path("f")));
	EXPECT_EQ(free, free_blocks());
}

/* Counters as a crash leaves them: possible ones, and wrong. */
TEST_F(fs_state, counters_that_are_off)
{
	static const struct {
		int field, by;
	} cases[] = {
		{ D_FREE_BLOCKS, 3 }, { D_FREE_BLOCKS, -3 },
		{ D_FREE_INODES, 3 }, { D_FREE_INODES, -3 },
	};
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	off_t dirs = self->desc + D_USED_DIRS;
	int old, i;

	if (!env_is_retryfs())
		SKIP(return, "ext4 stops, as errors= says");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		off_t at = self->desc + cases[i].field;

		ASSERT_EQ(0, vol_umount(&self->v));
		old = vol_dev_get(&self->v, 16, at);
		ASSERT_EQ(0, vol_dev_set(&self->v, 16, at, old + cases[i].by));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=remount-ro"));
		EXPECT_EQ(0, use_it());
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "group 0", "e2fsck", NULL }));
		ASSERT_EQ(0, vol_umount(&self->v));
		EXPECT_EQ(old, vol_dev_get(&self->v, 16, at));
		EXPECT_EQ(VALID | ERROR, vol_dev_get(&self->v, 16, S_STATE));
		ASSERT_EQ(0, vol_dev_set(&self->v, 16, S_STATE, VALID));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	}
	/* a directory that was not counted, on a volume that is known to be unclean */
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, S_STATE, 0));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_dev_set(&self->v, 16, dirs + 32 * i, 0));
		if (self->v.bs > 1024)
			break;
	}
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=remount-ro"));
	EXPECT_EQ(0, rmdir(vol_path("d")));
	EXPECT_EQ(0, use_it());
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, vol_dev_get(&self->v, 16, S_STATE));
	EXPECT_EQ(1, run(1, mend));
}

/* Counters that say that nothing is free, in all groups: that is believed when the bitmaps say so, too. */
TEST_F(fs_state, counters_that_are_zero)
{
	static const int fields[] = { D_FREE_BLOCKS, D_FREE_INODES };
	const uint32_t blocks = vol_dev_get(&self->v, 32, SUPER + 0x04);
	const uint32_t in_group = vol_dev_get(&self->v, 32, SUPER + 0x20);
	const int groups = (blocks - 1 + in_group - 1) / in_group;
	int old[16], i, g;

	if (!env_is_retryfs())
		SKIP(return, "ext4 believes them");
	ASSERT_GE(ARRAY_SIZE(old), groups);
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		const off_t at = self->desc + fields[i];

		ASSERT_EQ(0, vol_umount(&self->v));
		for (g = 0; g < groups; g++) {
			old[g] = vol_dev_get(&self->v, 16, at + 32 * g);
			ASSERT_LT(0, old[g]);
			ASSERT_EQ(0, vol_dev_set(&self->v, 16, at + 32 * g, 0));
		}
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=remount-ro"));
		EXPECT_EQ(0, use_it());
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "group 0", "e2fsck", NULL }));
		ASSERT_EQ(0, vol_umount(&self->v));
		for (g = 0; g < groups; g++)
			EXPECT_EQ(old[g], vol_dev_get(&self->v, 16, at + 32 * g));
		EXPECT_EQ(VALID | ERROR, vol_dev_get(&self->v, 16, S_STATE));
		ASSERT_EQ(0, vol_dev_set(&self->v, 16, S_STATE, VALID));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	}
}

/* Who has files open for writing is not asked by a remount that is forced (sysrq-u). */
TEST_F(fs_state, forced_read_only)
{
	const size_t bs = self->v.bs;
	char *buf = buf_alloc(2 * bs);
	int fd, gone, sysrq, i;
	char *map;

	sysrq = open("/proc/sysrq-trigger", O_WRONLY);
	if (sysrq < 0)
		SKIP(return, "a kernel without CONFIG_MAGIC_SYSRQ");
	ASSERT_EQ(0, vol_prefill("f", 0, 2 * bs, 1));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	map = mmap(NULL, 2 * bs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	gone = vol_open("gone", O_CREAT | O_RDWR);
	ASSERT_LE(0, gone);
	pattern_fill(buf, 2 * bs, 0, 2);
	ASSERT_EQ(bs, pwrite(gone, buf, bs, 0));
	ASSERT_EQ(0, unlink(vol_path("gone")));
	ASSERT_EQ(bs, pwrite(fd, buf, bs, 0));

	ASSERT_EQ(1, write(sysrq, "u", 1));
	close(sysrq);
	for (i = 0; i < 6000 && !kmsg_has(self->kmsg, (const char *[]){
			"Emergency Remount complete", NULL }); i++)
		usleep(10000);
	EXPECT_GT(6000, i);
	/* that of the machine */
	EXPECT_EQ(0, mount(NULL, "/", NULL, MS_REMOUNT, NULL));

	EXPECT_EQ(0, vol_dev_get(&self->v, 16, S_STATE) & VALID);
	EXPECT_EQ(-EROFS, do_write(SYNC, fd, buf + bs, bs, bs));
	EXPECT_EQ(-EROFS, do_write(SYNC, gone, buf + bs, bs, bs));
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-EROFS, vol_open("g", O_CREAT | O_RDWR));
	/* a mapping cannot be asked: what is stored there is not lost, either */
	memcpy(map + bs, buf + bs, bs);
	munmap(map, 2 * bs);
	close(fd);
	close(gone);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, vol_dev_get(&self->v, 16, S_STATE) & VALID);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(vol_holds("f", 2 * bs, 2));
}

/* Writes that the disk has completed; -errno. */
static long disk_writes(void)
{
	char path[64];
	long n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", strrchr(env_dev(), '/') + 1);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fscanf(f, "%*d %*d %*d %*d %ld", &n) != 1)
		n = -EIO;
	fclose(f);
	return n;
}

static long op_mount(void *vol)
{
	return vol_mount(vol, env_fstype(), 0, NULL);
}

static long op_read_write(void *unused)
{
	return remount(0, NULL);
}

static long op_thaw(void *fd)
{
	return ioctl(*(int *)fd, FITHAW, 0) ? -errno : 0;
}

static long op_label(void *fd)
{
	char label[FSLABEL_MAX] = "flushed";

	return ioctl(*(int *)fd, FS_IOC_SETFSLABEL, label) ? -errno : 0;
}

/* The state as the disk has it, whatever the caches have. */
static int state_of_the_disk(struct vol *v)
{
	char *sector = buf_alloc(512);
	int err = vol_read_sector(v, S_STATE / 512, sector);

	return err ?: sector[S_STATE % 512];
}

/* A call that does not return before the disk has emptied its cache, and has it by then that the volume is in use. */
static void in_use_first(struct __test_metadata *_metadata, struct vol *v, long (*call)(void *), void *arg)
{
	struct task task;

	ASSERT_EQ(0, vol_hold_routed(v));
	ASSERT_EQ(0, task_start(&task, call, arg));
	EXPECT_BLOCKED(&task);
	EXPECT_EQ(0, state_of_the_disk(v) & VALID);
	ASSERT_EQ(0, vol_release_routed(v));
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
}

/*
 * What is written to the volume may be on the medium sooner than what is in the cache of the disk. A volume that is in use
 * must not pass for clean then.
 */
TEST_F(fs_state, in_use_is_on_stable_storage)
{
	int dir;

	if (!env_is_retryfs())
		SKIP(return, "ext4 writes that through the cache");
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(VALID, state_of_the_disk(&self->v));
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	in_use_first(_metadata, &self->v, op_mount, &self->v);
	ASSERT_EQ(0, vol_read_only());
	ASSERT_EQ(VALID, state_of_the_disk(&self->v));
	in_use_first(_metadata, &self->v, op_read_write, NULL);
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, ioctl(dir, FIFREEZE, 0));
	ASSERT_EQ(VALID, state_of_the_disk(&self->v));
	in_use_first(_metadata, &self->v, op_thaw, &dir);
	/* the same for what else a call has promised */
	in_use_first(_metadata, &self->v, op_label, &dir);
	close(dir);
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* What is on the device while it is frozen may be in a snapshot: nobody writes there. */
TEST_F(fs_state, frozen)
{
	const char *const crack[] = { "debugfs", "-w", "-R", "sif f block[IND] 0xffffffff",
				      self->v.dev, NULL };
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	char *buf = buf_alloc(4096);
	long before;
	int dir, fd;

	if (!env_is_retryfs())
		SKIP(return, "ext4 writes the superblock");
	ASSERT_EQ(0, vol_prefill("f", 0, 100 * KIB, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, run(0, crack));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=remount-ro"));
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(dir, FIFREEZE, 0));
	before = disk_writes();
	vol_sync();
	EXPECT_EQ(0, syncfs(dir));
	/* and it is found to be corrupt meanwhile */
	EXPECT_EQ(-1, pread(fd, buf, 4096, 64 * KIB));
	EXPECT_EQ(EUCLEAN, errno);
	vol_sync();
	EXPECT_EQ(before, disk_writes());
	EXPECT_EQ(VALID, vol_dev_get(&self->v, 16, S_STATE));
	ASSERT_EQ(0, ioctl(dir, FITHAW, 0));
	EXPECT_EQ(ERROR, vol_dev_get(&self->v, 16, S_STATE));
	EXPECT_EQ(-EROFS, vol_open("g", O_CREAT | O_RDWR));
	close(fd);
	close(dir);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(ERROR, vol_dev_get(&self->v, 16, S_STATE));
	EXPECT_EQ(1, run(1, mend));
}

static long read_corrupt(void *fd)
{
	char *buf = buf_alloc(4096);

	return pread(*(int *)fd, buf, 4096, 64 * KIB) < 0 ? -errno : 0;
}

/* It is found to be corrupt while the freeze has the superblock written. */
TEST_F(fs_state, corrupt_while_it_freezes)
{
	const char *const crack[] = { "debugfs", "-w", "-R", "sif f block[IND] 0xffffffff",
				      self->v.dev, NULL };
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	struct task freezing, reading;
	struct probed probed;
	int dir, err, fd;

	if (!env_is_retryfs())
		SKIP(return, "ext4 writes the superblock");
	ASSERT_EQ(0, vol_prefill("f", 0, 100 * KIB, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, run(0, crack));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	vol_sync();
	err = stop_in_probe(&probed, &freezing, "p:" STOP_PROBE " sync_dirty_buffer\n", op_freeze, &dir);
	if (err == -ENOENT)
		SKIP(return, "no such probe");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, task_start(&reading, read_corrupt, &fd));
	EXPECT_TRUE(task_settles(&reading, TASK_BLOCKED));
	ASSERT_TRUE(let_go(&probed));
	EXPECT_EQ(0, task_join(&freezing, JOIN_SECONDS));
	EXPECT_EQ(-EUCLEAN, task_join(&reading, JOIN_SECONDS));
	EXPECT_EQ(VALID, vol_dev_get(&self->v, 16, S_STATE));
	ASSERT_EQ(0, ioctl(dir, FITHAW, 0));
	EXPECT_EQ(ERROR, vol_dev_get(&self->v, 16, S_STATE));
	close(fd);
	close(dir);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(VALID | ERROR, vol_dev_get(&self->v, 16, S_STATE));
	EXPECT_EQ(1, run(1, mend));
}

/*
 * Nor is anything written then that was freed when the VFS had synced the volume. Of that sync two writes are held,
 * and a file is freed each time: at the first one, so that there is a second, which is the last, by the cache of
 * the device; and at that.
 */
TEST_F(fs_state, frozen_when_a_file_was_freed)
{
	const char *const names[] = { "a", "b", "c" };
	const uint64_t per = self->v.bs / 512;
	uint32_t bitmap, inodes;
	struct vol_extent last;
	struct task freeze;
	struct vol_map map;
	long before, after;
	int dir, fd[3], i;
	bool blocked;

	if (!env_is_retryfs())
		SKIP(return, "ext4 writes the superblock");
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	for (i = 0; i < 3; i++) {
		fd[i] = vol_make(names[i], 20 * KIB, i);
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, unlink(vol_path(names[i])));
	}
	vol_sync();
	ASSERT_EQ(0, ext2_bitmaps(&self->v, 0, &bitmap, &inodes));
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &map));
	map.e[0].writes = true;
	last = (struct vol_extent){ .sector = bitmap * per, .len = per, .writes = true };
	ASSERT_EQ(0, vol_route_beside(&self->v, &last, &map));
	ASSERT_EQ(0, vol_link("f", "d/f"));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, vol_hold_side(&self->v));
	ASSERT_EQ(0, task_start(&freeze, op_freeze, &dir));
	blocked = task_settles(&freeze, TASK_BLOCKED);
	close(fd[0]);
	EXPECT_EQ(0, vol_release_routed(&self->v));
	blocked &= task_settles(&freeze, TASK_BLOCKED);
	close(fd[1]);
	EXPECT_EQ(0, vol_release_side(&self->v));
	EXPECT_EQ(0, task_join(&freeze, JOIN_SECONDS));
	before = disk_writes();
	vol_sync();
	after = disk_writes();
	EXPECT_EQ(0, ioctl(dir, FITHAW, 0));
	EXPECT_TRUE(blocked);
	EXPECT_EQ(before, after);
	close(fd[2]);
	close(dir);
	ASSERT_EQ(0, vol_unroute(&self->v));
}

TEST_HARNESS_MAIN
