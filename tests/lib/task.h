/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A thread that makes one call, and a way to tell "it is blocked in the kernel
 * and stays so" from "it has returned" without guessing how long to sleep.
 */
#ifndef RFS_TASK_H
#define RFS_TASK_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct task {
	long (*fn)(void *arg);
	void *arg;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	pid_t tid;
	bool done;
	long ret;	/* what fn returned: >= 0 or -errno */
};

enum task_state { TASK_DONE, TASK_BLOCKED, TASK_UNSETTLED };

int task_start(struct task *t, long (*fn)(void *arg), void *arg);
bool task_done(struct task *t);
/* Wait until the call has returned, or sleeps and nothing is left that would wake it. */
enum task_state task_settle(struct task *t);
/* Does it come to that? If not, it is printed where in the kernel it sleeps. */
bool task_settles(struct task *t, enum task_state want);
/* Its result; -ETIME when it is not back after @seconds (it is then left). */
long task_join(struct task *t, int seconds);

/* The calls that the tests make from such threads. */
struct io_op {
	int fd;
	void *buf;
	size_t len;
	off_t off;
};

long op_pwrite(void *io_op);
long op_pread(void *io_op);
long op_ftruncate(void *io_op);	/* to off */
long op_fsync(void *io_op);
long op_aio_do(void *iocb);
/* FIFREEZE of the mount of an open directory. */
long op_freeze(void *fd);

struct submit_op {
	unsigned long ctx;
	long nr;
	struct iocb **iocbs;
};

long op_submit(void *submit_op);

#endif
