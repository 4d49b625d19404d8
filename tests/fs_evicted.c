// SPDX-License-Identifier: GPL-2.0
/*
 * Inodes that leave memory while what was changed of them is in buffers, and not yet on the
 * disk: they can go, and fsync(2) of those that are read again waits for all that leads there.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "caches.h"
#include "debugfs.h"
#include "dm.h"
#include "ext2.h"
#include "harness.h"
#include "powerloss.h"
#include "put.h"

FIXTURE(fs_evicted) {
	struct vol v;
};
FIXTURE_VARIANT(fs_evicted) {
	struct vol_conf conf;
};
/* a directory that grows is not indexed, which would bring it to the disk */
FIXTURE_VARIANT_ADD(fs_evicted, bs1k) {
	.conf = { .bs = 1024, .isize = 128, .features = "^dir_index" }
};

/* A device on the way to the slot of an inode. */
#define SLOT		"rfs-slot"

static int remove_slot(void)
{
	int err = vol_retry_busy(dm_remove, SLOT);

	return err == -ENXIO ? 0 : err;
}

FIXTURE_SETUP(fs_evicted)
{
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	ASSERT_EQ(0, remove_slot());
}

FIXTURE_TEARDOWN(fs_evicted)
{
	EXPECT_EQ(0, vol_down(&self->v));
	EXPECT_EQ(0, remove_slot());
}

#define LEN		3000

/* What is dirty is written when it has been so for @centisecs. */
static int expire(const char *centisecs)
{
	int err = put("/proc/sys/vm/dirty_expire_centisecs", centisecs);

	return err ? err : put("/proc/sys/vm/dirty_writeback_centisecs", "10");
}

static int expire_as_usual(void)
{
	int err = put("/proc/sys/vm/dirty_expire_centisecs", "3000");

	return err ? err : put("/proc/sys/vm/dirty_writeback_centisecs", "500");
}

/* Inodes that were changed can leave when sync(2) has written them. */
TEST_F(fs_evicted, after_sync)
{
	char name[8];
	int i, fd;

	for (i = 0; i < 32; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fd = vol_make(name, LEN, i);
		ASSERT_LE(0, fd);
		close(fd);
		ASSERT_EQ(0, mark_cached(name));
	}
	vol_sync();
	for (i = 0; i < 32; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		ASSERT_EQ(0, wait_until_left(name)) TH_LOG("%s", name);
		EXPECT_TRUE(vol_holds(name, LEN, i));
	}
}

/* The block of the inode table that has the inode, or -errno. */
static long slot_of(struct vol *v, const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "imap %s", name);
	return debugfs_number(v, command, "located at block");
}

/* The inode itself: its buffer is dirty, or on its way. */
TEST_F(fs_evicted, itself)
{
	const unsigned int per = self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	struct io_op op = { };
	struct task syncer;
	long slot;

	ASSERT_EQ(0, vol_prefill("f", 0, LEN, 1));
	vol_sync();
	slot = slot_of(&self->v, "f");
	ASSERT_LT(0, slot);
	ASSERT_EQ(0, mark_cached("f"));
	map.e[0] = (struct vol_extent){ .sector = slot * per, .len = per, .writes = true };
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, expire("1"));
	ASSERT_EQ(0, chmod(vol_path("f"), 0640));
	EXPECT_EQ(0, wait_until_left("f"));
	EXPECT_EQ(0, expire_as_usual());

	op.fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, op.fd);
	ASSERT_EQ(0, task_start(&syncer, op_fsync, &op));
	EXPECT_BLOCKED(&syncer);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncer, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* Nothing of a file may have failed when fsync(2) says that it has not: each call tries again. */
static void expect_tried_again(struct __test_metadata *_metadata, struct vol *v, int fd,
			       struct vol_map *map)
{
	map->e[0].fails = true;
	ASSERT_EQ(0, vol_fail(v, map));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_unroute(v));
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(v));
}

TEST_F(fs_evicted, itself_when_it_cannot_be_written)
{
	struct vol_map map = { .nr = 1 };
	const unsigned int per = self->v.bs / 512;
	long slot;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, LEN, 1));
	slot = slot_of(&self->v, "f");
	ASSERT_LT(0, slot);
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, LEN / 2));
	map.e[0] = (struct vol_extent){ .sector = slot * per, .len = per };
	expect_tried_again(_metadata, &self->v, fd, &map);
	EXPECT_TRUE(lost_holds("f", LEN / 2, 1));
}

