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

/*
 * What we refuse though ext4 takes it, on purpose, by the words of the log.
 * Documentation/tests.rst has the reasons.
 */
static const char *const deliberate[] = {
	"name empty or with impossible bytes",
	"entry shorter than possible (found 0)",
	"hole in a directory",
	"size of a directory is not a number of blocks",
	"directory larger than the volume",
	"entry of another file type than its inode",
	"flags of extents or inline data on a volume without",
	"bitmaps and inode table overlap",
	"inode 2: block pointer into metadata",
	NULL
};

/*
 * With bad descriptors it looks at backups of them, finds nothing wrong there, and does not
 * say so by its status. What it prints has no other word for that.
 */
static bool used_backup(int out)
{
	char text[4096];
	ssize_t n = pread(out, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = 0;
	return strstr(text, "trying backup");
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
		clean = WIFEXITED(status) && !WEXITSTATUS(status) && !used_backup(out);
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

static bool differs(struct fuzz *f, const char *fmt, ...)
{
	char what[400];
	va_list ap;
	int i;

	for (i = 0; deliberate[i]; i++) {
		if (strstr(f->first_line, deliberate[i])) {
			f->now->deliberate++;
			return true;
		}
	}
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return wrong(f, "ext4 takes it: %s; %s", what, f->first_line);
}

/*
 * All that ext4 has shown without an error. Where it has found one, it may have left something
 * out without a word to the caller; then only what both have seen can be compared.
 */
static bool hold_against(struct fuzz *f, const struct listing *theirs, const struct listing *ours)
{
	int i;

	for (i = 0; i < theirs->nr; i++) {
		const struct found *their = &theirs->f[i];
		const struct found *our = find(ours, their);

		if (their->err || (f->their_lines && (!our || our->err)))
			continue;
		if (!our)
			/* Its directory has been cut off, here or there. */
			return ours->nr == FOUND_MAX ? true : differs(f, "\"%s\" is not there", their->path);
		if (our->err)
			return differs(f, "%s of \"%s\": %s", our->what, our->path, strerror(our->err));
		if (our->mode != their->mode || our->ino != their->ino || our->links != their->links ||
		    our->owner != their->owner || our->size != their->size)
			return differs(f, "\"%s\" is not the same: mode %o, %o; inode %llu, %llu; links %llu, %llu; owner %llx, %llx; size %llu, %llu",
				       our->path, our->mode, their->mode, (unsigned long long)our->ino,
				       (unsigned long long)their->ino, (unsigned long long)our->links,
				       (unsigned long long)their->links, (unsigned long long)our->owner,
				       (unsigned long long)their->owner, (unsigned long long)our->size,
				       (unsigned long long)their->size);
		if (S_ISDIR(our->mode) && (f->their_lines || their->indexed))
			continue;
		if (our->sum != their->sum)
			return differs(f, "what is in \"%s\" is not the same: %s", our->path, f->first_line);
	}
	return true;
}

static bool look(struct fuzz *f, const struct image *im, const char *fstype, struct listing *l, int *err)
{
	bool ok;

	step(f, "%s, read-only", fstype);
	*err = volume_mount(f, im, fstype, MS_RDONLY, "errors=continue");
	if (*err)
		return true;
	ok = walk(f, l, true);
	return volume_umount(f) && ok;
}

bool compare(struct fuzz *f, const struct image *im, bool *clean)
{
	static struct listing theirs, ours;
	int their_err, our_err;
	bool ok;

	f->now->compared++;
	step(f, "e2fsck");
	*clean = is_clean(im);
	f->now->clean += *clean;

	f->lenient = true;
	f->their_lines = 0;
	ok = look(f, im, "ext2", &theirs, &their_err);
	f->lenient = false;
	/* Even read-only, it has left a note of errors in the superblock. */
	if (arena_put(&f->arena, im, f->buf))
		return wrong(f, "cannot write the image");
	ok = ok && log_check(f);
	f->lines = 0;
	f->first_line[0] = 0;
	ok = ok && look(f, im, env_fstype(), &ours, &our_err) && log_check(f);
	if (!ok)
		return false;
	if (*clean && our_err)
		return wrong(f, "e2fsck takes it: not mounted: %s; %s", strerror(-our_err), f->first_line);
	if (*clean && f->lines)
		return wrong(f, "e2fsck takes it: %s", f->first_line);
	if (their_err)
		return true;
	if (our_err && f->their_lines)
		return true;
	if (our_err)
		return differs(f, "not mounted: %s; %s", strerror(-our_err), f->first_line);
	return hold_against(f, &theirs, &ours);
}
