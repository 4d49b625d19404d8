// SPDX-License-Identifier: GPL-2.0
/*
 * Requests of io_uring in flight while something is taken away: the mount is frozen
 * or made read-only, the request is cancelled, the ring is closed, the process ends.
 * What dio_lifecycle and umount_busy do with libaio; the differences are in who
 * waits for whom: a ring is closed, and a process ends, with its requests in flight.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "blocks.h"
#include "harness.h"
#include "queue.h"

#define LEN	(32 * KIB)

FIXTURE(dio_uring) {
	struct vol v;
};

FIXTURE_VARIANT(dio_uring) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_uring, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_uring, bs4k) { .conf = SMALL_4K };

FIXTURE_SETUP(dio_uring)
{
	if (!queue_possible(URING))
		SKIP(return, "a kernel without io_uring");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
}

FIXTURE_TEARDOWN(dio_uring)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

/* "f" of @len bytes, generation 1; all bios for the first @routed of them can be held. */
static int make_file(struct __test_metadata *_metadata, struct vol *v, size_t len, size_t routed)
{
	int fd;

	ASSERT_EQ(0, make_held(v, "f", len, routed, HELD_ALL)) return -1;
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd) return -1;
	return fd;
}

static struct counters counters(struct vol *v)
{
	struct counters c = {};

	vol_counters(v, &c);
	return c;
}

/*
 * A freeze waits for a write in flight. Those that come then have no effect before
 * the thaw, while reads are served. From the freeze to the thaw nothing is asserted:
 * what is frozen cannot be cleared away.
 */
TEST_F(dio_uring, freeze)
{
	char *buf = buf_alloc(5 * LEN), *back = buf_alloc(6 * LEN);
	int fd = make_file(_metadata, &self->v, 4 * LEN, LEN), dir;
	struct counters c = counters(&self->v);
	unsigned int i, ended = 0;
	struct task freeze;
	struct queue q;

	dir = open(env_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, queue_setup(&q, URING));
	pattern_fill(buf, LEN, 0, 2);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, queue_submit(&q, 0, true, fd, buf, LEN, 0));
	ASSERT_TRUE(queue_issued(&self->v, &c, 1));
	ASSERT_EQ(0, task_start(&freeze, op_freeze, &dir));
	EXPECT_TRUE(task_settles(&freeze, TASK_BLOCKED));
	/* an overwrite and an extend, neither of which is held up by the device */
	pattern_fill(buf + 2 * LEN, LEN, 2 * LEN, 2);
	pattern_fill(buf + 4 * LEN, LEN, 4 * LEN, 2);
	EXPECT_EQ(0, queue_submit(&q, 1, true, fd, buf + 2 * LEN, LEN, 2 * LEN));
	EXPECT_EQ(0, queue_submit(&q, 2, true, fd, buf + 4 * LEN, LEN, 4 * LEN));
	EXPECT_EQ(-EAGAIN, queue_reap(&q, false, &i));
	EXPECT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&freeze, JOIN_SECONDS));
	EXPECT_EQ(LEN, queue_reap(&q, true, &i));
	EXPECT_EQ(0, i);
	EXPECT_EQ(0, queue_submit(&q, 3, false, fd, back, 6 * LEN, 0));
	EXPECT_EQ(4 * LEN, queue_reap(&q, true, &i));
	EXPECT_EQ(3, i);
	EXPECT_PATTERN(back, LEN, 0, 2);
	EXPECT_PATTERN(back + LEN, 3 * LEN, LEN, 1);
	EXPECT_EQ(-EAGAIN, queue_reap(&q, false, &i));
	/* what the device has now is a volume that could be copied */
	EXPECT_EQ(0, vol_fsck(&self->v));
	EXPECT_EQ(0, ioctl(dir, FITHAW, 0));
	for (ended = 0; ended != 6; ended += i) {
		ASSERT_EQ(LEN, queue_reap(&q, true, &i));
		ASSERT_TRUE(i == 1 || i == 2);
		i *= 2;
	}
	EXPECT_EQ(-EAGAIN, queue_reap(&q, false, &i));
	ASSERT_EQ(5 * LEN, pread(fd, back, 6 * LEN, 0));
	EXPECT_PATTERN(back, LEN, 0, 2);
	EXPECT_PATTERN(back + LEN, LEN, LEN, 1);
	EXPECT_PATTERN(back + 2 * LEN, LEN, 2 * LEN, 2);
	EXPECT_PATTERN(back + 3 * LEN, LEN, 3 * LEN, 1);
	EXPECT_PATTERN(back + 4 * LEN, LEN, 4 * LEN, 2);
}

