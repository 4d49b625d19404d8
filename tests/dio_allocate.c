// SPDX-License-Identifier: GPL-2.0
/*
 * async_alloc: a fallocate(2) that extends the file is in flight, as the zeroes that it writes are held: others go on beside it,
 * or wait for it; and what comes of it when the device fails, or when it is killed.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "allocate.h"
#include "blocks.h"
#include "ext2.h"
#include "harness.h"
#include "powerloss.h"
#include "punch.h"
#include "store.h"

enum { START = 4 * 4096, LEN = 8 };

FIXTURE(dio_allocate) {
	struct vol v;
	int fd, bfd;
	off_t bs, at, len, end;
	long blocks, unused;
	char *buf, *back;
	struct task task;
	struct io_op op;
};

FIXTURE_VARIANT(dio_allocate) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_allocate, bs1k) { .conf = ASYNC_ALLOC_1K };
FIXTURE_VARIANT_ADD(dio_allocate, bs4k) { .conf = ASYNC_ALLOC_4K };

/* A new file. Those blocks are routed that it gets next, and nothing else; they have something else's data. */
static int begin(FIXTURE_DATA(dio_allocate) * self)
{
	/* no block has them from before */
	static uint64_t gen = 9;
	struct vol_map map;
	struct stat st;
	int err, i;

	gen++;
	err = vol_unroute(&self->v);
	if (self->fd) {
		close(self->fd);
		close(self->bfd);
		unlink(vol_path("f"));
		/* the new one gets the blocks of that */
		vol_sync();
	}
	self->fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	self->bfd = vol_open("f", O_RDWR);
	err = err ?: vol_prefill("f", 0, self->at, 1);
	pattern_fill(self->buf, self->len, self->at, gen);
	if (!err && pwrite(self->fd, self->buf, self->len, self->at) != self->len)
		err = -EIO;
	vol_sync();
	err = err ?: vol_find(&self->v, self->at, self->len, gen, &map);
	if (!err && ftruncate(self->fd, self->at))
		err = -errno;
	vol_sync();
	for (i = 0; !err && i < map.nr; i++)
		map.e[i].writes = true;
	if (fstat(self->fd, &st))
		return -errno;
	self->blocks = st.st_blocks * 512 / self->bs;
	self->unused = free_blocks();
	return err ?: vol_route(&self->v, &map);
}

/* It is in flight, from EOF on. */
static void hold(struct __test_metadata *_metadata, FIXTURE_DATA(dio_allocate) * self)
{
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	self->op = (struct io_op){ self->bfd, NULL, self->len, self->at };
	ASSERT_EQ(0, task_start(&self->task, op_zero, &self->op));
	ASSERT_BLOCKED(&self->task);
	EXPECT_EQ(self->at, file_size(self->bfd));
	EXPECT_EQ(0, pread(self->bfd, self->back, self->bs, self->at));
	EXPECT_EQ(0, pread(self->fd, self->back, self->bs, self->at));
}

static void release(struct __test_metadata *_metadata, FIXTURE_DATA(dio_allocate) * self)
{
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&self->task, JOIN_SECONDS));
}

/* What does not wait for it. */
static void expect_done(struct __test_metadata *_metadata, long want, long (*fn)(void *arg), struct io_op op)
{
	struct task task;

	ASSERT_EQ(0, task_start(&task, fn, &op));
	ASSERT_DONE(&task);
	EXPECT_EQ(want, task_join(&task, JOIN_SECONDS));
}

static long op_append(void *arg)
{
	struct io_op *op = arg;
	const struct iovec iov = { op->buf, op->len };
	ssize_t n = pwritev2(op->fd, &iov, 1, 0, RWF_APPEND);

	return n < 0 ? -errno : n;
}

FIXTURE_SETUP(dio_allocate)
{
	if (!env_is_retryfs())
		SKIP(return, "a mount option of retryfs");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	self->bs = self->v.bs;
	self->at = START;
	self->len = LEN * self->bs;
	self->end = self->at + self->len;
	self->buf = buf_alloc(self->len);
	self->back = buf_alloc(self->end + 4 * self->len);
	ASSERT_EQ(0, begin(self));
}

