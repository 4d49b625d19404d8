// SPDX-License-Identifier: GPL-2.0
/*
 * R15, the flood: many threads, each with a deep queue of small asynchronous
 * direct writes. They overwrite, fill holes (neighbours in one block are of
 * different requests) and extend, while memory is scarce, a writer keeps the page
 * cache busy, and the kernel looks for tasks that hang. Nothing may hang, every
 * event arrives once, and what was written is there.
 *
 * FLOOD_SECONDS says how long each test runs, FLOOD_THREADS with how many threads.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "harness.h"
#include "hog.h"

#define THREADS_MAX	64
#define DEPTH		128
#define SLOT		2048UL		/* of a request in the shared file */
#define REQUEST_MAX	4096UL
#define OWN_MAX		(512 * KIB)	/* of a file that is extended */
#define OWN_READ	((off_t)(32 * KIB))
#define CHURN_BYTES	(24 * MIB)
#define HANG_MS		120000

VOL_FIXTURE(flood);
FIXTURE_VARIANT_ADD(flood, bs1k) { .conf = { .bs = 1024, .isize = 128, .mib = 160, .no_poison = true } };
FIXTURE_VARIANT_ADD(flood, bs4k) { .conf = { .bs = 4096, .isize = 256, .mib = 160, .no_poison = true } };

struct request {
	struct iocb cb;
	char *buf;
	uint64_t gen;		/* what its slot holds; 0: nothing yet */
	size_t len;
	bool busy;
};

struct flooder {
	unsigned int id;
	int shared, own;
	uint64_t rnd;
	aio_context_t ctx;
	struct request req[DEPTH];
	int in_flight;
	char *back;
	off_t end;		/* of our own file, with what is in flight */
	unsigned long submitted, completed;
	const char *wrong;
};

static struct flooder flooders[THREADS_MAX];
static struct task tasks[THREADS_MAX], churner;
static bool stop;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static uint64_t rnd(struct flooder *f)
{
	f->rnd ^= f->rnd << 13;
	f->rnd ^= f->rnd >> 7;
	f->rnd ^= f->rnd << 17;
	return f->rnd;
}

/* The slots of one thread are far apart: neighbours belong to others. */
static off_t slot_pos(struct flooder *f, const struct request *r)
{
	return ((r - f->req) * THREADS_MAX + f->id) * SLOT;
}

static size_t slot_len(struct flooder *f, const struct request *r)
{
	return 512 * (1 + (r - f->req + f->id) % (SLOT / 512));
}

static void prepare(struct flooder *f, struct request *r)
{
	uint64_t gen = 1;
	off_t pos;
	int fd;

	r->busy = true;
	if (rnd(f) % 8 == 0 && f->end < (off_t)OWN_MAX) {
		r->len = 512 * (1 + rnd(f) % (REQUEST_MAX / 512));
		fd = f->own;
		pos = f->end;
		f->end += r->len;
	} else {
		r->len = slot_len(f, r);
		fd = f->shared;
		pos = slot_pos(f, r);
		gen = ++r->gen;
	}
	pattern_fill(r->buf, r->len, pos, gen);
	aio_prep_write(&r->cb, fd, r->buf, r->len, pos);
	r->cb.aio_data = (uintptr_t)r;
}

static void complete(struct flooder *f, struct io_event *ev)
{
	struct request *r = (void *)(uintptr_t)ev->data;

	if (r < f->req || r >= f->req + DEPTH || !r->busy)
		f->wrong = "an event came twice, or to the wrong place";
	else if ((ssize_t)ev->res != (ssize_t)r->len)
		f->wrong = "a request failed or was short";
	else
		r->busy = false;
	f->in_flight--;
	f->completed++;
}

static int reap(struct flooder *f, int min)
{
	struct io_event ev[DEPTH];
	int n = aio_events(f->ctx, min, DEPTH, ev, HANG_MS);
	int i;

	if (n < min) {
		f->wrong = "no event for a long time: it hangs";
		return -ETIME;
	}
	for (i = 0; i < n && !f->wrong; i++)
		complete(f, &ev[i]);
	return f->wrong ? -EIO : 0;
}

static int submit_free(struct flooder *f)
{
	struct iocb *list[DEPTH];
	int nr = 0, at = 0;
	int i, n;

	for (i = 0; i < DEPTH; i++) {
		if (f->req[i].busy)
			continue;
		prepare(f, &f->req[i]);
		list[nr++] = &f->req[i].cb;
	}
	while (at < nr) {
		n = aio_submit(f->ctx, nr - at, list + at);
		if (n <= 0) {
			f->wrong = "io_submit failed";
			return n;
		}
		at += n;
	}
	f->submitted += nr;
	f->in_flight += nr;
	return 0;
}

/* What was extended is all there; begin again. */
static int check_own(struct flooder *f)
{
	off_t pos;

	for (pos = 0; pos < f->end; pos += OWN_READ) {
		size_t len = f->end - pos < OWN_READ ? f->end - pos : OWN_READ;

		if (pread(f->own, f->back, len, pos) != (ssize_t)len ||
		    pattern_diff(f->back, len, pos, 1)) {
			f->wrong = "the extended file has other data than was written";
			return -EIO;
		}
	}
	f->end = 0;
	if (ftruncate(f->own, 0)) {
		f->wrong = "ftruncate failed";
		return -errno;
	}
	return 0;
}

