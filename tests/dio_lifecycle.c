// SPDX-License-Identifier: GPL-2.0
/*
 * Requests in flight while something happens to what they stand on: the mount is
 * frozen or made read-only, the file loses its last descriptor or its name. Only
 * the sectors of the file are held, so that what blocks does so for the request,
 * and not because the filesystem itself waits for the device.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "blocks.h"
#include "harness.h"
#include "queue.h"

#define LEN	(32 * KIB)

VOL_FIXTURE(dio_lifecycle);
FIXTURE_VARIANT_ADD(dio_lifecycle, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_lifecycle, bs4k) { .conf = SMALL_4K };

enum { BY_IOCTL, BY_DEVICE };

struct freezer {
	struct vol *v;
	int dir;
	int how;
};

static long freeze(void *arg)
{
	struct freezer *f = arg;

	if (f->how == BY_DEVICE)
		return vol_freeze(f->v);
	return op_freeze(&f->dir);
}

static int thaw(struct freezer *f)
{
	if (f->how == BY_DEVICE)
		return vol_release(f->v);
	return ioctl(f->dir, FITHAW, 0) ? -errno : 0;
}

/*
 * A freeze waits for a write that is in flight, and keeps out those that come
 * then. From the first freeze to the last thaw nothing is asserted: what is
 * frozen cannot be cleared away.
 */
static void freeze_and_thaw(struct __test_metadata *_metadata, struct vol *v, int how)
{
	struct freezer f = { .v = v, .how = how };
	char *buf = buf_alloc(5 * LEN), *back = buf_alloc(6 * LEN);
	struct iocb held, late, *one = &late;
	struct task freezing, writer, extender;
	struct submit_op sub = { .nr = 1, .iocbs = &one };
	struct io_event ev[2];
	struct io_op ext;
	int fd;

	ASSERT_EQ(0, make_held(v, "f", 4 * LEN, LEN, HELD_ALL));
	f.dir = open(env_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, f.dir);
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(2, &sub.ctx));
	ASSERT_EQ(0, freeze(&f)) TH_LOG("freezing: %s", strerror(errno));
	ASSERT_EQ(0, thaw(&f));

	pattern_fill(buf, LEN, 0, 2);
	aio_prep_write(&held, fd, buf, LEN, 0);
	ASSERT_EQ(0, vol_hold_routed(v));
	ASSERT_EQ(0, aio_submit_one(sub.ctx, &held));
	ASSERT_EQ(0, task_start(&freezing, freeze, &f));
	EXPECT_TRUE(task_settles(&freezing, TASK_BLOCKED));
	/* asynchronous, and not to what is held: nothing but the freeze can block it */
	pattern_fill(buf + 2 * LEN, LEN, 2 * LEN, 2);
	aio_prep_write(&late, fd, buf + 2 * LEN, LEN, 2 * LEN);
	EXPECT_EQ(0, task_start(&writer, op_submit, &sub));
	EXPECT_TRUE(task_settles(&writer, TASK_BLOCKED));
	EXPECT_EQ(0, aio_events(sub.ctx, 0, 2, ev, 0));
	EXPECT_EQ(0, vol_release_routed(v));
	EXPECT_EQ(0, task_join(&freezing, JOIN_SECONDS));
	/* the request ended before the freeze did, so that its event is there */
	EXPECT_EQ(1, aio_events(sub.ctx, 0, 2, ev, 0));
	EXPECT_EQ(&held, (void *)(uintptr_t)ev[0].obj);
	EXPECT_EQ(LEN, ev[0].res);

	pattern_fill(buf + 4 * LEN, LEN, 4 * LEN, 2);
	ext = (struct io_op){ fd, buf + 4 * LEN, LEN, 4 * LEN };
	EXPECT_EQ(0, task_start(&extender, op_pwrite, &ext));
	EXPECT_TRUE(task_settles(&extender, TASK_BLOCKED));
	EXPECT_TRUE(task_settles(&writer, TASK_BLOCKED));
	if (how == BY_IOCTL) {
		struct iocb rd;

		EXPECT_EQ(2 * LEN, pread(fd, back, 2 * LEN, 0));
		EXPECT_PATTERN(back, LEN, 0, 2);
		aio_prep_read(&rd, fd, back + 2 * LEN, 4 * LEN, 2 * LEN);
		EXPECT_EQ(2 * LEN, aio_do(&rd));
		EXPECT_PATTERN(back + LEN, 3 * LEN, LEN, 1);
		/* what the device has now is a volume that could be copied */
		EXPECT_EQ(0, vol_fsck(v));
	}
	EXPECT_EQ(0, thaw(&f));
	EXPECT_EQ(1, task_join(&writer, JOIN_SECONDS));
	EXPECT_EQ(LEN, task_join(&extender, JOIN_SECONDS));
	ASSERT_EQ(1, aio_events(sub.ctx, 1, 2, ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(&late, (void *)(uintptr_t)ev[0].obj);
	EXPECT_EQ(LEN, ev[0].res);
	ASSERT_EQ(5 * LEN, pread(fd, back, 6 * LEN, 0));
	EXPECT_PATTERN(back, LEN, 0, 2);
	EXPECT_PATTERN(back + LEN, LEN, LEN, 1);
	EXPECT_PATTERN(back + 2 * LEN, LEN, 2 * LEN, 2);
	EXPECT_PATTERN(back + 3 * LEN, LEN, 3 * LEN, 1);
	EXPECT_PATTERN(back + 4 * LEN, LEN, 4 * LEN, 2);
}

TEST_F(dio_lifecycle, freeze_waits_for_a_write)
{
	freeze_and_thaw(_metadata, &self->v, BY_IOCTL);
}

TEST_F(dio_lifecycle, device_freeze_waits_for_a_write)
{
	freeze_and_thaw(_metadata, &self->v, BY_DEVICE);
}

/* A read changes nothing: it does not keep the filesystem from being frozen. */
TEST_F(dio_lifecycle, freeze_passes_a_read)
{
	struct freezer f = { .v = &self->v, .how = BY_IOCTL };
	char *buf = buf_alloc(LEN);
	struct task freezing;
	struct io_event ev;
	aio_context_t ctx;
	struct iocb cb;
	int fd;

	ASSERT_EQ(0, make_held(&self->v, "f", LEN, LEN, HELD_READS));
	f.dir = open(env_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, f.dir);
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, freeze(&f)) TH_LOG("freezing: %s", strerror(errno));
	ASSERT_EQ(0, thaw(&f));
	aio_prep_read(&cb, fd, buf, LEN, 0);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	ASSERT_EQ(0, task_start(&freezing, freeze, &f));
	EXPECT_EQ(0, task_join(&freezing, JOIN_SECONDS));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	/* and it ends while that is frozen */
	EXPECT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(LEN, ev.res);
	EXPECT_PATTERN(buf, LEN, 0, 1);
	EXPECT_EQ(0, thaw(&f));
}

