// SPDX-License-Identifier: GPL-2.0
/*
 * The contract of the direct I/O worker, rule by rule (R1 ... and the four
 * loopholes of the documentation). Each race is made certain: the bios in
 * question are held by a suspended device, the other party is let run until it
 * has returned or is blocked for good, what may be seen then is compared with
 * what is seen, and only after that the bios are released.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "harness.h"

VOL_FIXTURE(dio_rules);
FIXTURE_VARIANT_ADD(dio_rules, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_rules, bs4k) { .conf = VOL_4K };

#define ASSERT_BLOCKED(t)	ASSERT_TRUE(task_settles(t, TASK_BLOCKED))
#define EXPECT_BLOCKED(t)	EXPECT_TRUE(task_settles(t, TASK_BLOCKED))
#define ASSERT_DONE(t)		ASSERT_TRUE(task_settles(t, TASK_DONE))

static blkcnt_t blocks_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -errno : st.st_blocks;
}

/*
 * Loophole 1 and R8: while a direct write extends the file, a buffered write
 * that goes further must not carry i_size over blocks that are not written.
 */
TEST_F(dio_rules, loophole1_buffered_write_during_extend)
{
	const off_t bs = self->v.bs, old = 5 * bs, len = 8 * bs;
	const off_t beyond = old + len + 100;
	char *buf = buf_alloc(len), *back = buf_alloc(MIB), small[200];
	struct task extend, append, reader, dreader;
	struct io_op ext, app, rd, drd;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, len, old, 2);
	ext = (struct io_op){ fd, buf, len, old };
	ASSERT_EQ(0, task_start(&extend, op_pwrite, &ext));
	ASSERT_BLOCKED(&extend);
	EXPECT_EQ(old, file_size(bfd));

	pattern_fill(small, sizeof(small), beyond, 3);
	app = (struct io_op){ bfd, small, sizeof(small), beyond };
	ASSERT_EQ(0, task_start(&append, op_pwrite, &app));
	EXPECT_BLOCKED(&append);
	EXPECT_EQ(old, file_size(bfd));

	/* at the moving end: nothing yet, by either kind of read */
	rd = (struct io_op){ bfd, back, 64 * KIB, old };
	ASSERT_EQ(0, task_start(&reader, op_pread, &rd));
	ASSERT_DONE(&reader);
	EXPECT_EQ(0, task_join(&reader, JOIN_SECONDS));
	drd = (struct io_op){ fd, buf_alloc(64 * KIB), 64 * KIB, old };
	ASSERT_EQ(0, task_start(&dreader, op_pread, &drd));
	if (task_settle(&dreader) == TASK_DONE)
		EXPECT_EQ(0, dreader.ret);

	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(len, task_join(&extend, JOIN_SECONDS));
	EXPECT_EQ(sizeof(small), task_join(&append, JOIN_SECONDS));
	ASSERT_LE(0, task_join(&dreader, JOIN_SECONDS));
	EXPECT_PATTERN(drd.buf, dreader.ret < len ? dreader.ret : len, old, 2);

	EXPECT_EQ(beyond + sizeof(small), file_size(bfd));
	ASSERT_EQ(beyond + sizeof(small), pread(bfd, back, MIB, 0));
	EXPECT_PATTERN(back, old, 0, 1);
	EXPECT_PATTERN(back + old, len, old, 2);
	EXPECT_ZERO(back + old + len, 100, old + len);
	EXPECT_PATTERN(back + beyond, sizeof(small), beyond, 3);
	close(fd);
	close(bfd);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(beyond + sizeof(small), vol_read("f", 0, back, MIB, 0));
	EXPECT_PATTERN(back, old, 0, 1);
	EXPECT_PATTERN(back + old, len, old, 2);
	EXPECT_ZERO(back + old + len, 100, old + len);
	EXPECT_PATTERN(back + beyond, sizeof(small), beyond, 3);
}

