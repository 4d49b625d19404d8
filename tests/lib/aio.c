// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "aio.h"

int aio_setup(unsigned int nr, aio_context_t *ctx)
{
	*ctx = 0;
	return syscall(SYS_io_setup, nr, ctx) < 0 ? -errno : 0;
}

int aio_destroy(aio_context_t ctx)
{
	return syscall(SYS_io_destroy, ctx) < 0 ? -errno : 0;
}

int aio_submit(aio_context_t ctx, long nr, struct iocb **iocbs)
{
	long n = syscall(SYS_io_submit, ctx, nr, iocbs);

	return n < 0 ? -errno : n;
}

int aio_submit_one(aio_context_t ctx, struct iocb *iocb)
{
	int n = aio_submit(ctx, 1, &iocb);

	if (n < 0)
		return n;
	return n == 1 ? 0 : -EAGAIN;
}

int aio_events(aio_context_t ctx, long min, long max, struct io_event *ev,
	       int timeout_ms)
{
	struct timespec ts = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = (timeout_ms % 1000) * 1000000L,
	};
	long n;

	do {
		n = syscall(SYS_io_getevents, ctx, min, max, ev,
			    timeout_ms < 0 ? NULL : &ts);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void prep(struct iocb *cb, int op, int fd, const void *buf, size_t len,
		 off_t off)
{
	memset(cb, 0, sizeof(*cb));
	cb->aio_lio_opcode = op;
	cb->aio_fildes = fd;
	cb->aio_buf = (uintptr_t)buf;
	cb->aio_nbytes = len;
	cb->aio_offset = off;
	cb->aio_data = (uintptr_t)cb;
}

void aio_prep_write(struct iocb *cb, int fd, const void *buf, size_t len, off_t off)
{
	prep(cb, IOCB_CMD_PWRITE, fd, buf, len, off);
}

void aio_prep_read(struct iocb *cb, int fd, void *buf, size_t len, off_t off)
{
	prep(cb, IOCB_CMD_PREAD, fd, buf, len, off);
}

void aio_prep_writev(struct iocb *cb, int fd, const struct iovec *iov, int nr, off_t off)
{
	prep(cb, IOCB_CMD_PWRITEV, fd, iov, nr, off);
}

void aio_prep_readv(struct iocb *cb, int fd, const struct iovec *iov, int nr, off_t off)
{
	prep(cb, IOCB_CMD_PREADV, fd, iov, nr, off);
}

ssize_t aio_do(struct iocb *cb)
{
	/* To destroy one takes an RCU grace period. */
	static __thread aio_context_t ctx;
	struct io_event ev;
	ssize_t ret = 0;

	if (!ctx)
		ret = aio_setup(1, &ctx);
	if (!ret)
		ret = aio_submit_one(ctx, cb);
	if (!ret)
		ret = aio_events(ctx, 1, 1, &ev, -1);
	return ret == 1 ? ev.res : ret;
}
