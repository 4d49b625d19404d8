// SPDX-License-Identifier: GPL-2.0
/*
 * Bios that were freed and are kept for the next requests: no shrinker can have that memory. So all mounts
 * share what is kept, and it does not grow with their number.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "dm.h"
#include "harness.h"
#include "put.h"

#define MOUNTS		8
#define MIBS		6
/* ALLOC_CACHE_MAX in block/bio.c: so many are kept for a processor, and one more */
#define KEPT		257
/* More than there can be for two processors: some come from the slab, which tells which one it is. */
#define REQUESTS	(2 * KEPT + 64)
/* The reserve of a mount, and what the slab itself keeps for a processor, at most. */
#define RESERVE		8
#define KEPT_BY_SLAB	128

#define LEN		(64 * KIB)
#define PIECE		(4 * KIB)

struct mounted {
	char name[32], dir[40];
	struct vol v;
	int fd;
};

FIXTURE(dio_caches) {
	struct mounted m[MOUNTS];
	int up;
	aio_context_t ctx;
	char *buf;
};

/* A part of the disk, with a volume that has a file. 0, -errno or an exit status. */
static int mounted_up(struct mounted *m, int nr)
{
	const struct vol_conf conf = VOL_4K;
	struct dm_seg seg = { .len = MIBS * MIB / 512, .type = "linear" };
	char node[32], path[64], *buf = buf_alloc(LEN);
	int err;

	snprintf(m->name, sizeof(m->name), "rfs-caches-%d", nr);
	snprintf(m->dir, sizeof(m->dir), "/mnt/rfs-caches-%d", nr);
	snprintf(seg.params, sizeof(seg.params), "%s %llu", env_dev(), nr * (MIBS * MIB / 512ULL));
	dm_remove(m->name);
	err = dm_create(m->name, node, sizeof(node));
	err = err ?: dm_load(m->name, &seg, 1) ?: dm_resume(m->name);
	if (err)
		return err;
	m->v = (struct vol){ .bs = conf.bs, .isize = conf.isize, .sectors = seg.len };
	snprintf(m->v.dev, sizeof(m->v.dev), "%s", node);
	err = vol_mkfs(&m->v, &conf);
	if (err)
		return err;
	if (mkdir(m->dir, 0700) && errno != EEXIST)
		return -errno;
	if (mount(node, m->dir, env_fstype(), MS_NOATIME, NULL))
		return -errno;
	snprintf(path, sizeof(path), "%s/f", m->dir);
	m->fd = open(path, O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	pattern_fill(buf, LEN, 0, 1);
	/* all that leads to it is in memory */
	if (m->fd < 0 || pwrite(m->fd, buf, LEN, 0) != LEN || pread(m->fd, buf, LEN, 0) != LEN)
		return -errno;
	return 0;
}

static void mounted_down(struct mounted *m)
{
	close(m->fd);
	umount2(m->dir, 0);
	rmdir(m->dir);
	dm_remove(m->name);
}

FIXTURE_SETUP(dio_caches)
{
	umount2(env_dir(), 0);
	if (access("/proc/slabinfo", R_OK) || access("/sys/kernel/slab", X_OK))
		SKIP(return, "a kernel that does not tell what is in slabs");
	self->buf = buf_alloc(LEN);
	ASSERT_EQ(0, aio_setup(REQUESTS, &self->ctx));
	for (; self->up < MOUNTS; self->up++)
		ASSERT_EQ(0, mounted_up(&self->m[self->up], self->up));
}

FIXTURE_TEARDOWN(dio_caches)
{
	int i;

	for (i = 0; i < self->up; i++)
		mounted_down(&self->m[i]);
}

/* The slabs that bios come from, by what they have in use. */
#define SLABS	32

struct slabs {
	struct slab {
		char name[32];
		long used;
	} slab[SLABS];
	int nr;
};

static int slabs_used(struct slabs *s)
{
	char line[512];
	glob_t found;
	size_t i;
	FILE *f;

	/* what is free is given back first: else it cannot be told from what is used */
	if (!glob("/sys/kernel/slab/bio-*/shrink", 0, NULL, &found)) {
		for (i = 0; i < found.gl_pathc; i++) {
			const int err = put(found.gl_pathv[i], "1");

			if (err)
				return err;
		}
		globfree(&found);
	}
	f = fopen("/proc/slabinfo", "re");
	if (!f)
		return -errno;
	s->nr = 0;
	while (s->nr < SLABS && fgets(line, sizeof(line), f)) {
		struct slab *slab = &s->slab[s->nr];

		if (!strncmp(line, "bio-", 4) && sscanf(line, "%31s %ld", slab->name, &slab->used) == 2)
			s->nr++;
	}
	fclose(f);
	return 0;
}

static long used(const struct slabs *s, const char *name)
{
	int i;

	for (i = 0; i < s->nr; i++)
		if (!strcmp(s->slab[i].name, name))
			return s->slab[i].used;
	return 0;
}

/* The slab of which most is used since @before. */
static const struct slab *grown(const struct slabs *before, const struct slabs *now)
{
	const struct slab *most = NULL;
	long most_grown = 0;
	int i;

	for (i = 0; i < now->nr; i++) {
		long n = now->slab[i].used - used(before, now->slab[i].name);

		if (n > most_grown) {
			most_grown = n;
			most = &now->slab[i];
		}
	}
	return most;
}

/* Many requests in flight on one mount: issue them, and have them end. 0 or -errno. */
static int issue(struct mounted *m, aio_context_t ctx, char *buf)
{
	static struct iocb cb[REQUESTS];
	struct iocb *cbs[REQUESTS];
	int i, n;

	for (i = 0; i < REQUESTS; i++) {
		const off_t pos = i * PIECE % LEN;

		aio_prep_read(&cb[i], m->fd, buf + pos, PIECE, pos);
		cbs[i] = &cb[i];
	}
	for (i = 0; i < REQUESTS; i += n) {
		n = aio_submit(ctx, REQUESTS - i, cbs + i);
		if (n <= 0)
			return n ?: -EAGAIN;
	}
	return 0;
}

static int reap(aio_context_t ctx)
{
	struct io_event ev[REQUESTS];
	int i, n = aio_events(ctx, REQUESTS, REQUESTS, ev, JOIN_SECONDS * 1000);

	for (i = 0; i < n; i++)
		if (ev[i].res != PIECE)
			return -EIO;
	return n == REQUESTS ? 0 : -ETIME;
}

TEST_F(dio_caches, many_mounts)
{
	const long cpus = sysconf(_SC_NPROCESSORS_CONF);
	const long most = cpus * (KEPT + KEPT_BY_SLAB) + MOUNTS * RESERVE;
	struct slabs before = {}, now = {};
	char name[32] = "";
	int i;

	if (most > MOUNTS * KEPT)
		SKIP(return, "so many processors need more mounts");
	for (i = 0; i < MOUNTS; i++) {
		struct mounted *m = &self->m[i];

		if (!i)
			ASSERT_EQ(0, slabs_used(&before));
		ASSERT_EQ(0, dm_hold(m->name));
		ASSERT_EQ(0, issue(m, self->ctx, self->buf));
		if (!i) {
			/* nothing has gone further yet, for which other bios would be needed */
			ASSERT_EQ(0, slabs_used(&now));
			ASSERT_TRUE(grown(&before, &now) != NULL);
			snprintf(name, sizeof(name), "%s", grown(&before, &now)->name);
		}
		ASSERT_EQ(0, dm_resume(m->name));
		ASSERT_EQ(0, reap(self->ctx));
		EXPECT_PATTERN(self->buf, LEN, 0, 1);
	}
	ASSERT_EQ(0, slabs_used(&now));
	TH_LOG("%s: %ld in use, %ld before the requests", name, used(&now, name), used(&before, name));
	EXPECT_GE(most, used(&now, name));
}

TEST_HARNESS_MAIN
