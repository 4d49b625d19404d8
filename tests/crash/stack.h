/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The disk that is written to, in memory, below a device-mapper target that logs each write:
 *
 *	filesystem -> rfs-crash -+-> /dev/ram0		the volume
 *				 +-> /dev/ram1		the log
 */
#ifndef CRASH_STACK_H
#define CRASH_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_MIB	128

struct stack {
	char node[32];		/* of rfs-crash */
	uint32_t size;		/* of the volume, bytes; one page behind it is for ticks */
	uint64_t log_at;	/* what of the log has been read, in sectors ... */
	uint64_t log_entries;	/* ... and entries */
};

/* All return 0 or -errno. */
int stack_up(struct stack *s, uint32_t size);
int stack_down(struct stack *s);
/* The whole volume, while it is not mounted. */
int stack_write(struct stack *s, const void *image);
int stack_read(struct stack *s, void *image);

/*
 * All that has been written up to now comes before what follows, in the log: it lists what
 * has been flushed, so a flush is needed, which the reader of the log takes out again.
 */
int stack_order(struct stack *s);
/* The same, and a mark. */
int stack_tick(struct stack *s, const char *mark);

/* What is written there is a tick. */
static inline uint64_t stack_spare(const struct stack *s)
{
	return s->size / 512;
}

#endif
