// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
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

/* The last reference may be dropped a moment later: try for a while. */
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
}

/* The disk as mkfs(8) leaves it, over poison; all processes of a program share it. */
#define IMAGE_MIB	64

static struct image {
	bool there;
	struct vol_conf conf;
	char features[64];
	char *bytes;
} *image;

__attribute__((constructor)) static void image_alloc(void)
{
	const size_t page = 4096;
	char *mem = mmap(NULL, page + IMAGE_MIB * CHUNK, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return;
	image = (struct image *)mem;
	image->bytes = mem + page;
}

static bool image_fits(const struct vol_conf *conf)
{
	return image && !conf->no_poison && conf->mib <= IMAGE_MIB &&
	       strlen(conf->features ? conf->features : "") < sizeof(image->features);
}

static bool image_is_of(const struct vol_conf *conf)
{
	return image_fits(conf) && image->there && image->conf.bs == conf->bs &&
	       image->conf.isize == conf->isize && image->conf.mib == conf->mib &&
	       !strcmp(image->features, conf->features ? conf->features : "");
}

static void image_label(const struct vol_conf *conf)
{
	image->conf = *conf;
	snprintf(image->features, sizeof(image->features), "%s",
		 conf->features ? conf->features : "");
	image->there = true;
}

/* Read or write all of the disk, to or from the image, or write poison if there is none. */
static int transfer(int flags, unsigned int mib, char *bytes)
{
	char *poison = NULL;
	uint64_t off;
	ssize_t n;
	int fd;

	fd = open(env_dev(), flags | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!bytes) {
		poison = buf_alloc(CHUNK);
		poison_fill(poison, CHUNK);
	}
	for (off = 0, n = CHUNK; off < mib * CHUNK && n == CHUNK; off += CHUNK) {
		char *buf = bytes ? bytes + off : poison;

		n = flags == O_RDONLY ? pread(fd, buf, CHUNK, off) : pwrite(fd, buf, CHUNK, off);
	}
	close(fd);
	return n == CHUNK ? 0 : n < 0 ? -errno : -EIO;
}

/* Poison, and a new filesystem: by mkfs(8), or as that was the last time. */
static int make(struct vol *v, const struct vol_conf *conf)
{
	int err;

	if (image_is_of(conf))
		return vol_report("image", transfer(O_WRONLY, conf->mib, image->bytes));
	err = conf->no_poison ? 0 : transfer(O_WRONLY, conf->mib, NULL);
	if (err)
		return vol_report("poison", err);
	err = vol_mkfs(v, conf);
	if (err || !image_fits(conf))
		return err;
	image->there = false;
	err = transfer(O_RDONLY, conf->mib, image->bytes);
	if (!err)
		image_label(conf);
	return vol_report("image", err);
}

int vol_mkfs(struct vol *v, const struct vol_conf *conf)
{
	const char *argv[20];
	char bs[16], isize[16], inodes[16], blocks[16];
	int n = 0;

	snprintf(inodes, sizeof(inodes), "%u", conf->inodes);
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
	if (conf->inodes) {
		argv[n++] = "-N";
		argv[n++] = inodes;
	}
	if (conf->features) {
		argv[n++] = "-O";
		argv[n++] = conf->features;
	}
	argv[n++] = v->dev;
	snprintf(blocks, sizeof(blocks), "%u", conf->blocks);
	if (conf->blocks)
		argv[n++] = blocks;
	argv[n] = NULL;
	return run(0, argv);
}

int vol_options(const struct vol_conf *conf)
{
	if (!conf->options || !env_is_retryfs())
		return 0;
	return setenv("MOUNT_OPTIONS", conf->options, 1) ? -errno : 0;
}

int vol_mount(struct vol *v, const char *fstype, unsigned long flags,
	      const char *data)
{
	if (mkdir(env_dir(), 0755) && errno != EEXIST)
		return -errno;
	if (!data && !strcmp(fstype, env_fstype()))
		data = env_options();
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

/* While somebody else has it as its own, it is busy. */
static int open_exclusively(const char *dev)
{
	int fd = open(dev, O_RDONLY | O_EXCL | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int vol_wait_closed(struct vol *v)
{
	return vol_retry_busy(open_exclusively, v->dev);
}

void vol_sync(void)
{
	int fd = open(env_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	syncfs(fd);
	close(fd);
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

static int device_mib(void)
{
	int fd = open(env_dev(), O_RDONLY | O_CLOEXEC), err;
	uint64_t bytes;

	if (fd < 0)
		return -errno;
	err = ioctl(fd, BLKGETSIZE64, &bytes) ? -errno : 0;
	close(fd);
	return err ? err : bytes >> 20 > INT_MAX ? INT_MAX : bytes >> 20;
}

int vol_up(struct vol *v, const struct vol_conf *given)
{
	struct vol_conf conf = *given;
	int mib, err;

	if (!conf.mib)
		conf.mib = 64;
	err = vol_options(&conf);
	if (err)
		return err;
	memset(v, 0, sizeof(*v));
	v->bs = conf.bs;
	v->isize = conf.isize;
	v->sectors = (uint64_t)conf.mib << 11;
	clear_leftovers();

	mib = device_mib();
	if (mib < 0)
		return vol_report(env_dev(), mib);
	if (mib < (int)conf.mib)
		return vol_report("TEST_DEV is too small", -ENOSPC);
	err = route_create(v);
	if (!err)
		err = make(v, &conf);
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
		err = vol_report("the device is in use", route_unused());
	return err;
}

bool vol_shows(const char *option)
{
	char line[512];
	FILE *f = fopen("/proc/mounts", "r");
	bool found = false;

	while (f && fgets(line, sizeof(line), f))
		found |= strstr(line, env_dir()) && strstr(line, option);
	if (f)
		fclose(f);
	return found;
}
