// SPDX-License-Identifier: GPL-2.0
/*
 * Asynchronous reads for which a block of pointers has to be read: their submitter leaves, and a worker looks up the
 * blocks. Of the requests of a test, what is held is the blocks of pointers, or the data.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include "blocks.h"
#include "caches.h"
#include "ext2.h"
#include "harness.h"
#include "nvmet.h"
#include "queue.h"
#include "uffd.h"

enum { NR = 8, DIRECT = 12 };

FIXTURE(dio_punt) {
	struct vol v;
	size_t bs;
	int below;		/* how many pointers a block has */
	int fd;
	aio_context_t ctx;
	struct iocb cb[NR + 1], *list[NR + 1];
	struct io_event ev[NR + 1];
	struct counters before;
	char *buf;
};

FIXTURE_VARIANT(dio_punt) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_punt, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_punt, bs4k) { .conf = SMALL_4K };

enum { BUF = 128 * KIB };

FIXTURE_SETUP(dio_punt)
{
	int i;

	if (!env_is_retryfs())
		SKIP(return, "others sleep for it");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	self->fd = -1;
	self->bs = self->v.bs;
	self->below = self->bs / 4;
	self->buf = buf_alloc((NR + 1) * BUF);
	memset(self->buf, UNTOUCHED, (NR + 1) * BUF);
	for (i = 0; i <= NR; i++)
		self->list[i] = &self->cb[i];
	ASSERT_EQ(0, aio_setup(NR + 1, &self->ctx));
}

FIXTURE_TEARDOWN(dio_punt)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

/* The first block of the file below block of pointers @n of it. */
static off_t first_below(FIXTURE_DATA(dio_punt) * self, int n)
{
	return DIRECT + n * self->below;
}

/* Nothing but the inode is in memory. The blocks of pointers that lead to @nr blocks of "f", @blocks, are to be held. */
static int cold(FIXTURE_DATA(dio_punt) * self, const off_t *blocks, int nr)
{
	struct vol_map map = { .nr = nr }, one = {};
	uint32_t block, pointers;
	int i, j, err;

	for (i = 0; i < nr; i++) {
		err = ext2_block(&self->v, "f", blocks[i], &block, &pointers);
		if (err)
			return err;
		one.e[0] = (struct vol_extent){
			.sector = pointers * (self->bs / 512),
			.len = self->bs / 512,
			.reads = true
		};
		for (j = i; j > 0 && map.e[j - 1].sector > one.e[0].sector; j--)
			map.e[j] = map.e[j - 1];
		map.e[j] = one.e[0];
	}
	if (self->fd >= 0)
		close(self->fd);
	err = vol_remount(&self->v);
	if (err)
		return err;
	self->fd = vol_open("f", O_RDWR | O_DIRECT);
	if (self->fd < 0)
		return self->fd;
	err = nr ? vol_route(&self->v, &map) : 0;
	return err ?: vol_counters(&self->v, &self->before);
}

static void prepare(FIXTURE_DATA(dio_punt) * self, int n, off_t pos, size_t len)
{
	aio_prep_read(&self->cb[n], self->fd, self->buf + n * BUF, len, pos);
}

