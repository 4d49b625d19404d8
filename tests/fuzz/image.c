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
	if (S_ISDIR(mode))
		to = &im->dirs;
	else if (!S_ISREG(mode) && !(S_ISLNK(mode) && get_le(im->bytes, at + 28, 4)))
		return;
	for (i = 0; i < 15; i++)
		add_tree(im, get_le(im->bytes, at + 40 + 4 * i, 4), i < 12 ? 0 : i - 11, to);
}

static int examine(struct image *im)
{
	const char *sb = im->bytes + 1024;
	uint32_t i, desc;

	im->bs = 1024 << get_le(sb, 0x18, 4);
	im->inodes = get_le(sb, 0, 4);
	im->blocks = get_le(sb, 4, 4);
	im->first = get_le(sb, 0x14, 4);
	im->bpg = get_le(sb, 0x20, 4);
	im->ipg = get_le(sb, 0x28, 4);
	im->isize = get_le(sb, 0x4c, 4) ? get_le(sb, 0x58, 2) : 128;
	im->groups = (im->blocks - im->first + im->bpg - 1) / im->bpg;
	if (im->groups > GROUPS_MAX || im->blocks * im->bs > im->size)
		return -EINVAL;
	desc = (im->first + 1) * im->bs;
	for (i = 0; i < im->groups; i++, desc += 32) {
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
