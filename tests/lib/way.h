/* SPDX-License-Identifier: GPL-2.0 */
/* The ways to make a request, for tests that try them all. */
#ifndef RFS_WAY_H
#define RFS_WAY_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

/* FIXED is memory that is registered with the ring; it needs no pages pinned. */
enum way { SYNC, ASYNC, URING, FIXED, WAYS };

/*
 * A ring that knows @mem, for URING and FIXED. How many of the ways there are
 * here, or -errno.
 */
int way_setup(void *mem, size_t len);

/* One request; what it returns, or -errno. @rwf are RWF_ flags. */
ssize_t way_rw(enum way way, bool write, int fd, const struct iovec *iov, int nr,
	       off_t off, int rwf);

/* A write, for task_start(): what way_rw() returns. */
struct way_write {
	enum way way;
	int fd;
	struct iovec iov;
	off_t off;
	int rwf;
};

long op_way_write(void *way_write);

ssize_t do_write(enum way way, int fd, const void *buf, size_t len, off_t off);
ssize_t do_read(enum way way, int fd, void *buf, size_t len, off_t off);

/*
 * Divide @len bytes into pieces of 1 to 15 times 512, with gaps between that are
 * odd multiples of @align. How many pieces.
 */
int way_cut(struct iovec *iov, char *mem, unsigned int align, size_t len);

#endif