/* The first @nr requests, of which @punted are punted: if so, the submitter does not sleep for any. */
static void submit(struct __test_metadata *_metadata, FIXTURE_DATA(dio_punt) * self, int nr, int punted)
{
	struct submit_op op = { self->ctx, nr, self->list };
	struct counters after;
	struct task task;

	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	if (punted)
		ASSERT_DONE(&task);
	ASSERT_EQ(nr, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(0, vol_counters(&self->v, &after));
	EXPECT_EQ(self->before.punted + punted, after.punted);
	EXPECT_EQ(self->before.async + nr, after.async);
	EXPECT_EQ(self->before.requests_read + nr, after.requests_read);
}

/* The result of the only one that has not ended yet. */
static int64_t reap_one(FIXTURE_DATA(dio_punt) * self)
{
	int n = aio_events(self->ctx, 1, 1, self->ev, JOIN_SECONDS * 1000);

	return n == 1 ? self->ev[0].res : n < 0 ? n : -ETIME;
}

/* Wait until so many reads are in flight on the device of the volume. */
static bool reads_in_flight(FIXTURE_DATA(dio_punt) * self, int nr)
{
	const struct timespec ms10 = { .tv_nsec = 10000000 };
	char path[64];
	int i, n;

	snprintf(path, sizeof(path), "/sys/block/%s/inflight", strrchr(self->v.dev, '/') + 1);
	for (i = 0; i < 100 * JOIN_SECONDS; i++) {
		FILE *f = fopen(path, "re");
		int got = f ? fscanf(f, "%d", &n) : 0;

		if (f)
			fclose(f);
		if (got == 1 && n == nr)
			return true;
		nanosleep(&ms10, NULL);
	}
	return false;
}

/* They wait for their blocks of pointers at the same time; one that needs none goes past them. */
TEST_F(dio_punt, submitter_goes_on)
{
	const size_t bs = self->bs;
	off_t blocks[NR];
	int i;

	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	for (i = 0; i < NR; i++) {
		blocks[i] = first_below(self, i);
		ASSERT_EQ(0, vol_prefill("f", blocks[i] * bs, bs, 1));
	}
	ASSERT_EQ(0, cold(self, blocks, NR));
	for (i = 0; i < NR; i++)
		prepare(self, i, blocks[i] * bs, bs);
	prepare(self, NR, 0, bs);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	submit(_metadata, self, NR + 1, NR);
	ASSERT_EQ(bs, reap_one(self));
	EXPECT_EQ((uintptr_t)&self->cb[NR], self->ev[0].obj);
	EXPECT_PATTERN(self->buf + NR * BUF, bs, 0, 1);
	EXPECT_EQ(0, aio_events(self->ctx, 0, NR, self->ev, 0));
	EXPECT_TRUE(reads_in_flight(self, NR));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(NR, aio_events(self->ctx, NR, NR, self->ev, JOIN_SECONDS * 1000));
	for (i = 0; i < NR; i++) {
		EXPECT_EQ(bs, self->ev[i].res);
		EXPECT_PATTERN(self->buf + i * BUF, bs, blocks[i] * bs, 1);
	}
	/* they are known now */
	ASSERT_EQ(0, vol_counters(&self->v, &self->before));
	submit(_metadata, self, 1, 0);
	EXPECT_EQ(bs, reap_one(self));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* Several runs, holes between them, below one block of pointers; and EOF in the midst of a block. */
TEST_F(dio_punt, runs_and_holes)
{
	enum { PIECES = 8, HOLE = 3 };
	const size_t bs = self->bs, piece = 4 * bs;
	const off_t size = PIECES * piece - bs + 512;
	const off_t from = DIRECT * bs, hole = (DIRECT + 5) * bs;
	const size_t len = PIECES * piece - from;
	int fd;

	/* so that it has pieces behind the direct ones */
	fd = make_pieces(&self->v, "f", piece, PIECES);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, size));
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole, HOLE * bs));
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(0, cold(self, NULL, 0));
	prepare(self, 0, from, len);
	submit(_metadata, self, 1, 1);
	EXPECT_EQ(size - from, reap_one(self));
	EXPECT_PATTERN(self->buf, hole - from, from, 1);
	EXPECT_ZERO(self->buf + (hole - from), HOLE * bs, hole);
	EXPECT_PATTERN(self->buf + (hole - from) + HOLE * bs, size - hole - HOLE * bs,
		       hole + HOLE * bs, 1);
	EXPECT_TRUE(untouched(self->buf + (size - from), len - (size - from)));
}

/* Nothing but a hole, for which no bio goes to the device. */
TEST_F(dio_punt, hole)
{
	const size_t bs = self->bs, len = 4 * bs;
	const off_t block = first_below(self, 0), pos = (block + 2) * bs;

	ASSERT_EQ(0, vol_prefill("f", block * bs, bs, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), pos + len));
	ASSERT_EQ(0, cold(self, NULL, 0));
	prepare(self, 0, pos, len);
	submit(_metadata, self, 1, 1);
	EXPECT_EQ(len, reap_one(self));
	EXPECT_ZERO(self->buf, len, pos);
}

