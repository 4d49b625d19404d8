/* SPDX-License-Identifier: GPL-2.0 */
/* A moment at which the power goes, and what the cache of the disk loses of what was not flushed. */
#ifndef CRASH_POINT_H
#define CRASH_POINT_H

#include "log.h"
#include "rng.h"
#include "step.h"

struct point {
	int at;			/* so much of the log has been written */
	int flushed;		/* and so much has been flushed */
	int returned;		/* so many steps have returned */
	bool kept;		/* nothing is lost */
	int lost, of;
	unsigned char sectors[LOG_ENTRIES];	/* how many of each entry get to the disk: all, or less */
	unsigned char whole[LOG_ENTRIES];
};

/* How many flushes there are that are not a writeback's. */
int point_flushes(const struct log *l, const struct workload *w);
/* Just behind one of them, with nothing that came later. */
void point_at_flush(struct point *p, const struct log *l, const struct workload *w, int flush);
/* Any, by chance; if @last with all steps done. Blocks of @bs bytes are torn where the format can stand it. */
void point_any(struct point *p, const struct log *l, const struct workload *w, struct rng *rng,
	       unsigned int bs, bool last);

/* What is on the disk then: @image is what was there at the start of the log. */
void point_apply(const struct point *p, const struct log *l, unsigned char *image);
void point_print(const struct point *p, const struct log *l);

#endif
