// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "buf.h"
#include "env.h"
#include "tree.h"

#define ATTRIBUTES	(STATX_ATTR_COMPRESSED | STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP)
#define MOST_EXTENTS	512
#define MOST_NAMES	65536
#define CHUNK		(1UL << 20)

/* Bytes as they can be in a line. */
static void put_bytes(FILE *out, const char *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (bytes[i] > ' ' && bytes[i] < 0x7f && bytes[i] != '\\')
			fputc(bytes[i], out);
		else
			fprintf(out, "\\%03o", (unsigned char)bytes[i]);
}

/* What each line begins with: the name of the file, and of the property. */
static void begin(FILE *out, const char *path, const char *what)
{
	put_bytes(out, *path ? path : "/", *path ? strlen(path) : 1);
	fprintf(out, " %s ", what);
}

static void put_time(FILE *out, const char *path, const char *what, const struct statx_timestamp *t)
{
	begin(out, path, what);
	fprintf(out, "%lld.%09u\n", (long long)t->tv_sec, t->tv_nsec);
}

static void put_stat(FILE *out, const char *path, const struct statx *s, unsigned int without)
{
	begin(out, path, "mode");
	fprintf(out, "%o nlink %u owner %u group %u dev %x:%x\n", s->stx_mode, s->stx_nlink, s->stx_uid,
		s->stx_gid, s->stx_rdev_major, s->stx_rdev_minor);
	/* that of a directory goes by how its names have been spread */
	if (!S_ISDIR(s->stx_mode) || !(without & WITHOUT_HISTORY)) {
		begin(out, path, "size");
		fprintf(out, "%llu", (unsigned long long)s->stx_size);
		if (!(without & WITHOUT_BLOCKS))
			fprintf(out, " blocks %llu", (unsigned long long)s->stx_blocks);
		fputc('\n', out);
	}
	begin(out, path, "attributes");
	fprintf(out, "%llx\n", (unsigned long long)(s->stx_attributes & ATTRIBUTES));
	if (!(without & WITHOUT_BLOCKS)) {
		put_time(out, path, "atime", &s->stx_atime);
		put_time(out, path, "mtime", &s->stx_mtime);
	}
	if (without & WITHOUT_HISTORY)
		return;
	put_time(out, path, "ctime", &s->stx_ctime);
	begin(out, path, "inode");
	fprintf(out, "%llu\n", (unsigned long long)s->stx_ino);
	if (s->stx_mask & STATX_BTIME)
		put_time(out, path, "btime", &s->stx_btime);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The value of an attribute, if there is one. */
static void put_value(FILE *out, const char *path, const char *full, const char *name)
{
	static char value[65536];
	ssize_t n = lgetxattr(full, name, value, sizeof(value));

	begin(out, path, "xattr");
	put_bytes(out, name, strlen(name));
	fputc(' ', out);
	if (n < 0)
		fprintf(out, "%s", strerrorname_np(errno));
	else
		put_bytes(out, value, n);
	fputc('\n', out);
}

static int put_xattrs(FILE *out, const char *path, const char *full)
{
	/* these are not in every list of names */
	static const char *const lists[] = { "system.posix_acl_access", "system.posix_acl_default" };
	static char names[MOST_NAMES];
	char *sorted[512];
	ssize_t n = llistxattr(full, names, sizeof(names)), pos;
	int nr = 0, i;

	if (n < 0)
		return -errno;
	for (pos = 0; pos < n && nr < 510; pos += strlen(names + pos) + 1)
		if (strncmp(names + pos, "system.", 7))
			sorted[nr++] = names + pos;
	for (i = 0; i < 2; i++)
		sorted[nr++] = (char *)lists[i];
	qsort(sorted, nr, sizeof(sorted[0]), by_text);
	for (i = 0; i < nr; i++)
		put_value(out, path, full, sorted[i]);
	return 0;
}

/* Where data and holes begin, and that holes read as zeros at their begin and end. */
static int put_holes(FILE *out, const char *path, int fd, off_t size)
{
	off_t pos = 0, data, hole;
	char at[2];

	begin(out, path, "data");
	while (pos < size) {
		data = lseek(fd, pos, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return -errno;
		hole = data < 0 ? size : data;
		if (hole > pos && (pread(fd, at, 1, pos) != 1 || pread(fd, at + 1, 1, hole - 1) != 1 ||
				   at[0] || at[1]))
			fprintf(out, " not-zero:%lld", (long long)pos);
		if (data < 0)
			break;
		pos = lseek(fd, data, SEEK_HOLE);
		if (pos < 0)
			return -errno;
		fprintf(out, " %lld-%lld", (long long)data, (long long)pos);
	}
	fputc('\n', out);
	return 0;
}

/* FNV-1a, by words. */
static uint64_t mix(uint64_t hash, const char *buf, size_t len)
{
	uint64_t word;
	size_t i;

	for (i = 0; i < len; i += sizeof(word)) {
		word = 0;
		memcpy(&word, buf + i, len - i < sizeof(word) ? len - i : sizeof(word));
		hash = (hash ^ word) * 0x100000001b3ULL;
	}
	return hash;
}

/* Of a part of the file that has data; -errno, or what there is of it up to the end. */
static ssize_t mix_part(uint64_t *hash, int fd, uint64_t from, uint64_t to)
{
	char *buf = buf_alloc(CHUNK);
	uint64_t pos;
	ssize_t n;

	for (pos = from; pos < to; pos += n) {
		n = pread(fd, buf, to - pos < CHUNK ? to - pos : CHUNK, pos);
		if (n <= 0)
			return n ? -errno : 0;
		*hash = mix(*hash, buf, n);
	}
	return 0;
}

/* The extents of the map, as far as they are of the file and not of the disk, and a hash of what they have. */
static int put_map(FILE *out, const char *path, int fd)
{
	struct fiemap *map = calloc(1, sizeof(*map) + MOST_EXTENTS * sizeof(map->fm_extents[0]));
	uint64_t from = 0, to = 0, hash = 0xcbf29ce484222325ULL;
	unsigned int i, flags = 0;
	int err = 0;

	map->fm_length = FIEMAP_MAX_OFFSET;
	map->fm_flags = FIEMAP_FLAG_SYNC;
	map->fm_extent_count = MOST_EXTENTS;
	if (ioctl(fd, FS_IOC_FIEMAP, map)) {
		free(map);
		return -errno;
	}
	begin(out, path, "map");
	for (i = 0; i <= map->fm_mapped_extents; i++) {
		const struct fiemap_extent *e = &map->fm_extents[i];

		/* what is in pieces on the disk is one piece of the file */
		if (i && i < map->fm_mapped_extents && e->fe_logical == to) {
			to += e->fe_length;
			flags |= e->fe_flags;
			continue;
		}
		if (i && !err)
			err = mix_part(&hash, fd, from, to);
		if (i)
			fprintf(out, " %llu+%llu:%x", (unsigned long long)from,
				(unsigned long long)(to - from),
				flags & ~(FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED));
		from = e->fe_logical;
		to = from + e->fe_length;
		flags = e->fe_flags;
	}
	fputc('\n', out);
	begin(out, path, "content");
	fprintf(out, "%016llx\n", (unsigned long long)hash);
	free(map);
	return err;
}

static int put_open(FILE *out, const char *path, const char *full, const struct statx *s, unsigned int without)
{
	int fd = open(full, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC), err = 0;
	struct fsxattr fsx;
	unsigned int n;

	if (fd < 0)
		return -errno;
	begin(out, path, "flags");
	n = 0;
	if (ioctl(fd, FS_IOC_GETFLAGS, &n))
		err = -errno;
	fprintf(out, "%x\n", n);
	if (!err && ioctl(fd, FS_IOC_FSGETXATTR, &fsx))
		err = -errno;
	begin(out, path, "xflags");
	fprintf(out, "%x project %u\n", fsx.fsx_xflags, fsx.fsx_projid);
	if (!(without & WITHOUT_HISTORY) && !err) {
		if (ioctl(fd, FS_IOC_GETVERSION, &n))
			err = -errno;
		begin(out, path, "generation");
		fprintf(out, "%u\n", n);
	}
	if (!err && S_ISREG(s->stx_mode) && !(without & WITHOUT_HOLES))
		err = put_holes(out, path, fd, s->stx_size);
	if (!err && S_ISREG(s->stx_mode))
		err = put_map(out, path, fd);
	close(fd);
	return err;
}

static int put_file(FILE *out, const char *path, unsigned int without);

static int not_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") && strcmp(d->d_name, "..") && strcmp(d->d_name, "lost+found");
}

static int bytewise(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int put_directory(FILE *out, const char *path, const char *full, unsigned int without)
{
	struct dirent **list;
	int nr = scandir(full, &list, not_dots, bytewise), i, err = 0;

	if (nr < 0)
		return -errno;
	for (i = 0; i < nr; i++) {
		char below[1024];

		snprintf(below, sizeof(below), "%s/%s", path, list[i]->d_name);
		begin(out, below, "type");
		fprintf(out, "%d\n", list[i]->d_type);
		if (!err)
			err = put_file(out, below, without);
		free(list[i]);
	}
	free(list);
	return err;
}

static int put_file(FILE *out, const char *path, unsigned int without)
{
	static char target[4097];
	char full[1024];
	struct statx s;
	ssize_t n;
	int err;

	snprintf(full, sizeof(full), "%s%s", env_dir(), path);
	if (statx(AT_FDCWD, full, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &s))
		return -errno;
	put_stat(out, path, &s, without);
	err = put_xattrs(out, path, full);
	if (err)
		return err;
	if (S_ISLNK(s.stx_mode)) {
		n = readlink(full, target, sizeof(target));
		if (n < 0)
			return -errno;
		begin(out, path, "target");
		put_bytes(out, target, n);
		fputc('\n', out);
	} else if (S_ISREG(s.stx_mode) || S_ISDIR(s.stx_mode)) {
		err = put_open(out, path, full, &s, without);
	}
	if (!err && S_ISDIR(s.stx_mode))
		err = put_directory(out, path, full, without);
	if (err)
		printf("# listing %s: %s\n", path, strerror(-err));
	return err;
}

int tree_list(struct listing *list, unsigned int without)
{
	FILE *out = open_memstream(&list->text, &list->len);
	int err;

	if (!out)
		return -errno;
	err = put_file(out, "", without);
	return fclose(out) ? -errno : err;
}

void tree_free(struct listing *list)
{
	free(list->text);
	list->text = NULL;
}

static size_t line_len(const char *at)
{
	return strcspn(at, "\n");
}

bool tree_equal(const struct listing *a, const char *who_a, const struct listing *b, const char *who_b)
{
	const char *x = a->text, *y = b->text;
	int told = 0;

	while ((*x || *y) && told < 8) {
		size_t n = line_len(x), m = line_len(y);

		if (n != m || memcmp(x, y, n)) {
			printf("# %s: %.*s\n# %s: %.*s\n", who_a, (int)(n < 400 ? n : 400), x, who_b,
			       (int)(m < 400 ? m : 400), y);
			told++;
		}
		x += n + !!x[n];
		y += m + !!y[m];
	}
	return !told;
}

/* The line that begins so, and a blank behind that; or NULL. */
static const char *find(const struct listing *list, const char *property)
{
	const size_t n = strlen(property);
	const char *at = list->text;

	for (; *at; at += line_len(at) + !!at[line_len(at)])
		if (!strncmp(at, property, n) && at[n] == ' ')
			return at;
	return NULL;
}

bool tree_differs(const struct listing *a, const struct listing *b, const char *property)
{
	const char *x = find(a, property), *y = find(b, property);

	if (!x || !y)
		return x || y;
	return line_len(x) != line_len(y) || memcmp(x, y, line_len(x));
}
