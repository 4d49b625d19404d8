// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is aligned to what the device takes, and no more: to 2 or 4 bytes, in
 * odd pieces, across pages.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "disk.h"
#include "harness.h"
#include "pins.h"

FIXTURE(dio_memory) {
	struct vol v;
	struct disk disk;
	long pins;
};

FIXTURE_VARIANT(dio_memory) {
	enum disk_kind kind;
	unsigned int sector;
	unsigned int align;
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_memory, null_blk_bs1k) {
	.kind = NULL_BLK, .sector = 512, .align = 2, .conf = VOL_1K,
};

FIXTURE_VARIANT_ADD(dio_memory, null_blk_bs4k) {
	.kind = NULL_BLK, .sector = 512, .align = 2, .conf = VOL_4K,
};

FIXTURE_VARIANT_ADD(dio_memory, pages_bs2k) {
	.kind = NULL_BLK_PAGES, .sector = 512, .align = 2, .conf = VOL_2K,
};

FIXTURE_VARIANT_ADD(dio_memory, scsi_s512_bs2k) {
	.kind = SCSI_DEBUG, .sector = 512, .align = 4, .conf = VOL_2K,
};

FIXTURE_VARIANT_ADD(dio_memory, scsi_s4096_bs4k) {
	.kind = SCSI_DEBUG, .sector = 4096, .align = 4, .conf = VOL_4K,
};

FIXTURE_SETUP(dio_memory)
{
	int err = disk_up(&self->disk, variant->kind, variant->sector, 16);

	if (err == -ENOENT)
		SKIP(return, "no such disks here");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, disk_vol_up(&self->disk, &self->v, &variant->conf));
	self->pins = -1;
}

FIXTURE_TEARDOWN(dio_memory)
{
	/* a failed test leaves files open; io_uring drops its references a moment later */
	close_range(3, ~0U, 0);
	EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
	if (self->pins >= 0)
		EXPECT_TRUE(pins_return_to(self->pins));
	EXPECT_EQ(0, disk_down(&self->disk));
}

/* The ring keeps its memory pinned, and what requests had pinned is to be given back. */
static int ways(long *pins, void *mem, size_t len)
{
	int nr = way_setup(mem, len);

	*pins = pins_held();
	return *pins < 0 ? *pins : nr;
}

/* What statx(2) says is what the queue takes, and it is less than a sector. */
TEST_F(dio_memory, told)
{
	unsigned int mem = 0, offset = 0;
	int fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, dio_align(fd, &mem, &offset));
	EXPECT_EQ(variant->align, mem);
	EXPECT_EQ(disk_queue(&self->disk, "dma_alignment") + 1, mem);
	EXPECT_EQ(variant->sector, offset);
	if (env_is_retryfs())
		EXPECT_EQ(variant->sector, dio_read_align(fd));
}

/*
 * One piece, at all kinds of places in a page, of one sector to many pages. With the
 * debug kernel the way, the place in the page and the length have all combinations, and
 * the place in the file goes round.
 */
TEST_F(dio_memory, one_piece)
{
	const size_t s = variant->sector, a = variant->align, bs = self->v.bs;
	const size_t at[] = { a, 3 * a, 512 - a, 512 + a, 2048 + 5 * a, 4096 - a, 4096 - 511 * a };
	const size_t lens[] = { s, 3 * s, 8 * bs + s, 80 * KIB };
	/* of a file with data, a hole of 80 KiB, and EOF in a sector */
	const size_t data = 100 * KIB, size = 280 * KIB + 301, room = 512 * KIB;
	const size_t after = data + 80 * KIB, all = 320 * KIB;
	const off_t place[] = { bs + s, data + 4 * KIB, size - 301 };
	const int places = ARRAY_SIZE(place), step = env_on_debug() ? places : 1;
	char *mem = buf_alloc(room), *want = buf_alloc(room), *back = buf_alloc(room);
	char *first = buf_alloc(room);
	size_t i, n, end;
	enum way how;
	int fd, nr;

	nr = ways(&self->pins, mem, room);
	ASSERT_LT(0, nr);
	pattern_fill(first, data, 0, 1);
	pattern_fill(first + after, size - after, after, 1);
	for (i = 0; i < nr * ARRAY_SIZE(at) * ARRAY_SIZE(lens) * places; i += step) {
		const size_t combination = i / places;
		char *p = mem + at[combination / nr % ARRAY_SIZE(at)];
		off_t pos = place[(i + i / step) % places];

		how = combination % nr;
		n = lens[combination / nr / ARRAY_SIZE(at)];
		memcpy(want, first, all);
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(data, pwrite(fd, first, data, 0));
		ASSERT_EQ(all - after, pwrite(fd, first + after, all - after, after));
		ASSERT_EQ(0, ftruncate(fd, size));
		/* over the hole, and over EOF */
		memset(mem, UNTOUCHED, at[5] + all + 4096);
		ASSERT_EQ(size, do_read(how, fd, p, all, 0));
		EXPECT_SAME(p, want, size, 0);
		EXPECT_TRUE(untouched(mem, p - mem));
		EXPECT_TRUE(untouched(p + all, 4096));

		pattern_fill(want + pos, n, pos, 2);
		memcpy(p, want + pos, n);
		ASSERT_EQ(n, do_write(how, fd, p, n, pos));
		end = size > pos + n ? size : pos + n;
		ASSERT_EQ(end, file_size(fd));
		ASSERT_EQ(end, pread(fd, back, room, 0));
		EXPECT_SAME(back, want, end, 0);
		memset(mem, UNTOUCHED, p - mem + n + 4096);
		ASSERT_EQ(n, do_read(how, fd, p, n, pos));
		EXPECT_SAME(p, want + pos, n, pos);
		EXPECT_TRUE(untouched(mem, p - mem));
		EXPECT_TRUE(untouched(p + n, 4096));
		close(fd);
		ASSERT_TRUE(__test_passed(_metadata))
			TH_LOG("how %d, memory %zu, %zu bytes at %zd", how, p - mem, n, pos);
	}
}

