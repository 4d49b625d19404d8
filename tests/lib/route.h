/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The way from the filesystem to the disk: the bios of all or of some sectors can be
 * held or failed.
 *
 *	filesystem -> rfs-top -+-> TEST_DEV
 *	                       +-> rfs-hold -> TEST_DEV   (what is to be held)
 *	                       +-> rfs-side -> TEST_DEV   (the same, by itself)
 *	                       +-> error                  (what is to fail)
 */
#ifndef RFS_ROUTE_H
#define RFS_ROUTE_H

#include <stdint.h>

#include "ondisk.h"

struct dm_seg;
struct vol;

/* For vol_up() and vol_down(). */
int route_create(struct vol *v);
void route_release(void);
/* Remove the devices of device-mapper, which vol_down() leaves for the next case. */
void route_remove(void);
/* Has everybody closed the device of the volume? Not 0 if they do not. */
int route_unused(void);

/* Everything. */
int vol_hold(struct vol *v);
/* Freeze the filesystem by way of its device, then hold everything: as snapshots do. */
int vol_freeze(struct vol *v);
int vol_release(struct vol *v);

/*
 * Send these sectors over rfs-hold, reads and writes; they are not held yet.
 * Those with @fails set fail instead. A flush goes everywhere, and is held too,
 * unless all have @reads or @writes set.
 */
int vol_route(struct vol *v, const struct vol_map *map);
/* The same, with @nr segments of one's own in the place of what is before the first of them. */
int vol_route_after(struct vol *v, const struct vol_map *map, const struct dm_seg *first,
		    int nr);
/*
 * vol_route() for all of @map, and for @side, which is before that, on a device of its own: it is
 * held, and fails, by itself. A flush comes there, too, unless that has @writes set.
 */
int vol_route_beside(struct vol *v, const struct vol_extent *side, const struct vol_map *map);
int vol_hold_side(struct vol *v);
int vol_fail_side(struct vol *v);
/* What is held goes on, and what failed does not any more. */
int vol_release_side(struct vol *v);
/* The same for all writes and no reads: what is on the device can be seen. */
int vol_route_writes(struct vol *v);
/* The same for flushes alone: data and metadata go straight to the device. */
int vol_route_flushes(struct vol *v);
int vol_hold_routed(struct vol *v);
int vol_release_routed(struct vol *v);
/* Not to the device: what is held fails, and what comes after it, until vol_unroute(). */
int vol_fail_routed(struct vol *v);
/*
 * Keep all reads with a device that goes on, until vol_unroute(): one that is held fails those that
 * are read-ahead. What a case leaves that has failed ends within two minutes.
 */
int vol_keep_reads(struct vol *v);
/* How many it keeps, or -errno. */
int vol_reads_kept(void);
/* Make these sectors fail; all of the device when @map is NULL. */
int vol_fail(struct vol *v, const struct vol_map *map);
/* Straight to the device again. */
int vol_unroute(struct vol *v);
/* Let the device end after so many sectors; vol_unroute() gives the rest back. */
int vol_cut(struct vol *v, uint64_t sectors);

#endif
