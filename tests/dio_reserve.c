// SPDX-License-Identifier: GPL-2.0
/*
 * The slabs of bios and dios have no memory for anybody, for as long as it takes. Each
 * mempool has a few in reserve, and requests of all kinds go on with these, one after
 * the other; but not those that must not wait.
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include "blocks.h"
#include "ext2.h"
#include "faults.h"
#include "harness.h"
#include "queue.h"

/* As many as a mempool of the mount has: src/dio/mount.rs. */
#define RESERVE	4

FIXTURE(dio_reserve) {
	struct vol v;
};

FIXTURE_SETUP(dio_reserve)
{
	/* what a case that was killed may have left */
	int err = faults_refuse_bios(false);

	if (err == -ENOENT)
		SKIP(return, "a kernel without /sys/kernel/slab/bio-*/failslab");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, vol_up(&self->v, &SMALL_1K));
}

FIXTURE_TEARDOWN(dio_reserve)
{
	/* whoever waits goes on within the five seconds after which a mempool looks again */
	faults_refuse_bios(false);
	EXPECT_EQ(0, vol_down(&self->v));
}

/*
 * Of so many pages that neither a dio nor a further bio comes from the caches for each processor,
 * which have those of four pages or less, and which no fault injection empties.
 */
#define LEN	(32 * KIB)

/* Longer than what is done without the worker. */
#define LONG	(96 * KIB)

/*
 * Readers wait for the lock that a writer has. If they had all dios meanwhile, the
 * writer that gets the lock next would wait for one, and they for its lock.
 */
TEST_F(dio_reserve, readers_behind_a_writer)
{
	const int readers = RESERVE + 1;
	struct task writer[2], reader[readers];
	struct io_op write[2], read[readers];
	char *back[readers];
	int fd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, LONG, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	/* the pointers are in memory: a reader waits for nothing else */
	ASSERT_EQ(LONG, pread(fd, buf_alloc(LONG), LONG, 0));
	ASSERT_EQ(0, faults_refuse_bios(true));
	ASSERT_EQ(0, vol_hold(&self->v));
	for (i = 0; i < 2; i++) {
		write[i] = (struct io_op){ fd, buf_alloc(LONG), LONG, (1 + i) * LONG };
		pattern_fill(write[i].buf, LONG, write[i].off, 2);
		ASSERT_EQ(0, task_start(&writer[i], op_pwrite, &write[i]));
		ASSERT_BLOCKED(&writer[i]);
	}
	for (i = 0; i < readers; i++) {
		back[i] = buf_alloc(LONG);
		read[i] = (struct io_op){ fd, back[i], LONG, 0 };
		ASSERT_EQ(0, task_start(&reader[i], op_pread, &read[i]));
		ASSERT_BLOCKED(&reader[i]);
	}
	ASSERT_EQ(0, vol_release(&self->v));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(LONG, task_join(&writer[i], JOIN_SECONDS));
	for (i = 0; i < readers; i++) {
		ASSERT_EQ(LONG, task_join(&reader[i], JOIN_SECONDS));
		EXPECT_PATTERN(back[i], LONG, 0, 1);
	}
}

struct nowait_op {
	bool write;
	struct io_op io;
};

static long op_nowait(void *arg)
{
	struct nowait_op *op = arg;

	return way_rw(SYNC, op->write, op->io.fd, &(struct iovec){ op->io.buf, op->io.len }, 1,
		      op->io.off, RWF_NOWAIT);
}

