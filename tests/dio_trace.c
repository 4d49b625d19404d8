// SPDX-License-Identifier: GPL-2.0
/*
 * What the trace points and the counters say of a request, exactly: each of them is
 * made to happen, with nothing else beside it.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "harness.h"
#include "trace.h"

FIXTURE(dio_trace) {
	struct vol v;
};

FIXTURE_VARIANT(dio_trace) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_trace, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_trace, bs4k) { .conf = SMALL_4K };

FIXTURE_SETUP(dio_trace)
{
	if (!env_is_retryfs())
		SKIP(return, "trace points of retryfs");
	if (trace_write("trace", "\n"))
		SKIP(return, "no tracing");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
}

FIXTURE_TEARDOWN(dio_trace)
{
	trace_write("events/retryfs/enable", "0");
	EXPECT_EQ(0, vol_down(&self->v));
}

/* What is expected of a request on one file. */
struct want {
	struct vol *v;
	char where[64];		/* the file, as all events have it */
	unsigned int generation;
	struct trace events;
	struct counters before;
};

static void want_begin(struct __test_metadata *_metadata, struct want *w, struct vol *v, int fd)
{
	struct stat st;

	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(0, ioctl(fd, FS_IOC_GETVERSION, &w->generation));
	w->v = v;
	w->events.nr = 0;
	snprintf(w->where, sizeof(w->where), "dev %u:%u ino %llu", major(st.st_dev),
		 minor(st.st_dev), (unsigned long long)st.st_ino);
	ASSERT_EQ(0, vol_counters(v, &w->before));
	ASSERT_EQ(0, trace_start());
}

static void want(struct want *w, const char *event, const char *format, ...)
{
	char *line = w->events.event[w->events.nr++];
	const size_t len = sizeof(w->events.event[0]);
	va_list args;
	int n;

	n = snprintf(line, len, "%s: %s ", event, w->where);
	va_start(args, format);
	vsnprintf(line + n, len - n, format, args);
	va_end(args);
}

static void want_submit(struct want *w, size_t pos, size_t len, size_t size, const char *how)
{
	want(w, "submit", "pos %zu len %zu i_size %zu %s gen %u", pos, len, size, how,
	     w->generation);
}

/* A bio with generation @gen of the file, which is one piece on the device. */
static void want_bio(struct __test_metadata *_metadata, struct want *w, off_t pos, size_t len,
		     uint64_t gen)
{
	struct vol_map map;

	ASSERT_EQ(0, vol_find(w->v, pos, len, gen, &map));
	ASSERT_EQ(1, map.nr);
	want(w, "bio", "pos %zd len %zu sector %llu", pos, len,
	     (unsigned long long)map.e[0].sector);
}

/* These are the events, and by so much the counters have moved. */
static void want_end(struct __test_metadata *_metadata, struct want *w, struct trace *is,
		     const struct counters *moved)
{
	struct counters c;
	int i;

	for (i = 0; i < w->events.nr && i < is->nr; i++)
		EXPECT_STREQ(w->events.event[i], is->event[i]);
	EXPECT_EQ(w->events.nr, is->nr);
	for (; i < is->nr; i++)
		TH_LOG("too much: %s", is->event[i]);
	ASSERT_EQ(0, vol_counters(w->v, &c));
	EXPECT_EQ(moved->requests_read, c.requests_read - w->before.requests_read);
	EXPECT_EQ(moved->requests_write, c.requests_write - w->before.requests_write);
	EXPECT_EQ(moved->async, c.async - w->before.async);
	EXPECT_EQ(moved->sync_extend, c.sync_extend - w->before.sync_extend);
	EXPECT_EQ(moved->sync_hole, c.sync_hole - w->before.sync_hole);
	EXPECT_EQ(moved->sync_error, c.sync_error - w->before.sync_error);
	EXPECT_EQ(moved->retries, c.retries - w->before.retries);
	EXPECT_EQ(moved->buffered_fallback,
		  c.buffered_fallback - w->before.buffered_fallback);
}

/* "f" of @data blocks of generation 1, and a hole up to @size bytes. */
static int make_file(struct __test_metadata *_metadata, struct vol *v, int data, size_t size)
{
	char *back = buf_alloc(size);
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, data * v->bs, 1)) return -1;
	ASSERT_EQ(0, truncate(vol_path("f"), size)) return -1;
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd) return -1;
	/* what is looked up is in memory from now on: no other device access than the bios */
	ASSERT_EQ(size, pread(fd, back, size, 0)) return -1;
	return fd;
}

