// SPDX-License-Identifier: GPL-2.0
/* Operations on what is in files. What was not written is as it was, and nothing is stale. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"
#include "pattern.h"
#include "store.h"
#include "way.h"

static int open_for(struct round *r, const char *name, int flags)
{
	r->fd = vol_open(name, flags);
	return r->fd < 0 ? r->fd : 0;
}

static int direct_f(struct round *r) { return open_for(r, "f", O_RDWR | O_DIRECT); }
static int direct_pieces(struct round *r) { return open_for(r, "pieces", O_RDWR | O_DIRECT); }
static int direct_sparse(struct round *r) { return open_for(r, "sparse", O_RDWR | O_DIRECT); }
static int buffered_f(struct round *r) { return open_for(r, "f", O_RDWR); }
static int buffered_sparse(struct round *r) { return open_for(r, "sparse", O_RDWR); }
static int open_deep(struct round *r) { return open_for(r, "deep", O_RDWR); }

static int async(struct round *r, int err)
{
	return err ?: aio_setup(1, &r->ctx);
}

static int async_f(struct round *r) { return async(r, direct_f(r)); }
static int async_pieces(struct round *r) { return async(r, direct_pieces(r)); }
static int async_sparse(struct round *r) { return async(r, direct_sparse(r)); }

/* What was to be read is read, as far as it goes. */
static long check_read(struct round *r, long n, size_t size)
{
	const char *wrong = n > 0 ? pattern_diff(r->back, n, 0, 1) : NULL;

	if (wrong)
		printf("# %s\n", wrong);
	if (wrong || n > (long)size)
		return -EILSEQ;
	return n;
}

static long sync_rw(struct round *r, bool write, size_t len, off_t pos, int rwf)
{
	struct iovec iov = { write ? r->buf + pos : r->back, len };

	return way_rw(SYNC, write, r->fd, &iov, 1, pos, rwf);
}

static long async_rw(struct round *r, bool write, size_t len, off_t pos, int rwf)
{
	struct iovec iov = { write ? r->buf + pos : r->back, len };
	struct io_event ev = {};
	struct iocb cb;
	int n;

	if (write)
		aio_prep_writev(&cb, r->fd, &iov, 1, pos);
	else
		aio_prep_readv(&cb, r->fd, &iov, 1, pos);
	cb.aio_rw_flags = rwf;
	n = aio_submit_one(r->ctx, &cb);
	if (n)
		return n;
	n = aio_events(r->ctx, 1, 1, &ev, 120000);
	return n == 1 ? (long)ev.res : -ETIME;
}

static long direct_read(struct round *r)
{
	return check_read(r, sync_rw(r, false, 16 * UNIT, 0, 0), 16 * UNIT);
}

static long async_read(struct round *r)
{
	return check_read(r, async_rw(r, false, 16 * UNIT, 0, 0), 16 * UNIT);
}

static long buffered_read(struct round *r)
{
	long n = pread(r->fd, r->back, 20 * UNIT, 0);

	return check_read(r, ops_errno(n), 20 * UNIT);
}

static long overwrite(struct round *r) { return sync_rw(r, true, 14 * UNIT, UNIT, 0); }
static long async_overwrite(struct round *r) { return async_rw(r, true, 14 * UNIT, UNIT, 0); }
static long dsync_overwrite(struct round *r) { return async_rw(r, true, 14 * UNIT, UNIT, RWF_DSYNC); }

/* As many bytes of generation 2 from @pos on as it returned, and no stale ones. */
static const char *written(struct round *r, const char *name, off_t pos, size_t size, bool zero)
{
	const char *found = ops_mixed(r, name, size, 2, zero);

	if (found || r->ret <= 0)
		return found;
	if (vol_read(name, O_RDONLY, r->back, r->ret, pos) != r->ret)
		return "it cannot be read";
	return pattern_diff(r->back, r->ret, pos, 2);
}

static const char *overwritten(struct round *r) { return written(r, "pieces", UNIT, 16 * UNIT, false); }

static size_t size_of(const char *name)
{
	struct stat st;

	return stat(vol_path(name), &st) ? 0 : st.st_size;
}

static long extend(struct round *r) { return sync_rw(r, true, 12 * UNIT, 20 * UNIT, 0); }
static long async_extend(struct round *r) { return async_rw(r, true, 12 * UNIT, 20 * UNIT, 0); }
static long dsync_extend(struct round *r) { return async_rw(r, true, 12 * UNIT, 20 * UNIT, RWF_DSYNC); }
/* Past the blocks of the first indirect one. */
static long extend_far(struct round *r) { return sync_rw(r, true, 4 * UNIT, 22 * UNIT + 512, 0); }

