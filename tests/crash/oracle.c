// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "oracle.h"
#include "pattern.h"

const char *const wrong_names[W_KINDS] = {
	[W_FSCK] = "not repaired", [W_VOLUME] = "not sound", [W_NAME] = "name lost",
	[W_ENTRY] = "entry of a synced directory lost",
	[W_FURTHER] = "further name lost",
	[W_RENAME] = "neither old nor new", [W_OTHER] = "wrong file", [W_STRANGE] = "strange name",
	[W_SIZE] = "wrong size", [W_DATA] = "data damaged", [W_STALE] = "stale data",
	[W_LINK] = "wrong link", [W_ATTR] = "wrong attribute",
};

void oracle_wrong(struct verdict *v, enum wrong kind, const char *fmt, ...)
{
	va_list args;

	v->wrong = true;
	if (v->found[kind]++)
		return;
	va_start(args, fmt);
	vsnprintf(v->text[kind], sizeof(v->text[kind]), fmt, args);
	va_end(args);
}

static bool had_name_at(const struct model *m, int object, int step)
{
	int i, k;

	for (i = 0; i < m->nr_cells; i++) {
		const struct cell *c = &m->cells[i];

		for (k = c->nr - 1; k > 0 && c->was[k].step > step; k--)
			;
		if (c->was[k].object == object)
			return true;
	}
	return false;
}

/* From some step on, up to now, was it ever without a name? */
static bool was_nameless(const struct model *m, int object, int since)
{
	for (; since <= m->step; since++)
		if (!had_name_at(m, object, since))
			return true;
	return false;
}

static enum type type_of(const struct node *n)
{
	return S_ISDIR(n->mode) ? T_DIR : S_ISLNK(n->mode) ? T_SYMLINK :
	       S_ISFIFO(n->mode) ? T_FIFO : T_FILE;
}

/* The object that a node is, -1 if it is none of those there were. */
static int object_of(const struct model *m, const struct node *n)
{
	int o = n->mode & MODE_OBJECT, i;

	if (S_ISLNK(n->mode)) {
		/* Their modes are all the same. */
		for (i = 0; i < m->nr_objects; i++)
			if (m->objects[i].type == T_SYMLINK && !strcmp(m->objects[i].target, n->data))
				return i;
		return -1;
	}
	if (!o || o >= m->nr_objects || m->objects[o].type != type_of(n) ||
	    (n->mode & 07777) != object_mode(o))
		return -1;
	return o;
}

/* In all of these @least is the version that the file has at least, as it replaced another. */
static int size_floor(const struct object *o, int least)
{
	return o->size_floor > least ? o->size_floor : least;
}

static int floor_at(const struct object *o, uint32_t at, int least)
{
	return o->floor[at / 512] > least ? o->floor[at / 512] : least;
}

static void judge_size(struct verdict *v, const struct object *o, const struct node *n, int least)
{
	int floor = size_floor(o, least), i;

	for (i = floor; i < o->nr; i++) {
		const struct version *is = &o->v[i], *was = i > floor ? &o->v[i - 1] : is;

		if (n->size == is->len && !is->ruled_out)
			return;
		/* A write of several pages moves the end with each. */
		if (n->size > was->len && n->size < is->len && !was->ruled_out)
			return;
	}
	oracle_wrong(v, W_SIZE, "'%s' has %u bytes, and was of %u", n->name, n->size,
		     o->v[floor].len);
}

static bool byte_allowed(const struct object *o, uint32_t at, char is, int least)
{
	int i;

	for (i = floor_at(o, at, least); i < o->nr; i++) {
		char was = at < o->v[i].len ? o->v[i].bytes[at] : 0;

		if (is == was)
			return true;
	}
	return false;
}

/* By what a block got to be what it is. */
struct cause {
	bool direct;	/* a direct write */
	bool extend;	/* one that extended the file */
};

/* Since this byte was durable, were there changes like this of its block? Was it always by that? */
static bool block_changed(const struct object *o, uint32_t block, int floor, bool to, struct cause *by)
{
	bool changed = false;
	int i;

	*by = (struct cause){ true, true };
	for (i = floor + 1; i < o->nr; i++) {
		if (o->v[i].allocated[block] == to && o->v[i - 1].allocated[block] != to) {
			changed = true;
			by->direct = by->direct && o->v[i].direct;
			by->extend = by->extend && block >= o->v[i].extended;
		}
	}
	return changed;
}

