// SPDX-License-Identifier: GPL-2.0
/* What is done to a volume as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "act.h"
#include "env.h"

static bool freeze(struct fuzz *f, int fd)
{
	step(f, "freeze");
	if (ioctl(fd, FIFREEZE, 0))
		return act_done(f, "freeze", -1);
	if (ioctl(fd, FITHAW, 0) && !act_may_be(errno))
		return wrong(f, "thaw: %s", strerror(errno));
	return true;
}

static bool try_remount(struct fuzz *f)
{
	const unsigned long flags = MS_REMOUNT | MS_NODEV;

	step(f, "remount");
	return act_done(f, "remount ro", mount(NULL, env_dir(), NULL, flags | MS_RDONLY, NULL)) &&
	       act_done(f, "remount rw", mount(NULL, env_dir(), NULL, flags, NULL));
}

static bool trim_some(struct fuzz *f, int fd)
{
	struct fstrim_range range = { .len = -1 };

	if (rng_percent(&f->rng, 50)) {
		range.start = rng_below(&f->rng, 1 << 21);
		range.len = rng_below(&f->rng, 1 << 21);
		range.minlen = rng_below(&f->rng, 1 << 15);
	}
	step(f, "trim %llu bytes at %llu", range.len, range.start);
	/* A device that cannot; a range that is not on the volume, or shorter than a block. */
	return act_done_or(f, "trim", ioctl(fd, FITRIM, &range), EOPNOTSUPP, EINVAL);
}

static bool label(struct fuzz *f, int fd)
{
	char name[FSLABEL_MAX] = "";

	step(f, "label");
	memset(name, 'a' + rng_below(&f->rng, 26), rng_below(&f->rng, 17));
	if (ioctl(fd, FS_IOC_SETFSLABEL, name))
		return act_done(f, "label", -1);
	return act_done(f, "label", ioctl(fd, FS_IOC_GETFSLABEL, name));
}

bool act_volume(struct fuzz *f)
{
	int fd = open(env_dir(), O_RDONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return act_done(f, "open", fd);
	switch (rng_below(&f->rng, 6)) {
	case 0:
		ok = freeze(f, fd);
		break;
	case 1:
		ok = try_remount(f);
		break;
	case 2:
	case 3:
		ok = trim_some(f, fd);
		break;
	case 4:
		ok = label(f, fd);
		break;
	default:
		step(f, "syncfs");
		ok = act_done(f, "syncfs", syncfs(fd));
	}
	close(fd);
	return ok;
}