/* Would a copy of the device be a clean volume? */
static int looks_clean(struct vol *v)
{
	unsigned char sector[512];
	int err = vol_read_sector(v, 2, sector);

	/* s_state of the superblock */
	return err ? err : sector[0x3a] & 1;
}

/* An inode that is unlinked but open would have to be freed in a copy: not clean. */
static void frozen_without_a_name(struct __test_metadata *_metadata, struct vol *v, bool unnamed)
{
	struct freezer f = { .v = v, .how = BY_IOCTL };
	int fd, with, without;

	ASSERT_EQ(0, vol_prefill("f", 0, LEN, 1));
	f.dir = open(env_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, f.dir);
	fd = unnamed ? open(env_dir(), O_TMPFILE | O_RDWR, 0600) : vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, unlinkat(f.dir, "f", 0));
	ASSERT_EQ(0, freeze(&f)) TH_LOG("freezing: %s", strerror(errno));
	with = looks_clean(v);
	EXPECT_EQ(0, thaw(&f));
	close(fd);
	ASSERT_EQ(0, freeze(&f)) TH_LOG("freezing: %s", strerror(errno));
	without = looks_clean(v);
	EXPECT_EQ(0, thaw(&f));
	EXPECT_EQ(0, with);
	EXPECT_EQ(1, without);
	EXPECT_EQ(0, looks_clean(v));
}

TEST_F(dio_lifecycle, frozen_without_a_name)
{
	frozen_without_a_name(_metadata, &self->v, false);
}

TEST_F(dio_lifecycle, frozen_with_a_tmpfile)
{
	frozen_without_a_name(_metadata, &self->v, true);
}

