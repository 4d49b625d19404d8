// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that fail somewhere: the device, the space, the memory. Whatever is
 * returned, i_size never covers a byte that was not written, no block stays
 * behind the end, and the volume is clean afterwards.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "harness.h"

VOL_FIXTURE(dio_errors);
FIXTURE_VARIANT_ADD(dio_errors, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_errors, bs4k) { .conf = VOL_4K };

static long free_blocks(void)
{
	struct statfs st;

	return statfs(env_dir(), &st) ? -errno : (long)st.f_bfree;
}

/* Blocks of a file without holes of this size, those of pointers included. */
static long blocks_needed(unsigned int bs, off_t size)
{
	long data = (size + bs - 1) / bs, ptrs = bs / 4;
	long n = data;

	if (data > 12)
		n++;
	if (data > 12 + ptrs)
		n += 1 + (data - 12 - ptrs + ptrs - 1) / ptrs;
	return n;
}

static void check_size_and_blocks(struct __test_metadata *_metadata, struct vol *v,
				  int fd, off_t size, long blocks)
{
	struct stat st;

	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(size, st.st_size);
	EXPECT_EQ(blocks * v->bs, st.st_blocks * 512);
}

/* Some sectors of an allocated file fail: reads and overwrites say EIO. */
TEST_F(dio_errors, device_error_in_the_middle)
{
	const off_t bs = self->v.bs, len = 32 * bs, at = 13 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct counters c0 = {}, c1 = {};
	struct vol_map map;
	enum way way;
	ssize_t n;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	sync();
	ASSERT_EQ(0, vol_find(&self->v, at, 2 * bs, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	pattern_fill(buf, len, 0, 2);
	for (way = SYNC; way <= ASYNC; way++) {
		EXPECT_EQ(-EIO, do_read(way, fd, back, bs, at));
		EXPECT_EQ(-EIO, do_write(way, fd, buf + at, bs, at));
		/* an error in the middle is an error, or what came before it */
		n = do_read(way, fd, back, len, 0);
		EXPECT_TRUE(n == -EIO || (n >= 0 && n <= at));
		if (n > 0)
			EXPECT_PATTERN(back, n, 0, 1);
		n = do_write(way, fd, buf, len, 0);
		EXPECT_TRUE(n == -EIO || (n >= 0 && n <= at));
		/* the neighbours can be read and written as before */
		EXPECT_EQ(at, do_write(way, fd, buf, at, 0));
		EXPECT_EQ(at, do_read(way, fd, back, at, 0));
		EXPECT_PATTERN(back, at, 0, 2);
		pattern_fill(buf, at, 0, 1);
		EXPECT_EQ(at, do_write(way, fd, buf, at, 0));
		pattern_fill(buf, at, 0, 2);
	}
	check_size_and_blocks(_metadata, &self->v, fd, len, blocks_needed(bs, len));
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* the sectors that failed still hold what they held */
	ASSERT_EQ(2 * bs, do_read(SYNC, fd, back, 2 * bs, at));
	EXPECT_PATTERN(back, 2 * bs, at, 1);
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.sync_error, c1.sync_error);
	}
}

