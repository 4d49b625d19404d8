// SPDX-License-Identifier: GPL-2.0
/*
 * Walking a mounted volume: every name is listed, looked up and looked at, and files are
 * read. There may be errors, but only such as a corrupt volume may give; what is read
 * twice is the same, and a position in a directory leads back to the same name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "buf.h"
#include "env.h"
#include "fuzz.h"

#define DEPTH_MAX	10
#define LIST_MAX	250	/* entries of one directory */
#define READ_MAX	(64 * 1024)
#define GETDENTS	16384
#define NSEC		1000000000
/* With blocks of 4 KiB, pointers reach further than a file may be long (s_maxbytes). */
#define PAGES_END	(2047LL << 30)

struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

static uint64_t mix(uint64_t sum, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	while (len--)
		sum = (sum ^ *p++) * 0x100000001b3ULL;
	return sum;
}

/* What a corrupt volume may answer. */
static bool may_be(int err)
{
	switch (err) {
	case EUCLEAN:
	case EIO:
	case ELOOP:	/* a directory in itself */
	case ESTALE:
		return true;
	}
	return false;
}

static bool failed(struct fuzz *f, struct found *at, const char *what, int err)
{
	if (!at->err) {
		at->err = err;
		at->what = what;
	}
	if (may_be(err) || (err == EFBIG && !strcmp(what, "read")))
		return true;
	return wrong(f, "%s of \"%s\": %s", what, at->path, strerror(err));
}

/* One place of a file: buffered, and now and then direct, which has to be the same. */
static bool read_at(struct fuzz *f, struct found *at, int fd, int direct, off_t off, size_t len, bool all)
{
	static char *a, *b;
	ssize_t n, m;

	if (!a) {
		a = buf_alloc(READ_MAX);
		b = buf_alloc(READ_MAX);
	}
	n = pread(fd, a, len, off);
	if (n < 0)
		return failed(f, at, "read", errno);
	at->sum = mix(at->sum, a, n);
	if (direct < 0 || (!all && rng_percent(&f->rng, 50)))
		return true;
	m = pread(direct, b, len, off & ~4095L);
	if (m < 0)
		return failed(f, at, "read", errno);
	if (off & 4095 || off >= PAGES_END)
		return true;
	if (memcmp(a, b, n < m ? n : m))
		return wrong(f, "\"%s\" at %lld: through the page cache other bytes than without", at->path,
			     (long long)off);
	/* Up to a corrupt pointer both may read, to the block or to the page. */
	if (n != m && (!log_check(f) || !f->lines))
		return wrong(f, "\"%s\" at %lld: %zd bytes through the page cache, %zd without",
			     at->path, (long long)off, n, m);
	return true;
}

/* The same through a mapping: write(2) gives EFAULT where an access would be a SIGBUS. */
static void read_mapped(int fd, off_t size)
{
	size_t len = size < READ_MAX ? size : READ_MAX;
	char *map = mmap(NULL, len ? len : 1, PROT_READ, MAP_SHARED, fd, 0);
	int p[2];

	if (map == MAP_FAILED)
		return;
	if (!pipe2(p, O_NONBLOCK)) {
		ssize_t n = write(p[1], map, len < 32768 ? len : 32768);

		(void)n;
		close(p[0]);
		close(p[1]);
	}
	munmap(map, len ? len : 1);
}

/* The names of its extended attributes, and the value of each. */
static bool read_attributes(struct fuzz *f, struct found *at, int fd)
{
	static char names[READ_MAX], value[READ_MAX];
	ssize_t n = flistxattr(fd, names, sizeof(names)), len;
	const char *name;

	if (n < 0) {
		at->attributes_err = errno;
		return may_be(errno) || wrong(f, "attributes of \"%s\": %m", at->path);
	}
	for (name = names; name < names + n; name += strlen(name) + 1) {
		len = fgetxattr(fd, name, value, sizeof(value));
		if (len < 0 && !at->attributes_err)
			at->attributes_err = errno;
		/* One with an empty name is listed, and can be had by none. */
		if (len < 0 && !may_be(errno) && !(errno == EINVAL && name[strlen(name) - 1] == '.'))
			return wrong(f, "attribute \"%s\" of \"%s\": %m", name, at->path);
		/* In any order. */
		at->attributes += mix(mix(1, name, strlen(name) + 1), value, len < 0 ? 0 : len);
	}
	return true;
}

