// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "check.h"
#include "env.h"
#include "soak.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What each way finds in the sector now, to tell the cache from the device. */
static void look_again(const struct file *f, uint64_t sector)
{
	static const char *const ways[] = { "direct", "cached" };
	char *buf = buf_alloc(4096);
	char what[128];
	int i;

	for (i = 0; i < 2; i++) {
		ssize_t n = pread(i ? f->fd_cached : f->fd_direct, buf, SECTOR,
				  f->base + sector * SECTOR);

		if (n > 0)
			check_describe(buf, n, what, sizeof(what));
		else
			snprintf(what, sizeof(what), "%s", n ? strerror(errno) : "the end");
		printf("# %s read now: %s\n", ways[i], what);
	}
}

static void print_seed(const struct soak *s)
{
	printf("# seed %#llx, round %d, %d threads, blocks of %u bytes%s on %s\n",
	       (unsigned long long)s->seed, s->round, s->threads, s->v->bs,
	       s->errors ? ", bios fail" : "", env_fstype());
}

void soak_fail(struct soak *s, const struct req *r, ssize_t res, long sector,
	       const char *wrong)
{
	const struct op *op = r ? &r->op : NULL;
	bool first;

	pthread_mutex_lock(&lock);
	first = !s->failed;
	s->failed = true;
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	/* The others will meet the same: the first is worth the most. */
	if (!first)
		goto out;
	printf("# SOAK FAILED: %s\n", wrong);
	print_seed(s);
	if (!op)
		goto out;
	printf("# %s of %s, %s, thread %d: %llu bytes at %llu: returned %zd\n",
	       log_kind(op->kind), op->f->name, op->cached ? "cached" : "direct",
	       r->how.thread, (unsigned long long)op->len,
	       (unsigned long long)(op->f->base + op->off), res);
	printf("# it began at %llu and ended at %llu in the file's own time; features %#x\n",
	       (unsigned long long)op->issue, (unsigned long long)op->complete,
	       op->f->features);
	if (sector >= 0) {
		printf("# in the sector at %llu it found: %s\n",
		       (unsigned long long)(op->f->base + sector * SECTOR), wrong);
		model_print(op->f, sector);
		look_again(op->f, sector);
		log_print(op->f, sector * SECTOR & ~4095UL, 4096);
	} else {
		log_print(op->f, op->off, op->len ? op->len : 1);
	}
out:
	fflush(stdout);
	pthread_mutex_unlock(&lock);
}

static void print_stack(const char *tid)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.16s/stack", tid);
	f = fopen(path, "re");
	if (!f)
		return;
	printf("# thread %s:\n", tid);
	while (fgets(line, sizeof(line), f))
		printf("#   %s", line);
	fclose(f);
}

void soak_hang(struct soak *s)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;

	printf("# SOAK FAILED: nothing has happened for %d seconds\n", s->hang_seconds);
	print_seed(s);
	log_print_open();
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			print_stack(e->d_name);
	if (dir)
		closedir(dir);
	fflush(stdout);
	s->failed = true;
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
}