/* Loophole 2, R7 and R8: an async extend shows its size when its data is there. */
TEST_F(dio_rules, loophole2_async_extend)
{
	const off_t bs = self->v.bs, old = 5 * bs;
	/* from inside the file, over its end: an overwrite and an extend in one */
	const off_t from = 3 * bs, len = 30 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(MIB);
	struct counters c0 = {}, c1 = {};
	struct submit_op sub;
	struct task submit, reader;
	struct io_event ev;
	struct iocb cb, *list = &cb;
	aio_context_t ctx;
	struct io_op rd;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, aio_setup(4, &ctx));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, len, from, 2);
	aio_prep_write(&cb, fd, buf, len, from);
	sub = (struct submit_op){ ctx, 1, &list };
	ASSERT_EQ(0, task_start(&submit, op_submit, &sub));
	/* it may wait in io_submit, as this worker does, or in the queue */
	ASSERT_NE(TASK_UNSETTLED, task_settle(&submit));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	EXPECT_EQ(old, file_size(bfd));
	rd = (struct io_op){ bfd, back, MIB, old };
	ASSERT_EQ(0, task_start(&reader, op_pread, &rd));
	ASSERT_DONE(&reader);
	EXPECT_EQ(0, task_join(&reader, JOIN_SECONDS));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));

	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	/* with the event, and not some time after it */
	EXPECT_EQ(from + len, file_size(bfd));
	EXPECT_EQ(len, ev.res);
	EXPECT_EQ(1, task_join(&submit, JOIN_SECONDS));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(from + len, pread(bfd, back, MIB, 0));
	EXPECT_PATTERN(back, from, 0, 1);
	EXPECT_PATTERN(back + from, len, from, 2);
	ASSERT_EQ(from + len, pread(fd, back, MIB, 0));
	EXPECT_PATTERN(back + from, len, from, 2);
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.sync_extend + 1, c1.sync_extend);
		EXPECT_EQ(c0.buffered_fallback, c1.buffered_fallback);
	}
}

/*
 * The same for a write that starts in a hole: the page cache takes what is
 * inside the file, and no more.
 */
TEST_F(dio_rules, loophole2_from_a_hole)
{
	const off_t bs = self->v.bs, old = 5 * bs, size = 9 * bs + 700;
	const off_t len = 28 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(MIB);
	struct task writer;
	struct io_op wr;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, ftruncate(fd, size));
	sync();
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, len, old, 2);
	wr = (struct io_op){ fd, buf, len, old };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	EXPECT_EQ(TASK_BLOCKED, task_settle(&writer));
	EXPECT_EQ(size, file_size(bfd));

	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(len, task_join(&writer, JOIN_SECONDS));
	EXPECT_EQ(old + len, file_size(bfd));
	ASSERT_EQ(old + len, pread(fd, back, MIB, 0));
	EXPECT_PATTERN(back, old, 0, 1);
	EXPECT_PATTERN(back + old, len, old, 2);
	ASSERT_EQ(old + len, pread(bfd, back, MIB, 0));
	EXPECT_PATTERN(back + old, len, old, 2);
}

/* The same for one that begins behind the end, in the hole that the end is in. */
TEST_F(dio_rules, loophole2_behind_the_end_in_a_hole)
{
	const off_t bs = self->v.bs, old = 5 * bs, at = 9 * bs + 512, len = 20 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(MIB), *map;
	struct task writer;
	struct io_op wr;
	int fd, bfd;
	off_t size;

	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, vol_poison_free(&self->v));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	pattern_fill(buf, len, at, 2);
	wr = (struct io_op){ fd, buf, len, at };
	for (size = at; size > at - 512; size -= 300) {
		ASSERT_EQ(0, ftruncate(fd, old));
		ASSERT_EQ(0, ftruncate(fd, size));
		sync();
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, bfd,
			   9 * bs / 4096 * 4096);
		ASSERT_NE(MAP_FAILED, map);
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
		EXPECT_BLOCKED(&writer);
		EXPECT_EQ(size, file_size(bfd));
		/* what is stored in the hole meanwhile, before the end, is kept */
		map[9 * bs % 4096 + 10] = 'x';
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(len, task_join(&writer, JOIN_SECONDS));
		ASSERT_EQ(0, munmap(map, 4096));
		EXPECT_EQ(at + len, file_size(bfd));
		EXPECT_EQ(0, fsync(bfd));
		ASSERT_EQ(at + len, pread(fd, back, MIB, 0));
		EXPECT_PATTERN(back, old, 0, 1);
		EXPECT_PATTERN(back + at, len, at, 2);
		EXPECT_EQ('x', back[9 * bs + 10]);
		back[9 * bs + 10] = 0;
		EXPECT_ZERO(back + old, at - old, old);
	}
	/* refused by the device: as if it had not been */
	for (size = at; size > at - 512; size -= 300) {
		ASSERT_EQ(0, ftruncate(fd, old));
		ASSERT_EQ(0, ftruncate(fd, size));
		ASSERT_EQ(0, vol_fail(&self->v, NULL));
		EXPECT_EQ(-EIO, do_write(SYNC, fd, buf, len, at));
		EXPECT_EQ(size, file_size(bfd));
		ASSERT_EQ(0, vol_unroute(&self->v));
		ASSERT_EQ(size, pread(bfd, back, MIB, 0));
		EXPECT_ZERO(back + old, size - old, old);
	}
}