/* An asynchronous request whose bios end when it has been submitted. */
static ssize_t held(struct vol *v, struct iocb *cb)
{
	struct io_event ev;
	aio_context_t ctx;
	int err;

	err = aio_setup(1, &ctx);
	if (!err)
		err = vol_hold(v);
	if (err)
		return err;
	err = aio_submit_one(ctx, cb);
	vol_release(v);
	if (!err && aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000) != 1)
		err = -ETIME;
	aio_destroy(ctx);
	return err ? err : ev.res;
}

/* Inside the file, where there is data: a retry, and nothing is waited for. */
TEST_F(dio_trace, async)
{
	const size_t bs = self->v.bs, size = 8 * bs, len = 4 * bs;
	int fd = make_file(_metadata, &self->v, 8, size), i;
	char *buf = buf_alloc(len);
	struct trace is;
	struct want w;
	struct iocb cb;

	for (i = 0; i < 2; i++) {
		want_begin(_metadata, &w, &self->v, fd);
		if (i) {
			pattern_fill(buf, len, bs, 2);
			aio_prep_write(&cb, fd, buf, len, bs);
		} else {
			aio_prep_read(&cb, fd, buf, len, bs);
		}
		ASSERT_EQ(len, held(&self->v, &cb));
		ASSERT_EQ(0, trace_stop(&is));
		want_submit(&w, bs, len, size, i ? "write async" : "read async");
		want_bio(_metadata, &w, bs, len, 1 + i);
		want(&w, "retry", "pos %zu len %zu", bs, len);
		want(&w, "complete", "pos %zu result %zu", bs, len);
		want_end(_metadata, &w, &is, &(struct counters){
			.requests_read = !i, .requests_write = i, .async = 1, .retries = 1,
		});
	}
}

/* The same for whom it is done at once: neither a retry nor a switch. */
TEST_F(dio_trace, sync)
{
	const size_t bs = self->v.bs, size = 8 * bs;
	int fd = make_file(_metadata, &self->v, 8, size);
	char *buf = buf_alloc(2 * bs);
	struct trace is;
	struct want w;

	want_begin(_metadata, &w, &self->v, fd);
	ASSERT_EQ(bs, pread(fd, buf, bs, 7 * bs));
	pattern_fill(buf, 2 * bs, 7 * bs, 2);
	ASSERT_EQ(2 * bs, pwrite(fd, buf, 2 * bs, 7 * bs));
	ASSERT_EQ(0, trace_stop(&is));
	want_submit(&w, 7 * bs, bs, size, "read sync");
	/* where that is, it says now */
	want_bio(_metadata, &w, 7 * bs, bs, 2);
	want(&w, "complete", "pos %zu result %zu", 7 * bs, bs);
	want_submit(&w, 7 * bs, 2 * bs, size, "write sync");
	want_bio(_metadata, &w, 7 * bs, bs, 2);
	want_bio(_metadata, &w, 8 * bs, bs, 2);
	want(&w, "complete", "pos %zu result %zu", 7 * bs, 2 * bs);
	want_end(_metadata, &w, &is, &(struct counters){
		.requests_read = 1, .requests_write = 1,
	});
}

/* Requests of one bio, which have no use for the worker: they say the same. */
TEST_F(dio_trace, one_bio)
{
	const size_t bs = self->v.bs, size = 32 * bs, pos = 20 * bs, len = 4 * bs;
	int fd = make_file(_metadata, &self->v, 32, size), i;
	static const char *const how[] = {
		"read async", "write async", "read sync", "write sync",
	};
	char *buf = buf_alloc(len);
	struct counters c;
	struct trace is;
	struct want w;
	struct iocb cb;
	ssize_t n;

	/* the first write finds out that there are no set-id bits */
	pattern_fill(buf, len, pos, 1);
	ASSERT_EQ(len, pwrite(fd, buf, len, pos));
	for (i = 0; i < 4; i++) {
		const bool write = i & 1, sync = i & 2;

		want_begin(_metadata, &w, &self->v, fd);
		pattern_fill(buf, len, pos, 1 + (i + 1) / 2);
		if (write)
			aio_prep_write(&cb, fd, buf, len, pos);
		else
			aio_prep_read(&cb, fd, buf, len, pos);
		if (!sync)
			n = held(&self->v, &cb);
		else
			n = write ? pwrite(fd, buf, len, pos) : pread(fd, buf, len, pos);
		ASSERT_EQ(len, n);
		ASSERT_EQ(0, trace_stop(&is));
		want_submit(&w, pos, len, size, how[i]);
		want_bio(_metadata, &w, pos, len, 1 + (i + 1) / 2);
		if (!sync)
			want(&w, "retry", "pos %zu len %zu", pos, len);
		want(&w, "complete", "pos %zu result %zu", pos, len);
		want_end(_metadata, &w, &is, &(struct counters){
			.requests_read = !write, .requests_write = write, .async = !sync, .retries = !sync,
		});
		ASSERT_EQ(0, vol_counters(&self->v, &c));
		EXPECT_EQ(w.before.async_single + !sync, c.async_single);
		EXPECT_EQ(w.before.sync_single + sync, c.sync_single);
	}
}

