// SPDX-License-Identifier: GPL-2.0
/* Names, links, attributes, and what the whole filesystem says about itself. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>

#include "harness.h"

VOL_FIXTURE(fs_basic);
FIXTURE_VARIANT_ADD(fs_basic, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(fs_basic, bs2k) { .conf = VOL_2K };
FIXTURE_VARIANT_ADD(fs_basic, bs4k) { .conf = VOL_4K };
/* The format has no fields for the greater part of such an inode. */
FIXTURE_VARIANT_ADD(fs_basic, large_inodes) { .conf = VOL_CONF(1024, 1024) };

static int path_mkdir(const char *name)
{
	return mkdir(vol_path(name), 0755) ? -errno : 0;
}

static int path_rename(const char *from, const char *to, unsigned int flags)
{
	return syscall(SYS_renameat2, AT_FDCWD, vol_path(from), AT_FDCWD,
		       vol_path(to), flags) ? -errno : 0;
}

/* The content of a small file made by vol_prefill(). */
static bool holds(const char *name, size_t len, uint64_t gen)
{
	char *buf = buf_alloc(len + 1);
	int fd = vol_open(name, O_RDONLY);
	const char *diff;
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, len + 1);
	close(fd);
	if (n != (ssize_t)len)
		return false;
	diff = pattern_diff(buf, len, 0, gen);
	if (diff)
		printf("# %s: %s\n", name, diff);
	return !diff;
}

static nlink_t links(const char *name)
{
	struct stat st;

	return lstat(vol_path(name), &st) ? 0 : st.st_nlink;
}

static ino_t inode(const char *name)
{
	struct stat st;

	return lstat(vol_path(name), &st) ? 0 : st.st_ino;
}

static bool exists(const char *name)
{
	return inode(name) != 0;
}

TEST_F(fs_basic, create_write_read)
{
	struct stat st;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 10000, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(holds("f", 10000, 1));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	EXPECT_EQ(10000, st.st_size);
	EXPECT_EQ(1, st.st_nlink);
	EXPECT_EQ(0644, st.st_mode & 07777);
	EXPECT_TRUE(S_ISREG(st.st_mode));
	EXPECT_EQ(self->v.bs, st.st_blksize);
	EXPECT_LE(10000, st.st_blocks * 512);
	/* at most the data, rounded up to blocks, and one indirect block */
	EXPECT_GE((10000 / self->v.bs + 2) * self->v.bs, st.st_blocks * 512);

	EXPECT_EQ(-EEXIST, vol_open("f", O_CREAT | O_EXCL | O_RDWR));
	EXPECT_EQ(-ENOENT, vol_open("g", O_RDWR));
	EXPECT_EQ(-ENOENT, vol_open("no/f", O_CREAT | O_RDWR));
	EXPECT_EQ(-ENOTDIR, vol_open("f/x", O_CREAT | O_RDWR));
	EXPECT_EQ(-EISDIR, vol_open("", O_RDWR));

	fd = vol_open("f", O_WRONLY | O_APPEND);
	ASSERT_LE(0, fd);
	ASSERT_EQ(5, pwrite(fd, "abcde", 5, 0));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(10005, st.st_size);
	close(fd);
	fd = vol_open("f", O_WRONLY | O_TRUNC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_size);
	EXPECT_EQ(0, st.st_blocks);
}

TEST_F(fs_basic, unlink)
{
	struct statfs before, after;
	struct stat st;
	char *buf = buf_alloc(40000);
	int fd;

	ASSERT_EQ(0, vol_prefill("keep", 0, 100, 1));
	ASSERT_EQ(0, statfs(env_dir(), &before));
	ASSERT_EQ(0, vol_prefill("f", 0, 40000, 2));
	ASSERT_EQ(0, unlink(vol_path("f")));
	EXPECT_FALSE(exists("f"));
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
	ASSERT_EQ(0, path_mkdir("d"));
	EXPECT_EQ(-1, unlink(vol_path("d")));
	EXPECT_EQ(EISDIR, errno);
	EXPECT_TRUE(holds("keep", 100, 1));
}

