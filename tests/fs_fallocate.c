// SPDX-License-Identifier: GPL-2.0
/* fallocate(2) that allocates, or zeroes: with blocks that are zero on the device. */
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "allocate.h"
#include "blocks.h"
#include "harness.h"
#include "punch.h"
#include "rng.h"

#define KEEP	FALLOC_FL_KEEP_SIZE
#define ZERO	FALLOC_FL_ZERO_RANGE

FIXTURE(fs_fallocate) {
	struct vol v;
};

FIXTURE_VARIANT(fs_fallocate) {
	struct vol_conf conf;
};

FIXTURE_SETUP(fs_fallocate)
{
	if (variant->conf.options && !env_is_retryfs())
		SKIP(return, "a mount option of retryfs");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
}

FIXTURE_TEARDOWN(fs_fallocate)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

FIXTURE_VARIANT_ADD(fs_fallocate, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_fallocate, bs4k) { .conf = SMALL_4K };
FIXTURE_VARIANT_ADD(fs_fallocate, bs1k_async) { .conf = ASYNC_ALLOC_1K };
FIXTURE_VARIANT_ADD(fs_fallocate, bs4k_async) { .conf = ASYNC_ALLOC_4K };

/* In the model: what is zero afterwards, and which blocks there are. */
static void model_allocate(struct sparse *m, int mode, off_t off, off_t len)
{
	off_t at;

	if (mode & ZERO)
		memset(m->want + off, 0, len);
	for (at = off / m->bs; at <= (off + len - 1) / m->bs; at++)
		m->has[at] = true;
}

/* Any alignment, over data and holes, as all see it. */
TEST_F(fs_fallocate, inside_the_file)
{
	static const int modes[] = { 0, KEEP, ZERO, ZERO | KEEP };
	const off_t bs = self->v.bs, size = 60 * bs;
	struct rng rng;
	struct sparse m;
	int fd, dfd, i;

	rng_seed(&rng, 4711, bs, 0);
	sparse_init(&m, bs, size);
	memset(m.want, 0, size);
	fd = vol_open("f", O_CREAT | O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(0, ftruncate(fd, size));
	for (i = 0; i < (env_on_debug() ? 16 : 40); i++) {
		const int mode = modes[rng_below(&rng, 4)];
		off_t off = rng_below(&rng, size), len = 1 + rng_below(&rng, 12 * bs);

		if (off + len > size)
			len = size - off;
		if (i % 3 == 0) {
			sparse_punch(&m, off, len);
			ASSERT_EQ(0, punch(fd, off, len));
		} else if (i % 3 == 1) {
			off = off / 512 * 512;
			len = (len + 511) / 512 * 512;
			if (off + len > size)
				len = size - off;
			sparse_write(&m, off, len, i + 2);
			ASSERT_EQ(len, pwrite(i % 2 ? fd : dfd, m.want + off, len, off));
		} else {
			model_allocate(&m, mode, off, len);
			ASSERT_EQ(0, allocate(fd, mode, off, len)) TH_LOG("mode %d", mode);
		}
		if (i % 4 == 3)
			EXPECT_SPARSE(&m, fd, dfd, i);
	}
	close(fd);
	close(dfd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	EXPECT_SPARSE(&m, fd, dfd, 0);
	close(fd);
	close(dfd);
}

/* EOF moves to the end of the range. What nobody wrote is zero on the device, where there was poison. */
TEST_F(fs_fallocate, beyond_the_end)
{
	const off_t bs = self->v.bs, len = 300 * bs;
	char *buf = buf_alloc(2 * len);
	struct stat st;
	int fd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, bs + 100, 1));
	for (i = 0; i < 2; i++) {
		fd = vol_open("f", O_WRONLY | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, i ? allocate(fd, ZERO, len, len) : posix_fallocate(fd, 3 * bs, len - 3 * bs));
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ((i + 1) * len, st.st_size);
		close(fd);
	}
	/* nothing between the old end and the range */
	EXPECT_LE((2 * len - bs) / 512, st.st_blocks);
	ASSERT_EQ(bs, vol_read("f", O_DIRECT, buf, bs, 0));
	EXPECT_PATTERN(buf, bs, 0, 1);
	ASSERT_EQ(2 * len - bs, vol_read("f", O_DIRECT, buf, 2 * len, bs));
	EXPECT_PATTERN(buf, 100, bs, 1);
	EXPECT_ZERO(buf + 100, 2 * len - bs - 100, bs + 100);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(2 * len, vol_read("f", 0, buf, 2 * len, 0));
	EXPECT_PATTERN(buf, bs + 100, 0, 1);
	EXPECT_ZERO(buf + bs + 100, 2 * len - bs - 100, bs + 100);
}

