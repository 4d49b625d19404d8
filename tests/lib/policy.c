// SPDX-License-Identifier: GPL-2.0
/*
 * The format is that of policydb_read() in security/selinux/ss/policydb.c, in the version that had
 * transitions by name first, and without levels (MLS): little-endian words, strings behind their lengths.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env.h"
#include "policy.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define VERSION		25
#define ALLOW_UNKNOWN	4	/* what the policy does not know is allowed */
#define TABLES		8	/* commons, classes, roles, types, users, booleans, levels, categories */
#define CONTEXTS	7	/* of initial SIDs, filesystems (old), ports, interfaces, nodes, filesystems, nodes */
#define ROLES		2	/* object_r has to be the first one */
#define ROLE_OBJECT	1
#define ROLE_TASK	2
#define USER		1
#define PRIMARY		1	/* a type, and not another name of one */
#define BY_XATTR	1	/* labels are in extended attributes */
#define TRANSITION	0x10
#define SID_KERNEL	1
#define SIDS		27	/* that the kernel knows by itself */

static const char *const types[] = {
	[POLICY_TASK] = "task_t", [POLICY_UNLABELED] = "unlabeled_t", [POLICY_PARENT] = "parent_t",
	[POLICY_NEW_FILE] = "new_file_t", [POLICY_NEW_DIR] = "new_dir_t",
	[POLICY_NEW_LINK] = "new_link_t", [POLICY_NEW_CHR] = "new_chr_t",
	[POLICY_NEW_BLK] = "new_blk_t", [POLICY_NEW_FIFO] = "new_fifo_t",
	[POLICY_NEW_SOCK] = "new_sock_t", [POLICY_NAMED] = "named_t", [POLICY_OTHER] = "other_t",
	[POLICY_ANOTHER] = "another_t",
};

/* Of kinds of files, and what new ones get below POLICY_PARENT. */
static const struct {
	const char *name;
	enum policy_type fresh;
} classes[] = {
	{ "file", POLICY_NEW_FILE }, { "dir", POLICY_NEW_DIR }, { "lnk_file", POLICY_NEW_LINK },
	{ "chr_file", POLICY_NEW_CHR }, { "blk_file", POLICY_NEW_BLK },
	{ "fifo_file", POLICY_NEW_FIFO }, { "sock_file", POLICY_NEW_SOCK },
};

#define FILES	ARRAY_SIZE(classes)

static const char *const filesystems[] = { "retryfs", "ext4" };

struct out {
	unsigned char bytes[8192];
	size_t len;
};

static void put(struct out *o, const void *bytes, size_t len)
{
	if (o->len + len <= sizeof(o->bytes))
		memcpy(o->bytes + o->len, bytes, len);
	o->len += len;
}

static void put32(struct out *o, uint32_t n)
{
	put(o, &n, sizeof(n));
}

static void put16(struct out *o, uint16_t n)
{
	put(o, &n, sizeof(n));
}

static void put_text(struct out *o, const char *text)
{
	put(o, text, strlen(text));
}

/* A set of numbers from 1 on, of which there are fewer than 64. */
static void put_set(struct out *o, uint64_t set)
{
	put32(o, 64);
	put32(o, set ? 64 : 0);
	put32(o, !!set);
	if (set) {
		put32(o, 0);
		put(o, &set, sizeof(set));
	}
}

#define UP_TO(n)	((1ULL << (n)) - 1)

/* A range of levels, which nobody looks at. */
static void put_range(struct out *o)
{
	put32(o, 1);
	put32(o, 0);
	put_set(o, 0);
}

static void put_context(struct out *o, unsigned int role, enum policy_type type)
{
	put32(o, USER);
	put32(o, role);
	put32(o, type);
	put_range(o);
}

/* How a table begins: the highest number in it, and how many entries there are. */
static void put_table(struct out *o, uint32_t n)
{
	put32(o, n);
	put32(o, n);
}

static void put_class(struct out *o, const char *name, uint32_t number, const char *const *perms,
		      uint32_t nr)
{
	uint32_t i;

	put32(o, strlen(name));
	put32(o, 0);
	put32(o, number);
	put_table(o, nr);
	put32(o, 0);
	put_text(o, name);
	for (i = 0; i < nr; i++) {
		put32(o, strlen(perms[i]));
		put32(o, i + 1);
		put_text(o, perms[i]);
	}
	/* no constraints of changes */
	put32(o, 0);
}

static void put_role(struct out *o, const char *name, uint32_t number, uint64_t of_types)
{
	put32(o, strlen(name));
	put32(o, number);
	put32(o, 0);
	put_text(o, name);
	put_set(o, 1ULL << (number - 1));
	put_set(o, of_types);
}

