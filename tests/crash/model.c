// SPDX-License-Identifier: GPL-2.0
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env.h"
#include "model.h"
#include "pattern.h"
#include "promise.h"

void model_init(struct model *m, unsigned int bs)
{
	memset(m, 0, sizeof(*m));
	m->bs = bs;
	m->objects[0] = (struct object){ .type = T_DIR, .nr_attrs = 1 };
	m->nr_objects = 1;
}

void model_free(struct model *m)
{
	int i, k;

	for (i = 0; i < m->nr_objects; i++)
		for (k = 0; k < m->objects[i].nr; k++)
			free(m->objects[i].v[k].bytes);
	m->nr_objects = 0;
}

#define PAGE	4096U

static struct cell *cell_of(struct model *m, int dir, const char *name, size_t len)
{
	struct cell *c;
	int i;

	for (i = 0; i < m->nr_cells; i++) {
		c = &m->cells[i];
		if (c->dir == dir && strlen(c->name) == len && !memcmp(c->name, name, len))
			return c;
	}
	assert(m->nr_cells < CELLS && len < sizeof(c->name));
	c = &m->cells[m->nr_cells++];
	*c = (struct cell){ .dir = dir, .nr = 1 };
	memcpy(c->name, name, len);
	c->was[0].object = -1;
	return c;
}

struct cell *model_cell(struct model *m, const char *path)
{
	const char *slash;
	int dir = 0;

	while ((slash = strchr(path, '/'))) {
		dir = cell_now(cell_of(m, dir, path, slash - path));
		if (dir < 0 || m->objects[dir].type != T_DIR)
			return NULL;
		path = slash + 1;
	}
	return cell_of(m, dir, path, strlen(path));
}

struct cell *model_filled(struct model *m, int dir, unsigned int nr)
{
	char name[FILL_NAME];

	fill_name(name, nr, m->bs);
	return cell_of(m, dir, name, strlen(name));
}

int model_find(struct model *m, const char *path)
{
	struct cell *c;

	if (!*path)
		return 0;
	c = model_cell(m, path);
	return c ? cell_now(c) : -1;
}

bool model_is(struct model *m, const char *path, enum type type)
{
	int o = model_find(m, path);

	return o >= 0 && m->objects[o].type == type;
}

uint32_t model_size(struct model *m, const char *path)
{
	struct object *o = &m->objects[model_find(m, path)];

	return o->v[o->nr - 1].len;
}

bool model_empty(struct model *m, int dir)
{
	int i;

	for (i = 0; i < m->nr_cells; i++)
		if (m->cells[i].dir == dir && cell_now(&m->cells[i]) >= 0)
			return false;
	return true;
}

static bool is_below(const char *dir, const char *path)
{
	size_t len = strlen(dir);

	return !strncmp(dir, path, len) && path[len] == '/';
}

static bool rename_applies(struct model *m, const struct step *st)
{
	int from = model_find(m, st->path), to = model_find(m, st->to);

	if (from < 0 || from == to || !model_cell(m, st->to))
		return false;
	if (is_below(st->path, st->to))
		return false;
	if (to < 0)
		return true;
	if (m->objects[from].type == T_DIR)
		return m->objects[to].type == T_DIR && model_empty(m, to);
	return m->objects[to].type != T_DIR;
}

static bool exchange_applies(struct model *m, const struct step *st)
{
	int one = model_find(m, st->path), other = model_find(m, st->to);

	return one > 0 && other > 0 && one != other && !is_below(st->path, st->to) &&
	       !is_below(st->to, st->path);
}

static bool attr_applies(const struct object *o, const struct step *st)
{
	int now = o->attr[o->nr_attrs - 1];

	if (o->type != T_FILE && o->type != T_DIR)
		return false;
	return st->op == OP_REMOVEXATTR ? now : now != (int)st->gen;
}

