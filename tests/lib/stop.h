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

#endif
