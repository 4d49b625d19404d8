// SPDX-License-Identifier: GPL-2.0
/*
 * A load of asynchronous requests, from several threads, whose end is not waited
 * for: the device goes, comes and goes, the contexts are destroyed, the process is
 * killed. Every event that can come does, once; nothing hangs and nothing is left
 * behind; and what was written before is there. Nothing is held: it happens at
 * whatever moment it happens, which is counted in requests, not in seconds.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "harness.h"

#define THREADS		4
#define FILES		3
#define SLOT		4096UL
#define SLOTS		48	/* of each thread, over all files */
#define FILE_SIZE	(SLOTS / FILES * THREADS * SLOT)
#define MAX_DEPTH	32
#define HANG		120	/* seconds */
#define MANY		(256 * env_scale())

VOL_FIXTURE(dio_load);
FIXTURE_VARIANT_ADD(dio_load, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_load, bs4k) { .conf = SMALL_4K };

enum kind { READ, OVERWRITE, EXTEND };

struct request {
	struct iocb cb;
	char *buf;
	enum kind kind;
	unsigned int slot;
	bool busy;
	bool dead;		/* submitted after the device had gone */
};

/* A piece of a file that is one thread's. Every sector is of a generation from @ok to @last. */
struct slot {
	uint64_t ok, last;
	bool busy;
};

struct worker {
	struct load *l;
	unsigned int id;
	uint64_t rnd;
	int own;
	aio_context_t ctx;
	struct request req[MAX_DEPTH];
	struct slot slot[SLOTS];
	bool growing;
	off_t end, may_end;	/* of our own file: what counts, what was asked for */
	unsigned long submitted, ended, failed;
	const char *wrong;
	ssize_t res;		/* of the request that was wrong */
};

/* Shared with the process that makes the load, where that is another one. */
struct load {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned long ended;
	bool broken;		/* a thread has found something wrong, and has left */
	bool stop;
	/* how it is to be */
	unsigned int depth;
	bool extends;
	bool may_fail;
	bool leave;		/* at the stop, destroy the contexts, with full queues */
	bool dead;
	int fd[FILES];
	struct worker w[THREADS];
	struct task t[THREADS];
};

static off_t slot_pos(const struct worker *w, unsigned int slot)
{
	return (off_t)(slot / FILES * THREADS + w->id) * SLOT;
}

/* NULL when every sector is of one of the generations that it may be of. */
static const char *slot_diff(const char *buf, off_t pos, const struct slot *s)
{
	size_t i;

	for (i = 0; i < SLOT; i += PATTERN_SECTOR) {
		uint64_t gen = s->ok;
		const char *diff;

		while (gen < s->last && !pattern_stamped(buf + i, pos + i, gen))
			gen++;
		diff = pattern_diff(buf + i, PATTERN_SECTOR, pos + i, gen);
		if (diff)
			return diff;
	}
	return NULL;
}

static uint64_t rnd(struct worker *w)
{
	w->rnd ^= w->rnd << 13;
	w->rnd ^= w->rnd >> 7;
	w->rnd ^= w->rnd << 17;
	return w->rnd;
}

static void prepare(struct worker *w, struct request *r)
{
	struct load *l = w->l;
	unsigned int what = rnd(w) % 8;
	struct slot *s;
	off_t pos;

	r->busy = true;
	r->dead = __atomic_load_n(&l->dead, __ATOMIC_ACQUIRE);
	if (l->extends && what < 2 && !w->growing) {
		r->kind = EXTEND;
		w->growing = true;
		w->may_end = w->end + SLOT;
		pattern_fill(r->buf, SLOT, w->end, 1);
		aio_prep_write(&r->cb, w->own, r->buf, SLOT, w->end);
	} else {
		/* more slots than requests: one is free */
		do {
			r->slot = rnd(w) % SLOTS;
			s = &w->slot[r->slot];
		} while (s->busy);
		s->busy = true;
		pos = slot_pos(w, r->slot);
		r->kind = what < 6 ? OVERWRITE : READ;
		if (r->kind == OVERWRITE) {
			pattern_fill(r->buf, SLOT, pos, ++s->last);
			aio_prep_write(&r->cb, l->fd[r->slot % FILES], r->buf, SLOT, pos);
		} else {
			memset(r->buf, 0, SLOT);
			aio_prep_read(&r->cb, l->fd[r->slot % FILES], r->buf, SLOT, pos);
		}
	}
	r->cb.aio_data = (uintptr_t)r;
	w->submitted++;
}

