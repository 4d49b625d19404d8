/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A run: rounds of random operations by many threads on a few files, each
 * followed by a look at everything, through the cache, past it, and after a
 * remount; then the free space is poisoned again.
 */
#ifndef SOAK_H
#define SOAK_H

#include "aio.h"
#include "log.h"
#include "model.h"
#include "rng.h"
#include "uring.h"
#include "vol.h"

#define FILES		3
#define FILE_BYTES	(1U << 20)
#define IO_MAX		(128U << 10)
#define REQS		6	/* that a thread can have in flight */
#define THREADS_MAX	16

/* What is done to a file in a round; not all at once, as one thing hides another. */
enum {
	F_DIRECT_WRITE	= 1 << 0,
	F_CACHED_WRITE	= 1 << 1,
	F_STORE		= 1 << 2,
	F_LOAD		= 1 << 3,
	F_CACHED_READ	= 1 << 4,
	F_CUT		= 1 << 5,	/* truncate to less */
	F_GROW		= 1 << 6,	/* truncate to more */
	F_APPEND	= 1 << 7,
	F_BYTES		= 1 << 8,	/* sizes and writes that end in a sector */
	F_LARGE		= 1 << 9,	/* requests of many blocks */
	F_GAPS		= 1 << 10,	/* writes far from others: holes */
	F_PUNCH		= 1 << 11,
};

struct soak {
	struct vol *v;
	uint64_t seed;
	int threads;
	int ops;		/* of each thread in a round */
	int rounds;		/* 0: as many as there is time for */
	int seconds;
	int hang_seconds;	/* without progress */
	bool errors;		/* have bios of the first file fail */

	struct file files[FILES];
	unsigned int mem_align;
	int round;
	bool stop;
	bool failed;
	uint64_t done;		/* operations */
	uint64_t hash;		/* of what was chosen: equal for equal seeds */
};

struct req {
	struct op op;
	struct log_extra how;
	struct iovec iov[3];
	int nr_iov;
	struct iocb cb;
	char *mem, *buf;
	bool busy;
};

struct worker {
	struct soak *s;
	int nr;
	struct rng rng;
	struct req reqs[REQS];
	int in_flight;
	aio_context_t aio;
	struct uring uring;
	bool has_uring;
	struct may *may;
	char *line;		/* memory to store from */
	uint64_t hash;
	uint64_t done;
};

/* All of it: 0, or not when something was wrong (and has been printed). */
int soak_run(struct soak *s);

/* worker.c */
int worker_init(struct worker *w, struct soak *s, int nr);
void worker_exit(struct worker *w);
struct req *worker_free_req(struct worker *w);
/* Make a request; it may be in flight afterwards. */
void worker_issue(struct worker *w, struct req *r);
/* Wait for one request in flight, or for all. */
void worker_reap(struct worker *w, bool all);
/* Any operation that is not asynchronous. */
void worker_do(struct worker *w, struct req *r);

/* choose.c */
void choose_features(struct soak *s);
void choose_and_do(struct worker *w);

/* files.c */
int files_make(struct soak *s);
int files_open(struct soak *s);
void files_close(struct soak *s);
int files_remount(struct soak *s);
/* Read everything by all ways. */
void files_verify(struct worker *w);

/* mapping.c */
void mapping_init(void);
/* Copy, from or to a mapping of a file: @len, or -1 with *fault if that failed. */
ssize_t mapping_copy(void *to, const void *from, size_t len, char **fault);

/* faults.c: have some of the first file's blocks fail now and then. */
int faults_start(struct soak *s);
int faults_stop(struct soak *s);

/* report.c */
void soak_fail(struct soak *s, const struct req *r, ssize_t res, long sector,
	       const char *wrong);
void soak_hang(struct soak *s);

static inline bool soak_stopped(struct soak *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

#endif
