// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that must not wait, with async_alloc, to new blocks: they are made with what is in
 * memory, or they are EAGAIN and nothing has happened.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocks.h"
#include "harness.h"
#include "nbd.h"
#include "powerloss.h"
#include "stop.h"
#include "uring.h"

FIXTURE(dio_nowait_new) {
	struct vol v;
};

FIXTURE_VARIANT(dio_nowait_new) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_nowait_new, bs1k) { .conf = ASYNC_ALLOC_1K };
FIXTURE_VARIANT_ADD(dio_nowait_new, bs4k) { .conf = ASYNC_ALLOC_4K };

FIXTURE_SETUP(dio_nowait_new)
{
	if (!env_is_retryfs())
		SKIP(return, "a mount option of retryfs");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
}

FIXTURE_TEARDOWN(dio_nowait_new)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

static ssize_t nowait_write(enum way way, int fd, void *buf, size_t len, off_t off, int rwf)
{
	return way_rw(way, true, fd, &(struct iovec){ buf, len }, 1, off, rwf | RWF_NOWAIT);
}

/* A file of @blocks blocks, gen 1, after which the bitmap of its group is in memory. */
static int warm_file(struct vol *v, int blocks)
{
	char *buf = buf_alloc(blocks * v->bs);
	int fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);

	pattern_fill(buf, blocks * v->bs, 0, 1);
	return pwrite(fd, buf, blocks * v->bs, 0) == blocks * v->bs ? fd : -EIO;
}

/* Nothing has to be read: appends and writes to holes are made, by each way. */
TEST_F(dio_nowait_new, appends_and_fills)
{
	const off_t bs = self->v.bs, len = 4 * bs, size = 14 * bs;
	char *buf = buf_alloc(8 * len), *back = buf_alloc(16 * len);
	enum way way, ways = way_setup(buf, 8 * len);
	struct counters c0, c1;
	off_t end = size;
	int fd, n = 0;

	ASSERT_LT(0, (int)ways);
	fd = warm_file(&self->v, size / bs);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (way = ASYNC; way < ways; way++, n += 3) {
		pattern_fill(buf, len, end, 1);
		ASSERT_EQ(len, nowait_write(way, fd, buf, len, end, 0));
		end += len;
		EXPECT_EQ(end, file_size(fd));
		pattern_fill(buf, bs, end, 1);
		ASSERT_EQ(bs, nowait_write(way, fd, buf, bs, 0, RWF_APPEND));
		end += bs;
		EXPECT_EQ(end, file_size(fd));
		ASSERT_EQ(0, ftruncate(fd, end + 2 * len));
		pattern_fill(buf, 2 * len, end, 1);
		ASSERT_EQ(2 * len, nowait_write(way, fd, buf, 2 * len, end, 0));
		end += 2 * len;
	}
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.async + n, c1.async);
	EXPECT_EQ(c0.requests_write + n, c1.requests_write);
	ASSERT_EQ(end, pread(fd, back, 16 * len, 0));
	EXPECT_PATTERN(back, end, 0, 1);
	EXPECT_SIZE_AND_BLOCKS(fd, end, blocks_needed(bs, end), bs);
	/* one that waits itself does not make its submitter wait for the device */
	EXPECT_EQ(-EAGAIN, nowait_write(SYNC, fd, buf, len, end, 0));
}

/* The bitmap is on the device only. */
TEST_F(dio_nowait_new, bitmap_not_in_memory)
{
	const off_t bs = self->v.bs, size = 14 * bs;
	char *buf = buf_alloc(bs);
	struct counters c0, c1;
	long before;
	int fd;

	fd = warm_file(&self->v, size / bs);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	/* what looks for blocks beyond EOF */
	ASSERT_EQ(0, ftruncate(fd, size + 2 * bs));
	ASSERT_EQ(bs, pread(fd, buf, bs, size - bs));
	before = free_blocks();
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	pattern_fill(buf, bs, size, 1);
	EXPECT_EQ(-EAGAIN, nowait_write(ASYNC, fd, buf, bs, size, 0));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_METADATA, 1));
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.requests_write, c1.requests_write);
	EXPECT_EQ(before, free_blocks());
	ASSERT_EQ(bs, pwrite(fd, buf, bs, size));
	pattern_fill(buf, bs, size + bs, 1);
	EXPECT_EQ(bs, nowait_write(ASYNC, fd, buf, bs, size + bs, 0));
}

