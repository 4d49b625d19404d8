// SPDX-License-Identifier: GPL-2.0
/* Punching holes with a device that fails: what could not be freed stays, and nothing is lost. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "blocks.h"
#include "harness.h"
#include "punch.h"

VOL_FIXTURE(fs_punch_errors);
FIXTURE_VARIANT_ADD(fs_punch_errors, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_punch_errors, bs2k) { .conf = SMALL_2K };
FIXTURE_VARIANT_ADD(fs_punch_errors, bs4k) { .conf = SMALL_4K };

/* The n-th block of pointers of a file, of those that lead to data, as debugfs(8) tells. */
static long pointer_block(struct vol *v, const char *name, int n)
{
	char cmd[128], word[64];
	long block, found = -ENOENT;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "debugfs -D -R 'stat %s' %s 2>/dev/null", name, env_dev());
	f = popen(cmd, "re");
	if (!f)
		return -errno;
	while (fscanf(f, "%63s", word) == 1)
		if (sscanf(word, "(IND):%ld", &block) == 1 && !n--)
			found = block;
	pclose(f);
	return found;
}

/*
 * A block of pointers in the middle cannot be read: what is freed until there is
 * no part of the file any more, what is not stays, and nothing is lost.
 */
TEST_F(fs_punch_errors, pointers_that_cannot_be_read)
{
	const uint64_t bs = self->v.bs, p = bs / 4;
	const off_t at = (DIRECT_BLOCKS + p + p * p + p - 2) * bs;
	struct vol_map map = { .nr = 1 };
	long before = free_blocks(), used;
	char *buf = buf_alloc(bs);
	struct levels l, all;
	struct stat st;
	long block;
	int fd;

	fd = levels_write(bs, "f", 0);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	/* single indirect; the first three of the double; ... */
	block = pointer_block(&self->v, "f", 2);
	ASSERT_LT(0, block);
	map.e[0] = (struct vol_extent){ .sector = block * (bs / 512), .len = bs / 512,
					.fails = true };
	fd = vol_open("f", O_RDWR);
	/* in the page cache only, and what will stay */
	pattern_fill(buf, bs, at, 2);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, at));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-EIO, punch(fd, 0, 1ULL << 33));
	ASSERT_EQ(bs, pread(fd, buf, bs, at));
	EXPECT_PATTERN(buf, bs, at, 2);
	pattern_fill(buf, bs, at, 1);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, at));
	ASSERT_EQ(0, fstat(fd, &st));
	used = st.st_blocks * 512 / bs;
	EXPECT_EQ(used, before - free_blocks());
	levels_init(&l, bs);
	levels_punch(&l, 0, DIRECT_BLOCKS + 2 * p);
	EXPECT_EQ(levels_blocks(&l, bs), used);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	close(fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	fd = vol_open("f", O_RDWR);
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	ASSERT_EQ(0, punch(fd, 0, 1ULL << 33));
	levels_init(&all, bs);
	levels_punch(&all, 0, 1ULL << 40);
	EXPECT_NULL_DIFF(levels_diff(&all, bs, fd));
	EXPECT_EQ(before, free_blocks());
}

/*
 * The same when new blocks cannot be written either: they hold what was there
 * before, stale data, which must not be exposed when the page cache has dropped them.
 */
TEST_F(fs_punch_errors, new_blocks_that_could_not_be_written)
{
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	const off_t bs = self->v.bs, p = bs / 4;
	const off_t at = (DIRECT_BLOCKS + p + p * p + p + 3) * bs;
	struct vol_map map = { .nr = 2 };
	char *buf = buf_alloc(bs);
	long block;
	int fd, data;

	fd = levels_write(bs, "f", 0);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	block = pointer_block(&self->v, "f", 2);
	ASSERT_LT(0, block);
	fd = vol_open("f", O_RDWR);
	pattern_fill(buf, bs, at, 2);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, at));
	data = at / bs;
	ASSERT_EQ(0, ioctl(fd, FIBMAP, &data));
	ASSERT_LT(0, data);
	/* in the order of the device */
	map.e[data < block] = (struct vol_extent){ .sector = block * (bs / 512),
						   .len = bs / 512, .fails = true };
	map.e[block < data] = (struct vol_extent){ .sector = data * (bs / 512),
						   .len = bs / 512, .fails = true };
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-EIO, punch(fd, 0, 1ULL << 33));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(bs, pread(fd, buf, bs, at));
	EXPECT_ZERO(buf, bs, at);
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	close(fd);
	/* blocks that the file has lost are in no file */
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(1, run(1, mend));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
}

/* A part of a block that cannot be read to be zeroed: nothing has happened then. */
TEST_F(fs_punch_errors, part_of_a_block_that_cannot_be_read)
{
	const off_t bs = self->v.bs, size = 20 * bs;
	struct vol_map map;
	struct sparse m;
	int fd, dfd;

	sparse_init(&m, bs, size);
	sparse_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, vol_find(&self->v, 15 * bs, bs, 1, &map));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-EIO, punch(fd, 4 * bs, 11 * bs + 100));
	/* to be rid of it as a whole it need not be read */
	EXPECT_EQ(0, punch(fd, 14 * bs + 100, 2 * bs - 100));
	sparse_punch(&m, 14 * bs + 100, 2 * bs - 100);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_SPARSE(&m, fd, dfd, 0);
}

TEST_HARNESS_MAIN
