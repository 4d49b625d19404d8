// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that fail on the device. Whatever is returned, i_size never covers a
 * byte that was not written, no block stays beyond EOF, and the volume is
 * clean afterwards. What is returned is what counts, to the byte: up to the lowest
 * bio that failed.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "blocks.h"
#include "caches.h"
#include "ext2.h"
#include "harness.h"
#include "uring.h"

VOL_FIXTURE(dio_errors);
FIXTURE_VARIANT_ADD(dio_errors, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_errors, bs4k) { .conf = SMALL_4K };
FIXTURE_VARIANT_ADD(dio_errors, async_alloc) { .conf = ASYNC_ALLOC_1K };

/* Some sectors of a file in one piece fail: requests of one bio say EIO. */
TEST_F(dio_errors, device_error_in_the_middle)
{
	const off_t bs = self->v.bs, len = 12 * bs, at = 5 * bs;
	char *mem = buf_alloc(2 * len), *buf = mem, *back = mem + len;
	struct counters c0 = {}, c1 = {};
	int fd, nr = way_setup(mem, 2 * len);
	struct vol_map map;
	enum way way;

	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, len, 1, &map));
	ASSERT_EQ(1, map.nr);
	ASSERT_EQ(0, vol_find(&self->v, at, 2 * bs, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	pattern_fill(buf, len, 0, 2);
	for (way = SYNC; way < nr; way++) {
		EXPECT_EQ(-EIO, do_read(way, fd, back, bs, at));
		EXPECT_EQ(-EIO, do_write(way, fd, buf + at, bs, at));
		EXPECT_EQ(-EIO, do_read(way, fd, back, len, 0));
		EXPECT_EQ(-EIO, do_write(way, fd, buf, len, 0));
		/* the neighbours can be read and written as before */
		EXPECT_EQ(at, do_write(way, fd, buf, at, 0));
		EXPECT_EQ(at, do_read(way, fd, back, at, 0));
		EXPECT_PATTERN(back, at, 0, 2);
		pattern_fill(buf, at, 0, 1);
		EXPECT_EQ(at, do_write(way, fd, buf, at, 0));
		pattern_fill(buf, at, 0, 2);
	}
	EXPECT_SIZE_AND_BLOCKS(fd, len, blocks_needed(bs, len), bs);
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* the sectors that failed still hold what they held */
	ASSERT_EQ(2 * bs, do_read(SYNC, fd, back, 2 * bs, at));
	EXPECT_PATTERN(back, 2 * bs, at, 1);
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.sync_error, c1.sync_error);
	}
}

/* Requests of many bios, of which some fail: those before the lowest count. */
TEST_F(dio_errors, counts_up_to_the_lowest_bio)
{
	enum { PIECES = 8, NONE = -1 };
	static const int bad[][2] = { { 5, NONE }, { 6, 3 }, { 7, 1 }, { 0, 4 } };
	const size_t piece = 4 * self->v.bs, len = PIECES * piece;
	char *mem = buf_alloc(2 * len), *buf = mem, *back = mem + len;
	int fd, i, k, nr = way_setup(mem, 2 * len);
	struct vol_map map, one;
	size_t ok;
	ssize_t n;
	enum way way;

	ASSERT_LT(0, nr);
	fd = make_pieces(&self->v, "f", piece, PIECES);
	ASSERT_LE(0, fd);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (map.nr = k = 0, ok = len; k < 2 && bad[i][k] != NONE; k++) {
			ASSERT_EQ(0, vol_find(&self->v, bad[i][k] * piece, piece, 1, &one));
			route_and_fail(&map, &one);
			if (bad[i][k] * piece < ok)
				ok = bad[i][k] * piece;
		}
		ASSERT_EQ(0, vol_fail(&self->v, &map));
		for (way = SYNC; way < nr; way++) {
			memset(back, UNTOUCHED, len);
			n = do_read(way, fd, back, len, 0);
			EXPECT_EQ(count_of(ok ?: -EIO, n), n) TH_LOG("way %d of case %d", way, i);
			EXPECT_PATTERN(back, ok, 0, 1 + way);
			pattern_fill(buf, len, 0, 2 + way);
			n = do_write(way, fd, buf, len, 0);
			EXPECT_EQ(count_of(ok ?: -EIO, n), n) TH_LOG("way %d of case %d", way, i);
			EXPECT_EQ(ok, do_read(way, fd, back, ok, 0));
			EXPECT_PATTERN(back, ok, 0, 2 + way);
			/* past the failing sectors, and up to them, it succeeds */
			EXPECT_EQ(-EIO, do_write(way, fd, buf + ok, piece, ok));
			EXPECT_EQ(-EIO, do_read(way, fd, back + ok, piece, ok));
		}
		EXPECT_SIZE_AND_BLOCKS(fd, len, blocks_needed(self->v.bs, len), self->v.bs);
		ASSERT_EQ(0, vol_unroute(&self->v));
		for (k = 0; k < 2 && bad[i][k] != NONE; k++) {
			ASSERT_EQ(piece, do_read(SYNC, fd, back, piece, bad[i][k] * piece));
			EXPECT_PATTERN(back, piece, bad[i][k] * piece, 1);
		}
		pattern_fill(buf, len, 0, 1);
		ASSERT_EQ(len, do_write(SYNC, fd, buf, len, 0));
	}
}

