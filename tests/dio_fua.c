// SPDX-License-Identifier: GPL-2.0
/*
 * O_DSYNC without a flush: an overwrite of what is found after a loss of power writes its
 * data through the cache of the device. All else is flushed.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "bios.h"
#include "blocks.h"
#include "disk.h"
#include "ext2.h"
#include "harness.h"
#include "powerloss.h"
#include "trace.h"

FIXTURE(dio_fua) {
	struct disk d;
	struct vol v;
};

FIXTURE_SETUP(dio_fua)
{
	const struct vol_conf conf = SMALL_1K;
	int err = disk_up(&self->d, NULL_BLK_CACHE, 512, 16);

	if (err == -ENOENT)
		SKIP(return, "no such disk");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, disk_route_up(&self->d, &self->v, &conf));
}

FIXTURE_TEARDOWN(dio_fua)
{
	EXPECT_EQ(0, disk_route_down(&self->v));
	EXPECT_EQ(0, disk_down(&self->d));
}

#define BLOCKS	32	/* of "f": also below a block of pointers */

/* "f" is synced, and open for direct I/O. */
static int make(struct vol *v)
{
	int err = vol_prefill("f", 0, BLOCKS * v->bs, 1);

	return err ?: vol_open("f", O_RDWR | O_DIRECT);
}

/* One write of @len bytes, and what came to the device. */
static int traced(struct vol *v, enum way how, int fd, void *buf, size_t len, off_t pos, int rwf,
		  struct bios *s)
{
	struct iovec iov = { buf, len };
	int err = bios_watch();
	ssize_t n;

	if (err)
		return err;
	n = way_rw(how, true, fd, &iov, 1, pos, rwf);
	err = bios_seen(v, s);
	if (err || n < 0)
		return err ?: n;
	return n == (ssize_t)len ? 0 : -EIO;
}

TEST_F(dio_fua, overwrites)
{
	const size_t bs = self->v.bs, len = BLOCKS * bs;
	char *mem = buf_alloc(len), *want = buf_alloc(len), *back = buf_alloc(len);
	struct counters c0 = {}, c1 = {};
	const char *wrong;
	struct bios s;
	long flushed;
	int fd, nr;
	enum way how;

	nr = way_setup(mem, len);
	ASSERT_LT(0, nr);
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	pattern_fill(want, len, 0, 1);
	for (how = SYNC; how < nr; how++) {
		const off_t pos = (10 + how) * bs;

		pattern_fill(want + pos, 4 * bs, pos, 2 + how);
		memcpy(mem, want + pos, 4 * bs);
		flushed = disk_flushes();
		if (env_is_retryfs())
			ASSERT_EQ(0, vol_counters(&self->v, &c0));
		ASSERT_EQ(0, traced(&self->v, how, fd, mem, 4 * bs, pos, RWF_DSYNC, &s));
		EXPECT_LE(1, s.through) TH_LOG("way %d", how);
		EXPECT_EQ(0, s.flushes) TH_LOG("way %d", how);
		EXPECT_EQ(flushed, disk_flushes());
		wrong = ext2_differs(&self->v, "f", want, len, back);
		EXPECT_EQ(NULL, wrong) TH_LOG("way %d: %s", how, wrong);
		if (env_is_retryfs())
			ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.retries_queued, c1.retries_queued);
	}
	/* the times, too */
	ASSERT_EQ(0, traced(&self->v, SYNC, fd, mem, bs, 0, RWF_SYNC, &s));
	EXPECT_EQ(0, s.through);
	EXPECT_LE(1, s.flushes);
	/* by an asynchronous one after that, which still is as it was */
	ASSERT_EQ(0, traced(&self->v, ASYNC, fd, mem, bs, 0, RWF_DSYNC, &s));
	EXPECT_EQ(1, s.through);
	EXPECT_EQ(0, s.flushes);
}

TEST_F(dio_fua, without_being_asked)
{
	char *mem = buf_alloc(self->v.bs);
	struct bios s;
	int fd = make(&self->v);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, traced(&self->v, SYNC, fd, mem, self->v.bs, 0, 0, &s));
	EXPECT_EQ(0, s.through);
	EXPECT_EQ(0, s.flushes);
}

