// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "env.h"
#include "handle.h"

int handle_of(const char *path, struct handle *h)
{
	int mount;

	*h = (struct handle){ .bytes = sizeof(h->word) };
	return syscall(SYS_name_to_handle_at, AT_FDCWD, path, h, &mount, 0) ? -errno : 0;
}

int handle_open(const struct handle *h, int flags)
{
	int mount = open(env_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (mount < 0)
		return -errno;
	fd = syscall(SYS_open_by_handle_at, mount, h, flags | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(mount);
	return fd;
}
