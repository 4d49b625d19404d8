// SPDX-License-Identifier: GPL-2.0
/* Metadata that is read from the device before it is asked for. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "blocks.h"
#include "caches.h"
#include "debugfs.h"
#include "harness.h"

/* Groups have 75 blocks of the inode table, the last eleven of which are read together. */
#define INODES	1200
#define TABLE	75
#define BATCH	32

VOL_FIXTURE(fs_readahead);
FIXTURE_VARIANT_ADD(fs_readahead, bs1k) {
	.conf = { .bs = 1024, .isize = 128, .mib = 16, .inodes = INODES },
};

/* With inodes of 128 bytes and blocks of 1 KiB. */
#define PER_BLOCK	8

static const char *file(int i)
{
	static char name[32];

	snprintf(name, sizeof(name), "f%d", i);
	return name;
}

/* Files whose inodes are in @blocks blocks of the table, and what there is of the first. */
static int make_files(int blocks)
{
	int i, fd;

	for (i = 0; i < blocks * PER_BLOCK; i++) {
		fd = vol_open(file(i), O_CREAT | O_RDWR);
		if (fd < 0)
			return fd;
		close(fd);
	}
	return 0;
}

/* The block of the device with the inode of a file; -errno. The volume is not mounted. */
static long table_block(struct vol *v, const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "imap %s", name);
	return debugfs_number(v, command, "located at block");
}

static long pages(int device, long block, long blocks)
{
	return cached_pages(device, block * 1024, blocks * 1024);
}

/* With the first inode of a piece of the table come all of it, and nothing that is not of the table. */
TEST_F(fs_readahead, inodes)
{
	long first, end, wanted;
	struct stat st;
	int device;

	if (!env_is_retryfs())
		SKIP(return, "others read as much as they like");
	/* to the end of the table of the first group, as the root is there */
	ASSERT_EQ(0, make_files(TABLE - 3));
	ASSERT_EQ(0, vol_umount(&self->v));
	first = debugfs_number(&self->v, "stats", "inode table at");
	ASSERT_LT(0, first);
	end = first + TABLE;
	wanted = table_block(&self->v, file(20 * PER_BLOCK));
	ASSERT_LE(first, wanted);
	ASSERT_GT(first + BATCH, wanted);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	device = open(self->v.dev, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, device);
	if (cached_pages(device, 0, 0) < 0)
		SKIP(return, "cachestat(2): %s", strerror(-cached_pages(device, 0, 0)));

	/* the second piece, as the root is in the first */
	ASSERT_EQ(0, forget_all());
	wanted = first + BATCH;
	EXPECT_EQ(0, pages(device, wanted + 4, BATCH - 8));
	ASSERT_EQ(0, stat(vol_path(file((BATCH + 4) * PER_BLOCK)), &st));
	EXPECT_EQ((BATCH - 8) / 4, pages(device, (wanted + 4 + 3) / 4 * 4, BATCH - 8));
	EXPECT_EQ(0, pages(device, wanted + BATCH + 4, 3));

	/* the last: behind it are the root, and then lost+found, which nobody has read */
	ASSERT_EQ(0, stat(vol_path(file((2 * BATCH + 4) * PER_BLOCK)), &st));
	EXPECT_LE(1, pages(device, end - 6, 4));
	EXPECT_EQ(0, pages(device, end + 4, 5));
	close(device);
}

static long getdents(int fd, void *buf, unsigned int len)
{
	return syscall(SYS_getdents64, fd, buf, len);
}

/* Who reads a directory from its begin has the next blocks read meanwhile. */
TEST_F(fs_readahead, directory)
{
	enum { NAMES = 200 };
	struct vol_conf linear = variant->conf;
	char name[256], buf[512];
	long before;
	int i, dir, device;

	if (!env_is_retryfs())
		SKIP(return, "others read as much as they like");
	linear.features = "^dir_index";
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &linear));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	for (i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "d/%0200d", i);
		ASSERT_LE(0, mknod(vol_path(name), S_IFREG | 0600, 0));
	}
	ASSERT_EQ(0, vol_remount(&self->v));
	dir = vol_open_dir("d");
	ASSERT_LE(0, dir);
	device = open(self->v.dev, O_RDONLY | O_CLOEXEC);
	before = cached_pages(device, 0, 0);
	if (before < 0)
		SKIP(return, "cachestat(2): %s", strerror(-before));
	ASSERT_LT(0, getdents(dir, buf, sizeof(buf)));
	/* sixteen blocks, but not all in one piece; without, two at most, and one of pointers */
	EXPECT_LE(before + 3, cached_pages(device, 0, 0));
	close(dir);
	close(device);
}

/* Whatever a volume is mounted for begins at its root: that is on its way when mount(2) returns. */
TEST_F(fs_readahead, root)
{
	int device;
	long block;

	if (!env_is_retryfs())
		SKIP(return, "others read what they like");
	ASSERT_EQ(0, vol_umount(&self->v));
	block = debugfs_block(&self->v, "/", 0);
	ASSERT_LT(0, block);
	device = open(self->v.dev, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, device);
	if (cached_pages(device, 0, 0) < 0)
		SKIP(return, "cachestat(2): %s", strerror(-cached_pages(device, 0, 0)));
	ASSERT_EQ(0, forget_all());
	EXPECT_EQ(0, pages(device, block, 1));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
	EXPECT_EQ(1, pages(device, block, 1));
	close(device);
}

/* That a block cannot be read is the concern of who needs it. */
TEST_F(fs_readahead, what_cannot_be_read)
{
	struct vol_map map = { .nr = 1 };
	struct stat st;
	long bad;

	ASSERT_EQ(0, make_files(BATCH));
	ASSERT_EQ(0, vol_umount(&self->v));
	bad = table_block(&self->v, file(20 * PER_BLOCK));
	ASSERT_LT(0, bad);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	map.e[0] = (struct vol_extent){ .sector = bad * 2, .len = 2, .fails = true };
	ASSERT_EQ(0, forget_all());
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(0, stat(vol_path(file(10 * PER_BLOCK)), &st));
	EXPECT_EQ(-1, stat(vol_path(file(20 * PER_BLOCK)), &st));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(0, stat(vol_path(file(20 * PER_BLOCK)), &st));
}

/*
 * A block of the table could not be written, and another one near it is needed: what the device has of the first
 * is older, and must not come back.
 */
TEST_F(fs_readahead, what_could_not_be_written)
{
	struct vol_map map = { .nr = 1 };
	struct stat st;
	long bad;
	int fd;

	ASSERT_EQ(0, make_files(BATCH));
	ASSERT_EQ(0, vol_umount(&self->v));
	bad = table_block(&self->v, file(20 * PER_BLOCK));
	ASSERT_LT(0, bad);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	fd = vol_open(file(20 * PER_BLOCK), O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fchmod(fd, 0604));
	map.e[0] = (struct vol_extent){ .sector = bad * 2, .len = 2, .fails = true };
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	close(fd);
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, forget_all());

	EXPECT_EQ(0, stat(vol_path(file(10 * PER_BLOCK)), &st));
	EXPECT_EQ(0, stat(vol_path(file(20 * PER_BLOCK)), &st));
	EXPECT_EQ(0604, st.st_mode & 07777);
	fd = vol_open_dir(".");
	ASSERT_LE(0, fd);
	/* reported once */
	syncfs(fd);
	EXPECT_EQ(0, syncfs(fd));
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(0, stat(vol_path(file(20 * PER_BLOCK)), &st));
	EXPECT_EQ(0604, st.st_mode & 07777);
}

TEST_HARNESS_MAIN
