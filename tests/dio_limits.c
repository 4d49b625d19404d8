// SPDX-License-Identifier: GPL-2.0
/*
 * What cannot be done, or is nothing: limits of size, files that must not be written
 * to, flags that are not supported, requests of no bytes and of many empty pieces.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "harness.h"
#include "uring.h"

/* Not in older headers. */
#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND	0x20
#endif
#ifndef RWF_ATOMIC
#define RWF_ATOMIC	0x40
#endif
#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE	0x80
#endif

VOL_FIXTURE(dio_limits);
FIXTURE_VARIANT_ADD(dio_limits, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_limits, bs4k) { .conf = SMALL_4K };

static int signals;

static void count_signal(int sig)
{
	__atomic_add_fetch(&signals, 1, __ATOMIC_RELAXED);
}

static int xfsz(void)
{
	return __atomic_load_n(&signals, __ATOMIC_RELAXED);
}

/* RLIMIT_FSIZE: up to there, and then EFBIG, with a signal to who makes the call. */
TEST_F(dio_limits, rlimit)
{
	const size_t bs = self->v.bs, limit = 8 * bs + 512;
	const struct rlimit lim = { limit, limit };
	char *mem = buf_alloc(16 * bs), *back = buf_alloc(16 * bs);
	enum way how;
	int fd, nr, old;

	nr = way_setup(mem, 16 * bs);
	ASSERT_LT(0, nr);
	signal(SIGXFSZ, count_signal);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &lim));
	for (how = SYNC; how < nr; how++) {
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		pattern_fill(mem, 16 * bs, 0, 1 + how);
		old = xfsz();
		ASSERT_EQ(limit, do_write(how, fd, mem, 16 * bs, 0));
		EXPECT_EQ(limit, file_size(fd));
		ASSERT_EQ(old, xfsz());
		/* the same inside, and over it from inside */
		ASSERT_EQ(limit, do_write(how, fd, mem, limit, 0));
		ASSERT_EQ(512, do_write(how, fd, mem + 8 * bs, 2 * bs, 8 * bs));
		ASSERT_EQ(old, xfsz());
		/* at it and past it; threads of a ring have no use for a signal */
		ASSERT_EQ(-EFBIG, do_write(how, fd, mem, 512, limit));
		ASSERT_EQ(-EFBIG, do_write(how, fd, mem, bs, 64 * bs));
		if (how < URING)
			ASSERT_EQ(old + 2, xfsz());
		ASSERT_EQ(-EFBIG, way_rw(how, true, fd, &(struct iovec){ mem, 512 }, 1, 0,
					 RWF_APPEND));
		ASSERT_EQ(limit, file_size(fd));
		ASSERT_EQ(limit, pread(fd, back, 16 * bs, 0));
		EXPECT_PATTERN(back, limit, 0, 1 + how);
		close(fd);
	}
}

/* A limit in a sector: what is left of the request is not aligned. */
TEST_F(dio_limits, rlimit_in_a_sector)
{
	const struct rlimit lim = { 2048 + 100, 2048 + 100 };
	char *mem = buf_alloc(16 * KIB);
	enum way how;
	int fd, nr;

	if (!env_is_retryfs())
		SKIP(return, "ext4 goes on through the page cache");
	nr = way_setup(mem, 16 * KIB);
	ASSERT_LT(0, nr);
	signal(SIGXFSZ, count_signal);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &lim));
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (how = SYNC; how < nr; how++) {
		EXPECT_EQ(-EINVAL, do_write(how, fd, mem, 4096, 0));
		EXPECT_EQ(0, file_size(fd));
	}
	EXPECT_EQ(2048, do_write(SYNC, fd, mem, 2048, 0));
}

/* The largest size that there is: what truncate(2) takes. */
static off_t largest(int fd)
{
	off_t low = 0, high = 1LL << 45, mid;

	while (high - low > 1) {
		mid = low + (high - low) / 2;
		if (ftruncate(fd, mid))
			high = mid;
		else
			low = mid;
	}
	return ftruncate(fd, 0) ? -errno : low;
}

