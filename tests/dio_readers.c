// SPDX-License-Identifier: GPL-2.0
/*
 * Readers by way of the page cache, at the EOF that a direct write moves. Such a reader takes no
 * lock: it looks up a page, and then sees which i_size there is. If the file was extended between
 * the two, the page has zeroes where the data is. So each is stopped between the two.
 */
#define _GNU_SOURCE
#include <fcntl.h>

#include "harness.h"
#include "stop.h"

/* Where a reader has its pages, and has not looked at i_size yet. */
#define HAS_PAGES "filemap/mm_filemap_get_pages"

VOL_FIXTURE(dio_readers);
FIXTURE_VARIANT_ADD(dio_readers, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_readers, bs4k) { .conf = SMALL_4K };

struct reading {
	struct stop stop;
	int fd;
	char *buf;
	size_t len;
};

static long read_and_stop(void *arg)
{
	struct reading *r = arg;
	struct io_op op = { r->fd, r->buf, r->len, 0 };
	int err = stop_me_at(&r->stop, HAS_PAGES);

	return err ? err : op_pread(&op);
}

static long splice_and_stop(void *arg)
{
	struct reading *r = arg;
	off_t pos = 0;
	ssize_t n, m;
	int p[2], err;

	if (pipe(p))
		return -errno;
	err = stop_me_at(&r->stop, HAS_PAGES);
	if (err)
		return err;
	n = splice(r->fd, &pos, p[1], NULL, r->len, 0);
	m = n < 0 ? -errno : read(p[0], r->buf, n);
	close(p[0]);
	close(p[1]);
	return m;
}

/* Append @len bytes at @size directly, and look at what the reader makes of that. */
#define EXTEND_UNDER(r, t, fd, size, len) do { \
	char *_buf = buf_alloc(len); \
	long _n; \
	ASSERT_TRUE(stop_wait(&(r)->stop, JOIN_SECONDS)); \
	pattern_fill(_buf, len, size, 1); \
	ASSERT_EQ(len, pwrite(fd, _buf, len, size)); \
	ASSERT_FALSE(task_done(t)); \
	ASSERT_TRUE(stop_go(&(r)->stop)); \
	_n = task_join(t, JOIN_SECONDS); \
	/* before or after */ \
	EXPECT_TRUE(_n == (size) || _n == (size) + (len)) TH_LOG("%ld bytes", _n); \
	EXPECT_PATTERN((r)->buf, _n, 0, 1); \
} while (0)

static int reading_init(struct reading *r, int flags)
{
	r->fd = vol_open("f", O_RDONLY | flags);
	r->len = 16 * KIB;
	r->buf = buf_alloc(r->len);
	return r->fd < 0 ? r->fd : stop_stay_away(&r->stop);
}

/* Once with an EOF in the middle of a block, too: that part of the block is overwritten. */
TEST_F(dio_readers, buffered)
{
	off_t size = self->v.bs;
	struct reading r;
	struct task t;
	int round, fd;

	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, reading_init(&r, 0));
		ASSERT_EQ(0, task_start(&t, read_and_stop, &r));
		EXTEND_UNDER(&r, &t, fd, size, 512);
		size += 512;
		ASSERT_EQ(size, pread(r.fd, r.buf, r.len, 0));
		EXPECT_PATTERN(r.buf, size, 0, 1);
		close(r.fd);
	}
}

TEST_F(dio_readers, splicing)
{
	const off_t bs = self->v.bs;
	struct reading r;
	struct task t;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(0, reading_init(&r, 0));
	ASSERT_EQ(0, task_start(&t, splice_and_stop, &r));
	EXTEND_UNDER(&r, &t, fd, bs, 1024);
}

/*
 * What a direct read has come to the end without, as the file has been extended meanwhile, is
 * read by way of the page cache; and then the file is extended again.
 */
TEST_F(dio_readers, direct_over_the_end)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(1024);
	struct reading r;
	struct vol_map map;
	struct task t;
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "ext4 keeps writers away while it reads");
	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(0, reading_init(&r, O_DIRECT));
	ASSERT_EQ(0, vol_find(&self->v, 0, bs, 1, &map));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&t, read_and_stop, &r));
	ASSERT_BLOCKED(&t);
	pattern_fill(buf, 1024, bs, 1);
	ASSERT_EQ(1024, pwrite(fd, buf, 1024, bs));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXTEND_UNDER(&r, &t, fd, bs + 1024, 1024);
}

TEST_HARNESS_MAIN
