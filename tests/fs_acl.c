// SPDX-License-Identifier: GPL-2.0
/*
 * Access control lists: they bind, they are inherited, they follow the mode, and the kernel's ext4
 * driver has the same ones.
 */
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "debugfs.h"
#include "harness.h"
#include "powerloss.h"

VOL_FIXTURE(fs_acl);
FIXTURE_VARIANT_ADD(fs_acl, is128) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_acl, is256) { .conf = SMALL_4K };

#define ACCESS	"system.posix_acl_access"
#define DEFAULT	"system.posix_acl_default"

#define OWNER	1000
#define BOB	1001
#define MEMBER	1002	/* of the group */
#define GROUP	2000

#define ENTRIES	8

struct acl {
	struct posix_acl_xattr_header h;
	struct posix_acl_xattr_entry e[ENTRIES];
};

/* u::@u u:bob:@bob g::@g m::@m o::@o, without bob and mask if @bob is negative. */
static size_t make_acl(struct acl *a, int u, int bob, int g, int m, int o)
{
	int n = 0;

	a->h.a_version = POSIX_ACL_XATTR_VERSION;
	a->e[n++] = (struct posix_acl_xattr_entry){ ACL_USER_OBJ, u, -1 };
	if (bob >= 0)
		a->e[n++] = (struct posix_acl_xattr_entry){ ACL_USER, bob, BOB };
	a->e[n++] = (struct posix_acl_xattr_entry){ ACL_GROUP_OBJ, g, -1 };
	if (bob >= 0)
		a->e[n++] = (struct posix_acl_xattr_entry){ ACL_MASK, m, -1 };
	a->e[n++] = (struct posix_acl_xattr_entry){ ACL_OTHER, o, -1 };
	return sizeof(a->h) + n * sizeof(a->e[0]);
}

static int set(const char *file, const char *name, int u, int bob, int g, int m, int o)
{
	struct acl a;
	size_t len = make_acl(&a, u, bob, g, m, o);

	return setxattr(vol_path(file), name, &a, len, 0) ? -errno : 0;
}

static bool has(const char *file, const char *name, int u, int bob, int g, int m, int o)
{
	struct acl want, have;
	size_t len = make_acl(&want, u, bob, g, m, o);

	return getxattr(vol_path(file), name, &have, sizeof(have)) == (ssize_t)len &&
	       !memcmp(&want, &have, len);
}

static bool has_none(const char *file, const char *name)
{
	return getxattr(vol_path(file), name, NULL, 0) < 0 && errno == ENODATA;
}

static mode_t mode(const char *file)
{
	struct stat st;

	return lstat(vol_path(file), &st) ? 0 : st.st_mode & 07777;
}

/* May this user, of the group or of none, open it so? 0 or -errno. */
static int try_open(uid_t uid, gid_t gid, const char *file, int flags)
{
	const char *path = vol_path(file);
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setgroups(0, NULL) || setgid(gid) || setuid(uid))
			_exit(255);
		_exit(open(path, flags) < 0 ? errno : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -ECHILD;
	return -WEXITSTATUS(status);
}

static int make_file(const char *name, mode_t mode)
{
	int fd = vol_open(name, O_CREAT | O_RDWR);

	if (fd < 0)
		return fd;
	close(fd);
	return chmod(vol_path(name), mode) || chown(vol_path(name), OWNER, GROUP) ? -errno : 0;
}

/* Bob may, and the group may not, although the bits of the mode for the group are the mask. */
static void check_bound(struct __test_metadata *_metadata, const char *file)
{
	EXPECT_EQ(0660, mode(file));
	EXPECT_TRUE(has(file, ACCESS, 6, 6, 0, 6, 0));
	EXPECT_EQ(0, try_open(OWNER, 1, file, O_RDWR));
	EXPECT_EQ(0, try_open(BOB, 1, file, O_RDWR));
	EXPECT_EQ(-EACCES, try_open(MEMBER, GROUP, file, O_RDONLY));
	EXPECT_EQ(-EACCES, try_open(MEMBER, 1, file, O_RDONLY));
}

