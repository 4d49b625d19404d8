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
#include "dm.h"
#include "env.h"
#include "pattern.h"
#include "vol.h"

#define TOP	"rfs-top"
#define HOLD	"rfs-hold"
#define CHUNK	(1UL << 20)

static int fail(const char *what, int err)
{
	if (err)
		printf("# %s: %s\n", what, err < 0 ? strerror(-err) : "failed");
	return err;
}

/* What still uses the device lets go of it soon, not at once: try for a while. */
static int retry_busy(int (*fn)(const char *arg), const char *arg)
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
	dm_resume(HOLD);
	dm_resume(TOP);
	if (!retry_busy(umount_dir, env_dir()))
		printf("# cleared: a filesystem left mounted\n");
	if (!retry_busy(dm_remove, TOP))
		printf("# cleared: a device left behind\n");
	retry_busy(dm_remove, HOLD);
}

static struct dm_seg linear(uint64_t start, uint64_t len, const char *dev)
{
	struct dm_seg s = { .start = start, .len = len, .type = "linear" };

	snprintf(s.params, sizeof(s.params), "%s %llu", dev,
		 (unsigned long long)start);
	return s;
}

static struct dm_seg failing(uint64_t start, uint64_t len)
{
	return (struct dm_seg){ .start = start, .len = len, .type = "error" };
}

/* A delay of nothing: the target is used to part reads from writes, and from flushes. */
static struct dm_seg parted(uint64_t start, uint64_t len, const char *reads, const char *writes)
{
	struct dm_seg s = { .start = start, .len = len, .type = "delay" };
	unsigned long long at = start;

	snprintf(s.params, sizeof(s.params), "%s %llu 0 %s %llu 0", reads, at, writes, at);
	return s;
}

/* Exchange the table of rfs-top, with the filesystem mounted on it. */
static int load_table(const struct dm_seg *segs, int nr)
{
	int err = dm_load(TOP, segs, nr);

	if (!err)
		err = dm_hold(TOP);
	if (!err)
		err = dm_resume(TOP);
	return fail("device-mapper table", err);
}

/*
 * The sectors of @map go to @via, or fail, which all do if that is NULL; others straight. What
 * is before the first of them is as in the @nr segments of @first, if there are any.
 */
static int set_table_behind(struct vol *v, const struct vol_map *map, const char *via,
			    const struct dm_seg *first, int nr_first)
{
	struct dm_seg segs[2 * VOL_EXTENTS + 1];
	uint64_t at = 0;
	int nr = 0;
	int i;

	for (; nr < nr_first; nr++) {
		segs[nr] = first[nr];
		at += first[nr].len;
	}
	for (i = 0; map && i < map->nr; i++) {
		const struct vol_extent *e = &map->e[i];

		if (e->sector > at)
			segs[nr++] = linear(at, e->sector - at, env_dev());
		if (!via || e->fails)
			segs[nr++] = failing(e->sector, e->len);
		else if (e->reads)
			segs[nr++] = parted(e->sector, e->len, via, env_dev());
		else
			segs[nr++] = linear(e->sector, e->len, via);
		at = e->sector + e->len;
	}
	if (at < v->sectors)
		segs[nr++] = linear(at, v->sectors - at, env_dev());
	return load_table(segs, nr);
}

static int set_table(struct vol *v, const struct vol_map *map, const char *via)
{
	return set_table_behind(v, map, via, NULL, 0);
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
	int err = retry_busy(umount_dir, env_dir());

	if (!err)
		v->mounted = false;
	return err;
}

int vol_remount(struct vol *v)
{
	int err = vol_umount_soon(v);

	return err ? err : vol_mount(v, env_fstype(), 0, NULL);
}

int vol_fsck(struct vol *v)
{
	const char *const argv[] = { "e2fsck", "-f", "-n", v->dev, NULL };

	return run(0, argv);
}