/* The size is that of what was written. */
static const char *extended(struct round *r)
{
	size_t size = size_of("f");

	/* if it is the sync that has failed, all of it may be there */
	if (r->ret >= 0 && size != 20 * UNIT + r->ret)
		return "the size is not that of what was written";
	return written(r, "f", 20 * UNIT, size, false);
}

static const char *extended_far(struct round *r)
{
	size_t size = size_of("f");
	const char *found;

	if (size != (r->ret > 0 ? 22 * UNIT + 512 + r->ret : 20 * UNIT))
		return "the size is not that of what was written";
	found = written(r, "f", 22 * UNIT + 512, size, true);
	return found;
}

static long hole(struct round *r) { return sync_rw(r, true, 12 * UNIT, 2 * UNIT, 0); }
static long async_hole(struct round *r) { return async_rw(r, true, 12 * UNIT, 2 * UNIT, 0); }
static long dsync_hole(struct round *r) { return async_rw(r, true, 12 * UNIT, 8 * UNIT, RWF_DSYNC); }
static const char *filled(struct round *r) { return written(r, "sparse", 2 * UNIT, 24 * UNIT, true); }
static const char *dsync_filled(struct round *r) { return written(r, "sparse", 8 * UNIT, 24 * UNIT, true); }

static long buffered_write(struct round *r)
{
	return ops_errno(pwrite(r->fd, r->buf + 512, 12 * UNIT, 512));
}

static const char *anything_of_f(struct round *r) { return ops_mixed(r, "f", size_of("f"), 2, false); }
static const char *anything_of_sparse(struct round *r)
{
	return ops_mixed(r, "sparse", size_of("sparse"), 2, true);
}

/* What is written back: new blocks, and old ones. */
static int dirty_f(struct round *r)
{
	int err = buffered_f(r);

	if (!err && pwrite(r->fd, r->buf + 8 * UNIT, 20 * UNIT, 8 * UNIT) != 20 * UNIT)
		err = -EIO;
	return err;
}

static int dirty_sparse(struct round *r)
{
	int err = buffered_sparse(r);

	if (!err && pwrite(r->fd, r->buf + 8 * UNIT, 10 * UNIT, 8 * UNIT) != 10 * UNIT)
		err = -EIO;
	return err;
}

