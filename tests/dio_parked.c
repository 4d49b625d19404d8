// SPDX-License-Identifier: GPL-2.0
/*
 * async_alloc: several requests in flight write parts of one block, which the first one of them makes, or moves EOF
 * in. The others are parked: their submitter leaves, and they go to the device one after the other. What others do
 * meanwhile is in dio_pending, whose requests are of this kind, too, and whether io_submit(2) sleeps in dio_switches.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "blocks.h"
#include "ext2.h"
#include "faults.h"
#include "harness.h"
#include "powerloss.h"
#include "queue.h"
#include "shutdown.h"
#include "store.h"

enum { SECTOR = 512, PARTS_MAX = 8, NR_MAX = 2 * PARTS_MAX, START = 3 };

FIXTURE(dio_parked) {
	struct vol v;
	int fd;
	aio_context_t ctx;
	struct iocb cb[NR_MAX], *list[NR_MAX];
	struct io_event ev[NR_MAX];
	struct vol_extent where[2];
	char *buf, *back;
	off_t at;	/* where they begin: a block */
	int parts;	/* sectors of a block */
};

FIXTURE_VARIANT(dio_parked) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_parked, bs1k) { .conf = ASYNC_ALLOC_1K };
FIXTURE_VARIANT_ADD(dio_parked, bs4k) { .conf = ASYNC_ALLOC_4K };

FIXTURE_SETUP(dio_parked)
{
	int i;

	if (!env_is_retryfs())
		SKIP(return, "a mount option of retryfs");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	self->at = START * self->v.bs;
	self->parts = self->v.bs / SECTOR;
	self->buf = buf_alloc(4 * self->v.bs);
	self->back = buf_alloc(self->at + 8 * self->v.bs);
	pattern_fill(self->buf, 4 * self->v.bs, self->at, 1);
	for (i = 0; i < NR_MAX; i++)
		self->list[i] = &self->cb[i];
	ASSERT_EQ(0, vol_prefill("f", 0, self->at, 1));
	self->fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, self->fd);
	vol_sync();
	ASSERT_EQ(0, ext2_poison_free(&self->v));
	ASSERT_EQ(0, aio_setup(NR_MAX, &self->ctx));
}

FIXTURE_TEARDOWN(dio_parked)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

/* Request @n writes @nr sectors of generation 1, from sector @sector behind where they begin. */
static void prepare(FIXTURE_DATA(dio_parked) * self, int n, int sector, int nr)
{
	aio_prep_write(&self->cb[n], self->fd, self->buf + sector * SECTOR, nr * SECTOR,
		       self->at + sector * SECTOR);
}

/* Requests @first and so on, @nr of them, of which @parked have others before them: the submitter leaves. */
static void submit(struct __test_metadata *_metadata, FIXTURE_DATA(dio_parked) * self, int first,
		   int nr, int parked)
{
	struct submit_op op = { self->ctx, nr, &self->list[first] };
	struct counters c0, c1;
	struct task task;

	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	ASSERT_DONE(&task);
	ASSERT_EQ(nr, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.async + nr, c1.async);
	EXPECT_EQ(c0.parked + parked, c1.parked);
}

/* @nr of them end; the results of all that have, by number. */
static void reap(struct __test_metadata *_metadata, FIXTURE_DATA(dio_parked) * self, int nr,
		 int64_t *res)
{
	struct iocb *cb;
	int i;

	ASSERT_EQ(nr, aio_events(self->ctx, nr, NR_MAX, self->ev, JOIN_SECONDS * 1000));
	for (i = 0; i < nr; i++) {
		cb = (struct iocb *)(uintptr_t)self->ev[i].obj;
		res[cb - self->cb] = self->ev[i].res;
	}
}

/* The file is of @end bytes behind where they begin, and has what they wrote, but for a hole in sectors @from to @to. */
static void look(struct __test_metadata *_metadata, FIXTURE_DATA(dio_parked) * self, off_t end,
		 int from, int to)
{
	const off_t size = self->at + end;
	char *hole = self->back + self->at + from * SECTOR;
	int i;

	EXPECT_EQ(size, file_size(self->fd));
	for (i = 0; i < 2; i++) {
		int fd = vol_open("f", i ? O_RDONLY : O_RDONLY | O_DIRECT);

		ASSERT_EQ(size, pread(fd, self->back, self->at + 8 * self->v.bs, 0));
		close(fd);
		EXPECT_ZERO(hole, (to - from) * SECTOR, self->at + from * SECTOR);
		pattern_fill(hole, (to - from) * SECTOR, self->at + from * SECTOR, 1);
		EXPECT_PATTERN(self->back, size, 0, 1);
	}
}

