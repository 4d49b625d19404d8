// SPDX-License-Identifier: GPL-2.0
/*
 * The verdicts of others beside ours. What e2fsck finds nothing wrong with is mounted, and
 * gives no error; what the ext4 driver shows without an error, we show too, and the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env.h"
#include "fuzz.h"
#include "put.h"

/* In the superblock: the first inode that was unlinked but open, or to be truncated. */
#define LAST_ORPHAN	(1024 + 232)
#define OUR_LIMIT	"/proc/sys/kernel/printk_ratelimit"

/*
 * What we refuse though ext4 takes it, on purpose, by the words of the log: of the inode that the
 * line names, and of the names in it, or of the volume. Documentation/tests.rst has why.
 */
static const struct {
	const char *words;
	bool mount;	/* of the volume, as of what is wrong with its root */
} deliberate[] = {
	{ "name empty or with impossible bytes" },
	{ "entry shorter than possible (found 0)" },
	{ "length of an entry not a multiple of 4 (found 65535)" },
	{ "hole in a directory" },
	{ "size of a directory is not a number of blocks", true },
	{ "directory larger than the volume", true },
	{ "entry of another file type than its inode" },
	{ "flags of extents or inline data on a volume without", true },
	{ "bitmaps and inode table overlap", true },
	{ "impossible first inode", true },
	{ "inode 2: block pointer into metadata", true },
	{ "no root of an index" },
	{ "no references" },
};

/*
 * With bad descriptors it looks at backups of them, and finds nothing wrong there; and it ignores one whose checksum
 * is wrong. By its status all is well then. What it prints, before anything else, has no other word for that.
 */
static bool ignored_descriptors(int out)
{
	char text[4096];
	ssize_t n = pread(out, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = 0;
	return strstr(text, "trying backup") || strstr(text, "descriptor checksums are invalid");
}

bool is_clean(const struct image *im)
{
	/* What never ends there is not clean. */
	char *const fsck[] = { "timeout", "-k", "5", "100", "e2fsck", "-fn", (char *)im->dev, NULL };
	int out = memfd_create("out", MFD_CLOEXEC);
	posix_spawn_file_actions_t actions;
	bool clean = false;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, out, 2);
	if (!posix_spawnp(&pid, fsck[0], &actions, NULL, fsck, environ) && waitpid(pid, &status, 0) == pid)
		clean = WIFEXITED(status) && !WEXITSTATUS(status) && !ignored_descriptors(out);
	posix_spawn_file_actions_destroy(&actions);
	close(out);
	return clean;
}

static const struct found *find(const struct listing *l, const struct found *like)
{
	int i = like->nr;

	/* nearly always at the same place */
	if (i < l->nr && !strcmp(l->f[i].path, like->path))
		return &l->f[i];
	for (i = 0; i < l->nr; i++) {
		if (!strcmp(l->f[i].path, like->path))
			return &l->f[i];
	}
	return NULL;
}

/* The directory that has the name; NULL for the root, or if it was not listed. */
static const struct found *parent(const struct listing *l, const struct found *at)
{
	char path[sizeof(at->path)];
	char *slash;
	int i;

	if (!*at->path)
		return NULL;
	snprintf(path, sizeof(path), "%s", at->path);
	slash = strrchr(path, '/');
	*(slash ?: path) = 0;
	for (i = at->nr; i-- > 0;) {
		if (!strcmp(l->f[i].path, path))
			return &l->f[i];
	}
	return NULL;
}

static bool is_deliberate(const char *text, bool mount)
{
	size_t i;

	for (i = 0; i < sizeof(deliberate) / sizeof(*deliberate); i++) {
		if ((!mount || deliberate[i].mount) && strstr(text, deliberate[i].words))
			return true;
	}
	return false;
}

/* Have they found an error in this inode? */
static bool they_said(const struct fuzz *f, const struct found *at)
{
	unsigned int i;

	for (i = 0; at && i < f->theirs.nr; i++) {
		if (f->theirs.line[i].ino == at->ino)
			return true;
	}
	return false;
}

/* Have we refused on purpose what is in this inode, or, for NULL, the volume? */
static bool we_refuse(const struct fuzz *f, const struct found *at)
{
	unsigned int i;

	for (i = 0; i < f->ours.nr; i++) {
		if ((!at || f->ours.line[i].ino == at->ino) && is_deliberate(f->ours.line[i].text, !at))
			return true;
	}
	return false;
}

/*
 * Theirs is not as ours is: @at is what they have seen, in the directory @dir. It may be that they have found an error
 * there, too, or that we refuse on purpose what they take.
 */
static bool differs(struct fuzz *f, const struct found *at, const struct found *dir, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	if (at && (they_said(f, at) || they_said(f, dir)))
		return true;
	if (we_refuse(f, at) || (dir && we_refuse(f, dir))) {
		f->now->deliberate++;
		return true;
	}
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return wrong(f, "ext4 takes it: %s; %s", what, f->first_line);
}

static bool same_inode(const struct found *a, const struct found *b)
{
	return a->mode == b->mode && a->ino == b->ino && a->links == b->links && a->owner == b->owner &&
	       a->size == b->size && a->sectors == b->sectors;
}

