/* SPDX-License-Identifier: GPL-2.0 */
/* Memory and alignment for direct I/O. */
#ifndef RFS_BUF_H
#define RFS_BUF_H

#include <stddef.h>

/* Page-aligned memory that is never freed: a test is a short process. */
void *buf_alloc(size_t len);

/* What statx(2) says about direct I/O on this file; -errno, or 0. */
int dio_align(int fd, unsigned int *mem, unsigned int *offset);
/* The same of reads only: the alignment of offset and length in bytes, or -errno. */
int dio_read_align(int fd);

#endif