/* Where the @nr blocks behind @at will be: the file has them, and gives them back. */
static int foresee(FIXTURE_DATA(dio_parked) * self, int nr, struct vol_map *map)
{
	const size_t len = nr * self->v.bs;
	char *buf = buf_alloc(len);
	int err;

	pattern_fill(buf, len, self->at, 9);
	if (do_write(SYNC, self->fd, buf, len, self->at) != (ssize_t)len)
		return -EIO;
	vol_sync();
	err = vol_find(&self->v, self->at, len, 9, map);
	if (!err && ftruncate(self->fd, self->at))
		err = -errno;
	vol_sync();
	return err;
}

/* All sectors of two blocks, one by one. None goes to the device before the one before it in the block. */
static void one_by_one(struct __test_metadata *_metadata, FIXTURE_DATA(dio_parked) * self,
		       int step)
{
	const int nr = 2 * self->parts;
	const off_t size = file_size(self->fd);
	int64_t res[NR_MAX];
	int i;

	ASSERT_EQ(0, vol_route_writes(&self->v));
	for (i = 0; i < nr; i++)
		prepare(self, i, i * step % nr, 1);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	submit(_metadata, self, 0, nr, nr - 2);
	EXPECT_EQ(0, aio_events(self->ctx, 0, nr, self->ev, 0));
	EXPECT_EQ(0, block_of(self->fd, START));
	EXPECT_EQ(size, file_size(self->fd));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	reap(_metadata, self, nr, res);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(SECTOR, res[i]);
	look(_metadata, self, 2 * self->v.bs, 0, 0);
	EXPECT_SIZE_AND_BLOCKS(self->fd, self->at + 2 * self->v.bs,
			       blocks_needed(self->v.bs, self->at + 2 * self->v.bs), self->v.bs);
	ASSERT_EQ(0, vol_unroute(&self->v));
	close(self->fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("f", self->at + 2 * self->v.bs, 1));
}

TEST_F(dio_parked, appends)
{
	one_by_one(_metadata, self, 1);
}

/* Behind each other, wherever they ask to be. */
TEST_F(dio_parked, appends_by_flag)
{
	const int flags = fcntl(self->fd, F_GETFL);

	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, flags | O_APPEND));
	one_by_one(_metadata, self, 1);
}

TEST_F(dio_parked, fills)
{
	ASSERT_EQ(0, ftruncate(self->fd, self->at + 2 * self->v.bs));
	one_by_one(_metadata, self, 3);
}

/* One in the first block, one in the third, and one from the first to the third, behind both. */
static void prepare_between(FIXTURE_DATA(dio_parked) * self)
{
	const int parts = self->parts;

	prepare(self, 0, 0, parts - 1);
	prepare(self, 1, 2 * parts + 1, parts - 1);
	prepare(self, 2, parts - 1, parts + 2);
}

/* Whichever of the two ends first. */
TEST_F(dio_parked, behind_two)
{
	const off_t bs = self->v.bs;
	struct vol_map held;
	int64_t res[3];
	int i, which;

	prepare_between(self);
	for (which = 0; which <= 3; which++) {
		ASSERT_EQ(0, ftruncate(self->fd, self->at));
		ASSERT_EQ(0, ftruncate(self->fd, self->at + 3 * bs));
		vol_sync();
		held.nr = 0;
		if (which) {
			/* what it got last time */
			for (i = 0; i < 2; i++)
				if (which & (1 << i))
					held.e[held.nr++] = self->where[i];
			ASSERT_EQ(0, vol_route(&self->v, &held));
			ASSERT_EQ(0, vol_hold_routed(&self->v));
			submit(_metadata, self, 0, 3, 1);
			/* the other one of the two */
			if (which < 3) {
				ASSERT_EQ(1, aio_events(self->ctx, 1, 3, self->ev, JOIN_SECONDS * 1000));
				EXPECT_EQ((uintptr_t)&self->cb[2 - which], self->ev[0].obj);
			}
			EXPECT_EQ(0, aio_events(self->ctx, 0, 3, self->ev, 0));
			ASSERT_EQ(0, vol_release_routed(&self->v));
			reap(_metadata, self, which < 3 ? 2 : 3, res);
			ASSERT_EQ(0, vol_unroute(&self->v));
		} else {
			ASSERT_EQ(3, aio_submit(self->ctx, 3, self->list));
			reap(_metadata, self, 3, res);
			for (i = 0; i < 2; i++)
				self->where[i] = (struct vol_extent){
					block_of(self->fd, START + 2 * i) * self->parts, self->parts };
		}
		EXPECT_EQ(bs + 2 * SECTOR, res[2]);
		look(_metadata, self, 3 * bs, 0, 0);
	}
}

