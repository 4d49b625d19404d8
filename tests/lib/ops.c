// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocks.h"
#include "buf.h"
#include "env.h"
#include "ops.h"
#include "pattern.h"

#define STATE		(1024 + 58)
#define STATE_VALID	1
#define STATE_ERROR	2

#define PAGE		4096
/* With so many blocks there is room for everything. */
#define LARGE_BLOCKS	64
/* the most that ROUND_MEM is, with blocks of 64 KiB */
#define ROUND_MOST	(512 << 10)

long ops_unit = 1024;

/* The volumes as they were made, for all rounds: with small inodes, and with larger ones and blocks. */
static struct image {
	unsigned int bs, isize;
	char *bytes;
	size_t len;
	long unit;
} images[2];

long ops_errno(long n)
{
	return n < 0 ? -errno : n;
}

void ops_full_name(char *path, unsigned int nr)
{
	/* two fill 512 bytes, the first ones with "." and ".." */
	sprintf(path, "full/%0*u", nr < 2 ? 236 : 248, nr);
}

/* The volume on the device, or that into memory. */
static int transfer(const char *dev, bool out, const struct image *image)
{
	int fd = open(dev, (out ? O_WRONLY : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	/* nothing of it is in memory then; what a look-up has just found is kept from direct I/O */
	if (ioctl(fd, BLKFLSBUF, 0)) {
		close(fd);
		return -errno;
	}
	n = out ? pwrite(fd, image->bytes, image->len, 0) : pread(fd, image->bytes, image->len, 0);
	close(fd);
	return n == (ssize_t)image->len ? 0 : n < 0 ? -errno : -EIO;
}

static struct vol vol_on(const char *dev, const struct image *image)
{
	struct vol v = { .bs = image->bs, .isize = image->isize, .sectors = image->len / 512 };

	snprintf(v.dev, sizeof(v.dev), "%s", dev);
	return v;
}

/* What all operations find: everything is of generation 1, and synced. */
static int fill(struct vol *v)
{
	char path[512], target[128];
	int fd, err;

	err = vol_prefill("synced", 0, 16 * UNIT, 1);
	if (!err)
		err = vol_prefill("f", 0, 20 * UNIT, 1);
	/* with a hole after the first blocks, and one that only a mapping can have */
	if (!err)
		err = vol_prefill("sparse", 0, 4 * UNIT, 1);
	if (!err && truncate(vol_path("sparse"), 24 * UNIT))
		err = -errno;
	/* with all levels of pointers but the last */
	if (!err)
		err = vol_prefill("deep", 0, 16 * UNIT, 1);
	if (!err)
		err = vol_prefill("deep", 300 * UNIT, 4 * UNIT, 1);
	if (!err)
		err = vol_mkdir("d");
	if (!err)
		err = vol_mkdir("d/sub");
	if (!err)
		err = vol_mkdir("empty");
	if (!err)
		err = vol_prefill("d/a", 0, 14 * UNIT, 1);
	if (!err)
		err = vol_prefill("d/b", 0, 2 * UNIT, 1);
	if (err)
		return err;
	memset(target, 'x', 100);
	target[100] = 0;
	if (symlink(target, vol_path("long")))
		return -errno;
	/* the names take more than a block */
	for (fd = 0; fd < 40 || fd < v->bs / 160; fd++) {
		snprintf(path, sizeof(path), "d/%0200d", fd);
		if (link(vol_path("d/b"), vol_path(path)))
			return -errno;
	}
	/* a directory with room for no more, and a block of attributes that two share */
	err = vol_mkdir("full");
	for (fd = 0; fd < v->bs / 256 && !err; fd++) {
		ops_full_name(path, fd);
		err = vol_link("d/b", path);
	}
	err = err ?: vol_prefill("x", 0, UNIT, 1) ?: vol_prefill("y", 0, UNIT, 1);
	err = err ?: ops_set_value("x", OPS_SHARED) ?: ops_set_value("y", OPS_SHARED);
	if (err)
		return err;
	fd = make_pieces(v, "pieces", v->bs > PAGE ? v->bs : 4 * v->bs, v->bs > PAGE ? 2 : 4);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int make(const char *dev, struct image *image)
{
	struct vol v = vol_on(dev, image);
	int err;

	ops_unit = image->unit;
	image->bytes = buf_alloc(image->len);
	poison_fill(image->bytes, image->len);
	err = transfer(dev, true, image);
	if (!err)
		err = vol_mkfs(&v, &(struct vol_conf){ .blocks = image->len / v.bs });
	if (!err)
		err = vol_mount(&v, env_fstype(), 0, NULL);
	if (err)
		return vol_report("the volume of all operations", err);
	err = fill(&v);
	if (vol_umount_soon(&v) && !err)
		err = -EBUSY;
	if (!err)
		err = vol_fsck(&v);
	if (!err)
		err = transfer(dev, false, image);
	return vol_report("what is on the volume", err);
}

static bool is_large(unsigned int bs)
{
	return bs > PAGE;
}

static struct image image_of(unsigned int bs, unsigned int isize)
{
	return (struct image) {
		.bs = bs, .isize = isize,
		.len = is_large(bs) ? LARGE_BLOCKS * bs : 1 << 20,
		.unit = is_large(bs) ? bs / 8 : 1024,
	};
}

bool ops_can(const struct ops_sizes *sizes)
{
	/* large folios */
	return !is_large(sizes->bs) || !access("/sys/kernel/mm/transparent_hugepage", F_OK);
}

unsigned int ops_mib(const struct ops_sizes *sizes)
{
	return image_of(sizes->big, 256).len >> 20;
}

int ops_make(const char *dev, const struct ops_sizes *sizes)
{
	images[0] = image_of(sizes->bs, 128);
	images[1] = image_of(sizes->big, 256);
	return make(dev, &images[0]) ?: make(dev, &images[1]);
}

unsigned int ops_stride(const struct op *op, unsigned int usual, unsigned int *stride)
{
	const char *name = op->name;
	unsigned int sum = 0;

	*stride = env_number("FAULTS_STRIDE", 0);
	if (!*stride && is_large(images[0].bs) && !op->large)
		return 0;
	*stride = *stride ?: usual;
	while (*name)
		sum += *name++;
	return 1 + sum % *stride;
}

int round_begin(struct round *r, const struct op *op, const char *dev)
{
	const struct image *image = &images[op->big];
	static char *buf, *back;
	int err;

	if (!buf) {
		buf = buf_alloc(ROUND_MOST);
		back = buf_alloc(ROUND_MOST);
	}
	ops_unit = image->unit;
	*r = (struct round){ .v = vol_on(dev, image), .op = op, .fd = -1, .dir = -1 };
	r->buf = buf;
	r->back = back;
	pattern_fill(buf, ROUND_MEM, 0, 2);
	memset(back, UNTOUCHED, ROUND_MEM);
	err = transfer(dev, true, image);
	if (!err && !op->mounts)
		err = vol_mount(&r->v, env_fstype(), 0, NULL);
	if (!err && op->changes) {
		r->dir = open(env_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = r->dir < 0 ? -errno : 0;
	}
	if (!err && op->prepare)
		err = op->prepare(r);
	return vol_report(op->name, err);
}

void round_run(struct round *r)
{
	r->ret = r->op->run(r);
}

void round_sync(struct round *r)
{
	if (r->op->changes)
		r->synced = ops_errno(syncfs(r->dir));
}

/* The state in the superblock on the device. */
static int state(struct round *r)
{
	int fd = open(r->v.dev, O_RDONLY | O_CLOEXEC);
	uint16_t s = 0;

	if (fd < 0)
		return -errno;
	if (pread(fd, &s, sizeof(s), STATE) != sizeof(s))
		s = 0;
	close(fd);
	return s;
}

static int repair(struct vol *v)
{
	const char *const argv[] = { "e2fsck", "-f", "-y", v->dev, NULL };
	int status = run(1, argv);

	return status & ~1 ? status : vol_fsck(v);
}

/* Who looks at the device finds what that has: somebody else may have it open, so that what was cached of it stays. */
static int forget_cached(const char *dev)
{
	int fd = open(dev, O_RDONLY | O_CLOEXEC);
	int err = fd < 0 || ioctl(fd, BLKFLSBUF, 0) ? -errno : 0;

	close(fd);
	return err;
}

/* e2fsck, and if it finds anything: does the superblock say that it would? */
static const char *fsck(struct round *r)
{
	static char wrong[128];
	const char *const argv[] = { "e2fsck", "-f", "-n", r->v.dev, NULL };
	int is;

	if (!run(4, argv))
		return NULL;
	is = state(r);
	if ((is & STATE_VALID) && !(is & STATE_ERROR)) {
		vol_fsck(&r->v);
		snprintf(wrong, sizeof(wrong), "e2fsck finds what it does not look for: state %d", is);
		return wrong;
	}
	r->repaired = true;
	return repair(&r->v) ? "e2fsck cannot repair it" : NULL;
}

/* Was everybody told that all is well? Then it is, whatever e2fsck has had to repair. */
static bool is_acknowledged(const struct round *r)
{
	return r->ret >= 0 && (r->synced >= 0 || r->op->durable);
}

const char *round_end(struct round *r, int fault, bool struck)
{
	static char wrong[160];
	const char *found = NULL;

	if (r->ctx)
		aio_destroy(r->ctx);
	if (r->fd >= 0)
		close(r->fd);
	if (r->dir >= 0)
		close(r->dir);
	if (r->ret < 0 && !(struck && (-r->ret == fault || -r->ret == r->op->other))) {
		snprintf(wrong, sizeof(wrong), "it returned %ld", r->ret);
		found = wrong;
	}
	if (r->synced < 0 && !(struck && -r->synced == fault)) {
		snprintf(wrong, sizeof(wrong), "syncfs returned %ld", r->synced);
		found = wrong;
	}
	/* as far as it is mounted */
	if (!umount2(env_dir(), 0))
		r->v.mounted = false;
	else if (errno != EINVAL)
		return "it cannot be unmounted";
	if (!found && forget_cached(r->v.dev))
		found = "what is cached of the device stays";
	if (!found)
		found = fsck(r);
	if (found)
		return found;
	if (mount(r->v.dev, env_dir(), env_fstype(), MS_RDONLY, NULL))
		return "it cannot be mounted again";
	if (!vol_holds("synced", 16 * UNIT, 1))
		found = "what was synced is not there";
	if (!found && r->op->check && (!r->repaired || is_acknowledged(r)) &&
	    !(r->op->untold && struck))
		found = r->op->check(r);
	if (umount2(env_dir(), 0) && !found)
		found = "it cannot be unmounted again";
	return found;
}

const char *ops_either(struct round *r, bool old, bool new)
{
	if (old && new)
		return "both the old state and the new one are there";
	if (r->ret >= 0)
		return new ? NULL : "it has succeeded, and is not there";
	return old ? NULL : "it has failed, and something is gone or there";
}

const char *ops_mixed(struct round *r, const char *name, size_t len, unsigned int gen, bool zero)
{
	static char wrong[128], *buf;
	bool lost = r->op->buffered && (r->ret < 0 || r->synced < 0);
	const char *found = NULL;
	ssize_t n;
	size_t at;

	if (!buf)
		buf = buf_alloc(ROUND_MOST);
	n = vol_read(name, O_RDONLY, buf, ROUND_MEM, 0);
	if (n != (ssize_t)len) {
		snprintf(wrong, sizeof(wrong), "%s has %zd bytes, not %zu", name, n, len);
		found = wrong;
	}
	for (at = 0; !found && at < len; at += 512) {
		if (pattern_stamped(buf + at, at, 1) || pattern_stamped(buf + at, at, gen) ||
		    (zero && !zero_diff(buf + at, 512, at)) || lost)
			continue;
		snprintf(wrong, sizeof(wrong), "%s at %zu: %s", name, at,
			 pattern_diff(buf + at, 512, at, gen));
		found = wrong;
	}
	return found;
}