/* Memory in small parts; and in so many, or so much, that it does not fit into one bio: then the submitter sleeps. */
TEST_F(dio_punt, memory_of_many_parts)
{
	enum { PARTS = 16, MANY = 300, PART = 512 };
	const size_t bs = self->bs;
	const off_t pos = first_below(self, 1) * bs, large = 2 * MIB;
	struct iovec iov[MANY];
	char *buf = buf_alloc(large);
	int i;

	ASSERT_EQ(0, vol_prefill("f", pos, large, 1));
	ASSERT_EQ(0, cold(self, NULL, 0));
	for (i = 0; i < PARTS; i++)
		iov[i] = (struct iovec){ self->buf + 2 * i * bs, bs };
	aio_prep_readv(&self->cb[0], self->fd, iov, PARTS, pos);
	submit(_metadata, self, 1, 1);
	EXPECT_EQ(PARTS * bs, reap_one(self));
	for (i = 0; i < PARTS; i++) {
		EXPECT_PATTERN(iov[i].iov_base, bs, pos + i * bs, 1);
		EXPECT_TRUE(untouched((char *)iov[i].iov_base + bs, bs));
	}

	ASSERT_EQ(0, cold(self, NULL, 0));
	for (i = 0; i < MANY; i++)
		iov[i] = (struct iovec){ buf + 2 * i * PART, PART };
	aio_prep_readv(&self->cb[0], self->fd, iov, MANY, pos);
	submit(_metadata, self, 1, 0);
	EXPECT_EQ(MANY * PART, reap_one(self));
	for (i = 0; i < MANY; i++)
		EXPECT_PATTERN(iov[i].iov_base, PART, pos + i * PART, 1);

	ASSERT_EQ(0, cold(self, NULL, 0));
	aio_prep_read(&self->cb[0], self->fd, buf, large, pos);
	submit(_metadata, self, 1, 0);
	EXPECT_EQ(large, reap_one(self));
	EXPECT_PATTERN(buf, large, pos, 1);
}

