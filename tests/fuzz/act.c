// SPDX-License-Identifier: GPL-2.0
/*
 * Changing a mounted volume in all ways there are. It may fail, with an errno that says
 * what is wrong with the volume or with the request; and what was written to a file is
 * read back right away.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "act.h"
#include "env.h"

/* What the volume may answer to a change. */
bool act_may_be(int err)
{
	switch (err) {
	case EUCLEAN:
	case EIO:
	case EROFS:
	case ENOSPC:
	case EPERM:	/* immutable, append-only */
	case EFBIG:
	case ELOOP:
	case ESTALE:
	case EMLINK:
	case ENOENT:	/* gone meanwhile */
	case EEXIST:
	case ENOTEMPTY:
	case EISDIR:
	case ENOTDIR:
	case ENAMETOOLONG:
		return true;
	}
	return false;
}

bool act_done(struct fuzz *f, const char *what, long result)
{
	if (result >= 0 || act_may_be(errno))
		return true;
	return wrong(f, "%s: %s", what, strerror(errno));
}

bool act_done_or(struct fuzz *f, const char *what, long result, int one, int other)
{
	return (result < 0 && (errno == one || errno == other)) || act_done(f, what, result);
}

const char *act_path(const char *path)
{
	static char name[4][640];
	static int n;

	n = (n + 1) % 4;
	snprintf(name[n], sizeof(name[n]), "%s/%s", env_dir(), path);
	return name[n];
}

static const struct found *pick(struct fuzz *f, const struct listing *l, mode_t type)
{
	int tries = 20;

	while (tries--) {
		const struct found *at = &l->f[rng_below(&f->rng, l->nr)];

		if ((at->mode & S_IFMT) == type || (!type && *at->path))
			return at;
	}
	return NULL;
}

/* A name that there is not, in some directory. */
static const char *new_name(struct fuzz *f, const struct listing *l, int n)
{
	const struct found *dir = rng_percent(&f->rng, 30) ? &l->f[0] : pick(f, l, S_IFDIR);
	static char name[480];

	snprintf(name, sizeof(name), "%s/new-%d%.*s", dir ? dir->path : "", n, (int)rng_below(&f->rng, 60),
		 "-abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh");
	return act_path(name);
}

/* A file without a name, written to, and given one. */
static bool make_nameless(struct fuzz *f, const struct listing *l, const char *name)
{
	const struct found *dir = pick(f, l, S_IFDIR);
	const char *path = act_path(dir ? dir->path : "");
	int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
	char self[32];
	bool ok;

	step(f, "O_TMPFILE in %s", path);
	if (fd < 0)
		return act_done(f, "O_TMPFILE", fd);
	ok = act_done(f, "write", write(fd, name, strlen(name)));
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (ok && rng_percent(&f->rng, 70))
		ok = act_done(f, "linkat", linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW));
	if (ok && rng_percent(&f->rng, 30))
		ok = act_done(f, "fsync", fsync(fd));
	close(fd);
	return ok;
}

static bool move(struct fuzz *f, const struct listing *l, const struct found *any, int n)
{
	static const unsigned int flags[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE, RENAME_WHITEOUT };
	unsigned int how = flags[rng_below(&f->rng, sizeof(flags) / sizeof(*flags))];
	const char *from = act_path(any->path), *name;

	if (how == RENAME_EXCHANGE ? rng_percent(&f->rng, 10) : rng_percent(&f->rng, 50)) {
		name = new_name(f, l, n);
	} else {
		const struct found *to = pick(f, l, how == RENAME_EXCHANGE ? 0 : any->mode & S_IFMT);

		name = act_path(to ? to->path : "new");
	}
	step(f, "rename %#x %s %s", how, any->path, name);
	if (!syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, name, how) || act_may_be(errno))
		return true;
	/* a directory into itself; the mount point */
	return errno == EINVAL || errno == EBUSY || errno == EXDEV ? true :
	       wrong(f, "rename %#x: %s", how, strerror(errno));
}

static bool change(struct fuzz *f, const struct listing *l, int n)
{
	const struct found *file = pick(f, l, S_IFREG);
	const struct found *any = pick(f, l, 0);
	const char *name;

	f->now->steps++;
	switch (rng_below(&f->rng, 26)) {
	case 0:
	case 1:
	case 2:
		name = new_name(f, l, n);
		return act_file(f, name, O_CREAT);
	case 3:
		name = new_name(f, l, n);
		step(f, "mkdir %s", name);
		return act_done(f, "mkdir", mkdir(name, 0755));
	case 4:
		name = new_name(f, l, n);
		step(f, "symlink %s", name);
		return act_done(f, "symlink", symlink(name + (rng_percent(&f->rng, 50) ? strlen(name) - 5 : 0), name));
	case 5:
		name = new_name(f, l, n);
		step(f, "mknod %s", name);
		return act_done(f, "mknod", mknod(name, rng_percent(&f->rng, 50) ? S_IFIFO | 0600 : S_IFCHR | 0600,
					      0x12345));
	case 6:
		if (!any)
			return true;
		name = new_name(f, l, n);
		step(f, "link %s %s", any->path, name);
		return act_done(f, "link", link(act_path(any->path), name));
	case 7:
	case 8:
	case 9:
		if (!any)
			return true;
		step(f, "unlink %s", any->path);
		if (S_ISDIR(any->mode))
			return act_done(f, "rmdir", rmdir(act_path(any->path)));
		return act_done(f, "unlink", unlink(act_path(any->path)));
	case 10:
	case 11:
		if (!any)
			return true;
		return move(f, l, any, n);
	case 12:
	case 13:
		return act_volume(f);
	case 14:
		return make_nameless(f, l, new_name(f, l, n));
	case 15:
	case 16:
	case 17:
		return any ? act_attributes(f, act_path(any->path), any->mode) : true;
	default:
		return file ? act_file(f, act_path(file->path), 0) : true;
	}
}

bool act(struct fuzz *f, const struct listing *found)
{
	int n = 6 + rng_below(&f->rng, 20);

	while (n--) {
		if (!change(f, found, n))
			return false;
	}
	return true;
}
