// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/fs.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "aio.h"
#include "env.h"
#include "task.h"

#define SAMPLE_MS	10
#define SAMPLES		8	/* this many equal samples: it is not moving */
#define SETTLE_MS	60000
#define BUSY		200	/* the same, of a disk that has requests */
#define QUIET		2	/* this many in a machine with nothing to do, a grace period apart */

static void *task_main(void *arg)
{
	struct task *t = arg;
	long ret;

	pthread_mutex_lock(&t->lock);
	t->tid = gettid();
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);

	ret = t->fn(t->arg);

	pthread_mutex_lock(&t->lock);
	t->ret = ret;
	t->done = true;
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int task_start(struct task *t, long (*fn)(void *arg), void *arg)
{
	pthread_condattr_t attr;
	int err;

	memset(t, 0, sizeof(*t));
	t->fn = fn;
	t->arg = arg;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->cond, &attr);
	err = pthread_create(&t->thread, NULL, task_main, t);
	if (err)
		return -err;
	pthread_mutex_lock(&t->lock);
	while (!t->tid)
		pthread_cond_wait(&t->cond, &t->lock);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

bool task_done(struct task *t)
{
	bool done;

	pthread_mutex_lock(&t->lock);
	done = t->done;
	pthread_mutex_unlock(&t->lock);
	return done;
}

/* The number of times it went to sleep, if it sleeps now; else -1. */
static long sleeping(pid_t tid)
{
	char path[64], line[128], state = '?';
	long switches = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "State: %c", &state) == 1)
			continue;
		if (sscanf(line, "voluntary_ctxt_switches: %ld", &switches) == 1)
			break;
	}
	fclose(f);
	return state == 'D' || state == 'S' ? switches : -1;
}

/* Wait for the end of the call for @ms; true when it ended. */
static bool wait_done(struct task *t, long ms)
{
	struct timespec ts;
	bool done;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += (ms % 1000) * 1000000L;
	if (ts.tv_nsec >= 1000000000L) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&t->lock);
	while (!t->done)
		if (pthread_cond_timedwait(&t->cond, &t->lock, &ts))
			break;
	done = t->done;
	pthread_mutex_unlock(&t->lock);
	return done;
}

/* Is no task runnable but this one? */
static bool nothing_runs(void)
{
	unsigned int running = 0;
	FILE *f;

	f = fopen("/proc/loadavg", "re");
	if (!f)
		return false;
	if (fscanf(f, "%*s %*s %*s %u/", &running) != 1)
		running = 0;
	fclose(f);
	return running == 1;
}

/*
 * Has the disk no request? (What is held is above it.) The file inflight would not tell:
 * of a flush it knows nothing.
 */
static bool disk_idle(void)
{
	unsigned int requests = 1;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", strrchr(env_dev(), '/') + 1);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%*s %*s %*s %*s %*s %*s %*s %*s %u", &requests) != 1)
		requests = 1;
	fclose(f);
	return !requests;
}

/* Who waits for RCU, as a freeze does, is about to go on. */
static bool grace_period(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) > 1 &&
	       !syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

/*
 * A task is blocked for good when it sleeps on although the disk is idle, nothing else
 * runs, and an RCU grace period has passed: what could wake it then is what the test
 * holds, or a timer. In a machine that is never idle it has to sleep for longer, and with
 * a disk that is never idle for longer still.
 */
enum task_state task_settle(struct task *t)
{
	int same = 0, busy = 0, quiet = 0, ms;
	long last = -1;

	for (ms = 0; ms < SETTLE_MS; ms += SAMPLE_MS) {
		bool idle;
		long now;

		if (wait_done(t, quiet ? 1 : SAMPLE_MS))
			return TASK_DONE;
		now = sleeping(t->tid);
		if (now < 0 || now != last)
			same = busy = quiet = 0;
		last = now;
		if (now < 0)
			continue;
		idle = disk_idle();
		same += idle;
		busy += !idle;
		quiet = idle && nothing_runs() ? quiet + 1 : 0;
		if (same > SAMPLES || busy > BUSY || quiet == QUIET)
			return TASK_BLOCKED;
		if (quiet && !grace_period())
			quiet = 0;
	}
	return TASK_UNSETTLED;
}

static void print_stack(pid_t tid)
{
	char path[64], line[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stack", tid);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		printf("#   %s", line);
	fclose(f);
}

bool task_settles(struct task *t, enum task_state want)
{
	static const char *const names[] = {
		[TASK_DONE] = "has returned",
		[TASK_BLOCKED] = "is blocked",
		[TASK_UNSETTLED] = "neither returns nor stays blocked",
	};
	enum task_state is = task_settle(t);

	if (is == want)
		return true;
	printf("# the call %s, and not: %s\n", names[is], names[want]);
	if (is != TASK_DONE)
		print_stack(t->tid);
	return false;
}

long task_join(struct task *t, int seconds)
{
	if (!wait_done(t, seconds * 1000L))
		return -ETIME;
	pthread_join(t->thread, NULL);
	return t->ret;
}

long op_pwrite(void *arg)
{
	struct io_op *op = arg;
	ssize_t n = pwrite(op->fd, op->buf, op->len, op->off);

	return n < 0 ? -errno : n;
}

long op_pread(void *arg)
{
	struct io_op *op = arg;
	ssize_t n = pread(op->fd, op->buf, op->len, op->off);

	return n < 0 ? -errno : n;
}

long op_ftruncate(void *arg)
{
	struct io_op *op = arg;

	return ftruncate(op->fd, op->off) ? -errno : 0;
}

long op_fsync(void *arg)
{
	struct io_op *op = arg;

	return fsync(op->fd) ? -errno : 0;
}

long op_aio_do(void *arg)
{
	return aio_do(arg);
}

long op_freeze(void *arg)
{
	return ioctl(*(int *)arg, FIFREEZE, 0) ? -errno : 0;
}

long op_submit(void *arg)
{
	struct submit_op *op = arg;

	return aio_submit(op->ctx, op->nr, op->iocbs);
}