/* Held, async, many requests; then the device fails all of them: each once. */
TEST_F(dio_errors, every_event_of_a_failing_queue)
{
	enum { DEPTH = 16 };
	const off_t bs = self->v.bs, one = 4 * bs, len = DEPTH * one;
	struct iocb cb[DEPTH], *list[DEPTH];
	struct io_event ev[DEPTH];
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	bool seen[DEPTH] = {};
	aio_context_t ctx;
	struct vol_map map;
	int i, fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	sync();
	/* half of the requests hit the second half of the file, which fails */
	ASSERT_EQ(0, vol_find(&self->v, len / 2, len / 2, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	ASSERT_EQ(0, aio_setup(DEPTH, &ctx));
	pattern_fill(buf, len, 0, 2);
	for (i = 0; i < DEPTH; i++) {
		int k = i * 5 % DEPTH;

		list[i] = &cb[i];
		if (i & 1)
			aio_prep_write(&cb[i], fd, buf + k * one, one, k * one);
		else
			aio_prep_read(&cb[i], fd, back + k * one, one, k * one);
	}
	ASSERT_EQ(0, vol_hold(&self->v));
	ASSERT_EQ(DEPTH, aio_submit(ctx, DEPTH, list));
	ASSERT_EQ(0, aio_events(ctx, 0, DEPTH, ev, 0));
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(DEPTH, aio_events(ctx, DEPTH, DEPTH, ev, JOIN_SECONDS * 1000));
	for (i = 0; i < DEPTH; i++) {
		struct iocb *done = (void *)(uintptr_t)ev[i].obj;

		ASSERT_FALSE(seen[done - cb]);
		seen[done - cb] = true;
		EXPECT_EQ(done->aio_offset >= len / 2 ? -EIO : one, (ssize_t)ev[i].res);
	}
	EXPECT_EQ(0, aio_events(ctx, 0, DEPTH, ev, 0));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* The whole device fails while a file is being extended. */
TEST_F(dio_errors, extend_on_a_failing_device)
{
	const off_t bs = self->v.bs, old = 5 * bs, len = 40 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(2 * len);
	long before;
	enum way way;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	/* so that the pointers and bitmaps that are needed are in memory */
	ASSERT_EQ(0, vol_prefill("g", 0, old + len, 9));
	ASSERT_EQ(0, unlink(vol_path("g")));
	ASSERT_EQ(0, vol_poison_free(&self->v));
	before = free_blocks();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, old, 2);
	for (way = SYNC; way <= ASYNC; way++) {
		ASSERT_EQ(0, vol_fail(&self->v, NULL));
		EXPECT_EQ(-EIO, do_write(way, fd, buf, len, old));
		check_size_and_blocks(_metadata, &self->v, fd, old, blocks_needed(bs, old));
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

/*
 * An extend of which the first part reaches the device and the second does not.
 * Where the blocks will be is learnt by letting it happen once before.
 */
TEST_F(dio_errors, extend_that_fails_in_the_middle)
{
	const off_t bs = self->v.bs, len = 11 * bs, ok = 4 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(2 * len);
	struct vol_map map;
	enum way way;
	ssize_t n;
	int fd;

	for (way = SYNC; way <= ASYNC; way++) {
		fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		pattern_fill(buf, len, 0, 10 + way);
		ASSERT_EQ(len, do_write(way, fd, buf, len, 0));
		ASSERT_EQ(0, vol_find(&self->v, ok, len - ok, 10 + way, &map));
		ASSERT_EQ(0, ftruncate(fd, 0));
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
		ASSERT_EQ(0, vol_poison_free(&self->v));

		fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, vol_fail(&self->v, &map));
		pattern_fill(buf, len, 0, 20 + way);
		n = do_write(way, fd, buf, len, 0);
		if (n == len)
			SKIP(return, "the blocks were allocated elsewhere");
		EXPECT_TRUE(n == -EIO || (n > 0 && n <= ok));
		if (n < 0)
			n = 0;
		check_size_and_blocks(_metadata, &self->v, fd, n, blocks_needed(bs, n));
		ASSERT_EQ(0, vol_unroute(&self->v));
		ASSERT_EQ(n, do_read(way, fd, back, 2 * len, 0));
		EXPECT_PATTERN(back, n, 0, 20 + way);
		ASSERT_EQ(0, ftruncate(fd, len));
		ASSERT_EQ(len, do_read(way, fd, back, 2 * len, 0));
		EXPECT_ZERO(back + n, len - n, n);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

/* A hole is filled while the device fails: the hole, or the data, no poison. */
TEST_F(dio_errors, hole_on_a_failing_device)
{
	const off_t bs = self->v.bs, at = 4 * bs, len = 4 * bs, size = 12 * bs;
	char *buf = buf_alloc(size), *back = buf_alloc(size);
	enum way way;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), size));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (way = SYNC; way <= ASYNC; way++) {
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

/* The sectors of both, in their order on the device; those of @b fail. */
static void route_and_fail(struct vol_map *a, const struct vol_map *b)
{
	int i, at;

	for (i = 0; i < b->nr; i++) {
		for (at = a->nr++; at && a->e[at - 1].sector > b->e[i].sector; at--)
			a->e[at] = a->e[at - 1];
		a->e[at] = b->e[i];
		a->e[at].fails = true;
	}
}

/*
 * What is behind a hole goes through the page cache as well, to blocks of which
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

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	/* a hole, and two pages, the second of which was there first: that takes two bios */
	pattern_fill(buf, len, 0, 1);
	ASSERT_EQ(page, pwrite(fd, buf + 2 * page, page, 2 * page));
	ASSERT_EQ(page, pwrite(fd, buf + page, page, page));
	sync();
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
	/* the part in the hole is on the device, and may count */
	EXPECT_TRUE(n == -EIO || n == (ssize_t)page) TH_LOG("returned %zd", n);
	ASSERT_EQ(len, pread(fd, back, len, 0));
	if (n > 0)
		EXPECT_PATTERN(back, n, 0, 2);

	/* an error that nobody has been told of is still to be told, and no other */
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, fsync(other));
}

/* Nobody has been told of an error yet: the fallback, which looks for one, keeps it so. */
TEST_F(dio_errors, error_is_told_after_a_fallback)
{
	const size_t page = 4096;
	char *buf = buf_alloc(page), *back = buf_alloc(page);
	struct vol_map map;
	int fd, cached, later;

	ASSERT_EQ(0, vol_prefill("f", 0, page, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), 4 * page));
	sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, page, 1, &map));
	cached = vol_open("f", O_RDWR);
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, cached);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	pattern_fill(buf, page, 0, 2);
	ASSERT_EQ(page, pwrite(cached, buf, page, 0));
	sync();
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* the flags of the mapping fail whoever comes first: not the write, please */
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

