/* SPDX-License-Identifier: GPL-2.0 */
/* What is on the disk below, whatever the filesystem and the caches have. */
#ifndef RFS_ONDISK_H
#define RFS_ONDISK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct vol;

#define VOL_EXTENTS	64

struct vol_extent {
	uint64_t sector;
	uint64_t len;
	bool fails;	/* for vol_route() */
	bool reads;	/* the same: only these go there, no writes and no flushes */
	bool writes;	/* the same: no reads and no flushes */
};

struct vol_map {
	struct vol_extent e[VOL_EXTENTS];
	int nr;
};

/*
 * The sectors that hold generation @gen of the file range, found by looking for
 * the stamps on the device itself.
 */
int vol_find(struct vol *v, uint64_t pos, size_t len, uint64_t gen,
	     struct vol_map *map);
int vol_read_sector(struct vol *v, uint64_t sector, void *buf);

/*
 * Through the cache of the device, as e2fsck(8) and tune2fs(8) do it: the mounted
 * filesystem and the caller see each other's changes. 0 or -errno.
 */
int vol_dev_read(struct vol *v, void *buf, size_t len, off_t off);
int vol_dev_write(struct vol *v, const void *buf, size_t len, off_t off);
/* A little-endian number of 16 or 32 bits there; -errno. */
int64_t vol_dev_get(struct vol *v, int bits, off_t off);
int vol_dev_set(struct vol *v, int bits, off_t off, uint32_t val);

/* The file as debugfs(8) finds it; for pclose(3). */
FILE *vol_cat(struct vol *v, const char *name);
/* Where block @n of a file is, as debugfs(8) finds it. 0 or -errno. */
int vol_block(struct vol *v, const char *name, int n, struct vol_map *map);
/* How often the disk has been flushed; -errno. */
long disk_flushes(void);

#endif
