// SPDX-License-Identifier: GPL-2.0
/*
 * async_alloc: blocks are pending, as the bios of their writes are held, when the option, the mount, the
 * process or the space goes; and who looks at the file meanwhile. What waits for them is in dio_async.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>

#include "blocks.h"
#include "child.h"
#include "ext2.h"
#include "harness.h"
#include "powerloss.h"
#include "put.h"
#include "queue.h"
#include "trace.h"

enum { NR = 8, LEN = 2, START = 4, PAGE = 4096 };

#define MARKS	"events/writeback/writeback_mark_inode_dirty"

FIXTURE(dio_pending) {
	struct vol v;
	int fd, bfd;
	aio_context_t ctx;
	struct iocb cb[NR], *list[NR];
	char *buf;
	size_t len;	/* of a request */
	off_t at, end;
};

FIXTURE_VARIANT(dio_pending) {
	struct vol_conf conf;
	size_t part;	/* of each, if they are not of whole blocks */
};

FIXTURE_VARIANT_ADD(dio_pending, bs1k) { .conf = ASYNC_ALLOC_1K };
FIXTURE_VARIANT_ADD(dio_pending, bs4k) { .conf = ASYNC_ALLOC_4K };
/* Three pages in all, of which several are in one block, and some in two: these are parked. */
FIXTURE_VARIANT_ADD(dio_pending, bs1k_parts) { .conf = ASYNC_ALLOC_1K, .part = 3 * 512 };
FIXTURE_VARIANT_ADD(dio_pending, bs4k_parts) { .conf = ASYNC_ALLOC_4K, .part = 3 * 512 };

/* Requests of @len bytes each, one behind the other. */
static void prepare(FIXTURE_DATA(dio_pending) * self, size_t len)
{
	int i;

	self->len = len;
	self->end = self->at + NR * len;
	self->buf = buf_alloc(NR * len);
	pattern_fill(self->buf, NR * len, self->at, 1);
	for (i = 0; i < NR; i++) {
		aio_prep_write(&self->cb[i], self->fd, self->buf + i * len, len, self->at + i * len);
		self->list[i] = &self->cb[i];
	}
}

FIXTURE_SETUP(dio_pending)
{
	if (!env_is_retryfs())
		SKIP(return, "a mount option of retryfs");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	self->at = START * PAGE;
	ASSERT_EQ(0, vol_prefill("f", 0, self->at, 1));
	self->fd = vol_open("f", O_RDWR | O_DIRECT);
	self->bfd = vol_open("f", O_RDWR);
	vol_sync();
	ASSERT_EQ(0, aio_setup(NR, &self->ctx));
	prepare(self, variant->part ?: LEN * self->v.bs);
}

FIXTURE_TEARDOWN(dio_pending)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

/* All of them, to what is behind EOF or a hole, are held: by what is routed. */
static void submit_routed(struct __test_metadata *_metadata, FIXTURE_DATA(dio_pending) * self)
{
	struct submit_op op = { self->ctx, NR, self->list };
	struct task task;

	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	ASSERT_DONE(&task);
	ASSERT_EQ(NR, task_join(&task, JOIN_SECONDS));
}

/* The same, with all other writes. */
static void submit(struct __test_metadata *_metadata, FIXTURE_DATA(dio_pending) * self)
{
	ASSERT_EQ(0, vol_route_writes(&self->v));
	submit_routed(_metadata, self);
}

/* Where they will be: the file had these blocks before, and has given them back. Their data alone is routed. */
static int route_data(FIXTURE_DATA(dio_pending) * self)
{
	const size_t all = self->end - self->at;
	char *buf = buf_alloc(all);
	struct vol_map map;
	int err, i;

	pattern_fill(buf, all, self->at, 9);
	if (pwrite(self->fd, buf, all, self->at) != (ssize_t)all)
		return -EIO;
	vol_sync();
	err = vol_find(&self->v, self->at, all, 9, &map);
	if (!err && ftruncate(self->fd, self->at))
		err = -errno;
	vol_sync();
	for (i = 0; !err && i < map.nr; i++)
		map.e[i].writes = true;
	return err ?: vol_route(&self->v, &map);
}

