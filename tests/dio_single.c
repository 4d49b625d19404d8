// SPDX-License-Identifier: GPL-2.0
/*
 * Requests of one bio, which carries them: which ones these are, by a counter, and that what comes of them
 * is what comes of the same request by way of the worker. The blocks of a file that have their pointers in
 * the inode are in no cache of runs: so a request for those is always for the worker, and the same one AT
 * further on is not.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "disk.h"
#include "harness.h"
#include "queue.h"

VOL_FIXTURE(dio_single);
FIXTURE_VARIANT_ADD(dio_single, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_single, bs4k) { .conf = SMALL_4K };

/* in one block of pointers with what follows */
#define AT	(320 * KIB)
#define LEN	(16 * KIB)
#define SIZE	(AT + 32 * LEN)
#define HOLE	(SIZE - 4 * LEN)

/* How many requests of one bio there were since the last call. */
static long singles(struct vol *v)
{
	static uint64_t before;
	struct counters c = {};
	long more;

	if (vol_counters(v, &c))
		return -1;
	more = c.async_single - before;
	before = c.async_single;
	return more;
}

/* A file with all but its end in blocks, nothing of it in the page cache, and its runs known. */
static int make(struct vol *v)
{
	char *buf = buf_alloc(LEN);
	off_t pos;
	int fd;

	if (vol_prefill("f", 0, HOLE, 1) || truncate(vol_path("f"), SIZE) || vol_remount(v))
		return -1;
	fd = vol_open("f", O_RDWR | O_DIRECT);
	for (pos = 0; pos < HOLE; pos += LEN)
		if (pread(fd, buf, LEN, pos) != LEN)
			return -1;
	/* the first write finds out, with the lock for itself, that there are no set-id bits */
	if (pread(fd, buf, LEN, AT) != LEN || pwrite(fd, buf, LEN, AT) != LEN)
		return -1;
	singles(v);
	return fd;
}

/* The same file for buffered I/O of no more than what is asked for; -errno. */
static int open_cached(void)
{
	int fd = vol_open("f", O_RDWR);

	if (fd >= 0)
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	return fd;
}

/* How one asynchronous request ends; whether it was one of one bio is what singles() says then. */
static ssize_t do_aio(bool write, int fd, void *buf, size_t len, off_t off, int flags)
{
	struct iocb cb;

	if (write)
		aio_prep_write(&cb, fd, buf, len, off);
	else
		aio_prep_read(&cb, fd, buf, len, off);
	cb.aio_rw_flags = flags;
	return aio_do(&cb);
}

#define EXPECT_AIO(single, result, ...) do { \
	EXPECT_EQ(result, do_aio(__VA_ARGS__)); \
	EXPECT_EQ(single, singles(&self->v)); \
} while (0)

