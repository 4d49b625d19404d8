// SPDX-License-Identifier: GPL-2.0
/*
 * Writes through the page cache that must not wait: those to pages and blocks that are there
 * are done, as on xfs. As far as they are, if it is not all of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "blocks.h"
#include "disk.h"
#include "harness.h"
#include "nowait.h"
#include "put.h"
#include "queue.h"
#include "uring.h"

#define PAGE	(4 * KIB)

FIXTURE(fs_nowait) {
	struct vol v;
};
FIXTURE_VARIANT(fs_nowait) {
	struct vol_conf conf;
};
FIXTURE_SETUP(fs_nowait)
{
	if (!env_is_retryfs())
		SKIP(return, "others do not do that at all, or wherever there is space");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
}
FIXTURE_TEARDOWN(fs_nowait)
{
	if (env_is_retryfs())
		EXPECT_EQ(0, vol_down(&self->v));
}
FIXTURE_VARIANT_ADD(fs_nowait, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_nowait, bs4k) { .conf = SMALL_4K };

/* A file of @len bytes with all its pages in memory; open, -errno. */
static int make_cached(struct vol *v, size_t len)
{
	int err = vol_prefill("f", 0, len, 1), fd;

	if (!err)
		err = vol_remount(v);
	fd = err ? err : vol_open("f", O_RDWR);
	if (fd < 0)
		return fd;
	if (pread(fd, buf_alloc(len), len, 0) != (ssize_t)len)
		return -EIO;
	/* the first write finds out that there are no set-id bits */
	return pwrite(fd, buf_alloc(1), 0, 0) ? -EIO : fd;
}

TEST_F(fs_nowait, pages_that_are_there)
{
	const size_t len = 64 * KIB, at = 512, some = len - 1536;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	enum way way, ways = way_setup(buf, len);
	struct counters c0 = {}, c1 = {};
	struct stat st0, st1;
	int fd;

	ASSERT_LT(0, (int)ways);
	fd = make_cached(&self->v, len);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (way = SYNC; way < ways; way++) {
		ASSERT_EQ(0, fstat(fd, &st0));
		pattern_fill(buf, some, at, 2 + way);
		ASSERT_EQ(some, nowait_write(way, fd, buf, some, at));
		ASSERT_EQ(0, fstat(fd, &st1));
		/* small inodes have seconds only */
		if (self->v.isize > 128)
			EXPECT_NE(st0.st_mtim.tv_nsec, st1.st_mtim.tv_nsec);
		ASSERT_EQ(len, pread(fd, back, len, 0));
		EXPECT_PATTERN(back, at, 0, 1);
		EXPECT_PATTERN(back + at, some, at, 2 + way);
		EXPECT_PATTERN(back + at + some, len - at - some, at + some, 1);
	}
	/* of io_uring, without being told */
	if (URING < (int)ways) {
		pattern_fill(buf, some, at, 9);
		ASSERT_EQ(some, do_write(URING, fd, buf, some, at));
		EXPECT_EQ(0, nowait_workers());
		way = 7;
	}
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(0, memcmp(c0.again, c1.again, sizeof(c0.again)));
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(len, vol_read("f", 0, back, len, 0));
	EXPECT_PATTERN(back, at, 0, 1);
	EXPECT_PATTERN(back + at, some, at, 2 + way);
	EXPECT_PATTERN(back + at + some, len - at - some, at + some, 1);
}