TEST_F(fs_evicted, pointers_that_cannot_be_written)
{
	const unsigned int bs = self->v.bs, per = bs / 512;
	struct vol_map map = { .nr = 1 };
	uint32_t block, pointers;
	char *buf = buf_alloc(bs);
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 13 * bs, 1));
	ASSERT_EQ(0, ext2_block(&self->v, "f", 12, &block, &pointers));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	pattern_fill(buf, bs, 13 * bs, 1);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, 13 * bs));
	map.e[0] = (struct vol_extent){ .sector = pointers * per, .len = per };
	expect_tried_again(_metadata, &self->v, fd, &map);
	EXPECT_TRUE(lost_holds("f", 14 * bs, 1));
}

/* So many blocks of an inode table may be read with one (retryfs reads 32). */
#define TABLE_BATCH	64

#define LONG_NAME	"d2/g" \
	"____________________________________________________________" \
	"____________________________________________________________" \
	"____________________________________________________________"

static int by_inode(const void *a, const void *b)
{
	const ino_t x = vol_inode(a), y = vol_inode(b);

	return (x > y) - (x < y);
}

/*
 * Directories in the order of where their inodes are: each is made in a group of its own, but in which of those that are left is
 * by chance. 0 or -errno.
 */
static int make_dirs(void)
{
	static const char *const names[] = { "d1", "d2", "x" };
	char made[ARRAY_SIZE(names)][8];
	int i, err = 0;

	for (i = 0; i < ARRAY_SIZE(names) && !err; i++) {
		snprintf(made[i], sizeof(made[i]), "made%d", i);
		err = vol_mkdir(made[i]);
	}
	if (!err)
		qsort(made, ARRAY_SIZE(names), sizeof(made[0]), by_inode);
	for (i = 0; i < ARRAY_SIZE(names) && !err; i++)
		err = vol_rename(made[i], names[i], 0);
	return err;
}

static int make_files(void)
{
	char path[256];
	int i, err;

	err = make_dirs();
	err = err ? err : vol_prefill("d1/f", 0, LEN, 1);
	for (i = 0; i < 4 && !err; i++) {
		snprintf(path, sizeof(path), "d2/%0200d", i);
		err = mknod(vol_path(path), S_IFIFO | 0600, 0) ? -errno : 0;
	}
	for (i = 1; i <= 16 && !err; i++) {
		snprintf(path, sizeof(path), "x/%d", i);
		err = mknod(vol_path(path), S_IFREG | 0600, 0) ? -errno : 0;
	}
	return err;
}

/* Its slot is not in a block with those of directories. */
#define BETWEEN		"x/16"

/* The slots of that and of d2: they are not read with those of the others, and d2 comes first. 0 or -errno. */
static int find_slots(struct vol *v, long *slot, long *slot_of_d2)
{
	static const char *const others[] = { "d1", "d1/f", "d2" };
	size_t i;

	*slot = slot_of(v, BETWEEN);
	for (i = 0; i < ARRAY_SIZE(others) && *slot >= 0; i++) {
		*slot_of_d2 = slot_of(v, others[i]);
		if (*slot_of_d2 < 0)
			return *slot_of_d2;
		if (*slot - *slot_of_d2 <= TABLE_BATCH)
			return -ERANGE;
	}
	return *slot < 0 ? *slot : 0;
}

/* What the kernel has of the device in memory is given up, where it is not in use. */
static int forget_device(struct vol *v)
{
	int fd = open(v->dev, O_RDONLY | O_CLOEXEC);
	int err = fd < 0 || ioctl(fd, BLKFLSBUF, 0) ? -errno : 0;

	close(fd);
	return err;
}

static struct dm_seg seg(uint64_t start, uint64_t len, const char *type, const char *node)
{
	struct dm_seg s = { .start = start, .len = len };

	snprintf(s.type, sizeof(s.type), "%s", type);
	if (node)
		snprintf(s.params, sizeof(s.params), "%s %llu", node, (unsigned long long)start);
	return s;
}

/* The slot of d2 can be read and written, or not. 0 or -errno. */
static int let_slot(struct vol *v, bool work)
{
	struct dm_seg s = seg(0, v->sectors, work ? "linear" : "error", work ? env_dev() : NULL);
	int err = dm_load(SLOT, &s, 1);

	if (!err)
		err = dm_hold(SLOT);
	return err ? err : dm_resume(SLOT);
}

/*
 * d1/f has a new name in d2, which has grown by a block for it, and leaves memory before d2 is
 * written. The kernel's thread writes inodes in the order in which they were dirtied: f, then
 * one whose slot it has to read, which the device holds; d2 comes after that. 0 or -errno.
 */
