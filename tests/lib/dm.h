/* SPDX-License-Identifier: GPL-2.0 */
/* Device-mapper devices by ioctl: no udev, no dmsetup, no cookies to wait for. */
#ifndef RFS_DM_H
#define RFS_DM_H

#include <stddef.h>
#include <stdint.h>

struct dm_seg {
	uint64_t start;		/* sectors */
	uint64_t len;
	char type[16];		/* "linear", "error", ... */
	char params[128];	/* "/dev/vda 0" */
};

/* All return 0 or -errno. */
int dm_create(const char *name, char *node, int nodelen);
/* The node of one that there is already, and how often it is open: -errno if there is none. */
int dm_find(const char *name, char *node, int nodelen);
int dm_load(const char *name, const struct dm_seg *segs, int nr);
int dm_resume(const char *name);
/*
 * Suspend without freezing the filesystem above and without failing what is
 * queued: from the return on, every bio is kept until dm_resume().
 */
int dm_hold(const char *name);
/*
 * Suspend as for a snapshot: the filesystem above is frozen first, and what is
 * in flight ends. dm_resume() thaws it.
 */
int dm_freeze(const char *name);
/* For the target that has sector 0. */
int dm_message(const char *name, const char *message);
/* What that target says of itself; it is cut off at @len. */
int dm_status(const char *name, char *text, size_t len);
int dm_remove(const char *name);

#endif
