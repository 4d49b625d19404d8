// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O that does not come from read(2), write(2) or io_submit(2): splice,
 * the loop device and io_uring, whose memory is pages and not user addresses; the
 * kernel's own reads; and a file that is swap space, with no i/o of ours at all.
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>

#include "harness.h"
#include "queue.h"
#include "uring.h"

VOL_FIXTURE(dio_users);
FIXTURE_VARIANT_ADD(dio_users, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_users, bs4k) { .conf = VOL_4K };

/* Take @len bytes out of the file by way of a pipe, as splice or sendfile do. */
static ssize_t through_pipe(int fd, char *buf, size_t len, bool by_sendfile)
{
	size_t done = 0;
	off_t off = 0;
	int to[2];

	if (pipe(to))
		return -errno;
	while (done < len) {
		ssize_t n = by_sendfile ? sendfile(to[1], fd, &off, 64 * KIB) :
					  splice(fd, &off, to[1], NULL, 64 * KIB, 0);
		ssize_t left = n;

		if (n < 0)
			done = -errno;
		if (n <= 0)
			break;
		while (left > 0) {
			ssize_t m = read(to[0], buf + done, left);

			if (m <= 0)
				return -EIO;
			done += m;
			left -= m;
		}
	}
	close(to[0]);
	close(to[1]);
	return done;
}

TEST_F(dio_users, splice)
{
	const size_t len = 300 * KIB + 700;
	char *buf = buf_alloc(MIB);
	int flags;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	/* a hole in the middle of it, too */
	ASSERT_EQ(0, vol_prefill("h", 200 * KIB, 20 * KIB, 2));
	for (flags = 0; flags <= O_DIRECT; flags += O_DIRECT) {
		int fd = vol_open("f", O_RDONLY | flags);
		int hole = vol_open("h", O_RDONLY | flags);

		ASSERT_LE(0, fd);
		EXPECT_EQ(len, through_pipe(fd, buf, MIB, false));
		EXPECT_PATTERN(buf, len, 0, 1);
		memset(buf, 0xaa, MIB);
		EXPECT_EQ(len, through_pipe(fd, buf, MIB, true));
		EXPECT_PATTERN(buf, len, 0, 1);
		EXPECT_EQ(220 * KIB, through_pipe(hole, buf, MIB, false));
		EXPECT_ZERO(buf, 200 * KIB, 0);
		EXPECT_PATTERN(buf + 200 * KIB, 20 * KIB, 200 * KIB, 2);
		close(fd);
		close(hole);
	}
}

TEST_F(dio_users, copy_file_range)
{
	const size_t len = 256 * KIB;
	char *buf = buf_alloc(len);
	loff_t from = 0, to = 0;
	int in, out;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	in = vol_open("f", O_RDONLY | O_DIRECT);
	out = vol_open("g", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, in);
	ASSERT_LE(0, out);
	while (from < (loff_t)len) {
		ssize_t n = copy_file_range(in, &from, out, &to, len - from, 0);

		ASSERT_LT(0, n) TH_LOG("%s", strerror(errno));
	}
	ASSERT_EQ(len, pread(out, buf, len, 0));
	EXPECT_PATTERN(buf, len, 0, 1);
}

