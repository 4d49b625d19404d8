// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "stop.h"
#include "trace.h"

#define PAGE		4096
#define KEEP_SECONDS	75
#define WAIT_SECONDS	120

static time_t seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static int run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

int stop_stay_away(struct stop *s)
{
	memset(s, 0, sizeof(*s));
	sem_init(&s->there, 0, 0);
	return sysconf(_SC_NPROCESSORS_ONLN) < 2 ? -ENODEV : run_on(0);
}

/* Of higher priority: it runs at once when the event says that the other one is there. */
static void *keep(void *arg)
{
	struct stop *s = arg;
	struct pollfd p = { s->fd, POLLIN, 0 };
	time_t until;

	while (poll(&p, 1, -1) < 0)
		;
	ioctl(s->fd, PERF_EVENT_IOC_DISABLE, 0);
	until = seconds() + KEEP_SECONDS;
	sem_post(&s->there);
	while (!s->go)
		if (seconds() > until) {
			s->expired = true;
			break;
		}
	return NULL;
}

static int event_open(const char *event)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.sample_period = 1,
		.wakeup_events = 1,
		.disabled = 1,
	};
	char path[128], id[16] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "events/%s/id", event);
	fd = trace_file(path, O_RDONLY);
	if (fd < 0)
		return fd;
	n = read(fd, id, sizeof(id) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	attr.config = atoi(id);
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int stop_me_at(struct stop *s, const char *event)
{
	struct sched_param param = { .sched_priority = 50 };
	pthread_attr_t attr;
	int err;

	err = run_on(1);
	if (err)
		return err;
	s->fd = event_open(event);
	if (s->fd < 0)
		return s->fd;
	s->ring = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (s->ring == MAP_FAILED)
		return -errno;
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &param);
	/* on the same processor, as that is inherited */
	err = pthread_create(&s->thread, &attr, keep, s);
	if (err)
		return -err;
	/* what was needed for that may come by there, too */
	return ioctl(s->fd, PERF_EVENT_IOC_ENABLE, 0) ? -errno : 0;
}

bool stop_wait(struct stop *s, int secs)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += secs;
	while (sem_timedwait(&s->there, &ts))
		if (errno != EINTR)
			return false;
	return true;
}

bool stop_go(struct stop *s)
{
	s->go = true;
	pthread_join(s->thread, NULL);
	munmap(s->ring, 2 * PAGE);
	close(s->fd);
	return !s->expired;
}

static long do_and_stop(void *arg)
{
	struct probed *p = arg;
	int err = stop_me_at(&p->stop, "kprobes/" STOP_PROBE);

	return err ? err : p->fn(p->arg);
}

int stop_in_probe(struct probed *p, struct task *t, const char *probe, long (*fn)(void *arg),
		  void *arg)
{
	int err;

	trace_write("kprobe_events", "-:" STOP_PROBE "\n");
	if (trace_write("kprobe_events", probe))
		return -ENOENT;
	err = stop_stay_away(&p->stop);
	if (err)
		return err;
	p->fn = fn;
	p->arg = arg;
	err = task_start(t, do_and_stop, p);
	return err || stop_wait(&p->stop, WAIT_SECONDS) ? err : -ETIME;
}

bool let_go(struct probed *p)
{
	bool ok = stop_go(&p->stop);

	trace_write("kprobe_events", "-:" STOP_PROBE "\n");
	return ok;
}