TEST_F(dio_limits, largest_file)
{
	const size_t bs = self->v.bs;
	char *mem = buf_alloc(16 * bs), *back = buf_alloc(16 * bs);
	enum way how;
	off_t max;
	int fd, nr;

	nr = way_setup(mem, 16 * bs);
	ASSERT_LT(0, nr);
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	max = largest(fd);
	ASSERT_LT(1LL << 33, max);
	ASSERT_EQ(0, max % bs);
	for (how = SYNC; how < nr; how++) {
		ASSERT_EQ(0, ftruncate(fd, 0));
		/* as much as there is room for, in new blocks and in these again */
		pattern_fill(mem, 16 * bs, max - 3 * bs + 512, 1 + how);
		ASSERT_EQ(3 * bs - 512, do_write(how, fd, mem, 16 * bs, max - 3 * bs + 512));
		ASSERT_EQ(max, file_size(fd));
		ASSERT_EQ(3 * bs - 512, do_write(how, fd, mem, 16 * bs, max - 3 * bs + 512));
		ASSERT_EQ(-EFBIG, do_write(how, fd, mem, bs, max));
		ASSERT_EQ(-EFBIG, do_write(how, fd, mem, bs, max + 16 * bs));
		ASSERT_EQ(-EFBIG, way_rw(how, true, fd, &(struct iovec){ mem, bs }, 1, 0,
					 RWF_APPEND));
		ASSERT_EQ(max, file_size(fd));
		memset(back, UNTOUCHED, 16 * bs);
		/* ext4 looks for blocks past the largest possible one, and fails */
		ASSERT_EQ(3 * bs, do_read(SYNC, fd, back, env_is_retryfs() ? 16 * bs : 3 * bs,
					  max - 3 * bs));
		EXPECT_ZERO(back, 512, max - 3 * bs);
		EXPECT_PATTERN(back + 512, 3 * bs - 512, max - 3 * bs + 512, 1 + how);
		EXPECT_EQ(0, do_read(how, fd, mem, bs, max));
		/* and the end of the largest hole */
		ASSERT_EQ(0, ftruncate(fd, 0));
		ASSERT_EQ(0, ftruncate(fd, max));
		ASSERT_EQ(2 * bs, do_write(how, fd, mem, 4 * bs, max - 2 * bs));
		ASSERT_EQ(2 * bs, do_read(SYNC, fd, back, 4 * bs, max - 2 * bs));
		EXPECT_SAME(back, mem, 2 * bs, max - 2 * bs);
	}
	ASSERT_EQ(0, ftruncate(fd, 0));
}

/* Files that are only to grow, or not to change: debugfs(8) makes them so. */
TEST_F(dio_limits, append_only_and_immutable)
{
	const size_t bs = self->v.bs, len = 4 * bs;
	const char *const set[] = { "debugfs", "-w", "-f", "/tmp/debugfs", self->v.dev, NULL };
	char *mem = buf_alloc(len), *back = buf_alloc(4 * len);
	FILE *cmd;
	enum way how;
	int fd, nr;
	size_t size = len;

	nr = way_setup(mem, len);
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("a", 0, len, 1));
	ASSERT_EQ(0, vol_prefill("i", 0, len, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	cmd = fopen("/tmp/debugfs", "we");
	ASSERT_NE(NULL, cmd);
	fprintf(cmd, "sif a flags 0x20\nsif i flags 0x10\n");
	fclose(cmd);
	ASSERT_EQ(0, run(0, set));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));

	EXPECT_EQ(-EPERM, vol_open("i", O_RDWR | O_DIRECT));
	EXPECT_EQ(-EPERM, vol_open("i", O_WRONLY | O_APPEND | O_DIRECT));
	fd = vol_open("i", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	for (how = SYNC; how < nr; how++) {
		ASSERT_EQ(len, do_read(how, fd, mem, len, 0));
		EXPECT_PATTERN(mem, len, 0, 1);
		EXPECT_EQ(-EBADF, do_write(how, fd, mem, len, 0));
	}
	close(fd);

	EXPECT_EQ(-EPERM, vol_open("a", O_RDWR | O_DIRECT));
	EXPECT_EQ(-EPERM, vol_open("a", O_RDWR | O_APPEND | O_TRUNC | O_DIRECT));
	fd = vol_open("a", O_RDWR | O_APPEND | O_DIRECT);
	ASSERT_LE(0, fd);
	for (how = SYNC; how < nr; how++) {
		/* wherever it is to go */
		pattern_fill(mem, bs, size, 1);
		ASSERT_EQ(bs, do_write(how, fd, mem, bs, 0));
		size += bs;
		EXPECT_EQ(-EPERM, way_rw(how, true, fd, &(struct iovec){ mem, bs }, 1, 0,
					 RWF_NOAPPEND));
		EXPECT_EQ(size, file_size(fd));
	}
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EPERM, errno);
	ASSERT_EQ(size, pread(fd, back, 4 * len, 0));
	EXPECT_PATTERN(back, size, 0, 1);
}

