// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm.h"
#include "env.h"
#include "vol.h"

#define TOP	"rfs-top"
#define HOLD	"rfs-hold"
#define SIDE	"rfs-side"

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

/* The same, with flushes and reads on one way. */
static struct dm_seg written(uint64_t start, uint64_t len, const char *others, const char *writes)
{
	struct dm_seg s = parted(start, len, others, writes);
	size_t n = strlen(s.params);

	snprintf(s.params + n, sizeof(s.params) - n, " %s %llu 0", others, (unsigned long long)start);
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
	return vol_report("device-mapper table", err);
}

/*
 * The sectors of @map go to @via, or fail, which all do if that is NULL; others straight. What
 * is before the first of them is as in the @nr segments of @first, if there are any.
 */
static int set_table_after(struct vol *v, const struct vol_map *map, const char *via,
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
		else if (e->writes)
			segs[nr++] = written(e->sector, e->len, env_dev(), via);
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
	return set_table_after(v, map, via, NULL, 0);
}

/* Is it open no more? */
static int unused(const char *name)
{
	char node[32];
	int opens = dm_find(name, node, sizeof(node));

	return opens > 0 ? -EBUSY : opens;
}

/*
 * Both devices stay from one case to the next, as to remove one takes several RCU grace
 * periods; the program removes them at its end. What the cache of a device has goes with
 * the last close.
 */
static int straight(struct vol *v, const char *name, char *node, int nodelen)
{
	struct dm_seg seg = linear(0, v->sectors, env_dev());
	int err;

	err = dm_find(name, node, nodelen);
	if (err < 0)
		err = dm_create(name, node, nodelen);
	else
		err = vol_retry_busy(unused, name);
	if (!err)
		err = dm_load(name, &seg, 1);
	if (!err)
		err = dm_hold(name);
	if (!err)
		err = dm_resume(name);
	return vol_report(name, err);
}

int route_create(struct vol *v)
{
	return straight(v, TOP, v->dev, sizeof(v->dev));
}

int route_unused(void)
{
	return vol_retry_busy(unused, TOP);
}

void route_release(void)
{
	dm_resume(SIDE);
	dm_resume(HOLD);
	dm_resume(TOP);
}

void route_remove(void)
{
	route_release();
	vol_retry_busy(dm_remove, TOP);
	vol_retry_busy(dm_remove, HOLD);
	vol_retry_busy(dm_remove, SIDE);
}

static pid_t program;

/* A case is a process of its own, which must not do this. */
static void remove_devices(void)
{
	if (getpid() == program)
		route_remove();
}

__attribute__((constructor)) static void remove_at_exit(void)
{
	program = getpid();
	atexit(remove_devices);
}

int vol_hold(struct vol *v)
{
	return vol_report("hold", dm_hold(TOP));
}

int vol_freeze(struct vol *v)
{
	return vol_report("freeze", dm_freeze(TOP));
}

int vol_release(struct vol *v)
{
	return vol_report("release", dm_resume(TOP));
}

/* A second way to the same device. */
static int hold_device(struct vol *v, char *node, int nodelen)
{
	return straight(v, HOLD, node, nodelen);
}

int vol_route_after(struct vol *v, const struct vol_map *map, const struct dm_seg *first,
		     int nr)
{
	char node[32];
	int err = hold_device(v, node, sizeof(node));

	return err ? err : set_table_after(v, map, node, first, nr);
}

int vol_route(struct vol *v, const struct vol_map *map)
{
	return vol_route_after(v, map, NULL, 0);
}

int vol_route_beside(struct vol *v, const struct vol_extent *side, const struct vol_map *map)
{
	struct dm_seg segs[2] = { linear(0, side->sector, env_dev()) };
	char node[32];
	int err = straight(v, SIDE, node, sizeof(node));

	segs[1] = side->writes ? written(side->sector, side->len, env_dev(), node) :
		linear(side->sector, side->len, node);
	return err ? err : vol_route_after(v, map, segs, 2);
}

/* Another table of rfs-side, which may be held. */
static int side_table(struct dm_seg seg)
{
	int err = dm_load(SIDE, &seg, 1);

	if (!err)
		err = dm_hold(SIDE);
	return vol_report("device beside", err ?: dm_resume(SIDE));
}

int vol_hold_side(struct vol *v)
{
	return vol_report("hold", dm_hold(SIDE));
}

int vol_fail_side(struct vol *v)
{
	return side_table(failing(0, v->sectors));
}

int vol_release_side(struct vol *v)
{
	return side_table(linear(0, v->sectors, env_dev()));
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
	return vol_report("hold", dm_hold(HOLD));
}

int vol_release_routed(struct vol *v)
{
	return vol_report("release", dm_resume(HOLD));
}

int vol_fail_routed(struct vol *v)
{
	struct dm_seg seg = failing(0, v->sectors);
	int err = dm_load(HOLD, &seg, 1);

	return vol_report("fail", err ?: dm_resume(HOLD));
}

int vol_keep_reads(struct vol *v)
{
	struct dm_seg seg = { .len = v->sectors, .type = "delay" };

	/* what is delayed goes on when the device is suspended, as another table is loaded */
	snprintf(seg.params, sizeof(seg.params), "%s 0 120000 %s 0 0", env_dev(), env_dev());
	return load_table(&seg, 1);
}

int vol_reads_kept(void)
{
	char text[64], *end;
	int err = dm_status(TOP, text, sizeof(text));
	long reads;

	if (err)
		return err;
	/* then writes, and flushes */
	reads = strtol(text, &end, 10);
	return end > text && *end == ' ' ? reads : -EPROTO;
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
