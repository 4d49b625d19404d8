// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "caches.h"
#include "files.h"
#include "put.h"

#define LEAVE_SECONDS	60

/* Later than some C libraries. */
#define SYS_CACHESTAT	451

static int drop(const char *what)
{
	return put("/proc/sys/vm/drop_caches", what);
}

int forget_pages(void)
{
	return drop("1");
}

int forget_all(void)
{
	/* what inodes have pinned can go when they have */
	int err = drop("3");

	return err ? err : drop("3");
}

/* Linux has it of an inode in memory alone. */
int mark_cached(const char *name)
{
	uint64_t hint = RWH_WRITE_LIFE_LONG;
	int fd = vol_open(name, O_RDWR), err = 0;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SET_RW_HINT, &hint))
		err = -errno;
	close(fd);
	return err;
}

/* Has the inode been read again since? -errno. */
static int has_left(const char *name)
{
	int fd = vol_open(name, O_RDWR), err = 0;
	uint64_t hint;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_GET_RW_HINT, &hint))
		err = -errno;
	close(fd);
	return err ? err : hint == RWH_WRITE_LIFE_NOT_SET;
}

int wait_until_left(const char *name)
{
	struct timespec end, now;
	int left;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += LEAVE_SECONDS;
	do {
		left = forget_all();
		if (!left)
			left = has_left(name);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!left && now.tv_sec < end.tv_sec);
	return left > 0 ? 0 : left ? left : -ETIME;
}

long cached_pages(int fd, off_t off, size_t len)
{
	struct { uint64_t off, len; } range = { off, len };
	struct { uint64_t cache, other[4]; } n;

	return syscall(SYS_CACHESTAT, fd, &range, &n, 0) ? -errno : (long)n.cache;
}
