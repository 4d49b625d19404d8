// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks and inode numbers that were given back, and that the device still has with their
 * owner: who gets them, and when, and what is there after a loss of power.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "blocks.h"
#include "debugfs.h"
#include "ext2.h"
#include "faults.h"
#include "harness.h"
#include "powerloss.h"
#include "punch.h"
#include "task.h"

VOL_FIXTURE(fs_released);
FIXTURE_VARIANT_ADD(fs_released, bs1k) { .conf = SMALL_1K };

#define LEN		3000
#define WRITE_ALL	(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)

/* Leave no block. */
static int fill_all(struct vol *v)
{
	int err = fill_up(v, 3), i, fd;
	char name[16];

	for (i = 0; !err && free_blocks() > 0; i++) {
		snprintf(name, sizeof(name), "fill%d", i);
		fd = vol_open(name, O_CREAT | O_RDWR);
		if (fd < 0 || write(fd, "x", 1) != 1)
			err = -EIO;
		close(fd);
	}
	vol_sync();
	return err;
}

/* Leave no inode. */
static int create_all(void)
{
	char name[16];
	int fd, i = 0;

	do {
		snprintf(name, sizeof(name), "empty%d", i++);
		fd = vol_open(name, O_CREAT | O_RDWR);
		if (fd >= 0)
			close(fd);
	} while (fd >= 0);
	return fd == -ENOSPC ? 0 : fd;
}

/*
 * A directory that got the number of one that was removed, of which the name is still
 * on the device: it would be found there, and not under its own name.
 */
static void number_of_a_directory(struct __test_metadata *_metadata, struct vol *v, bool last)
{
	int fd = vol_make("f", LEN, 1);
	ino_t ino;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("b"));
	ASSERT_EQ(0, vol_mkdir("a/old"));
	if (last)
		ASSERT_EQ(0, create_all());
	vol_sync();
	ino = vol_inode("a/old");
	ASSERT_EQ(0, rmdir(vol_path("a/old")));
	ASSERT_EQ(0, vol_mkdir("b/new"));
	if (last)
		EXPECT_EQ(ino, vol_inode("b/new"));
	ASSERT_EQ(0, vol_link("f", "b/new/f"));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(v));
	EXPECT_TRUE(lost_holds("b/new/f", LEN, 1));
}

TEST_F(fs_released, number_of_a_removed_directory)
{
	number_of_a_directory(_metadata, &self->v, false);
}

TEST_F(fs_released, last_number)
{
	struct vol_conf few = variant->conf;

	few.inodes = 64;
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &few));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	number_of_a_directory(_metadata, &self->v, true);
}

/*
 * A file is deleted, and another one made, in another directory. The inodes come to the device, as
 * one in the same block is synced; the directories do not. The name leads to its old file, or
 * to none.
 */
TEST_F(fs_released, number_of_a_deleted_file)
{
	int other = vol_make("other", LEN, 3), fd;

	ASSERT_LE(0, other);
	ASSERT_EQ(0, vol_mkdir("d"));
	close(vol_make("old", LEN, 1));
	vol_sync();
	ASSERT_EQ(0, unlink(vol_path("old")));
	fd = vol_make("d/new", LEN, 2);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, sync_file_range(fd, 0, 0, WRITE_ALL));
	ASSERT_EQ(0, fchmod(other, 0640));
	ASSERT_EQ(0, fsync(other));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(!lost_exists("old") || lost_holds("old", LEN, 1));
}

/*
 * Data in the blocks of a file that was deleted, which is still on the device: e2fsck
 * would take some of it for block numbers, and the rest for that of two files.
 */