TEST_F(fs_basic, tmpfile)
{
	struct statfs before, after;
	char name[64];
	int fd;

	ASSERT_EQ(0, statfs(env_dir(), &before));
	fd = open(env_dir(), O_TMPFILE | O_RDWR, 0600);
	if (fd < 0 && errno == EOPNOTSUPP)
		SKIP(return, "no O_TMPFILE");
	ASSERT_LE(0, fd);
	ASSERT_EQ(4, write(fd, "test", 4));
	close(fd);
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_ffree, after.f_ffree);
	EXPECT_EQ(before.f_bfree, after.f_bfree);

	fd = open(env_dir(), O_TMPFILE | O_RDWR, 0600);
	ASSERT_LE(0, fd);
	ASSERT_EQ(4, write(fd, "test", 4));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ASSERT_EQ(0, linkat(AT_FDCWD, name, AT_FDCWD, vol_path("t"),
			    AT_SYMLINK_FOLLOW));
	EXPECT_EQ(1, links("t"));
}

TEST_F(fs_basic, hard_link)
{
	ASSERT_EQ(0, vol_prefill("a", 0, 3000, 1));
	ASSERT_EQ(0, link(vol_path("a"), vol_path("b")));
	EXPECT_EQ(2, links("a"));
	EXPECT_EQ(inode("a"), inode("b"));
	EXPECT_EQ(-1, link(vol_path("a"), vol_path("b")));
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(0, unlink(vol_path("a")));
	EXPECT_EQ(1, links("b"));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(holds("b", 3000, 1));
	ASSERT_EQ(0, path_mkdir("d"));
	EXPECT_EQ(-1, link(vol_path("d"), vol_path("e")));
	EXPECT_EQ(EPERM, errno);
}

TEST_F(fs_basic, symlink)
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
	EXPECT_TRUE(holds("to_f", 512, 7));
	ASSERT_EQ(0, symlink("loop", vol_path("loop")));
	EXPECT_EQ(-ELOOP, vol_open("loop", O_RDONLY));
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		snprintf(name, sizeof(name), "l%d", lens[i]);
		EXPECT_EQ(0, unlink(vol_path(name)));
	}
}

TEST_F(fs_basic, mkdir_rmdir)
{
	struct statfs before, after;
	struct stat st;

	ASSERT_EQ(0, statfs(env_dir(), &before));
	EXPECT_EQ(3, links(""));	/* ., .. and lost+found/.. */
	ASSERT_EQ(0, path_mkdir("d"));
	EXPECT_EQ(4, links(""));
	EXPECT_EQ(2, links("d"));
	EXPECT_EQ(-EEXIST, path_mkdir("d"));
	ASSERT_EQ(0, path_mkdir("d/e"));
	EXPECT_EQ(3, links("d"));
	EXPECT_EQ(inode("d"), inode("d/e/.."));
	ASSERT_EQ(0, vol_prefill("d/e/f", 0, 100, 1));
	EXPECT_EQ(-1, rmdir(vol_path("d/e")));
	EXPECT_EQ(ENOTEMPTY, errno);
	EXPECT_EQ(-1, rmdir(vol_path("d/e/f")));
	EXPECT_EQ(ENOTDIR, errno);
	ASSERT_EQ(0, unlink(vol_path("d/e/f")));
	ASSERT_EQ(0, rmdir(vol_path("d/e")));
	EXPECT_EQ(2, links("d"));
	ASSERT_EQ(0, stat(vol_path("d"), &st));
	EXPECT_EQ(self->v.bs, st.st_size);
	ASSERT_EQ(0, rmdir(vol_path("d")));
	EXPECT_EQ(3, links(""));
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_bfree, after.f_bfree);
	EXPECT_EQ(before.f_ffree, after.f_ffree);
}

