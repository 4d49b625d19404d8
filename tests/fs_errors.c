// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata on a device that fails: what was acknowledged is not lost, who asks is
 * told, and the volume does not pass for clean.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "caches.h"
#include "debugfs.h"
#include "dm.h"
#include "harness.h"

#define SUPER		1024
#define STATE		(SUPER + 58)
#define STATE_VALID	1
#define STATE_ERROR	2

VOL_FIXTURE(fs_errors);
FIXTURE_VARIANT_ADD(fs_errors, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_errors, bs4k) { .conf = SMALL_4K };

/* What the device really has, whatever the filesystem has in memory. */
static int on_device(struct vol *v, uint64_t at, void *buf, size_t len)
{
	char *sector = buf_alloc(512);
	int err = vol_read_sector(v, at / 512, sector);

	memcpy(buf, sector + at % 512, len);
	return err;
}

static int state(struct vol *v)
{
	uint16_t s;
	int err = on_device(v, STATE, &s, sizeof(s));

	return err ?: s;
}

/* An inode that could not be stored, as its block could not be read, is stored when it can. */
TEST_F(fs_errors, inode_that_could_not_be_stored)
{
	struct stat st;
	int fd, dir;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	vol_sync();
	ASSERT_EQ(0, forget_all());
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	EXPECT_EQ(0, fchmod(fd, 0604));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_unroute(&self->v));
	close(fd);
	syncfs(dir);
	close(dir);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	EXPECT_EQ(0604, st.st_mode & 07777);
}

/*
 * The file f gets another name, g. The block of the table that its inode is in has left memory, and cannot
 * be read until vol_unroute().
 */
static int link_uncounted(struct vol *v)
{
	const unsigned int per = v->bs / 512;
	struct vol_map map = { .nr = 1 };
	int err, fd;
	long block;

	err = vol_prefill("f", 0, 100, 1);
	vol_sync();
	block = debugfs_number(v, "imap f", "located at block");
	fd = vol_open("f", O_RDWR);
	if (err || block < 0 || fd < 0)
		return err ?: block < 0 ? block : fd;
	map.e[0] = (struct vol_extent){ .sector = block * per, .len = per };
	err = forget_all() ?: vol_fail(v, &map) ?: vol_link("f", "g");
	close(fd);
	return err;
}

/* It still cannot be stored when the volume is unmounted, and is lost: e2fsck has to look. */
TEST_F(fs_errors, inode_that_is_never_stored)
{
	const char *const preen[] = { "e2fsck", "-p", self->v.dev, NULL };
	int kmsg = kmsg_open();

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, link_uncounted(&self->v));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(0, state(&self->v) & STATE_VALID);
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "inode", "not stored", "e2fsck", NULL }));
	EXPECT_EQ(1, run(1, preen));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_EQ(2, vol_links("f"));
}

/* Nor can a new directory, of which the device does not take the first block until it leaves memory: that is said, too. */
TEST_F(fs_errors, new_directory_that_is_never_stored)
{
	const char *const preen[] = { "e2fsck", "-p", self->v.dev, NULL };
	int kmsg = kmsg_open();
	char inode[32];

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, vol_mkdir("a"));
	vol_sync();
	ASSERT_EQ(0, vol_mkdir("d"));
	snprintf(inode, sizeof(inode), "inode %lu:", vol_inode("d"));
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(0, state(&self->v) & STATE_VALID);
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", inode, "not stored", "e2fsck", NULL }));
	EXPECT_GE(1, run(1, preen));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(vol_exists("a"));
	EXPECT_FALSE(vol_exists("d"));
	close(kmsg);
}

/* Who syncs the volume is told that an inode is not on the device, for as long as it cannot be stored. */
TEST_F(fs_errors, syncfs_before_an_inode_is_stored)
{
	int dir, i;

	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, link_uncounted(&self->v));
	for (i = 0; i < 2; i++) {
		errno = 0;
		EXPECT_EQ(-1, syncfs(dir)) TH_LOG("sync %d", i);
		EXPECT_EQ(EIO, errno) TH_LOG("sync %d", i);
	}
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(0, syncfs(dir));
	close(dir);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(2, vol_links("f"));
}

