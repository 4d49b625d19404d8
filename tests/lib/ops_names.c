// SPDX-License-Identifier: GPL-2.0
/* Operations on names. What has failed has not been done. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"

static const char *made(struct round *r, const char *name)
{
	return ops_either(r, !vol_exists(name), vol_exists(name));
}

static const char *gone(struct round *r, const char *name)
{
	return ops_either(r, vol_exists(name), !vol_exists(name));
}

static long lookup(struct round *r)
{
	struct stat st;

	return ops_errno(stat(vol_path("d/a"), &st));
}

/* No such name: all blocks are searched. */
static long lookup_of_nothing(struct round *r)
{
	struct stat st;
	long n = ops_errno(stat(vol_path("d/none"), &st));

	return n == -ENOENT ? 0 : n ?: -EEXIST;
}

static int open_dir(struct round *r)
{
	r->fd = vol_open("d", O_RDONLY | O_DIRECTORY);
	return r->fd < 0 ? r->fd : 0;
}

static long list(struct round *r)
{
	ssize_t n;

	do
		n = getdents64(r->fd, r->back, ROUND_MEM);
	while (n > 0);
	return ops_errno(n);
}

static long read_link(struct round *r)
{
	return ops_errno(readlink(vol_path("long"), r->back, ROUND_MEM));
}

static long create(struct round *r)
{
	r->fd = vol_open("d/new", O_CREAT | O_EXCL | O_RDWR);
	return r->fd;
}

static const char *created(struct round *r)
{
	return made(r, "d/new");
}

static long make_node(struct round *r)
{
	return ops_errno(mknod(vol_path("d/new"), S_IFIFO | 0600, 0));
}

/* The target is in a block of its own. */
static long make_symlink(struct round *r)
{
	char target[101] = "";

	memset(target, 'y', 100);
	return ops_errno(symlink(target, vol_path("d/new")));
}

static long make_link(struct round *r)
{
	return ops_errno(link(vol_path("f"), vol_path("d/new")));
}

static const char *linked(struct round *r)
{
	if (vol_links("f") != 1 + vol_exists("d/new"))
		return "the count of links is not that of the names";
	return made(r, "d/new");
}

static long make_dir(struct round *r)
{
	return vol_mkdir("d/new");
}

static const char *dir_made(struct round *r)
{
	if (vol_links("d") != 3 + vol_exists("d/new"))
		return "the count of links is not that of the directories";
	return made(r, "d/new");
}

static long rename_name(struct round *r)
{
	return vol_rename("d/a", "empty/a", 0);
}

static const char *renamed(struct round *r)
{
	const char *found = ops_mixed(r, vol_exists("empty/a") ? "empty/a" : "d/a", 14 * UNIT, 1, false);

	return found ?: ops_either(r, vol_exists("d/a"), vol_exists("empty/a"));
}

/* Over a name whose inode then goes. */
static long rename_over(struct round *r)
{
	return vol_rename("f", "d/a", 0);
}

static const char *renamed_over(struct round *r)
{
	struct stat st;

	if (stat(vol_path("d/a"), &st))
		return "neither is there";
	return ops_either(r, st.st_size == 14 * UNIT && vol_exists("f"),
			  st.st_size == 20 * UNIT && !vol_exists("f"));
}

static long rename_dir(struct round *r)
{
	return vol_rename("d/sub", "empty/sub", 0);
}

static const char *dir_renamed(struct round *r)
{
	struct stat up, parent;

	if (vol_exists("empty/sub")) {
		if (stat(vol_path("empty/sub/.."), &up) || stat(vol_path("empty"), &parent) ||
		    up.st_ino != parent.st_ino)
			return "it has another parent than it thinks";
	}
	return ops_either(r, vol_exists("d/sub"), vol_exists("empty/sub"));
}

/* A directory and a file. */
static long exchange_names(struct round *r)
{
	return vol_rename("d/sub", "f", RENAME_EXCHANGE);
}

static const char *exchanged(struct round *r)
{
	struct stat old, new, up, parent;
	bool is_new;

	if (stat(vol_path("d/sub"), &old) || stat(vol_path("f"), &new))
		return "a name is gone";
	is_new = S_ISDIR(new.st_mode);
	if (is_new == S_ISDIR(old.st_mode))
		return "both are the same";
	if (vol_links("d") != 2 + !is_new)
		return "the count of links is not that of the directories";
	if (stat(vol_path(is_new ? "f/.." : "d/sub/.."), &up) ||
	    stat(vol_path(is_new ? "" : "d"), &parent) || up.st_ino != parent.st_ino)
		return "it has another parent than it thinks";
	return ops_either(r, !is_new, is_new);
}

static long rename_whiteout(struct round *r)
{
	return vol_rename("d/a", "empty/a", RENAME_WHITEOUT);
}

static const char *whited_out(struct round *r)
{
	struct stat st;
	bool is_new = vol_exists("empty/a");
	const char *found = ops_mixed(r, is_new ? "empty/a" : "d/a", 14 * UNIT, 1, false);

	if (found)
		return found;
	if (lstat(vol_path("d/a"), &st))
		return "there is no whiteout";
	return ops_either(r, S_ISREG(st.st_mode) && !is_new, S_ISCHR(st.st_mode) && is_new);
}

