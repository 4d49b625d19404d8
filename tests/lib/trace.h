/* SPDX-License-Identifier: GPL-2.0 */
/* Trace events, by tracefs. */
#ifndef RFS_TRACE_H
#define RFS_TRACE_H

#include <stdio.h>

/* Open a file below tracefs, which is mounted if it is not: a descriptor, or -errno. */
int trace_file(const char *file, int flags);
/* Write to one; 0 or -errno. */
int trace_write(const char *file, const char *text);
/* Forget what was traced. */
void trace_clear(void);
/* What was traced, a line for each event, and comments; for fclose(3). */
FILE *trace_open(void);

#define TRACE_EVENTS	64

/* What the trace points of retryfs said, as "submit: dev 253:0 ino 12 ...". */
struct trace {
	char event[TRACE_EVENTS][160];
	int nr;
};

/* Trace retryfs from now on; -errno where there is no tracing. */
int trace_start(void);
/* The events since then; -E2BIG if they are too many. */
int trace_stop(struct trace *t);

#endif