/* A volume is not frozen without it: in a snapshot the inode would be missing, and writeback would store it meanwhile. */
TEST_F(fs_errors, freeze_before_an_inode_is_stored)
{
	int dir, err, frozen, was;

	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, link_uncounted(&self->v));
	frozen = ioctl(dir, FIFREEZE, 0);
	err = errno;
	was = state(&self->v);
	if (!frozen)
		ioctl(dir, FITHAW, 0);
	EXPECT_EQ(0, was & STATE_VALID);
	EXPECT_EQ(-1, frozen);
	EXPECT_EQ(EIO, err);
	ASSERT_EQ(0, vol_unroute(&self->v));
	frozen = ioctl(dir, FIFREEZE, 0);
	was = state(&self->v);
	EXPECT_EQ(0, ioctl(dir, FITHAW, 0));
	EXPECT_EQ(0, frozen);
	EXPECT_EQ(STATE_VALID, was);
	close(dir);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(2, vol_links("f"));
}

/* Nor does it become read-only. */
TEST_F(fs_errors, remount_before_an_inode_is_stored)
{
	int kmsg = kmsg_open();

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, link_uncounted(&self->v));
	EXPECT_EQ(-EIO, vol_read_only());
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "cannot be stored", "e2fsck", NULL }));
	close(kmsg);
	EXPECT_EQ(0, state(&self->v) & STATE_VALID);
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_read_only());
	EXPECT_EQ(STATE_VALID, state(&self->v));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(2, vol_links("f"));
}

/*
 * Bitmaps and inodes could not be written for a while, and then the cache of the
 * device is emptied: if what the device has came back, blocks and inode numbers
 * would be given out twice.
 */
TEST_F(fs_errors, bitmap_that_could_not_be_written)
{
	static const char *const names[] = { "a", "b", "c" };
	const size_t len = 20 * self->v.bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	int kmsg = kmsg_open();
	int fd, dir, i;

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, vol_prefill("a", 0, len, 1));
	vol_sync();
	ASSERT_EQ(0, forget_all());
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	fd = vol_open("b", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(-1, syncfs(fd));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, forget_all());

	/* the data of b was not acknowledged, its blocks are */
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(0, vol_prefill("c", 0, len, 3));
	for (i = 0; i < 2; i++)
		fsync(fd);
	EXPECT_EQ(0, fsync(fd));
	/* each open file reports it once */
	EXPECT_EQ(-1, syncfs(dir));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, syncfs(dir));
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "metadata", "e2fsck", NULL }));
	close(fd);

	/* and what was not reported then is in doubt */
	EXPECT_EQ(0, ioctl(dir, FIFREEZE, 0));
	i = state(&self->v);
	EXPECT_EQ(0, ioctl(dir, FITHAW, 0));
	EXPECT_EQ(STATE_ERROR, i);
	close(dir);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(STATE_ERROR, state(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(len, vol_read(names[i], O_RDONLY, back, len, 0));
		EXPECT_PATTERN(back, len, 0, 1 + i);
	}
}

/* All of the device into its cache: no step is to fail as it cannot read. */
static int fill_caches(struct vol *v)
{
	char *buf = buf_alloc(MIB);
	int fd = open(v->dev, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf, MIB);
	} while (n > 0);
	close(fd);
	return n;
}

/*
 * Names change with dirsync on a device that fails. The caller gets the error; the name
 * and the inode are both there, or both not. A name that would be replaced is as before.
 */
