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
 * A directory above that has never been durable is, under its name. Of one that was it is
 * known that it is there, under that name or a later one.
 */
static void keep_parents(struct model *m, const char *path)
{
	const char *slash = path;
	char parent[64];

	while ((slash = strchr(slash, '/'))) {
		struct cell *c;

		memcpy(parent, path, slash - path);
		parent[slash - path] = 0;
		c = model_cell(m, parent);
		if (m->objects[cell_now(c)].anchor < 0)
			keep_cell(m, c, KEPT_BY_ITSELF);
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

static void keep_path_of_data(struct model *m, const char *path)
{
	bool first = m->objects[model_find(m, path)].anchor < 0;

	keep_path(m, path, first ? KEPT_BY_ITSELF : KEPT_BY_DATA);
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
	for (i = 0; i < m->nr_objects; i++)
		keep_content(&m->objects[i]);
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
		if (st->op == OP_FSYNC)
			keep_path(m, st->path, KEPT_BY_ITSELF);
		else
			keep_path_of_data(m, st->path);
		keep_content(&m->objects[o]);
		if (m->objects[o].type == T_DIR)
			keep_entries(m, o);
		return;
	case OP_WRITE:
		if ((!st->dsync && !m->sync) || st->by == BY_MAPPING)
			return;
		keep_path_of_data(m, st->path);
		keep_range(&m->objects[model_find(m, st->path)], st->off, st->len);
		return;
	case OP_CREAT:
	case OP_MKDIR:
	case OP_RMDIR:
	case OP_UNLINK:
	case OP_SYMLINK:
	case OP_LINK:
	case OP_RENAME:
		if (!m->dirsync && !m->sync)
			return;
		keep_path(m, st->path, KEPT_BY_ITSELF);
		if (st->op == OP_LINK || st->op == OP_RENAME)
			keep_path(m, st->to, KEPT_BY_ITSELF);
		return;
	default:
		return;
	}
}