/* They end, each of them once. */
static void finish(struct __test_metadata *_metadata, FIXTURE_DATA(dio_pending) * self)
{
	struct io_event ev[NR + 1];
	int i;

	EXPECT_EQ(0, aio_events(self->ctx, 0, NR, ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(NR, aio_events(self->ctx, NR, NR + 1, ev, JOIN_SECONDS * 1000));
	for (i = 0; i < NR; i++)
		EXPECT_EQ(self->len, ev[i].res);
	EXPECT_EQ(0, aio_events(self->ctx, 0, NR, ev, 0));
}

static long op_remount(void *arg)
{
	return mount(NULL, env_dir(), NULL, MS_REMOUNT, arg) ? -errno : 0;
}

/* Without the option a write with new blocks waits for those that it has left in flight. */
TEST_F(dio_pending, option_taken_away)
{
	const size_t bs = self->v.bs;
	char *more = buf_alloc(bs), *back = buf_alloc(self->end + bs);
	struct task remount, writer;
	struct io_op wr;

	/* a remount syncs first */
	ASSERT_EQ(0, route_data(self));
	submit_routed(_metadata, self);
	ASSERT_EQ(0, task_start(&remount, op_remount, "noasync_alloc"));
	ASSERT_DONE(&remount);
	EXPECT_EQ(0, task_join(&remount, JOIN_SECONDS));
	/* nor can the mount be made read-only, as for any file that is open for writing */
	EXPECT_EQ(-EBUSY, vol_read_only());
	pattern_fill(more, bs, self->at, 2);
	wr = (struct io_op){ self->fd, more, bs, self->at };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	ASSERT_BLOCKED(&writer);
	finish(_metadata, self);
	EXPECT_EQ(bs, task_join(&writer, JOIN_SECONDS));
	ASSERT_EQ(self->end, pread(self->bfd, back, self->end + bs, 0));
	EXPECT_PATTERN(back, self->at, 0, 1);
	EXPECT_PATTERN(back + self->at, bs, self->at, 2);
	EXPECT_PATTERN(back + self->at + bs, self->end - self->at - bs, self->at + bs, 1);
}

/* An append begins behind them, as it waits for them. */
TEST_F(dio_pending, option_taken_away_before_an_append)
{
	const size_t bs = self->v.bs;
	char *more = buf_alloc(bs), *back = buf_alloc(self->end + 2 * bs);
	struct task writer;
	struct io_op wr;
	int fd;

	if (variant->part)
		SKIP(return, "EOF is where a direct append cannot begin");
	ASSERT_EQ(0, route_data(self));
	submit_routed(_metadata, self);
	ASSERT_EQ(0, op_remount("noasync_alloc"));
	fd = vol_open("f", O_WRONLY | O_DIRECT | O_APPEND);
	ASSERT_LE(0, fd);
	pattern_fill(more, bs, self->end, 2);
	wr = (struct io_op){ fd, more, bs, 0 };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	ASSERT_BLOCKED(&writer);
	finish(_metadata, self);
	EXPECT_EQ(bs, task_join(&writer, JOIN_SECONDS));
	close(fd);
	ASSERT_EQ(self->end + bs, pread(self->bfd, back, self->end + 2 * bs, 0));
	EXPECT_PATTERN(back, self->end, 0, 1);
	EXPECT_PATTERN(back + self->end, bs, self->end, 2);
}

/* How many threads there are for the work of linking, for all mounts. */
static int linkers(void)
{
	DIR *proc = opendir("/proc");
	char path[300], name[64];
	struct dirent *e;
	int nr = 0, fd;

	while ((e = readdir(proc))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		memset(name, 0, sizeof(name));
		if (read(fd, name, sizeof(name) - 1) > 0)
			nr += !!strstr(name, "R-dio-link/");
		close(fd);
	}
	closedir(proc);
	return nr;
}

/* A thread that has been stopped may be seen until it has left. */
static bool no_linkers(void)
{
	const struct timespec ms10 = { .tv_nsec = 10000000 };
	int i;

	for (i = 0; i < 100 * JOIN_SECONDS && linkers(); i++)
		nanosleep(&ms10, NULL);
	return !linkers();
}

/* A mount has them from when it has the option, and until it ends. */
TEST_F(dio_pending, threads_of_the_option)
{
	if (variant->part)
		SKIP(return, "as with blocks");
	close(self->fd);
	close(self->bfd);
	EXPECT_EQ(1, linkers());
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_TRUE(no_linkers());
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "noasync_alloc"));
	EXPECT_EQ(0, linkers());
	ASSERT_EQ(0, op_remount("async_alloc"));
	EXPECT_EQ(1, linkers());
	ASSERT_EQ(0, op_remount("noasync_alloc"));
	ASSERT_EQ(0, op_remount("async_alloc"));
	EXPECT_EQ(1, linkers());
}

