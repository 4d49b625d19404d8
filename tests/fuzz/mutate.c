// SPDX-License-Identifier: GPL-2.0
/* Damage: numbers of the metadata become others, which look as if they could be right. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"

struct field {
	uint16_t off;
	uint8_t width;
};

static const struct field super_fields[] = {
	{ 0x00, 4 }, { 0x04, 4 }, { 0x08, 4 }, { 0x0c, 4 }, { 0x10, 4 }, { 0x14, 4 }, { 0x18, 4 },
	{ 0x1c, 4 }, { 0x20, 4 }, { 0x24, 4 }, { 0x28, 4 }, { 0x34, 2 }, { 0x36, 2 }, { 0x38, 2 },
	{ 0x3a, 2 }, { 0x3c, 2 }, { 0x3e, 2 }, { 0x48, 4 }, { 0x4c, 4 }, { 0x50, 2 }, { 0x54, 4 },
	{ 0x58, 2 }, { 0x5a, 2 }, { 0x5c, 4 }, { 0x60, 4 }, { 0x64, 4 }, { 0xcc, 1 }, { 0xcd, 1 },
	{ 0xce, 2 }, { 0xe0, 4 }, { 0xe8, 4 }, { 0xfc, 1 }, { 0xfe, 2 }, { 0x100, 4 }, { 0x104, 4 },
	{ 0x15c, 2 }, { 0x160, 4 }, { 0x174, 1 }, { 0x24c, 4 }, { 0x250, 4 },
};

/* Not the blocks, the type and the size; what a good volume may have too. */
static const struct field super_harmless[] = {
	{ 0x08, 4 }, { 0x2c, 4 }, { 0x30, 4 }, { 0x34, 2 }, { 0x36, 2 }, { 0x40, 4 }, { 0x44, 4 },
	{ 0x50, 2 }, { 0x52, 2 }, { 0x5c, 4 }, { 0x68, 4 }, { 0x78, 4 }, { 0x88, 4 }, { 0x100, 4 },
	{ 0x3c, 2 }, { 0x0c, 4 }, { 0x10, 4 },
};

static const struct field group_fields[] = {
	{ 0, 4 }, { 4, 4 }, { 8, 4 }, { 12, 2 }, { 14, 2 }, { 16, 2 }, { 18, 2 }, { 20, 4 }, { 28, 2 }, { 30, 2 },
};

static const struct field inode_fields[] = {
	{ 0, 2 }, { 0, 2 }, { 4, 4 }, { 4, 4 }, { 20, 4 }, { 26, 2 }, { 26, 2 }, { 28, 4 }, { 32, 4 },
	{ 36, 4 }, { 40, 4 }, { 40, 4 }, { 44, 4 }, { 52, 4 }, { 84, 4 }, { 88, 4 }, { 88, 4 },
	{ 92, 4 }, { 96, 4 }, { 100, 4 }, { 104, 4 }, { 108, 4 }, { 116, 1 }, { 128, 2 },
};

static const struct field inode_harmless[] = {
	{ 2, 2 }, { 8, 4 }, { 12, 4 }, { 16, 4 }, { 24, 2 }, { 100, 4 }, { 120, 2 }, { 122, 2 },
	{ 32, 4 }, { 36, 4 }, { 132, 4 }, { 136, 4 }, { 140, 4 }, { 144, 4 }, { 148, 4 }, { 152, 4 },
};

static const struct field entry_fields[] = {
	{ 0, 4 }, { 0, 4 }, { 4, 2 }, { 4, 2 }, { 6, 1 }, { 6, 1 }, { 7, 1 }, { 8, 1 }, { 8, 4 },
};

/* Of a block of attributes: its header; of each entry, there and in an inode. */
static const struct field attr_header[] = {
	{ 0, 4 }, { 4, 4 }, { 4, 4 }, { 8, 4 }, { 12, 4 }, { 16, 4 },
};

static const struct field attr_fields[] = {
	{ 0, 1 }, { 0, 1 }, { 1, 1 }, { 2, 2 }, { 2, 2 }, { 4, 4 }, { 8, 4 }, { 8, 4 }, { 12, 4 }, { 16, 4 },
};