static void submit_all(struct worker *w)
{
	struct iocb *list[MAX_DEPTH];
	unsigned int i;
	int n, nr = 0, at = 0;

	for (i = 0; i < w->l->depth; i++) {
		if (w->req[i].busy)
			continue;
		prepare(w, &w->req[i]);
		list[nr++] = &w->req[i].cb;
	}
	while (at < nr && !w->wrong) {
		n = aio_submit(w->ctx, nr - at, list + at);
		if (n <= 0)
			w->wrong = "io_submit failed";
		at += n;
	}
}

static void complete(struct worker *w, const struct io_event *ev)
{
	struct request *r = (void *)(uintptr_t)ev->data;
	struct slot *s = &w->slot[r->slot];
	ssize_t res = ev->res;

	if (!r->busy)
		w->wrong = "an event came twice";
	else if (r->dead && res != -EIO)
		w->wrong = "without a device, another result than EIO";
	else if (res != SLOT && !w->l->may_fail)
		w->wrong = "a request failed or was short";
	else if (res != -EIO && (res <= 0 || res > (ssize_t)SLOT))
		w->wrong = "neither a count nor EIO";
	if (w->wrong) {
		w->res = res;
		return;
	}
	r->busy = false;
	if (res != SLOT)
		w->failed++;
	switch (r->kind) {
	case EXTEND:
		if (res > 0)
			w->end += res;
		w->growing = false;
		return;
	case OVERWRITE:
		if (res == SLOT)
			s->ok = s->last;
		break;
	case READ:
		if (res == SLOT && slot_diff(r->buf, slot_pos(w, r->slot), s))
			w->wrong = "a read returned other data than was written";
		break;
	}
	s->busy = false;
}

static bool reap(struct worker *w)
{
	struct io_event ev[MAX_DEPTH];
	struct load *l = w->l;
	int i, n = aio_events(w->ctx, 1, MAX_DEPTH, ev, HANG * 1000);

	if (n <= 0) {
		w->wrong = "no event: it hangs";
		return false;
	}
	for (i = 0; i < n && !w->wrong; i++)
		complete(w, &ev[i]);
	w->ended += n;
	pthread_mutex_lock(&l->lock);
	l->ended += n;
	pthread_cond_broadcast(&l->moved);
	pthread_mutex_unlock(&l->lock);
	return !w->wrong;
}

static long load_by(struct worker *w)
{
	struct io_event ev;
	unsigned int i;

	do {
		submit_all(w);
	} while (!w->wrong && reap(w) && !__atomic_load_n(&w->l->stop, __ATOMIC_ACQUIRE));
	if (w->wrong)
		return -EIO;
	if (w->l->leave) {
		submit_all(w);
		if (w->wrong || aio_destroy(w->ctx))
			return -EIO;
		/* which waits for all of them, so that they have all succeeded */
		for (i = 0; i < SLOTS; i++)
			w->slot[i].ok = w->slot[i].last;
		w->end = w->may_end;
		return 0;
	}
	while (w->ended < w->submitted)
		if (!reap(w))
			return -EIO;
	if (aio_events(w->ctx, 0, 1, &ev, 0))
		w->wrong = "more events than requests";
	if (w->wrong)
		return -EIO;
	return aio_destroy(w->ctx);
}

static long work(void *arg)
{
	struct worker *w = arg;
	struct load *l = w->l;
	long ret = load_by(w);

	pthread_mutex_lock(&l->lock);
	l->broken |= ret != 0;
	pthread_cond_broadcast(&l->moved);
	pthread_mutex_unlock(&l->lock);
	return ret;
}

/* Anew for each process: one that is killed may have them. */
static void load_locks(struct load *l)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t cond;

	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&l->lock, &mutex);
	pthread_condattr_init(&cond);
	pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
	pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
	pthread_cond_init(&l->moved, &cond);
}

static struct load *load_new(struct __test_metadata *_metadata)
{
	struct load *l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int id, i;
	char name[16];
	int fd;

	ASSERT_NE(MAP_FAILED, l);
	load_locks(l);
	for (i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		ASSERT_EQ(0, vol_prefill(name, 0, FILE_SIZE, 1));
	}
	for (id = 0; id < THREADS; id++) {
		struct worker *w = &l->w[id];

		w->l = l;
		w->id = id;
		w->rnd = 0x9e3779b97f4a7c15ULL * (id + 1);
		for (i = 0; i < SLOTS; i++)
			w->slot[i] = (struct slot){ .ok = 1, .last = 1 };
		for (i = 0; i < MAX_DEPTH; i++)
			w->req[i].buf = buf_alloc(SLOT);
		snprintf(name, sizeof(name), "own%u", id);
		fd = vol_open(name, O_CREAT | O_RDWR);
		ASSERT_LE(0, fd);
		close(fd);
	}
	vol_sync();
	return l;
}

