/* SPDX-License-Identifier: GPL-2.0 */
/* The blocks of files: how many, and where. */
#ifndef RFS_BLOCKS_H
#define RFS_BLOCKS_H

#include <sys/types.h>

#include "vol.h"

/* Of the mounted volume; -errno. */
long free_blocks(void);
/* Of an open file, in sectors; -errno. */
blkcnt_t blocks_of(int fd);
/* Where an open file has its block @n, 0 for a hole; in how many pieces all of them lie. -errno. */
long block_of(int fd, int n);
int pieces_of(int fd);
/* Blocks of a file without holes of this size, those of pointers included. */
long blocks_needed(unsigned int bs, off_t size);
/* Leave room for @left blocks only, in a file "fill". 0 or -errno. */
int fill_up(struct vol *v, long left);

/*
 * A file of @nr pieces of @piece bytes, which is a multiple of four blocks of the
 * volume, generation 1, no two of which follow each other on the device: each
 * needs a bio of its own. Open for direct I/O; -errno.
 */
int make_pieces(struct vol *v, const char *name, size_t piece, int nr);

/*
 * A file of @len bytes, generation 1, of which the first @routed are routed: all bios
 * for them can be held, or those of reads alone. 0 or -errno.
 */
enum held { HELD_ALL, HELD_READS };
int make_held(struct vol *v, const char *name, size_t len, size_t routed, enum held what);

/* Add the sectors of @b to @a, in their order on the device; they are to fail. */
void route_and_fail(struct vol_map *a, const struct vol_map *b);

#define EXPECT_SIZE_AND_BLOCKS(fd, size, blocks, bs) do { \
	struct stat st_; \
	ASSERT_EQ(0, fstat(fd, &st_)); \
	EXPECT_EQ(size, st_.st_size); \
	EXPECT_EQ((blocks) * (bs), st_.st_blocks * 512); \
} while (0)

/*
 * What a request is to return of which @want bytes (or an error) count, as others
 * failed on the device, when it returned @n. Other filesystems may say that all of
 * it has failed.
 */
ssize_t count_of(ssize_t want, ssize_t n);

#endif