/* Of an index: what the root says of it, and limit and count of a block. */
static const struct field root_fields[] = {
	{ ROOT_INFO, 4 }, { ROOT_INFO + 4, 1 }, { ROOT_INFO + 5, 1 }, { ROOT_LEVELS, 1 }, { ROOT_LEVELS + 1, 1 },
	{ 4, 2 }, { 6, 1 }, { 16, 2 }, { 18, 1 },
};

static const struct field index_fields[] = {
	{ 0, 2 }, { 2, 2 }, { 2, 2 }, { 4, 4 },
};

static void did(struct fuzz *f, const char *fmt, ...)
{
	size_t len = strlen(f->did);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->did + len, sizeof(f->did) - len, fmt, ap);
	va_end(ap);
}

static uint32_t one_of(struct fuzz *f, const struct places *p)
{
	return p->nr ? p->at[rng_below(&f->rng, p->nr)] : 0;
}

static uint32_t any_block(struct fuzz *f, const struct image *im)
{
	uint32_t group = rng_below(&f->rng, im->groups);

	switch (rng_below(&f->rng, 10)) {
	case 0:
		return im->bmap[group];
	case 1:
		return im->imap[group];
	case 2:
		return im->table[group] + rng_below(&f->rng, 4);
	case 3:
		return im->first + group * im->bpg + rng_below(&f->rng, 4);
	case 4:
	case 5:
		return one_of(f, &im->dirs);
	case 6:
		return one_of(f, &im->pointers);
	case 7:
	case 8:
		return one_of(f, &im->data);
	default:
		return rng_below(&f->rng, im->blocks + 2);
	}
}

static uint32_t value(struct fuzz *f, const struct image *im, uint32_t old)
{
	static const uint32_t words[] = {
		0, 0, 1, 2, 0x7f, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		0xfffffffe, 10, 11, 12, 0x1000, 0x2000,
	};

	switch (rng_below(&f->rng, 12)) {
	case 0:
		return old + 1;
	case 1:
		return old - 1;
	case 2:
	case 3:
		return old ^ (1U << rng_below(&f->rng, 32));
	case 4:
		return old << 1;
	case 5:
		return rng_next(&f->rng);
	case 6:
	case 7:
		return any_block(f, im);
	case 8:
		return one_of(f, &im->used);
	case 9: {
		const uint32_t limits[] = {
			im->blocks, im->inodes, im->bs, im->bpg, im->ipg, im->size, im->isize, im->groups,
		};

		return limits[rng_below(&f->rng, 8)] + rng_below(&f->rng, 3) - 1;
	}
	default:
		return words[rng_below(&f->rng, sizeof(words) / sizeof(*words))];
	}
}

static void set(struct fuzz *f, const struct image *im, const char *what, uint32_t nr, uint32_t base,
		struct field field)
{
	uint32_t at = base + field.off;
	uint32_t old, new;

	if (at + 4 > im->size)
		return;
	old = get_le(f->buf, at, field.width);
	new = value(f, im, old);
	put_le(f->buf, at, field.width, new);
	did(f, " %s %u+%u: %#x %#x;", what, nr, field.off, old, get_le(f->buf, at, field.width));
}

#define ONE_FIELD(f, im, what, nr, base, fields) \
	set(f, im, what, nr, base, (fields)[rng_below(&(f)->rng, sizeof(fields) / sizeof(*(fields)))])

/* Where an entry of a block of a directory begins, by what it was before the damage. */
static uint32_t entry(struct fuzz *f, const struct image *im, uint32_t block)
{
	uint32_t at = 0, n = rng_below(&f->rng, 12);
	uint32_t len;

	while (n--) {
		len = get_le(im->bytes, block * im->bs + at + 4, 2);
		if (!len || at + len >= im->bs)
			break;
		at += len;
	}
	return block * im->bs + at;
}

/* An attribute of those that begin at @at and end before @end, or the end of the list. */
static uint32_t attribute(struct fuzz *f, const struct image *im, uint32_t at, uint32_t end)
{
	uint32_t n = rng_below(&f->rng, 6), len;

	while (n-- && get_le(im->bytes, at, 4)) {
		len = (16 + get_le(im->bytes, at, 1) + 3) & ~3U;
		if (at + len + 20 > end)
			break;
		at += len;
	}
	return at;
}

