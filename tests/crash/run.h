/* SPDX-License-Identifier: GPL-2.0 */
/* Workloads, and crashes of each. */
#ifndef CRASH_RUN_H
#define CRASH_RUN_H

#include "image.h"
#include "log.h"
#include "oracle.h"
#include "point.h"

struct crash {
	unsigned int bs;
	uint64_t seed;
	bool all;		/* first those of one operation, all of them, and behind each flush */
	int points;		/* how many to do, or how many more */
	int each;		/* of one workload, half of them behind flushes; if @all behind each */
	const char *op;		/* workloads with this call alone, or NULL */
	uint64_t only;		/* this workload alone; 0: all */
	const char *features;	/* for mkfs.ext2 -O */
	const char *keep;	/* a directory for images that failed, or NULL */

	struct stack stack;
	struct image_file image;
	unsigned char *start[2];	/* the volume when a workload begins: synced, fresh */
	struct log log;
	struct model model;
	int workloads, done, mounted, repaired, stale;
	int failed;
	int found[W_KINDS];	/* points */
};

int crash_up(struct crash *c);
int crash_down(struct crash *c);
/* All of them; 0, or -errno if they could not be done. What was wrong is in @found. */
int crash_run(struct crash *c);

/* Of record.c: do the workload, and read the log. 0 or -errno. */
int record(struct crash *c, const struct workload *w);
int record_base(struct crash *c);

#endif
