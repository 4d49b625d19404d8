// SPDX-License-Identifier: GPL-2.0
/*
 * The state machine of a request: R1, R2, R3, R5, R6 and R14. The last bio queues the
 * retry, or wakes who waits, and none before it; the retry issues nothing, reaps all and
 * completes once.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "blocks.h"
#include "harness.h"
#include "trace.h"

VOL_FIXTURE(dio_retry);
FIXTURE_VARIANT_ADD(dio_retry, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_retry, bs4k) { .conf = SMALL_4K };

#define PIECES	16

/* How long to wait for what is not to come, in milliseconds. */
#define NEVER	3000

/* R3: a request of many bios is woken for the last one, and for no other. */
TEST_F(dio_retry, r3_one_retry_for_many_bios)
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
	vol_sync();
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

/*
 * R3 and R6: many bios, of which all but one end while a submitter waits for them.
 * The submitter of a synchronous request sleeps on, and an asynchronous one has
 * no event, until the last one is there as well.
 */
TEST_F(dio_retry, all_bios_but_one)
{
	const size_t piece = 4 * self->v.bs, len = PIECES * piece;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct vol_map map;
	struct io_event ev;
	struct task writer;
	struct iocb cb;
	aio_context_t ctx;
	struct io_op wr;
	int fd, i;

	fd = make_pieces(&self->v, "f", piece, PIECES);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_find(&self->v, len - piece, piece, 1, &map));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, vol_hold(&self->v));
		pattern_fill(buf, len, 0, 2 + i);
		if (i) {
			aio_prep_write(&cb, fd, buf, len, 0);
			ASSERT_EQ(0, aio_submit_one(ctx, &cb));
		} else {
			wr = (struct io_op){ fd, buf, len, 0 };
			ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
			ASSERT_TRUE(task_settles(&writer, TASK_BLOCKED));
		}
		/* all go, and the last one gets no further than the second device */
		ASSERT_EQ(0, vol_release(&self->v));
		ASSERT_TRUE(i ? aio_events(ctx, 1, 1, &ev, NEVER) == 0 :
				task_settles(&writer, TASK_BLOCKED));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		if (i) {
			ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
			EXPECT_EQ(len, ev.res);
		} else {
			EXPECT_EQ(len, task_join(&writer, JOIN_SECONDS));
		}
		memset(buf, 0x77, len);
		ASSERT_EQ(len, pread(fd, back, len, 0));
		EXPECT_PATTERN(back, len, 0, 2 + i);
	}
}

/* A request without a single bio: no bio will kick it. */
TEST_F(dio_retry, async_without_bios)
{
	const size_t len = 64 * KIB;
	char *back = buf_alloc(len);
	struct io_event ev;
	struct iocb cb;
	aio_context_t ctx;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, len));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	memset(back, 0xaa, len);
	aio_prep_read(&cb, fd, back, len, 0);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, NEVER));
	EXPECT_EQ(len, ev.res);
	EXPECT_ZERO(back, len, 0);
}

/* R5: memory read into is dirty afterwards, though it was clean in between. */
TEST_F(dio_retry, r5_read_into_a_mapping)
{
	const size_t len = 64 * KIB;
	char *map, *back = buf_alloc(len);
	struct counters c0 = {}, c1 = {};
	struct io_event ev;
	struct vol_map src;
	struct iocb cb;
	aio_context_t ctx;
	int fd, tfd;

	ASSERT_EQ(0, vol_prefill("src", 0, len, 1));
	ASSERT_EQ(0, vol_prefill("dst", 0, len, 2));
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, len, 1, &src));
	fd = vol_open("src", O_RDONLY | O_DIRECT);
	tfd = vol_open("dst", O_RDWR);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, tfd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_route(&self->v, &src));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
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
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.retries_queued + 1, c1.retries_queued);
	}
	EXPECT_PATTERN(map, len, 0, 1);
	munmap(map, len);
	close(tfd);
	close(fd);
	ASSERT_EQ(0, aio_destroy(ctx));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(len, vol_read("dst", 0, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 1);
}

