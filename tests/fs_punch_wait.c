// SPDX-License-Identifier: GPL-2.0
/*
 * What punching a hole waits for: direct requests in flight, which have the blocks (R10),
 * pages that are being read, and a frozen filesystem; and what comes in between.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "blocks.h"
#include "harness.h"
#include "punch.h"
#include "stop.h"
#include "trace.h"

VOL_FIXTURE(fs_punch_wait);
FIXTURE_VARIANT_ADD(fs_punch_wait, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_punch_wait, bs2k) { .conf = SMALL_2K };
FIXTURE_VARIANT_ADD(fs_punch_wait, bs4k) { .conf = SMALL_4K };

/* R10: blocks that a direct write goes to are not freed before it has ended. */
TEST_F(fs_punch_wait, waits_for_a_write_in_flight)
{
	const off_t bs = self->v.bs, size = 32 * bs, len = 8 * bs;
	char *buf = buf_alloc(size), *back = buf_alloc(size);
	struct task hole;
	struct io_event ev;
	struct io_op op;
	aio_context_t ctx;
	struct sparse m;
	struct iocb cb;
	int fd, dfd, gfd;
	struct stat st;
	long free;

	sparse_init(&m, bs, size);
	sparse_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	gfd = vol_open("g", O_CREAT | O_RDWR);
	vol_sync();
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(size, pread(fd, back, size, 0));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, len, 14 * bs, 2);
	aio_prep_write(&cb, dfd, buf, len, 14 * bs);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	free = free_blocks();
	op = (struct io_op){ .fd = fd, .off = 16 * bs, .len = 8 * bs };
	ASSERT_EQ(0, task_start(&hole, op_punch, &op));
	ASSERT_BLOCKED(&hole);
	EXPECT_EQ(free, free_blocks());
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_NULL_DIFF(blocks_diff(&st, bs, sparse_blocks(&m)));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	/* so they cannot be allocated again */
	pattern_fill(buf + len, size - len, 0, 9);
	ASSERT_EQ(size - len, pwrite(gfd, buf + len, size - len, 0));

	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	EXPECT_EQ(0, task_join(&hole, JOIN_SECONDS));
	sparse_write(&m, 14 * bs, len, 2);
	sparse_punch(&m, 16 * bs, 8 * bs);
	EXPECT_SPARSE(&m, fd, dfd, 0);
	ASSERT_EQ(0, fsync(gfd));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(size - len, vol_read("g", O_DIRECT, back, size, 0));
	EXPECT_PATTERN(back, size - len, 0, 9);
}

/* R10 and R12: those that a direct read comes from neither. */
TEST_F(fs_punch_wait, waits_for_a_read_in_flight)
{
	const off_t bs = self->v.bs, size = 32 * bs, len = 8 * bs;
	char *back = buf_alloc(size);
	struct task hole;
	struct io_event ev;
	struct io_op op;
	aio_context_t ctx;
	struct sparse m;
	struct iocb cb;
	int fd, dfd;
	long free;

	sparse_init(&m, bs, size);
	sparse_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	/* the way to the blocks and the bitmaps must be in memory, or it waits for these */
	ASSERT_EQ(0, punch(fd, 30 * bs, bs));
	sparse_punch(&m, 30 * bs, bs);
	vol_sync();
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_hold(&self->v));

	aio_prep_read(&cb, dfd, back, len, 14 * bs);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	free = free_blocks();
	op = (struct io_op){ .fd = fd, .off = 16 * bs, .len = 8 * bs };
	ASSERT_EQ(0, task_start(&hole, op_punch, &op));
	EXPECT_BLOCKED(&hole);
	EXPECT_EQ(free, free_blocks());

	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	EXPECT_PATTERN(back, len, 14 * bs, 1);
	EXPECT_EQ(0, task_join(&hole, JOIN_SECONDS));
	sparse_punch(&m, 16 * bs, 8 * bs);
	EXPECT_SPARSE(&m, fd, dfd, 0);
}