/* Once with pages that were written, and so have buffers, once with some that were read. */
TEST_F(fs_nowait, pages_that_are_not)
{
	const size_t len = 16 * PAGE, hole = 20 * PAGE, size = 24 * PAGE;
	char *buf = buf_alloc(size), *back = buf_alloc(size);
	struct counters c0 = {};
	long blocks;
	int fd;

	fd = make_cached(&self->v, len);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, size));
	ASSERT_EQ(size, pread(fd, back, size, 0));
	vol_sync();
	/* of the second half of the data, no pages */
	ASSERT_EQ(0, posix_fadvise(fd, len / 2, len / 2, POSIX_FADV_DONTNEED));
	blocks = free_blocks();
	pattern_fill(buf, size, 0, 2);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(-EAGAIN, nowait_write(SYNC, fd, buf + len / 2, PAGE, len / 2));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_PAGES, 1));
	/* as far as they are there */
	EXPECT_EQ(PAGE, nowait_write(SYNC, fd, buf + len / 2 - PAGE, 2 * PAGE, len / 2 - PAGE));
	/* the page of a hole is there, and no block */
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(-EAGAIN, nowait_write(SYNC, fd, buf + hole, PAGE, hole));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_METADATA, 1));
	EXPECT_EQ(blocks, free_blocks());
	/* EOF */
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(-EAGAIN, nowait_write(SYNC, fd, buf, PAGE, size - 512));
	EXPECT_EQ(-EAGAIN, nowait(SYNC, true, fd, buf, PAGE, 0, RWF_APPEND));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_BLOCKS, 2));
	/* the flush */
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(-EAGAIN, nowait(SYNC, true, fd, buf, PAGE, 0, RWF_DSYNC));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_SYNC, 1));
	/* set-id bits */
	ASSERT_EQ(0, fchmod(fd, 04755));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(0, setresuid(-1, 65534, -1));
	EXPECT_EQ(-EAGAIN, nowait_write(SYNC, fd, buf, PAGE, 0));
	EXPECT_EQ(0, setresuid(-1, 0, -1));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_METADATA, 1));
	/* there is no such memory */
	ASSERT_EQ(0, fchmod(fd, 0755));
	ASSERT_EQ(0, pwrite(fd, buf, 0, 0));
	EXPECT_EQ(-EFAULT, nowait_write(SYNC, fd, NULL, PAGE, 0));
	ASSERT_EQ(size, pread(fd, back, size, 0));
	EXPECT_PATTERN(back, len / 2 - PAGE, 0, 1);
	EXPECT_PATTERN(back + len / 2 - PAGE, PAGE, len / 2 - PAGE, 2);
	EXPECT_PATTERN(back + len / 2, len / 2, len / 2, 1);
	EXPECT_ZERO(back + len, size - len, len);
}

/* The first half of each folio has blocks, and the other one is a hole: it is read without buffers. */
TEST_F(fs_nowait, holes_behind_blocks)
{
	const size_t len = 128 * PAGE, bs = self->v.bs, unit = bs < PAGE ? PAGE : len / 2;
	const int advice = bs < PAGE ? POSIX_FADV_RANDOM : POSIX_FADV_SEQUENTIAL;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct counters c0 = {}, c1 = {};
	size_t at;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, len));
	pattern_fill(buf, len, 0, 1);
	for (at = 0; at < len; at += unit)
		ASSERT_EQ(unit / 2, pwrite(fd, buf + at, unit / 2, at));
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, posix_fadvise(fd, 0, 0, advice));
	for (at = 0; at < len; at += unit)
		ASSERT_EQ(unit, pread(fd, back, unit, at));
	/* the first write finds out that there are no set-id bits */
	ASSERT_EQ(0, pwrite(fd, buf, 0, 0));
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (at = 0; at < len; at += unit)
		ASSERT_EQ(bs, nowait_write(SYNC, fd, buf + at, bs, at));
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(0, memcmp(c0.again, c1.again, sizeof(c0.again)));
	EXPECT_EQ(-EAGAIN, nowait_write(SYNC, fd, buf + unit / 2, bs, unit / 2));
	EXPECT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(len, vol_read("f", O_DIRECT, back, len, 0));
	for (at = 0; at < len; at += unit) {
		EXPECT_PATTERN(back + at, bs, at, 2);
		EXPECT_PATTERN(back + at + bs, unit / 2 - bs, at + bs, 1);
		EXPECT_ZERO(back + at + unit / 2, unit / 2, at + unit / 2);
	}
}

/* Of a file that has grown page by page, the page cache has more than its last folio was written of. */
TEST_F(fs_nowait, pages_of_a_file_that_grew)
{
	const size_t len = 33 * PAGE, at = len - PAGE + 100, some = PAGE - 200;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	size_t done;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, 0, 1);
	for (done = 0; done < len; done += PAGE)
		ASSERT_EQ(PAGE, pwrite(fd, buf + done, PAGE, done));
	pattern_fill(buf + at, some, at, 2);
	EXPECT_EQ(some, nowait_write(SYNC, fd, buf + at, some, at));
	EXPECT_EQ(-EAGAIN, nowait_write(SYNC, fd, buf, PAGE, len));
	EXPECT_EQ(some, nowait_read(SYNC, fd, back, some, at));
	EXPECT_EQ(0, memcmp(buf + at, back, some));
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(len, vol_read("f", O_DIRECT, back, len, 0));
	EXPECT_EQ(0, memcmp(buf, back, len));
}