/* Each thing that a request may need, and is for the worker, one by one. */
TEST_F(dio_single, which_they_are)
{
	char *buf = buf_alloc(2 * LEN + 128 * KIB), *back = buf_alloc(LEN);
	struct iovec iov[2] = { { buf, LEN / 2 }, { buf + LEN, LEN / 2 } };
	struct counters c0 = {}, c1 = {};
	struct iocb cb;
	int fd, cached;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_AIO(1, LEN, false, fd, buf, LEN, AT, 0);
	EXPECT_PATTERN(buf, LEN, AT, 1);
	pattern_fill(buf, LEN, AT, 2);
	EXPECT_AIO(1, LEN, true, fd, buf, LEN, AT, 0);
	EXPECT_AIO(1, LEN, false, fd, back, LEN, AT, RWF_NOWAIT);
	EXPECT_PATTERN(back, LEN, AT, 2);
	EXPECT_AIO(1, LEN, true, fd, buf, LEN, AT, RWF_NOWAIT);
	/* part of a block */
	EXPECT_AIO(1, 512, false, fd, back, 512, AT + 512, 0);
	EXPECT_PATTERN(back, 512, AT + 512, 2);
	/* memory in pieces */
	aio_prep_writev(&cb, fd, iov, 2, AT);
	pattern_fill(iov[0].iov_base, LEN / 2, AT, 3);
	pattern_fill(iov[1].iov_base, LEN / 2, AT + LEN / 2, 3);
	EXPECT_EQ(LEN, aio_do(&cb));
	EXPECT_EQ(1, singles(&self->v));
	EXPECT_AIO(1, LEN, false, fd, back, LEN, AT, 0);
	EXPECT_PATTERN(back, LEN, AT, 3);
	/* they count as others do */
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.requests_read + 4, c1.requests_read);
	EXPECT_EQ(c0.requests_write + 3, c1.requests_write);
	EXPECT_EQ(c0.async + 7, c1.async);
	EXPECT_EQ(c0.retries + 7, c1.retries);
	EXPECT_EQ(c0.retries_queued, c1.retries_queued);

	/* who waits for it, blocks that are not in the cache of runs, a long one */
	EXPECT_EQ(LEN, pread(fd, buf, LEN, AT));
	EXPECT_EQ(0, singles(&self->v));
	EXPECT_AIO(0, LEN, false, fd, buf, LEN, 0, 0);
	EXPECT_AIO(0, 128 * KIB, false, fd, buf, 128 * KIB, AT, 0);
	/* past EOF, and a hole */
	EXPECT_AIO(0, 512, false, fd, buf, LEN, SIZE - 512, 0);
	EXPECT_AIO(0, LEN, false, fd, buf, LEN, HOLE, 0);
	pattern_fill(buf, LEN, HOLE, 2);
	EXPECT_AIO(0, LEN, true, fd, buf, LEN, HOLE, 0);
	/* misaligned, and no memory */
	EXPECT_AIO(0, -EINVAL, false, fd, buf, LEN, AT + 1, 0);
	EXPECT_AIO(0, -EINVAL, false, fd, buf, LEN - 1, AT, 0);
	EXPECT_AIO(0, -EFAULT, false, fd, NULL, LEN, AT, 0);
	EXPECT_AIO(0, 0, false, fd, buf, 0, AT, 0);
	/* to be synced, and all of it */
	pattern_fill(buf, LEN, AT, 4);
	EXPECT_AIO(0, LEN, true, fd, buf, LEN, AT, RWF_SYNC);
	/* pages, and what was read there is not what is there later */
	cached = open_cached();
	ASSERT_EQ(LEN, pread(cached, back, LEN, AT));
	EXPECT_AIO(0, LEN, false, fd, buf, LEN, AT, 0);
	pattern_fill(buf, LEN, AT, 5);
	EXPECT_AIO(0, LEN, true, fd, buf, LEN, AT, 0);
	ASSERT_EQ(LEN, pread(cached, back, LEN, AT));
	EXPECT_PATTERN(back, LEN, AT, 5);
	ASSERT_EQ(LEN, pwrite(cached, buf, LEN, AT + 2 * LEN));
	EXPECT_AIO(0, LEN, false, fd, back, LEN, AT + 2 * LEN, 0);
	EXPECT_EQ(0, memcmp(buf, back, LEN));
	EXPECT_AIO(1, LEN, false, fd, back, LEN, AT + LEN, 0);
	/* memory that must not change, of a write */
	ASSERT_EQ(0, stable_writes(self->v.dev, true));
	EXPECT_AIO(0, LEN, true, fd, buf, LEN, AT + LEN, 0);
	EXPECT_AIO(1, LEN, false, fd, buf, LEN, AT + LEN, 0);
	ASSERT_EQ(0, stable_writes(self->v.dev, false));
}

/* R13: with EOF in the midst of it, and blocks behind that. */
TEST_F(dio_single, past_eof)
{
	char *buf = buf_alloc(LEN);
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	ASSERT_EQ(0, vol_prefill("g", 0, AT + LEN - 512, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("g", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(LEN - 512, pread(fd, buf, LEN, AT));
	singles(&self->v);
	EXPECT_AIO(0, LEN - 512, false, fd, buf, LEN, AT, 0);
	EXPECT_PATTERN(buf, LEN - 512, AT, 1);
	EXPECT_AIO(1, LEN / 2, false, fd, buf, LEN / 2, AT, 0);
}

/* A device that fails, and memory that is not there: the same by both ways. */
TEST_F(dio_single, failures)
{
	const off_t at = AT + 4 * LEN;
	char *buf = buf_alloc(LEN), *half;
	struct counters c0 = {}, c1 = {};
	struct vol_map map;
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	half = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, half);
	ASSERT_EQ(0, mprotect(half + LEN / 2, LEN / 2, PROT_NONE));
	pattern_fill(half, LEN / 2, at, 2);
	EXPECT_AIO(0, LEN / 2, true, fd, half, LEN, at, 0);
	EXPECT_AIO(0, LEN / 2, false, fd, half, LEN, at, 0);
	EXPECT_PATTERN(half, LEN / 2, at, 2);
	munmap(half, LEN);
	ASSERT_EQ(LEN, pread(fd, buf, LEN, at));
	EXPECT_PATTERN(buf, LEN / 2, at, 2);
	EXPECT_PATTERN(buf + LEN / 2, LEN / 2, at + LEN / 2, 1);

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_find(&self->v, i * AT, LEN, 1, &map));
		ASSERT_EQ(0, vol_fail(&self->v, &map));
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
		EXPECT_AIO(i, -EIO, false, fd, buf, LEN, i * AT, 0);
		EXPECT_AIO(i, -EIO, true, fd, buf, LEN, i * AT, 0);
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		/* an error is reported, for which they are queued; the submitter of the others does that */
		EXPECT_EQ(c0.retries_queued + 2 * i, c1.retries_queued);
		EXPECT_AIO(1, LEN, false, fd, buf, LEN, AT + LEN, 0);
		ASSERT_EQ(0, vol_unroute(&self->v));
		/* what failed is as it was */
		EXPECT_AIO(i, LEN, false, fd, buf, LEN, i * AT, 0);
	}
}

