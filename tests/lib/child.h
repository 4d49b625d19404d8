/* SPDX-License-Identifier: GPL-2.0 */
/* A process that has begun something, and is killed. */
#ifndef RFS_CHILD_H
#define RFS_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* A process that calls @begin, and then waits for signals. Its pid, once that has returned 0; or -1. */
pid_t child_start(int (*begin)(void *arg), void *arg);
/* Wait for its end: was it SIGKILL? */
bool child_was_killed(pid_t pid);

#endif