/* Reads of pages that are not there; on a device that does not have them at once. */
TEST_F(fs_nowait, reads_of_pages_that_are_not)
{
	const size_t len = 16 * PAGE;
	char *buf = buf_alloc(PAGE);
	struct counters c0 = {};
	int fd;

	fd = make_cached(&self->v, len);
	ASSERT_LE(0, fd);
	vol_sync();
	ASSERT_EQ(0, posix_fadvise(fd, len / 2, len / 2, POSIX_FADV_DONTNEED));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_hold(&self->v));
	EXPECT_EQ(PAGE, nowait_read(SYNC, fd, buf, PAGE, 0));
	EXPECT_PATTERN(buf, PAGE, 0, 1);
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_PAGES, 0));
	EXPECT_EQ(-EAGAIN, nowait_or_held(SYNC, false, fd, buf, PAGE, len / 2));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_PAGES, 1));
	ASSERT_EQ(0, vol_release(&self->v));
	close(fd);
}

/* A page that is being read, and the lock of the inode. */
TEST_F(fs_nowait, what_others_have)
{
	const size_t len = 16 * PAGE;
	char *buf = buf_alloc(len + PAGE), *back = buf_alloc(PAGE);
	struct task reader, writer;
	struct counters c0 = {};
	struct io_op read, extend;
	struct vol_map map;
	int fd, direct;

	fd = make_cached(&self->v, len);
	ASSERT_LE(0, fd);
	direct = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, direct);
	ASSERT_EQ(0, vol_find(&self->v, 0, len, 1, &map));
	ASSERT_EQ(0, posix_fadvise(fd, 0, PAGE, POSIX_FADV_DONTNEED));
	ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	read = (struct io_op){ fd, back, PAGE, 0 };
	ASSERT_EQ(0, task_start(&reader, op_pread, &read));
	ASSERT_BLOCKED(&reader);
	pattern_fill(buf, len + PAGE, 0, 2);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(-EAGAIN, nowait_or_held(SYNC, true, fd, buf, PAGE, 0));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_PAGES, 1));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(PAGE, task_join(&reader, JOIN_SECONDS));
	EXPECT_PATTERN(back, PAGE, 0, 1);
	EXPECT_EQ(PAGE, nowait_or_held(SYNC, true, fd, buf, PAGE, 0));
	/* who extends the file has the lock until that is done */
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	extend = (struct io_op){ direct, buf + len - PAGE, 2 * PAGE, len - PAGE };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &extend));
	ASSERT_BLOCKED(&writer);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(-EAGAIN, nowait_or_held(SYNC, true, fd, buf, PAGE, 0));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_LOCK, 1));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(2 * PAGE, task_join(&writer, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* A direct write of a part of a block is in flight: to write the rest would undo it. */
TEST_F(fs_nowait, part_of_a_block)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(bs), *whole = buf_alloc(bs), *back = buf_alloc(PAGE);
	struct counters c0 = {};
	struct queue q = {};
	unsigned int nr;
	int fd, direct;

	fd = make_cached(&self->v, 2 * PAGE);
	ASSERT_LE(0, fd);
	direct = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, direct);
	ASSERT_EQ(0, queue_setup(&q, ASYNC));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, bs, 0, 2);
	ASSERT_EQ(0, queue_submit(&q, 0, true, direct, buf, 512, 0));
	/* the page comes back, as it is on the device */
	ASSERT_EQ(PAGE, pread(fd, back, PAGE, 0));
	EXPECT_PATTERN(back, PAGE, 0, 1);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(-EAGAIN, nowait_or_held(SYNC, true, fd, buf + 512, bs - 512, 512));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_LOCK, 1));
	/* whole blocks are nobody's business */
	pattern_fill(whole, bs, PAGE, 2);
	EXPECT_EQ(bs, nowait_or_held(SYNC, true, fd, whole, bs, PAGE));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(512, queue_reap(&q, true, &nr));
	ASSERT_EQ(0, queue_exit(&q));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(PAGE, vol_read("f", O_DIRECT, back, PAGE, 0));
	EXPECT_PATTERN(back, 512, 0, 2);
	EXPECT_PATTERN(back + 512, PAGE - 512, 512, 1);
}