/* While it is in flight its blocks are not freed, and the inode lock is free. */
TEST_F(dio_punt, truncate_waits)
{
	const size_t bs = self->bs;
	const off_t block = first_below(self, 0), end = (block + 1) * bs;
	struct vol_map map;
	struct task writer, truncater;
	struct io_op wr, tr;

	ASSERT_EQ(0, vol_prefill("f", block * bs, bs, 1));
	ASSERT_EQ(0, vol_find(&self->v, block * bs, bs, 1, &map));
	ASSERT_EQ(1, map.nr);
	/* or else flushes are held, too */
	map.e[0].reads = true;
	ASSERT_EQ(0, cold(self, NULL, 0));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	prepare(self, 0, block * bs, bs);
	submit(_metadata, self, 1, 1);
	ASSERT_TRUE(reads_in_flight(self, 1));
	/* takes the lock exclusively */
	wr = (struct io_op){ self->fd, self->buf + BUF, bs, end };
	pattern_fill(wr.buf, bs, end, 2);
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	EXPECT_EQ(bs, task_join(&writer, JOIN_SECONDS));
	tr = (struct io_op){ .fd = self->fd, .off = bs };
	ASSERT_EQ(0, task_start(&truncater, op_ftruncate, &tr));
	EXPECT_BLOCKED(&truncater);
	EXPECT_EQ(0, aio_events(self->ctx, 0, 1, self->ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(bs, reap_one(self));
	EXPECT_PATTERN(self->buf, bs, block * bs, 1);
	EXPECT_EQ(0, task_join(&truncater, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/*
 * Between the look-up, under the inode lock, and the worker's, the file is truncated, and another one has its blocks. The memory
 * of the request is not there, so that its submitter gets no further.
 */
TEST_F(dio_punt, truncated_before_it_is_issued)
{
	const size_t bs = self->bs;
	const off_t pos = first_below(self, 0) * bs;
	struct submit_op op = { self->ctx, 1, self->list };
	char *fill = buf_alloc(4096);
	struct counters after;
	struct task task;
	struct vol_map map;
	void *late = NULL;
	uint64_t sector;
	int uffd, i;

	uffd = unfilled_page(&late);
	if (uffd < 0)
		SKIP(return, "no userfaultfd");
	ASSERT_EQ(0, vol_prefill("f", pos, bs, 1));
	ASSERT_EQ(0, vol_find(&self->v, pos, bs, 1, &map));
	sector = map.e[0].sector;
	ASSERT_EQ(0, cold(self, NULL, 0));
	aio_prep_read(&self->cb[0], self->fd, late, bs, pos);
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	ASSERT_TRUE(task_settles(&task, TASK_BLOCKED));

	ASSERT_EQ(0, ftruncate(self->fd, 0));
	ASSERT_EQ(0, ftruncate(self->fd, pos + 1));
	vol_sync();
	ASSERT_EQ(0, vol_prefill("g", 0, self->below * bs, 2));
	ASSERT_EQ(0, vol_find(&self->v, 0, self->below * bs, 2, &map));
	for (i = 0; i < map.nr; i++)
		if (sector - map.e[i].sector < map.e[i].len)
			break;
	EXPECT_LT(i, map.nr);

	memset(fill, UNTOUCHED, 4096);
	ASSERT_EQ(0, fill_page(uffd, late, fill));
	ASSERT_EQ(1, task_join(&task, JOIN_SECONDS));
	EXPECT_EQ(1, reap_one(self));
	EXPECT_EQ(0, *(char *)late);
	EXPECT_TRUE(untouched((char *)late + 512, 4096 - 512));
	ASSERT_EQ(0, vol_counters(&self->v, &after));
	EXPECT_EQ(self->before.punted + 1, after.punted);
}

/* A store to a page of the range, from when its submitter had left, is there. */
TEST_F(dio_punt, page_that_is_stored_to)
{
	const size_t bs = self->bs, page = 4096;
	/* the last ones below one block of pointers, which is held, and the first ones below the next one */
	const off_t second = first_below(self, 1) * bs, first = second - page;
	const off_t held = first / bs;
	char *map;
	int fd;

	ASSERT_EQ(0, second % page);
	ASSERT_EQ(0, vol_prefill("f", first, 2 * page, 1));
	ASSERT_EQ(0, cold(self, &held, 1));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, second);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, madvise(map, page, MADV_RANDOM));
	ASSERT_PATTERN(map, page, second, 1);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	prepare(self, 0, first, 2 * page);
	submit(_metadata, self, 1, 1);
	pattern_fill(map, page, second, 2);
	EXPECT_EQ(0, aio_events(self->ctx, 0, 1, self->ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(2 * page, reap_one(self));
	EXPECT_PATTERN(self->buf, page, first, 1);
	EXPECT_PATTERN(self->buf + page, page, second, 2);
	munmap(map, page);
	close(fd);
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* The block of pointers cannot be read, or the last one of several runs. */
TEST_F(dio_punt, device_fails)
{
	enum { PIECES = 6 };
	const size_t bs = self->bs, piece = 4 * bs, len = PIECES * piece - DIRECT * bs;
	uint32_t data, pointers;
	struct vol_map map = { .nr = 1 };
	int fd, i;

	fd = make_pieces(&self->v, "f", piece, PIECES);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, ext2_block(&self->v, "f", PIECES * 4 - 1, &data, &pointers));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, cold(self, NULL, 0));
		map.e[0].sector = (i ? data : pointers) * (bs / 512);
		map.e[0].len = bs / 512;
		ASSERT_EQ(0, vol_fail(&self->v, &map));
		prepare(self, 0, DIRECT * bs, len);
		submit(_metadata, self, 1, 1);
		EXPECT_EQ(-EIO, reap_one(self));
		ASSERT_EQ(0, vol_unroute(&self->v));
	}
	prepare(self, 0, DIRECT * bs, len);
	ASSERT_EQ(1, aio_submit(self->ctx, 1, self->list));
	EXPECT_EQ(len, reap_one(self));
	EXPECT_PATTERN(self->buf, len, DIRECT * bs, 1);
}

static long op_destroy(void *ctx)
{
	return aio_destroy(*(aio_context_t *)ctx);
}

/* Who gives up waits for it; then nothing keeps the volume from being unmounted. */
TEST_F(dio_punt, given_up)
{
	const size_t bs = self->bs;
	const off_t block = first_below(self, 0);
	struct task task;

	ASSERT_EQ(0, vol_prefill("f", block * bs, bs, 1));
	ASSERT_EQ(0, cold(self, &block, 1));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	prepare(self, 0, block * bs, bs);
	submit(_metadata, self, 1, 1);
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, task_start(&task, op_destroy, &self->ctx));
	EXPECT_BLOCKED(&task);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	EXPECT_PATTERN(self->buf, bs, block * bs, 1);
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* A thread of io_uring is there to sleep. */
TEST_F(dio_punt, thread_of_io_uring)
{
	const size_t bs = self->bs, len = 4 * bs;
	const off_t pos = first_below(self, 0) * bs;
	struct iovec iov = { self->buf, len };
	struct counters after;
	struct uring u;
	uint64_t data;
	int res;

	if (!queue_possible(URING))
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, uring_setup(&u, 1));
	ASSERT_EQ(0, vol_prefill("f", pos, len, 1));
	ASSERT_EQ(0, cold(self, NULL, 0));
	ASSERT_EQ(0, uring_submit(&u, false, self->fd, &iov, 1, pos, 0, 7));
	ASSERT_EQ(1, uring_reap(&u, true, &data, &res));
	EXPECT_EQ(len, res);
	EXPECT_PATTERN(self->buf, len, pos, 1);
	ASSERT_EQ(0, vol_counters(&self->v, &after));
	EXPECT_EQ(self->before.punted, after.punted);
	EXPECT_LT(self->before.again[AGAIN_METADATA], after.again[AGAIN_METADATA]);
	uring_exit(&u);
}

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER	57
#endif

/* Who serves what frees memory sleeps by itself: a worker would not know that. */
TEST_F(dio_punt, io_flusher)
{
	const size_t bs = self->bs;
	const off_t block = first_below(self, 0);

	ASSERT_EQ(0, vol_prefill("f", block * bs, bs, 1));
	ASSERT_EQ(0, cold(self, NULL, 0));
	ASSERT_EQ(0, prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
	prepare(self, 0, block * bs, bs);
	submit(_metadata, self, 1, 0);
	EXPECT_EQ(bs, reap_one(self));
	EXPECT_PATTERN(self->buf, bs, block * bs, 1);
	ASSERT_EQ(0, prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0));
}

/* As many as may be punted at a time; the submitter of one more sleeps. */
TEST_F(dio_punt, many)
{
	enum { MOST = 128 };	/* PUNTED_MAX in src/dio/punt.rs */
	const size_t bs = self->bs;
	const off_t block = first_below(self, 0);
	struct iocb *cb = calloc(MOST + 1, sizeof(*cb));
	struct io_event *ev = calloc(MOST + 1, sizeof(*ev));
	struct counters after;
	struct iocb *all[MOST + 1];
	struct task task;
	struct submit_op op;
	aio_context_t ctx;
	char *buf = buf_alloc((MOST + 1) * PATTERN_SECTOR);
	int i;

	ASSERT_EQ(0, vol_prefill("f", block * bs, bs, 1));
	ASSERT_EQ(0, cold(self, &block, 1));
	ASSERT_EQ(0, aio_setup(MOST + 1, &ctx));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	for (i = 0; i <= MOST; i++) {
		all[i] = &cb[i];
		aio_prep_read(&cb[i], self->fd, buf + i * PATTERN_SECTOR, PATTERN_SECTOR, block * bs);
	}
	op = (struct submit_op){ ctx, MOST, all };
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	ASSERT_DONE(&task);
	ASSERT_EQ(MOST, task_join(&task, JOIN_SECONDS));
	op = (struct submit_op){ ctx, 1, &all[MOST] };
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	EXPECT_BLOCKED(&task);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(1, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(MOST + 1, aio_events(ctx, MOST + 1, MOST + 1, ev, JOIN_SECONDS * 1000));
	for (i = 0; i <= MOST; i++) {
		EXPECT_EQ(PATTERN_SECTOR, ev[i].res);
		EXPECT_PATTERN(buf + i * PATTERN_SECTOR, PATTERN_SECTOR, block * bs, 1);
	}
	ASSERT_EQ(0, vol_counters(&self->v, &after));
	EXPECT_EQ(self->before.punted + MOST, after.punted);
	ASSERT_EQ(0, aio_destroy(ctx));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* Memory of the kernel is not pinned, so that nobody takes it along: an NVMe target with a file. */
TEST_F(dio_punt, memory_of_the_kernel)
{
	const off_t at = first_below(self, 0) * self->bs, size = at + 64 * KIB;
	struct counters after;
	char node[32];
	int disk, err;

	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	err = nvmet_up(vol_path("f"), node, sizeof(node));
	if (err == -ENOENT)
		SKIP(return, "a kernel without the NVMe target");
	ASSERT_EQ(0, err);
	disk = open(node, O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, disk);
	ASSERT_EQ(0, forget_all());
	ASSERT_EQ(0, vol_counters(&self->v, &self->before));
	EXPECT_EQ(8 * KIB, pread(disk, self->buf, 8 * KIB, at));
	EXPECT_PATTERN(self->buf, 8 * KIB, at, 1);
	ASSERT_EQ(0, vol_counters(&self->v, &after));
	EXPECT_EQ(self->before.punted, after.punted);
	EXPECT_LT(self->before.async, after.async);
	close(disk);
	nvmet_down();
}

TEST_HARNESS_MAIN
