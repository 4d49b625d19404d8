/* SPDX-License-Identifier: GPL-2.0 */
/* The volume as it is on the disk below, whatever the mounted filesystem has in memory. */
#ifndef RFS_EXT2_H
#define RFS_EXT2_H

#include <sys/types.h>
#include <time.h>

#include "vol.h"

/* A file is found by the number of its inode, which has to be there. 0 or -errno. */
int ext2_stat(struct vol *v, const char *name, off_t *size, time_t *mtime);
/* NULL if the file is @want, of @size bytes, else what is wrong; @buf has room for it. */
const char *ext2_differs(struct vol *v, const char *name, const char *want, size_t size,
			 char *buf);

/*
 * Where block @n of a file is, and the block of pointers that leads to it: 0 if there is none.
 * 0 or -errno.
 */
int ext2_block(struct vol *v, const char *name, uint64_t n, uint32_t *block, uint32_t *pointers);

/* The blocks with the bitmaps of a group. 0 or -errno. */
int ext2_bitmaps(struct vol *v, uint32_t group, uint32_t *blocks, uint32_t *inodes);

/* Overwrite all blocks that are free, after a sync, with poison. 0 or -errno. */
int ext2_poison_free(struct vol *v);

#endif
