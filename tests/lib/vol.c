// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "env.h"
#include "pattern.h"
#include "vol.h"

#define CHUNK	(1UL << 20)

int vol_report(const char *what, int err)
{
	if (err)
		printf("# %s: %s\n", what, err < 0 ? strerror(-err) : "failed");
	return err;
}

/* What still uses the device lets go of it soon, not at once: try for a while. */
int vol_retry_busy(int (*fn)(const char *arg), const char *arg)
{
	struct timespec ms20 = { .tv_nsec = 20000000 };
	int err;
	int i;

	for (i = 0; i < 500; i++) {
		err = fn(arg);
		if (err != -EBUSY)
			return err;
		nanosleep(&ms20, NULL);
	}
	return err;
}

static int umount_dir(const char *dir)
{
	return umount2(dir, 0) ? -errno : 0;
}

static void clear_leftovers(void)
{
	route_release();
	if (!vol_retry_busy(umount_dir, env_dir()))
		printf("# cleared: a filesystem left mounted\n");
	if (!route_remove())
		printf("# cleared: a device left over\n");
}

static int poison_device(const char *dev, uint64_t bytes)
{
	char *buf = buf_alloc(CHUNK);
	uint64_t off;
	int err = 0;
	int fd;

	fd = open(dev, O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	poison_fill(buf, CHUNK);
	for (off = 0; off < bytes && !err; off += CHUNK) {
		ssize_t n = pwrite(fd, buf, CHUNK, off);

		if (n < 0)
			err = -errno;
		else if (n != CHUNK)
			err = -EIO;
	}
	close(fd);
	return err;
}

int vol_mkfs(struct vol *v, const struct vol_conf *conf)
{
	const char *argv[20];
	char bs[16], isize[16];
	int n = 0;

	snprintf(bs, sizeof(bs), "%u", v->bs);
	snprintf(isize, sizeof(isize), "%u", v->isize);
	argv[n++] = "mkfs.ext2";
	argv[n++] = "-q";
	argv[n++] = "-F";
	argv[n++] = "-b";
	argv[n++] = bs;
	argv[n++] = "-I";
	argv[n++] = isize;
	argv[n++] = "-m";
	argv[n++] = "0";
	argv[n++] = "-E";
	argv[n++] = "nodiscard,lazy_itable_init=0";
	if (conf->features) {
		argv[n++] = "-O";
		argv[n++] = conf->features;
	}
	argv[n++] = v->dev;
	argv[n] = NULL;
	return run(0, argv);
}

int vol_mount(struct vol *v, const char *fstype, unsigned long flags,
	      const char *data)
{
	if (mkdir(env_dir(), 0755) && errno != EEXIST)
		return -errno;
	if (mount(v->dev, env_dir(), fstype, flags, data))
		return -errno;
	v->mounted = true;
	return 0;
}

int vol_umount(struct vol *v)
{
	int err = umount_dir(env_dir());

	if (!err)
		v->mounted = false;
	return err;
}

int vol_umount_soon(struct vol *v)
{
	int err = vol_retry_busy(umount_dir, env_dir());

	if (!err)
		v->mounted = false;
	return err;
}

int vol_remount(struct vol *v)
{
	int err = vol_umount_soon(v);

	return err ? err : vol_mount(v, env_fstype(), 0, NULL);
}

int vol_switch(struct vol *v, const char *fstype)
{
	int err = vol_umount(v);

	if (!err)
		err = vol_fsck(v);
	return err ? err : vol_mount(v, fstype, 0, NULL);
}

static int set_flags(unsigned long flags)
{
	return mount(NULL, env_dir(), NULL, MS_REMOUNT | flags, NULL) ? -errno : 0;
}

static int set_read_only(const char *unused)
{
	return set_flags(MS_RDONLY);
}

int vol_read_only(void)
{
	return set_read_only(NULL);
}

int vol_read_only_soon(void)
{
	return vol_retry_busy(set_read_only, NULL);
}

int vol_read_write(void)
{
	return set_flags(0);
}

int vol_fsck(struct vol *v)
{
	const char *const argv[] = { "e2fsck", "-f", "-n", v->dev, NULL };

	return run(0, argv);
}

int vol_up(struct vol *v, const struct vol_conf *conf)
{
	unsigned int mib = conf->mib ? conf->mib : 64;
	uint64_t bytes;
	int err;
	int fd;

	memset(v, 0, sizeof(*v));
	v->bs = conf->bs;
	v->isize = conf->isize;
	v->sectors = (uint64_t)mib << 11;
	clear_leftovers();

	fd = open(env_dev(), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return vol_report(env_dev(), -errno);
	err = ioctl(fd, BLKGETSIZE64, &bytes) ? -errno : 0;
	close(fd);
	if (err)
		return vol_report(env_dev(), err);
	if (bytes < (uint64_t)mib << 20)
		return vol_report("TEST_DEV is too small", -ENOSPC);

	if (!conf->no_poison) {
		err = poison_device(env_dev(), (uint64_t)mib << 20);
		if (err)
			return vol_report("poison", err);
	}
	err = route_create(v);
	if (err)
		return err;
	err = vol_mkfs(v, conf);
	if (err)
		return err;
	return vol_report("mount", vol_mount(v, env_fstype(), 0, NULL));
}

int vol_down(struct vol *v)
{
	int err = 0;

	/* A failed test leaves files open, and bios held. */
	route_release();
	close_range(3, ~0U, 0);
	if (v->mounted) {
		err = vol_report("umount", vol_retry_busy(umount_dir, env_dir()));
		if (err) {
			umount2(env_dir(), MNT_DETACH);
			return err;
		}
		v->mounted = false;
	}
	err = vol_unroute(v);
	if (!err)
		err = vol_fsck(v);
	if (!err)
		err = vol_report("removal of the device", route_remove());
	return err;
}

int vol_poison_free(struct vol *v)
{
	const char *path = vol_path("poison");
	char *buf = buf_alloc(CHUNK);
	ssize_t n;
	int err = 0;
	int fd;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return vol_report(path, -errno);
	poison_fill(buf, CHUNK);
	do {
		n = write(fd, buf, CHUNK);
	} while (n > 0);
	if (n < 0 && errno != ENOSPC)
		err = -errno;
	if (!err && fsync(fd))
		err = -errno;
	close(fd);
	if (unlink(path) && !err)
		err = -errno;
	sync();
	return vol_report("poisoning the free space", err);
}
