// SPDX-License-Identifier: GPL-2.0
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "generate.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define ROUND(x, to)	(((x) + (to) - 1) / (to) * (to))

enum where { AT_OVER, AT_PART, AT_HOLE, AT_TAIL, AT_APPEND, AT_GAP, AT_LEVEL, AT_DEEP, PLACES };
enum value { V_SHORT, V_LONG, V_SHARED, VALUES };
enum size { S_NONE, S_BLOCK, S_PART, S_UP, SIZES };
enum then { THEN_NOTHING, THEN_WRITEBACK, THEN_FSYNC, THEN_FDATASYNC, THEN_DIR, THEN_OTHER,
	    THEN_SYNC, THENS };
#define MOUNTS		3
#define LENGTHS		3
#define KINDS		(OP_REMOVEXATTR + 1)
#define SHARED		999

struct template {
	enum op op;
	const char *path, *to;
	int where;
	enum by by;
	bool dsync;
};

static const char *const files[] = { "foo", "bar", "A/foo", "A/bar", "B/foo" };
#define FILES	((unsigned int)ARRAY_SIZE(files))

static struct template all[512];
static unsigned int nr, first[KINDS + 1];
static unsigned int block;
static bool has_fallocate;

static void add(struct template t)
{
	assert(nr < ARRAY_SIZE(all));
	all[nr++] = t;
}

static void add_names(enum op op)
{
	unsigned int i, k;

	for (i = 0; i < FILES; i++) {
		if (op == OP_CREAT || op == OP_UNLINK)
			add((struct template){ op, files[i] });
		for (k = 0; (op == OP_LINK || op == OP_RENAME || op == OP_EXCHANGE) && k < FILES; k++)
			if (i != k)
				add((struct template){ op, files[i], files[k] });
	}
}

static void add_writes(const char *path)
{
	int where, by, dsync;

	for (where = 0; where < PLACES; where++)
		for (by = BY_CACHE; by <= BY_AIO; by++)
			for (dsync = 0; dsync < 2; dsync++)
				add((struct template){ OP_WRITE, path, NULL, where, by, dsync });
	for (where = AT_OVER; where <= AT_HOLE; where++)
		for (dsync = 0; dsync < 2; dsync++)
			add((struct template){ OP_WRITE, path, NULL, where, BY_MAPPING, dsync });
}

static void add_allocations(enum op op, const char *path)
{
	int where, dsync;

	for (where = op == OP_ZERO ? AT_OVER : AT_HOLE; where <= AT_LEVEL; where++)
		for (dsync = 0; dsync < 2; dsync++)
			add((struct template){ op, path, NULL, where, BY_CACHE, dsync });
	if (op == OP_ALLOCATE)
		add((struct template){ OP_REFUSED, path });
}

