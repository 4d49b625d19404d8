// SPDX-License-Identifier: GPL-2.0
/* Operations on the volume as a whole, with something to be written. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "env.h"
#include "ops.h"
#include "pattern.h"

/* A file, a name, and what is left of another one. */
static int change(struct round *r)
{
	int fd = vol_open("d/new", O_CREAT | O_EXCL | O_RDWR);
	int err = fd < 0 ? fd : 0;

	if (!err && write(fd, r->buf, 6 * UNIT) != 6 * UNIT)
		err = -EIO;
	if (!err && unlink(vol_path("d/a")))
		err = -errno;
	close(fd);
	return err;
}

static int open_volume(struct round *r)
{
	r->fd = open(env_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return r->fd < 0 ? -errno : 0;
}

static int change_and_open(struct round *r)
{
	return change(r) ?: open_volume(r);
}

static const char *changed(struct round *r)
{
	if (r->ret < 0)
		return NULL;
	if (vol_exists("d/a"))
		return "what is unlinked is there";
	return vol_holds("d/new", 6 * UNIT, 2) ? NULL : "what was to be written is not there";
}

static long mount_it(struct round *r)
{
	return vol_mount(&r->v, env_fstype(), 0, NULL);
}

static long mount_read_only(struct round *r)
{
	return vol_mount(&r->v, env_fstype(), MS_RDONLY, NULL);
}

static long umount_it(struct round *r)
{
	return vol_umount(&r->v);
}

static long sync_it(struct round *r)
{
	return ops_errno(syncfs(r->fd));
}

static long freeze(struct round *r)
{
	long n = ops_errno(ioctl(r->fd, FIFREEZE, 0));
	long thawed = ioctl(r->fd, FITHAW, 0) ? -errno : 0;

	/* whoever was not let freeze it has nothing to thaw */
	return n ?: thawed;
}

static long read_only(struct round *r)
{
	return vol_read_only();
}

static int be_read_only(struct round *r)
{
	return vol_read_only();
}

static long read_write(struct round *r)
{
	return vol_read_write();
}

static long count(struct round *r)
{
	struct statfs st;

	return ops_errno(statfs(env_dir(), &st));
}

/* With free blocks around everything that is there. */
static long trim(struct round *r)
{
	struct fstrim_range range = { .len = UINT64_MAX };

	return ops_errno(ioctl(r->fd, FITRIM, &range));
}

static const char *is_there(struct round *r)
{
	return vol_holds("f", 20 * UNIT, 1) ? NULL : "what was there is not";
}

static long set_label(struct round *r)
{
	static const char label[FSLABEL_MAX] = "new label";

	return ops_errno(ioctl(r->fd, FS_IOC_SETFSLABEL, label));
}

static const char *labelled(struct round *r)
{
	char label[FSLABEL_MAX] = "";
	int fd = open(env_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, FS_IOC_GETFSLABEL, label))
		label[0] = 0;
	close(fd);
	return r->ret < 0 || !strcmp(label, "new label") ? NULL : "the label is another one";
}

const struct op ops_volume[] = {
	{ "mount", .run = mount_it, .mounts = true },
	{ "mount read-only", .run = mount_read_only, .mounts = true },
	{ "unmount", .prepare = change, .run = umount_it, .check = changed, .untold = true },
	{ "syncfs", .prepare = change_and_open, .run = sync_it, .check = changed, .kworkers = true,
	  .large = true },
	{ "freeze and thaw", .prepare = change_and_open, .run = freeze, .check = changed,
	  .kworkers = true, .untold = true, .every = true },
	{ "remount read-only", .prepare = change, .run = read_only, .check = changed,
	  .kworkers = true, .untold = true },
	{ "remount read-write", .prepare = be_read_only, .run = read_write },
	{ "statfs", .run = count },
	{ "fstrim", .prepare = change_and_open, .run = trim, .check = is_there, .kworkers = true,
	  .every = true, .large = true },
	{ "set the label", .prepare = open_volume, .run = set_label, .check = labelled, .every = true },
	{}
};
