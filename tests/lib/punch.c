// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buf.h"
#include "pattern.h"
#include "punch.h"
#include "task.h"
#include "vol.h"

#define ARRAY_SIZE(a)	((int)(sizeof(a) / sizeof((a)[0])))

int punch(int fd, off_t off, off_t len)
{
	return fallocate(fd, PUNCH, off, len) ? -errno : 0;
}

long op_punch(void *arg)
{
	struct io_op *op = arg;

	return punch(op->fd, op->off, op->len);
}

/* How many blocks there are with those of pointers; @block is in order. */
static long with_pointers(unsigned int bs, const uint64_t *block, int nr)
{
	const uint64_t ptrs = bs / 4;
	uint64_t last[3] = { -1, -1, -1 };
	long sum = nr;
	int i, level;

	for (i = 0; i < nr; i++) {
		uint64_t n = block[i] - DIRECT_BLOCKS, first = 0, span = ptrs;
		int levels = 1;

		if (block[i] < DIRECT_BLOCKS)
			continue;
		for (; n >= first + span; levels++) {
			first += span;
			span *= ptrs;
		}
		/* a name for each block of pointers on the way: where it begins */
		for (level = 0; level < levels; level++) {
			uint64_t at = first + (n - first) / span * span;

			sum += last[level] != at;
			last[level] = at;
			span /= ptrs;
		}
	}
	return sum;
}

void sparse_init(struct sparse *m, unsigned int bs, size_t size)
{
	*m = (struct sparse){ .bs = bs, .size = size, .want = buf_alloc(size + bs) };
}

void sparse_write(struct sparse *m, off_t off, size_t len, uint64_t gen)
{
	off_t i;

	pattern_fill(m->want + off, len, off, gen);
	for (i = off / m->bs; i <= (off_t)(off + len - 1) / m->bs; i++)
		m->has[i] = true;
}

void sparse_punch(struct sparse *m, off_t off, off_t len)
{
	off_t end = off + len, i;

	if (off >= (off_t)m->size)
		return;
	if (end >= (off_t)m->size)
		end = (m->size + m->bs - 1) / m->bs * m->bs;
	memset(m->want + off, 0, end < (off_t)m->size ? end - off : m->size - off);
	for (i = (off + m->bs - 1) / m->bs; (i + 1) * m->bs <= end; i++)
		m->has[i] = false;
}

long sparse_blocks(const struct sparse *m)
{
	uint64_t block[BLOCKS_MAX];
	int nr = 0, i;

	for (i = 0; i < BLOCKS_MAX; i++)
		if (m->has[i])
			block[nr++] = i;
	return with_pointers(m->bs, block, nr);
}

const char *blocks_diff(const struct stat *st, unsigned int bs, long want)
{
	static char msg[64];

	if (st->st_blocks * 512 == want * (blkcnt_t)bs)
		return NULL;
	snprintf(msg, sizeof(msg), "%ld blocks, and not %ld", (long)st->st_blocks * 512 / bs,
		 want);
	return msg;
}

const char *sparse_diff(const struct sparse *m, int fd, int dfd, int how)
{
	const size_t len = (m->size + 4095) & ~4095UL;
	const char *diff;
	struct stat st;
	char *buf;

	if (fstat(fd, &st) || st.st_size != (off_t)m->size)
		return "another size";
	diff = blocks_diff(&st, m->bs, sparse_blocks(m));
	if (diff)
		return diff;
	if (how == 2) {
		buf = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
		if (buf == MAP_FAILED)
			return "no mapping";
		diff = same_diff(buf, m->want, m->size, 0);
		munmap(buf, len);
		return diff;
	}
	buf = buf_alloc(len);
	if (pread(how ? dfd : fd, buf, len, 0) != (ssize_t)m->size)
		diff = "a short read";
	else
		diff = same_diff(buf, m->want, m->size, 0);
	munmap(buf, len);
	return diff;
}

const char *sparse_diff_all(const struct sparse *m, int fd, int dfd, int turn)
{
	const char *diff = NULL;
	int i;

	for (i = 0; i < 3 && !diff; i++)
		diff = sparse_diff(m, fd, dfd, (i + turn) % 3);
	return diff;
}

void levels_init(struct levels *l, unsigned int bs)
{
	const uint64_t p = bs / 4, dind = DIRECT_BLOCKS + p, tind = dind + p * p;

	*l = (struct levels){ .piece = { DIRECT_BLOCKS - 2, dind - 2, dind + p - 2,
					 dind + 7 * p + 100, tind - 2, tind + p - 2 } };
}

void levels_punch(struct levels *l, uint64_t from, uint64_t to)
{
	int i, k;

	for (i = 0; i < ARRAY_SIZE(l->piece); i++)
		for (k = 0; k < LEVELS_PIECE; k++)
			if (l->piece[i] + k >= from && l->piece[i] + k < to)
				l->gone[i][k] = true;
}

long levels_blocks(const struct levels *l, unsigned int bs)
{
	uint64_t block[ARRAY_SIZE(l->piece) * LEVELS_PIECE];
	int nr = 0, i, k;

	for (i = 0; i < ARRAY_SIZE(l->piece); i++)
		for (k = 0; k < LEVELS_PIECE; k++)
			if (!l->gone[i][k])
				block[nr++] = l->piece[i] + k;
	return with_pointers(bs, block, nr);
}

int levels_write(unsigned int bs, const char *name, int flags)
{
	char *buf = buf_alloc(LEVELS_PIECE * bs);
	struct levels l;
	int fd = vol_open(name, O_CREAT | O_RDWR | flags);
	int i;

	levels_init(&l, bs);
	for (i = 0; i < ARRAY_SIZE(l.piece); i++) {
		pattern_fill(buf, LEVELS_PIECE * bs, l.piece[i] * bs, 1);
		if (pwrite(fd, buf, LEVELS_PIECE * bs, l.piece[i] * bs) != LEVELS_PIECE * bs)
			return -EIO;
	}
	return fsync(fd) ? -errno : fd;
}

const char *levels_diff(const struct levels *l, unsigned int bs, int fd)
{
	char *buf = buf_alloc(bs);
	const char *diff = NULL;
	struct stat st;
	int i, k;

	if (fstat(fd, &st) || st.st_size != (off_t)((l->piece[5] + LEVELS_PIECE) * bs))
		return "another size";
	diff = blocks_diff(&st, bs, levels_blocks(l, bs));
	for (i = 0; i < ARRAY_SIZE(l->piece) && !diff; i++)
		for (k = 0; k < LEVELS_PIECE && !diff; k++) {
			off_t pos = (l->piece[i] + k) * bs;

			if (pread(fd, buf, bs, pos) != bs)
				return "a short read";
			diff = l->gone[i][k] ? zero_diff(buf, bs, pos) :
					       pattern_diff(buf, bs, pos, 1);
		}
	munmap(buf, bs);
	return diff;
}
