// SPDX-License-Identifier: GPL-2.0
/*
 * As much of the format as is needed to read a file from the disk below a mounted volume:
 * a reader that knows nothing of what the kernel has in memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "env.h"
#include "ext2.h"
#include "pattern.h"

#define SUPER		1024
#define DESC_SIZE	32
#define CHUNK		(1UL << 20)
#define DIRECT		12
#define LEVELS		3

/* Places in the structures of the format. */
enum {
	S_BLOCKS_COUNT = 4, S_FIRST_DATA_BLOCK = 20, S_BLOCKS_PER_GROUP = 32,
	S_INODES_PER_GROUP = 40,
	BG_BLOCK_BITMAP = 0, BG_INODE_BITMAP = 4, BG_INODE_TABLE = 8,
	I_SIZE = 4, I_MTIME = 16, I_BLOCK = 40, I_SIZE_HIGH = 108, I_KNOWN = 128,
};

struct disk {
	struct vol *v;
	int fd;
	char *super;
	char *block[LEVELS];	/* of pointers, the last one read of each level */
	uint32_t number[LEVELS];
};

static uint32_t le32(const char *at)
{
	const unsigned char *b = (const unsigned char *)at;

	return b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24;
}

/* @buf is aligned, @off and @len are multiples of a sector. */
static int get(struct disk *d, char *buf, size_t len, uint64_t off)
{
	ssize_t n = pread(d->fd, buf, len, off);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

static int disk_open(struct disk *d, struct vol *v, int flags)
{
	int i;

	*d = (struct disk){ .v = v, .super = buf_alloc(SUPER) };
	d->fd = open(env_dev(), flags | O_DIRECT | O_CLOEXEC);
	if (d->fd < 0)
		return -errno;
	for (i = 0; i < LEVELS; i++)
		d->block[i] = buf_alloc(v->bs);
	return get(d, d->super, SUPER, SUPER);
}

/* A field of the descriptor of a group; @buf holds a sector. */
static int desc(struct disk *d, uint32_t group, int field, char *buf, uint32_t *value)
{
	uint64_t at = (le32(d->super + S_FIRST_DATA_BLOCK) + 1) * (uint64_t)d->v->bs +
		      group * DESC_SIZE;
	int err = get(d, buf, PATTERN_SECTOR, at / PATTERN_SECTOR * PATTERN_SECTOR);

	*value = le32(buf + at % PATTERN_SECTOR + field);
	return err;
}

static int inode(struct disk *d, ino_t ino, char *to)
{
	uint32_t per_group = le32(d->super + S_INODES_PER_GROUP), table;
	char *buf = buf_alloc(PATTERN_SECTOR);
	uint64_t at;
	int err;

	err = desc(d, (ino - 1) / per_group, BG_INODE_TABLE, buf, &table);
	if (err)
		return err;
	at = (uint64_t)table * d->v->bs + (ino - 1) % per_group * d->v->isize;
	err = get(d, buf, PATTERN_SECTOR, at / PATTERN_SECTOR * PATTERN_SECTOR);
	memcpy(to, buf + at % PATTERN_SECTOR, I_KNOWN);
	return err;
}

/* Where block @n of the file is, 0 for a hole. */
static int map(struct disk *d, const char *ino, uint64_t n, uint32_t *block)
{
	const uint64_t ptrs = d->v->bs / 4;
	uint64_t span = 1;
	int level = 0, err;

	*block = 0;
	if (n >= DIRECT) {
		n -= DIRECT;
		for (level = 1, span = ptrs; n >= span; level++, span *= ptrs)
			n -= span;
		if (level > LEVELS)
			return -EFBIG;
		*block = le32(ino + I_BLOCK + 4 * (DIRECT + level - 1));
	} else {
		*block = le32(ino + I_BLOCK + 4 * n);
	}
	while (level-- && *block) {
		if (d->number[level] != *block) {
			err = get(d, d->block[level], d->v->bs, *block * (uint64_t)d->v->bs);
			if (err)
				return err;
			d->number[level] = *block;
		}
		span /= ptrs;
		*block = le32(d->block[level] + 4 * (n / span));
		n %= span;
	}
	return 0;
}

static int read_file(struct disk *d, const char *ino, char *buf, size_t size)
{
	const size_t bs = d->v->bs;
	char *block = buf_alloc(bs);
	uint32_t where;
	uint64_t n;
	int err;

	for (n = 0; n * bs < size; n++) {
		size_t len = size - n * bs < bs ? size - n * bs : bs;

		err = map(d, ino, n, &where);
		if (!err && where)
			err = get(d, block, bs, where * (uint64_t)bs);
		if (err)
			return err;
		if (where)
			memcpy(buf + n * bs, block, len);
		else
			memset(buf + n * bs, 0, len);
	}
	return 0;
}

int ext2_stat(struct vol *v, const char *name, off_t *size, time_t *mtime)
{
	char ino[I_KNOWN];
	struct disk d;
	int err;

	err = disk_open(&d, v, O_RDONLY);
	if (!err)
		err = inode(&d, vol_inode(name), ino);
	close(d.fd);
	if (err)
		return err;
	*size = le32(ino + I_SIZE) | (off_t)le32(ino + I_SIZE_HIGH) << 32;
	*mtime = le32(ino + I_MTIME);
	return 0;
}

const char *ext2_differs(struct vol *v, const char *name, const char *want, size_t size,
			 char *buf)
{
	char ino[I_KNOWN];
	time_t mtime;
	struct disk d;
	off_t is;
	int err;

	err = ext2_stat(v, name, &is, &mtime);
	if (err || is != (off_t)size)
		return err ? "cannot be read" : "not of this size";
	err = disk_open(&d, v, O_RDONLY);
	if (!err)
		err = inode(&d, vol_inode(name), ino);
	if (!err)
		err = read_file(&d, ino, buf, size);
	close(d.fd);
	return err ? "cannot be read" : same_diff(buf, want, size, 0);
}

int ext2_block(struct vol *v, const char *name, uint64_t n, uint32_t *block, uint32_t *pointers)
{
	char ino[I_KNOWN];
	struct disk d;
	int err;

	err = disk_open(&d, v, O_RDONLY);
	if (!err)
		err = inode(&d, vol_inode(name), ino);
	if (!err)
		err = map(&d, ino, n, block);
	/* the one of the last level */
	*pointers = d.number[0];
	close(d.fd);
	return err;
}

int ext2_bitmaps(struct vol *v, uint32_t group, uint32_t *blocks, uint32_t *inodes)
{
	char *buf = buf_alloc(PATTERN_SECTOR);
	struct disk d;
	int err;

	err = disk_open(&d, v, O_RDONLY);
	if (!err)
		err = desc(&d, group, BG_BLOCK_BITMAP, buf, blocks);
	if (!err)
		err = desc(&d, group, BG_INODE_BITMAP, buf, inodes);
	close(d.fd);
	return err;
}

static int poison_blocks(struct disk *d, const char *poison, uint64_t first, uint64_t nr)
{
	const uint64_t bs = d->v->bs;

	while (nr) {
		uint64_t n = nr > CHUNK / bs ? CHUNK / bs : nr;

		if (pwrite(d->fd, poison, n * bs, first * bs) != (ssize_t)(n * bs))
			return -EIO;
		first += n;
		nr -= n;
	}
	return 0;
}

int ext2_poison_free(struct vol *v)
{
	char *poison = buf_alloc(CHUNK), *bitmap = buf_alloc(v->bs), *sector = buf_alloc(PATTERN_SECTOR);
	uint64_t first, count, per_group, group, i, run;
	uint32_t at;
	struct disk d;
	int err;

	vol_sync();
	err = disk_open(&d, v, O_RDWR);
	if (err)
		return err;
	poison_fill(poison, CHUNK);
	count = le32(d.super + S_BLOCKS_COUNT);
	per_group = le32(d.super + S_BLOCKS_PER_GROUP);
	first = le32(d.super + S_FIRST_DATA_BLOCK);
	for (group = 0; !err && first < count; group++, first += per_group) {
		uint64_t nr = count - first < per_group ? count - first : per_group;

		err = desc(&d, group, BG_BLOCK_BITMAP, sector, &at);
		if (!err)
			err = get(&d, bitmap, v->bs, at * (uint64_t)v->bs);
		for (i = 0, run = 0; !err && i <= nr; i++) {
			if (i < nr && !(bitmap[i / 8] & 1 << i % 8)) {
				run++;
			} else if (run) {
				err = poison_blocks(&d, poison, first + i - run, run);
				run = 0;
			}
		}
	}
	close(d.fd);
	return vol_report("poisoning the free space", err);
}