/* The descriptor is closed: it is the request that still writes to the file. */
TEST_F(dio_lifecycle, read_only_with_a_write)
{
	char *buf = buf_alloc(LEN), *back = buf_alloc(2 * LEN);
	struct io_event ev;
	aio_context_t ctx;
	struct iocb cb;
	int fd;

	ASSERT_EQ(0, make_held(&self->v, "f", 2 * LEN, LEN, HELD_ALL));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	pattern_fill(buf, LEN, 0, 2);
	aio_prep_write(&cb, fd, buf, LEN, 0);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	EXPECT_EQ(-EBUSY, vol_read_only());
	close(fd);
	EXPECT_EQ(-EBUSY, vol_read_only());
	/* what was refused has left no trace */
	fd = vol_open("g", O_CREAT | O_RDWR);
	EXPECT_EQ(LEN, write(fd, back, LEN));
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(LEN, ev.res);
	/* the event has come, the last reference to the file is still being dropped */
	ASSERT_EQ(0, vol_read_only_soon());
	EXPECT_EQ(0, vol_fsck(&self->v));
	EXPECT_EQ(-EROFS, vol_open("f", O_RDWR | O_DIRECT));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(2 * LEN, pread(fd, back, 2 * LEN, 0));
	EXPECT_PATTERN(back, LEN, 0, 2);
	EXPECT_PATTERN(back + LEN, LEN, LEN, 1);
	ASSERT_EQ(0, vol_read_write());
}

TEST_F(dio_lifecycle, read_only_with_a_read)
{
	char *buf = buf_alloc(2 * LEN), *back = buf_alloc(2 * LEN);
	struct iocb rd, wr;
	struct io_event ev;
	aio_context_t ctx;
	int fd;

	ASSERT_EQ(0, make_held(&self->v, "f", 2 * LEN, LEN, HELD_READS));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	aio_prep_read(&rd, fd, back, LEN, 0);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, aio_submit_one(ctx, &rd));
	ASSERT_EQ(0, vol_read_only());
	EXPECT_EQ(-EROFS, vol_open("f", O_RDWR | O_DIRECT));
	ASSERT_EQ(LEN, pread(fd, buf, LEN, LEN));
	EXPECT_PATTERN(buf, LEN, LEN, 1);
	/* and back, with the same read still in flight, and writes beside it */
	ASSERT_EQ(0, vol_read_write());
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 2 * LEN, LEN, 2);
	aio_prep_write(&wr, fd, buf, LEN, LEN);
	EXPECT_EQ(LEN, aio_do(&wr));
	aio_prep_write(&wr, fd, buf + LEN, LEN, 2 * LEN);
	EXPECT_EQ(LEN, aio_do(&wr));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(LEN, ev.res);
	EXPECT_PATTERN(back, LEN, 0, 1);
	ASSERT_EQ(2 * LEN, pread(fd, back, 2 * LEN, LEN));
	EXPECT_PATTERN(back, 2 * LEN, LEN, 2);
}

/* The last descriptor is closed: only the two requests have the file. */
static void last_close(struct __test_metadata *_metadata, struct vol *v, enum way how)
{
	char *buf = buf_alloc(2 * LEN);
	struct counters c = {};
	unsigned int i, j;
	struct queue q;
	int fd;

	ASSERT_EQ(0, make_held(v, "f", 2 * LEN, 2 * LEN, HELD_ALL));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, queue_setup(&q, how));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(v, &c));
	pattern_fill(buf, LEN, 0, 2);
	ASSERT_EQ(0, vol_hold_routed(v));
	ASSERT_EQ(0, queue_submit(&q, 0, true, fd, buf, LEN, 0));
	ASSERT_EQ(0, queue_submit(&q, 1, false, fd, buf + LEN, LEN, LEN));
	ASSERT_TRUE(queue_issued(v, &c, 2));
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(-EBUSY, vol_umount(v));
	ASSERT_EQ(-EAGAIN, queue_reap(&q, false, &i));
	ASSERT_EQ(0, vol_release_routed(v));
	ASSERT_EQ(LEN, queue_reap(&q, true, &i));
	ASSERT_EQ(LEN, queue_reap(&q, true, &j));
	EXPECT_EQ(1, i + j);
	EXPECT_PATTERN(buf + LEN, LEN, LEN, 1);
	ASSERT_EQ(0, vol_umount_soon(v));
	ASSERT_EQ(0, vol_mount(v, env_fstype(), 0, NULL));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_EQ(2 * LEN, pread(fd, buf, 2 * LEN, 0));
	EXPECT_PATTERN(buf, LEN, 0, 2);
	EXPECT_PATTERN(buf + LEN, LEN, LEN, 1);
}