/* An asynchronous write, of generation 2, that has its event. */
static void traced_write(struct __test_metadata *_metadata, struct want *w, struct trace *is,
			 int fd, size_t pos, size_t len, size_t size)
{
	char *buf = buf_alloc(len);
	struct iocb cb;

	pattern_fill(buf, len, pos, 2);
	aio_prep_write(&cb, fd, buf, len, pos);
	ASSERT_EQ(len, aio_do(&cb));
	ASSERT_EQ(0, trace_stop(is));
	want_submit(w, pos, len, size, "write async");
}

/* Past i_size, of a part of a block: the rest of that is another bio. */
TEST_F(dio_trace, switch_extend)
{
	const size_t bs = self->v.bs, size = 8 * bs;
	int fd = make_file(_metadata, &self->v, 8, size);
	struct trace is;
	struct vol_map map;
	struct want w;

	if (env_async_alloc())
		SKIP(return, "it is not waited for");
	want_begin(_metadata, &w, &self->v, fd);
	traced_write(_metadata, &w, &is, fd, size, 512, size);
	want_bio(_metadata, &w, size, 512, 2);
	ASSERT_EQ(0, vol_find(&self->v, size, 512, 2, &map));
	want(&w, "bio", "pos %zu len %zu sector %llu", size + 512, bs - 512,
	     (unsigned long long)map.e[0].sector + 1);
	want(&w, "switch", "pos %zu reason extend", size);
	want(&w, "complete", "pos %zu result 512", size);
	want_end(_metadata, &w, &is, &(struct counters){
		.requests_write = 1, .sync_extend = 1,
	});
}

/* Data and then a hole: the page cache takes what comes after the data. */
TEST_F(dio_trace, switch_hole)
{
	const size_t bs = self->v.bs, size = 16 * bs, len = 4 * bs, pos = 6 * bs;
	int fd = make_file(_metadata, &self->v, 8, size);
	struct trace is;
	struct want w;

	if (env_async_alloc())
		SKIP(return, "it is not waited for");
	want_begin(_metadata, &w, &self->v, fd);
	traced_write(_metadata, &w, &is, fd, pos, len, size);
	want_bio(_metadata, &w, pos, 2 * bs, 2);
	want(&w, "switch", "pos %zu reason hole", pos);
	want(&w, "complete", "pos %zu result %zu", pos, 2 * bs);
	want(&w, "fallback", "pos %zu len %zu", 8 * bs, 2 * bs);
	want_end(_metadata, &w, &is, &(struct counters){
		.requests_write = 1, .sync_hole = 1, .buffered_fallback = 1,
	});
}

/* The rest of a hole and an extend: one request, that is waited for twice. */
TEST_F(dio_trace, switch_hole_and_extend)
{
	const size_t bs = self->v.bs, size = 10 * bs, len = 4 * bs, pos = 8 * bs;
	int fd = make_file(_metadata, &self->v, 8, size);
	struct trace is;
	struct want w;

	if (env_async_alloc())
		SKIP(return, "it is not waited for");
	want_begin(_metadata, &w, &self->v, fd);
	traced_write(_metadata, &w, &is, fd, pos, len, size);
	want(&w, "switch", "pos %zu reason hole", pos);
	want(&w, "complete", "pos %zu result 0", pos);
	want(&w, "fallback", "pos %zu len %zu", pos, len);
	want_submit(&w, size, 2 * bs, size, "write async");
	want_bio(_metadata, &w, size, 2 * bs, 2);
	want(&w, "switch", "pos %zu reason extend", size);
	want(&w, "complete", "pos %zu result %zu", size, 2 * bs);
	want_end(_metadata, &w, &is, &(struct counters){
		.requests_write = 1, .sync_hole = 1, .sync_extend = 1, .buffered_fallback = 1,
	});
}

