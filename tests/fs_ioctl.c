// SPDX-License-Identifier: GPL-2.0
/* What ioctl(2) tells of a file and of the volume, and changes: the generation, the label. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "debugfs.h"
#include "handle.h"
#include "harness.h"

#define NOBODY		65534
#define LABEL_PLACE	(1024 + 0x78)
#define LABEL_SIZE	16
#define IOC32_GETVERSION	_IOR('v', 1, int)
#define IOC32_SETVERSION	_IOW('v', 2, int)

VOL_FIXTURE(fs_ioctl);
FIXTURE_VARIANT_ADD(fs_ioctl, bs1k) { .conf = SMALL_CONF(1024, 256) };

/* What a call fails with. */
static int call(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

/* The same of another user. */
static int call_as_nobody(int fd, unsigned long cmd, void *arg)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(setuid(NOBODY) ? 255 : -call(fd, cmd, arg));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -ECHILD;
	return -WEXITSTATUS(status);
}

static void *nowhere(void)
{
	return mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* A handle is that of one generation. It is on the device after an fsync. */
TEST_F(fs_ioctl, generation)
{
	const char *const names[] = { "f", "d" };
	unsigned int got = 0, want;
	struct stat before, after;
	struct handle old, h;
	size_t i;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	ASSERT_EQ(0, vol_mkdir("d"));
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		ASSERT_EQ(0, handle_of(vol_path(names[i]), &old));
		fd = vol_open(names[i], O_RDONLY);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, call(fd, FS_IOC_GETVERSION, &got));
		EXPECT_EQ(old.word[1], got);
		ASSERT_EQ(0, fstat(fd, &before));
		want = got ^ 0x80000001;
		ASSERT_EQ(0, call(fd, FS_IOC_SETVERSION, &want));
		ASSERT_EQ(0, fstat(fd, &after));
		EXPECT_NE(0, memcmp(&before.st_ctim, &after.st_ctim, sizeof(after.st_ctim)));
		EXPECT_EQ(0, memcmp(&before.st_mtim, &after.st_mtim, sizeof(after.st_mtim)));
		ASSERT_EQ(0, call(fd, FS_IOC_GETVERSION, &got));
		EXPECT_EQ(want, got);
		ASSERT_EQ(0, handle_of(vol_path(names[i]), &h));
		EXPECT_EQ(want, h.word[1]);
		EXPECT_EQ(-ESTALE, handle_open(&old, O_RDONLY));
		ASSERT_EQ(0, fsync(fd));
		close(fd);
		ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
		fd = vol_open(names[i], O_RDONLY);
		ASSERT_EQ(0, call(fd, FS_IOC_GETVERSION, &got));
		EXPECT_EQ(want, got);
		close(fd);
		ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	}
}

TEST_F(fs_ioctl, generation_errors)
{
	unsigned int got, want = 7;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	fd = vol_open("f", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, call_as_nobody(fd, FS_IOC_GETVERSION, &got));
	EXPECT_EQ(-EPERM, call_as_nobody(fd, FS_IOC_SETVERSION, &want));
	EXPECT_EQ(-EFAULT, call(fd, FS_IOC_GETVERSION, nowhere()));
	EXPECT_EQ(-EFAULT, call(fd, FS_IOC_SETVERSION, nowhere()));
	EXPECT_EQ(-ENOTTY, call(fd, _IOR('v', 99, int), &got));
	ASSERT_EQ(0, fchown(fd, NOBODY, NOBODY));
	EXPECT_EQ(0, call_as_nobody(fd, FS_IOC_SETVERSION, &want));
	ASSERT_EQ(0, vol_read_only_soon());
	EXPECT_EQ(-EROFS, call(fd, FS_IOC_SETVERSION, &want));
	EXPECT_EQ(0, call(fd, FS_IOC_GETVERSION, &got));
	EXPECT_EQ(7, got);
	close(fd);
}

