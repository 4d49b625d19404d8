/* SPDX-License-Identifier: GPL-2.0 */
/* What a workload is made of: one call each, on a few names, and what makes things durable. */
#ifndef CRASH_STEP_H
#define CRASH_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op {
	OP_CREAT, OP_MKDIR, OP_RMDIR, OP_UNLINK, OP_LINK, OP_SYMLINK, OP_RENAME, OP_EXCHANGE,
	OP_MKNOD, OP_TMPFILE, OP_FILL,
	OP_WRITE, OP_TRUNCATE, OP_PUNCH, OP_ALLOCATE, OP_ZERO,
	OP_SETXATTR, OP_REMOVEXATTR,
	/* An allocation beyond EOF that keeps the size: it is refused. */
	OP_REFUSED,
	/* From here on what is promised to be durable, and no change. */
	OP_FSYNC, OP_FDATASYNC, OP_SYNC,
	/* Everything is written to the disk, but stays in its cache: nothing is promised. */
	OP_WRITEBACK,
};

enum by { BY_CACHE, BY_DIRECT, BY_AIO, BY_MAPPING };

struct step {
	enum op op;
	const char *path;
	const char *to;		/* OP_LINK, OP_RENAME: the new name; OP_EXCHANGE: the other; OP_SYMLINK: what is in it */
	enum by by;
	bool dsync;		/* O_DSYNC; BY_MAPPING: msync; OP_TMPFILE: it is synced before it has a name */
	uint32_t off;
	uint32_t len;		/* OP_TRUNCATE: the new size; OP_FILL: so many names; OP_SETXATTR: of the value */
	uint64_t gen;		/* of the pattern; OP_SETXATTR: the value */
};

#define CRASH_STEPS	24
#define FILE_MAX	(300U << 10)

struct workload {
	uint64_t number;
	bool fresh;		/* the files it begins with have not been synced */
	bool dirsync, sync;	/* options of the mount */
	bool journal;		/* the flushes of a writeback count: the filesystem orders writes by them */
	struct step steps[CRASH_STEPS];
	int nr;
	char targets[CRASH_STEPS][80];	/* of symbolic links, all different */
};

/* The call itself, on the mounted volume; @mode identifies a new inode. 0 or -errno. */
int step_do(const struct step *st, unsigned int mode);
/*
 * The name number @nr of those that OP_FILL makes, which are so long that few fill a block of @bs
 * bytes, and how many do so exactly. The first is a new file, the others are links to it.
 */
#define FILL_NAME	256
void fill_name(char *name, unsigned int nr, uint32_t bs);
unsigned int fill_exactly(uint32_t bs);
/* The name of its call. */
const char *step_name(const struct step *st);
/* In words; one of a few static buffers. */
const char *step_text(const struct step *st);

#endif
