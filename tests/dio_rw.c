// SPDX-License-Identifier: GPL-2.0
/*
 * Direct reads and writes as a user sees them: sizes, offsets, EOF, holes, flags,
 * and many at once.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "blocks.h"
#include "ext2.h"
#include "harness.h"

VOL_FIXTURE(dio_rw);
FIXTURE_VARIANT_ADD(dio_rw, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_rw, bs2k) { .conf = VOL_2K };
FIXTURE_VARIANT_ADD(dio_rw, bs4k) { .conf = VOL_4K };

static void sizes(struct __test_metadata *_metadata, struct vol *v, enum way way)
{
	static const size_t size[] = {
		512, 1024, 1536, 2048, 4096, 4608, 64 * KIB, 1 * MIB + 512, 8 * MIB,
	};
	const off_t bs = v->bs;
	const size_t max = 8 * MIB;
	char *buf = buf_alloc(max + 4096), *back = buf_alloc(max + 4096);
	off_t pos = 0;
	size_t i;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	/* extend, each piece at the end of the one before, whatever its size */
	for (i = 0; i < ARRAY_SIZE(size); i++) {
		struct stat st;

		pattern_fill(buf, size[i], pos, 1);
		ASSERT_EQ(size[i], do_write(way, fd, buf, size[i], pos))
			TH_LOG("%zu bytes at %lld", size[i], (long long)pos);
		ASSERT_EQ(0, fstat(fd, &st));
		ASSERT_EQ(pos + size[i], st.st_size);
		ASSERT_EQ(size[i], do_read(way, fd, back, size[i], pos));
		ASSERT_PATTERN(back, size[i], pos, 1);
		pos += size[i];
	}
	/* overwrite each and see that the neighbours stay */
	for (pos = 0, i = 0; i < ARRAY_SIZE(size); i++) {
		size_t before = pos > 1024 ? 1024 : pos;
		size_t after = i + 1 < ARRAY_SIZE(size) ? 512 : 0;

		pattern_fill(buf, size[i], pos, 2);
		ASSERT_EQ(size[i], do_write(way, fd, buf, size[i], pos));
		ASSERT_EQ(before + size[i] + after,
			  do_read(way, fd, back, before + size[i] + after, pos - before));
		ASSERT_PATTERN(back, before, pos - before, 2);
		ASSERT_PATTERN(back + before, size[i], pos, 2);
		ASSERT_PATTERN(back + before + size[i], after, pos + size[i], 1);
		pos += size[i];
	}
	close(fd);
	ASSERT_EQ(0, vol_remount(v));
	/* now by another reader, who has to take it from the disk */
	for (pos = 0, i = 0; i < ARRAY_SIZE(size); i++) {
		ASSERT_EQ(size[i], vol_read("f", 0, back, size[i], pos));
		ASSERT_PATTERN(back, size[i], pos, 2);
		pos += size[i];
	}
	EXPECT_EQ(0, vol_read("f", 0, back, bs, pos));
}

TEST_F(dio_rw, sizes_sync)
{
	sizes(_metadata, &self->v, SYNC);
}

TEST_F(dio_rw, sizes_async)
{
	sizes(_metadata, &self->v, ASYNC);
}