static void judge_byte(struct verdict *v, struct model *m, int object, const struct node *n,
		       uint32_t at, bool kept, int least)
{
	const struct object *o = &m->objects[object];
	uint32_t sector = at / 512 * 512, len = n->size - sector < 512 ? n->size - sector : 512;
	int floor = floor_at(o, at, least);
	bool stale = false;
	struct cause by;

	/* Deleted, and not durably: as far as it has been. */
	if (!n->data[at] && was_nameless(m, object, o->anchor < 0 ? o->born : o->anchor))
		return;
	if (block_changed(o, at / m->bs, floor, true, &by)) {
		/* What the page cache has allocated, also for a direct write, is not in order. */
		stale = by.extend || (by.direct && kept);
		if (!stale) {
			v->stale++;
			return;
		}
	}
	oracle_wrong(v, stale ? W_STALE : W_DATA, "'%s' at %u of %u, durable as of its version %d of %d: %s", n->name, at,
		     n->size, floor, o->nr - 1, pattern_name(n->data + sector, len, sector));
}

static void judge_file(struct verdict *v, struct model *m, int object, const struct node *n,
		       bool kept, int least)
{
	const struct object *o = &m->objects[object];
	uint32_t at;

	judge_size(v, o, n, least);
	for (at = 0; at < n->size; at++) {
		if (at < FILE_MAX ? byte_allowed(o, at, n->data[at], least) : !n->data[at])
			continue;
		if (at >= FILE_MAX)
			return;
		judge_byte(v, m, object, n, at, kept, least);
		return;
	}
}

static void judge_attr(struct verdict *v, const struct model *m, int object, const struct node *n)
{
	const struct object *o = &m->objects[object];
	int i;

	for (i = o->attr_floor; i < o->nr_attrs; i++)
		if (n->attr == o->attr[i])
			return;
	/* Deleted, and not durably. */
	if (!n->attr && was_nameless(m, object, o->anchor < 0 ? o->born : o->anchor))
		return;
	oracle_wrong(v, W_ATTR, "'%s' has the value %d, and had %d, now %d", n->name, n->attr,
		     o->attr[o->attr_floor], o->attr[o->nr_attrs - 1]);
}

static const char *object_text(const struct model *m, int object)
{
	static char bufs[4][32];
	static unsigned int next;
	char *buf = bufs[next++ % 4];

	if (object < 0)
		return "nothing";
	snprintf(buf, 32, "object %d (%s)", object,
		 m->objects[object].type == T_DIR ? "a directory" :
		 m->objects[object].type == T_FILE ? "a file" :
		 m->objects[object].type == T_FIFO ? "a FIFO" : "a link");
	return buf;
}

static int find_node(const struct tree *t, int parent, const char *name)
{
	int i;

	for (i = 1; i < t->nr; i++)
		if (t->nodes[i].parent == parent && !strcmp(t->nodes[i].name, name))
			return i;
	return -1;
}

static void judge_dir(struct verdict *v, struct model *m, const struct tree *t, int dir, int at,
		      bool kept, bool *seen);

static int least_version(const struct cell *c, int object)
{
	int least = VERSIONS, i;

	for (i = c->floor; i < c->nr; i++)
		if (c->was[i].object == object && c->was[i].version < least)
			least = c->was[i].version;
	return least;
}

static bool is_somewhere(const struct model *m, const struct tree *t, int object)
{
	int i;

	for (i = 1; i < t->nr; i++)
		if (object_of(m, &t->nodes[i]) == object)
			return true;
	return false;
}

/*
 * A directory that is moved over another one, or is the first of an exchange, has two names on the device until
 * the second step, and e2fsck keeps the one that it comes to first. Then the other name is gone.
 */
