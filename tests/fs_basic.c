// SPDX-License-Identifier: GPL-2.0
/* Attributes, space, and what the whole filesystem says about itself. */
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
FIXTURE_VARIANT_ADD(fs_basic, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_basic, bs2k) { .conf = SMALL_2K };
FIXTURE_VARIANT_ADD(fs_basic, bs4k) { .conf = SMALL_4K };
/* The format has no fields for the greater part of such an inode. */
FIXTURE_VARIANT_ADD(fs_basic, large_inodes) { .conf = VOL_CONF(1024, 1024) };

TEST_F(fs_basic, create_write_read)
{
	struct stat st;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 10000, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("f", 10000, 1));
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

TEST_F(fs_basic, mode_and_owner)
{
	struct stat st;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	ASSERT_EQ(0, chmod(vol_path("f"), 04711));
	ASSERT_EQ(0, chown(vol_path("f"), 70001, 70002));
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, chmod(vol_path("d"), 02775));
	ASSERT_EQ(0, chown(vol_path("d"), 5, 77));
	ASSERT_EQ(0, chmod(vol_path("d"), 02775));
	ASSERT_EQ(0, vol_mkdir("d/e"));
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
	ASSERT_EQ(0, vol_mkdir("d"));
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
	EXPECT_EQ(-EROFS, vol_mkdir("d"));
	EXPECT_EQ(-EROFS, vol_rename("f", "g", 0));
	EXPECT_EQ(-1, unlink(vol_path("f")));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, truncate(vol_path("f"), 0));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, chmod(vol_path("f"), 0600));
	EXPECT_EQ(EROFS, errno);
	EXPECT_TRUE(vol_holds("f", 100, 1));
	ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, NULL));
	EXPECT_EQ(0, vol_prefill("g", 0, 100, 2));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
	EXPECT_EQ(-EROFS, vol_open("h", O_RDWR | O_CREAT));
	EXPECT_TRUE(vol_holds("g", 100, 2));
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
			err = vol_mkdir(name);
		}
		EXPECT_EQ(-ENOSPC, err);
		made--;
		EXPECT_FALSE(vol_exists(name));
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
	EXPECT_EQ(-ENOSPC, vol_mkdir("d"));
	EXPECT_EQ(-1, symlink("f0", vol_path("l")));
	EXPECT_EQ(ENOSPC, errno);
	ASSERT_EQ(0, statfs(env_dir(), &after));
	EXPECT_EQ(0, after.f_ffree);
	ASSERT_EQ(0, unlink(vol_path("f0")));
	EXPECT_EQ(0, vol_mkdir("d"));
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
	ino = vol_inode("f");
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
	ASSERT_EQ(ino, vol_inode("g"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(len, pread(fd, bytes, len, place));
	EXPECT_ZERO(bytes + known, rest, known);
	close(fd);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(vol_holds("g", 100, 2));
}

TEST_HARNESS_MAIN