/* Others have what there is in reserve, and keep it for as long as the device is held. */
TEST_F(dio_reserve, nowait)
{
	/* past the direct blocks: one run, and one bio for a request */
	static const off_t held = LEN, free = 2 * LEN;
	char *buf = buf_alloc(RESERVE * LEN), *back = buf_alloc(LEN);
	struct nowait_op op[2];
	struct task task[2];
	struct queue q = {};
	struct vol_map map;
	unsigned int i, nr;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, free + LEN, 1));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, held, LEN, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(LEN, pread(fd, back, LEN, free));
	ASSERT_EQ(LEN, pread(fd, back, LEN, held));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, faults_refuse_bios(true));
	ASSERT_EQ(0, queue_setup(&q, ASYNC));
	for (i = 0; i < RESERVE; i++)
		ASSERT_EQ(0, queue_submit(&q, i, false, fd, buf + i * LEN, LEN, held));
	for (i = 0; i < 2; i++) {
		op[i] = (struct nowait_op){ i, { fd, buf_alloc(LEN), LEN, free } };
		pattern_fill(op[i].io.buf, LEN, free, 2);
		ASSERT_EQ(0, task_start(&task[i], op_nowait, &op[i]));
		EXPECT_TRUE(task_settles(&task[i], TASK_DONE));
	}
	ASSERT_EQ(0, vol_release_routed(&self->v));
	for (i = 0; i < RESERVE; i++)
		EXPECT_EQ(LEN, queue_reap(&q, true, &nr));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-EAGAIN, task_join(&task[i], JOIN_SECONDS));
	/* who may wait gets it, and nothing was written */
	ASSERT_EQ(LEN, pread(fd, back, LEN, free));
	EXPECT_PATTERN(back, LEN, free, 1);
	ASSERT_EQ(0, faults_refuse_bios(false));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(LEN, op_nowait(&op[0]));
	EXPECT_PATTERN(op[0].io.buf, LEN, free, 1);
	ASSERT_EQ(0, queue_exit(&q));
}

/* All requests of a queue, more than the reserve has. */
static int submit_all(struct queue *q, bool write, int fd, char *buf, size_t len, off_t pos)
{
	unsigned int i, nr;
	ssize_t n;
	int err;

	for (i = 0; i < QUEUE_DEPTH; i++) {
		err = queue_submit(q, i, write, fd, buf + i * len, len, pos + i * len);
		if (err)
			return err;
	}
	for (i = 0; i < QUEUE_DEPTH; i++) {
		n = queue_reap(q, true, &nr);
		if (n != (ssize_t)len)
			return n < 0 ? n : -EIO;
	}
	return 0;
}

/* A file of data and holes; all of it read and written, and what is past it. */
TEST_F(dio_reserve, all_kinds)
{
	const size_t len = QUEUE_DEPTH * LEN, piece = 4 * self->v.bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct queue q = {};
	enum way how;
	int fd;

	for (how = ASYNC; how <= URING; how++) {
		if (!queue_possible(how))
			continue;
		ASSERT_EQ(0, queue_setup(&q, how));
		ASSERT_EQ(0, faults_refuse_bios(false));
		/* pieces: a bio for each, and more than one for a request */
		fd = make_pieces(&self->v, how == ASYNC ? "a" : "b", piece, len / 2 / piece);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ftruncate(fd, len));
		ASSERT_EQ(0, faults_refuse_bios(true));
		EXPECT_EQ(0, submit_all(&q, false, fd, back, LEN, 0));
		EXPECT_PATTERN(back, len / 2, 0, 1);
		EXPECT_ZERO(back + len / 2, len / 2, len / 2);
		/* over the pieces, and into the hole */
		pattern_fill(buf, len, 0, 2);
		EXPECT_EQ(0, submit_all(&q, true, fd, buf, LEN, 0));
		EXPECT_EQ(0, submit_all(&q, false, fd, back, LEN, 0));
		EXPECT_PATTERN(back, len, 0, 2);
		/* past the end, with what is synchronous and has to be synced */
		pattern_fill(buf, len, len, 3);
		EXPECT_EQ(len, way_rw(SYNC, true, fd, &(struct iovec){ buf, len }, 1, len, RWF_DSYNC));
		EXPECT_EQ(0, submit_all(&q, true, fd, buf, LEN, len));
		EXPECT_EQ(0, fsync(fd));
		EXPECT_EQ(0, submit_all(&q, false, fd, back, LEN, len));
		EXPECT_PATTERN(back, len, len, 3);
		ASSERT_EQ(0, queue_exit(&q));
		close(fd);
	}
}

