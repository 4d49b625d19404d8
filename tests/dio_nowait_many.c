// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that must not wait, of several bios: of several runs of blocks, or of more than the
 * device takes at once. All of it is done, or it is EAGAIN.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "blocks.h"
#include "disk.h"
#include "faults.h"
#include "harness.h"
#include "nbd.h"
#include "nowait.h"

VOL_FIXTURE(dio_nowait_many);
FIXTURE_VARIANT_ADD(dio_nowait_many, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_nowait_many, bs4k) { .conf = SMALL_4K };

#define PIECES	4

/* Runs in different places, and for a read a hole behind them. */
TEST_F(dio_nowait_many, runs)
{
	const off_t piece = 4 * self->v.bs, len = PIECES * piece;
	char *buf = buf_alloc(2 * len), *back = buf_alloc(len);
	enum way way, ways = way_setup(buf, 2 * len);
	struct counters c0 = {}, c1 = {};
	int fd, n = 0;

	ASSERT_LT(0, (int)ways);
	fd = make_pieces(&self->v, "f", piece, PIECES);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 2 * len));
	ASSERT_EQ(0, warm_up(fd, 2 * len));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (way = SYNC; way < ways; way++, n++) {
		pattern_fill(buf, len, 0, 2 + way);
		ASSERT_EQ(len, nowait_write(way, fd, buf, len, 0));
		memset(buf, UNTOUCHED, 2 * len);
		ASSERT_EQ(2 * len, nowait_read(way, fd, buf, 2 * len, 0));
		EXPECT_PATTERN(buf, len, 0, 2 + way);
		EXPECT_ZERO(buf + len, len, len);
		ASSERT_EQ(len, pread(fd, back, len, 0));
		EXPECT_PATTERN(back, len, 0, 2 + way);
	}
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.requests_write + n, c1.requests_write);
		EXPECT_EQ(c0.requests_read + 2 * n, c1.requests_read);
		EXPECT_EQ(0, memcmp(c0.again, c1.again, sizeof(c0.again)));
	}
}

/* The file with the number of KiB that a device takes at once. */
static int open_most(const char *node)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/%s/queue/max_sectors_kb", strrchr(node, '/') + 1);
	return open(path, O_RDWR);
}

/* A bio that the device has split fails if it must not wait: each is as large as it takes at once. */
TEST_F(dio_nowait_many, larger_than_the_device_takes)
{
	/* of several bios, and of what would be one: in one run, that is below one block of pointers */
	const struct { off_t off, len; } parts[] = { { 0, 3 * MIB }, { MIB, 64 * KIB } };
	const off_t len = parts[0].len;
	char *buf = buf_alloc(len), old[16] = "", told[16] = "";
	int fd, most, told_most, i;
	enum way way;

	if (!env_is_retryfs())
		SKIP(return, "other filesystems leave that to those who may wait");
	/*
	 * Less than what there is room for in a bio. It is the disk that splits: device-mapper does not do so at
	 * its own limit, which it has from the disk with a new table, and which retryfs sees.
	 */
	most = open_most(env_dev());
	ASSERT_LE(0, most);
	told_most = open_most(self->v.dev);
	ASSERT_LE(0, told_most);
	ASSERT_LT(0, read(most, old, sizeof(old) - 1));
	ASSERT_LT(0, pwrite(most, "16", 2, 0));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_LT(0, read(told_most, told, sizeof(told) - 1));
	EXPECT_STREQ("16\n", told);
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, warm_up(fd, len));
	for (i = 0; i < 2; i++) {
		const off_t at = parts[i].off, n = parts[i].len;

		for (way = SYNC; way <= ASYNC; way++) {
			memset(buf, UNTOUCHED, n);
			EXPECT_EQ(n, nowait_read(way, fd, buf, n, at));
			EXPECT_PATTERN(buf, n, at, 1 + 2 * i + way);
			pattern_fill(buf, n, at, 2 + 2 * i + way);
			EXPECT_EQ(n, nowait_write(way, fd, buf, n, at));
		}
	}
	ASSERT_LT(0, pwrite(most, old, strlen(old), 0));
	ASSERT_EQ(0, vol_unroute(&self->v));
	close(told_most);
	close(most);
}

static long op_uring_pwrite(void *arg)
{
	struct io_op *op = arg;

	return do_write(URING, op->fd, op->buf, op->len, op->off);
}

/* The device has no room for the second of three bios: the others were issued, and nothing counts. */
TEST_F(dio_nowait_many, device_in_the_middle)
{
	const off_t piece = 4 * self->v.bs, len = 3 * piece;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	enum way way, ways = way_setup(buf, len);
	struct io_op op = { .buf = buf, .len = len };
	struct counters c0 = {}, c1 = {};
	struct vol_map map;
	struct task t;
	int fd;

	fd = make_pieces(&self->v, "f", piece, 3);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_find(&self->v, piece, piece, 1, &map));
	ASSERT_EQ(0, warm_up(fd, len));
	/* the first write finds out, with the lock for itself, that there are no set-id bits */
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(piece, pwrite(fd, buf, piece, 0));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (way = SYNC; way < ways && way <= ASYNC; way++) {
		ASSERT_EQ(-EAGAIN, nowait_or_held(way, false, fd, back, len, 0));
		ASSERT_EQ(-EAGAIN, nowait_or_held(way, true, fd, buf, len, 0));
		/* what comes before it is done */
		ASSERT_EQ(piece, nowait_or_held(way, false, fd, back, piece, 0));
	}
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.again[AGAIN_DEVICE] + 4, c1.again[AGAIN_DEVICE]);
		EXPECT_EQ(c0.sync_error, c1.sync_error);
	}
	/* io_uring makes it again as a whole, where it may wait, and nobody gets to know */
	if (URING < (int)ways) {
		op.fd = fd;
		ASSERT_EQ(0, task_start(&t, op_uring_pwrite, &op));
		ASSERT_BLOCKED(&t);
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(len, task_join(&t, JOIN_SECONDS));
	}
	ASSERT_EQ(0, vol_unroute(&self->v));
	if (URING >= (int)ways)
		ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
}

