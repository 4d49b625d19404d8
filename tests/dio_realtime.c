// SPDX-License-Identifier: GPL-2.0
/*
 * A task at real-time priority that polls for its events, and leaves its processor to nobody: what
 * the retry sleeps for is done on another one.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <time.h>

#include "disk.h"
#include "harness.h"
#include "put.h"

#define CPU	1
#define LEN	(16 * KIB)
/* Requests that are tried. */
#define MOST	100
/* By then it has failed. Longer than this the kernel complains of who keeps a processor. */
#define GIVE_UP	15

#define DEBUGFS	"/sys/kernel/debug"
#define FAIR	DEBUGFS "/sched/fair_server/cpu1/runtime"

FIXTURE(dio_realtime) {
	struct disk d;
	struct vol v;
	char fair[32];
};

/* The share of the processor that others have beside a task at real-time priority: returns the old one in @old. */
static int set_fair(const char *share, char *old, size_t size)
{
	ssize_t n;
	int fd;

	if (access(DEBUGFS "/sched", F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	fd = open(FAIR, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	n = read(fd, old, size - 1);
	close(fd);
	if (n < 0)
		return -errno;
	old[n] = '\0';
	return put(FAIR, share);
}

/* Interrupts come to the processor that has submitted a request. */
FIXTURE_SETUP(dio_realtime)
{
	const struct vol_conf conf = SMALL_1K;
	int err;

	if (sysconf(_SC_NPROCESSORS_ONLN) <= CPU)
		SKIP(return, "one processor");
	err = disk_up(&self->d, NULL_BLK_TIMER, 512, 16);
	if (err == -ENOENT)
		SKIP(return, "no such disk");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, disk_vol_up(&self->d, &self->v, &conf));
	ASSERT_EQ(0, set_fair("0", self->fair, sizeof(self->fair)));
}

FIXTURE_TEARDOWN(dio_realtime)
{
	char old[32];

	if (self->fair[0])
		EXPECT_EQ(0, set_fair(self->fair, old, sizeof(old)));
	close_range(3, ~0U, 0);
	EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
	EXPECT_EQ(0, disk_down(&self->d));
}

struct poll_op {
	aio_context_t ctx;
	struct iocb cb;
};

static time_t seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* Submits a request, and polls for its event without a pause. Its result. */
static long submit_and_poll(void *arg)
{
	const struct sched_param param = { .sched_priority = 50 };
	struct poll_op *op = arg;
	struct io_event ev;
	cpu_set_t cpu;
	time_t until;
	int n;

	CPU_ZERO(&cpu);
	CPU_SET(CPU, &cpu);
	if (sched_setaffinity(0, sizeof(cpu), &cpu) || sched_setscheduler(0, SCHED_FIFO, &param))
		return -errno;
	n = aio_submit_one(op->ctx, &op->cb);
	until = seconds() + GIVE_UP;
	while (!n && seconds() < until)
		n = aio_events(op->ctx, 0, 1, &ev, 0);
	return n == 1 ? (long)ev.res : n ?: -ETIME;
}

TEST_F(dio_realtime, retry_that_is_queued)
{
	char *buf = buf_alloc(LEN), *back = buf_alloc(LEN);
	struct counters after = {};
	struct poll_op op = {};
	struct task task;
	int fd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, LEN, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(1, &op.ctx));
	/* the disk may have ended a request before it was left to the retry */
	for (i = 1; i <= MOST && after.retries_queued < 4; i++) {
		/* so that there is something to sync */
		ASSERT_EQ(LEN, pwrite(fd, buf, LEN, i * LEN));
		pattern_fill(buf, LEN, 0, 1 + i);
		aio_prep_write(&op.cb, fd, buf, LEN, 0);
		op.cb.aio_rw_flags = RWF_DSYNC;
		ASSERT_EQ(0, task_start(&task, submit_and_poll, &op));
		ASSERT_EQ(LEN, task_join(&task, JOIN_SECONDS));
		if (env_is_retryfs())
			ASSERT_EQ(0, vol_counters(&self->v, &after));
		ASSERT_EQ(LEN, pread(fd, back, LEN, 0));
		EXPECT_PATTERN(back, LEN, 0, 1 + i);
	}
	if (env_is_retryfs())
		EXPECT_EQ(4, after.retries_queued);
	ASSERT_EQ(0, aio_destroy(op.ctx));
}

TEST_HARNESS_MAIN