/* What is no whole blocks, needs a new block of pointers, or goes from a hole over EOF. */
TEST_F(dio_nowait_new, what_waits)
{
	const off_t bs = self->v.bs, at = 12 * bs;
	char *buf = buf_alloc(4 * bs);
	struct iovec iov = { buf, bs };
	long before;
	int fd;

	fd = warm_file(&self->v, 12);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 4 * bs, at, 1);
	before = free_blocks();
	EXPECT_EQ(-EAGAIN, nowait_write(ASYNC, fd, buf, 4 * bs, at, 0));
	/* and it is none in flight, where an append would begin after its end */
	ASSERT_EQ(bs, pwritev2(fd, &iov, 1, 0, RWF_APPEND));
	EXPECT_EQ(at + bs, file_size(fd));
	EXPECT_EQ(before - 2, free_blocks());
	EXPECT_EQ(-EAGAIN, nowait_write(ASYNC, fd, buf, bs + 512, at + bs, 0));
	EXPECT_EQ(-EAGAIN, nowait_write(ASYNC, fd, buf, bs, at + bs + 512, 0));
	ASSERT_EQ(0, ftruncate(fd, at + 2 * bs));
	EXPECT_EQ(-EAGAIN, nowait_write(ASYNC, fd, buf, 2 * bs, at + bs, 0));
	EXPECT_EQ(at + 2 * bs, file_size(fd));
	EXPECT_EQ(before - 2, free_blocks());
	EXPECT_EQ(bs, nowait_write(ASYNC, fd, buf, bs, at + bs, 0));
}

/* With O_DSYNC: the retry syncs. */
TEST_F(dio_nowait_new, synced_by_the_retry)
{
	const off_t bs = self->v.bs, size = 14 * bs;
	char *buf = buf_alloc(bs), *back = buf_alloc(size + 2 * bs);
	struct iocb cb, *list = &cb;
	struct io_event ev;
	aio_context_t ctx;
	int fd;

	fd = warm_file(&self->v, size / bs);
	ASSERT_LE(0, fd);
	vol_sync();
	ASSERT_EQ(0, aio_setup(1, &ctx));
	pattern_fill(buf, bs, size, 1);
	aio_prep_write(&cb, fd, buf, bs, 0);
	cb.aio_rw_flags = RWF_APPEND | RWF_NOWAIT | RWF_DSYNC;
	ASSERT_EQ(1, aio_submit(ctx, 1, &list));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(bs, ev.res);
	ASSERT_EQ(0, lose_power(&self->v));
	ASSERT_EQ(size + bs, lost_read("f", back, size + 2 * bs));
	EXPECT_PATTERN(back, size + bs, 0, 1);
	ASSERT_EQ(0, aio_destroy(ctx));
}

/* Memory that has to be brought in is waited for by who may wait. */
TEST_F(dio_nowait_new, memory_not_there)
{
	const off_t bs = self->v.bs, len = 4096, size = 16 * bs;
	struct counters c0, c1;
	long before;
	char *buf;
	int fd, gfd;

	ASSERT_EQ(0, vol_prefill("g", 0, len, 1));
	gfd = vol_open("g", O_RDWR);
	fd = warm_file(&self->v, size / bs);
	ASSERT_LE(0, fd);
	before = free_blocks();
	buf = mmap(NULL, len, PROT_READ, MAP_SHARED, gfd, 0);
	ASSERT_NE(MAP_FAILED, buf);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(-EAGAIN, nowait_write(ASYNC, fd, buf, len, size, 0));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_MEMORY, 1));
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.requests_write, c1.requests_write);
	EXPECT_EQ(before, free_blocks());
	EXPECT_EQ(size, file_size(fd));
	ASSERT_EQ(len, pwrite(fd, buf, len, size));
	EXPECT_EQ(len, nowait_write(ASYNC, fd, buf, len, size + len, 0));
	ASSERT_EQ(0, munmap(buf, len));
}

/*
 * The first page of the memory is there, and written, when it turns out that the second one is not: nothing of that is in the
 * file, neither now nor when it grows, and an append begins at EOF.
 */
