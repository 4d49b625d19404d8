// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "env.h"
#include "steps.h"
#include "tree.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static void make_dir(struct tree *t, const char *name)
{
	step(t, !mkdir(name, 0755), "mkdir", name);
}

static void make_node(struct tree *t, const char *name, mode_t mode, dev_t dev)
{
	step(t, !mknod(name, mode, dev), "mknod", name);
}

static void make_data(struct tree *t)
{
	unsigned int i;

	for (i = 0; i < SIZES; i++)
		put(t, nth("size", i), 0, size_near(t, i), i, false);
	put(t, "direct", 0, 64 << 10, 1, true);
	/* all levels; few of them; none; the begin, and a hole up to the end */
	for (i = 0; i < PLACES; i++)
		put(t, "sparse", place(t, i), t->bs, i, i % 3 == 0);
	for (i = 5; i < PLACES; i += 7)
		put(t, "sparser", place(t, i) + 100, t->bs / 2, i, false);
	set_size(t, "hole", place(t, PLACES - 1));
	put(t, "tail", 0, 100, 1, false);
	set_size(t, "tail", 9L * t->bs + 5);
	put(t, "punched", 0, 30L * t->bs, 1, false);
	put(t, "mapped", 0, 3L * t->bs, 1, false);
}

static void make_names(struct tree *t)
{
	char target[4096];
	unsigned int i;

	make_dir(t, "odd");
	step(t, !chdir("odd"), "chdir", "odd");
	for (i = 0; i < ODD_NAMES; i++)
		put(t, odd_name(i), 0, 10 + i, i, false);
	step(t, !chdir(".."), "chdir", "..");

	make_dir(t, "links");
	for (i = 1; i <= 3; i++)
		step(t, !link("size3", nth("links/l", i)), "link", "size3");
	memset(target, 't', sizeof(target));
	for (i = 0; i < 5; i++) {
		const unsigned int lens[] = { 1, 59, 60, 100, t->bs - 1 };

		target[lens[i]] = 0;
		step(t, !symlink(target, nth("symlink", i)), "symlink", nth("symlink", i));
		target[lens[i]] = 't';
	}
	make_node(t, "fifo", S_IFIFO | 0640, 0);
	make_node(t, "sock", S_IFSOCK | 0600, 0);
	make_node(t, "chr", S_IFCHR | 0666, makedev(1, 3));
	make_node(t, "blk", S_IFBLK | 0600, makedev(259, 66000));
	for (i = 0; i < 8; i++) {
		put(t, nth("mode", i), 0, 1, i, false);
		step(t, !chown(nth("mode", i), i ? 65535 + i * 70000 : 65535, 0xfffffffe - i), "chown", "mode");
		step(t, !chmod(nth("mode", i), i << 9 | (0751 ^ i)), "chmod", "mode");
	}
}

static void make_dirs(struct tree *t)
{
	char path[300] = "deep";
	unsigned int i;

	make_dir(t, "hashed");
	make_dir(t, "linear");
	for (i = 0; i < 300; i++)
		put(t, nth("hashed/a name that takes some room in the block ", i), 0, 0, i, false);
	for (i = 0; i < 3; i++)
		put(t, nth("linear/", i), 0, 0, i, false);
	make_dir(t, "empty");
	make_dir(t, "emptied");
	for (i = 0; i < 100; i++)
		put(t, nth("emptied/another name that takes some room in the block ", i), 0, 0, i, false);
	for (i = 0; i < 100; i++)
		step(t, !unlink(nth("emptied/another name that takes some room in the block ", i)), "unlink", "");
	for (i = 0; i < 60; i++) {
		make_dir(t, path);
		strcat(path, "/d");
	}
	put(t, path, 0, 1, 1, false);
	make_dir(t, "set-group");
	step(t, !chown("set-group", 1, 100001) && !chmod("set-group", 02775), "chmod", "set-group");
	make_dir(t, "set-group/dir");
	make_dir(t, "sticky");
	step(t, !chmod("sticky", 01777), "chmod", "sticky");
}

