// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "env.h"
#include "queue.h"

#define REAP_MS	120000

bool queue_possible(enum way how)
{
	return how == ASYNC || !access("/proc/sys/kernel/io_uring_disabled", F_OK);
}

int queue_setup(struct queue *q, enum way how)
{
	q->how = how;
	if (how == URING)
		return uring_setup(&q->u, QUEUE_DEPTH);
	return aio_setup(QUEUE_DEPTH, &q->ctx);
}

int queue_exit(struct queue *q)
{
	if (q->how == ASYNC)
		return aio_destroy(q->ctx);
	uring_exit(&q->u);
	return 0;
}

int queue_submit(struct queue *q, unsigned int i, bool write, int fd, void *buf, size_t len,
		 off_t off)
{
	if (q->how == URING) {
		q->iov[i] = (struct iovec){ buf, len };
		return uring_submit(&q->u, write, fd, &q->iov[i], 1, off, 0, i);
	}
	if (write)
		aio_prep_write(&q->cb[i], fd, buf, len, off);
	else
		aio_prep_read(&q->cb[i], fd, buf, len, off);
	return aio_submit_one(q->ctx, &q->cb[i]);
}

ssize_t queue_reap(struct queue *q, bool wait, unsigned int *i)
{
	struct io_event ev;
	uint64_t data;
	int n, res;

	if (q->how == URING) {
		n = uring_reap(&q->u, wait, &data, &res);
		*i = data;
		return n == 1 ? res : n ? n : -EAGAIN;
	}
	n = aio_events(q->ctx, wait, 1, &ev, wait ? REAP_MS : 0);
	if (n != 1)
		return n ? n : -EAGAIN;
	*i = (struct iocb *)(uintptr_t)ev.obj - q->cb;
	return ev.res;
}

/*
 * Those that are left to the retry, and have not had it. One that must not wait, of which nothing is
 * in the page cache, comes as far as to the device, is refused if that is suspended, which its retry
 * says, and is made again.
 */
static uint64_t in_flight(const struct counters *c)
{
	return c->async - c->retries;
}

bool queue_issued(struct vol *v, const struct counters *before, unsigned int nr)
{
	struct timespec ms10 = { .tv_nsec = 10000000 };
	struct counters now;
	uint64_t n = 0;
	int i;

	if (!env_is_retryfs())
		return true;
	for (i = 0; i < 6000; i++) {
		if (vol_counters(v, &now))
			return false;
		n = in_flight(&now) - in_flight(before);
		if (n == nr)
			return true;
		nanosleep(&ms10, NULL);
	}
	printf("# after a minute %llu of %u requests are in flight\n",
	       (unsigned long long)n, nr);
	return false;
}