TEST_F(dio_nowait_new, half_of_the_memory_there)
{
	const off_t bs = self->v.bs, page = 4096, size = 16 * bs, end = size + bs;
	char *buf = buf_alloc(bs), *back = buf_alloc(2 * page), *half;
	struct iovec iov = { buf, bs };
	struct counters c0;
	long before;
	int fd;

	fd = warm_file(&self->v, size / bs);
	ASSERT_LE(0, fd);
	before = free_blocks();
	half = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, half);
	ASSERT_EQ(0, madvise(half, 2 * page, MADV_NOHUGEPAGE));
	pattern_fill(half, page, size, 2);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(-EAGAIN, nowait_write(ASYNC, fd, half, 2 * page, size, 0));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_MEMORY, 1));
	EXPECT_EQ(before, free_blocks());
	EXPECT_EQ(size, file_size(fd));
	pattern_fill(buf, bs, size, 1);
	ASSERT_EQ(bs, pwritev2(fd, &iov, 1, 0, RWF_APPEND));
	EXPECT_EQ(end, file_size(fd));
	ASSERT_EQ(0, ftruncate(fd, end + 2 * page));
	ASSERT_EQ(2 * page, pread(fd, back, 2 * page, end));
	EXPECT_ZERO(back, 2 * page, end);
	ASSERT_EQ(0, munmap(half, 2 * page));
}