/* The descriptor is closed: it is the request, or the ring's table, that has the file. */
static void read_only(struct __test_metadata *_metadata, struct vol *v, bool registered)
{
	int fd = make_file(_metadata, v, 2 * LEN, LEN), i;
	char *buf = buf_alloc(LEN), *back = buf_alloc(2 * LEN);
	struct counters c = counters(v);
	unsigned int which;
	struct queue q;

	ASSERT_EQ(0, queue_setup(&q, URING));
	if (registered)
		ASSERT_EQ(0, syscall(SYS_io_uring_register, q.u.fd, IORING_REGISTER_FILES, &fd, 1));
	pattern_fill(buf, LEN, 0, 2);
	ASSERT_EQ(0, vol_hold_routed(v));
	ASSERT_EQ(0, queue_submit(&q, 0, true, fd, buf, LEN, 0));
	ASSERT_TRUE(queue_issued(v, &c, 1));
	close(fd);
	EXPECT_EQ(-EBUSY, vol_read_only());
	EXPECT_EQ(-EBUSY, vol_umount(v));
	EXPECT_EQ(-EAGAIN, queue_reap(&q, false, &which));
	ASSERT_EQ(0, vol_release_routed(v));
	ASSERT_EQ(LEN, queue_reap(&q, true, &which));
	if (registered) {
		/* nothing in flight, and the ring still has the file open for writing */
		for (i = 0; i < 3; i++) {
			EXPECT_EQ(-EBUSY, vol_read_only());
			EXPECT_EQ(-EBUSY, vol_umount(v));
		}
		ASSERT_EQ(0, syscall(SYS_io_uring_register, q.u.fd, IORING_UNREGISTER_FILES, 0, 0));
	}
	/* the last reference to the file is still being dropped */
	ASSERT_EQ(0, vol_read_only_soon());
	EXPECT_EQ(0, vol_fsck(v));
	EXPECT_EQ(-EROFS, vol_open("f", O_RDWR | O_DIRECT));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, queue_submit(&q, 0, true, fd, buf, LEN, 0));
	EXPECT_EQ(-EBADF, queue_reap(&q, true, &which));
	ASSERT_EQ(0, queue_submit(&q, 0, false, fd, back, 2 * LEN, 0));
	ASSERT_EQ(2 * LEN, queue_reap(&q, true, &which));
	EXPECT_PATTERN(back, LEN, 0, 2);
	EXPECT_PATTERN(back + LEN, LEN, LEN, 1);
	close(fd);
	ASSERT_EQ(0, vol_read_write());
}

TEST_F(dio_uring, read_only)
{
	read_only(_metadata, &self->v, false);
}

TEST_F(dio_uring, registered_file)
{
	read_only(_metadata, &self->v, true);
}

/* A write and a read are in flight; when they have ended, this is what there is. */
static void two_in_flight(struct __test_metadata *_metadata, struct vol *v, struct queue *q,
			  int fd, char *buf)
{
	struct counters c = counters(v);

	ASSERT_EQ(0, queue_setup(q, URING));
	pattern_fill(buf, LEN, 0, 2);
	ASSERT_EQ(0, queue_submit(q, 0, true, fd, buf, LEN, 0));
	ASSERT_EQ(0, queue_submit(q, 1, false, fd, buf + LEN, LEN, LEN));
	ASSERT_TRUE(queue_issued(v, &c, 2));
}

