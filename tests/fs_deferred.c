// SPDX-License-Identifier: GPL-2.0
/*
 * Pointers to new blocks of pointers, and to data that was written directly, when the device fails to
 * write or to flush these: they stay away from the device until it has what they lead to. And names that it cannot flush.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include "blocks.h"
#include "caches.h"
#include "ext2.h"
#include "harness.h"
#include "nbd.h"
#include "powerloss.h"

FIXTURE(fs_deferred) {
	struct nbd *disk;
	struct vol v;
};
FIXTURE_VARIANT(fs_deferred) {
	bool nbd;
};
FIXTURE_VARIANT_ADD(fs_deferred, bs1k) { .nbd = false };
/* a disk that can fail to flush */
FIXTURE_VARIANT_ADD(fs_deferred, nbd) { .nbd = true };

FIXTURE_SETUP(fs_deferred)
{
	const struct vol_conf conf = SMALL_1K;

	if (!variant->nbd) {
		ASSERT_EQ(0, vol_up(&self->v, &conf));
		return;
	}
	self->disk = nbd_vol_up(&self->v, &conf);
	if (!self->disk && errno == ENOENT)
		SKIP(return, "a kernel without nbd");
	ASSERT_TRUE(self->disk != NULL);
}

FIXTURE_TEARDOWN(fs_deferred)
{
	if (self->disk)
		ASSERT_EQ(0, nbd_vol_down(self->disk, &self->v));
	if (!variant->nbd)
		ASSERT_EQ(0, vol_down(&self->v));
}

#define LEN	3000
/* The first blocks of a file of blocks of 1 KiB that are below one, and two, blocks of pointers. */
#define SINGLE		12
#define DOUBLE		(SINGLE + 256)
/* The first one below three, and how many are below each block of pointers there. */
#define TRIPLE		(DOUBLE + 256 * 256)
#define BELOW		(256 * 256)
/* One that it has in the inode. */
#define DATA		3

static int write_block(int fd, off_t bs, off_t block)
{
	char *buf = buf_alloc(bs);

	pattern_fill(buf, bs, block * bs, 1);
	return pwrite(fd, buf, bs, block * bs) == bs ? 0 : -errno;
}

/* Is block @block of "f" there? */
static bool has_block(off_t bs, off_t block)
{
	char *buf = buf_alloc(bs);

	return vol_read("f", O_RDONLY, buf, bs, block * bs) == bs &&
	       !pattern_diff(buf, bs, block * bs, 1);
}

/* What is in use of the first group, by the cache of the device. */
static int read_bitmap(struct vol *v, uint8_t *bitmap)
{
	uint32_t blocks, inodes;

	return ext2_bitmaps(v, 0, &blocks, &inodes) ?:
	       vol_dev_read(v, bitmap, v->bs, (off_t)blocks * v->bs);
}

/* Not by sync(2), after which the flusher may still have to begin with what that has told it to write. */
static int write_back(int fd)
{
	return syncfs(fd) ? -errno : 0;
}

/* "f" of @len bytes, synced; and what it has not has something else on the device. */
static int make(struct vol *v, size_t len)
{
	int fd = vol_make("f", len, 1), err;

	if (fd < 0)
		return fd;
	err = write_back(fd) ?: ext2_poison_free(v);
	return err ?: fd;
}

/* It gets the block @block, with a block of pointers: @map is where that is. */
static int grow(struct vol *v, int fd, off_t block, struct vol_map *map)
{
	const unsigned int sectors = v->bs / 512;
	uint8_t *before = buf_alloc(v->bs), *after = buf_alloc(v->bs);
	int err, bit, nr = 0;
	long data;

	err = read_bitmap(v, before) ?: write_block(fd, v->bs, block) ?: read_bitmap(v, after);
	if (err)
		return err;
	data = block_of(fd, block);
	for (bit = 0; bit < 8 * v->bs; bit++) {
		/* the first one has the superblock */
		const uint64_t at = 1 + bit;

		if (!((before[bit / 8] ^ after[bit / 8]) >> bit % 8 & 1) || at == data)
			continue;
		*map = (struct vol_map){ .e[0] = { .sector = at * sectors, .len = sectors }, .nr = 1 };
		nr++;
	}
	return nr == 1 ? 0 : -ENOENT;
}

/* Have a block of the inode table written, with the slots of the first files: @fd is of one. */
static int write_table(int fd)
{
	return fchmod(fd, 0640) || fsync(fd) ? -errno : 0;
}

static long op_sync(void *unused)
{
	sync();
	return 0;
}

/* Whoever writes it next tries again, and until then the file is on the device as it was synced. */
static void fails_in_writeback(struct __test_metadata *_metadata, struct vol *v, size_t len, off_t block)
{
	int other = vol_make("other", LEN, 3), fd;
	struct vol_map map;

	ASSERT_LE(0, other);
	fd = make(v, len);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, grow(v, fd, block, &map));
	ASSERT_EQ(0, vol_fail(v, &map));
	/* the second one finds what the first has left */
	EXPECT_EQ(-EIO, write_back(fd));
	write_back(fd);
	ASSERT_EQ(0, vol_unroute(v));
	ASSERT_EQ(0, write_table(other));
	ASSERT_EQ(0, lose_power(v));
	EXPECT_TRUE(lost_holds("f", len, 1));
	vol_sync();
	close(other);
	close(fd);
	ASSERT_EQ(0, vol_remount(v));
	EXPECT_TRUE(has_block(v->bs, 0));
	EXPECT_TRUE(has_block(v->bs, block));
}

