// SPDX-License-Identifier: GPL-2.0
/*
 * Data of the first file fails, reads and writes, some extents at a time, by an
 * exchange of the device's table under load. Metadata never does: the blocks of
 * the file are asked for (FIBMAP) before, and the file loses none in these runs,
 * so that none of them is used for anything else. What was allocated since does
 * not fail: that is left to the tests of extends with failing devices.
 */
#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "soak.h"

#define EXTENTS		8

static pthread_t thread;
static bool stop;

static void wait_ms(int ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000L };

	nanosleep(&ts, NULL);
}

static int by_sector(const struct vol_map *map, uint64_t sector)
{
	int i;

	for (i = 0; i < map->nr && map->e[i].sector < sector; i++)
		;
	return i;
}

/* Some runs of blocks, in the order of the device, which a table needs. */
static void choose_extents(struct soak *s, struct rng *r, struct vol_map *map)
{
	struct file *f = &s->files[0];
	unsigned int per = s->v->bs / SECTOR;
	int i;

	map->nr = 0;
	for (i = 0; i < EXTENTS; i++) {
		int block = (f->base + rng_below(r, f->hi + 1)) / s->v->bs;
		uint64_t sector;
		int at;

		if (ioctl(f->fd_cached, FIBMAP, &block) || !block)
			continue;
		sector = (uint64_t)block * per;
		at = by_sector(map, sector);
		if (at < map->nr && map->e[at].sector == sector)
			continue;
		memmove(&map->e[at + 1], &map->e[at], (map->nr - at) * sizeof(map->e[0]));
		map->e[at] = (struct vol_extent){ .sector = sector, .len = per };
		map->nr++;
	}
}

static void *fail_now_and_then(void *arg)
{
	struct soak *s = arg;
	struct vol_map map;
	struct rng r;

	rng_seed(&r, s->seed, s->round, 2000);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		choose_extents(s, &r, &map);
		if (map.nr && vol_fail(s->v, &map))
			soak_fail(s, NULL, 0, -1, "the device's table cannot be exchanged");
		wait_ms(20 + rng_below(&r, 100));
		if (vol_unroute(s->v))
			soak_fail(s, NULL, 0, -1, "the device's table cannot be restored");
		wait_ms(20 + rng_below(&r, 60));
	}
	return NULL;
}

int faults_start(struct soak *s)
{
	stop = false;
	return -pthread_create(&thread, NULL, fail_now_and_then, s);
}

int faults_stop(struct soak *s)
{
	(void)s;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	return -pthread_join(thread, NULL);
}
