/* SPDX-License-Identifier: GPL-2.0 */
/* io_uring by its system calls: as much as is needed to read and write. */
#ifndef RFS_URING_H
#define RFS_URING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct uring {
	int fd;
	unsigned int entries;
	unsigned int *sq_tail, *sq_mask, *sq_array;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

/* 0 or -errno; -ENOSYS or -EPERM where there is none. */
int uring_setup(struct uring *u, unsigned int entries);
/* The same with flags: all but those that change what entries look like. */
int uring_setup_params(struct uring *u, unsigned int entries, struct io_uring_params *p);
void uring_exit(struct uring *u);
/* A request, to be submitted. */
struct io_uring_sqe uring_rw(bool write, int fd, const struct iovec *iov, int nr, uint64_t off,
			     int rwf);
int uring_submit(struct uring *u, bool write, int fd, const struct iovec *iov,
		 int nr, uint64_t off, int rwf, uint64_t data);
/* The same with one of the buffers that were registered, in order, from @iov. */
int uring_register(struct uring *u, const struct iovec *iov, int nr);
int uring_submit_fixed(struct uring *u, bool write, int fd, int index, void *buf,
		       unsigned int len, uint64_t off, uint64_t data);
/* Submit a request of any kind. */
int uring_submit_sqe(struct uring *u, const struct io_uring_sqe *sqe);
/* Wait for one completion, or take one if there is one: 1, 0 or -errno. */
int uring_reap(struct uring *u, bool wait, uint64_t *data, int *res);

#endif
