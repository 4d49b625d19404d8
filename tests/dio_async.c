// SPDX-License-Identifier: GPL-2.0
/*
 * The mount option async_alloc: direct writes to new blocks are not waited for, and their
 * retries link the blocks and move i_size, in whatever order they end. What others do to
 * the file meanwhile.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "allocate.h"
#include "blocks.h"
#include "ext2.h"
#include "harness.h"
#include "powerloss.h"
#include "stop.h"

FIXTURE(dio_async) {
	struct vol v;
};

FIXTURE_VARIANT(dio_async) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_async, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_async, bs4k) { .conf = SMALL_4K };

static int remount(const char *options)
{
	return mount(NULL, env_dir(), NULL, MS_REMOUNT, options) ? -errno : 0;
}

FIXTURE_SETUP(dio_async)
{
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	ASSERT_EQ(0, remount("async_alloc"));
}

FIXTURE_TEARDOWN(dio_async)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

enum { DEPTH = 32, LEN = 4, START = 3 };

struct queue_of {
	aio_context_t ctx;
	struct iocb cb[DEPTH], *list[DEPTH];
};

/* @nr requests write @len bytes of generation 1 each, one behind the other from @at on, every @step-th first. */
static void prepare(struct queue_of *q, int fd, char *buf, size_t len, off_t at, int nr, int step)
{
	int i;

	pattern_fill(buf, nr * len, at, 1);
	for (i = 0; i < nr; i++) {
		const int k = i * step % nr;

		aio_prep_write(&q->cb[i], fd, buf + k * len, len, at + k * len);
		q->list[i] = &q->cb[i];
	}
}

/* All are in flight at once, and nothing is seen of them. */
static void all_in_flight(struct __test_metadata *_metadata, struct vol *v, off_t size, off_t at,
			  int step)
{
	const size_t len = LEN * v->bs, all = DEPTH * len;
	char *buf = buf_alloc(all), *back = buf_alloc(at + all + v->bs);
	struct io_event ev[DEPTH];
	struct queue_of q;
	struct submit_op sub;
	struct task submit;
	int fd, bfd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, START * v->bs, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, ftruncate(fd, size));
	vol_sync();
	ASSERT_EQ(0, ext2_poison_free(v));
	ASSERT_EQ(0, aio_setup(DEPTH, &q.ctx));
	prepare(&q, fd, buf, len, at, DEPTH, step);
	ASSERT_EQ(0, vol_route_writes(v));
	ASSERT_EQ(0, vol_hold_routed(v));
	sub = (struct submit_op){ q.ctx, DEPTH, q.list };
	ASSERT_EQ(0, task_start(&submit, op_submit, &sub));
	ASSERT_DONE(&submit);
	ASSERT_EQ(DEPTH, task_join(&submit, JOIN_SECONDS));
	EXPECT_EQ(0, aio_events(q.ctx, 0, DEPTH, ev, 0));
	EXPECT_EQ(size, file_size(fd));
	for (i = 0; i < DEPTH * LEN; i += 7)
		EXPECT_EQ(0, block_of(fd, at / v->bs + i));
	ASSERT_EQ(size, pread(bfd, back, at + all, 0));
	EXPECT_PATTERN(back, START * v->bs, 0, 1);
	EXPECT_ZERO(back + START * v->bs, size - START * v->bs, START * v->bs);
	ASSERT_EQ(0, vol_release_routed(v));
	ASSERT_EQ(DEPTH, aio_events(q.ctx, DEPTH, DEPTH, ev, JOIN_SECONDS * 1000));
	for (i = 0; i < DEPTH; i++)
		EXPECT_EQ(len, ev[i].res);
	EXPECT_EQ(at + all, file_size(fd));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(at + all, pread(i ? fd : bfd, back, at + all + v->bs, 0));
		EXPECT_PATTERN(back + at, all, at, 1);
	}
	EXPECT_SIZE_AND_BLOCKS(fd, at + all, blocks_needed(v->bs, at + all), v->bs);
	ASSERT_EQ(0, vol_unroute(v));
	ASSERT_EQ(0, aio_destroy(q.ctx));
	close(fd);
	close(bfd);
	ASSERT_EQ(0, vol_umount_soon(v));
	ASSERT_EQ(0, vol_mount(v, env_fstype(), 0, NULL));
	ASSERT_EQ(at + all, vol_read("f", 0, back, at + all + v->bs, 0));
	EXPECT_PATTERN(back, at + all, 0, 1);
}

