// SPDX-License-Identifier: GPL-2.0
/*
 * Direct writes that extend a file: loopholes 1 and 2, R8 and R13. i_size says what is on
 * the device, and no stale data is exposed, neither past the old i_size nor past the new.
 * The bios in question are held: the other party is let run until it has returned or is
 * blocked for good, and what it sees then is compared with what it may see.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "ext2.h"
#include "harness.h"

VOL_FIXTURE(dio_extend);
FIXTURE_VARIANT_ADD(dio_extend, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_extend, bs4k) { .conf = SMALL_4K };

/*
 * Loophole 1 and R8: while a direct write extends the file, a buffered write
 * that goes further must not carry i_size over blocks that are not written.
 */
TEST_F(dio_extend, loophole1_buffered_write_during_extend)
{
	const off_t bs = self->v.bs, old = 5 * bs, len = 8 * bs;
	const off_t beyond = old + len + 100;
	char *buf = buf_alloc(len), *back = buf_alloc(MIB), small[200];
	struct task extend, append, reader, dreader;
	struct io_op ext, app, rd, drd;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	vol_sync();
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

	/* at the old EOF: nothing yet, by either kind of read */
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
TEST_F(dio_extend, loophole2_async_extend)
{
	const off_t bs = self->v.bs, old = 5 * bs;
	/* from inside the file, over EOF: an overwrite and an extend in one */
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
	vol_sync();
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
TEST_F(dio_extend, loophole2_from_a_hole)
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
	vol_sync();
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

/* The same for one that begins past i_size, in the hole that EOF is in. */
TEST_F(dio_extend, loophole2_behind_the_end_in_a_hole)
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
	ASSERT_EQ(0, ext2_poison_free(&self->v));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	pattern_fill(buf, len, at, 2);
	wr = (struct io_op){ fd, buf, len, at };
	for (size = at; size > at - 512; size -= 300) {
		ASSERT_EQ(0, ftruncate(fd, old));
		ASSERT_EQ(0, ftruncate(fd, size));
		vol_sync();
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, bfd,
			   9 * bs / 4096 * 4096);
		ASSERT_NE(MAP_FAILED, map);
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
		EXPECT_BLOCKED(&writer);
		EXPECT_EQ(size, file_size(bfd));
		/* what is stored in the hole meanwhile, below i_size, is kept */
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
 * A reader that reads the page of the old EOF while the extend is under way
 * caches zeros beyond EOF. They must not stay when i_size moves.
 */
TEST_F(dio_extend, extend_and_the_cached_end)
{
	const off_t bs = self->v.bs, len = 8 * bs;
	char *buf = buf_alloc(MIB), *back = buf_alloc(MIB);
	struct task extend;
	struct io_op ext;
	off_t old = bs;
	int round, fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, old, 1));
	vol_sync();
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
		/* EOF in the middle of a page, the next time */
		ASSERT_EQ(0, posix_fadvise(bfd, 0, 0, POSIX_FADV_DONTNEED));
	}
}

/*
 * R13 while EOF moves: a read over EOF is in flight during an append.
 * It may say the old size or the new; what it returns must be the file's bytes.
 */
TEST_F(dio_extend, r13_read_over_a_moving_end)
{
	const off_t bs = self->v.bs, size = 3 * bs + 100, more = 300;
	char *back = buf_alloc(64 * KIB), buf[300];
	struct task reader, append;
	struct io_op app;
	struct iocb cb;
	long n;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	vol_sync();
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
 * A reader at the moving EOF: whatever size it sees, and whatever a
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

TEST_F(dio_extend, readers_at_the_moving_end)
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
		ASSERT_LE(0, task_join(&t[i], JOIN_SECONDS))
			TH_LOG("the %s reader: %s", i ? "direct" : "buffered", w[i].diff);
		EXPECT_LT(0, w[i].seen);
	}
}

TEST_HARNESS_MAIN
