// SPDX-License-Identifier: GPL-2.0
/*
 * RENAME_EXCHANGE and RENAME_WHITEOUT: names, .. and link counts, what is on the device after
 * a loss of power, and what is left when the device fails.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "harness.h"
#include "powerloss.h"

VOL_FIXTURE(fs_rename);
FIXTURE_VARIANT_ADD(fs_rename, bs1k) { .conf = SMALL_1K };

#define LEN	3000

static bool is_whiteout(const char *name)
{
	struct stat st;

	return !lstat(vol_path(name), &st) && S_ISCHR(st.st_mode) && !st.st_rdev &&
	       st.st_nlink == 1;
}

/* The directories a and b, with a file in each, of generations 1 and 2; all is synced. */
static void make_two(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("b"));
	close(vol_make("a/f", LEN, 1));
	close(vol_make("b/g", LEN, 2));
	vol_sync();
}

TEST_F(fs_rename, exchange_files)
{
	make_two(_metadata);
	close(vol_make("a/h", LEN, 3));
	ASSERT_EQ(0, vol_rename("a/f", "a/h", RENAME_EXCHANGE));
	EXPECT_TRUE(vol_holds("a/f", LEN, 3));
	EXPECT_TRUE(vol_holds("a/h", LEN, 1));
	ASSERT_EQ(0, vol_rename("a/f", "b/g", RENAME_EXCHANGE));
	EXPECT_TRUE(vol_holds("a/f", LEN, 2));
	EXPECT_TRUE(vol_holds("b/g", LEN, 3));
	EXPECT_EQ(-ENOENT, vol_rename("a/f", "b/none", RENAME_EXCHANGE));
	EXPECT_EQ(-ENOENT, vol_rename("b/none", "a/f", RENAME_EXCHANGE));
	EXPECT_EQ(-EINVAL, vol_rename("a/f", "b/g", RENAME_EXCHANGE | RENAME_NOREPLACE));
	EXPECT_EQ(-EINVAL, vol_rename("a/f", "b/g", RENAME_EXCHANGE | RENAME_WHITEOUT));
	/* two names of one file */
	ASSERT_EQ(0, vol_link("a/f", "l"));
	EXPECT_EQ(0, vol_rename("a/f", "l", RENAME_EXCHANGE));
	EXPECT_EQ(2, vol_links("l"));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("a/f", LEN, 2));
	EXPECT_TRUE(vol_holds("a/h", LEN, 1));
	EXPECT_TRUE(vol_holds("b/g", LEN, 3));
}

TEST_F(fs_rename, exchange_directories)
{
	make_two(_metadata);
	ASSERT_EQ(0, vol_mkdir("a/d"));
	ASSERT_EQ(0, vol_mkdir("a/d/sub"));
	ASSERT_EQ(0, vol_mkdir("b/e"));
	ASSERT_EQ(0, vol_rename("a/d", "b/e", RENAME_EXCHANGE));
	EXPECT_EQ(3, vol_links("a"));
	EXPECT_EQ(3, vol_links("b"));
	EXPECT_EQ(2, vol_links("a/d"));
	EXPECT_EQ(3, vol_links("b/e"));
	EXPECT_TRUE(vol_exists("b/e/sub"));
	/* full, or above the other one */
	EXPECT_EQ(0, vol_rename("a", "b", RENAME_EXCHANGE));
	EXPECT_TRUE(vol_holds("b/f", LEN, 1));
	EXPECT_EQ(-EINVAL, vol_rename("a", "a/e/sub", RENAME_EXCHANGE));
	EXPECT_EQ(-EINVAL, vol_rename("a/e/sub", "a", RENAME_EXCHANGE));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(vol_inode("a"), vol_inode("a/e/.."));
	EXPECT_EQ(vol_inode("b"), vol_inode("b/d/.."));
	EXPECT_EQ(vol_inode("a/e"), vol_inode("a/e/sub/.."));
}