int vol_up(struct vol *v, const struct vol_conf *conf)
{
	unsigned int mib = conf->mib ? conf->mib : 64;
	struct dm_seg seg;
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
		return fail(env_dev(), -errno);
	err = ioctl(fd, BLKGETSIZE64, &bytes) ? -errno : 0;
	close(fd);
	if (err)
		return fail(env_dev(), err);
	if (bytes < (uint64_t)mib << 20)
		return fail("TEST_DEV is too small", -ENOSPC);

	if (!conf->no_poison) {
		err = poison_device(env_dev(), (uint64_t)mib << 20);
		if (err)
			return fail("poison", err);
	}
	err = dm_create(TOP, v->dev, sizeof(v->dev));
	if (err)
		return fail("device-mapper", err);
	seg = linear(0, v->sectors, env_dev());
	err = dm_load(TOP, &seg, 1);
	if (!err)
		err = dm_resume(TOP);
	if (err)
		return fail("device-mapper table", err);
	err = vol_mkfs(v, conf);
	if (err)
		return err;
	return fail("mount", vol_mount(v, env_fstype(), 0, NULL));
}

int vol_down(struct vol *v)
{
	int err = 0;

	/* A failed test leaves files open, and bios held. */
	dm_resume(HOLD);
	dm_resume(TOP);
	close_range(3, ~0U, 0);
	if (v->mounted) {
		err = fail("umount", retry_busy(umount_dir, env_dir()));
		if (err) {
			umount2(env_dir(), MNT_DETACH);
			return err;
		}
		v->mounted = false;
	}
	err = set_table(v, NULL, NULL);
	if (!err)
		err = vol_fsck(v);
	if (!err)
		err = fail("removal of the device", retry_busy(dm_remove, TOP));
	retry_busy(dm_remove, HOLD);
	return err;
}

int vol_hold(struct vol *v)
{
	return fail("hold", dm_hold(TOP));
}

int vol_freeze(struct vol *v)
{
	return fail("freeze", dm_freeze(TOP));
}

int vol_release(struct vol *v)
{
	return fail("release", dm_resume(TOP));
}

/* Make rfs-hold, a second way to the same device. */
static int hold_device(struct vol *v, char *node, int nodelen)
{
	struct dm_seg seg = linear(0, v->sectors, env_dev());
	int err;

	err = dm_create(HOLD, node, nodelen);
	if (!err)
		err = dm_load(HOLD, &seg, 1);
	if (!err)
		err = dm_resume(HOLD);
	return fail("device-mapper", err);
}

int vol_route_behind(struct vol *v, const struct vol_map *map, const struct dm_seg *first,
		     int nr)
{
	char node[32];
	int err = hold_device(v, node, sizeof(node));

	return err ? err : set_table_behind(v, map, node, first, nr);
}

int vol_route(struct vol *v, const struct vol_map *map)
{
	return vol_route_behind(v, map, NULL, 0);
}

int vol_route_writes(struct vol *v)
{
	struct dm_seg seg;
	char node[32];
	int err;

	err = hold_device(v, node, sizeof(node));
	if (err)
		return err;
	seg = parted(0, v->sectors, env_dev(), node);
	return load_table(&seg, 1);
}

int vol_route_flushes(struct vol *v)
{
	struct dm_seg seg = { .len = v->sectors, .type = "delay" };
	char node[32];
	int err;

	err = hold_device(v, node, sizeof(node));
	if (err)
		return err;
	snprintf(seg.params, sizeof(seg.params), "%s 0 0 %s 0 0 %s 0 0", env_dev(), env_dev(),
		 node);
	return load_table(&seg, 1);
}

int vol_hold_routed(struct vol *v)
{
	return fail("hold", dm_hold(HOLD));
}

int vol_release_routed(struct vol *v)
{
	return fail("release", dm_resume(HOLD));
}

int vol_fail(struct vol *v, const struct vol_map *map)
{
	struct vol_map all = { .e[0] = { 0, v->sectors }, .nr = 1 };

	return set_table(v, map ? map : &all, NULL);
}

int vol_unroute(struct vol *v)
{
	return set_table(v, NULL, NULL);
}