/*
 * A reader that looks at the page of the old end while the extend is under way
 * caches zeros behind that end. They must not stay when the size moves.
 */
TEST_F(dio_rules, extend_and_the_cached_end)
{
	const off_t bs = self->v.bs, len = 8 * bs;
	char *buf = buf_alloc(MIB), *back = buf_alloc(MIB);
	struct task extend;
	struct io_op ext;
	off_t old = bs;
	int round, fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDONLY);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	for (round = 0; round < 4; round++) {
		pattern_fill(buf, len, old, 1);
		ext = (struct io_op){ fd, buf, len, old };
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, task_start(&extend, op_pwrite, &ext));
		ASSERT_BLOCKED(&extend);
		ASSERT_EQ(old, pread(bfd, back, MIB, 0));
		ASSERT_PATTERN(back, old, 0, 1);
		ASSERT_EQ(0, vol_release_routed(&self->v));
		ASSERT_EQ(len, task_join(&extend, JOIN_SECONDS));
		old += len;
		ASSERT_EQ(old, pread(bfd, back, MIB, 0));
		ASSERT_PATTERN(back, old, 0, 1);
		/* an end in the middle of a page, the next time */
		ASSERT_EQ(0, posix_fadvise(bfd, 0, 0, POSIX_FADV_DONTNEED));
	}
}

/* Loophole 3 and R9: the event of a write into a hole comes after its data. */
TEST_F(dio_rules, loophole3_async_write_to_hole)
{
	const off_t bs = self->v.bs, at = 6 * bs, len = 8 * bs, size = 32 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(size), *back2 = buf_alloc(size);
	struct counters c0 = {}, c1 = {};
	struct task submit, reader;
	struct submit_op sub;
	struct io_event ev;
	struct iocb cb, *list = &cb;
	aio_context_t ctx;
	struct io_op rd;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", size - bs, bs, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, aio_setup(4, &ctx));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, len, at, 2);
	aio_prep_write(&cb, fd, buf, len, at);
	sub = (struct submit_op){ ctx, 1, &list };
	ASSERT_EQ(0, task_start(&submit, op_submit, &sub));
	ASSERT_NE(TASK_UNSETTLED, task_settle(&submit));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	/* old or new, but not what the disk held there */
	rd = (struct io_op){ bfd, back, len, at };
	ASSERT_EQ(0, task_start(&reader, op_pread, &rd));
	if (task_settle(&reader) == TASK_DONE) {
		EXPECT_EQ(len, reader.ret);
		EXPECT_TRUE(!zero_diff(back, len, at) || !pattern_diff(back, len, at, 2));
	}
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));

	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	ASSERT_EQ(len, pread(fd, back2, len, at));
	EXPECT_PATTERN(back2, len, at, 2);
	EXPECT_EQ(len, ev.res);
	EXPECT_EQ(1, task_join(&submit, JOIN_SECONDS));
	EXPECT_EQ(len, task_join(&reader, JOIN_SECONDS));
	EXPECT_FALSE(has_poison(back, len));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(size, pread(bfd, back, size, 0));
	EXPECT_ZERO(back, at, 0);
	EXPECT_PATTERN(back + at, len, at, 2);
	EXPECT_ZERO(back + at + len, size - bs - at - len, at + len);
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.sync_hole + 1, c1.sync_hole);
		EXPECT_EQ(c0.buffered_fallback + 1, c1.buffered_fallback);
	}
}

/*
 * Loophole 4 and R9: allocated blocks and then a hole. Only the bios of the
 * allocated part are held: a worker that goes on without them can complete.
 */
