/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Disks that drivers of the kernel make out of memory: they take memory that is
 * less aligned than to a sector, and they can be taken away.
 */
#ifndef RFS_DISK_H
#define RFS_DISK_H

#include "vol.h"

enum disk_kind {
	NULL_BLK,	/* sectors of 512 bytes; memory aligned to 2 */
	NULL_BLK_CACHE,	/* as the first, with a volatile cache that can be written through (FUA) */
	NULL_BLK_POLL,	/* as the first; it ends requests in hard interrupts, or when it is polled */
	NULL_BLK_PAGES,	/* as the first, and each transfer in whole pages but for its ends */
	NULL_BLK_INLINE,	/* requests end before they are submitted */
	NULL_BLK_SOFT,	/* in a soft interrupt */
	NULL_BLK_TIMER,	/* in a hard one, where there are some */
	NULL_BLK_ZONED,	/* zones of 4 MiB; only the last one has to be written to from its begin */
	SCSI_DEBUG,	/* any sectors; memory aligned to 4; can be removed */
	SCSI_DEBUG_PI,	/* the same, and it compares data with checksums of the kernel (T10 PI) */
};

struct disk {
	enum disk_kind kind;
	char name[16];	/* "sda" */
	char node[32];	/* "/dev/sda" */
};

/*
 * A disk of @mib MiB full of poison, with sectors of @sector bytes. Also clears away
 * what a killed test has left. 0, or -errno; -ENOENT where there is no such driver.
 */
int disk_up(struct disk *d, enum disk_kind kind, unsigned int sector, unsigned int mib);
/* It must not be in use. 0 or -errno. */
int disk_down(struct disk *d);

/* A volume on this disk, without device-mapper: made and mounted. 0, -errno or an exit status. */
int disk_vol_up(const struct disk *d, struct vol *v, const struct vol_conf *conf);

/*
 * A volume on this disk in the place of TEST_DEV, with device-mapper, as by vol_up(): for the calling
 * process and its children. The same for vol_down(), which takes device-mapper from the disk.
 */
int disk_route_up(const struct disk *d, struct vol *v, const struct vol_conf *conf);
int disk_route_down(struct vol *v);

/* A number that sysfs has of its queue, as "dma_alignment"; -errno. */
long disk_queue(const struct disk *d, const char *limit);
/*
 * Say that a device needs memory that does not change while it is written; 0 or -errno. Not
 * while bios are held. A new table of device-mapper, as vol_route() loads one, forgets it.
 */
int stable_writes(const char *node, bool on);
/* Does the kernel give it checksums with the data? It cannot if it was built without. */
bool disk_has_checksums(const struct disk *d);

/* NULL_BLK: have these sectors fail. 0 or -errno. */
int disk_bad_sectors(const struct disk *d, uint64_t sector, uint64_t len);

/*
 * SCSI_DEBUG: let each command take so long, in nanoseconds. Fails while there are
 * commands in flight, with -EBUSY.
 */
int disk_delay(const struct disk *d, unsigned int ns);
/* The same, for seconds: until many have been submitted. disk_delay() ends it. */
int disk_slow(const struct disk *d);
/* Each bio is a request of its own. */
int disk_no_merges(const struct disk *d);
/* SCSI_DEBUG: it is given one command at a time, in the order in which they come. */
int disk_serialize(const struct disk *d);
/* SCSI_DEBUG: take it out of the machine. Returns when the kernel has forgotten it. */
int disk_delete(const struct disk *d);
/* SCSI_DEBUG: find it again, with all that was written to it. It may have another name. */
int disk_rescan(struct disk *d);

#endif