int vol_cut(struct vol *v, uint64_t sectors)
{
	struct dm_seg seg = linear(0, sectors, env_dev());

	return load_table(&seg, 1);
}

static int map_add(struct vol_map *map, uint64_t sector)
{
	struct vol_extent *last = &map->e[map->nr - 1];

	if (map->nr && last->sector + last->len == sector) {
		last->len++;
		return 0;
	}
	if (map->nr == VOL_EXTENTS)
		return -E2BIG;
	map->e[map->nr++] = (struct vol_extent){ .sector = sector, .len = 1 };
	return 0;
}

int vol_find(struct vol *v, uint64_t pos, size_t len, uint64_t gen,
	     struct vol_map *map)
{
	char *buf = buf_alloc(CHUNK);
	uint64_t found = 0;
	uint64_t off;
	int err = 0;
	int fd;

	memset(map, 0, sizeof(*map));
	fd = open(env_dev(), O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (off = 0; off < v->sectors * 512 && !err; off += CHUNK) {
		size_t i;

		if (pread(fd, buf, CHUNK, off) != CHUNK) {
			err = -EIO;
			break;
		}
		for (i = 0; i < CHUNK && !err; i += 512) {
			uint64_t at;

			memcpy(&at, buf + i + 8, sizeof(at));
			if (at < pos || at >= pos + len ||
			    !pattern_stamped(buf + i, at, gen))
				continue;
			err = map_add(map, (off + i) / 512);
			found += 512;
		}
	}
	close(fd);
	if (!err && found != len)
		err = -ENODATA;
	return fail("looking for the file on the device", err);
}

int vol_read_sector(struct vol *v, uint64_t sector, void *buf)
{
	char *page = buf_alloc(512);
	int err = 0;
	int fd;

	fd = open(env_dev(), O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pread(fd, page, 512, sector * 512) != 512)
		err = -EIO;
	memcpy(buf, page, 512);
	close(fd);
	return err;
}

/* -D: not through the page cache of the device, which knows nothing of us. */
FILE *vol_cat(struct vol *v, const char *name)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "debugfs -D -R 'cat %s' %s 2>/dev/null", name,
		 env_dev());
	return popen(cmd, "r");
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
		return fail(path, -errno);
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
	return fail("poisoning the free space", err);
}

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

int vol_prefill(const char *name, off_t pos, size_t len, uint64_t gen)
{
	char *buf = buf_alloc(len);
	ssize_t n;
	int err = 0;
	int fd;

	fd = vol_open(name, O_WRONLY | O_CREAT);
	if (fd < 0)
		return fail(name, fd);
	pattern_fill(buf, len, pos, gen);
	n = pwrite(fd, buf, len, pos);
	if (n != (ssize_t)len)
		err = n < 0 ? -errno : -EIO;
	if (!err && fsync(fd))
		err = -errno;
	close(fd);
	return fail(name, err);
}

static int counter(const char *dev, const char *name, uint64_t *val)
{
	unsigned long long n;
	char path[128];
	FILE *f;
	int err = 0;

	snprintf(path, sizeof(path), "/sys/fs/retryfs/%s/%s", dev, name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fscanf(f, "%llu", &n) != 1)
		err = -EIO;
	*val = n;
	fclose(f);
	return err;
}

int vol_counters(struct vol *v, struct counters *c)
{
	const char *dev = strrchr(v->dev, '/') + 1;
	int err;

	err = counter(dev, "requests_read", &c->requests_read);
	if (!err)
		err = counter(dev, "requests_write", &c->requests_write);
	if (!err)
		err = counter(dev, "async", &c->async);
	if (!err)
		err = counter(dev, "sync_extend", &c->sync_extend);
	if (!err)
		err = counter(dev, "sync_hole", &c->sync_hole);
	if (!err)
		err = counter(dev, "sync_error", &c->sync_error);
	if (!err)
		err = counter(dev, "retries", &c->retries);
	if (!err)
		err = counter(dev, "buffered_fallback", &c->buffered_fallback);
	return err;
}

off_t file_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -errno : st.st_size;
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