/* Leave room for @left blocks only. */
static int fill_up(struct vol *v, long left)
{
	int fd = vol_open("fill", O_CREAT | O_RDWR | O_APPEND);
	char *buf = buf_alloc(MIB);
	int err = 0;

	if (fd < 0)
		return fd;
	while (free_blocks() > left && !err) {
		long n = free_blocks() - left;
		size_t len = n * v->bs > (long)MIB ? MIB : n * v->bs;

		/* pointers count too: near the end, block by block */
		if (n < 64)
			len = v->bs;
		if (write(fd, buf, len) != (ssize_t)len)
			err = -ENOSPC;
		if (fsync(fd))
			err = -errno;
	}
	close(fd);
	return err;
}

TEST_F(dio_errors, no_space_in_the_middle)
{
	const off_t bs = self->v.bs, old = 5 * bs + 512, len = 64 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(2 * len);
	off_t size = old;
	struct stat st;
	enum way way;
	ssize_t n;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	ASSERT_EQ(0, fill_up(&self->v, 25));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (way = SYNC; way <= ASYNC; way++) {
		pattern_fill(buf, len, size, 2);
		n = do_write(way, fd, buf, len, size);
		/* a part, or nothing; and then there is no space at all */
		ASSERT_TRUE(n == -ENOSPC || (n > 0 && n < len)) TH_LOG("returned %zd", n);
		if (n > 0)
			size += n;
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(size, st.st_size);
		EXPECT_EQ(blocks_needed(bs, size) * bs, st.st_blocks * 512);
		ASSERT_EQ(size, do_read(way, fd, back, 2 * len, 0));
		EXPECT_PATTERN(back, old, 0, 1);
		EXPECT_PATTERN(back + old, size - old, old, 2);
	}
	/* what little is left can still be had, to the last block */
	while ((n = do_write(SYNC, fd, buf, bs, (size + bs - 1) / bs * bs)) > 0)
		size = (size + bs - 1) / bs * bs + n;
	EXPECT_EQ(-ENOSPC, n);
	if (env_is_retryfs())
		EXPECT_GE(1, free_blocks());
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(size, st.st_size);
	EXPECT_EQ(blocks_needed(bs, size) * bs, st.st_blocks * 512);
	ASSERT_EQ(0, unlink(vol_path("fill")));
	pattern_fill(buf, len, size, 3);
	EXPECT_EQ(len, do_write(ASYNC, fd, buf, len, size));
}

TEST_F(dio_errors, no_space_in_a_hole)
{
	const off_t bs = self->v.bs, len = 64 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct stat st;
	enum way way;
	ssize_t n;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", len - bs, bs, 1));
	ASSERT_EQ(0, fill_up(&self->v, 20));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (way = SYNC; way <= ASYNC; way++) {
		off_t pos;

		pattern_fill(buf, len, 0, 2);
		n = do_write(way, fd, buf, len - bs, 0);
		ASSERT_TRUE(n == -ENOSPC || (n > 0 && n < len - bs))
			TH_LOG("returned %zd", n);
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(len, st.st_size);
		ASSERT_EQ(len, do_read(way, fd, back, len, 0));
		if (n > 0)
			EXPECT_PATTERN(back, n, 0, 2);
		for (pos = n > 0 ? n : 0; pos < len - bs; pos += bs)
			EXPECT_FALSE(has_poison(back + pos, bs))
				TH_LOG("poison at %lld", (long long)pos);
		EXPECT_PATTERN(back + len - bs, bs, len - bs, 1);
	}
	ASSERT_EQ(0, unlink(vol_path("fill")));
	EXPECT_EQ(len - bs, do_write(ASYNC, fd, buf, len - bs, 0));
}

