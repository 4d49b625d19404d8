// SPDX-License-Identifier: GPL-2.0
/*
 * Labels that a security module gives to new files: SELinux, with a policy of our own (lib/policy.h). It is
 * on where the command line of the kernel says lsm=selinux.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "debugfs.h"
#include "harness.h"
#include "policy.h"
#include "powerloss.h"

FIXTURE(fs_labels) {
	struct vol v;
	bool on;
};

FIXTURE_VARIANT(fs_labels) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(fs_labels, is128) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_labels, is256) { .conf = SMALL_4K };

FIXTURE_SETUP(fs_labels)
{
	int err = policy_load();

	self->on = err != -ENODEV;
	if (!self->on)
		SKIP(return, "a kernel without SELinux, or where it is not on");
	ASSERT_EQ(0, err) TH_LOG("the policy");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
}

FIXTURE_TEARDOWN(fs_labels)
{
	if (self->on)
		EXPECT_EQ(0, vol_down(&self->v));
}

/* The kinds of new files, by their name, and the label of each below POLICY_PARENT. */
static const struct kind {
	const char *name;
	enum policy_type fresh;
} kinds[] = {
	{ "file", POLICY_NEW_FILE }, { "dir", POLICY_NEW_DIR }, { "fast", POLICY_NEW_LINK },
	{ "slow", POLICY_NEW_LINK }, { "chr", POLICY_NEW_CHR }, { "blk", POLICY_NEW_BLK },
	{ "fifo", POLICY_NEW_FIFO }, { "sock", POLICY_NEW_SOCK }, { "tmpfile", POLICY_NEW_FILE },
	{ POLICY_NAME, POLICY_NAMED },
};

static int make_tmpfile(const char *dir, const char *path)
{
	char self_fd[64];
	int fd = vol_open(dir, O_TMPFILE | O_RDWR), err = 0;

	if (fd < 0)
		return fd;
	snprintf(self_fd, sizeof(self_fd), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, self_fd, AT_FDCWD, path, AT_SYMLINK_FOLLOW))
		err = -errno;
	close(fd);
	return err;
}

static int make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);

	return fd < 0 ? fd : close(fd);
}

/* Make the file of a kind in a directory. 0 or -errno. */
static int make(const char *dir, const struct kind *k)
{
	char name[64], target[200];
	const char *path;
	int err;

	snprintf(name, sizeof(name), "%s/%s", dir, k->name);
	path = vol_path(name);
	memset(target, 't', sizeof(target));
	target[strcmp(k->name, "fast") ? 199 : 20] = 0;
	switch (k->fresh) {
	case POLICY_NEW_DIR:
		err = mkdir(path, 0755);
		break;
	case POLICY_NEW_LINK:
		err = symlink(target, path);
		break;
	case POLICY_NEW_CHR:
		err = mknod(path, S_IFCHR | 0600, makedev(1, 3));
		break;
	case POLICY_NEW_BLK:
		err = mknod(path, S_IFBLK | 0600, makedev(7, 0));
		break;
	case POLICY_NEW_FIFO:
		err = mknod(path, S_IFIFO | 0600, 0);
		break;
	case POLICY_NEW_SOCK:
		err = mknod(path, S_IFSOCK | 0600, 0);
		break;
	default:
		if (!strcmp(k->name, "tmpfile"))
			return make_tmpfile(dir, path);
		err = make_file(path);
	}
	return err ? -errno : 0;
}

static int relabel(const char *name, enum policy_type type)
{
	const char *label = policy_label(type);

	return lsetxattr(vol_path(name), POLICY_XATTR, label, strlen(label) + 1, 0) ? -errno : 0;
}

static int make_parent(const char *name, enum policy_type type)
{
	int err = vol_mkdir(name);

	return err ? err : relabel(name, type);
}

/* SELinux says that it has this label, and the filesystem that it has one. */
static bool has(const char *name, enum policy_type type)
{
	const char *want = policy_label(type);
	char label[64] = "", list[256];
	const char *path = vol_path(name);
	ssize_t n = lgetxattr(path, POLICY_XATTR, label, sizeof(label));
	ssize_t len = llistxattr(path, list, sizeof(list));

	if (n == (ssize_t)strlen(want) + 1 && !strcmp(label, want) && len > 0 &&
	    memmem(list, len, POLICY_XATTR, sizeof(POLICY_XATTR)))
		return true;
	printf("# %s: %s, not %s, with %zd bytes of names\n", name, label, want, len);
	return false;
}

