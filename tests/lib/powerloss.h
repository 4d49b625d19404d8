/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is there after the power has gone: a copy of what the disk has at this moment,
 * whatever the filesystem and the caches have, as e2fsck(8) repairs it.
 */
#ifndef RFS_POWERLOSS_H
#define RFS_POWERLOSS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct vol;

/* Take the copy, in the place of the one before, and have it repaired. 0 or -errno. */
int lose_power(struct vol *v);
/* The same of a disk that is in memory. */
int lose_power_in_memory(const char *disk, size_t len);
/* The same as at boot (e2fsck -p): nobody is asked. */
int lose_power_at_boot(struct vol *v);
/* The same without e2fsck(8). */
int lose_power_unrepaired(struct vol *v);

/* In the copy: the inode of a path, "." and ".." being entries too; 0 if there is none. */
ino_t lost_inode(const char *path);
bool lost_exists(const char *path);
/* The permissions of a file; -errno. */
long lost_mode(const char *path);
/* How many entries a directory has, with "." and ".."; -errno. */
long lost_entries(const char *path);
/* The begin of a file; how many bytes, or -errno. */
ssize_t lost_read(const char *path, void *buf, size_t len);
/* The value of an extended attribute; how many bytes. */
ssize_t lost_xattr(const char *path, const char *name, void *buf, size_t len);
/* Has it what vol_prefill() wrote to its begin, and no more? */
bool lost_holds(const char *path, size_t len, uint64_t gen);

#endif
