// SPDX-License-Identifier: GPL-2.0
/*
 * Requests of rings with IORING_SETUP_IOPOLL, which end when somebody polls for them and not
 * by an interrupt; and those that cannot be polled for, which end as others do.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blocks.h"
#include "disk.h"
#include "harness.h"
#include "trace.h"
#include "uring.h"

#ifndef IORING_SETUP_HYBRID_IOPOLL
#define IORING_SETUP_HYBRID_IOPOLL	(1U << 17)
#endif

#define DONE	"events/block/block_rq_complete/enable"
#define NR	8	/* requests in flight */
#define PIECE	(4 * KIB)
#define LEN	(NR * PIECE)

FIXTURE(dio_poll) {
	struct disk d;
	struct vol v;
	struct uring u;
};

static int poll_ring(struct uring *u, unsigned int flags)
{
	struct io_uring_params p = { .flags = IORING_SETUP_IOPOLL | flags };

	return uring_setup_params(u, 32, &p);
}

FIXTURE_SETUP(dio_poll)
{
	const struct vol_conf conf = SMALL_1K;
	int err = disk_up(&self->d, NULL_BLK_POLL, 512, 16);

	if (err == -ENOENT)
		SKIP(return, "no such disk");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, disk_vol_up(&self->d, &self->v, &conf));
	ASSERT_EQ(0, poll_ring(&self->u, 0));
}

FIXTURE_TEARDOWN(dio_poll)
{
	/* io_uring drops its references a moment later */
	close_range(3, ~0U, 0);
	EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
	EXPECT_EQ(0, disk_down(&self->d));
}

/* Where the disk has ended requests since watch(). */
struct ended {
	int polled;
	int interrupts;
};

static int watch(void)
{
	int err = trace_write("trace", "\n");

	trace_clear();
	return err ?: trace_write(DONE, "1");
}

#define OF_PIECES	" + 8 "	/* in sectors, as no metadata is */

/* Those that are traced with this text. */
static struct ended ended(const char *which)
{
	struct ended e = {};
	char line[512];
	FILE *f;

	trace_write(DONE, "0");
	f = trace_open();
	while (f && fgets(line, sizeof(line), f)) {
		char *cpu = strstr(line, " ["), *flags = cpu ? strchr(cpu, ']') : NULL;

		if (*line == '#' || !flags || !strstr(line, "block_rq_complete") ||
		    !strstr(line, which))
			continue;
		/* "] d.h1. 12.345: ": the third says which kind of interrupt, if it is one */
		if (strchr("hHsZz", flags[4]))
			e.interrupts++;
		else
			e.polled++;
	}
	if (f)
		fclose(f);
	return e;
}

/* "f" of LEN bytes of generation 1; nothing has to be read to find its blocks. */
static int make(struct vol *v)
{
	char *buf = buf_alloc(LEN);
	int fd, err = vol_prefill("f", 0, LEN, 1);

	fd = err ?: vol_open("f", O_RDWR | O_DIRECT);
	if (fd >= 0 && pread(fd, buf, LEN, 0) != LEN)
		return -EIO;
	pattern_fill(buf, LEN, 0, 1);
	/* nor does the page cache have any */
	if (fd >= 0 && pwrite(fd, buf, LEN, 0) != LEN)
		return -EIO;
	return fd;
}

static int submit(struct uring *u, bool write, int fd, void *buf, size_t len, off_t pos)
{
	static struct iovec iov[64];
	static unsigned int at;
	struct iovec *mine = &iov[at++ % ARRAY_SIZE(iov)];

	*mine = (struct iovec){ buf, len };
	return uring_submit(u, write, fd, mine, 1, pos, 0, (uintptr_t)buf);
}

/* One request alone: what it returns. */
static long one(struct uring *u, bool write, int fd, void *buf, size_t len, off_t pos)
{
	int res, err = submit(u, write, fd, buf, len, pos);
	uint64_t data;

	if (!err)
		err = uring_reap(u, true, &data, &res);
	return err == 1 ? res : err ?: -EAGAIN;
}

static void many(struct __test_metadata *_metadata, struct uring *u, int fd, bool write)
{
	char *buf = buf_alloc(LEN), *back = buf_alloc(LEN);
	struct ended e;
	uint64_t data;
	int i, res;

	if (write)
		pattern_fill(buf, LEN, 0, 2);
	ASSERT_EQ(0, watch());
	for (i = 0; i < NR; i++)
		ASSERT_EQ(0, submit(u, write, fd, buf + i * PIECE, PIECE, i * PIECE));
	/* nobody has polled yet */
	EXPECT_EQ(0, uring_reap(u, false, &data, &res));
	for (i = 0; i < NR; i++) {
		ASSERT_EQ(1, uring_reap(u, true, &data, &res));
		EXPECT_EQ(PIECE, res);
	}
	e = ended(OF_PIECES);
	EXPECT_EQ(NR, e.polled);
	EXPECT_EQ(0, e.interrupts);
	ASSERT_EQ(LEN, pread(fd, back, LEN, 0));
	EXPECT_PATTERN(write ? back : buf, LEN, 0, write ? 2 : 1);
}