static int load_start(struct load *l)
{
	unsigned int id, i;
	char name[16];
	int err = 0;

	l->stop = false;
	for (i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		l->fd[i] = vol_open(name, O_RDWR | O_DIRECT);
	}
	for (id = 0; id < THREADS; id++) {
		struct worker *w = &l->w[id];

		snprintf(name, sizeof(name), "own%u", id);
		w->own = vol_open(name, O_RDWR | O_DIRECT);
		w->growing = false;
		w->submitted = 0;
		w->ended = 0;
		for (i = 0; i < MAX_DEPTH; i++)
			w->req[i].busy = false;
		for (i = 0; i < SLOTS; i++)
			w->slot[i].busy = false;
		if (!err)
			err = aio_setup(MAX_DEPTH, &w->ctx);
	}
	for (id = 0; !err && id < THREADS; id++)
		err = task_start(&l->t[id], work, &l->w[id]);
	return err;
}

/* Wait until @nr more requests have ended; false when they do not, or not well. */
static bool load_moves(struct load *l, unsigned long nr)
{
	struct timespec until;
	bool moved;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += HANG;
	pthread_mutex_lock(&l->lock);
	nr += l->ended;
	while (l->ended < nr && !l->broken)
		if (pthread_cond_timedwait(&l->moved, &l->lock, &until))
			break;
	moved = l->ended >= nr && !l->broken;
	pthread_mutex_unlock(&l->lock);
	return moved;
}

static void load_stop(struct __test_metadata *_metadata, struct load *l)
{
	unsigned int id, i;

	__atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
	for (id = 0; id < THREADS; id++) {
		struct worker *w = &l->w[id];

		EXPECT_EQ(0, task_join(&l->t[id], 2 * HANG))
			TH_LOG("thread %u: %s (%zd); %lu submitted, %lu ended", id,
			       w->wrong ? w->wrong : "hangs", w->res, w->submitted,
			       w->ended);
		close(w->own);
	}
	for (i = 0; i < FILES; i++)
		close(l->fd[i]);
}

/* All that was written and said to be, after a mount: nothing is in the page cache. */
static void check_files(struct __test_metadata *_metadata, struct load *l)
{
	char *back = buf_alloc(SLOT), name[16];
	unsigned int id, i;
	const char *diff;
	struct stat st;
	int fd[FILES];
	off_t pos;

	for (i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		fd[i] = vol_open(name, O_RDONLY | O_DIRECT);
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, fstat(fd[i], &st));
		EXPECT_EQ(FILE_SIZE, st.st_size);
	}
	for (id = 0; id < THREADS; id++)
		for (i = 0; i < SLOTS; i++) {
			pos = slot_pos(&l->w[id], i);
			ASSERT_EQ(SLOT, pread(fd[i % FILES], back, SLOT, pos));
			diff = slot_diff(back, pos, &l->w[id].slot[i]);
			ASSERT_TRUE(!diff) TH_LOG("file%u: %s", i % FILES, diff);
		}
	for (i = 0; i < FILES; i++)
		close(fd[i]);
}

