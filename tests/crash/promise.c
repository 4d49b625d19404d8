// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "promise.h"

static void anchor(struct model *m, int object)
{
	if (object > 0)
		m->objects[object].anchor = m->step;
}

/* This name is as it is now. */
static void keep_cell(struct model *m, struct cell *c, enum kept_by by)
{
	/* What was durable before still is by itself. */
	if (by == KEPT_BY_ITSELF || c->floor != c->nr - 1)
		c->by = by;
	c->floor = c->nr - 1;
	anchor(m, cell_now(c));
}

/*
 * What is promised here beyond what all filesystems with a journal do: a name by fdatasync or
 * O_DSYNC, of what had a durable name before; all other names of what was synced, and that those
 * which were removed are gone; and the new name of a directory above that has moved. And the names
 * of a directory that was renamed, and two that were exchanged, when the call has returned.
 */
static void further(struct model *m, int object)
{
	int i, k;

	for (i = 0; i < m->nr_cells; i++) {
		struct cell *c = &m->cells[i];

		for (k = c->nr - 1; k >= 0 && c->was[k].object != object; k--)
			;
		if (k == c->nr - 1) {
			keep_cell(m, c, KEPT_BY_MORE);
		} else if (k >= c->floor) {
			c->floor = k + 1;
			c->by = KEPT_BY_MORE;
		}
	}
}

static enum kept_by by_name(const struct model *m, int object)
{
	return m->objects[object].anchor < 0 ? KEPT_BY_ITSELF : KEPT_BY_MORE;
}

static void keep_parents(struct model *m, const char *path)
{
	const char *slash = path;
	char parent[64];

	while ((slash = strchr(slash, '/'))) {
		struct cell *c;

		memcpy(parent, path, slash - path);
		parent[slash - path] = 0;
		c = model_cell(m, parent);
		keep_cell(m, c, by_name(m, cell_now(c)));
		slash++;
	}
}

static void keep_path(struct model *m, const char *path, enum kept_by by)
{
	if (!*path)
		return;
	keep_parents(m, path);
	keep_cell(m, model_cell(m, path), by);
}

/* By a sync of a file or a directory. */
static void keep_names(struct model *m, const char *path, bool data)
{
	int o = model_find(m, path);

	if (!*path)
		return;
	keep_path(m, path, data ? by_name(m, o) : KEPT_BY_ITSELF);
	further(m, o);
}

static void keep_attr(struct object *o)
{
	o->attr_floor = o->nr_attrs - 1;
}

static void keep_content(struct object *o)
{
	o->size_floor = o->nr - 1;
	memset(o->floor, o->nr - 1, sizeof(o->floor));
}

static void keep_entries(struct model *m, int dir)
{
	int i;

	for (i = 0; i < m->nr_cells; i++)
		if (m->cells[i].dir == dir)
			keep_cell(m, &m->cells[i], KEPT_BY_DIR);
}

/* What an O_DSYNC write has written, and that the file reaches to there. */
static void keep_range(struct object *o, uint32_t off, uint32_t len)
{
	int now = o->nr - 1, i;
	uint32_t s;

	for (s = off / 512; s <= (off + len - 1) / 512; s++)
		o->floor[s] = now;
	for (i = o->size_floor; i < now; i++)
		if (o->v[i].len < off + len)
			o->v[i].ruled_out = true;
}

static void keep_all(struct model *m)
{
	int i;

	for (i = 0; i < m->nr_cells; i++)
		keep_cell(m, &m->cells[i], KEPT_BY_ITSELF);
	for (i = 0; i < m->nr_objects; i++) {
		keep_content(&m->objects[i]);
		keep_attr(&m->objects[i]);
	}
}

/* By O_DSYNC, msync, or a mount that has everything synced. */
static void keep_written(struct model *m, const struct step *st)
{
	struct object *o = &m->objects[model_find(m, st->path)];
	uint32_t size = o->v[o->nr - 1].len;

	if (!st->dsync && (!m->sync || st->by == BY_MAPPING))
		return;
	keep_names(m, st->path, true);
	if (st->off < size)
		keep_range(o, st->off, st->off + st->len < size ? st->len : size - st->off);
}

static void keep_filled(struct model *m, const struct step *st)
{
	int dir = model_find(m, st->path);
	unsigned int i;

	keep_path(m, st->path, KEPT_BY_ITSELF);
	for (i = 0; i < st->len; i++)
		keep_cell(m, model_filled(m, dir, i), KEPT_BY_ITSELF);
}

static void keep_moved(struct model *m, const struct step *st)
{
	keep_path(m, st->path, KEPT_BY_MORE);
	keep_path(m, st->to, KEPT_BY_MORE);
}

void promise(struct model *m, const struct step *st)
{
	int o;

	switch (st->op) {
	case OP_SYNC:
		keep_all(m);
		return;
	case OP_FSYNC:
	case OP_FDATASYNC:
		o = model_find(m, st->path);
		keep_names(m, st->path, st->op == OP_FDATASYNC);
		keep_content(&m->objects[o]);
		if (m->objects[o].type == T_DIR)
			keep_entries(m, o);
		if (st->op == OP_FSYNC)
			keep_attr(&m->objects[o]);
		return;
	case OP_WRITE:
	case OP_PUNCH:
	case OP_ALLOCATE:
	case OP_ZERO:
		keep_written(m, st);
		return;
	case OP_FILL:
		if (m->dirsync || m->sync)
			keep_filled(m, st);
		return;
	case OP_CREAT:
	case OP_MKDIR:
	case OP_RMDIR:
	case OP_UNLINK:
	case OP_SYMLINK:
	case OP_LINK:
	case OP_RENAME:
	case OP_MKNOD:
	case OP_TMPFILE:
		if (st->op == OP_RENAME && model_is(m, st->to, T_DIR))
			keep_moved(m, st);
		if (!m->dirsync && !m->sync)
			return;
		keep_path(m, st->path, KEPT_BY_ITSELF);
		if (st->op == OP_LINK || st->op == OP_RENAME)
			keep_path(m, st->to, KEPT_BY_ITSELF);
		return;
	case OP_EXCHANGE:
		keep_moved(m, st);
		m->objects[model_find(m, st->path)].may_be_lost = false;
		return;
	default:
		return;
	}
}