TEST_F(dio_lifecycle, last_close_libaio)
{
	last_close(_metadata, &self->v, ASYNC);
}

TEST_F(dio_lifecycle, last_close_io_uring)
{
	if (!queue_possible(URING))
		SKIP(return, "a kernel without io_uring");
	last_close(_metadata, &self->v, URING);
}

struct grower {
	int fd;
	char *buf;
	off_t size;
};

/* Direct writes until no block is left. */
static long op_grow(void *arg)
{
	struct grower *g = arg;
	ssize_t n;

	do {
		pattern_fill(g->buf, MIB, g->size, 3);
		n = pwrite(g->fd, g->buf, MIB, g->size);
		if (n > 0)
			g->size += n;
	} while (n > 0);
	return -errno;
}

/* Unlinked and closed, its blocks are still those of the request, and not reused. */
static void unlinked(struct __test_metadata *_metadata, struct vol *v, enum way how)
{
	char *buf = buf_alloc(2 * LEN), *back = buf_alloc(MIB);
	struct grower g = { .buf = buf_alloc(MIB) };
	struct timespec ms10 = { .tv_nsec = 10000000 };
	struct counters c = {};
	long none, with, full;
	struct task grow;
	struct queue q;
	unsigned int i;
	off_t pos;
	int fd;

	g.fd = vol_open("g", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, g.fd);
	none = free_blocks();
	ASSERT_EQ(0, make_held(v, "f", LEN, LEN, HELD_ALL));
	with = free_blocks();
	ASSERT_LE(LEN / v->bs, none - with);
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, queue_setup(&q, how));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(v, &c));
	pattern_fill(buf, LEN, 0, 2);
	ASSERT_EQ(0, vol_hold_routed(v));
	ASSERT_EQ(0, queue_submit(&q, 0, true, fd, buf, LEN, 0));
	ASSERT_TRUE(queue_issued(v, &c, 1));
	ASSERT_EQ(0, unlink(vol_path("f")));
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(with, free_blocks());
	/* the other file takes all that can be had, and is not held up by it */
	ASSERT_EQ(0, task_start(&grow, op_grow, &g));
	ASSERT_EQ(-ENOSPC, task_join(&grow, JOIN_SECONDS));
	full = free_blocks();
	/* others keep some back for themselves */
	if (env_is_retryfs())
		EXPECT_GT(LEN / v->bs, full);
	ASSERT_EQ(-EAGAIN, queue_reap(&q, false, &i));
	ASSERT_EQ(0, vol_release_routed(v));
	ASSERT_EQ(LEN, queue_reap(&q, true, &i));
	/* the last one to hold a deleted file is a thread of the kernel: it frees it soon */
	for (i = 0; i < 1000 && free_blocks() != full + none - with; i++)
		nanosleep(&ms10, NULL);
	EXPECT_EQ(full + none - with, free_blocks());

	close(g.fd);
	ASSERT_EQ(0, vol_umount_soon(v));
	ASSERT_EQ(0, vol_mount(v, env_fstype(), 0, NULL));
	EXPECT_EQ(-ENOENT, vol_open("f", O_RDONLY));
	g.fd = vol_open("g", O_RDONLY | O_DIRECT);
	for (pos = 0; pos < g.size; pos += MIB) {
		size_t len = g.size - pos < MIB ? g.size - pos : MIB;

		ASSERT_EQ(len, pread(g.fd, back, MIB, pos));
		ASSERT_PATTERN(back, len, pos, 3);
	}
	close(g.fd);
	ASSERT_EQ(0, unlink(vol_path("g")));
	EXPECT_EQ(none, free_blocks());
}

TEST_F(dio_lifecycle, unlinked_libaio)
{
	unlinked(_metadata, &self->v, ASYNC);
}

TEST_F(dio_lifecycle, unlinked_io_uring)
{
	if (!queue_possible(URING))
		SKIP(return, "a kernel without io_uring");
	unlinked(_metadata, &self->v, URING);
}

TEST_HARNESS_MAIN
