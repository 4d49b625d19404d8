// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that must not wait: RWF_NOWAIT, and what io_uring makes of the same.
 * They are done, or they are EAGAIN and nothing has happened.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "blocks.h"
#include "caches.h"
#include "harness.h"
#include "nowait.h"
#include "powerloss.h"
#include "uring.h"

VOL_FIXTURE(dio_nowait);
FIXTURE_VARIANT_ADD(dio_nowait, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_nowait, bs4k) { .conf = SMALL_4K };

/* Blocks that are there, and known: reads and overwrites of them are made. */
TEST_F(dio_nowait, overwrite)
{
	const off_t bs = self->v.bs, len = 300 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct counters c0 = {}, c1 = {};
	enum way way, ways = way_setup(buf, len);
	int fd, n = 0;

	ASSERT_LT(0, (int)ways);
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, warm_up(fd, len));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (way = SYNC; way < ways; way++, n++) {
		off_t at = (20 + 8 * way) * bs;

		pattern_fill(buf, 8 * bs, at, 2);
		ASSERT_EQ(8 * bs, nowait_write(way, fd, buf, 8 * bs, at));
		memset(buf, UNTOUCHED, 8 * bs);
		ASSERT_EQ(8 * bs, nowait_read(way, fd, buf, 8 * bs, at));
		EXPECT_PATTERN(buf, 8 * bs, at, 2);
		/* in the inode's own pointers */
		ASSERT_EQ(bs, nowait_read(way, fd, buf, bs, 0));
		EXPECT_PATTERN(buf, bs, 0, 1);
	}
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.requests_write + n, c1.requests_write);
		EXPECT_EQ(c0.requests_read + 2 * n, c1.requests_read);
		EXPECT_EQ(c0.sync_error, c1.sync_error);
	}
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back + 20 * bs, 8 * n * bs, 20 * bs, 2);
	EXPECT_PATTERN(back, 20 * bs, 0, 1);
}

/* Memory that is not there, in the middle of a request, which counts once. */
TEST_F(dio_nowait, memory_that_faults)
{
	/* pages, and blocks in one place */
	const off_t half = 4 * self->v.bs, at = 20 * self->v.bs;
	struct counters c0 = {}, c1 = {};
	char *buf;
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "counters");
	buf = mmap(NULL, 2 * half, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, buf);
	ASSERT_EQ(0, mprotect(buf + half, half, PROT_NONE));
	pattern_fill(buf, half, at, 2);
	ASSERT_EQ(0, vol_prefill("f", 0, at + 2 * half, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, warm_up(fd, at + 2 * half));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(half, nowait_write(ASYNC, fd, buf, 2 * half, at));
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.requests_write + 1, c1.requests_write);
	EXPECT_EQ(c0.sync_error, c1.sync_error);
	EXPECT_EQ(c0.async + 1, c1.async);
}

/* The pointers to the blocks are on the device only. */
TEST_F(dio_nowait, pointers_not_in_memory)
{
	const off_t bs = self->v.bs, len = 40 * bs, at = 30 * bs;
	char *buf = buf_alloc(len);
	enum way way;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	for (way = SYNC; way <= ASYNC; way++) {
		struct counters c0 = {};

		ASSERT_EQ(0, vol_remount(&self->v));
		fd = vol_open("f", O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		EXPECT_EQ(-EAGAIN, nowait_read(way, fd, buf, bs, at));
		pattern_fill(buf, bs, at, 2);
		EXPECT_EQ(-EAGAIN, nowait_write(way, fd, buf, bs, at));
		if (env_is_retryfs())
			EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_METADATA, 2));
		ASSERT_EQ(bs, do_read(way, fd, buf, bs, at));
		EXPECT_PATTERN(buf, bs, at, 1);
		EXPECT_EQ(bs, nowait_read(way, fd, buf, bs, at));
		EXPECT_EQ(bs, nowait_write(way, fd, buf, bs, at));
		close(fd);
	}
}