static void blocks_of_a_file(struct __test_metadata *_metadata, struct vol *v, bool truncated)
{
	const size_t len = 60 * v->bs;
	char *buf = buf_alloc(len);
	int fd;

	ASSERT_EQ(0, vol_prefill("old", 0, len, 1));
	ASSERT_EQ(0, fill_all(v));
	ASSERT_EQ(0, truncated ? truncate(vol_path("old"), 0) : unlink(vol_path("old")));
	/* one block, so that pointers and data change places */
	fd = vol_open("shift", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	close(fd);
	fd = vol_open("new", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(len - v->bs, pwrite(fd, buf, len - v->bs, 0));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(v));
	EXPECT_TRUE(lost_holds("new", len - v->bs, 2));
}

TEST_F(fs_released, blocks_of_a_deleted_file)
{
	blocks_of_a_file(_metadata, &self->v, false);
}

TEST_F(fs_released, blocks_of_a_truncated_file)
{
	blocks_of_a_file(_metadata, &self->v, true);
}

/*
 * A file that was synced gives its blocks back, which the device does not know yet. Another
 * one asks for as many, and is not synced either, but its data comes to the device: the first
 * has what it had, or is shorter, and has not what the other one wrote. Then there are no other
 * blocks, and the second gets those.
 */
static void blocks_given_back(struct __test_metadata *_metadata, struct vol *v, bool deleted)
{
	const size_t len = 60 * v->bs;
	char *buf = buf_alloc(len);
	int fd;

	ASSERT_EQ(0, vol_prefill("old", 0, len, 1));
	ASSERT_EQ(0, fill_up(v, 100));
	vol_sync();
	ASSERT_EQ(0, deleted ? unlink(vol_path("old")) : truncate(vol_path("old"), 0));
	fd = vol_open("new", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(0, sync_file_range(fd, 0, 0, WRITE_ALL));
	ASSERT_EQ(0, lose_power(v));
	EXPECT_TRUE(lost_holds("old", len, 1));
	/* more than there are without them */
	ASSERT_EQ(len, pwrite(fd, buf, len, len));
	EXPECT_GE(60, free_blocks());
	ASSERT_EQ(0, sync_file_range(fd, 0, 0, WRITE_ALL));
	ASSERT_EQ(0, lose_power(v));
	EXPECT_TRUE(deleted ? !lost_exists("old") || lost_holds("old", 0, 1) :
		    lost_holds("old", 0, 1));
}

TEST_F(fs_released, blocks_given_back_by_truncate)
{
	blocks_given_back(_metadata, &self->v, false);
}

TEST_F(fs_released, blocks_given_back_by_unlink)
{
	blocks_given_back(_metadata, &self->v, true);
}

/* After a loss of power: has each block of "old" what it had, or nothing? */
static const char *lost_old_differs(off_t bs, off_t blocks)
{
	char *buf = buf_alloc(blocks * bs);
	const char *diff = NULL;
	off_t i;

	if (lost_read("old", buf, blocks * bs) != blocks * bs)
		return "of another size";
	for (i = 0; i < blocks && !diff; i++)
		if (zero_diff(buf + i * bs, bs, i * bs))
			diff = pattern_diff(buf + i * bs, bs, i * bs, 1);
	return diff;
}

/* No block is free but those that are given back; @fd asks for some, and they are written. */
static void write_new(struct __test_metadata *_metadata, int fd, off_t bs)
{
	const size_t len = 10 * bs;
	char *buf = buf_alloc(len);

	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(0, sync_file_range(fd, 0, 0, WRITE_ALL));
}

/* A hole is being punched, and waits for a block of pointers: half of it has been given back. */
TEST_F(fs_released, blocks_given_back_by_half_a_punch)
{
	const off_t bs = self->v.bs, blocks = DIRECT_BLOCKS + 8;
	struct vol_map map = { .nr = 1 };
	struct io_op op = { .len = (DIRECT_BLOCKS + 1) * bs };
	struct task task;
	long pointers;
	int fd;

	ASSERT_EQ(0, vol_prefill("old", 0, blocks * bs, 1));
	fd = vol_open("new", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	pointers = debugfs_number(&self->v, "stat old", "(IND):");
	ASSERT_LT(0, pointers);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, fill_all(&self->v));
	map.e[0] = (struct vol_extent){ pointers * bs / 512, bs / 512, .reads = true };
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	fd = vol_open("new", O_RDWR);
	ASSERT_LE(0, fd);
	op.fd = vol_open("old", O_RDWR);
	ASSERT_LE(0, op.fd);
	ASSERT_EQ(0, task_start(&task, op_punch, &op));
	EXPECT_BLOCKED(&task);
	EXPECT_EQ(DIRECT_BLOCKS, free_blocks());
	write_new(_metadata, fd, bs);
	EXPECT_EQ(0, lose_power(&self->v));
	EXPECT_NULL_DIFF(lost_old_differs(bs, blocks));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/*
 * Half of what a block of pointers leads to is given back. Another file asks for that, and before it gets some, the rest
 * is given back, too: so the block of pointers is not written any more, but the inode, in a block that those who
 * write what leads to free blocks have passed. They wait for one that is in flight: the root directory.
 */
TEST_F(fs_released, pointers_that_are_forgotten_meanwhile)
{
	enum { BLOCKS = DIRECT_BLOCKS + 20, NEW = 10 };
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(BLOCKS * bs);
	struct io_op sync_root, write;
	struct task syncing, writing;
	struct vol_map names;
	long pointers;
	char name[16];
	ssize_t n;
	int fd, i;

	close(vol_open("first", O_CREAT | O_RDWR));
	/* so that the next inode is in a block of its own */
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "between%d", i);
		close(vol_open(name, O_CREAT | O_RDWR));
	}
	ASSERT_EQ(0, vol_prefill("old", 0, BLOCKS * bs, 1));
	for (; i < 16; i++) {
		snprintf(name, sizeof(name), "between%d", i);
		close(vol_open(name, O_CREAT | O_RDWR));
	}
	close(vol_open("new", O_CREAT | O_RDWR));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	pointers = debugfs_number(&self->v, "stat old", "(IND):");
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, fill_all(&self->v));
	ASSERT_EQ(0, vol_block(&self->v, "/", 0, &names));
	/* it is written before the pointers */
	ASSERT_LT(names.e[0].sector, pointers * bs / 512);
	names.e[0].writes = true;
	ASSERT_EQ(0, vol_route(&self->v, &names));

	ASSERT_EQ(0, unlink(vol_path("first")));
	fd = vol_open("old", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, punch(fd, (DIRECT_BLOCKS + 1) * bs, (NEW + 2) * bs));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	sync_root.fd = vol_open_dir(".");
	ASSERT_LE(0, sync_root.fd);
	ASSERT_EQ(0, task_start(&syncing, op_fsync, &sync_root));
	ASSERT_BLOCKED(&syncing);
	pattern_fill(buf, NEW * bs, 0, 2);
	write = (struct io_op){ .fd = vol_open("new", O_RDWR), .buf = buf, .len = NEW * bs };
	ASSERT_LE(0, write.fd);
	ASSERT_EQ(0, task_start(&writing, op_pwrite, &write));
	ASSERT_BLOCKED(&writing);
	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	EXPECT_EQ(NEW * bs, task_join(&writing, JOIN_SECONDS));
	ASSERT_EQ(0, sync_file_range(write.fd, 0, 0, WRITE_ALL));
	ASSERT_EQ(0, lose_power(&self->v));
	n = lost_read("old", buf, BLOCKS * bs);
	EXPECT_LE(0, n);
	for (i = 0; i < n / bs; i++)
		EXPECT_TRUE(!zero_diff(buf + i * bs, bs, i * bs) || !pattern_diff(buf + i * bs, bs, i * bs, 1))
			TH_LOG("block %d: %s", i, pattern_diff(buf + i * bs, bs, i * bs, 1));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* The directory @name, of which a block is @block, with a name that can be removed for each time it is to be written. */
static int make_gate(struct vol *v, const char *name, struct vol_map *block)
{
	char path[16];
	int err = vol_mkdir(name), i, fd;

	for (i = 0; !err && i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%d", name, i);
		fd = vol_open(path, O_CREAT | O_RDWR);
		err = fd < 0 ? fd : 0;
		close(fd);
	}
	if (err)
		return err;
	vol_sync();
	return vol_block(v, name, 0, block);
}

/* Who settles waits for a directory, of which name @n is removed, and which a sync writes to a device that is held. */
static int shut_gate(const char *name, int n, struct io_op *op, struct task *syncing)
{
	char path[16];

	snprintf(path, sizeof(path), "%s/%d", name, n);
	if (unlink(vol_path(path)))
		return -errno;
	op->fd = vol_open_dir(name);
	return op->fd < 0 ? op->fd : task_start(syncing, op_fsync, op);
}

/* What the device has as pointer @n of a block of pointers. */
static int64_t pointer_on_disk(struct vol *v, long block, int n)
{
	uint32_t sector[128];
	int err = vol_read_sector(v, block * v->bs / 512, sector);

	return err ?: le32toh(sector[n]);
}

/*
 * Somebody settles, and meanwhile a file after the other gives a block back, and the rest of its blocks before its pointers are written.
 * Twice all has to be done anew for that; but the third one writes its pointers before they are forgotten.
 */
TEST_F(fs_released, pointers_that_are_forgotten_each_time)
{
	enum { FILES = 3, BLOCKS = DIRECT_BLOCKS + 4 };
	static const char *const names[FILES] = { "b/old0", "b/old1", "b/old2" };
	static const char *const gates[FILES] = { "a", "b", "a" };
	const off_t bs = self->v.bs;
	struct vol_map first, second;
	struct task syncing[FILES], writing;
	struct io_op sync_op[FILES], write;
	long pointers[FILES];
	int fd[FILES], i;

	ASSERT_EQ(0, make_gate(&self->v, "a", &first));
	ASSERT_EQ(0, make_gate(&self->v, "b", &second));
	for (i = 0; i < FILES; i++)
		ASSERT_EQ(0, vol_prefill(names[i], 0, BLOCKS * bs, 1));
	write = (struct io_op){ .fd = vol_open("new", O_CREAT | O_RDWR), .buf = buf_alloc(bs), .len = bs };
	ASSERT_LE(0, write.fd);
	ASSERT_EQ(0, fill_all(&self->v));
	for (i = 0; i < FILES; i++) {
		uint32_t block, parent;

		fd[i] = vol_open(names[i], O_RDWR);
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, ext2_block(&self->v, names[i], DIRECT_BLOCKS + 1, &block, &parent));
		ASSERT_NE(0, block);
		pointers[i] = parent;
	}
	/* in the order in which they are written */
	ASSERT_LT(first.e[0].sector, second.e[0].sector);
	ASSERT_LT(second.e[0].sector, pointers[0] * bs / 512);
	first.e[0].writes = true;
	second.e[0].writes = true;
	ASSERT_EQ(0, vol_route_beside(&self->v, &first.e[0], &second));

	for (i = 0; i < FILES; i++) {
		ASSERT_EQ(0, i % 2 ? vol_hold_routed(&self->v) : vol_hold_side(&self->v));
		ASSERT_EQ(0, shut_gate(gates[i], i / 2, &sync_op[i], &syncing[i]));
		ASSERT_BLOCKED(&syncing[i]);
		ASSERT_EQ(0, punch(fd[i], (DIRECT_BLOCKS + 1) * bs, bs));
		if (i) {
			ASSERT_EQ(0, i % 2 ? vol_release_side(&self->v) : vol_release_routed(&self->v));
			EXPECT_EQ(0, task_join(&syncing[i - 1], JOIN_SECONDS));
		} else {
			ASSERT_EQ(0, task_start(&writing, op_pwrite, &write));
		}
		ASSERT_BLOCKED(&writing);
		EXPECT_NE(0, pointer_on_disk(&self->v, pointers[i], 1));
		EXPECT_EQ(0, ftruncate(fd[i], 0));
		EXPECT_EQ(i == FILES - 1, pointer_on_disk(&self->v, pointers[i], 1) == 0);
	}
	ASSERT_EQ(0, vol_release_side(&self->v));
	EXPECT_EQ(0, task_join(&syncing[FILES - 1], JOIN_SECONDS));
	EXPECT_EQ(bs, task_join(&writing, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* More pieces are given back than are kept in mind. */
TEST_F(fs_released, blocks_given_back_in_many_pieces)
{
	const off_t bs = self->v.bs, blocks = 2 * 560;
	off_t i;
	int fd;

	ASSERT_EQ(0, vol_prefill("old", 0, blocks * bs, 1));
	close(vol_open("new", O_CREAT | O_RDWR));
	ASSERT_EQ(0, fill_all(&self->v));
	fd = vol_open("old", O_RDWR);
	ASSERT_LE(0, fd);
	for (i = 0; i < blocks; i += 2)
		ASSERT_EQ(0, punch(fd, i * bs, bs));
	close(fd);
	fd = vol_open("new", O_RDWR);
	ASSERT_LE(0, fd);
	write_new(_metadata, fd, bs);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_NULL_DIFF(lost_old_differs(bs, blocks));
}

/* The device fails: they are free, and nobody gets one, until it works again. */
TEST_F(fs_released, blocks_that_cannot_be_settled)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(bs);
	int fd, i;

	ASSERT_EQ(0, vol_prefill("old", 0, 20 * bs, 1));
	fd = vol_open("new", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fill_all(&self->v));
	ASSERT_EQ(0, truncate(vol_path("old"), 0));
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-1, pwrite(fd, buf, bs, 0));
		EXPECT_EQ(EIO, errno);
	}
	EXPECT_EQ(21, free_blocks());
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(bs, pwrite(fd, buf, bs, 0));
	EXPECT_EQ(20, free_blocks());
}

