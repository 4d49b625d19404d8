// SPDX-License-Identifier: GPL-2.0
/* Where the data of a file is: SEEK_DATA, SEEK_HOLE, FS_IOC_FIEMAP. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "harness.h"
#include "store.h"

VOL_FIXTURE(fs_seek);
FIXTURE_VARIANT_ADD(fs_seek, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_seek, bs4k) { .conf = SMALL_4K };

#define PIECES	8

/* A file in pieces: [block, block + len) for each, in order, none next to another. */
struct pieces {
	off_t bs, size;
	struct {
		off_t block, len;
	} at[PIECES];
};

/*
 * On each level of pointers, across the borders of the first two, and with a tail: a hole that ends
 * within a block.
 */
static struct pieces pieces_of(off_t bs)
{
	const off_t ptrs = bs / 4, two = 12 + ptrs, three = two + ptrs * ptrs;
	struct pieces p = { bs, (three + 10) * bs + 100, {
		{ 1, 2 }, { 5, 1 }, { 11, 3 }, { 40, 7 }, { two - 1, 2 }, { two + ptrs + 3, 1 },
		{ two + 5 * ptrs - 1, 2 }, { three + 2, 3 },
	} };

	return p;
}

/* Make it: directly, so that the blocks are there, and each piece in one go. */
static int pieces_make(const struct pieces *p, const char *name)
{
	char *buf = buf_alloc(8 * p->bs);
	int fd = vol_open(name, O_CREAT | O_RDWR), i;

	if (fd < 0 || ftruncate(fd, p->size))
		return -1;
	pattern_fill(buf, 8 * p->bs, 0, 1);
	for (i = 0; i < PIECES; i++) {
		const off_t len = p->at[i].len * p->bs;

		if (pwrite(fd, buf, len, p->at[i].block * p->bs) != len)
			return -1;
	}
	return fd;
}

/* What lseek(2) has to find from @pos on; -1 for ENXIO. */
static off_t data_from(const struct pieces *p, off_t pos)
{
	int i;

	for (i = 0; i < PIECES; i++) {
		off_t start = p->at[i].block * p->bs, end = start + p->at[i].len * p->bs;

		if (pos < end)
			return pos < start ? start : pos;
	}
	return -1;
}

static off_t hole_from(const struct pieces *p, off_t pos)
{
	int i;

	for (i = 0; i < PIECES; i++) {
		off_t start = p->at[i].block * p->bs, end = start + p->at[i].len * p->bs;

		if (pos >= start && pos < end)
			return end;
	}
	return pos;
}

TEST_F(fs_seek, data_and_holes)
{
	const struct pieces p = pieces_of(self->v.bs);
	int fd = pieces_make(&p, "f"), i, turn;

	ASSERT_LE(0, fd);
	/* as it was written, and as it is read from the device */
	for (turn = 0; turn < 2; turn++) {
		for (i = 0; i < PIECES; i++) {
			const off_t start = p.at[i].block * p.bs, end = start + p.at[i].len * p.bs;
			const off_t from[] = {
				start - p.bs - 1, start - 1, start, start + 1, end - 1, end, end + 1
			};
			size_t k;

			for (k = 0; k < ARRAY_SIZE(from); k++) {
				if (from[k] < 0)
					continue;
				EXPECT_EQ(data_from(&p, from[k]), lseek(fd, from[k], SEEK_DATA));
				EXPECT_EQ(hole_from(&p, from[k]), lseek(fd, from[k], SEEK_HOLE));
			}
		}
		EXPECT_EQ(-1, lseek(fd, p.size - 50, SEEK_DATA));
		EXPECT_EQ(ENXIO, errno);
		EXPECT_EQ(p.size - 50, lseek(fd, p.size - 50, SEEK_HOLE));
		close(fd);
		ASSERT_EQ(0, vol_remount(&self->v));
		fd = vol_open("f", O_RDWR);
		ASSERT_LE(0, fd);
	}
}

