// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "env.h"
#include "pattern.h"
#include "vol.h"

#define CHUNK	(1UL << 20)

static int open_disk(int flags)
{
	int fd = open(env_dev(), flags | O_DIRECT | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
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
	/* kept: to have so much memory anew each time takes longer than to search it */
	static __thread char *buf;
	uint64_t found = 0;
	uint64_t off;
	int err = 0;
	int fd;

	if (!buf)
		buf = buf_alloc(CHUNK);
	memset(map, 0, sizeof(*map));
	fd = open_disk(O_RDONLY);
	if (fd < 0)
		return fd;
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
	return vol_report("looking for the file on the device", err);
}

int vol_read_sector(struct vol *v, uint64_t sector, void *buf)
{
	char *page = buf_alloc(512);
	int err = 0;
	int fd;

	fd = open_disk(O_RDONLY);
	if (fd < 0)
		return fd;
	if (pread(fd, page, 512, sector * 512) != 512)
		err = -EIO;
	memcpy(buf, page, 512);
	close(fd);
	return err;
}

int vol_dev_read(struct vol *v, void *buf, size_t len, off_t off)
{
	int fd = open(v->dev, O_RDONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (pread(fd, buf, len, off) != (ssize_t)len)
		err = -EIO;
	close(fd);
	return err;
}

int vol_dev_write(struct vol *v, const void *buf, size_t len, off_t off)
{
	int fd = open(v->dev, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (pwrite(fd, buf, len, off) != (ssize_t)len || fsync(fd))
		err = -EIO;
	close(fd);
	return err;
}

int64_t vol_dev_get(struct vol *v, int bits, off_t off)
{
	uint32_t val = 0;
	int err = vol_dev_read(v, &val, bits / 8, off);

	return err ? err : le32toh(val);
}

int vol_dev_set(struct vol *v, int bits, off_t off, uint32_t val)
{
	val = htole32(val);
	return vol_dev_write(v, &val, bits / 8, off);
}

/* -D: not through the page cache of the device, which knows nothing of us. */
FILE *vol_cat(struct vol *v, const char *name)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "debugfs -D -R 'cat %s' %s 2>/dev/null", name,
		 env_dev());
	return popen(cmd, "r");
}

int vol_block(struct vol *v, const char *name, int n, struct vol_map *map)
{
	unsigned long block = 0;
	char cmd[128];
	FILE *out;

	snprintf(cmd, sizeof(cmd), "debugfs -R 'bmap %s %d' %s 2>/dev/null", name, n, v->dev);
	out = popen(cmd, "r");
	if (!out)
		return -errno;
	if (fscanf(out, "%lu", &block) != 1)
		block = 0;
	pclose(out);
	*map = (struct vol_map){
		.e[0] = { .sector = block * v->bs / 512, .len = v->bs / 512 }, .nr = 1
	};
	return block ? 0 : -ENODATA;
}

/* The 16th number. */
long disk_flushes(void)
{
	const char *dev = strrchr(env_dev(), '/') + 1;
	char path[64];
	long n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", dev);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fscanf(f, "%*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %ld", &n) != 1)
		n = -EIO;
	fclose(f);
	return n;
}