TEST_F(fs_errors, dirsync_on_a_failing_device)
{
	char path[64], other[64];
	int i, err, gone = -1;

	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_DIRSYNC, NULL));
	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	ASSERT_EQ(0, mkdir(vol_path("d/gone"), 0755));
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "d/old%d", i);
		close(vol_open(path, O_CREAT | O_RDWR));
	}
	vol_sync();
	ASSERT_EQ(0, fill_caches(&self->v));
	snprintf(other, sizeof(other), "%s", vol_path("d/old0"));
	for (i = 0; i < 9; i++) {
		snprintf(path, sizeof(path), "d/new%d", i);
		ASSERT_EQ(0, vol_fail(&self->v, NULL));
		err = -1;
		switch (i) {
		case 0:
			err = vol_open(path, O_CREAT | O_RDWR);
			err = err == -EIO ? -1 : 0;
			errno = EIO;
			break;
		case 1:
			err = mknod(vol_path(path), S_IFIFO | 0600, 0);
			break;
		case 2:
			err = symlink("short", vol_path(path));
			break;
		case 3:
			err = mkdir(vol_path(path), 0755);
			break;
		case 4:
			err = link(other, vol_path(path));
			break;
		case 5:
			err = unlink(vol_path("d/old1"));
			break;
		case 6:
			gone = vol_open("d/gone", O_RDONLY | O_DIRECTORY);
			err = rmdir(vol_path("d/gone"));
			break;
		case 7:
			err = rename(vol_path("d/old2"), vol_path(path));
			break;
		case 8:
			err = rename(vol_path("d/new0"), vol_path("d/old0"));
			break;
		}
		EXPECT_EQ(-1, err) TH_LOG("step %d", i);
		EXPECT_EQ(EIO, errno) TH_LOG("step %d", i);
		ASSERT_EQ(0, vol_unroute(&self->v));
		vol_sync();
	}
	/* what is removed gets no names any more, though the VFS was told that it is there */
	ASSERT_LE(0, gone);
	EXPECT_EQ(-1, openat(gone, "x", O_CREAT | O_RDWR, 0600));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, mkdirat(gone, "x", 0700));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, renameat(AT_FDCWD, other, gone, "x"));
	EXPECT_EQ(ENOENT, errno);
	close(gone);
	/* the names are there, and lead to something, after a look at the device too */
	for (i = 0; i < 2; i++) {
		struct stat st;

		EXPECT_EQ(0, stat(vol_path("d/old0"), &st));
		EXPECT_EQ(2, st.st_nlink);
		EXPECT_EQ(0, stat(vol_path("d/new4"), &st));
		EXPECT_EQ(2, st.st_nlink);
		EXPECT_EQ(0, stat(vol_path("d/new0"), &st));
		EXPECT_EQ(-1, stat(vol_path("d/old1"), &st));
		EXPECT_EQ(-1, stat(vol_path("d/old2"), &st));
		EXPECT_EQ(-1, stat(vol_path("d/gone"), &st));
		EXPECT_EQ(0, stat(vol_path("d/new1"), &st));
		EXPECT_EQ(0, lstat(vol_path("d/new2"), &st));
		EXPECT_EQ(0, stat(vol_path("d/new3"), &st));
		EXPECT_EQ(0, stat(vol_path("d/new7"), &st));
		EXPECT_EQ(0, stat(vol_path("d"), &st));
		EXPECT_EQ(3, st.st_nlink);
		ASSERT_EQ(0, vol_remount(&self->v));
	}
}

/*
 * A directory that had an index is removed with dirsync on a device that fails: whoever has it open finds nothing in it, and
 * the index, which leads nowhere now, is not taken for a bad one.
 */
TEST_F(fs_errors, removed_directory_with_an_index)
{
	const int many = 60;
	uint64_t room[512];
	int kmsg = kmsg_open();
	int i, gone, flags = 0;
	char name[256];

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, vol_mkdir("gone"));
	for (i = 0; i < many; i++) {
		snprintf(name, sizeof(name), "gone/%0200d", i);
		ASSERT_EQ(0, mknod(vol_path(name), S_IFREG | 0600, 0));
	}
	for (i = 0; i < many; i++) {
		snprintf(name, sizeof(name), "gone/%0200d", i);
		ASSERT_EQ(0, unlink(vol_path(name)));
	}
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_DIRSYNC, NULL));
	gone = vol_open("gone", O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, gone);
	ASSERT_EQ(0, ioctl(gone, FS_IOC_GETFLAGS, &flags));
	EXPECT_TRUE(flags & FS_INDEX_FL);
	ASSERT_EQ(0, fill_caches(&self->v));
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	EXPECT_EQ(-1, rmdir(vol_path("gone")));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(-1, syscall(SYS_getdents64, gone, room, sizeof(room)));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, openat(gone, "x", O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_FALSE(kmsg_has(kmsg, (const char *[]){ "retryfs", "index", NULL }));
	close(gone);
	close(kmsg);
	vol_sync();
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_FALSE(vol_exists("gone"));
}

#define SUPER_DEVICE	"rfs-super"

