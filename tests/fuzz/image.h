/* SPDX-License-Identifier: GPL-2.0 */
/* The images that are damaged, and where in them is what. */
#ifndef FUZZ_IMAGE_H
#define FUZZ_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#define PLACES_MAX	512
#define GROUPS_MAX	16
#define IMAGES_MAX	64

/* In the root of an index, and in the blocks below it (struct dx_root and dx_node of ext4). */
#define ROOT_INFO	0x18
#define ROOT_LEVELS	0x1e
#define ROOT_ENTRIES	0x20
#define NODE_ENTRIES	8

/* Some blocks, or inodes. */
struct places {
	uint32_t at[PLACES_MAX];
	int nr;
};

struct image {
	char name[48];
	char *bytes;
	uint32_t size;
	const char *dev;	/* the device of this size */

	bool read_only;		/* has features with which it can only be read */
	bool sums;		/* descriptors have checksums */
	uint32_t bs, blocks, inodes, isize;
	uint32_t first, bpg, ipg, groups;
	uint32_t table[GROUPS_MAX], bmap[GROUPS_MAX], imap[GROUPS_MAX];
	struct places used;	/* inodes in use */
	struct places dirs;	/* blocks of directories */
	struct places pointers;	/* blocks of pointers */
	struct places attrs;	/* blocks of attributes */
	struct places within;	/* inodes with attributes in them */
	struct places index;	/* blocks of an index of a directory */
	struct places data;	/* other blocks of files */
};

struct image_set {
	struct image im[IMAGES_MAX];
	int nr;
	uint32_t largest;	/* size in bytes */
};

/* Read all images of a directory. 0 or -errno. */
int images_read(struct image_set *set, const char *dir);

/* The offset of an inode in the image. */
uint32_t image_inode(const struct image *im, uint32_t ino);
/* The offset of a descriptor. */
uint32_t image_group(const struct image *im, uint32_t group);
/* The checksum that a descriptor should have, as it is in @bytes (uninit_bg). */
uint16_t image_group_sum(const struct image *im, const char *bytes, uint32_t group);
/* The offset of the attributes in an inode, behind their magic; 0 if there are none. */
uint32_t image_within(const struct image *im, uint32_t ino);

uint32_t get_le(const char *bytes, uint32_t off, int width);
void put_le(char *bytes, uint32_t off, int width, uint32_t val);

#endif
