/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Holes made by fallocate(2), against a model: what the file has to hold, which of its
 * blocks it may have, and with them how many blocks of pointers.
 */
#ifndef RFS_PUNCH_H
#define RFS_PUNCH_H

#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define DIRECT_BLOCKS	12
#define BLOCKS_MAX	512

/* 0 or -errno. */
int punch(int fd, off_t off, off_t len);
long op_punch(void *io_op);

/* NULL, or that the file has not so many blocks, of @bs bytes. */
const char *blocks_diff(const struct stat *st, unsigned int bs, long want);

/* A small file. */
struct sparse {
	unsigned int bs;
	size_t size;
	char *want;
	bool has[BLOCKS_MAX];
};

void sparse_init(struct sparse *m, unsigned int bs, size_t size);
void sparse_write(struct sparse *m, off_t off, size_t len, uint64_t gen);
void sparse_punch(struct sparse *m, off_t off, off_t len);
/* How many blocks it has, those of pointers included. */
long sparse_blocks(const struct sparse *m);

/* NULL, or what is wrong, as seen by a read, a direct read or a mapping (0, 1, 2). */
const char *sparse_diff(const struct sparse *m, int fd, int dfd, int how);
/* All three, in an order that depends on @turn: the first one fills the page cache. */
const char *sparse_diff_all(const struct sparse *m, int fd, int dfd, int turn);

#define EXPECT_SPARSE(m, fd, dfd, turn) EXPECT_NULL_DIFF(sparse_diff_all(m, fd, dfd, turn))

#define LEVELS_PIECE	4	/* blocks */

/* A file over all levels: two blocks on each side of a border between them. */
struct levels {
	uint64_t piece[6];	/* where each begins, in blocks */
	bool gone[6][LEVELS_PIECE];
};

void levels_init(struct levels *l, unsigned int bs);
void levels_punch(struct levels *l, uint64_t from, uint64_t to);
long levels_blocks(const struct levels *l, unsigned int bs);
/* Make it, generation 1: an open file or -errno. */
int levels_write(unsigned int bs, const char *name, int flags);
/* NULL, or what is wrong. */
const char *levels_diff(const struct levels *l, unsigned int bs, int fd);

#endif
