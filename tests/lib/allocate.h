/* SPDX-License-Identifier: GPL-2.0 */
/* fallocate(2) that allocates, or zeroes. */
#ifndef RFS_ALLOCATE_H
#define RFS_ALLOCATE_H

#include <linux/falloc.h>
#include <sys/types.h>

/* 0 or -errno. */
int allocate(int fd, int mode, off_t off, off_t len);
long op_allocate(void *io_op);
/* With FALLOC_FL_ZERO_RANGE. */
long op_zero(void *io_op);

#endif