/* e2fsck takes blocks beyond EOF for a fault, so there are none. */
TEST_F(fs_fallocate, what_is_refused)
{
	const off_t bs = self->v.bs, size = bs + 1;
	const struct rlimit old = { RLIM_INFINITY, RLIM_INFINITY };
	const struct rlimit limit = { 4 * bs, RLIM_INFINITY };
	struct stat st;
	int fd, rfd;

	if (!env_is_retryfs())
		SKIP(return, "ext4 has no such call for files without extents");
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	fd = vol_open("f", O_RDWR);
	rfd = vol_open("f", O_RDONLY);
	EXPECT_EQ(0, allocate(fd, KEEP, 0, 2 * bs));
	EXPECT_EQ(-EOPNOTSUPP, allocate(fd, KEEP, 0, 2 * bs + 1));
	EXPECT_EQ(-EOPNOTSUPP, allocate(fd, KEEP | ZERO, bs, 4 * bs));
	EXPECT_EQ(-EBADF, allocate(rfd, 0, 0, bs));
	EXPECT_EQ(-EINVAL, allocate(fd, 0, 0, 0));
	EXPECT_EQ(-EFBIG, allocate(fd, 0, 1ULL << 50, bs));
	signal(SIGXFSZ, SIG_IGN);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(-EFBIG, allocate(fd, 0, 0, 4 * bs + 1));
	EXPECT_EQ(0, allocate(fd, 0, 0, size));
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &old));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(size, st.st_size);
	EXPECT_TRUE(vol_holds("f", size, 1));
	close(fd);
	close(rfd);
}

/* Nothing beyond EOF is left when there is no space. */
TEST_F(fs_fallocate, without_space)
{
	const off_t bs = self->v.bs;
	long before = free_blocks();
	struct stat st;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOSPC, allocate(fd, 0, 0, 32 * MIB));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_size);
	EXPECT_EQ(0, st.st_blocks);
	EXPECT_EQ(before, free_blocks());
	/* and inside, what there was is kept */
	ASSERT_EQ(bs, pwrite(fd, buf_alloc(bs), bs, 32 * MIB));
	EXPECT_EQ(-ENOSPC, allocate(fd, KEEP, 0, 32 * MIB));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(32 * MIB + bs, st.st_size);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
}

/* No pointer leads to a block before the device has its zeroes. */
TEST_F(fs_fallocate, linked_when_zeroed)
{
	const off_t bs = self->v.bs;
	struct io_op op;
	struct task t;
	int fd, n = 1;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 8 * bs));
	/* its group is in memory */
	ASSERT_EQ(0, allocate(fd, 0, 6 * bs, bs));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, vol_hold(&self->v));
	op = (struct io_op){ fd, NULL, 4 * bs, 0 };
	ASSERT_EQ(0, task_start(&t, op_allocate, &op));
	ASSERT_BLOCKED(&t);
	EXPECT_EQ(0, ioctl(fd, FIBMAP, &n));
	EXPECT_EQ(0, n);
	ASSERT_EQ(0, vol_release(&self->v));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	n = 1;
	EXPECT_EQ(0, ioctl(fd, FIBMAP, &n));
	EXPECT_LT(0, n);
	close(fd);
}

/* When the device fails, nothing of what it held before is in the file. */
TEST_F(fs_fallocate, on_a_failing_device)
{
	const off_t bs = self->v.bs, size = 8 * bs;
	char *buf = buf_alloc(size);
	struct stat st;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, size));
	/* its group is in memory, and so it is only zeroing that fails */
	ASSERT_EQ(0, allocate(fd, 0, 6 * bs, bs));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	EXPECT_EQ(-EIO, allocate(fd, KEEP, 0, 4 * bs));
	EXPECT_EQ(-EIO, allocate(fd, 0, size, 4 * bs));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(size, st.st_size);
	EXPECT_EQ(bs, st.st_blocks * 512);
	close(fd);
	ASSERT_EQ(size, vol_read("f", O_DIRECT, buf, size, 0));
	EXPECT_ZERO(buf, size, 0);
}

/* A direct write in flight is not what is there afterwards. */
TEST_F(fs_fallocate, waits_for_direct_writes)
{
	const off_t bs = self->v.bs, len = 8 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct task t;
	struct io_op op;
	aio_context_t ctx;
	struct iocb cb, *list = &cb;
	struct io_event ev;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(len, pread(fd, back, len, 0));
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_hold(&self->v));
	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(1, aio_submit(ctx, 1, &list));
	op = (struct io_op){ fd, NULL, len, 0 };
	ASSERT_EQ(0, task_start(&t, op_zero, &op));
	ASSERT_BLOCKED(&t);
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, -1));
	EXPECT_EQ(len, ev.res);
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_ZERO(back, len, 0);
	close(fd);
	aio_destroy(ctx);
}

