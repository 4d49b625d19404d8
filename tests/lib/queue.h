/* SPDX-License-Identifier: GPL-2.0 */
/* Requests in flight, by libaio or by io_uring, for tests that do the same with both. */
#ifndef RFS_QUEUE_H
#define RFS_QUEUE_H

#include <stdbool.h>
#include <sys/types.h>

#include "aio.h"
#include "uring.h"
#include "vol.h"
#include "way.h"

#define QUEUE_DEPTH	32

struct queue {
	enum way how;	/* ASYNC or URING */
	aio_context_t ctx;
	struct uring u;
	struct iocb cb[QUEUE_DEPTH];
	struct iovec iov[QUEUE_DEPTH];
};

/* Is there such a way here? */
bool queue_possible(enum way how);
/* 0 or -errno. */
int queue_setup(struct queue *q, enum way how);
/* io_destroy(2), which waits for what is in flight; or closes the ring, which does not. */
int queue_exit(struct queue *q);
/* Request number @i of those that are in flight. 0 or -errno. */
int queue_submit(struct queue *q, unsigned int i, bool write, int fd, void *buf, size_t len,
		 off_t off);
/* The result of a request that has ended, and which one that was; -EAGAIN if none has. */
ssize_t queue_reap(struct queue *q, bool wait, unsigned int *i);

/*
 * Threads of io_uring issue its requests, and only the counter tells when they have:
 * wait until @nr more than @before are in flight, where they are held. false if they do not come.
 */
bool queue_issued(struct vol *v, const struct counters *before, unsigned int nr);

#endif