/* Each of several bios. */
TEST_F(dio_fua, several_bios)
{
	enum { PIECES = 5 };
	const size_t piece = 4 * self->v.bs, len = PIECES * piece;
	char *mem = buf_alloc(len), *back = buf_alloc(len);
	struct bios s;
	int fd;

	fd = make_pieces(&self->v, "p", piece, PIECES);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	pattern_fill(mem, len, 0, 2);
	ASSERT_EQ(0, traced(&self->v, ASYNC, fd, mem, len, 0, RWF_DSYNC, &s));
	EXPECT_EQ(PIECES, s.through);
	EXPECT_EQ(0, s.flushes);
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
}

static int append(struct vol *v, ssize_t len)
{
	char *buf = buf_alloc(v->bs);
	int fd = vol_open("f", O_WRONLY | O_APPEND);
	int err = write(fd, buf, len) == len ? 0 : -EIO;

	close(fd);
	return err;
}

static int append_buffered(struct vol *v)
{
	return append(v, v->bs);
}

static int append_some(struct vol *v)
{
	return append(v, 100);
}

static int write_direct(struct vol *v, off_t pos)
{
	char *buf = buf_alloc(v->bs);
	int fd = vol_open("f", O_WRONLY | O_DIRECT);
	int err = pwrite(fd, buf, v->bs, pos) == v->bs ? 0 : -EIO;

	close(fd);
	return err;
}

static int append_direct(struct vol *v)
{
	struct stat st;

	return stat(vol_path("f"), &st) ? -errno : write_direct(v, st.st_size);
}

static int cut(struct vol *v)
{
	return truncate(vol_path("f"), (BLOCKS + 4) * v->bs) ? -errno : 0;
}

static int make_hole(struct vol *v)
{
	return truncate(vol_path("f"), (BLOCKS + 64) * v->bs) ? -errno : 0;
}

static int fill_hole(struct vol *v)
{
	return write_direct(v, (BLOCKS + 20) * v->bs);
}

static int fill_hole_buffered(struct vol *v)
{
	char *buf = buf_alloc(v->bs);
	int fd = vol_open("f", O_WRONLY);
	int err = pwrite(fd, buf, v->bs, (BLOCKS + 40) * v->bs) == v->bs ? 0 : -EIO;

	close(fd);
	return err;
}

static int link_it(struct vol *v)
{
	return vol_link("f", "g");
}

static int rename_it(struct vol *v)
{
	return vol_rename("f", "h", 0) ?: vol_rename("h", "f", 0);
}

static int read_it_anew(struct vol *v)
{
	return vol_remount(v);
}

static const struct {
	const char *name;
	int (*make)(struct vol *v);
} changes[] = {
	{ "buffered append", append_buffered },
	{ "direct append", append_direct },
	{ "hole", make_hole },
	{ "hole that is filled", fill_hole },
	{ "hole that is filled by the page cache", fill_hole_buffered },
	{ "truncate", cut },
	{ "begin of a block that is appended", append_some },
	{ "what is in no new block", append_some },
	{ "link", link_it },
	{ "rename", rename_it },
	{ "inode that was read", read_it_anew },
};

/* Whatever has changed, the next one flushes it; and then there is nothing to flush again. */
TEST_F(dio_fua, what_has_changed_is_flushed_once)
{
	const size_t bs = self->v.bs;
	char *mem = buf_alloc(bs);
	struct bios s;
	size_t i;
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "others take what is clean for what is on stable storage");
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	close(fd);
	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		ASSERT_EQ(0, changes[i].make(&self->v)) TH_LOG("%s", changes[i].name);
		fd = vol_open("f", O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, traced(&self->v, SYNC, fd, mem, bs, 0, RWF_DSYNC, &s));
		EXPECT_EQ(0, s.through) TH_LOG("%s", changes[i].name);
		EXPECT_LE(1, s.flushes) TH_LOG("%s", changes[i].name);
		ASSERT_EQ(0, traced(&self->v, SYNC, fd, mem, bs, 0, RWF_DSYNC, &s));
		EXPECT_EQ(1, s.through) TH_LOG("%s", changes[i].name);
		EXPECT_EQ(0, s.flushes) TH_LOG("%s", changes[i].name);
		close(fd);
	}
}

