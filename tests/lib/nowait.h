/* SPDX-License-Identifier: GPL-2.0 */
/* Requests that must not wait. */
#ifndef RFS_NOWAIT_H
#define RFS_NOWAIT_H

#include "way.h"

/* One with RWF_NOWAIT and @rwf; what it returns, or -errno. */
ssize_t nowait(enum way way, bool write, int fd, void *buf, size_t len, off_t off, int rwf);
ssize_t nowait_read(enum way way, int fd, void *buf, size_t len, off_t off);
ssize_t nowait_write(enum way way, int fd, void *buf, size_t len, off_t off);
/* The same by a thread, as it may be that it waits for what the test holds: -ETIME then. */
long nowait_or_held(enum way way, bool write, int fd, void *buf, size_t len, off_t off);

/* Read once by one who may wait, so that the pointers to the blocks are in memory. 0 or -errno. */
int warm_up(int fd, size_t len);
/* How many threads of this process io_uring has made for what has to wait; -errno. */
int nowait_workers(void);

#endif