/* 512 bytes in the middle of a block, of an old one and of a new one. */
TEST_F(dio_rw, sub_block)
{
	const off_t bs = self->v.bs, len = 16 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	enum way way;
	int fd;

	for (way = SYNC; way <= ASYNC; way++) {
		off_t pos;

		ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
		fd = vol_open("f", O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		for (pos = 512; pos < len; pos += bs) {
			pattern_fill(buf, 512, pos, 2);
			ASSERT_EQ(512, do_write(way, fd, buf, 512, pos));
		}
		close(fd);
		ASSERT_EQ(len, vol_read("f", O_DIRECT, back, len, 0));
		for (pos = 0; pos < len; pos += 512)
			EXPECT_PATTERN(back + pos, 512, pos,
				       pos % bs == 512 % bs ? 2 : 1);
		ASSERT_EQ(0, vol_remount(&self->v));
		ASSERT_EQ(len, vol_read("f", 0, back, len, 0));
		for (pos = 0; pos < len; pos += 512)
			EXPECT_PATTERN(back + pos, 512, pos,
				       pos % bs == 512 % bs ? 2 : 1);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

/*
 * A new block of which 512 bytes are written: the rest of it must be zeros, on
 * the disk and not only in the cache, although the disk held poison there.
 */
TEST_F(dio_rw, sub_block_new)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(64 * KIB), *back = buf_alloc(64 * KIB);
	enum way way;
	int fd;

	for (way = SYNC; way <= ASYNC; way++) {
		off_t pos = bs - 512;
		struct stat st;

		/* extend: the last sector of the first block of an empty file */
		ASSERT_EQ(0, ext2_poison_free(&self->v));
		fd = vol_open("x", O_CREAT | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		pattern_fill(buf, 512, pos, 1);
		ASSERT_EQ(512, do_write(way, fd, buf, 512, pos));
		ASSERT_EQ(bs, do_read(way, fd, back, bs, 0));
		EXPECT_ZERO(back, pos, 0);
		EXPECT_PATTERN(back + pos, 512, pos, 1);

		/* the first sector of a block far beyond EOF: a hole between */
		pos = 8 * bs;
		pattern_fill(buf, 512, pos, 2);
		ASSERT_EQ(512, do_write(way, fd, buf, 512, pos));
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(pos + 512, st.st_size);
		ASSERT_EQ(0, ftruncate(fd, 9 * bs));
		ASSERT_EQ(9 * bs, do_read(way, fd, back, 9 * bs, 0));
		EXPECT_ZERO(back + bs, 7 * bs, bs);
		EXPECT_PATTERN(back + pos, 512, pos, 2);
		EXPECT_ZERO(back + pos + 512, bs - 512, pos + 512);

		/* into the hole */
		pos = 4 * bs + 512;
		pattern_fill(buf, 512, pos, 3);
		ASSERT_EQ(512, do_write(way, fd, buf, 512, pos));
		close(fd);
		ASSERT_EQ(0, vol_remount(&self->v));
		ASSERT_EQ(9 * bs, vol_read("x", 0, back, 10 * bs, 0));
		EXPECT_ZERO(back, bs - 512, 0);
		EXPECT_PATTERN(back + bs - 512, 512, bs - 512, 1);
		EXPECT_ZERO(back + bs, pos - bs, bs);
		EXPECT_PATTERN(back + pos, 512, pos, 3);
		EXPECT_ZERO(back + pos + 512, 8 * bs - pos - 512, pos + 512);
		EXPECT_PATTERN(back + 8 * bs, 512, 8 * bs, 2);
		EXPECT_ZERO(back + 8 * bs + 512, bs - 512, 8 * bs + 512);
		ASSERT_EQ(0, unlink(vol_path("x")));
	}
}

/* An end of file in the middle of a block, passed by a direct write further on. */
TEST_F(dio_rw, extend_over_old_tail)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(64 * KIB), *back = buf_alloc(64 * KIB);
	const off_t tail = 3 * bs + 100;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 8 * bs, 9));
	ASSERT_EQ(0, truncate(vol_path("f"), tail));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, bs, 6 * bs, 2);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, 6 * bs));
	ASSERT_EQ(7 * bs, pread(fd, back, 8 * bs, 0));
	EXPECT_PATTERN(back, tail, 0, 9);
	EXPECT_ZERO(back + tail, 6 * bs - tail, tail);
	EXPECT_PATTERN(back + 6 * bs, bs, 6 * bs, 2);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(7 * bs, vol_read("f", 0, back, 8 * bs, 0));
	EXPECT_PATTERN(back, tail, 0, 9);
	EXPECT_ZERO(back + tail, 6 * bs - tail, tail);
}

