// SPDX-License-Identifier: GPL-2.0
/*
 * Finds in a good image where everything is, so that damage can be done where it
 * matters. Nothing here reads what was damaged.
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"

#define SUPER		1024
#define UUID		0x68
#define GDT_CSUM	0x10
#define METADATA_CSUM	0x400
#define DESCRIPTOR	32
/* The size of an inode without extra fields */
#define GOOD_OLD	128
#define ATTRS_MAGIC	0xea020000
#define INDEX_FL	0x1000

uint32_t get_le(const char *bytes, uint32_t off, int width)
{
	uint32_t val = 0;

	memcpy(&val, bytes + off, width);
	return le32toh(val);
}

void put_le(char *bytes, uint32_t off, int width, uint32_t val)
{
	val = htole32(val);
	memcpy(bytes + off, &val, width);
}

static void add(struct places *p, uint32_t what)
{
	if (p->nr < PLACES_MAX)
		p->at[p->nr++] = what;
}

uint32_t image_inode(const struct image *im, uint32_t ino)
{
	uint32_t group = (ino - 1) / im->ipg;

	return im->table[group] * im->bs + (ino - 1) % im->ipg * im->isize;
}

uint32_t image_group(const struct image *im, uint32_t group)
{
	/* Of the meta groups of meta_bg no image has more than the first. */
	return (im->first + 1) * im->bs + group * DESCRIPTOR;
}

/* CRC-16 with the polynomial 0x8005, reflected (lib/crc/crc16.c). */
static uint16_t crc16(uint16_t crc, const char *bytes, size_t len)
{
	int bit;

	while (len--) {
		crc ^= (unsigned char)*bytes++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xa001 : 0);
	}
	return crc;
}

uint16_t image_group_sum(const struct image *im, const char *bytes, uint32_t group)
{
	uint32_t nr = htole32(group);
	uint16_t crc = crc16(0xffff, bytes + SUPER + UUID, 16);

	crc = crc16(crc, (char *)&nr, sizeof(nr));
	return crc16(crc, bytes + image_group(im, group), DESCRIPTOR - 2);
}

uint32_t image_within(const struct image *im, uint32_t ino)
{
	uint32_t at = image_inode(im, ino), extra;

	if (im->isize <= GOOD_OLD)
		return 0;
	extra = get_le(im->bytes, at + GOOD_OLD, 2);
	if (GOOD_OLD + extra + 8 > im->isize || get_le(im->bytes, at + GOOD_OLD + extra, 4) != ATTRS_MAGIC)
		return 0;
	return at + GOOD_OLD + extra + 4;
}

/* The blocks of the index of a directory, whose root is in its first block. */
static void add_index(struct image *im, uint32_t at)
{
	uint32_t root = get_le(im->bytes, at + 40, 4), count, i, below;

	if (!root || root >= im->blocks)
		return;
	add(&im->index, root);
	if (!get_le(im->bytes, root * im->bs + ROOT_LEVELS, 1))
		return;
	count = get_le(im->bytes, root * im->bs + ROOT_ENTRIES + 2, 2);
	for (i = 0; i < count && ROOT_ENTRIES + 8 * i + 8 <= im->bs; i++) {
		below = get_le(im->bytes, root * im->bs + ROOT_ENTRIES + 8 * i + 4, 4);
		/* Those that have pointers in the inode are enough. */
		if (below < 12)
			add(&im->index, get_le(im->bytes, at + 40 + 4 * below, 4));
	}
}

/* The blocks below a pointer, through so many levels of blocks of pointers. */
static void add_tree(struct image *im, uint32_t block, int levels, struct places *to)
{
	uint32_t i;

	if (!block || block >= im->blocks)
		return;
	if (!levels) {
		add(to, block);
		return;
	}
	add(&im->pointers, block);
	for (i = 0; i < im->bs; i += 4)
		add_tree(im, get_le(im->bytes, block * im->bs + i, 4), levels - 1, to);
}

static void add_inode(struct image *im, uint32_t ino)
{
	uint32_t at = image_inode(im, ino);
	uint32_t mode = get_le(im->bytes, at, 2);
	uint32_t acl = get_le(im->bytes, at + 104, 4);
	struct places *to = &im->data;
	int i;

	if (!get_le(im->bytes, at + 26, 2))
		return;
	add(&im->used, ino);
	if (acl)
		add(&im->attrs, acl);
	if (image_within(im, ino))
		add(&im->within, ino);
	if (S_ISDIR(mode) && get_le(im->bytes, at + 32, 4) & INDEX_FL)
		add_index(im, at);
	if (S_ISDIR(mode))
		to = &im->dirs;
	else if (!S_ISREG(mode) && !(S_ISLNK(mode) && get_le(im->bytes, at + 28, 4)))
		return;
	for (i = 0; i < 15; i++)
		add_tree(im, get_le(im->bytes, at + 40 + 4 * i, 4), i < 12 ? 0 : i - 11, to);
}

static int examine(struct image *im)
{
	const char *sb = im->bytes + SUPER;
	uint32_t i, desc, features = get_le(sb, 0x64, 4);

	im->bs = 1024 << get_le(sb, 0x18, 4);
	im->inodes = get_le(sb, 0, 4);
	im->blocks = get_le(sb, 4, 4);
	im->first = get_le(sb, 0x14, 4);
	im->bpg = get_le(sb, 0x20, 4);
	im->ipg = get_le(sb, 0x28, 4);
	im->isize = get_le(sb, 0x4c, 4) ? get_le(sb, 0x58, 2) : 128;
	im->groups = (im->blocks - im->first + im->bpg - 1) / im->bpg;
	im->read_only = features & METADATA_CSUM;
	im->sums = features & GDT_CSUM && !im->read_only;
	if (im->groups > GROUPS_MAX || im->blocks * im->bs > im->size)
		return -EINVAL;
	for (i = 0; i < im->groups; i++) {
		desc = image_group(im, i);
		im->bmap[i] = get_le(im->bytes, desc, 4);
		im->imap[i] = get_le(im->bytes, desc + 4, 4);
		im->table[i] = get_le(im->bytes, desc + 8, 4);
	}
	for (i = 1; i <= im->inodes; i++)
		add_inode(im, i);
	return 0;
}

static int image_read(struct image *im, const char *dir, const char *name)
{
	char path[512];
	struct stat st;
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(im->name, sizeof(im->name), "%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	im->size = st.st_size;
	im->bytes = malloc(im->size);
	err = im->bytes && read(fd, im->bytes, im->size) == im->size ? 0 : -EIO;
	close(fd);
	return err ? err : examine(im);
}

static int is_image(const struct dirent *e)
{
	const char *end = strrchr(e->d_name, '.');

	return end && !strcmp(end, ".img");
}

int images_read(struct image_set *set, const char *dir)
{
	struct dirent **list;
	int n, i, err = 0;

	/* In the order of their names: a seed means the same image everywhere. */
	n = scandir(dir, &list, is_image, alphasort);
	if (n < 0)
		return -errno;
	for (i = 0; i < n && i < IMAGES_MAX && !err; i++) {
		err = image_read(&set->im[i], dir, list[i]->d_name);
		if (set->im[i].size > set->largest)
			set->largest = set->im[i].size;
	}
	set->nr = i;
	while (n--)
		free(list[n]);
	free(list);
	return err ? err : set->nr ? 0 : -ENOENT;
}
