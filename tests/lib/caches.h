/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel has in memory of files and devices. */
#ifndef RFS_CACHES_H
#define RFS_CACHES_H

#include <sys/types.h>

/* Forget clean pages, those of devices too. 0 or -errno. */
int forget_pages(void);
/* The same with the dentries and inodes that nobody uses, and what these had pinned. 0 or -errno. */
int forget_all(void);
/*
 * Mark a file in memory; and wait until it has left that since, the kernel being told to forget what it can. Nobody may have
 * it open. 0 or -errno.
 */
int mark_cached(const char *name);
int wait_until_left(const char *name);
/* How many pages of @len bytes from @off on are in memory, of all if @len is 0; -errno. */
long cached_pages(int fd, off_t off, size_t len);

#endif
