// SPDX-License-Identifier: GPL-2.0
/* What to do next: everything random is here. */
#include <fcntl.h>
#include <linux/fs.h>
#include <unistd.h>

#include "kselftest.h"
#include "soak.h"

#define KB	1024U

/* How often in a hundred rounds a file is treated so. */
static const struct {
	uint32_t feature;
	unsigned int percent;
} odds[] = {
	{ F_DIRECT_WRITE, 88 }, { F_CACHED_WRITE, 50 }, { F_STORE, 35 },
	{ F_LOAD, 60 }, { F_CACHED_READ, 80 }, { F_CUT, 65 }, { F_GROW, 50 },
	{ F_APPEND, 50 }, { F_BYTES, 40 }, { F_LARGE, 50 }, { F_GAPS, 50 },
	{ F_PUNCH, 50 },
};

/* How often each kind is wanted; what a file does not do becomes a read. */
static const struct {
	enum kind kind;
	unsigned int weight;
} kinds[] = {
	{ OP_WRITE, 36 }, { OP_READ, 30 }, { OP_LOAD, 6 }, { OP_STORE, 6 },
	{ OP_TRUNCATE, 5 }, { OP_APPEND, 3 }, { OP_FSYNC, 2 }, { OP_FDATASYNC, 1 },
	{ OP_MSYNC, 1 }, { OP_RANGE, 2 }, { OP_DROP, 4 }, { OP_STAT, 4 },
	{ OP_PUNCH, 5 },
};

void choose_features(struct soak *s)
{
	struct rng r;
	unsigned int k;
	int i;

	for (i = 0; i < FILES; i++) {
		struct file *f = &s->files[i];

		rng_seed(&r, s->seed, s->round, 1000 + i);
		f->features = 0;
		for (k = 0; k < ARRAY_SIZE(odds); k++)
			if (rng_percent(&r, odds[k].percent))
				f->features |= odds[k].feature;
		if (!(f->features & (F_CACHED_WRITE | F_STORE)))
			f->features |= F_DIRECT_WRITE;
		/* What is cut off is free, and may become metadata: that must not fail. */
		if (s->errors && !i)
			f->features &= ~(F_CUT | F_PUNCH);
	}
}

static enum kind choose_kind(struct rng *r)
{
	unsigned int sum = 0, at;
	unsigned int k;

	for (k = 0; k < ARRAY_SIZE(kinds); k++)
		sum += kinds[k].weight;
	at = rng_below(r, sum);
	for (k = 0; at >= kinds[k].weight; k++)
		at -= kinds[k].weight;
	return kinds[k].kind;
}

static uint64_t size_of(struct file *f)
{
	return __atomic_load_n(&f->hi, __ATOMIC_RELAXED);
}

static uint64_t clamp(int64_t v, uint64_t max)
{
	return v < 0 ? 0 : (uint64_t)v > max ? max : (uint64_t)v;
}

static uint64_t choose_len(struct rng *r, const struct file *f)
{
	unsigned int p = rng_below(r, 100);

	if (f->features & F_LARGE && p >= 88)
		return SECTOR * (1 + rng_below(r, IO_MAX / SECTOR));
	if (p >= 70)
		return SECTOR * (1 + rng_below(r, 64));
	return SECTOR * (1 + rng_below(r, 16));
}

/* Around EOF, where much is going on, or anywhere. */
static uint64_t choose_place(struct worker *w, struct file *f, bool write)
{
	uint64_t size = size_of(f);
	struct rng *r = &w->rng;
	unsigned int p = rng_below(r, 100);

	if (p < 45)
		return clamp((int64_t)size - 16 * KB + rng_below(r, 24 * KB), f->max);
	if (p < 75)
		return clamp((int64_t)size / 2 + rng_below(r, 32 * KB), size);
	if (write && f->features & F_GAPS && p > 96)
		return clamp(size + rng_below(r, 64 * KB), f->max);
	return rng_below(r, size + 1);
}

static void choose_range(struct worker *w, struct op *op, bool bytes)
{
	static const unsigned int grain[] = { SECTOR, SECTOR, 1024, 2048, 4096, 4096 };
	struct file *f = op->f;
	struct rng *r = &w->rng;
	uint64_t g = grain[rng_below(r, 6)];

	op->len = choose_len(r, f);
	op->off = choose_place(w, f, op_writes(op));
	op->off -= op->off % g;
	if (op->off > f->max - op->len)
		op->off = f->max - op->len;
	if (bytes && f->features & F_BYTES && rng_percent(r, 25)) {
		op->len -= rng_below(r, SECTOR);
		op->off += rng_below(r, SECTOR);
		if (op->off > f->max - op->len)
			op->off = f->max - op->len;
	}
}

