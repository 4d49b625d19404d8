// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "disk.h"
#include "env.h"
#include "pattern.h"
#include "put.h"

#define CONFIG	"/sys/kernel/config"
#define NULLB	CONFIG "/nullb/rfs"
#define SCSI	"/sys/bus/pseudo/drivers/scsi_debug/"
#define DEBUG	"/sys/kernel/debug"
#define CHUNK	(1UL << 20)

static const struct timespec ms20 = { .tv_nsec = 20000000 };

static int put_number(const char *dir, const char *name, unsigned int value)
{
	char path[192], text[16];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(text, sizeof(text), "%u", value);
	return put(path, text);
}

/* The only file that matches, which the kernel may still be about to make. */
static int find(const char *pattern, char *name, size_t len)
{
	int i, err = -ENODEV;
	glob_t found;

	for (i = 0; i < 500 && err; i++) {
		if (i)
			nanosleep(&ms20, NULL);
		if (!glob(pattern, 0, NULL, &found) && found.gl_pathc == 1) {
			snprintf(name, len, "%s", strrchr(found.gl_pathv[0], '/') + 1);
			err = 0;
		}
		globfree(&found);
	}
	return err;
}

/* modprobe(8) exits with 1 for a module that there is not. */
static int load(const char *const argv[])
{
	return run(1, argv) ? -ENOENT : 0;
}

static int zones(unsigned int mib)
{
	int err = put_number(NULLB, "zoned", 1);

	if (!err)
		err = put_number(NULLB, "zone_size", 4);
	if (!err)
		err = put_number(NULLB, "zone_nr_conv", mib / 4 - 1);
	return err;
}

static int null_blk_up(struct disk *d, unsigned int sector, unsigned int mib)
{
	const char *const argv[] = { "modprobe", "-q", "null_blk", "nr_devices=0", NULL };
	int err;

	if (access("/sys/module/null_blk", F_OK) && load(argv))
		return -ENOENT;
	if (access(CONFIG "/nullb", F_OK))
		mount("configfs", CONFIG, "configfs", 0, NULL);
	if (mkdir(NULLB, 0755))
		return errno == ENOENT ? -ENOENT : -errno;
	err = put_number(NULLB, "memory_backed", 1);
	if (!err)
		err = put_number(NULLB, "size", mib);
	if (!err)
		err = put_number(NULLB, "blocksize", sector);
	if (!err && d->kind == NULL_BLK_CACHE)
		err = put_number(NULLB, "cache_size", 1);
	if (!err && d->kind == NULL_BLK_POLL)
		err = put_number(NULLB, "irqmode", 2);
	if (!err && d->kind == NULL_BLK_PAGES)
		err = put_number(NULLB, "virt_boundary", 1);
	if (!err && d->kind == NULL_BLK_INLINE)
		err = put_number(NULLB, "irqmode", 0);
	if (!err && d->kind == NULL_BLK_TIMER)
		err = put_number(NULLB, "irqmode", 2);
	if (!err && d->kind == NULL_BLK_ZONED)
		err = zones(mib);
	if (!err)
		err = put_number(NULLB, "power", 1);
	/* the driver has zones, but the kernel has none */
	if (err == -EINVAL && d->kind == NULL_BLK_ZONED)
		return -ENOENT;
	if (!err)
		err = find("/sys/block/rfs", d->name, sizeof(d->name));
	snprintf(d->node, sizeof(d->node), "/dev/%s", d->name);
	return err;
}

/* sysfs and the node have a disk before it is live, and until then it cannot be opened: ENXIO. */
static int wait_live(const char *node)
{
	int fd, i;

	for (i = 0; i < 500; i++) {
		fd = open(node, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			close(fd);
			return 0;
		}
		if (errno != ENXIO && errno != ENOENT)
			return -errno;
		nanosleep(&ms20, NULL);
	}
	return -ENXIO;
}

/* The disk that is there, or is about to be. */
static int scsi_debug_find(struct disk *d)
{
	int err = find(SCSI "adapter*/host*/target*/*:*/block/*", d->name, sizeof(d->name));

	snprintf(d->node, sizeof(d->node), "/dev/%s", d->name);
	return err ? err : wait_live(d->node);
}

/*
 * When the driver is told to write the same to many sectors, it leaves the checksums that
 * they had before.
 */
static int no_write_same(const struct disk *d)
{
	char lun[32], path[128];
	int err;

	snprintf(path, sizeof(path), "/sys/block/%s/device/scsi_disk/*", d->name);
	err = find(path, lun, sizeof(lun));
	if (err)
		return err;
	snprintf(path, sizeof(path), "/sys/class/scsi_disk/%s", lun);
	return put_number(path, "max_write_same_blocks", 0);
}

static int scsi_debug_up(struct disk *d, unsigned int sector, unsigned int mib)
{
	char size[32], bytes[32];
	int err;
	const char *const sd[] = { "modprobe", "-q", "sd_mod", NULL };
	const char *const argv[] = {
		"modprobe", "-q", "scsi_debug", size, bytes, "delay=0",
		d->kind == SCSI_DEBUG_PI ? "dif=1" : NULL, "dix=1", NULL
	};

	snprintf(size, sizeof(size), "dev_size_mb=%u", mib);
	snprintf(bytes, sizeof(bytes), "sector_size=%u", sector);
	run(1, sd);
	if (load(argv))
		return -ENOENT;
	err = scsi_debug_find(d);
	return err || d->kind != SCSI_DEBUG_PI ? err : no_write_same(d);
}

