// SPDX-License-Identifier: GPL-2.0
/*
 * Changing a mounted volume in all ways there are. It may fail, with an errno that says
 * what is wrong with the volume or with the request; and what was written to a file is
 * read back right away.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "buf.h"
#include "env.h"
#include "fuzz.h"
#include "pattern.h"

#define WRITE_MAX	(40 * 1024)

/* What the volume may answer to a change. */
static bool may_be(int err)
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

static bool done(struct fuzz *f, const char *what, long result)
{
	if (result >= 0 || may_be(errno))
		return true;
	return wrong(f, "%s: %s", what, strerror(errno));
}

static const char *full(const char *path)
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
	return full(name);
}

/* A file that was there may have one block in several places, and only the page cache does not see that. */
static bool write_back(struct fuzz *f, int fd, bool direct, bool is_new, off_t off, size_t len)
{
	static char *a, *b;
	ssize_t n, m;

	if (!a) {
		a = buf_alloc(WRITE_MAX);
		b = buf_alloc(WRITE_MAX);
	}
	pattern_fill(a, WRITE_MAX, off & ~511UL, f->now->steps);
	n = pwrite(fd, a, len, off);
	if (n < 0)
		return done(f, direct ? "direct write" : "write", n);
	m = pread(fd, b, n, off);
	if (m < 0)
		return done(f, "reading back", m);
	if (m != n || (memcmp(a, b, n) && (is_new || !direct)))
		return wrong(f, "%zd bytes written at %lld, %zd other ones read", n, (long long)off, m);
	if (rng_percent(&f->rng, 30))
		return done(f, "fsync", rng_percent(&f->rng, 50) ? fsync(fd) : fdatasync(fd));
	return true;
}

static off_t some_offset(struct fuzz *f, off_t size)
{
	switch (rng_below(&f->rng, 6)) {
	case 0:
		return size;
	case 1:
		return rng_below(&f->rng, 1 << 28);
	case 2:
		return rng_below(&f->rng, 600 * 1024);
	case 3:
		return rng_next(&f->rng) >> (8 + rng_below(&f->rng, 40));
	default:
		return rng_below(&f->rng, size < 1 << 20 ? size + 1 : 1 << 20);
	}
}

static bool change_file(struct fuzz *f, const char *path, int flags)
{
	bool direct = rng_percent(&f->rng, 40);
	int fd = open(path, flags | O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (direct ? O_DIRECT : 0), 0644);
	size_t len = 1 + rng_below(&f->rng, WRITE_MAX);
	struct stat st;
	off_t off;
	bool ok;

	if (fd < 0)
		return done(f, "open", fd);
	if (fstat(fd, &st)) {
		ok = done(f, "fstat", -1);
		close(fd);
		return ok;
	}
	off = some_offset(f, st.st_size);
	if (off < 0)
		off = 0;
	if (direct) {
		off &= ~4095L;
		len = (len + 4095) & ~4095L;
	}
	step(f, "file %s, %s, at %lld, %zu bytes", path, direct ? "direct" : "buffered", (long long)off, len);
	switch (rng_below(&f->rng, 9)) {
	case 0:
		ok = done(f, "ftruncate", ftruncate(fd, off));
		break;
	case 1:
		ok = done(f, "ftruncate", ftruncate(fd, rng_below(&f->rng, st.st_size < 1 << 20 ?
								   st.st_size + 1 : 1 << 20)));
		break;
	case 2:
		ok = done(f, "punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off,
						 rng_percent(&f->rng, 20) ? 1L << 40 : (long)len));
		break;
	case 3:
		ok = done(f, "fchmod", fchmod(fd, rng_next(&f->rng) & 07777)) &&
		     done(f, "fsync", fsync(fd));
		break;
	case 4:
		if (st.st_size & 4095)
			direct = false;
		fcntl(fd, F_SETFL, O_APPEND | (direct ? O_DIRECT : 0));
		ok = write_back(f, fd, direct, flags & O_CREAT, st.st_size, len);
		break;
	default:
		ok = write_back(f, fd, direct, flags & O_CREAT, off, len);
	}
	close(fd);
	return ok;
}

/* Frozen and thawed; read-only and back. */
static bool change_mount(struct fuzz *f)
{
	int fd = open(env_dir(), O_RDONLY | O_CLOEXEC);
	bool ok = true;

	if (fd < 0)
		return done(f, "open", fd);
	switch (rng_below(&f->rng, 4)) {
	case 0:
		step(f, "freeze");
		if (ioctl(fd, FIFREEZE, 0))
			ok = done(f, "freeze", -1);
		else if (ioctl(fd, FITHAW, 0) && !may_be(errno))
			ok = wrong(f, "thaw: %s", strerror(errno));
		break;
	case 1:
		step(f, "remount");
		ok = done(f, "remount ro", mount(NULL, env_dir(), NULL, MS_REMOUNT | MS_RDONLY | MS_NODEV, NULL)) &&
		     done(f, "remount rw", mount(NULL, env_dir(), NULL, MS_REMOUNT | MS_NODEV, NULL));
		break;
	default:
		step(f, "syncfs");
		ok = done(f, "syncfs", syncfs(fd));
	}
	close(fd);
	return ok;
}

static bool change(struct fuzz *f, const struct listing *l, int n)
{
	const struct found *file = pick(f, l, S_IFREG);
	const struct found *any = pick(f, l, 0);
	const char *name;

	f->now->steps++;
	switch (rng_below(&f->rng, 20)) {
	case 0:
	case 1:
	case 2:
		name = new_name(f, l, n);
		return change_file(f, name, O_CREAT);
	case 3:
		name = new_name(f, l, n);
		step(f, "mkdir %s", name);
		return done(f, "mkdir", mkdir(name, 0755));
	case 4:
		name = new_name(f, l, n);
		step(f, "symlink %s", name);
		return done(f, "symlink", symlink(name + (rng_percent(&f->rng, 50) ? strlen(name) - 5 : 0), name));
	case 5:
		name = new_name(f, l, n);
		step(f, "mknod %s", name);
		return done(f, "mknod", mknod(name, rng_percent(&f->rng, 50) ? S_IFIFO | 0600 : S_IFCHR | 0600,
					      0x12345));
	case 6:
		if (!any)
			return true;
		name = new_name(f, l, n);
		step(f, "link %s %s", any->path, name);
		return done(f, "link", link(full(any->path), name));
	case 7:
	case 8:
	case 9:
		if (!any)
			return true;
		step(f, "unlink %s", any->path);
		if (S_ISDIR(any->mode))
			return done(f, "rmdir", rmdir(full(any->path)));
		return done(f, "unlink", unlink(full(any->path)));
	case 10:
	case 11:
		if (!any)
			return true;
		if (rng_percent(&f->rng, 50)) {
			name = new_name(f, l, n);
		} else {
			const struct found *to = pick(f, l, any->mode & S_IFMT);

			name = full(to ? to->path : "new");
		}
		step(f, "rename %s %s", any->path, name);
		if (!rename(full(any->path), name) || may_be(errno))
			return true;
		/* a directory into itself; the mount point */
		return errno == EINVAL || errno == EBUSY || errno == EXDEV ? true : wrong(f, "rename: %s", strerror(errno));
	case 12:
		return change_mount(f);
	default:
		return file ? change_file(f, full(file->path), 0) : true;
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
