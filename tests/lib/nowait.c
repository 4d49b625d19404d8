// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "buf.h"
#include "nowait.h"
#include "task.h"

#define JOIN_SECONDS	120

ssize_t nowait(enum way way, bool write, int fd, void *buf, size_t len, off_t off, int rwf)
{
	return way_rw(way, write, fd, &(struct iovec){ buf, len }, 1, off, rwf | RWF_NOWAIT);
}

ssize_t nowait_read(enum way way, int fd, void *buf, size_t len, off_t off)
{
	return nowait(way, false, fd, buf, len, off, 0);
}

ssize_t nowait_write(enum way way, int fd, void *buf, size_t len, off_t off)
{
	return nowait(way, true, fd, buf, len, off, 0);
}

struct nowait_op {
	enum way way;
	bool write;
	struct io_op io;
};

static long op_nowait(void *arg)
{
	struct nowait_op *op = arg;

	return nowait(op->way, op->write, op->io.fd, op->io.buf, op->io.len, op->io.off, 0);
}

long nowait_or_held(enum way way, bool write, int fd, void *buf, size_t len, off_t off)
{
	/* if it is late, it is still in use */
	static struct task tasks[64];
	static struct nowait_op ops[64];
	static int n;
	struct nowait_op *op = &ops[n];
	struct task *t = &tasks[n++];

	*op = (struct nowait_op){ way, write, { fd, buf, len, off } };
	if (task_start(t, op_nowait, op))
		return -errno;
	return task_settle(t) == TASK_DONE ? task_join(t, JOIN_SECONDS) : -ETIME;
}

int warm_up(int fd, size_t len)
{
	return pread(fd, buf_alloc(len), len, 0) < 0 ? -errno : 0;
}

int nowait_workers(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int n = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		char name[300], comm[32] = "";
		FILE *f;

		snprintf(name, sizeof(name), "/proc/self/task/%s/comm", entry->d_name);
		f = fopen(name, "r");
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f) && !strncmp(comm, "iou-wrk", 7))
			n++;
		fclose(f);
	}
	closedir(dir);
	return n;
}