/* The pointer is in the inode. */
TEST_F(fs_deferred, new_pointers_that_cannot_be_written)
{
	fails_in_writeback(_metadata, &self->v, LEN, SINGLE);
}

/* It is in a block of pointers that the file has had before. */
TEST_F(fs_deferred, new_pointers_below_others_that_cannot_be_written)
{
	fails_in_writeback(_metadata, &self->v, (DOUBLE + 1) * self->v.bs, DOUBLE + 256);
}

/*
 * Writeback of the device could not write them before the inode is written: they are clean then, and are
 * written again, before the inode.
 */
TEST_F(fs_deferred, new_pointers_that_could_not_be_written)
{
	struct task syncing;
	struct vol_map map;
	int fd, dev;

	fd = make(&self->v, LEN);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, grow(&self->v, fd, SINGLE, &map));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	dev = open(self->v.dev, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
	EXPECT_EQ(-1, fsync(dev));
	close(dev);
	ASSERT_EQ(0, vol_unroute(&self->v));
	map.e[0].writes = true;
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&syncing, op_sync, NULL));
	ASSERT_BLOCKED(&syncing);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", LEN, 1));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_EQ((SINGLE + 1) * self->v.bs, lost_read("f", buf_alloc(64 * KIB), 64 * KIB));
	close(fd);
}

/* Block @n of "f" on the device. */
static int64_t on_disk(struct vol *v, off_t n)
{
	uint32_t block, pointers;
	int err = ext2_block(v, "f", n, &block, &pointers);

	return err ?: block;
}

/* "f" gets a block by a direct write, and its inode is written while the device cannot flush its cache: its descriptor. */
static int append_unflushed(struct vol *v, struct nbd *disk)
{
	int err = vol_prefill("f", 0, DATA * v->bs, 1), fd;
	char *buf = buf_alloc(v->bs);

	fd = err ?: vol_open("f", O_RDWR | O_DIRECT);
	if (fd < 0)
		return fd;
	nbd_begin(disk, NBD_FAIL_FLUSHES, 0);
	pattern_fill(buf, v->bs, DATA * v->bs, 1);
	if (pwrite(fd, buf, v->bs, DATA * v->bs) != v->bs)
		return -EIO;
	write_back(fd);
	write_back(fd);
	return fd;
}

/* Data of a direct write may be in the cache of the device. */
TEST_F(fs_deferred, data_that_cannot_be_flushed)
{
	int fd;

	if (!self->disk)
		SKIP(return, "its disk does not fail");
	fd = append_unflushed(&self->v, self->disk);
	ASSERT_LE(0, fd);
	EXPECT_LT(0, block_of(fd, DATA));
	EXPECT_EQ(0, on_disk(&self->v, DATA));
	nbd_end(self->disk);
	vol_sync();
	EXPECT_EQ(block_of(fd, DATA), on_disk(&self->v, DATA));
	close(fd);
}

/* When the inode leaves memory, the data at least was written. */
TEST_F(fs_deferred, data_that_is_never_flushed)
{
	int fd;

	if (!self->disk)
		SKIP(return, "its disk does not fail");
	fd = append_unflushed(&self->v, self->disk);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	nbd_end(self->disk);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, env_options()));
	EXPECT_TRUE(has_block(self->v.bs, DATA));
}

/* Unmount it, and have e2fsck(8) find what has leaked. */
static int repair(struct vol *v)
{
	const char *const argv[] = { "e2fsck", "-p", v->dev, NULL };
	int err = vol_umount(v);

	/* without -f: it looks at what is not clean; 1: it has repaired something */
	return err ?: run(1, argv) == 1 ? 0 : -EUCLEAN;
}

/* When the inode leaves memory, it has no pointer to a block of pointers that is not on the device. */
TEST_F(fs_deferred, new_pointers_that_are_never_written)
{
	struct vol_map map;
	int fd;

	fd = make(&self->v, LEN);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, grow(&self->v, fd, SINGLE, &map));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(-1, fsync(fd));
	close(fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, env_options()));
	EXPECT_TRUE(has_block(self->v.bs, 0));
	EXPECT_FALSE(has_block(self->v.bs, SINGLE));
	EXPECT_EQ(0, repair(&self->v));
}

/*
 * While some of a block of pointers are deferred, and the device fails, others in it are not cleared there: the blocks that these
 * lead to are not free, and nobody gets them. In memory they are gone.
 */