/* An error of a block that has nothing to do with what is settled: that is settled, and there is space. */
TEST_F(fs_released, settled_beside_a_bad_block)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(bs);
	struct task writing;
	struct io_op write;
	struct vol_map map;
	uint64_t bad;
	int dev;

	ASSERT_EQ(0, vol_prefill("old", 0, 20 * bs, 1));
	ASSERT_EQ(0, vol_prefill("bad", 0, bs, 2));
	write = (struct io_op){ .fd = vol_open("new", O_CREAT | O_RDWR), .buf = buf, .len = bs };
	ASSERT_LE(0, write.fd);
	ASSERT_EQ(0, fill_all(&self->v));
	ASSERT_EQ(0, vol_find(&self->v, 0, bs, 2, &map));
	bad = map.e[0].sector;
	map.nr = 3;
	map.e[0] = (struct vol_extent){ .len = bad, .writes = true };
	map.e[1] = (struct vol_extent){ .sector = bad, .len = bs / 512, .fails = true };
	map.e[2] = (struct vol_extent){ .sector = bad + bs / 512, .writes = true };
	map.e[2].len = self->v.sectors - map.e[2].sector;
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, truncate(vol_path("old"), 0));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&writing, op_pwrite, &write));
	ASSERT_BLOCKED(&writing);
	dev = open(self->v.dev, O_WRONLY);
	ASSERT_LE(0, dev);
	ASSERT_EQ(bs, pwrite(dev, buf, bs, bad * 512));
	EXPECT_EQ(-1, sync_file_range(dev, bad * 512, bs, WRITE_ALL));
	EXPECT_EQ(EIO, errno);
	close(dev);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(bs, task_join(&writing, JOIN_SECONDS));
	EXPECT_EQ(20, free_blocks());
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/*
 * A name is removed from a directory that cannot be written, and one allocation is refused: at one of them there is no
 * memory to take note of what has to be written before the number of the file is somebody else's, and it
 * cannot be written right away. Nobody gets the number as long as the device has it with its name.
 */
