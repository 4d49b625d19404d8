/* SPDX-License-Identifier: GPL-2.0 */
/* A tree with everything that a filesystem of this format can have, made, changed, and listed. */
#ifndef TREE_TREE_H
#define TREE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Each of these: nothing, or the step that has failed. With @late, times are of all years that there may be, and not
 * only of those that inodes of 128 bytes have room for.
 */
const char *tree_make(unsigned int bs, bool late);
/*
 * Changes of all kinds, on what any number of rounds before has left; others with each @round, from 1 on. Those that are @plain
 * are without what the kernel's ext2 driver cannot do: to punch holes, and to exchange names at once.
 */
const char *tree_change(unsigned int bs, unsigned int round, bool plain);

struct listing {
	char *text;
	size_t len;
};

/* What is left out: what depends on the order in which inodes came to be, on hashes, and on the clock. */
#define WITHOUT_HISTORY	1
/* And all times, and how many blocks there are, as attributes may be in the inode or in one. */
#define WITHOUT_BLOCKS	2
/* Where data and holes are, of which a driver need not tell lseek(2). */
#define WITHOUT_HOLES	4

/* All that can be seen of all files, one line for each property of a file, sorted by their names. 0 or -errno. */
int tree_list(struct listing *list, unsigned int without);
void tree_free(struct listing *list);
/* Are they equal? Says which lines are not, of the first few. */
bool tree_equal(const struct listing *a, const char *who_a, const struct listing *b, const char *who_b);
/* Have only one of them this property, which is how a line begins, or another one? */
bool tree_differs(const struct listing *a, const struct listing *b, const char *property);

#endif
