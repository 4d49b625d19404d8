// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "buf.h"

/* Newer than the headers of a user's libc. */
#define DIO_READ_ALIGN		0x00020000U	/* STATX_DIO_READ_ALIGN */
#define DIO_READ_OFFSET_ALIGN	0xb4		/* offset of stx_dio_read_offset_align */

void *buf_alloc(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("# mmap");
		exit(1);
	}
	return p;
}

int dio_align(int fd, unsigned int *mem, unsigned int *offset)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx))
		return -errno;
	if (!(stx.stx_mask & STATX_DIOALIGN))
		return -EOPNOTSUPP;
	*mem = stx.stx_dio_mem_align;
	*offset = stx.stx_dio_offset_align;
	return 0;
}

int dio_read_align(int fd)
{
	struct statx stx;
	unsigned int align;

	if (statx(fd, "", AT_EMPTY_PATH, DIO_READ_ALIGN, &stx))
		return -errno;
	if (!(stx.stx_mask & DIO_READ_ALIGN))
		return -EOPNOTSUPP;
	memcpy(&align, (const char *)&stx + DIO_READ_OFFSET_ALIGN, sizeof(align));
	return align;
}