/* R1: the kiocb is given back with nothing hanging on it. */
TEST_F(dio_retry, private_is_null_at_the_end)
{
	const size_t len = 16 * KIB;
	char *buf = buf_alloc(len), line[512];
	int i, events = 0, fd;
	struct iocb cb;
	FILE *f;

	/* struct kiocb: the file, the position, the function, and then it */
	trace_write("kprobe_events", "-:rfs_done\n");
	if (trace_write("kprobe_events", "p:rfs_done aio_complete_rw private=+24(%di):x64\n"))
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	trace_clear();
	ASSERT_EQ(0, trace_write("events/kprobes/rfs_done/enable", "1"));
	for (i = 0; i < 4; i++) {
		if (i & 1)
			aio_prep_write(&cb, fd, buf, len, 0);
		else
			aio_prep_read(&cb, fd, buf, len, 0);
		EXPECT_EQ(len, aio_do(&cb));
	}
	ASSERT_EQ(0, trace_write("events/kprobes/rfs_done/enable", "0"));
	f = trace_open();
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || !strstr(line, "rfs_done"))
			continue;
		events++;
		EXPECT_NE(NULL, strstr(line, "private=0x0\n")) TH_LOG("%s", line);
	}
	fclose(f);
	EXPECT_EQ(4, events);
	trace_write("kprobe_events", "-:rfs_done\n");
}

enum { BIOS_MAX = 4 * PIECES };

/* Is the line about a bio for some of these sectors, or about a flush? */
static bool is_bio_for(const char *line, const struct vol_extent *e, int nr)
{
	unsigned long long sector;
	unsigned int len;
	char rwbs[16];
	int i;

	line = strstr(line, ": block_bio_queue: ");
	if (!line || sscanf(line, ": block_bio_queue: %*d,%*d %15s %llu + %u", rwbs, &sector,
			    &len) != 3)
		return false;
	for (i = 0; i < nr; i++)
		if (sector < e[i].sector + e[i].len && e[i].sector < sector + len)
			return true;
	return rwbs[0] == 'F';
}

/*
 * R2, as the trace points tell it: a request is submitted once, its bios are
 * issued before the retry and none after it, and it is completed once. The block
 * layer sees the same: nothing after the retry, by whatever way.
 */
TEST_F(dio_retry, the_retry_issues_nothing)
{
	const size_t piece = 4 * self->v.bs, len = PIECES * piece;
	int submits = 0, bios = 0, queued = 0, retries = 0, completes = 0, fd;
	char *buf = buf_alloc(len), line[512];
	struct vol_extent e[BIOS_MAX] = {};
	struct io_event ev;
	struct iocb cb;
	aio_context_t ctx;
	FILE *f;

	if (!env_is_retryfs())
		SKIP(return, "trace points of retryfs");
	if (trace_write("trace", "\n"))
		SKIP(return, "no tracing");
	fd = make_pieces(&self->v, "f", piece, PIECES);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	trace_clear();
	ASSERT_EQ(0, trace_write("events/retryfs/enable", "1"));
	ASSERT_EQ(0, trace_write("events/block/block_bio_queue/enable", "1"));
	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	ASSERT_EQ(0, trace_write("events/block/block_bio_queue/enable", "0"));
	ASSERT_EQ(0, trace_write("events/retryfs/enable", "0"));
	f = trace_open();
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#')
			continue;
		submits += !!strstr(line, ": retryfs_dio_submit: ");
		retries += !!strstr(line, ": retryfs_dio_retry: ");
		completes += !!strstr(line, ": retryfs_dio_complete: ");
		if (strstr(line, ": retryfs_dio_bio: ")) {
			const char *bytes = strstr(line, " len "), *sector = strstr(line, " sector ");

			ASSERT_GT(BIOS_MAX, bios);
			ASSERT_NE(NULL, bytes);
			ASSERT_NE(NULL, sector);
			e[bios].sector = strtoull(sector + strlen(" sector "), NULL, 10);
			e[bios++].len = strtoull(bytes + strlen(" len "), NULL, 10) / 512;
			EXPECT_EQ(0, retries) TH_LOG("%s", line);
		} else if (is_bio_for(line, e, bios)) {
			queued++;
			EXPECT_EQ(0, retries) TH_LOG("%s", line);
		}
	}
	fclose(f);
	EXPECT_EQ(1, submits);
	EXPECT_LE(1, bios);
	EXPECT_LE(bios, queued);
	EXPECT_EQ(1, retries);
	EXPECT_EQ(1, completes);
}