TEST_F(dio_poll, reads)
{
	int fd = make(&self->v);

	ASSERT_LE(0, fd);
	many(_metadata, &self->u, fd, false);
}

TEST_F(dio_poll, overwrites)
{
	int fd = make(&self->v);

	ASSERT_LE(0, fd);
	many(_metadata, &self->u, fd, true);
}

TEST_F(dio_poll, hybrid)
{
	int fd = make(&self->v);
	struct uring u;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, poll_ring(&u, IORING_SETUP_HYBRID_IOPOLL));
	many(_metadata, &u, fd, false);
	many(_metadata, &u, fd, true);
	uring_exit(&u);
}

/* Others do end by interrupts; or this were no test. */
TEST_F(dio_poll, not_polled)
{
	char *buf = buf_alloc(PIECE);
	int fd = make(&self->v);
	struct ended e;
	struct uring u;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_setup(&u, 4));
	ASSERT_EQ(0, watch());
	EXPECT_EQ(PIECE, one(&u, false, fd, buf, PIECE, 0));
	e = ended(OF_PIECES);
	EXPECT_EQ(0, e.polled);
	EXPECT_EQ(1, e.interrupts);
	uring_exit(&u);
}

/* A block of pointers has to be read first. */
TEST_F(dio_poll, cold_read)
{
	const off_t pos = LEN - PIECE;
	char *buf = buf_alloc(PIECE);
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, LEN, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	EXPECT_EQ(PIECE, one(&self->u, false, fd, buf, PIECE, pos));
	EXPECT_PATTERN(buf, PIECE, pos, 1);
}

/* Of several bios only one would be found. */
TEST_F(dio_poll, several_bios)
{
	const int pieces = 5;
	const size_t piece = 4 * self->v.bs, len = pieces * piece;
	char *buf = buf_alloc(len);
	struct ended e;
	int fd;

	ASSERT_EQ(0, disk_no_merges(&self->d));
	fd = make_pieces(&self->v, "p", piece, pieces);
	ASSERT_LE(0, fd);
	ASSERT_EQ(len, pread(fd, buf, len, 0));
	memset(buf, 0, len);
	ASSERT_EQ(0, watch());
	ASSERT_EQ(len, one(&self->u, false, fd, buf, len, 0));
	e = ended("");
	EXPECT_PATTERN(buf, len, 0, 1);
	EXPECT_EQ(0, e.polled);
	EXPECT_LE(pieces, e.interrupts);
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(len, one(&self->u, true, fd, buf, len, 0));
	memset(buf, 0, len);
	ASSERT_EQ(len, pread(fd, buf, len, 0));
	EXPECT_PATTERN(buf, len, 0, 2);
}

/* What the submitter waits for, or what is not for the device alone. */
TEST_F(dio_poll, waited_for)
{
	char *buf = buf_alloc(4 * LEN), *back = buf_alloc(4 * LEN);
	int fd = make(&self->v);

	ASSERT_LE(0, fd);
	/* over EOF, at it, and beyond */
	ASSERT_EQ(0, ftruncate(fd, LEN - 100));
	EXPECT_EQ(PIECE - 100, one(&self->u, false, fd, back, PIECE, LEN - PIECE));
	EXPECT_PATTERN(back, PIECE - 512, LEN - PIECE, 1);
	EXPECT_EQ(0, one(&self->u, false, fd, back, PIECE, LEN));
	ASSERT_EQ(0, ftruncate(fd, LEN));
	EXPECT_EQ(0, one(&self->u, false, fd, back, PIECE, LEN));
	/* an append, the hole behind it, and data with a hole */
	pattern_fill(buf, PIECE, LEN, 2);
	EXPECT_EQ(PIECE, one(&self->u, true, fd, buf, PIECE, LEN));
	EXPECT_EQ(PIECE, one(&self->u, false, fd, back, PIECE, LEN));
	EXPECT_PATTERN(back, PIECE, LEN, 2);
	ASSERT_EQ(0, ftruncate(fd, 3 * LEN));
	EXPECT_EQ(PIECE, one(&self->u, false, fd, back, PIECE, 2 * LEN));
	EXPECT_ZERO(back, PIECE, 2 * LEN);
	EXPECT_EQ(2 * PIECE, one(&self->u, false, fd, back, 2 * PIECE, LEN));
	EXPECT_PATTERN(back, PIECE, LEN, 2);
	EXPECT_ZERO(back + PIECE, PIECE, LEN + PIECE);
	pattern_fill(buf, 2 * PIECE, LEN, 3);
	EXPECT_EQ(2 * PIECE, one(&self->u, true, fd, buf, 2 * PIECE, LEN));
	EXPECT_EQ(2 * PIECE, one(&self->u, false, fd, back, 2 * PIECE, LEN));
	EXPECT_PATTERN(back, 2 * PIECE, LEN, 3);
	/* misaligned */
	EXPECT_EQ(-EINVAL, one(&self->u, false, fd, back, 100, 0));
}