/* Our own files have grown by what was waited for, or by what was asked for and not. */
static void check_ends(struct __test_metadata *_metadata, struct load *l)
{
	char *back = buf_alloc(SLOT), name[16];
	unsigned int id;
	struct stat st;
	off_t pos;
	int fd;

	for (id = 0; id < THREADS; id++) {
		struct worker *w = &l->w[id];

		snprintf(name, sizeof(name), "own%u", id);
		fd = vol_open(name, O_RDONLY | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_LE(w->end, st.st_size);
		EXPECT_GE(w->may_end, st.st_size);
		for (pos = 0; pos < st.st_size; pos += SLOT) {
			ssize_t n = pread(fd, back, SLOT, pos);

			ASSERT_LT(0, n);
			EXPECT_PATTERN(back, n, pos, 1);
		}
		/* if that was killed, the next load goes on from here */
		w->end = st.st_size;
		w->may_end = st.st_size;
		close(fd);
	}
}

/* It was a load of what is being tested. */
static void check_counters(struct __test_metadata *_metadata, struct vol *v, bool extends)
{
	struct counters c;

	if (!env_is_retryfs())
		return;
	ASSERT_EQ(0, vol_counters(v, &c));
	EXPECT_LT(MANY / 4, c.async);
	EXPECT_LT(0, c.retries);
	EXPECT_EQ(extends && !env_async_alloc(), c.sync_extend > 0);
}

static unsigned long failed(const struct load *l)
{
	unsigned long n = 0;
	unsigned int id;

	for (id = 0; id < THREADS; id++)
		n += l->w[id].failed;
	return n;
}

/*
 * The device goes under a load, and stays away. What the filesystem had still to
 * write is lost then, so that the volume is repaired before it is looked at: what
 * the repair must not touch is the files that were there, with all their data.
 */
TEST_F_TIMEOUT(dio_load, device_gone, 900)
{
	const char *const repair[] = { "e2fsck", "-f", "-y", self->v.dev, NULL };
	struct load *l = load_new(_metadata);
	int status;

	l->depth = 8;
	l->extends = true;
	l->may_fail = true;
	ASSERT_EQ(0, load_start(l));
	ASSERT_TRUE(load_moves(l, MANY));
	EXPECT_EQ(0, failed(l));
	EXPECT_EQ(0, vol_fail(&self->v, NULL));
	__atomic_store_n(&l->dead, true, __ATOMIC_RELEASE);
	EXPECT_TRUE(load_moves(l, MANY));
	load_stop(_metadata, l);
	EXPECT_LT(MANY / 2, failed(l));
	check_counters(_metadata, &self->v, true);
	/* the device is gone, and umount has no way to report that: it succeeds */
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, vol_unroute(&self->v));
	status = run(1, repair);
	EXPECT_TRUE(status == 0 || status == 1);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	check_files(_metadata, l);
}

/* It comes and goes. Nothing is allocated: that the volume is sound needs no repair. */
TEST_F_TIMEOUT(dio_load, device_comes_and_goes, 900)
{
	struct load *l = load_new(_metadata);
	unsigned long before;
	int round;

	l->depth = 8;
	l->may_fail = true;
	ASSERT_EQ(0, load_start(l));
	for (round = 0; round < 8; round++) {
		EXPECT_TRUE(load_moves(l, MANY / 4));
		EXPECT_EQ(0, vol_fail(&self->v, NULL));
		EXPECT_TRUE(load_moves(l, MANY / 4));
		EXPECT_EQ(0, vol_unroute(&self->v));
	}
	EXPECT_TRUE(load_moves(l, MANY));
	load_stop(_metadata, l);
	before = failed(l);
	EXPECT_LT(8, before);
	check_counters(_metadata, &self->v, false);
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	check_files(_metadata, l);

	/* and on a mount that has not seen any of this nothing fails any more */
	l->may_fail = false;
	ASSERT_EQ(0, load_start(l));
	EXPECT_TRUE(load_moves(l, MANY / 2));
	load_stop(_metadata, l);
	EXPECT_EQ(before, failed(l));
}

/* io_destroy() with full queues, several times on one mount. */
TEST_F_TIMEOUT(dio_load, contexts_destroyed, 900)
{
	struct load *l = load_new(_metadata);
	int round;

	l->depth = MAX_DEPTH;
	l->extends = true;
	l->leave = true;
	for (round = 0; round < 4; round++) {
		ASSERT_EQ(0, load_start(l));
		EXPECT_TRUE(load_moves(l, MANY / 2));
		load_stop(_metadata, l);
	}
	check_counters(_metadata, &self->v, true);
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	check_files(_metadata, l);
	check_ends(_metadata, l);
}

/* SIGKILL. Requests whose events are not reaped end, and drop their references. */
TEST_F_TIMEOUT(dio_load, processes_killed, 900)
{
	struct load *l = load_new(_metadata);
	int round, status;
	unsigned int id;
	pid_t pid;

	l->depth = MAX_DEPTH;
	l->extends = true;
	for (round = 0; round < 3; round++) {
		load_locks(l);
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			if (load_start(l))
				_exit(1);
			for (;;)
				pause();
		}
		EXPECT_TRUE(load_moves(l, MANY));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		for (id = 0; id < THREADS; id++) {
			const char *wrong = l->w[id].wrong;

			EXPECT_TRUE(!wrong) TH_LOG("thread %u: %s", id, wrong);
		}
		check_counters(_metadata, &self->v, true);
		ASSERT_EQ(0, vol_umount_soon(&self->v));
		ASSERT_EQ(0, vol_fsck(&self->v));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
		check_files(_metadata, l);
		check_ends(_metadata, l);
	}
}

TEST_HARNESS_MAIN
