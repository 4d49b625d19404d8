// SPDX-License-Identifier: GPL-2.0
/*
 * Direct writes that extend a file, and the tails of its blocks: the old last block beyond
 * EOF, and the part of a new block that the request does not fill. What is there is never
 * in the file. And an extend that ends early gives back what it does not need.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "harness.h"

VOL_FIXTURE(dio_tail);
FIXTURE_VARIANT_ADD(dio_tail, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_tail, bs4k) { .conf = SMALL_4K };

/* What was stored beyond EOF through a mapping is not in the file later. */
TEST_F(dio_tail, stores_behind_the_end)
{
	const off_t bs = self->v.bs, end = 2 * bs + 100, at = 4 * bs;
	char *buf = buf_alloc(bs), *back = buf_alloc(64 * KIB), *map;
	int i, fd;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_prefill("f", 0, end, 1));
		fd = vol_open("f", O_RDWR | (i ? O_DIRECT : 0));
		ASSERT_LE(0, fd);
		map = mmap(NULL, 3 * bs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		memset(map + end, 0x55, 3 * bs - end);
		pattern_fill(buf, bs, at, 2);
		ASSERT_EQ(bs, pwrite(fd, buf, bs, at));
		ASSERT_EQ(at + bs, pread(fd, back, 64 * KIB, 0));
		EXPECT_PATTERN(back, end, 0, 1);
		EXPECT_ZERO(back + end, at - end, end);
		EXPECT_PATTERN(back + at, bs, at, 2);
		munmap(map, 3 * bs);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

/*
 * The tail of the last block on the disk has zeros as a rule, but another driver may
 * have left anything there. It must not be exposed when the file grows.
 */
TEST_F(dio_tail, old_tail_on_the_device)
{
	const off_t bs = self->v.bs, end = 2 * bs + 100, at = 4 * bs;
	char *buf = buf_alloc(bs), *back = buf_alloc(64 * KIB), *junk = buf_alloc(512);
	struct vol_map map;
	int i, fd, dev;

	dev = open(self->v.dev, O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, dev);
	poison_fill(junk, 512);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_prefill("f", 0, end, 1 + i));
		ASSERT_EQ(0, vol_find(&self->v, 2 * bs, 512, 1 + i, &map));
		ASSERT_EQ(0, vol_remount(&self->v));
		ASSERT_EQ(512, pwrite(dev, junk, 512, (map.e[0].sector + 1) * 512));
		fd = vol_open("f", O_RDWR | (i ? O_DIRECT : 0));
		ASSERT_LE(0, fd);
		pattern_fill(buf, bs, at, 3);
		ASSERT_EQ(bs, pwrite(fd, buf, bs, at));
		ASSERT_EQ(at + bs, pread(fd, back, 64 * KIB, 0));
		EXPECT_PATTERN(back, end, 0, 1 + i);
		EXPECT_ZERO(back + end, at - end, end);
		EXPECT_PATTERN(back + at, bs, at, 3);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
	close(dev);
}

/*
 * A new block is written in part. Its tail beyond EOF has to be zeros on the disk
 * too: a mapping shows it, as far as its page goes.
 */
TEST_F(dio_tail, new_tail_in_a_mapping)
{
	char *buf = buf_alloc(4096), *map;
	struct vol_map where;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 512, 0, 1);
	ASSERT_EQ(512, pwrite(fd, buf, 512, 0));
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_PATTERN(map, 512, 0, 1);
	EXPECT_ZERO(map + 512, 4096 - 512, 512);
	ASSERT_EQ(0, vol_find(&self->v, 0, 512, 1, &where));
	ASSERT_EQ(0, vol_read_sector(&self->v, where.e[0].sector + 1, buf));
	EXPECT_ZERO(buf, 512, 512);
	munmap(map, 4096);
}

/*
 * R7: memory ends in the middle of an asynchronous extend, with bios in flight.
 * Only the submitter can move i_size and give back what was allocated for
 * the rest: it waits.
 */
TEST_F(dio_tail, error_is_waited_for)
{
	const size_t good = 32 * KIB, len = 64 * KIB;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct iocb cb, *list[] = { &cb };
	struct submit_op sub = { 0, 1, list };
	struct task submitter;
	struct io_event ev;
	struct stat st;
	ssize_t n;
	int fd;

	/* so that the bitmaps that are needed are in memory */
	ASSERT_EQ(0, vol_prefill("g", 0, len, 9));
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	vol_sync();
	pattern_fill(buf, good, 0, 1);
	ASSERT_EQ(0, mprotect(buf + good, len - good, PROT_NONE));
	ASSERT_EQ(0, aio_setup(1, &sub.ctx));
	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(0, vol_hold(&self->v));
	ASSERT_EQ(0, task_start(&submitter, op_submit, &sub));
	EXPECT_TRUE(task_settles(&submitter, TASK_BLOCKED));
	EXPECT_EQ(0, aio_events(sub.ctx, 0, 1, &ev, 0));
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(1, task_join(&submitter, JOIN_SECONDS));
	ASSERT_EQ(1, aio_events(sub.ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	n = ev.res;
	ASSERT_TRUE(n > 0 && n <= (ssize_t)good) TH_LOG("returned %zd", n);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(n, st.st_size);
	ASSERT_EQ(n, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, n, 0, 1);
}

TEST_HARNESS_MAIN
