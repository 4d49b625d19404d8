// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "check.h"
#include "pattern.h"
#include "soak.h"

#define PAGE	4096UL

int worker_init(struct worker *w, struct soak *s, int nr)
{
	int err;
	int i;

	memset(w, 0, sizeof(*w));
	w->s = s;
	w->nr = nr;
	rng_seed(&w->rng, s->seed, s->round, nr);
	w->may = calloc(IO_MAX / SECTOR + 1, sizeof(*w->may));
	w->line = malloc(IO_MAX);
	if (!w->may || !w->line)
		return -ENOMEM;
	for (i = 0; i < REQS; i++)
		w->reqs[i].mem = buf_alloc(IO_MAX + PAGE);
	err = aio_setup(REQS, &w->aio);
	if (err)
		return err;
	/* Without it the rest is worth doing all the same. */
	w->has_uring = !uring_setup(&w->uring, 2 * REQS);
	return 0;
}

void worker_exit(struct worker *w)
{
	int i;

	if (w->has_uring)
		uring_exit(&w->uring);
	aio_destroy(w->aio);
	for (i = 0; i < REQS; i++)
		munmap(w->reqs[i].mem, IO_MAX + PAGE);
	free(w->may);
	free(w->line);
}

struct req *worker_free_req(struct worker *w)
{
	int i;

	for (i = 0; w->reqs[i].busy; i++)
		;
	return &w->reqs[i];
}

/*
 * When a direct write could not drop a page that somebody was writing to, the
 * next one to sync the file is told so, with an error.
 */
static bool may_be_told(const struct req *r)
{
	const struct op *op = &r->op;
	uint32_t has = op->f->features;

	if (!(has & F_DIRECT_WRITE) || !(has & (F_CACHED_WRITE | F_STORE)))
		return false;
	return op->kind == OP_FSYNC || op->kind == OP_FDATASYNC ||
	       op->kind == OP_MSYNC || op->kind == OP_RANGE || r->how.rwf;
}

/* Is the result one that the call may have, whatever the data is? */
static const char *result_ok(const struct req *r, ssize_t res, char *fault)
{
	const struct op *op = &r->op;
	const struct file *f = op->f;

	if (fault) {
		uint64_t page = (fault - f->map) & ~(PAGE - 1);

		return f->failing || op->lo <= page ? NULL : "SIGBUS inside the file";
	}
	if (res < 0 && f->failing)
		return NULL;
	if (res < 0)
		return res == -EIO && may_be_told(r) ? NULL : strerror(-res);
	if (op_writes_data(op) && res != (ssize_t)op->len)
		return f->failing ? NULL : "a short write";
	return NULL;
}

static void finish(struct worker *w, struct req *r, ssize_t res, char *fault)
{
	const char *wrong = model_end(&r->op, res, w->may);
	char what[128];
	long sector = -1;

	log_end(&r->op, res);
	if (!wrong)
		wrong = result_ok(r, res, fault);
	if (!wrong && op_reads(&r->op) && res > 0) {
		sector = check_bytes(r->op.f, r->buf, r->op.off, res, w->may, what,
				     sizeof(what));
		if (sector >= 0)
			wrong = what;
	}
	if (wrong)
		soak_fail(w->s, r, res, sector, wrong);
	__atomic_add_fetch(&w->done, 1, __ATOMIC_RELAXED);
}

static bool begin(struct worker *w, struct req *r)
{
	struct op *op = &r->op;
	size_t at = 0;
	int i;

	r->how.thread = w->nr;
	op->in_steps = op_writes_data(op) && r->how.way == URING;
	if (!model_begin(op))
		return false;
	op->log = log_begin(op, &r->how);
	if (op->kind > OP_APPEND)
		return true;
	if (op_writes(op))
		pattern_fill(r->buf, op->len, op->f->base + op->off, op->gen);
	else
		memset(r->buf, 0xa5, op->len);
	for (i = 0; i < r->nr_iov; i++) {
		r->iov[i].iov_base = r->buf + at;
		at += r->iov[i].iov_len;
	}
	return true;
}

static void prepare_aio(struct req *r, int fd, off_t off, int rwf)
{
	if (op_writes(&r->op))
		aio_prep_writev(&r->cb, fd, r->iov, r->nr_iov, off);
	else
		aio_prep_readv(&r->cb, fd, r->iov, r->nr_iov, off);
	r->cb.aio_rw_flags = rwf;
	r->cb.aio_data = (uintptr_t)r;
}

