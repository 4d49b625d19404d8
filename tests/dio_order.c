// SPDX-License-Identifier: GPL-2.0
/*
 * The order of a new block: reserved, written, linked, and then i_size moves. No pointer
 * leads to a block that has not been written, neither in memory nor on the device, which
 * may lose what is in its cache.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "bios.h"
#include "blocks.h"
#include "ext2.h"
#include "harness.h"
#include "powerloss.h"

VOL_FIXTURE(dio_order);
FIXTURE_VARIANT_ADD(dio_order, bs1k) { .conf = SMALL_1K };

/* In blocks: where files end, in the inode, below a block of pointers, where they get one. */
static const off_t ends[] = { 3, 14, 12 };
#define LEN	4

/* The same on the device. */
static int64_t on_disk(struct vol *v, off_t n)
{
	uint32_t block, pointers;
	int err = ext2_block(v, "f", n, &block, &pointers);

	return err ?: block;
}

static long op_sync(void *unused)
{
	sync();
	return 0;
}

/* "f" of @end blocks of generation 1, on the device; open for direct I/O. */
static int make(struct vol *v, off_t end)
{
	int err = vol_prefill("f", 0, end * v->bs, 1);

	vol_sync();
	return err ?: vol_open("f", O_RDWR | O_DIRECT);
}

/* Append to it, generation @gen. */
static long append(struct vol *v, int fd, off_t end, int blocks, uint64_t gen)
{
	char *buf = buf_alloc(blocks * v->bs);

	pattern_fill(buf, blocks * v->bs, end * v->bs, gen);
	return do_write(SYNC, fd, buf, blocks * v->bs, end * v->bs);
}

/* Where it will have its blocks behind @end: it had them before, and has given them back. */
static int foresee(struct vol *v, int fd, off_t end, struct vol_map *map)
{
	int err;

	if (append(v, fd, end, LEN, 9) != LEN * (long)v->bs)
		return -EIO;
	vol_sync();
	err = vol_find(v, end * v->bs, LEN * v->bs, 9, map);
	if (!err && ftruncate(fd, end * v->bs))
		err = -errno;
	vol_sync();
	return err;
}

/* While the data is under way there is no pointer to it, and what was synced is as it was. */
TEST_F(dio_order, linked_when_written)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(LEN * bs), *back = buf_alloc(64 * KIB);
	struct task writer, syncing;
	struct vol_map map, again;
	struct io_op wr;
	int fd, i;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		const off_t end = ends[i];

		fd = make(&self->v, end);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, foresee(&self->v, fd, end, &map));
		ASSERT_EQ(0, vol_route(&self->v, &map));
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		pattern_fill(buf, LEN * bs, end * bs, 2);
		wr = (struct io_op){ fd, buf, LEN * bs, end * bs };
		ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
		ASSERT_BLOCKED(&writer);
		EXPECT_EQ(0, block_of(fd, end));
		/* it writes all there is, and waits for the flush */
		ASSERT_EQ(0, task_start(&syncing, op_sync, NULL));
		ASSERT_BLOCKED(&syncing);
		EXPECT_EQ(0, on_disk(&self->v, end));
		ASSERT_EQ(0, lose_power(&self->v));
		EXPECT_TRUE(lost_holds("f", end * bs, 1));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(LEN * bs, task_join(&writer, JOIN_SECONDS));
		EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
		EXPECT_LT(0, block_of(fd, end));
		ASSERT_EQ((end + LEN) * bs, pread(fd, back, 64 * KIB, 0));
		EXPECT_PATTERN(back, end * bs, 0, 1);
		EXPECT_PATTERN(back + end * bs, LEN * bs, end * bs, 2);
		/* it was there that it was held */
		ASSERT_EQ(0, vol_find(&self->v, end * bs, LEN * bs, 2, &again));
		EXPECT_EQ(map.e[0].sector, again.e[0].sector);
		ASSERT_EQ(0, vol_unroute(&self->v));
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
		vol_sync();
	}
}

/* The device may lose data that it has in its cache: it gets the pointers behind a flush. */
TEST_F(dio_order, pointers_behind_a_flush)
{
	struct task syncing;
	int fd, i;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		fd = make(&self->v, ends[i]);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, vol_route_flushes(&self->v));
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(LEN * self->v.bs, append(&self->v, fd, ends[i], LEN, 2));
		EXPECT_LT(0, block_of(fd, ends[i]));
		ASSERT_EQ(0, task_start(&syncing, op_sync, NULL));
		ASSERT_BLOCKED(&syncing);
		EXPECT_EQ(0, on_disk(&self->v, ends[i]));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
		EXPECT_EQ(block_of(fd, ends[i]), on_disk(&self->v, ends[i]));
		ASSERT_EQ(0, vol_unroute(&self->v));
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

