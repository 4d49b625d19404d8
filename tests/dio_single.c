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

#include "caches.h"
#include "disk.h"
#include "harness.h"
#include "queue.h"
#include "uring.h"

VOL_FIXTURE(dio_single);
FIXTURE_VARIANT_ADD(dio_single, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_single, bs4k) { .conf = SMALL_4K };

/* in one block of pointers with what follows */
#define AT	(320 * KIB)
#define LEN	(16 * KIB)
#define SIZE	(AT + 32 * LEN)
#define HOLE	(SIZE - 4 * LEN)

/* How many requests of one bio there were since the last call, that were waited for or not. */
static long singles_of(struct vol *v, bool sync)
{
	static uint64_t before[2];
	struct counters c = {};
	uint64_t now;
	long more;

	if (vol_counters(v, &c))
		return -1;
	now = sync ? c.sync_single : c.async_single;
	more = now - before[sync];
	before[sync] = now;
	return more;
}

static long singles(struct vol *v)
{
	return singles_of(v, false);
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
	singles_of(v, true);
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

/* The same for whom it is done at once. */
static ssize_t do_sync(bool write, int fd, void *buf, size_t len, off_t off, int flags)
{
	struct iovec iov = { buf, len };
	ssize_t n = write ? pwritev2(fd, &iov, 1, off, flags) : preadv2(fd, &iov, 1, off, flags);

	return n < 0 ? -errno : n;
}

#define EXPECT_SYNC(single, result, ...) do { \
	EXPECT_EQ(result, do_sync(__VA_ARGS__)); \
	EXPECT_EQ(single, singles_of(&self->v, true)); \
} while (0)

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

	/* blocks that are not in the cache of runs, a long one */
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

/* How a request to memory that is registered with a ring ends. */
static int do_fixed(struct uring *u, bool write, int fd, void *buf, size_t len, off_t off)
{
	uint64_t data;
	int err = uring_submit_fixed(u, write, fd, 0, buf, len, off, 0), res;

	if (!err)
		err = uring_reap(u, true, &data, &res);
	return err < 0 ? err : res;
}

/* Memory that nobody pins for the request, as it is there until that is complete: it is lent to the bio. */
TEST_F(dio_single, memory_of_a_ring)
{
	char *buf = buf_alloc(LEN), *back = buf_alloc(LEN);
	struct iovec iov = { buf, LEN };
	struct vol_map map;
	struct uring u;
	uint64_t data;
	int fd, res;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	if (uring_setup(&u, 4))
		SKIP(return, "a kernel without io_uring");
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_register(&u, &iov, 1));
	EXPECT_EQ(LEN, do_fixed(&u, false, fd, buf, LEN, AT));
	EXPECT_EQ(1, singles(&self->v));
	EXPECT_PATTERN(buf, LEN, AT, 1);
	pattern_fill(buf, LEN, AT, 2);
	EXPECT_EQ(LEN, do_fixed(&u, true, fd, buf, LEN, AT));
	EXPECT_EQ(512, do_fixed(&u, false, fd, buf + 1024, 512, AT + LEN));
	EXPECT_EQ(2, singles(&self->v));
	EXPECT_PATTERN(buf + 1024, 512, AT + LEN, 1);
	ASSERT_EQ(LEN, pread(fd, back, LEN, AT));
	EXPECT_PATTERN(back, LEN, AT, 2);
	/* while it is in flight, and when it fails */
	ASSERT_EQ(0, vol_hold(&self->v));
	ASSERT_EQ(0, uring_submit_fixed(&u, false, fd, 0, buf, LEN, AT, 7));
	EXPECT_EQ(0, uring_reap(&u, false, &data, &res));
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(1, uring_reap(&u, true, &data, &res));
	EXPECT_EQ(LEN, res);
	EXPECT_PATTERN(buf, LEN, AT, 2);
	/* once without waiting for room in the queue, and if there is none, again */
	EXPECT_LT(0, singles(&self->v));
	ASSERT_EQ(0, vol_find(&self->v, AT, LEN, 2, &map));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-EIO, do_fixed(&u, false, fd, buf, LEN, AT));
	EXPECT_EQ(-EIO, do_fixed(&u, true, fd, buf, LEN, AT));
	EXPECT_EQ(2, singles(&self->v));
	ASSERT_EQ(0, vol_unroute(&self->v));
	uring_exit(&u);
	close(fd);
}