#ifdef __x86_64__
/* As a program of 32 bits makes it. */
static int call32(int fd, unsigned int cmd, void *arg)
{
	long ret;

	asm volatile("int $0x80" : "=a"(ret)
		     : "a"(54L), "b"((long)fd), "c"((long)cmd), "d"((long)arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

TEST_F(fs_ioctl, of_32_bits)
{
	unsigned int *got = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int fd;

	if (env_on_debug())
		SKIP(return, "no programs of 32 bits");
	ASSERT_NE(MAP_FAILED, got);
	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	fd = vol_open("f", O_RDONLY);
	ASSERT_LE(0, fd);
	got[0] = 4711;
	EXPECT_EQ(0, call32(fd, IOC32_SETVERSION, got));
	got[0] = got[1] = 0;
	EXPECT_EQ(0, call32(fd, IOC32_GETVERSION, got));
	EXPECT_EQ(4711, got[0]);
	EXPECT_EQ(0, got[1]);
	EXPECT_EQ(0, call32(fd, FS_IOC_GETFSLABEL, got));
	EXPECT_EQ(-ENOTTY, call32(fd, _IOR('v', 99, int), got));
	close(fd);
}
#endif

/* Up to 16 bytes, on the device when the call returns. */
TEST_F(fs_ioctl, label)
{
	static const char *const labels[] = { "a", "", "sixteen-bytes-16", "\303\266 x" };
	char got[FSLABEL_MAX], want[FSLABEL_MAX], sector[512];
	int fd = vol_open_dir(".");
	size_t i;

	ASSERT_LE(0, fd);
	for (i = 0; i < ARRAY_SIZE(labels); i++) {
		/* what follows the NUL is not stored */
		memset(want, 'z', sizeof(want));
		memcpy(want, labels[i], strlen(labels[i]) + 1);
		ASSERT_EQ(0, call(fd, FS_IOC_SETFSLABEL, want));
		ASSERT_EQ(0, vol_read_sector(&self->v, LABEL_PLACE / 512, sector));
		EXPECT_EQ(0, strncmp(sector + LABEL_PLACE % 512, labels[i], LABEL_SIZE));
		EXPECT_EQ(strlen(labels[i]), strnlen(sector + LABEL_PLACE % 512, LABEL_SIZE));
		memset(got, 'y', sizeof(got));
		ASSERT_EQ(0, call(fd, FS_IOC_GETFSLABEL, got));
		EXPECT_STREQ(labels[i], got);
		EXPECT_EQ('y', got[LABEL_SIZE + 1]);
	}
	/* what tune2fs(8) sets is seen */
	memset(got, 0, sizeof(got));
	ASSERT_EQ(0, vol_dev_write(&self->v, "other\0xyz", LABEL_SIZE / 2, LABEL_PLACE));
	ASSERT_EQ(0, call(fd, FS_IOC_GETFSLABEL, got));
	EXPECT_STREQ("other", got);
	close(fd);
	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	fd = vol_open("f", O_RDONLY);
	snprintf(want, sizeof(want), "by a file");
	ASSERT_EQ(0, call(fd, FS_IOC_SETFSLABEL, want));
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open_dir(".");
	ASSERT_EQ(0, call(fd, FS_IOC_GETFSLABEL, got));
	EXPECT_STREQ("by a file", got);
	close(fd);
}

TEST_F(fs_ioctl, label_errors)
{
	char got[FSLABEL_MAX], want[FSLABEL_MAX] = "old";
	int fd = vol_open_dir(".");

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, call(fd, FS_IOC_SETFSLABEL, want));
	snprintf(want, sizeof(want), "seventeen-bytes17");
	EXPECT_EQ(-EINVAL, call(fd, FS_IOC_SETFSLABEL, want));
	snprintf(want, sizeof(want), "new");
	EXPECT_EQ(-EPERM, call_as_nobody(fd, FS_IOC_SETFSLABEL, want));
	EXPECT_EQ(0, call_as_nobody(fd, FS_IOC_GETFSLABEL, got));
	EXPECT_EQ(-EFAULT, call(fd, FS_IOC_SETFSLABEL, nowhere()));
	EXPECT_EQ(-EFAULT, call(fd, FS_IOC_GETFSLABEL, nowhere()));
	ASSERT_EQ(0, vol_read_only_soon());
	EXPECT_EQ(-EROFS, call(fd, FS_IOC_SETFSLABEL, want));
	ASSERT_EQ(0, call(fd, FS_IOC_GETFSLABEL, got));
	EXPECT_STREQ("old", got);
	ASSERT_EQ(0, vol_read_write());
	close(fd);
}

TEST_HARNESS_MAIN