TEST_F(fs_released, number_of_which_no_note_is_taken)
{
	const char *const repair[] = { "e2fsck", "-fy", self->v.dev, NULL };
	struct vol_conf few = variant->conf;
	int nth, struck = 1, refused = 0, status;
	struct vol_map names;

	if (faults_setup() == -ENOENT)
		SKIP(return, "a kernel without /proc/PID/fail-nth");
	few.inodes = 64;
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &few));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, vol_mkdir("d"));
	close(vol_open("d/old", O_CREAT | O_RDWR));
	ASSERT_EQ(0, create_all());
	vol_sync();
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &names));
	names.e[0].fails = true;
	for (nth = 1; struck && nth < 100; nth++) {
		ino_t ino;
		int new;

		ASSERT_EQ(0, vol_remount(&self->v));
		/* The bitmaps are read, and nothing is noted. */
		ASSERT_EQ(0, unlink(vol_path("empty0")));
		ASSERT_LE(0, close(vol_open("empty0", O_CREAT | O_RDWR)));
		vol_sync();
		ino = vol_inode("d/old");
		ASSERT_NE(0, ino);
		ASSERT_EQ(0, vol_fail(&self->v, &names));
		ASSERT_EQ(0, faults_begin(nth));
		status = unlink(vol_path("d/old"));
		struck = faults_end();
		ASSERT_LE(0, struck);
		new = vol_open("new", O_CREAT | O_RDWR);
		EXPECT_TRUE(new == -EIO || new == -ENOSPC)
			TH_LOG("allocation %d: %d, and then number %lu of %lu", nth, status, vol_inode("new"), ino);
		refused += new == -EIO;
		close(new);
		ASSERT_EQ(0, vol_unroute(&self->v));
		ASSERT_EQ(0, vol_umount_soon(&self->v));
		status = run(1, repair);
		ASSERT_TRUE(status == 0 || status == 1);
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
		unlink(vol_path("new"));
		vol_sync();
		close(vol_open("d/old", O_CREAT | O_RDWR));
	}
	TH_LOG("%d allocations, %d times nothing was given out", nth - 1, refused);
	EXPECT_LT(0, refused);
}

/*
 * Files come and go, and nothing is synced. It costs a flush now and then, and they stay together:
 * in the first group, of which they fill half.
 */
TEST_F(fs_released, files_that_are_deleted_soon)
{
	enum { FILES = 100, BLOCKS = 128 };
	const size_t len = BLOCKS * self->v.bs;
	char *buf = buf_alloc(len);
	long before = disk_flushes();
	int fd, i;

	ASSERT_LE(0, before);
	for (i = 0; i < FILES; i++) {
		int block = BLOCKS - 1;

		fd = vol_open("f", O_CREAT | O_RDWR);
		ASSERT_LE(0, fd);
		ASSERT_EQ(len, pwrite(fd, buf, len, 0));
		ASSERT_EQ(0, ioctl(fd, FIBMAP, &block));
		ASSERT_LT(0, block);
		ASSERT_GE(8192, block);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
	EXPECT_GE(FILES / 10, disk_flushes() - before);
	TH_LOG("%ld flushes", disk_flushes() - before);
}

TEST_HARNESS_MAIN
