// SPDX-License-Identifier: GPL-2.0
/*
 * Requests for which there is not enough space, or of which a part of the memory is
 * not there. What could be written counts, to the byte; no block stays beyond the
 * end, and the volume is clean afterwards.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "blocks.h"
#include "ext2.h"
#include "harness.h"

VOL_FIXTURE(dio_space);
FIXTURE_VARIANT_ADD(dio_space, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_space, bs4k) { .conf = SMALL_4K };

/* How large a file of @old bytes can become with @left more blocks. */
static off_t largest(unsigned int bs, off_t old, long left)
{
	long have = blocks_needed(bs, old) + left, n = 0;

	while (blocks_needed(bs, (n + 1) * (off_t)bs) <= have)
		n++;
	return n * (off_t)bs;
}

TEST_F(dio_space, no_space_in_the_middle)
{
	const off_t bs = self->v.bs, old = 5 * bs + 512, len = 64 * bs;
	char *mem = buf_alloc(3 * len), *buf = mem, *back = mem + len;
	int fd, nr = way_setup(mem, 3 * len);
	off_t size = old;
	enum way way;
	long left;
	ssize_t n;

	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	ASSERT_EQ(0, fill_up(&self->v, 25));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, old, 2);
	for (way = SYNC; way < nr; way++) {
		left = free_blocks();
		size = largest(bs, old, left);
		n = do_write(way, fd, buf, len, old);
		EXPECT_EQ(size - old, n) TH_LOG("way %d, %ld blocks left", way, left);
		EXPECT_SIZE_AND_BLOCKS(fd, size, blocks_needed(bs, size), bs);
		ASSERT_EQ(size, do_read(way, fd, back, 2 * len, 0));
		EXPECT_PATTERN(back, old, 0, 1);
		EXPECT_PATTERN(back + old, size - old, old, 2);
		/* and then there is no space at all */
		EXPECT_EQ(0, free_blocks());
		EXPECT_EQ(-ENOSPC, do_write(way, fd, buf, len, size));
		EXPECT_SIZE_AND_BLOCKS(fd, size, blocks_needed(bs, size), bs);
		ASSERT_EQ(0, ftruncate(fd, old));
		EXPECT_EQ(left, free_blocks());
	}
	ASSERT_EQ(0, unlink(vol_path("fill")));
	EXPECT_EQ(len, do_write(ASYNC, fd, buf, len, old));
	EXPECT_SIZE_AND_BLOCKS(fd, old + len, blocks_needed(bs, old + len), bs);
}

/* What little is left can be had, to the last block. */
TEST_F(dio_space, the_last_block)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(bs);
	int fd, i = 0, nr = way_setup(buf, bs);
	off_t size, end;

	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	ASSERT_EQ(0, fill_up(&self->v, 20));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	end = largest(bs, bs, free_blocks());
	for (size = bs; size < end; size += bs)
		ASSERT_EQ(bs, do_write(i++ % nr, fd, buf, bs, size));
	EXPECT_EQ(-ENOSPC, do_write(i++ % nr, fd, buf, bs, size));
	EXPECT_SIZE_AND_BLOCKS(fd, size, blocks_needed(bs, size), bs);
	/* one that would be for pointers alone is left over */
	EXPECT_GE(1, free_blocks());
}

TEST_F(dio_space, no_space_in_a_hole)
{
	const off_t bs = self->v.bs, len = 64 * bs;
	char *mem = buf_alloc(2 * len), *buf = mem, *back = mem + len;
	int fd, nr = way_setup(mem, 2 * len);
	enum way way;
	ssize_t n;

	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", len - bs, bs, 1));
	ASSERT_EQ(0, fill_up(&self->v, 20));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, 0, 2);
	for (way = SYNC; way < nr; way++) {
		off_t pos;

		n = do_write(way, fd, buf, len - bs, 0);
		/* it is the page cache that says how much, in pages */
		ASSERT_TRUE(n == -ENOSPC || (n > 0 && n < len - bs))
			TH_LOG("returned %zd", n);
		EXPECT_EQ(len, file_size(fd));
		ASSERT_EQ(len, do_read(way, fd, back, len, 0));
		if (n > 0)
			EXPECT_PATTERN(back, n, 0, 2);
		for (pos = n > 0 ? n : 0; pos < len - bs; pos += bs)
			EXPECT_FALSE(has_poison(back + pos, bs))
				TH_LOG("poison at %lld", (long long)pos);
		EXPECT_PATTERN(back + len - bs, bs, len - bs, 1);
	}
	ASSERT_EQ(0, unlink(vol_path("fill")));
	EXPECT_EQ(len - bs, do_write(ASYNC, fd, buf, len - bs, 0));
}

/*
 * Memory of @len bytes of which only the first @good, a multiple of 512, are there.
 * It does not begin with a page.
 */