/* One name that ext4 has shown without an error. */
static bool hold_one(struct fuzz *f, const struct listing *theirs, const struct found *their,
		     const struct listing *ours)
{
	const struct found *our = find(ours, their), *dir = parent(theirs, their);
	const struct found *our_dir = dir ? find(ours, dir) : NULL;

	if (!our) {
		/* Its directory has been cut off, here or there; or its directory is what differs. */
		if (ours->nr == FOUND_MAX || !our_dir || our_dir->err || our_dir->cut)
			return true;
		return differs(f, their, dir, "\"%s\" is not there", their->path);
	}
	if (our->err)
		return differs(f, their, dir, "%s of \"%s\": %s", our->what, our->path, strerror(our->err));
	/* What was to be truncated when the power went, ext4 truncates when it mounts, even if it is not longer. */
	if (!same_inode(our, their) || (their->times && our->times != their->times && our->ino != f->orphan))
		return differs(f, their, dir, "\"%s\" is not the same: mode %o, %o; inode %llu, %llu; links %llu, %llu; owner %llx, %llx; size %llu, %llu; sectors %llu, %llu; times %llx, %llx",
			       our->path, our->mode, their->mode, (unsigned long long)our->ino,
			       (unsigned long long)their->ino, (unsigned long long)our->links,
			       (unsigned long long)their->links, (unsigned long long)our->owner,
			       (unsigned long long)their->owner, (unsigned long long)our->size,
			       (unsigned long long)their->size, (unsigned long long)our->sectors,
			       (unsigned long long)their->sectors, (unsigned long long)our->times,
			       (unsigned long long)their->times);
	if (!their->attributes_err && (our->attributes_err || our->attributes != their->attributes))
		return differs(f, their, NULL, "attributes of \"%s\" are not the same: %s", our->path,
			       strerror(our->attributes_err));
	if (our->sum != their->sum && !their->indexed && !their->cut)
		return differs(f, their, NULL, "what is in \"%s\" is not the same", our->path);
	return true;
}

/*
 * All that ext4 has shown without an error. Where it has found one, it may have left something
 * out without a word to the caller.
 */
static bool hold_against(struct fuzz *f, const struct listing *theirs, const struct listing *ours)
{
	bool ok = true;
	int i;

	for (i = 0; ok && i < theirs->nr; i++) {
		if (!theirs->f[i].err)
			ok = hold_one(f, theirs, &theirs->f[i], ours);
	}
	return ok;
}

/* All lines of both drivers, not ten in five seconds. */
static void set_limit(const char *path, const char *to)
{
	const int err = put(path, to);

	if (err && err != -ENOENT)
		printf("# %s: %s\n", path, strerror(-err));
}

static bool look(struct fuzz *f, const struct image *im, const char *fstype, struct listing *l, int *err)
{
	bool ok;

	char limit[80], *dev = realpath(im->dev, NULL);

	step(f, "%s, read-only", fstype);
	*err = volume_mount(f, im, fstype, MS_RDONLY, "errors=continue");
	snprintf(limit, sizeof(limit), "/sys/fs/ext4/%s/err_ratelimit_interval_ms", dev ? strrchr(dev, '/') + 1 : "");
	free(dev);
	if (*err)
		return true;
	set_limit(limit, "0");
	ok = walk(f, l, true);
	return volume_umount(f) && ok;
}

/*
 * e2fsck holds the hashes of a leaf against the pointer to that, but not those of a node against the pointers of the root. Names
 * are looked for by these, so that ext4 does not find all that it lists.
 */
#define UNSORTED	"index that is not sorted"

/*
 * Is all that we have said about inodes of which they say that, too, or about an index with a node that is in the wrong place? Then it is
 * e2fsck that overlooks it.
 */
static bool is_overlooked(const struct fuzz *f)
{
	unsigned int i;

	for (i = 0; i < f->ours.nr; i++) {
		const struct found at = { .ino = f->ours.line[i].ino };

		if (!at.ino || (!they_said(f, &at) && !strstr(f->ours.line[i].text, UNSORTED)))
			return false;
	}
	return true;
}

bool compare(struct fuzz *f, const struct image *im, bool *clean)
{
	static struct listing theirs, ours;
	int their_err, our_err;
	bool ok;

	f->now->compared++;
	f->orphan = get_le(f->buf, LAST_ORPHAN, 4);
	step(f, "e2fsck");
	*clean = is_clean(im);
	f->now->clean += *clean;

	f->lenient = true;
	f->theirs.nr = 0;
	ok = look(f, im, "ext2", &theirs, &their_err);
	f->lenient = false;
	/* Even read-only, it has left a note of errors in the superblock. */
	if (arena_put(&f->arena, im, f->buf))
		return wrong(f, "cannot write the image");
	ok = ok && log_check(f);
	f->lines = 0;
	f->first_line[0] = 0;
	f->ours.nr = 0;
	set_limit(OUR_LIMIT, "0");
	ok = ok && look(f, im, env_fstype(), &ours, &our_err) && log_check(f);
	set_limit(OUR_LIMIT, "5");
	if (!ok)
		return false;
	if (*clean && our_err)
		return wrong(f, "e2fsck takes it: not mounted: %s; %s", strerror(-our_err), f->first_line);
	if (*clean && f->lines && !is_overlooked(f))
		return wrong(f, "e2fsck takes it: %s", f->first_line);
	*clean = *clean && !f->lines;
	if (their_err)
		return true;
	if (our_err)
		return differs(f, NULL, NULL, "not mounted: %s; %s", strerror(-our_err), f->first_line);
	return hold_against(f, &theirs, &ours);
}