static void check_two(struct __test_metadata *_metadata, struct vol *v)
{
	char *back = buf_alloc(2 * LEN);

	EXPECT_EQ(-EBUSY, vol_umount(v));
	ASSERT_EQ(0, vol_release_routed(v));
	ASSERT_EQ(0, vol_umount_soon(v));
	ASSERT_EQ(0, vol_fsck(v));
	ASSERT_EQ(0, vol_mount(v, env_fstype(), 0, NULL));
	ASSERT_EQ(2 * LEN, vol_read("f", O_DIRECT, back, 2 * LEN, 0));
	EXPECT_PATTERN(back, LEN, 0, 2);
	EXPECT_PATTERN(back + LEN, LEN, LEN, 1);
}

/* Their completions are not reaped; they have the file, the memory and the mount until they end. */
TEST_F(dio_uring, ring_closed)
{
	int fd = make_file(_metadata, &self->v, 2 * LEN, 2 * LEN);
	char *buf = buf_alloc(2 * LEN);
	struct queue q;

	ASSERT_EQ(0, vol_hold_routed(&self->v));
	two_in_flight(_metadata, &self->v, &q, fd, buf);
	ASSERT_EQ(0, queue_exit(&q));
	ASSERT_EQ(0, close(fd));
	/* what becomes of the memory is not for the device to see */
	ASSERT_EQ(0, munmap(buf + LEN, LEN));
	check_two(_metadata, &self->v);
}

static void process_ends(struct __test_metadata *_metadata, struct vol *v, bool killed)
{
	int fd = make_file(_metadata, v, 2 * LEN, 2 * LEN);
	char *buf = buf_alloc(2 * LEN), c;
	int to[2], status;
	struct queue q;
	pid_t pid;

	ASSERT_EQ(0, pipe(to));
	ASSERT_EQ(0, vol_hold_routed(v));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		two_in_flight(_metadata, v, &q, fd, buf);
		if (!__test_passed(_metadata) || write(to[1], "x", 1) != 1)
			_exit(1);
		if (killed)
			pause();
		_exit(0);
	}
	close(fd);
	close(to[1]);
	ASSERT_EQ(1, read(to[0], &c, 1));
	if (killed)
		ASSERT_EQ(0, kill(pid, SIGKILL));
	/* it does not wait for its requests */
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(killed ? SIGKILL : 0, status);
	check_two(_metadata, v);
}

TEST_F(dio_uring, process_killed)
{
	process_ends(_metadata, &self->v, true);
}

TEST_F(dio_uring, process_exits)
{
	process_ends(_metadata, &self->v, false);
}

/*
 * Cancels, while nothing that is written reaches the device: of an overwrite that is
 * in flight, of an extend whose submitter waits, and of an overwrite that waits for
 * the extend. A cancel finds its request or not; each has one event, and what that
 * says is what has become of the data.
 */
