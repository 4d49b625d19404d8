/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a crash may leave. Names and contents each have a history; a floor in it says from
 * where on they are durable: that, or anything later, may be there after a crash.
 */
#ifndef CRASH_MODEL_H
#define CRASH_MODEL_H

#include "step.h"

#define OBJECTS		24
#define CELLS		512
#define VERSIONS	12
#define CHANGES		12
#define SECTORS		(FILE_MAX / 512)
#define BLOCKS		(FILE_MAX / 1024 + 1)

enum type { T_FILE, T_DIR, T_SYMLINK, T_FIFO };

/* A file, as it was from a step on. */
struct version {
	uint32_t len;
	unsigned char *bytes;
	unsigned char allocated[BLOCKS];	/* it has this block, and not a hole */
	bool direct;		/* by a direct write */
	uint32_t extended;	/* blocks from this one on were added by it, and not by the page cache */
	bool ruled_out;		/* its size, by an O_DSYNC write beyond it */
};

struct object {
	enum type type;
	int born;		/* the step */
	int anchor;		/* the step from which on it has to be at one of its names; -1 */
	struct version v[VERSIONS];
	int nr;
	int size_floor;
	unsigned char floor[SECTORS];
	const char *target;	/* of a symbolic link */
	bool may_be_lost;	/* it was the second of an exchange, which has not returned */
	/* the values that its attribute has had; 0: none */
	int attr[VERSIONS];
	int nr_attrs, attr_floor;
};

enum kept_by {
	KEPT_BY_ITSELF,
	KEPT_BY_DIR,	/* an fsync of the directory, and not of what has the name */
	KEPT_BY_MORE,	/* a promise that others do not make: see further() in promise.c */
};

/* A name in a directory, and what it was. */
struct cell {
	int dir;
	char name[FILL_NAME];
	struct {
		int step;
		int object;	/* -1: nothing */
		int version;	/* of a file that replaced another: it has at least this */
	} was[CHANGES];
	int nr;
	int floor;
	enum kept_by by;	/* whose promise the floor is */
};

struct model {
	unsigned int bs;
	bool dirsync, sync;
	struct object objects[OBJECTS];	/* the first is the root; their index is in their mode */
	int nr_objects;
	struct cell cells[CELLS];
	int nr_cells;
	int step;
};

void model_init(struct model *m, unsigned int bs);
void model_free(struct model *m);

/* The cell of the name number @nr of OP_FILL in the directory @dir. */
struct cell *model_filled(struct model *m, int dir, unsigned int nr);
/* What a path leads to, -1 for nothing. */
int model_find(struct model *m, const char *path);
uint32_t model_size(struct model *m, const char *path);
bool model_is(struct model *m, const char *path, enum type type);
bool model_empty(struct model *m, int dir);
/* Would the call succeed, and do anything? */
bool model_applies(struct model *m, const struct step *st);

/* The next step; if it has returned, what it promised holds. */
void model_step(struct model *m, const struct step *st, bool returned);

static inline int cell_now(const struct cell *c)
{
	return c->was[c->nr - 1].object;
}

/* The permissions of a file say which it is. */
#define MODE_OBJECT	077
static inline unsigned int object_mode(int object)
{
	return 0700 | object;
}

#endif
