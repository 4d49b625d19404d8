// SPDX-License-Identifier: GPL-2.0
/*
 * Stores through mappings to a page that a direct write in flight has to do with: it moves EOF within a block of it,
 * and the page would be written back with zeroes past the old EOF; or it fills a hole, and the page would get a block
 * of its own. So a store waits until the write is over, and neither is lost.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"
#include "nbd.h"
#include "queue.h"
#include "stop.h"
#include "store.h"
#include "trace.h"
#include "uffd.h"

#define PAGE	4096
/* Where the writes begin, in the midst of a block: the file ends there, or has a hole around it. */
#define AT	(PAGE + 512)
#define HOLE	(8 * PAGE)

FIXTURE(dio_store) {
	struct vol v;
	int fd, bfd;
	size_t len, end;
	char *buf, *back, *map;
	struct io_op op;
};

FIXTURE_VARIANT(dio_store) {
	struct vol_conf conf;
	const char *options;
	bool is_hole;
	size_t len;
};

FIXTURE_VARIANT_ADD(dio_store, bs1k) { .conf = SMALL_1K, .len = 512 };
FIXTURE_VARIANT_ADD(dio_store, bs4k) { .conf = SMALL_4K, .len = 512 };
FIXTURE_VARIANT_ADD(dio_store, bs4k_further) { .conf = SMALL_4K, .len = 3 * PAGE };
FIXTURE_VARIANT_ADD(dio_store, bs1k_async) {
	.conf = SMALL_1K, .options = "async_alloc", .len = 512
};
FIXTURE_VARIANT_ADD(dio_store, bs4k_async) {
	.conf = SMALL_4K, .options = "async_alloc", .len = 3 * PAGE
};
FIXTURE_VARIANT_ADD(dio_store, bs1k_hole) {
	.conf = SMALL_1K, .options = "async_alloc", .is_hole = true, .len = 512
};
FIXTURE_VARIANT_ADD(dio_store, bs4k_hole) {
	.conf = SMALL_4K, .options = "async_alloc", .is_hole = true, .len = 3 * PAGE
};

/* The file is as no write has been to it. */
static int restore(FIXTURE_DATA(dio_store) * self, bool is_hole)
{
	if (ftruncate(self->fd, is_hole ? PAGE : AT) || (is_hole && ftruncate(self->fd, self->end)))
		return -errno;
	vol_sync();
	return 0;
}

FIXTURE_SETUP(dio_store)
{
	if (variant->is_hole && !env_is_retryfs())
		SKIP(return, "a mount option of retryfs");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	if (variant->options && env_is_retryfs())
		ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, variant->options));
	self->len = variant->len;
	self->end = variant->is_hole ? HOLE : AT + self->len;
	self->buf = buf_alloc(self->len);
	self->back = buf_alloc(64 * KIB);
	ASSERT_EQ(0, vol_prefill("f", 0, AT, 1));
	self->fd = vol_open("f", O_RDWR | O_DIRECT);
	self->bfd = vol_open("f", O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_LE(0, self->bfd);
	ASSERT_EQ(0, restore(self, variant->is_hole));
	self->map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->bfd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	pattern_fill(self->buf, self->len, AT, 1);
	self->op = (struct io_op){ self->fd, self->buf, self->len, AT };
	ASSERT_EQ(0, vol_route_writes(&self->v));
}

FIXTURE_TEARDOWN(dio_store)
{
	munmap(self->map, 2 * PAGE);
	close(self->fd);
	close(self->bfd);
	EXPECT_EQ(0, vol_down(&self->v));
}

/* All of it is there, with @stored in the place of a byte at @at: in the page cache, and on the device. */
#define EXPECT_BOTH(at, stored) do { \
	const off_t at_ = (at); \
	int way_; \
	\
	EXPECT_EQ(0, fsync(self->bfd)); \
	for (way_ = 0; way_ < 2; way_++) { \
		ASSERT_EQ(self->end, pread(way_ ? self->fd : self->bfd, self->back, 64 * KIB, 0)); \
		EXPECT_EQ(stored, self->back[at_]); \
		EXPECT_PATTERN(self->back, at_ / 512 * 512, 0, 1); \
		EXPECT_PATTERN(self->back + AT, self->len, AT, 1); \
		EXPECT_ZERO(self->back + AT + self->len, self->end - AT - self->len, AT + self->len); \
	} \
} while (0)