TEST_F(dio_async, appends)
{
	all_in_flight(_metadata, &self->v, START * self->v.bs, START * self->v.bs, 1);
}

TEST_F(dio_async, fills)
{
	const off_t at = START * self->v.bs;

	all_in_flight(_metadata, &self->v, at + DEPTH * LEN * self->v.bs, at, 5);
}

static bool is_shown(const char *option)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char line[512];
	bool shown = false;

	while (fgets(line, sizeof(line), mounts))
		if (strstr(line, env_dir()))
			shown = strstr(line, option);
	fclose(mounts);
	return shown;
}

/* Without the option, and again with it. */
TEST_F(dio_async, remounted)
{
	struct counters c0, c1;
	char *buf = buf_alloc(self->v.bs);
	int fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT), i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, remount(i ? "async_alloc" : "noasync_alloc"));
		EXPECT_TRUE(is_shown(i ? ",async_alloc" : ",noasync_alloc"));
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
		pattern_fill(buf, self->v.bs, i * self->v.bs, 1);
		ASSERT_EQ(self->v.bs, do_write(ASYNC, fd, buf, self->v.bs, i * self->v.bs));
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.sync_extend + !i, c1.sync_extend);
		EXPECT_EQ(c0.async + i, c1.async);
	}
}

/* "f" of START blocks; where it will have the next LEN, and the LEN behind them: gen 9. */
static int foresee(struct vol *v, int fd, struct vol_map *map)
{
	const off_t at = START * v->bs, len = LEN * v->bs;
	char *buf = buf_alloc(2 * len);
	int err;

	pattern_fill(buf, 2 * len, at, 9);
	if (do_write(SYNC, fd, buf, 2 * len, at) != 2 * len)
		return -EIO;
	vol_sync();
	err = vol_find(v, at, len, 9, map);
	if (!err && ftruncate(fd, at))
		err = -errno;
	vol_sync();
	return err;
}

/* The second of two appends ends first: i_size moves, and what is below reads as a hole. */
TEST_F(dio_async, later_one_first)
{
	const off_t bs = self->v.bs, at = START * bs, len = LEN * bs;
	char *buf = buf_alloc(2 * len), *back = buf_alloc(at + 3 * len);
	struct io_event ev;
	struct queue_of q;
	struct vol_map map;
	int fd, bfd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, at, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, foresee(&self->v, fd, &map));
	ASSERT_EQ(0, aio_setup(DEPTH, &q.ctx));
	prepare(&q, fd, buf, len, at, 2, 1);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(2, aio_submit(q.ctx, 2, q.list));
	ASSERT_EQ(1, aio_events(q.ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ((uint64_t)(uintptr_t)&q.cb[1], ev.obj);
	EXPECT_EQ(at + 2 * len, file_size(fd));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(at + 2 * len, pread(i ? fd : bfd, back, at + 3 * len, 0));
		EXPECT_PATTERN(back, at, 0, 1);
		EXPECT_ZERO(back + at, len, at);
		EXPECT_PATTERN(back + at + len, len, at + len, 1);
	}
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(q.ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(at + 2 * len, pread(i ? fd : bfd, back, at + 3 * len, 0));
		EXPECT_PATTERN(back, at + 2 * len, 0, 1);
	}
}