/* What extends the file, or fills a hole, is flushed. */
TEST_F(dio_fua, other_writes)
{
	const size_t bs = self->v.bs;
	char *mem = buf_alloc(2 * bs);
	struct bios s;
	int fd = make(&self->v);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 2 * BLOCKS * bs));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, traced(&self->v, SYNC, fd, mem, 2 * bs, (BLOCKS - 1) * bs, RWF_DSYNC, &s));
	EXPECT_EQ(0, s.through);
	EXPECT_LE(1, s.flushes);
	ASSERT_EQ(0, traced(&self->v, SYNC, fd, mem, 2 * bs, 2 * BLOCKS * bs, RWF_DSYNC, &s));
	EXPECT_EQ(0, s.through);
	EXPECT_LE(1, s.flushes);
}

/*
 * The inode and its buffers are clean, and on the device, and an fsync of them is still waiting
 * for the flush: until then the file may have its old end after a loss of power.
 */
TEST_F(dio_fua, fsync_that_has_not_ended)
{
	const size_t bs = self->v.bs, end = BLOCKS * bs;
	char *mem = buf_alloc(bs);
	struct task syncing, writer;
	struct way_write r;
	struct bios s;
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "others take what is clean for what is on stable storage");
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, append_buffered(&self->v));
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&syncing, op_fsync, &(struct io_op){ .fd = fd }));
	ASSERT_BLOCKED(&syncing);
	r = (struct way_write){ SYNC, fd, { mem, bs }, end, RWF_DSYNC };
	ASSERT_EQ(0, task_start(&writer, op_way_write, &r));
	EXPECT_BLOCKED(&writer);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	EXPECT_EQ(bs, task_join(&writer, JOIN_SECONDS));
	ASSERT_EQ(0, traced(&self->v, SYNC, fd, mem, bs, end, RWF_DSYNC, &s));
	EXPECT_EQ(1, s.through);
	EXPECT_EQ(0, s.flushes);
}

/* An fsync that fails leaves nothing that would be taken for durable. */
TEST_F(dio_fua, fsync_that_fails)
{
	const size_t bs = self->v.bs;
	char *mem = buf_alloc(bs);
	struct vol_map map;
	struct bios s;
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "others take what is clean for what is on stable storage");
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_mkdir("d"));
	vol_sync();
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &map));
	ASSERT_EQ(0, vol_link("f", "d/f"));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, traced(&self->v, SYNC, fd, mem, bs, 0, RWF_DSYNC, &s));
	EXPECT_EQ(0, s.through);
	EXPECT_LE(1, s.flushes);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("d/f"));
}

/* A device without a volatile cache is neither flushed nor asked to write through. */
TEST_F(dio_fua, no_volatile_cache)
{
	const size_t bs = self->v.bs;
	char *mem = buf_alloc(bs), path[64];
	struct counters c0 = {}, c1 = {};
	struct bios s;
	int fd, cache;

	ASSERT_LT(0, way_setup(mem, bs));
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/sys/block/%s/queue/write_cache",
		 strrchr(self->v.dev, '/') + 1);
	cache = open(path, O_WRONLY);
	ASSERT_LE(0, cache);
	ASSERT_LT(0, write(cache, "write through", 13));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, traced(&self->v, ASYNC, fd, mem, bs, 0, RWF_DSYNC, &s));
	EXPECT_EQ(0, s.through);
	EXPECT_EQ(0, s.flushes);
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.retries_queued, c1.retries_queued);
	ASSERT_LT(0, write(cache, "write back", 10));
	close(cache);
}

/* A request that must not wait is done if it has no flush to wait for. */
TEST_F(dio_fua, nowait)
{
	const size_t bs = self->v.bs;
	char *mem = buf_alloc(bs);
	struct iovec iov = { mem, bs };
	struct counters c0;
	int fd, nr;
	enum way how;

	nr = way_setup(mem, bs);
	ASSERT_LT(0, nr);
	fd = make(&self->v);
	ASSERT_LE(0, fd);
	/* of which the page cache has nothing */
	ASSERT_EQ(bs, pwrite(fd, mem, bs, 0));
	for (how = SYNC; how < nr; how++)
		EXPECT_EQ(bs, way_rw(how, true, fd, &iov, 1, 0, RWF_DSYNC | RWF_NOWAIT));
	if (!env_is_retryfs())
		return;
	ASSERT_EQ(0, append_buffered(&self->v));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(-EAGAIN, way_rw(SYNC, true, fd, &iov, 1, 0, RWF_DSYNC | RWF_NOWAIT));
	EXPECT_NULL_DIFF(vol_again_differs(&self->v, &c0, AGAIN_SYNC, 1));
}

TEST_HARNESS_MAIN