/*
 * Each allocation that may not wait is refused, one after the other: the dio, a bio for each further piece,
 * and where pages must be stable a page for each copy. How often memory was the reason.
 */
static long refuse_each(struct vol *v, bool write, int fd, char *buf, size_t len)
{
	struct counters c0 = {}, c1 = {};
	bool is_again = false;
	ssize_t n = -EAGAIN;
	int err, nth;

	err = vol_counters(v, &c0);
	for (nth = 1; !err && nth < 100; nth++) {
		err = faults_begin(nth);
		n = (write ? nowait_write : nowait_read)(SYNC, fd, buf, len, 0);
		if (!faults_end())
			break;
		if (n != (ssize_t)len && n != -EAGAIN)
			err = n < 0 ? n : -EIO;
		/* Now and then there is one more that nobody needs, as when the times of the inode move. */
		is_again = n == (ssize_t)len && !is_again;
		nth -= is_again;
	}
	if (!err && n != (ssize_t)len)
		err = n < 0 ? n : -EIO;
	if (!err)
		err = vol_counters(v, &c1);
	return err ? err : c1.again[AGAIN_MEMORY] - c0.again[AGAIN_MEMORY];
}

TEST_F(dio_nowait_many, memory_is_short)
{
	const off_t piece = 4 * self->v.bs, len = PIECES * piece;
	char *buf = buf_alloc(len);
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "counters");
	if (faults_only_nowait())
		SKIP(return, "a kernel without fault injection");
	fd = make_pieces(&self->v, "f", piece, PIECES);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, warm_up(fd, len));
	ASSERT_EQ(piece, pwrite(fd, buf, piece, 0));
	EXPECT_LE(PIECES - 1, refuse_each(&self->v, false, fd, buf, len));
	EXPECT_LE(PIECES - 1, refuse_each(&self->v, true, fd, buf, len));
	ASSERT_EQ(0, stable_writes(self->v.dev, true));
	/* a copy of each piece, which takes one folio at least */
	EXPECT_LE(PIECES + PIECES - 1, refuse_each(&self->v, true, fd, buf, len));
	ASSERT_EQ(0, stable_writes(self->v.dev, false));
}

struct submission {
	aio_context_t ctx;
	struct iocb cb;
};

static long op_submit_one(void *arg)
{
	struct submission *s = arg;

	return aio_submit_one(s->ctx, &s->cb);
}

/* The device has the first half, the memory for the second is not there: the submitter leaves. */
TEST_F(dio_nowait_many, error_in_the_middle)
{
	struct vol v = { .bs = 1024, .isize = 128, .sectors = MIB / 512 };
	const struct vol_conf conf = { .bs = v.bs, .isize = v.isize };
	const off_t half = 4 * KIB;
	struct nbd *disk = nbd_up(1, true, v.dev, sizeof(v.dev));
	struct submission s = {};
	struct io_event ev;
	struct task t;
	char *buf;
	int fd, i;

	if (!disk && errno == ENOENT)
		SKIP(return, "a kernel without nbd");
	ASSERT_TRUE(disk != NULL);
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mkfs(&v, &conf));
	ASSERT_EQ(0, vol_mount(&v, env_fstype(), 0, NULL));
	buf = mmap(NULL, 2 * half, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, buf);
	memset(buf, UNTOUCHED, half);
	ASSERT_EQ(0, mprotect(buf + half, half, PROT_NONE));
	ASSERT_EQ(0, vol_prefill("f", 0, 2 * half, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, warm_up(fd, 2 * half));
	ASSERT_EQ(0, aio_setup(1, &s.ctx));
	aio_prep_read(&s.cb, fd, buf, 2 * half, 0);
	s.cb.aio_rw_flags = RWF_NOWAIT;
	nbd_begin(disk, NBD_KEEP, 1);
	ASSERT_EQ(0, task_start(&t, op_submit_one, &s));
	/* the request is on its way, or there */
	for (i = 0; i < 1000 && !nbd_keeps(disk); i++)
		task_settle(&t);
	EXPECT_TRUE(nbd_keeps(disk));
	EXPECT_TRUE(task_settles(&t, TASK_DONE));
	nbd_release(disk);
	ASSERT_EQ(0, task_join(&t, JOIN_SECONDS));
	ASSERT_EQ(1, aio_events(s.ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(half, ev.res);
	EXPECT_PATTERN(buf, half, 0, 1);
	ASSERT_EQ(0, aio_destroy(s.ctx));
	munmap(buf, 2 * half);
	nbd_end(disk);
	close(fd);
	EXPECT_EQ(0, vol_umount_soon(&v));
	EXPECT_EQ(0, vol_fsck(&v));
	nbd_down(disk);
}

TEST_HARNESS_MAIN