FIXTURE_TEARDOWN(dio_allocate)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

/* Requests to other blocks go on beside it, and nobody sees the blocks before they are zeroed. */
TEST_F(dio_allocate, beside_others)
{
	const off_t bs = self->bs, at = self->at, end = self->end, size = end + bs + self->len;
	const int first = at / bs, last = end / bs - 1;

	hold(_metadata, self);
	pattern_fill(self->buf, bs, at - bs, 2);
	expect_done(_metadata, bs, op_pwrite, (struct io_op){ self->fd, self->buf, bs, at - bs });
	/* behind where it will end */
	pattern_fill(self->buf, bs, end, 2);
	expect_done(_metadata, bs, op_append, (struct io_op){ self->fd, self->buf, bs });
	EXPECT_EQ(end + bs, file_size(self->fd));
	expect_done(_metadata, 0, op_allocate, (struct io_op){ self->bfd, NULL, self->len, end + bs });
	EXPECT_EQ(size, file_size(self->fd));
	ASSERT_EQ(self->len, pread(self->fd, self->back, self->len, at));
	EXPECT_ZERO(self->back, self->len, at);
	ASSERT_EQ(self->len, pread(self->bfd, self->back, self->len, at));
	EXPECT_ZERO(self->back, self->len, at);
	EXPECT_EQ(0, block_of(self->fd, first));
	EXPECT_EQ(0, block_of(self->fd, last));

	release(_metadata, self);
	EXPECT_EQ(size, file_size(self->fd));
	EXPECT_LT(0, block_of(self->fd, first));
	EXPECT_LT(0, block_of(self->fd, last));
	close(self->fd);
	close(self->bfd);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(size, vol_read("f", O_DIRECT, self->back, size, 0));
	EXPECT_PATTERN(self->back, at - bs, 0, 1);
	EXPECT_PATTERN(self->back + at - bs, bs, at - bs, 2);
	EXPECT_ZERO(self->back + at, self->len, at);
	EXPECT_PATTERN(self->back + end, bs, end, 2);
	EXPECT_ZERO(self->back + end + bs, self->len, end + bs);
}

/* It waits for no overwrite that is in flight. */
TEST_F(dio_allocate, beside_an_overwrite)
{
	const off_t bs = self->bs, at = self->at;
	aio_context_t ctx;
	struct vol_map map;
	struct iocb cb, *list = &cb;
	struct io_event ev;

	ASSERT_EQ(0, vol_find(&self->v, at - bs, bs, 1, &map));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(self->buf, bs, at - bs, 2);
	aio_prep_write(&cb, self->fd, self->buf, bs, at - bs);
	ASSERT_EQ(1, aio_submit(ctx, 1, &list));
	expect_done(_metadata, 0, op_zero, (struct io_op){ self->bfd, NULL, self->len, at });
	EXPECT_EQ(self->end, file_size(self->fd));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(bs, ev.res);
	ASSERT_EQ(self->end, pread(self->fd, self->back, self->end, 0));
	EXPECT_PATTERN(self->back + at - bs, bs, at - bs, 2);
	EXPECT_ZERO(self->back + at, self->len, at);
}

/* It waits for a write in flight to the same blocks, and is behind that. */
TEST_F(dio_allocate, waits_for_the_same_blocks)
{
	const off_t bs = self->bs, at = self->at;
	aio_context_t ctx;
	struct iocb cb, *list = &cb;
	struct io_event ev;
	struct task task;
	struct io_op op = { self->bfd, NULL, self->len, at };

	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(self->buf, bs, at, 2);
	aio_prep_write(&cb, self->fd, self->buf, bs, at);
	ASSERT_EQ(1, aio_submit(ctx, 1, &list));
	ASSERT_EQ(0, task_start(&task, op_zero, &op));
	ASSERT_BLOCKED(&task);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(bs, ev.res);
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(self->end, pread(self->fd, self->back, self->end + self->bs, 0));
	EXPECT_PATTERN(self->back, at, 0, 1);
	EXPECT_ZERO(self->back + at, self->len, at);
}

