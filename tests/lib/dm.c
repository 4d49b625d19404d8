// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm.h"

static int dm_call(unsigned long cmd, struct dm_ioctl *io)
{
	int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = ioctl(fd, cmd, io) ? -errno : 0;
	close(fd);
	return err;
}

static void dm_prep(struct dm_ioctl *io, size_t size, const char *name)
{
	memset(io, 0, size);
	io->version[0] = DM_VERSION_MAJOR;
	io->data_size = size;
	io->data_start = sizeof(*io);
	snprintf(io->name, sizeof(io->name), "%s", name);
}

static int node_of(const struct dm_ioctl *io, char *node, int nodelen)
{
	dev_t dev = makedev(major(io->dev), minor(io->dev));

	snprintf(node, nodelen, "/dev/dm-%u", minor(dev));
	/* devtmpfs has made the node already, where there is one. */
	if (access(node, F_OK) && mknod(node, S_IFBLK | 0600, dev))
		return -errno;
	return 0;
}

int dm_create(const char *name, char *node, int nodelen)
{
	struct dm_ioctl io;
	int err;

	dm_prep(&io, sizeof(io), name);
	err = dm_call(DM_DEV_CREATE, &io);
	return err ? err : node_of(&io, node, nodelen);
}

int dm_find(const char *name, char *node, int nodelen)
{
	struct dm_ioctl io;
	int err;

	dm_prep(&io, sizeof(io), name);
	err = dm_call(DM_DEV_STATUS, &io);
	if (!err)
		err = node_of(&io, node, nodelen);
	return err ? err : io.open_count;
}

int dm_load(const char *name, const struct dm_seg *segs, int nr)
{
	size_t one = sizeof(struct dm_target_spec) + sizeof(segs->params);
	size_t size = sizeof(struct dm_ioctl) + nr * one;
	struct dm_ioctl *io = malloc(size);
	char *at;
	int err;
	int i;

	if (!io)
		return -ENOMEM;
	dm_prep(io, size, name);
	io->target_count = nr;
	at = (char *)(io + 1);
	for (i = 0; i < nr; i++, at += one) {
		struct dm_target_spec *t = (struct dm_target_spec *)at;

		t->sector_start = segs[i].start;
		t->length = segs[i].len;
		t->next = one;
		memcpy(t->target_type, segs[i].type, sizeof(segs[i].type));
		memcpy(t + 1, segs[i].params, sizeof(segs[i].params));
	}
	err = dm_call(DM_TABLE_LOAD, io);
	free(io);
	return err;
}

static int dm_suspend(const char *name, unsigned int flags)
{
	struct dm_ioctl io;

	dm_prep(&io, sizeof(io), name);
	io.flags = flags;
	return dm_call(DM_DEV_SUSPEND, &io);
}

int dm_resume(const char *name)
{
	return dm_suspend(name, 0);
}

int dm_hold(const char *name)
{
	return dm_suspend(name, DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG |
				DM_NOFLUSH_FLAG);
}

int dm_freeze(const char *name)
{
	return dm_suspend(name, DM_SUSPEND_FLAG);
}

int dm_message(const char *name, const char *message)
{
	size_t size = sizeof(struct dm_ioctl) + sizeof(struct dm_target_msg) + strlen(message) + 1;
	struct dm_ioctl *io = malloc(size);
	struct dm_target_msg *to;
	int err;

	if (!io)
		return -ENOMEM;
	dm_prep(io, size, name);
	to = (struct dm_target_msg *)(io + 1);
	memset(to, 0, sizeof(*to));
	memcpy(to + 1, message, strlen(message) + 1);
	err = dm_call(DM_TARGET_MSG, io);
	free(io);
	return err;
}

int dm_status(const char *name, char *text, size_t len)
{
	struct {
		struct dm_ioctl io;
		struct dm_target_spec target;
		char text[512];
	} status;
	int err;

	dm_prep(&status.io, sizeof(status), name);
	/* the device need not be idle for it */
	status.io.flags = DM_NOFLUSH_FLAG;
	status.io.data_start = offsetof(typeof(status), target);
	err = dm_call(DM_TABLE_STATUS, &status.io);
	if (!err && (!status.io.target_count || status.io.flags & DM_BUFFER_FULL_FLAG))
		err = -ENODATA;
	if (!err)
		snprintf(text, len, "%s", status.text);
	return err;
}

int dm_remove(const char *name)
{
	struct dm_ioctl io;

	dm_prep(&io, sizeof(io), name);
	return dm_call(DM_DEV_REMOVE, &io);
}
