// SPDX-License-Identifier: GPL-2.0
/* O_TMPFILE: a file without a name, that can get one; what is left of it after a loss of power. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "harness.h"
#include "powerloss.h"

VOL_FIXTURE(fs_tmpfile);
FIXTURE_VARIANT_ADD(fs_tmpfile, bs1k) { .conf = SMALL_1K };

#define LEN	3000

/* With data of generation @gen in it; -errno. */
static int make_tmpfile(int flags, uint64_t gen)
{
	int fd = open(env_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600);
	char *buf = buf_alloc(LEN);

	if (fd < 0)
		return -errno;
	pattern_fill(buf, LEN, 0, gen);
	return pwrite(fd, buf, LEN, 0) == LEN ? fd : -EIO;
}

static int link_by_proc(int fd, const char *to)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, name, AT_FDCWD, vol_path(to), AT_SYMLINK_FOLLOW) ? -errno : 0;
}

static int link_empty(int fd, const char *to)
{
	return linkat(fd, "", AT_FDCWD, vol_path(to), AT_EMPTY_PATH) ? -errno : 0;
}

TEST_F(fs_tmpfile, names)
{
	struct stat st;
	int fd;

	ASSERT_EQ(0, vol_mkdir("d"));
	fd = make_tmpfile(0, 1);
	if (fd == -EOPNOTSUPP)
		SKIP(return, "no O_TMPFILE");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_nlink);
	ASSERT_EQ(0, link_by_proc(fd, "p"));
	EXPECT_EQ(1, vol_links("p"));
	EXPECT_EQ(-EEXIST, link_by_proc(fd, "p"));
	ASSERT_EQ(0, link_empty(fd, "d/q"));
	EXPECT_EQ(2, vol_links("p"));
	close(fd);
	fd = make_tmpfile(0, 2);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, link_empty(fd, "e"));
	close(fd);
	/* it was opened to stay without a name */
	fd = make_tmpfile(O_EXCL, 3);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOENT, link_by_proc(fd, "x"));
	EXPECT_EQ(-ENOENT, link_empty(fd, "x"));
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("p", LEN, 1));
	EXPECT_TRUE(vol_holds("d/q", LEN, 1));
	EXPECT_TRUE(vol_holds("e", LEN, 2));
}

TEST_F(fs_tmpfile, given_back)
{
	struct statfs before, after;
	int fd;

	ASSERT_EQ(0, statfs(env_dir(), &before));
	fd = make_tmpfile(0, 1);
	if (fd == -EOPNOTSUPP)
		SKIP(return, "no O_TMPFILE");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_ffree - 1, after.f_ffree);
	EXPECT_EQ(before.f_bfree - (LEN + self->v.bs - 1) / self->v.bs, after.f_bfree);
	/* it would have to be deleted later */
	EXPECT_EQ(-EBUSY, vol_read_only());
	ASSERT_EQ(0, close(fd));
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_ffree, after.f_ffree);
	EXPECT_EQ(before.f_bfree, after.f_bfree);
	ASSERT_EQ(0, vol_read_only_soon());
	EXPECT_EQ(-EROFS, make_tmpfile(0, 1));
	ASSERT_EQ(0, vol_read_write());
}

/* It is freed by e2fsck, synced or not. */
TEST_F(fs_tmpfile, loss_of_power)
{
	char name[32];
	struct stat st;
	int fd = make_tmpfile(0, 1);

	if (fd == -EOPNOTSUPP)
		SKIP(return, "no O_TMPFILE");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	snprintf(name, sizeof(name), "lost+found/#%lu", (unsigned long)st.st_ino);
	vol_sync();
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_FALSE(lost_exists(name));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_FALSE(lost_exists(name));
}

/* As on the device it is deleted, the sync of the directory has to bring the inode, too. */
static void link_and_sync_dir(struct __test_metadata *_metadata, struct vol *v, bool synced)
{
	int dir, fd;

	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	ASSERT_EQ(0, vol_mkdir("d"));
	dir = vol_open_dir("d");
	ASSERT_LE(0, dir);
	fd = make_tmpfile(0, 1);
	ASSERT_LE(0, fd);
	if (synced)
		vol_sync();
	ASSERT_EQ(0, link_by_proc(fd, "d/t"));
	ASSERT_EQ(0, fsync(dir));
	ASSERT_EQ(0, lose_power(v));
	EXPECT_TRUE(synced ? lost_holds("d/t", LEN, 1) : lost_exists("d/t"));
}

TEST_F(fs_tmpfile, link_of_a_new_file)
{
	link_and_sync_dir(_metadata, &self->v, false);
}

TEST_F(fs_tmpfile, link_of_a_synced_file)
{
	link_and_sync_dir(_metadata, &self->v, true);
}

TEST_HARNESS_MAIN
