// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "env.h"
#include "image.h"
#include "vol.h"

int image_make(struct image_file *im, uint32_t size)
{
	/* e2fsck has it open under the same number. */
	*im = (struct image_file){ .fd = memfd_create("crash", 0), .size = size };
	if (im->fd < 0 || ftruncate(im->fd, size))
		return -errno;
	im->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, im->fd, 0);
	if (im->bytes == MAP_FAILED)
		return -errno;
	snprintf(im->path, sizeof(im->path), "/proc/self/fd/%d", im->fd);
	return 0;
}

void image_drop(struct image_file *im)
{
	munmap(im->bytes, im->size);
	close(im->fd);
}

int image_repair(const struct image_file *im)
{
	const char *const argv[] = { "e2fsck", "-f", "-y", im->path, NULL };

	return run(1, argv);
}

int image_recheck(const struct image_file *im)
{
	const char *const argv[] = { "e2fsck", "-f", "-n", im->path, NULL };

	return run(0, argv);
}

static int loop_up(int fd, char *node, size_t len)
{
	struct loop_config conf = { .fd = fd };
	int control, n, loop, err = 0;

	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	n = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	err = n < 0 ? -errno : 0;
	if (control >= 0)
		close(control);
	if (err)
		return err;
	snprintf(node, len, "/dev/loop%d", n);
	loop = open(node, O_RDWR | O_CLOEXEC);
	if (loop < 0)
		return -errno;
	if (ioctl(loop, LOOP_CONFIGURE, &conf)) {
		err = -errno;
		close(loop);
		return err;
	}
	return loop;
}

static int umount_it(const char *dir)
{
	return umount2(dir, 0) ? -errno : 0;
}

int image_mounted(const struct image_file *im, struct tree *t)
{
	char node[32];
	int loop, err;

	t->nr = 0;
	loop = loop_up(im->fd, node, sizeof(node));
	if (loop < 0)
		return loop;
	err = mount(node, env_dir(), env_fstype(), MS_RDONLY, NULL) ? -errno : 0;
	if (!err) {
		tree_of_mount(t, env_dir());
		err = vol_retry_busy(umount_it, env_dir());
	}
	ioctl(loop, LOOP_CLR_FD);
	close(loop);
	return err;
}
