// SPDX-License-Identifier: GPL-2.0
/*
 * Stores through mappings to a page in which a direct write moves EOF within a block. The page would be
 * written back with zeroes past the old EOF: so a store waits until the write is over, and neither is lost.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "harness.h"
#include "stop.h"
#include "store.h"

#define PAGE	4096
/* The file ends in the midst of a block, and is appended to within it and beyond. */
#define SIZE	(PAGE + 512)

FIXTURE(dio_eof_store) {
	struct vol v;
	int fd, bfd;
	size_t len;
	char *buf, *back, *map;
	struct io_op op;
};

FIXTURE_VARIANT(dio_eof_store) {
	struct vol_conf conf;
	const char *options;
	size_t len;
};

FIXTURE_VARIANT_ADD(dio_eof_store, bs1k) { .conf = SMALL_1K, .len = 512 };
FIXTURE_VARIANT_ADD(dio_eof_store, bs4k) { .conf = SMALL_4K, .len = 512 };
FIXTURE_VARIANT_ADD(dio_eof_store, bs4k_further) { .conf = SMALL_4K, .len = 3 * PAGE };
FIXTURE_VARIANT_ADD(dio_eof_store, bs1k_async) {
	.conf = SMALL_1K, .options = "async_alloc", .len = 512
};
FIXTURE_VARIANT_ADD(dio_eof_store, bs4k_async) {
	.conf = SMALL_4K, .options = "async_alloc", .len = 3 * PAGE
};

FIXTURE_SETUP(dio_eof_store)
{
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	if (variant->options && env_is_retryfs())
		ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, variant->options));
	self->len = variant->len;
	self->buf = buf_alloc(self->len);
	self->back = buf_alloc(64 * KIB);
	ASSERT_EQ(0, vol_prefill("f", 0, SIZE, 1));
	self->fd = vol_open("f", O_RDWR | O_DIRECT);
	self->bfd = vol_open("f", O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_LE(0, self->bfd);
	self->map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->bfd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	pattern_fill(self->buf, self->len, SIZE, 1);
	self->op = (struct io_op){ self->fd, self->buf, self->len, SIZE };
	ASSERT_EQ(0, vol_route_writes(&self->v));
}

FIXTURE_TEARDOWN(dio_eof_store)
{
	munmap(self->map, 2 * PAGE);
	close(self->fd);
	close(self->bfd);
	EXPECT_EQ(0, vol_down(&self->v));
}

/* All of it is there, with @stored in the place of a byte at @at: in the page cache, and on the device. */
#define EXPECT_BOTH(at, stored) do { \
	const off_t at_ = (at), size_ = SIZE + self->len; \
	int way_; \
	\
	EXPECT_EQ(0, fsync(self->bfd)); \
	for (way_ = 0; way_ < 2; way_++) { \
		ASSERT_EQ(size_, pread(way_ ? self->fd : self->bfd, self->back, 64 * KIB, 0)); \
		EXPECT_EQ(stored, self->back[at_]); \
		EXPECT_PATTERN(self->back, at_ / 512 * 512, 0, 1); \
		EXPECT_PATTERN(self->back + SIZE, self->len, SIZE, 1); \
	} \
} while (0)

/* The page has been read before, or is brought in by the store. */
TEST_F(dio_eof_store, while_it_is_in_flight)
{
	struct store_op st = { self->map + PAGE + 100, 'x' };
	struct task write, store;
	int way;

	for (way = 0; way < 2; way++) {
		ASSERT_EQ(0, ftruncate(self->fd, SIZE));
		sync();
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, task_start(&write, op_pwrite, &self->op));
		ASSERT_BLOCKED(&write);
		if (way)
			ASSERT_EQ(0, madvise(self->map + PAGE, PAGE, MADV_POPULATE_READ));
		ASSERT_EQ(0, task_start(&store, op_store, &st));
		EXPECT_BLOCKED(&store);
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
		EXPECT_EQ(0, task_join(&store, JOIN_SECONDS));
		EXPECT_BOTH(PAGE + 100, 'x');
	}
}

/* The same with a write that is left to its retry, if it is. */
TEST_F(dio_eof_store, while_it_is_left_in_flight)
{
	struct store_op st = { self->map + PAGE + 100, 'x' };
	struct task write, store;
	struct iocb cb;

	aio_prep_write(&cb, self->fd, self->buf, self->len, SIZE);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&write, op_aio_do, &cb));
	ASSERT_BLOCKED(&write);
	ASSERT_EQ(0, task_start(&store, op_store, &st));
	EXPECT_BLOCKED(&store);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&store, JOIN_SECONDS));
	EXPECT_BOTH(PAGE + 100, 'x');
}