/*
 * The device fails for the first one: its block is given back, and those behind it fail, too. Those in the
 * next block count.
 */
TEST_F(dio_parked, first_one_fails)
{
	const int parts = self->parts, nr = 2 * parts;
	struct vol_map map, bad;
	int64_t res[NR_MAX];
	long before;
	int i;

	ASSERT_EQ(0, foresee(self, 2, &map));
	before = free_blocks();
	bad = map;
	bad.e[0].len = 1;
	map.e[0].sector++;
	map.e[0].len--;
	route_and_fail(&map, &bad);
	for (i = 0; i < nr; i++)
		prepare(self, i, i, 1);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	submit(_metadata, self, 0, nr, nr - 2);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	reap(_metadata, self, nr, res);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(i < parts ? -EIO : SECTOR, res[i]);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(before - 1, free_blocks());
	look(_metadata, self, 2 * self->v.bs, 0, parts);
}

/* The volume is shut down while one is in flight: the one behind it does not go to the device any more. */
TEST_F(dio_parked, shut_down_meanwhile)
{
	const char *const repair[] = { "e2fsck", "-f", "-y", self->v.dev, NULL };
	unsigned int flags = FS_SHUTDOWN_FLAGS_NOLOGFLUSH;
	struct vol_map map;
	int64_t res[NR_MAX];
	int i, err;

	ASSERT_EQ(0, vol_route_writes(&self->v));
	for (i = 0; i < 2; i++)
		prepare(self, i, i, 1);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	submit(_metadata, self, 0, 2, 1);
	ASSERT_EQ(0, ioctl(self->fd, FS_IOC_SHUTDOWN, &flags));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	reap(_metadata, self, 2, res);
	EXPECT_EQ(-EIO, res[1]);
	close(self->fd);
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, vol_find(&self->v, self->at, SECTOR, 1, &map));
	EXPECT_EQ(-ENODATA, vol_find(&self->v, self->at + SECTOR, SECTOR, 1, &map));
	err = run(1, repair);
	EXPECT_TRUE(err == 0 || err == 1);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
}

/* The first sector, which is over. Where its block is, if @map is not NULL. */
static int write_first(FIXTURE_DATA(dio_parked) * self, struct vol_map *map)
{
	if (pwrite(self->fd, self->buf, SECTOR, self->at) != SECTOR || fsync(self->fd))
		return -EIO;
	return map ? vol_find(&self->v, self->at, SECTOR, 1, map) : 0;
}

/* It fails for one in the midst: EOF stays before it. Then it goes on there. */
TEST_F(dio_parked, later_one_fails)
{
	const int parts = self->parts, bad = parts / 2;
	struct vol_map map, fails;
	int64_t res[NR_MAX];
	int i;

	if (parts < 4)
		SKIP(return, "there is no room for one");
	ASSERT_EQ(0, write_first(self, &map));
	fails = map;
	map.e[0].sector++;
	fails.e[0].sector += bad;
	route_and_fail(&map, &fails);
	for (i = 1; i < parts; i++)
		prepare(self, i, i, 1);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	submit(_metadata, self, 1, parts - 1, parts - 2);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	reap(_metadata, self, parts - 1, res);
	for (i = 1; i < parts; i++)
		EXPECT_EQ(i < bad ? SECTOR : -EIO, res[i]);
	ASSERT_EQ(0, vol_unroute(&self->v));
	look(_metadata, self, bad * SECTOR, 0, 0);
	ASSERT_EQ(parts - bad, aio_submit(self->ctx, parts - bad, &self->list[bad]));
	reap(_metadata, self, parts - bad, res);
	look(_metadata, self, self->v.bs, 0, 0);
}

/*
 * EOF is in the midst of a block that the file has, and each of them moves it, also beyond that block. Nobody knows
 * what the rest of the block holds: if the first one fails none of them counts.
 */
