/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A thread that is stopped in the kernel, at a trace point that it comes to: it is preempted
 * there, by one that then keeps its processor. Two processors and a preemptible kernel are needed.
 */
#ifndef RFS_STOP_H
#define RFS_STOP_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "task.h"

struct stop {
	sem_t there;
	atomic_bool go;
	atomic_bool expired;
	pthread_t thread;
	int fd;
	void *ring;
};

/* For whoever is to act meanwhile: stay off the processor that stop_me_at() uses. 0 or -errno. */
int stop_stay_away(struct stop *s);
/* The calling thread is to be stopped at @event, "group/name", from now on, once. 0 or -errno. */
int stop_me_at(struct stop *s, const char *event);
/* Wait until it is; false if it does not come there in @seconds. */
bool stop_wait(struct stop *s, int seconds);
/* Let it go on; false if it had not been kept for so long. */
bool stop_go(struct stop *s);

/* The name of the kprobe event of stop_in_probe(). */
#define STOP_PROBE	"rfs_stop"

struct probed {
	struct stop stop;
	long (*fn)(void *arg);
	void *arg;
};

/* Start @fn, which is stopped where @probe says, a line for kprobe_events: -ENOENT if there is no such place. 0 or -errno. */
int stop_in_probe(struct probed *p, struct task *t, const char *probe, long (*fn)(void *arg),
		  void *arg);
/* As stop_go(), of that. */
bool let_go(struct probed *p);

#endif