/* Who has read a few blocks knows those that follow, without the block of pointers. */
TEST_F(dio_nowait, blocks_that_follow)
{
	const off_t bs = self->v.bs, at = 12 * bs, far = at + 40 * bs, farther = at + 80 * bs;
	char *buf = buf_alloc(8 * bs);
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "others know more, or less");
	ASSERT_EQ(0, vol_prefill("f", 0, farther + bs, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(8 * bs, pread(fd, buf, 8 * bs, at));
	ASSERT_EQ(0, forget_pages());
	EXPECT_EQ(bs, nowait_read(ASYNC, fd, buf, bs, far));
	EXPECT_PATTERN(buf, bs, far, 1);
	EXPECT_EQ(-EAGAIN, nowait_read(ASYNC, fd, buf, bs, farther));
}

/* What the submitter would wait for: nothing of it is begun. */
TEST_F(dio_nowait, what_is_waited_for)
{
	const off_t bs = self->v.bs, len = 8 * bs, size = 16 * bs;
	char *buf = buf_alloc(2 * size), *back = buf_alloc(2 * size);
	struct counters c0 = {}, c1 = {};
	enum way way;
	struct stat st;
	long blocks;
	int fd;

	if (env_async_alloc())
		SKIP(return, "some of it is not waited for");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), size));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, warm_up(fd, size));
	vol_sync();
	blocks = free_blocks();
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (way = SYNC; way <= ASYNC; way++) {
		pattern_fill(buf, 2 * size, 0, 2);
		struct counters before = {};

		if (env_is_retryfs())
			ASSERT_EQ(0, vol_counters(&self->v, &before));
		/* a hole, and one after allocated blocks */
		EXPECT_EQ(-EAGAIN, nowait_write(way, fd, buf + 10 * bs, bs, 10 * bs));
		EXPECT_EQ(-EAGAIN, nowait_write(way, fd, buf, size, 0));
		/* EOF, and beyond it */
		EXPECT_EQ(-EAGAIN, nowait_write(way, fd, buf + size, bs, size));
		EXPECT_EQ(-EAGAIN, nowait_write(way, fd, buf + size, bs, size + 100 * bs));
		EXPECT_EQ(-EAGAIN, nowait(way, true, fd, buf + size, bs, 0, RWF_APPEND));
		EXPECT_EQ(0, nowait_read(way, fd, back, bs, size));
		if (env_is_retryfs()) {
			EXPECT_NULL_DIFF(vol_again_differs(&self->v, &before, AGAIN_BLOCKS, 5));
			ASSERT_EQ(0, vol_counters(&self->v, &before));
		}
	}
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
	/* the flush, where it is not left to a retry */
	EXPECT_EQ(-EAGAIN, nowait(SYNC, true, fd, buf, bs, 0, RWF_DSYNC));
	if (env_is_retryfs())
		EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c1, AGAIN_SYNC, 1));
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.requests_write, c1.requests_write);
		EXPECT_EQ(c0.buffered_fallback, c1.buffered_fallback);
		EXPECT_EQ(c0.sync_error + c0.sync_hole + c0.sync_extend,
			  c1.sync_error + c1.sync_hole + c1.sync_extend);
	}
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(size, st.st_size);
	EXPECT_EQ(blocks, free_blocks());
	ASSERT_EQ(size, pread(fd, back, 2 * size, 0));
	EXPECT_PATTERN(back, len, 0, 1);
	EXPECT_ZERO(back + len, size - len, len);
}

/* With O_DSYNC, and asynchronous: it is issued, and the retry syncs. */
TEST_F(dio_nowait, synced_by_the_retry)
{
	const off_t bs = self->v.bs, len = 8 * bs;
	struct counters c0 = {}, c1 = {};
	char *buf = buf_alloc(len);
	struct iocb cb, *list = &cb;
	struct io_event ev;
	aio_context_t ctx;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, warm_up(fd, len));
	ASSERT_EQ(0, forget_pages());
	ASSERT_EQ(0, aio_setup(1, &ctx));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	pattern_fill(buf, len, 0, 2);
	aio_prep_write(&cb, fd, buf, len, 0);
	cb.aio_rw_flags = RWF_NOWAIT | RWF_DSYNC;
	ASSERT_EQ(1, aio_submit(ctx, 1, &list));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", len, 2));
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.async + 1, c1.async);
		EXPECT_LT(c0.retries_queued, c1.retries_queued);
		EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_SYNC, 0));
	}
	ASSERT_EQ(0, aio_destroy(ctx));
}

/* A read up to the end of a file that ends in a sector. */
TEST_F(dio_nowait, read_over_the_end)
{
	const off_t bs = self->v.bs, len = 3 * bs + 700;
	char *back = buf_alloc(64 * KIB);
	struct counters c0 = {}, c1 = {};
	enum way way;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (way = SYNC; way <= ASYNC; way++) {
		memset(back, UNTOUCHED, len);
		ASSERT_EQ(len, nowait_read(way, fd, back, 64 * KIB, 0));
		EXPECT_PATTERN(back, len, 0, 1);
	}
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.sync_extend, c1.sync_extend);
		EXPECT_EQ(c0.async + 1, c1.async);
	}
}

/* Pages that have to be written, or dropped, first. */
TEST_F(dio_nowait, pages_in_the_way)
{
	/* Not in the same folio. */
	const off_t bs = self->v.bs, elsewhere = 256 * KIB, len = elsewhere + 64 * KIB;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	enum way way;
	int fd, cached;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	cached = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, cached);
	ASSERT_EQ(0, warm_up(fd, len));
	for (way = SYNC; way <= ASYNC; way++) {
		struct counters c0 = {};

		if (env_is_retryfs())
			ASSERT_EQ(0, vol_counters(&self->v, &c0));
		pattern_fill(buf, bs, 0, 2);
		ASSERT_EQ(bs, pwrite(cached, buf, bs, 0));
		EXPECT_EQ(-EAGAIN, nowait_read(way, fd, back, bs, 0));
		EXPECT_EQ(-EAGAIN, nowait_write(way, fd, buf, bs, 0));
		if (env_is_retryfs())
			EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_PAGES, 2));
		/* somewhere else there is nothing in the way */
		EXPECT_EQ(bs, nowait_read(way, fd, back, bs, elsewhere));
		ASSERT_EQ(0, fsync(cached));
		EXPECT_EQ(bs, nowait_read(way, fd, back, bs, 0));
		EXPECT_PATTERN(back, bs, 0, 2);
	}
}