/* The mount goes away: it ends when they have. */
TEST_F(dio_pending, unmounted)
{
	submit(_metadata, self);
	EXPECT_EQ(-EBUSY, vol_umount(&self->v));
	close(self->fd);
	close(self->bfd);
	ASSERT_EQ(0, umount2(env_dir(), MNT_DETACH));
	self->v.mounted = false;
	finish(_metadata, self);
	ASSERT_EQ(0, vol_wait_closed(&self->v));
	ASSERT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(vol_holds("f", self->end, 1));
}

static int submit_in_child(void *data)
{
	FIXTURE_DATA(dio_pending) * self = data;

	/* memory of its own, and not its parent's */
	pattern_fill(self->buf, self->end - self->at, self->at, 1);
	return aio_setup(NR, &self->ctx) || aio_submit(self->ctx, NR, self->list) != NR;
}

/* Their process is killed. */
TEST_F(dio_pending, process_killed)
{
	pid_t pid;

	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pid = child_start(submit_in_child, self);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(self->at, file_size(self->bfd));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_TRUE(child_was_killed(pid));
	EXPECT_TRUE(vol_holds("f", self->end, 1));
}

/* They cannot be cancelled. */
TEST_F(dio_pending, cancelled)
{
	struct io_event ev;
	int i;

	submit(_metadata, self);
	for (i = 0; i < NR; i++)
		EXPECT_EQ(-1, syscall(SYS_io_cancel, self->ctx, &self->cb[i], &ev));
	finish(_metadata, self);
	EXPECT_TRUE(vol_holds("f", self->end, 1));
}

