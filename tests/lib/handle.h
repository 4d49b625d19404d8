/* SPDX-License-Identifier: GPL-2.0 */
/* Handles of files: the number and the generation of an inode. */
#ifndef RFS_HANDLE_H
#define RFS_HANDLE_H

#include <stdint.h>

#define HANDLE_INO32_GEN	1
#define HANDLE_WORDS		4

/* Laid out as struct file_handle, which ends with a flexible array. */
struct handle {
	unsigned int bytes;
	int type;
	uint32_t word[HANDLE_WORDS];	/* inode number, generation */
};

/* The handle of a file by its path. 0 or -errno. */
int handle_of(const char *path, struct handle *h);
/* Open a file of the mounted volume by its handle: a descriptor, or -errno. */
int handle_open(const struct handle *h, int flags);

#endif