TEST_F(fs_basic, rename_files)
{
	struct statfs before, after;

	ASSERT_EQ(0, path_mkdir("d"));
	ASSERT_EQ(0, vol_prefill("a", 0, 3000, 1));
	ASSERT_EQ(0, path_rename("a", "b", 0));
	EXPECT_FALSE(exists("a"));
	EXPECT_TRUE(holds("b", 3000, 1));

	/* over another file: that one goes, blocks and all */
	ASSERT_EQ(0, statfs(env_dir(), &before));
	ASSERT_EQ(0, vol_prefill("c", 0, 30000, 2));
	ASSERT_EQ(0, path_rename("b", "c", 0));
	EXPECT_FALSE(exists("b"));
	EXPECT_TRUE(holds("c", 3000, 1));
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_bfree, after.f_bfree);
	EXPECT_EQ(before.f_ffree, after.f_ffree);

	ASSERT_EQ(0, path_rename("c", "d/c", 0));
	EXPECT_TRUE(holds("d/c", 3000, 1));
	EXPECT_EQ(-ENOENT, path_rename("c", "d/c", 0));

	ASSERT_EQ(0, vol_prefill("e", 0, 100, 3));
	EXPECT_EQ(-EEXIST, path_rename("e", "d/c", RENAME_NOREPLACE));
	EXPECT_TRUE(holds("e", 100, 3));
	EXPECT_TRUE(holds("d/c", 3000, 1));
	EXPECT_EQ(0, path_rename("e", "d/e", RENAME_NOREPLACE));

	/* two names of one file: nothing happens */
	ASSERT_EQ(0, link(vol_path("d/e"), vol_path("e")));
	EXPECT_EQ(0, path_rename("e", "d/e", 0));
	EXPECT_TRUE(exists("e"));
	EXPECT_EQ(2, links("d/e"));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(holds("d/c", 3000, 1));
	EXPECT_TRUE(holds("d/e", 100, 3));
}

TEST_F(fs_basic, rename_dirs)
{
	ASSERT_EQ(0, path_mkdir("d"));
	ASSERT_EQ(0, path_mkdir("d/sub"));
	ASSERT_EQ(0, path_mkdir("e"));
	ASSERT_EQ(0, vol_prefill("d/sub/f", 0, 100, 1));
	EXPECT_EQ(3, links("d"));
	EXPECT_EQ(2, links("e"));

	ASSERT_EQ(0, path_rename("d/sub", "e/sub", 0));
	EXPECT_EQ(2, links("d"));
	EXPECT_EQ(3, links("e"));
	EXPECT_EQ(inode("e"), inode("e/sub/.."));
	EXPECT_TRUE(holds("e/sub/f", 100, 1));

	EXPECT_EQ(-EINVAL, path_rename("e", "e/sub/e", 0));
	EXPECT_EQ(-ENOTDIR, path_rename("d", "e/sub/f", 0));
	EXPECT_EQ(-EISDIR, path_rename("e/sub/f", "d", 0));
	EXPECT_EQ(-ENOTEMPTY, path_rename("d", "e", 0));

	/* over an empty directory */
	EXPECT_EQ(0, path_rename("e/sub", "d", 0));
	EXPECT_EQ(2, links("e"));
	EXPECT_EQ(2, links("d"));
	EXPECT_EQ(5, links(""));
	EXPECT_EQ(inode(""), inode("d/.."));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(inode(""), inode("d/.."));
	EXPECT_TRUE(holds("d/f", 100, 1));
}

TEST_F(fs_basic, rename_exchange_refused)
{
	if (!env_is_retryfs())
		SKIP(return, "only a promise of retryfs");
	ASSERT_EQ(0, vol_prefill("a", 0, 100, 1));
	ASSERT_EQ(0, vol_prefill("b", 0, 200, 2));
	EXPECT_EQ(-EINVAL, path_rename("a", "b", RENAME_EXCHANGE));
	EXPECT_EQ(-EINVAL, path_rename("a", "c", RENAME_WHITEOUT));
	EXPECT_TRUE(holds("a", 100, 1));
	EXPECT_TRUE(holds("b", 200, 2));
	EXPECT_FALSE(exists("c"));
}

