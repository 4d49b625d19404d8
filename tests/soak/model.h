/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What any reader of a file may see.
 *
 * Each 512-byte sector is a register of its own. Whoever writes it adds a
 * version, which lives from the time before the call until some other write,
 * begun after this one had ended, has itself ended. A reader may see every
 * version that lived at some time between its begin and its end, and when there
 * are several of them any mix of their bytes: nothing makes sectors atomic.
 *
 * A sector beyond EOF has the version ABSENT, which nobody may
 * see: a reader that is told of a size must find the data that the size stands
 * for. Whoever moves the end of the file over a gap adds zeros to what may be in
 * the gap, but only where ABSENT lives. A punch writes zeros to the sectors that
 * are in the file as long as it takes; it may have met those that were so at some
 * time of it, and leaves the others alone. Zeros can be seen nowhere
 * else, except by a reader that was overtaken by a truncate, for which that is just
 * what happens.
 *
 * The size is known as bounds, which operations widen when they begin and narrow
 * when they end; when nobody writes, fstat(2) is asked and has to agree.
 *
 * A version is *weak* when it may or may not have taken effect for good. It may
 * be seen, but it ends no other version. Weak are
 *
 * - parts of a sector (the rest of the sector keeps what it had);
 * - the zeros of a punch where the end of the file may have been meanwhile;
 * - what a failed or short write did not count;
 * - stores through a mapping that ended in SIGBUS;
 * - a direct write while somebody writes to the same page of the page cache
 *   (write(2) or a mapping): that page holds an old copy of the sector and is
 *   dirty, so that it can go to the device after the direct write did. Linux
 *   promises nothing here, and says "Page cache invalidation failure on direct
 *   I/O" at best. Beyond EOF the old copy has zeros. On retryfs a page has 4 KiB; filesystems with large folios,
 *   and retryfs with blocks that are larger than that, have a larger grain (model_page_shift);
 * - while bios fail: what goes through the page cache, as nobody hears in time
 *   when its writeback has failed. When that was to a new block, nothing can be
 *   said of the block until it is written again: the ext2 format cannot tell that
 *   a block was never written, and ext2 leaves it in the file too. (But a direct
 *   write into a hole must not: it knows that it failed, and is not given this.)
 */
#ifndef SOAK_MODEL_H
#define SOAK_MODEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SECTOR		512U
#define NEVER		UINT64_MAX
#define MODEL_OPS	128	/* that can be under way in one file */

enum kind {
	OP_READ, OP_WRITE, OP_APPEND, OP_LOAD, OP_STORE, OP_TRUNCATE, OP_PUNCH, OP_FSYNC,
	OP_FDATASYNC, OP_MSYNC, OP_RANGE, OP_DROP, OP_STAT, OP_KINDS
};

struct ver {
	uint64_t gen;		/* of data */
	uint64_t issue;
	uint64_t complete;	/* NEVER while it is being written */
	uint64_t dead;		/* NEVER while it may be seen */
	uint64_t op;		/* the issue time of its operation: a name */
	uint8_t kind;		/* enum ver_kind in model.c */
	bool weak;
};

struct sector {
	struct ver *v;
	uint32_t nr;
	uint32_t cap;
};

/* Who writes to a page of the page cache. */
struct page_state {
	uint32_t writers;
	uint64_t last;		/* when the last one ended */
};

struct op;

struct file {
	int id;
	char name[8];
	off_t base;		/* offset of the part that is used; a hole is before it */
	uint64_t max;		/* its length; offsets below are relative to base */
	unsigned int bs;	/* of the filesystem */
	int fd_cached, fd_direct;
	char *map;

	pthread_mutex_t lock;
	pthread_cond_t idle;	/* no writers */
	uint64_t clock;
	uint64_t gen;
	uint64_t lo, hi;	/* bounds of the size */
	struct sector *s;
	struct page_state *pages;
	struct op *ops[MODEL_OPS];
	int nr_ops;
	int writers;
	bool append;		/* an append is under way, or waits for it */
	bool failing;		/* bios of this file are being failed */
	uint32_t features;	/* of this round, see ops.c */
};

/* One operation, from before the system call until after it. */
struct op {
	struct file *f;
	enum kind kind;
	bool cached;		/* goes through the page cache */
	bool in_steps;		/* can be made in two, with a truncate between them */
	uint64_t off, len;	/* a truncate has the size in off */
	uint64_t gen;
	uint64_t issue, complete;
	uint64_t lo, hi;	/* sizes that could be meanwhile */
	uint64_t trunc_min;	/* of truncates at the same time */
	uint64_t end_max;	/* of all that change the size at the same time */
	uint64_t gap_from, gap_to;	/* sectors */
	uint32_t log;
};

/* What a sector may hold. */
#define MAY_GENS	16

struct may {
	uint64_t gens[MAY_GENS];
	uint64_t any;		/* any generation up to this one; 0: none */
	int nr;
	bool zero;
	bool all;
};

extern unsigned int model_page_shift;
/*
 * Of a file that is being extended by a direct write, a buffered reader may see
 * the new size and zeros: true for ext4 and others, where the page with the end
 * of the file is read in before, and dropped after, the size is changed.
 */
extern bool model_loose_end;

int model_init(struct file *f, int id, off_t base, uint64_t max, unsigned int bs);

/*
 * Begin an operation; the caller has set file, kind, cached, off and len. False
 * when it must not be made now (a load or store that would be beyond EOF, a
 * write while somebody appends). For OP_APPEND waits until it can be made, and
 * sets off.
 */
bool model_begin(struct op *op);
/*
 * End it: @res is what the system call returned. For a reader that got data,
 * may[] is what each sector may hold. NULL, or what is wrong.
 */
const char *model_end(struct op *op, ssize_t res, struct may *may);

/* For the message of a failure: the versions of a sector. */
void model_print(struct file *f, uint64_t sector);

static inline bool op_writes(const struct op *op)
{
	return op->kind == OP_WRITE || op->kind == OP_APPEND ||
	       op->kind == OP_STORE || op->kind == OP_TRUNCATE || op->kind == OP_PUNCH;
}

/* Those that write data, and so many bytes of it as they return. */
static inline bool op_writes_data(const struct op *op)
{
	return op_writes(op) && op->kind != OP_TRUNCATE && op->kind != OP_PUNCH;
}

/* Those that can change the size of the file. */
static inline bool op_sizes(const struct op *op)
{
	return op_writes(op) && op->kind != OP_STORE && op->kind != OP_PUNCH;
}

static inline bool op_reads(const struct op *op)
{
	return op->kind == OP_READ || op->kind == OP_LOAD;
}

#endif