/* R13: what is read ends at EOF, wherever in a block that is. */
TEST_F(dio_rw, read_at_eof)
{
	static const off_t tails[] = { 1, 100, 511, 512, 513, 700 };
	char *back = buf_alloc(64 * KIB);
	const off_t bs = self->v.bs;
	enum way way;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tails); i++) {
		const off_t size = 3 * bs + tails[i];
		off_t pos;
		int fd;

		ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
		fd = vol_open("f", O_RDONLY | O_DIRECT);
		ASSERT_LE(0, fd);
		for (way = SYNC; way <= ASYNC; way++) {
			memset(back, 0xaa, 64 * KIB);
			ASSERT_EQ(size, do_read(way, fd, back, 64 * KIB, 0));
			EXPECT_PATTERN(back, size, 0, 1);
			EXPECT_FALSE(has_poison(back, 64 * KIB));
			pos = size & ~511UL;
			ASSERT_EQ(size - pos, do_read(way, fd, back, 512, pos));
			EXPECT_PATTERN(back, size - pos, pos, 1);
			EXPECT_EQ(0, do_read(way, fd, back, 4096, pos + 512));
			EXPECT_EQ(0, do_read(way, fd, back, 4096, pos + 64 * KIB));
			/* up to a sector before EOF: all of it */
			ASSERT_EQ(2 * bs, do_read(way, fd, back, 2 * bs, bs));
			EXPECT_PATTERN(back, 2 * bs, bs, 1);
		}
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

TEST_F(dio_rw, read_holes)
{
	const off_t bs = self->v.bs, size = 2 * MIB;
	char *back = buf_alloc(size);
	off_t pos;
	int fd, bfd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, size - 300));
	memset(back, 0xaa, size);
	ASSERT_EQ(size - 300, pread(fd, back, size, 0));
	EXPECT_ZERO(back, size - 300, 0);
	/* blocks in the hole, by buffered writes: 3 data, 5 hole, ... */
	bfd = vol_open("f", O_WRONLY);
	ASSERT_LE(0, bfd);
	for (pos = 3 * bs; pos + 3 * bs < size; pos += 8 * bs) {
		pattern_fill(back, 3 * bs, pos, 1);
		ASSERT_EQ(3 * bs, pwrite(bfd, back, 3 * bs, pos));
	}
	ASSERT_EQ(0, fsync(bfd));
	close(bfd);
	memset(back, 0xaa, size);
	ASSERT_LE(size - 300, do_read(ASYNC, fd, back, size, 0));
	EXPECT_ZERO(back, 3 * bs, 0);
	for (pos = 3 * bs; pos + 8 * bs < size; pos += 8 * bs) {
		ASSERT_PATTERN(back + pos, 3 * bs, pos, 1);
		EXPECT_ZERO(back + pos + 3 * bs, 5 * bs, pos + 3 * bs);
	}
	/* starting and ending within them, 512 bytes at a time */
	for (pos = 0; pos < 16 * bs; pos += 512) {
		off_t in = (pos / bs) % 8;

		ASSERT_EQ(512, pread(fd, back, 512, pos));
		if (in >= 3 && in < 6)
			ASSERT_PATTERN(back, 512, pos, 1);
		else
			EXPECT_ZERO(back, 512, pos);
	}
}