TEST_F(fs_rename, exchange_file_and_directory)
{
	make_two(_metadata);
	ASSERT_EQ(0, vol_mkdir("a/d"));
	ASSERT_EQ(0, vol_rename("a/d", "b/g", RENAME_EXCHANGE));
	EXPECT_EQ(2, vol_links("a"));
	EXPECT_EQ(3, vol_links("b"));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(vol_inode("b"), vol_inode("b/g/.."));
	EXPECT_TRUE(vol_holds("a/d", LEN, 2));
	/* and back, in the other order; then in one directory */
	ASSERT_EQ(0, vol_rename("a/d", "b/g", RENAME_EXCHANGE));
	EXPECT_EQ(3, vol_links("a"));
	EXPECT_EQ(2, vol_links("b"));
	ASSERT_EQ(0, vol_rename("a/f", "a/d", RENAME_EXCHANGE));
	EXPECT_EQ(3, vol_links("a"));
	EXPECT_TRUE(vol_holds("a/d", LEN, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(vol_inode("a"), vol_inode("a/f/.."));
	EXPECT_EQ(0, rmdir(vol_path("a/f")));
}

/* The directories are two blocks, that nobody else brings to the device together. */
TEST_F(fs_rename, exchange_between_directories)
{
	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	make_two(_metadata);
	ASSERT_EQ(0, vol_rename("a/f", "b/g", RENAME_EXCHANGE));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("a/f", LEN, 2));
	EXPECT_TRUE(lost_holds("b/g", LEN, 1));
}

/* In one block, too: what was synced below them needs nothing more to be found. */
TEST_F(fs_rename, exchange_above_a_synced_file)
{
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	make_two(_metadata);
	fd = vol_open("a/f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, vol_rename("a", "b", RENAME_EXCHANGE));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("b/f", LEN, 1));
	EXPECT_TRUE(lost_holds("a/g", LEN, 2));
}

/* A name leads to a file with its data, which was never synced by itself. */
TEST_F(fs_rename, exchange_with_a_file_that_was_not_synced)
{
	int dir = vol_open_dir("");

	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	ASSERT_LE(0, dir);
	close(vol_make("config", LEN, 1));
	vol_sync();
	close(vol_make("new", LEN, 2));
	ASSERT_EQ(0, vol_rename("config", "new", RENAME_EXCHANGE));
	ASSERT_EQ(0, fsync(dir));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("config", LEN, 2));
	EXPECT_TRUE(lost_holds("new", LEN, 1));
}

/* The sync of one of them keeps both names, which are in one block. */
TEST_F(fs_rename, exchange_that_is_synced)
{
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	fd = vol_make("f", LEN, 1);
	close(vol_make("g", LEN, 2));
	ASSERT_LE(0, fd);
	vol_sync();
	ASSERT_EQ(0, vol_rename("g", "f", RENAME_EXCHANGE));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("g", LEN, 1));
	EXPECT_TRUE(lost_holds("f", LEN, 2));
}

static long op_exchange(void *unused)
{
	return vol_rename("a/f", "b/g", RENAME_EXCHANGE);
}

/*
 * One of the two blocks is not on the device. Whichever it is, the file that had the first name
 * is there.
 */
TEST_F(fs_rename, exchange_that_is_half_written)
{
	static const char *const dir[] = { "b", "a" };
	struct task exchanging;
	struct vol_map map;
	int i;

	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	make_two(_metadata);
	for (i = 0; i < 2; i++) {
		vol_sync();
		ASSERT_EQ(0, vol_block(&self->v, dir[i], 0, &map));
		map.e[0].writes = true;
		ASSERT_EQ(0, vol_route(&self->v, &map));
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, task_start(&exchanging, op_exchange, NULL));
		EXPECT_BLOCKED(&exchanging);
		EXPECT_EQ(0, lose_power(&self->v));
		EXPECT_TRUE(lost_holds("a/f", LEN, 1 + i));
		EXPECT_TRUE(lost_holds("b/g", LEN, 2));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(0, task_join(&exchanging, JOIN_SECONDS));
		ASSERT_EQ(0, vol_unroute(&self->v));
	}
}

TEST_F(fs_rename, exchange_with_dirsync)
{
	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_DIRSYNC, NULL));
	make_two(_metadata);
	ASSERT_EQ(0, vol_mkdir("a/d"));
	ASSERT_EQ(0, vol_mkdir("b/e"));
	ASSERT_EQ(0, vol_rename("a/d", "b/e", RENAME_EXCHANGE));
	ASSERT_EQ(0, vol_rename("a/f", "b/g", RENAME_EXCHANGE));
	ASSERT_EQ(0, vol_rename("a/d", "a/w", RENAME_WHITEOUT));
	ASSERT_EQ(0, lose_power_unrepaired(&self->v));
	EXPECT_EQ(vol_inode("b"), lost_inode("b/e/.."));
	EXPECT_EQ(vol_inode("a"), lost_inode("a/w/.."));
	EXPECT_EQ(vol_inode("a/d"), lost_inode("a/d"));
	EXPECT_TRUE(lost_holds("a/f", LEN, 2));
}

