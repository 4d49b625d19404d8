/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The operations of the filesystem, each on the same small volume, for programs that do
 * one again and again, with another fault each time, and look afterwards what is left.
 */
#ifndef RFS_OPS_H
#define RFS_OPS_H

#include <stdbool.h>
#include <sys/types.h>

#include "aio.h"
#include "vol.h"

/* One time that an operation is done. */
struct round {
	struct vol v;
	const struct op *op;
	/* what prepare() opened, for run() */
	int fd, dir;
	aio_context_t ctx;
	char *buf, *back;
	/* what run() returned, and the sync after it: >= 0 or -errno */
	long ret, synced;
	/* e2fsck had to repair it */
	bool repaired;
};

/* What sizes of files are counted in: 1 KiB, or an eighth of a block that is larger than a page. */
extern long ops_unit;
#define UNIT		ops_unit
/* How much memory @buf and @back have. */
#define ROUND_MEM	(64 * UNIT)

struct op {
	const char *name;
	/* on the mounted volume, of which nothing is in memory; 0 or -errno; may be NULL */
	int (*prepare)(struct round *r);
	/* what the fault comes into */
	long (*run)(struct round *r);
	/* of the volume mounted again: what is wrong with it, or NULL; may be NULL itself */
	const char *(*check)(struct round *r);
	/* an errno it may also return, beside that of the fault */
	int other;
	bool mounts;		/* it is not mounted before */
	bool changes;		/* it is followed by syncfs(2), with the same fault */
	bool kworkers;		/* a part is done by the kernel's own threads */
	bool buffered;		/* it is the page cache that writes: what could not be written is lost */
	bool every;		/* each bio always fails: a fault was found with it, or it is to find a mutant */
	bool counts;		/* it returns how much was done: less if a part of it has failed */
	bool untold;		/* it writes what nobody has synced, and does not say if that fails */
	bool big;		/* on a volume with larger blocks, and inodes of 256 bytes */
	bool large;		/* with blocks that are larger than a page, make test does it, too */
	bool durable;		/* it syncs itself: what it said is done stays so, if a later sync fails */
};

extern const struct op ops_names[], ops_data[], ops_attributes[], ops_volume[];

/* The sizes of blocks that the operations are done with. */
struct ops_sizes {
	unsigned int bs;	/* with inodes of 128 bytes */
	unsigned int big;	/* and with those of 256 bytes */
};

#define OPS_SMALL	{ 1024, 4096 }
/* Both larger than a page, if the kernel has that: else ops_can() is false. */
#define OPS_LARGE	{ 16384, 65536 }

bool ops_can(const struct ops_sizes *sizes);
/* How many MiB the device has to have. */
unsigned int ops_mib(const struct ops_sizes *sizes);

/*
 * The volumes that all begin with, on @dev, which is not mounted: made by mkfs(8) and filled;
 * free blocks have poison. 0, -errno or an exit status.
 */
int ops_make(const char *dev, const struct ops_sizes *sizes);

/*
 * Only every so many-th fault of an operation, beginning with another one for each: FAULTS_STRIDE,
 * or @usual. The first of them; 0 if there is to be none, as this is not an operation for blocks of that size.
 */
unsigned int ops_stride(const struct op *op, unsigned int usual, unsigned int *stride);

/* That volume again, mounted, unless the operation mounts. 0 or -errno. */
int round_begin(struct round *r, const struct op *op, const char *dev);
/* The operation; and the sync after it, if it is to be followed by one. */
void round_run(struct round *r);
void round_sync(struct round *r);
/*
 * Unmount, and look what is left, with the fault, if it has @struck, being @fault, an errno.
 * NULL if all is as it may be.
 */
const char *round_end(struct round *r, int fault, bool struck);

/*
 * Each sector of a file of @len bytes is of generation 1 or @gen, or zero if @zero: NULL if so.
 * A stale one may be among them only where somebody was told that a writeback has failed.
 */
const char *ops_mixed(struct round *r, const char *name, size_t len, unsigned int gen, bool zero);
/* Is the new state there if it was done, and the old one if not? */
const char *ops_either(struct round *r, bool old, bool new);
/* The path of one of the names that a directory of one block has no more room than for. */
void ops_full_name(char *path, unsigned int nr);
/* The files "x" and "y" have the same attribute, in one block; set it: 0 or -errno. */
#define OPS_ATTR	"user.test"
#define OPS_VALUE	300
#define OPS_SHARED	7
int ops_set_value(const char *name, unsigned int number);
/* The errno of the last call, negative, if it has failed: @n is -1; else @n. */
long ops_errno(long n);

#endif