/* What changes the size, or needs its blocks, waits for it. */
TEST_F(dio_allocate, others_wait)
{
	const off_t bs = self->bs, at = self->at, end = self->end, len = self->len;
	const struct {
		long (*fn)(void *io_op);
		bool direct;
		off_t off, len, size;
		/* what the blocks before and behind the old EOF have then: a generation, or zeroes */
		int before, behind;
	} ops[] = {
		{ op_ftruncate, false, at - bs, 0, at - bs, -1, -1 },
		{ op_ftruncate, false, end + len, 0, end + len, 1, 0 },
		{ op_punch, false, at - bs, bs, end, 0, 0 },
		{ op_pwrite, false, at - bs, bs, end, 2, 0 },
		{ op_append, false, end, bs, end + bs, 1, 0 },
		{ op_pwrite, true, at, bs, end, 1, 2 },
		{ op_zero, false, at - bs, 2 * bs, end, 0, 0 },
		{ op_allocate, false, at + bs, len, end + bs, 1, 0 },
	};
	struct task task;
	int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		struct io_op op = { ops[i].direct ? self->fd : self->bfd, self->buf, ops[i].len, ops[i].off };
		const bool writes = ops[i].fn == op_pwrite || ops[i].fn == op_append;

		ASSERT_EQ(0, begin(self));
		pattern_fill(self->buf, bs, ops[i].off, 2);
		hold(_metadata, self);
		ASSERT_EQ(0, task_start(&task, ops[i].fn, &op));
		EXPECT_BLOCKED(&task)
			TH_LOG("%d", i);
		EXPECT_EQ(at, file_size(self->fd));
		release(_metadata, self);
		EXPECT_EQ(writes ? bs : 0, task_join(&task, JOIN_SECONDS));
		EXPECT_EQ(ops[i].size, file_size(self->fd))
			TH_LOG("%d", i);
		ASSERT_EQ(ops[i].size, pread(self->bfd, self->back, end + 4 * len, 0));
		EXPECT_PATTERN(self->back, at - bs, 0, 1);
		if (ops[i].before > 0)
			EXPECT_PATTERN(self->back + at - bs, bs, at - bs, ops[i].before);
		else if (!ops[i].before)
			EXPECT_ZERO(self->back + at - bs, bs, at - bs);
		if (ops[i].behind > 0)
			EXPECT_PATTERN(self->back + at, bs, at, ops[i].behind);
		else if (!ops[i].behind)
			EXPECT_ZERO(self->back + at, bs, at);
		if (ops[i].size >= end)
			EXPECT_ZERO(self->back + at + bs, len - bs, at + bs);
	}
}

/* A store to its blocks, when another one has moved EOF behind them, waits for it, and is kept. */
TEST_F(dio_allocate, store_waits)
{
	const off_t at = self->at;
	struct store_op store = { .c = 'x' };
	struct task task;
	char *map;

	hold(_metadata, self);
	expect_done(_metadata, 0, op_allocate, (struct io_op){ self->bfd, NULL, self->len, self->end });
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, self->bfd, at);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, map[100]);
	store.at = map + 100;
	ASSERT_EQ(0, task_start(&task, op_store, &store));
	EXPECT_BLOCKED(&task);
	release(_metadata, self);
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(0, munmap(map, 4096));
	close(self->fd);
	close(self->bfd);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(self->end + self->len, vol_read("f", O_DIRECT, self->back, self->end + 2 * self->len, 0));
	EXPECT_PATTERN(self->back, at, 0, 1);
	EXPECT_EQ('x', self->back[at + 100]);
	EXPECT_ZERO(self->back + at, 100, at);
	EXPECT_ZERO(self->back + at + 101, 2 * self->len - 101, at + 101);
}