/*
 * The first part of a write has new blocks, for which it does not bring memory in; its submitter waits for that part, and for the rest: nobody
 * polls for these.
 */
TEST_F(dio_poll, rest_of_a_write)
{
	char *buf = buf_alloc(2 * PIECE), *back = buf_alloc(2 * PIECE);
	struct ended e;
	pid_t child;
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "others have no such option");
	ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, "async_alloc"));
	fd = vol_open("g", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 2 * PIECE, 0, 1);
	ASSERT_EQ(PIECE, pwrite(fd, buf + PIECE, PIECE, PIECE));
	vol_sync();
	pattern_fill(buf, 2 * PIECE, 0, 2);
	/* the second page is that of a child, too: to pin it takes a fault */
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		pause();
		_exit(0);
	}
	pattern_fill(buf, PIECE, 0, 2);
	ASSERT_EQ(0, watch());
	EXPECT_EQ(2 * PIECE, one(&self->u, true, fd, buf, 2 * PIECE, 0));
	e = ended(OF_PIECES);
	EXPECT_EQ(0, e.polled);
	EXPECT_EQ(2, e.interrupts);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	ASSERT_EQ(2 * PIECE, pread(fd, back, 2 * PIECE, 0));
	EXPECT_PATTERN(back, 2 * PIECE, 0, 2);
}

/* Pages of the range, which come while a write is in flight, have to be dropped in process context. */
TEST_F(dio_poll, queued)
{
	char *buf = buf_alloc(PIECE), *back = buf_alloc(PIECE);
	struct counters c0 = {}, c1 = {};
	int fd = make(&self->v), cached, res;
	uint64_t data;

	ASSERT_LE(0, fd);
	cached = vol_open("f", O_RDWR);
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	pattern_fill(buf, PIECE, 0, 2);
	ASSERT_EQ(0, submit(&self->u, true, fd, buf, PIECE, 0));
	ASSERT_EQ(PIECE, pread(cached, back, PIECE, 0));
	EXPECT_PATTERN(back, PIECE, 0, 1);
	ASSERT_EQ(1, uring_reap(&self->u, true, &data, &res));
	EXPECT_EQ(PIECE, res);
	ASSERT_EQ(PIECE, pread(cached, back, PIECE, 0));
	EXPECT_PATTERN(back, PIECE, 0, 2);
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.retries_queued + 1, c1.retries_queued);
	}
}

TEST_F(dio_poll, device_error)
{
	/* far enough from metadata, which are read with what is beside them */
	const off_t bad = 2 * PIECE;
	char *buf = buf_alloc(PIECE);
	struct vol_map map;
	int fd = make(&self->v);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_block(&self->v, "f", bad / self->v.bs, &map));
	ASSERT_EQ(0, disk_bad_sectors(&self->d, map.e[0].sector, map.e[0].len));
	EXPECT_EQ(-EIO, one(&self->u, true, fd, buf, PIECE, bad));
	EXPECT_EQ(-EIO, one(&self->u, false, fd, buf, PIECE, bad));
	EXPECT_EQ(PIECE, one(&self->u, false, fd, buf, PIECE, 0));
	EXPECT_PATTERN(buf, PIECE, 0, 1);
}

/* Truncate waits until somebody has polled. */
TEST_F(dio_poll, truncate_waits)
{
	char *buf = buf_alloc(PIECE);
	int fd = make(&self->v), res;
	struct task cut;
	uint64_t data;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, submit(&self->u, true, fd, buf, PIECE, 0));
	ASSERT_EQ(0, task_start(&cut, op_ftruncate, &(struct io_op){ .fd = fd, .off = 0 }));
	EXPECT_BLOCKED(&cut);
	ASSERT_EQ(1, uring_reap(&self->u, true, &data, &res));
	EXPECT_EQ(PIECE, res);
	EXPECT_EQ(0, task_join(&cut, JOIN_SECONDS));
}

