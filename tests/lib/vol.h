/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The volume under test: a poisoned, freshly made filesystem on a device-mapper
 * device whose bios, or some of whose sectors' bios, can be held or failed.
 *
 *	filesystem -> rfs-top -+-> TEST_DEV
 *	                       +-> rfs-hold -> TEST_DEV   (what is to be held)
 *	                       +-> error                  (what is to fail)
 */
#ifndef RFS_VOL_H
#define RFS_VOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
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
	bool no_poison;
	const char *features;	/* for mkfs -O, or NULL */
};

/* Also clears away what a killed test has left. 0, or -errno, or an exit status. */
int vol_up(struct vol *v, const struct vol_conf *conf);
/* Release, unmount, check, remove. Not 0 when e2fsck finds anything at all. */
int vol_down(struct vol *v);

int vol_mkfs(struct vol *v, const struct vol_conf *conf);
int vol_mount(struct vol *v, const char *fstype, unsigned long flags,
	      const char *data);
int vol_umount(struct vol *v);
/* The same when somebody is just letting go of it: that takes a moment, not longer. */
int vol_umount_soon(struct vol *v);
int vol_remount(struct vol *v);	/* umount and mount: nothing stays cached */
int vol_fsck(struct vol *v);

/* Everything. */
int vol_hold(struct vol *v);
/* Freeze the filesystem by way of its device, then hold everything: as snapshots do. */
int vol_freeze(struct vol *v);
int vol_release(struct vol *v);

/*
 * The sectors that hold generation @gen of the file range, found by looking for
 * the stamps on the device itself.
 */
#define VOL_EXTENTS	64

struct vol_extent {
	uint64_t sector;
	uint64_t len;
	bool fails;	/* for vol_route() */
	bool reads;	/* the same: only these go there, no writes and no flushes */
};

struct vol_map {
	struct vol_extent e[VOL_EXTENTS];
	int nr;
};

int vol_find(struct vol *v, uint64_t pos, size_t len, uint64_t gen,
	     struct vol_map *map);
/*
 * Send these sectors over rfs-hold, reads and writes; they are not held yet.
 * Those with @fails set fail instead. A flush goes everywhere, and is held too,
 * unless all have @reads set.
 */
int vol_route(struct vol *v, const struct vol_map *map);
/* The same, with @nr segments of one's own in the place of what is before the first of them. */
struct dm_seg;
int vol_route_behind(struct vol *v, const struct vol_map *map, const struct dm_seg *first,
		     int nr);
/* The same for all writes and no reads: what is on the device can be seen. */
int vol_route_writes(struct vol *v);
/* The same for flushes alone: data and metadata go straight to the device. */
int vol_route_flushes(struct vol *v);
int vol_hold_routed(struct vol *v);
int vol_release_routed(struct vol *v);
/* Make these sectors fail; all of the device when @map is NULL. */
int vol_fail(struct vol *v, const struct vol_map *map);
/* Straight to the device again. */
int vol_unroute(struct vol *v);
/* Let the device end after so many sectors; vol_unroute() gives the rest back. */
int vol_cut(struct vol *v, uint64_t sectors);

/* Read what is really on the device. */
int vol_read_sector(struct vol *v, uint64_t sector, void *buf);

/* The file as debugfs(8) finds it on the device now; for pclose(3). */
FILE *vol_cat(struct vol *v, const char *name);

/* Overwrite all free blocks with poison. */
int vol_poison_free(struct vol *v);

/* A path below the mount point, in one of a few static buffers. */
const char *vol_path(const char *name);
/* Open or create it; -errno. */
int vol_open(const char *name, int flags);
/* Read with a descriptor opened for it: how many bytes, or -errno. */
ssize_t vol_read(const char *name, int flags, void *buf, size_t len, off_t off);
/* How long an open file is, or -errno. */
off_t file_size(int fd);
/* Write generation @gen through the page cache and fsync; 0 or -errno. */
int vol_prefill(const char *name, off_t pos, size_t len, uint64_t gen);

struct counters {
	uint64_t requests_read, requests_write, async;
	uint64_t sync_extend, sync_hole, sync_error;
	uint64_t retries, buffered_fallback;
};

/* -ENOENT on a filesystem that has none. */
int vol_counters(struct vol *v, struct counters *c);

#endif