/* fsync(2) by another one promises nothing about them, and writes no pointer to them. */
TEST_F(dio_pending, synced_by_another)
{
	struct task task;
	struct io_op sync_op = { .fd = self->bfd };
	uint32_t block, pointers;

	submit(_metadata, self);
	ASSERT_EQ(0, fchmod(self->bfd, 0600));
	ASSERT_EQ(0, task_start(&task, op_fsync, &sync_op));
	/* its flush is held, too */
	ASSERT_BLOCKED(&task);
	ASSERT_EQ(0, ext2_block(&self->v, "f", self->at / self->v.bs, &block, &pointers));
	EXPECT_EQ(0, block);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", self->at, 1));
	finish(_metadata, self);
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	EXPECT_EQ(0, fsync(self->bfd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", self->end, 1));
}

static long op_writeback(void *arg)
{
	struct io_op *op = arg;

	return sync_file_range(op->fd, op->off, op->len, SYNC_FILE_RANGE_WRITE_AND_WAIT) ? -errno : 0;
}

/* What is stored beside the hole that they fill is written back, and waits for none of them. */
TEST_F(dio_pending, stored_beside)
{
	struct vol_map where;
	char *map, *back = buf_alloc(PAGE);
	struct task task;
	struct io_op op;

	ASSERT_EQ(0, route_data(self));
	ASSERT_EQ(0, ftruncate(self->fd, self->end));
	ASSERT_EQ(0, fsync(self->fd));
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->bfd, 0);
	ASSERT_NE(MAP_FAILED, map);
	/* in a folio of its own */
	ASSERT_EQ(0, madvise(map, PAGE, MADV_RANDOM));
	submit_routed(_metadata, self);
	pattern_fill(map, PAGE, 0, 2);
	op = (struct io_op){ .fd = self->bfd, .len = PAGE };
	ASSERT_EQ(0, task_start(&task, op_writeback, &op));
	ASSERT_DONE(&task);
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	EXPECT_EQ(0, vol_find(&self->v, 0, PAGE, 2, &where));
	finish(_metadata, self);
	ASSERT_EQ(PAGE, pread(self->fd, back, PAGE, 0));
	EXPECT_PATTERN(back, PAGE, 0, 2);
	ASSERT_EQ(0, munmap(map, PAGE));
	pattern_fill(back, PAGE, 0, 1);
	ASSERT_EQ(PAGE, pwrite(self->fd, back, PAGE, 0));
	EXPECT_TRUE(vol_holds("f", self->end, 1));
}

/* Where the file has its block @n; 0 for a hole. */
static int linked(int fd, int n)
{
	return ioctl(fd, FIBMAP, &n) ? -errno : n;
}

/* By splice(2), from the page cache. */
static ssize_t spliced(int fd, char *buf, off_t at)
{
	ssize_t n;
	int to[2];

	if (pipe(to))
		return -errno;
	n = splice(fd, &at, to[1], NULL, PAGE, 0);
	if (n > 0)
		n = read(to[0], buf, n);
	close(to[0]);
	close(to[1]);
	return n;
}

/* Who looks at the hole that they fill finds a hole, and then the data. */
TEST_F(dio_pending, readers)
{
	const size_t all = self->end - self->at;
	char *back = buf_alloc(all), *map;
	off_t pos;

	ASSERT_EQ(0, ftruncate(self->fd, self->end));
	ASSERT_EQ(0, fsync(self->fd));
	map = mmap(NULL, all, PROT_READ, MAP_SHARED, self->bfd, self->at);
	ASSERT_NE(MAP_FAILED, map);
	submit(_metadata, self);
	ASSERT_EQ(0, readahead(self->bfd, self->at, all));
	EXPECT_ZERO(map, all, self->at);
	ASSERT_EQ(PAGE, spliced(self->bfd, back, self->at + PAGE));
	EXPECT_ZERO(back, PAGE, self->at + PAGE);
	ASSERT_EQ(all, pread(self->fd, back, all, self->at));
	EXPECT_ZERO(back, all, self->at);
	EXPECT_EQ(-1, lseek(self->fd, self->at, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
	for (pos = self->at; pos < self->end; pos += self->v.bs)
		EXPECT_EQ(0, linked(self->fd, pos / self->v.bs));
	finish(_metadata, self);
	EXPECT_PATTERN(map, all, self->at, 1);
	ASSERT_EQ(PAGE, spliced(self->bfd, back, self->at + PAGE));
	EXPECT_PATTERN(back, PAGE, self->at + PAGE, 1);
	EXPECT_EQ(self->at, lseek(self->fd, self->at, SEEK_DATA));
	for (pos = self->at; pos < self->end; pos += self->v.bs)
		EXPECT_LT(0, linked(self->fd, pos / self->v.bs));
	ASSERT_EQ(0, munmap(map, all));
	EXPECT_TRUE(vol_holds("f", self->end, 1));
}

/* A file with such a hole is no swap space, and when it is filled it is. */
TEST_F(dio_pending, swap_space)
{
	const char *const mkswap[] = { "mkswap", "-q", vol_path("f"), NULL };
	const size_t len = 64 * PAGE;
	int err;

	if (access("/proc/swaps", F_OK))
		SKIP(return, "a kernel without swap");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, chmod(vol_path("f"), 0600));
	ASSERT_EQ(0, run(0, mkswap));
	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, self->at,
			       self->end - self->at));
	ASSERT_EQ(0, fsync(self->fd));
	submit(_metadata, self);
	err = swapon(vol_path("f"), 0) ? errno : 0;
	/* what is swap space cannot be cleared away */
	if (!err)
		swapoff(vol_path("f"));
	EXPECT_EQ(EINVAL, err);
	finish(_metadata, self);
	EXPECT_EQ(0, swapon(vol_path("f"), 0));
	EXPECT_EQ(0, swapoff(vol_path("f")));
}

