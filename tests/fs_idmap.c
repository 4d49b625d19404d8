// SPDX-License-Identifier: GPL-2.0
/* A mount that maps owners (mount_setattr(2)): what is made and changed by way of it has the owners behind. */
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "harness.h"
#include "put.h"

VOL_FIXTURE(fs_idmap);
FIXTURE_VARIANT_ADD(fs_idmap, bs1k) { .conf = SMALL_1K };

#define MAPPED	"/tmp/rfs-idmap"
#define FIRST	10000	/* the mount shows 0 as this one */
#define USER	5

static const char *mapped(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), MAPPED "/%s", name);
	return path;
}

static int write_map(pid_t pid, const char *which)
{
	char path[64], map[64];

	snprintf(map, sizeof(map), "0 %d 100\n", FIRST);
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, which);
	return put(path, map);
}

/* A user namespace with the mapping: an open file of it. */
static int user_namespace(void)
{
	int ready[2], fd = -1, err;
	char path[64], c;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWUSER) || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	err = read(ready[0], &c, 1) == 1 ? 0 : -EPERM;
	close(ready[0]);
	err = err ?: write_map(pid, "uid_map");
	err = err ?: write_map(pid, "gid_map");
	if (!err) {
		snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		err = fd < 0 ? -errno : 0;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return err ?: fd;
}

/* Mount the volume a second time, with the mapping. */
static int mount_mapped(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	int ns = user_namespace(), tree, err;

	if (ns < 0)
		return ns;
	attr.userns_fd = ns;
	tree = syscall(SYS_open_tree, AT_FDCWD, env_dir(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return -errno;
	err = syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) ? -errno : 0;
	mkdir(MAPPED, 0755);
	if (!err && syscall(SYS_move_mount, tree, "", AT_FDCWD, MAPPED, MOVE_MOUNT_F_EMPTY_PATH))
		err = -errno;
	close(tree);
	close(ns);
	return err;
}

/* One of everything, by the user who is 5 behind the mount. */
static int make_all(void)
{
	int fd = open(mapped("file"), O_CREAT | O_EXCL | O_RDWR, 0644);

	if (fd < 0)
		return -errno;
	close(fd);
	fd = open(MAPPED, O_TMPFILE | O_RDWR, 0600);
	if (fd < 0 || linkat(fd, "", AT_FDCWD, mapped("tmpfile"), AT_EMPTY_PATH))
		return -errno;
	close(fd);
	if (mkdir(mapped("dir"), 0755) || mkfifo(mapped("fifo"), 0600) || symlink("x", mapped("link")))
		return -errno;
	fd = open(mapped("old"), O_CREAT | O_EXCL | O_RDWR, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	if (syscall(SYS_renameat2, AT_FDCWD, MAPPED "/old", AT_FDCWD, MAPPED "/new", RENAME_WHITEOUT))
		return -errno;
	return 0;
}

static void is_owned(struct __test_metadata *_metadata, const char *path, uid_t uid)
{
	struct stat st;

	ASSERT_EQ(0, lstat(path, &st)) TH_LOG("%s", path);
	EXPECT_EQ(uid, st.st_uid) TH_LOG("%s", path);
	EXPECT_EQ(uid, st.st_gid) TH_LOG("%s", path);
}

TEST_F(fs_idmap, owners)
{
	static const char *const names[] = { "file", "tmpfile", "dir", "fifo", "link", "new", "old" };
	struct {
		struct posix_acl_xattr_header h;
		struct posix_acl_xattr_entry e[5];
	} acl = {
		{ POSIX_ACL_XATTR_VERSION }, {
			{ ACL_USER_OBJ, 6, -1 }, { ACL_USER, 4, FIRST + 6 }, { ACL_GROUP_OBJ, 4, -1 },
			{ ACL_MASK, 4, -1 }, { ACL_OTHER, 0, -1 },
		}
	}, back;
	size_t i;
	int err;

	if (access("/proc/self/ns/user", F_OK))
		SKIP(return, "a kernel without user namespaces");
	ASSERT_EQ(0, chmod(env_dir(), 0777));
	ASSERT_EQ(0, vol_prefill("f", 0, 1, 1));
	ASSERT_EQ(0, mount_mapped());
	is_owned(_metadata, mapped("f"), FIRST);

	setfsgid(FIRST + USER);
	setfsuid(FIRST + USER);
	err = make_all();
	setfsuid(0);
	setfsgid(0);
	EXPECT_EQ(0, err);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		is_owned(_metadata, mapped(names[i]), FIRST + USER);
		is_owned(_metadata, vol_path(names[i]), USER);
	}
	/* who has no number behind the mount can own nothing there */
	EXPECT_EQ(-1, open(mapped("none"), O_CREAT | O_RDWR, 0600));
	EXPECT_EQ(EOVERFLOW, errno);
	EXPECT_EQ(-1, chown(mapped("f"), 7, -1));
	EXPECT_EQ(EOVERFLOW, errno);

	ASSERT_EQ(0, chown(mapped("f"), FIRST + 7, FIRST + 7));
	is_owned(_metadata, vol_path("f"), 7);
	ASSERT_EQ(0, setxattr(mapped("f"), "system.posix_acl_access", &acl, sizeof(acl), 0));
	ASSERT_EQ(sizeof(back), getxattr(vol_path("f"), "system.posix_acl_access", &back, sizeof(back)));
	EXPECT_EQ(6, back.e[1].e_id);
	ASSERT_EQ(sizeof(back), getxattr(mapped("f"), "system.posix_acl_access", &back, sizeof(back)));
	EXPECT_EQ(FIRST + 6, back.e[1].e_id);
	ASSERT_EQ(0, umount(MAPPED));

	ASSERT_EQ(0, vol_remount(&self->v));
	for (i = 0; i < ARRAY_SIZE(names); i++)
		is_owned(_metadata, vol_path(names[i]), USER);
	is_owned(_metadata, vol_path("f"), 7);
}

TEST_HARNESS_MAIN
