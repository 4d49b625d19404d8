// SPDX-License-Identifier: GPL-2.0
/*
 * An overlay with the volume as its upper layer: what is deleted or renamed of the lower
 * layer stays so.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "harness.h"

#define LOWER	"/tmp/rfs-lower"
#define MERGED	"/tmp/rfs-merged"

FIXTURE(fs_overlay) {
	struct vol v;
	bool mounted;
	bool xattrs;
};
FIXTURE_VARIANT(fs_overlay) {
	struct vol_conf conf;
};
FIXTURE_VARIANT_ADD(fs_overlay, bs1k) { .conf = SMALL_1K };

static int put(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	int err = fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ? -errno : 0;

	close(fd);
	return err;
}

static bool has(const char *path, const char *text)
{
	char buf[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	close(fd);
	return n >= 0 && !strcmp(buf, text);
}

static bool is_whiteout(const char *name)
{
	struct stat st;

	return !lstat(vol_path(name), &st) && S_ISCHR(st.st_mode) && !st.st_rdev;
}

static bool gone(const char *path)
{
	return access(path, F_OK) && errno == ENOENT;
}

static int overlay_up(void)
{
	char opts[512];

	snprintf(opts, sizeof(opts), "lowerdir=" LOWER ",upperdir=%s/upper,workdir=%s/work",
		 env_dir(), env_dir());
	return mount("overlay", MERGED, "overlay", 0, opts) ? -errno : 0;
}

FIXTURE_SETUP(fs_overlay)
{
	int err;

	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	mkdir(LOWER, 0755);
	mkdir(MERGED, 0755);
	ASSERT_EQ(0, mount("tmpfs", LOWER, "tmpfs", 0, NULL));
	ASSERT_EQ(0, put(LOWER "/gone", "gone"));
	ASSERT_EQ(0, put(LOWER "/old", "old"));
	ASSERT_EQ(0, put(LOWER "/changed", "lower"));
	ASSERT_EQ(0, mkdir(LOWER "/dir", 0755));
	ASSERT_EQ(0, put(LOWER "/dir/file", "file"));
	ASSERT_EQ(0, vol_mkdir("upper"));
	ASSERT_EQ(0, vol_mkdir("work"));
	self->xattrs = !setxattr(vol_path("work"), "trusted.test", "x", 1, 0);
	err = overlay_up();
	if (err == -ENODEV)
		SKIP(return, "no overlayfs in this kernel");
	ASSERT_EQ(0, err);
	self->mounted = true;
}

FIXTURE_TEARDOWN(fs_overlay)
{
	EXPECT_EQ(0, self->mounted ? umount(MERGED) : 0);
	EXPECT_EQ(0, umount(LOWER));
	EXPECT_EQ(0, vol_down(&self->v));
}

/* The layers without the caches of the overlay. */
static int overlay_again(struct vol *v)
{
	int err = umount(MERGED) ? -errno : vol_remount(v);

	return err ?: overlay_up();
}

TEST_F(fs_overlay, files)
{
	int fd;

	ASSERT_EQ(0, unlink(MERGED "/gone"));
	EXPECT_TRUE(is_whiteout("upper/gone"));
	/* it is copied up, and its old name deleted, by one rename with RENAME_WHITEOUT */
	ASSERT_EQ(0, rename(MERGED "/old", MERGED "/new"));
	EXPECT_TRUE(is_whiteout("upper/old"));
	/* copied up by way of a file without a name */
	ASSERT_EQ(0, put(MERGED "/changed", "upper"));
	fd = open(MERGED, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	EXPECT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, overlay_again(&self->v));
	EXPECT_TRUE(gone(MERGED "/gone"));
	EXPECT_TRUE(gone(MERGED "/old"));
	EXPECT_TRUE(has(MERGED "/new", "old"));
	EXPECT_TRUE(has(MERGED "/changed", "upper"));
	EXPECT_TRUE(has(LOWER "/changed", "lower"));
	/* a whiteout is exchanged for a new file */
	ASSERT_EQ(0, put(MERGED "/gone", "again"));
	ASSERT_EQ(0, rename(MERGED "/new", MERGED "/old"));
	ASSERT_EQ(0, overlay_again(&self->v));
	EXPECT_TRUE(has(MERGED "/gone", "again"));
	EXPECT_TRUE(has(MERGED "/old", "old"));
	EXPECT_TRUE(gone(MERGED "/new"));
}

/* A directory is deleted and made again: nothing of the lower one comes into sight. */
TEST_F(fs_overlay, directories)
{
	if (!self->xattrs)
		SKIP(return, "an opaque directory takes trusted.* attributes");
	ASSERT_EQ(0, unlink(MERGED "/dir/file"));
	ASSERT_EQ(0, rmdir(MERGED "/dir"));
	EXPECT_TRUE(is_whiteout("upper/dir"));
	ASSERT_EQ(0, mkdir(MERGED "/dir", 0755));
	ASSERT_EQ(0, overlay_again(&self->v));
	EXPECT_TRUE(gone(MERGED "/dir/file"));
	EXPECT_EQ(0, rmdir(MERGED "/dir"));
}

TEST_HARNESS_MAIN
