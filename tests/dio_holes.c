// SPDX-License-Identifier: GPL-2.0
/*
 * Direct writes into holes: loopholes 3 and 4, R9. The event comes after the data, of
 * the part that was allocated and of the fallback to the page cache.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "blocks.h"
#include "harness.h"

VOL_FIXTURE(dio_holes);
FIXTURE_VARIANT_ADD(dio_holes, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_holes, bs4k) { .conf = SMALL_4K };

/* Loophole 3 and R9: the event of a write into a hole comes after its data. */
TEST_F(dio_holes, loophole3_async_write_to_hole)
{
	const off_t bs = self->v.bs, at = 6 * bs, len = 8 * bs, size = 32 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(size), *back2 = buf_alloc(size);
	struct counters c0 = {}, c1 = {};
	struct task submit, reader;
	struct submit_op sub;
	struct io_event ev;
	struct iocb cb, *list = &cb;
	aio_context_t ctx;
	struct io_op rd;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", size - bs, bs, 1));
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, aio_setup(4, &ctx));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, len, at, 2);
	aio_prep_write(&cb, fd, buf, len, at);
	sub = (struct submit_op){ ctx, 1, &list };
	ASSERT_EQ(0, task_start(&submit, op_submit, &sub));
	ASSERT_NE(TASK_UNSETTLED, task_settle(&submit));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	/* old or new, but not what the disk held there */
	rd = (struct io_op){ bfd, back, len, at };
	ASSERT_EQ(0, task_start(&reader, op_pread, &rd));
	if (task_settle(&reader) == TASK_DONE) {
		EXPECT_EQ(len, reader.ret);
		EXPECT_TRUE(!zero_diff(back, len, at) || !pattern_diff(back, len, at, 2));
	}
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));

	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	ASSERT_EQ(len, pread(fd, back2, len, at));
	EXPECT_PATTERN(back2, len, at, 2);
	EXPECT_EQ(len, ev.res);
	EXPECT_EQ(1, task_join(&submit, JOIN_SECONDS));
	EXPECT_EQ(len, task_join(&reader, JOIN_SECONDS));
	EXPECT_FALSE(has_poison(back, len));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(size, pread(bfd, back, size, 0));
	EXPECT_ZERO(back, at, 0);
	EXPECT_PATTERN(back + at, len, at, 2);
	EXPECT_ZERO(back + at + len, size - bs - at - len, at + len);
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.sync_hole + 1, c1.sync_hole);
		EXPECT_EQ(c0.buffered_fallback + 1, c1.buffered_fallback);
	}
}

/*
 * While the worker waits for what it has issued before a hole, a store through a mapping fills the
 * hole: the rest of the write goes there all the same.
 */
TEST_F(dio_holes, hole_that_is_filled_meanwhile)
{
	const off_t page = 4096, len = 2 * page;
	char *buf = buf_alloc(len), *back = buf_alloc(len), *map;
	struct vol_map first;
	struct task write;
	struct io_op op;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, page, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), len));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, page, 1, &first));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, bfd, page);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, vol_route(&self->v, &first));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, len, 0, 2);
	op = (struct io_op){ fd, buf, len, 0 };
	ASSERT_EQ(0, task_start(&write, op_pwrite, &op));
	ASSERT_BLOCKED(&write);
	map[0] = 'x';
	ASSERT_EQ(0, sync_file_range(bfd, page, page,
				     SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(len, task_join(&write, JOIN_SECONDS));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	munmap(map, page);
}

/*
 * Loophole 4 and R9: allocated blocks and then a hole. Only the bios of the
 * allocated part are held: a worker that goes on without them can complete.
 */
TEST_F(dio_holes, loophole4_allocated_then_hole)
{
	const off_t bs = self->v.bs, part = 8 * bs, len = 16 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct counters c0 = {}, c1 = {};
	struct submit_op sub;
	struct vol_map map;
	struct task submit;
	struct io_event ev;
	struct iocb cb, *list = &cb;
	aio_context_t ctx;
	blkcnt_t blocks;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, part, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), len));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, part, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	blocks = blocks_of(bfd);
	ASSERT_EQ(0, aio_setup(4, &ctx));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, len, 0, 2);
	aio_prep_write(&cb, fd, buf, len, 0);
	sub = (struct submit_op){ ctx, 1, &list };
	ASSERT_EQ(0, task_start(&submit, op_submit, &sub));
	ASSERT_NE(TASK_UNSETTLED, task_settle(&submit));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	/* what was issued is waited for first: the hole is still one */
	EXPECT_EQ(blocks, blocks_of(bfd));
	ASSERT_EQ(part, pread(bfd, back, part, part));
	EXPECT_ZERO(back, part, part);
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));

	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	/* the buffer is ours again: nothing may be in flight from it */
	memset(buf, 0x77, len);
	EXPECT_EQ(len, ev.res);
	EXPECT_EQ(1, task_join(&submit, JOIN_SECONDS));
	vol_sync();
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	EXPECT_EQ(0, vol_find(&self->v, 0, len, 2, &map));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.sync_hole + 1, c1.sync_hole);
		EXPECT_EQ(c0.buffered_fallback + 1, c1.buffered_fallback);
	}
}

/* The same by a synchronous write, with allocated blocks after the hole too. */
TEST_F(dio_holes, loophole4_sync_with_hole_inside)
{
	/* in whole pages: a reader of the hole must not need what is held */
	const off_t page = 4096, part = 6 * page, hole = 4 * page, len = 16 * page;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct vol_map map;
	struct task write;
	struct io_op wr;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, part, 1));
	ASSERT_EQ(0, vol_prefill("f", part + hole, part, 1));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, part, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, len, 0, 2);
	wr = (struct io_op){ fd, buf, len, 0 };
	ASSERT_EQ(0, task_start(&write, op_pwrite, &wr));
	ASSERT_BLOCKED(&write);
	ASSERT_EQ(hole, pread(bfd, back, hole, part));
	EXPECT_ZERO(back, hole, part);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(len, task_join(&write, JOIN_SECONDS));
	memset(buf, 0x77, len);
	vol_sync();
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	EXPECT_EQ(0, vol_find(&self->v, 0, len, 2, &map));
}

TEST_HARNESS_MAIN