/* A store to another page does not wait. */
TEST_F(dio_eof_store, to_another_page)
{
	struct store_op st = { self->map + 100, 'x' };
	struct task write, store;

	/* pages of their own */
	ASSERT_EQ(0, posix_fadvise(self->bfd, 0, 0, POSIX_FADV_DONTNEED));
	ASSERT_EQ(0, posix_fadvise(self->bfd, 0, 0, POSIX_FADV_RANDOM));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&write, op_pwrite, &self->op));
	ASSERT_BLOCKED(&write);
	ASSERT_EQ(0, task_start(&store, op_store, &st));
	EXPECT_EQ(0, task_join(&store, JOIN_SECONDS));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
	EXPECT_BOTH(100, 'x');
}

struct unmap_op {
	void *at;
	size_t len;
};

static long op_munmap(void *arg)
{
	struct unmap_op *op = arg;

	return munmap(op->at, op->len) ? -errno : 0;
}

/* Who waits for the write is not in the way of those that change the mappings, nor of the write, which may. */
TEST_F(dio_eof_store, without_the_lock_of_the_map)
{
	struct store_op st = { self->map + PAGE + 100, 'x' };
	struct unmap_op un = { self->map, PAGE };
	struct task write, store, unmap;

	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&write, op_pwrite, &self->op));
	ASSERT_BLOCKED(&write);
	ASSERT_EQ(0, task_start(&store, op_store, &st));
	EXPECT_BLOCKED(&store);
	ASSERT_EQ(0, task_start(&unmap, op_munmap, &un));
	EXPECT_TRUE(task_settles(&unmap, TASK_DONE));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&unmap, JOIN_SECONDS));
	EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&store, JOIN_SECONDS));
	EXPECT_BOTH(PAGE + 100, 'x');
}

/* The kernel stores, by a copy or by a device; both are tried again until it may be done. */
TEST_F(dio_eof_store, by_the_kernel)
{
	char *other = buf_alloc(512);
	struct task write, read;
	struct io_op rd;
	int way, g;

	ASSERT_EQ(0, vol_prefill("g", 0, 512, 3));
	pattern_fill(other, 512, 0, 3);
	for (way = 0; way < 2; way++) {
		ASSERT_EQ(0, ftruncate(self->fd, SIZE));
		g = vol_open("g", O_RDONLY | (way ? O_DIRECT : 0));
		ASSERT_LE(0, g);
		sync();
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, task_start(&write, op_pwrite, &self->op));
		ASSERT_BLOCKED(&write);
		rd = (struct io_op){ g, self->map + PAGE, 512, 0 };
		ASSERT_EQ(0, task_start(&read, op_pread, &rd));
		EXPECT_BLOCKED(&read);
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
		EXPECT_EQ(512, task_join(&read, JOIN_SECONDS));
		EXPECT_EQ(0, memcmp(self->map + PAGE, other, 512));
		EXPECT_EQ(0, fsync(self->bfd));
		ASSERT_EQ(SIZE + self->len, pread(self->fd, self->back, 64 * KIB, 0));
		EXPECT_EQ(0, memcmp(self->back + PAGE, other, 512));
		EXPECT_PATTERN(self->back + SIZE, self->len, SIZE, 1);
		close(g);
	}
}

/* A futex is woken, and a word of the page changed; that it may be is made so with the lock of the map held. */
static long op_futex(void *arg)
{
	char *at = arg;
	long op = FUTEX_OP(FUTEX_OP_SET, 7, FUTEX_OP_CMP_EQ, 0);

	return syscall(SYS_futex, at, FUTEX_WAKE_OP_PRIVATE, 1, 1, at + 4, op) < 0 ? -errno : 0;
}

/* That does not wait for ever, and is told if it was too long. */
TEST_F(dio_eof_store, by_who_keeps_the_lock)
{
	struct task write, futex;

	if (!env_is_retryfs())
		SKIP(return, "others do not wait");
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&write, op_pwrite, &self->op));
	ASSERT_BLOCKED(&write);
	ASSERT_EQ(0, task_start(&futex, op_futex, self->map + PAGE));
	EXPECT_EQ(-EFAULT, task_join(&futex, 20));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
	EXPECT_EQ(0, op_futex(self->map + PAGE));
	EXPECT_BOTH(PAGE + 4, 7);
}

struct stopped_write {
	struct stop stop;
	struct io_op op;
};

static long write_and_stop(void *arg)
{
	struct stopped_write *w = arg;
	int err = stop_me_at(&w->stop, "retryfs/retryfs_dio_submit");

	return err ? err : op_pwrite(&w->op);
}

/* It was stored when the write had dropped the page, and had not begun. */
TEST_F(dio_eof_store, before_it_is_issued)
{
	struct stopped_write w;
	struct task write;

	if (!env_is_retryfs())
		SKIP(return, "a trace point of retryfs");
	ASSERT_EQ(0, stop_stay_away(&w.stop));
	w.op = self->op;
	ASSERT_EQ(0, task_start(&write, write_and_stop, &w));
	ASSERT_TRUE(stop_wait(&w.stop, JOIN_SECONDS));
	ASSERT_EQ(0, store(self->map + PAGE + 100, 'x'));
	ASSERT_TRUE(stop_go(&w.stop));
	EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
	EXPECT_BOTH(PAGE + 100, 'x');
}

TEST_HARNESS_MAIN
