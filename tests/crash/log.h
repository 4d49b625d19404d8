/* SPDX-License-Identifier: GPL-2.0 */
/* What the disk was given, in order, as dm-log-writes has kept it. */
#ifndef CRASH_LOG_H
#define CRASH_LOG_H

#include "stack.h"

#define LOG_ENTRIES	4096

enum log_kind { LOG_WRITE, LOG_FLUSH, LOG_STEP };

struct log_entry {
	enum log_kind kind;
	bool fua;
	uint64_t sector;
	uint32_t nr;			/* sectors */
	const unsigned char *data;
	int step;			/* LOG_STEP: so many have returned */
};

struct log {
	struct log_entry e[LOG_ENTRIES];
	int nr;
	unsigned char *bytes;
};

/*
 * Read on from where the last one ended, to the mark @last, and keep what is behind the mark "0".
 * Marks are the number of steps that have returned. The flushes of ticks are left out.
 */
int log_read(struct log *l, struct stack *s, const char *last);
void log_free(struct log *l);

#endif
