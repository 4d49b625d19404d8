// SPDX-License-Identifier: GPL-2.0
/*
 * Requests for which the kernel has no memory. Each is made again and again; the
 * first allocation is refused, then the second, and so on until none is left to
 * refuse. Each time the request does without, or fails or is cut short: then what
 * it returned is what is on the device, the size and the blocks of the file are
 * those of that, and the same request succeeds right after.
 *
 * Nothing of the file's and of the volume's is in the page cache before.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "blocks.h"
#include "faults.h"
#include "harness.h"

VOL_FIXTURE(dio_nomem);
FIXTURE_VARIANT_ADD(dio_nomem, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_nomem, bs4k) { .conf = VOL_4K };

/* More than any request needs. */
#define MOST	2000

/* What is asked for, in blocks. */
struct shape {
	bool write;
	int old;	/* blocks of the file, without holes */
	int size;	/* and with a hole after that */
	int start, len;
	int piece;	/* the file is in pieces of so many blocks; 0 for one */
	int rwf;
};

/* What is read, or written over, is generation 1. */
static int make_file(struct vol *v, const struct shape *s)
{
	int fd;

	if (s->piece)
		return make_pieces(v, "f", s->piece * v->bs, s->old / s->piece);
	if (vol_prefill("f", 0, s->old * v->bs, 1))
		return -EIO;
	fd = vol_open("f", O_RDWR | O_DIRECT);
	if (fd >= 0 && ftruncate(fd, s->size * v->bs))
		return -errno;
	return fd;
}

/* As it was before the request. */
static int restore(struct vol *v, const struct shape *s, int fd, const char *old)
{
	const off_t bs = v->bs, start = s->start * bs, have = s->old * bs;
	const size_t len = have > start ? have - start : 0;

	if (ftruncate(fd, have) || ftruncate(fd, s->size * bs))
		return -errno;
	if (s->write && len && pwrite(fd, old + start, len, start) != (ssize_t)len)
		return -errno;
	return 0;
}

/*
 * Of this file and this volume: to drop all caches would have the guest read its
 * programs again each time.
 */
static int forget_pages(struct vol *v, int fd)
{
	int dev, err;

	if (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		return -EIO;
	dev = open(v->dev, O_RDONLY | O_CLOEXEC);
	if (dev < 0)
		return -errno;
	/* writes back what the filesystem has, and drops the buffers of the device */
	err = ioctl(dev, BLKFLSBUF, 0) ? -errno : 0;
	close(dev);
	return err;
}

/* The request, with the @nth allocation of its submitter refused. */
static ssize_t refused(enum way way, aio_context_t ctx, const struct shape *s, int fd,
		       const struct iovec *iov, off_t pos, int nth, int *injected)
{
	struct io_event ev = {};
	struct iocb cb;
	ssize_t n;

	if (way == ASYNC) {
		if (s->write)
			aio_prep_writev(&cb, fd, iov, 1, pos);
		else
			aio_prep_readv(&cb, fd, iov, 1, pos);
		cb.aio_rw_flags = s->rwf;
	}
	n = faults_begin(nth);
	if (n)
		return n;
	n = way == ASYNC ? aio_submit_one(ctx, &cb) : way_rw(way, s->write, fd, iov, 1, pos, s->rwf);
	*injected = faults_end();
	if (way == ASYNC && !n) {
		n = aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000);
		n = n == 1 ? (ssize_t)ev.res : -ETIME;
	}
	return n;
}