static long sync_file(struct round *r) { return ops_errno(fsync(r->fd)); }
static long write_back(struct round *r)
{
	return ops_errno(sync_file_range(r->fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
					 SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
}

/* Who was told that it is synced has it. */
static const char *synced_f(struct round *r)
{
	if (!r->ret) {
		if (vol_read("f", O_RDONLY, r->back, 20 * UNIT, 8 * UNIT) != 20 * UNIT)
			return "it cannot be read";
		return pattern_diff(r->back, 20 * UNIT, 8 * UNIT, 2);
	}
	return ops_mixed(r, "f", size_of("f"), 2, true);
}

static const char *synced_sparse(struct round *r)
{
	if (!r->ret) {
		if (vol_read("sparse", O_RDONLY, r->back, 10 * UNIT, 8 * UNIT) != 10 * UNIT)
			return "it cannot be read";
		return pattern_diff(r->back, 10 * UNIT, 8 * UNIT, 2);
	}
	return anything_of_sparse(r);
}

static long cut(struct round *r) { return ops_errno(ftruncate(r->fd, 5 * UNIT + 100)); }
static long cut_all(struct round *r) { return ops_errno(ftruncate(r->fd, 0)); }
static long grow(struct round *r) { return ops_errno(ftruncate(r->fd, 30 * UNIT)); }

static const char *was_cut(struct round *r)
{
	const size_t full = 304 * UNIT, part = 5 * UNIT + 100;
	size_t size = size_of("deep");

	if (size != part && !(r->ret < 0 && size == full))
		return "it is of another size";
	if (vol_read("deep", O_RDONLY, r->back, 5 * UNIT, 0) != 5 * UNIT)
		return "it cannot be read";
	return pattern_diff(r->back, 5 * UNIT, 0, 1);
}

static const char *was_cut_all(struct round *r)
{
	size_t size = size_of("deep");

	return size && !(r->ret < 0 && size == 304 * UNIT) ? "it is of another size" : NULL;
}

static const char *has_grown(struct round *r)
{
	size_t size = size_of("f");

	if (size != 30 * UNIT && !(r->ret < 0 && size == 20 * UNIT))
		return "it is of another size";
	return ops_mixed(r, "f", size, 1, true);
}

static long punch(struct round *r)
{
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return ops_errno(fallocate(r->fd, mode, UNIT + 512, 300 * UNIT));
}

static const char *has_hole(struct round *r)
{
	size_t size = size_of("deep"), at;

	if (size != 304 * UNIT)
		return "it is of another size";
	/* at both ends, the rest of the blocks is as it was */
	if (vol_read("deep", O_RDONLY, r->back, 16 * UNIT, 0) != 16 * UNIT)
		return "it cannot be read";
	for (at = 0; at < 16 * UNIT; at += 512) {
		bool is_data = pattern_stamped(r->back + at, at, 1);
		bool is_zero = !zero_diff(r->back + at, 512, at);

		if (!is_data && !(at >= UNIT + 512 && is_zero))
			return "what was not punched is not as it was";
		if (is_data && at >= UNIT + 512 && r->ret >= 0 && r->synced >= 0)
			return "what was punched is there";
	}
	return NULL;
}

static long allocate(struct round *r)
{
	return ops_errno(fallocate(r->fd, 0, 3 * UNIT, 12 * UNIT));
}

static const char *is_allocated(struct round *r)
{
	int fd = vol_open("sparse", O_RDONLY);
	off_t hole = lseek(fd, 3 * UNIT, SEEK_HOLE);

	close(fd);
	if (r->ret >= 0 && hole < 15 * UNIT)
		return "there is a hole in what was allocated";
	return ops_mixed(r, "sparse", 24 * UNIT, 1, true);
}

static long allocate_beyond(struct round *r)
{
	return ops_errno(fallocate(r->fd, 0, 22 * UNIT + 512, 8 * UNIT));
}

static const char *is_allocated_beyond(struct round *r)
{
	size_t size = size_of("f");

	if (size != (r->ret < 0 ? 20 : 30) * UNIT + (r->ret < 0 ? 0 : 512))
		return "it is of another size";
	return ops_mixed(r, "f", size, 1, true);
}

#define ZERO_AT		(UNIT + 512)
#define ZERO_LEN	(12 * UNIT)

static long zero(struct round *r)
{
	return ops_errno(fallocate(r->fd, FALLOC_FL_ZERO_RANGE, ZERO_AT, ZERO_LEN));
}

static const char *is_zero(struct round *r)
{
	const size_t end = ZERO_AT + ZERO_LEN;
	size_t at;

	if (size_of("f") != 20 * UNIT)
		return "it is of another size";
	if (vol_read("f", O_RDONLY, r->back, 20 * UNIT, 0) != 20 * UNIT)
		return "it cannot be read";
	for (at = 0; at < 20 * UNIT; at += 512) {
		bool is_data = pattern_stamped(r->back + at, at, 1);
		bool is_in = at >= ZERO_AT && at < end;

		if (!is_data && !(is_in && !zero_diff(r->back + at, 512, at)))
			return "it has neither what was there nor zeroes";
		if (is_in && is_data && r->ret >= 0 && r->synced >= 0)
			return "what was to be zeroed is there";
	}
	return NULL;
}

/* A store to a page of a hole: of all its blocks. */
#define STORE_AT	(8 * UNIT)
static char *map;

static int map_sparse(struct round *r)
{
	int err = buffered_sparse(r);

	if (err)
		return err;
	map = mmap(NULL, 24 * UNIT, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	return map == MAP_FAILED ? -errno : 0;
}

static long store_it(struct round *r)
{
	int err = store(map + STORE_AT, 'x');

	munmap(map, 24 * UNIT);
	return err;
}

static const char *is_stored(struct round *r)
{
	bool lost = r->ret < 0 || r->synced < 0;
	const char *found;
	char *page = r->back + STORE_AT;

	if (vol_read("sparse", O_RDONLY, r->back, 24 * UNIT, 0) != 24 * UNIT)
		return "it cannot be read";
	/* what could not be written back, and somebody was told */
	if (lost && r->synced < 0)
		return pattern_diff(r->back, 4 * UNIT, 0, 1);
	if (*page != 'x' && !(lost && !*page))
		return "what was stored is not there";
	*page = 0;
	found = pattern_diff(r->back, 4 * UNIT, 0, 1);
	return found ?: zero_diff(r->back + 4 * UNIT, 20 * UNIT, 4 * UNIT);
}

const struct op ops_data[] = {
	{ "direct read", .prepare = direct_pieces, .run = direct_read },
	{ "direct read of one run", .prepare = direct_f, .run = direct_read },
	{ "asynchronous read", .prepare = async_pieces, .run = async_read, .other = EAGAIN },
	{ "buffered read", .prepare = buffered_f, .run = buffered_read },
	{ "overwrite", .prepare = direct_pieces, .run = overwrite, .counts = true, .check = overwritten,
	  .changes = true, .large = true },
	{ "asynchronous overwrite", .prepare = async_pieces, .run = async_overwrite, .counts = true,
	  .check = overwritten, .other = EAGAIN, .changes = true },
	{ "overwrite and sync", .prepare = async_pieces, .run = dsync_overwrite, .counts = true,
	  .check = overwritten, .other = EAGAIN, .changes = true, .kworkers = true,
	  .durable = true },
	{ "extend", .prepare = direct_f, .run = extend, .counts = true, .check = extended, .changes = true },
	{ "extend far", .prepare = direct_f, .run = extend_far, .counts = true, .check = extended_far,
	  .changes = true, .large = true },
	{ "asynchronous extend", .prepare = async_f, .run = async_extend, .counts = true, .check = extended,
	  .other = EAGAIN, .changes = true, .large = true },
	{ "extend and sync", .prepare = async_f, .run = dsync_extend, .counts = true, .check = extended,
	  .other = EAGAIN, .changes = true, .durable = true, .large = true },
	{ "hole", .prepare = direct_sparse, .run = hole, .counts = true, .check = filled, .changes = true,
	  .large = true },
	{ "asynchronous hole", .prepare = async_sparse, .run = async_hole, .counts = true, .check = filled,
	  .other = EAGAIN, .changes = true },
	{ "hole and sync", .prepare = async_sparse, .run = dsync_hole, .counts = true, .check = dsync_filled,
	  .other = EAGAIN, .changes = true, .durable = true, .large = true },
	{ "buffered write", .buffered = true, .prepare = buffered_f, .run = buffered_write,
	  .check = anything_of_f,
	  .changes = true, .kworkers = true, .large = true },
	{ "buffered write to a hole", .buffered = true, .prepare = buffered_sparse, .run = buffered_write,
	  .check = anything_of_sparse, .changes = true, .kworkers = true, .large = true },
	{ "fsync", .prepare = dirty_f, .run = sync_file, .check = synced_f,
	  .buffered = true, .large = true },
	{ "fsync of what was a hole", .prepare = dirty_sparse, .run = sync_file,
	  .check = synced_sparse, .buffered = true, .large = true },
	{ "writeback", .prepare = dirty_f, .run = write_back, .changes = true, .large = true },
	{ "truncate", .prepare = open_deep, .run = cut, .check = was_cut, .changes = true,
	  .large = true },
	{ "truncate to nothing", .prepare = open_deep, .run = cut_all, .check = was_cut_all,
	  .changes = true },
	{ "truncate up", .prepare = buffered_f, .run = grow, .check = has_grown, .changes = true,
	  .large = true },
	{ "punch", .prepare = open_deep, .run = punch, .check = has_hole, .changes = true,
	  .large = true },
	{ "extend by blocks of 4 KiB", .prepare = direct_f, .run = extend, .counts = true, .check = extended,
	  .changes = true, .big = true, .large = true },
	{ "hole in blocks of 4 KiB", .prepare = direct_sparse, .run = hole, .counts = true, .check = filled,
	  .changes = true, .big = true, .large = true },
	{ "allocate", .prepare = buffered_sparse, .run = allocate, .check = is_allocated,
	  .changes = true, .every = true, .large = true },
	{ "allocate blocks of 4 KiB", .prepare = buffered_sparse, .run = allocate,
	  .check = is_allocated, .changes = true, .big = true },
	{ "allocate beyond EOF", .prepare = buffered_f, .run = allocate_beyond,
	  .check = is_allocated_beyond, .changes = true, .large = true },
	{ "zero", .prepare = buffered_f, .run = zero, .check = is_zero, .changes = true,
	  .buffered = true, .large = true },
	{ "store to a hole", .prepare = map_sparse, .run = store_it, .check = is_stored,
	  .other = ENOSPC, .changes = true, .kworkers = true, .large = true },
	{ "store to a hole of 4 KiB", .prepare = map_sparse, .run = store_it, .check = is_stored,
	  .other = ENOSPC, .changes = true, .kworkers = true, .big = true, .large = true },
	{}
};