TEST_F(fs_basic, names)
{
	char name[260];
	int fd;

	memset(name, 'n', 255);
	name[255] = 0;
	fd = vol_open(name, O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	close(fd);
	EXPECT_TRUE(exists(name));
	name[254] = 'm';
	EXPECT_FALSE(exists(name));
	name[255] = 'n';
	name[256] = 0;
	EXPECT_EQ(-ENAMETOOLONG, vol_open(name, O_CREAT | O_RDWR));
	EXPECT_EQ(-ENAMETOOLONG, path_mkdir(name));
	EXPECT_EQ(-ENAMETOOLONG, path_rename("lost+found", name, 0));
	EXPECT_EQ(-1, symlink("x", vol_path(name)));
	EXPECT_EQ(ENAMETOOLONG, errno);
	/* any byte but '/' and 0 is good */
	fd = vol_open("\xff \x01\n\\x", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(exists("\xff \x01\n\\x"));
}

TEST_F(fs_basic, special_files)
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

TEST_F(fs_basic, mode_and_owner)
{
	struct stat st;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	ASSERT_EQ(0, chmod(vol_path("f"), 04711));
	ASSERT_EQ(0, chown(vol_path("f"), 70001, 70002));
	ASSERT_EQ(0, path_mkdir("d"));
	ASSERT_EQ(0, chmod(vol_path("d"), 02775));
	ASSERT_EQ(0, chown(vol_path("d"), 5, 77));
	ASSERT_EQ(0, chmod(vol_path("d"), 02775));
	ASSERT_EQ(0, path_mkdir("d/e"));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	/* chown by anyone takes the set-id bits of an executable away */
	EXPECT_EQ(0711, st.st_mode & 07777);
	EXPECT_EQ(70001, st.st_uid);
	EXPECT_EQ(70002, st.st_gid);
	ASSERT_EQ(0, stat(vol_path("d/e"), &st));
	EXPECT_EQ(77, st.st_gid);
	EXPECT_TRUE(st.st_mode & S_ISGID);
}

static struct timespec now_coarse(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return ts;
}

TEST_F(fs_basic, times)
{
	const struct timespec old[2] = { { 1000000000, 0 }, { 1000000001, 0 } };
	struct timespec t0;
	struct stat st;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	ASSERT_EQ(0, utimensat(AT_FDCWD, vol_path("f"), old, 0));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	EXPECT_EQ(old[0].tv_sec, st.st_atime);
	EXPECT_EQ(old[1].tv_sec, st.st_mtime);

	/* a write moves mtime and ctime, chmod ctime only */
	t0 = now_coarse();
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_LE(t0.tv_sec, st.st_mtime);
	EXPECT_LE(t0.tv_sec, st.st_ctime);
	ASSERT_EQ(0, futimens(fd, old));
	ASSERT_EQ(0, fchmod(fd, 0600));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(old[1].tv_sec, st.st_mtime);
	EXPECT_LE(t0.tv_sec, st.st_ctime);

	/* a new entry moves the directory's mtime */
	ASSERT_EQ(0, path_mkdir("d"));
	ASSERT_EQ(0, utimensat(AT_FDCWD, vol_path("d"), old, 0));
	ASSERT_EQ(0, vol_prefill("d/x", 0, 1, 1));
	ASSERT_EQ(0, stat(vol_path("d"), &st));
	EXPECT_LE(t0.tv_sec, st.st_mtime);
	ASSERT_EQ(0, utimensat(AT_FDCWD, vol_path("d"), old, 0));
	ASSERT_EQ(0, unlink(vol_path("d/x")));
	ASSERT_EQ(0, stat(vol_path("d"), &st));
	EXPECT_LE(t0.tv_sec, st.st_mtime);
}

TEST_F(fs_basic, statfs)
{
	struct statfs st, st2;

	ASSERT_EQ(0, statfs(env_dir(), &st));
	EXPECT_EQ(self->v.bs, st.f_bsize);
	EXPECT_LT(0, st.f_bfree);
	EXPECT_GT(st.f_blocks, st.f_bfree);
	EXPECT_GT(self->v.sectors * 512 / self->v.bs, st.f_blocks);
	EXPECT_EQ(st.f_bfree, st.f_bavail);	/* made with -m 0 */
	EXPECT_LT(0, st.f_ffree);
	EXPECT_EQ(255, st.f_namelen);
	EXPECT_EQ(0xEF53, st.f_type);
	ASSERT_EQ(0, vol_prefill("f", 0, 10 * self->v.bs, 1));
	ASSERT_EQ(0, statfs(env_dir(), &st2));
	EXPECT_EQ(10, st.f_bfree - st2.f_bfree);
	EXPECT_EQ(1, st.f_ffree - st2.f_ffree);
	EXPECT_EQ(st.f_blocks, st2.f_blocks);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	EXPECT_EQ(st2.f_bfree, st.f_bfree);
	EXPECT_EQ(st2.f_ffree, st.f_ffree);
}

TEST_F(fs_basic, remount_read_only)
{
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, mount(NULL, env_dir(), NULL, MS_REMOUNT | MS_RDONLY, NULL));
	EXPECT_EQ(EBUSY, errno);
	close(fd);
	ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT | MS_RDONLY, NULL));
	/* clean on the disk while it is mounted read-only */
	EXPECT_EQ(0, vol_fsck(&self->v));
	EXPECT_EQ(-EROFS, vol_open("f", O_RDWR));
	EXPECT_EQ(-EROFS, vol_open("g", O_RDWR | O_CREAT));
	EXPECT_EQ(-EROFS, path_mkdir("d"));
	EXPECT_EQ(-EROFS, path_rename("f", "g", 0));
	EXPECT_EQ(-1, unlink(vol_path("f")));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, truncate(vol_path("f"), 0));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, chmod(vol_path("f"), 0600));
	EXPECT_EQ(EROFS, errno);
	EXPECT_TRUE(holds("f", 100, 1));
	ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, NULL));
	EXPECT_EQ(0, vol_prefill("g", 0, 100, 2));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
	EXPECT_EQ(-EROFS, vol_open("h", O_RDWR | O_CREAT));
	EXPECT_TRUE(holds("g", 100, 2));
}

