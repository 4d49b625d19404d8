// SPDX-License-Identifier: GPL-2.0
/*
 * What is done to a file: written, by several kinds of calls, and read back; cut off,
 * punched, allocated.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "act.h"
#include "aio.h"
#include "buf.h"
#include "pattern.h"

#define WRITE_MAX	(40 * 1024)
/* Requests in flight at once, of at most 8 KiB. */
#define MANY		4

/* What is written, and what is read. */
static char *memory(int which)
{
	static char *bytes[2];

	if (!bytes[which])
		bytes[which] = buf_alloc(WRITE_MAX + 4096);
	return bytes[which];
}

/* A file that was there may have one block in several places, and only the page cache does not see that. */
static bool write_back(struct fuzz *f, int fd, bool direct, bool is_new, off_t off, size_t len)
{
	char *a = memory(0), *b = memory(1);
	ssize_t n, m;

	pattern_fill(a, WRITE_MAX, off & ~511UL, f->now->steps);
	n = pwrite(fd, a, len, off);
	if (n < 0)
		return act_done(f, direct ? "direct write" : "write", n);
	m = pread(fd, b, n, off);
	if (m < 0)
		return act_done(f, "reading back", m);
	if (m != n || (memcmp(a, b, n) && (is_new || !direct)))
		return wrong(f, "%zd bytes written at %lld, %zd other ones read", n, (long long)off, m);
	if (rng_percent(&f->rng, 30))
		return act_done(f, "fsync", rng_percent(&f->rng, 50) ? fsync(fd) : fdatasync(fd));
	return true;
}

static off_t some_offset(struct fuzz *f, off_t size)
{
	switch (rng_below(&f->rng, 6)) {
	case 0:
		return size;
	case 1:
		return rng_below(&f->rng, 1 << 28);
	case 2:
		return rng_below(&f->rng, 600 * 1024);
	case 3:
		return rng_next(&f->rng) >> (8 + rng_below(&f->rng, 40));
	default:
		return rng_below(&f->rng, size < 1 << 20 ? size + 1 : 1 << 20);
	}
}

static bool allocate(struct fuzz *f, int fd, off_t off, size_t len)
{
	static const int modes[] = {
		0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	int mode = modes[rng_below(&f->rng, 4)];
	char *bytes;
	ssize_t n;

	step(f, "fallocate %#x at %lld, %zu bytes", mode, (long long)off, len);
	if (fallocate(fd, mode, off, len)) {
		/* Blocks beyond an EOF that does not move are not to be had. */
		return (mode & FALLOC_FL_KEEP_SIZE && errno == EOPNOTSUPP) || act_done(f, "fallocate", -1);
	}
	if (!(mode & FALLOC_FL_ZERO_RANGE))
		return true;
	bytes = memory(0);
	n = pread(fd, bytes, len, off & ~4095L);
	if (n < 0)
		return act_done(f, "reading back", n);
	if (n > (off & 4095) && zero_diff(bytes + (off & 4095), n - (off & 4095), off))
		return wrong(f, "%lld: zeroed, and not zero", (long long)off);
	return true;
}

/*
 * A store through a mapping, at a page of the file: what read(2) cannot store gives EFAULT where an access would
 * be a SIGBUS.
 */
static bool store_mapped(struct fuzz *f, int fd, off_t off)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *bytes = memory(0), *back = memory(1), *map;
	bool ok = true;
	ssize_t n, m;
	size_t len;
	int p[2];

	if (size <= 0)
		return act_done(f, "lseek", size);
	off = off % size & ~4095L;
	len = size - off < 8192 ? size - off : 8192;
	step(f, "store at %lld, %zu bytes", (long long)off, len);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off);
	if (map == MAP_FAILED || pipe2(p, O_CLOEXEC))
		return act_done(f, "mmap", -1);
	pattern_fill(bytes, 8192, off, f->now->steps);
	n = write(p[1], bytes, len) == (ssize_t)len ? read(p[0], map, len) : 0;
	if (n < 0) {
		ok = act_done_or(f, "store", n, EFAULT, EFAULT);
	} else {
		m = pread(fd, back, n, off);
		ok = act_done(f, "reading back", m) && (m < 0 || (m == n && !memcmp(bytes, back, n)) ||
			wrong(f, "%zd bytes stored at %lld, %zd other ones read", n, (long long)off, m));
	}
	if (ok && rng_percent(&f->rng, 50))
		ok = act_done(f, "msync", msync(map, len, MS_SYNC));
	munmap(map, len);
	close(p[0]);
	close(p[1]);
	return ok;
}

