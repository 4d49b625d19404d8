// SPDX-License-Identifier: GPL-2.0
/*
 * Who waits for whom: R4, R10, R11 and R12. Asynchronous overwrites leave the inode lock,
 * synchronous ones keep it, reads take none, and truncate waits for all of them.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "blocks.h"
#include "harness.h"

VOL_FIXTURE(dio_locks);
FIXTURE_VARIANT_ADD(dio_locks, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_locks, bs4k) { .conf = SMALL_4K };

/*
 * R4 and R10: async overwrites return from io_submit with their bios held, one
 * after the other, and the inode lock is free; truncate waits for them.
 */
TEST_F(dio_locks, r10_overwrite_and_truncate)
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
	vol_sync();
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

/* R11: a synchronous write holds the inode lock until its data is written. */
TEST_F(dio_locks, r11_sync_overwrite_keeps_the_lock)
{
	const off_t bs = self->v.bs, size = 32 * bs, len = 8 * bs;
	char *buf = buf_alloc(len), *small = buf_alloc(bs), *back = buf_alloc(size);
	struct task over, write, cut;
	struct io_op ov, wr, tr;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	vol_sync();
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

/* Synchronous overwrites of one file are in flight side by side; an extend waits for all of them. */
TEST_F(dio_locks, overwrites_side_by_side)
{
	const off_t bs = self->v.bs, len = 2 * bs, size = 32 * bs;
	char *buf = buf_alloc(size), *back = buf_alloc(size + len);
	struct counters c0 = {}, c1 = {};
	struct task over[4], extend;
	struct io_op ov[4], ext;
	int fd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	/* the first write finds out that there are no set-id bits */
	pattern_fill(buf, size, 0, 2);
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	for (i = 0; i < 4; i++) {
		ov[i] = (struct io_op){ fd, buf + i * len, len, i * len };
		ASSERT_EQ(0, task_start(&over[i], op_pwrite, &ov[i]));
		ASSERT_BLOCKED(&over[i]);
	}
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.requests_write + 4, c1.requests_write);
	}
	ext = (struct io_op){ fd, buf, len, size };
	ASSERT_EQ(0, task_start(&extend, op_pwrite, &ext));
	EXPECT_BLOCKED(&extend);
	EXPECT_EQ(size, file_size(fd));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(len, task_join(&over[i], JOIN_SECONDS));
	EXPECT_EQ(len, task_join(&extend, JOIN_SECONDS));
	ASSERT_EQ(size + len, pread(fd, back, size + len, 0));
	EXPECT_PATTERN(back, 4 * len, 0, 2);
	EXPECT_PATTERN(back + 4 * len, size - 4 * len, 4 * len, 1);
	EXPECT_EQ(0, memcmp(back + size, buf, len));
}

/* The set-id bits go with the first write by somebody without the capability, an overwrite too. */
TEST_F(dio_locks, overwrite_of_a_set_id_file)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(bs);
	struct stat st;
	int fd, status;
	pid_t pid;

	ASSERT_EQ(0, vol_prefill("f", 0, 4 * bs, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	pattern_fill(buf, bs, bs, 2);
	/* without them it was an overwrite that anybody may make beside others */
	ASSERT_EQ(bs, pwrite(fd, buf, bs, bs));
	ASSERT_EQ(0, fchmod(fd, 06755));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(setuid(65534) || pwrite(fd, buf, bs, bs) != bs ? 1 : 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0755, st.st_mode & 07777);
}

/* R12: a read under way, sync or async, keeps no writer out; a truncate waits. */
TEST_F(dio_locks, r12_reads_hold_no_lock)
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
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	/* to append, the way to the block and the bitmaps must be in memory */
	pattern_fill(buf, bs, size, 2);
	ASSERT_EQ(bs, pwrite(bfd, buf, bs, size));
	ASSERT_EQ(0, fsync(bfd));
	vol_sync();
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

/* Blocks that were looked up, and freed, are another's: a look-up does not find them again. */
TEST_F(dio_locks, freed_blocks_are_forgotten)
{
	const size_t bs = self->v.bs, len = 64 * bs, kept = 20 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	int fd, gd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	gd = vol_open("g", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, gd);
	pattern_fill(buf, len, 0, 1);
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	ASSERT_EQ(0, ftruncate(fd, kept));
	/* others can have them */
	vol_sync();
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(len, pwrite(gd, buf, len, 0));
	ASSERT_EQ(0, ftruncate(fd, len));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, kept, 0, 1);
	EXPECT_ZERO(back + kept, len - kept, kept);
	/* and what is written there now is of no other file */
	pattern_fill(buf, len, 0, 3);
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(len, pread(gd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
}

TEST_HARNESS_MAIN