/* The memory ends in the middle, or was never there: an error while issuing. */
TEST_F(dio_trace, switch_error)
{
	const size_t bs = self->v.bs, page = 4096, size = 16 * bs, len = 2 * page;
	int fd = make_file(_metadata, &self->v, 16, size), i;
	char *buf = buf_alloc(3 * page);
	struct trace is;
	struct want w;
	struct iocb cb;

	ASSERT_EQ(0, mprotect(buf + page, 2 * page, PROT_NONE));
	for (i = 0; i < 2; i++) {
		want_begin(_metadata, &w, &self->v, fd);
		pattern_fill(buf, page, 0, 2);
		aio_prep_write(&cb, fd, buf + i * page, len, 0);
		ASSERT_EQ(i ? -EFAULT : (ssize_t)page, aio_do(&cb));
		ASSERT_EQ(0, trace_stop(&is));
		want_submit(&w, 0, len, size, "write async");
		if (!i)
			want_bio(_metadata, &w, 0, page, 2);
		want(&w, "switch", "pos 0 reason error");
		want(&w, "complete", "pos 0 result %d", i ? -EFAULT : (int)page);
		want_end(_metadata, &w, &is, &(struct counters){
			.requests_write = 1, .sync_error = 1,
		});
	}
}

/* What the device refuses is no error while issuing; it is the result. */
TEST_F(dio_trace, failing_device)
{
	const size_t bs = self->v.bs, size = 16 * bs, len = 2 * bs;
	int fd = make_file(_metadata, &self->v, 16, size);
	char *buf = buf_alloc(len);
	struct trace is;
	struct want w;

	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	want_begin(_metadata, &w, &self->v, fd);
	EXPECT_EQ(-1, pwrite(fd, buf, len, bs));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, trace_stop(&is));
	ASSERT_EQ(0, vol_unroute(&self->v));
	want_submit(&w, bs, len, size, "write sync");
	want_bio(_metadata, &w, bs, len, 1);
	want(&w, "complete", "pos %zu result %d", bs, -EIO);
	want_end(_metadata, &w, &is, &(struct counters){ .requests_write = 1 });
}

/* What does not pass the checks comes to the counters, and no further. */
TEST_F(dio_trace, refused)
{
	const size_t bs = self->v.bs, size = 16 * bs;
	int fd = make_file(_metadata, &self->v, 16, size);
	char *buf = buf_alloc(2 * bs);
	struct trace is;
	struct want w;
	struct iocb cb;

	want_begin(_metadata, &w, &self->v, fd);
	EXPECT_EQ(-1, pwrite(fd, buf, 511, 0));
	aio_prep_read(&cb, fd, buf, bs, 1);
	EXPECT_EQ(-EINVAL, aio_do(&cb));
	/* and one of nothing to the VFS */
	EXPECT_EQ(0, pread(fd, buf, 0, 0));
	EXPECT_EQ(0, pwrite(fd, buf, 0, 0));
	/* one beyond EOF is a request, of which there is nothing to do */
	EXPECT_EQ(0, pread(fd, buf, bs, size));
	ASSERT_EQ(0, trace_stop(&is));
	want_end(_metadata, &w, &is, &(struct counters){
		.requests_read = 2, .requests_write = 1,
	});
}

/* The function of the work that was queued on the workqueue @queue/DEVICE since the trace was cleared. */
static int work_on(const char *queue, char *function, size_t size)
{
	char line[2048], want[40], *at, *on;
	FILE *trace = trace_open();
	int nr = 0;

	snprintf(want, sizeof(want), " workqueue=%s/", queue);
	while (trace && fgets(line, sizeof(line), trace)) {
		at = strstr(line, " function=");
		on = at ? strstr(at, want) : NULL;
		if (!on)
			continue;
		*on = 0;
		snprintf(function, size, "%s", at + strlen(" function="));
		nr++;
	}
	if (trace)
		fclose(trace);
	return nr;
}

/*
 * Linking is work of a function of its own: else the rescuer that links would have to do what comes
 * next, too, which may wait for others to be linked.
 */
TEST_F(dio_trace, work_of_new_blocks)
{
	char *buf = buf_alloc(self->v.bs), link[1024], rest[1024];
	struct iocb cb, *list = &cb;
	struct io_event ev;
	aio_context_t ctx;
	int fd;

	ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, "async_alloc") ? -errno : 0);
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, self->v.bs, 0, 1);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	aio_prep_write(&cb, fd, buf, self->v.bs, 0);
	/* it does not end before it is left to the retry */
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	trace_clear();
	ASSERT_EQ(0, trace_write("events/workqueue/workqueue_queue_work/enable", "1"));
	ASSERT_EQ(1, aio_submit(ctx, 1, &list));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(self->v.bs, ev.res);
	ASSERT_EQ(0, trace_write("events/workqueue/workqueue_queue_work/enable", "0"));
	ASSERT_EQ(1, work_on("dio-link", link, sizeof(link)));
	ASSERT_EQ(1, work_on("dio", rest, sizeof(rest)));
	EXPECT_STRNE(link, rest);
}

TEST_HARNESS_MAIN