/* Nor those that a page is read from, for a read or for a mapping. */
TEST_F(fs_punch_wait, waits_for_a_page_that_is_read)
{
	const off_t bs = self->v.bs, size = 32 * bs;
	char *back = buf_alloc(bs);
	struct task reader, hole;
	struct io_op rd, op;
	struct sparse m;
	int fd, dfd;
	long free;

	sparse_init(&m, bs, size);
	sparse_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	/* the way to the blocks and the bitmaps must be in memory, or it waits for these */
	ASSERT_EQ(0, punch(fd, 30 * bs, bs));
	sparse_punch(&m, 30 * bs, bs);
	vol_sync();
	ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	ASSERT_EQ(0, vol_hold(&self->v));

	rd = (struct io_op){ .fd = fd, .buf = back, .off = 20 * bs, .len = bs };
	ASSERT_EQ(0, task_start(&reader, op_pread, &rd));
	ASSERT_BLOCKED(&reader);
	free = free_blocks();
	op = (struct io_op){ .fd = fd, .off = 16 * bs, .len = 8 * bs };
	ASSERT_EQ(0, task_start(&hole, op_punch, &op));
	EXPECT_BLOCKED(&hole);
	EXPECT_EQ(free, free_blocks());

	ASSERT_EQ(0, vol_release(&self->v));
	EXPECT_EQ(bs, task_join(&reader, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&hole, JOIN_SECONDS));
	/* it was before the hole, or after */
	if (*back)
		EXPECT_PATTERN(back, bs, 20 * bs, 1);
	else
		EXPECT_ZERO(back, bs, 20 * bs);
	sparse_punch(&m, 16 * bs, 8 * bs);
	EXPECT_SPARSE(&m, fd, dfd, 0);
}

TEST_F(fs_punch_wait, waits_for_a_frozen_volume)
{
	const off_t bs = self->v.bs, size = 8 * bs;
	struct task hole;
	struct sparse m;
	struct io_op op;
	int fd, dfd;

	sparse_init(&m, bs, size);
	sparse_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_EQ(0, ioctl(fd, FIFREEZE, 0));
	op = (struct io_op){ .fd = fd, .off = 2 * bs, .len = bs };
	ASSERT_EQ(0, task_start(&hole, op_punch, &op));
	EXPECT_BLOCKED(&hole);
	EXPECT_NULL_DIFF(sparse_diff(&m, fd, dfd, 1));
	ASSERT_EQ(0, ioctl(fd, FITHAW, 0));
	EXPECT_EQ(0, task_join(&hole, JOIN_SECONDS));
	sparse_punch(&m, 2 * bs, bs);
	EXPECT_SPARSE(&m, fd, dfd, 1);
}

struct stopped_punch {
	struct stop stop;
	struct io_op op;
};

static long punch_and_stop(void *arg)
{
	struct stopped_punch *p = arg;
	int err = stop_me_at(&p->stop, "kprobes/rfs_get");

	return err ? err : op_punch(&p->op);
}

/*
 * A part of a block is punched, which is in a hole. It is stored to and written back before the
 * page can be zeroed: then it is in a block, and has to be zeroed there, too.
 */
TEST_F(fs_punch_wait, hole_that_is_written_back)
{
	const off_t bs = self->v.bs;
	char *back = buf_alloc(4096), *map;
	struct stopped_punch p;
	struct task hole;
	int fd, dfd;

	trace_write("kprobe_events", "-:rfs_get\n");
	if (trace_write("kprobe_events", "p:rfs_get __filemap_get_folio_mpol\n") &&
	    trace_write("kprobe_events", "p:rfs_get __filemap_get_folio\n"))
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, stop_stay_away(&p.stop));
	fd = vol_open("f", O_CREAT | O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(0, ftruncate(fd, 4096));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	p.op = (struct io_op){ .fd = fd, .off = 100, .len = bs - 200 };
	ASSERT_EQ(0, task_start(&hole, punch_and_stop, &p));
	ASSERT_TRUE(stop_wait(&p.stop, JOIN_SECONDS));
	memset(map, 'x', bs);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_TRUE(stop_go(&p.stop));
	ASSERT_EQ(0, task_join(&hole, JOIN_SECONDS));
	ASSERT_EQ(0, munmap(map, 4096));
	/* by the page cache, then from the device */
	ASSERT_EQ(4096, pread(fd, back, 4096, 0));
	EXPECT_ZERO(back + 100, bs - 200, 100);
	EXPECT_EQ('x', back[99]);
	EXPECT_EQ('x', back[bs - 100]);
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(4096, pread(dfd, back, 4096, 0));
	EXPECT_ZERO(back + 100, bs - 200, 100);
	EXPECT_EQ('x', back[99]);
	EXPECT_EQ('x', back[bs - 100]);
	trace_write("kprobe_events", "-:rfs_get\n");
}

TEST_HARNESS_MAIN
