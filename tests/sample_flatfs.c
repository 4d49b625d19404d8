// SPDX-License-Identifier: GPL-2.0
/*
 * The example of Documentation/writing.rst, samples/flatfs/: it can be loaded, and
 * does what it says.
 */
#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "harness.h"
#include "module.h"
#include "shutdown.h"

#define BLOCK		1024
#define BLOCKS		64

struct flat_entry {
	char name[48];
	uint64_t block, size;
};

struct flat_head {
	char magic[8];
	uint32_t files, unused;
	struct flat_entry entry[15];
};

static const struct flat_head image = {
	.magic = "FLATFS01",
	.files = 4,
	.entry = {
		{ "one", 1, 5 },
		{ "empty", 2, 0 },
		/* as long as a name can be, and up to the end of the device */
		{ "a name that is as long as the format has room fr", BLOCKS - 20, 20 * BLOCK - 100 },
		{ "page", 2, 4096 },
	},
};

FIXTURE(sample_flatfs) {
	char *disk;	/* what is to be on it */
};

FIXTURE_SETUP(sample_flatfs)
{
	int i;

	if (!getenv("FLATFS_KO"))
		SKIP(return, "FLATFS_KO does not say where it is");
	ASSERT_EQ(0, module_insert(getenv("FLATFS_KO")));
	ASSERT_TRUE(mkdir(env_dir(), 0755) == 0 || errno == EEXIST);
	self->disk = buf_alloc(BLOCKS * BLOCK);
	for (i = 0; i < BLOCKS * BLOCK; i++)
		self->disk[i] = i / BLOCK + i;
	memcpy(self->disk, &image, sizeof(image));
	/* what the format says of the last block of a file */
	for (i = 0; i < 4; i++) {
		uint64_t end = image.entry[i].block * BLOCK + image.entry[i].size;

		memset(self->disk + end, 0, -end % BLOCK);
	}
}

/* Write the image, cut to its size, and mount it. */
static int flat_mount_with(const char *disk, unsigned long flags, const char *options)
{
	const char *const losetup[] = { "losetup", "/dev/loop7", "/tmp/flat.img", NULL };
	int fd = open("/tmp/flat.img", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, disk, BLOCKS * BLOCK) != BLOCKS * BLOCK)
		err = -EIO;
	close(fd);
	if (!err)
		err = run(0, losetup);
	if (!err)
		err = mount("/dev/loop7", env_dir(), "flatfs", flags, options) ? -errno : 0;
	return err;
}

static int flat_mount(const char *disk, unsigned long flags)
{
	return flat_mount_with(disk, flags, NULL);
}

/* Also after a mount that has failed, and if there was none. */
static int flat_umount(void)
{
	const char *const losetup[] = { "losetup", "-d", "/dev/loop7", NULL };
	int err = umount2(env_dir(), 0) && errno != EINVAL ? -errno : 0;

	if (access("/sys/block/loop7/loop", F_OK) == 0)
		err = run(0, losetup) ?: err;
	return err;
}

FIXTURE_TEARDOWN(sample_flatfs)
{
	EXPECT_EQ(0, flat_umount());
	EXPECT_EQ(0, module_remove("flatfs"));
	unlink("/tmp/flat.img");
}

