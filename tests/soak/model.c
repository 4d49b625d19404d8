// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model.h"

enum ver_kind {
	V_DATA,		/* a generation */
	V_ANY,		/* some generation up to this one: several that became one */
	V_GAP,		/* zeros, where ABSENT was and EOF went past */
	V_CUT,		/* zeros, in a part of the sector: the file ended in it */
	V_HOLE,		/* zeros, by a punch */
	V_STALE,	/* what the device had: the writeback of a new block may have failed */
	V_ABSENT,	/* beyond EOF */
};

#define MANY	40U	/* versions of a sector that are told apart */

unsigned int model_page_shift = 12;
bool model_loose_end;

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t sectors_up(uint64_t bytes)
{
	return (bytes + SECTOR - 1) / SECTOR;
}

static uint64_t nr_sectors(const struct file *f)
{
	return f->max / SECTOR;
}

static bool live(const struct ver *v)
{
	return v->dead == NEVER;
}

static bool has_absent(const struct sector *s)
{
	uint32_t i;

	for (i = 0; i < s->nr; i++)
		if (s->v[i].kind == V_ABSENT && live(&s->v[i]))
			return true;
	return false;
}

/* Forget what nobody can see who is at work now, or comes later. */
static void forget_dead(struct file *f, struct sector *s)
{
	uint64_t oldest = NEVER;
	uint32_t i, n = 0;
	int k;

	for (k = 0; k < f->nr_ops; k++)
		oldest = min64(oldest, f->ops[k]->issue);
	for (i = 0; i < s->nr; i++)
		if (live(&s->v[i]) || s->v[i].dead > oldest)
			s->v[n++] = s->v[i];
	s->nr = n;
}

/* Make one of the two oldest versions that have data, which allows no less. */
static void merge_oldest(struct sector *s)
{
	struct ver *first = NULL;
	uint32_t i;

	for (i = 0; i < s->nr; i++) {
		struct ver *v = &s->v[i];

		if (v->kind > V_ANY || v->complete == NEVER)
			continue;
		if (!first) {
			first = v;
			continue;
		}
		first->kind = V_ANY;
		first->gen = max64(first->gen, v->gen);
		first->issue = min64(first->issue, v->issue);
		first->complete = max64(first->complete, v->complete);
		first->dead = max64(first->dead, v->dead);
		first->op = 0;
		memmove(v, v + 1, (s->v + --s->nr - v) * sizeof(*v));
		return;
	}
}

static void push(struct file *f, uint64_t sector, const struct op *op,
		 enum ver_kind kind, bool weak)
{
	struct sector *s = &f->s[sector];

	if (s->nr == s->cap) {
		forget_dead(f, s);
		if (s->nr >= MANY)
			merge_oldest(s);
	}
	if (s->nr == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 4;
		s->v = realloc(s->v, s->cap * sizeof(*s->v));
		if (!s->v)
			abort();
	}
	s->v[s->nr++] = (struct ver){
		.gen = kind == V_DATA ? op->gen : 0,
		.issue = op->issue,
		.complete = NEVER,
		.dead = NEVER,
		.op = op->issue,
		.kind = kind,
		.weak = weak,
	};
}

/* The operation leaves zeros where the file ended before these sectors. */
static void push_gap(struct file *f, struct op *op, uint64_t from, uint64_t to)
{
	uint64_t i;

	if (from >= to)
		return;
	for (i = from; i < to; i++)
		if (has_absent(&f->s[i]))
			push(f, i, op, V_GAP, false);
	if (op->gap_from == op->gap_to) {
		op->gap_from = from;
		op->gap_to = to;
	} else {
		op->gap_from = min64(op->gap_from, from);
		op->gap_to = max64(op->gap_to, to);
	}
}

static uint64_t end_of(const struct op *op)
{
	return op->kind == OP_TRUNCATE ? op->off : op->off + op->len;
}

static void sizes_meet(struct op *a, const struct op *b)
{
	a->end_max = max64(a->end_max, end_of(b));
	if (b->kind == OP_TRUNCATE)
		a->trunc_min = min64(a->trunc_min, b->off);
}

/* Wider bounds concern everybody who is under way. */
static void widen(struct file *f, uint64_t lo, uint64_t hi)
{
	int k;

	f->lo = min64(f->lo, lo);
	f->hi = max64(f->hi, hi);
	for (k = 0; k < f->nr_ops; k++) {
		f->ops[k]->lo = min64(f->ops[k]->lo, f->lo);
		f->ops[k]->hi = max64(f->ops[k]->hi, f->hi);
	}
}