void worker_issue(struct worker *w, struct req *r)
{
	struct op *op = &r->op;
	bool write = op->kind != OP_READ;
	ssize_t res;
	off_t off;
	int rwf;
	int fd;

	if (r->how.way == URING && !w->has_uring)
		r->how.way = ASYNC;
	if (!begin(w, r))
		return;
	fd = op->cached ? op->f->fd_cached : op->f->fd_direct;
	off = op->f->base + op->off;
	rwf = r->how.rwf | (op->kind == OP_APPEND ? RWF_APPEND : 0);
	/* An append is given no position: it must not matter. */
	if (op->kind == OP_APPEND)
		off = 0;
	switch (r->how.way) {
	case SYNC:
		res = write ? pwritev2(fd, r->iov, r->nr_iov, off, rwf) :
			      preadv2(fd, r->iov, r->nr_iov, off, rwf);
		finish(w, r, res < 0 ? -errno : res, NULL);
		return;
	case ASYNC:
		prepare_aio(r, fd, off, rwf);
		res = aio_submit_one(w->aio, &r->cb);
		break;
	default:
		res = uring_submit(&w->uring, write, fd, r->iov, r->nr_iov, off,
				   rwf, (uintptr_t)r);
	}
	if (res) {
		finish(w, r, res, NULL);
		return;
	}
	r->busy = true;
	w->in_flight++;
}

static void take(struct worker *w, uint64_t data, ssize_t res)
{
	struct req *r = (struct req *)(uintptr_t)data;

	if (r < w->reqs || r >= w->reqs + REQS || !r->busy) {
		soak_fail(w->s, NULL, res, -1, "an event of no request in flight");
		return;
	}
	r->busy = false;
	w->in_flight--;
	finish(w, r, res, NULL);
}

static bool any_by(const struct worker *w, enum way way)
{
	int i;

	for (i = 0; i < REQS; i++)
		if (w->reqs[i].busy && w->reqs[i].how.way == way)
			return true;
	return false;
}

void worker_reap(struct worker *w, bool all)
{
	int stuck = w->in_flight;

	while (w->in_flight) {
		struct io_event ev[REQS];
		uint64_t data;
		int n, i, res;

		if (any_by(w, ASYNC)) {
			n = aio_events(w->aio, 1, REQS, ev, -1);
			for (i = 0; i < n; i++)
				take(w, ev[i].data, ev[i].res);
		} else {
			n = uring_reap(&w->uring, true, &data, &res);
			if (n == 1)
				take(w, data, res);
		}
		if (n < 0) {
			soak_fail(w->s, NULL, n, -1, "waiting for events failed");
			return;
		}
		if (!all && w->in_flight < stuck)
			return;
	}
}

static ssize_t map_range(struct op *op, int (*call)(void *at, size_t len, int flags),
			 int flags)
{
	uint64_t from = op->off & ~(PAGE - 1);

	return call(op->f->map + from, op->off + op->len - from, flags) ? -errno : 0;
}

static ssize_t call(struct worker *w, struct req *r, char **fault)
{
	struct op *op = &r->op;
	struct file *f = op->f;
	struct stat st;

	switch (op->kind) {
	case OP_LOAD:
		return mapping_copy(r->buf, f->map + op->off, op->len, fault);
	case OP_STORE:
		pattern_fill(w->line, op->len, f->base + op->off, op->gen);
		return mapping_copy(f->map + op->off, w->line, op->len, fault);
	case OP_TRUNCATE:
		return ftruncate(f->fd_cached, f->base + op->off) ? -errno : 0;
	case OP_PUNCH:
		return fallocate(f->fd_cached, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 f->base + op->off, op->len) ? -errno : 0;
	case OP_FSYNC:
		return fsync(f->fd_cached) ? -errno : 0;
	case OP_FDATASYNC:
		return fdatasync(f->fd_direct) ? -errno : 0;
	case OP_MSYNC:
		return map_range(op, msync, MS_SYNC);
	case OP_RANGE:
		return sync_file_range(f->fd_cached, f->base + op->off, op->len,
				       SYNC_FILE_RANGE_WAIT_BEFORE |
				       SYNC_FILE_RANGE_WRITE) ? -errno : 0;
	case OP_DROP:
		return -posix_fadvise(f->fd_cached, f->base + op->off, op->len,
				      POSIX_FADV_DONTNEED);
	case OP_STAT:
		return fstat(f->fd_cached, &st) ? -errno : st.st_size - f->base;
	default:
		return -EINVAL;
	}
}

void worker_do(struct worker *w, struct req *r)
{
	char *fault = NULL;
	ssize_t res;

	if (!begin(w, r))
		return;
	res = call(w, r, &fault);
	finish(w, r, res, fault);
}