TEST_F(dio_rw, write_holes)
{
	const off_t bs = self->v.bs, size = 64 * bs;
	char *buf = buf_alloc(size), *back = buf_alloc(size);
	struct counters c0 = {}, c1 = {};
	enum way way;

	for (way = SYNC; way <= ASYNC; way++) {
		int fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ext2_poison_free(&self->v));
		ASSERT_EQ(0, ftruncate(fd, size));
		/* hole; data and hole; hole, data and hole; then it is all data */
		pattern_fill(buf, size, 0, 1);
		ASSERT_EQ(4 * bs, do_write(way, fd, buf + 8 * bs, 4 * bs, 8 * bs));
		pattern_fill(buf, size, 0, 2);
		ASSERT_EQ(4 * bs, do_write(way, fd, buf + 10 * bs, 4 * bs, 10 * bs));
		pattern_fill(buf, size, 0, 3);
		ASSERT_EQ(20 * bs, do_write(way, fd, buf + 4 * bs, 20 * bs, 4 * bs));
		ASSERT_EQ(size, do_read(way, fd, back, size, 0));
		EXPECT_ZERO(back, 4 * bs, 0);
		EXPECT_PATTERN(back + 4 * bs, 20 * bs, 4 * bs, 3);
		EXPECT_ZERO(back + 24 * bs, size - 24 * bs, 24 * bs);
		if (env_is_retryfs())
			ASSERT_EQ(0, vol_counters(&self->v, &c0));
		pattern_fill(buf, size, 0, 4);
		ASSERT_EQ(size, do_write(way, fd, buf, size, 0));
		if (env_is_retryfs()) {
			ASSERT_EQ(0, vol_counters(&self->v, &c1));
			EXPECT_EQ(c0.sync_hole + (way == ASYNC && !env_async_alloc()), c1.sync_hole);
			EXPECT_EQ(c0.buffered_fallback + !env_async_alloc(), c1.buffered_fallback);
		}
		close(fd);
		ASSERT_EQ(0, vol_remount(&self->v));
		ASSERT_EQ(size, vol_read("f", O_DIRECT, back, size, 0));
		EXPECT_PATTERN(back, size, 0, 4);
	}
}

/* Past the last block of every level of indirection, in one request. */
TEST_F(dio_rw, across_levels)
{
	const uint64_t bs = self->v.bs, ptrs = bs / 4;
	const uint64_t border[] = { 12, 12 + ptrs, 12 + ptrs + ptrs * ptrs };
	const size_t len = 8 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	enum way way;
	size_t i;
	int fd;

	for (way = SYNC; way <= ASYNC; way++) {
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		for (i = 0; i < ARRAY_SIZE(border); i++) {
			off_t pos = (border[i] - 4) * bs;

			/* as an extend, and again as an overwrite */
			pattern_fill(buf, len, pos, 1);
			ASSERT_EQ(len, do_write(way, fd, buf, len, pos));
			pattern_fill(buf, len, pos, 2);
			ASSERT_EQ(len, do_write(way, fd, buf, len, pos));
		}
		for (i = 0; i < ARRAY_SIZE(border); i++) {
			off_t pos = (border[i] - 4) * bs;

			ASSERT_EQ(len, do_read(way, fd, back, len, pos));
			EXPECT_PATTERN(back, len, pos, 2);
		}
		close(fd);
		ASSERT_EQ(0, vol_remount(&self->v));
		for (i = 0; i < ARRAY_SIZE(border); i++) {
			off_t pos = (border[i] - 4) * bs;

			ASSERT_EQ(len, vol_read("f", 0, back, len, pos));
			EXPECT_PATTERN(back, len, pos, 2);
		}
	}
}

TEST_F(dio_rw, append)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(64 * KIB), *back = buf_alloc(64 * KIB);
	struct iovec iov = { buf, 2 * bs };
	struct iocb cb;
	struct stat st;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	/* the offset given does not count */
	pattern_fill(buf, 2 * bs, bs, 2);
	ASSERT_EQ(2 * bs, pwritev2(fd, &iov, 1, 0, RWF_APPEND));
	pattern_fill(buf, 2 * bs, 3 * bs, 3);
	aio_prep_write(&cb, fd, buf, 2 * bs, 0);
	cb.aio_rw_flags = RWF_APPEND;
	ASSERT_EQ(2 * bs, aio_do(&cb));
	close(fd);
	fd = vol_open("f", O_RDWR | O_DIRECT | O_APPEND);
	ASSERT_LE(0, fd);
	pattern_fill(buf, bs, 5 * bs, 4);
	ASSERT_EQ(bs, write(fd, buf, bs));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(6 * bs, st.st_size);
	ASSERT_EQ(6 * bs, pread(fd, back, 64 * KIB, 0));
	EXPECT_PATTERN(back, bs, 0, 1);
	EXPECT_PATTERN(back + bs, 2 * bs, bs, 2);
	EXPECT_PATTERN(back + 3 * bs, 2 * bs, 3 * bs, 3);
	EXPECT_PATTERN(back + 5 * bs, bs, 5 * bs, 4);
	/* an end that is not on a sector: appending there cannot be done direct */
	ASSERT_EQ(0, ftruncate(fd, 5 * bs + 100));
	EXPECT_EQ(-1, write(fd, buf, bs));
	EXPECT_EQ(EINVAL, errno);
}