static void begin_truncate(struct file *f, struct op *op)
{
	uint64_t size = op->off;
	uint64_t i;
	int k;

	push_gap(f, op, f->lo / SECTOR, sectors_up(size));
	for (i = sectors_up(size); i < nr_sectors(f); i++)
		push(f, i, op, V_ABSENT, false);
	if (size % SECTOR)
		push(f, size / SECTOR, op, V_CUT, true);
	/* Who is under way to write further out may find the file shorter. */
	for (k = 0; k < f->nr_ops; k++) {
		struct op *o = f->ops[k];

		if (op_sizes(o))
			push_gap(f, o, size / SECTOR, sectors_up(o->off));
	}
	widen(f, size, size);
}

static void mark_pages(struct file *f, const struct op *op, bool begin)
{
	uint64_t i;

	if (!op->cached || op->kind == OP_TRUNCATE || !op->len)
		return;
	for (i = op->off >> model_page_shift;
	     i <= (op->off + op->len - 1) >> model_page_shift; i++) {
		if (begin) {
			f->pages[i].writers++;
		} else {
			f->pages[i].writers--;
			f->pages[i].last = f->clock;
		}
	}
}

static void written(struct sector *s, const struct op *op, enum ver_kind kind,
		    bool weak)
{
	uint32_t i;

	for (i = 0; i < s->nr; i++) {
		struct ver *v = &s->v[i];

		if (v->op != op->issue || v->kind != kind)
			continue;
		v->complete = op->complete;
		v->weak = v->weak || weak;
	}
}

static bool may_be_hole(const struct file *f, uint64_t from, uint64_t to)
{
	uint32_t k;

	for (; from < to; from++)
		for (k = 0; k < f->s[from].nr; k++)
			if (live(&f->s[from].v[k]) && (f->s[from].v[k].kind == V_GAP ||
						       f->s[from].v[k].kind == V_HOLE ||
						       f->s[from].v[k].kind == V_ABSENT))
				return true;
	return false;
}

/*
 * A buffered write makes new blocks part of the file when it is made; a store,
 * when its page is written back. When that fails they hold what the device had.
 */
static uint64_t stale_grain(const struct file *f, const struct op *op)
{
	if (f->bs > 4096)
		return 1ULL << model_page_shift;
	return op->kind == OP_STORE ? 4096 : f->bs;
}

static void push_stale(struct file *f, struct op *op)
{
	uint64_t grain = stale_grain(f, op) / SECTOR;
	uint64_t i = op->off / SECTOR / grain * grain;
	uint64_t k;

	for (; i < sectors_up(op->off + op->len); i += grain)
		for (k = i; k < i + grain && may_be_hole(f, i, i + grain); k++)
			push(f, k, op, V_STALE, true);
}

static void end_stale(struct file *f, const struct op *op)
{
	const uint64_t mask = (f->bs > 4096 ? stale_grain(f, op) : 4096) - 1;
	uint64_t i = (op->off & ~mask) / SECTOR;

	for (; i < sectors_up((op->off + op->len + mask) & ~mask); i++)
		written(&f->s[i], op, V_STALE, true);
}

static void begin_write(struct file *f, struct op *op)
{
	uint64_t end = op->off + op->len;
	uint64_t i;

	if (f->failing && op->cached)
		push_stale(f, op);

	if (op->kind != OP_STORE) {
		push_gap(f, op, f->lo / SECTOR, sectors_up(op->off));
		widen(f, NEVER, end);
	}
	for (i = op->off / SECTOR; i < sectors_up(end); i++)
		push(f, i, op, V_DATA,
		     op->off > i * SECTOR || end < (i + 1) * SECTOR);
	mark_pages(f, op, true);
}

static bool in_part(const struct op *op, uint64_t sector)
{
	return op->off > sector * SECTOR || op->off + op->len < (sector + 1) * SECTOR;
}

static void begin_punch(struct file *f, struct op *op)
{
	uint64_t i;

	for (i = op->off / SECTOR; i < sectors_up(op->off + op->len); i++)
		push(f, i, op, V_HOLE, in_part(op, i));
}