enum { DEPTH = 16 };

/*
 * Many requests, reads and writes by turns, while everything is held; those of the
 * second half of the file are to fail. The number of each comes back with its event.
 */
static int submit_all(enum way way, struct uring *ring, aio_context_t ctx, int fd, char *buf,
		      char *back, size_t one)
{
	static struct iocb cb[DEPTH], *list[DEPTH];
	int i, err = 0;

	for (i = 0; i < DEPTH && !err; i++) {
		const int k = i * 5 % DEPTH;
		const off_t pos = k * one;
		const struct iovec iov = { (i & 1 ? buf : back) + pos, one };

		switch (way) {
		case URING:
			err = uring_submit(ring, i & 1, fd, &iov, 1, pos, 0, k);
			break;
		case FIXED:
			err = uring_submit_fixed(ring, i & 1, fd, 0, iov.iov_base, one, pos, k);
			break;
		default:
			list[i] = &cb[i];
			if (i & 1)
				aio_prep_write(&cb[i], fd, iov.iov_base, one, pos);
			else
				aio_prep_read(&cb[i], fd, iov.iov_base, one, pos);
			cb[i].aio_data = k;
		}
	}
	if (way == ASYNC) {
		err = aio_submit(ctx, DEPTH, list);
		err = err == DEPTH ? 0 : err < 0 ? err : -EAGAIN;
	}
	return err;
}

/* The next event there is, or that comes: 1, 0 if there is none, or -errno. */
static int next_event(enum way way, struct uring *ring, aio_context_t ctx, bool wait, uint64_t *k,
		      int *res)
{
	struct io_event ev = {};
	int n;

	if (way != ASYNC)
		return uring_reap(ring, wait, k, res);
	n = aio_events(ctx, wait, 1, &ev, wait ? JOIN_SECONDS * 1000 : 0);
	*k = ev.data;
	*res = ev.res;
	return n;
}