TEST_F(fs_basic, no_space)
{
	const size_t chunk = 256 * KIB;
	char *buf = buf_alloc(chunk);
	struct statfs before, full, after;
	int made = 0, err = 0;
	struct stat st;
	char name[32];
	off_t pos = 0;
	ssize_t n;
	int fd;

	ASSERT_EQ(0, statfs(env_dir(), &before));
	fd = vol_open("big", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	do {
		pattern_fill(buf, chunk, pos, 1);
		n = pwrite(fd, buf, chunk, pos);
		if (n > 0)
			pos += n;
	} while (n > 0);
	EXPECT_EQ(-1, n);
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(pos, st.st_size);
	ASSERT_EQ(0, statfs(env_dir(), &full));
	while (pos > 0) {
		size_t len = pos % chunk ? pos % chunk : chunk;

		pos -= len;
		ASSERT_EQ(len, pread(fd, buf, len, pos));
		ASSERT_PATTERN(buf, len, pos, 1);
	}
	close(fd);
	/*
	 * What is left cannot hold a block and the way to it. (ext4 keeps some
	 * blocks for itself, and out of this count.)
	 */
	if (env_is_retryfs()) {
		EXPECT_GE(4, full.f_bfree);
		for (made = 0; made <= 4 && !err; made++) {
			snprintf(name, sizeof(name), "d%d", made);
			err = path_mkdir(name);
		}
		EXPECT_EQ(-ENOSPC, err);
		made--;
		EXPECT_FALSE(exists(name));
	}
	while (made--) {
		snprintf(name, sizeof(name), "d%d", made);
		ASSERT_EQ(0, rmdir(vol_path(name)));
	}
	ASSERT_EQ(0, unlink(vol_path("big")));
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(before.f_bfree, after.f_bfree);
	EXPECT_EQ(before.f_ffree, after.f_ffree);
}

TEST_F(fs_basic, no_inodes)
{
	struct statfs st, after;
	unsigned long made;
	char name[32], bs[16];
	/* few inodes: many would take long on an emulated machine */
	const char *const mkfs[] = { "mkfs.ext2", "-q", "-F", "-N", "64", "-b", bs,
				     "-E", "nodiscard", self->v.dev, NULL };
	int fd = 0;

	snprintf(bs, sizeof(bs), "%u", self->v.bs);
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, run(0, mkfs));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	for (made = 0; made <= st.f_ffree; made++) {
		snprintf(name, sizeof(name), "f%lu", made);
		fd = vol_open(name, O_CREAT | O_RDWR);
		if (fd < 0)
			break;
		close(fd);
	}
	EXPECT_EQ(-ENOSPC, fd);
	EXPECT_EQ(st.f_ffree, made);
	EXPECT_EQ(-ENOSPC, path_mkdir("d"));
	EXPECT_EQ(-1, symlink("f0", vol_path("l")));
	EXPECT_EQ(ENOSPC, errno);
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(0, after.f_ffree);
	ASSERT_EQ(0, unlink(vol_path("f0")));
	EXPECT_EQ(0, path_mkdir("d"));
}

