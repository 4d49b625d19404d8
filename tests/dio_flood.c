// SPDX-License-Identifier: GPL-2.0
/*
 * R15: a flood of small direct AIO, many threads on one file and on their own,
 * overwriting, extending and reading. Every event arrives, once, with the right
 * result, and all that was written is there. Bounded by a count, not by time;
 * TEST_SCALE makes it longer.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "harness.h"

#define THREADS		16
#define DEPTH		32
#define REQUESTS	((env_on_debug() ? 48 : 128) * env_scale())	/* per thread */
#define SLOT		4096UL
#define SLOTS		256UL			/* of a thread in the shared file */
#define HANG_MS		120000

VOL_FIXTURE(dio_flood);
FIXTURE_VARIANT_ADD(dio_flood, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_flood, bs4k) { .conf = VOL_4K };

struct request {
	struct iocb cb;
	char *buf;
	unsigned long slot;
	uint64_t gen;
	enum { WRITE, READ, EXTEND } kind;
	bool busy;
};

struct flooder {
	int shared, own;
	unsigned int id;
	uint64_t rnd;
	aio_context_t ctx;
	struct request req[DEPTH];
	uint64_t gen[SLOTS];	/* what our slot of the shared file holds */
	bool writing[SLOTS];
	off_t end;		/* of our own file */
	unsigned long submitted, completed;
	const char *wrong;
};

static uint64_t rnd(struct flooder *f)
{
	f->rnd ^= f->rnd << 13;
	f->rnd ^= f->rnd >> 7;
	f->rnd ^= f->rnd << 17;
	return f->rnd;
}

static off_t slot_pos(struct flooder *f, unsigned long slot)
{
	/* slots of the threads are interleaved */
	return (slot * THREADS + f->id) * SLOT;
}

static void prepare(struct flooder *f, struct request *r)
{
	unsigned long what = rnd(f) % 8;

	r->slot = rnd(f) % SLOTS;
	r->busy = true;
	if (what == 0) {
		r->kind = EXTEND;
		r->gen = 1;
		pattern_fill(r->buf, SLOT, f->end, 1);
		aio_prep_write(&r->cb, f->own, r->buf, SLOT, f->end);
		f->end += SLOT;
	} else if (f->writing[r->slot] || what >= 5) {
		/* two requests must not write the same; a reader may meet one */
		r->kind = READ;
		r->gen = f->writing[r->slot] ? 0 : f->gen[r->slot];
		f->writing[r->slot] |= r->gen != 0;
		aio_prep_read(&r->cb, f->shared, r->buf, SLOT, slot_pos(f, r->slot));
	} else {
		r->kind = WRITE;
		r->gen = f->gen[r->slot] + 1;
		f->writing[r->slot] = true;
		pattern_fill(r->buf, SLOT, slot_pos(f, r->slot), r->gen);
		aio_prep_write(&r->cb, f->shared, r->buf, SLOT, slot_pos(f, r->slot));
	}
	r->cb.aio_data = (uintptr_t)r;
}

static void complete(struct flooder *f, struct io_event *ev)
{
	struct request *r = (void *)(uintptr_t)ev->data;

	if (!r->busy)
		f->wrong = "an event came twice";
	if ((ssize_t)ev->res != (ssize_t)SLOT)
		f->wrong = "a request failed or was short";
	if (r->kind == WRITE)
		f->gen[r->slot] = r->gen;
	if (r->kind == READ && r->gen &&
	    pattern_diff(r->buf, SLOT, slot_pos(f, r->slot), r->gen))
		f->wrong = "a read returned other data than was written";
	if (r->kind == WRITE || (r->kind == READ && r->gen))
		f->writing[r->slot] = false;
	r->busy = false;
	f->completed++;
}

static long flood(void *arg)
{
	struct flooder *f = arg;
	unsigned long total = REQUESTS;
	struct io_event ev[DEPTH];
	int i, n;

	while (f->completed < total && !f->wrong) {
		struct iocb *list[DEPTH];
		int nr = 0, at = 0;

		for (i = 0; i < DEPTH && f->submitted < total; i++) {
			if (f->req[i].busy)
				continue;
			prepare(f, &f->req[i]);
			list[nr++] = &f->req[i].cb;
			f->submitted++;
		}
		while (at < nr) {
			n = aio_submit(f->ctx, nr - at, list + at);
			if (n <= 0) {
				f->wrong = "io_submit failed";
				return n;
			}
			at += n;
		}
		n = aio_events(f->ctx, 1, DEPTH, ev, HANG_MS);
		if (n <= 0) {
			f->wrong = "no event: it hangs";
			return n;
		}
		while (n--)
			complete(f, &ev[n]);
	}
	if (!f->wrong && aio_events(f->ctx, 0, DEPTH, ev, 0))
		f->wrong = "more events than requests";
	return f->wrong ? -EIO : 0;
}

TEST_F_TIMEOUT(dio_flood, many_threads, 900)
{
	static struct flooder f[THREADS];
	static struct task t[THREADS];
	const size_t shared = THREADS * SLOTS * SLOT;
	char *back = buf_alloc(MIB), name[16];
	unsigned int id;
	size_t at, len;
	off_t pos;

	ASSERT_EQ(0, vol_prefill("shared", 0, shared, 1));
	for (id = 0; id < THREADS; id++) {
		unsigned long i;

		f[id].id = id;
		f[id].rnd = 0x9e3779b97f4a7c15ULL * (id + 1);
		f[id].shared = vol_open("shared", O_RDWR | O_DIRECT);
		snprintf(name, sizeof(name), "own%u", id);
		f[id].own = vol_open(name, O_CREAT | O_RDWR | O_DIRECT);
		ASSERT_LE(0, f[id].own);
		ASSERT_EQ(0, aio_setup(DEPTH, &f[id].ctx));
		for (i = 0; i < SLOTS; i++)
			f[id].gen[i] = 1;
		for (i = 0; i < DEPTH; i++)
			f[id].req[i].buf = buf_alloc(SLOT);
	}
	for (id = 0; id < THREADS; id++)
		ASSERT_EQ(0, task_start(&t[id], flood, &f[id]));
	for (id = 0; id < THREADS; id++) {
		EXPECT_EQ(0, task_join(&t[id], 800))
			TH_LOG("thread %u: %s", id, f[id].wrong ? f[id].wrong : "hangs");
		EXPECT_EQ(REQUESTS, f[id].completed);
	}
	/* and all of it is there */
	for (pos = 0; pos < (off_t)shared; pos += MIB) {
		ASSERT_EQ(MIB, pread(f[0].shared, back, MIB, pos));
		for (at = 0; at < MIB; at += SLOT) {
			unsigned long slot = (pos + at) / SLOT;

			ASSERT_PATTERN(back + at, SLOT, pos + at, f[slot % THREADS].gen[slot / THREADS]);
		}
	}
	for (id = 0; id < THREADS; id++) {
		for (pos = 0; pos < f[id].end; pos += len) {
			len = f[id].end - pos < (off_t)MIB ? f[id].end - pos : MIB;
			ASSERT_EQ(len, pread(f[id].own, back, MIB, pos));
			ASSERT_PATTERN(back, len, pos, 1);
		}
		EXPECT_EQ(0, pread(f[id].own, back, SLOT, f[id].end));
	}
}

TEST_HARNESS_MAIN
