// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "aio.h"
#include "uring.h"
#include "way.h"

/* Fixed memory in many pieces: IORING_OP_READV_FIXED is not in older headers. */
enum { OP_READV_FIXED = 60, OP_WRITEV_FIXED };

static struct uring ring;

int way_setup(void *mem, size_t len)
{
	struct iovec iov = { mem, len };
	int err;

	if (access("/proc/sys/kernel/io_uring_disabled", F_OK))
		return URING;
	err = uring_setup(&ring, 4);
	if (!err)
		err = uring_register(&ring, &iov, 1);
	return err ? err : WAYS;
}

static ssize_t by_uring(const struct io_uring_sqe *sqe)
{
	uint64_t data;
	int res, err;

	err = uring_submit_sqe(&ring, sqe);
	if (!err)
		err = uring_reap(&ring, true, &data, &res);
	return err == 1 ? res : err;
}

ssize_t way_rw(enum way way, bool write, int fd, const struct iovec *iov, int nr,
	       off_t off, int rwf)
{
	struct io_uring_sqe sqe = uring_rw(write, fd, iov, nr, off, rwf);
	struct iocb cb;
	ssize_t n;

	switch (way) {
	case SYNC:
		n = write ? pwritev2(fd, iov, nr, off, rwf) : preadv2(fd, iov, nr, off, rwf);
		return n < 0 ? -errno : n;
	case ASYNC:
		if (write)
			aio_prep_writev(&cb, fd, iov, nr, off);
		else
			aio_prep_readv(&cb, fd, iov, nr, off);
		cb.aio_rw_flags = rwf;
		return aio_do(&cb);
	case FIXED:
		sqe.opcode = write ? OP_WRITEV_FIXED : OP_READV_FIXED;
		if (nr == 1) {
			sqe.opcode = write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
			sqe.addr = (uintptr_t)iov->iov_base;
			sqe.len = iov->iov_len;
		}
		break;
	default:
		break;
	}
	return by_uring(&sqe);
}

long op_way_write(void *way_write)
{
	const struct way_write *w = way_write;

	return way_rw(w->way, true, w->fd, &w->iov, 1, w->off, w->rwf);
}

ssize_t do_write(enum way way, int fd, const void *buf, size_t len, off_t off)
{
	return way_rw(way, true, fd, &(struct iovec){ (void *)buf, len }, 1, off, 0);
}

ssize_t do_read(enum way way, int fd, void *buf, size_t len, off_t off)
{
	return way_rw(way, false, fd, &(struct iovec){ buf, len }, 1, off, 0);
}

int way_cut(struct iovec *iov, char *mem, unsigned int align, size_t len)
{
	size_t n;
	int nr;

	for (nr = 0; len; len -= n, nr++) {
		n = 512 * (1 + nr * 4 % 15);
		if (n > len)
			n = len;
		mem += align * (1 + nr % 5);
		iov[nr] = (struct iovec){ mem, n };
		mem += n;
	}
	return nr;
}