/* Flags that the filesystem does not support, and unknown ones. */
TEST_F(dio_limits, flags)
{
	const size_t bs = self->v.bs, len = 4 * bs;
	char *mem = buf_alloc(len), *back = buf_alloc(2 * len);
	struct iovec iov = { mem, bs };
	enum way how;
	int fd, nr;

	nr = way_setup(mem, len);
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (how = SYNC; how < nr; how++) {
		EXPECT_EQ(-EOPNOTSUPP, way_rw(how, true, fd, &iov, 1, 0, RWF_ATOMIC));
		EXPECT_EQ(-EOPNOTSUPP, way_rw(how, false, fd, &iov, 1, 0, RWF_ATOMIC));
		if (env_is_retryfs()) {
			EXPECT_EQ(-EOPNOTSUPP, way_rw(how, true, fd, &iov, 1, 0, RWF_DONTCACHE));
			EXPECT_EQ(-EOPNOTSUPP, way_rw(how, false, fd, &iov, 1, 0, RWF_DONTCACHE));
		}
		EXPECT_EQ(-EINVAL, way_rw(how, true, fd, &iov, 1, 0, RWF_APPEND | RWF_NOAPPEND));
		EXPECT_EQ(-EOPNOTSUPP, way_rw(how, true, fd, &iov, 1, 0, 1 << 30));
		EXPECT_EQ(-EOPNOTSUPP, way_rw(how, false, fd, &iov, 1, 0, 1 << 30));
	}
	ASSERT_EQ(len, pread(fd, back, 2 * len, 0));
	EXPECT_PATTERN(back, len, 0, 1);
	close(fd);

	/* the position counts, although the descriptor says otherwise */
	fd = vol_open("f", O_RDWR | O_APPEND | O_DIRECT);
	ASSERT_LE(0, fd);
	for (how = SYNC; how < nr; how++) {
		pattern_fill(mem, bs, bs, 2 + how);
		ASSERT_EQ(bs, way_rw(how, true, fd, &iov, 1, bs, RWF_NOAPPEND));
		ASSERT_EQ(len, pread(fd, back, 2 * len, 0));
		EXPECT_PATTERN(back, bs, 0, 1);
		EXPECT_PATTERN(back + bs, bs, bs, 2 + how);
		EXPECT_PATTERN(back + 2 * bs, len - 2 * bs, 2 * bs, 1);
	}
}