/* The device has no room for an append, while others are in flight: the next one begins where it did. */
TEST_F(dio_nowait_new, append_without_room)
{
	const off_t bs = self->v.bs, size = 16 * bs;
	char *buf = buf_alloc(2 * bs), *back = buf_alloc(2 * bs);
	struct iocb cb[2], *list[2] = { &cb[0], &cb[1] };
	struct io_event ev[2];
	struct counters c0;
	aio_context_t ctx;
	int fd, i;

	fd = warm_file(&self->v, size / bs);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(2, &ctx));
	ASSERT_EQ(0, vol_hold(&self->v));
	pattern_fill(buf, 2 * bs, size, 2);
	for (i = 0; i < 2; i++) {
		aio_prep_write(&cb[i], fd, buf + i * bs, bs, 0);
		cb[i].aio_rw_flags = RWF_APPEND;
		ASSERT_EQ(1, aio_submit(ctx, 1, &list[i]));
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
		EXPECT_EQ(-EAGAIN, nowait_write(ASYNC, fd, buf, bs, 0, RWF_APPEND));
		EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_DEVICE, 1));
	}
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(2, aio_events(ctx, 2, 2, ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(size + 2 * bs, file_size(fd));
	ASSERT_EQ(2 * bs, pread(fd, back, 2 * bs, size));
	EXPECT_PATTERN(back, 2 * bs, size, 2);
}

#define NARROW	4	/* requests that a disk takes at once */

/* A volume with async_alloc on a disk that takes NARROW requests of one page at once. NULL as nbd_up(). */
static struct nbd *narrow_up(struct vol *v)
{
	const struct vol_conf conf = { .bs = v->bs, .isize = v->isize };
	struct nbd *disk = nbd_up(1, true, v->dev, sizeof(v->dev));

	if (!disk || nbd_narrow(NARROW, 4) || vol_mkfs(v, &conf) ||
	    vol_mount(v, env_fstype(), 0, "async_alloc"))
		return NULL;
	return disk;
}

/* All files have to be closed. Not 0 when e2fsck finds anything at all. */
static int narrow_down(struct nbd *disk, struct vol *v)
{
	int err;

	nbd_end(disk);
	err = vol_umount_soon(v) ?: vol_fsck(v);
	nbd_down(disk);
	return err;
}

/*
 * The device has room for some bios of an append that must not wait, @nr of them, and for no more: the next one, which waits,
 * begins where it did, and not behind it, as nothing of that will be in the file. Or the last of those @fails.
 */
static void room_for_a_part(struct __test_metadata *_metadata, const struct vol *self, int nr, bool fails)
{
	const off_t page = 4096, size = 16 * page;
	struct vol v = { .bs = self->bs, .isize = self->isize, .sectors = MIB / 512 };
	char *buf = buf_alloc(NARROW * page), *back = buf_alloc(size);
	const int reads = NARROW - nr, last = reads;
	struct way_write next = { .way = ASYNC, .iov = { buf, page }, .rwf = RWF_APPEND };
	struct iocb cb[NARROW], *list[NARROW];
	struct io_event ev[NARROW];
	struct counters c0;
	aio_context_t ctx;
	struct nbd *disk;
	struct task t;
	int fd, i;

	disk = narrow_up(&v);
	if (!disk && errno == ENOENT)
		SKIP(return, "a kernel without nbd");
	ASSERT_TRUE(disk != NULL);
	fd = warm_file(&v, size / v.bs);
	ASSERT_LE(0, fd);
	next.fd = fd;
	pattern_fill(buf, NARROW * page, size, 1);
	vol_sync();
	ASSERT_EQ(0, aio_setup(NARROW, &ctx));
	ASSERT_EQ(0, vol_counters(&v, &c0));
	nbd_begin(disk, NBD_STALL, 1);
	for (i = 0; i < reads; i++)
		aio_prep_read(&cb[i], fd, back + i * page, page, i * page);
	aio_prep_write(&cb[last], fd, buf, (nr + 1) * page, 0);
	cb[last].aio_rw_flags = RWF_APPEND | RWF_NOWAIT;
	for (i = 0; i <= last; i++) {
		list[i] = &cb[i];
		ASSERT_EQ(1, aio_submit(ctx, 1, &list[i]));
		while (!i && !nbd_stalls(disk))
			usleep(1000);
	}
	/* without the first read */
	if (fails)
		nbd_begin(disk, NBD_FAIL, NARROW - 1);
	pattern_fill(buf, page, size, 2);
	ASSERT_EQ(0, task_start(&t, op_way_write, &next));
	EXPECT_BLOCKED(&t);
	nbd_release(disk);
	ASSERT_EQ(reads + 1, aio_events(ctx, reads + 1, NARROW, ev, JOIN_SECONDS * 1000));
	for (i = 0; i <= last; i++)
		EXPECT_EQ(ev[i].obj == (uintptr_t)&cb[last] ? -EAGAIN : page, ev[i].res);
	EXPECT_EQ(page, task_join(&t, JOIN_SECONDS));
	EXPECT_NULL_DIFF(vol_again_differs(&v, &c0, AGAIN_DEVICE, 1));
	EXPECT_EQ(size + page, file_size(fd));
	ASSERT_EQ(page, pread(fd, back, page, size));
	EXPECT_PATTERN(back, page, size, 2);
	ASSERT_EQ(0, aio_destroy(ctx));
	close(fd);
	EXPECT_EQ(0, narrow_down(disk, &v));
}

TEST_F(dio_nowait_new, append_with_room_for_a_part)
{
	ASSERT_EQ(0, vol_umount(&self->v));
	room_for_a_part(_metadata, &self->v, 1, false);
}

/* What is known of a later part is not forgotten for an error before it. */
TEST_F(dio_nowait_new, append_with_room_for_a_part_that_fails)
{
	ASSERT_EQ(0, vol_umount(&self->v));
	room_for_a_part(_metadata, &self->v, 2, true);
}

/*
 * The device has no room for an append that must not wait, and is to be synced, by who can sleep: the next one, of the same call, begins where
 * it did.
 */
TEST_F(dio_nowait_new, synced_append_without_room)
{
	enum { APPEND = NARROW, NEXT, ALL };
	const off_t page = 4096, size = 16 * page;
	struct vol v = { .bs = self->v.bs, .isize = self->v.isize, .sectors = MIB / 512 };
	char *buf = buf_alloc(2 * page), *back = buf_alloc(size);
	struct iocb cb[ALL], *list[ALL];
	struct io_event ev[ALL];
	struct submit_op op = { .nr = 2, .iocbs = &list[APPEND] };
	aio_context_t ctx;
	struct nbd *disk;
	struct task t;
	int fd, i;

	ASSERT_EQ(0, vol_umount(&self->v));
	disk = narrow_up(&v);
	if (!disk && errno == ENOENT)
		SKIP(return, "a kernel without nbd");
	ASSERT_TRUE(disk != NULL);
	fd = warm_file(&v, size / v.bs);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 2 * page, size - page, 1);
	vol_sync();
	ASSERT_EQ(0, aio_setup(ALL, &ctx));
	nbd_begin(disk, NBD_STALL, 1);
	for (i = 0; i < ALL; i++)
		list[i] = &cb[i];
	for (i = 0; i < NARROW; i++) {
		aio_prep_read(&cb[i], fd, back + i * page, page, i * page);
		ASSERT_EQ(1, aio_submit(ctx, 1, &list[i]));
		while (!i && !nbd_stalls(disk))
			usleep(1000);
	}
	aio_prep_write(&cb[APPEND], fd, buf, page, 0);
	cb[APPEND].aio_rw_flags = RWF_APPEND | RWF_NOWAIT | RWF_DSYNC;
	aio_prep_write(&cb[NEXT], fd, buf + page, page, 0);
	cb[NEXT].aio_rw_flags = RWF_APPEND;
	op.ctx = ctx;
	ASSERT_EQ(0, task_start(&t, op_submit, &op));
	EXPECT_BLOCKED(&t);
	nbd_release(disk);
	EXPECT_EQ(2, task_join(&t, JOIN_SECONDS));
	ASSERT_EQ(ALL, aio_events(ctx, ALL, ALL, ev, JOIN_SECONDS * 1000));
	for (i = 0; i < ALL; i++)
		EXPECT_EQ(ev[i].obj == (uintptr_t)&cb[APPEND] ? -EAGAIN : page, ev[i].res);
	EXPECT_EQ(size + page, file_size(fd));
	ASSERT_EQ(page, pread(fd, back, page, size));
	EXPECT_PATTERN(back, page, size, 1);
	ASSERT_EQ(0, aio_destroy(ctx));
	close(fd);
	EXPECT_EQ(0, narrow_down(disk, &v));
}