static bool read_file(struct fuzz *f, struct found *at, int dir, const char *name, const struct stat *st,
		      bool all)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	int direct;
	bool ok;

	if (fd < 0)
		return failed(f, at, "open", errno);
	direct = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_DIRECT);
	ok = read_attributes(f, at, fd) && read_at(f, at, fd, direct, 0, READ_MAX, all);
	if (ok && st->st_size > READ_MAX) {
		off_t end = (st->st_size - 1) & ~4095L;

		ok = read_at(f, at, fd, direct, end, 8192, all) &&
		     read_at(f, at, fd, direct, 512000, READ_MAX, all) &&
		     read_at(f, at, fd, direct, 71680000, READ_MAX, all);
		if (ok && !all)
			ok = read_at(f, at, fd, direct, (rng_next(&f->rng) >> 1) % st->st_size & ~4095L,
				     READ_MAX, all);
	}
	if (!all && rng_percent(&f->rng, 10))
		read_mapped(fd, st->st_size);
	if (direct >= 0)
		close(direct);
	close(fd);
	return ok;
}

static struct found *new_found(struct listing *l, const char *path)
{
	struct found *at;

	if (l->nr == FOUND_MAX)
		return NULL;
	at = &l->f[l->nr++];
	memset(at, 0, sizeof(*at));
	at->nr = l->nr - 1;
	snprintf(at->path, sizeof(at->path), "%s", path);
	return at;
}

static bool walk_dir(struct fuzz *f, struct listing *l, struct found *at, int parent, const char *name,
		     int depth, bool all);