static bool may_begin(struct file *f, struct op *op)
{
	if (f->nr_ops == MODEL_OPS)
		return false;
	if (op->kind == OP_APPEND) {
		if (f->append)
			return false;
		/* Others write no more: where the end is has to be known. */
		f->append = true;
		while (f->writers)
			pthread_cond_wait(&f->idle, &f->lock);
		op->off = f->lo;
		if (f->lo != f->hi || op->off + op->len > f->max ||
		    (!op->cached && op->off % SECTOR)) {
			f->append = false;
			return false;
		}
	} else if (op_writes(op) && f->append) {
		return false;
	}
	if (op->kind == OP_LOAD || op->kind == OP_STORE) {
		if (op->off >= f->lo)
			return false;
		op->len = min64(op->len, f->lo - op->off);
	}
	return true;
}

bool model_begin(struct op *op)
{
	struct file *f = op->f;
	int k;

	pthread_mutex_lock(&f->lock);
	if (!may_begin(f, op)) {
		pthread_mutex_unlock(&f->lock);
		return false;
	}
	op->issue = ++f->clock;
	op->complete = NEVER;
	op->lo = f->lo;
	op->hi = f->hi;
	op->trunc_min = NEVER;
	op->end_max = 0;
	op->gap_from = op->gap_to = 0;
	if (op_writes(op)) {
		op->gen = ((uint64_t)f->id << 48) | ++f->gen;
		for (k = 0; k < f->nr_ops; k++) {
			struct op *o = f->ops[k];

			if (!op_sizes(o) || !op_sizes(op))
				continue;
			sizes_meet(op, o);
			sizes_meet(o, op);
		}
		f->writers++;
		if (op->kind == OP_TRUNCATE)
			begin_truncate(f, op);
		else if (op->kind == OP_PUNCH)
			begin_punch(f, op);
		else
			begin_write(f, op);
	}
	f->ops[f->nr_ops++] = op;
	pthread_mutex_unlock(&f->lock);
	return true;
}

static bool is_weak(const struct sector *s, const struct op *op)
{
	uint32_t i;

	for (i = 0; i < s->nr; i++)
		if (s->v[i].op == op->issue && s->v[i].kind == V_DATA && s->v[i].weak)
			return true;
	return false;
}

/* May the file have ended before this sector after the operation wrote it? */
static bool cut_meanwhile(const struct sector *s, const struct op *op)
{
	uint32_t i;

	for (i = 0; i < s->nr; i++)
		if (s->v[i].kind == V_ABSENT && s->v[i].complete > op->issue)
			return true;
	return false;
}

/* End the versions that were there before the operation. */
static void supersede(struct sector *s, const struct op *op, bool only_absent)
{
	uint32_t i;

	for (i = 0; i < s->nr; i++) {
		struct ver *v = &s->v[i];

		if (only_absent && v->kind != V_ABSENT)
			continue;
		if (live(v) && v->op != op->issue && v->complete < op->issue)
			v->dead = op->complete;
	}
	/*
	 * A gap is zeroed where there is nothing: whatever the order was in
	 * which it was made and the data written, the data stays, unless
	 * the file may have been truncated in between.
	 */
	if (op->kind == OP_TRUNCATE || only_absent || cut_meanwhile(s, op))
		return;
	for (i = 0; i < s->nr; i++)
		if (s->v[i].kind == V_GAP && live(&s->v[i]))
			s->v[i].dead = op->complete;
}

static void end_gap(struct file *f, struct op *op, bool done)
{
	uint64_t i;

	for (i = op->gap_from; i < op->gap_to; i++) {
		written(&f->s[i], op, V_GAP, false);
		if (done && (i + 1) * SECTOR <= end_of(op))
			supersede(&f->s[i], op, true);
	}
}

static void end_truncate(struct file *f, struct op *op, bool done)
{
	uint64_t size = op->off;
	uint64_t i;

	end_gap(f, op, done);
	if (size % SECTOR)
		written(&f->s[size / SECTOR], op, V_CUT, true);
	for (i = sectors_up(size); i < nr_sectors(f); i++) {
		written(&f->s[i], op, V_ABSENT, !done);
		if (done)
			supersede(&f->s[i], op, false);
	}
	if (!done)
		return;
	f->hi = min64(f->hi, max64(size, op->end_max));
	f->lo = max64(f->lo, min64(size, op->trunc_min));
}

