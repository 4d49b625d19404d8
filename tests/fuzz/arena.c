// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "buf.h"
#include "dm.h"
#include "env.h"
#include "image.h"
#include "pattern.h"

#define MEMORY	"/dev/ram0"

static uint64_t offset_of(const struct arena *a, int n)
{
	uint64_t off = ARENA_GUARD;

	while (n--)
		off += a->size[n] + ARENA_GUARD;
	return off;
}

static const char *name_of(int n)
{
	static char name[32];

	snprintf(name, sizeof(name), "rfs-fuzz-%d", n);
	return name;
}

static int load_brd(uint64_t size)
{
	char rd_size[32];
	const char *const unload[] = { "modprobe", "-qr", "brd", NULL };
	const char *const load[] = { "modprobe", "brd", "rd_nr=1", "max_part=1", rd_size, NULL };

	snprintf(rd_size, sizeof(rd_size), "rd_size=%llu", (unsigned long long)size / 1024);
	run(1, unload);
	return run(0, load) ? -ENODEV : 0;
}

static int size_index(const struct arena *a, uint32_t size)
{
	int n;

	for (n = 0; n < a->nr && a->size[n] != size; n++)
		;
	return n;
}

static int guards_write(struct arena *a)
{
	int n;

	for (n = 0; n <= a->nr; n++) {
		if (pwrite(a->fd, a->guard, ARENA_GUARD, offset_of(a, n) - ARENA_GUARD) != ARENA_GUARD)
			return -EIO;
	}
	return 0;
}

static int device_up(struct arena *a, int n)
{
	struct dm_seg seg = { .len = a->size[n] / 512, .type = "linear" };
	int err;

	snprintf(seg.params, sizeof(seg.params), "%s %llu", MEMORY,
		 (unsigned long long)offset_of(a, n) / 512);
	err = dm_create(name_of(n), a->dev[n], sizeof(a->dev[n]));
	if (!err)
		err = dm_load(name_of(n), &seg, 1);
	return err ? err : dm_resume(name_of(n));
}

int arena_up(struct arena *a, struct image_set *set)
{
	int i, n, err;

	for (n = 0; n < ARENA_SIZES; n++)
		dm_remove(name_of(n));
	for (i = 0; i < set->nr; i++) {
		n = size_index(a, set->im[i].size);
		if (n == ARENA_SIZES)
			return -E2BIG;
		a->size[n] = set->im[i].size;
		if (n == a->nr)
			a->nr++;
		set->im[i].dev = a->dev[n];
	}
	err = load_brd(offset_of(a, a->nr));
	if (err)
		return err;
	a->fd = open(MEMORY, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (a->fd < 0)
		return -errno;
	a->guard = buf_alloc(ARENA_GUARD);
	a->seen = buf_alloc(ARENA_GUARD);
	poison_fill(a->guard, ARENA_GUARD);
	err = guards_write(a);
	for (n = 0; n < a->nr && !err; n++)
		err = device_up(a, n);
	return err;
}

int arena_down(struct arena *a)
{
	const char *const unload[] = { "modprobe", "-qr", "brd", NULL };
	int n, err = 0;

	for (n = 0; n < a->nr && !err; n++)
		err = dm_remove(name_of(n));
	close(a->fd);
	return err ? err : run(1, unload);
}

int arena_put(struct arena *a, const struct image *im, const char *bytes)
{
	uint64_t off = offset_of(a, size_index(a, im->size));

	return pwrite(a->fd, bytes, im->size, off) == im->size ? 0 : -EIO;
}

static bool guard_intact(struct arena *a, uint64_t off)
{
	return pread(a->fd, a->seen, ARENA_GUARD, off) == ARENA_GUARD &&
	       !memcmp(a->seen, a->guard, ARENA_GUARD);
}

bool arena_intact(struct arena *a, const struct image *im)
{
	uint64_t off = offset_of(a, size_index(a, im->size));

	return guard_intact(a, off - ARENA_GUARD) && guard_intact(a, off + im->size);
}
