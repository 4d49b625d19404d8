// SPDX-License-Identifier: GPL-2.0
/*
 * What O_DSYNC, O_SYNC, RWF_DSYNC and RWF_SYNC promise, for all ways and kinds of
 * direct writes: the request ends after the flush of the device, and by then the
 * device has the data and the inode it is found by.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "ext2.h"
#include "harness.h"

VOL_FIXTURE(dio_sync);
FIXTURE_VARIANT_ADD(dio_sync, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_sync, bs4k) { .conf = SMALL_4K };

/* In blocks: a file of DATA with data, and a hole of the same length. */
enum { DATA = 16, SIZE = 32, ROOM = 512 };

static const struct kind {
	const char *name;
	int pos, len;
} kinds[] = {
	{ "overwrite", 3, 5 },
	{ "overwrite over an indirect block", 10, 5 },
	{ "hole", 20, 3 },
	{ "data and hole", 14, 4 },
	{ "extend", SIZE, 4 },
	{ "data, hole and extend", 14, 22 },
	/* through a double indirect block, with blocks of 1 KiB */
	{ "extend far beyond EOF", 400, 3 },
};

/*
 * New blocks of direct writes are flushed before what leads to them: there is a flush before the
 * last one.
 */
static bool flushes_twice(const struct kind *k)
{
	return !env_is_retryfs() || k->pos + k->len > (env_async_alloc() ? DATA : SIZE);
}

struct promise {
	int flags, rwf;
	bool data, inode;	/* are on the device when it ends */
};

/* The mtime in the inode on the device. */
static time_t device_mtime(struct vol *v)
{
	time_t mtime;
	off_t size;
	int err = ext2_stat(v, "f", &size, &mtime);

	return err ? err : mtime;
}

#define OLD	1000000000	/* seconds: when all files were written */

/* "f" as it is before each request, all of it on the device; in @want too. */
static int make_file(struct vol *v, int flags, char *want)
{
	const struct timespec old[2] = { { .tv_sec = OLD }, { .tv_sec = OLD } };
	const size_t len = DATA * v->bs, size = SIZE * v->bs;
	int fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT), ret;

	if (fd < 0)
		return fd;
	memset(want, 0, ROOM * v->bs);
	pattern_fill(want, len, 0, 1);
	if (ftruncate(fd, 0) || pwrite(fd, want, len, 0) != (ssize_t)len ||
	    ftruncate(fd, size) || futimens(fd, old) || fsync(fd))
		return -EIO;
	close(fd);
	ret = vol_open("f", O_RDWR | O_DIRECT | flags);
	vol_sync();
	return ret;
}

static void one_request(struct __test_metadata *_metadata, struct vol *v, enum way how,
			const struct kind *k, const struct promise *p, char *mem, char *want)
{
	const size_t bs = v->bs, pos = k->pos * bs, len = k->len * bs;
	const size_t size = pos + len > SIZE * bs ? pos + len : SIZE * bs;
	struct way_write r = { how, make_file(v, p->flags, want), { mem, len }, pos, p->rwf };
	struct task writer;
	const char *wrong;

	ASSERT_LE(0, r.fd);
	ASSERT_EQ(OLD, device_mtime(v));
	pattern_fill(want + pos, len, pos, 2);
	memcpy(mem, want + pos, len);
	ASSERT_EQ(0, vol_hold_routed(v));
	ASSERT_EQ(0, task_start(&writer, op_way_write, &r));
	ASSERT_TRUE(task_settles(&writer, p->data ? TASK_BLOCKED : TASK_DONE));
	/* it waits for the flush alone: that finds everything there */
	if (flushes_twice(k)) {
		ASSERT_EQ(0, vol_release_routed(v));
		ASSERT_EQ(len, task_join(&writer, JOIN_SECONDS));
	}
	if (p->data) {
		wrong = ext2_differs(v, "f", want, size, mem + ROOM * bs);
		ASSERT_EQ(NULL, wrong) TH_LOG("on the device: %s", wrong);
	}
	if (p->inode)
		ASSERT_LT(OLD, device_mtime(v));
	if (!flushes_twice(k)) {
		ASSERT_EQ(0, vol_release_routed(v));
		ASSERT_EQ(len, task_join(&writer, JOIN_SECONDS));
	}
	ASSERT_EQ(size, file_size(r.fd));
	ASSERT_EQ(size, pread(r.fd, mem, ROOM * bs, 0));
	EXPECT_SAME(mem, want, size, 0);
	close(r.fd);
}

/* All kinds of writes by all ways; with large blocks some of them. */
static void all_kinds(struct __test_metadata *_metadata, struct vol *v, const struct promise *p)
{
	const size_t bs = v->bs, room = 2 * ROOM * bs;
	char *mem = buf_alloc(room), *want = buf_alloc(ROOM * bs);
	enum way how;
	int fd, nr;
	size_t k;

	nr = way_setup(mem, room);
	ASSERT_LT(0, nr);
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	close(fd);
	vol_sync();
	ASSERT_EQ(0, vol_route_flushes(v));
	for (k = 0; k < ARRAY_SIZE(kinds); k++)
		for (how = SYNC; how < nr; how++) {
			if (bs > 1024 && (k + how) % 3)
				continue;
			one_request(_metadata, v, how, &kinds[k], p, mem, want);
			ASSERT_TRUE(__test_passed(_metadata))
				TH_LOG("%s, how %d", kinds[k].name, how);
		}
}

/* Without a promise there is no flush: or this were no test. */
TEST_F(dio_sync, nothing)
{
	static const struct promise nothing = { 0, 0, false, false };

	all_kinds(_metadata, &self->v, &nothing);
}

TEST_F(dio_sync, rwf_dsync)
{
	static const struct promise rwf_dsync = { 0, RWF_DSYNC, true, false };

	all_kinds(_metadata, &self->v, &rwf_dsync);
}

TEST_F(dio_sync, rwf_sync)
{
	static const struct promise rwf_sync = { 0, RWF_SYNC, true, true };

	all_kinds(_metadata, &self->v, &rwf_sync);
}

TEST_F(dio_sync, o_dsync)
{
	static const struct promise o_dsync = { O_DSYNC, 0, true, false };

	all_kinds(_metadata, &self->v, &o_dsync);
}

TEST_F(dio_sync, o_sync)
{
	static const struct promise o_sync = { O_SYNC, 0, true, true };

	all_kinds(_metadata, &self->v, &o_sync);
}

/* A read with these flags promises nothing, and waits for no flush. */
TEST_F(dio_sync, reads_do_not_flush)
{
	const size_t bs = self->v.bs, len = SIZE * bs;
	char *mem = buf_alloc(len), *want = buf_alloc(ROOM * bs);
	enum way how;
	int fd, nr;

	nr = way_setup(mem, len);
	ASSERT_LT(0, nr);
	fd = make_file(&self->v, O_SYNC, want);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	for (how = SYNC; how < nr; how++) {
		memset(mem, UNTOUCHED, len);
		ASSERT_EQ(len, way_rw(how, false, fd, &(struct iovec){ mem, len }, 1, 0,
				      RWF_SYNC));
		EXPECT_SAME(mem, want, len, 0);
	}
	ASSERT_EQ(0, vol_release_routed(&self->v));
}

TEST_HARNESS_MAIN