TEST_F(dio_parked, in_the_last_block)
{
	const int parts = self->parts, nr = parts + 2;
	const off_t end = 3 * self->v.bs;
	int64_t res[NR_MAX];
	long before;
	int i, fails;

	for (i = 1; i <= parts; i++)
		prepare(self, i, i, 1);
	/* a whole block behind them, which moves EOF over that of the others */
	prepare(self, parts + 1, 2 * parts, parts);
	for (fails = 1; fails >= 0; fails--) {
		ASSERT_EQ(0, ftruncate(self->fd, self->at));
		ASSERT_EQ(0, write_first(self, NULL));
		before = free_blocks();
		ASSERT_EQ(0, vol_route_writes(&self->v));
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		/* the first one of these is in nobody's way */
		submit(_metadata, self, 1, nr - 1, nr - 2);
		EXPECT_EQ(self->at + SECTOR, file_size(self->fd));
		ASSERT_EQ(0, fails ? vol_fail_routed(&self->v) : vol_release_routed(&self->v));
		reap(_metadata, self, nr - 1, res);
		ASSERT_EQ(0, vol_unroute(&self->v));
		for (i = 1; i < nr; i++)
			EXPECT_EQ(fails ? -EIO : (long)self->cb[i].aio_nbytes, res[i]);
		if (fails)
			EXPECT_EQ(before, free_blocks());
		look(_metadata, self, fails ? SECTOR : end, fails ? 0 : parts + 1, fails ? 0 : 2 * parts);
	}
}

/* One that leaves out a part of that block waits: the part is zeroed first. */
TEST_F(dio_parked, with_a_gap)
{
	struct submit_op op = { self->ctx, 1, &self->list[2] };
	char *junk = buf_alloc(SECTOR);
	struct vol_map map;
	struct task task;
	int64_t res[3];
	int dev;

	if (self->parts < 4)
		SKIP(return, "there is no room for one");
	ASSERT_EQ(0, write_first(self, &map));
	close(self->fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	/* another driver may have left anything there */
	dev = open(self->v.dev, O_RDWR | O_DIRECT | O_CLOEXEC);
	poison_fill(junk, SECTOR);
	ASSERT_EQ(SECTOR, pwrite(dev, junk, SECTOR, (map.e[0].sector + 2) * SECTOR));
	close(dev);
	self->fd = vol_open("f", O_RDWR | O_DIRECT);
	prepare(self, 1, 1, 1);
	prepare(self, 2, 3, 1);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	submit(_metadata, self, 1, 1, 0);
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	ASSERT_BLOCKED(&task);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(1, task_join(&task, JOIN_SECONDS));
	reap(_metadata, self, 2, res);
	EXPECT_EQ(SECTOR, res[1]);
	EXPECT_EQ(SECTOR, res[2]);
	look(_metadata, self, 4 * SECTOR, 2, 3);
}

/*
 * One that comes to nothing, as its memory is not aligned, would have filled the block up to its end: what is there is not known, and
 * the next one, which moves EOF over it, waits.
 */
TEST_F(dio_parked, given_back)
{
	struct submit_op op = { self->ctx, 1, &self->list[3] };
	char *junk = buf_alloc(SECTOR);
	struct vol_map map;
	struct task task;
	int64_t res[4];
	int dev;

	if (self->parts < 4)
		SKIP(return, "there is no room for one");
	ASSERT_EQ(0, write_first(self, &map));
	close(self->fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	dev = open(self->v.dev, O_RDWR | O_DIRECT | O_CLOEXEC);
	poison_fill(junk, SECTOR);
	ASSERT_EQ(SECTOR, pwrite(dev, junk, SECTOR, (map.e[0].sector + 2) * SECTOR));
	close(dev);
	self->fd = vol_open("f", O_RDWR | O_DIRECT);
	prepare(self, 1, 1, 1);
	prepare(self, 2, 2, self->parts - 2);
	self->cb[2].aio_buf++;
	prepare(self, 3, self->parts, self->parts);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	submit(_metadata, self, 1, 1, 0);
	ASSERT_EQ(0, aio_submit_one(self->ctx, &self->cb[2]));
	reap(_metadata, self, 1, res);
	ASSERT_EQ(-EINVAL, res[2]);
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	ASSERT_BLOCKED(&task);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(1, task_join(&task, JOIN_SECONDS));
	reap(_metadata, self, 2, res);
	EXPECT_EQ(SECTOR, res[1]);
	EXPECT_EQ(self->v.bs, res[3]);
	look(_metadata, self, 2 * self->v.bs, 2, self->parts);
}

/* The memory of one that is behind others ends: its submitter waits for its turn, and for it. */
TEST_F(dio_parked, memory_ends)
{
	struct submit_op op = { self->ctx, 1, &self->list[1] };
	struct counters c0, c1;
	int64_t res[NR_MAX];
	struct task task;
	char *mem;

	mem = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	pattern_fill(mem + 4096 - SECTOR, SECTOR, self->at + SECTOR, 1);
	ASSERT_EQ(0, mprotect(mem + 4096, 4096, PROT_NONE));
	prepare(self, 0, 0, 1);
	aio_prep_write(&self->cb[1], self->fd, mem + 4096 - SECTOR, 2 * SECTOR, self->at + SECTOR);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	submit(_metadata, self, 0, 1, 0);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	ASSERT_BLOCKED(&task);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(1, task_join(&task, JOIN_SECONDS));
	reap(_metadata, self, 2, res);
	EXPECT_EQ(SECTOR, res[0]);
	EXPECT_EQ(SECTOR, res[1]);
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.parked, c1.parked);
	EXPECT_EQ(c0.sync_error + c0.sync_memory + 1, c1.sync_error + c1.sync_memory);
	look(_metadata, self, 2 * SECTOR, 0, 0);
	/* and none of it is there */
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	prepare(self, 0, 2, 1);
	aio_prep_write(&self->cb[1], self->fd, mem + 4096, SECTOR, self->at + 3 * SECTOR);
	submit(_metadata, self, 0, 1, 0);
	ASSERT_EQ(0, task_start(&task, op_submit, &op));
	EXPECT_BLOCKED(&task);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	task_join(&task, JOIN_SECONDS);
	reap(_metadata, self, 2, res);
	EXPECT_EQ(SECTOR, res[0]);
	EXPECT_EQ(-EFAULT, res[1]);
	look(_metadata, self, 3 * SECTOR, 0, 0);
	munmap(mem, 2 * 4096);
}

/* When the first one is over, others still wait for the one behind it: a buffered write, for all in flight. */
TEST_F(dio_parked, seen_when_the_first_is_over)
{
	struct io_op wr = { vol_open("f", O_RDWR), self->back, self->v.bs, 0 };
	struct vol_map map;
	struct task task;
	int64_t res[3];

	if (self->parts < 4)
		SKIP(return, "there is no room for one");
	ASSERT_EQ(0, write_first(self, &map));
	map.e[0].sector += 2;
	prepare(self, 1, 1, 1);
	prepare(self, 2, 2, 1);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, vol_hold(&self->v));
	submit(_metadata, self, 1, 2, 1);
	ASSERT_EQ(0, vol_release(&self->v));
	reap(_metadata, self, 1, res);
	pattern_fill(self->back, self->v.bs, 0, 1);
	ASSERT_EQ(0, task_start(&task, op_pwrite, &wr));
	EXPECT_BLOCKED(&task);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(self->v.bs, task_join(&task, JOIN_SECONDS));
	reap(_metadata, self, 1, res);
	ASSERT_EQ(0, vol_unroute(&self->v));
	look(_metadata, self, 3 * SECTOR, 0, 0);
}