/* One byte less: of an address, and of the length of a piece. Nothing is changed. */
TEST_F(dio_memory, less)
{
	const size_t s = variant->sector, a = variant->align, len = 64 * KIB;
	char *mem = buf_alloc(len), *back = buf_alloc(len);
	enum way how;
	size_t i;
	int fd, nr;

	nr = ways(&self->pins, mem, len);
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	memset(mem, UNTOUCHED, len);
	for (how = SYNC; how < nr; how++) {
		for (i = 1; i < a; i++) {
			const struct iovec piece[] = { { mem, s - i }, { mem + s, s + i } };
			const struct iovec last[] = { { mem, s }, { mem + 2 * s + i, s } };

			EXPECT_EQ(-EINVAL, do_write(how, fd, mem + i, s, s));
			EXPECT_EQ(-EINVAL, do_read(how, fd, mem + i, s, s));
			EXPECT_EQ(-EINVAL, do_write(how, fd, mem + 2 * a - i, 3 * s, len));
			EXPECT_EQ(-EINVAL, way_rw(how, true, fd, piece, 2, 0, 0));
			EXPECT_EQ(-EINVAL, way_rw(how, false, fd, piece, 2, 0, 0));
			EXPECT_EQ(-EINVAL, way_rw(how, true, fd, last, 2, 0, 0));
			EXPECT_EQ(-EINVAL, way_rw(how, false, fd, last, 2, 0, 0));
		}
		/* the memory is good, the length is not */
		EXPECT_EQ(-EINVAL, do_write(how, fd, mem, s - a, 0));
		EXPECT_EQ(-EINVAL, do_read(how, fd, mem, s - a, 0));
		EXPECT_EQ(-EINVAL, do_write(how, fd, mem, s, a));
		EXPECT_EQ(-EINVAL, do_read(how, fd, mem, s, a));
	}
	EXPECT_TRUE(untouched(mem, len));
	EXPECT_EQ(len, file_size(fd));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 1);
}

/*
 * Pieces of odd lengths with gaps between, many of which lie across pages. No piece
 * is a sector, so that neither bios nor what the block layer cuts them into, as the
 * device takes 128 pieces at most, end where a piece does.
 */
static int cut(struct iovec *iov, char *mem, unsigned int align, size_t first, size_t len)
{
	size_t n;
	int nr;

	for (nr = 0; len; len -= n, nr++) {
		n = align * (first + nr * 37 % 151);
		if (n > len)
			n = len;
		mem += align * (1 + nr % 3);
		iov[nr] = (struct iovec){ mem, n };
		mem += n;
	}
	return nr;
}

/* The same for a device that goes from page to page: the first piece ends with one. */
static int cut_pages(struct iovec *iov, char *mem, unsigned int align, size_t len)
{
	size_t n;
	int nr;

	mem += 5 * align;
	for (nr = 0; len; len -= n, nr++) {
		n = nr ? 4096 * (1 + nr % 3) : 4096 - 5 * align;
		if (n > len)
			n = len;
		iov[nr] = (struct iovec){ mem, n };
		mem += n + 4096;
	}
	return nr;
}