TEST_F(dio_uring, cancel)
{
	enum { FLIES, WAITS, QUEUED, REQUESTS, MANY = 3 * REQUESTS };
	const off_t pos[] = { 0, 4 * LEN, LEN };
	char *buf = buf_alloc(5 * LEN), *back = buf_alloc(6 * LEN);
	int res[REQUESTS + MANY], i, r, fd;
	struct timespec ms = { .tv_nsec = 1000000 };
	struct counters c, now;
	uint64_t data;
	struct queue q;
	size_t size;

	ASSERT_EQ(0, vol_prefill("f", 0, 4 * LEN, 1));
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, queue_setup(&q, URING));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	c = now = counters(&self->v);
	for (r = 0; r < REQUESTS; r++) {
		pattern_fill(buf + pos[r], LEN, pos[r], 2);
		ASSERT_EQ(0, queue_submit(&q, r, true, fd, buf + pos[r], LEN, pos[r]));
		if (r == FLIES)
			ASSERT_TRUE(queue_issued(&self->v, &c, 1));
		for (i = 0; r == WAITS && env_is_retryfs() && i < 10000; i++) {
			now = counters(&self->v);
			if (now.sync_extend > c.sync_extend)
				break;
			nanosleep(&ms, NULL);
		}
	}
	if (env_is_retryfs())
		ASSERT_EQ(c.sync_extend + 1, now.sync_extend);
	for (i = 0; i < REQUESTS + MANY; i++)
		res[i] = 1;
	for (i = 0; i < MANY; i++) {
		const struct io_uring_sqe sqe = {
			.opcode = IORING_OP_ASYNC_CANCEL,
			.addr = i % REQUESTS,
			.user_data = REQUESTS + i,
		};

		ASSERT_EQ(0, uring_submit_sqe(&q.u, &sqe));
		/* its own event, and that of what it has cancelled, in whatever order */
		while (res[REQUESTS + i] == 1) {
			ASSERT_EQ(1, uring_reap(&q.u, true, &data, &r));
			ASSERT_GT(REQUESTS + MANY, data);
			ASSERT_EQ(1, res[data]);
			res[data] = r;
		}
		r = res[REQUESTS + i];
		ASSERT_TRUE(r == 0 || r == -ENOENT || r == -EALREADY) TH_LOG("cancel %d: %d", i, r);
	}
	if (env_is_retryfs()) {
		ASSERT_EQ(1, res[FLIES]);
		ASSERT_EQ(1, res[WAITS]);
	}
	ASSERT_EQ(0, uring_reap(&q.u, false, &data, &r));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	while (res[FLIES] == 1 || res[WAITS] == 1 || res[QUEUED] == 1) {
		ASSERT_EQ(1, uring_reap(&q.u, true, &data, &r));
		ASSERT_GT(REQUESTS, data);
		ASSERT_EQ(1, res[data]);
		res[data] = r;
	}
	for (r = 0; r < REQUESTS; r++)
		EXPECT_TRUE(res[r] == LEN || res[r] == -ECANCELED) TH_LOG("%d: %d", r, res[r]);
	if (env_is_retryfs())
		EXPECT_EQ(LEN, res[FLIES]);
	size = res[WAITS] == LEN ? 5 * LEN : 4 * LEN;
	ASSERT_EQ(size, pread(fd, back, 6 * LEN, 0));
	for (r = 0; r < REQUESTS; r++)
		if (pos[r] < size)
			EXPECT_PATTERN(back + pos[r], LEN, pos[r], res[r] == LEN ? 2 : 1);
	EXPECT_PATTERN(back + 2 * LEN, 2 * LEN, 2 * LEN, 1);
	/* and the ring has no more to say */
	EXPECT_EQ(0, uring_reap(&q.u, false, &data, &r));
}

/* IOSQE_ASYNC: a thread of the ring makes the request, whatever it is. */
TEST_F(dio_uring, by_a_thread)
{
	const off_t bs = self->v.bs, len = 8 * bs;
	char *buf = buf_alloc(8 * len), *back = buf_alloc(8 * len);
	/* an extend, an overwrite, a hole, and both of these with an extend; then all of it */
	const struct {
		off_t pos;
		size_t len;
	} todo[] = {
		{ 0, len }, { bs, 4 * bs }, { 2 * len, len }, { len, bs }, { 2 * len + bs, 2 * len },
		{ len, 4 * len }
	};
	struct io_uring_sqe sqe = { .flags = IOSQE_ASYNC };
	struct counters c = counters(&self->v), now;
	char *want = calloc(1, 8 * len);
	size_t i, size = 0;
	struct uring u;
	uint64_t data;
	int res;

	sqe.fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, sqe.fd);
	ASSERT_EQ(0, uring_setup(&u, 4));
	for (i = 0; i < ARRAY_SIZE(todo); i++) {
		sqe.opcode = IORING_OP_WRITE;
		sqe.addr = (uintptr_t)buf;
		sqe.len = todo[i].len;
		sqe.off = todo[i].pos;
		pattern_fill(want + todo[i].pos, todo[i].len, todo[i].pos, 1 + i);
		memcpy(buf, want + todo[i].pos, todo[i].len);
		ASSERT_EQ(0, uring_submit_sqe(&u, &sqe));
		ASSERT_EQ(1, uring_reap(&u, true, &data, &res));
		ASSERT_EQ(todo[i].len, res);
		/* the event was the last of it */
		memset(buf, UNTOUCHED, 8 * len);
		if (size < todo[i].pos + todo[i].len)
			size = todo[i].pos + todo[i].len;
		sqe.opcode = IORING_OP_READ;
		sqe.addr = (uintptr_t)back;
		sqe.len = 8 * len;
		sqe.off = 0;
		ASSERT_EQ(0, uring_submit_sqe(&u, &sqe));
		ASSERT_EQ(1, uring_reap(&u, true, &data, &res));
		ASSERT_EQ(size, res);
		EXPECT_SAME(back, want, size, 0);
	}
	if (env_is_retryfs()) {
		now = counters(&self->v);
		EXPECT_EQ(c.requests_write + ARRAY_SIZE(todo), now.requests_write);
		EXPECT_EQ(c.requests_read + ARRAY_SIZE(todo), now.requests_read);
		EXPECT_LT(c.async, now.async);
		EXPECT_LT(c.sync_extend, now.sync_extend);
		EXPECT_LT(c.sync_hole, now.sync_hole);
	}
	uring_exit(&u);
}