/* A loop device with direct I/O on a file of which only the first half is there. */
TEST_F(dio_users, loop_device)
{
	const size_t len = 2 * MIB, half = len / 2;
	char *buf = buf_alloc(len), *back = buf_alloc(len), name[32];
	struct loop_config config = {
		.block_size = 512,
		.info.lo_flags = LO_FLAGS_DIRECT_IO,
	};
	struct counters c0 = {}, c1 = {};
	struct loop_info64 info;
	int ctl, nr, fd, loop;
	size_t pos, n;

	ctl = open("/dev/loop-control", O_RDWR);
	if (ctl < 0)
		SKIP(return, "no loop devices here");
	ASSERT_EQ(0, vol_prefill("image", 0, half, 1));
	ASSERT_EQ(0, truncate(vol_path("image"), len));
	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(&self->v, &c0));
	nr = ioctl(ctl, LOOP_CTL_GET_FREE);
	ASSERT_LE(0, nr);
	snprintf(name, sizeof(name), "/dev/loop%d", nr);
	loop = open(name, O_RDWR | O_DIRECT);
	ASSERT_LE(0, loop);
	fd = vol_open("image", O_RDWR | O_DIRECT);
	config.fd = fd;
	ASSERT_EQ(0, ioctl(loop, LOOP_CONFIGURE, &config));
	ASSERT_EQ(0, ioctl(loop, LOOP_GET_STATUS64, &info));
	EXPECT_TRUE(info.lo_flags & LO_FLAGS_DIRECT_IO);

	ASSERT_EQ(len, pread(loop, back, len, 0));
	EXPECT_PATTERN(back, half, 0, 1);
	EXPECT_ZERO(back + half, half, half);
	/* pieces of many sizes, over the data and into the hole */
	pattern_fill(buf, len, 0, 2);
	for (pos = 0; pos < len; pos += n) {
		n = 512 * (1 + pos / 512 * 7 % 61);
		if (n > len - pos)
			n = len - pos;
		ASSERT_EQ(n, pwrite(loop, buf + pos, n, pos));
	}
	ASSERT_EQ(0, fsync(loop));
	ASSERT_EQ(len, pread(loop, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	ASSERT_EQ(0, ioctl(loop, LOOP_CLR_FD));
	close(loop);
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	close(fd);
	if (env_is_retryfs()) {
		ASSERT_EQ(0, vol_counters(&self->v, &c1));
		EXPECT_LT(c0.async + 16, c1.async);
		EXPECT_LT(c0.buffered_fallback, c1.buffered_fallback);
	}
}

TEST_F(dio_users, io_uring)
{
	const off_t bs = self->v.bs, len = 24 * bs;
	char *buf = buf_alloc(MIB), *back = buf_alloc(MIB);
	enum way way;
	int fd, nr;

	nr = way_setup(buf, MIB);
	if (nr == URING)
		SKIP(return, "a kernel without io_uring");
	ASSERT_EQ(WAYS, nr);
	for (way = URING; way < WAYS; way++) {
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		/* extend, overwrite, into a hole, over the border of a hole */
		pattern_fill(buf, len, 0, 1);
		EXPECT_EQ(len, do_write(way, fd, buf, len, 0));
		pattern_fill(buf, len, 8 * bs, 2);
		EXPECT_EQ(4 * bs, do_write(way, fd, buf, 4 * bs, 8 * bs));
		ASSERT_EQ(0, ftruncate(fd, 4 * len));
		pattern_fill(buf, len, 2 * len, 3);
		EXPECT_EQ(len, do_write(way, fd, buf, len, 2 * len));
		pattern_fill(buf, 2 * len, 3 * len, 4);
		EXPECT_EQ(2 * len, do_write(way, fd, buf, 2 * len, 3 * len));

		/* read it by io_uring into the same buffer, and then otherwise */
		memset(buf, 0xaa, MIB);
		EXPECT_EQ(5 * len, do_read(way, fd, buf, MIB, 0));
		ASSERT_EQ(5 * len, pread(fd, back, MIB, 0));
		EXPECT_EQ(0, memcmp(buf, back, 5 * len));
		EXPECT_PATTERN(back, 8 * bs, 0, 1);
		EXPECT_PATTERN(back + 8 * bs, 4 * bs, 8 * bs, 2);
		EXPECT_PATTERN(back + 12 * bs, 12 * bs, 12 * bs, 1);
		EXPECT_ZERO(back + len, len, len);
		EXPECT_PATTERN(back + 2 * len, len, 2 * len, 3);
		EXPECT_PATTERN(back + 3 * len, 2 * len, 3 * len, 4);
		EXPECT_EQ(0, do_read(way, fd, buf, MIB, 5 * len));
		EXPECT_EQ(-EINVAL, do_write(way, fd, buf, 512, 100));
		EXPECT_EQ(-EINVAL, do_read(way, fd, buf, 100, 0));
		close(fd);
	}
}

/* The rule of overwrites holds for io_uring: in flight, and no lock held. */
TEST_F(dio_users, io_uring_in_flight)
{
	const off_t bs = self->v.bs, len = 8 * bs, size = 4 * len;
	char *buf = buf_alloc(size), *back = buf_alloc(size);
	struct iovec fixed = { buf, size };
	struct iovec iov = { buf + len, len };
	struct counters c0;
	bool seen[3] = {};
	struct task cut;
	struct io_op tr;
	struct uring u;
	int i, fd;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	if (access("/proc/sys/kernel/io_uring_disabled", F_OK))
		SKIP(return, "a kernel without io_uring");
	ASSERT_EQ(0, uring_setup(&u, 8));
	ASSERT_EQ(0, uring_register(&u, &fixed, 1));
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, size, 0, 2);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, vol_hold(&self->v));
	ASSERT_EQ(0, uring_submit_fixed(&u, true, fd, 0, buf, len, 0, 0));
	ASSERT_EQ(0, uring_submit(&u, true, fd, &iov, 1, len, 0, 1));
	ASSERT_EQ(0, uring_submit_fixed(&u, false, fd, 0, buf + 2 * len, len, 2 * len, 2));
	ASSERT_TRUE(queue_issued(&self->v, &c0, 3));
	tr = (struct io_op){ fd, NULL, 0, 3 * len };
	ASSERT_EQ(0, task_start(&cut, op_ftruncate, &tr));
	EXPECT_TRUE(task_settles(&cut, TASK_BLOCKED));
	ASSERT_EQ(0, vol_release(&self->v));
	for (i = 0; i < 3; i++) {
		uint64_t data;
		int res;

		ASSERT_EQ(1, uring_reap(&u, true, &data, &res));
		ASSERT_GT(3, data);
		ASSERT_FALSE(seen[data]);
		seen[data] = true;
		EXPECT_EQ(len, res);
	}
	EXPECT_EQ(0, task_join(&cut, JOIN_SECONDS));
	EXPECT_PATTERN(buf + 2 * len, len, 2 * len, 1);
	ASSERT_EQ(3 * len, pread(fd, back, size, 0));
	EXPECT_PATTERN(back, 2 * len, 0, 2);
	EXPECT_PATTERN(back + 2 * len, len, 2 * len, 1);
	uring_exit(&u);
}