TEST_F(dio_rules, loophole4_allocated_then_hole)
{
	const off_t bs = self->v.bs, part = 8 * bs, len = 16 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct counters c0 = {}, c1 = {};
	struct submit_op sub;
	struct vol_map map;
	struct task submit;
	struct io_event ev;
	struct iocb cb, *list = &cb;
	aio_context_t ctx;
	blkcnt_t blocks;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, part, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), len));
	sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, part, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	blocks = blocks_of(bfd);
	ASSERT_EQ(0, aio_setup(4, &ctx));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, len, 0, 2);
	aio_prep_write(&cb, fd, buf, len, 0);
	sub = (struct submit_op){ ctx, 1, &list };
	ASSERT_EQ(0, task_start(&submit, op_submit, &sub));
	ASSERT_NE(TASK_UNSETTLED, task_settle(&submit));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	/* what was issued is waited for first: the hole is still one */
	EXPECT_EQ(blocks, blocks_of(bfd));
	ASSERT_EQ(part, pread(bfd, back, part, part));
	EXPECT_ZERO(back, part, part);
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));

	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	/* the buffer is ours again: nothing may be in flight from it */
	memset(buf, 0x77, len);
	EXPECT_EQ(len, ev.res);
	EXPECT_EQ(1, task_join(&submit, JOIN_SECONDS));
	sync();
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	EXPECT_EQ(0, vol_find(&self->v, 0, len, 2, &map));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.sync_hole + 1, c1.sync_hole);
		EXPECT_EQ(c0.buffered_fallback + 1, c1.buffered_fallback);
	}
}

/* The same by a synchronous write, with allocated blocks behind the hole too. */
TEST_F(dio_rules, loophole4_sync_with_hole_inside)
{
	/* in whole pages: a reader of the hole must not need what is held */
	const off_t page = 4096, part = 6 * page, hole = 4 * page, len = 16 * page;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct vol_map map;
	struct task write;
	struct io_op wr;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, part, 1));
	ASSERT_EQ(0, vol_prefill("f", part + hole, part, 1));
	sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, part, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, len, 0, 2);
	wr = (struct io_op){ fd, buf, len, 0 };
	ASSERT_EQ(0, task_start(&write, op_pwrite, &wr));
	ASSERT_BLOCKED(&write);
	ASSERT_EQ(hole, pread(bfd, back, hole, part));
	EXPECT_ZERO(back, hole, part);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(len, task_join(&write, JOIN_SECONDS));
	memset(buf, 0x77, len);
	sync();
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	EXPECT_EQ(0, vol_find(&self->v, 0, len, 2, &map));
}

/*
 * R4 and R10: async overwrites return from io_submit with their bios held, one
 * after the other, and the inode lock is free; truncate waits for them.
 */
TEST_F(dio_rules, r10_overwrite_and_truncate)
{
	const off_t bs = self->v.bs, len = 8 * bs, size = 32 * bs;
	char *buf = buf_alloc(2 * len), *small = buf_alloc(bs), *back = buf_alloc(size);
	struct iocb cb[2], *list[2] = { &cb[0], &cb[1] };
	struct task submit[2], write, cut;
	struct counters c0 = {}, c1 = {};
	struct io_op wr, tr;
	struct submit_op sub[2];
	struct io_event ev[2];
	struct statfs st0, st1;
	aio_context_t ctx;
	blkcnt_t blocks;
	int fd, bfd, i;

	ASSERT_EQ(0, statfs(env_dir(), &st0));
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	blocks = blocks_of(bfd);
	ASSERT_EQ(size, pread(bfd, back, size, 0));
	ASSERT_EQ(0, aio_setup(4, &ctx));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, 2 * len, 0, 2);
	for (i = 0; i < 2; i++) {
		aio_prep_write(&cb[i], fd, buf + i * len, len, i * len);
		sub[i] = (struct submit_op){ ctx, 1, &list[i] };
		ASSERT_EQ(0, task_start(&submit[i], op_submit, &sub[i]));
		ASSERT_DONE(&submit[i]);
		ASSERT_EQ(1, task_join(&submit[i], JOIN_SECONDS));
	}
	pattern_fill(small, bs, size - bs, 3);
	wr = (struct io_op){ bfd, small, bs, size - bs };
	ASSERT_EQ(0, task_start(&write, op_pwrite, &wr));
	ASSERT_DONE(&write);
	EXPECT_EQ(bs, task_join(&write, JOIN_SECONDS));

	tr = (struct io_op){ bfd, NULL, 0, 4 * bs };
	ASSERT_EQ(0, task_start(&cut, op_ftruncate, &tr));
	EXPECT_BLOCKED(&cut);
	EXPECT_EQ(blocks, blocks_of(bfd));
	EXPECT_EQ(0, aio_events(ctx, 0, 2, ev, 0));

	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(2, aio_events(ctx, 2, 2, ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev[0].res);
	EXPECT_EQ(len, ev[1].res);
	EXPECT_EQ(0, task_join(&cut, JOIN_SECONDS));
	EXPECT_EQ(4 * bs, file_size(bfd));
	ASSERT_EQ(4 * bs, pread(fd, back, size, 0));
	EXPECT_PATTERN(back, 4 * bs, 0, 2);
	ASSERT_EQ(0, statfs(env_dir(), &st1));
	EXPECT_EQ(4, st0.f_bfree - st1.f_bfree);
	if (env_is_retryfs()) {
		/* held, so that each had to be retried, and once is enough */
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.async + 2, c1.async);
		EXPECT_EQ(c0.retries + 2, c1.retries);
		EXPECT_EQ(c0.sync_extend, c1.sync_extend);
		EXPECT_EQ(c0.sync_hole, c1.sync_hole);
	}
}