static bool has_in(const char *dir, const struct kind *k, enum policy_type type)
{
	char name[64];

	snprintf(name, sizeof(name), "%s/%s", dir, k->name);
	return has(name, type);
}

/* The same of the volume, which is not mounted. */
static bool on_device(struct vol *v, const char *name, enum policy_type type)
{
	const char *want = policy_label(type);
	char cmd[256], label[64] = "";
	ssize_t n;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "debugfs -R 'ea_get -V \"/%s\" " POLICY_XATTR "' %s 2>/dev/null", name, v->dev);
	f = popen(cmd, "r");
	n = f ? fread(label, 1, sizeof(label), f) : 0;
	if (f)
		pclose(f);
	/* and a newline behind it */
	if (n == (ssize_t)strlen(want) + 2 && !memcmp(label, want, n - 1))
		return true;
	printf("# %s: %.*s on the device, not %s\n", name, (int)n, label, want);
	return false;
}

/* New files of all kinds, labelled by rules for the parent's type, the kind of file, and the name; by both drivers. */
TEST_F(fs_labels, new_files)
{
	char name[64];
	unsigned int i;

	ASSERT_EQ(0, make_parent("ours", POLICY_PARENT));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		ASSERT_EQ(0, make("ours", &kinds[i])) TH_LOG("%s", kinds[i].name);
		EXPECT_TRUE(has_in("ours", &kinds[i], kinds[i].fresh));
	}
	ASSERT_EQ(0, vol_remount(&self->v));
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		EXPECT_TRUE(has_in("ours", &kinds[i], kinds[i].fresh));
	ASSERT_EQ(0, vol_umount(&self->v));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(name, sizeof(name), "ours/%s", kinds[i].name);
		EXPECT_TRUE(on_device(&self->v, name, kinds[i].fresh));
	}
	ASSERT_EQ(0, vol_mount(&self->v, "ext4", 0, NULL));
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		EXPECT_TRUE(has_in("ours", &kinds[i], kinds[i].fresh));
	ASSERT_EQ(0, make_parent("theirs", POLICY_PARENT));
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		ASSERT_EQ(0, make("theirs", &kinds[i]));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		EXPECT_TRUE(has_in("theirs", &kinds[i], kinds[i].fresh));
		EXPECT_TRUE(has_in("ours", &kinds[i], kinds[i].fresh));
	}
}

/* Where there is no rule, a new file has the label of its directory; and what a process asks for, it gets. */
TEST_F(fs_labels, of_the_directory_and_asked_for)
{
	unsigned int i;

	ASSERT_EQ(0, make_parent("plain", POLICY_OTHER));
	ASSERT_EQ(0, make_parent("asked", POLICY_PARENT));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		ASSERT_EQ(0, make("plain", &kinds[i]));
		ASSERT_EQ(0, policy_create_as(POLICY_ANOTHER));
		ASSERT_EQ(0, make("asked", &kinds[i]));
		ASSERT_EQ(0, policy_create_as(0));
	}
	/* the directory below has it, too, and gives it to what is below that */
	ASSERT_EQ(0, make("plain/dir", &kinds[0]));
	/* what a rename leaves in its place is a new file */
	ASSERT_EQ(0, vol_rename("asked/file", "asked/moved", RENAME_WHITEOUT));
	ASSERT_EQ(0, vol_remount(&self->v));
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		EXPECT_TRUE(has_in("plain", &kinds[i], POLICY_OTHER));
	for (i = 1; i < ARRAY_SIZE(kinds); i++)
		EXPECT_TRUE(has_in("asked", &kinds[i], POLICY_ANOTHER));
	EXPECT_TRUE(has("plain/dir/file", POLICY_OTHER));
	EXPECT_TRUE(has("asked/moved", POLICY_ANOTHER));
	EXPECT_TRUE(has("asked/file", POLICY_NEW_CHR));
}