TEST_F(sample_flatfs, reads)
{
	char *buf = buf_alloc(BLOCKS * BLOCK), *map;
	const struct flat_entry *e;
	struct statfs sfs;
	struct stat st;
	int fd, i;

	ASSERT_EQ(0, flat_mount(self->disk, 0));
	for (i = 0; i < 4; i++) {
		char name[49] = {};
		const char *want;

		e = &image.entry[i];
		want = self->disk + e->block * BLOCK;
		memcpy(name, e->name, 48);
		fd = vol_open(name, O_RDONLY);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(e->size, st.st_size);
		EXPECT_EQ(i + 2, st.st_ino);
		EXPECT_EQ(S_IFREG | 0444, st.st_mode);
		/* all of it, and what is not there */
		ASSERT_EQ(e->size, pread(fd, buf, BLOCKS * BLOCK, 0));
		EXPECT_EQ(0, memcmp(buf, want, e->size));
		EXPECT_EQ(0, pread(fd, buf, 1, e->size));
		if (e->size) {
			EXPECT_EQ(1, pread(fd, buf, 10, e->size - 1));
			EXPECT_EQ(want[e->size - 1], buf[0]);
			EXPECT_EQ(0, lseek(fd, 0, SEEK_DATA));
			EXPECT_EQ(e->size, lseek(fd, 0, SEEK_HOLE));
			/* and beyond EOF zeroes, in a mapping */
			map = mmap(NULL, 32 * BLOCK, PROT_READ, MAP_SHARED, fd, 0);
			ASSERT_NE(MAP_FAILED, map);
			EXPECT_EQ(0, memcmp(map, want, e->size));
			if (e->size % 4096)
				EXPECT_EQ(0, map[e->size]);
			munmap(map, 32 * BLOCK);
		}
		close(fd);
	}
	EXPECT_EQ(-ENOENT, vol_open("two", O_RDONLY));
	EXPECT_EQ(-EROFS, vol_open("one", O_RDWR));
	EXPECT_EQ(-EROFS, vol_open("new", O_RDWR | O_CREAT));
	EXPECT_EQ(-EINVAL, vol_open("one", O_RDONLY | O_DIRECT));
	ASSERT_EQ(0, statfs(env_dir(), &sfs));
	EXPECT_EQ(BLOCKS, sfs.f_blocks);
	EXPECT_EQ(BLOCK, sfs.f_bsize);
	ASSERT_EQ(0, flat_umount());
}

TEST_F(sample_flatfs, lists)
{
	int seen = 0, i;
	struct dirent *d;
	DIR *dir;

	ASSERT_EQ(0, flat_mount(self->disk, MS_RDONLY));
	dir = opendir(env_dir());
	ASSERT_NE(NULL, dir);
	while ((d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")) {
			EXPECT_EQ(DT_DIR, d->d_type);
			seen += 100;
			continue;
		}
		for (i = 0; i < 4; i++) {
			if (strncmp(d->d_name, image.entry[i].name, 48))
				continue;
			EXPECT_EQ(i + 2, d->d_ino);
			EXPECT_EQ(DT_REG, d->d_type);
			seen++;
		}
	}
	EXPECT_EQ(204, seen);
	EXPECT_EQ(6, lseek(dirfd(dir), 0, SEEK_END));
	closedir(dir);
	ASSERT_EQ(0, flat_umount());
}

/* What it has not implemented is not there, instead of doing nothing. */
TEST_F(sample_flatfs, refuses)
{
	int dir, fd, version;
	uint32_t flags = 0;
	char label[FSLABEL_MAX];

	EXPECT_EQ(0, flat_mount(self->disk, 0));
	dir = vol_open(".", O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	fd = vol_open("one", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, ioctl(dir, FS_IOC_SHUTDOWN, &flags));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(dir, FS_IOC_GETFSLABEL, label));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(fd, FS_IOC_SETVERSION, &version));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(0, ioctl(fd, FS_IOC_GETVERSION, &version));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, fsync(dir));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(5, pread(fd, label, sizeof(label), 0));
	close(fd);
	close(dir);
	EXPECT_EQ(0, flat_umount());

	EXPECT_EQ(-EINVAL, flat_mount_with(self->disk, 0, "nosuch"));
	EXPECT_EQ(0, flat_umount());
}

/* What is on the device is not believed. */
TEST_F(sample_flatfs, corrupt)
{
	struct flat_head *head = (struct flat_head *)self->disk;
	const char *const words[] = { "flatfs", "loop7", "entry 0 is corrupt", NULL };
	int kmsg = kmsg_open();

	head->magic[0] = 'f';
	EXPECT_EQ(-EINVAL, flat_mount(self->disk, 0));
	EXPECT_EQ(0, flat_umount());
	*head = image;
	head->files = 16;
	EXPECT_EQ(-EINVAL, flat_mount(self->disk, 0));
	EXPECT_EQ(0, flat_umount());

	*head = image;
	head->entry[0].block = BLOCKS;
	EXPECT_EQ(-EUCLEAN, flat_mount(self->disk, 0));
	EXPECT_EQ(0, flat_umount());
	EXPECT_TRUE(kmsg_has(kmsg, words));
	*head = image;
	head->entry[3].size = UINT64_MAX;
	EXPECT_EQ(-EUCLEAN, flat_mount(self->disk, 0));
	EXPECT_EQ(0, flat_umount());
	*head = image;
	head->entry[2].name[1] = '/';
	EXPECT_EQ(-EUCLEAN, flat_mount(self->disk, 0));
	EXPECT_EQ(0, flat_umount());
	close(kmsg);
}

TEST_HARNESS_MAIN