TEST_F(fs_acl, binds)
{
	char list[64] = {};

	ASSERT_EQ(0, make_file("ours", 0660));
	EXPECT_EQ(0, try_open(MEMBER, GROUP, "ours", O_RDWR));
	ASSERT_EQ(0, set("ours", ACCESS, 6, 6, 0, 6, 0));
	check_bound(_metadata, "ours");
	EXPECT_EQ(sizeof(ACCESS), listxattr(vol_path("ours"), list, sizeof(list)));
	EXPECT_STREQ(ACCESS, list);
	ASSERT_EQ(0, vol_remount(&self->v));
	check_bound(_metadata, "ours");
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	check_bound(_metadata, "ours");
	ASSERT_EQ(0, make_file("theirs", 0660));
	ASSERT_EQ(0, set("theirs", ACCESS, 6, 6, 0, 6, 0));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	check_bound(_metadata, "theirs");
	/* without the list the mode counts again */
	ASSERT_EQ(0, removexattr(vol_path("theirs"), ACCESS));
	EXPECT_TRUE(has_none("theirs", ACCESS));
	EXPECT_EQ(0, try_open(MEMBER, GROUP, "theirs", O_RDWR));
}

/* chmod(2) changes the mask, and the mask the mode. */
TEST_F(fs_acl, follows_the_mode)
{
	ASSERT_EQ(0, make_file("f", 0660));
	ASSERT_EQ(0, set("f", ACCESS, 6, 6, 4, 6, 0));
	ASSERT_EQ(0, chmod(vol_path("f"), 0640));
	EXPECT_TRUE(has("f", ACCESS, 6, 6, 4, 4, 0));
	EXPECT_EQ(-EACCES, try_open(BOB, 1, "f", O_RDWR));
	EXPECT_EQ(0, try_open(BOB, 1, "f", O_RDONLY));
	ASSERT_EQ(0, set("f", ACCESS, 7, 6, 4, 7, 1));
	EXPECT_EQ(0771, mode("f"));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_TRUE(has("f", ACCESS, 7, 6, 4, 7, 1));
	EXPECT_EQ(0771, mode("f"));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	/* one that says no more than the mode is none */
	ASSERT_EQ(0, set("f", ACCESS, 6, -1, 4, 0, 0));
	EXPECT_EQ(0640, mode("f"));
	EXPECT_TRUE(has_none("f", ACCESS));
}

TEST_F(fs_acl, errors)
{
	struct acl a;
	size_t len = make_acl(&a, 7, 7, 7, 7, 7);

	ASSERT_EQ(0, make_file("f", 0660));
	EXPECT_EQ(-EACCES, set("f", DEFAULT, 7, 7, 7, 7, 7));
	a.e[0].e_tag = 0x1000;
	EXPECT_EQ(-1, setxattr(vol_path("f"), ACCESS, &a, len, 0));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_EQ(0, symlink("f", vol_path("l")));
	EXPECT_EQ(-1, lsetxattr(vol_path("l"), ACCESS, &a, len, 0));
	EXPECT_TRUE(has_none("f", ACCESS));
	EXPECT_EQ(0, vol_mkdir("d"));
	EXPECT_TRUE(has_none("d", DEFAULT));
}

static void make_children(struct __test_metadata *_metadata, const char *sub)
{
	char name[32];

	umask(077);
	snprintf(name, sizeof(name), "%s/f", sub);
	EXPECT_EQ(0, mknod(vol_path(name), S_IFREG | 0666, 0));
	snprintf(name, sizeof(name), "%s/d", sub);
	EXPECT_EQ(0, mkdir(vol_path(name), 0777));
	snprintf(name, sizeof(name), "%s/p", sub);
	EXPECT_EQ(0, mknod(vol_path(name), S_IFIFO | 0640, 0));
	snprintf(name, sizeof(name), "%s/l", sub);
	EXPECT_EQ(0, symlink("x", vol_path(name)));
	umask(022);
}

static void check_children(struct __test_metadata *_metadata, const char *sub)
{
	char name[32];

	snprintf(name, sizeof(name), "%s/f", sub);
	EXPECT_TRUE(has(name, ACCESS, 6, 7, 5, 6, 4));
	EXPECT_EQ(0664, mode(name));
	EXPECT_TRUE(has_none(name, DEFAULT));
	snprintf(name, sizeof(name), "%s/p", sub);
	EXPECT_TRUE(has(name, ACCESS, 6, 7, 5, 4, 0));
	snprintf(name, sizeof(name), "%s/d", sub);
	EXPECT_TRUE(has(name, ACCESS, 7, 7, 5, 7, 4));
	EXPECT_TRUE(has(name, DEFAULT, 7, 7, 5, 7, 4));
	EXPECT_EQ(0774, mode(name));
}

