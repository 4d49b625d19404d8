/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The volume under test: a poisoned, freshly made filesystem on a device-mapper
 * device (route.h), that has to be clean to e2fsck at the end.
 */
#ifndef RFS_VOL_H
#define RFS_VOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct vol {
	unsigned int bs;	/* filesystem block size */
	unsigned int isize;	/* inode size */
	uint64_t sectors;
	char dev[32];		/* the node of rfs-top */
	bool mounted;
};

struct vol_conf {
	unsigned int bs;
	unsigned int isize;
	unsigned int mib;	/* 0: 64 */
	unsigned int inodes;	/* 0: what mke2fs(8) thinks is enough */
	bool no_poison;
	unsigned int blocks;	/* 0: as many as the device has room for */
	const char *features;	/* for mkfs -O, or NULL */
	const char *options;	/* for mount, in place of those of the environment, or NULL */
};

/* Also clears away what a killed test has left. 0, or -errno, or an exit status. */
int vol_up(struct vol *v, const struct vol_conf *conf);
/* Release, unmount, check, remove. Not 0 when e2fsck finds anything at all. */
int vol_down(struct vol *v);

int vol_mkfs(struct vol *v, const struct vol_conf *conf);
/* From now on mount with the options of @conf, if it has some: vol_up() does. 0 or -errno. */
int vol_options(const struct vol_conf *conf);
int vol_mount(struct vol *v, const char *fstype, unsigned long flags,
	      const char *data);
int vol_umount(struct vol *v);
/* The same when the last reference to a file is just being dropped: for a moment it is busy. */
int vol_umount_soon(struct vol *v);
/* Wait until a filesystem that was unmounted lazily has closed the device. 0 or -errno. */
int vol_wait_closed(struct vol *v);
int vol_remount(struct vol *v);	/* umount and mount: nothing stays cached */
/*
 * As sync(2), which leaves the flusher work that it may come to later, and with what was made dirty since then: behind it
 * requests cannot be counted, and a device cannot be changed.
 */
void vol_sync(void);
/* Unmount, check, and mount with another driver. */
int vol_switch(struct vol *v, const char *fstype);
/* Change the flags of the mount. */
int vol_read_only(void);
int vol_read_only_soon(void);	/* as vol_umount_soon() */
int vol_read_write(void);
int vol_fsck(struct vol *v);
/* Is this among the options that the mount shows? */
bool vol_shows(const char *option);

/* For the files of lib/: say what has failed, if @err is not 0, and pass it on. */
int vol_report(const char *what, int err);
/* For the same: call @fn until it is not -EBUSY any more, for ten seconds at most. */
int vol_retry_busy(int (*fn)(const char *arg), const char *arg);

#include "counters.h"
#include "files.h"
#include "ondisk.h"
#include "route.h"

#endif
