/* SPDX-License-Identifier: GPL-2.0 */
/* Files of the mounted volume. */
#ifndef RFS_FILES_H
#define RFS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A path below the mount point, in one of a few static buffers. */
const char *vol_path(const char *name);
/* Open or create it; -errno. */
int vol_open(const char *name, int flags);
int vol_open_dir(const char *name);
/* Write generation @gen through the page cache, to a file that is left open, unsynced; -errno. */
int vol_make(const char *name, size_t len, uint64_t gen);
/* Write generation @gen through the page cache and fsync; 0 or -errno. */
int vol_prefill(const char *name, off_t pos, size_t len, uint64_t gen);
/* Read with a descriptor opened for it: how many bytes, or -errno. */
ssize_t vol_read(const char *name, int flags, void *buf, size_t len, off_t off);
/* How long an open file is, or -errno. */
off_t file_size(int fd);

/* Of a name: 0 or -errno. */
int vol_mkdir(const char *name);
int vol_link(const char *from, const char *to);
int vol_rename(const char *from, const char *to, unsigned int flags);
/* Has it what vol_prefill() wrote to its begin, and no more? */
bool vol_holds(const char *name, size_t len, uint64_t gen);
/* 0 if there is none. Symbolic links are not followed. */
nlink_t vol_links(const char *name);
ino_t vol_inode(const char *name);
bool vol_exists(const char *name);

#endif