/* What is made in a directory with a default list gets that, whatever the umask is. */
TEST_F(fs_acl, inherited)
{
	int fd;

	ASSERT_EQ(0, vol_mkdir("ours"));
	ASSERT_EQ(0, set("ours", DEFAULT, 7, 7, 5, 7, 4));
	EXPECT_TRUE(has_none("ours", ACCESS));
	make_children(_metadata, "ours");
	check_children(_metadata, "ours");
	umask(077);
	fd = open(vol_path("ours"), O_TMPFILE | O_RDWR, 0666);
	umask(022);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, linkat(fd, "", AT_FDCWD, vol_path("ours/t"), AT_EMPTY_PATH));
	close(fd);
	EXPECT_TRUE(has("ours/t", ACCESS, 6, 7, 5, 6, 4));
	ASSERT_EQ(0, vol_remount(&self->v));
	check_children(_metadata, "ours");
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	check_children(_metadata, "ours");
	ASSERT_EQ(0, vol_mkdir("theirs"));
	ASSERT_EQ(0, set("theirs", DEFAULT, 7, 7, 5, 7, 4));
	make_children(_metadata, "theirs");
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	check_children(_metadata, "theirs");
	/* the umask counts where there is none */
	ASSERT_EQ(0, removexattr(vol_path("theirs"), DEFAULT));
	umask(077);
	EXPECT_EQ(0, mknod(vol_path("theirs/plain"), S_IFREG | 0666, 0));
	umask(022);
	EXPECT_EQ(0600, mode("theirs/plain"));
}

/* Without them, they are neither honoured nor shown, and they stay. */
TEST_F(fs_acl, mounted_without)
{
	char value[8];

	if (!env_is_retryfs())
		SKIP(return, "the ext4 driver has no such options any more");
	ASSERT_EQ(0, make_file("f", 0660));
	ASSERT_EQ(0, set("f", ACCESS, 6, 6, 0, 6, 0));
	ASSERT_EQ(0, setxattr(vol_path("f"), "user.a", "v", 1, 0));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "noacl,nouser_xattr"));
	EXPECT_EQ(-EOPNOTSUPP, set("f", ACCESS, 6, 6, 0, 6, 0));
	EXPECT_EQ(-1, getxattr(vol_path("f"), "user.a", value, sizeof(value)));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(0, listxattr(vol_path("f"), NULL, 0));
	EXPECT_EQ(0, try_open(MEMBER, GROUP, "f", O_RDWR));
	ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, "acl,user_xattr"));
	check_bound(_metadata, "f");
	EXPECT_EQ(1, getxattr(vol_path("f"), "user.a", value, sizeof(value)));
}

/* With chattr +S who has set a list has it on the device, and the mode that goes with it. */
TEST_F(fs_acl, synchronous)
{
	char before[256], after[256];
	int fd, flags = FS_SYNC_FL;
	ssize_t len;

	ASSERT_LE(0, close(vol_open("f", O_CREAT | O_RDWR)));
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, chmod(vol_path("f"), 0600));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	close(fd);
	fd = vol_open_dir("d");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	close(fd);
	vol_sync();
	ASSERT_EQ(0, set("f", ACCESS, 6, 6, 4, 7, 0));
	ASSERT_EQ(0, set("d", DEFAULT, 7, 6, 4, 7, 0));
	ASSERT_EQ(0, lose_power(&self->v));
	len = lost_xattr("f", ACCESS, before, sizeof(before));
	EXPECT_LT(0, len);
	EXPECT_LT(0, lost_xattr("d", DEFAULT, after, sizeof(after)));
	EXPECT_EQ(0670, lost_mode("f"));
	/* and so has who has changed the mode that has a list */
	ASSERT_EQ(0, chmod(vol_path("f"), 0640));
	ASSERT_EQ(0, lose_power(&self->v));
	ASSERT_EQ(len, lost_xattr("f", ACCESS, after, sizeof(after)));
	EXPECT_NE(0, memcmp(before, after, len));
	EXPECT_EQ(0640, lost_mode("f"));
	/* and who has removed it */
	ASSERT_EQ(0, removexattr(vol_path("f"), ACCESS));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_EQ(0, lost_xattr("f", ACCESS, after, sizeof(after)));
}

TEST_HARNESS_MAIN