TEST_F(fs_deferred, blocks_that_are_given_back_meanwhile)
{
	const off_t bs = self->v.bs, size = (DOUBLE + 2 * 256) * bs;
	struct vol_map map;
	char *buf = buf_alloc(bs);
	long before;
	int fd, i;

	fd = make(&self->v, size);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, grow(&self->v, fd, DOUBLE + 2 * 256, &map));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	write_back(fd);
	before = free_blocks();
	/* the second block of pointers, with all below it */
	EXPECT_EQ(-1, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (DOUBLE + 256) * bs,
				256 * bs));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(bs, vol_read("f", O_RDONLY, buf, bs, (DOUBLE + 256) * bs));
	for (i = 0; i < bs; i++)
		ASSERT_EQ(0, buf[i]);
	/* those below it are free, but not the block of pointers itself */
	EXPECT_EQ(before + 256, free_blocks());
	write_back(fd);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("f"));
	ASSERT_EQ(0, vol_unroute(&self->v));
	vol_sync();
	EXPECT_TRUE(has_block(bs, DOUBLE + 2 * 256));
	close(fd);
	EXPECT_EQ(0, repair(&self->v));
}

/*
 * All pointers in a block of pointers, of which some were deferred, are cleared while the device fails, and then it is freed: it is
 * not written over what it is used for next.
 */
TEST_F(fs_deferred, pointers_that_are_freed_meanwhile)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(bs), *back = buf_alloc(bs);
	bool has_it = false;
	uint32_t block, pointers;
	int fd, new, i, nr;

	if (!self->disk)
		SKIP(return, "its disk does not fail");
	ASSERT_EQ(0, vol_prefill("f", 0, (SINGLE + 2) * bs, 1));
	ASSERT_EQ(0, ext2_block(&self->v, "f", SINGLE, &block, &pointers));
	new = vol_open("new", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, new);
	ASSERT_EQ(0, fill_up(&self->v, 4));
	ASSERT_EQ(0, write_back(new));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	nbd_begin(self->disk, NBD_FAIL_FLUSHES, 0);
	ASSERT_EQ(0, write_block(fd, bs, SINGLE + 2));
	/* each time one run of pointers is cleared in memory, and at last none are left */
	for (i = 0; i < 4; i++) {
		if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SINGLE * bs, 3 * bs))
			break;
		EXPECT_EQ(EIO, errno);
	}
	ASSERT_LT(0, i);
	ASSERT_GT(4, i);
	nbd_end(self->disk);
	for (nr = 0; nr < SINGLE; nr++) {
		pattern_fill(buf, bs, nr * bs, 2);
		if (pwrite(new, buf, bs, nr * bs) != bs)
			break;
		has_it |= block_of(new, nr) == pointers;
	}
	ASSERT_TRUE(has_it);
	EXPECT_EQ(0, fsync(new));
	write_back(fd);
	write_back(fd);
	close(fd);
	close(new);
	ASSERT_EQ(0, vol_remount(&self->v));
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(bs, vol_read("new", O_RDONLY, back, bs, i * bs));
		EXPECT_PATTERN(back, bs, i * bs, 2);
	}
	EXPECT_EQ(0, repair(&self->v));
}

/*
 * A file has got a second name, which the device has in its cache, and cannot flush, and leaves memory. The first one is not removed
 * before that is on stable storage.
 */
TEST_F(fs_deferred, name_that_is_not_flushed)
{
	int fd;

	if (!self->disk)
		SKIP(return, "its disk does not fail");
	ASSERT_EQ(0, vol_prefill("a", 0, LEN, 1));
	vol_sync();
	ASSERT_EQ(0, mark_cached("a"));
	ASSERT_EQ(0, vol_link("a", "b"));
	nbd_begin(self->disk, NBD_FAIL_FLUSHES, 0);
	fd = vol_open("a", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	close(fd);
	ASSERT_EQ(0, wait_until_left("a"));
	EXPECT_EQ(-1, unlink(vol_path("a")));
	EXPECT_EQ(EIO, errno);
	nbd_end(self->disk);
	EXPECT_EQ(0, unlink(vol_path("a")));
	EXPECT_TRUE(vol_holds("b", LEN, 1));
}

/*
 * A file that is cut off has a block of pointers with a deferred one, and others: a device that fails is not asked again for each
 * that is cleared.
 */
TEST_F(fs_deferred, device_that_has_failed_is_asked_once)
{
	enum { OTHERS = 16 };
	const off_t bs = self->v.bs;
	unsigned int flushes;
	int fd, i;

	if (!self->disk)
		SKIP(return, "its disk does not fail");
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	for (i = 0; i < OTHERS; i++)
		ASSERT_EQ(0, write_block(fd, bs, TRIPLE + i * BELOW));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, write_block(fd, bs, TRIPLE + OTHERS * BELOW));
	nbd_begin(self->disk, NBD_FAIL_FLUSHES, 0);
	EXPECT_EQ(-1, ftruncate(fd, (TRIPLE + 1) * bs));
	EXPECT_EQ(EIO, errno);
	flushes = nbd_flushes(self->disk);
	nbd_end(self->disk);
	TH_LOG("%u flushes", flushes);
	EXPECT_LT(0, flushes);
	EXPECT_GT(OTHERS / 2, flushes);
	vol_sync();
	close(fd);
	EXPECT_EQ(0, repair(&self->v));
}

TEST_HARNESS_MAIN
