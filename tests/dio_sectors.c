// SPDX-License-Identifier: GPL-2.0
/* Direct requests on devices with sectors of 512 to 4096 bytes. */
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "harness.h"

/*
 * A filesystem on a loop device on a file in memory: it can have sectors of any
 * size. Its pages are full of poison before mkfs, as TEST_DEV is elsewhere.
 */
FIXTURE(dio_sectors) {
	struct vol v;
	int image;
	int loop;
};

FIXTURE_VARIANT(dio_sectors) {
	unsigned int sector;
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_sectors, s512_bs1k) { .sector = 512, .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_sectors, s2048_bs4k) { .sector = 2048, .conf = VOL_4K };
FIXTURE_VARIANT_ADD(dio_sectors, s4096_bs4k) { .sector = 4096, .conf = VOL_4K };

#define IMAGE	(16 * MIB)

static int image_make(void)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	void *map;

	if (fd < 0 || ftruncate(fd, IMAGE))
		return -errno;
	map = mmap(NULL, IMAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	poison_fill(map, IMAGE);
	munmap(map, IMAGE);
	return fd;
}

/* The device goes with its last reference: nothing is to be cleared away. */
static int loop_open(int image, unsigned int sector, struct vol *v)
{
	struct loop_config config = {
		.fd = image,
		.block_size = sector,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int nr;

	if (fd < 0)
		return -errno;
	nr = ioctl(fd, LOOP_CTL_GET_FREE);
	close(fd);
	snprintf(v->dev, sizeof(v->dev), "/dev/loop%d", nr);
	fd = open(v->dev, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return ioctl(fd, LOOP_CONFIGURE, &config) ? -errno : fd;
}

FIXTURE_SETUP(dio_sectors)
{
	self->v.bs = variant->conf.bs;
	self->v.isize = variant->conf.isize;
	/* what a killed test has left */
	umount2(env_dir(), 0);
	self->image = image_make();
	ASSERT_LE(0, self->image);
	self->loop = loop_open(self->image, variant->sector, &self->v);
	if (self->loop == -ENOENT)
		SKIP(return, "no loop devices here");
	ASSERT_LE(0, self->loop);
	ASSERT_EQ(0, vol_mkfs(&self->v, &variant->conf));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
}

FIXTURE_TEARDOWN(dio_sectors)
{
	/* a failed test leaves files open; io_uring drops its references a moment later */
	close_range(self->loop + 1, ~0U, 0);
	EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
	close(self->loop);
	close(self->image);
}

TEST_F(dio_sectors, alignment)
{
	const size_t s = variant->sector, h = s / 2, len = 16 * self->v.bs;
	/* offset and length; some are right for sectors of 512 */
	const size_t bad[][2] = {
		{ h, s }, { 0, h }, { s + h, s + h }, { s - 256, s },
		{ 512, s }, { 0, 512 }, { s - 512, s + 512 }, { 8 * s, s + 512 },
	};
	char *buf = buf_alloc(64 * KIB), *back = buf_alloc(len);
	unsigned int mem = 0, offset = 0;
	enum way how;
	int fd, nr;
	size_t i;

	nr = way_setup(buf, 64 * KIB);
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, dio_align(fd, &mem, &offset));
	EXPECT_EQ(s, offset);
	EXPECT_EQ(s, dio_read_align(fd));
	ASSERT_LE(1, mem);
	ASSERT_GE(s, mem);
	for (how = SYNC; how < nr; how++) {
		pattern_fill(buf, 64 * KIB, 0, 9);
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			const off_t pos = bad[i][0], n = bad[i][1];

			if (!((pos | n) & (s - 1)))
				continue;
			EXPECT_EQ(-EINVAL, do_write(how, fd, buf, n, pos));
			EXPECT_EQ(-EINVAL, do_read(how, fd, buf, n, pos));
		}
		if (mem > 1) {
			EXPECT_EQ(-EINVAL, do_write(how, fd, buf + mem / 2, s, s));
			EXPECT_EQ(-EINVAL, do_read(how, fd, buf + mem / 2, s, s));
		}
		ASSERT_EQ(len, do_read(SYNC, fd, back, len, 0));
		ASSERT_PATTERN(back, s, 0, 1 + how);
		ASSERT_PATTERN(back + 3 * s, len - 3 * s, 3 * s, 1);

		/* this much is enough: whole sectors, at the alignment of memory and no more */
		pattern_fill(buf + mem, 3 * s, 0, 2 + how);
		ASSERT_EQ(3 * s, do_write(how, fd, buf + mem, 3 * s, 0));
		memset(buf, UNTOUCHED, 64 * KIB);
		ASSERT_EQ(2 * s, do_read(how, fd, buf + 3 * mem, 2 * s, s));
		EXPECT_PATTERN(buf + 3 * mem, 2 * s, s, 2 + how);
		EXPECT_TRUE(untouched(buf, 3 * mem));
		EXPECT_TRUE(untouched(buf + 3 * mem + 2 * s, s));
	}
}

