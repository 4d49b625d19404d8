// SPDX-License-Identifier: GPL-2.0
/* Direct requests on a device with sectors that are larger than a page. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>

#include "disk.h"
#include "harness.h"

/* A volume whose blocks have a sector each. */
FIXTURE(dio_sectors_64k) {
	struct vol v;
	struct disk d;
};

FIXTURE_SETUP(dio_sectors_64k)
{
	const struct vol_conf conf = { .bs = 65536, .isize = 256, .mib = 32 };
	int err;

	if (access("/sys/kernel/mm/transparent_hugepage", F_OK))
		SKIP(return, "no large folios in this kernel");
	err = disk_up(&self->d, NULL_BLK, 65536, 64);
	if (err == -ENOENT)
		SKIP(return, "no null_blk here");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, disk_vol_up(&self->d, &self->v, &conf));
}

FIXTURE_TEARDOWN(dio_sectors_64k)
{
	close_range(3, ~0U, 0);
	EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
	EXPECT_EQ(0, disk_down(&self->d));
}

/* Memory that ends within a sector, with and without a copy of it for the device: whole sectors are written. */
TEST_F(dio_sectors_64k, memory_that_ends)
{
	char *mem, *buf = buf_alloc(256 * KIB), *back = buf_alloc(256 * KIB);
	unsigned int mem_align, offset;
	int copy, fd;

	for (copy = 0; copy < 2; copy++) {
		ASSERT_EQ(0, stable_writes(self->d.node, copy));
		ASSERT_EQ(0, vol_prefill("f", 0, 256 * KIB, 1));
		fd = vol_open("f", O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		mem = mmap(NULL, 256 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, mem);
		ASSERT_EQ(0, dio_align(fd, &mem_align, &offset));
		EXPECT_EQ(64 * KIB, offset);
		pattern_fill(mem, 256 * KIB, 0, 2);
		EXPECT_EQ(-1, pwrite(fd, mem, 64 * KIB, (4 * KIB)));
		EXPECT_EQ(-1, pwrite(fd, mem, (4 * KIB), 0));
		ASSERT_EQ(0, munmap(mem + 84 * KIB, 172 * KIB));
		EXPECT_EQ((ssize_t)(64 * KIB), pwrite(fd, mem, 192 * KIB, 0));
		munmap(mem, 84 * KIB);
		ASSERT_EQ((ssize_t)(256 * KIB), pread(fd, back, 256 * KIB, 0));
		EXPECT_PATTERN(back, 64 * KIB, 0, 2);
		EXPECT_PATTERN(back + 64 * KIB, 192 * KIB, 64 * KIB, 1);
		/* an append, and a hole */
		pattern_fill(buf, 256 * KIB, 320 * KIB, 3);
		EXPECT_EQ((ssize_t)(256 * KIB), pwrite(fd, buf, 256 * KIB, 320 * KIB));
		EXPECT_EQ((ssize_t)(256 * KIB), pread(fd, back, 256 * KIB, 320 * KIB));
		EXPECT_PATTERN(back, 256 * KIB, 320 * KIB, 3);
		EXPECT_EQ((ssize_t)(64 * KIB), pread(fd, back, 64 * KIB, 256 * KIB));
		EXPECT_ZERO(back, 64 * KIB, 256 * KIB);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

TEST_HARNESS_MAIN
