// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "soak.h"

struct thread {
	struct worker w;
	pthread_t thread;
	bool running;
};

static struct thread threads[THREADS_MAX];
static struct timespec deadline;

static bool too_late(const struct soak *s)
{
	struct timespec now;

	if (s->rounds)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > deadline.tv_sec ||
	       (now.tv_sec == deadline.tv_sec && now.tv_nsec >= deadline.tv_nsec);
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	struct worker *w = &t->w;
	int i;

	for (i = 0; i < w->s->ops && !soak_stopped(w->s) && !too_late(w->s); i++)
		choose_and_do(w);
	worker_reap(w, true);
	return NULL;
}

/* Files start a round at any size, so that they do not only grow. */
static void resize(struct worker *w)
{
	int i;

	for (i = 0; i < FILES; i++) {
		struct file *f = &w->s->files[i];
		struct req *r = worker_free_req(w);

		if (f->failing || rng_percent(&w->rng, 40))
			continue;
		r->op = (struct op){
			.f = f, .kind = OP_TRUNCATE, .cached = true,
			.off = rng_below(&w->rng, f->max / SECTOR) * SECTOR / 2,
		};
		r->how = (struct log_extra){ .way = SYNC };
		worker_do(w, r);
	}
}

static uint64_t all_done(const struct soak *s)
{
	uint64_t n = 0;
	int i;

	for (i = 0; i < s->threads; i++)
		n += __atomic_load_n(&threads[i].w.done, __ATOMIC_RELAXED);
	return n;
}

/* Join the thread; as long as any of them gets on, there is no hurry. */
static int join(struct soak *s, struct thread *t)
{
	uint64_t last = all_done(s);
	int quiet = 0;

	while (quiet < s->hang_seconds) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		if (!pthread_timedjoin_np(t->thread, NULL, &until))
			return 0;
		if (all_done(s) != last) {
			last = all_done(s);
			quiet = 0;
		} else {
			quiet++;
		}
	}
	soak_hang(s);
	return -ETIME;
}

static int run_threads(struct soak *s)
{
	int err = 0;
	int i;

	memset(threads, 0, sizeof(threads));
	for (i = 0; i < s->threads && !err; i++)
		err = worker_init(&threads[i].w, s, i);
	for (i = 0; i < s->threads && !err; i++) {
		err = -pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]);
		threads[i].running = !err;
	}
	for (i = 0; i < s->threads; i++) {
		/* Who hangs keeps what it uses. */
		if (threads[i].running && join(s, &threads[i]))
			return -ETIME;
	}
	s->done += all_done(s);
	for (i = 0; i < s->threads; i++) {
		s->hash ^= threads[i].w.hash * (2 * i + 1);
		worker_exit(&threads[i].w);
	}
	return err;
}

static int run_round(struct soak *s, struct worker *w)
{
	int err;

	choose_features(s);
	resize(w);
	err = s->errors ? faults_start(s) : 0;
	if (err)
		return err;
	err = run_threads(s);
	if (s->errors)
		faults_stop(s);
	if (err || s->failed)
		return err ? err : -EIO;
	files_verify(w);
	if (s->failed)
		return -EIO;
	err = files_remount(s);
	if (err)
		return err;
	files_verify(w);
	return s->failed ? -EIO : 0;
}

static int prepare(struct soak *s)
{
	unsigned int offset;
	int err;

	mapping_init();
	err = files_make(s);
	if (!err)
		err = files_open(s);
	if (!err)
		err = dio_align(s->files[0].fd_direct, &s->mem_align, &offset);
	if (err)
		return err;
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += s->seconds;
	return 0;
}

int soak_run(struct soak *s)
{
	static struct worker w;
	int err;

	printf("# seed %#llx (SOAK_SEED=%#llx does it again): %d threads, %d operations each in a round\n",
	       (unsigned long long)s->seed, (unsigned long long)s->seed, s->threads, s->ops);
	fflush(stdout);
	err = prepare(s);
	if (err) {
		printf("# soak: %s\n", strerror(-err));
		return err;
	}
	while (!err && (s->rounds ? s->round < s->rounds : !too_late(s))) {
		err = worker_init(&w, s, 100);
		if (err)
			break;
		err = run_round(s, &w);
		worker_exit(&w);
		s->round++;
	}
	printf("# %d rounds, %llu operations, sequence %016llx\n", s->round,
	       (unsigned long long)s->done, (unsigned long long)s->hash);
	if (err)
		printf("# soak: %s\n", strerror(-err));
	files_close(s);
	return err;
}
