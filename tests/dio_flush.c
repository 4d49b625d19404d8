// SPDX-License-Identifier: GPL-2.0
/*
 * O_DSYNC on a device whose volatile cache cannot be written through: it is flushed when an overwrite has ended, by
 * one flush for all that have ended before it begins.
 */
#include <fcntl.h>

#include "bios.h"
#include "harness.h"
#include "nbd.h"
#include "queue.h"
#include "task.h"
#include "way.h"

#define BLOCKS	16	/* of "f" */
#define MANY	8	/* that come while the first one flushes */

FIXTURE(dio_flush) {
	struct nbd *disk;
	struct vol v;
	int fd;		/* of "f", which is on stable storage */
	char *buf;	/* of the first of which the data is of generation 2 */
};

FIXTURE_SETUP(dio_flush)
{
	self->disk = nbd_bare_up(&self->v);
	if (!self->disk && errno == ENOENT)
		SKIP(return, "a kernel without nbd");
	ASSERT_TRUE(self->disk != NULL);
	self->buf = buf_alloc(BLOCKS * self->v.bs);
	pattern_fill(self->buf, BLOCKS * self->v.bs, 0, 2);
	ASSERT_EQ(0, vol_prefill("f", 0, BLOCKS * self->v.bs, 1));
	self->fd = vol_open("f", O_RDWR | O_DIRECT | O_DSYNC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, fsync(self->fd));
}

FIXTURE_TEARDOWN(dio_flush)
{
	if (!self->disk)
		return;
	close(self->fd);
	EXPECT_EQ(0, nbd_bare_down(self->disk, &self->v));
}

/* Wait until so many more retries than @before were left to process context. */
static bool left(struct vol *v, const struct counters *before, uint64_t nr)
{
	struct timespec ms10 = { .tv_nsec = 10000000 };
	struct counters now;
	int i;

	for (i = 0; i < 6000; i++, nanosleep(&ms10, NULL))
		if (vol_counters(v, &now) || now.retries_queued - before->retries_queued == nr)
			return i < 6000;
	return false;
}

/* Wait until the only request that the disk has is the one it keeps. */
static bool kept(struct nbd *disk)
{
	struct timespec ms10 = { .tv_nsec = 10000000 };
	int i;

	for (i = 0; i < 6000 && !nbd_keeps(disk); i++)
		nanosleep(&ms10, NULL);
	return nbd_keeps(disk);
}

static int submit(struct queue *q, int fd, const char *buf, size_t bs, unsigned int i)
{
	return queue_submit(q, i, true, fd, (void *)(buf + i * bs), bs, i * bs);
}

/*
 * While the flush of the first is under way the others end: one more is for all of these, and no less, as it may be
 * that nothing of them was in the cache when the first one began. With @cached, some have got pages meanwhile, which
 * are to be dropped, and whoever reads finds what was written.
 */
static void share(struct __test_metadata *_metadata, FIXTURE_DATA(dio_flush) * self, bool cached)
{
	const size_t bs = self->v.bs;
	char *back = buf_alloc((1 + MANY) * bs);
	struct counters before;
	struct queue q = {};
	struct bios seen;
	unsigned int i, nr;
	int reader;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	reader = vol_open("f", O_RDONLY);
	ASSERT_LE(0, reader);
	ASSERT_EQ(0, queue_setup(&q, ASYNC));
	ASSERT_EQ(0, vol_counters(&self->v, &before));
	ASSERT_EQ(0, bios_watch());
	nbd_begin(self->disk, NBD_KEEP, 2);
	ASSERT_EQ(0, submit(&q, self->fd, self->buf, bs, 0));
	ASSERT_TRUE(kept(self->disk));
	for (i = 1; i <= MANY; i++)
		ASSERT_EQ(0, submit(&q, self->fd, self->buf, bs, i));
	ASSERT_TRUE(left(&self->v, &before, 1 + MANY));
	EXPECT_EQ(-EAGAIN, queue_reap(&q, false, &nr));
	if (cached)
		ASSERT_EQ(2 * bs, pread(reader, back, 2 * bs, 2 * bs));
	nbd_release(self->disk);
	for (i = 0; i <= MANY; i++)
		EXPECT_EQ(bs, queue_reap(&q, true, &nr));
	nr = nbd_end(self->disk);
	if (!cached)
		EXPECT_EQ(1 + MANY + 2, nr);
	ASSERT_EQ(0, bios_seen(&self->v, &seen));
	EXPECT_EQ(2, seen.flushes);
	EXPECT_EQ(0, seen.through);
	ASSERT_EQ((1 + MANY) * bs, pread(reader, back, (1 + MANY) * bs, 0));
	EXPECT_PATTERN(back, (1 + MANY) * bs, 0, 2);
	/* and the next one begins anew */
	ASSERT_EQ(0, bios_watch());
	ASSERT_EQ(0, submit(&q, self->fd, self->buf, bs, 0));
	EXPECT_EQ(bs, queue_reap(&q, true, &nr));
	ASSERT_EQ(0, bios_seen(&self->v, &seen));
	EXPECT_EQ(1, seen.flushes);
	ASSERT_EQ(0, queue_exit(&q));
	close(reader);
}

TEST_F(dio_flush, one_for_all)
{
	share(_metadata, self, false);
}

TEST_F(dio_flush, pages_meanwhile)
{
	share(_metadata, self, true);
}

/* A submitter that waits flushes for itself; and one whose file has changed has that written, too. */
TEST_F(dio_flush, waited_for)
{
	const size_t bs = self->v.bs;
	struct bios seen;

	ASSERT_EQ(0, bios_watch());
	EXPECT_EQ(bs, pwrite(self->fd, self->buf, bs, 0));
	ASSERT_EQ(0, bios_seen(&self->v, &seen));
	EXPECT_EQ(1, seen.flushes);
	EXPECT_EQ(0, seen.through);
	nbd_begin(self->disk, NBD_NONE, 0);
	ASSERT_EQ(0, ftruncate(self->fd, (BLOCKS - 1) * bs));
	EXPECT_EQ(bs, pwrite(self->fd, self->buf, bs, 0));
	/* the data, the inode, and more */
	EXPECT_LE(3, nbd_end(self->disk));
}

/* Who is left to the retry, and who waits, is told that the cache could not be flushed. The next one is not. */
TEST_F(dio_flush, fails)
{
	const size_t bs = self->v.bs;
	struct queue q = {};
	unsigned int nr;
	char what[64];

	ASSERT_EQ(0, queue_setup(&q, ASYNC));
	nbd_begin(self->disk, NBD_FAIL, 2);
	ASSERT_EQ(0, submit(&q, self->fd, self->buf, bs, 0));
	EXPECT_EQ(-EIO, queue_reap(&q, true, &nr));
	ASSERT_TRUE(nbd_hit(self->disk, what, sizeof(what)));
	EXPECT_NE(NULL, strstr(what, "flush")) TH_LOG("%s", what);
	ASSERT_EQ(0, submit(&q, self->fd, self->buf, bs, 0));
	EXPECT_EQ(bs, queue_reap(&q, true, &nr));
	nbd_begin(self->disk, NBD_FAIL, 2);
	EXPECT_EQ(-1, pwrite(self->fd, self->buf, bs, 0));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(bs, pwrite(self->fd, self->buf, bs, 0));
	nbd_end(self->disk);
	ASSERT_EQ(0, queue_exit(&q));
}

TEST_HARNESS_MAIN
