/* SPDX-License-Identifier: GPL-2.0 */
/* Holds what a crash has left against what it may leave. */
#ifndef CRASH_ORACLE_H
#define CRASH_ORACLE_H

#include "kselftest.h"
#include "model.h"
#include "tree.h"

/* What can be wrong. */
enum wrong {
	W_FSCK,		/* e2fsck -fy could not repair the volume */
	W_VOLUME,	/* what it left is not sound */
	W_NAME,		/* a name that was durable is not there, or that it is gone was */
	W_ENTRY,	/* the same, by an fsync of its directory and not of what has the name */
	W_FURTHER,	/* the same, of what others do not promise: see promise.c */
	W_RENAME,	/* what was durable is neither under its old name nor under its new one */
	W_OTHER,	/* a name shows what it never was */
	W_STRANGE,	/* a name that nobody made */
	W_SIZE,		/* a file is of a size that it never had */
	W_DATA,		/* durable data is not there, though nobody changed it */
	W_STALE,	/* a direct write that nothing was lost of shows what was in its block before */
	W_LINK,		/* a symbolic link leads to where it never led */
	W_ATTR,		/* a durable attribute is not there, or it has a value that it never had */
	W_KINDS,
};

extern const char *const wrong_names[W_KINDS];

struct verdict {
	int found[W_KINDS];
	int stale;		/* files with data that was not synced, and shows stale blocks */
	bool wrong;
	char text[W_KINDS][256];	/* the first of each kind */
};

/* @kept: the disk has lost nothing that was written to it. */
void oracle_judge(struct verdict *v, struct model *m, const struct tree *t, bool kept);
void __printf(3, 4) oracle_wrong(struct verdict *v, enum wrong kind, const char *fmt, ...);

#endif