/* A request to a block that is new in another one, and appends, which go behind each other. */
TEST_F(dio_async, two_requests)
{
	const off_t bs = self->v.bs, at = START * bs;
	char *buf = buf_alloc(8 * bs), *back = buf_alloc(64 * bs);
	struct io_event ev[3];
	struct queue_of q;
	struct task writer;
	struct io_op wr;
	int fd, afd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, at, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	afd = vol_open("f", O_RDWR | O_DIRECT | O_APPEND);
	vol_sync();
	ASSERT_EQ(0, aio_setup(DEPTH, &q.ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, 8 * bs, at, 1);
	/* a part of a block, and the next part */
	aio_prep_write(&q.cb[0], fd, buf, bs + 512, at);
	aio_prep_write(&q.cb[1], afd, buf + bs + 512, 2 * bs - 512, 0);
	aio_prep_write(&q.cb[2], afd, buf + 3 * bs, bs, 0);
	for (i = 0; i < 3; i++)
		q.list[i] = &q.cb[i];
	ASSERT_EQ(1, aio_submit(q.ctx, 1, q.list));
	wr = (struct io_op){ fd, buf + bs, bs, at + bs };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	ASSERT_BLOCKED(&writer);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(bs, task_join(&writer, JOIN_SECONDS));
	ASSERT_EQ(1, aio_events(q.ctx, 1, 1, ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(bs + 512, ev[0].res);
	EXPECT_EQ(at + 2 * bs, file_size(fd));
	ASSERT_EQ(0, ftruncate(fd, at + bs));
	vol_sync();

	ASSERT_EQ(0, vol_hold_routed(&self->v));
	for (i = 0; i < 3; i++)
		aio_prep_write(&q.cb[i], afd, buf + (1 + 2 * i) * bs, 2 * bs, 0);
	ASSERT_EQ(3, aio_submit(q.ctx, 3, q.list));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(3, aio_events(q.ctx, 3, 3, ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(at + 7 * bs, file_size(fd));
	ASSERT_EQ(at + 7 * bs, pread(fd, back, 64 * bs, 0));
	EXPECT_PATTERN(back, at + 7 * bs, 0, 1);
}

/*
 * A write that moves EOF within a block that the file has is not waited for either; who writes to that
 * block, or moves EOF, waits for it.
 */
TEST_F(dio_async, within_the_last_block)
{
	enum { SECTOR = 512 };
	const off_t bs = self->v.bs, at = START * bs;
	char *buf = buf_alloc(SECTOR), *more = buf_alloc(3 * SECTOR), *back = buf_alloc(at + 2 * bs);
	static long (*const ops[])(void *op) = { op_pwrite, op_pwrite, op_ftruncate };
	struct io_event ev;
	struct queue_of q;
	struct task task;
	int fd, bfd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, at + SECTOR, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, aio_setup(DEPTH, &q.ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	pattern_fill(more, 3 * SECTOR, at, 2);
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		/* over it, directly and by the page cache; to cut it off */
		const off_t end[] = { at + 3 * SECTOR, at + 3 * SECTOR, at };
		struct io_op other = { i == 0 ? fd : bfd, more, 3 * SECTOR, i == 2 ? end[i] : at };

		ASSERT_EQ(0, ftruncate(fd, at + SECTOR));
		vol_sync();
		prepare(&q, fd, buf, SECTOR, at + SECTOR, 1, 1);
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(1, aio_submit(q.ctx, 1, q.list));
		EXPECT_EQ(at + SECTOR, file_size(fd));
		ASSERT_EQ(0, task_start(&task, ops[i], &other));
		EXPECT_BLOCKED(&task);
		EXPECT_EQ(at + SECTOR, file_size(fd));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(i == 2 ? 0 : 3 * SECTOR, task_join(&task, JOIN_SECONDS));
		ASSERT_EQ(1, aio_events(q.ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
		EXPECT_EQ(SECTOR, ev.res);
		ASSERT_EQ(end[i], pread(bfd, back, at + 2 * bs, 0));
		EXPECT_PATTERN(back, at, 0, 1);
		EXPECT_PATTERN(back + at, end[i] - at, at, 2);
	}
}

static long op_punch(void *arg)
{
	struct io_op *op = arg;
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return fallocate(op->fd, mode, op->off, op->len) ? -errno : 0;
}

/* What changes the size or the blocks of the file waits for all that is in flight. */
TEST_F(dio_async, others_wait)
{
	const off_t bs = self->v.bs, at = START * bs, len = LEN * bs;
	char *buf = buf_alloc(len), *more = buf_alloc(bs), *back = buf_alloc(at + 4 * len);
	struct io_op other;
	static long (*const ops[])(void *op) = { op_pwrite, op_ftruncate, op_ftruncate, op_punch,
						op_allocate };
	struct io_event ev;
	struct queue_of q;
	struct task task;
	int fd, bfd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, at, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, aio_setup(DEPTH, &q.ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	pattern_fill(more, bs, at + len, 1);
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		const off_t size[] = { at + len + bs, at + 3 * len, at + bs, at + len, at + len };

		ASSERT_EQ(0, ftruncate(fd, at));
		vol_sync();
		prepare(&q, fd, buf, len, at, 1, 1);
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(1, aio_submit(q.ctx, 1, q.list));
		/* what is written is behind the blocks in flight, and waits for none of them alone */
		other = (struct io_op){ bfd, more, bs, i == 0 ? at + len : i < 3 ? size[i] : at };
		/* a part of it inside the file */
		if (ops[i] == op_allocate)
			other = (struct io_op){ bfd, NULL, 2 * bs, at - bs };
		ASSERT_EQ(0, task_start(&task, ops[i], &other));
		EXPECT_BLOCKED(&task);
		EXPECT_EQ(at, file_size(fd));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(i == 0 ? bs : 0, task_join(&task, JOIN_SECONDS));
		ASSERT_EQ(1, aio_events(q.ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
		EXPECT_EQ(len, ev.res);
		EXPECT_EQ(size[i], file_size(fd));
		ASSERT_EQ(size[i], pread(bfd, back, at + 4 * len, 0));
		EXPECT_PATTERN(back, at, 0, 1);
		if (i == 0)
			EXPECT_PATTERN(back + at, len + bs, at, 1);
		else if (i == 3)
			EXPECT_ZERO(back + at, bs, at);
		else
			EXPECT_PATTERN(back + at, bs, at, 1);
		if (i != 2)
			EXPECT_PATTERN(back + at + bs, len - bs, at + bs, 1);
	}
}

static long op_store(void *arg)
{
	char *map = arg;

	map[100] = 'x';
	return msync(map, 4096, MS_SYNC) ? -errno : 0;
}

/* A store to a hole that is being filled waits for the block, and gets no other. */
TEST_F(dio_async, store_to_the_hole)
{
	const off_t bs = self->v.bs, at = 4 * 4096, len = 4096;
	char *buf = buf_alloc(len), *map, *back = buf_alloc(at + 2 * len);
	struct io_event ev;
	struct queue_of q;
	struct task task;
	long before;
	int fd, bfd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, ftruncate(fd, at + 2 * len));
	ASSERT_EQ(0, fsync(fd));
	before = free_blocks();
	ASSERT_EQ(0, aio_setup(DEPTH, &q.ctx));
	prepare(&q, fd, buf, len, at, 1, 1);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(1, aio_submit(q.ctx, 1, q.list));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, bfd, at);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, task_start(&task, op_store, map));
	EXPECT_BLOCKED(&task);
	EXPECT_EQ(0, block_of(fd, at / bs));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(1, aio_events(q.ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	ASSERT_EQ(0, munmap(map, 4096));
	EXPECT_EQ(0, fsync(bfd));
	EXPECT_EQ(before - len / bs - (at / bs + len / bs > 12), free_blocks());
	ASSERT_EQ(at + 2 * len, pread(bfd, back, at + 2 * len, 0));
	EXPECT_FALSE(has_poison(back, at + 2 * len));
	EXPECT_ZERO(back, at, 0);
	EXPECT_ZERO(back + at + len, len, at + len);
}

/* The device fails: nothing of it was ever in the file. */
TEST_F(dio_async, failing_device)
{
	const off_t bs = self->v.bs, at = START * bs, len = LEN * bs;
	char *buf = buf_alloc(2 * len), *back = buf_alloc(at + 3 * len);
	struct io_event ev[2];
	struct vol_map map;
	struct queue_of q;
	long before;
	int fd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, at, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(0, foresee(&self->v, fd, &map));
	before = free_blocks();
	ASSERT_EQ(0, aio_setup(DEPTH, &q.ctx));
	prepare(&q, fd, buf, len, at, 2, 1);
	/* the first of two, */
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	ASSERT_EQ(2, aio_submit(q.ctx, 2, q.list));
	ASSERT_EQ(2, aio_events(q.ctx, 2, 2, ev, JOIN_SECONDS * 1000));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(ev[i].obj == (uint64_t)(uintptr_t)&q.cb[0] ? -EIO : len, ev[i].res);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(before - LEN, free_blocks());
	ASSERT_EQ(at + 2 * len, pread(fd, back, at + 3 * len, 0));
	EXPECT_ZERO(back + at, len, at);
	EXPECT_PATTERN(back + at + len, len, at + len, 1);
	/* and all */
	ASSERT_EQ(0, ftruncate(fd, at));
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	ASSERT_EQ(2, aio_submit(q.ctx, 2, q.list));
	ASSERT_EQ(2, aio_events(q.ctx, 2, 2, ev, JOIN_SECONDS * 1000));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-EIO, ev[i].res);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(before, free_blocks());
	EXPECT_EQ(at, file_size(fd));
}

/* O_DSYNC by the retry: what has its event is there when the power goes. */
TEST_F(dio_async, synchronous)
{
	const off_t bs = self->v.bs, at = START * bs, len = LEN * bs;
	char *buf = buf_alloc(4 * len);
	struct io_event ev[4];
	struct queue_of q;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, at, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT | O_DSYNC);
	vol_sync();
	ASSERT_EQ(0, aio_setup(DEPTH, &q.ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	prepare(&q, fd, buf, len, at, 4, 3);
	ASSERT_EQ(4, aio_submit(q.ctx, 4, q.list));
	EXPECT_EQ(0, aio_events(q.ctx, 0, 4, ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(4, aio_events(q.ctx, 4, 4, ev, JOIN_SECONDS * 1000));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", at + 4 * len, 1));
}

struct stopped_read {
	struct stop stop;
	struct iocb cb;
};

static long read_and_stop(void *arg)
{
	struct stopped_read *r = arg;
	int err = stop_me_at(&r->stop, "retryfs/retryfs_dio_submit");

	return err ? err : aio_do(&r->cb);
}

/*
 * A read has found the hole that has EOF in it, and a write that is in flight fills that, and moves EOF: what the read
 * has beyond that is what was written.
 */
static void eof_moves_under_a_read(struct __test_metadata *_metadata, struct vol *v, int rwf)
{
	enum { EOF_AT = 512, PAGE = 4096 };
	char *buf = buf_alloc(EOF_AT), *back = buf_alloc(PAGE);
	struct iocb cb, *list = &cb;
	struct stopped_read r;
	struct io_event ev;
	aio_context_t ctx;
	struct task t;
	long n;
	int fd;

	ASSERT_EQ(0, stop_stay_away(&r.stop));
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_EQ(0, ftruncate(fd, EOF_AT));
	/* what is free is in memory then */
	ASSERT_EQ(0, vol_prefill("g", 0, PAGE, 1));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	pattern_fill(buf, EOF_AT, EOF_AT, 1);
	ASSERT_EQ(0, vol_hold(v));
	aio_prep_write(&cb, fd, buf, EOF_AT, EOF_AT);
	ASSERT_EQ(1, aio_submit(ctx, 1, &list));
	aio_prep_read(&r.cb, fd, back, PAGE, 0);
	r.cb.aio_rw_flags = rwf;
	ASSERT_EQ(0, task_start(&t, read_and_stop, &r));
	ASSERT_TRUE(stop_wait(&r.stop, JOIN_SECONDS));
	ASSERT_EQ(0, vol_release(v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(EOF_AT, ev.res);
	ASSERT_EQ(2 * EOF_AT, file_size(fd));
	ASSERT_TRUE(stop_go(&r.stop));
	n = task_join(&t, JOIN_SECONDS);
	ASSERT_LE(EOF_AT, n);
	EXPECT_ZERO(back, EOF_AT, 0);
	EXPECT_PATTERN(back + EOF_AT, n - EOF_AT, EOF_AT, 1);
	ASSERT_EQ(2 * EOF_AT, pread(fd, back, PAGE, 0));
	EXPECT_PATTERN(back + EOF_AT, EOF_AT, EOF_AT, 1);
}

TEST_F(dio_async, eof_moves_under_a_read)
{
	eof_moves_under_a_read(_metadata, &self->v, 0);
}

TEST_F(dio_async, eof_moves_under_a_read_that_must_not_wait)
{
	eof_moves_under_a_read(_metadata, &self->v, RWF_NOWAIT);
}

/* Freezing waits for what is in flight: on the device all is as it says. */
TEST_F(dio_async, frozen)
{
	const off_t bs = self->v.bs, at = START * bs, len = LEN * bs;
	char *buf = buf_alloc(2 * len);
	struct io_event ev[2];
	struct queue_of q;
	struct task freeze;
	int fd, dir;

	ASSERT_EQ(0, vol_prefill("f", 0, at, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	dir = vol_open_dir("");
	ASSERT_EQ(0, aio_setup(DEPTH, &q.ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	prepare(&q, fd, buf, len, at, 2, 1);
	ASSERT_EQ(2, aio_submit(q.ctx, 2, q.list));
	ASSERT_EQ(0, task_start(&freeze, op_freeze, &dir));
	EXPECT_BLOCKED(&freeze);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(0, task_join(&freeze, JOIN_SECONDS));
	ASSERT_EQ(2, aio_events(q.ctx, 0, 2, ev, 0));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", at + 2 * len, 1));
	ASSERT_EQ(0, ioctl(dir, FITHAW, 0));
}

TEST_HARNESS_MAIN