/* After O_DSYNC or RWF_DSYNC returns, the size and the way to the data are there. */
TEST_F(dio_rw, dsync)
{
	const off_t bs = self->v.bs, len = 20 * bs;
	char *buf = buf_alloc(len);
	struct iovec iov = { buf, len };
	struct iocb cb;
	enum { O_FLAG, RW_FLAG, RW_AIO, ROUNDS } i;
	int dir;

	for (i = 0; i < ROUNDS; i++) {
		int fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT |
				  (i == O_FLAG ? O_DSYNC : 0));
		FILE *out;
		ssize_t n;

		ASSERT_LE(0, fd);
		dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
		ASSERT_LE(0, dir);
		ASSERT_EQ(0, fsync(dir));
		close(dir);
		pattern_fill(buf, len, 0, i + 1);
		if (i == RW_AIO) {
			aio_prep_write(&cb, fd, buf, len, 0);
			cb.aio_rw_flags = RWF_DSYNC;
			n = aio_do(&cb);
		} else {
			n = pwritev2(fd, &iov, 1, 0, i == RW_FLAG ? RWF_DSYNC : 0);
		}
		ASSERT_EQ(len, n);
		/* a reader of the device alone, while it is mounted */
		out = vol_cat(&self->v, "f");
		ASSERT_NE(NULL, out);
		memset(buf, 0, len);
		EXPECT_EQ(len, fread(buf, 1, len, out));
		EXPECT_EQ(0, pclose(out));
		EXPECT_PATTERN(buf, len, 0, i + 1);
		close(fd);
	}
}

/* Many at once: every event once, each with its own result. */
TEST_F(dio_rw, queue)
{
	enum { DEPTH = 64, ROUNDS = 4 };
	const size_t len = 8 * KIB;
	struct iocb cb[DEPTH], *list[DEPTH];
	struct io_event ev[DEPTH];
	struct counters c0 = {}, c1 = {};
	char *buf = buf_alloc(DEPTH * len);
	aio_context_t ctx;
	int i, round, fd;

	ASSERT_EQ(0, vol_prefill("f", 0, DEPTH * len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(DEPTH, &ctx));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (round = 0; round < ROUNDS; round++) {
		bool seen[DEPTH] = {};
		int got = 0;

		for (i = 0; i < DEPTH; i++) {
			/* a permutation: neighbours in the file are not in the queue */
			off_t pos = (i * 37 % DEPTH) * len;

			list[i] = &cb[i];
			if (round & 1) {
				aio_prep_read(&cb[i], fd, buf + pos, len, pos);
			} else {
				pattern_fill(buf + pos, len, pos, round + 2);
				aio_prep_write(&cb[i], fd, buf + pos, len, pos);
			}
		}
		if (round & 1)
			memset(buf, 0xaa, DEPTH * len);
		for (i = 0; i < DEPTH;) {
			int n = aio_submit(ctx, DEPTH - i, list + i);

			ASSERT_LT(0, n);
			i += n;
		}
		while (got < DEPTH) {
			int n = aio_events(ctx, 1, DEPTH, ev, -1);

			ASSERT_LT(0, n);
			got += n;
			while (n--) {
				struct iocb *done = (void *)(uintptr_t)ev[n].obj;

				ASSERT_EQ((uintptr_t)done, ev[n].data);
				ASSERT_EQ(len, ev[n].res);
				ASSERT_FALSE(seen[done - cb]);
				seen[done - cb] = true;
			}
		}
		ASSERT_EQ(0, aio_events(ctx, 0, DEPTH, ev, 0));
		if (round & 1)
			ASSERT_PATTERN(buf, DEPTH * len, 0, round + 1);
	}
	ASSERT_EQ(0, aio_destroy(ctx));
	if (!env_is_retryfs())
		return;
	/* none of them had a reason to be waited for */
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.requests_write + ROUNDS / 2 * DEPTH, c1.requests_write);
	EXPECT_EQ(c0.requests_read + ROUNDS / 2 * DEPTH, c1.requests_read);
	EXPECT_EQ(c0.async + ROUNDS * DEPTH, c1.async);
	EXPECT_EQ(c0.sync_extend, c1.sync_extend);
	EXPECT_EQ(c0.sync_hole, c1.sync_hole);
	EXPECT_EQ(c0.sync_error, c1.sync_error);
	EXPECT_EQ(c0.buffered_fallback, c1.buffered_fallback);
	/* all of them fit into few bios; a retry each, or none if it was done */
	EXPECT_GE(c0.retries + ROUNDS * DEPTH, c1.retries);
	EXPECT_LT(c0.retries, c1.retries);
}