/* The page has been read before, or is brought in by the store. */
TEST_F(dio_store, while_it_is_in_flight)
{
	struct store_op st = { self->map + PAGE + 100, 'x' };
	struct task write, store;
	int way;

	for (way = 0; way < 2; way++) {
		ASSERT_EQ(0, restore(self, variant->is_hole));
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
TEST_F(dio_store, while_it_is_left_in_flight)
{
	struct store_op st = { self->map + PAGE + 100, 'x' };
	struct task write, store;
	struct iocb cb;

	aio_prep_write(&cb, self->fd, self->buf, self->len, AT);
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
TEST_F(dio_store, to_another_page)
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
TEST_F(dio_store, without_the_lock_of_the_map)
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
TEST_F(dio_store, by_the_kernel)
{
	char *other = buf_alloc(512);
	struct task write, read;
	struct io_op rd;
	int way, g;

	ASSERT_EQ(0, vol_prefill("g", 0, 512, 3));
	pattern_fill(other, 512, 0, 3);
	for (way = 0; way < 2; way++) {
		ASSERT_EQ(0, restore(self, variant->is_hole));
		g = vol_open("g", O_RDONLY | (way ? O_DIRECT : 0));
		ASSERT_LE(0, g);
		vol_sync();
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
		ASSERT_EQ(self->end, pread(self->fd, self->back, 64 * KIB, 0));
		EXPECT_EQ(0, memcmp(self->back + PAGE, other, 512));
		EXPECT_PATTERN(self->back + AT, self->len, AT, 1);
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
TEST_F(dio_store, by_who_keeps_the_lock)
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
TEST_F(dio_store, before_it_is_issued)
{
	struct stopped_write w;
	struct task write;

	if (!env_is_retryfs())
		SKIP(return, "a trace point of retryfs");
	if (variant->is_hole)
		SKIP(return, "then there is a block, and one of the two is lost");
	ASSERT_EQ(0, stop_stay_away(&w.stop));
	w.op = self->op;
	ASSERT_EQ(0, task_start(&write, write_and_stop, &w));
	ASSERT_TRUE(stop_wait(&w.stop, JOIN_SECONDS));
	ASSERT_EQ(0, store(self->map + PAGE + 100, 'x'));
	ASSERT_TRUE(stop_go(&w.stop));
	EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
	EXPECT_BOTH(PAGE + 100, 'x');
}

/*
 * It cannot be dropped: while it is written back for that, it gets what a direct read brings to it, of a disk that was
 * asked before. So the page cache has to take the write.
 */
TEST_F(dio_store, page_that_cannot_be_dropped)
{
	struct stopped_write w;
	struct task write, read;
	struct io_op op;
	struct nbd *d;
	char node[32];

	if (!env_is_retryfs())
		SKIP(return, "a trace point of retryfs");
	if (variant->is_hole)
		SKIP(return, "then there is a block, and one of the two is lost");
	errno = 0;
	d = nbd_up(1, true, node, sizeof(node));
	if (!d && errno == ENOENT)
		SKIP(return, "no network block device");
	ASSERT_NE(NULL, d);
	pattern_fill(nbd_bytes(d), 512, PAGE, 1);
	nbd_bytes(d)[100] = 'x';
	op = (struct io_op){ open(node, O_RDONLY | O_DIRECT), self->map + PAGE, 512, 0 };
	ASSERT_LE(0, op.fd);
	ASSERT_EQ(0, stop_stay_away(&w.stop));
	w.op = self->op;
	ASSERT_EQ(0, task_start(&write, write_and_stop, &w));
	ASSERT_TRUE(stop_wait(&w.stop, JOIN_SECONDS));
	nbd_begin(d, NBD_KEEP, 1);
	ASSERT_EQ(0, task_start(&read, op_pread, &op));
	EXPECT_BLOCKED(&read);
	EXPECT_TRUE(nbd_keeps(d));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_TRUE(stop_go(&w.stop));
	EXPECT_BLOCKED(&write);
	nbd_release(d);
	EXPECT_EQ(512, task_join(&read, JOIN_SECONDS));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
	EXPECT_BOTH(PAGE + 100, 'x');
	close(op.fd);
	nbd_end(d);
	nbd_down(d);
}

struct stopped_store {
	struct stop stop;
	struct store_op op;
};

static long store_and_stop(void *arg)
{
	struct stopped_store *s = arg;
	int err = stop_me_at(&s->stop, "kprobes/rfs_store");

	return err ? err : op_store(&s->op);
}

/* It had found nothing in its way when the write, which had dropped the page, reserved its blocks. */
TEST_F(dio_store, before_blocks_are_reserved)
{
	struct unmap_op un = { self->map, PAGE };
	char *memory = buf_alloc(PAGE);
	struct stopped_store st;
	struct task write, store, unmap;
	struct counters c0;
	struct iocb cb;
	void *late = NULL;
	int uffd;

	if (!variant->is_hole || self->len > PAGE)
		SKIP(return, "of a hole, with a page of memory");
	uffd = unfilled_page(&late);
	if (uffd < 0)
		SKIP(return, "no userfaultfd");
	if (trace_write("kprobe_events", "p:rfs_store create_empty_buffers\n"))
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, stop_stay_away(&st.stop));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	aio_prep_write(&cb, self->fd, late, self->len, AT);
	ASSERT_EQ(0, task_start(&write, op_aio_do, &cb));
	ASSERT_BLOCKED(&write);
	st.op = (struct store_op){ self->map + PAGE + 100, 'x' };
	ASSERT_EQ(0, task_start(&store, store_and_stop, &st));
	ASSERT_TRUE(stop_wait(&st.stop, JOIN_SECONDS));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	memcpy(memory, self->buf, self->len);
	ASSERT_EQ(0, fill_page(uffd, late, memory));
	ASSERT_TRUE(queue_issued(&self->v, &c0, 1));
	ASSERT_TRUE(stop_go(&st.stop));
	EXPECT_BLOCKED(&store);
	ASSERT_EQ(0, task_start(&unmap, op_munmap, &un));
	EXPECT_TRUE(task_settles(&unmap, TASK_DONE));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&unmap, JOIN_SECONDS));
	EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&store, JOIN_SECONDS));
	EXPECT_BOTH(PAGE + 100, 'x');
	trace_write("kprobe_events", "-:rfs_store\n");
	close(uffd);
}