TEST_F(dio_memory, pieces)
{
	enum { TOTAL = 256 * 1024, MEM = 512 * 1024 };
	char *mem = buf_alloc(MEM), *data = buf_alloc(TOTAL), *back = buf_alloc(TOTAL);
	static struct iovec iov[1024];
	/* with the first two, pieces are cut off a full bio as a whole */
	const size_t firsts[] = { 61, 71, 333, 1200 };
	unsigned int i, round;
	enum way how;
	int fd, nr, n;
	size_t pos;

	nr = ways(&self->pins, mem, MEM);
	ASSERT_LT(0, nr);
	for (i = 0; i < ARRAY_SIZE(firsts) * nr; i++) {
		how = i % nr;
		if (variant->kind == NULL_BLK_PAGES)
			n = cut_pages(iov, mem, variant->align, TOTAL);
		else
			n = cut(iov, mem, variant->align, firsts[i / nr], TOTAL);
		ASSERT_LT(30, n);
		/* as many as one call takes */
		ASSERT_GE(ARRAY_SIZE(iov), n);
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		/* an extend, an overwrite, and a hole */
		for (round = 0; round < 3; round++) {
			if (round == 2) {
				ASSERT_EQ(0, ftruncate(fd, 0));
				ASSERT_EQ(0, ftruncate(fd, TOTAL));
			}
			pattern_fill(data, TOTAL, 0, 3 * i + round);
			for (pos = 0, n = 0; pos < TOTAL; pos += iov[n++].iov_len)
				memcpy(iov[n].iov_base, data + pos, iov[n].iov_len);
			ASSERT_EQ(TOTAL, way_rw(how, true, fd, iov, n, 0, 0));
			ASSERT_EQ(TOTAL, pread(fd, back, TOTAL, 0));
			ASSERT_PATTERN(back, TOTAL, 0, 3 * i + round);
		}
		memset(mem, UNTOUCHED, MEM);
		ASSERT_EQ(TOTAL, way_rw(how, false, fd, iov, n, 0, 0));
		for (pos = 0, n = 0; pos < TOTAL; pos += iov[n++].iov_len) {
			const char *piece = iov[n].iov_base;

			EXPECT_SAME(piece, data + pos, iov[n].iov_len, pos);
			ASSERT_EQ((char)UNTOUCHED, piece[-1]);
			ASSERT_EQ((char)UNTOUCHED, piece[iov[n].iov_len]);
		}
		close(fd);
	}
}

/*
 * One sector in the smallest pieces that there are. If these are more than the device
 * takes at once, or a bio has room for, it cannot be cut: EINVAL. To a device that
 * goes from page to page there may be one piece.
 */