struct acl {
	struct posix_acl_xattr_header h;
	struct posix_acl_xattr_entry e[5];
};

/* A new file gets the lists of its directory and a label, and has both: in one place. */
TEST_F(fs_labels, with_lists)
{
	static const struct acl list = {
		.h.a_version = POSIX_ACL_XATTR_VERSION,
		.e = {
			{ ACL_USER_OBJ, 7, -1 }, { ACL_USER, 5, 1001 }, { ACL_GROUP_OBJ, 5, -1 },
			{ ACL_MASK, 7, -1 }, { ACL_OTHER, 0, -1 },
		},
	};
	static const char *const drivers[] = { NULL, "ext4", NULL };
	struct acl have;
	struct stat st;
	unsigned int i;

	ASSERT_EQ(0, make_parent("p", POLICY_PARENT));
	ASSERT_EQ(0, setxattr(vol_path("p"), "system.posix_acl_default", &list, sizeof(list), 0));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, make("p", &kinds[i]));
	for (i = 0; i < ARRAY_SIZE(drivers); i++) {
		EXPECT_TRUE(has("p/file", POLICY_NEW_FILE));
		EXPECT_TRUE(has("p/dir", POLICY_NEW_DIR));
		EXPECT_EQ(sizeof(list), getxattr(vol_path("p/dir"), "system.posix_acl_default", &have,
						 sizeof(have)));
		EXPECT_EQ(0, memcmp(&have, &list, sizeof(list)));
		EXPECT_EQ(sizeof(list), getxattr(vol_path("p/file"), "system.posix_acl_access", &have,
						 sizeof(have)));
		EXPECT_EQ(5, have.e[1].e_perm);
		EXPECT_EQ(4, have.e[3].e_perm);
		ASSERT_EQ(0, stat(vol_path("p/file"), &st));
		/* an inode has no room for both */
		EXPECT_EQ(self->v.bs / 512, st.st_blocks);
		if (i < 2)
			ASSERT_EQ(0, vol_switch(&self->v, drivers[i] ?: i ? env_fstype() : "ext4"));
	}
}

TEST_F(fs_labels, relabelled)
{
	ASSERT_EQ(0, make_parent("p", POLICY_PARENT));
	ASSERT_EQ(0, make("p", &kinds[0]));
	ASSERT_EQ(0, relabel("p/file", POLICY_OTHER));
	EXPECT_TRUE(has("p/file", POLICY_OTHER));
	/* what never had one */
	ASSERT_EQ(0, relabel("lost+found", POLICY_ANOTHER));
	EXPECT_EQ(-1, removexattr(vol_path("p/file"), POLICY_XATTR));
	EXPECT_EQ(EACCES, errno);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(has("p/file", POLICY_OTHER));
	EXPECT_TRUE(has("lost+found", POLICY_ANOTHER));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_TRUE(has("p/file", POLICY_OTHER));
	EXPECT_TRUE(has("lost+found", POLICY_ANOTHER));
	ASSERT_EQ(0, relabel("p/file", POLICY_ANOTHER));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	EXPECT_TRUE(has("p/file", POLICY_ANOTHER));
}

/* A label that the mount has for all files is not stored. */
TEST_F(fs_labels, of_the_mount)
{
	char option[96], label[64], list[256];

	ASSERT_EQ(0, make_parent("p", POLICY_PARENT));
	ASSERT_EQ(0, vol_umount(&self->v));
	snprintf(option, sizeof(option), "context=%s", policy_label(POLICY_OTHER));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, option));
	EXPECT_TRUE(vol_shows(option));
	ASSERT_EQ(0, make("p", &kinds[0]));
	EXPECT_LT(0, getxattr(vol_path("p/file"), POLICY_XATTR, label, sizeof(label)));
	EXPECT_STREQ(policy_label(POLICY_OTHER), label);
	EXPECT_EQ(-EOPNOTSUPP, relabel("p/file", POLICY_ANOTHER));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(has("p", POLICY_PARENT));
	EXPECT_EQ(0, listxattr(vol_path("p/file"), list, sizeof(list)));
	EXPECT_LT(0, getxattr(vol_path("p/file"), POLICY_XATTR, label, sizeof(label)));
	EXPECT_STREQ(policy_label(POLICY_UNLABELED), label);
}