static bool look_at(struct fuzz *f, struct listing *l, struct found *at, int dir, const char *name, int depth,
		    bool all)
{
	char target[4096];
	struct stat st;
	ssize_t n;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return failed(f, at, "lookup", errno);
	at->mode = st.st_mode;
	at->ino = st.st_ino;
	at->links = st.st_nlink;
	at->owner = (uint64_t)st.st_uid << 32 | st.st_gid;
	at->size = st.st_size;
	at->sectors = st.st_blocks;
	/* The ext4 driver shows a second of more nanoseconds than it has, of st_mtim: the VFS sets the other one right. */
	if (st.st_mtim.tv_nsec < NSEC)
		at->times = mix(mix(0, &st.st_mtim, sizeof(st.st_mtim)), &st.st_ctim, sizeof(st.st_ctim));
	at->sum = st.st_rdev;
	switch (st.st_mode & S_IFMT) {
	case S_IFLNK:
		n = readlinkat(dir, name, target, sizeof(target));
		if (n < 0)
			return failed(f, at, "readlink", errno);
		at->sum = mix(at->sum, target, n);
		return true;
	case S_IFREG:
		if (!all && rng_percent(&f->rng, 60))
			return true;
		return read_file(f, at, dir, name, &st, all);
	case S_IFDIR:
		return walk_dir(f, l, at, dir, name, depth, all);
	}
	return true;
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Where the next getdents(2) goes on. */
static int64_t last_position(const char *buf, long n)
{
	int64_t off = 0;
	long pos;

	for (pos = 0; pos < n; pos += ((struct entry *)(buf + pos))->len)
		off = ((struct entry *)(buf + pos))->off;
	return off;
}

/* The name after this position is the one that came after it before. */
static bool check_position(struct fuzz *f, struct found *at, int fd, int64_t off, const char *next)
{
	char buf[512];
	struct entry *e = (struct entry *)buf;
	long n;

	if (lseek(fd, off, SEEK_SET) != off)
		return wrong(f, "\"%s\": cannot seek to %lld", at->path, (long long)off);
	n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
	if (n < 0)
		return failed(f, at, "getdents", errno);
	if (!n || strcmp(e->name, next))
		return wrong(f, "\"%s\" from %lld on: \"%s\", before it was \"%s\"", at->path, (long long)off,
			     n ? e->name : "the end", next);
	return true;
}

static bool walk_dir(struct fuzz *f, struct listing *l, struct found *at, int parent, const char *name,
		     int depth, bool all)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char *buf, path[sizeof(at->path)];
	uint64_t sum = 0;
	bool ok = true;
	int64_t last = 0;
	int seen = 0;
	struct stat st;
	int flags = 0;
	long n, pos;

	if (fd < 0)
		return failed(f, at, "open", errno);
	if (!ioctl(fd, FS_IOC_GETFLAGS, &flags))
		at->indexed = flags & FS_INDEX_FL;
	ok = read_attributes(f, at, fd);
	buf = malloc(GETDENTS);
	if (depth < DEPTH_MAX && fstatat(fd, "no such name", &st, 0) && errno != ENOENT)
		ok = failed(f, at, "lookup", errno);
	while (ok && seen < LIST_MAX) {
		int pick;

		n = syscall(SYS_getdents64, fd, buf, GETDENTS);
		if (n < 0)
			ok = failed(f, at, "getdents", errno);
		if (n <= 0)
			break;
		pick = rng_below(&f->rng, 40);
		for (pos = 0; ok && pos < n; seen++) {
			struct entry *e = (struct entry *)(buf + pos);
			uint64_t one = mix(e->ino * 31 + e->type, e->name, strlen(e->name));
			struct found *found;

			sum += one;
			if (!all && seen && seen == pick) {
				ok = check_position(f, at, fd, last, e->name);
				lseek(fd, last_position(buf, n), SEEK_SET);
			}
			last = e->off;
			pos += e->len;
			if (!ok || is_dots(e->name) || depth >= DEPTH_MAX)
				continue;
			/* Cut off, it is a name of its own all the same. */
			if (snprintf(path, sizeof(path), "%s%s%s", at->path, *at->path ? "/" : "", e->name) < 0)
				break;
			found = new_found(l, path);
			if (found)
				ok = look_at(f, l, found, fd, e->name, depth + 1, all);
			else
				seen = LIST_MAX;
			f->now->steps++;
		}
	}
	at->cut = seen >= LIST_MAX;
	at->sum = mix(at->sum, &sum, sizeof(sum));
	free(buf);
	close(fd);
	return ok;
}

/* A handle of an inode that may be anything. */
static bool try_handle(struct fuzz *f, int root)
{
	struct {
		struct file_handle h;
		uint32_t id[8];
	} h = { .h.handle_bytes = sizeof(h.id) };
	int mount, fd;

	if (name_to_handle_at(root, "", &h.h, &mount, AT_EMPTY_PATH))
		return true;
	h.id[0] = rng_below(&f->rng, 300);
	h.id[1] = rng_percent(&f->rng, 80) ? 0 : rng_next(&f->rng);
	fd = open_by_handle_at(root, &h.h, O_PATH | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	else if (!may_be(errno))
		return wrong(f, "handle of inode %u: %s", h.id[0], strerror(errno));
	return true;
}

bool walk(struct fuzz *f, struct listing *found, bool all)
{
	int root = open(env_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;
	struct found *at;
	bool ok;

	found->nr = 0;
	at = new_found(found, "");
	if (root < 0)
		return failed(f, at, "open", errno);
	if (fstatfs(root, &fs)) {
		ok = failed(f, at, "statfs", errno);
	} else if (!f->lenient && (fs.f_bfree > fs.f_blocks || fs.f_bavail > fs.f_bfree || fs.f_ffree > fs.f_files)) {
		ok = wrong(f, "statfs: %lu blocks, %lu free, %lu for users; %lu inodes, %lu free",
			   fs.f_blocks, fs.f_bfree, fs.f_bavail, fs.f_files, fs.f_ffree);
	} else {
		ok = look_at(f, found, at, root, ".", 0, all);
	}
	if (ok && !all)
		ok = try_handle(f, root) && try_handle(f, root);
	close(root);
	return ok;
}