TEST_F(fs_basic, fsync_reaches_the_disk)
{
	const size_t bs = self->v.bs, len = 16 * bs;
	char *buf = buf_alloc(len);
	struct vol_map map;
	int dir, fd;
	FILE *out;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 5));
	ASSERT_EQ(0, vol_find(&self->v, 0, len, 5, &map));
	fd = vol_open("f", O_WRONLY | O_SYNC);
	ASSERT_LE(0, fd);
	pattern_fill(buf, bs, 0, 6);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, 0));
	EXPECT_EQ(0, vol_find(&self->v, 0, bs, 6, &map));
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, fsync(dir));
	/* the entry and the inode too: look with a reader that is not us */
	out = vol_cat(&self->v, "f");
	ASSERT_NE(NULL, out);
	ASSERT_EQ(len, fread(buf, 1, len, out));
	EXPECT_EQ(0, pclose(out));
	EXPECT_PATTERN(buf, bs, 0, 6);
	EXPECT_PATTERN(buf + bs, len - bs, bs, 5);
}

/* Where an inode lies on the device of the volume, in bytes, as debugfs(8) says. */
static off_t inode_place(struct vol *v, ino_t ino)
{
	unsigned long block = 0, offset = 0;
	char cmd[128];
	FILE *out;

	snprintf(cmd, sizeof(cmd), "debugfs -R 'imap <%lu>' %s 2>/dev/null", (unsigned long)ino, v->dev);
	out = popen(cmd, "r");
	if (!out)
		return -errno;
	if (fscanf(out, "%*[^\n] located at block %lu, offset %lx", &block, &offset) != 2)
		block = 0;
	pclose(out);
	return block ? (off_t)block * v->bs + offset : -ENODATA;
}

/* A new inode has nothing of what an earlier one, of another system, left in its place. */
TEST_F(fs_basic, nothing_is_left_of_an_inode)
{
	const size_t known = 160, len = self->v.isize, rest = len - known;
	char *bytes = buf_alloc(len);
	off_t place;
	ino_t ino;
	int fd;

	if (len <= known)
		SKIP(return, "inodes without a rest");
	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	ino = inode("f");
	ASSERT_EQ(0, unlink(vol_path("f")));
	ASSERT_EQ(0, vol_umount(&self->v));
	place = inode_place(&self->v, ino);
	ASSERT_LT(0, place);
	fd = open(self->v.dev, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(len, pread(fd, bytes, len, place));
	memset(bytes + known, 0xaa, rest);
	ASSERT_EQ(len, pwrite(fd, bytes, len, place));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, vol_prefill("g", 0, 100, 2));
	ASSERT_EQ(ino, inode("g"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(len, pread(fd, bytes, len, place));
	EXPECT_ZERO(bytes + known, rest, known);
	close(fd);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(holds("g", 100, 2));
}

TEST_HARNESS_MAIN
