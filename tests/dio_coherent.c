// SPDX-License-Identifier: GPL-2.0
/* Direct I/O, buffered I/O and mappings of one file, one after the other: all see the same. */
#include <fcntl.h>
#include <sys/mman.h>

#include "harness.h"

VOL_FIXTURE(dio_coherent);
FIXTURE_VARIANT_ADD(dio_coherent, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_coherent, bs2k) { .conf = SMALL_2K };
FIXTURE_VARIANT_ADD(dio_coherent, bs4k) { .conf = SMALL_4K };

TEST_F(dio_coherent, coherent_with_buffered)
{
	const off_t bs = self->v.bs, len = 32 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	int fd, bfd, gen;
	enum way way;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, bfd);
	for (gen = 2, way = SYNC; way <= ASYNC; way++) {
		/* cached clean, then written direct: the cache must not answer */
		ASSERT_EQ(len, pread(bfd, back, len, 0));
		pattern_fill(buf, len, 0, gen);
		ASSERT_EQ(4 * bs, do_write(way, fd, buf + 4 * bs, 4 * bs, 4 * bs));
		ASSERT_EQ(len, pread(bfd, back, len, 0));
		EXPECT_PATTERN(back, 4 * bs, 0, gen - 1);
		EXPECT_PATTERN(back + 4 * bs, 4 * bs, 4 * bs, gen);
		EXPECT_PATTERN(back + 8 * bs, len - 8 * bs, 8 * bs, gen - 1);

		/* cached dirty, then read direct: the disk must not answer */
		ASSERT_EQ(len, pwrite(bfd, buf, len, 0));
		ASSERT_EQ(len, do_read(way, fd, back, len, 0));
		EXPECT_PATTERN(back, len, 0, gen);
		gen++;

		/* dirty in the cache, written direct in the middle of it */
		pattern_fill(buf, len, 0, gen);
		ASSERT_EQ(len, pwrite(bfd, buf, len, 0));
		pattern_fill(buf, len, 0, gen + 1);
		ASSERT_EQ(512, do_write(way, fd, buf + 2 * bs + 512, 512, 2 * bs + 512));
		ASSERT_EQ(0, fsync(bfd));
		ASSERT_EQ(len, pread(bfd, back, len, 0));
		EXPECT_PATTERN(back, 2 * bs + 512, 0, gen);
		EXPECT_PATTERN(back + 2 * bs + 512, 512, 2 * bs + 512, gen + 1);
		EXPECT_PATTERN(back + 2 * bs + 1024, len - 2 * bs - 1024,
			       2 * bs + 1024, gen);
		pattern_fill(buf, len, 0, ++gen);
		ASSERT_EQ(len, do_write(way, fd, buf, len, 0));
		gen++;
	}
	/* extended by the one, seen by the other, to and fro */
	pattern_fill(buf, len, len, 1);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, len));
	ASSERT_EQ(bs, pread(bfd, back, 2 * bs, len));
	EXPECT_PATTERN(back, bs, len, 1);
	ASSERT_EQ(bs, pwrite(bfd, buf + bs, bs, len + bs));
	ASSERT_EQ(2 * bs, pread(fd, back, 4 * bs, len));
	EXPECT_PATTERN(back, 2 * bs, len, 1);
}

TEST_F(dio_coherent, coherent_with_mmap)
{
	const size_t len = 64 * KIB;
	char *map, *buf = buf_alloc(len), *back = buf_alloc(len);
	enum way way;
	int gen = 2;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	for (way = SYNC; way <= ASYNC; way++) {
		EXPECT_PATTERN(map, len, 0, gen - 1);
		pattern_fill(buf, len, 0, gen);
		ASSERT_EQ(len, do_write(way, fd, buf, len, 0));
		EXPECT_PATTERN(map, len, 0, gen);
		gen++;
		pattern_fill(map, len, 0, gen);
		ASSERT_EQ(len, do_read(way, fd, back, len, 0));
		EXPECT_PATTERN(back, len, 0, gen);
		gen++;
	}
	/* from a mapping of the file into the file itself */
	pattern_fill(map + len / 2, len / 2, 0, gen);
	ASSERT_EQ(len / 2, do_write(SYNC, fd, map + len / 2, len / 2, 0));
	EXPECT_PATTERN(map, len / 2, 0, gen);
	munmap(map, len);
}

TEST_HARNESS_MAIN
