// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "faults.h"

#define DEBUGFS "/sys/kernel/debug"

static int fail_nth = -1;

static int set(const char *name, const char *value)
{
	char path[128];
	int err = 0;
	int fd;

	snprintf(path, sizeof(path), DEBUGFS "/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		err = -errno;
	close(fd);
	return err;
}

int faults_setup(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
		{}
	};
	int err = 0;
	int i;

	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		return -errno;
	if (access(DEBUGFS "/failslab", F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	for (i = 0; settings[i][0] && !err; i++)
		err = set(settings[i][0], settings[i][1]);
	return err;
}

int faults_begin(int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	return pwrite(fail_nth, text, len, 0) == len ? 0 : -errno;
}

int faults_end(void)
{
	char text[16] = "";

	/* how many are still to go */
	if (pread(fail_nth, text, sizeof(text) - 1, 0) <= 0)
		return -errno;
	if (pwrite(fail_nth, "0", 1, 0) != 1)
		return -errno;
	return atoi(text) == 0;
}