/* How many threads of the ring are at work, and wait for a device. */
static int waiting_workers(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int n = 0;

	while (dir && (entry = readdir(dir))) {
		char name[300], comm[32] = "", state = 0;
		FILE *f;

		snprintf(name, sizeof(name), "/proc/self/task/%s/stat", entry->d_name);
		f = fopen(name, "re");
		if (!f)
			continue;
		if (fscanf(f, "%*d (%31[^)]) %c", comm, &state) == 2)
			n += !strncmp(comm, "iou-wrk", 7) && state == 'D';
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return n;
}

/*
 * Overwrites of one file that have to be made by threads of the ring, as their pointers are not in memory: these do not
 * line up.
 */
TEST_F(dio_uring, overwrites_by_workers)
{
	const size_t size = 12 * LEN;
	char *buf = buf_alloc(size), *back = buf_alloc(size);
	const struct timespec ms10 = { .tv_nsec = 10000000 };
	struct uring ring;
	struct task settled;
	uint64_t data;
	int fd, i, res;

	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, size, 0, 2);
	/* finds out that there are no set-id bits, and needs no pointers but those in the inode */
	ASSERT_EQ(self->v.bs, pwrite(fd, buf, self->v.bs, 0));
	ASSERT_EQ(0, uring_setup(&ring, 4));
	ASSERT_EQ(0, vol_hold(&self->v));
	for (i = 10; i < 12; i++) {
		const struct io_uring_sqe sqe = {
			.opcode = IORING_OP_WRITE, .flags = IOSQE_ASYNC, .fd = fd, .off = i * LEN,
			.addr = (unsigned long)buf + i * LEN, .len = LEN, .user_data = i,
		};

		ASSERT_EQ(0, uring_submit_sqe(&ring, &sqe));
	}
	ASSERT_EQ(0, task_start(&settled, op_pread, &(struct io_op){ fd, back, LEN, 9 * LEN }));
	EXPECT_BLOCKED(&settled);
	/* the second one may be started when the first one sleeps */
	for (i = 0; i < 100 * JOIN_SECONDS && waiting_workers() != 2; i++)
		nanosleep(&ms10, NULL);
	EXPECT_EQ(2, waiting_workers());
	ASSERT_EQ(0, vol_release(&self->v));
	EXPECT_EQ(LEN, task_join(&settled, JOIN_SECONDS));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(1, uring_reap(&ring, true, &data, &res));
		EXPECT_EQ(LEN, res);
	}
	uring_exit(&ring);
	ASSERT_EQ(size, pread(fd, back, size, 0));
	EXPECT_PATTERN(back + self->v.bs, 10 * LEN - self->v.bs, self->v.bs, 1);
	EXPECT_PATTERN(back + 10 * LEN, 2 * LEN, 10 * LEN, 2);
	close(fd);
}

TEST_HARNESS_MAIN