/* The same of those that are waited for. */
TEST_F(dio_single, which_they_are_sync)
{
	char *buf = buf_alloc(128 * KIB), *back = buf_alloc(LEN);
	struct counters c0 = {}, c1 = {};
	int fd, cached;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_SYNC(1, LEN, false, fd, buf, LEN, AT, 0);
	EXPECT_PATTERN(buf, LEN, AT, 1);
	pattern_fill(buf, LEN, AT, 2);
	EXPECT_SYNC(1, LEN, true, fd, buf, LEN, AT, 0);
	EXPECT_SYNC(1, 512, false, fd, back, 512, AT + 512, 0);
	EXPECT_PATTERN(back, 512, AT + 512, 2);
	/* the position moves */
	ASSERT_EQ(AT, lseek(fd, AT, SEEK_SET));
	EXPECT_EQ(LEN, read(fd, back, LEN));
	EXPECT_EQ(AT + LEN, lseek(fd, 0, SEEK_CUR));
	EXPECT_PATTERN(back, LEN, AT, 2);
	pattern_fill(buf, LEN, AT + LEN, 2);
	EXPECT_EQ(LEN, write(fd, buf, LEN));
	EXPECT_EQ(AT + 2 * LEN, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(2, singles_of(&self->v, true));
	/* they count as others do */
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.requests_read + 3, c1.requests_read);
	EXPECT_EQ(c0.requests_write + 2, c1.requests_write);
	EXPECT_EQ(c0.async, c1.async);
	EXPECT_EQ(c0.retries, c1.retries);

	/* must not wait, blocks that are not in the cache of runs, a long one */
	EXPECT_SYNC(0, LEN, false, fd, buf, LEN, AT, RWF_NOWAIT);
	EXPECT_SYNC(0, LEN, true, fd, buf, LEN, AT, RWF_NOWAIT);
	EXPECT_SYNC(0, LEN, false, fd, buf, LEN, 0, 0);
	EXPECT_SYNC(0, 128 * KIB, false, fd, buf, 128 * KIB, AT, 0);
	/* past EOF, and a hole */
	EXPECT_SYNC(0, 512, false, fd, buf, LEN, SIZE - 512, 0);
	EXPECT_SYNC(0, LEN, false, fd, buf, LEN, HOLE, 0);
	pattern_fill(buf, LEN, HOLE, 2);
	EXPECT_SYNC(0, LEN, true, fd, buf, LEN, HOLE, 0);
	/* misaligned, and no memory */
	EXPECT_SYNC(0, -EINVAL, false, fd, buf, LEN, AT + 1, 0);
	EXPECT_SYNC(0, -EFAULT, false, fd, NULL, LEN, AT, 0);
	/* to be synced, and all of it */
	pattern_fill(buf, LEN, AT, 4);
	EXPECT_SYNC(0, LEN, true, fd, buf, LEN, AT, RWF_SYNC);
	/* pages, and what was read there is not what is there later */
	cached = open_cached();
	ASSERT_EQ(LEN, pread(cached, back, LEN, AT));
	EXPECT_SYNC(0, LEN, false, fd, buf, LEN, AT, 0);
	pattern_fill(buf, LEN, AT, 5);
	EXPECT_SYNC(0, LEN, true, fd, buf, LEN, AT, 0);
	ASSERT_EQ(LEN, pread(cached, back, LEN, AT));
	EXPECT_PATTERN(back, LEN, AT, 5);
	/* memory that must not change, of a write */
	ASSERT_EQ(0, stable_writes(self->v.dev, true));
	EXPECT_SYNC(0, LEN, true, fd, buf, LEN, AT + LEN, 0);
	EXPECT_SYNC(1, LEN, false, fd, buf, LEN, AT + LEN, 0);
	ASSERT_EQ(0, stable_writes(self->v.dev, false));
}