/* What is stored behind EOF, in its page, meanwhile, is not in the file then. */
TEST_F(dio_allocate, stored_behind_the_end)
{
	const off_t bs = self->bs, eof = self->at - 3 * bs;
	char *map;

	if (bs != 1024)
		SKIP(return, "the end of the file is that of its last page");
	/* the blocks that are held are behind the hole */
	ASSERT_EQ(0, ftruncate(self->fd, eof));
	vol_sync();
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, self->bfd, eof / 4096 * 4096);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	self->op = (struct io_op){ self->bfd, NULL, 3 * bs, eof };
	ASSERT_EQ(0, task_start(&self->task, op_allocate, &self->op));
	ASSERT_BLOCKED(&self->task);
	memset(map + (eof & 4095), 'x', 3 * bs);
	release(_metadata, self);
	EXPECT_ZERO(map + (eof & 4095), 3 * bs, eof);
	ASSERT_EQ(0, munmap(map, 4096));
	ASSERT_EQ(eof + 3 * bs, pread(self->fd, self->back, self->end, 0));
	EXPECT_PATTERN(self->back, eof, 0, 1);
	EXPECT_ZERO(self->back + eof, 3 * bs, eof);
	/* nobody is told of a collision */
	EXPECT_EQ(0, fsync(self->bfd));
}

/* The same in its block, where the inode lock is held. */
TEST_F(dio_allocate, stored_behind_the_end_in_a_block)
{
	const off_t eof = self->at - 100, page = self->at - 4096, end = self->at + self->len;
	char *map;

	ASSERT_EQ(0, ftruncate(self->fd, eof));
	vol_sync();
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, self->bfd, page);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	/* from now on it can be stored to */
	ASSERT_EQ(0, store(map, map[0]));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	self->op = (struct io_op){ self->bfd, NULL, end - eof, eof };
	ASSERT_EQ(0, task_start(&self->task, op_allocate, &self->op));
	ASSERT_BLOCKED(&self->task);
	memset(map + (eof & 4095), 'x', 100);
	release(_metadata, self);
	EXPECT_EQ(end, file_size(self->fd));
	EXPECT_ZERO(map + (eof & 4095), 100, eof);
	/* and what is stored now is in the file */
	map[4095] = 'y';
	ASSERT_EQ(0, fsync(self->bfd));
	ASSERT_EQ(0, munmap(map, 4096));
	ASSERT_EQ(end, pread(self->fd, self->back, end, 0));
	EXPECT_PATTERN(self->back, eof, 0, 1);
	EXPECT_ZERO(self->back + eof, 99, eof);
	EXPECT_EQ('y', self->back[self->at - 1]);
	EXPECT_ZERO(self->back + self->at, self->len, self->at);
}

/* Its blocks are given back when the device fails, and what others have added since stays. */
TEST_F(dio_allocate, on_a_failing_device)
{
	const off_t bs = self->bs, at = self->at, end = self->end;
	/* of an append: a block, and one of pointers if that is the first below it */
	const long more = blocks_needed(bs, end + bs) - blocks_needed(bs, end);
	bool appends;

	for (appends = false;; appends = true) {
		ASSERT_EQ(0, begin(self));
		hold(_metadata, self);
		pattern_fill(self->buf, bs, end, 2);
		if (appends)
			expect_done(_metadata, bs, op_append, (struct io_op){ self->fd, self->buf, bs });
		ASSERT_EQ(0, vol_fail_routed(&self->v));
		EXPECT_EQ(-EIO, task_join(&self->task, JOIN_SECONDS));
		ASSERT_EQ(0, vol_unroute(&self->v));
		EXPECT_SIZE_AND_BLOCKS(self->fd, appends ? end + bs : at, self->blocks + (appends ? more : 0), bs);
		EXPECT_EQ(self->unused - (appends ? more : 0), free_blocks());
		if (appends)
			break;
		EXPECT_TRUE(vol_holds("f", at, 1));
	}
	ASSERT_EQ(end + bs, pread(self->fd, self->back, end + 2 * bs, 0));
	EXPECT_PATTERN(self->back, at, 0, 1);
	EXPECT_ZERO(self->back + at, self->len, at);
	EXPECT_PATTERN(self->back + end, bs, end, 2);
	EXPECT_EQ(0, block_of(self->fd, at / bs));
	/* and it can be done again */
	EXPECT_EQ(0, allocate(self->fd, 0, at, self->len));
	EXPECT_EQ(end + bs, file_size(self->fd));
}