static int leave_early(struct vol *v)
{
	const unsigned int per = v->bs / 512;
	struct vol_map map = { .nr = 1 };
	char node[32];
	struct dm_seg first[3];
	long held = 0, slot = 0;
	int err, fd;

	err = make_files();
	err = err ? err : vol_umount_soon(v);
	err = err ? err : find_slots(v, &held, &slot);
	err = err ? err : vol_mount(v, env_fstype(), 0, NULL);
	err = err ? err : dm_create(SLOT, node, sizeof(node));
	err = err ? err : let_slot(v, true);
	if (err)
		return err;
	first[0] = seg(0, slot * per, "linear", env_dev());
	first[1] = seg(slot * per, per, "linear", node);
	first[2] = seg((slot + 1) * per, (held - slot - 1) * per, "linear", env_dev());
	map.e[0] = (struct vol_extent){ .sector = held * per, .len = per, .reads = true };
	/* it stays open, and in memory */
	fd = vol_open(BETWEEN, O_RDWR);
	if (fd < 0)
		return fd;
	err = mark_cached("d1/f");
	/* with all that leads to d2 */
	if (!err && !vol_links(LONG_NAME))
		err = forget_device(v);
	err = err ? err : vol_route_after(v, &map, first, ARRAY_SIZE(first));
	err = err ? err : vol_hold_routed(v);
	if (!err && (chmod(vol_path("d1/f"), 0640) || fchmod(fd, 0640)))
		err = -errno;
	err = err ? err : vol_link("d1/f", LONG_NAME);
	err = err ? err : expire("1");
	err = err ? err : wait_until_left("d1/f");
	expire_as_usual();
	return err;
}

/* The power goes, with d2 unwritten but for what has been synced: the new name is there. */
static void expect_new_name(struct __test_metadata *_metadata, struct vol *v)
{
	ASSERT_EQ(0, lose_power(v));
	EXPECT_TRUE(lost_holds(LONG_NAME, LEN, 1));
	ASSERT_EQ(0, vol_release_routed(v));
	ASSERT_EQ(0, vol_unroute(v));
}

TEST_F(fs_evicted, name_in_a_dirty_directory)
{
	int fd;

	ASSERT_EQ(0, leave_early(&self->v));
	fd = vol_open("d1/f", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, fsync(fd));
	expect_new_name(_metadata, &self->v);
	EXPECT_TRUE(lost_holds("d1/f", LEN, 1));
}

/* As long as that cannot be written, fsync says so; then it brings it there. */
TEST_F(fs_evicted, name_that_cannot_be_written)
{
	int fd;

	ASSERT_EQ(0, leave_early(&self->v));
	fd = vol_open("d1/f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, let_slot(&self->v, false));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, let_slot(&self->v, true));
	EXPECT_EQ(0, fsync(fd));
	expect_new_name(_metadata, &self->v);
	EXPECT_TRUE(lost_holds("d1/f", LEN, 1));
}

/* Who removes another name of it waits, too. */
TEST_F(fs_evicted, unlink_of_the_other_name)
{
	int fd;

	ASSERT_EQ(0, leave_early(&self->v));
	ASSERT_EQ(0, unlink(vol_path("d1/f")));
	fd = vol_open_dir("d1");
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, fsync(fd));
	expect_new_name(_metadata, &self->v);
	EXPECT_FALSE(lost_exists("d1/f"));
}

static long op_sync(void *unused)
{
	sync();
	return 0;
}

/* None of two fsyncs at a time returns while a block of pointers is on its way; perhaps after a sync of the volume that waits for it. */
static void two_at_a_time(struct __test_metadata *_metadata, struct vol *v, bool behind_a_sync)
{
	const unsigned int bs = v->bs, per = bs / 512;
	struct vol_map map = { .nr = 1 };
	struct task syncing, syncer[2];
	uint32_t block, pointers;
	char *buf = buf_alloc(bs);
	struct io_op op;
	int fd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, 13 * bs, 1));
	ASSERT_EQ(0, ext2_block(v, "f", 12, &block, &pointers));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	map.e[0] = (struct vol_extent){ .sector = pointers * per, .len = per, .writes = true };
	ASSERT_EQ(0, vol_route(v, &map));
	ASSERT_EQ(0, vol_hold_routed(v));
	pattern_fill(buf, bs, 13 * bs, 1);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, 13 * bs));
	if (behind_a_sync) {
		ASSERT_EQ(0, task_start(&syncing, op_sync, NULL));
		EXPECT_BLOCKED(&syncing);
	}
	op = (struct io_op){ .fd = fd };
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, task_start(&syncer[i], op_fsync, &op));
		EXPECT_BLOCKED(&syncer[i]);
	}
	ASSERT_EQ(0, vol_release_routed(v));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, task_join(&syncer[i], JOIN_SECONDS));
	if (behind_a_sync)
		EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(v));
	close(fd);
}

TEST_F(fs_evicted, two_at_a_time)
{
	two_at_a_time(_metadata, &self->v, false);
}

/* The inode itself is not to be written then, nor being written: there is nothing else to wait for. */
TEST_F(fs_evicted, two_at_a_time_behind_a_sync)
{
	two_at_a_time(_metadata, &self->v, true);
}

TEST_HARNESS_MAIN