/*
 * So does a store through a mapping, to what the first one has written: the block is new, and has EOF in it since. The
 * second one ends in the next block, which is held.
 */
TEST_F(dio_parked, stored_to_when_the_first_is_over)
{
	const int bfd = vol_open("f", O_RDWR);
	const size_t len = self->at + self->v.bs;
	char *map, *at;
	struct store_op st = { .c = 'x' };
	struct vol_map held;
	struct task task;
	int64_t res[2];

	ASSERT_EQ(0, foresee(self, 2, &held));
	held.e[0].sector += self->parts;
	held.e[0].len = self->parts;
	held.nr = 1;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, bfd, 0);
	ASSERT_NE(MAP_FAILED, map);
	at = map + self->at + 100;
	st.at = at;
	prepare(self, 0, 0, 1);
	prepare(self, 1, 1, self->parts);
	ASSERT_EQ(0, vol_route(&self->v, &held));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, vol_hold(&self->v));
	submit(_metadata, self, 0, 2, 1);
	ASSERT_EQ(0, vol_release(&self->v));
	reap(_metadata, self, 1, res);
	EXPECT_EQ(SECTOR, res[0]);
	EXPECT_EQ(self->at + SECTOR, file_size(self->fd));
	ASSERT_EQ(0, task_start(&task, op_store, &st));
	EXPECT_BLOCKED(&task);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	reap(_metadata, self, 1, res);
	EXPECT_EQ(self->v.bs, res[1]);
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, fsync(bfd));
	ASSERT_EQ(SECTOR, pread(self->fd, self->back, SECTOR, self->at));
	EXPECT_EQ('x', self->back[100]);
	ASSERT_EQ(0, store(at, self->buf[100]));
	ASSERT_EQ(0, fsync(bfd));
	look(_metadata, self, self->v.bs + SECTOR, 0, 0);
	munmap(map, len);
	close(bfd);
}