/* R3: a request of many bios is woken for the last one, and for no other. */
TEST_F(dio_rules, r3_one_retry_for_many_bios)
{
	const off_t bs = self->v.bs;
	const size_t len = 512 * bs, piece = 4 * bs;
	char *buf = buf_alloc(len);
	struct counters c0 = {}, c1 = {};
	struct io_event ev;
	struct iocb cb;
	aio_context_t ctx;
	size_t pos;
	int fd, gd;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	/* two files grown in turns: each is in pieces on the disk */
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	gd = vol_open("g", O_CREAT | O_RDWR | O_DIRECT);
	pattern_fill(buf, len, 0, 1);
	for (pos = 0; pos < len; pos += piece) {
		ASSERT_EQ(piece, pwrite(fd, buf + pos, piece, pos));
		ASSERT_EQ(piece, pwrite(gd, buf + pos, piece, pos));
	}
	sync();
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, len, 0, 2);
	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	ASSERT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.retries + 1, c1.retries);
	EXPECT_EQ(c0.async + 1, c1.async);
	ASSERT_EQ(len, pread(fd, buf, len, 0));
	EXPECT_PATTERN(buf, len, 0, 2);
	ASSERT_EQ(len, pread(gd, buf, len, 0));
	EXPECT_PATTERN(buf, len, 0, 1);
}

/* R5: memory read into is dirty afterwards, though it was clean in between. */
TEST_F(dio_rules, r5_read_into_a_mapping)
{
	const size_t len = 64 * KIB;
	char *map, *back = buf_alloc(len);
	struct io_event ev;
	struct vol_map src;
	struct iocb cb;
	aio_context_t ctx;
	int fd, tfd;

	ASSERT_EQ(0, vol_prefill("src", 0, len, 1));
	ASSERT_EQ(0, vol_prefill("dst", 0, len, 2));
	sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, len, 1, &src));
	fd = vol_open("src", O_RDONLY | O_DIRECT);
	tfd = vol_open("dst", O_RDWR);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, tfd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_route(&self->v, &src));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	aio_prep_read(&cb, fd, map, len, 0);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	/*
	 * The pages are pinned and dirty; write them, which makes them clean.
	 * Not by msync(2): it flushes the device, which is held.
	 */
	ASSERT_EQ(0, sync_file_range(tfd, 0, len, SYNC_FILE_RANGE_WAIT_BEFORE |
				     SYNC_FILE_RANGE_WRITE |
				     SYNC_FILE_RANGE_WAIT_AFTER));
	ASSERT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	ASSERT_EQ(len, ev.res);
	EXPECT_PATTERN(map, len, 0, 1);
	munmap(map, len);
	close(tfd);
	close(fd);
	ASSERT_EQ(0, aio_destroy(ctx));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(len, vol_read("dst", 0, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 1);
}