/* R14: io_cancel(2) neither frees a request nor keeps its event back, nor doubles it. */
TEST_F(dio_retry, cancel_in_flight)
{
	const off_t bs = self->v.bs, len = 8 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct io_event ev;
	aio_context_t ctx;
	struct iocb cb;
	int i, fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, len, 0, 2);
	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-1, syscall(SYS_io_cancel, ctx, &cb, &ev));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	EXPECT_EQ(-1, syscall(SYS_io_cancel, ctx, &cb, &ev));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	EXPECT_EQ(0, aio_destroy(ctx));
}

/* What an asynchronous overwrite promised to sync is flushed before its event. */
TEST_F(dio_retry, dsync_by_the_retry)
{
	const size_t len = 16 * KIB;
	char *buf = buf_alloc(len);
	long before, plain;
	struct iocb cb;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	before = disk_flushes();
	ASSERT_LT(0, before) TH_LOG("a disk that is never flushed shows nothing");

	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(len, aio_do(&cb));
	plain = disk_flushes();
	EXPECT_EQ(before, plain);

	aio_prep_write(&cb, fd, buf, len, 0);
	cb.aio_rw_flags = RWF_DSYNC;
	ASSERT_EQ(len, aio_do(&cb));
	EXPECT_LT(plain, disk_flushes());

	before = disk_flushes();
	aio_prep_write(&cb, fd, buf, len, 0);
	cb.aio_rw_flags = RWF_SYNC;
	ASSERT_EQ(len, aio_do(&cb));
	EXPECT_LT(before, disk_flushes());
}

/*
 * One asynchronous request that ends after its submitter has left, and how many retries had
 * to be queued for it; -1 if it failed. Nothing may have to be read to find its blocks.
 */
static long queued_retries(struct vol *v, aio_context_t ctx, struct iocb *cb, size_t len)
{
	struct counters c0 = {}, c1 = {};
	struct io_event ev;

	if (vol_hold(v) || vol_counters(v, &c0) || aio_submit_one(ctx, cb) || vol_release(v) ||
	    aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000) != 1 || vol_counters(v, &c1))
		return -1;
	if (ev.res != (long)len || c1.retries != c0.retries + 1)
		return -1;
	return c1.retries_queued - c0.retries_queued;
}

