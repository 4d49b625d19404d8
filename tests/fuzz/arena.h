/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Devices in memory for the images, one for each size, in the middle of something that
 * nobody may touch.
 */
#ifndef FUZZ_ARENA_H
#define FUZZ_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#define ARENA_SIZES	8
#define ARENA_GUARD	(256U * 1024)

struct image;
struct image_set;

struct arena {
	int fd;			/* all of the memory */
	char *guard, *seen;
	uint32_t size[ARENA_SIZES];
	char dev[ARENA_SIZES][32];
	int nr;
};

/* Also clears away what a killed run has left. 0 or -errno. */
int arena_up(struct arena *a, struct image_set *set);
int arena_down(struct arena *a);
/* Put these bytes on the device of @im. 0 or -errno. */
int arena_put(struct arena *a, const struct image *im, const char *bytes);
/* Is what lies before and behind the device as it was? */
bool arena_intact(struct arena *a, const struct image *im);

#endif
