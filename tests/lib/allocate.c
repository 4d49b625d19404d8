// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>

#include "allocate.h"
#include "task.h"

int allocate(int fd, int mode, off_t off, off_t len)
{
	return fallocate(fd, mode, off, len) ? -errno : 0;
}

long op_allocate(void *arg)
{
	struct io_op *op = arg;

	return allocate(op->fd, 0, op->off, op->len);
}

long op_zero(void *arg)
{
	struct io_op *op = arg;

	return allocate(op->fd, FALLOC_FL_ZERO_RANGE, op->off, op->len);
}
