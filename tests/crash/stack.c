// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "dm.h"
#include "env.h"
#include "stack.h"
#include "vol.h"

#define NAME	"rfs-crash"
#define VOLUME	"/dev/ram0"
#define LOG	"/dev/ram1"
#define PAGE	4096
#define CHUNK	(1U << 20)

static int find_none(const char *unused)
{
	char node[32];

	return dm_find(NAME, node, sizeof(node)) == -ENXIO ? 0 : -EBUSY;
}

static int remove_dm(const char *unused)
{
	int err = dm_remove(NAME);

	return err == -ENXIO ? 0 : err;
}

static int load_modules(void)
{
	const char *const out[] = { "rmmod", "brd", NULL };
	char size[32];
	const char *const brd[] = { "modprobe", "brd", "rd_nr=2", size, NULL };
	const char *const dm[] = { "modprobe", "-q", "dm-log-writes", NULL };

	snprintf(size, sizeof(size), "rd_size=%u", LOG_MIB << 10);
	if (!access("/sys/module/brd", F_OK))
		run(1, out);
	run(1, dm);
	return run(1, brd) ? -ENOENT : 0;
}

int stack_up(struct stack *s, uint32_t size)
{
	struct dm_seg seg = {
		.len = (size + PAGE) / 512, .type = "log-writes", .params = VOLUME " " LOG,
	};
	int err;

	vol_retry_busy(remove_dm, NULL);
	err = find_none(NULL);
	if (!err)
		err = load_modules();
	if (err)
		return vol_report("the disks in memory", err);
	*s = (struct stack){ .size = size, .log_at = 1 };
	err = dm_create(NAME, s->node, sizeof(s->node));
	if (!err)
		err = dm_load(NAME, &seg, 1);
	if (!err)
		err = dm_resume(NAME);
	return vol_report("dm-log-writes", err);
}

int stack_down(struct stack *s)
{
	const char *const out[] = { "rmmod", "brd", NULL };
	int err = vol_retry_busy(remove_dm, NULL);

	if (!err)
		err = run(0, out) ? -EBUSY : 0;
	return vol_report("taking down", err);
}

static int transfer(const char *node, int flags, char *bytes, size_t len)
{
	static char *buf;
	ssize_t n = 0;
	size_t at;
	int fd;

	if (!buf)
		buf = buf_alloc(CHUNK);
	fd = open(node, flags | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (at = 0; at < len; at += n) {
		size_t some = len - at < CHUNK ? len - at : CHUNK;

		if (flags == O_WRONLY)
			memcpy(buf, bytes + at, some);
		n = flags == O_WRONLY ? pwrite(fd, buf, some, at) : pread(fd, buf, some, at);
		if (n != (ssize_t)some)
			break;
		if (flags == O_RDONLY)
			memcpy(bytes + at, buf, some);
	}
	close(fd);
	return at == len ? 0 : n < 0 ? -errno : -EIO;
}

int stack_write(struct stack *s, const void *image)
{
	return transfer(VOLUME, O_WRONLY, (char *)image, s->size);
}

int stack_read(struct stack *s, void *image)
{
	return transfer(VOLUME, O_RDONLY, image, s->size);
}

int stack_order(struct stack *s)
{
	static char *buf;
	ssize_t n;
	int fd;

	if (!buf)
		buf = buf_alloc(PAGE);
	fd = open(s->node, O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = pwrite(fd, buf, PAGE, s->size);
	close(fd);
	if (n != PAGE)
		return n < 0 ? -errno : -EIO;
	return 0;
}

int stack_tick(struct stack *s, const char *mark)
{
	char message[64];
	int err = stack_order(s);

	if (err)
		return err;
	snprintf(message, sizeof(message), "mark %s", mark);
	return dm_message(NAME, message);
}
