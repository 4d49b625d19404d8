// SPDX-License-Identifier: GPL-2.0
/*
 * Flags of files, as lsattr(1) and chattr(1) have them, and what the volume says of itself by
 * ioctl(2).
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "debugfs.h"
#include "harness.h"

VOL_FIXTURE(fs_flags);
FIXTURE_VARIANT_ADD(fs_flags, bs1k) { .conf = SMALL_1K };

static int get_flags(const char *name)
{
	int fd = vol_open(name, O_RDONLY | O_NONBLOCK), flags;

	if (fd < 0)
		return fd;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		flags = -errno;
	close(fd);
	return flags;
}

static int set_flags(const char *name, int flags)
{
	int fd = vol_open(name, O_RDONLY | O_NONBLOCK), err;

	if (fd < 0)
		return fd;
	err = ioctl(fd, FS_IOC_SETFLAGS, &flags) ? -errno : 0;
	close(fd);
	return err;
}

static int attributes(const char *name)
{
	struct statx stx;

	return statx(AT_FDCWD, vol_path(name), 0, STATX_BASIC_STATS, &stx) ? -errno :
	       (int)(stx.stx_attributes & stx.stx_attributes_mask);
}

TEST_F(fs_flags, of_files)
{
	const int all = FS_SYNC_FL | FS_NODUMP_FL | FS_NOATIME_FL;
	struct stat before, after;
	char c;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	EXPECT_EQ(0, get_flags("f"));
	ASSERT_EQ(0, stat(vol_path("f"), &before));
	EXPECT_EQ(0, set_flags("f", all));
	EXPECT_EQ(all, get_flags("f"));
	/* reading leaves the access time alone at once */
	ASSERT_EQ(0, utimensat(AT_FDCWD, vol_path("f"),
			       (struct timespec[]){ { 1, 0 }, { 2, 0 } }, 0));
	EXPECT_EQ(1, vol_read("f", O_RDONLY, &c, 1, 0));
	ASSERT_EQ(0, stat(vol_path("f"), &after));
	EXPECT_EQ(1, after.st_atime);

	/* append only: with a descriptor that is open already, too */
	EXPECT_EQ(0, set_flags("f", all | FS_APPEND_FL));
	EXPECT_EQ(-EPERM, vol_open("f", O_RDWR));
	EXPECT_EQ(-1, unlink(vol_path("f")));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, truncate(vol_path("f"), 0));
	EXPECT_TRUE(attributes("f") & STATX_ATTR_APPEND);
	fd = vol_open("f", O_WRONLY | O_APPEND);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, write(fd, "x", 1));
	close(fd);

	/* immutable */
	EXPECT_EQ(0, set_flags("f", FS_IMMUTABLE_FL));
	EXPECT_EQ(FS_IMMUTABLE_FL, get_flags("f"));
	EXPECT_EQ(-EPERM, vol_open("f", O_RDWR));
	EXPECT_EQ(-1, chmod(vol_path("f"), 0600));
	EXPECT_EQ(-1, setxattr(vol_path("f"), "user.a", "v", 1, 0));
	EXPECT_EQ(EPERM, errno);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(FS_IMMUTABLE_FL, get_flags("f"));
	EXPECT_EQ(-EPERM, vol_open("f", O_RDWR));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_EQ(FS_IMMUTABLE_FL, get_flags("f"));
	EXPECT_EQ(0, set_flags("f", FS_NODUMP_FL));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	EXPECT_EQ(FS_NODUMP_FL, get_flags("f"));
	EXPECT_EQ(0, set_flags("f", 0));
	EXPECT_EQ(0, unlink(vol_path("f")));
}

/* Nor by who has opened the file before: none of the ways to write to it changes it. */
TEST_F(fs_flags, immutable_while_open)
{
	const size_t len = 4096;
	char *buf = buf_alloc(len);
	struct iovec iov = { buf, len };
	enum way way, ways = way_setup(buf, len);
	int fd, dfd;

	ASSERT_LT(0, (int)ways);
	ASSERT_EQ(0, vol_prefill("f", 0, 2 * len, 1));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, dfd);
	ASSERT_EQ(0, set_flags("f", FS_IMMUTABLE_FL));
	pattern_fill(buf, len, 0, 2);
	for (way = SYNC; way < ways; way++) {
		EXPECT_EQ(-EPERM, way_rw(way, true, dfd, &iov, 1, 0, 0));
		EXPECT_EQ(-EPERM, way_rw(way, true, dfd, &iov, 1, 2 * len, 0));
		EXPECT_EQ(-EPERM, way_rw(way, true, dfd, &iov, 1, 0, RWF_NOWAIT));
		EXPECT_EQ(-EPERM, way_rw(way, true, fd, &iov, 1, 0, 0));
		EXPECT_EQ(-EPERM, way_rw(way, true, fd, &iov, 1, 0, RWF_NOWAIT));
	}
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(2 * len, file_size(fd));
	EXPECT_TRUE(vol_holds("f", 2 * len, 1));
	ASSERT_EQ(0, set_flags("f", 0));
	EXPECT_EQ(len, way_rw(SYNC, true, dfd, &iov, 1, 0, 0));
	EXPECT_EQ(len, way_rw(SYNC, true, fd, &iov, 1, 0, 0));
}

