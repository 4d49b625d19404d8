// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "point.h"
#include "torn.h"

#define SECTOR	512

/* Does a step end with this flush, with nothing written after it? */
static bool is_last(const struct log *l, int i)
{
	while (++i < l->nr && l->e[i].kind != LOG_STEP)
		if (l->e[i].kind == LOG_WRITE)
			return false;
	return true;
}

/*
 * The flush that a writeback ended with is only there because it was asked for by a sync. By one
 * before that the filesystem orders its writes.
 */
static bool is_flush(const struct log *l, const struct workload *w, int i, int returned)
{
	return l->e[i].kind == LOG_FLUSH &&
	       (w->journal || returned >= w->nr || w->steps[returned].op != OP_WRITEBACK ||
		!is_last(l, i));
}

static void locate(struct point *p, const struct log *l, const struct workload *w, int at)
{
	int i;

	memset(p, 0, sizeof(*p));
	p->at = at;
	for (i = 0; i < at; i++) {
		if (l->e[i].kind == LOG_STEP)
			p->returned = l->e[i].step;
		else if (is_flush(l, w, i, p->returned))
			p->flushed = i + 1;
	}
	memset(p->whole, 1, at);
}

int point_flushes(const struct log *l, const struct workload *w)
{
	int i, returned = 0, n = 0;

	for (i = 0; i < l->nr; i++) {
		if (l->e[i].kind == LOG_STEP)
			returned = l->e[i].step;
		n += is_flush(l, w, i, returned);
	}
	return n;
}

void point_at_flush(struct point *p, const struct log *l, const struct workload *w, int flush)
{
	int i, returned = 0;

	for (i = 0; i < l->nr; i++) {
		if (l->e[i].kind == LOG_STEP)
			returned = l->e[i].step;
		if (is_flush(l, w, i, returned) && !flush--)
			break;
	}
	/* The call that it was for has returned, if that was all it had to do. */
	if (i + 2 < l->nr && l->e[i + 1].kind == LOG_STEP)
		i++;
	locate(p, l, w, i + 1);
	p->kept = true;
}

enum loss { LOSE_NOTHING, LOSE_ALL, LOSE_ONE, KEEP_ONE, LOSE_HALF, LOSE_SOME, TEAR, LOSSES };

static bool volatile_write(const struct log *l, int i)
{
	return l->e[i].kind == LOG_WRITE && !l->e[i].fua;
}

static void tear(struct point *p, const struct log *l, struct rng *rng, int i, unsigned int bs)
{
	unsigned int sectors;

	if (l->e[i].nr < 2 || l->e[i].nr > 255)
		return;
	sectors = 1 + rng_below(rng, l->e[i].nr - 1);
	if (!torn_for_good(l->e[i].data, sectors * SECTOR, bs))
		p->sectors[i] = sectors;
}

static void lose(struct point *p, const struct log *l, struct rng *rng, unsigned int bs, enum loss how)
{
	int one, n = 0, i;

	for (i = p->flushed; i < p->at; i++)
		p->of += volatile_write(l, i);
	one = rng_below(rng, p->of);
	for (i = p->flushed; i < p->at; i++) {
		bool lost = false;

		if (!volatile_write(l, i))
			continue;
		switch (how) {
		case LOSE_ALL:
			lost = true;
			break;
		case LOSE_ONE:
			lost = n == one;
			break;
		case KEEP_ONE:
			lost = n != one;
			break;
		case LOSE_HALF:
			lost = rng_percent(rng, 50);
			break;
		case LOSE_SOME:
			lost = rng_percent(rng, 20);
			break;
		case TEAR:
			if (n == one)
				tear(p, l, rng, i, bs);
			else
				lost = rng_percent(rng, 20);
			break;
		default:
			break;
		}
		n++;
		p->whole[i] = !lost;
		p->lost += lost;
	}
	p->kept = how == LOSE_NOTHING;
}

void point_any(struct point *p, const struct log *l, const struct workload *w, struct rng *rng,
	       unsigned int bs, bool last)
{
	int at = last ? l->nr : 1 + rng_below(rng, l->nr);

	locate(p, l, w, at);
	lose(p, l, rng, bs, rng_below(rng, LOSSES));
}

void point_apply(const struct point *p, const struct log *l, unsigned char *image)
{
	int i;

	for (i = 0; i < p->at; i++) {
		const struct log_entry *e = &l->e[i];
		uint32_t nr = p->sectors[i] ? p->sectors[i] : e->nr;

		if (e->kind == LOG_WRITE && p->whole[i])
			memcpy(image + e->sector * SECTOR, e->data, (size_t)nr * SECTOR);
	}
}

void point_print(const struct point *p, const struct log *l)
{
	int i;

	printf("#   after entry %d of %d (%d steps have returned), %d of %d writes lost:", p->at, l->nr,
	       p->returned, p->lost, p->of);
	for (i = p->flushed; i < p->at; i++) {
		if (l->e[i].kind != LOG_WRITE)
			continue;
		printf(" %s%llu+%u", p->whole[i] ? "" : "-", (unsigned long long)l->e[i].sector,
		       p->sectors[i] ? p->sectors[i] : l->e[i].nr);
	}
	printf("\n");
}