/* Held, async, many requests; then the device fails half of them: each ends once. */
TEST_F(dio_errors, every_event_of_a_failing_queue)
{
	const off_t bs = self->v.bs, one = 4 * bs, len = DEPTH * one;
	char *mem = buf_alloc(2 * len), *buf = mem, *back = mem + len;
	struct iovec all = { mem, 2 * len };
	int fd, i, nr = way_setup(mem, bs);
	struct uring ring = {};
	aio_context_t ctx;
	struct vol_map map;
	enum way way;

	ASSERT_LT(0, nr);
	if (nr > URING) {
		ASSERT_EQ(0, uring_setup(&ring, DEPTH));
		ASSERT_EQ(0, uring_register(&ring, &all, 1));
	}
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, len / 2, len / 2, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	ASSERT_EQ(0, aio_setup(DEPTH, &ctx));
	pattern_fill(buf, len, 0, 2);
	for (way = ASYNC; way < nr; way++) {
		bool seen[DEPTH] = {};
		uint64_t k;
		int res;

		ASSERT_EQ(0, vol_hold(&self->v));
		ASSERT_EQ(0, submit_all(way, &ring, ctx, fd, buf, back, one));
		ASSERT_EQ(0, next_event(way, &ring, ctx, false, &k, &res));
		ASSERT_EQ(0, vol_release(&self->v));
		for (i = 0; i < DEPTH; i++) {
			ASSERT_EQ(1, next_event(way, &ring, ctx, true, &k, &res));
			ASSERT_GT(DEPTH, k);
			ASSERT_FALSE(seen[k]);
			seen[k] = true;
			EXPECT_EQ(k >= DEPTH / 2 ? -EIO : one, res);
		}
		EXPECT_EQ(0, next_event(way, &ring, ctx, false, &k, &res));
	}
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* The whole device fails while a file is being extended. */
TEST_F(dio_errors, extend_on_a_failing_device)
{
	const off_t bs = self->v.bs, old = 5 * bs, len = 40 * bs;
	char *mem = buf_alloc(3 * len), *buf = mem, *back = mem + len;
	int fd, nr = way_setup(mem, 3 * len);
	long before;
	enum way way;

	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	/* so that the pointers and bitmaps that are needed are in memory */
	ASSERT_EQ(0, vol_prefill("g", 0, old + len, 9));
	ASSERT_EQ(0, unlink(vol_path("g")));
	ASSERT_EQ(0, ext2_poison_free(&self->v));
	before = free_blocks();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, old, 2);
	for (way = SYNC; way < nr; way++) {
		ASSERT_EQ(0, vol_fail(&self->v, NULL));
		EXPECT_EQ(-EIO, do_write(way, fd, buf, len, old));
		EXPECT_SIZE_AND_BLOCKS(fd, old, blocks_needed(bs, old), bs);
		EXPECT_EQ(before, free_blocks());
		ASSERT_EQ(0, vol_unroute(&self->v));
		ASSERT_EQ(old, do_read(way, fd, back, 2 * len, 0));
		EXPECT_PATTERN(back, old, 0, 1);
		/* growing it now must not bring the lost blocks to light */
		ASSERT_EQ(0, ftruncate(fd, old + len));
		ASSERT_EQ(old + len, do_read(way, fd, back, 2 * len, 0));
		EXPECT_ZERO(back + old, len, old);
		ASSERT_EQ(0, ftruncate(fd, old));
	}
	/* and when the device is well again, the same request succeeds */
	ASSERT_EQ(len, do_write(ASYNC, fd, buf, len, old));
	ASSERT_EQ(old + len, do_read(SYNC, fd, back, 2 * len, 0));
	EXPECT_PATTERN(back, old, 0, 1);
	EXPECT_PATTERN(back + old, len, old, 2);
}

/* The same with a part of a block, which begins before what is written: it does not stay in the file. */
TEST_F(dio_errors, part_of_a_new_block_that_fails)
{
	enum { SECTOR = 512 };
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(SECTOR);
	int fd, nr = way_setup(buf, SECTOR);
	long before;
	enum way way;

	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	before = free_blocks();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, SECTOR, bs + SECTOR, 2);
	for (way = SYNC; way < nr; way++) {
		ASSERT_EQ(0, vol_fail(&self->v, NULL));
		EXPECT_EQ(-EIO, do_write(way, fd, buf, SECTOR, bs + SECTOR));
		EXPECT_SIZE_AND_BLOCKS(fd, bs, 1, bs);
		EXPECT_EQ(before, free_blocks());
		ASSERT_EQ(0, vol_unroute(&self->v));
	}
}

/*
 * An extend of which the first part reaches the device and the second does not.
 * Where the blocks will be is learnt by letting it happen once before. There are
 * two pieces: the direct blocks, and those after them.
 */