bool model_applies(struct model *m, const struct step *st)
{
	int o = model_find(m, st->path);

	switch (st->op) {
	case OP_CREAT:
	case OP_MKDIR:
	case OP_SYMLINK:
	case OP_MKNOD:
	case OP_TMPFILE:
		return o < 0 && model_cell(m, st->path);
	case OP_RMDIR:
		return o > 0 && m->objects[o].type == T_DIR && model_empty(m, o);
	case OP_UNLINK:
		return o > 0 && m->objects[o].type != T_DIR;
	case OP_LINK:
		return o > 0 && m->objects[o].type == T_FILE && model_cell(m, st->to) &&
		       model_find(m, st->to) < 0;
	case OP_RENAME:
		return rename_applies(m, st);
	case OP_EXCHANGE:
		return exchange_applies(m, st);
	case OP_WRITE:
	case OP_TRUNCATE:
	case OP_PUNCH:
	case OP_ALLOCATE:
	case OP_ZERO:
	case OP_REFUSED:
		return o > 0 && m->objects[o].type == T_FILE;
	case OP_FILL:
		return o > 0 && m->objects[o].type == T_DIR && model_empty(m, o);
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		return o > 0 && attr_applies(&m->objects[o], st);
	case OP_FSYNC:
	case OP_FDATASYNC:
		return o >= 0 && m->objects[o].type != T_SYMLINK && m->objects[o].type != T_FIFO;
	case OP_SYNC:
	case OP_WRITEBACK:
		return true;
	}
	return false;
}

static void put(struct model *m, struct cell *c, int object)
{
	assert(c->nr < CHANGES);
	c->was[c->nr].step = m->step;
	c->was[c->nr].version = 0;
	c->was[c->nr++].object = object;
}

static void replace(struct model *m, struct cell *c, int object)
{
	bool replaces = cell_now(c) >= 0;

	put(m, c, object);
	if (replaces && m->objects[object].nr)
		c->was[c->nr - 1].version = m->objects[object].nr - 1;
}

static int new_object(struct model *m, enum type type)
{
	struct object *o = &m->objects[m->nr_objects];

	assert(m->nr_objects < OBJECTS);
	*o = (struct object){
		.type = type, .born = m->step, .anchor = -1, .nr = type == T_FILE, .nr_attrs = 1,
	};
	return m->nr_objects++;
}

/* A copy of the last version, of @len bytes. */
static struct version *next_version(struct object *o, uint32_t len)
{
	struct version *old = &o->v[o->nr - 1], *v = &o->v[o->nr];

	assert(o->nr < VERSIONS && len <= FILE_MAX);
	*v = *old;
	v->len = len;
	v->direct = false;
	v->extended = BLOCKS;
	v->ruled_out = false;
	v->bytes = calloc(1, len + 1);
	memcpy(v->bytes, old->bytes ? old->bytes : v->bytes, old->len < len ? old->len : len);
	o->nr++;
	return v;
}

static void apply_write(struct model *m, struct object *o, const struct step *st)
{
	uint32_t size = o->v[o->nr - 1].len, end = st->off + st->len, start = st->off, b;
	struct version *v = next_version(o, end > size ? end : size);

	pattern_fill(v->bytes + st->off, st->len, st->off, st->gen);
	if (st->by == BY_MAPPING) {
		/* A store makes the whole page dirty, and holes in it are allocated with it. */
		start &= ~(PAGE - 1);
		end = (end + PAGE - 1) & ~(PAGE - 1);
		end = end < v->len ? end : v->len;
	}
	for (b = start / m->bs; b <= (end - 1) / m->bs; b++)
		v->allocated[b] = 1;
	v->direct = st->by == BY_DIRECT || st->by == BY_AIO;
	/* What is inside EOF is a hole, or was there. With async_alloc a hole is filled in the same way. */
	v->extended = BLOCKS;
	if (v->direct)
		v->extended = env_async_alloc() ? 0 : (size + m->bs - 1) / m->bs;
}

static void apply_truncate(struct model *m, struct object *o, const struct step *st)
{
	struct version *v = next_version(o, st->len);
	uint32_t b;

	for (b = (st->len + m->bs - 1) / m->bs; b < BLOCKS; b++)
		v->allocated[b] = 0;
}

