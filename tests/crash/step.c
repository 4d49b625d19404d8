// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "aio.h"
#include "attr.h"
#include "buf.h"
#include "env.h"
#include "files.h"
#include "pattern.h"
#include "step.h"

static int result(int ret)
{
	return ret < 0 ? -errno : 0;
}

/* Open, call and close: nothing is open when the machine goes. */
static int with_file(const char *path, int flags, int (*fn)(int fd, const struct step *st),
		     const struct step *st)
{
	int fd = open(path, flags | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = fn(fd, st);
	close(fd);
	return err;
}

static int creat_mode(const char *path, unsigned int mode)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static char *data_of(const struct step *st)
{
	static char *buf;

	if (!buf)
		buf = buf_alloc(FILE_MAX);
	pattern_fill(buf, st->len, st->off, st->gen);
	return buf;
}

static int store(int fd, const struct step *st)
{
	char *at = mmap(NULL, st->off + st->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int err = 0;

	if (at == MAP_FAILED)
		return -errno;
	memcpy(at + st->off, data_of(st), st->len);
	if (st->dsync && msync(at, st->off + st->len, MS_SYNC))
		err = -errno;
	munmap(at, st->off + st->len);
	return err;
}

enum { REQUESTS = 4, SECTOR = 512 };

/* Several requests. Without async_alloc each ends before the next is issued, if it has new blocks. */
static ssize_t aio_write(int fd, const struct step *st)
{
	struct iocb cb[REQUESTS], *list[REQUESTS];
	struct io_event ev[REQUESTS];
	uint32_t part = (st->len / REQUESTS + SECTOR - 1) / SECTOR * SECTOR, off, len;
	int err, i, nr = 0;
	aio_context_t ctx;
	ssize_t n = 0;

	if (!part)
		part = st->len;
	for (off = 0; off < st->len; off += len, nr++) {
		len = nr < REQUESTS - 1 && part < st->len - off ? part : st->len - off;
		aio_prep_write(&cb[nr], fd, data_of(st) + off, len, st->off + off);
	}
	/* The last one first, where nobody has to wait for a hole. */
	for (i = 0; i < nr; i++)
		list[i] = &cb[env_async_alloc() ? nr - 1 - i : i];
	err = aio_setup(REQUESTS, &ctx);
	if (err)
		return err;
	err = aio_submit(ctx, nr, list);
	if (err == nr)
		err = aio_events(ctx, nr, nr, ev, -1);
	for (i = 0; i < nr && err == nr; i++)
		n = n < 0 || (int64_t)ev[i].res < 0 ? -EIO : n + (ssize_t)ev[i].res;
	aio_destroy(ctx);
	return err == nr ? n : -EIO;
}

static int write_file(int fd, const struct step *st)
{
	ssize_t n;

	if (st->by == BY_MAPPING)
		return store(fd, st);
	if (st->by == BY_AIO) {
		n = aio_write(fd, st);
	} else {
		n = pwrite(fd, data_of(st), st->len, st->off);
		n = n < 0 ? -errno : n;
	}
	return n == (ssize_t)st->len ? 0 : n < 0 ? n : -EIO;
}

static int punch(int fd, const struct step *st)
{
	return result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, st->off, st->len));
}

static int allocate(int fd, const struct step *st)
{
	const int mode = st->op == OP_ZERO ? FALLOC_FL_ZERO_RANGE : 0;

	return result(fallocate(fd, mode, st->off, st->len));
}

static int be_refused(int fd, const struct step *st)
{
	int err = result(fallocate(fd, FALLOC_FL_KEEP_SIZE, st->off, st->len));

	return err == -EOPNOTSUPP ? 0 : err ?: -EEXIST;
}

static int set_attr(const char *path, const struct step *st)
{
	char value[ATTR_MAX];

	if (st->op == OP_REMOVEXATTR)
		return result(removexattr(path, ATTR_NAME));
	attr_fill(value, st->len, st->gen);
	return result(setxattr(path, ATTR_NAME, value, st->len, 0));
}

