// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "log.h"

#define DEVICE	"/dev/ram1"
#define SECTOR	512
#define MAGIC	0x6a736677736872ULL

/* The flags of an entry. */
enum { FLUSH = 1, FUA = 2, DISCARD = 4, MARK = 8 };

struct raw_super {
	uint64_t magic;
	uint64_t version;
	uint64_t nr_entries;
	uint32_t sectorsize;
};

struct raw_entry {
	uint64_t sector;
	uint64_t nr_sectors;
	uint64_t flags;
	uint64_t data_len;
	char mark[];
};

static int read_sectors(int fd, void *to, uint64_t nr, uint64_t at)
{
	ssize_t n = pread(fd, to, nr * SECTOR, at * SECTOR);

	return n == (ssize_t)(nr * SECTOR) ? 0 : n < 0 ? -errno : -EIO;
}

/* Step over what there is of the log, to the mark @last: -EAGAIN if that is not there yet. */
static int find_end(int fd, const struct stack *s, const char *last, uint64_t *end,
		    uint64_t *entries)
{
	static char *buf;
	struct raw_super *super;
	struct raw_entry *raw;
	uint64_t nr;
	int err;

	if (!buf)
		buf = buf_alloc(SECTOR);
	super = (struct raw_super *)buf;
	raw = (struct raw_entry *)buf;
	err = read_sectors(fd, buf, 1, 0);
	if (err)
		return err;
	if (super->magic != MAGIC || super->sectorsize != SECTOR)
		return -EAGAIN;
	nr = super->nr_entries;
	for (*end = s->log_at, *entries = s->log_entries; *entries < nr; ++*entries) {
		err = read_sectors(fd, buf, 1, *end);
		if (err)
			return err;
		*end += 1 + (raw->flags & DISCARD ? 0 : raw->nr_sectors);
		if (raw->flags & MARK && strlen(last) == raw->data_len &&
		    !memcmp(raw->mark, last, raw->data_len)) {
			++*entries;
			return 0;
		}
	}
	return -EAGAIN;
}

static int wait_end(int fd, const struct stack *s, const char *last, uint64_t *end,
		    uint64_t *entries)
{
	struct timespec ms = { .tv_nsec = 1000000 };
	int err, i;

	/* A thread of the target writes it. */
	for (i = 0; i < 10000; i++) {
		err = find_end(fd, s, last, end, entries);
		if (err != -EAGAIN)
			return err;
		nanosleep(&ms, NULL);
	}
	return -ETIME;
}

static int add(struct log *l, const struct log_entry *e)
{
	if (l->nr == LOG_ENTRIES)
		return -E2BIG;
	l->e[l->nr++] = *e;
	return 0;
}

static int parse(struct log *l, const struct stack *s, uint64_t nr)
{
	const unsigned char *at = l->bytes;
	bool begun = false, tick = false;
	int err = 0;

	for (; nr && !err; nr--) {
		const struct raw_entry *raw = (const struct raw_entry *)at;
		struct log_entry e = {
			.fua = raw->flags & FUA, .sector = raw->sector, .nr = raw->nr_sectors,
			.data = at + SECTOR,
		};

		at += SECTOR * (1 + (raw->flags & DISCARD ? 0 : e.nr));
		if (raw->flags & MARK) {
			e.kind = LOG_STEP;
			e.step = atoi(raw->mark);
			if (!begun && !e.step)
				begun = true;
			if (begun)
				err = add(l, &e);
			continue;
		}
		if (raw->flags & DISCARD)
			return -EOPNOTSUPP;
		/* One with data comes after it. */
		if (raw->flags & FLUSH && !tick && begun)
			err = add(l, &(struct log_entry){ .kind = LOG_FLUSH });
		if (raw->flags & FLUSH)
			tick = false;
		if (!e.nr || !begun)
			continue;
		if (e.sector >= stack_spare(s))
			tick = true;
		else if (!err)
			err = add(l, &e);
	}
	return err;
}

int log_read(struct log *l, struct stack *s, const char *last)
{
	uint64_t end, entries;
	int fd, err;

	l->nr = 0;
	l->bytes = NULL;
	fd = open(DEVICE, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = wait_end(fd, s, last, &end, &entries);
	if (!err)
		err = posix_memalign((void **)&l->bytes, 4096, (end - s->log_at) * SECTOR) ? -ENOMEM : 0;
	if (!err)
		err = read_sectors(fd, l->bytes, end - s->log_at, s->log_at);
	close(fd);
	if (!err)
		err = parse(l, s, entries - s->log_entries);
	if (!err) {
		s->log_at = end;
		s->log_entries = entries;
	}
	return err;
}

void log_free(struct log *l)
{
	free(l->bytes);
	l->bytes = NULL;
	l->nr = 0;
}