static void end_punch(struct file *f, struct op *op, bool done)
{
	uint64_t i;
	uint32_t k;

	for (i = op->off / SECTOR; i < sectors_up(op->off + op->len); i++) {
		struct sector *s = &f->s[i];
		bool weak = !done || in_part(op, i) || (i + 1) * SECTOR > op->lo;

		written(s, op, V_HOLE, weak);
		if (!weak)
			supersede(s, op, false);
		/* It was never in the file. */
		for (k = 0; k < s->nr && i * SECTOR >= op->hi; k++)
			if (s->v[k].op == op->issue && s->v[k].kind == V_HOLE)
				s->v[k].dead = op->issue;
	}
}

/* Was the page cache written to where this direct write went? */
static bool collided(const struct file *f, const struct op *op, uint64_t sector)
{
	const struct page_state *p = &f->pages[sector * SECTOR >> model_page_shift];

	return !op->cached && (p->writers || p->last > op->issue);
}

/* Was the sector beyond EOF at some time of the operation? */
static bool was_absent(const struct sector *s, const struct op *op)
{
	uint32_t i;

	for (i = 0; i < s->nr; i++)
		if (s->v[i].kind == V_ABSENT && s->v[i].dead > op->issue)
			return true;
	return false;
}

/*
 * A direct write went past EOF, where a page that had zeros there was written to. Or io_uring made what could
 * be made without waiting, a truncate cut that off, and then a thread of it made the rest: the begin is a hole.
 */
static bool zeros_may_win(const struct file *f, const struct op *op, uint64_t sector)
{
	return (collided(f, op, sector) || op->in_steps) && was_absent(&f->s[sector], op);
}

static void end_write(struct file *f, struct op *op, ssize_t res)
{
	uint64_t n = res > 0 ? res : 0;
	uint64_t i;

	mark_pages(f, op, false);
	end_gap(f, op, n > 0);
	if (f->failing && op->cached)
		end_stale(f, op);
	for (i = op->off / SECTOR; i < sectors_up(op->off + op->len); i++) {
		bool weak = (i + 1) * SECTOR > op->off + n || collided(f, op, i) ||
			    (f->failing && op->cached);
		bool zeros = zeros_may_win(f, op, i);

		written(&f->s[i], op, V_DATA, weak || zeros);
		if (zeros) {
			push(f, i, op, V_CUT, true);
			written(&f->s[i], op, V_CUT, true);
		}
		if (!is_weak(&f->s[i], op))
			supersede(&f->s[i], op, false);
	}
	if (op->kind != OP_STORE && n)
		f->lo = max64(f->lo, min64(op->off + n, op->trunc_min));
}

/* No writer is at work: the size can be known, and with it what is there. */
static const char *settle(struct file *f)
{
	static __thread char msg[128];
	uint64_t size, i;
	struct stat st;
	uint32_t k;

	if (fstat(f->fd_cached, &st))
		return "fstat failed";
	size = st.st_size - f->base;
	if (st.st_size < f->base || size < f->lo || size > f->hi) {
		snprintf(msg, sizeof(msg), "size %llu, but it must be %llu to %llu",
			 (unsigned long long)st.st_size,
			 (unsigned long long)(f->base + f->lo),
			 (unsigned long long)(f->base + f->hi));
		return msg;
	}
	f->clock++;
	for (i = f->lo / SECTOR; i < sectors_up(f->hi); i++) {
		struct sector *s = &f->s[i];
		bool beyond = i * SECTOR >= size;

		if (!beyond && (i + 1) * SECTOR > size)
			continue;
		for (k = 0; k < s->nr; k++)
			if (live(&s->v[k]) && beyond != (s->v[k].kind == V_ABSENT))
				s->v[k].dead = f->clock;
		if (beyond && !has_absent(s)) {
			struct op op = { .issue = f->clock, .complete = f->clock };

			push(f, i, &op, V_ABSENT, false);
			written(s, &op, V_ABSENT, false);
		}
	}
	f->lo = f->hi = size;
	return NULL;
}

static void collect(const struct sector *s, const struct op *op, struct may *may)
{
	uint32_t i;

	memset(may, 0, sizeof(*may));
	for (i = 0; i < s->nr; i++) {
		const struct ver *v = &s->v[i];

		if (v->dead < op->issue)
			continue;
		switch (v->kind) {
		case V_DATA:
			if (may->nr < MAY_GENS)
				may->gens[may->nr++] = v->gen;
			else
				may->any = max64(may->any, v->gen);
			break;
		case V_ANY:
			may->any = max64(may->any, v->gen);
			break;
		case V_STALE:
			may->all = true;
			break;
		case V_ABSENT:
			/*
			 * A reader that knew the old size meets the zeroed rest
			 * of a page when a truncate comes by. And who loads from
			 * a mapping is told no size.
			 */
			if (v->complete > op->issue || op->kind == OP_LOAD ||
			    model_loose_end)
				may->zero = true;
			break;
		default:
			may->zero = true;
		}
	}
}

