// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ext2.h"
#include "soak.h"

/*
 * Where the used part of each file begins, in blocks: at the start, with direct,
 * single and double indirect blocks; and so that it straddles the end of the
 * single and of the double indirect blocks, if a file can be so large.
 */
static off_t base_of(const struct soak *s, int i)
{
	uint64_t per = s->v->bs / 4;
	uint64_t last = s->v->bs < 32768 ? per * per : per;
	uint64_t blocks = i == 0 ? 0 : i == 1 ? 12 + per : 12 + per + last;
	uint64_t at = blocks * s->v->bs;

	/* The largest request that crosses it is as likely on both sides. */
	at = at > FILE_BYTES / 4 ? at - FILE_BYTES / 4 : 0;
	return at & ~4095UL;
}

int files_make(struct soak *s)
{
	int i;

	for (i = 0; i < FILES; i++) {
		struct file *f = &s->files[i];
		int err = 0;
		int fd;

		if (model_init(f, i + 1, base_of(s, i), FILE_BYTES, s->v->bs))
			return -ENOMEM;
		fd = vol_open(f->name, O_RDWR | O_CREAT | O_TRUNC);
		if (fd < 0)
			return fd;
		if (ftruncate(fd, f->base))
			err = -errno;
		close(fd);
		if (err)
			return err;
		f->failing = s->errors && !i;
	}
	return 0;
}

int files_open(struct soak *s)
{
	int i;

	for (i = 0; i < FILES; i++) {
		struct file *f = &s->files[i];

		f->fd_cached = vol_open(f->name, O_RDWR);
		f->fd_direct = vol_open(f->name, O_RDWR | O_DIRECT);
		if (f->fd_cached < 0 || f->fd_direct < 0)
			return -EIO;
		f->map = mmap(NULL, f->max, PROT_READ | PROT_WRITE, MAP_SHARED,
			      f->fd_cached, f->base);
		if (f->map == MAP_FAILED)
			return -errno;
	}
	return 0;
}

void files_close(struct soak *s)
{
	int i;

	for (i = 0; i < FILES; i++) {
		munmap(s->files[i].map, s->files[i].max);
		close(s->files[i].fd_cached);
		close(s->files[i].fd_direct);
	}
}

int files_remount(struct soak *s)
{
	int err;

	files_close(s);
	err = vol_remount(s->v);
	if (!err)
		err = ext2_poison_free(s->v);
	return err ? err : files_open(s);
}

static void verify_by(struct worker *w, struct file *f, enum kind kind, bool cached)
{
	uint64_t off;

	for (off = 0; off < f->max && !soak_stopped(w->s); off += IO_MAX) {
		struct req *r = worker_free_req(w);

		r->op = (struct op){
			.f = f, .kind = kind, .cached = cached, .off = off, .len = IO_MAX,
		};
		r->how = (struct log_extra){ .way = SYNC };
		r->iov[0].iov_len = IO_MAX;
		r->nr_iov = 1;
		r->buf = r->mem;
		if (kind == OP_LOAD)
			worker_do(w, r);
		else
			worker_issue(w, r);
	}
}

void files_verify(struct worker *w)
{
	int i;

	for (i = 0; i < FILES; i++) {
		struct file *f = &w->s->files[i];
		struct req *r = worker_free_req(w);

		r->op = (struct op){ .f = f, .kind = OP_STAT };
		r->how = (struct log_extra){ .way = SYNC };
		worker_do(w, r);
		/* Which way comes first makes a difference to what is cached. */
		verify_by(w, f, OP_READ, w->s->round % 2);
		verify_by(w, f, OP_READ, !(w->s->round % 2));
		verify_by(w, f, OP_LOAD, true);
	}
}
