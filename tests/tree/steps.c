// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "buf.h"
#include "steps.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define CHUNK		(256UL << 10)

bool step(struct tree *t, bool ok, const char *what, const char *name)
{
	if (!ok && !t->wrong[0])
		snprintf(t->wrong, sizeof(t->wrong), "%s of %.200s: %s", what, name, strerror(errno));
	return ok;
}

const char *nth(const char *base, unsigned int n)
{
	static char name[8][300];
	static unsigned int i;
	char *to = name[i++ % 8];

	snprintf(to, sizeof(name[0]), "%s%u", base, n);
	return to;
}

const char *odd_name(unsigned int n)
{
	static const char *const names[] = {
		"...", "trailing...", " ", "-rf", "new\nline", "\001\002\033[0m\177", "a\\b", "*?[x]$(y)",
		"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7", "\xff\xfe not UTF-8", "e\xcc\x81",
	};
	static char longest[256];

	if (n < ARRAY_SIZE(names))
		return names[n];
	memset(longest, 'n', 255);
	return longest;
}

static void fill(char *buf, size_t len, off_t pos, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = (pos + i) / 251 * 7 + pos + i + seed * 31;
}

void put(struct tree *t, const char *name, off_t pos, size_t len, unsigned int seed, bool direct)
{
	char *buf = buf_alloc(CHUNK);
	const bool aligned = !((pos | len) % 4096);
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | (direct && aligned ? O_DIRECT : 0), 0644);
	ssize_t n = 0;

	for (; fd >= 0 && len && n >= 0; pos += n, len -= n) {
		const size_t part = len < CHUNK ? len : CHUNK;

		fill(buf, part, pos, seed);
		n = pwrite(fd, buf, part, pos);
		if (!n)
			n = -1;
	}
	step(t, fd >= 0 && n >= 0, "write", name);
	close(fd);
}

void set_size(struct tree *t, const char *name, off_t size)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	step(t, fd >= 0 && !ftruncate(fd, size), "truncate", name);
	close(fd);
}

static void call(struct tree *t, const char *name, unsigned long cmd, unsigned int arg)
{
	int fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	step(t, fd >= 0 && !ioctl(fd, cmd, &arg), "ioctl", name);
	close(fd);
}

void set_flags(struct tree *t, const char *name, unsigned int flags)
{
	call(t, name, FS_IOC_SETFLAGS, flags);
}

void set_generation(struct tree *t, const char *name, unsigned int generation)
{
	/* the number of the call has a long in it, and what it takes is an int */
	call(t, name, _IOW('v', 2, long), generation);
}

void set_xattr(struct tree *t, const char *name, const char *attribute, int len, unsigned int seed)
{
	char value[4096];

	if (len < 0) {
		step(t, !lremovexattr(name, attribute) || errno == ENODATA, "removexattr", name);
		return;
	}
	fill(value, len, 0, seed);
	step(t, !lsetxattr(name, attribute, value, len, 0), attribute, name);
}

void set_acl(struct tree *t, const char *name, const char *which, unsigned int perm)
{
	struct {
		struct posix_acl_xattr_header h;
		struct posix_acl_xattr_entry e[6];
	} a = {
		.h.a_version = POSIX_ACL_XATTR_VERSION,
		.e = {
			{ ACL_USER_OBJ, 7, -1 }, { ACL_USER, perm, 70001 }, { ACL_GROUP_OBJ, 5, -1 },
			{ ACL_GROUP, perm ^ 7, 80002 }, { ACL_MASK, 7, -1 }, { ACL_OTHER, 1, -1 },
		},
	};

	step(t, !setxattr(name, which, &a, sizeof(a), 0), which, name);
}

void set_capability(struct tree *t, const char *name, unsigned int which)
{
	const struct vfs_cap_data cap = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data[0].permitted = 1U << which,
	};

	step(t, !setxattr(name, "security.capability", &cap, sizeof(cap), 0), "capability", name);
}

void set_times(struct tree *t, const char *name, unsigned int n)
{
	/* The last ones have no room in inodes of 128 bytes. e2fsck takes 2310 to 2378 for years before 1970. */
	static const struct timespec times[] = {
		{ 0, 1 }, { 1700000000, 999999999 }, { -1, 123456789 }, { -0x7fffffffL, 5 },
		{ 0x7fffffffL, 0 }, { 0x80000000L, 7 }, { 4200000000L, 400000000 }, { 0x17fffffffL, 1 },
		{ 0x37ffffffeL, 999999999 }, { 0x37fffffffL, 0 },
	};
	const unsigned int nr = t->late ? ARRAY_SIZE(times) : 5;
	const struct timespec two[2] = { times[n % nr], times[n / nr % nr] };

	step(t, !utimensat(AT_FDCWD, name, two, AT_SYMLINK_NOFOLLOW), "utimensat", name);
}

/* How many blocks are below those of each level of pointers: direct ones, one block, and so on. */
static void levels(const struct tree *t, uint64_t at[4])
{
	const uint64_t ptrs = t->bs / 4;

	at[0] = 12;
	at[1] = at[0] + ptrs;
	at[2] = at[1] + ptrs * ptrs;
	at[3] = at[2] + ptrs * ptrs * ptrs;
}

off_t place(const struct tree *t, unsigned int n)
{
	static const int in_level[] = { -3, -1, 0, 2, 5, 9 };
	const uint64_t ptrs = t->bs / 4;
	uint64_t at[4];

	levels(t, at);
	switch (n / 6 % 4) {
	case 0:	/* direct ones */
		return (off_t)t->bs * (2 * (n % 6));
	case 1:	/* where one block of pointers begins */
		return (off_t)t->bs * (at[0] + in_level[n % 6]);
	case 2:	/* where two levels of them begin, and within */
		return (off_t)t->bs * (at[1] + in_level[n % 6] * (n % 6 > 3 ? ptrs : 1));
	default:
		return (off_t)t->bs * (at[2] + in_level[n % 6] * (n % 6 > 3 ? ptrs * ptrs / 16 : 1));
	}
}

off_t size_near(const struct tree *t, unsigned int n)
{
	uint64_t at[4];

	levels(t, at);
	if (n < 2)
		return n;
	if (n < 5)
		return t->bs + n - 3;
	if (n < 8)
		return 2L * t->bs + n - 6;
	if (n < 11)
		return at[0] * t->bs + n - 9;
	return at[1] * t->bs + (off_t)n - 12;
}