static bool writes_to(const struct op *op, uint64_t sector)
{
	return op_writes_data(op) && op->off < (sector + 1) * SECTOR &&
	       op->off + op->len > sector * SECTOR;
}

static const char *end_read(struct file *f, struct op *op, ssize_t res,
			    struct may *may)
{
	static __thread char msg[160];
	uint64_t n = res > 0 ? res : 0;
	uint64_t i;
	int k;

	for (i = op->off / SECTOR; n && i < sectors_up(op->off + n); i++, may++) {
		collect(&f->s[i], op, may);
		/* Those that have ended have left a version. */
		for (k = 0; k < f->nr_ops; k++)
			if (writes_to(f->ops[k], i) && zeros_may_win(f, f->ops[k], i))
				may->zero = true;
	}
	if (op->kind == OP_LOAD || (res < 0 && f->failing))
		return NULL;
	if ((!n || op->off + n <= op->hi) &&
	    (op->off + n >= min64(op->off + op->len, op->lo) || f->failing))
		return NULL;
	snprintf(msg, sizeof(msg), "%zd bytes read, but the size was %llu to %llu meanwhile",
		 res, (unsigned long long)(f->base + op->lo),
		 (unsigned long long)(f->base + op->hi));
	return msg;
}

const char *model_end(struct op *op, ssize_t res, struct may *may)
{
	struct file *f = op->f;
	const char *wrong = NULL;
	int k;

	pthread_mutex_lock(&f->lock);
	op->complete = ++f->clock;
	if (op_reads(op)) {
		wrong = end_read(f, op, res, may);
	} else if (op->kind == OP_STAT) {
		if (res < (ssize_t)op->lo || res > (ssize_t)op->hi)
			wrong = "a size that it never had";
	} else if (op->kind == OP_TRUNCATE) {
		end_truncate(f, op, !res);
	} else if (op->kind == OP_PUNCH) {
		end_punch(f, op, !res);
	} else if (op_writes(op)) {
		end_write(f, op, res);
	}
	for (k = 0; f->ops[k] != op; k++)
		;
	f->ops[k] = f->ops[--f->nr_ops];
	if (op_writes(op)) {
		if (op->kind == OP_APPEND)
			f->append = false;
		if (!--f->writers) {
			if (f->lo != f->hi && !wrong)
				wrong = settle(f);
			pthread_cond_broadcast(&f->idle);
		}
	}
	pthread_mutex_unlock(&f->lock);
	return wrong;
}

int model_init(struct file *f, int id, off_t base, uint64_t max, unsigned int bs)
{
	struct op op = { .issue = 1, .complete = 1 };
	uint64_t i;

	memset(f, 0, sizeof(*f));
	f->id = id;
	snprintf(f->name, sizeof(f->name), "soak%d", id);
	f->base = base;
	f->max = max;
	f->bs = bs;
	f->clock = 1;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->idle, NULL);
	f->s = calloc(nr_sectors(f), sizeof(*f->s));
	f->pages = calloc((max >> model_page_shift) + 1, sizeof(*f->pages));
	if (!f->s || !f->pages)
		return -1;
	for (i = 0; i < nr_sectors(f); i++) {
		push(f, i, &op, V_ABSENT, false);
		written(&f->s[i], &op, V_ABSENT, false);
	}
	return 0;
}

void model_print(struct file *f, uint64_t sector)
{
	static const char *const names[] = { "data", "any", "gap", "cut", "hole", "stale",
					     "absent" };
	const struct sector *s = &f->s[sector];
	uint32_t i;

	pthread_mutex_lock(&f->lock);
	printf("# versions of this sector (now %llu, size %llu to %llu):\n",
	       (unsigned long long)f->clock,
	       (unsigned long long)(f->base + f->lo),
	       (unsigned long long)(f->base + f->hi));
	for (i = 0; i < s->nr; i++) {
		const struct ver *v = &s->v[i];

		printf("#   %-6s gen %llx%s: from %lld, ended %lld, superseded %lld\n",
		       names[v->kind], (unsigned long long)v->gen,
		       v->weak ? " (weak)" : "", (long long)v->issue,
		       (long long)v->complete, (long long)v->dead);
	}
	pthread_mutex_unlock(&f->lock);
}