/* R11: a synchronous write holds the inode lock until its data is written. */
TEST_F(dio_rules, r11_sync_overwrite_keeps_the_lock)
{
	const off_t bs = self->v.bs, size = 32 * bs, len = 8 * bs;
	char *buf = buf_alloc(len), *small = buf_alloc(bs), *back = buf_alloc(size);
	struct task over, write, cut;
	struct io_op ov, wr, tr;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(size, pread(bfd, back, size, 0));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, len, 0, 2);
	ov = (struct io_op){ fd, buf, len, 0 };
	ASSERT_EQ(0, task_start(&over, op_pwrite, &ov));
	ASSERT_BLOCKED(&over);
	pattern_fill(small, bs, size - bs, 3);
	wr = (struct io_op){ bfd, small, bs, size - bs };
	ASSERT_EQ(0, task_start(&write, op_pwrite, &wr));
	EXPECT_BLOCKED(&write);
	tr = (struct io_op){ bfd, NULL, 0, size - bs / 2 };
	ASSERT_EQ(0, task_start(&cut, op_ftruncate, &tr));
	EXPECT_BLOCKED(&cut);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(len, task_join(&over, JOIN_SECONDS));
	EXPECT_EQ(bs, task_join(&write, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&cut, JOIN_SECONDS));
	ASSERT_LE(size - bs, pread(bfd, back, size, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	EXPECT_PATTERN(back + len, size - len - bs, len, 1);
}

/* R12: a read under way, sync or async, keeps no writer out; a truncate waits. */
TEST_F(dio_rules, r12_reads_hold_no_lock)
{
	const off_t bs = self->v.bs, size = 32 * bs, len = 8 * bs;
	char *back = buf_alloc(size), *aback = buf_alloc(size), *buf = buf_alloc(bs);
	struct task submit, reader, append, cut;
	struct io_op rd, app, tr;
	struct submit_op sub;
	struct io_event ev;
	struct iocb cb, *list = &cb;
	aio_context_t ctx;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	/* to append, the way to the block and the bitmaps must be in memory */
	pattern_fill(buf, bs, size, 2);
	ASSERT_EQ(bs, pwrite(bfd, buf, bs, size));
	ASSERT_EQ(0, fsync(bfd));
	sync();
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_hold(&self->v));

	aio_prep_read(&cb, fd, aback, len, 0);
	sub = (struct submit_op){ ctx, 1, &list };
	ASSERT_EQ(0, task_start(&submit, op_submit, &sub));
	ASSERT_DONE(&submit);
	ASSERT_EQ(1, task_join(&submit, JOIN_SECONDS));
	rd = (struct io_op){ fd, back, len, len };
	ASSERT_EQ(0, task_start(&reader, op_pread, &rd));
	ASSERT_BLOCKED(&reader);

	pattern_fill(buf, bs, size + bs, 3);
	app = (struct io_op){ bfd, buf, bs, size + bs };
	ASSERT_EQ(0, task_start(&append, op_pwrite, &app));
	ASSERT_DONE(&append);
	EXPECT_EQ(bs, task_join(&append, JOIN_SECONDS));
	EXPECT_EQ(size + 2 * bs, file_size(bfd));
	EXPECT_FALSE(task_done(&reader));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));

	/* the blocks being read must not go to another file meanwhile */
	tr = (struct io_op){ bfd, NULL, 0, 0 };
	ASSERT_EQ(0, task_start(&cut, op_ftruncate, &tr));
	EXPECT_BLOCKED(&cut);

	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	EXPECT_PATTERN(aback, len, 0, 1);
	EXPECT_EQ(len, task_join(&reader, JOIN_SECONDS));
	EXPECT_PATTERN(back, len, len, 1);
	EXPECT_EQ(0, task_join(&cut, JOIN_SECONDS));
	EXPECT_EQ(0, file_size(bfd));
}

/*
 * R13 while the end moves: a read over the end is under way, somebody appends.
 * It may say the old size or the new; what it returns must be the file's bytes.
 */
TEST_F(dio_rules, r13_read_over_a_moving_end)
{
	const off_t bs = self->v.bs, size = 3 * bs + 100, more = 300;
	char *back = buf_alloc(64 * KIB), buf[300];
	struct task reader, append;
	struct io_op app;
	struct iocb cb;
	long n;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(100, pread(bfd, back, 4096, 3 * bs));
	ASSERT_EQ(0, vol_hold(&self->v));
	memset(back, 0xaa, 64 * KIB);
	aio_prep_read(&cb, fd, back, 64 * KIB, 0);
	/* by R7 it may be waited for in io_submit, or not */
	ASSERT_EQ(0, task_start(&reader, op_aio_do, &cb));
	ASSERT_BLOCKED(&reader);
	pattern_fill(buf, more, size, 1);
	app = (struct io_op){ bfd, buf, more, size };
	ASSERT_EQ(0, task_start(&append, op_pwrite, &app));
	ASSERT_DONE(&append);
	ASSERT_EQ(more, task_join(&append, JOIN_SECONDS));
	ASSERT_EQ(0, vol_release(&self->v));
	n = task_join(&reader, JOIN_SECONDS);
	ASSERT_LE(size, n);
	ASSERT_GE(size + more, n);
	EXPECT_PATTERN(back, n, 0, 1);
	EXPECT_FALSE(has_poison(back, 64 * KIB));
}