/* The table of the device of its own that the superblock is on. */
static int super_table(uint64_t len, bool fails)
{
	struct dm_seg seg = { .len = len };
	int err;

	snprintf(seg.type, sizeof(seg.type), fails ? "error" : "linear");
	if (!fails)
		snprintf(seg.params, sizeof(seg.params), "%s 0", env_dev());
	err = dm_load(SUPER_DEVICE, &seg, 1);
	if (!err)
		err = dm_hold(SUPER_DEVICE);
	return err ?: dm_resume(SUPER_DEVICE);
}

/*
 * The mark of a clean volume cannot be written, and so the volume is not frozen.
 * The mark must not come to the device later. For that, the superblock is on a
 * device of its own, which begins to fail while the freeze waits for a bitmap.
 */
TEST_F(fs_errors, freeze_that_cannot_mark_the_volume)
{
	const uint64_t len = (self->v.bs == 1024 ? 2 : 1) * self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	struct dm_seg top[2] = {};
	struct task freeze;
	uint32_t bitmap;
	char node[32];
	int dir;

	ASSERT_EQ(0, on_device(&self->v, len * 512, &bitmap, sizeof(bitmap)));
	map.e[0].sector = bitmap * (uint64_t)self->v.bs / 512;
	map.e[0].len = self->v.bs / 512;
	dm_remove(SUPER_DEVICE);
	ASSERT_EQ(0, dm_create(SUPER_DEVICE, node, sizeof(node)));
	ASSERT_EQ(0, super_table(len, false));
	top[0] = (struct dm_seg){ .len = len, .type = "linear" };
	snprintf(top[0].params, sizeof(top[0].params), "%s 0", node);
	top[1] = (struct dm_seg){ .start = len, .len = map.e[0].sector - len, .type = "linear" };
	snprintf(top[1].params, sizeof(top[1].params), "%s %lu", env_dev(), len);
	ASSERT_EQ(0, vol_route_after(&self->v, &map, top, 2));
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);

	/* the bitmap is dirty, and nothing else that the freeze would wait for before */
	ASSERT_EQ(0, vol_prefill("a", 0, self->v.bs, 1));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&freeze, op_freeze, &dir));
	EXPECT_TRUE(task_settles(&freeze, TASK_BLOCKED));
	EXPECT_EQ(0, super_table(len, true));
	EXPECT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(-EIO, task_join(&freeze, JOIN_SECONDS));
	EXPECT_EQ(0, super_table(len, false));
	vol_sync();
	EXPECT_EQ(0, state(&self->v) & STATE_VALID);
	close(dir);
	ASSERT_EQ(0, vol_unroute(&self->v));
	dm_remove(SUPER_DEVICE);
}

/* Two wait for a block that could not be written before, and cannot again: both are told. */
TEST_F(fs_errors, two_that_sync_at_a_time)
{
	const uint64_t descriptor = self->v.bs == 1024 ? 2048 : self->v.bs;
	struct vol_map map = { .nr = 1 };
	struct io_op op[2] = {};
	struct task task[2];
	uint32_t bitmap;
	int i;

	ASSERT_EQ(0, on_device(&self->v, descriptor, &bitmap, sizeof(bitmap)));
	map.e[0].sector = bitmap * (uint64_t)self->v.bs / 512;
	map.e[0].len = self->v.bs / 512;
	map.e[0].writes = true;
	op[0].fd = vol_make("a", self->v.bs, 1);
	op[1].fd = vol_make("b", self->v.bs, 2);
	ASSERT_LE(0, op[0].fd);
	ASSERT_LE(0, op[1].fd);
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-1, syncfs(op[0].fd));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, task_start(&task[i], op_fsync, &op[i]));
		ASSERT_BLOCKED(&task[i]);
	}
	ASSERT_EQ(0, vol_fail_routed(&self->v));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-EIO, task_join(&task[i], JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, fsync(op[i].fd));
		close(op[i].fd);
	}
}

/* What sync(2) and syncfs(2) promise includes what the disk has in its cache. */
TEST_F(fs_errors, sync_flushes_the_disk)
{
	long before;
	int dir;

	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	close(vol_open("f", O_CREAT | O_RDWR));
	before = disk_flushes();
	ASSERT_LT(0, before) TH_LOG("a disk that is never flushed shows nothing");
	ASSERT_EQ(0, syncfs(dir));
	EXPECT_LT(before, disk_flushes());
	close(vol_open("g", O_CREAT | O_RDWR));
	before = disk_flushes();
	sync();
	EXPECT_LT(before, disk_flushes());
}

TEST_HARNESS_MAIN
