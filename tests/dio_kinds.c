// SPDX-License-Identifier: GPL-2.0
/*
 * Kinds of direct requests: 64 MiB in one call, flags together with memory in
 * many pieces, and data, holes and EOF in every order within one
 * request.
 */
#include <fcntl.h>

#include "ext2.h"
#include "harness.h"

VOL_FIXTURE(dio_kinds);
FIXTURE_VARIANT_ADD(dio_kinds, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_kinds, bs2k) { .conf = VOL_2K };
FIXTURE_VARIANT_ADD(dio_kinds, bs4k) { .conf = VOL_4K };

/* With these blocks 64 MiB reach to where the triple indirect ones begin. */
VOL_FIXTURE(dio_kinds_large);
FIXTURE_VARIANT_ADD(dio_kinds_large, bs1k) { .conf = { .bs = 1024, .isize = 128, .mib = 256 } };

/*
 * One request as large as the file, over all borders of the block map; smaller
 * ones inside of it; then data and holes by turns, and an end in a sector. On the
 * debug kernel one way has the large ones, and the others have smaller ones.
 */
TEST_F_TIMEOUT(dio_kinds_large, all_sizes, 900)
{
	const size_t bs = self->v.bs, len = 64 * MIB + 512 * KIB, room = len + MIB;
	const size_t border[] = { 12, 12 + bs / 4, 12 + bs / 4 + bs / 4 * bs / 4 };
	const size_t todo[] = { 33 * MIB + 512, 5 * MIB + 1536, MIB + 512, MIB, MIB - 512, 512 };
	const size_t less = env_on_debug() ? 6 * MIB : len;
	char *want = buf_alloc(len + room), *back = want + len;
	int fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT), bfd, nr;
	size_t i, pos, n, size;
	enum way how;

	ASSERT_LE(0, fd);
	nr = way_setup(want, len + room);
	ASSERT_LT(0, nr);
	for (how = SYNC; how < nr; how++) {
		size = how == SYNC ? len : less;
		ASSERT_EQ(0, ftruncate(fd, 0));
		pattern_fill(want, size, 0, how);
		ASSERT_EQ(size, do_write(how, fd, want, size, 0));
		ASSERT_EQ(size, file_size(fd));
		ASSERT_EQ(size, do_write(how, fd, want, size, 0));
		for (i = 0; i < ARRAY_SIZE(todo); i++) {
			pos = (3 * i + 1) * 512;
			if (pos + todo[i] > size)
				continue;
			pattern_fill(want + pos, todo[i], pos, 2 + i);
			ASSERT_EQ(todo[i], do_write(how, fd, want + pos, todo[i], pos));
		}
		ASSERT_EQ(size, do_read(how, fd, back, size + MIB, 0));
		EXPECT_SAME(back, want, size, 0);
	}

	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(0, ftruncate(fd, len - 300));
	memset(want, 0, len);
	bfd = vol_open("f", O_RDWR);
	ASSERT_LE(0, bfd);
	for (pos = 0, i = 0; pos + 8 * bs < less; pos += n + (1 + i % 11) * bs, i++) {
		n = (1 + i % 7) * bs;
		pattern_fill(want + pos, n, pos, 1);
		ASSERT_EQ(n, pwrite(bfd, want + pos, n, pos));
	}
	close(bfd);
	for (how = SYNC; how < nr; how++) {
		n = how == SYNC || less == len ? len - 300 : less;
		ASSERT_EQ(n, do_read(how, fd, back, n == less ? n : room, 0));
		EXPECT_SAME(back, want, n, 0);
	}
	/* where the levels meet: all of them, by two ways */
	for (i = 0; i < ARRAY_SIZE(border); i++) {
		pos = border[i] > 50 ? (border[i] - 50) * bs + 512 : 512;
		n = (border[i] + 50) * bs - pos;
		pattern_fill(want + pos, n, pos, 2 + i);
		ASSERT_EQ(n, do_write(i & 1 ? SYNC : ASYNC, fd, want + pos, n, pos));
	}
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(len - 300, do_read(SYNC, fd, back, room, 0));
	EXPECT_SAME(back, want, len - 300, 0);
}

/* May a request with these flags return @n? */
static bool may_return(enum way how, int rwf, ssize_t n, ssize_t len)
{
	/* only a ring that polls takes it; others drop it, or the filesystem ignores it */
	if (rwf & RWF_HIPRI && how >= URING)
		return n == -EINVAL;
	/* all or nothing; ext4 does what it can at once */
	if (rwf & RWF_NOWAIT && n != len)
		return n == -EAGAIN || (!env_is_retryfs() && n >= 0 && n < len && n % 512 == 0);
	return n == len;
}