TEST_F(fs_flags, of_directories)
{
	const int dir = FS_DIRSYNC_FL | FS_TOPDIR_FL | FS_NODUMP_FL;

	ASSERT_EQ(0, vol_mkdir("d"));
	EXPECT_EQ(0, set_flags("d", dir));
	EXPECT_EQ(dir, get_flags("d"));
	/* some of them are inherited, as far as they are for such a file */
	ASSERT_EQ(0, vol_prefill("d/f", 0, 100, 1));
	EXPECT_EQ(FS_NODUMP_FL, get_flags("d/f"));
	ASSERT_EQ(0, vol_mkdir("d/d"));
	EXPECT_EQ(FS_DIRSYNC_FL | FS_NODUMP_FL, get_flags("d/d"));
	EXPECT_EQ(0, set_flags("d", FS_IMMUTABLE_FL));
	EXPECT_EQ(-EPERM, vol_mkdir("d/e"));
	EXPECT_EQ(0, set_flags("d", 0));
	EXPECT_EQ(0, vol_mkdir("d/e"));
}

TEST_F(fs_flags, that_nobody_may_set)
{
	struct fsxattr fsx;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	EXPECT_EQ(-EOPNOTSUPP, set_flags("f", FS_DIRSYNC_FL));
	EXPECT_EQ(-EOPNOTSUPP, set_flags("f", FS_NOCOW_FL));
	/* what lsattr(1) would show, with no effect */
	EXPECT_EQ(-EOPNOTSUPP, set_flags("f", FS_JOURNAL_DATA_FL));
	EXPECT_EQ(-EOPNOTSUPP, set_flags("f", FS_NOCOMP_FL));
	EXPECT_EQ(0, get_flags("f"));
	ASSERT_EQ(0, mknod(vol_path("p"), S_IFIFO | 0600, 0));
	EXPECT_EQ(-EOPNOTSUPP, set_flags("p", FS_SYNC_FL));
	EXPECT_EQ(0, set_flags("p", FS_NODUMP_FL));
	/* the other way to set them; no projects */
	fd = vol_open("f", O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, FS_IOC_FSGETXATTR, &fsx));
	EXPECT_EQ(0, fsx.fsx_projid);
	fsx.fsx_xflags = FS_XFLAG_NODUMP;
	EXPECT_EQ(0, ioctl(fd, FS_IOC_FSSETXATTR, &fsx));
	EXPECT_EQ(FS_NODUMP_FL, get_flags("f"));
	fsx.fsx_projid = 7;
	EXPECT_EQ(-1, ioctl(fd, FS_IOC_FSSETXATTR, &fsx));
	EXPECT_EQ(EOPNOTSUPP, errno);
	close(fd);
}

TEST_F(fs_flags, identity)
{
	struct fs_sysfs_path path = {};
	struct fsuuid2 uuid = {};
	char on_volume[16], want[192];
	int fd = vol_open_dir(".");

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_dev_read(&self->v, on_volume, sizeof(on_volume), 1024 + 0x68));
	ASSERT_EQ(0, ioctl(fd, FS_IOC_GETFSUUID, &uuid));
	EXPECT_EQ(16, uuid.len);
	EXPECT_EQ(0, memcmp(uuid.uuid, on_volume, 16));
	ASSERT_EQ(0, ioctl(fd, FS_IOC_GETFSSYSFSPATH, &path));
	close(fd);
	if (!env_is_retryfs())
		return;
	snprintf(want, sizeof(want), "/sys/fs/%s/retries", path.name);
	EXPECT_EQ(0, access(want, R_OK)) TH_LOG("%s", want);
}

TEST_HARNESS_MAIN