static void apply_punch(struct model *m, struct object *o, const struct step *st)
{
	uint32_t size = o->v[o->nr - 1].len, end = st->off + st->len, b;
	struct version *v = next_version(o, size);

	if (end > size)
		end = size;
	if (st->off >= end)
		return;
	memset(v->bytes + st->off, 0, end - st->off);
	if (end == size)
		end = (end + m->bs - 1) / m->bs * m->bs;
	for (b = (st->off + m->bs - 1) / m->bs; b < end / m->bs; b++)
		v->allocated[b] = 0;
}

/* New blocks are zeroed before they are in the file, as a direct write does it with what it writes. */
static void apply_allocate(struct model *m, struct object *o, const struct step *st)
{
	uint32_t size = o->v[o->nr - 1].len, end = st->off + st->len, b;
	struct version *v = next_version(o, end > size ? end : size);

	if (st->op == OP_ZERO)
		memset(v->bytes + st->off, 0, st->len);
	for (b = st->off / m->bs; b <= (end - 1) / m->bs; b++)
		v->allocated[b] = 1;
	v->direct = true;
	v->extended = (size + m->bs - 1) / m->bs;
}

static void apply_fill(struct model *m, const struct step *st, int dir)
{
	int new = new_object(m, T_FILE);
	unsigned int i;

	for (i = 0; i < st->len; i++)
		put(m, model_filled(m, dir, i), new);
}

static void apply_exchange(struct model *m, struct cell *one, struct cell *other)
{
	int first = cell_now(one), second = cell_now(other);

	replace(m, one, second);
	replace(m, other, first);
	m->objects[second].may_be_lost = true;
}

static void apply_attr(struct object *o, const struct step *st)
{
	assert(o->nr_attrs < VERSIONS);
	o->attr[o->nr_attrs++] = st->op == OP_SETXATTR ? st->gen : 0;
}

static void apply(struct model *m, const struct step *st)
{
	struct cell *c = model_cell(m, st->path);
	struct object *o;
	int new;

	switch (st->op) {
	case OP_CREAT:
		put(m, c, new_object(m, T_FILE));
		break;
	case OP_MKDIR:
		put(m, c, new_object(m, T_DIR));
		break;
	case OP_MKNOD:
		put(m, c, new_object(m, T_FIFO));
		break;
	case OP_TMPFILE:
		new = new_object(m, T_FILE);
		apply_write(m, &m->objects[new], st);
		put(m, c, new);
		/* whoever sees the name sees what was synced before it was made */
		if (st->dsync)
			m->objects[new].size_floor = 1;
		if (st->dsync)
			memset(m->objects[new].floor, 1, sizeof(m->objects[new].floor));
		break;
	case OP_FILL:
		apply_fill(m, st, cell_now(c));
		break;
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		apply_attr(&m->objects[cell_now(c)], st);
		break;
	case OP_SYMLINK:
		new = new_object(m, T_SYMLINK);
		m->objects[new].target = st->to;
		put(m, c, new);
		break;
	case OP_RMDIR:
	case OP_UNLINK:
		put(m, c, -1);
		break;
	case OP_LINK:
		put(m, model_cell(m, st->to), cell_now(c));
		break;
	case OP_RENAME:
		replace(m, model_cell(m, st->to), cell_now(c));
		put(m, c, -1);
		break;
	case OP_EXCHANGE:
		apply_exchange(m, c, model_cell(m, st->to));
		break;
	case OP_WRITE:
	case OP_TRUNCATE:
	case OP_PUNCH:
	case OP_ALLOCATE:
	case OP_ZERO:
		o = &m->objects[cell_now(c)];
		if (st->op == OP_WRITE)
			apply_write(m, o, st);
		else if (st->op == OP_TRUNCATE)
			apply_truncate(m, o, st);
		else if (st->op == OP_PUNCH)
			apply_punch(m, o, st);
		else
			apply_allocate(m, o, st);
		break;
	default:
		break;
	}
}

void model_step(struct model *m, const struct step *st, bool returned)
{
	m->step++;
	if (st->op < OP_FSYNC)
		apply(m, st);
	if (returned)
		promise(m, st);
}