static __thread sigjmp_buf given_up;

static void give_up(int sig)
{
	siglongjmp(given_up, 1);
}

static long op_store_or_give_up(void *arg)
{
	return sigsetjmp(given_up, 1) ? -EINTR : op_store(arg);
}

/* A program that stores gets its signals, and may give up. */
TEST_F(dio_store, until_there_is_a_signal)
{
	struct store_op st = { self->map + PAGE + 100, 'x' };
	const struct sigaction sa = { .sa_handler = give_up };
	struct task write, store;

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&write, op_pwrite, &self->op));
	ASSERT_BLOCKED(&write);
	ASSERT_EQ(0, task_start(&store, op_store_or_give_up, &st));
	EXPECT_BLOCKED(&store);
	ASSERT_EQ(0, pthread_kill(store.thread, SIGUSR1));
	EXPECT_TRUE(task_settles(&store, TASK_DONE));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(-EINTR, task_join(&store, JOIN_SECONDS));
	EXPECT_EQ(self->len, task_join(&write, JOIN_SECONDS));
	EXPECT_EQ(0, op_store(&st));
	EXPECT_BOTH(PAGE + 100, 'x');
}

static long op_waitpid(void *arg)
{
	int status;

	if (waitpid(*(pid_t *)arg, &status, 0) < 0)
		return -errno;
	return WIFSIGNALED(status) ? WTERMSIG(status) : -EINVAL;
}

/* A process in which the kernel stores can be killed. */
TEST_F(dio_store, until_it_is_killed)
{
	struct task writer, waiter, reader;
	struct io_op rd;
	int to[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, vol_prefill("g", 0, 512, 3));
	rd = (struct io_op){ vol_open("g", O_RDONLY), self->map + PAGE, 512, 0 };
	ASSERT_LE(0, rd.fd);
	vol_sync();
	ASSERT_EQ(0, pipe(to));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &self->op));
	ASSERT_BLOCKED(&writer);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (task_start(&reader, op_pread, &rd) || task_settle(&reader) != TASK_BLOCKED ||
		    write(to[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(1);
	}
	close(to[1]);
	ASSERT_EQ(1, read(to[0], &c, 1));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(0, task_start(&waiter, op_waitpid, &pid));
	EXPECT_TRUE(task_settles(&waiter, TASK_DONE));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(SIGKILL, task_join(&waiter, JOIN_SECONDS));
	EXPECT_EQ(self->len, task_join(&writer, JOIN_SECONDS));
	close(to[0]);
	close(rd.fd);
}

TEST_HARNESS_MAIN