/* Whoever syncs a new file has its label synced. */
TEST_F(fs_labels, synced)
{
	const char *want = policy_label(POLICY_NEW_FILE);
	char label[64] = "";
	int fd;

	ASSERT_EQ(0, make_parent("p", POLICY_PARENT));
	vol_sync();
	ASSERT_EQ(0, make("p", &kinds[0]));
	fd = vol_open("p/file", O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_EQ(strlen(want) + 1, lost_xattr("p/file", POLICY_XATTR, label, sizeof(label)));
	EXPECT_STREQ(want, label);
}

static int free_things(struct statfs *st)
{
	return statfs(env_dir(), st) ? -errno : 0;
}

/* Is there nothing of what could not be made? */
static bool nothing_new(const char *dir, const struct kind *k, const struct statfs *before)
{
	char name[64];
	struct statfs now;

	snprintf(name, sizeof(name), "%s/%s", dir, k->name);
	if (free_things(&now) || vol_exists(name) || now.f_ffree != before->f_ffree ||
	    now.f_bfree != before->f_bfree) {
		printf("# %s: there is a name (%d), or fewer inodes (%lu of %lu) or blocks (%lu of %lu)\n", name,
		       vol_exists(name), now.f_ffree, before->f_ffree, now.f_bfree, before->f_bfree);
		return false;
	}
	return true;
}

/* No block for a label: then there is no file. */
TEST_F(fs_labels, full_volume)
{
	struct statfs before, after;
	char name[16];
	unsigned int i;
	int err = 0;

	ASSERT_EQ(0, make_parent("p", POLICY_PARENT));
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		ASSERT_EQ(0, make("p", &kinds[i]));
	ASSERT_EQ(0, make_parent("q", POLICY_PARENT));
	ASSERT_EQ(0, policy_create_as(POLICY_UNLABELED));
	for (i = 0; !err && i < 64; i++) {
		snprintf(name, sizeof(name), "fill%d", i);
		err = vol_prefill(name, 0, MIB, 1);
	}
	ASSERT_NE(0, err);
	for (; !free_things(&before) && before.f_bfree > 0; i++) {
		snprintf(name, sizeof(name), "fill%d", i);
		ASSERT_EQ(0, vol_prefill(name, 0, self->v.bs, 1));
	}
	ASSERT_EQ(0, free_things(&before));
	/* a label that no file has yet, so that there is no block with it */
	ASSERT_EQ(0, policy_create_as(POLICY_ANOTHER));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		const bool needs = self->v.isize == 128 || !strcmp(kinds[i].name, "dir") ||
				   !strcmp(kinds[i].name, "slow");

		EXPECT_EQ(needs ? -ENOSPC : 0, make("q", &kinds[i])) TH_LOG("%s", kinds[i].name);
		EXPECT_TRUE(needs ? nothing_new("q", &kinds[i], &before) :
				    has_in("q", &kinds[i], POLICY_ANOTHER));
		ASSERT_EQ(0, free_things(&before));
	}
	/* what a rename cannot leave in its place keeps it from being done */
	EXPECT_EQ(self->v.isize == 128 ? -ENOSPC : 0,
		  vol_rename("p/file", "p/moved", RENAME_WHITEOUT));
	EXPECT_EQ(self->v.isize == 256, vol_exists("p/moved"));
	EXPECT_EQ(1, vol_links("p/file"));
	ASSERT_EQ(0, free_things(&after));
	EXPECT_EQ(before.f_ffree - (self->v.isize == 256), after.f_ffree);
	/* those that others have need none */
	ASSERT_EQ(0, policy_create_as(POLICY_NEW_FILE));
	ASSERT_EQ(0, make("p", &(struct kind){ "shares", POLICY_NEW_FILE }));
	ASSERT_EQ(0, policy_create_as(0));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(has("p/shares", POLICY_NEW_FILE));
	if (self->v.isize == 128)
		EXPECT_TRUE(has("p/file", POLICY_NEW_FILE));
}

TEST_HARNESS_MAIN
