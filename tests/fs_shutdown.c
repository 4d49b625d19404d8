// SPDX-License-Identifier: GPL-2.0
/* Volumes that are shut down (FS_IOC_SHUTDOWN): what is on the device then, and that nothing more happens. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "harness.h"
#include "shutdown.h"
#include "store.h"

#define S_STATE		(1024 + 0x3a)
#define VALID		1
#define NOBODY		65534
#define LEN		(64 * KIB)

VOL_FIXTURE(fs_shutdown);
FIXTURE_VARIANT_ADD(fs_shutdown, bs1k) { .conf = SMALL_1K };

static int shutdown_with(int fd, unsigned int flags)
{
	return ioctl(fd, FS_IOC_SHUTDOWN, &flags) ? -errno : 0;
}

static long op_shutdown(void *fd)
{
	return shutdown_with(*(int *)fd, FS_SHUTDOWN_FLAGS_DEFAULT);
}

static int repair(struct vol *v)
{
	const char *const argv[] = { "e2fsck", "-f", "-y", v->dev, NULL };
	int status = run(1, argv);

	return status == 1 ? 0 : status;
}

#define EXPECT_EIO(call) do { \
	errno = 0; \
	EXPECT_EQ(-1, call); \
	EXPECT_EQ(EIO, errno) TH_LOG(#call); \
} while (0)

/* All is on the device, and the volume is clean; then each call fails. */
TEST_F(fs_shutdown, when_all_is_written)
{
	char *buf = buf_alloc(LEN), *map, label[FSLABEL_MAX] = "x";
	int fd, dfd, dir;
	DIR *names;

	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_prefill("d/g", 0, 100, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_make("f", LEN, 1);
	ASSERT_LE(0, fd);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	dir = vol_open_dir(".");
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, shutdown_with(fd, FS_SHUTDOWN_FLAGS_DEFAULT));
	EXPECT_EQ(0, shutdown_with(dir, FS_SHUTDOWN_FLAGS_NOLOGFLUSH));
	EXPECT_TRUE(vol_shows("shutdown"));

	EXPECT_EIO(pread(fd, buf, 512, 0));
	EXPECT_EIO(pread(dfd, buf, 512, 0));
	EXPECT_EIO(pwrite(fd, buf, 512, 0));
	EXPECT_EIO(pwrite(dfd, buf, 512, 0));
	EXPECT_EIO(pwrite(dfd, buf, 512, LEN));
	EXPECT_EIO(fsync(fd));
	EXPECT_EIO(fsync(dir));
	EXPECT_EIO(syncfs(fd));
	EXPECT_EIO(ftruncate(fd, 0));
	EXPECT_EIO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, LEN));
	EXPECT_EIO(fchmod(fd, 0600));
	EXPECT_EIO(fsetxattr(fd, "user.a", "v", 1, 0));
	EXPECT_EIO(ioctl(fd, FS_IOC_SETFSLABEL, label));
	EXPECT_EIO(ioctl(fd, FS_IOC_SETVERSION, label));
	EXPECT_EIO(open(vol_path("f"), O_RDONLY));
	EXPECT_EIO(open(vol_path("new"), O_CREAT | O_RDWR, 0600));
	EXPECT_EIO(mkdir(vol_path("new"), 0700));
	EXPECT_EIO(unlink(vol_path("f")));
	EXPECT_EIO(rename(vol_path("f"), vol_path("e")));
	EXPECT_EIO(access(vol_path("d/g"), F_OK));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, LEN, PROT_READ, MAP_SHARED, fd, 0));
	names = fdopendir(dir);
	ASSERT_NE(NULL, names);
	errno = 0;
	EXPECT_EQ(NULL, readdir(names));
	EXPECT_EQ(EIO, errno);
	closedir(names);
	/* what is stored is lost, or is not taken */
	if (env_is_retryfs())
		EXPECT_EQ(-ENOSPC, store(map, 'x'));
	munmap(map, LEN);
	close(fd);
	close(dfd);

	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(VALID, vol_dev_get(&self->v, 16, S_STATE));
	EXPECT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(vol_holds("f", LEN, 1));
	EXPECT_TRUE(vol_holds("d/g", 100, 1));
}

/* Who is in the midst of a write finishes it first. */
TEST_F(fs_shutdown, waits_for_writes)
{
	char *buf = buf_alloc(LEN);
	struct task writer, stopper;
	struct io_op op = { .buf = buf, .len = LEN };

	op.fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, op.fd);
	ASSERT_EQ(0, fsync(op.fd));
	pattern_fill(buf, LEN, 0, 3);
	ASSERT_EQ(0, vol_hold(&self->v));
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &op));
	ASSERT_BLOCKED(&writer);
	ASSERT_EQ(0, task_start(&stopper, op_shutdown, &op.fd));
	ASSERT_BLOCKED(&stopper);
	ASSERT_EQ(0, vol_release(&self->v));
	EXPECT_EQ(LEN, task_join(&writer, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&stopper, JOIN_SECONDS));
	EXPECT_EIO(pwrite(op.fd, buf, LEN, 0));
	close(op.fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(vol_holds("f", LEN, 3));
}

/* As a crash: what was not synced is lost, what was is there, and the volume is not clean. */
TEST_F(fs_shutdown, at_once)
{
	struct vol_map map;
	char *stores;
	int fd, gone;

	ASSERT_EQ(0, vol_prefill("f", 0, LEN, 1));
	gone = vol_make("gone", LEN, 4);
	ASSERT_LE(0, gone);
	ASSERT_EQ(0, fsync(gone));
	ASSERT_EQ(0, unlink(vol_path("gone")));
	fd = vol_make("f", LEN, 2);
	ASSERT_LE(0, fd);
	stores = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, stores);
	ASSERT_EQ(0, shutdown_with(fd, FS_SHUTDOWN_FLAGS_NOLOGFLUSH));
	EXPECT_EIO(fsync(fd));
	vol_sync();
	munmap(stores, LEN);
	close(fd);
	close(gone);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(-ENODATA, vol_find(&self->v, 0, 512, 2, &map));
	EXPECT_EQ(0, VALID & vol_dev_get(&self->v, 16, S_STATE));
	ASSERT_EQ(0, repair(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(vol_holds("f", LEN, 1));
}

/* After a sync, but not clean. */
TEST_F(fs_shutdown, with_a_flush)
{
	int fd = vol_make("f", LEN, 1);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, shutdown_with(fd, FS_SHUTDOWN_FLAGS_LOGFLUSH));
	EXPECT_EIO(fsync(fd));
	close(fd);
	EXPECT_EQ(-EIO, vol_read_only_soon());
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, VALID & vol_dev_get(&self->v, 16, S_STATE));
	ASSERT_EQ(0, repair(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(vol_holds("f", LEN, 1));
}

TEST_F(fs_shutdown, errors)
{
	int fd = vol_open_dir("."), status;
	pid_t pid;

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EINVAL, shutdown_with(fd, 3));
	EXPECT_EQ(-EINVAL, shutdown_with(fd, -1));
	EXPECT_EQ(-1, ioctl(fd, FS_IOC_SHUTDOWN, NULL));
	EXPECT_EQ(EFAULT, errno);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(setuid(NOBODY) ? 255 : -shutdown_with(fd, FS_SHUTDOWN_FLAGS_NOLOGFLUSH));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(EPERM, WEXITSTATUS(status));
	close(fd);
	EXPECT_EQ(0, vol_mkdir("d"));
}

TEST_HARNESS_MAIN