/* Names in a directory that is full, which gets an index. */
static void add_in_full(enum op op)
{
	static const struct template in_full[] = {
		{ OP_CREAT, "E/foo" }, { OP_UNLINK, "E/foo" }, { OP_LINK, "A/foo", "E/foo" },
		{ OP_RENAME, "foo", "E/foo" }, { OP_RENAME, "E/foo", "A/bar" },
		{ OP_RENAME, "D", "E/C" }, { OP_MKDIR, "E/C" }, { OP_RMDIR, "E/C" },
		{ OP_MKNOD, "E/foo" }, { OP_TMPFILE, "E/foo" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(in_full); i++)
		if (in_full[i].op == op)
			add(in_full[i]);
}

static void add_attributes(enum op op)
{
	static const char *const owners[] = { "foo", "A/foo", "bar", "A", "D" };
	unsigned int i;
	int value;

	for (i = 0; i < ARRAY_SIZE(owners); i++)
		for (value = 0; value < (op == OP_SETXATTR ? VALUES : 1); value++)
			add((struct template){ op, owners[i], NULL, value });
}

static void add_kind(enum op op)
{
	static const char *const dirs[] = { "C", "B", "A/C", "D" };
	static const char *const moves[][2] = {
		{ "A", "C" }, { "A", "B" }, { "B", "A/C" }, { "B", "C" }, { "B", "D" }, { "D", "A/C" },
	};
	static const char *const exchanges[][2] = {
		{ "A", "B" }, { "D", "B" }, { "D", "A/foo" }, { "B/bar", "D" },
	};
	unsigned int i;

	add_names(op);
	for (i = 0; (op == OP_MKDIR || op == OP_RMDIR) && i < ARRAY_SIZE(dirs); i++)
		add((struct template){ op, dirs[i] });
	for (i = 0; op == OP_RENAME && i < ARRAY_SIZE(moves); i++)
		add((struct template){ op, moves[i][0], moves[i][1] });
	for (i = 0; op == OP_EXCHANGE && i < ARRAY_SIZE(exchanges); i++)
		add((struct template){ op, exchanges[i][0], exchanges[i][1] });
	if (op == OP_SYMLINK) {
		add((struct template){ op, "bar", "short" });
		add((struct template){ op, "A/bar", "long" });
	}
	for (i = 0; op == OP_WRITE && i < FILES; i += 2)
		add_writes(files[i]);
	for (i = 0; op == OP_TRUNCATE && i < 2 * SIZES; i++)
		add((struct template){ op, files[i / SIZES * 2], NULL, i % SIZES });
	for (i = 0; op == OP_PUNCH && i < 8; i++)
		add((struct template){ op, files[i / 4 * 2], NULL, i % 2, BY_CACHE, i / 2 % 2 });
	for (i = 0; (op == OP_ALLOCATE || op == OP_ZERO) && i < 2; i++)
		add_allocations(op, files[2 * i]);
	for (i = 0; op == OP_TMPFILE && i < 4; i++)
		add((struct template){ op, files[i / 2 * 2 + 1], NULL, 0, BY_CACHE, i % 2 });
	for (i = 0; op == OP_FILL && i < 2; i++)
		add((struct template){ op, "D", NULL, i });
	if (op == OP_MKNOD)
		add((struct template){ op, "A/bar" });
	if (op == OP_SETXATTR || op == OP_REMOVEXATTR)
		add_attributes(op);
	add_in_full(op);
}

void generate_init(unsigned int bs, bool with_fallocate)
{
	unsigned int kind;

	block = bs;
	has_fallocate = with_fallocate;
	nr = 0;
	for (kind = 0; kind < KINDS; kind++) {
		first[kind] = nr;
		add_kind(kind);
	}
	first[KINDS] = nr;
}

const int base_nr = 13;

const struct step *base_steps(void)
{
	static struct step s[13];
	struct step attr = { .op = OP_SETXATTR, .len = 300, .gen = SHARED };


	s[0] = (struct step){ .op = OP_MKDIR, .path = "A" };
	s[1] = (struct step){ .op = OP_MKDIR, .path = "B" };
	s[2] = (struct step){ .op = OP_CREAT, .path = "foo" };
	s[3] = (struct step){ .op = OP_WRITE, .path = "foo", .len = 3 * block, .gen = 1001 };
	/* with a hole */
	s[4] = (struct step){ .op = OP_WRITE, .path = "foo", .off = 5 * block, .len = block - 512,
			      .gen = 1002 };
	s[5] = (struct step){ .op = OP_CREAT, .path = "A/foo" };
	s[6] = (struct step){ .op = OP_WRITE, .path = "A/foo", .len = 2 * block + 512, .gen = 1003 };
	s[7] = (struct step){ .op = OP_LINK, .path = "A/foo", .to = "B/bar" };
	/* to be removed, or moved over */
	s[8] = (struct step){ .op = OP_MKDIR, .path = "D" };
	/* a block full of names */
	s[9] = (struct step){ .op = OP_MKDIR, .path = "E" };
	s[10] = (struct step){ .op = OP_FILL, .path = "E", .len = fill_exactly(block) };
	/* a block of attributes that two share */
	attr.path = "foo";
	s[11] = attr;
	attr.path = "A/foo";
	s[12] = attr;
	return s;
}

void base_model(struct model *m, const struct workload *w)
{
	const struct step sync = { .op = OP_SYNC };
	int i;

	model_init(m, block);
	m->dirsync = w->dirsync;
	m->sync = w->sync;
	if (w->fresh)
		return;
	for (i = 0; i < base_nr; i++)
		model_step(m, base_steps() + i, false);
	model_step(m, &sync, true);
}

static bool place_write(struct model *m, const struct template *t, struct step *st)
{
	uint32_t size = model_size(m, t->path);
	const struct { uint32_t off, len, least; } places[PLACES] = {
		[AT_OVER] = { block, block, 2 * block },
		[AT_PART] = { 512, block, block + 512 },
		[AT_HOLE] = { 3 * block, block + 512, 4 * block + 512 },
		[AT_TAIL] = { size, 512 },
		[AT_APPEND] = { size, block + 512 },
		[AT_GAP] = { ROUND(size, block) + 2 * block, block },
		[AT_LEVEL] = { 11 * block, 3 * block },
		[AT_DEEP] = { (11 + block / 4) * block, 2 * block },
	};

	st->off = places[t->where].off;
	st->len = places[t->where].len;
	if (size < places[t->where].least || st->off + st->len > FILE_MAX)
		return false;
	return t->by == BY_CACHE || t->by == BY_MAPPING || st->off % 512 == 0;
}

/* Those that are long, or of two files the same, are in a block, short ones in an inode that has room. */
static void place_attr(const struct template *t, struct step *st)
{
	st->len = t->where == V_SHORT ? 20 : 300;
	if (t->where == V_SHARED)
		st->gen = SHARED;
}

static bool place_truncate(struct model *m, const struct template *t, struct step *st)
{
	uint32_t size = model_size(m, t->path);
	const uint32_t sizes[SIZES] = {
		[S_BLOCK] = block, [S_PART] = block + 300, [S_UP] = size + 3 * block,
	};

	st->len = sizes[t->where];
	return st->len != size && st->len <= FILE_MAX;
}

static bool place(struct workload *w, struct model *m, const struct template *t, struct step *st)
{
	*st = (struct step){
		.op = t->op, .path = t->path, .to = t->to, .by = t->by, .dsync = t->dsync,
		.gen = w->nr + 1,
	};
	if (t->op == OP_SYMLINK) {
		snprintf(w->targets[w->nr], sizeof(w->targets[0]), "%s-%d%s", t->to, w->nr,
			 t->to[0] == 's' ? "" :
			 "/a/target/that/does/not/fit/into/an/inode/and/has/a/block/of/its/own");
		st->to = w->targets[w->nr];
	}
	if (t->op == OP_SETXATTR)
		place_attr(t, st);
	if (!model_applies(m, st))
		return false;
	switch (t->op) {
	case OP_ALLOCATE:
	case OP_ZERO:
		return has_fallocate && place_write(m, t, st);
	case OP_REFUSED:
		st->off = ROUND(model_size(m, t->path), block);
		st->len = block;
		return has_fallocate;
	case OP_TMPFILE:
		st->len = block + 512;
		return true;
	case OP_FILL:
		st->len = fill_exactly(block) + t->where;
		return true;
	case OP_WRITE:
		return place_write(m, t, st);
	case OP_TRUNCATE:
		return place_truncate(m, t, st);
	case OP_PUNCH:
		st->off = t->where ? 512 : block;
		st->len = t->where ? 2 * block : block;
		return model_size(m, t->path) > 2 * block;
	default:
		return true;
	}
}

/* The directory that a name is in, below @to; "" is the root. */
static const char *parent(const char *path)
{
	static const char *const dirs[] = { "A", "B", "E" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++)
		if (path[0] == dirs[i][0] && path[1] == '/')
			return dirs[i];
	return "";
}

static bool then(struct model *m, const struct template *t, enum then what, struct step *st)
{
	bool moved = t->op == OP_LINK || t->op == OP_RENAME || t->op == OP_EXCHANGE;
	const char *name = moved ? t->to : t->path;

	*st = (struct step){ .path = name };
	switch (what) {
	case THEN_NOTHING:
		return true;
	case THEN_WRITEBACK:
		st->op = OP_WRITEBACK;
		return true;
	case THEN_SYNC:
		st->op = OP_SYNC;
		return true;
	case THEN_FSYNC:
	case THEN_FDATASYNC:
		st->op = what == THEN_FSYNC ? OP_FSYNC : OP_FDATASYNC;
		if (what == THEN_FDATASYNC && model_is(m, name, T_DIR))
			return false;
		break;
	case THEN_DIR:
		st->op = OP_FSYNC;
		st->path = parent(name);
		break;
	case THEN_OTHER:
		/* of a move, the directory that it was in; else another file */
		st->op = OP_FSYNC;
		st->path = moved ? parent(t->path) : strcmp(name, "foo") ? "foo" : "A/foo";
		if (moved && !strcmp(parent(t->path), parent(name)))
			return false;
		break;
	default:
		return false;
	}
	return model_applies(m, st);
}

static void push(struct workload *w, struct model *m, const struct step *st)
{
	assert(w->nr < CRASH_STEPS);
	w->steps[w->nr++] = *st;
	model_step(m, st, true);
}

static bool generate_steps(struct workload *w, struct model *m, int len, uint64_t number)
{
	struct step st;
	int i;

	for (i = 0; i < len; i++) {
		const struct template *t = &all[number % nr];
		enum then what = number / nr % THENS;

		number /= nr * THENS;
		if (!place(w, m, t, &st))
			return false;
		push(w, m, &st);
		if (!then(m, t, what, &st))
			return false;
		if (what != THEN_NOTHING)
			push(w, m, &st);
	}
	st = (struct step){ .op = OP_WRITEBACK };
	push(w, m, &st);
	return true;
}

bool generate(struct workload *w, uint64_t number)
{
	uint64_t rest = number;
	struct model m;
	int i, len;
	bool ok;

	*w = (struct workload){ .number = number };
	w->fresh = rest % 2;
	rest /= 2;
	w->dirsync = rest % MOUNTS == 1;
	w->sync = rest % MOUNTS == 2;
	rest /= MOUNTS;
	len = rest % LENGTHS + 1;
	base_model(&m, w);
	for (i = 0; w->fresh && i < base_nr; i++)
		push(w, &m, base_steps() + i);
	ok = generate_steps(w, &m, len, rest / LENGTHS);
	model_free(&m);
	return ok;
}

static uint64_t number_of(bool fresh, int mount, int len, uint64_t steps)
{
	return fresh + 2 * (mount + MOUNTS * (len - 1 + LENGTHS * steps));
}

/* With dirsync and sync the operation alone, which makes something durable itself. */
#define WAYS	(THENS + MOUNTS - 1)

uint64_t generate_single(void)
{
	return 2ULL * nr * WAYS;
}

uint64_t generate_single_nth(uint64_t n)
{
	uint64_t t = n / 2 % nr, way = n / 2 / nr;
	bool is_usual = way < THENS;

	return number_of(n % 2, is_usual ? 0 : way - THENS + 1, 1,
			 t + nr * (is_usual ? way : THEN_NOTHING));
}

uint64_t generate_any(struct rng *rng)
{
	int len = rng_percent(rng, 75) ? 2 : 3, mount = 0, i;
	uint64_t steps = 0;

	if (rng_percent(rng, 15))
		mount = 1 + rng_below(rng, MOUNTS - 1);
	for (i = 0; i < len; i++) {
		unsigned int kind = rng_below(rng, KINDS);
		uint64_t t = first[kind] + rng_below(rng, first[kind + 1] - first[kind]);

		steps = steps * nr * THENS + t + nr * rng_below(rng, THENS);
	}
	return number_of(rng_percent(rng, 25), mount, len, steps);
}
