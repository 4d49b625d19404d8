/* SPDX-License-Identifier: GPL-2.0 */
/* The aio system calls, without a library between the test and the kernel. */
#ifndef RFS_AIO_H
#define RFS_AIO_H

#include <linux/aio_abi.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* All return -errno on failure. */
int aio_setup(unsigned int nr, aio_context_t *ctx);
int aio_destroy(aio_context_t ctx);
int aio_submit(aio_context_t ctx, long nr, struct iocb **iocbs);
int aio_submit_one(aio_context_t ctx, struct iocb *iocb);
/* Wait for @min events; @timeout_ms < 0 waits for ever. */
int aio_events(aio_context_t ctx, long min, long max, struct io_event *ev,
	       int timeout_ms);

void aio_prep_write(struct iocb *cb, int fd, const void *buf, size_t len, off_t off);
void aio_prep_read(struct iocb *cb, int fd, void *buf, size_t len, off_t off);
void aio_prep_writev(struct iocb *cb, int fd, const struct iovec *iov, int nr, off_t off);
void aio_prep_readv(struct iocb *cb, int fd, const struct iovec *iov, int nr, off_t off);

/*
 * Submit one request, wait for it, give its result back. The last reference to the file
 * may be dropped a moment after that.
 */
ssize_t aio_do(struct iocb *cb);

#endif
