// SPDX-License-Identifier: GPL-2.0
/* What is changed of an inode: extended attributes, access control lists, flags, times. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "act.h"

#define VALUE_MAX	5000

/* As setxattr(2) takes it: for the owner, one user, the group, a mask, others. */
struct acl {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} entry[5];
};

static bool set_acl(struct fuzz *f, const char *path, mode_t mode)
{
	static const uint16_t tags[] = { 1, 2, 4, 0x10, 0x20 };
	struct acl acl = { .version = htole32(2) };
	const char *name = S_ISDIR(mode) && rng_percent(&f->rng, 50) ? "system.posix_acl_default" :
			   "system.posix_acl_access";
	int i;

	for (i = 0; i < 5; i++) {
		acl.entry[i].tag = htole16(tags[i]);
		acl.entry[i].perm = htole16(rng_below(&f->rng, 8));
		acl.entry[i].id = htole32(tags[i] == 2 ? rng_below(&f->rng, 70000) : (uint32_t)-1);
	}
	step(f, "%s of %s", name, path);
	if (rng_percent(&f->rng, 30))
		return act_done_or(f, "remove list", lremovexattr(path, name), EOPNOTSUPP, ENODATA);
	/* Symbolic links have none, and nor have mounts with noacl; and only directories have one for what is made there. */
	return act_done_or(f, "list", lsetxattr(path, name, &acl, sizeof(acl), 0), EOPNOTSUPP, EACCES);
}

static bool set_attribute(struct fuzz *f, const char *path)
{
	static const char *const names[] = {
		"user.note", "user.long", "trusted.number-1", "trusted.number-3", "security.note", "user.",
		"trusted.a-name-that-is-much-longer-than-what-is-left-in-most-of-the-inodes",
	};
	static const int flags[] = { 0, 0, 0, XATTR_CREATE, XATTR_REPLACE };
	static char value[VALUE_MAX], read[VALUE_MAX];
	const char *name = names[rng_below(&f->rng, sizeof(names) / sizeof(*names))];
	size_t len = rng_below(&f->rng, rng_percent(&f->rng, 60) ? 60 : VALUE_MAX);
	int how = flags[rng_below(&f->rng, 5)];
	ssize_t n;

	memset(value, f->now->steps, len);
	step(f, "%s of %s, %zu bytes, %#x", name, path, len, how);
	if (lsetxattr(path, name, value, len, how)) {
		/* No attribute to replace; a namespace that is not for this one, or no name in it. */
		return errno == EOPNOTSUPP || errno == EINVAL || act_done_or(f, "setxattr", -1, ENODATA, ERANGE);
	}
	n = lgetxattr(path, name, read, sizeof(read));
	if (n < 0)
		return act_done(f, "getxattr", n);
	if ((size_t)n != len || memcmp(read, value, len))
		return wrong(f, "attribute %s of %s: %zu bytes stored, %zd other ones read", name, path, len, n);
	return true;
}

static bool remove_attribute(struct fuzz *f, const char *path)
{
	static char names[VALUE_MAX];
	ssize_t n = llistxattr(path, names, sizeof(names));
	const char *name = names, *next;

	if (n <= 0)
		return act_done(f, "listxattr", n);
	while ((next = name + strlen(name) + 1) < names + n && rng_percent(&f->rng, 50))
		name = next;
	step(f, "remove %s of %s", name, path);
	/* One of a namespace that is only listed. */
	if (lremovexattr(path, name))
		return act_done_or(f, "removexattr", -1, EOPNOTSUPP, ENODATA);
	if (lgetxattr(path, name, NULL, 0) < 0)
		return act_done_or(f, "getxattr", -1, ENODATA, ENODATA);
	return wrong(f, "attribute %s of %s was removed, and is there", name, path);
}

static bool set_flags(struct fuzz *f, const char *path)
{
	static const int some[] = { FS_NOATIME_FL, FS_NODUMP_FL, FS_SYNC_FL, FS_DIRSYNC_FL, FS_APPEND_FL, FS_IMMUTABLE_FL };
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), flags;
	struct stat st;
	bool ok;

	step(f, "flags of %s", path);
	if (fd < 0)
		return act_done_or(f, "open", fd, EACCES, EACCES);
	if (fstat(fd, &st) || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
		close(fd);
		return true;
	}
	ok = act_done(f, "flags", ioctl(fd, FS_IOC_GETFLAGS, &flags));
	if (ok) {
		flags ^= some[rng_below(&f->rng, 6)];
		/* Flags that are there, and that nobody can set. */
		ok = act_done_or(f, "set flags", ioctl(fd, FS_IOC_SETFLAGS, &flags), EOPNOTSUPP, EINVAL);
	}
	close(fd);
	return ok;
}

bool act_attributes(struct fuzz *f, const char *path, mode_t mode)
{
	const struct timespec times[2] = { { .tv_sec = rng_next(&f->rng) >> 31 }, { .tv_nsec = UTIME_NOW } };

	switch (rng_below(&f->rng, 12)) {
	case 0:
	case 1:
		return remove_attribute(f, path);
	case 2:
	case 3:
		return set_acl(f, path, mode);
	case 4:
		/* Others, such as pipes, may have no reader or no driver. */
		return S_ISREG(mode) || S_ISDIR(mode) ? set_flags(f, path) : true;
	case 5:
		step(f, "times of %s", path);
		return act_done(f, "utimensat", utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
	case 6:
		step(f, "owner of %s", path);
		return act_done(f, "lchown", lchown(path, rng_below(&f->rng, 1 << 17), rng_below(&f->rng, 1 << 17)));
	default:
		return set_attribute(f, path);
	}
}
