// SPDX-License-Identifier: GPL-2.0
/* Operations on attributes: of users, lists of access, flags. What has failed has not been done. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ops.h"

#define ACL	"system.posix_acl_access"

/* What others may do, and one other. */
struct acl {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} e[5];
};

static long set(const char *name, unsigned int number, size_t len)
{
	char value[OPS_VALUE];

	memset(value, number, len);
	return ops_errno(setxattr(vol_path(name), OPS_ATTR, value, len, 0));
}

int ops_set_value(const char *name, unsigned int number)
{
	return set(name, number, OPS_VALUE);
}

/* The number of its value; 0 if it has none, -1 if that is not what was set. */
static int value_of(const char *name)
{
	char value[OPS_VALUE];
	ssize_t n = getxattr(vol_path(name), OPS_ATTR, value, sizeof(value)), i;

	for (i = 1; i < n; i++)
		if (value[i] != value[0])
			return -1;
	return n > 0 ? value[0] : 0;
}

static long set_long(struct round *r) { return set("d/a", 9, OPS_VALUE); }
static long set_short(struct round *r) { return set("d/a", 9, 20); }
static long set_shared(struct round *r) { return set("x", 9, OPS_VALUE); }
static long remove_shared(struct round *r)
{
	return ops_errno(removexattr(vol_path("x"), OPS_ATTR));
}

static const char *was_set(struct round *r)
{
	return ops_either(r, value_of("d/a") == 0, value_of("d/a") == 9);
}

/* A short one in a block in which there is no room for more, so that a longer one has to go to the inode. */
static int fill_block(struct round *r)
{
	static const char value[XATTR_SIZE_MAX];
	int len = r->v.bs, err;

	err = ops_set_value("d/a", OPS_SHARED) ?: set("d/a", OPS_SHARED, 8);
	if (err)
		return err;
	do {
		len -= 4;
		err = ops_errno(setxattr(vol_path("d/a"), "user.rest", value, len, 0));
	} while (len > 8 && (err == -ENOSPC || err == -ERANGE));
	vol_sync();
	return err;
}

/* One in the inode, which has no room for a longer one. */
static int fill_slot(struct round *r)
{
	int err = set("d/a", OPS_SHARED, 20);

	vol_sync();
	return err;
}

static long set_longer(struct round *r) { return set("d/a", 9, 40); }

static const char *was_moved(struct round *r)
{
	return ops_either(r, value_of("d/a") == OPS_SHARED, value_of("d/a") == 9);
}

static const char *was_set_shared(struct round *r)
{
	if (value_of("y") != OPS_SHARED)
		return "another file has another value";
	return ops_either(r, value_of("x") == OPS_SHARED, value_of("x") == 9);
}

static const char *was_removed(struct round *r)
{
	if (value_of("y") != OPS_SHARED)
		return "another file has another value";
	return ops_either(r, value_of("x") == OPS_SHARED, value_of("x") == 0);
}

static long set_acl(struct round *r)
{
	static const struct { int tag, perm, id; } entries[] = {
		{ 0x01, 6, -1 }, { 0x02, 4, 1000 }, { 0x04, 4, -1 }, { 0x10, 4, -1 }, { 0x20, 4, -1 },
	};
	struct acl acl = { .version = htole32(2) };
	int i;

	for (i = 0; i < 5; i++) {
		acl.e[i].tag = htole16(entries[i].tag);
		acl.e[i].perm = htole16(entries[i].perm);
		acl.e[i].id = htole32(entries[i].id);
	}
	return ops_errno(setxattr(vol_path("d/a"), ACL, &acl, sizeof(acl), 0));
}

static const char *acl_was_set(struct round *r)
{
	struct acl acl;
	ssize_t n = getxattr(vol_path("d/a"), ACL, &acl, sizeof(acl));

	return ops_either(r, n < 0, n == sizeof(acl));
}

static int open_it(struct round *r)
{
	r->fd = vol_open("d/a", O_RDWR);
	return r->fd < 0 ? r->fd : 0;
}

static int asked(unsigned long request, unsigned int *value)
{
	int fd = vol_open("d/a", O_RDONLY), err = fd < 0 ? fd : 0;

	if (!err)
		err = ops_errno(ioctl(fd, request, value));
	close(fd);
	return err;
}

static long set_flags(struct round *r)
{
	unsigned int flags = FS_NOATIME_FL | FS_NODUMP_FL;

	return ops_errno(ioctl(r->fd, FS_IOC_SETFLAGS, &flags));
}

static const char *flags_were_set(struct round *r)
{
	unsigned int flags = 0;

	if (asked(FS_IOC_GETFLAGS, &flags))
		return "the flags cannot be read";
	return ops_either(r, !flags, flags == (FS_NOATIME_FL | FS_NODUMP_FL));
}

#define VERSION	4711

static long set_version(struct round *r)
{
	unsigned int version = VERSION;

	return ops_errno(ioctl(r->fd, FS_IOC_SETVERSION, &version));
}

static const char *version_was_set(struct round *r)
{
	unsigned int version = 0;

	if (asked(FS_IOC_GETVERSION, &version))
		return "the version cannot be read";
	return ops_either(r, version != VERSION, version == VERSION);
}

const struct op ops_attributes[] = {
	{ "set an attribute", .run = set_long, .check = was_set, .changes = true },
	{ "set an attribute in the inode", .run = set_short, .check = was_set, .changes = true,
	  .big = true },
	{ "set a long attribute", .run = set_long, .check = was_set, .changes = true, .big = true,
	  .large = true },
	{ "change a shared attribute", .run = set_shared, .check = was_set_shared, .changes = true,
	  .large = true },
	{ "remove a shared attribute", .run = remove_shared, .check = was_removed, .changes = true },
	{ "move an attribute into the inode", .prepare = fill_block, .run = set_longer, .check = was_moved,
	  .changes = true, .big = true, .every = true, .large = true },
	{ "move an attribute into the block", .prepare = fill_slot, .run = set_long, .check = was_moved,
	  .changes = true, .big = true, .every = true },
	{ "set an access control list", .run = set_acl, .check = acl_was_set, .changes = true },
	{ "chattr", .prepare = open_it, .run = set_flags, .check = flags_were_set, .changes = true },
	{ "set the generation", .prepare = open_it, .run = set_version, .check = version_was_set,
	  .changes = true },
	{}
};