/* One request after the other; how many of them were refused something. */
static void try_all(struct __test_metadata *_metadata, struct vol *v, const struct shape *s)
{
	const size_t bs = v->bs, len = s->len * bs, all = (s->size + s->len + 1) * bs;
	const off_t pos = s->start * bs, size = s->size * bs;
	char *old = buf_alloc(all), *buf = buf_alloc(len), *back = buf_alloc(all);
	struct iovec iov = { buf, len };
	int fd, nth, injected, err = faults_setup();
	int failed = 0, cut = 0;
	aio_context_t ctx;
	enum way way;

	if (err == -ENOENT)
		SKIP(return, "a kernel without /proc/PID/fail-nth");
	ASSERT_EQ(0, err);
	fd = make_file(v, s);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	pattern_fill(old, s->old * bs, 0, 1);
	memset(back, 0, all);
	for (way = SYNC; way <= ASYNC; way++) {
		for (nth = 1, injected = 1; injected; nth++) {
			off_t done, end;
			ssize_t n;

			ASSERT_GT(MOST, nth);
			ASSERT_EQ(0, restore(v, s, fd, old));
			ASSERT_EQ(0, forget_pages(v, fd));
			memset(buf, UNTOUCHED, len);
			if (s->write)
				pattern_fill(buf, len, pos, 2);
			n = refused(way, ctx, s, fd, &iov, pos, nth, &injected);
			ASSERT_LE(0, injected);
			ASSERT_TRUE(n == -ENOMEM || (way == ASYNC && n == -EAGAIN) ||
				    (n > 0 && n <= len))
				TH_LOG("way %d, allocation %d: %zd", way, nth, n);
			if (!injected)
				EXPECT_EQ(len, n);
			failed += n < 0;
			cut += n > 0 && n < len;
			done = n > 0 ? n : 0;
			if (!s->write) {
				EXPECT_SAME(buf, old + pos, done, pos);
				continue;
			}
			/* all of it may be there if it is the sync that has failed */
			end = file_size(fd);
			if (n < 0 && s->rwf && end == pos + len)
				done = len;
			if (n >= 0 || !s->rwf)
				EXPECT_EQ(done && pos + done > size ? pos + done : size, end)
					TH_LOG("way %d, allocation %d: %zd", way, nth, n);
			if (s->size == s->old)
				EXPECT_SIZE_AND_BLOCKS(fd, end, blocks_needed(bs, end), bs);
			ASSERT_EQ(end, do_read(SYNC, fd, back, all, 0));
			EXPECT_PATTERN(back, pos < s->old * bs ? pos : s->old * bs, 0, 1);
			EXPECT_PATTERN(back + pos, done, pos, 2);
			/* what was not written is as it was */
			if (n >= 0 || !s->rwf)
				EXPECT_SAME(back + pos + done, old + pos + done,
					    end - pos - done, pos + done);
			/* and a second time there is nothing in the way */
			EXPECT_EQ(len, way_rw(way, true, fd, &iov, 1, pos, s->rwf));
			ASSERT_LE(pos + len, do_read(way, fd, back, all, 0));
			EXPECT_PATTERN(back + pos, len, pos, 2);
		}
		TH_LOG("way %d: %d allocations", way, nth - 2);
	}
	/* it is not for lack of trying that nothing goes wrong */
	EXPECT_LT(0, failed);
	TH_LOG("%d failed, %d were cut short", failed, cut);
	aio_destroy(ctx);
}

TEST_F_TIMEOUT(dio_nomem, read, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ false, 20, 20, 2, 16 });
}

TEST_F_TIMEOUT(dio_nomem, read_of_a_hole, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ false, 4, 20, 2, 16 });
}

TEST_F_TIMEOUT(dio_nomem, read_of_pieces, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ false, 32, 32, 2, 28, 4 });
}

TEST_F_TIMEOUT(dio_nomem, overwrite, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ true, 20, 20, 2, 16 });
}

TEST_F_TIMEOUT(dio_nomem, overwrite_of_pieces, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ true, 32, 32, 2, 28, 4 });
}

TEST_F_TIMEOUT(dio_nomem, overwrite_and_sync, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ true, 20, 20, 2, 16, 0, RWF_DSYNC });
}

TEST_F_TIMEOUT(dio_nomem, extend, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ true, 4, 4, 4, 6 });
}

TEST_F_TIMEOUT(dio_nomem, extend_and_sync, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ true, 4, 4, 4, 12, 0, RWF_DSYNC });
}

/* past the direct blocks, and with 1 KiB past those of one indirect block */
TEST_F_TIMEOUT(dio_nomem, extend_over_levels, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ true, 10, 10, 10, 270 });
}

TEST_F_TIMEOUT(dio_nomem, overwrite_and_extend, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ true, 10, 10, 4, 12 });
}

TEST_F_TIMEOUT(dio_nomem, hole, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ true, 4, 20, 8, 8 });
}

TEST_F_TIMEOUT(dio_nomem, data_and_hole, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ true, 4, 20, 2, 10 });
}

TEST_F_TIMEOUT(dio_nomem, data_hole_and_extend, 900)
{
	try_all(_metadata, &self->v, &(struct shape){ true, 4, 8, 2, 10 });
}

TEST_HARNESS_MAIN