/*
 * The page cache is invalidated after a direct write too: a reader fills it
 * with what the device still holds while the write is under way.
 */
TEST_F(dio_rules, invalidate_after_the_write)
{
	const off_t bs = self->v.bs, len = 16 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len), *map;
	struct task write;
	struct io_op wr;
	struct iocb cb;
	int gen, fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, bfd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	for (gen = 2; gen <= 3; gen++) {
		pattern_fill(buf, len, 0, gen);
		wr = (struct io_op){ fd, buf, len, 0 };
		aio_prep_write(&cb, fd, buf, len, 0);
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		/* both wait for the end; the second one submits asynchronously */
		ASSERT_EQ(0, gen == 2 ? task_start(&write, op_pwrite, &wr) :
					task_start(&write, op_aio_do, &cb));
		ASSERT_BLOCKED(&write);
		ASSERT_EQ(len, pread(bfd, back, len, 0));
		EXPECT_PATTERN(back, len, 0, gen - 1);
		EXPECT_PATTERN(map, len, 0, gen - 1);
		ASSERT_EQ(0, vol_release_routed(&self->v));
		ASSERT_EQ(len, task_join(&write, JOIN_SECONDS));
		ASSERT_EQ(len, pread(bfd, back, len, 0));
		EXPECT_PATTERN(back, len, 0, gen);
		EXPECT_PATTERN(map, len, 0, gen);
	}
	munmap(map, len);
}

/*
 * Somebody stores through a mapping what a direct write that is under way writes
 * too. That cannot be dropped, and one of both gets lost: the next fsync says so.
 * A store to another page is no such thing.
 */
