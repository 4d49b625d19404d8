// SPDX-License-Identifier: GPL-2.0
/*
 * Several threads append to one file, by all ways at once: no byte is lost, and none
 * overlap. Each record says which thread it is of, and where in all that the thread
 * has written it belongs.
 */
#include <fcntl.h>

#include "harness.h"
#include "queue.h"

VOL_FIXTURE(dio_append);
FIXTURE_VARIANT_ADD(dio_append, bs1k) { .conf = { .bs = 1024, .isize = 128, .mib = 32 } };
FIXTURE_VARIANT_ADD(dio_append, bs4k) { .conf = { .bs = 4096, .isize = 256, .mib = 32 } };
FIXTURE_VARIANT_ADD(dio_append, async_alloc_bs1k) {
	.conf = { .bs = 1024, .isize = 128, .mib = 32, .options = "async_alloc" }
};
FIXTURE_VARIANT_ADD(dio_append, async_alloc_bs4k) {
	.conf = { .bs = 4096, .isize = 256, .mib = 32, .options = "async_alloc" }
};

#define THREADS		6
#define RECORDS		(64 * env_scale())
#define LONGEST		(9 * 512)
#define STREAM(id)	((uint64_t)(id) << 32)	/* where the positions of a thread begin */

enum by { BY_SYSCALL, BY_AIO, BY_RING, BYS };

struct writer {
	unsigned int id;
	enum by by;
	int fd;
	int rwf;
	uint64_t written;
};

/* Records of one to nine sectors, which are not aligned to blocks. */
static size_t record_len(unsigned int id, unsigned int i)
{
	return 512 * (1 + (i * 5 + id) % 9);
}

static long append(void *arg)
{
	char *buf = buf_alloc(LONGEST);
	struct writer *w = arg;
	struct io_event ev;
	aio_context_t ctx;
	struct uring ring;
	struct iocb cb;
	uint64_t data;
	unsigned int i;
	ssize_t n = 0;
	int err = 0, res;

	if (w->by == BY_AIO)
		err = aio_setup(1, &ctx);
	if (w->by == BY_RING)
		err = uring_setup(&ring, 1);
	for (i = 0; !err && i < RECORDS; i++) {
		struct iovec iov = { buf, record_len(w->id, i) };

		pattern_fill(buf, iov.iov_len, STREAM(w->id) + w->written, 1);
		switch (w->by) {
		case BY_AIO:
			aio_prep_writev(&cb, w->fd, &iov, 1, 0);
			cb.aio_rw_flags = w->rwf;
			err = aio_submit_one(ctx, &cb);
			if (!err && aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000) != 1)
				err = -ETIME;
			n = ev.res;
			break;
		case BY_RING:
			err = uring_submit(&ring, true, w->fd, &iov, 1, 0, w->rwf, i);
			if (!err && uring_reap(&ring, true, &data, &res) != 1)
				err = -EIO;
			n = res;
			break;
		default:
			n = pwritev2(w->fd, &iov, 1, 0, w->rwf);
			break;
		}
		if (!err && n != (ssize_t)iov.iov_len)
			err = n < 0 ? n : -EIO;
		w->written += iov.iov_len;
	}
	return err;
}

/* Whose sector is that, and which of his? */
static uint64_t stamp(const char *sector)
{
	uint64_t pos;

	memcpy(&pos, sector + 8, sizeof(pos));
	return pos;
}

static void appends(struct __test_metadata *_metadata, int flags, int rwf)
{
	static struct writer w[THREADS];
	uint64_t next[THREADS] = {}, all = 0, pos;
	unsigned int id, record[THREADS] = {};
	const char *data, *diff;
	struct task t[THREADS];
	char *back;
	size_t len;
	int fd;

	for (id = 0; id < THREADS; id++) {
		fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT | flags);
		ASSERT_LE(0, fd);
		w[id] = (struct writer){ id, id % BYS, fd, rwf, 0 };
		if (w[id].by == BY_RING && !queue_possible(URING))
			w[id].by = BY_SYSCALL;
	}
	for (id = 0; id < THREADS; id++)
		ASSERT_EQ(0, task_start(&t[id], append, &w[id]));
	for (id = 0; id < THREADS; id++) {
		EXPECT_EQ(0, task_join(&t[id], JOIN_SECONDS));
		all += w[id].written;
	}
	ASSERT_EQ(all, file_size(w[0].fd));
	back = buf_alloc(all);
	ASSERT_EQ(all, pread(w[0].fd, back, all, 0));
	/* record by record: each is whole, and those of a thread are in its order */
	for (data = back; data < back + all; data += len) {
		pos = stamp(data);
		id = pos >> 32;
		ASSERT_GT(THREADS, id) TH_LOG("at %zu: of no thread", data - back);
		ASSERT_EQ(STREAM(id) + next[id], pos);
		len = record_len(id, record[id]++);
		diff = pattern_diff(data, len, pos, 1);
		ASSERT_EQ(NULL, diff) TH_LOG("at %zu: %s", data - back, diff);
		next[id] += len;
	}
	for (id = 0; id < THREADS; id++)
		EXPECT_EQ(w[id].written, next[id]);
}

TEST_F(dio_append, rwf_append)
{
	appends(_metadata, 0, RWF_APPEND);
}

TEST_F(dio_append, o_append)
{
	appends(_metadata, O_APPEND, 0);
}

TEST_HARNESS_MAIN
