// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "trace.h"

#define TRACING	"/sys/kernel/tracing/"
#define PREFIX	": retryfs_dio_"

int trace_file(const char *file, int flags)
{
	char path[160];
	int fd;

	if (access(TRACING "trace", F_OK))
		mount("tracefs", TRACING, "tracefs", 0, NULL);
	snprintf(path, sizeof(path), TRACING "%s", file);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int trace_write(const char *file, const char *text)
{
	int fd = trace_file(file, O_WRONLY | O_APPEND);
	int err = 0;

	if (fd < 0)
		return fd;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

void trace_clear(void)
{
	close(open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
}

FILE *trace_open(void)
{
	return fopen(TRACING "trace", "re");
}

int trace_start(void)
{
	int err = trace_write("trace", "\n");

	if (err)
		return err;
	trace_clear();
	return trace_write("events/retryfs/enable", "1");
}

int trace_stop(struct trace *t)
{
	char line[512], *event;
	int err;
	FILE *f;

	err = trace_write("events/retryfs/enable", "0");
	f = trace_open();
	if (!f)
		return -errno;
	t->nr = 0;
	while (!err && fgets(line, sizeof(line), f)) {
		event = line[0] == '#' ? NULL : strstr(line, PREFIX);
		if (!event)
			continue;
		event[strcspn(event, "\n")] = 0;
		if (t->nr == TRACE_EVENTS)
			err = -E2BIG;
		else
			snprintf(t->event[t->nr++], sizeof(t->event[0]), "%s",
				 event + strlen(PREFIX));
	}
	fclose(f);
	return err;
}
