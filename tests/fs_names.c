// SPDX-License-Identifier: GPL-2.0
/* Names: links, symbolic links, special files, rename, unlinked but open, directories. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "harness.h"

VOL_FIXTURE(fs_names);
FIXTURE_VARIANT_ADD(fs_names, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(fs_names, bs2k) { .conf = VOL_2K };
FIXTURE_VARIANT_ADD(fs_names, bs4k) { .conf = VOL_4K };
/* The format has no fields for the greater part of such an inode. */
FIXTURE_VARIANT_ADD(fs_names, large_inodes) { .conf = VOL_CONF(1024, 1024) };

TEST_F(fs_names, unlink)
{
	struct statfs before, after;
	struct stat st;
	char *buf = buf_alloc(40000);
	int fd;

	ASSERT_EQ(0, vol_prefill("keep", 0, 100, 1));
	ASSERT_EQ(0, statfs(env_dir(), &before));
	ASSERT_EQ(0, vol_prefill("f", 0, 40000, 2));
	ASSERT_EQ(0, unlink(vol_path("f")));
	EXPECT_FALSE(vol_exists("f"));
	EXPECT_EQ(-1, unlink(vol_path("f")));
	EXPECT_EQ(ENOENT, errno);
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_bfree, after.f_bfree);
	EXPECT_EQ(before.f_ffree, after.f_ffree);

	/* Open and unlinked: there until the last close, and then given back. */
	ASSERT_EQ(0, vol_prefill("g", 0, 40000, 3));
	fd = vol_open("g", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, unlink(vol_path("g")));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_nlink);
	ASSERT_EQ(40000, pread(fd, buf, 40000, 0));
	EXPECT_PATTERN(buf, 40000, 0, 3);
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_GT(before.f_bfree, after.f_bfree);
	ASSERT_EQ(0, close(fd));
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_bfree, after.f_bfree);
	EXPECT_EQ(before.f_ffree, after.f_ffree);

	EXPECT_EQ(-1, unlink(env_dir()));
	ASSERT_EQ(0, vol_mkdir("d"));
	EXPECT_EQ(-1, unlink(vol_path("d")));
	EXPECT_EQ(EISDIR, errno);
	EXPECT_TRUE(vol_holds("keep", 100, 1));
}

TEST_F(fs_names, hard_link)
{
	ASSERT_EQ(0, vol_prefill("a", 0, 3000, 1));
	ASSERT_EQ(0, link(vol_path("a"), vol_path("b")));
	EXPECT_EQ(2, vol_links("a"));
	EXPECT_EQ(vol_inode("a"), vol_inode("b"));
	EXPECT_EQ(-1, link(vol_path("a"), vol_path("b")));
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(0, unlink(vol_path("a")));
	EXPECT_EQ(1, vol_links("b"));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("b", 3000, 1));
	ASSERT_EQ(0, vol_mkdir("d"));
	EXPECT_EQ(-1, link(vol_path("d"), vol_path("e")));
	EXPECT_EQ(EPERM, errno);
}

TEST_F(fs_names, symlink)
{
	/* up to 59 bytes live in the inode, from 60 on in a block */
	static const int lens[] = { 1, 59, 60, 61, 255, 1000 };
	char target[4096], seen[4096], name[16];
	struct stat st;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		memset(target, 'a' + i, lens[i]);
		target[lens[i]] = 0;
		snprintf(name, sizeof(name), "l%d", lens[i]);
		ASSERT_EQ(0, symlink(target, vol_path(name)));
	}
	memset(target, 'x', self->v.bs);
	target[self->v.bs - 1] = 0;
	if (self->v.bs < 4096) {
		EXPECT_EQ(0, symlink(target, vol_path("fit")));
		target[self->v.bs - 1] = 'x';
		target[self->v.bs] = 0;
		EXPECT_EQ(-1, symlink(target, vol_path("long")));
		EXPECT_EQ(ENAMETOOLONG, errno);
	}
	ASSERT_EQ(0, vol_remount(&self->v));
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		snprintf(name, sizeof(name), "l%d", lens[i]);
		memset(target, 'a' + i, lens[i]);
		memset(seen, 0, sizeof(seen));
		EXPECT_EQ(lens[i], readlink(vol_path(name), seen, sizeof(seen)));
		EXPECT_EQ(0, memcmp(target, seen, lens[i]));
		ASSERT_EQ(0, lstat(vol_path(name), &st));
		EXPECT_TRUE(S_ISLNK(st.st_mode));
		EXPECT_EQ(lens[i], st.st_size);
		EXPECT_EQ(lens[i] >= 60, st.st_blocks > 0);
	}
	ASSERT_EQ(0, vol_prefill("f", 0, 512, 7));
	ASSERT_EQ(0, symlink("f", vol_path("to_f")));
	EXPECT_TRUE(vol_holds("to_f", 512, 7));
	ASSERT_EQ(0, symlink("loop", vol_path("loop")));
	EXPECT_EQ(-ELOOP, vol_open("loop", O_RDONLY));
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		snprintf(name, sizeof(name), "l%d", lens[i]);
		EXPECT_EQ(0, unlink(vol_path(name)));
	}
}