/* R5 and R10: what comes while it is in flight. */
TEST_F(dio_single, meanwhile)
{
	char *buf = buf_alloc(LEN), *back = buf_alloc(LEN), *map;
	struct counters c0 = {}, c1 = {};
	struct task cut;
	struct vol_map data;
	struct io_event ev;
	aio_context_t ctx;
	struct iocb cb;
	int fd, cached, other;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	ASSERT_EQ(0, vol_prefill("dst", 0, LEN, 3));
	fd = make(&self->v);
	cached = open_cached();
	other = vol_open("dst", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	/* pages of the range of a write */
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	pattern_fill(buf, LEN, AT, 2);
	aio_prep_write(&cb, fd, buf, LEN, AT);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	EXPECT_EQ(1, singles(&self->v));
	ASSERT_EQ(LEN, pread(cached, back, LEN, AT));
	EXPECT_PATTERN(back, LEN, AT, 1);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(LEN, ev.res);
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.retries_queued + 1, c1.retries_queued);
	ASSERT_EQ(LEN, pread(cached, back, LEN, AT));
	EXPECT_PATTERN(back, LEN, AT, 2);
	/* a truncate, which waits for a write */
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	aio_prep_write(&cb, fd, buf, LEN, AT + LEN);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	EXPECT_EQ(1, singles(&self->v));
	ASSERT_EQ(0, task_start(&cut, op_ftruncate, &(struct io_op){ .fd = cached, .off = HOLE - LEN }));
	EXPECT_BLOCKED(&cut);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(LEN, ev.res);
	EXPECT_EQ(0, task_join(&cut, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* pages that are read into, and written back before that: and a truncate that waits for the read */
	ASSERT_EQ(0, vol_find(&self->v, AT + 2 * LEN, LEN, 1, &data));
	/* which has the runs forgotten */
	ASSERT_EQ(LEN, pread(fd, back, LEN, AT + 2 * LEN));
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, vol_route(&self->v, &data));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	aio_prep_read(&cb, fd, map, LEN, AT + 2 * LEN);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	EXPECT_EQ(1, singles(&self->v));
	ASSERT_EQ(0, sync_file_range(other, 0, LEN, SYNC_FILE_RANGE_WAIT_BEFORE |
				     SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	ASSERT_EQ(0, task_start(&cut, op_ftruncate, &(struct io_op){ .fd = cached, .off = 0 }));
	EXPECT_BLOCKED(&cut);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(LEN, ev.res);
	EXPECT_EQ(0, task_join(&cut, JOIN_SECONDS));
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.retries_queued + 1, c1.retries_queued);
	munmap(map, LEN);
	close(other);
	close(cached);
	close(fd);
	ASSERT_EQ(0, aio_destroy(ctx));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(LEN, vol_read("dst", 0, back, LEN, 0));
	EXPECT_PATTERN(back, LEN, AT + 2 * LEN, 1);
}

/*
 * The device says that it would have to wait: io_uring, which asks for that first, makes the request again, and
 * nobody gets to see it.
 */
TEST_F(dio_single, suspended)
{
	char *buf = buf_alloc(LEN);
	unsigned int nr;
	struct queue q;
	int fd, write;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	if (!queue_possible(URING))
		SKIP(return, "no io_uring");
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, queue_setup(&q, URING));
	for (write = 0; write < 2; write++) {
		pattern_fill(buf, LEN, AT, 1);
		ASSERT_EQ(0, vol_hold(&self->v));
		ASSERT_EQ(0, queue_submit(&q, 0, write, fd, buf, LEN, AT));
		EXPECT_LT(0, singles(&self->v));
		EXPECT_EQ(-EAGAIN, queue_reap(&q, false, &nr));
		ASSERT_EQ(0, vol_release(&self->v));
		EXPECT_EQ(LEN, queue_reap(&q, true, &nr));
		singles(&self->v);
	}
	ASSERT_EQ(0, queue_exit(&q));
}

TEST_HARNESS_MAIN