/* The inode lock is held by a write whose bios are held; the device has no room. */
TEST_F(dio_nowait, lock_and_device)
{
	const off_t bs = self->v.bs, len = 16 * bs;
	char *buf = buf_alloc(len + bs), *back = buf_alloc(len + bs);
	struct counters c0 = {};
	struct task over, extend;
	struct io_op ov, ext;
	struct vol_map map;
	enum way way;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, 8 * bs, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, warm_up(fd, len));
	/* no page is in the way */
	ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	/* the first write finds out, with the lock for itself, that there are no set-id bits */
	pattern_fill(buf, len + bs, 0, 2);
	ASSERT_EQ(bs, pwrite(fd, buf + 8 * bs, bs, 8 * bs));

	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	/* a suspended device says that it would have to wait, and is not broken by that */
	for (way = SYNC; way <= ASYNC; way++) {
		ASSERT_EQ(-EAGAIN, nowait_or_held(way, false, fd, back, bs, 0));
		ASSERT_EQ(-EAGAIN, nowait_or_held(way, true, fd, buf, bs, 0));
		EXPECT_EQ(bs, nowait_read(way, fd, back, bs, 8 * bs));
	}
	if (env_is_retryfs())
		EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_DEVICE, 4));
	/* a synchronous overwrite has the lock until it is done (R11), but shared */
	ov = (struct io_op){ fd, buf, 8 * bs, 0 };
	ASSERT_EQ(0, task_start(&over, op_pwrite, &ov));
	ASSERT_TRUE(task_settles(&over, TASK_BLOCKED));
	for (way = SYNC; way <= ASYNC; way++) {
		ASSERT_EQ(bs, nowait_or_held(way, false, fd, back, bs, 8 * bs));
		ASSERT_EQ(bs, nowait_or_held(way, true, fd, buf + 8 * bs, bs, 8 * bs));
	}
	/* an extend has it for itself */
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(8 * bs, task_join(&over, JOIN_SECONDS));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ext = (struct io_op){ fd, buf, len + bs, 0 };
	ASSERT_EQ(0, task_start(&extend, op_pwrite, &ext));
	ASSERT_TRUE(task_settles(&extend, TASK_BLOCKED));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (way = SYNC; way <= ASYNC; way++) {
		struct io_op op = { fd, back, bs, 8 * bs };
		struct task reader;

		ASSERT_EQ(-EAGAIN, nowait_or_held(way, false, fd, back, bs, 8 * bs));
		ASSERT_EQ(-EAGAIN, nowait_or_held(way, true, fd, buf + 8 * bs, bs, 8 * bs));
		if (way != ASYNC)
			continue;
		if (env_is_retryfs())
			EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_LOCK, 4));
		/* one who may wait does */
		ASSERT_EQ(0, task_start(&reader, op_pread, &op));
		EXPECT_TRUE(task_settles(&reader, TASK_BLOCKED));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(bs, task_join(&reader, JOIN_SECONDS));
	}
	EXPECT_EQ(len + bs, task_join(&extend, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(len + bs, pread(fd, back, len + bs, 0));
	EXPECT_PATTERN(back, len + bs, 0, 2);
}

/* Reads and overwrites by io_uring are made by who submits them; the rest is not lost. */
TEST_F(dio_nowait, uring)
{
	/* after the indirect block, so that it lies in one piece; short enough for one request of any device */
	const off_t bs = self->v.bs, len = 64 * bs, at = 16 * bs, piece = 16 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	enum way way, ways = way_setup(buf, len);
	int fd;

	if ((int)ways <= URING)
		SKIP(return, "no io_uring here");
	ASSERT_EQ(WAYS, ways);
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, warm_up(fd, len));
	for (way = URING; way < ways; way++) {
		ASSERT_EQ(piece, do_read(way, fd, buf, piece, at));
		EXPECT_PATTERN(buf, piece, at, 1);
		ASSERT_EQ(piece, do_write(way, fd, buf, piece, at));
	}
	if (env_is_retryfs())
		EXPECT_EQ(0, nowait_workers());
	/* what is waited for goes through such a thread, and is done */
	for (way = URING; way < ways; way++) {
		off_t end = way == URING ? len : len + 32 * bs;

		pattern_fill(buf, 32 * bs, end, 2);
		ASSERT_EQ(32 * bs, do_write(way, fd, buf, 32 * bs, end));
	}
	ASSERT_EQ(len, pread(fd, back, len, len));
	EXPECT_PATTERN(back, len, len, 2);
	EXPECT_LT(0, nowait_workers());
}

TEST_HARNESS_MAIN
