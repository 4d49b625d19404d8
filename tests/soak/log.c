// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "log.h"

#define ENTRIES		(1U << 15)
#define SHOWN		60

struct entry {
	const struct file *f;
	uint64_t issue, complete, off, len, gen;
	ssize_t res;
	struct log_extra extra;
	uint8_t kind;
	bool cached;
};

static struct entry ring[ENTRIES];
static uint32_t next;

const char *log_kind(enum kind kind)
{
	static const char *const names[OP_KINDS] = {
		"read", "write", "append", "load", "store", "truncate", "punch", "fsync",
		"fdatasync", "msync", "sync_file_range", "fadvise", "fstat",
	};

	return names[kind];
}

uint32_t log_begin(const struct op *op, const struct log_extra *extra)
{
	uint32_t at = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);

	ring[at % ENTRIES] = (struct entry){
		.f = op->f, .kind = op->kind, .cached = op->cached,
		.off = op->off, .len = op->len, .gen = op->gen,
		.issue = op->issue, .complete = NEVER, .extra = *extra,
	};
	return at;
}

void log_end(const struct op *op, ssize_t res)
{
	struct entry *e = &ring[op->log % ENTRIES];

	/* It may have been overtaken by the whole ring. */
	if (e->f != op->f || e->issue != op->issue)
		return;
	e->res = res;
	e->complete = op->complete;
}

static void print_entry(const struct entry *e)
{
	static const char *const ways[] = { "sync", "aio", "uring" };
	char end[48] = "under way";

	if (e->complete != NEVER)
		snprintf(end, sizeof(end), "%llu: %zd",
			 (unsigned long long)e->complete, e->res);
	printf("#   %6llu to %-14s thread %u %s %s %s%s%s at %llu, %llu bytes, gen %llx\n",
	       (unsigned long long)e->issue, end, e->extra.thread, e->f->name,
	       log_kind(e->kind), e->cached ? "cached " : "direct ",
	       ways[e->extra.way], e->extra.rwf ? " RWF_DSYNC" : "",
	       (unsigned long long)(e->f->base + e->off),
	       (unsigned long long)e->len, (unsigned long long)e->gen);
}

/* The last SHOWN entries that @wanted wants, in their order. */
static void print_some(bool (*wanted)(const struct entry *e, const struct entry *by),
		       const struct entry *by)
{
	uint32_t found[SHOWN];
	uint32_t end = next;
	uint32_t i;
	int n = 0;

	for (i = 1; i <= ENTRIES && i <= end && n < SHOWN; i++)
		if (wanted(&ring[(end - i) % ENTRIES], by))
			found[n++] = (end - i) % ENTRIES;
	while (n--)
		print_entry(&ring[found[n]]);
	fflush(stdout);
}

static bool meets(const struct entry *e, const struct entry *by)
{
	if (e->f != by->f)
		return false;
	if (e->kind == OP_TRUNCATE)
		return e->off < by->off + by->len;
	return e->off < by->off + by->len && by->off < e->off + e->len;
}

static bool is_open(const struct entry *e, const struct entry *by)
{
	(void)by;
	return e->f && e->complete == NEVER;
}

void log_print(const struct file *f, uint64_t off, uint64_t len)
{
	struct entry by = { .f = f, .off = off, .len = len };

	printf("# operations there (begin to end of it, in the file's own time):\n");
	print_some(meets, &by);
}

void log_print_open(void)
{
	printf("# operations under way:\n");
	print_some(is_open, NULL);
}