/* A signal that kills ends it, and EOF stays where it was; also where it has got blocks of pointers. */
TEST_F(dio_allocate, killed)
{
	int far, status;
	pid_t pid;

	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	for (far = 0; far <= 300; far += 300) {
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(allocate(self->bfd, 0, self->at + far * self->bs, self->len) ? 1 : 0);
		/* it has taken blocks, and waits for the device to zero them */
		while (free_blocks() > self->unused - LEN && !waitpid(pid, &status, WNOHANG))
			usleep(1000);
		EXPECT_GE(self->unused - LEN - !!far, free_blocks());
		EXPECT_EQ(self->at, file_size(self->bfd));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_SIZE_AND_BLOCKS(self->bfd, self->at, self->blocks, self->bs);
		EXPECT_EQ(self->unused, free_blocks());
	}
	EXPECT_TRUE(vol_holds("f", self->at, 1));
}

/* Nothing is left of it when there is no space, and others in flight are not disturbed. */
TEST_F(dio_allocate, without_space)
{
	const off_t bs = self->bs, at = self->at;
	/* one of pointers stays that was for it, while others are in flight */
	const long used = LEN + blocks_needed(bs, self->end + bs) - blocks_needed(bs, self->end) - 1;

	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, fill_up(&self->v, LEN + 2));
	self->unused = free_blocks();
	ASSERT_EQ(0, vol_route_writes(&self->v));
	hold(_metadata, self);
	expect_done(_metadata, -ENOSPC, op_allocate, (struct io_op){ self->bfd, NULL, self->len, self->end });
	EXPECT_EQ(at, file_size(self->fd));
	EXPECT_EQ(self->unused - used, free_blocks());
	release(_metadata, self);
	EXPECT_SIZE_AND_BLOCKS(self->fd, self->end, self->blocks + used, bs);
	EXPECT_EQ(self->unused - used, free_blocks());
}

/* Nothing leads to the blocks on the device, whoever syncs, before they are zeroed; and then an fsync has all of it there. */
TEST_F(dio_allocate, power_lost)
{
	struct io_op op = { .fd = self->bfd };
	uint32_t block, pointers;

	hold(_metadata, self);
	ASSERT_EQ(0, fchmod(self->bfd, 0600));
	expect_done(_metadata, 0, op_fsync, op);
	ASSERT_EQ(0, ext2_block(&self->v, "f", self->at / self->bs, &block, &pointers));
	EXPECT_EQ(0, block);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", self->at, 1));
	release(_metadata, self);
	EXPECT_EQ(0, fsync(self->bfd));
	ASSERT_EQ(0, lose_power(&self->v));
	ASSERT_EQ(self->end, lost_read("f", self->back, self->end + self->len));
	EXPECT_PATTERN(self->back, self->at, 0, 1);
	EXPECT_ZERO(self->back + self->at, self->len, self->at);
}

VOL_FIXTURE(dio_allocate_large);
FIXTURE_VARIANT_ADD(dio_allocate_large, bs1k) {
	.conf = { .bs = 1024, .isize = 128, .mib = 256, .no_poison = true, .options = "async_alloc" }
};

/* What is too much to be done at once is done in steps: if there is room for all of it, and as far as the device does it. */
TEST_F(dio_allocate_large, in_steps)
{
	const off_t len = 150 * MIB, step = 64 * MIB;
	long before;
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "a mount option of retryfs");
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	before = free_blocks();
	EXPECT_EQ(-ENOSPC, allocate(fd, 0, 0, 300 * MIB));
	EXPECT_SIZE_AND_BLOCKS(fd, 0, 0, 1024);
	EXPECT_EQ(before, free_blocks());
	ASSERT_EQ(0, allocate(fd, FALLOC_FL_ZERO_RANGE, 0, len));
	EXPECT_SIZE_AND_BLOCKS(fd, len, blocks_needed(1024, len), 1024);
	ASSERT_EQ(0, ftruncate(fd, 0));
	vol_sync();
	EXPECT_EQ(before, free_blocks());
	ASSERT_EQ(0, vol_cut(&self->v, 100 * MIB / 512));
	EXPECT_EQ(-EIO, allocate(fd, 0, 0, len));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_SIZE_AND_BLOCKS(fd, step, blocks_needed(1024, step), 1024);
	close(fd);
}

TEST_HARNESS_MAIN