/* A block of the file below a block of pointers with several runs: the @i-th that is a run by itself. */
static off_t lone(struct vol *v, int i)
{
	return AT + 4 * i * v->bs;
}

/*
 * Several runs below one block of pointers, in any order: the block is in memory. If that is taken away, the long
 * run is still known, which was not given up for those that are no longer than what was asked for.
 */
TEST_F(dio_single, several_runs)
{
	enum { MANY = 8 };
	const size_t bs = self->v.bs;
	const off_t run = lone(&self->v, MANY);
	char *buf = buf_alloc(LEN);
	int fd, i, round;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, run + LEN));
	close(fd);
	for (i = 0; i < MANY; i++)
		ASSERT_EQ(0, vol_prefill("f", lone(&self->v, i), bs, 1));
	ASSERT_EQ(0, vol_prefill("f", run, LEN, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	/* that there are no set-id bits, and the long run */
	ASSERT_EQ(bs, pread(fd, buf, bs, lone(&self->v, 0)));
	ASSERT_EQ(bs, pwrite(fd, buf, bs, lone(&self->v, 0)));
	ASSERT_EQ(LEN, pread(fd, buf, LEN, run));
	EXPECT_PATTERN(buf, LEN, run, 1);
	singles(&self->v);
	for (round = 0; round < 2; round++) {
		for (i = MANY - 1; i >= 0; i--) {
			EXPECT_AIO(1, bs, false, fd, buf, bs, lone(&self->v, i), 0);
			EXPECT_PATTERN(buf, bs, lone(&self->v, i), 1 + round);
			pattern_fill(buf, bs, lone(&self->v, i), 2 + round);
			EXPECT_AIO(1, bs, true, fd, buf, bs, lone(&self->v, i), i & 1 ? RWF_NOWAIT : 0);
		}
		/* more than the run has, and a hole */
		EXPECT_AIO(0, 2 * bs, false, fd, buf, 2 * bs, lone(&self->v, 1), 0);
		EXPECT_PATTERN(buf, bs, lone(&self->v, 1), 2 + round);
		EXPECT_ZERO(buf + bs, bs, lone(&self->v, 1) + bs);
		EXPECT_AIO(0, bs, false, fd, buf, bs, lone(&self->v, 1) + bs, 0);
		EXPECT_ZERO(buf, bs, lone(&self->v, 1) + bs);
		EXPECT_AIO(1, LEN, false, fd, buf, LEN, run, 0);
		EXPECT_PATTERN(buf, LEN, run, 1);
	}
	EXPECT_AIO(1, bs, false, fd, buf, bs, lone(&self->v, 2), 0);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, forget_pages());
	/* four are known without it: the long one, and of the others those that came as there was room */
	EXPECT_AIO(1, LEN, false, fd, buf, LEN, run, 0);
	EXPECT_AIO(1, bs, false, fd, buf, bs, lone(&self->v, 0), 0);
	EXPECT_AIO(1, bs, false, fd, buf, bs, lone(&self->v, MANY - 1), 0);
	EXPECT_AIO(1, bs, false, fd, buf, bs, lone(&self->v, MANY - 2), 0);
	EXPECT_AIO(0, bs, false, fd, buf, bs, lone(&self->v, 3), 0);
	EXPECT_PATTERN(buf, bs, lone(&self->v, 3), 3);
	EXPECT_AIO(1, bs, false, fd, buf, bs, lone(&self->v, 4), 0);
	EXPECT_PATTERN(buf, bs, lone(&self->v, 4), 3);
	/* nothing is known of what was cut off */
	ASSERT_EQ(0, ftruncate(fd, AT));
	ASSERT_EQ(0, ftruncate(fd, run + LEN));
	EXPECT_AIO(0, bs, false, fd, buf, bs, lone(&self->v, 4), 0);
	EXPECT_ZERO(buf, bs, lone(&self->v, 4));
	close(fd);
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
	singles_of(&self->v, true);
	EXPECT_SYNC(0, LEN - 512, false, fd, buf, LEN, AT, 0);
	EXPECT_PATTERN(buf, LEN - 512, AT, 1);
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
		EXPECT_SYNC(i, -EIO, false, fd, buf, LEN, i * AT, 0);
		EXPECT_SYNC(i, -EIO, true, fd, buf, LEN, i * AT, 0);
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

/* R11 and R12: who waits for a write has the inode lock until its end, and who waits for a read has not. */
TEST_F(dio_single, meanwhile_sync)
{
	char *buf = buf_alloc(LEN), *back = buf_alloc(LEN), *other = buf_alloc(LEN);
	struct task writer, reader, extend;
	struct vol_map data;
	int fd, cached;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	fd = make(&self->v);
	cached = open_cached();
	ASSERT_LE(0, fd);
	/* a write; others of its kind pass, and one that needs the lock for itself does not */
	ASSERT_EQ(0, vol_find(&self->v, AT, LEN, 1, &data));
	ASSERT_EQ(0, vol_route(&self->v, &data));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, LEN, AT, 2);
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &(struct io_op){ fd, buf, LEN, AT }));
	EXPECT_BLOCKED(&writer);
	EXPECT_EQ(1, singles_of(&self->v, true));
	EXPECT_SYNC(1, LEN, false, fd, back, LEN, AT + LEN, 0);
	pattern_fill(other, LEN, SIZE, 2);
	ASSERT_EQ(0, task_start(&extend, op_pwrite, &(struct io_op){ fd, other, LEN, SIZE }));
	EXPECT_BLOCKED(&extend);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(LEN, task_join(&writer, JOIN_SECONDS));
	EXPECT_EQ(LEN, task_join(&extend, JOIN_SECONDS));
	/* a read */
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&reader, op_pread, &(struct io_op){ fd, back, LEN, AT }));
	EXPECT_BLOCKED(&reader);
	EXPECT_EQ(1, singles_of(&self->v, true));
	pattern_fill(other, LEN, SIZE + LEN, 2);
	ASSERT_EQ(0, task_start(&extend, op_pwrite, &(struct io_op){ fd, other, LEN, SIZE + LEN }));
	ASSERT_DONE(&extend);
	EXPECT_EQ(LEN, task_join(&extend, JOIN_SECONDS));
	/* but its blocks stay */
	ASSERT_EQ(0, task_start(&extend, op_ftruncate, &(struct io_op){ .fd = cached, .off = AT }));
	EXPECT_BLOCKED(&extend);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(LEN, task_join(&reader, JOIN_SECONDS));
	EXPECT_PATTERN(back, LEN, AT, 2);
	EXPECT_EQ(0, task_join(&extend, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* a page that comes while a write is in flight does not stay */
	close(cached);
	close(fd);
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, LEN, AT, 3);
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &(struct io_op){ fd, buf, LEN, AT }));
	EXPECT_BLOCKED(&writer);
	EXPECT_EQ(1, singles_of(&self->v, true));
	cached = open_cached();
	ASSERT_EQ(LEN, pread(cached, back, LEN, AT));
	EXPECT_PATTERN(back, LEN, AT, 1);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(LEN, task_join(&writer, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(LEN, pread(cached, back, LEN, AT));
	EXPECT_PATTERN(back, LEN, AT, 3);
	close(cached);
	close(fd);
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