TEST_F(dio_kinds, flags)
{
	static const int flags[] = { RWF_SYNC, RWF_APPEND | RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT };
	/* 8 blocks of data and 8 of a hole: an overwrite, over the border, an extend */
	const size_t bs = self->v.bs, len = 5 * bs, old = 16 * bs;
	const off_t place[] = { 2 * bs + 512, 6 * bs + 512, 16 * bs };
	enum { MEM = 128 * 1024, PLACES = ARRAY_SIZE(place) };
	char *mem = buf_alloc(MEM), *want = buf_alloc(MEM), *back = buf_alloc(MEM);
	unsigned int align = 0, offset = 0;
	struct iovec iov[32];
	int i, nr, dir;

	nr = way_setup(mem, MEM);
	ASSERT_LT(0, nr);
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	for (i = 0; i < nr * PLACES * ARRAY_SIZE(flags); i++) {
		const int rwf = flags[i / PLACES / nr];
		const enum way how = i % nr;
		off_t pos = place[i / nr % PLACES];
		int fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT), k, n;
		size_t size = old, done;
		const char *wrong;
		ssize_t ret;

		ASSERT_LE(0, fd);
		if (!i)
			ASSERT_EQ(0, fsync(dir));
		ASSERT_EQ(0, dio_align(fd, &align, &offset));
		memset(want, 0, MEM);
		pattern_fill(want, 8 * bs, 0, 1);
		ASSERT_EQ(8 * bs, pwrite(fd, want, 8 * bs, 0));
		ASSERT_EQ(0, ftruncate(fd, size));

		n = way_cut(iov, mem, align, len);
		ASSERT_LE(3, n);
		for (k = 0, done = 0; k < n; done += iov[k++].iov_len)
			pattern_fill(iov[k].iov_base, iov[k].iov_len,
				     (rwf & RWF_APPEND ? old : pos) + done, 2);
		ret = way_rw(how, true, fd, iov, n, pos, rwf);
		ASSERT_TRUE(may_return(how, rwf, ret, len))
			TH_LOG("how %d, flags %#x, at %zd: %zd", how, rwf, pos, ret);
		if (rwf & RWF_APPEND)
			pos = old;
		if (ret > 0) {
			pattern_fill(want + pos, ret, pos, 2);
			size = size > pos + ret ? size : pos + ret;
		}
		if (rwf & (RWF_DSYNC | RWF_SYNC)) {
			wrong = ext2_differs(&self->v, "f", want, size, back);
			ASSERT_EQ(NULL, wrong)
				TH_LOG("how %d, flags %#x, at %zd: %s", how, rwf, pos, wrong);
		}
		ASSERT_EQ(size, file_size(fd));
		ASSERT_EQ(size, pread(fd, back, MEM, 0));
		EXPECT_SAME(back, want, size, 0);

		/* and back into the same pieces; to that, APPEND and the SYNCs say nothing */
		memset(mem, UNTOUCHED, MEM);
		ret = way_rw(how, false, fd, iov, n, pos, rwf);
		ASSERT_TRUE(may_return(how, rwf, ret, len > size - pos ? size - pos : len))
			TH_LOG("how %d, flags %#x, at %zd: %zd", how, rwf, pos, ret);
		for (k = 0; k < n && ret > 0; pos += iov[k].iov_len, ret -= iov[k++].iov_len)
			EXPECT_SAME(iov[k].iov_base, want + pos,
				    ret < iov[k].iov_len ? ret : iov[k].iov_len, pos);
		close(fd);
	}
	close(dir);
}

/* Files of so many blocks, of which each is data or a hole. */
enum { BLOCKS = 6, ORDERS = 1 << BLOCKS, DATA = ORDERS - 1 };

/* What is asked of them, in bytes from the begin or from the end of the last block. */
static const struct shape {
	int start;	/* of the request */
	int size;	/* of the file */
	int end;	/* of the request: this, and so many blocks */
	int beyond;
} shapes[] = {
	{ 0, 0, 0, 2 },			/* all of it, and beyond */
	{ 0, 0, 0, 0 },			/* to the end */
	{ 512, -300, -512, 2 },		/* over an end in a sector */
	{ 512, -300, -512, 0 },		/* up to before that */
};

/* The file before the request, and its size. */
static size_t before(char *want, const struct shape *s, unsigned int order, size_t bs)
{
	const size_t size = BLOCKS * bs + s->size;
	int i;

	memset(want, 0, 16 * bs);
	for (i = 0; i < BLOCKS; i++)
		if (order >> i & 1)
			pattern_fill(want + i * bs, bs, i * bs, 1);
	memset(want + size, 0, 16 * bs - size);
	return size;
}