static int make_tmpfile(const char *path, const struct step *st, unsigned int mode)
{
	char dir[512], self[32];
	int fd, err;

	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	err = write_file(fd, st);
	if (!err && st->dsync)
		err = result(fsync(fd));
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (!err)
		err = result(linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
	close(fd);
	return err;
}

/*
 * Two entries fill a sector, those in the first one behind "." and "..". A name is added where there is room for two of
 * its length, and where there is room for it if there is no such sector: so the second one in the first sector is the one that
 * is made when all sectors have one.
 */
#define ENTRY		(512 / 2)
#define DOTS		24

void fill_name(char *name, unsigned int nr, uint32_t bs)
{
	int len = (nr == 0 || nr == bs / 512 ? ENTRY - DOTS / 2 : ENTRY) - 8;

	snprintf(name, FILL_NAME, "%0*u", len, nr);
}

unsigned int fill_exactly(uint32_t bs)
{
	return bs / ENTRY;
}

static int fill(const char *dir, const struct step *st, unsigned int mode)
{
	char first[512], path[512], name[FILL_NAME];
	struct statfs fs;
	unsigned int i;
	int err;

	if (statfs(dir, &fs))
		return -errno;
	fill_name(name, 0, fs.f_bsize);
	snprintf(first, sizeof(first), "%s/%s", dir, name);
	err = creat_mode(first, mode);
	for (i = 1; i < st->len && !err; i++) {
		fill_name(name, i, fs.f_bsize);
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		err = result(link(first, path));
	}
	return err;
}

static int sync_file(int fd, const struct step *st)
{
	return result(st->op == OP_FSYNC ? fsync(fd) : fdatasync(fd));
}

static int sync_all(int fd, const struct step *st)
{
	return result(syncfs(fd));
}

static int write_flags(const struct step *st)
{
	int flags = st->by == BY_MAPPING ? O_RDWR : O_WRONLY;

	if (st->by == BY_DIRECT || st->by == BY_AIO)
		flags |= O_DIRECT;
	return st->dsync && st->by != BY_MAPPING ? flags | O_DSYNC : flags;
}

int step_do(const struct step *st, unsigned int mode)
{
	char path[128], to[128];

	snprintf(path, sizeof(path), "%s/%s", env_dir(), st->path);
	snprintf(to, sizeof(to), "%s/%s", env_dir(), st->to ? st->to : "");
	switch (st->op) {
	case OP_CREAT:
		return creat_mode(path, mode);
	case OP_MKDIR:
		return result(mkdir(path, mode));
	case OP_RMDIR:
		return result(rmdir(path));
	case OP_UNLINK:
		return result(unlink(path));
	case OP_LINK:
		return result(link(path, to));
	case OP_SYMLINK:
		return result(symlink(st->to, path));
	case OP_RENAME:
		return result(rename(path, to));
	case OP_EXCHANGE:
		return vol_rename(st->path, st->to, RENAME_EXCHANGE);
	case OP_TRUNCATE:
		return result(truncate(path, st->len));
	case OP_WRITE:
		return with_file(path, write_flags(st), write_file, st);
	case OP_PUNCH:
		return with_file(path, write_flags(st), punch, st);
	case OP_ALLOCATE:
	case OP_ZERO:
		return with_file(path, write_flags(st), allocate, st);
	case OP_REFUSED:
		return with_file(path, O_WRONLY, be_refused, st);
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		return set_attr(path, st);
	case OP_MKNOD:
		return result(mknod(path, S_IFIFO | mode, 0));
	case OP_TMPFILE:
		return make_tmpfile(path, st, mode);
	case OP_FILL:
		return fill(path, st, mode);
	case OP_FSYNC:
	case OP_FDATASYNC:
		return with_file(path, O_RDONLY, sync_file, st);
	case OP_SYNC:
	case OP_WRITEBACK:
		return with_file(env_dir(), O_RDONLY | O_DIRECTORY, sync_all, st);
	}
	return -EINVAL;
}

const char *step_name(const struct step *st)
{
	static const char *const ops[] = {
		"creat", "mkdir", "rmdir", "unlink", "link", "symlink", "rename", "exchange", "mknod",
		"O_TMPFILE", "fill", "write", "truncate", "punch", "allocate", "zero",
		"setxattr", "removexattr", "allocate beyond EOF", "fsync", "fdatasync", "sync",
		"writeback",
	};

	return ops[st->op];
}

const char *step_text(const struct step *st)
{
	static const char *const ways[] = { "", " O_DIRECT", " aio", " mmap" };
	static char bufs[4][128];
	static unsigned int next;
	char *buf = bufs[next++ % 4];
	int n;

	n = snprintf(buf, 128, "%s", step_name(st));
	if (st->op == OP_SYNC || st->op == OP_WRITEBACK)
		return buf;
	n += snprintf(buf + n, 128 - n, " %s", *st->path ? st->path : "/");
	if (st->to)
		n += snprintf(buf + n, 128 - n, " %.20s", st->to);
	if (st->op == OP_TRUNCATE)
		snprintf(buf + n, 128 - n, " to %u", st->len);
	else if (st->op == OP_FILL)
		snprintf(buf + n, 128 - n, " with %u names", st->len);
	else if (st->op == OP_SETXATTR)
		snprintf(buf + n, 128 - n, " %u of %u bytes", (unsigned int)st->gen, st->len);
	else if (st->len)
		snprintf(buf + n, 128 - n, " %u+%u%s%s", st->off, st->len, ways[st->by],
			 st->dsync ? " and sync" : "");
	return buf;
}