TEST_F(dio_rules, collision_is_told)
{
	static const char *const told[] = { "Page cache invalidation failure on direct I/O", NULL };
	const off_t bs = self->v.bs, page = 4096;
	char *buf = buf_alloc(page), *map;
	struct io_event event;
	aio_context_t ctx = 0;
	struct iocb cb;
	int i, fd, bfd, kmsg;

	ASSERT_EQ(0, vol_prefill("f", 0, 4 * page, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	map = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, bfd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	/* the first time into another page, then into that of the write */
	for (i = 0; i < 2; i++) {
		const off_t pos = page, store = pos + (1 - i) * page + bs / 2;

		kmsg = kmsg_open();
		ASSERT_LE(0, kmsg);
		pattern_fill(buf, page, pos, 2 + i);
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		aio_prep_write(&cb, fd, buf, page, pos);
		ASSERT_EQ(0, aio_submit_one(ctx, &cb));
		map[store] = 'x';
		ASSERT_EQ(0, vol_release_routed(&self->v));
		ASSERT_EQ(1, aio_events(ctx, 1, 1, &event, JOIN_SECONDS * 1000));
		EXPECT_EQ(page, event.res);
		EXPECT_EQ(i, kmsg_has(kmsg, told));
		close(kmsg);
		errno = 0;
		EXPECT_EQ(i ? -1 : 0, fsync(bfd));
		EXPECT_EQ(i ? EIO : 0, errno);
		EXPECT_EQ(0, fsync(bfd));
		EXPECT_EQ('x', map[store]);
	}
	aio_destroy(ctx);
	munmap(map, 4 * page);
}

/*
 * A reader that sits at the moving end: whatever size it sees, and whatever a
 * read there returns, the bytes are those that were written.
 */
struct watch {
	int fd;
	char *buf;
	atomic_bool stop;
	off_t seen;
	char diff[256];
};

static long watch_end(void *arg)
{
	struct watch *w = arg;

	while (!w->stop) {
		off_t size = file_size(w->fd);
		const char *diff;
		ssize_t n;

		if (size < w->seen) {
			snprintf(w->diff, sizeof(w->diff), "the size went back");
			return -EINVAL;
		}
		/* more than there is, by whole sectors for the direct reader */
		n = pread(w->fd, w->buf, 256 * KIB, w->seen & ~511UL);
		if (n < 0)
			return -errno;
		if ((w->seen & ~511UL) + n < size && n < (ssize_t)(256 * KIB)) {
			snprintf(w->diff, sizeof(w->diff), "a size without its data");
			return -EINVAL;
		}
		diff = pattern_diff(w->buf, n, w->seen & ~511UL, 1);
		if (diff) {
			snprintf(w->diff, sizeof(w->diff), "%s", diff);
			return -EINVAL;
		}
		w->seen = (w->seen & ~511UL) + n;
	}
	return w->seen;
}

TEST_F(dio_rules, readers_at_the_moving_end)
{
	enum { ROUNDS = 60 };
	char *buf = buf_alloc(64 * KIB);
	struct watch w[2] = {};
	struct task t[2], write;
	struct io_op wr;
	struct iocb cb;
	off_t end = 0;
	int i, fd, bfd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	for (i = 0; i < 2; i++) {
		w[i].fd = vol_open("f", O_RDONLY | (i ? O_DIRECT : 0));
		w[i].buf = buf_alloc(256 * KIB);
		ASSERT_EQ(0, task_start(&t[i], watch_end, &w[i]));
	}
	for (i = 0; i < ROUNDS; i++) {
		size_t len = 512 * (1 + (i * 13) % 61);

		pattern_fill(buf, len, end, 1);
		wr = (struct io_op){ i % 4 == 3 ? bfd : fd, buf, len, end };
		aio_prep_write(&cb, fd, buf, len, end);
		/* now and then the device keeps the data back for a while */
		if (i % 8 < 3)
			ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, i & 1 ? task_start(&write, op_pwrite, &wr) :
				     task_start(&write, op_aio_do, &cb));
		ASSERT_NE(TASK_UNSETTLED, task_settle(&write));
		if (i % 8 < 3) {
			EXPECT_EQ(end, file_size(fd));
			ASSERT_EQ(0, vol_release_routed(&self->v));
		}
		ASSERT_EQ(len, task_join(&write, JOIN_SECONDS));
		end += len;
		ASSERT_EQ(end, file_size(fd));
	}
	for (i = 0; i < 2; i++) {
		w[i].stop = true;
		ASSERT_LE(0, task_join(&t[i], JOIN_SECONDS)) TH_LOG("%s", w[i].diff);
		EXPECT_LT(0, w[i].seen);
	}
}

/* What was read and written shows in the counters, each under its own name. */
TEST_F(dio_rules, counters)
{
	const off_t bs = self->v.bs, len = 4 * bs;
	struct counters c0, c;
	char *buf = buf_alloc(len);
	struct iocb cb;
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);

	ASSERT_EQ(len, pwrite(fd, buf, len, 0));	/* extends */
	ASSERT_EQ(0, vol_counters(&self->v, &c));
	EXPECT_EQ(c0.requests_write + 1, c.requests_write);
	EXPECT_EQ(c0.async, c.async);
	EXPECT_EQ(c0.retries, c.retries);

	ASSERT_EQ(len, pread(fd, buf, len, 0));
	ASSERT_EQ(0, vol_counters(&self->v, &c));
	EXPECT_EQ(c0.requests_read + 1, c.requests_read);
	EXPECT_EQ(c0.async, c.async);

	aio_prep_read(&cb, fd, buf, len, 0);
	ASSERT_EQ(len, aio_do(&cb));
	ASSERT_EQ(0, vol_counters(&self->v, &c));
	EXPECT_EQ(c0.requests_read + 2, c.requests_read);
	EXPECT_EQ(c0.async + 1, c.async);

	c0 = c;
	aio_prep_write(&cb, fd, buf, len, len);		/* async extends */
	ASSERT_EQ(len, aio_do(&cb));
	ASSERT_EQ(0, vol_counters(&self->v, &c));
	EXPECT_EQ(c0.sync_extend + 1, c.sync_extend);
	EXPECT_EQ(c0.sync_hole, c.sync_hole);

	ASSERT_EQ(0, ftruncate(fd, 8 * len));
	c0 = c;
	aio_prep_write(&cb, fd, buf, len, 4 * len);	/* async into a hole */
	ASSERT_EQ(len, aio_do(&cb));
	ASSERT_EQ(0, vol_counters(&self->v, &c));
	EXPECT_EQ(c0.sync_hole + 1, c.sync_hole);
	EXPECT_EQ(c0.buffered_fallback + 1, c.buffered_fallback);
	EXPECT_EQ(c0.sync_extend, c.sync_extend);
	EXPECT_EQ(c0.sync_error, c.sync_error);

	/* buffered I/O is nobody's request here */
	c0 = c;
	ASSERT_EQ(0, vol_prefill("g", 0, len, 1));
	ASSERT_EQ(len, vol_read("g", 0, buf, len, 0));
	ASSERT_EQ(0, vol_counters(&self->v, &c));
	EXPECT_EQ(0, memcmp(&c0, &c, sizeof(c)));
}

TEST_HARNESS_MAIN
