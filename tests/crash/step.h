/* SPDX-License-Identifier: GPL-2.0 */
/* What a workload is made of: one call each, on a few names, and what makes things durable. */
#ifndef CRASH_STEP_H
#define CRASH_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op {
	OP_CREAT, OP_MKDIR, OP_RMDIR, OP_UNLINK, OP_LINK, OP_SYMLINK, OP_RENAME,
	OP_WRITE, OP_TRUNCATE, OP_PUNCH,
	/* From here on what is promised to be durable, and no change. */
	OP_FSYNC, OP_FDATASYNC, OP_SYNC,
	/* Everything is written to the disk, but stays in its cache: nothing is promised. */
	OP_WRITEBACK,
};

enum by { BY_CACHE, BY_DIRECT, BY_AIO, BY_MAPPING };

struct step {
	enum op op;
	const char *path;
	const char *to;		/* OP_LINK, OP_RENAME: the new name; OP_SYMLINK: what is in it */
	enum by by;
	bool dsync;		/* O_DSYNC */
	uint32_t off;
	uint32_t len;		/* OP_TRUNCATE: the new size */
	uint64_t gen;		/* of the pattern */
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
/* In words; one of a few static buffers. */
const char *step_text(const struct step *st);

#endif