TEST_F(fs_names, mkdir_rmdir)
{
	struct statfs before, after;
	struct stat st;

	ASSERT_EQ(0, statfs(env_dir(), &before));
	EXPECT_EQ(3, vol_links(""));	/* ., .. and lost+found/.. */
	ASSERT_EQ(0, vol_mkdir("d"));
	EXPECT_EQ(4, vol_links(""));
	EXPECT_EQ(2, vol_links("d"));
	EXPECT_EQ(-EEXIST, vol_mkdir("d"));
	ASSERT_EQ(0, vol_mkdir("d/e"));
	EXPECT_EQ(3, vol_links("d"));
	EXPECT_EQ(vol_inode("d"), vol_inode("d/e/.."));
	ASSERT_EQ(0, vol_prefill("d/e/f", 0, 100, 1));
	EXPECT_EQ(-1, rmdir(vol_path("d/e")));
	EXPECT_EQ(ENOTEMPTY, errno);
	EXPECT_EQ(-1, rmdir(vol_path("d/e/f")));
	EXPECT_EQ(ENOTDIR, errno);
	ASSERT_EQ(0, unlink(vol_path("d/e/f")));
	ASSERT_EQ(0, rmdir(vol_path("d/e")));
	EXPECT_EQ(2, vol_links("d"));
	ASSERT_EQ(0, stat(vol_path("d"), &st));
	EXPECT_EQ(self->v.bs, st.st_size);
	ASSERT_EQ(0, rmdir(vol_path("d")));
	EXPECT_EQ(3, vol_links(""));
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_bfree, after.f_bfree);
	EXPECT_EQ(before.f_ffree, after.f_ffree);
}

TEST_F(fs_names, rename_files)
{
	struct statfs before, after;

	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_prefill("a", 0, 3000, 1));
	ASSERT_EQ(0, vol_rename("a", "b", 0));
	EXPECT_FALSE(vol_exists("a"));
	EXPECT_TRUE(vol_holds("b", 3000, 1));

	/* over another file: that one goes, blocks and all */
	ASSERT_EQ(0, statfs(env_dir(), &before));
	ASSERT_EQ(0, vol_prefill("c", 0, 30000, 2));
	ASSERT_EQ(0, vol_rename("b", "c", 0));
	EXPECT_FALSE(vol_exists("b"));
	EXPECT_TRUE(vol_holds("c", 3000, 1));
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_bfree, after.f_bfree);
	EXPECT_EQ(before.f_ffree, after.f_ffree);

	ASSERT_EQ(0, vol_rename("c", "d/c", 0));
	EXPECT_TRUE(vol_holds("d/c", 3000, 1));
	EXPECT_EQ(-ENOENT, vol_rename("c", "d/c", 0));

	ASSERT_EQ(0, vol_prefill("e", 0, 100, 3));
	EXPECT_EQ(-EEXIST, vol_rename("e", "d/c", RENAME_NOREPLACE));
	EXPECT_TRUE(vol_holds("e", 100, 3));
	EXPECT_TRUE(vol_holds("d/c", 3000, 1));
	EXPECT_EQ(0, vol_rename("e", "d/e", RENAME_NOREPLACE));

	/* two names of one file: nothing happens */
	ASSERT_EQ(0, link(vol_path("d/e"), vol_path("e")));
	EXPECT_EQ(0, vol_rename("e", "d/e", 0));
	EXPECT_TRUE(vol_exists("e"));
	EXPECT_EQ(2, vol_links("d/e"));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("d/c", 3000, 1));
	EXPECT_TRUE(vol_holds("d/e", 100, 3));
}

/*
 * A file that could not be made: where there was room for its name is taken by another one since. It is made then, and nothing is
 * looked up for that, as it is known not to be there.
 */