TEST_F(dio_errors, extend_that_fails_in_the_middle)
{
	const off_t bs = self->v.bs, first = 12 * bs, len = 20 * bs;
	const off_t bad[] = { 4 * bs, 15 * bs };
	char *mem = buf_alloc(3 * len), *buf = mem, *back = mem + len;
	int fd, i, nr = way_setup(mem, 3 * len);
	struct vol_map map;
	ssize_t n;

	ASSERT_LT(0, nr);
	for (i = 0; i < nr * ARRAY_SIZE(bad); i++) {
		const enum way way = i % nr;
		const off_t at = bad[i / nr], ok = at < first ? 0 : first;
		/* to free the block of pointers again takes the inode lock, which a retry has not */
		const long most = env_async_alloc() && way != SYNC;
		long before, kept;

		fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		pattern_fill(buf, len, 0, 10 + i);
		ASSERT_EQ(len, do_write(way, fd, buf, len, 0));
		ASSERT_EQ(0, vol_find(&self->v, at, bs, 10 + i, &map));
		ASSERT_EQ(0, ftruncate(fd, 0));
		close(fd);
		/* what is left there is of another generation than what is looked for */
		ASSERT_EQ(0, unlink(vol_path("f")));
		/* so that these blocks are used again */
		vol_sync();

		fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		before = free_blocks();
		ASSERT_EQ(0, vol_fail(&self->v, &map));
		pattern_fill(buf, len, 0, 30 + i);
		n = do_write(way, fd, buf, len, 0);
		if (n == len && !env_is_retryfs())
			SKIP(return, "the blocks were allocated elsewhere");
		EXPECT_EQ(count_of(ok ?: -EIO, n), n) TH_LOG("way %d, fails at %lld", way, (long long)at);
		if (n < 0)
			n = 0;
		kept = before - blocks_needed(bs, n) - free_blocks();
		EXPECT_LE(0, kept);
		EXPECT_GE(most, kept);
		EXPECT_SIZE_AND_BLOCKS(fd, n, blocks_needed(bs, n) + kept, bs);
		ASSERT_EQ(0, vol_unroute(&self->v));
		ASSERT_EQ(n, do_read(way, fd, back, 2 * len, 0));
		EXPECT_PATTERN(back, n, 0, 30 + i);
		ASSERT_EQ(0, ftruncate(fd, len));
		ASSERT_EQ(len, do_read(way, fd, back, 2 * len, 0));
		EXPECT_ZERO(back + n, len - n, n);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
		vol_sync();
	}
}

/* A hole is filled while the device fails: the hole, or the data, no poison. */
TEST_F(dio_errors, hole_on_a_failing_device)
{
	const off_t bs = self->v.bs, at = 4 * bs, len = 4 * bs, size = 12 * bs;
	char *buf = buf_alloc(size), *back = buf_alloc(size);
	int fd, nr = way_setup(buf, size);
	enum way way;

	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), size));
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (way = SYNC; way < nr; way++) {
		off_t pos;

		pattern_fill(buf, len, at, 2 + way);
		ASSERT_EQ(0, vol_fail(&self->v, NULL));
		EXPECT_EQ(-EIO, do_write(way, fd, buf, len, at));
		ASSERT_EQ(0, vol_unroute(&self->v));
		ASSERT_EQ(size, pread(fd, back, size, 0));
		EXPECT_PATTERN(back, bs, 0, 1);
		/*
		 * The page cache says what buffered writes that fail say: each
		 * block is a hole, or has been written; it is never what was
		 * on the disk before.
		 */
		for (pos = at; pos < at + len; pos += bs)
			EXPECT_FALSE(has_poison(back + pos, bs))
				TH_LOG("poison at %lld", (long long)pos);
		EXPECT_ZERO(back + bs, at - bs, bs);
		EXPECT_ZERO(back + at + len, size - at - len, at + len);
	}
}

/*
 * What follows a hole goes through the page cache as well, to blocks of which
 * one fails and one is held. Whoever syncs another part of the file meanwhile is
 * told of the failure, and the kernel's flag of it is cleared: the write must not
 * count that data as written all the same.
 */
TEST_F(dio_errors, hole_then_error_that_another_is_told)
{
	const size_t page = 4096, len = 3 * page;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct vol_map bad, held;
	struct task writer;
	struct io_op wr;
	int fd, other;
	ssize_t n;

	if (env_async_alloc())
		SKIP(return, "the page cache does not fill the hole");
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	/* a hole, and two pages, the second of which was there first: that takes two bios */
	pattern_fill(buf, len, 0, 1);
	ASSERT_EQ(page, pwrite(fd, buf + 2 * page, page, 2 * page));
	ASSERT_EQ(page, pwrite(fd, buf + page, page, page));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, page, page, 1, &bad));
	ASSERT_EQ(0, vol_find(&self->v, 2 * page, page, 1, &held));
	ASSERT_NE(bad.e[0].sector + page / 512, held.e[0].sector);
	route_and_fail(&held, &bad);
	other = vol_open("f", O_RDWR);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, vol_route(&self->v, &held));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, len, 0, 2);
	wr = (struct io_op){ .fd = fd, .buf = buf, .len = len };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	EXPECT_TRUE(task_settles(&writer, TASK_BLOCKED));
	EXPECT_EQ(-1, sync_file_range(other, MIB, page, SYNC_FILE_RANGE_WAIT_BEFORE));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, sync_file_range(other, MIB, page, SYNC_FILE_RANGE_WAIT_BEFORE));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	n = task_join(&writer, JOIN_SECONDS);
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* the part in the hole is on the device, and counts */
	EXPECT_EQ(count_of(page, n), n);
	ASSERT_EQ(len, pread(fd, back, len, 0));
	if (n > 0)
		EXPECT_PATTERN(back, n, 0, 2);

	/* an error that was not reported yet is still to be reported, and no other */
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, fsync(other));
}