/* What was stored to a hole before is kept, or zeroed: it does not come back later. */
TEST_F(fs_fallocate, stores_to_a_hole)
{
	const off_t len = 4 * 4096;
	char *buf = buf_alloc(len), *map;
	int fd, i;

	for (i = 0; i < 2; i++) {
		fd = vol_open("f", O_CREAT | O_RDWR | O_TRUNC);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ftruncate(fd, len));
		map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		memset(map + 4096, 'x', 4096);
		EXPECT_EQ(0, map[2 * 4096]);
		ASSERT_EQ(0, allocate(fd, i ? ZERO : 0, 0, len));
		EXPECT_EQ(i ? 0 : 'x', map[4096]);
		EXPECT_EQ(0, map[2 * 4096]);
		map[3 * 4096] = 'y';
		munmap(map, len);
		close(fd);
		ASSERT_EQ(0, vol_remount(&self->v));
		ASSERT_EQ(len, vol_read("f", O_DIRECT, buf, len, 0));
		EXPECT_ZERO(buf, 4096, 0);
		EXPECT_EQ(i ? 0 : 'x', buf[4096]);
		EXPECT_EQ(i ? 0 : 'x', buf[2 * 4096 - 1]);
		EXPECT_ZERO(buf + 2 * 4096, 4096, 2 * 4096);
		EXPECT_EQ('y', buf[3 * 4096]);
		EXPECT_ZERO(buf + 3 * 4096 + 1, 4095, 3 * 4096 + 1);
	}
}

/*
 * A device is about to write to the page of EOF, as to the memory of a read of another file: what it writes is not lost, though
 * the blocks behind EOF have a part of the page.
 */
TEST_F(fs_fallocate, page_that_is_read_into)
{
	const off_t size = 1024, len = 3 * 1024;
	const bool shares = self->v.bs == 1024;
	struct io_op read = { .len = size };
	char *back = buf_alloc(4096), *map;
	struct task task;
	int fd, err;

	ASSERT_EQ(0, make_held(&self->v, "g", 4096, 4096, HELD_READS));
	read.fd = vol_open("g", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, read.fd);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 2));
	vol_sync();
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	read.buf = map;
	ASSERT_EQ(0, task_start(&task, op_pread, &read));
	ASSERT_BLOCKED(&task);
	err = allocate(fd, 0, size, len);
	if (env_is_retryfs())
		EXPECT_EQ(shares ? -EBUSY : 0, err);
	EXPECT_EQ(err ? size : size + len, file_size(fd));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(size, task_join(&task, JOIN_SECONDS));
	EXPECT_PATTERN(map, size, 0, 1);
	/* and now nobody has it */
	EXPECT_EQ(0, allocate(fd, 0, size, len));
	EXPECT_PATTERN(map, size, 0, 1);
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(0, munmap(map, 4096));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(size + len, vol_read("f", O_DIRECT, back, 4096, 0));
	EXPECT_PATTERN(back, size, 0, 1);
	EXPECT_ZERO(back + size, len, size);
}

/* A signal that kills ends it, and EOF stays where it was. */
TEST_F(fs_fallocate, killed)
{
	const off_t size = 20 * KIB, len = 8 * MIB;
	struct stat before, st;
	long unused;
	int fd, status, i;
	pid_t pid;

	if (self->v.bs != 1024)
		SKIP(return, "once is enough");
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	/* so that the bitmap and the pointers are in memory */
	ASSERT_EQ(0, allocate(fd, 0, 0, size));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, fstat(fd, &before));
	unused = free_blocks();
	ASSERT_EQ(0, vol_hold(&self->v));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(allocate(fd, 0, 0, len) ? 1 : 0);
	/* it has taken blocks, and waits for the device to zero them */
	for (i = 0; i < 10000 && free_blocks() == unused; i++)
		usleep(1000);
	EXPECT_GT(unused, free_blocks());
	ASSERT_EQ(0, kill(pid, SIGTERM));
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(size, st.st_size);
	EXPECT_EQ(before.st_blocks, st.st_blocks);
	close(fd);
}

/* The same before the first zero is written: nothing of what the blocks held is in the file. */
TEST_F(fs_fallocate, killed_before)
{
	const off_t bs = self->v.bs, len = 4 * bs;
	int fd, status;
	pid_t pid;

	ASSERT_EQ(0, vol_prefill("f", 0, bs, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	/* it waits for the bitmap */
	ASSERT_EQ(0, vol_keep_reads(&self->v));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(allocate(fd, 0, bs, len) ? 1 : 0);
	while (!vol_reads_kept() && !waitpid(pid, &status, WNOHANG))
		usleep(1000);
	EXPECT_LT(0, vol_reads_kept());
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_SIZE_AND_BLOCKS(fd, bs, 1, bs);
	close(fd);
	EXPECT_TRUE(vol_holds("f", bs, 1));
}

TEST_HARNESS_MAIN