/* The ring goes, or the process with it, and nobody has polled for what is in flight. */
TEST_F(dio_poll, ring_that_is_closed)
{
	char *buf = buf_alloc(LEN);
	int fd = make(&self->v), i, round, status;
	struct uring u;
	pid_t child;

	ASSERT_LE(0, fd);
	for (round = 0; round < 2; round++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			if (poll_ring(&u, 0))
				_exit(1);
			for (i = 0; i < NR; i++)
				if (submit(&u, i & 1, fd, buf + i * PIECE, PIECE, i * PIECE))
					_exit(2);
			if (round)
				uring_exit(&u);
			_exit(0);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_EQ(0, status);
		/* waits for what is in flight */
		ASSERT_EQ(0, ftruncate(fd, LEN / 2));
		ASSERT_EQ(0, ftruncate(fd, LEN));
		close(fd);
		fd = make(&self->v);
		ASSERT_LE(0, fd);
	}
	close(fd);
}

struct poller {
	int fd, nr, seed;
};

static long op_poller(void *arg)
{
	struct poller *p = arg;
	char *buf = buf_alloc(NR * PIECE);
	int i, res, in_flight = 0, ret = 0;
	uint64_t data;
	struct uring u;

	ret = poll_ring(&u, 0);
	for (i = 0; !ret && (i < p->nr || in_flight); i++) {
		if (i < p->nr) {
			off_t pos = (i * 5 + p->seed) % NR * PIECE;

			/* each piece of memory is in use once */
			ret = submit(&u, false, p->fd, buf + i % NR * PIECE, PIECE, pos);
			in_flight += !ret;
		}
		if (!ret && (in_flight == NR || i >= p->nr)) {
			if (uring_reap(&u, true, &data, &res) != 1 || res != PIECE)
				ret = -EIO;
			in_flight--;
		}
	}
	uring_exit(&u);
	return ret;
}

/* Those who poll one queue end each other's requests, also while these are polled for. */
TEST_F(dio_poll, pollers_side_by_side)
{
	const int nr = env_on_debug() ? 200 : 1000;
	struct task tasks[3];
	struct poller p[ARRAY_SIZE(tasks)];
	int fd = make(&self->v), i;

	ASSERT_LE(0, fd);
	for (i = 0; i < ARRAY_SIZE(tasks); i++) {
		p[i] = (struct poller){ fd, nr, i };
		ASSERT_EQ(0, task_start(&tasks[i], op_poller, &p[i]));
	}
	for (i = 0; i < ARRAY_SIZE(tasks); i++)
		EXPECT_EQ(0, task_join(&tasks[i], JOIN_SECONDS));
}

/* Below device-mapper, which polls by the bio and not by a queue. */
TEST(by_device_mapper)
{
	const struct vol_conf conf = SMALL_1K;
	int fd, err;
	struct disk d;
	struct uring u;
	struct vol v;

	err = disk_up(&d, NULL_BLK_POLL, 512, 16);
	if (err == -ENOENT)
		SKIP(return, "no such disk");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, disk_route_up(&d, &v, &conf));
	ASSERT_EQ(0, poll_ring(&u, 0));
	fd = make(&v);
	ASSERT_LE(0, fd);
	many(_metadata, &u, fd, false);
	many(_metadata, &u, fd, true);
	close(fd);
	uring_exit(&u);
	EXPECT_EQ(0, disk_route_down(&v));
	EXPECT_EQ(0, disk_down(&d));
}

VOL_FIXTURE(dio_poll_no_queue);
FIXTURE_VARIANT_ADD(dio_poll_no_queue, bs1k) { .conf = SMALL_1K };

/* A device that cannot be polled says so; what needs no device is done. That is no failure of it. */
TEST_F(dio_poll_no_queue, refused)
{
	char *buf = buf_alloc(LEN);
	const char *const told[] = { "cut short", NULL };
	int fd = make(&self->v), log = kmsg_open();
	struct uring u;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, poll_ring(&u, 0));
	EXPECT_EQ(-EOPNOTSUPP, one(&u, false, fd, buf, PIECE, 0));
	EXPECT_EQ(-EOPNOTSUPP, one(&u, true, fd, buf, PIECE, 0));
	EXPECT_EQ(0, one(&u, false, fd, buf, PIECE, LEN));
	ASSERT_EQ(0, ftruncate(fd, 2 * LEN));
	EXPECT_EQ(PIECE, one(&u, false, fd, buf, PIECE, LEN));
	EXPECT_ZERO(buf, PIECE, LEN);
	EXPECT_FALSE(kmsg_has(log, told));
	ASSERT_EQ(PIECE, pread(fd, buf, PIECE, 0));
	EXPECT_PATTERN(buf, PIECE, 0, 1);
	uring_exit(&u);
	close(fd);
}

TEST_HARNESS_MAIN