/* R5: the retry runs where the last bio ended, unless it has to sleep; and then it is queued. */
TEST_F(dio_retry, r5_what_may_sleep_is_queued)
{
	const size_t len = 16 * KIB, far = 256 * KIB;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct counters c0 = {}, c1 = {};
	struct io_event ev;
	aio_context_t ctx;
	struct iocb cb;
	int fd, cached;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	ASSERT_EQ(0, vol_prefill("f", 0, far + len, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	cached = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, cached);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(len, pread(fd, buf, len, far));

	memset(buf, 0, len);
	aio_prep_read(&cb, fd, buf, len, 0);
	EXPECT_EQ(0, queued_retries(&self->v, ctx, &cb, len));
	EXPECT_PATTERN(buf, len, 0, 1);
	pattern_fill(buf, len, 0, 2);
	aio_prep_write(&cb, fd, buf, len, 0);
	EXPECT_EQ(0, queued_retries(&self->v, ctx, &cb, len));

	/* what the page cache has elsewhere does not matter */
	ASSERT_EQ(len, pread(cached, back, len, far));
	EXPECT_EQ(0, queued_retries(&self->v, ctx, &cb, len));
	cb.aio_rw_flags = RWF_DSYNC;
	EXPECT_EQ(1, queued_retries(&self->v, ctx, &cb, len));

	/* pages of the range, which came while the write was in flight, are dropped */
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	pattern_fill(buf, len, 0, 3);
	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	ASSERT_EQ(len, pread(cached, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.retries_queued + 1, c1.retries_queued);
	ASSERT_EQ(len, pread(cached, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 3);
}

/*
 * R5: what has failed is told where it may sleep, by requests of several bios, of which the last one has
 * failed, and of one.
 */
TEST_F(dio_retry, r5_what_has_failed_is_queued)
{
	const size_t piece = 4 * self->v.bs, len = PIECES * piece;
	char *buf = buf_alloc(len);
	struct counters c0 = {}, c1 = {};
	struct io_event ev;
	struct vol_map map;
	aio_context_t ctx;
	struct iocb cb;
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	fd = make_pieces(&self->v, "f", piece, PIECES);
	ASSERT_LE(0, fd);
	/* what leads to its blocks is in memory */
	ASSERT_EQ(len, pread(fd, buf, len, 0));
	ASSERT_EQ(0, vol_find(&self->v, len - piece, piece, 1, &map));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	for (i = 0; i < 4; i++) {
		const size_t n = i < 2 ? len : piece;

		if (i & 1)
			aio_prep_write(&cb, fd, buf + len - n, n, len - n);
		else
			aio_prep_read(&cb, fd, buf + len - n, n, len - n);
		ASSERT_EQ(0, vol_hold(&self->v));
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
		ASSERT_EQ(0, aio_submit_one(ctx, &cb));
		ASSERT_EQ(0, vol_release(&self->v));
		ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
		EXPECT_EQ(i < 2 ? (long)(len - piece) : -EIO, ev.res);
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.retries + 1, c1.retries);
		EXPECT_EQ(c0.retries_queued + 1, c1.retries_queued);
	}
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* A request of very many pieces of memory is not reaped in an interrupt as a whole. */
TEST_F(dio_retry, many_segments_are_queued)
{
	enum { SEGMENTS = 1000 };
	const size_t piece = 512, len = SEGMENTS * piece;
	struct iovec iov[SEGMENTS];
	char *buf = buf_alloc(SEGMENTS * 4096UL), *back = buf_alloc(len);
	aio_context_t ctx;
	struct iocb cb;
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (i = 0; i < SEGMENTS; i++)
		iov[i] = (struct iovec){ buf + i * 4096UL, piece };
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(len, preadv(fd, iov, SEGMENTS, 0));
	memset(buf, 0, SEGMENTS * 4096UL);
	aio_prep_readv(&cb, fd, iov, SEGMENTS, 0);
	EXPECT_EQ(1, queued_retries(&self->v, ctx, &cb, len));
	for (i = 0; i < SEGMENTS; i++)
		memcpy(back + i * piece, iov[i].iov_base, piece);
	EXPECT_PATTERN(back, len, 0, 1);
}

/* How often others may have run, as the probe tells it; -errno. */
static int resched_calls(void)
{
	char line[512];
	int calls = 0;
	FILE *f = trace_open();

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		calls += line[0] != '#' && strstr(line, " rfs_resched: ");
	fclose(f);
	return calls;
}

/*
 * Who reaps very many pieces of memory lets others run, each time before it goes beyond 256. That this has an effect is
 * another matter: on kernels that preempt it has none, and the next tick of the clock does it.
 */
TEST_F(dio_retry, others_may_run)
{
	enum { SEGMENTS = 1000, AT_ONCE = 256 };
	const size_t piece = 512, len = SEGMENTS * piece;
	struct iovec iov[SEGMENTS];
	char *buf = buf_alloc(SEGMENTS * 4096UL);
	struct iocb cb;
	int fd, i;

	trace_write("kprobe_events", "-:rfs_resched\n");
	if (trace_write("kprobe_events", "p:rfs_resched retryfs:kfs_helper_cond_resched\n"))
		SKIP(return, "no kprobe events, or not this module");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (i = 0; i < SEGMENTS; i++)
		iov[i] = (struct iovec){ buf + i * 4096UL, piece };
	/* what leads to its blocks is in memory after the first one */
	for (i = 0; i < 3; i++) {
		trace_clear();
		ASSERT_EQ(0, trace_write("events/kprobes/rfs_resched/enable", "1"));
		if (i < 2) {
			EXPECT_EQ(len, preadv(fd, iov, SEGMENTS, 0));
		} else {
			aio_prep_readv(&cb, fd, iov, SEGMENTS, 0);
			EXPECT_EQ(len, aio_do(&cb));
		}
		ASSERT_EQ(0, trace_write("events/kprobes/rfs_resched/enable", "0"));
		/* of an asynchronous one, the first 256 may have been reaped where the bio has ended */
		if (i)
			EXPECT_LE(SEGMENTS / AT_ONCE - (i == 2), resched_calls());
	}
	EXPECT_EQ(0, trace_write("kprobe_events", "-:rfs_resched\n"));
}

/* What was read and written shows in the counters, each under its own name. */
TEST_F(dio_retry, counters)
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

	/* buffered I/O counts nowhere here */
	c0 = c;
	ASSERT_EQ(0, vol_prefill("g", 0, len, 1));
	ASSERT_EQ(len, vol_read("g", 0, buf, len, 0));
	ASSERT_EQ(0, vol_counters(&self->v, &c));
	EXPECT_EQ(0, memcmp(&c0, &c, sizeof(c)));
}

TEST_HARNESS_MAIN
