// SPDX-License-Identifier: GPL-2.0
/*
 * A page of a file could not be written back: who syncs the file is told, and what has to do with another part of it goes on.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "harness.h"

#define PAGE	4096

VOL_FIXTURE(fs_wberr);
FIXTURE_VARIANT_ADD(fs_wberr, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_wberr, bs4k) { .conf = SMALL_4K };

/* Where what is written does not come to the device, and where the file has a hole behind that. */
#define FAILS_AT	(10L * PAGE)
#define HOLE_AT		(20L * PAGE)
#define SIZE		(40L * PAGE)

/*
 * A file with a page that has failed, which nobody was told of yet; open for reading and writing, or -errno. The device does not fail any
 * more.
 */
static int file_with_an_error(struct vol *v)
{
	char *buf = buf_alloc(PAGE);
	struct vol_map map;
	int fd, err;

	err = vol_prefill("f", 0, FAILS_AT + PAGE, 1) ?: vol_find(v, FAILS_AT, PAGE, 1, &map);
	fd = vol_open("f", O_RDWR);
	if (err || fd < 0)
		return err ?: fd;
	pattern_fill(buf, PAGE, FAILS_AT, 2);
	if (ftruncate(fd, SIZE) || fsync(fd) || pwrite(fd, buf, PAGE, FAILS_AT) != PAGE)
		return -errno;
	/* it does not look for errors, and so leaves them */
	err = vol_fail(v, &map) ?: sync_file_range(fd, FAILS_AT, PAGE, SYNC_FILE_RANGE_WRITE);
	/* with this all of it has ended */
	return err ?: vol_unroute(v) ?: fd;
}

/* Who syncs the file is told, once. */
static void expect_told(struct __test_metadata *_metadata, int fd)
{
	errno = 0;
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, fsync(fd));
}

/* Something of its own in the page cache, in the hole. */
static int store(int fd, off_t pos)
{
	char *buf = buf_alloc(PAGE);

	pattern_fill(buf, PAGE, pos, 3);
	return pwrite(fd, buf, PAGE, pos) == PAGE ? 0 : -errno;
}

TEST_F(fs_wberr, fallocate_elsewhere)
{
	char *back = buf_alloc(PAGE);
	int fd = file_with_an_error(&self->v);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, store(fd, HOLE_AT));
	EXPECT_EQ(0, fallocate(fd, 0, HOLE_AT, 2 * PAGE));
	expect_told(_metadata, fd);
	ASSERT_EQ(PAGE, pread(fd, back, PAGE, HOLE_AT));
	EXPECT_PATTERN(back, PAGE, HOLE_AT, 3);
	close(fd);
}

/* A part of the page that is asked for fails: the call does, and the sync after it. */
TEST_F(fs_wberr, fallocate_of_what_fails)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(bs);
	struct vol_map map;
	int fd;

	if (bs == PAGE)
		SKIP(return, "a page has one block");
	ASSERT_EQ(0, vol_prefill("f", HOLE_AT, bs, 1));
	ASSERT_EQ(0, vol_find(&self->v, HOLE_AT, bs, 1, &map));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	pattern_fill(buf, bs, HOLE_AT, 2);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, HOLE_AT));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-1, fallocate(fd, 0, HOLE_AT + bs, bs));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_unroute(&self->v));
	expect_told(_metadata, fd);
	close(fd);
}

TEST_F(fs_wberr, chattr)
{
	int fd = file_with_an_error(&self->v), flags = FS_IMMUTABLE_FL;

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	flags = 0;
	EXPECT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	expect_told(_metadata, fd);
	close(fd);
}

TEST_HARNESS_MAIN