static void make_attributes(struct tree *t)
{
	char longest[256] = "user.";
	unsigned int i;

	memset(longest + 5, 'x', 250);
	put(t, "x-inode", 0, 5, 1, false);
	set_xattr(t, "x-inode", "user.a", 3, 1);
	set_xattr(t, "x-inode", "user.empty", 0, 1);
	set_xattr(t, "x-inode", "trusted.b", 5, 2);
	set_xattr(t, "x-inode", "security.c", 7, 3);
	put(t, "x-block", 0, 5, 1, false);
	set_xattr(t, "x-block", "user.big", 500, 1);
	put(t, "x-long", 0, 5, 1, false);
	set_xattr(t, "x-long", longest, 20, 1);
	put(t, "x-both", 0, 5, 1, false);
	for (i = 0; i < 8; i++)
		set_xattr(t, "x-both", nth("trusted.n", i), i * 12, i);
	for (i = 0; i < 4; i++) {
		put(t, nth("x-shared", i), 0, 5, 1, false);
		set_xattr(t, nth("x-shared", i), "user.same", 400, 7);
	}
	set_xattr(t, "symlink1", "trusted.l", 10, 1);
	set_xattr(t, "fifo", "trusted.f", 300, 1);
	set_xattr(t, "linear", "user.dir", 10, 1);

	make_dir(t, "acl");
	set_acl(t, "acl", "system.posix_acl_access", 5);
	set_acl(t, "acl", "system.posix_acl_default", 6);
	put(t, "acl/inherited", 0, 1, 1, false);
	make_dir(t, "acl/dir");
	make_node(t, "acl/fifo", S_IFIFO | 0666, 0);
	put(t, "acl-file", 0, 1, 1, false);
	set_acl(t, "acl-file", "system.posix_acl_access", 4);
	put(t, "cap", 0, 5, 1, false);
	set_capability(t, "cap", CAP_NET_RAW);
	put(t, "gen", 0, 5, 1, false);
	set_generation(t, "gen", 0x80000001);
	for (i = 0; i < 40; i++)
		put(t, nth("time", i), 0, 5, 1, false);
}

static int not_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") && strcmp(d->d_name, "..") && strcmp(d->d_name, "lost+found");
}

/* All that is in the directory, in the order of names, and that itself. */
static void set_all_times(struct tree *t, unsigned int *n)
{
	struct dirent **list;
	struct stat st;
	int nr = scandir(".", &list, not_dots, alphasort), i;

	for (i = 0; i < nr; i++) {
		const char *name = list[i]->d_name;

		if (step(t, !lstat(name, &st), "lstat", name) && S_ISDIR(st.st_mode) &&
		    step(t, !chdir(name), "chdir", name)) {
			set_all_times(t, n);
			step(t, !chdir(".."), "chdir", "..");
		}
		set_times(t, name, (*n)++);
		free(list[i]);
	}
	if (step(t, nr >= 0, "scandir", "."))
		free(list);
}

static void make_flags(struct tree *t)
{
	static const unsigned int of_files[] = {
		FS_APPEND_FL, FS_IMMUTABLE_FL, FS_NODUMP_FL, FS_NOATIME_FL, FS_SYNC_FL, FS_SECRM_FL,
		FS_UNRM_FL, FS_COMPR_FL, FS_NOTAIL_FL,
	};
	static const unsigned int of_dirs[] = { FS_DIRSYNC_FL, FS_TOPDIR_FL, FS_APPEND_FL, FS_NODUMP_FL };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(of_files); i++) {
		put(t, nth("flag", i), 0, 100, i, false);
		set_times(t, nth("flag", i), i);
		set_flags(t, nth("flag", i), of_files[i]);
	}
	for (i = 0; i < ARRAY_SIZE(of_dirs); i++) {
		make_dir(t, nth("flag-dir", i));
		if (i == 3) {
			set_flags(t, nth("flag-dir", i), of_dirs[i]);
			put(t, "flag-dir3/inherits", 0, 1, 1, false);
			set_times(t, "flag-dir3/inherits", i);
		}
		set_times(t, nth("flag-dir", i), i);
		set_flags(t, nth("flag-dir", i), of_dirs[i]);
	}
	set_times(t, ".", 3);
}

const char *tree_make(unsigned int bs, bool late)
{
	static struct tree t;
	unsigned int n = 0;

	t = (struct tree){ .bs = bs, .late = late };
	umask(0022);
	if (!step(&t, !chdir(env_dir()), "chdir", env_dir()))
		return t.wrong;
	make_data(&t);
	make_names(&t);
	make_dirs(&t);
	make_attributes(&t);
	set_all_times(&t, &n);
	make_flags(&t);
	step(&t, !chdir("/"), "chdir", "/");
	return t.wrong[0] ? t.wrong : NULL;
}