/* And after it. */
static size_t after(char *want, const struct shape *s, unsigned int order, size_t bs)
{
	const size_t end = (BLOCKS + s->beyond) * bs + s->end;
	const size_t size = before(want, s, order, bs);

	pattern_fill(want + s->start, end - s->start, s->start, 2);
	return size > end ? size : end;
}

static const char *order_name(unsigned int order)
{
	static char name[8];

	snprintf(name, sizeof(name), "o%u", order);
	return name;
}

static void one_order(struct __test_metadata *_metadata, struct vol *v, enum way how,
		      const struct shape *s, unsigned int order)
{
	const size_t bs = v->bs, end = (BLOCKS + s->beyond) * bs + s->end;
	const size_t room = 16 * bs;
	struct counters c0 = {}, c1 = {};
	static char *buf, *want;
	int fd, bfd, i;
	size_t size;

	if (!buf) {
		buf = buf_alloc(room);
		want = buf_alloc(room);
	}
	fd = vol_open(order_name(order), O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
	bfd = vol_open(order_name(order), O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, bfd);
	size = before(want, s, order, bs);
	for (i = 0; i < BLOCKS; i++) {
		pattern_fill(buf, bs, i * bs, 1);
		if (order >> i & 1)
			ASSERT_EQ(bs, pwrite(bfd, buf, bs, i * bs));
	}
	ASSERT_EQ(0, ftruncate(bfd, size));
	/* half of them are on the device already */
	if (__builtin_parity(order))
		ASSERT_EQ(0, fsync(bfd));

	memset(buf, UNTOUCHED, room);
	ASSERT_EQ(size - s->start, do_read(how, fd, buf, room - s->start, s->start));
	EXPECT_SAME(buf, want + s->start, size - s->start, s->start);
	if (env_is_retryfs()) {
		/* up to the end of a sector */
		i = ((size + 511) & -512) - s->start;
		ASSERT_TRUE(untouched(buf + i, room - i));
	}

	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(v, &c0));
	pattern_fill(buf, end - s->start, s->start, 2);
	ASSERT_EQ(end - s->start, do_write(how, fd, buf, end - s->start, s->start));
	if (env_is_retryfs()) {
		/* with async_alloc there is nothing to wait for */
		const bool waits = !env_async_alloc(), async = how == ASYNC;
		const bool hole = order != DATA && waits, extends = end > size && waits;

		ASSERT_EQ(0, vol_counters(v, &c1));
		ASSERT_EQ(c0.requests_write + 1, c1.requests_write);
		ASSERT_EQ(c0.buffered_fallback + hole, c1.buffered_fallback);
		ASSERT_EQ(c0.sync_hole + (async && hole), c1.sync_hole);
		ASSERT_EQ(c0.sync_extend + (async && extends), c1.sync_extend);
		ASSERT_EQ(c0.async + (async && !hole && !extends), c1.async);
		ASSERT_EQ(c0.sync_error, c1.sync_error);
	}
	size = after(want, s, order, bs);
	ASSERT_EQ(size, file_size(fd));
	ASSERT_EQ(size, do_read(how, fd, buf, room, 0));
	EXPECT_SAME(buf, want, size, 0);
	ASSERT_EQ(size, pread(bfd, buf, room, 0));
	EXPECT_SAME(buf, want, size, 0);
	close(fd);
	close(bfd);
}

static void orders(struct __test_metadata *_metadata, struct vol *v, enum way how)
{
	char *want = buf_alloc(16 * v->bs), *buf = buf_alloc(16 * v->bs);
	/* up to DATA all the same */
	const unsigned int step = env_on_debug() ? 3 : 1;
	unsigned int i, order;

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		for (order = 0; order < ORDERS; order += step) {
			one_order(_metadata, v, how, &shapes[i], order);
			ASSERT_TRUE(__test_passed(_metadata))
				TH_LOG("shape %d, order %#x", i, order);
		}
		ASSERT_EQ(0, vol_remount(v));
		for (order = 0; order < ORDERS; order += step) {
			int fd = vol_open(order_name(order), O_RDONLY | (order & 1 ? O_DIRECT : 0));
			size_t size = after(want, &shapes[i], order, v->bs);

			ASSERT_LE(0, fd);
			ASSERT_EQ(size, read(fd, buf, 16 * v->bs));
			EXPECT_SAME(buf, want, size, 0);
			close(fd);
		}
	}
}

TEST_F(dio_kinds, orders_sync)
{
	orders(_metadata, &self->v, SYNC);
}

TEST_F(dio_kinds, orders_async)
{
	orders(_metadata, &self->v, ASYNC);
}

TEST_HARNESS_MAIN