/* The same through a loop device on a sparse file. */
TEST_F(dio_reserve, loop_device)
{
	const size_t len = QUEUE_DEPTH * LEN;
	char *buf = buf_alloc(len), *back = buf_alloc(len), name[32];
	struct loop_config config = { .block_size = 512, .info.lo_flags = LO_FLAGS_DIRECT_IO };
	struct queue q = {};
	int ctl, nr, loop;

	ctl = open("/dev/loop-control", O_RDWR);
	if (ctl < 0)
		SKIP(return, "no loop devices here");
	ASSERT_EQ(0, vol_prefill("image", 0, len / 4, 1));
	ASSERT_EQ(0, truncate(vol_path("image"), len));
	nr = ioctl(ctl, LOOP_CTL_GET_FREE);
	ASSERT_LE(0, nr);
	snprintf(name, sizeof(name), "/dev/loop%d", nr);
	loop = open(name, O_RDWR | O_DIRECT);
	ASSERT_LE(0, loop);
	config.fd = vol_open("image", O_RDWR | O_DIRECT);
	ASSERT_EQ(0, ioctl(loop, LOOP_CONFIGURE, &config));
	ASSERT_EQ(0, queue_setup(&q, ASYNC));
	ASSERT_EQ(0, faults_refuse_bios(true));
	EXPECT_EQ(0, submit_all(&q, false, loop, back, LEN, 0));
	EXPECT_PATTERN(back, len / 4, 0, 1);
	EXPECT_ZERO(back + len / 4, len - len / 4, len / 4);
	pattern_fill(buf, len, 0, 2);
	EXPECT_EQ(0, submit_all(&q, true, loop, buf, LEN, 0));
	EXPECT_EQ(0, fsync(loop));
	EXPECT_EQ(0, submit_all(&q, false, loop, back, LEN, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	ASSERT_EQ(0, faults_refuse_bios(false));
	ASSERT_EQ(0, queue_exit(&q));
	ASSERT_EQ(0, ioctl(loop, LOOP_CLR_FD));
	close(loop);
	close(ctl);
}

/* "f", of which only the inode is in memory, open. The block of pointers to its second LEN bytes, to be held. */
static int open_cold(struct vol *v, struct vol_map *map)
{
	uint32_t block, pointers;
	int err = ext2_block(v, "f", LEN / v->bs, &block, &pointers) ?: vol_remount(v);

	*map = (struct vol_map){ .nr = 1 };
	map->e[0] = (struct vol_extent){
		.sector = pointers * (v->bs / 512), .len = v->bs / 512, .reads = true
	};
	return err ?: vol_open("f", O_RDONLY | O_DIRECT);
}

/*
 * A read for which a block of pointers has to be read: its submitter does not leave it to a worker with what there is in
 * reserve; but a worker goes on with one that had been left to it before.
 */
TEST_F(dio_reserve, cold_read)
{
	const size_t piece = 4 * self->v.bs;
	char *back = buf_alloc(LEN);
	struct counters before, after;
	struct queue q = {};
	struct vol_map map;
	unsigned int nr;
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "others leave none to a worker");
	fd = make_pieces(&self->v, "f", piece, 2 * LEN / piece);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, queue_setup(&q, ASYNC));
	for (i = 0; i < 2; i++) {
		fd = open_cold(&self->v, &map);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, vol_counters(&self->v, &before));
		if (i) {
			ASSERT_EQ(0, vol_route(&self->v, &map));
			ASSERT_EQ(0, vol_hold_routed(&self->v));
			ASSERT_EQ(0, queue_submit(&q, 0, false, fd, back, LEN, LEN));
			ASSERT_EQ(0, faults_refuse_bios(true));
			ASSERT_EQ(0, vol_release_routed(&self->v));
		} else {
			ASSERT_EQ(0, faults_refuse_bios(true));
			ASSERT_EQ(0, queue_submit(&q, 0, false, fd, back, LEN, LEN));
		}
		EXPECT_EQ(LEN, queue_reap(&q, true, &nr));
		ASSERT_EQ(0, faults_refuse_bios(false));
		EXPECT_PATTERN(back, LEN, LEN, 1);
		ASSERT_EQ(0, vol_counters(&self->v, &after));
		EXPECT_EQ(before.punted + i, after.punted);
		close(fd);
	}
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, queue_exit(&q));
}

TEST_HARNESS_MAIN
