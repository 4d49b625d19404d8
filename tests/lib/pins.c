// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pins.h"
#include "put.h"

/* Each processor has a share of its own in these numbers, of up to some dozens. */
static void add_up_all_processors(void)
{
	const int err = put("/proc/sys/vm/stat_refresh", "1");

	if (err && err != -ENOENT)
		printf("# stat_refresh: %s\n", strerror(-err));
}

long pins_held(void)
{
	long long acquired = -1, released = -1;
	char line[128];
	FILE *f;

	add_up_all_processors();
	f = fopen("/proc/vmstat", "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "nr_foll_pin_acquired %lld", &acquired) != 1)
			sscanf(line, "nr_foll_pin_released %lld", &released);
	fclose(f);
	return acquired < 0 || released < 0 ? -ENOENT : acquired - released;
}

bool pins_return_to(long held)
{
	struct timespec ms20 = { .tv_nsec = 20000000 };
	long now;
	int i;

	for (i = 0; i < 500; i++) {
		now = pins_held();
		if (now == held)
			return true;
		nanosleep(&ms20, NULL);
	}
	printf("# %ld pages are pinned, and %ld were before\n", now, held);
	return false;
}
