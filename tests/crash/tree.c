// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "attr.h"
#include "tree.h"

#define SUPER		1024
#define DESC_SIZE	32
#define DIRECT		12
#define LEVELS		3
#define ROOT_INO	2
#define MAGIC		0xef53
#define ATTR_MAGIC	0xea020000U
#define ATTR_HEADER	32

/* Places in the structures of the format. */
enum {
	S_FIRST_DATA_BLOCK = 20, S_LOG_BLOCK_SIZE = 24, S_INODES_PER_GROUP = 40,
	S_MAGIC = 56, S_INODE_SIZE = 88, BG_INODE_TABLE = 8,
	I_MODE = 0, I_SIZE = 4, I_BLOCKS = 28, I_BLOCK = 40, I_FILE_ACL = 104, I_EXTRA = 128,
	D_INODE = 0, D_REC_LEN = 4, D_NAME_LEN = 6, D_NAME = 8,
};

struct image {
	const unsigned char *at;
	size_t size;
	uint32_t bs;
};

static uint32_t le32(const unsigned char *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

static uint32_t le16(const unsigned char *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return le16toh(v);
}

/* NULL for a block that is not in the volume. */
static const unsigned char *block(const struct image *im, uint32_t n)
{
	return n && (n + 1ULL) * im->bs <= im->size ? im->at + (size_t)n * im->bs : NULL;
}

static const unsigned char *inode(const struct image *im, uint32_t ino)
{
	const unsigned char *super = im->at + SUPER, *desc;
	uint32_t per_group = le32(super + S_INODES_PER_GROUP);
	uint64_t off;

	desc = im->at + (le32(super + S_FIRST_DATA_BLOCK) + 1ULL) * im->bs +
	       (ino - 1) / per_group * DESC_SIZE;
	off = le32(desc + BG_INODE_TABLE) * (uint64_t)im->bs +
	      (ino - 1) % per_group * (uint64_t)le16(super + S_INODE_SIZE);
	return ino && off + 128 <= im->size ? im->at + off : NULL;
}

/* Block @n of the file: NULL for a hole. */
static const unsigned char *map(const struct image *im, const unsigned char *ino, uint64_t n)
{
	const uint64_t ptrs = im->bs / 4;
	const unsigned char *b;
	uint64_t span = 1;
	int level = 0;

	if (n < DIRECT)
		return block(im, le32(ino + I_BLOCK + 4 * n));
	n -= DIRECT;
	for (level = 1, span = ptrs; level < LEVELS && n >= span; level++, span *= ptrs)
		n -= span;
	b = block(im, le32(ino + I_BLOCK + 4 * (DIRECT + level - 1)));
	while (level-- && b) {
		span /= ptrs;
		b = block(im, le32(b + 4 * (n / span % ptrs)));
		n %= span;
	}
	return b;
}

static void read_data(struct tree *t, const struct image *im, const unsigned char *ino,
		      struct node *to)
{
	uint32_t off;

	if (to->size > 4 * FILE_MAX) {
		t->wrong = "a file is larger than any was";
		to->size = 0;
	}
	to->data = calloc(1, to->size + 1);
	if (S_ISLNK(to->mode) && to->size < 60) {
		memcpy(to->data, ino + I_BLOCK, to->size);
		return;
	}
	for (off = 0; off < to->size; off += im->bs) {
		const unsigned char *b = map(im, ino, off / im->bs);

		if (b)
			memcpy(to->data + off, b, to->size - off < im->bs ? to->size - off : im->bs);
	}
}

/* In the inode, behind its further fields, or in a block. */
static int read_attr(const struct image *im, const unsigned char *ino)
{
	uint32_t size = le16(im->at + SUPER + S_INODE_SIZE), acl = le32(ino + I_FILE_ACL);
	const unsigned char *b = block(im, acl), *in;
	int attr = 0;

	if (size > I_EXTRA) {
		in = ino + I_EXTRA + le16(ino + I_EXTRA);
		if (in + 4 <= ino + size && le32(in) == ATTR_MAGIC)
			attr = attr_of_entries(in + 4, ino + size, in + 4);
	}
	if (!attr && acl)
		attr = b && le32(b) == ATTR_MAGIC ? attr_of_entries(b + ATTR_HEADER, b + im->bs, b) : -1;
	return attr;
}

static void read_dir(struct tree *t, const struct image *im, int at);

static struct node *add(struct tree *t, int parent, const char *name, size_t len)
{
	struct node *n = &t->nodes[t->nr];

	if (t->nr == NODES || len >= sizeof(n->name)) {
		t->wrong = "more names than were ever made";
		return NULL;
	}
	*n = (struct node){ .parent = parent };
	memcpy(n->name, name, len);
	t->nr++;
	return n;
}

static void read_entry(struct tree *t, const struct image *im, int parent,
		       const unsigned char *e)
{
	const char *name = (const char *)e + D_NAME;
	const unsigned char *ino = inode(im, le32(e + D_INODE));
	size_t len = e[D_NAME_LEN];
	struct node *n;

	if ((len == 1 && name[0] == '.') || (len == 2 && !memcmp(name, "..", 2)))
		return;
	n = add(t, parent, name, len);
	if (!n)
		return;
	n->ino = le32(e + D_INODE);
	if (!ino) {
		t->wrong = "an entry has no such inode";
		return;
	}
	n->mode = le16(ino + I_MODE);
	n->size = le32(ino + I_SIZE);
	n->attr = read_attr(im, ino);
	if (S_ISDIR(n->mode) && strcmp(n->name, "lost+found"))
		read_dir(t, im, n - t->nodes);
	else if (!S_ISDIR(n->mode))
		read_data(t, im, ino, n);
}

static void read_dir(struct tree *t, const struct image *im, int at)
{
	const unsigned char *ino = inode(im, t->nodes[at].ino), *b, *e;
	uint32_t off, size = le32(ino + I_SIZE), len;
	int i;

	for (i = t->nodes[at].parent; i >= 0; i = t->nodes[i].parent) {
		if (t->nodes[i].ino == t->nodes[at].ino) {
			t->wrong = "a directory is in itself";
			return;
		}
	}
	for (off = 0; off < size; off += im->bs) {
		b = map(im, ino, off / im->bs);
		for (e = b; e && e < b + im->bs; e += len) {
			len = le16(e + D_REC_LEN);
			if (len < 12 || e + len > b + im->bs) {
				t->wrong = "a directory is not sound";
				return;
			}
			if (le32(e + D_INODE))
				read_entry(t, im, at, e);
		}
	}
}

void tree_of_image(struct tree *t, const unsigned char *bytes, size_t size)
{
	struct image im = { .at = bytes, .size = size };

	if (le16(bytes + SUPER + S_MAGIC) != MAGIC || !le32(bytes + SUPER + S_INODES_PER_GROUP)) {
		*t = (struct tree){ .wrong = "it has no superblock" };
		return;
	}
	im.bs = 1024U << le32(bytes + SUPER + S_LOG_BLOCK_SIZE);
	*t = (struct tree){ .nr = 1 };
	t->nodes[0] = (struct node){ .parent = -1, .ino = ROOT_INO };
	read_dir(t, &im, 0);
}

void tree_free(struct tree *t)
{
	int i;

	for (i = 0; i < t->nr; i++)
		free(t->nodes[i].data);
	t->nr = 0;
}

static const struct node *same_node(const struct tree *t, int parent, const char *name)
{
	int i;

	for (i = 1; i < t->nr; i++)
		if (t->nodes[i].parent == parent && !strcmp(t->nodes[i].name, name))
			return &t->nodes[i];
	return NULL;
}

/* Is all of @a below @at_a in @b below @at_b? */
static const char *lacks(const struct tree *a, int at_a, const struct tree *b, int at_b)
{
	static char text[128];
	int i;

	for (i = 1; i < a->nr; i++) {
		const struct node *n = &a->nodes[i], *o;
		const char *why = NULL;

		if (n->parent != at_a)
			continue;
		o = same_node(b, at_b, n->name);
		if (!o)
			why = "is only there once";
		else if (n->mode != o->mode || n->ino != o->ino)
			why = "is not the same inode";
		else if (n->attr != o->attr)
			why = "has not the same attribute";
		else if (n->data && (n->size != o->size || memcmp(n->data, o->data, n->size)))
			why = "has not the same data";
		if (why) {
			snprintf(text, sizeof(text), "'%s' %s", n->name, why);
			return text;
		}
		why = lacks(a, i, b, o - b->nodes);
		if (why)
			return why;
	}
	return NULL;
}

const char *tree_differs(const struct tree *a, const struct tree *b)
{
	const char *why = a->wrong ? a->wrong : b->wrong;

	if (!why)
		why = lacks(a, 0, b, 0);
	return why ? why : lacks(b, 0, a, 0);
}