static void damage_attributes(struct fuzz *f, const struct image *im)
{
	uint32_t at, ino;

	if (im->within.nr && (!im->attrs.nr || rng_percent(&f->rng, 60))) {
		ino = one_of(f, &im->within);
		at = image_within(im, ino);
		if (rng_percent(&f->rng, 10))
			set(f, im, "magic of attributes at", at, at - 4, (struct field) { 0, 4 });
		else
			ONE_FIELD(f, im, "attribute at", at,
				  attribute(f, im, at, image_inode(im, ino) + im->isize), attr_fields);
	} else if (im->attrs.nr) {
		at = one_of(f, &im->attrs) * im->bs;
		if (rng_percent(&f->rng, 25))
			ONE_FIELD(f, im, "attributes at", at, at, attr_header);
		else
			ONE_FIELD(f, im, "attribute at", at, attribute(f, im, at + 32, at + im->bs), attr_fields);
	}
}

static void damage_index(struct fuzz *f, const struct image *im)
{
	uint32_t block = one_of(f, &im->index);
	uint32_t at = block * im->bs, entries, count, n;
	bool root;

	if (!block)
		return;
	/* The root has the entry of "." where a block below it has an empty one. */
	root = get_le(im->bytes, at, 4);
	entries = at + (root ? ROOT_ENTRIES : NODE_ENTRIES);
	count = get_le(im->bytes, entries + 2, 2);
	n = rng_below(&f->rng, count < im->bs / 8 ? count : im->bs / 8);
	switch (rng_below(&f->rng, root ? 5 : 3)) {
	case 0:
		ONE_FIELD(f, im, "index", block, entries, index_fields);
		break;
	case 1:
		/* The hash of an entry, or the block of another one. */
		if (n && rng_percent(&f->rng, 50)) {
			set(f, im, "hash of index", block, entries + 8 * n, (struct field) { 0, 4 });
			break;
		}
		put_le(f->buf, entries + 8 * n + 4, 4, rng_below(&f->rng, count + 2));
		did(f, " index %u: block %u of %u;", block, n, count);
		break;
	case 2:
		set(f, im, "index", block, entries + 8 * n, (struct field) { 4, 4 });
		break;
	default:
		ONE_FIELD(f, im, "root of index", block, at, root_fields);
	}
}

/* Whether its checksum is right then, for those who have one, is another question. */
static void damage_group(struct fuzz *f, const struct image *im)
{
	uint32_t group = rng_below(&f->rng, im->groups);
	uint32_t at = image_group(im, group);

	if (im->sums && rng_percent(&f->rng, 40)) {
		/* Groups that are left for later, and those that are not: bg_flags, bg_itable_unused. */
		if (rng_percent(&f->rng, 70))
			f->buf[at + 18] ^= 1 << rng_below(&f->rng, 3);
		else
			put_le(f->buf, at + 28, 2, rng_below(&f->rng, im->ipg + 2));
		did(f, " group %u: flags %#x, %u inodes unused;", group, get_le(f->buf, at + 18, 2),
		    get_le(f->buf, at + 28, 2));
	} else {
		ONE_FIELD(f, im, "group", group, at, group_fields);
	}
	if (im->sums && rng_percent(&f->rng, 85))
		put_le(f->buf, at + 30, 2, image_group_sum(im, f->buf, group));
}

static void damage_directory(struct fuzz *f, const struct image *im)
{
	uint32_t block = one_of(f, &im->dirs);
	uint32_t at = entry(f, im, block), from;

	switch (rng_below(&f->rng, 5)) {
	case 0:
		/* The inode, or all, of another entry. */
		from = entry(f, im, one_of(f, &im->dirs));
		memmove(f->buf + at, f->buf + from, rng_percent(&f->rng, 50) ? 4 : 12);
		did(f, " entry at %u as at %u;", at, from);
		break;
	case 1:
		/* An inode that is there, or one that is not. */
		put_le(f->buf, at, 4, rng_percent(&f->rng, 80) ? one_of(f, &im->used) :
		       rng_below(&f->rng, im->inodes + 2));
		did(f, " entry at %u: inode %u;", at, get_le(f->buf, at, 4));
		break;
	default:
		ONE_FIELD(f, im, "entry at", at, at, entry_fields);
	}
}