static long unlink_last(struct round *r)
{
	return ops_errno(unlink(vol_path("deep")));
}

static const char *unlinked_last(struct round *r)
{
	return gone(r, "deep");
}

static long unlink_other(struct round *r)
{
	return ops_errno(unlink(vol_path("d/b")));
}

static const char *unlinked_other(struct round *r)
{
	return gone(r, "d/b");
}

static long remove_dir(struct round *r)
{
	return ops_errno(rmdir(vol_path("d/sub")));
}

static const char *dir_removed(struct round *r)
{
	if (vol_links("d") != 2 + vol_exists("d/sub"))
		return "the count of links is not that of the directories";
	return gone(r, "d/sub");
}

static long change_mode(struct round *r)
{
	return ops_errno(chmod(vol_path("d/a"), 0600));
}

static const char *mode_changed(struct round *r)
{
	struct stat st;

	if (stat(vol_path("d/a"), &st))
		return "it is gone";
	return ops_either(r, (st.st_mode & 0777) == 0644, (st.st_mode & 0777) == 0600);
}

/* The index of a directory is made, then a block of it is split. */
#define MORE	6

static long outgrow(struct round *r)
{
	unsigned int first = r->v.bs / 256, i;
	char path[512];
	int err = 0;

	for (i = first; i < first + MORE && !err; i++) {
		ops_full_name(path, i);
		err = vol_link("f", path);
	}
	return err;
}

static const char *outgrown(struct round *r)
{
	unsigned int there = r->v.bs / 256 + (r->ret < 0 ? 0 : MORE), i;
	char path[512];

	for (i = 0; i < there; i++) {
		ops_full_name(path, i);
		if (!vol_exists(path))
			return i < r->v.bs / 256 ? "an old name is not there" : "a new name is not there";
	}
	return NULL;
}

#define TMPFILE_LEN	(6 * UNIT)

static long make_tmpfile(struct round *r)
{
	ssize_t n, done;
	char self[32];

	r->fd = open(vol_path("d"), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (r->fd < 0)
		return -errno;
	/* there may be memory for a part of it */
	for (done = 0; done < TMPFILE_LEN; done += n) {
		n = pwrite(r->fd, r->buf + done, TMPFILE_LEN - done, done);
		if (n < 0)
			return -errno;
	}
	snprintf(self, sizeof(self), "/proc/self/fd/%d", r->fd);
	return ops_errno(linkat(AT_FDCWD, self, AT_FDCWD, vol_path("d/new"), AT_SYMLINK_FOLLOW));
}

static const char *tmpfile_made(struct round *r)
{
	if (r->ret >= 0 && r->synced >= 0 && !vol_holds("d/new", TMPFILE_LEN, 2))
		return "what was written is not there";
	return made(r, "d/new");
}

static int new_name(struct round *r)
{
	r->fd = vol_open("d/new", O_CREAT | O_EXCL | O_RDWR);
	return r->fd < 0 ? r->fd : 0;
}

/* What one could not write is for the next to write, or it fails, too. */
static long sync_again(struct round *r)
{
	if (!fsync(r->fd))
		return 0;
	return ops_errno(fsync(r->fd));
}

static const char *synced_name(struct round *r)
{
	return r->ret < 0 || vol_exists("d/new") ? NULL : "it was synced, and is not there";
}

const struct op ops_names[] = {
	{ "look-up", .run = lookup },
	{ "look-up of nothing", .run = lookup_of_nothing },
	{ "readdir", .prepare = open_dir, .run = list },
	{ "readlink", .run = read_link },
	{ "create", .run = create, .check = created, .changes = true },
	{ "mknod", .run = make_node, .check = created, .changes = true },
	{ "symlink", .run = make_symlink, .check = created, .changes = true, .every = true,
	  .large = true },
	{ "link", .run = make_link, .check = linked, .changes = true },
	{ "mkdir", .run = make_dir, .check = dir_made, .changes = true, .large = true },
	{ "rename", .run = rename_name, .check = renamed, .changes = true },
	{ "rename over", .run = rename_over, .check = renamed_over, .changes = true,
	  .large = true },
	{ "rename of a directory", .run = rename_dir, .check = dir_renamed, .changes = true },
	{ "exchange", .run = exchange_names, .check = exchanged, .changes = true, .every = true },
	{ "rename with a whiteout", .run = rename_whiteout, .check = whited_out, .changes = true,
	  .every = true },
	{ "unlink", .run = unlink_last, .check = unlinked_last, .changes = true },
	{ "unlink of one of many", .run = unlink_other, .check = unlinked_other, .changes = true },
	{ "rmdir", .run = remove_dir, .check = dir_removed, .changes = true },
	{ "names that a directory has no room for", .run = outgrow, .check = outgrown, .changes = true,
	  .large = true },
	{ "names that blocks of 4 KiB have no room for", .run = outgrow, .check = outgrown,
	  .changes = true, .big = true, .large = true },
	{ "O_TMPFILE and linkat", .run = make_tmpfile, .check = tmpfile_made, .changes = true,
	  .kworkers = true, .large = true },
	{ "fsync of a name", .prepare = new_name, .run = sync_again, .check = synced_name,
	  .durable = true, .every = true },
	{ "chmod", .run = change_mode, .check = mode_changed, .changes = true },
	{}
};