/* A ring that polls for the ends of its requests: ext4 can, and retryfs says that it cannot. */
TEST_F(dio_limits, polling_ring)
{
	struct io_uring_params p = { .flags = IORING_SETUP_IOPOLL };
	char *mem = buf_alloc(4096);
	struct uring u;
	uint64_t data;
	int fd, res;

	if (!env_is_retryfs())
		SKIP(return, "ext4 polls");
	if (access("/proc/sys/kernel/io_uring_disabled", F_OK))
		SKIP(return, "a kernel without io_uring");
	ASSERT_EQ(0, vol_prefill("f", 0, 4096, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_setup_params(&u, 4, &p));
	for (int write = 0; write < 2; write++) {
		ASSERT_EQ(0, uring_submit(&u, write, fd, &(struct iovec){ mem, 4096 }, 1, 0, 0, 7));
		ASSERT_EQ(1, uring_reap(&u, true, &data, &res));
		EXPECT_EQ(7, data);
		EXPECT_EQ(-EOPNOTSUPP, res);
	}
	ASSERT_EQ(4096, pread(fd, mem, 4096, 0));
	EXPECT_PATTERN(mem, 4096, 0, 1);
}

/* Nothing is asked for, and nothing is done; a position that is not aligned does not matter. */
TEST_F(dio_limits, no_bytes)
{
	const size_t len = 16 * KIB;
	const off_t at[] = { 0, 512, 100, len, 2 * len + 1 };
	char *mem = buf_alloc(len), *back = buf_alloc(2 * len);
	struct counters c0 = {}, c1 = {};
	enum way how;
	int fd, nr;
	size_t i;

	nr = way_setup(mem, len);
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	for (how = SYNC; how < nr; how++)
		for (i = 0; i < ARRAY_SIZE(at); i++) {
			const struct iovec none[] = { { mem, 0 }, { NULL, 0 }, { mem + 1, 0 } };

			EXPECT_EQ(0, do_read(how, fd, mem, 0, at[i])) TH_LOG("how %d", how);
			EXPECT_EQ(0, do_write(how, fd, mem, 0, at[i])) TH_LOG("how %d", how);
			/* registered memory has to be named, if there are several pieces */
			if (how == FIXED)
				continue;
			EXPECT_EQ(0, way_rw(how, false, fd, none, 3, at[i], 0));
			EXPECT_EQ(0, way_rw(how, true, fd, none, 3, at[i], RWF_SYNC));
		}
	ASSERT_EQ(len, file_size(fd));
	ASSERT_EQ(len, pread(fd, back, 2 * len, 0));
	EXPECT_PATTERN(back, len, 0, 1);
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_EQ(c0.requests_write, c1.requests_write);
		EXPECT_EQ(c0.async, c1.async);
	}
}

/* As many pieces as one call takes, most of them empty; and one more. */
TEST_F(dio_limits, empty_pieces)
{
	enum { NR = 1024, STEP = 16, LEN = NR / STEP * 512 };
	char *mem = buf_alloc(LEN), *back = buf_alloc(2 * LEN);
	static struct iovec iov[NR + 1];
	enum way how;
	int fd, nr, i;

	nr = way_setup(mem, LEN);
	ASSERT_LT(0, nr);
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	for (i = 0; i < NR; i++) {
		iov[i] = (struct iovec){ mem, 0 };
		if (i % STEP == STEP - 1)
			iov[i] = (struct iovec){ mem + i / STEP * 512, 512 };
	}
	iov[NR] = (struct iovec){ mem, 0 };
	for (how = SYNC; how < nr && how != FIXED; how++) {
		/* an extend, and an overwrite of that */
		for (i = 0; i < 2; i++) {
			ASSERT_EQ(0, i ? 0 : ftruncate(fd, 0));
			pattern_fill(mem, LEN, 0, 2 * how + i);
			ASSERT_EQ(LEN, way_rw(how, true, fd, iov, NR, 0, 0));
			ASSERT_EQ(LEN, file_size(fd));
			memset(mem, 0, LEN);
			ASSERT_EQ(LEN, way_rw(how, false, fd, iov, NR, 0, 0));
			EXPECT_PATTERN(mem, LEN, 0, 2 * how + i);
		}
		EXPECT_EQ(-EINVAL, way_rw(how, true, fd, iov, NR + 1, 0, 0));
		EXPECT_EQ(-EINVAL, way_rw(how, false, fd, iov, NR + 1, 0, 0));
	}
	ASSERT_EQ(LEN, pread(fd, back, 2 * LEN, 0));
	EXPECT_SAME(back, mem, LEN, 0);
}

TEST_HARNESS_MAIN