TEST_F(dio_memory, smallest_pieces)
{
	enum { MOST = 1024, BIO_VECS = 256 };
	const size_t s = variant->sector, a = variant->align;
	char *mem = buf_alloc(64 * KIB), *back = buf_alloc(s);
	const long segments = disk_queue(&self->disk, "max_segments");
	const size_t most = segments < BIO_VECS ? segments : BIO_VECS;
	static struct iovec iov[MOST];
	enum way how;
	size_t i, nr, across;
	ssize_t want;
	int fd, kinds;

	ASSERT_LT(0, segments);
	kinds = ways(&self->pins, mem, 64 * KIB);
	ASSERT_LT(0, kinds);
	ASSERT_EQ(0, vol_prefill("f", 0, 4 * s, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (nr = s / a; nr; nr /= 2) {
		for (i = 0, across = 0; i < nr && i < MOST; i++) {
			iov[i] = (struct iovec){ mem + a + i * (s / nr + a), s / nr };
			across += ((uintptr_t)iov[i].iov_base & 4095) + s / nr > 4096;
		}
		/* one that lies across pages may or may not count as two */
		if (nr > MOST || (nr <= most && nr + across > most))
			continue;
		want = nr <= (variant->kind == NULL_BLK_PAGES ? 1 : most) ? s : -EINVAL;
		for (how = SYNC; how < kinds; how++) {
			pattern_fill(back, s, s, 2 + how);
			for (i = 0; i < nr; i++)
				memcpy(iov[i].iov_base, back + i * (s / nr), s / nr);
			ASSERT_EQ(want, way_rw(how, true, fd, iov, nr, s, 0))
				TH_LOG("%zu pieces, how %d", nr, how);
			ASSERT_EQ(s, pread(fd, back, s, s));
			if (want == s)
				EXPECT_PATTERN(back, s, s, 2 + how);
			memset(mem, UNTOUCHED, 64 * KIB);
			ASSERT_EQ(want, way_rw(how, false, fd, iov, nr, s, 0));
			for (i = 0; want == s && i < nr; i++)
				EXPECT_SAME(iov[i].iov_base, back + i * (s / nr), s / nr, s);
			if (want != s)
				EXPECT_TRUE(untouched(mem, 64 * KIB));
		}
	}
	ASSERT_EQ(s, pread(fd, back, s, 0));
	EXPECT_PATTERN(back, s, 0, 1);
	ASSERT_EQ(2 * s, pread(fd, mem, 2 * s, 2 * s));
	EXPECT_PATTERN(mem, 2 * s, 2 * s, 1);
}

/*
 * What a device takes that goes from page to page: gaps between whole sectors, where
 * it can be cut, and no others. A request with these fails as a whole, or where it
 * came to; what counts is there, and nothing else. The others take all of them.
 */
TEST_F(dio_memory, gaps)
{
	enum { TOTAL = 128 * 1024, MEM = 512 * 1024 };
	char *mem = buf_alloc(MEM), *back = buf_alloc(TOTAL), *want = buf_alloc(TOTAL);
	static struct iovec iov[1024];
	const size_t s = variant->sector;
	size_t pos, size;
	enum way how;
	int fd, nr, n, i, odd;
	ssize_t ret;

	nr = ways(&self->pins, mem, MEM);
	ASSERT_LT(0, nr);
	for (i = 0; i < 4 * nr; i++) {
		how = i % nr;
		odd = i / nr % 2;
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		size = i / nr / 2 ? TOTAL : 0;
		pattern_fill(want, TOTAL, 0, 1);
		ASSERT_EQ(size, pwrite(fd, want, size, 0));
		if (odd)
			n = cut(iov, mem, variant->align, 333, TOTAL);
		else if (s == 512)
			n = way_cut(iov, mem, variant->align, TOTAL);
		else
			n = cut(iov, mem, s, 1, TOTAL);
		ASSERT_GT(ARRAY_SIZE(iov), n);
		pattern_fill(back, TOTAL, 0, 2);
		for (pos = 0, n = 0; pos < TOTAL; pos += iov[n++].iov_len)
			memcpy(iov[n].iov_base, back + pos, iov[n].iov_len);
		ret = way_rw(how, true, fd, iov, n, 0, 0);
		if (odd && variant->kind == NULL_BLK_PAGES) {
			ASSERT_TRUE(ret == -EINVAL || (ret >= 0 && ret < TOTAL && !(ret % s)))
				TH_LOG("how %d: %zd", how, ret);
		} else {
			ASSERT_EQ(TOTAL, ret);
		}
		ret = ret < 0 ? 0 : ret;
		ASSERT_EQ(size > ret ? size : ret, file_size(fd));
		ASSERT_EQ(size > ret ? size : ret, pread(fd, back, TOTAL, 0));
		EXPECT_PATTERN(back, ret, 0, 2);
		/* of what does not count, some may have come to the device all the same */
		for (pos = ret; pos < size; pos += 512)
			ASSERT_TRUE(pattern_stamped(back + pos, pos, 1) ||
				    pattern_stamped(back + pos, pos, 2));
		if (!size)
			ASSERT_EQ(0, ftruncate(fd, TOTAL));
		ret = way_rw(how, false, fd, iov, n, 0, 0);
		/* a hole needs no device */
		if (odd && variant->kind == NULL_BLK_PAGES && size)
			ASSERT_TRUE(ret == -EINVAL || (ret >= 0 && ret < TOTAL))
				TH_LOG("how %d: %zd", how, ret);
		if (!odd || variant->kind != NULL_BLK_PAGES)
			ASSERT_EQ(TOTAL, ret);
		close(fd);
	}
}

/* Memory that ends in the middle of a sector, with and without copies of it. */
TEST_F(dio_memory, ends_in_a_sector)
{
	const size_t page = 4096, end = 2 * page, s = variant->sector, len = 4 * page;
	char *back = buf_alloc(len), *map;
	int fd, stable;

	map = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + end, page));
	self->pins = pins_held();
	for (stable = 0; stable < 2; stable++) {
		ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
		fd = vol_open("f", O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, stable_writes(self->v.dev, stable));
		pattern_fill(map + end - s - 256, s, 0, 2 + stable);
		EXPECT_EQ(s, pwrite(fd, map + end - s - 256, 2 * page, 0));
		EXPECT_EQ(-1, pwrite(fd, map + end - 256, page, page));
		EXPECT_EQ(EFAULT, errno);
		ASSERT_EQ(len, pread(fd, back, len, 0));
		EXPECT_PATTERN(back, s, 0, 2 + stable);
		EXPECT_PATTERN(back + s, len - s, s, 1);
		close(fd);
	}
}

TEST_HARNESS_MAIN