static int remove_module(const char *name)
{
	const char *const argv[] = { "rmmod", name, NULL };
	char path[64];
	int i;

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	/* a reader of the disk, as of its partitions, closes it in a moment */
	for (i = 0; i < 500; i++) {
		if (access(path, F_OK) || !run(1, argv))
			return 0;
		nanosleep(&ms20, NULL);
	}
	return -EBUSY;
}

/*
 * The driver forgets a target some time after it is gone, in debugfs too, and that
 * must be over before the driver goes: it does not wait for that itself.
 */
static int scsi_debug_down(void)
{
	bool forgotten = false;
	glob_t found;
	int i;

	if (access(SCSI, F_OK))
		return 0;
	if (access(DEBUG "/scsi_debug", F_OK))
		mount("debugfs", DEBUG, "debugfs", 0, NULL);
	put(SCSI "add_host", "-1");
	for (i = 0; i < 500 && !forgotten; i++) {
		if (i)
			nanosleep(&ms20, NULL);
		forgotten = glob(DEBUG "/scsi_debug/target*:0:0", 0, NULL, &found) == GLOB_NOMATCH;
		if (!forgotten)
			globfree(&found);
	}
	return forgotten ? remove_module("scsi_debug") : -EBUSY;
}

static bool is_scsi(enum disk_kind kind)
{
	return kind == SCSI_DEBUG || kind == SCSI_DEBUG_PI;
}

static int clear(enum disk_kind kind)
{
	if (is_scsi(kind))
		return scsi_debug_down();
	if (access(NULLB, F_OK))
		return 0;
	put_number(NULLB, "power", 0);
	return rmdir(NULLB) ? -errno : 0;
}

static int poison(const char *node, unsigned int mib)
{
	char *buf = buf_alloc(CHUNK);
	int fd = open(node, O_WRONLY | O_DIRECT | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	poison_fill(buf, CHUNK);
	while (mib-- && !err)
		if (write(fd, buf, CHUNK) != CHUNK)
			err = -EIO;
	close(fd);
	return err;
}

int disk_up(struct disk *d, enum disk_kind kind, unsigned int sector, unsigned int mib)
{
	int err;

	*d = (struct disk){ .kind = kind };
	/* what a killed test has left */
	umount2(env_dir(), 0);
	err = clear(kind);
	if (err)
		return err;
	if (is_scsi(kind))
		err = scsi_debug_up(d, sector, mib);
	else
		err = null_blk_up(d, sector, mib);
	return err ? err : poison(d->node, mib);
}

int disk_vol_up(const struct disk *d, struct vol *v, const struct vol_conf *conf)
{
	int err;

	*v = (struct vol){ .bs = conf->bs, .isize = conf->isize };
	snprintf(v->dev, sizeof(v->dev), "%s", d->node);
	err = vol_options(conf) ?: vol_mkfs(v, conf);
	return err ? err : vol_mount(v, env_fstype(), 0, NULL);
}

int disk_route_up(const struct disk *d, struct vol *v, const struct vol_conf *conf)
{
	if (setenv("TEST_DEV", d->node, 1))
		return -errno;
	return vol_up(v, conf);
}

int disk_route_down(struct vol *v)
{
	int err = vol_down(v);

	route_remove();
	return err;
}

int disk_down(struct disk *d)
{
	return clear(d->kind);
}

long disk_queue(const struct disk *d, const char *limit)
{
	char path[128];
	long value;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/queue/%s", d->name, limit);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fscanf(f, "%ld", &value) != 1)
		value = -EIO;
	fclose(f);
	return value;
}

int stable_writes(const char *node, bool on)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/%s/queue", strrchr(node, '/') + 1);
	return put_number(path, "stable_writes", on);
}

bool disk_has_checksums(const struct disk *d)
{
	char path[64], format[32] = "none";
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/integrity/format", d->name);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%31s", format) != 1)
		format[0] = 0;
	fclose(f);
	return !strcmp(format, "T10-DIF-TYPE1-CRC");
}

int disk_bad_sectors(const struct disk *d, uint64_t sector, uint64_t len)
{
	char text[48];

	snprintf(text, sizeof(text), "+%llu-%llu", (unsigned long long)sector,
		 (unsigned long long)(sector + len - 1));
	return put(NULLB "/badblocks", text);
}

int disk_delay(const struct disk *d, unsigned int ns)
{
	/* 0 in the one is no delay at all; 0 in the other leaves the first one as it is */
	return ns ? put_number(SCSI, "ndelay", ns) : put_number(SCSI, "delay", 0);
}

int disk_slow(const struct disk *d)
{
	/* ticks: four seconds of 250 to a second, which is less than what SCSI waits */
	return put_number(SCSI, "delay", 1000);
}

static void queue_path(const struct disk *d, const char *what, char *path, size_t len)
{
	snprintf(path, len, "/sys/block/%s/queue/%s", d->name, what);
}

int disk_no_merges(const struct disk *d)
{
	char path[64];

	queue_path(d, "nomerges", path, sizeof(path));
	return put(path, "2");
}

int disk_serialize(const struct disk *d)
{
	char path[64];
	int err;

	queue_path(d, "scheduler", path, sizeof(path));
	err = put(path, "none");
	snprintf(path, sizeof(path), "/sys/block/%s/device", d->name);
	return err ? err : put_number(path, "queue_depth", 1);
}

int disk_delete(const struct disk *d)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/%s/device/delete", d->name);
	return put(path, "1");
}

int disk_rescan(struct disk *d)
{
	char host[32], path[64];
	int err;

	err = find(SCSI "adapter*/host*", host, sizeof(host));
	if (err)
		return err;
	snprintf(path, sizeof(path), "/sys/class/scsi_host/%s/scan", host);
	/* this one alone: others were not there before */
	err = put(path, "0 0 0");
	return err ? err : scsi_debug_find(d);
}