static void choose_truncate(struct worker *w, struct op *op)
{
	struct file *f = op->f;
	struct rng *r = &w->rng;
	uint64_t size = size_of(f);
	bool cut = f->features & F_CUT;
	bool grow = f->features & F_GROW;

	if (cut && (!grow || rng_percent(r, 60))) {
		unsigned int p = rng_below(r, 100);

		if (p < 8)
			op->off = 0;
		else if (p < 25)
			op->off = rng_below(r, size + 1);
		else
			op->off = clamp((int64_t)size - rng_below(r, 32 * KB), size);
	} else {
		op->off = clamp(size + rng_below(r, 32 * KB), f->max);
	}
	if (!(f->features & F_BYTES) || rng_percent(r, 60))
		op->off -= op->off % SECTOR;
	/* The size may be less by now, or more; this is no cut if it must not be one. */
	if (!cut && op->off < size)
		op->kind = OP_STAT;
	op->len = 0;
}

static void choose_segments(struct worker *w, struct req *r)
{
	uint64_t left = r->op.len;
	int n = rng_percent(&w->rng, 25) ? 2 + rng_below(&w->rng, 2) : 1;
	uint64_t align = w->s->mem_align;

	r->nr_iov = 0;
	while (n-- > 1 && left > SECTOR) {
		uint64_t len = SECTOR * (1 + rng_below(&w->rng, left / SECTOR - 1));

		if (len >= left)
			break;
		r->iov[r->nr_iov++].iov_len = len;
		left -= len;
	}
	r->iov[r->nr_iov++].iov_len = left;
	r->how.segments = r->nr_iov;
	r->buf = r->mem + align * rng_below(&w->rng, 4096 / align);
}

/* FNV-1a over what makes two runs the same. */
static void remember(struct worker *w, const struct req *r)
{
	uint64_t v[] = { r->op.kind, r->op.f->id, r->op.cached, r->op.off, r->op.len,
			 r->how.way, r->how.rwf, r->nr_iov };
	unsigned int k;

	for (k = 0; k < ARRAY_SIZE(v); k++)
		w->hash = (w->hash ^ v[k]) * 0x100000001b3ULL;
}

static void choose_transfer(struct worker *w, struct req *r)
{
	struct op *op = &r->op;
	uint32_t has = op->f->features;
	uint32_t cached = op->kind == OP_READ ? F_CACHED_READ : F_CACHED_WRITE;
	bool direct = op->kind == OP_READ || has & F_DIRECT_WRITE;

	op->cached = !direct || (has & cached && rng_percent(&w->rng, 40));
	choose_range(w, op, op->cached);
	r->how.way = rng_below(&w->rng, 3);
	if (op->kind == OP_WRITE && rng_percent(&w->rng, 8))
		r->how.rwf = RWF_DSYNC;
	choose_segments(w, r);
	remember(w, r);
	if (op->kind == OP_APPEND) {
		/* It waits until there is no other writer. */
		worker_reap(w, true);
		if (r->how.way != SYNC && !w->has_uring)
			r->how.way = ASYNC;
	}
	worker_issue(w, r);
}

static bool does(const struct file *f, enum kind kind)
{
	uint32_t has = f->features;

	switch (kind) {
	case OP_WRITE:
		return has & (F_DIRECT_WRITE | F_CACHED_WRITE);
	case OP_APPEND:
		return has & F_APPEND && has & (F_DIRECT_WRITE | F_CACHED_WRITE);
	case OP_LOAD:
		return has & F_LOAD;
	case OP_STORE:
	case OP_MSYNC:
		return has & F_STORE;
	case OP_TRUNCATE:
		return has & (F_CUT | F_GROW);
	case OP_PUNCH:
		return has & F_PUNCH;
	default:
		return true;
	}
}

void choose_and_do(struct worker *w)
{
	struct rng *rng = &w->rng;
	struct req *r;
	struct op *op;

	if (w->in_flight == REQS || (w->in_flight && rng_percent(rng, 30)))
		/* One thread alone is to do the same each time: no race of events. */
		worker_reap(w, w->s->threads == 1 || rng_percent(rng, 30));
	r = worker_free_req(w);
	r->op = (struct op){ .f = &w->s->files[rng_below(rng, FILES)] };
	r->how = (struct log_extra){ 0 };
	r->nr_iov = 0;
	r->buf = r->mem;
	op = &r->op;
	op->kind = choose_kind(rng);
	if (!does(op->f, op->kind))
		op->kind = OP_READ;
	if (op->kind <= OP_APPEND) {
		choose_transfer(w, r);
		return;
	}
	op->cached = true;
	if (op->kind == OP_TRUNCATE)
		choose_truncate(w, op);
	else
		choose_range(w, op, op->kind == OP_STORE || op->kind == OP_LOAD ||
			     op->kind == OP_PUNCH);
	remember(w, r);
	worker_do(w, r);
}