/* An error of writeback is not reported yet: the fallback, which looks for one, keeps it so. */
TEST_F(dio_errors, error_is_told_after_a_fallback)
{
	const size_t page = 4096;
	char *buf = buf_alloc(page), *back = buf_alloc(page);
	struct vol_map map;
	int fd, cached, later;

	ASSERT_EQ(0, vol_prefill("f", 0, page, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), 4 * page));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, page, 1, &map));
	cached = vol_open("f", O_RDWR);
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, cached);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	pattern_fill(buf, page, 0, 2);
	ASSERT_EQ(page, pwrite(cached, buf, page, 0));
	vol_sync();
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* AS_EIO fails the first caller that looks at it: that must not be the write */
	pread(fd, back, page, 3 * page);

	pattern_fill(buf, page, 2 * page, 3);
	ASSERT_EQ(page, pwrite(fd, buf, page, 2 * page));
	ASSERT_EQ(page, pread(fd, back, page, 2 * page));
	EXPECT_PATTERN(back, page, 2 * page, 3);
	later = vol_open("f", O_RDWR);
	ASSERT_LE(0, later);
	EXPECT_EQ(-1, fsync(cached));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, fsync(cached));
	EXPECT_EQ(-1, fsync(later));
	EXPECT_EQ(0, fsync(later));
}

/*
 * Metadata cannot be written for a while. What was not written is still known: it
 * is not read again, older, from the device when that is well.
 */
TEST_F(dio_errors, metadata_that_could_not_be_written)
{
	const size_t len = 20 * self->v.bs;
	char *back = buf_alloc(len);
	int fd;

	ASSERT_EQ(0, vol_prefill("a", 0, len, 1));
	vol_sync();
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	fd = vol_open("b", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(-1, syncfs(fd));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_prefill("c", 0, len, 3));
	EXPECT_EQ(0, fsync(fd));
	close(fd);
	fd = vol_open("c", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	/* reported once */
	syncfs(fd);
	EXPECT_EQ(0, syncfs(fd));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 3);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(0, access(vol_path("b"), F_OK));
}

/*
 * An inode that somebody else's sync could not write: the next fsync of the file
 * says so, once.
 */
TEST_F(dio_errors, inode_that_could_not_be_written)
{
	char name[16];
	int i, fd;

	/* far from what stays in the cache of the device */
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		close(vol_open(name, O_CREAT | O_RDWR));
	}
	fd = vol_open(name, O_RDWR);
	ASSERT_LE(0, fd);
	vol_sync();
	ASSERT_EQ(0, forget_pages());
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	ASSERT_EQ(0, fchmod(fd, 0600));
	vol_sync();
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(0, fchmod(fd, 0640));
	EXPECT_EQ(0, fsync(fd));
	close(fd);
}

/* Limits and modes that refuse a direct write before it starts. */
TEST_F(dio_errors, refused)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(64 * KIB);
	int fd, rfd, nr = way_setup(buf, 64 * KIB);
	enum way way;

	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	rfd = vol_open("f", O_RDONLY | O_DIRECT);
	fd = vol_open("f", O_WRONLY | O_DIRECT);
	ASSERT_LE(0, rfd);
	ASSERT_LE(0, fd);
	for (way = SYNC; way < nr; way++) {
		EXPECT_EQ(-EBADF, do_write(way, rfd, buf, bs, 0));
		EXPECT_EQ(-EBADF, do_read(way, fd, buf, bs, 0));
		EXPECT_EQ(-EINVAL, do_write(way, fd, buf, bs, -4096));
		EXPECT_EQ(-EFBIG, do_write(way, fd, buf, bs, 1ULL << 45));
	}
	EXPECT_SIZE_AND_BLOCKS(fd, bs, 1, bs);
}

TEST_HARNESS_MAIN
