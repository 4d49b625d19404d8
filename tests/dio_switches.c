// SPDX-License-Identifier: GPL-2.0
/*
 * Does io_submit(2) make its caller sleep? By kind of request, how many are in flight, and how they are
 * aligned: what a program that has one thread for each CPU, and nothing else to run meanwhile, asks first. Data and
 * results are looked at, too.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "dm.h"
#include "harness.h"

/* Who shares a processor with what links blocks may find it with a lock: not that often three times in a row. */
enum { REQUESTS = 96, DEPTH_MAX = 8, SECTOR = 512, TRIES = 3 };

FIXTURE(dio_switches) {
	struct vol v;
};

FIXTURE_VARIANT(dio_switches) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_switches, bs1k) { .conf = ASYNC_ALLOC_1K };
FIXTURE_VARIANT_ADD(dio_switches, bs4k) { .conf = ASYNC_ALLOC_4K };

FIXTURE_SETUP(dio_switches)
{
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
}

FIXTURE_TEARDOWN(dio_switches)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

enum sort { APPEND, FILL, OVERWRITE, DSYNC, READ, KINDS };

static const char *const names[KINDS] = { "append", "fill", "overwrite", "overwrite O_DSYNC", "read" };

static long switches(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_nvcsw;
}

struct run {
	enum sort kind;
	int fd, depth;
	size_t len, bs;
	off_t at;
	char *mem;
	aio_context_t ctx;
	struct iocb cb[REQUESTS];
	long switched;
	int bad;
};

/* Appends in the order of the file. Others not; but two parts of a block are next to each other. */
static int place(const struct run *r, int n)
{
	const int parts = r->bs / r->len, blocks = REQUESTS / parts;

	return r->kind == APPEND ? n : n / parts * 7 % blocks * parts + n * 3 % parts;
}

static void submit_nth(struct run *r, int n)
{
	const int k = place(r, n);
	struct iocb *cb = &r->cb[n];
	const off_t off = r->at + k * r->len;
	long before;

	if (r->kind == READ)
		aio_prep_read(cb, r->fd, r->mem + k * r->len, r->len, off);
	else
		aio_prep_write(cb, r->fd, r->mem + k * r->len, r->len, off);
	before = switches();
	if (aio_submit(r->ctx, 1, &cb) != 1)
		r->bad++;
	r->switched += switches() - before;
}

static void run_all(struct run *r)
{
	struct io_event ev[DEPTH_MAX];
	int submitted = 0, ended = 0, n, i;

	while (ended < REQUESTS) {
		while (submitted < REQUESTS && submitted - ended < r->depth)
			submit_nth(r, submitted++);
		n = aio_events(r->ctx, 1, DEPTH_MAX, ev, -1);
		for (i = 0; i < n; i++)
			r->bad += ev[i].res != (int64_t)r->len;
		if (n <= 0)
			break;
		ended += n;
	}
}

/* The file as the requests of @kind find it: up to @at with generation 1, and what else there is to be. */
static int prepare(enum sort kind, off_t at, size_t all)
{
	int flags = kind == DSYNC ? O_DSYNC : 0, fd;
	char *old = buf_alloc(at + all);

	fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT | flags);
	pattern_fill(old, at + all, 0, 1);
	if (fd < 0 || pwrite(fd, old, at, 0) != at)
		return -EIO;
	if (kind == FILL && ftruncate(fd, at + all))
		return -errno;
	if (kind != FILL && kind != APPEND && pwrite(fd, old + at, all, at) != (ssize_t)all)
		return -EIO;
	return fsync(fd) ? -errno : fd;
}

/* How often the submitters of all requests slept, of which data and results are looked at. */
static long count_switches(struct __test_metadata *_metadata, struct vol *v, enum sort kind,
			   int depth, size_t len)
{
	/* below a block of pointers that is there */
	const off_t at = 16 * v->bs;
	const size_t all = REQUESTS * len;
	char *back = buf_alloc(at + all);
	struct run r = { .kind = kind, .depth = depth, .len = len, .bs = v->bs, .at = at };
	const int gen = kind == READ ? 1 : 2;

	r.fd = prepare(kind, at, all);
	ASSERT_LE(0, r.fd);
	r.mem = buf_alloc(all);
	if (kind != READ)
		pattern_fill(r.mem, all, at, gen);
	else
		memset(r.mem, UNTOUCHED, all);
	ASSERT_EQ(0, aio_setup(DEPTH_MAX, &r.ctx));
	run_all(&r);
	ASSERT_EQ(0, aio_destroy(r.ctx));
	EXPECT_EQ(0, r.bad);
	if (kind == READ)
		EXPECT_PATTERN(r.mem, all, at, gen);
	ASSERT_EQ(at + all, vol_read("f", 0, back, at + all, 0));
	EXPECT_PATTERN(back, at, 0, 1);
	EXPECT_PATTERN(back + at, all, at, gen);
	TH_LOG("%s of %zu bytes, %d in flight: %ld of %d switched", names[kind], len, depth, r.switched,
	       REQUESTS);
	close(r.fd);
	ASSERT_EQ(0, unlink(vol_path("f")));
	return r.switched;
}

static void measure(struct __test_metadata *_metadata, struct vol *v, enum sort kind, int depth,
		    size_t len)
{
	int tries = env_is_retryfs() ? TRIES : 1;
	long n;

	do
		n = count_switches(_metadata, v, kind, depth, len);
	while (10 * n >= REQUESTS && --tries);
	if (env_is_retryfs())
		EXPECT_LT(10 * n, REQUESTS);
}

/* Whole blocks. */
TEST_F(dio_switches, blocks)
{
	enum sort kind;

	for (kind = 0; kind < KINDS; kind++) {
		measure(_metadata, &self->v, kind, 1, self->v.bs);
		measure(_metadata, &self->v, kind, DEPTH_MAX, self->v.bs);
	}
}

/* Sectors: several in flight to one block, which the first one of them makes. */
TEST_F(dio_switches, sectors)
{
	enum sort kind;

	for (kind = 0; kind < KINDS; kind++) {
		measure(_metadata, &self->v, kind, 1, SECTOR);
		measure(_metadata, &self->v, kind, DEPTH_MAX, SECTOR);
	}
}

/* The bio has ended before the request is left to the retry, and still it is not the submitter that syncs. */
TEST_F(dio_switches, ended_before_it_is_synced)
{
	const size_t bs = self->v.bs;
	char *buf = buf_alloc(bs);
	struct vol_map map, none = { .nr = 0 };
	struct dm_seg segs[2] = { { .type = "linear" }, { .type = "zero" } };
	struct counters c0, c1;
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "its counters");
	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT | O_DSYNC);
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, 0, bs, 1, &map));
	/* a target that ends bios at once */
	segs[0].len = segs[1].start = map.e[0].sector;
	segs[1].len = map.e[0].len;
	snprintf(segs[0].params, sizeof(segs[0].params), "%s 0", env_dev());
	ASSERT_EQ(0, vol_route_after(&self->v, &none, segs, 2));
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(bs, do_write(ASYNC, fd, buf, bs, 0));
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.async + 1, c1.async);
	EXPECT_EQ(c0.retries + 1, c1.retries);
	EXPECT_EQ(c0.retries_queued + 1, c1.retries_queued);
	ASSERT_EQ(0, vol_unroute(&self->v));
}

TEST_HARNESS_MAIN
