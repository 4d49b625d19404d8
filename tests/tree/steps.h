/* SPDX-License-Identifier: GPL-2.0 */
/* Steps that make or change the tree, below the directory that one is in; what has failed first is noted. */
#ifndef TREE_STEPS_H
#define TREE_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tree {
	unsigned int bs;
	bool late, plain;
	char wrong[300];
};

/* Note a step that has failed, with errno; whether it has not. */
bool step(struct tree *t, bool ok, const char *what, const char *name);

/* The n-th of some names, or of some numbers. */
const char *nth(const char *base, unsigned int n);

#define ODD_NAMES	12
const char *odd_name(unsigned int n);

/* Write @len bytes at @pos; directly, if @direct and all is aligned. */
void put(struct tree *t, const char *name, off_t pos, size_t len, unsigned int seed, bool direct);
void set_size(struct tree *t, const char *name, off_t size);
void set_flags(struct tree *t, const char *name, unsigned int flags);
void set_generation(struct tree *t, const char *name, unsigned int generation);
/* A value of @len bytes; an attribute that is removed, if that is negative. */
void set_xattr(struct tree *t, const char *name, const char *attribute, int len, unsigned int seed);
/* The access control list @which: for a user who may @perm. */
void set_acl(struct tree *t, const char *name, const char *which, unsigned int perm);
void set_capability(struct tree *t, const char *name, unsigned int which);
/* Times that go by a number. */
void set_times(struct tree *t, const char *name, unsigned int n);

/* Where pieces of a sparse file may be: @n counts through all levels of pointers, with holes between. */
#define PLACES	24
off_t place(const struct tree *t, unsigned int n);
/* A length near the end of a block, or of what a level of pointers has room for. */
#define SIZES	14
off_t size_near(const struct tree *t, unsigned int n);

#endif