/* Some direct writes in flight at once, with gaps between some of them, and what they wrote. */
static bool write_many(struct fuzz *f, int fd, const char *path, bool is_new, off_t off)
{
	struct iocb cb[MANY], *cbs[MANY];
	struct io_event ev[MANY];
	char *bytes = memory(0), *back = memory(1);
	int i, n, direct = open(path, O_RDWR | O_DIRECT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	aio_context_t ctx;
	bool ok = true;

	if (direct < 0)
		return act_done(f, "open", direct);
	step(f, "requests at %lld", (long long)off);
	if (aio_setup(MANY, &ctx)) {
		close(direct);
		return wrong(f, "no context");
	}
	for (i = 0; i < MANY; i++) {
		size_t len = 4096 << rng_below(&f->rng, 2);

		pattern_fill(bytes + i * 8192, len, off, f->now->steps);
		aio_prep_write(&cb[i], direct, bytes + i * 8192, len, off);
		cbs[i] = &cb[i];
		off += len + (rng_percent(&f->rng, 40) ? 4096 * rng_below(&f->rng, 300) : 0);
	}
	/* Where it ends, the first that is not taken says why. */
	n = aio_submit(ctx, MANY, cbs);
	if (n < 0) {
		errno = -n;
		ok = act_done(f, "io_submit", -1);
		n = 0;
	}
	if (n && aio_events(ctx, n, n, ev, 100000) != n)
		ok = wrong(f, "requests that do not end");
	for (i = 0; ok && i < n; i++) {
		struct iocb *of = (struct iocb *)(uintptr_t)ev[i].obj;
		ssize_t m;

		errno = -ev[i].res;
		ok = act_done(f, "request", ev[i].res);
		if (!ok || ev[i].res <= 0 || !is_new)
			continue;
		m = pread(fd, back, ev[i].res, of->aio_offset);
		ok = act_done(f, "reading back", m) &&
		     (m < 0 || (m == ev[i].res && !memcmp(back, (char *)(uintptr_t)of->aio_buf, m)) ||
		      wrong(f, "%lld bytes written at %lld, %zd other ones read", (long long)ev[i].res,
			    (long long)of->aio_offset, m));
	}
	aio_destroy(ctx);
	close(direct);
	return ok;
}

bool act_file(struct fuzz *f, const char *path, int flags)
{
	bool direct = rng_percent(&f->rng, 40);
	int fd = open(path, flags | O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (direct ? O_DIRECT : 0), 0644);
	size_t len = 1 + rng_below(&f->rng, WRITE_MAX);
	struct stat st;
	off_t off;
	bool ok;

	/* An exchange may have put a device there, which is not for this mount, or a pipe, which has no direct I/O. */
	if (fd < 0)
		return act_done_or(f, "open", fd, EACCES, direct ? EINVAL : EACCES);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return true;
	}
	off = some_offset(f, st.st_size);
	if (off < 0)
		off = 0;
	if (direct) {
		off &= ~4095L;
		len = (len + 4095) & ~4095L;
	}
	step(f, "file %s, %s, at %lld, %zu bytes", path, direct ? "direct" : "buffered", (long long)off, len);
	switch (rng_below(&f->rng, 14)) {
	case 0:
		ok = act_done(f, "ftruncate", ftruncate(fd, off));
		break;
	case 1:
		ok = act_done(f, "ftruncate", ftruncate(fd, rng_below(&f->rng, st.st_size < 1 << 20 ?
								   st.st_size + 1 : 1 << 20)));
		break;
	case 2:
		ok = act_done(f, "punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off,
						 rng_percent(&f->rng, 20) ? 1L << 40 : (long)len));
		break;
	case 3:
		ok = act_done(f, "fchmod", fchmod(fd, rng_next(&f->rng) & 07777)) &&
		     act_done(f, "fsync", fsync(fd));
		break;
	case 4:
		ok = allocate(f, fd, off, len);
		break;
	case 5:
	case 6:
		fcntl(fd, F_SETFL, 0);
		/* A new file has nothing but a hole to store to. */
		ok = (!(flags & O_CREAT) || act_done(f, "ftruncate", ftruncate(fd, off & 0xfffff))) &&
		     store_mapped(f, fd, off & 0xfffff);
		break;
	case 7:
	case 8:
		fcntl(fd, F_SETFL, 0);
		ok = write_many(f, fd, path, flags & O_CREAT, off & ~4095L);
		break;
	case 9:
		if (st.st_size & 4095)
			direct = false;
		fcntl(fd, F_SETFL, O_APPEND | (direct ? O_DIRECT : 0));
		ok = write_back(f, fd, direct, flags & O_CREAT, st.st_size, len);
		break;
	default:
		ok = write_back(f, fd, direct, flags & O_CREAT, off, len);
	}
	close(fd);
	return ok;
}