/* R13 with an end that is in the middle of a sector of this size. */
TEST_F(dio_sectors, end_of_file)
{
	const size_t s = variant->sector, bs = self->v.bs, len = 8 * bs;
	const size_t tails[] = { 1, 513, s / 2, s - 1, s };
	char *buf = buf_alloc(len), *want = buf_alloc(len);
	enum way how;
	int fd, nr;
	size_t i;

	nr = way_setup(buf, len);
	ASSERT_LT(0, nr);
	for (i = 0; i < ARRAY_SIZE(tails) * nr; i++) {
		const size_t size = 3 * bs + tails[i / nr], pos = (size - 1) & -s;

		how = i % nr;
		ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
		fd = vol_open("f", O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		memset(buf, UNTOUCHED, len);
		ASSERT_EQ(size, do_read(how, fd, buf, len, 0));
		ASSERT_PATTERN(buf, size, 0, 1);
		if (env_is_retryfs())
			EXPECT_TRUE(untouched(buf + pos + s, len - pos - s));
		ASSERT_EQ(size - pos, do_read(how, fd, buf, s, pos));
		ASSERT_PATTERN(buf, size - pos, pos, 1);
		EXPECT_EQ(0, do_read(how, fd, buf, s, pos + s));
		EXPECT_EQ(0, do_read(how, fd, buf, len, 4 * len));
		/* the sector that EOF is in, and with what is beyond */
		pattern_fill(want, pos, 0, 1);
		pattern_fill(want + pos, 2 * s, pos, 2);
		memcpy(buf, want + pos, 2 * s);
		ASSERT_EQ(2 * s, do_write(how, fd, buf, 2 * s, pos));
		ASSERT_EQ(pos + 2 * s, file_size(fd));
		ASSERT_EQ(pos + 2 * s, do_read(how, fd, buf, len, 0));
		EXPECT_SAME(buf, want, pos + 2 * s, 0);
		/* another EOF in a sector, and a request beyond it: zeros between */
		ASSERT_EQ(0, ftruncate(fd, size));
		memset(want + size, 0, len - size);
		pattern_fill(want + 7 * bs, s, 7 * bs, 3);
		memcpy(buf, want + 7 * bs, s);
		ASSERT_EQ(s, do_write(how, fd, buf, s, 7 * bs));
		ASSERT_EQ(7 * bs + s, do_read(how, fd, buf, len, 0));
		EXPECT_SAME(buf, want, 7 * bs + s, 0);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

/* Extends, overwrites and writes into holes, of parts of blocks where these have parts. */
TEST_F(dio_sectors, writes)
{
	const size_t s = variant->sector, bs = self->v.bs, len = 32 * bs;
	const size_t todo[][2] = {
		{ 0, s }, { s, 3 * s }, { bs - s, bs + s }, { 8 * bs - s, s },
		{ 12 * bs - s, 2 * s }, { 6 * bs, s }, { 5 * bs - s, 2 * s }, { s, 10 * bs },
		{ 20 * bs + (bs > s ? s : 0), s }, { 20 * bs, bs }, { 9 * bs, 12 * bs },
		{ 24 * bs - s, 7 * bs + s },
	};
	char *buf = buf_alloc(len), *want = buf_alloc(len);
	size_t i, size;
	enum way how;
	int fd, nr;

	nr = way_setup(buf, len);
	ASSERT_LT(0, nr);
	for (how = SYNC; how < nr; how++) {
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		memset(want, 0, len);
		for (i = 0, size = 0; i < ARRAY_SIZE(todo); i++) {
			const size_t pos = todo[i][0], n = todo[i][1];

			pattern_fill(want + pos, n, pos, i + 1);
			memcpy(buf, want + pos, n);
			ASSERT_EQ(n, do_write(how, fd, buf, n, pos));
			size = size > pos + n ? size : pos + n;
			ASSERT_EQ(size, file_size(fd));
			ASSERT_EQ(size, do_read(how, fd, buf, len, 0));
			EXPECT_SAME(buf, want, size, 0);
		}
		close(fd);
	}
}

/* More pieces than a bio can have, so that it is full in the middle of a sector. */
TEST_F(dio_sectors, pieces)
{
	enum { TOTAL = 1200 * 1024, MEM = 4 * 1024 * 1024 };
	char *mem = buf_alloc(MEM), *back = buf_alloc(TOTAL);
	unsigned int align = 0, offset = 0;
	struct iovec iov[400];
	enum way how;
	int fd, nr, n;
	size_t pos;

	nr = way_setup(mem, MEM);
	ASSERT_LT(0, nr);
	for (how = SYNC; how < nr; how++) {
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, dio_align(fd, &align, &offset));
		n = way_cut(iov, mem, align, TOTAL);
		ASSERT_LT(256, n);
		ASSERT_GT(ARRAY_SIZE(iov), n);
		for (pos = 0, n = 0; pos < TOTAL; pos += iov[n++].iov_len)
			pattern_fill(iov[n].iov_base, iov[n].iov_len, pos, how);
		ASSERT_EQ(TOTAL, way_rw(how, true, fd, iov, n, 0, 0));
		ASSERT_EQ(TOTAL, pread(fd, back, TOTAL, 0));
		ASSERT_PATTERN(back, TOTAL, 0, how);
		memset(mem, UNTOUCHED, MEM);
		ASSERT_EQ(TOTAL, way_rw(how, false, fd, iov, n, 0, 0));
		for (pos = 0, n = 0; pos < TOTAL; pos += iov[n++].iov_len) {
			ASSERT_PATTERN(iov[n].iov_base, iov[n].iov_len, pos, how);
			ASSERT_EQ((char)UNTOUCHED, ((char *)iov[n].iov_base)[-1]);
			ASSERT_EQ((char)UNTOUCHED, ((char *)iov[n].iov_base)[iov[n].iov_len]);
		}
		close(fd);
	}
}

/* A volume that is fine comes to a device whose sectors are larger than its blocks. */
TEST(blocks_smaller_than_sectors)
{
	struct vol v = { .bs = 1024, .isize = 128 };
	int image, loop, kmsg = kmsg_open();
	unsigned int sector;

	ASSERT_LE(0, kmsg);
	umount2(env_dir(), 0);
	image = image_make();
	ASSERT_LE(0, image);
	for (sector = 512; sector <= 4096; sector *= 2) {
		loop = loop_open(image, sector, &v);
		if (loop == -ENOENT)
			SKIP(return, "no loop devices here");
		ASSERT_LE(0, loop);
		if (sector == 512)
			ASSERT_EQ(0, vol_mkfs(&v, &VOL_1K));
		EXPECT_EQ(sector > v.bs ? -EINVAL : 0, vol_mount(&v, env_fstype(), 0, NULL));
		if (sector > v.bs && env_is_retryfs())
			EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", v.dev + 5,
						     "block size 1024 is less", NULL }));
		if (v.mounted)
			ASSERT_EQ(0, vol_umount(&v));
		EXPECT_EQ(0, vol_fsck(&v));
		close(loop);
	}
}

TEST_HARNESS_MAIN
