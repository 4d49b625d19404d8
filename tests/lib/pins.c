// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "pins.h"

/* Each processor has a share of its own in these numbers, of up to some dozens. */
static void add_up_all_processors(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1", 1) < 0)
		printf("# stat_refresh: %m\n");
	close(fd);
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