static void damage_bitmap(struct fuzz *f, const struct image *im)
{
	uint32_t group = rng_below(&f->rng, im->groups);
	bool inodes = rng_percent(&f->rng, 50);
	uint32_t block = inodes ? im->imap[group] : im->bmap[group];
	uint32_t bits = inodes ? im->ipg : im->bpg;
	uint32_t at = block * im->bs, bit = rng_below(&f->rng, bits + 8);

	did(f, " bitmap of %s %u", inodes ? "inodes" : "blocks", group);
	switch (rng_below(&f->rng, 4)) {
	case 0:
		memset(f->buf + at, 0, bits / 8);
		did(f, " all free;");
		break;
	case 1:
		memset(f->buf + at, 0xff, bits / 8);
		did(f, " none free;");
		break;
	case 2:
		f->buf[at + bit / 8] = rng_next(&f->rng);
		did(f, " byte %u;", bit / 8);
		break;
	default:
		f->buf[at + bit / 8] ^= 1 << (bit % 8);
		did(f, " bit %u;", bit);
	}
}

static void damage_pointers(struct fuzz *f, const struct image *im)
{
	uint32_t block = one_of(f, &im->pointers);
	uint32_t n, many, to;

	if (!block)
		return;
	n = rng_below(&f->rng, rng_percent(&f->rng, 60) ? 12 : im->bs / 4);
	many = rng_percent(&f->rng, 70) ? 1 : im->bs / 4 - n;
	to = value(f, im, get_le(f->buf, block * im->bs + 4 * n, 4));
	did(f, " pointers %u+%u, %u of them: %u;", block, n, many, to);
	while (many--)
		put_le(f->buf, block * im->bs + 4 * n++, 4, to);
}

static void damage_inode(struct fuzz *f, const struct image *im)
{
	uint32_t ino = rng_percent(&f->rng, 10) ? 2 : one_of(f, &im->used);
	uint32_t at = image_inode(im, ino), from;

	if (rng_percent(&f->rng, 8)) {
		from = one_of(f, &im->used);
		memcpy(f->buf + at, im->bytes + image_inode(im, from), im->isize);
		did(f, " inode %u is %u;", ino, from);
		return;
	}
	ONE_FIELD(f, im, "inode", ino, at, inode_fields);
}

/* Any metadata at all. */
static void damage_bytes(struct fuzz *f, const struct image *im)
{
	uint32_t block = any_block(f, im), from, len;
	uint32_t at;

	if (block >= im->size / im->bs)
		return;
	at = block * im->bs + rng_below(&f->rng, im->bs - 64);
	switch (rng_below(&f->rng, 3)) {
	case 0:
		from = rng_below(&f->rng, im->size / im->bs);
		memmove(f->buf + block * im->bs, f->buf + from * im->bs, im->bs);
		did(f, " block %u as %u;", block, from);
		break;
	case 1:
		len = 1 + rng_below(&f->rng, 64);
		did(f, " %u bytes at %u;", len, at);
		while (len--)
			f->buf[at++] = rng_next(&f->rng);
		break;
	default:
		f->buf[at] ^= 1 << rng_below(&f->rng, 8);
		did(f, " bit at %u;", at);
	}
}

static void damage_once(struct fuzz *f, const struct image *im)
{
	unsigned int kind = rng_below(&f->rng, 100);
	uint32_t ino;

	if (kind < 6) {
		ONE_FIELD(f, im, "superblock", 0, 1024, super_fields);
	} else if (kind < 12) {
		damage_group(f, im);
	} else if (kind < 20) {
		damage_bitmap(f, im);
	} else if (kind < 40) {
		damage_inode(f, im);
	} else if (kind < 56) {
		damage_directory(f, im);
	} else if (kind < 62) {
		damage_index(f, im);
	} else if (kind < 72) {
		damage_pointers(f, im);
	} else if (kind < 80) {
		damage_attributes(f, im);
	} else if (kind < 85) {
		damage_bytes(f, im);
	} else if (kind < 90) {
		ONE_FIELD(f, im, "superblock", 0, 1024, super_harmless);
	} else {
		ino = one_of(f, &im->used);
		ONE_FIELD(f, im, "inode", ino, image_inode(im, ino), inode_harmless);
	}
}

void mutate(struct fuzz *f, const struct image *im)
{
	unsigned int many = 1, kind = rng_below(&f->rng, 100);

	f->did[0] = 0;
	if (kind < 4)
		many = 0;
	else if (kind > 96)
		many = 16 + rng_below(&f->rng, 48);
	else if (kind > 80)
		many = 4 + rng_below(&f->rng, 12);
	else if (kind > 45)
		many = 2 + rng_below(&f->rng, 2);
	while (many--)
		damage_once(f, im);
}