static int remount(const char *options)
{
	return mount(NULL, env_dir(), NULL, MS_REMOUNT, options) ? -errno : 0;
}

struct stopped_append {
	struct stop stop;
	aio_context_t ctx;
	struct iocb cb;
};

static long append_and_stop(void *arg)
{
	struct stopped_append *a = arg;
	int err = stop_me_at(&a->stop, "retryfs/retryfs_dio_submit");

	return err ? err : aio_submit_one(a->ctx, &a->cb);
}

/* The option is gone when an append has passed all checks, and is there again when it is in flight: the next one begins behind it. */
TEST_F(dio_nowait_new, option_goes_and_comes)
{
	const off_t page = 4096, size = 16 * page;
	struct vol v = { .bs = self->v.bs, .isize = self->v.isize, .sectors = MIB / 512 };
	char *buf = buf_alloc(2 * page), *back = buf_alloc(2 * page);
	struct way_write next = { .way = ASYNC, .iov = { buf + page, page }, .rwf = RWF_APPEND };
	struct stopped_append a;
	struct io_event ev;
	struct nbd *disk;
	struct task first, second;

	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, stop_stay_away(&a.stop));
	disk = narrow_up(&v);
	if (!disk && errno == ENOENT)
		SKIP(return, "a kernel without nbd");
	ASSERT_TRUE(disk != NULL);
	next.fd = warm_file(&v, size / v.bs);
	ASSERT_LE(0, next.fd);
	vol_sync();
	pattern_fill(buf, 2 * page, size, 1);
	a.ctx = 0;
	ASSERT_EQ(0, aio_setup(1, &a.ctx));
	aio_prep_write(&a.cb, next.fd, buf, page, 0);
	a.cb.aio_rw_flags = RWF_APPEND | RWF_NOWAIT;
	ASSERT_EQ(0, task_start(&first, append_and_stop, &a));
	ASSERT_TRUE(stop_wait(&a.stop, JOIN_SECONDS));
	ASSERT_EQ(0, remount("noasync_alloc"));
	nbd_begin(disk, NBD_KEEP, 1);
	ASSERT_TRUE(stop_go(&a.stop));
	ASSERT_EQ(0, task_join(&first, JOIN_SECONDS));
	ASSERT_EQ(0, remount("async_alloc"));
	ASSERT_EQ(0, task_start(&second, op_way_write, &next));
	/* it is done, or waits for the first */
	EXPECT_NE(TASK_UNSETTLED, task_settle(&second));
	nbd_release(disk);
	ASSERT_EQ(1, aio_events(a.ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(page, ev.res);
	EXPECT_EQ(page, task_join(&second, JOIN_SECONDS));
	EXPECT_EQ(size + 2 * page, file_size(next.fd));
	ASSERT_EQ(2 * page, pread(next.fd, back, 2 * page, size));
	EXPECT_PATTERN(back, 2 * page, size, 1);
	ASSERT_EQ(0, aio_destroy(a.ctx));
	close(next.fd);
	EXPECT_EQ(0, narrow_down(disk, &v));
}

/* Blocks that are new in another one in flight. */
TEST_F(dio_nowait_new, over_new_blocks)
{
	const off_t bs = self->v.bs, size = 16 * bs;
	char *buf = buf_alloc(4 * bs);
	struct iocb cb, *list = &cb;
	struct io_event ev;
	struct counters c0;
	aio_context_t ctx;
	int fd;

	fd = warm_file(&self->v, size / bs);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_hold(&self->v));
	pattern_fill(buf, 4 * bs, size, 1);
	aio_prep_write(&cb, fd, buf, 2 * bs, size);
	ASSERT_EQ(1, aio_submit(ctx, 1, &list));
	EXPECT_EQ(-EAGAIN, nowait_write(ASYNC, fd, buf + bs, bs, size + bs, 0));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_LOCK, 1));
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(2 * bs, ev.res);
	EXPECT_EQ(bs, nowait_write(ASYNC, fd, buf + 2 * bs, bs, size + 2 * bs, 0));
}

TEST_HARNESS_MAIN