/* The same if the page cache gets a block meanwhile, to which the same block of pointers leads. */
TEST_F(dio_order, pointers_of_both_kinds)
{
	const off_t end = ends[1], bs = self->v.bs;
	struct task syncing;
	char *buf = buf_alloc(bs);
	int fd, bfd;

	fd = make(&self->v, end);
	ASSERT_LE(0, fd);
	bfd = vol_open("f", O_RDWR);
	ASSERT_LE(0, bfd);
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(LEN * bs, append(&self->v, fd, end, LEN, 1));
	pattern_fill(buf, bs, (end + LEN) * bs, 1);
	ASSERT_EQ(bs, pwrite(bfd, buf, bs, (end + LEN) * bs));
	ASSERT_EQ(0, task_start(&syncing, op_sync, NULL));
	ASSERT_BLOCKED(&syncing);
	EXPECT_EQ(0, on_disk(&self->v, end));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", (end + LEN + 1) * bs, 1));
}

/* Nothing on the device leads to a new block of pointers: it is written with its pointers. */
TEST_F(dio_order, new_pointers_are_written_once)
{
	const off_t end = ends[2];
	uint32_t block, pointers;
	int fd;

	fd = make(&self->v, end);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, bios_watch());
	ASSERT_EQ(LEN * self->v.bs, append(&self->v, fd, end, LEN, 1));
	vol_sync();
	ASSERT_EQ(0, ext2_block(&self->v, "f", end, &block, &pointers));
	EXPECT_EQ(1, bios_written(&self->v, pointers * (uint64_t)self->v.bs / 512));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", (end + LEN) * self->v.bs, 1));
}

/*
 * "f" of end + 1 blocks, of which the last is not synced: the block of pointers is dirty, and
 * has to be written before it gets more. @map is where it is.
 */
static int make_unwritten(struct vol *v, off_t end, struct vol_map *map)
{
	uint32_t block, pointers;
	char *buf = buf_alloc(v->bs);
	int fd = make(v, end), bfd, err;

	if (fd < 0)
		return fd;
	err = ext2_block(v, "f", end - 1, &block, &pointers);
	bfd = vol_open("f", O_RDWR);
	pattern_fill(buf, v->bs, end * v->bs, 1);
	if (!err && pwrite(bfd, buf, v->bs, end * v->bs) != v->bs)
		err = -EIO;
	close(bfd);
	*map = (struct vol_map){
		.e[0] = { .sector = pointers * (uint64_t)v->bs / 512, .len = v->bs / 512 }, .nr = 1
	};
	return err ?: fd;
}

/* The data is on the device, and the pointers are not stored yet: i_size stays. */
TEST_F(dio_order, size_moves_last)
{
	const off_t end = ends[1] + 1, bs = self->v.bs;
	char *back = buf_alloc(64 * KIB), *buf = buf_alloc(LEN * bs);
	struct task writer;
	struct vol_map map;
	struct io_op wr;
	int fd, bfd;

	fd = make_unwritten(&self->v, end - 1, &map);
	ASSERT_LE(0, fd);
	bfd = vol_open("f", O_RDONLY);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, LEN * bs, end * bs, 1);
	wr = (struct io_op){ fd, buf, LEN * bs, end * bs };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	ASSERT_BLOCKED(&writer);
	EXPECT_EQ(end * bs, file_size(bfd));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(LEN * bs, task_join(&writer, JOIN_SECONDS));
	ASSERT_EQ((end + LEN) * bs, pread(bfd, back, 64 * KIB, 0));
	EXPECT_PATTERN(back, (end + LEN) * bs, 0, 1);
}

/* The pointers cannot be stored: nothing is written, and the blocks are free. */
TEST_F(dio_order, blocks_that_cannot_be_linked)
{
	const off_t end = ends[1] + 1, bs = self->v.bs;
	char *back = buf_alloc(64 * KIB);
	struct vol_map map;
	long before;
	int fd;

	fd = make_unwritten(&self->v, end - 1, &map);
	ASSERT_LE(0, fd);
	before = free_blocks();
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-EIO, append(&self->v, fd, end, LEN, 2));
	EXPECT_SIZE_AND_BLOCKS(fd, end * bs, blocks_needed(bs, end * bs), bs);
	EXPECT_EQ(before, free_blocks());
	EXPECT_EQ(0, block_of(fd, end));
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* the error of the block of pointers, which is written now */
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(LEN * bs, append(&self->v, fd, end, LEN, 1));
	ASSERT_EQ((end + LEN) * bs, pread(fd, back, 64 * KIB, 0));
	EXPECT_PATTERN(back, (end + LEN) * bs, 0, 1);
}

TEST_HARNESS_MAIN