struct submission {
	aio_context_t ctx;
	struct iocb cb;
};

static long submit(void *arg)
{
	struct submission *s = arg;

	return aio_submit_one(s->ctx, &s->cb);
}

/* The submitter of an asynchronous read that begins before EOF, and ends behind it, goes on. */
TEST_F(dio_rw, read_over_the_end)
{
	const off_t size = 512, len = 4096;
	struct counters c0 = {}, c1 = {};
	struct submission s = { 0 };
	char *back = buf_alloc(len);
	struct io_event ev;
	struct task task;
	int fd;

	ASSERT_EQ(0, make_held(&self->v, "f", size, size, HELD_READS));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(1, &s.ctx));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	aio_prep_read(&s.cb, fd, back, len, 0);
	ASSERT_EQ(0, task_start(&task, submit, &s));
	ASSERT_DONE(&task);
	EXPECT_EQ(0, aio_events(s.ctx, 0, 1, &ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(1, aio_events(s.ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(size, ev.res);
	EXPECT_PATTERN(back, size, 0, 1);
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.async + 1, c1.async);
		EXPECT_EQ(c0.sync_extend, c1.sync_extend);
	}
	ASSERT_EQ(0, aio_destroy(s.ctx));
}

/* Who waits for a slow device does not hang. */
TEST_F_TIMEOUT(dio_rw, slow_device, 120)
{
	static const char *const hung[] = { "task dio_rw:", "blocked", "for more than", NULL };
	const int patience = 6;
	struct task task;
	struct io_op op = { .buf = buf_alloc(4096), .len = 4096 };
	int kmsg, before;

	if (self->v.bs != 1024)
		SKIP(return, "once is enough: it takes a while");
	if (access("/proc/sys/kernel/hung_task_timeout_secs", F_OK))
		SKIP(return, "a kernel that does not look for tasks that hang");
	kmsg = kmsg_open();
	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, make_held(&self->v, "f", 4096, 4096, HELD_READS));
	op.fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, op.fd);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&task, op_pread, &op));
	ASSERT_BLOCKED(&task);
	before = hung_task_seconds(patience);
	/* it is seen first, and one patience later seen again, at a time that is not known */
	sleep(before < 0 ? 0 : 3 * patience);
	EXPECT_EQ(patience, hung_task_seconds(before));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(4096, task_join(&task, JOIN_SECONDS));
	EXPECT_FALSE(kmsg_has(kmsg, hung));
	close(kmsg);
}

TEST_HARNESS_MAIN