static void put_tables(struct out *o)
{
	/* the kernel wants to know how processes change their label */
	static const char *const process[] = { "transition", "dyntransition" };
	uint32_t i;

	put_table(o, 0);
	put_table(o, FILES + 1);
	for (i = 0; i < FILES; i++)
		put_class(o, classes[i].name, i + 1, NULL, 0);
	put_class(o, "process", FILES + 1, process, 2);
	put_table(o, ROLES);
	put_role(o, "object_r", ROLE_OBJECT, 0);
	put_role(o, "r", ROLE_TASK, UP_TO(POLICY_TYPES));
	put_table(o, POLICY_TYPES);
	for (i = 1; i <= POLICY_TYPES; i++) {
		put32(o, strlen(types[i]));
		put32(o, i);
		put32(o, PRIMARY);
		put32(o, 0);
		put_text(o, types[i]);
	}
	put_table(o, 1);
	put32(o, 1);
	put32(o, USER);
	put32(o, 0);
	put_text(o, "u");
	put_set(o, UP_TO(ROLES));
	put_range(o);
	put32(o, 0);
	put_set(o, 0);
	for (i = 0; i < 3; i++)
		put_table(o, 0);
}

static void put_rules(struct out *o)
{
	uint32_t i;

	put32(o, FILES);
	for (i = 0; i < FILES; i++) {
		put16(o, POLICY_TASK);
		put16(o, POLICY_PARENT);
		put16(o, i + 1);
		put16(o, TRANSITION);
		put32(o, classes[i].fresh);
	}
	/* conditions, transitions of roles, and which are allowed */
	for (i = 0; i < 3; i++)
		put32(o, 0);
	put32(o, 1);
	put32(o, strlen(POLICY_NAME));
	put_text(o, POLICY_NAME);
	put32(o, POLICY_TASK);
	put32(o, POLICY_PARENT);
	put32(o, 1);
	put32(o, POLICY_NAMED);
}

static void put_contexts(struct out *o)
{
	uint32_t i;

	put32(o, SIDS);
	for (i = 1; i <= SIDS; i++) {
		put32(o, i);
		if (i == SID_KERNEL)
			put_context(o, ROLE_TASK, POLICY_TASK);
		else
			put_context(o, ROLE_OBJECT, POLICY_UNLABELED);
	}
	for (i = 0; i < 4; i++)
		put32(o, 0);
	put32(o, ARRAY_SIZE(filesystems));
	for (i = 0; i < ARRAY_SIZE(filesystems); i++) {
		put32(o, BY_XATTR);
		put32(o, strlen(filesystems[i]));
		put_text(o, filesystems[i]);
		put_context(o, ROLE_OBJECT, POLICY_UNLABELED);
	}
	put32(o, 0);
	/* labels by path, and ranges */
	put32(o, 0);
	put32(o, 0);
	for (i = 1; i <= POLICY_TYPES; i++)
		put_set(o, 1ULL << (i - 1));
}

static int write_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, bytes, len) != (ssize_t)len)
		err = -errno;
	close(fd);
	return err;
}

/* Processes have the label "kernel" before there is a policy. */
static bool is_loaded(void)
{
	char label[64] = "";
	int fd = open("/proc/self/attr/current", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, label, sizeof(label) - 1) < 0)
		label[0] = 0;
	close(fd);
	return !strncmp(label, "u:r:task_t", 10);
}

int policy_load(void)
{
	static struct out o;

	if (is_loaded())
		return 0;
	if (mount("selinuxfs", "/sys/fs/selinux", "selinuxfs", 0, NULL) && errno != EBUSY)
		return -ENODEV;
	o.len = 0;
	put32(&o, 0xf97cff8c);
	put32(&o, 8);
	put_text(&o, "SE Linux");
	put32(&o, VERSION);
	put32(&o, ALLOW_UNKNOWN);
	put32(&o, TABLES);
	put32(&o, CONTEXTS);
	/* neither capabilities of the policy, nor types that are permissive */
	put_set(&o, 0);
	put_set(&o, 0);
	put_tables(&o);
	put_rules(&o);
	put_contexts(&o);
	if (o.len > sizeof(o.bytes))
		return -E2BIG;
	return write_file("/sys/fs/selinux/load", o.bytes, o.len);
}

const char *policy_label(enum policy_type type)
{
	static char label[4][64];
	static unsigned int n;
	char *to = label[n++ % 4];

	snprintf(to, sizeof(label[0]), "u:object_r:%s", types[type]);
	return to;
}

int policy_create_as(enum policy_type type)
{
	const char *label = type ? policy_label(type) : "\n";

	return write_file("/proc/thread-self/attr/fscreate", label, strlen(label));
}