TEST_F(fs_rename, exchange_that_cannot_be_written)
{
	struct vol_map map;

	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	make_two(_metadata);
	close(vol_make("b/h", LEN, 3));
	vol_sync();
	ASSERT_EQ(0, vol_block(&self->v, "b", 0, &map));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-EIO, vol_rename("a/f", "b/g", RENAME_EXCHANGE));
	EXPECT_EQ(-EIO, vol_rename("b/g", "b/h", RENAME_EXCHANGE));
	ASSERT_EQ(0, vol_unroute(&self->v));
	vol_sync();
	EXPECT_TRUE(vol_holds("a/f", LEN, 1));
	EXPECT_TRUE(vol_holds("b/g", LEN, 2));
	EXPECT_TRUE(vol_holds("b/h", LEN, 3));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("a/f", LEN, 1));
	EXPECT_TRUE(vol_holds("b/g", LEN, 2));
	EXPECT_TRUE(vol_holds("b/h", LEN, 3));
}

TEST_F(fs_rename, whiteout)
{
	struct statfs before, after;

	make_two(_metadata);
	ASSERT_EQ(0, vol_mkdir("a/d"));
	ASSERT_EQ(0, statfs(env_dir(), &before));
	ASSERT_EQ(0, vol_rename("a/f", "a/h", RENAME_WHITEOUT));
	EXPECT_TRUE(is_whiteout("a/f"));
	EXPECT_TRUE(vol_holds("a/h", LEN, 1));
	EXPECT_EQ(-EEXIST, vol_rename("a/h", "b/g", RENAME_WHITEOUT | RENAME_NOREPLACE));
	/* over a file, whose inode is free then */
	ASSERT_EQ(0, vol_rename("a/h", "b/g", RENAME_WHITEOUT));
	EXPECT_TRUE(is_whiteout("a/h"));
	EXPECT_TRUE(vol_holds("b/g", LEN, 1));
	ASSERT_EQ(0, vol_rename("a/d", "b/d", RENAME_WHITEOUT));
	EXPECT_TRUE(is_whiteout("a/d"));
	EXPECT_EQ(2, vol_links("a"));
	EXPECT_EQ(3, vol_links("b"));
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_ffree - 3 + 1, after.f_ffree);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(is_whiteout("a/f"));
	EXPECT_TRUE(is_whiteout("a/h"));
	EXPECT_TRUE(is_whiteout("a/d"));
	EXPECT_EQ(vol_inode("b"), vol_inode("b/d/.."));
	EXPECT_EQ(0, unlink(vol_path("a/f")));
}

/*
 * A name that was synced leads to a whiteout, and the directory comes to the device by way of
 * another file, whose inode is not in the block that has that of the whiteout.
 */
TEST_F(fs_rename, whiteout_of_a_name_that_was_synced)
{
	char name[16];
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	fd = vol_make("first", LEN, 1);
	ASSERT_LE(0, fd);
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		close(vol_make(name, LEN, 2));
	}
	vol_sync();
	ASSERT_EQ(0, vol_rename("f7", "new", RENAME_WHITEOUT));
	ASSERT_EQ(0, vol_link("first", "link"));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("new", LEN, 2));
	EXPECT_EQ(vol_inode("f7"), lost_inode("f7"));
}

/* It takes an inode: without one all is as before. */
TEST_F(fs_rename, whiteout_without_an_inode)
{
	char name[16];
	int i;

	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	make_two(_metadata);
	for (i = 0; ; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		if (mknod(vol_path(name), S_IFIFO | 0600, 0))
			break;
	}
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(-ENOSPC, vol_rename("a/f", "b/g", RENAME_WHITEOUT));
	EXPECT_TRUE(vol_holds("a/f", LEN, 1));
	EXPECT_TRUE(vol_holds("b/g", LEN, 2));
	EXPECT_EQ(0, vol_rename("a/f", "b/g", RENAME_EXCHANGE));
}

TEST_HARNESS_MAIN
