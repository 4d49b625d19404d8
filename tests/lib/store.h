/* SPDX-License-Identifier: GPL-2.0 */
/* Stores through mappings, and what becomes of them. */
#ifndef RFS_STORE_H
#define RFS_STORE_H

#include <stdbool.h>
#include <sys/types.h>

/* Store @c to @at: 0, or -ENOSPC when that is a SIGBUS. */
int store(char *at, char c);

struct store_op {
	char *at;
	char c;
};

long op_store(void *store_op);

/*
 * Make the first block of a page of zeroes, at @map, that of a hole, with @c in it, which is dirty:
 * a direct read to it is in flight when the block is punched. The file @fd is mapped at offset
 * 0, and has blocks smaller than pages; @name is that of another. 0 or -errno.
 */
struct vol;
int store_in_hole(struct vol *v, const char *name, int fd, char *map, char c);

#endif
