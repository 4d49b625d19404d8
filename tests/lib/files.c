// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "buf.h"
#include "env.h"
#include "pattern.h"
#include "vol.h"

const char *vol_path(const char *name)
{
	static __thread char bufs[4][4096];
	static __thread unsigned int next;
	char *buf = bufs[next++ % 4];

	snprintf(buf, sizeof(bufs[0]), "%s/%s", env_dir(), name);
	return buf;
}

int vol_open(const char *name, int flags)
{
	int fd = open(vol_path(name), flags | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : fd;
}

int vol_make(const char *name, size_t len, uint64_t gen)
{
	char *buf = buf_alloc(len);
	int fd = vol_open(name, O_CREAT | O_RDWR);
	ssize_t n;

	if (fd < 0)
		return vol_report(name, fd);
	pattern_fill(buf, len, 0, gen);
	n = pwrite(fd, buf, len, 0);
	munmap(buf, len);
	return n == (ssize_t)len ? fd : vol_report(name, n < 0 ? -errno : -EIO);
}

int vol_prefill(const char *name, off_t pos, size_t len, uint64_t gen)
{
	char *buf = buf_alloc(len);
	ssize_t n;
	int err = 0;
	int fd;

	fd = vol_open(name, O_WRONLY | O_CREAT);
	if (fd < 0)
		return vol_report(name, fd);
	pattern_fill(buf, len, pos, gen);
	n = pwrite(fd, buf, len, pos);
	if (n != (ssize_t)len)
		err = n < 0 ? -errno : -EIO;
	if (!err && fsync(fd))
		err = -errno;
	close(fd);
	munmap(buf, len);
	return vol_report(name, err);
}

ssize_t vol_read(const char *name, int flags, void *buf, size_t len, off_t off)
{
	int fd = vol_open(name, O_RDONLY | flags);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pread(fd, buf, len, off);
	if (n < 0)
		n = -errno;
	close(fd);
	return n;
}

off_t file_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -errno : st.st_size;
}

int vol_open_dir(const char *name)
{
	return vol_open(name, O_RDONLY | O_DIRECTORY);
}

int vol_link(const char *from, const char *to)
{
	return link(vol_path(from), vol_path(to)) ? -errno : 0;
}

int vol_mkdir(const char *name)
{
	return mkdir(vol_path(name), 0755) ? -errno : 0;
}

int vol_rename(const char *from, const char *to, unsigned int flags)
{
	return syscall(SYS_renameat2, AT_FDCWD, vol_path(from), AT_FDCWD,
		       vol_path(to), flags) ? -errno : 0;
}

bool vol_holds(const char *name, size_t len, uint64_t gen)
{
	char *buf = buf_alloc(len + 1);
	int fd = vol_open(name, O_RDONLY);
	const char *diff;
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, len + 1);
	close(fd);
	if (n != (ssize_t)len)
		return false;
	diff = pattern_diff(buf, len, 0, gen);
	if (diff)
		printf("# %s: %s\n", name, diff);
	return !diff;
}

nlink_t vol_links(const char *name)
{
	struct stat st;

	return lstat(vol_path(name), &st) ? 0 : st.st_nlink;
}

ino_t vol_inode(const char *name)
{
	struct stat st;

	return lstat(vol_path(name), &st) ? 0 : st.st_ino;
}

bool vol_exists(const char *name)
{
	return vol_inode(name) != 0;
}