/* A page that is being written, once where it may change meanwhile, once where it may not. */
TEST_F(fs_nowait, pages_under_writeback)
{
	char *buf = buf_alloc(PAGE), *back = buf_alloc(PAGE);
	struct counters c0 = {};
	int stable, fd;

	for (stable = 0; stable < 2; stable++) {
		const char *name = stable ? "stable" : "not";

		/* inodes are told when they are made */
		ASSERT_EQ(0, vol_umount(&self->v));
		ASSERT_EQ(0, vol_route_writes(&self->v));
		ASSERT_EQ(0, stable_writes(self->v.dev, stable));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
		ASSERT_EQ(0, vol_prefill(name, 0, PAGE, 1));
		fd = vol_open(name, O_RDWR);
		ASSERT_LE(0, fd);
		pattern_fill(buf, PAGE, 0, 2);
		ASSERT_EQ(PAGE, pwrite(fd, buf, PAGE, 0));
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, sync_file_range(fd, 0, PAGE, SYNC_FILE_RANGE_WRITE));
		pattern_fill(buf, PAGE, 0, 3);
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
		EXPECT_EQ(stable ? -EAGAIN : (long)PAGE,
			  nowait_or_held(SYNC, true, fd, buf, PAGE, 0));
		EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_PAGES, stable));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		ASSERT_EQ(0, fsync(fd));
		ASSERT_EQ(PAGE, vol_read(name, O_DIRECT, back, PAGE, 0));
		EXPECT_PATTERN(back, PAGE, 0, stable ? 2 : 3);
		close(fd);
		ASSERT_EQ(0, vol_unroute(&self->v));
	}
}

#define DIRTY_BYTES	"/proc/sys/vm/dirty_bytes"
#define DIRTY_RATIO	"/proc/sys/vm/dirty_ratio"

/* Of more pages than may be dirty: whoever may wait would be made to, for a device that is held. */
TEST_F(fs_nowait, too_many_dirty_pages)
{
	const size_t len = 4 * MIB;
	char *buf = buf_alloc(len);
	long n;
	int fd;

	fd = make_cached(&self->v, len);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, put(DIRTY_BYTES, "65536"));
	pattern_fill(buf, len, 0, 2);
	n = nowait_or_held(SYNC, true, fd, buf, len, 0);
	EXPECT_TRUE(n == -EAGAIN || (n > 0 && n < (long)len)) TH_LOG("%ld", n);
	EXPECT_EQ(0, put(DIRTY_RATIO, "20"));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, fsync(fd));
}

/* How many threads the process has: one that io_uring has just made does not have its name yet. */
static int threads(void)
{
	struct stat st;

	return stat("/proc/self/task", &st) ? -errno : (int)st.st_nlink - 2;
}

/*
 * A read of io_uring that has to wait for the device is resumed by the page, and no thread waits for it: a read of
 * one page, and of several folios.
 */
TEST_F(fs_nowait, reads_of_a_ring)
{
	const size_t size = 256 * KIB, lens[] = { PAGE, size };
	char *buf = buf_alloc(size);
	struct uring ring;
	uint64_t data;
	size_t i;
	int fd;

	if (uring_setup(&ring, 4))
		SKIP(return, "no io_uring");
	/* no pointers to blocks are to be read then: whoever reads these waits */
	fd = make_cached(&self->v, size);
	ASSERT_LE(0, fd);
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		struct iovec iov = { buf, lens[i] };
		int res = 0;

		ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
		memset(buf, 0, size);
		ASSERT_EQ(0, vol_keep_reads(&self->v));
		EXPECT_EQ(0, vol_reads_kept());
		ASSERT_EQ(0, uring_submit(&ring, false, fd, &iov, 1, 0, 0, 7));
		EXPECT_LE(1, vol_reads_kept());
		EXPECT_EQ(1, threads());
		EXPECT_EQ(0, uring_reap(&ring, false, &data, &res));
		EXPECT_LE(1, vol_reads_kept());
		ASSERT_EQ(0, vol_unroute(&self->v));
		ASSERT_EQ(1, uring_reap(&ring, true, &data, &res));
		EXPECT_EQ(lens[i], res);
		EXPECT_PATTERN(buf, lens[i], 0, 1);
		/* one that has waited stays for seconds */
		EXPECT_EQ(1, threads());
	}
	uring_exit(&ring);
	close(fd);
}

TEST_HARNESS_MAIN