/* sendfile(2) into a file that is open for direct I/O, of a file that is not. */
TEST_F(dio_users, sendfile)
{
	const size_t len = 256 * KIB;
	char *back = buf_alloc(2 * len);
	size_t done;
	int in, out;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	in = vol_open("f", O_RDONLY);
	out = vol_open("g", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, in);
	ASSERT_LE(0, out);
	for (done = 0; done < len;) {
		ssize_t n = sendfile(out, in, NULL, len - done);

		ASSERT_LT(0, n) TH_LOG("%s", strerror(errno));
		done += n;
	}
	ASSERT_EQ(len, pread(out, back, 2 * len, 0));
	EXPECT_PATTERN(back, len, 0, 1);
	/* what is not a whole sector is refused, as if it were written */
	ASSERT_EQ(0, ftruncate(out, 0));
	ASSERT_EQ(0, lseek(out, 0, SEEK_SET));
	ASSERT_EQ(0, lseek(in, 0, SEEK_SET));
	EXPECT_EQ(-1, sendfile(out, in, NULL, 100));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, file_size(out));
}

/*
 * The kernel reads a module through the descriptor that it is given, into memory of
 * its own. It is ours, which is there already: that comes to light after it was read
 * and understood. Of half of it there is nothing to understand.
 */
TEST_F(dio_users, read_by_the_kernel)
{
	struct counters c0, c1;
	ssize_t len;
	char *buf;
	int fd, in;

	if (!env_is_retryfs() || !env_module())
		SKIP(return, "RETRYFS_KO does not name a module");
	in = open(env_module(), O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, in);
	len = file_size(in);
	ASSERT_LT(0, len);
	buf = buf_alloc(len + 512);
	ASSERT_EQ(len, read(in, buf, len));
	fd = vol_open("m", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	len = (len + 511) & -512;
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	close(fd);
	fd = vol_open("m", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	EXPECT_EQ(-1, syscall(SYS_finit_module, fd, "", 0));
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_LT(c0.requests_read, c1.requests_read);
	ASSERT_EQ(0, truncate(vol_path("m"), len / 2 & -512));
	EXPECT_EQ(-1, syscall(SYS_finit_module, fd, "", 0));
	EXPECT_EQ(ENOEXEC, errno);
	/* an end in a sector: the kernel asks for what there is, and that is not aligned */
	ASSERT_EQ(0, truncate(vol_path("m"), (len / 2 & -512) - 100));
	EXPECT_EQ(-1, syscall(SYS_finit_module, fd, "", 0));
	EXPECT_EQ(EINVAL, errno);
}

static long swap_used(void)
{
	char line[256];
	long used = -1;
	FILE *f;

	f = fopen("/proc/swaps", "re");
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "/swap"))
			sscanf(line, "%*s %*s %*d %ld", &used);
	if (f)
		fclose(f);
	return used;
}

