// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks of metadata in the cache of the device: what becomes of them when they are freed and
 * given out again, and when memory is short.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocks.h"
#include "caches.h"
#include "debugfs.h"
#include "ext2.h"
#include "harness.h"

VOL_FIXTURE(fs_metadata);
FIXTURE_VARIANT_ADD(fs_metadata, bs1k) { .conf = SMALL_1K };

#define NAMES	6

/* Names so long that four of them fill a block of 1 KiB. */
static const char *long_name(const char *dir, int i)
{
	static char name[256];

	snprintf(name, sizeof(name), "%s/%0200d", dir, i);
	return name;
}

/* Small files need no pointers, so that no block is left. */
static int fill_to_the_last(struct vol *v)
{
	int err = fill_up(v, 8), i;
	char name[16];

	for (i = 0; !err && free_blocks() > 0; i++) {
		snprintf(name, sizeof(name), "fill%d", i);
		err = vol_prefill(name, 0, v->bs, 1);
	}
	return err;
}

static long op_close(void *fd)
{
	return close(*(int *)fd) ? -errno : 0;
}

/*
 * A directory is being deleted, which waits for its extended attributes. Its blocks are free
 * already, and are the only ones: a file gets them, and is synced. What it got has to be on
 * the device, although the directory had the same buffers in its list of what to sync.
 */
TEST_F(fs_metadata, blocks_of_a_directory_that_is_deleted)
{
	const off_t bs = self->v.bs, old = 12 * bs, size = old + bs;
	char *want = buf_alloc(size), *back = buf_alloc(size);
	struct vol_conf linear = variant->conf;
	struct vol_map map = { .nr = 1 };
	struct task task;
	long acl;
	int fd, dir, i;

	if (!env_is_retryfs())
		SKIP(return, "others free blocks when nothing is left to wait for");
	/* of two blocks, and no index */
	linear.features = "^dir_index";
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &linear));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	for (i = 0; i < NAMES; i++)
		close(vol_open(long_name("d", i), O_CREAT | O_RDWR));
	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "ea_set d user.a %0100d", 1));
	acl = debugfs_number(&self->v, "stat d", "File ACL:");
	ASSERT_LT(0, acl);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, fill_to_the_last(&self->v));

	/* both of its blocks are dirty */
	for (i = 0; i < NAMES; i++)
		ASSERT_EQ(0, unlink(vol_path(long_name("d", i))));
	map.e[0] = (struct vol_extent){ acl * bs / 512, bs / 512, .reads = true };
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	/* open, so that it is deleted with no lock of its parent held */
	dir = vol_open("d", O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, rmdir(vol_path("d")));
	ASSERT_EQ(0, task_start(&task, op_close, &dir));
	EXPECT_BLOCKED(&task);
	EXPECT_EQ(2, free_blocks());

	/* one for the data, and one for the pointer to it */
	fd = vol_open("f", O_RDWR);
	pattern_fill(want, size, 0, 1);
	EXPECT_EQ(bs, pwrite(fd, want + old, bs, old));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_NULL_DIFF(ext2_differs(&self->v, "f", want, size, back));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/*
 * Metadata that the kernel has written, with no sync(2) of the filesystem: the memory can
 * be had back.
 */
TEST_F(fs_metadata, memory_of_what_is_written)
{
	enum { MANY = 250, FEW = 8 };
	int fd, i;

	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	for (i = 0; i < MANY; i++)
		close(vol_open(long_name("d", i), O_CREAT | O_RDWR));
	fd = open(self->v.dev, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	if (cached_pages(fd, 0, 0) < 0)
		SKIP(return, "cachestat(2): %s", strerror(-cached_pages(fd, 0, 0)));
	/* it writes what the cache of the device has, and nothing that files have */
	ASSERT_EQ(0, fsync(fd));
	EXPECT_LT(2 * FEW, cached_pages(fd, 0, 0));
	ASSERT_EQ(0, forget_all());
	EXPECT_GE(FEW, cached_pages(fd, 0, 0));
	close(fd);
}

TEST_HARNESS_MAIN