static char *half_memory(size_t good, size_t len)
{
	char *mem = buf_alloc(good + len + 4096);
	char *end = mem + ((good + 4095) & ~4095UL);

	return mprotect(end, len, PROT_NONE) ? NULL : end - good;
}

/* The good part is written, also where it ends in a block; the size is after it. */
TEST_F(dio_space, bad_memory_in_an_extend)
{
	const off_t bs = self->v.bs, old = 8 * bs;
	const size_t good = 32 * KIB + 512, len = 64 * KIB;
	char *buf = half_memory(good, len), *back = buf_alloc(MIB);
	int fd, nr = way_setup(back, MIB);
	const off_t size = old + good;
	enum way way;

	ASSERT_NE(NULL, buf);
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	/* fixed memory cannot be bad */
	for (way = SYNC; way < nr && way != FIXED; way++) {
		pattern_fill(buf, good, old, 2 + way);
		EXPECT_EQ(good, do_write(way, fd, buf, len, old)) TH_LOG("way %d", way);
		EXPECT_SIZE_AND_BLOCKS(fd, size, blocks_needed(bs, size), bs);
		ASSERT_EQ(size, do_read(way, fd, back, MIB, 0));
		EXPECT_PATTERN(back, old, 0, 1);
		EXPECT_PATTERN(back + old, good, old, 2 + way);
		/* nothing of it is good */
		EXPECT_EQ(-EFAULT, do_write(way, fd, buf + good, len - good, size));
		EXPECT_EQ(-EFAULT, do_read(way, fd, buf + good, 4096, 0));
		EXPECT_SIZE_AND_BLOCKS(fd, size, blocks_needed(bs, size), bs);
		/* the tail of the last block has no stale data */
		ASSERT_EQ(0, ftruncate(fd, size + bs));
		ASSERT_EQ(size + bs, do_read(way, fd, back, MIB, 0));
		EXPECT_ZERO(back + size, bs, size);
		ASSERT_EQ(0, ftruncate(fd, old));
		ASSERT_EQ(0, ext2_poison_free(&self->v));
	}
}

/* In the middle of a request of many bios, and of one of them. */
TEST_F(dio_space, bad_memory_in_the_middle)
{
	enum { PIECES = 8 };
	const size_t piece = 4 * self->v.bs, len = PIECES * piece, good = 5 * piece + 512;
	char *buf = half_memory(good, len), *back = buf_alloc(len);
	int fd, nr = way_setup(back, len);
	enum way way;

	ASSERT_NE(NULL, buf);
	ASSERT_LT(0, nr);
	fd = make_pieces(&self->v, "f", piece, PIECES);
	ASSERT_LE(0, fd);
	for (way = SYNC; way < nr && way != FIXED; way++) {
		memset(buf, UNTOUCHED, good);
		EXPECT_EQ(good, do_read(way, fd, buf, len, 0)) TH_LOG("way %d", way);
		EXPECT_PATTERN(buf, good, 0, way ? 1 + way : 1);
		pattern_fill(buf, good, 0, 2 + way);
		EXPECT_EQ(good, do_write(way, fd, buf, len, 0)) TH_LOG("way %d", way);
		ASSERT_EQ(len, do_read(way, fd, back, len, 0));
		EXPECT_PATTERN(back, good, 0, 2 + way);
		EXPECT_PATTERN(back + good, len - good, good, 1);
	}
	EXPECT_SIZE_AND_BLOCKS(fd, len, blocks_needed(self->v.bs, len), self->v.bs);
}

/* In a hole, which the page cache fills, and reads of which need no device. */
TEST_F(dio_space, bad_memory_in_a_hole)
{
	const size_t good = 20 * KIB + 512, len = 64 * KIB;
	char *buf = half_memory(good, len), *back = buf_alloc(len);
	int fd, nr = way_setup(back, len);
	enum way way;

	ASSERT_NE(NULL, buf);
	ASSERT_LT(0, nr);
	for (way = SYNC; way < nr && way != FIXED; way++) {
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ftruncate(fd, len));
		memset(buf, UNTOUCHED, good);
		EXPECT_EQ(good, do_read(way, fd, buf, len, 0)) TH_LOG("way %d", way);
		EXPECT_ZERO(buf, good, 0);
		pattern_fill(buf, good, 0, 2 + way);
		EXPECT_EQ(good, do_write(way, fd, buf, len, 0)) TH_LOG("way %d", way);
		EXPECT_EQ(len, file_size(fd));
		ASSERT_EQ(len, do_read(way, fd, back, len, 0));
		EXPECT_PATTERN(back, good, 0, 2 + way);
		EXPECT_ZERO(back + good, len - good, good);
		close(fd);
	}
}

TEST_HARNESS_MAIN