/*
 * A file as swap space: the kernel asks where its blocks are, and goes to the device
 * without us. What would change them is refused as long.
 */
TEST_F(dio_users, swapfile)
{
	const char *const mkswap[] = { "mkswap", "-q", vol_path("swap"), NULL };
	const size_t len = 4 * MIB, used = MIB;
	char *buf = buf_alloc(len), *mem;
	struct iocb cb;
	long out;
	int fd;

	if (access("/proc/swaps", F_OK))
		SKIP(return, "a kernel without swap");
	ASSERT_EQ(0, vol_prefill("swap", 0, len, 1));
	ASSERT_EQ(0, chmod(vol_path("swap"), 0600));
	ASSERT_EQ(0, run(0, mkswap));
	fd = vol_open("swap", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, swapon(vol_path("swap"), 0));
	/* nothing is asserted until it is off: what is swap space cannot be cleared away */
	EXPECT_EQ(-1, pwrite(fd, buf, 4096, len / 2));
	EXPECT_EQ(ETXTBSY, errno);
	aio_prep_write(&cb, fd, buf, 4096, len / 2);
	EXPECT_EQ(-ETXTBSY, aio_do(&cb));
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(ETXTBSY, errno);
	EXPECT_EQ(-1, unlink(vol_path("swap")));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(4096, pread(fd, buf, 4096, len / 2));
	EXPECT_PATTERN(buf, 4096, len / 2, 1);
	mem = mmap(NULL, used, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_NE(MAP_FAILED, mem);
	pattern_fill(mem, used, 0, 2);
	EXPECT_EQ(0, madvise(mem, used, MADV_PAGEOUT));
	out = swap_used();
	EXPECT_LT(0, out);
	EXPECT_PATTERN(mem, used / 2, 0, 2);
	EXPECT_EQ(0, swapoff(vol_path("swap")));
	EXPECT_PATTERN(mem, used, 0, 2);
	EXPECT_EQ(4096, pwrite(fd, buf, 4096, len / 2));

	/* a hole has no blocks on the device */
	ASSERT_EQ(0, ftruncate(fd, len / 2));
	ASSERT_EQ(0, ftruncate(fd, len));
	ASSERT_EQ(0, run(0, mkswap));
	EXPECT_EQ(-1, swapon(vol_path("swap"), 0));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
}

TEST_HARNESS_MAIN