static bool is_by_another_name(const struct model *m, const struct tree *t, const struct cell *c)
{
	int i;

	for (i = c->floor + 1; i < c->nr; i++) {
		const int old = c->was[i - 1].object, new = c->was[i].object;
		const struct object *o;

		if (old < 0 || new < 0)
			continue;
		o = &m->objects[new];
		if (o->type == T_DIR && (m->objects[old].type == T_DIR || m->objects[old].may_be_lost) &&
		    is_somewhere(m, t, new))
			return true;
		if (o->may_be_lost && m->objects[old].type == T_DIR && is_somewhere(m, t, old))
			return true;
	}
	return false;
}

static void judge_cell(struct verdict *v, struct model *m, const struct tree *t,
		       const struct cell *c, int at, bool kept, bool *seen)
{
	int node = find_node(t, at, c->name), is = -1, i;
	const struct node *n = &t->nodes[node];

	if (node >= 0) {
		is = object_of(m, n);
		if (is < 0) {
			oracle_wrong(v, S_ISLNK(n->mode) ? W_LINK : W_OTHER,
				     "'%s' has mode %o and size %u, and was %s", c->name, n->mode, n->size,
				     object_text(m, cell_now(c)));
			return;
		}
	}
	for (i = c->floor; i < c->nr && c->was[i].object != is; i++)
		;
	if (i == c->nr && is < 0 && is_by_another_name(m, t, c))
		return;
	if (i == c->nr) {
		static const enum wrong lost[] = {
			[KEPT_BY_ITSELF] = W_NAME, [KEPT_BY_DIR] = W_ENTRY, [KEPT_BY_MORE] = W_FURTHER,
		};

		for (i = 0; i < c->floor && c->was[i].object != is; i++)
			;
		oracle_wrong(v, i == c->floor ? W_OTHER : lost[c->by], "'%s' is %s, and was %s, now %s", c->name,
			     object_text(m, is), object_text(m, c->was[c->floor].object),
			     object_text(m, cell_now(c)));
		/* It is not lost twice. */
		for (i = c->floor; i < c->nr; i++)
			if (c->was[i].object >= 0)
				seen[c->was[i].object] = true;
		return;
	}
	if (is < 0)
		return;
	seen[is] = true;
	judge_attr(v, m, is, n);
	if (m->objects[is].type == T_DIR)
		judge_dir(v, m, t, is, node, kept, seen);
	else if (m->objects[is].type == T_FILE)
		judge_file(v, m, is, n, kept, least_version(c, is));
}

static void judge_dir(struct verdict *v, struct model *m, const struct tree *t, int dir, int at,
		      bool kept, bool *seen)
{
	int i, k;

	for (i = 0; i < m->nr_cells; i++)
		if (m->cells[i].dir == dir)
			judge_cell(v, m, t, &m->cells[i], at, kept, seen);
	for (i = 1; i < t->nr; i++) {
		const struct node *n = &t->nodes[i];

		if (n->parent != at || (!at && !strcmp(n->name, "lost+found")))
			continue;
		for (k = 0; k < m->nr_cells; k++)
			if (m->cells[k].dir == dir && !strcmp(m->cells[k].name, n->name))
				break;
		if (k == m->nr_cells)
			oracle_wrong(v, W_STRANGE, "'%s'", n->name);
	}
}

/* Is a directory that it may be in missing, and does that say enough? */
static bool parent_lost(const struct model *m, int object, const bool *seen)
{
	int i, k;

	for (i = 0; i < m->nr_cells; i++)
		for (k = m->cells[i].floor; k < m->cells[i].nr; k++)
			if (m->cells[i].was[k].object == object && !seen[m->cells[i].dir])
				return true;
	return false;
}

void oracle_judge(struct verdict *v, struct model *m, const struct tree *t, bool kept)
{
	bool seen[OBJECTS] = { true };
	int i;

	if (t->wrong) {
		oracle_wrong(v, W_VOLUME, "%s", t->wrong);
		return;
	}
	judge_dir(v, m, t, 0, 0, kept, seen);
	for (i = 1; i < m->nr_objects; i++) {
		int since = m->objects[i].anchor;

		if (seen[i] || since < 0 || m->objects[i].may_be_lost || was_nameless(m, i, since) || parent_lost(m, i, seen))
			continue;
		oracle_wrong(v, W_RENAME, "%s", object_text(m, i));
	}
}