/* Appends by RWF_APPEND, of both kinds of asynchronous I/O by turns, go behind each other. */
TEST_F(dio_pending, appended_by_flag)
{
	const bool has_ring = queue_possible(URING);
	struct counters c0;
	struct io_event ev;
	struct uring ring;
	uint64_t data;
	int i, res;

	if (has_ring)
		ASSERT_EQ(0, uring_setup(&ring, NR));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (i = 0; i < NR; i++) {
		const struct iovec iov = { self->buf + i * self->len, self->len };

		self->cb[i].aio_offset = 0;
		self->cb[i].aio_rw_flags = RWF_APPEND;
		ASSERT_EQ(1, has_ring && i % 2 ?
			  !uring_submit(&ring, true, self->fd, &iov, 1, 0, RWF_APPEND, i) :
			  aio_submit(self->ctx, 1, &self->list[i]));
		/* a thread of io_uring may have to do it, and the next one is behind it */
		ASSERT_TRUE(queue_issued(&self->v, &c0, i + 1));
	}
	EXPECT_EQ(self->at, file_size(self->bfd));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	for (i = 0; i < NR; i++) {
		if (has_ring && i % 2) {
			ASSERT_EQ(1, uring_reap(&ring, true, &data, &res));
			EXPECT_EQ(self->len, res);
		} else {
			ASSERT_EQ(1, aio_events(self->ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
			EXPECT_EQ(self->len, ev.res);
		}
	}
	if (has_ring)
		uring_exit(&ring);
	EXPECT_EQ(self->end, file_size(self->bfd));
	EXPECT_TRUE(vol_holds("f", self->end, 1));
}

/* An append that comes while others are in flight, and looks where it begins while these end, is behind them. */
TEST_F(dio_pending, appended_while_others_end)
{
	char *more = buf_alloc(self->len), *back = buf_alloc(self->end + 2 * self->len);
	struct task writer;
	struct io_op wr;
	int fd;

	submit(_metadata, self);
	fd = vol_open("f", O_WRONLY | O_DIRECT | O_APPEND);
	ASSERT_LE(0, fd);
	pattern_fill(more, self->len, self->end, 2);
	wr = (struct io_op){ fd, more, self->len, 0 };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	ASSERT_BLOCKED(&writer);
	finish(_metadata, self);
	EXPECT_EQ(self->len, task_join(&writer, JOIN_SECONDS));
	close(fd);
	ASSERT_EQ(self->end + self->len, pread(self->bfd, back, self->end + 2 * self->len, 0));
	EXPECT_PATTERN(back, self->end, 0, 1);
	EXPECT_PATTERN(back + self->end, self->len, self->end, 2);
}

/* Who truncates to what EOF is now waits for those that will move it: they come before. */
TEST_F(dio_pending, truncated_to_the_same_size)
{
	struct io_op op = { .fd = self->bfd, .off = self->at };
	struct task truncate;

	submit(_metadata, self);
	ASSERT_EQ(0, task_start(&truncate, op_ftruncate, &op));
	ASSERT_BLOCKED(&truncate);
	finish(_metadata, self);
	EXPECT_EQ(0, task_join(&truncate, JOIN_SECONDS));
	EXPECT_EQ(self->at, file_size(self->bfd));
}

/* How often the inode is marked dirty from now on. */
static int watch_marks(int fd)
{
	struct stat st;
	char filter[32];
	int err;

	if (fstat(fd, &st))
		return -errno;
	snprintf(filter, sizeof(filter), "ino == %lu", st.st_ino);
	trace_clear();
	err = trace_write(MARKS "/filter", filter);
	return err ?: trace_write(MARKS "/enable", "1");
}

static int marks(void)
{
	FILE *trace;
	char line[256];
	int n = 0;

	trace_write(MARKS "/enable", "0");
	trace_write(MARKS "/filter", "0");
	trace = trace_open();
	if (!trace)
		return -EIO;
	while (fgets(line, sizeof(line), trace))
		n += !!strstr(line, " writeback_mark_inode_dirty: ");
	fclose(trace);
	return n;
}

/*
 * A write in flight may have moved i_size, or linked blocks, and be about to mark the inode dirty: who syncs what was written there
 * since writes the inode.
 */
TEST_F(dio_pending, synced_before_it_is_marked)
{
	ASSERT_EQ(0, route_data(self));
	submit_routed(_metadata, self);
	vol_sync();
	ASSERT_EQ(0, watch_marks(self->bfd));
	EXPECT_EQ(0, fdatasync(self->bfd));
	EXPECT_LE(1, marks());
	finish(_metadata, self);
}

/* Others have moved EOF over one, and may not have marked the inode yet: it does, when it ends, as it does when it is linked. */
TEST_F(dio_pending, covered_by_others)
{
	struct submit_op op = { self->ctx, NR, self->list };
	struct io_event ev[NR];
	struct vol_map map;
	struct task task;
	int i;

	if (variant->part)
		SKIP(return, "the others are behind it");
	pattern_fill(self->buf, NR * self->len, self->at, 9);
	ASSERT_EQ(NR * self->len, pwrite(self->fd, self->buf, NR * self->len, self->at));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, self->at, self->len, 9, &map));
	ASSERT_EQ(0, ftruncate(self->fd, self->at));
	vol_sync();
	for (i = 0; i < map.nr; i++)
		map.e[i].writes = true;
	pattern_fill(self->buf, NR * self->len, self->at, 1);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	ASSERT_DONE(&task);
	ASSERT_EQ(NR, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(NR - 1, aio_events(self->ctx, NR - 1, NR, ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(self->end, file_size(self->bfd));
	vol_sync();
	ASSERT_EQ(0, watch_marks(self->bfd));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(self->ctx, 1, 1, ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(self->len, ev[0].res);
	EXPECT_LE(2, marks());
	EXPECT_TRUE(vol_holds("f", self->end, 1));
}

/* The device takes all of them but one: there is a hole, and its blocks are free. */
TEST_F(dio_pending, one_fails)
{
	const size_t all = self->end - self->at;
	const int bad = NR / 2;
	char *buf = buf_alloc(all), *back = buf_alloc(self->end);
	struct io_event ev[NR];
	struct vol_map map;
	struct stat st;
	long before;
	int i;

	if (variant->part)
		SKIP(return, "others are behind it: dio_parked");
	/* the same blocks as last time */
	pattern_fill(buf, all, self->at, 9);
	ASSERT_EQ(all, pwrite(self->fd, buf, all, self->at));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, self->at + bad * self->len, self->len, 9, &map));
	ASSERT_EQ(0, ftruncate(self->fd, self->at));
	vol_sync();
	before = free_blocks();
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	ASSERT_EQ(NR, aio_submit(self->ctx, NR, self->list));
	ASSERT_EQ(NR, aio_events(self->ctx, NR, NR, ev, JOIN_SECONDS * 1000));
	for (i = 0; i < NR; i++)
		EXPECT_EQ(ev[i].obj == (uint64_t)(uintptr_t)&self->cb[bad] ? -EIO : self->len, ev[i].res);
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(self->end, st.st_size);
	EXPECT_EQ(before - (long)(blocks_needed(self->v.bs, self->end) - blocks_needed(self->v.bs, self->at) - LEN),
		  free_blocks());
	ASSERT_EQ(self->end, pread(self->bfd, back, self->end, 0));
	for (i = 0; i < NR; i++) {
		const off_t at = self->at + i * self->len;

		EXPECT_NULL_DIFF(i == bad ? zero_diff(back + at, self->len, at) :
				 pattern_diff(back + at, self->len, at, 1));
	}
}

enum { THOUSANDS = 4096 };

/* Thousands of them are in flight, with new blocks of pointers, and all count. */
TEST_F(dio_pending, thousands)
{
	static struct iocb cb[THOUSANDS], *list[THOUSANDS];
	static struct io_event ev[THOUSANDS];
	const size_t bs = self->v.bs, all = THOUSANDS * bs;
	struct submit_op op = { .nr = THOUSANDS, .iocbs = list };
	char *buf = buf_alloc(all);
	struct task task;
	int i, n;

	if (bs != 1024 || variant->part)
		SKIP(return, "as many as with small blocks");
	pattern_fill(buf, all, self->at, 1);
	for (i = 0; i < THOUSANDS; i++) {
		/* each beside none that is there */
		n = i * 1021 % THOUSANDS;
		aio_prep_write(&cb[i], self->fd, buf + n * bs, bs, self->at + n * bs);
		list[i] = &cb[i];
	}
	ASSERT_EQ(0, aio_setup(THOUSANDS, &op.ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	ASSERT_EQ(THOUSANDS, task_join(&task, JOIN_SECONDS));
	EXPECT_EQ(0, aio_events(op.ctx, 0, 1, ev, 0));
	EXPECT_EQ(0, linked(self->fd, self->at / bs));
	EXPECT_EQ(self->at, file_size(self->bfd));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(THOUSANDS, aio_events(op.ctx, THOUSANDS, THOUSANDS, ev, JOIN_SECONDS * 1000));
	for (i = 0; i < THOUSANDS; i++)
		EXPECT_EQ(bs, ev[i].res);
	EXPECT_TRUE(vol_holds("f", self->at + all, 1));
}

/* There is space for some of them: the others fail at once, and those are not disturbed. */
TEST_F(dio_pending, no_space_for_all)
{
	struct io_event ev[NR];
	int failed, i;
	long before;
	off_t size;

	if (variant->part)
		SKIP(return, "as with blocks");
	/* the first ones are in the inode, or below a block of pointers that is there */
	prepare(self, self->v.bs);
	ASSERT_EQ(0, fill_up(&self->v, NR / 2));
	before = free_blocks();
	ASSERT_LT(0, before);
	submit(_metadata, self);
	failed = aio_events(self->ctx, 1, NR, ev, JOIN_SECONDS * 1000);
	ASSERT_LT(0, failed);
	ASSERT_GT(NR, failed);
	for (i = 0; i < failed; i++)
		EXPECT_EQ(-ENOSPC, ev[i].res);
	/* nobody else gets what the others have */
	EXPECT_EQ(NR - failed, before);
	EXPECT_EQ(0, free_blocks());
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(NR - failed, aio_events(self->ctx, NR - failed, NR, ev, JOIN_SECONDS * 1000));
	for (i = 0; i < NR - failed; i++)
		EXPECT_EQ(self->len, ev[i].res);
	size = self->at + (NR - failed) * self->len;
	EXPECT_TRUE(vol_holds("f", size, 1));
	EXPECT_SIZE_AND_BLOCKS(self->fd, size, blocks_needed(self->v.bs, size), self->v.bs);
	ASSERT_EQ(0, ftruncate(self->fd, self->at));
	vol_sync();
	EXPECT_EQ(before, free_blocks());
}

/* "write through" or "write back". */
static int set_write_cache(struct vol *v, const char *how)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/%s/queue/write_cache", strrchr(v->dev, '/') + 1);
	return put(path, how);
}

static int trace_links(const char *on)
{
	static const char *const events[] = {
		"events/workqueue/workqueue_queue_work/enable",
		"events/workqueue/workqueue_execute_start/enable",
		"events/workqueue/workqueue_execute_end/enable",
		"events/kmem/kmalloc/enable",
		"events/kmem/kmem_cache_alloc/enable",
	};
	int err = 0, i;

	for (i = 0; i < ARRAY_SIZE(events) && !err; i++)
		err = trace_write(events[i], on);
	return err;
}

/* How often new blocks were linked, and how often that has taken memory for which it would have waited, by the trace. */
static int links_traced(struct __test_metadata *_metadata, int *waiting)
{
	char line[512], work[32] = "?", task[64] = "", who[64];
	bool is_linking = false;
	FILE *f = trace_open();
	int links = 0;

	*waiting = 0;
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, "work struct");
		const bool is_task = sscanf(line, "%63s", who) == 1 && !strcmp(who, task);

		if (strstr(line, "workqueue=dio-link")) {
			if (sscanf(at, "work struct=%31s", work) != 1)
				break;
		} else if (strstr(line, "queue_work:") && strstr(at, work)) {
			/* what comes next is the same work, with another function */
			work[0] = '?';
			work[1] = 0;
		} else if (strstr(line, "execute_start:") && strstr(at, work)) {
			snprintf(task, sizeof(task), "%s", who);
			is_linking = true;
			links++;
		} else if (strstr(line, "execute_end:") && is_task) {
			is_linking = false;
		} else if (is_linking && is_task && (strstr(line, "GFP_KERNEL") || strstr(line, "GFP_NOFS"))) {
			++*waiting;
			TH_LOG("%s", line);
		}
	}
	fclose(f);
	return links;
}

/*
 * To link takes no memory that has to be waited for, as that may be freed by who waits for the blocks: not to know the new run, which is the
 * first that is known of the file, nor to take note of the block of pointers, which is dirty from then on.
 */
TEST_F(dio_pending, linked_without_memory)
{
	const off_t bs = self->v.bs, size = 14 * bs;
	struct io_event ev;
	struct iocb cb;
	int fd, waiting;

	if (variant->part)
		SKIP(return, "it is no matter of parts");
	ASSERT_EQ(0, vol_prefill("g", 0, size, 1));
	close(self->fd);
	close(self->bfd);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	/* or else the block of pointers is dirty later */
	ASSERT_EQ(0, set_write_cache(&self->v, "write through"));
	fd = vol_open("g", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	aio_prep_write(&cb, fd, self->buf, bs, size);
	trace_clear();
	if (trace_links("1")) {
		trace_links("0");
		EXPECT_EQ(0, set_write_cache(&self->v, "write back"));
		EXPECT_EQ(0, vol_unroute(&self->v));
		SKIP(return, "no trace events");
	}
	/* or else the submitter may link it */
	EXPECT_EQ(0, vol_hold_routed(&self->v));
	EXPECT_EQ(0, aio_submit_one(self->ctx, &cb));
	EXPECT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(1, aio_events(self->ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(0, trace_links("0"));
	EXPECT_EQ(0, set_write_cache(&self->v, "write back"));
	EXPECT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(bs, ev.res);
	EXPECT_EQ(1, links_traced(_metadata, &waiting));
	EXPECT_EQ(0, waiting);
	EXPECT_LT(0, block_of(fd, 14));
}

TEST_HARNESS_MAIN