TEST_F(fs_names, room_that_was_found)
{
	int fd;

	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_prefill("d/a", 0, 100, 1));
	ASSERT_EQ(0, vol_prefill("b", 0, 100, 2));
	/* that one is known not to be there, too */
	ASSERT_FALSE(vol_exists("d/b"));
	ASSERT_EQ(0, setresuid(-1, 65534, -1));
	fd = vol_open("d/x", O_CREAT | O_RDWR);
	EXPECT_EQ(-EACCES, fd);
	ASSERT_EQ(0, setresuid(-1, 0, -1));
	ASSERT_EQ(0, vol_rename("b", "d/b", 0));
	EXPECT_EQ(0, vol_prefill("d/x", 0, 100, 3));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("d/a", 100, 1));
	EXPECT_TRUE(vol_holds("d/b", 100, 2));
	EXPECT_TRUE(vol_holds("d/x", 100, 3));
}

TEST_F(fs_names, rename_dirs)
{
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_mkdir("d/sub"));
	ASSERT_EQ(0, vol_mkdir("e"));
	ASSERT_EQ(0, vol_prefill("d/sub/f", 0, 100, 1));
	EXPECT_EQ(3, vol_links("d"));
	EXPECT_EQ(2, vol_links("e"));

	ASSERT_EQ(0, vol_rename("d/sub", "e/sub", 0));
	EXPECT_EQ(2, vol_links("d"));
	EXPECT_EQ(3, vol_links("e"));
	EXPECT_EQ(vol_inode("e"), vol_inode("e/sub/.."));
	EXPECT_TRUE(vol_holds("e/sub/f", 100, 1));

	EXPECT_EQ(-EINVAL, vol_rename("e", "e/sub/e", 0));
	EXPECT_EQ(-ENOTDIR, vol_rename("d", "e/sub/f", 0));
	EXPECT_EQ(-EISDIR, vol_rename("e/sub/f", "d", 0));
	EXPECT_EQ(-ENOTEMPTY, vol_rename("d", "e", 0));

	/* over an empty directory */
	EXPECT_EQ(0, vol_rename("e/sub", "d", 0));
	EXPECT_EQ(2, vol_links("e"));
	EXPECT_EQ(2, vol_links("d"));
	EXPECT_EQ(5, vol_links(""));
	EXPECT_EQ(vol_inode(""), vol_inode("d/.."));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(vol_inode(""), vol_inode("d/.."));
	EXPECT_TRUE(vol_holds("d/f", 100, 1));
}

TEST_F(fs_names, names)
{
	char name[260];
	int fd;

	memset(name, 'n', 255);
	name[255] = 0;
	fd = vol_open(name, O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	close(fd);
	EXPECT_TRUE(vol_exists(name));
	name[254] = 'm';
	EXPECT_FALSE(vol_exists(name));
	name[255] = 'n';
	name[256] = 0;
	EXPECT_EQ(-ENAMETOOLONG, vol_open(name, O_CREAT | O_RDWR));
	EXPECT_EQ(-ENAMETOOLONG, vol_mkdir(name));
	EXPECT_EQ(-ENAMETOOLONG, vol_rename("lost+found", name, 0));
	EXPECT_EQ(-1, symlink("x", vol_path(name)));
	EXPECT_EQ(ENAMETOOLONG, errno);
	/* any byte but '/' and 0 is good */
	fd = vol_open("\xff \x01\n\\x", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_exists("\xff \x01\n\\x"));
}

TEST_F(fs_names, special_files)
{
	const dev_t small = makedev(8, 17), big = makedev(259, 70000);
	struct stat st;

	ASSERT_EQ(0, mknod(vol_path("fifo"), S_IFIFO | 0600, 0));
	ASSERT_EQ(0, mknod(vol_path("chr"), S_IFCHR | 0600, makedev(1, 3)));
	ASSERT_EQ(0, mknod(vol_path("blk"), S_IFBLK | 0600, small));
	ASSERT_EQ(0, mknod(vol_path("big"), S_IFBLK | 0600, big));
	ASSERT_EQ(0, mknod(vol_path("sock"), S_IFSOCK | 0600, 0));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, stat(vol_path("fifo"), &st));
	EXPECT_TRUE(S_ISFIFO(st.st_mode));
	ASSERT_EQ(0, stat(vol_path("sock"), &st));
	EXPECT_TRUE(S_ISSOCK(st.st_mode));
	ASSERT_EQ(0, stat(vol_path("blk"), &st));
	EXPECT_TRUE(S_ISBLK(st.st_mode));
	EXPECT_EQ(small, st.st_rdev);
	ASSERT_EQ(0, stat(vol_path("big"), &st));
	EXPECT_EQ(big, st.st_rdev);
	ASSERT_EQ(0, stat(vol_path("chr"), &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(makedev(1, 3), st.st_rdev);
	EXPECT_EQ(0, unlink(vol_path("big")));
}

TEST_HARNESS_MAIN