static int drain(struct flooder *f)
{
	int err = 0;

	while (!err && f->in_flight)
		err = reap(f, 1);
	return err;
}

static long flood(void *arg)
{
	struct flooder *f = arg;
	struct io_event ev;
	int err = 0;

	while (!err && !stopped()) {
		err = submit_free(f);
		if (!err)
			err = reap(f, 1);
		if (!err && f->end >= (off_t)OWN_MAX) {
			err = drain(f);
			if (!err)
				err = check_own(f);
		}
	}
	if (!err)
		err = drain(f);
	if (!err)
		err = check_own(f);
	if (!err && aio_events(f->ctx, 0, 1, &ev, 0))
		f->wrong = "more events than requests";
	return f->wrong ? -EIO : err;
}

/* Buffered writes over and over: dirty pages for those who look for memory. */
static long churn(void *arg)
{
	char *buf = buf_alloc(MIB);
	int fd = *(int *)arg;
	off_t pos = 0;

	while (!stopped()) {
		if (pwrite(fd, buf, MIB, pos) < 0)
			return -errno;
		pos = (pos + MIB) % CHURN_BYTES;
	}
	return 0;
}

static int start(struct flooder *f, unsigned int id)
{
	char name[16];
	int i;

	f->id = id;
	f->rnd = 0x9e3779b97f4a7c15ULL * (id + 1);
	f->shared = vol_open("shared", O_CREAT | O_RDWR | O_DIRECT);
	snprintf(name, sizeof(name), "own%u", id);
	f->own = vol_open(name, O_CREAT | O_RDWR | O_DIRECT);
	if (f->shared < 0 || f->own < 0)
		return -EIO;
	for (i = 0; i < DEPTH; i++)
		f->req[i].buf = buf_alloc(REQUEST_MAX);
	f->back = buf_alloc(OWN_READ);
	return aio_setup(DEPTH, &f->ctx);
}

static int check_slots(struct flooder *f)
{
	const char *diff;
	int i;

	for (i = 0; i < DEPTH; i++) {
		struct request *r = &f->req[i];
		size_t len = slot_len(f, r);
		off_t pos = slot_pos(f, r);

		if (pread(f->shared, r->buf, SLOT, pos) != SLOT)
			return -EIO;
		diff = r->gen ? pattern_diff(r->buf, len, pos, r->gen) :
				zero_diff(r->buf, len, pos);
		/* The rest of the slot is never written to, and began as a hole. */
		if (!diff)
			diff = zero_diff(r->buf + len, SLOT - len, pos + len);
		if (diff) {
			printf("# thread %u, slot %d: %s\n", f->id, i, diff);
			return -EUCLEAN;
		}
	}
	return 0;
}

/*
 * Zeros with a hole now and then: who fills a hole waits for that, and a flood
 * of waiters is none.
 */
static int lay_out(int fd)
{
	const size_t step = 64 * KIB, hole = 8 * KIB;
	char *zeros = buf_alloc(step);
	off_t end = DEPTH * THREADS_MAX * SLOT;
	off_t pos;

	for (pos = 0; pos < end; pos += step)
		if (pwrite(fd, zeros, step - hole, pos) != (ssize_t)(step - hole))
			return -EIO;
	/* All of the file is there: no write here extends it. */
	return ftruncate(fd, end) || fsync(fd) ? -errno : 0;
}

TEST_F_TIMEOUT(flood, writes, 7 * 24 * 3600)
{
	unsigned int nr = env_number("FLOOD_THREADS", env_on_debug() ? 12 : THREADS_MAX);
	unsigned int seconds = env_number("FLOOD_SECONDS", (env_on_debug() ? 12 : 30) * env_scale());
	static const char *const hung[] = { "blocked", "for more than", NULL };
	int kmsg = kmsg_open();
	unsigned long n = 0;
	struct hog hog;
	unsigned int i;
	int fd, patience;

	ASSERT_LE(0, kmsg);
	if (nr > THREADS_MAX)
		nr = THREADS_MAX;
	/* who waits for so long here waits for ever */
	patience = hung_task_seconds(env_on_debug() ? 90 : 40);
	ASSERT_LE(0, patience);
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, start(&flooders[i], i));
	fd = vol_open("churn", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, lay_out(flooders[0].shared));
	ASSERT_EQ(0, hog_start(&hog, env_on_debug() ? 160 : 40));

	ASSERT_EQ(0, task_start(&churner, churn, &fd));
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, task_start(&tasks[i], flood, &flooders[i]));
	sleep(seconds);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(0, task_join(&tasks[i], 2 * HANG_MS / 1000))
			TH_LOG("thread %u: %s", i, flooders[i].wrong ? flooders[i].wrong : "hangs");
		EXPECT_EQ(flooders[i].submitted, flooders[i].completed);
		n += flooders[i].completed;
	}
	EXPECT_EQ(0, task_join(&churner, JOIN_SECONDS));
	hog_stop(&hog);
	EXPECT_FALSE(kmsg_has(kmsg, hung));
	EXPECT_LT(0, hung_task_seconds(patience));
	printf("# %lu writes by %u threads in %u s; the hog had up to %lu MiB\n", n, nr,
	       seconds, hog.most);
	EXPECT_LE(nr * DEPTH, n);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(0, check_slots(&flooders[i]));
}

TEST_HARNESS_MAIN
