/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All that is in a volume, read from its bytes by a reader of the format that has nothing in
 * common with the kernel's, and the same from a mount.
 */
#ifndef CRASH_TREE_H
#define CRASH_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "step.h"

#define NODES		512

struct node {
	int parent;
	char name[FILL_NAME];
	uint32_t ino;
	uint32_t mode;
	uint32_t size;
	int attr;		/* the value of its attribute: 0 if there is none, -1 if it is damaged */
	char *data;		/* of a file, or what is in a symbolic link */
};

struct tree {
	struct node nodes[NODES];	/* the first is the root */
	int nr;
	const char *wrong;	/* why it is not complete, NULL if it is */
};

/* What is below lost+found is left out. */
void tree_of_image(struct tree *t, const unsigned char *image, size_t size);
/* The same of the mounted volume. */
void tree_of_mount(struct tree *t, const char *dir);
void tree_free(struct tree *t);

/* What one has and the other has not, or has otherwise: NULL if there is nothing. */
const char *tree_differs(const struct tree *a, const struct tree *b);

#endif