/* Memory that ends in the middle of the request. */
TEST_F(dio_errors, bad_memory_in_the_middle)
{
	const off_t bs = self->v.bs, old = 8 * bs;
	const size_t good = 32 * KIB, len = 64 * KIB;
	char *buf = buf_alloc(len), *back = buf_alloc(MIB);
	off_t size = old;
	enum way way;
	ssize_t n;
	int fd;

	ASSERT_EQ(0, mprotect(buf + good, len - good, PROT_NONE));
	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (way = SYNC; way <= ASYNC; way++) {
		/* an extend */
		pattern_fill(buf, good, size, 2);
		n = do_write(way, fd, buf, len, size);
		ASSERT_TRUE(n == -EFAULT || (n > 0 && n <= (ssize_t)good))
			TH_LOG("returned %zd", n);
		if (n > 0)
			size += n;
		check_size_and_blocks(_metadata, &self->v, fd, size, blocks_needed(bs, size));
		ASSERT_EQ(size, do_read(way, fd, back, MIB, 0));
		EXPECT_PATTERN(back, old, 0, 1);
		EXPECT_PATTERN(back + old, size - old, old, 2);
		/* nothing of it is good */
		EXPECT_EQ(-EFAULT, do_write(way, fd, buf + good, len - good, size));
		EXPECT_EQ(-EFAULT, do_read(way, fd, buf + good, 4096, 0));
		check_size_and_blocks(_metadata, &self->v, fd, size, blocks_needed(bs, size));
	}
	/* an overwrite, and a read into it */
	ASSERT_EQ(0, vol_prefill("g", 0, len, 3));
	close(fd);
	fd = vol_open("g", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (way = SYNC; way <= ASYNC; way++) {
		n = do_read(way, fd, buf, len, 0);
		EXPECT_TRUE(n == -EFAULT || (n > 0 && n <= (ssize_t)good));
		if (n > 0)
			EXPECT_PATTERN(buf, n, 0, 3);
		pattern_fill(buf, good, 0, 4);
		n = do_write(way, fd, buf, len, 0);
		EXPECT_TRUE(n == -EFAULT || (n > 0 && n <= (ssize_t)good));
		ASSERT_EQ(len, do_read(way, fd, back, len, 0));
		if (n > 0)
			EXPECT_PATTERN(back, n, 0, 4);
		EXPECT_PATTERN(back + good, len - good, good, 3);
		ASSERT_EQ(0, vol_prefill("g", 0, len, 3));
	}
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
	sync();
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
	/* told once, and then it is over */
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
	int i, fd, drop;

	/* far from what stays in the cache of the device */
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		close(vol_open(name, O_CREAT | O_RDWR));
	}
	fd = vol_open(name, O_RDWR);
	ASSERT_LE(0, fd);
	sync();
	drop = open("/proc/sys/vm/drop_caches", O_WRONLY);
	ASSERT_LE(0, drop);
	ASSERT_EQ(1, write(drop, "1", 1));
	close(drop);
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	ASSERT_EQ(0, fchmod(fd, 0600));
	sync();
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
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	EXPECT_EQ(-EBADF, do_write(SYNC, fd, buf, bs, 0));
	EXPECT_EQ(-EBADF, do_write(ASYNC, fd, buf, bs, 0));
	close(fd);
	fd = vol_open("f", O_WRONLY | O_DIRECT);
	EXPECT_EQ(-EBADF, do_read(SYNC, fd, buf, bs, 0));
	EXPECT_EQ(-EBADF, do_read(ASYNC, fd, buf, bs, 0));
	EXPECT_EQ(-EINVAL, do_write(SYNC, fd, buf, bs, -4096));
	EXPECT_EQ(-EFBIG, do_write(SYNC, fd, buf, bs, 1ULL << 45));
	EXPECT_EQ(-EFBIG, do_write(ASYNC, fd, buf, bs, 1ULL << 45));
	check_size_and_blocks(_metadata, &self->v, fd, bs, 1);
}

TEST_HARNESS_MAIN
