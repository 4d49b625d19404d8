// SPDX-License-Identifier: GPL-2.0
/* Taking things away while requests are in flight: the mount, the module, us. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "child.h"
#include "harness.h"
#include "module.h"

#define LEN	(64 * KIB)

VOL_FIXTURE(umount_busy);
FIXTURE_VARIANT_ADD(umount_busy, bs4k) { .conf = VOL_4K };

/* A request keeps its file, and so the mount, when every descriptor is closed. */
TEST_F(umount_busy, requests_in_flight)
{
	char *buf = buf_alloc(2 * LEN);
	struct iocb cb[2];
	struct io_event ev[2];
	aio_context_t ctx;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 2 * LEN, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(2, &ctx));
	pattern_fill(buf, LEN, 0, 2);
	aio_prep_write(&cb[0], fd, buf, LEN, 0);
	aio_prep_read(&cb[1], fd, buf + LEN, LEN, LEN);
	ASSERT_EQ(0, vol_hold(&self->v));
	ASSERT_EQ(0, aio_submit_one(ctx, &cb[0]));
	ASSERT_EQ(0, aio_submit_one(ctx, &cb[1]));
	close(fd);
	EXPECT_EQ(-EBUSY, vol_umount(&self->v));
	ASSERT_EQ(0, aio_events(ctx, 0, 2, ev, 0));
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(2, aio_events(ctx, 2, 2, ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(LEN, ev[0].res);
	EXPECT_EQ(LEN, ev[1].res);
	EXPECT_PATTERN(buf + LEN, LEN, LEN, 1);
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	fd = vol_open("f", O_RDONLY);
	ASSERT_EQ(LEN, pread(fd, buf, LEN, 0));
	EXPECT_PATTERN(buf, LEN, 0, 2);
}

/* An overwrite with generation 2 of all of "f", held; the open file. */
static int write_in_flight(struct __test_metadata *_metadata, struct vol *v, aio_context_t *ctx,
			   struct iocb *cb, char *buf)
{
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, LEN, 1)) return -1;
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd) return -1;
	ASSERT_EQ(0, aio_setup(1, ctx)) return -1;
	pattern_fill(buf, LEN, 0, 2);
	aio_prep_write(cb, fd, buf, LEN, 0);
	ASSERT_EQ(0, vol_hold(v)) return -1;
	ASSERT_EQ(0, aio_submit_one(*ctx, cb)) return -1;
	return fd;
}

/* Unmounted lazily: the volume goes when the last request does, and cleanly. */
TEST_F(umount_busy, lazily)
{
	char *buf = buf_alloc(LEN);
	struct io_event ev;
	aio_context_t ctx;
	struct iocb cb;
	int fd;

	fd = write_in_flight(_metadata, &self->v, &ctx, &cb, buf);
	close(fd);
	ASSERT_EQ(0, umount2(env_dir(), MNT_DETACH));
	self->v.mounted = false;
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	if (env_is_retryfs())
		EXPECT_EQ(-EWOULDBLOCK, module_remove(env_fstype()));
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(LEN, ev.res);
	ASSERT_EQ(0, vol_wait_closed(&self->v));
	ASSERT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	fd = vol_open("f", O_RDONLY);
	ASSERT_EQ(LEN, pread(fd, buf, LEN, 0));
	EXPECT_PATTERN(buf, LEN, 0, 2);
}

/* A write and a read, of the halves of this memory. */
static int submit_both(void *buf)
{
	aio_context_t ctx = 0;
	struct iocb cb[2];
	int fd = vol_open("f", O_RDWR | O_DIRECT);

	pattern_fill(buf, LEN, 0, 2);
	aio_prep_write(&cb[0], fd, buf, LEN, 0);
	aio_prep_read(&cb[1], fd, buf + LEN, LEN, LEN);
	return aio_setup(2, &ctx) || aio_submit_one(ctx, &cb[0]) || aio_submit_one(ctx, &cb[1]);
}

/* The process is killed: its requests end before its memory and files go. */
TEST_F(umount_busy, process_killed)
{
	char *buf = buf_alloc(2 * LEN);
	pid_t pid;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 2 * LEN, 1));
	sync();
	ASSERT_EQ(0, vol_hold(&self->v));
	pid = child_start(submit_both, buf);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-EBUSY, vol_umount(&self->v));
	ASSERT_EQ(0, vol_release(&self->v));
	EXPECT_TRUE(child_was_killed(pid));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	fd = vol_open("f", O_RDONLY);
	ASSERT_EQ(2 * LEN, pread(fd, buf, 2 * LEN, 0));
	EXPECT_PATTERN(buf, LEN, 0, 2);
	EXPECT_PATTERN(buf + LEN, LEN, LEN, 1);
}

/* The context is destroyed: that waits for the requests. */
static long op_destroy(void *arg)
{
	return aio_destroy(*(aio_context_t *)arg);
}

TEST_F(umount_busy, context_destroyed)
{
	char *buf = buf_alloc(LEN);
	struct task destroy;
	aio_context_t ctx;
	struct iocb cb;
	int fd;

	fd = write_in_flight(_metadata, &self->v, &ctx, &cb, buf);
	ASSERT_EQ(0, task_start(&destroy, op_destroy, &ctx));
	EXPECT_EQ(TASK_BLOCKED, task_settle(&destroy));
	ASSERT_EQ(0, vol_release(&self->v));
	EXPECT_EQ(0, task_join(&destroy, JOIN_SECONDS));
	memset(buf, 0x77, LEN);
	ASSERT_EQ(LEN, pread(fd, buf, LEN, 0));
	EXPECT_PATTERN(buf, LEN, 0, 2);
}

TEST_F(umount_busy, module)
{
	int round;

	if (!env_is_retryfs() || !env_module())
		SKIP(return, "RETRYFS_KO does not name a module to load again");
	for (round = 0; round < 3; round++) {
		EXPECT_EQ(-EWOULDBLOCK, module_remove(env_fstype()));
		ASSERT_EQ(0, vol_prefill("f", 0, LEN, round));
		ASSERT_EQ(0, vol_umount(&self->v));
		ASSERT_EQ(0, module_remove(env_fstype()));
		EXPECT_EQ(-ENODEV, vol_mount(&self->v, env_fstype(), 0, NULL));
		EXPECT_NE(0, access("/sys/fs/retryfs", F_OK));
		ASSERT_EQ(0, module_insert(env_module()));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	}
}

TEST_HARNESS_MAIN