TEST_F(fs_seek, ends)
{
	const off_t bs = self->v.bs, size = 20 * bs + 7;
	int fd, empty;

	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	fd = vol_open("f", O_RDWR);
	empty = vol_open("e", O_CREAT | O_RDWR);
	ASSERT_LE(0, empty);
	/* there is a hole at the end of each file */
	EXPECT_EQ(size, lseek(fd, 0, SEEK_HOLE));
	EXPECT_EQ(size, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(3, lseek(fd, 3, SEEK_DATA));
	EXPECT_EQ(size - 1, lseek(fd, size - 1, SEEK_DATA));
	EXPECT_EQ(size, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(-1, lseek(fd, size, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(-1, lseek(fd, size, SEEK_HOLE));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(-1, lseek(fd, -1, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(-1, lseek(empty, 0, SEEK_HOLE));
	EXPECT_EQ(ENXIO, errno);
	/* what failed has not moved it */
	EXPECT_EQ(size, lseek(fd, 0, SEEK_CUR));
	/* beyond EOF blocks are no data, should there be some */
	ASSERT_EQ(0, ftruncate(fd, 40 * bs));
	EXPECT_EQ(21 * bs, lseek(fd, 0, SEEK_HOLE));
	EXPECT_EQ(-1, lseek(fd, 21 * bs, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
}

/* What is stored through a mapping is data, whether it has its block yet or not. */
TEST_F(fs_seek, stores_to_a_hole)
{
	const off_t size = 32 * 4096, at = 17 * 4096;
	int fd = vol_open("f", O_CREAT | O_RDWR);
	char *map;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, size));
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	/* reading does not make data of a hole */
	EXPECT_EQ(0, map[3 * 4096]);
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_DATA));
	map[at] = 'x';
	EXPECT_EQ(at, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(0, lseek(fd, 0, SEEK_HOLE));
	map[at + 8192] = 'y';
	EXPECT_EQ(at + 8192, lseek(fd, at + 4096, SEEK_DATA));
	EXPECT_EQ(at + 4096, lseek(fd, at, SEEK_HOLE));
	munmap(map, size);
}

/* A page of which a block was read into while it became a hole: that is data. */
TEST_F(fs_seek, read_into_a_hole)
{
	const off_t bs = self->v.bs;
	int fd = vol_open("f", O_CREAT | O_RDWR);
	char *map;

	if (bs == 4096)
		SKIP(return, "the page goes with the block");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 4096));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, store_in_hole(&self->v, "g", fd, map, 'x'));
	EXPECT_EQ('x', map[0]);
	EXPECT_EQ(0, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(0, fsync(fd));
	munmap(map, 4096);
}

/* The extents of a range, up to @max; the number that there are, or -errno. */
static int fiemap(int fd, off_t start, off_t len, unsigned int flags, struct fiemap_extent *ext,
		  int max)
{
	struct fiemap *f = calloc(1, sizeof(*f) + max * sizeof(*ext));
	int n;

	if (!f)
		return -ENOMEM;
	f->fm_start = start;
	f->fm_length = len;
	f->fm_flags = flags;
	f->fm_extent_count = max;
	n = ioctl(fd, FS_IOC_FIEMAP, f) ? -errno : (int)f->fm_mapped_extents;
	if (n > 0 && max)
		memcpy(ext, f->fm_extents, n * sizeof(*ext));
	free(f);
	return n;
}

TEST_F(fs_seek, extents)
{
	const struct pieces p = pieces_of(self->v.bs);
	struct fiemap_extent ext[64];
	int fd = pieces_make(&p, "f"), n, i = 0, k;
	off_t at = 0;

	ASSERT_LE(0, fd);
	n = fiemap(fd, 0, p.size, FIEMAP_FLAG_SYNC, ext, ARRAY_SIZE(ext));
	ASSERT_LE(PIECES, n);
	ASSERT_GE(ARRAY_SIZE(ext), n);
	/* together they are the pieces, and each lies where FIBMAP says that its blocks are */
	for (k = 0; k < n; k++) {
		const off_t from = at ? at : p.at[i].block * p.bs;
		off_t b;

		EXPECT_EQ(from, ext[k].fe_logical);
		for (b = 0; b < (off_t)ext[k].fe_length / p.bs; b++) {
			int block = ext[k].fe_logical / p.bs + b;

			ASSERT_EQ(0, ioctl(fd, FIBMAP, &block));
			EXPECT_EQ(ext[k].fe_physical / p.bs + b, block);
		}
		EXPECT_EQ(k == n - 1, !!(ext[k].fe_flags & FIEMAP_EXTENT_LAST));
		EXPECT_EQ(0, ext[k].fe_flags & ~(FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED));
		at = ext[k].fe_logical + ext[k].fe_length;
		if (at == (p.at[i].block + p.at[i].len) * p.bs) {
			at = 0;
			i++;
		}
		/* two that touch on the device would be one */
		if (k && ext[k - 1].fe_logical + ext[k - 1].fe_length == ext[k].fe_logical)
			EXPECT_NE(ext[k - 1].fe_physical + ext[k - 1].fe_length, ext[k].fe_physical);
	}
	EXPECT_EQ(PIECES, i);

	/* how many there are; a few of them; those of a part */
	EXPECT_EQ(n, fiemap(fd, 0, p.size, 0, NULL, 0));
	EXPECT_EQ(2, fiemap(fd, 0, p.size, 0, ext, 2));
	EXPECT_EQ(0, ext[1].fe_flags & FIEMAP_EXTENT_LAST);
	EXPECT_EQ(1, fiemap(fd, 5 * p.bs + 1, 1, 0, ext, 2));
	EXPECT_EQ(5 * p.bs, ext[0].fe_logical);
	EXPECT_EQ(0, ext[0].fe_flags & FIEMAP_EXTENT_LAST);
	EXPECT_EQ(0, fiemap(fd, 7 * p.bs, 2 * p.bs, 0, ext, 2));
	EXPECT_EQ(-EBADR, fiemap(fd, 0, p.size, 0x80, ext, 2));
	/* a store to a hole has no block before it is written back */
	close(fd);
	fd = vol_open("f", O_RDWR);
	EXPECT_EQ(n, fiemap(fd, 0, p.size, 0, NULL, 0));
}

/* A copy by cp(1) has the holes of its source. */
TEST_F(fs_seek, copy)
{
	const struct pieces p = pieces_of(self->v.bs);
	int fd = pieces_make(&p, "f"), copy;
	struct stat st, st2;
	char cmd[512];
	int n;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	n = snprintf(cmd, sizeof(cmd), "cp %s ", vol_path("f"));
	snprintf(cmd + n, sizeof(cmd) - n, "%s", vol_path("g"));
	ASSERT_EQ(0, system(cmd));
	copy = vol_open("g", O_RDWR);
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(0, fstat(copy, &st2));
	EXPECT_EQ(st.st_size, st2.st_size);
	EXPECT_EQ(st.st_blocks, st2.st_blocks);
}

TEST_HARNESS_MAIN