/* With O_DSYNC each is there when the power goes, if it has its event. */
TEST_F(dio_parked, synchronous)
{
	const int nr = 2 * self->parts;
	int64_t res[NR_MAX];
	int i;

	close(self->fd);
	self->fd = vol_open("f", O_RDWR | O_DIRECT | O_DSYNC);
	for (i = 0; i < nr; i++)
		prepare(self, i, i, 1);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	submit(_metadata, self, 0, nr, nr - 2);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	reap(_metadata, self, nr, res);
	ASSERT_EQ(0, lose_power(&self->v));
	for (i = 0; i < nr; i++)
		EXPECT_EQ(SECTOR, res[i]);
	EXPECT_TRUE(lost_holds("f", self->at + 2 * self->v.bs, 1));
}

/* By io_uring, with memory that is not pinned but lent: threads of its own make them. */
TEST_F(dio_parked, registered_memory)
{
	const struct iovec iov = { self->buf, self->v.bs };
	struct counters c0, c1;
	struct uring ring;
	uint64_t data;
	int i, res;

	if (!queue_possible(URING))
		SKIP(return, "a kernel without io_uring");
	ASSERT_EQ(0, uring_setup(&ring, NR_MAX));
	ASSERT_EQ(0, uring_register(&ring, &iov, 1));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (i = 0; i < self->parts; i++) {
		ASSERT_EQ(0, uring_submit_fixed(&ring, true, self->fd, 0, self->buf + i * SECTOR,
						SECTOR, self->at + i * SECTOR, i));
		ASSERT_TRUE(queue_issued(&self->v, &c0, i + 1));
	}
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.parked + self->parts - 1, c1.parked);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	for (i = 0; i < self->parts; i++) {
		ASSERT_EQ(1, uring_reap(&ring, true, &data, &res));
		EXPECT_EQ(SECTOR, res);
	}
	uring_exit(&ring);
	ASSERT_EQ(0, vol_unroute(&self->v));
	look(_metadata, self, self->v.bs, 0, 0);
}

struct refused {
	struct submit_op op;
	int nth, left;
};

static long op_submit_refused(void *arg)
{
	struct refused *r = arg;
	long ret = faults_setup();

	if (!ret)
		ret = faults_begin(r->nth);
	if (ret)
		return ret;
	ret = op_submit(&r->op);
	r->left = faults_end();
	return ret;
}

/* There is no memory to park it: its submitter waits. */
TEST_F(dio_parked, without_memory)
{
	struct refused r = { { self->ctx, 1, &self->list[1] }, 0, 1 };
	struct counters c0, c1;
	int64_t res[2];
	struct task task;
	int waited = 0, err;

	err = faults_setup();
	if (err == -ENOENT)
		SKIP(return, "a kernel without fault injection");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	prepare(self, 0, 0, 1);
	prepare(self, 1, 1, 1);
	while (r.left == 1) {
		r.nth++;
		ASSERT_EQ(0, ftruncate(self->fd, self->at));
		vol_sync();
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(1, aio_submit(self->ctx, 1, self->list));
		ASSERT_EQ(0, task_start(&task, op_submit_refused, &r));
		waited += task_settle(&task) == TASK_BLOCKED;
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		/* or -EAGAIN, if there is none for io_submit(2) itself */
		err = task_join(&task, JOIN_SECONDS);
		reap(_metadata, self, err == 1 ? 2 : 1, res);
		EXPECT_EQ(SECTOR, res[0]);
		if (err == 1 && res[1] != -ENOMEM)
			EXPECT_EQ(SECTOR, res[1]);
		look(_metadata, self, err == 1 && res[1] > 0 ? 2 * SECTOR : SECTOR, 0, 0);
	}
	ASSERT_EQ(0, r.left);
	TH_LOG("%d allocations, %d times the submitter waited", r.nth - 1, waited);
	EXPECT_EQ(c0.parked + 1, c1.parked);
	EXPECT_LT(0, waited);
}

TEST_HARNESS_MAIN
