// SPDX-License-Identifier: GPL-2.0
/*
 * Alignment of memory, offset and length: what statx(2) says is enough and needed, memory
 * in pieces, and at all places in a page.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "harness.h"

VOL_FIXTURE(dio_align);
FIXTURE_VARIANT_ADD(dio_align, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_align, bs2k) { .conf = SMALL_2K };
FIXTURE_VARIANT_ADD(dio_align, bs4k) { .conf = SMALL_4K };

TEST_F(dio_align, misaligned)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(64 * KIB), *back = buf_alloc(64 * KIB);
	struct iovec iov[2];
	enum way way;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 16 * bs, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 64 * KIB, 0, 2);
	for (way = SYNC; way <= ASYNC; way++) {
		EXPECT_EQ(-EINVAL, do_write(way, fd, buf, 512, 1));
		EXPECT_EQ(-EINVAL, do_write(way, fd, buf, 512, 256));
		EXPECT_EQ(-EINVAL, do_write(way, fd, buf, 511, 0));
		EXPECT_EQ(-EINVAL, do_write(way, fd, buf, bs + 100, 0));
		EXPECT_EQ(-EINVAL, do_write(way, fd, buf + 1, 512, 0));
		EXPECT_EQ(-EINVAL, do_read(way, fd, back, 512, 100));
		EXPECT_EQ(-EINVAL, do_read(way, fd, back, 100, 0));
		EXPECT_EQ(-EINVAL, do_read(way, fd, back + 1, 512, 0));
	}
	/* the sum is aligned, the pieces are not */
	iov[0] = (struct iovec){ buf, 100 };
	iov[1] = (struct iovec){ buf + 4096, 412 };
	EXPECT_EQ(-1, pwritev(fd, iov, 2, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, pwrite(fd, buf, 0, 0));
	ASSERT_EQ(16 * bs, pread(fd, back, 16 * bs, 0));
	EXPECT_PATTERN(back, 16 * bs, 0, 1);
}

TEST_F(dio_align, dioalign)
{
	unsigned int mem = 0, offset = 0;
	char *buf = buf_alloc(64 * KIB), *back = buf_alloc(64 * KIB);
	struct statx stx;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, dio_align(fd, &mem, &offset));
	EXPECT_LE(1, mem);
	EXPECT_GE(4096, mem);
	EXPECT_LE(512, offset);
	EXPECT_GE(self->v.bs, offset);
	EXPECT_EQ(0, mem & (mem - 1));
	EXPECT_EQ(0, offset & (offset - 1));
	/* and it is the truth: this much is enough, half of it is not */
	pattern_fill(buf + mem, 4 * offset, 3 * offset, 1);
	EXPECT_EQ(4 * offset, pwrite(fd, buf + mem, 4 * offset, 3 * offset));
	EXPECT_EQ(4 * offset, pread(fd, back + mem, 4 * offset, 3 * offset));
	EXPECT_PATTERN(back + mem, 4 * offset, 3 * offset, 1);
	EXPECT_EQ(-1, pread(fd, back, offset, 4 * offset + offset / 2));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(fd, back, offset / 2, 4 * offset));
	EXPECT_EQ(EINVAL, errno);
	if (mem > 1) {
		EXPECT_EQ(-1, pread(fd, back + mem / 2, offset, 4 * offset));
		EXPECT_EQ(EINVAL, errno);
	}
	/* reads need the same */
	if (env_is_retryfs())
		EXPECT_EQ(offset, dio_read_align(fd));
	/* a directory has no direct I/O */
	ASSERT_EQ(0, statx(AT_FDCWD, env_dir(), 0, STATX_DIOALIGN, &stx));
	if (stx.stx_mask & STATX_DIOALIGN)
		EXPECT_EQ(0, stx.stx_dio_offset_align);
}

TEST_F(dio_align, vectored)
{
	const size_t total = 300 * 512;
	char *mem = buf_alloc(4 * MIB), *back = buf_alloc(total);
	unsigned int align = 512, offset;
	struct iovec iov[64];
	struct iocb cb;
	int round;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	dio_align(fd, &align, &offset);
	for (round = 0; round < 4; round++) {
		size_t pos = 0, at = 0;
		int nr = 0;
		ssize_t n;

		/* pieces of 1 to 15 sectors, at odd multiples of the alignment */
		while (pos < total) {
			size_t len = 512 * (1 + (nr * 7 + round) % 15);

			if (len > total - pos)
				len = total - pos;
			at += align * (1 + nr % 5);
			pattern_fill(mem + at, len, pos, round + 1);
			iov[nr++] = (struct iovec){ mem + at, len };
			at += len;
			pos += len;
			ASSERT_LT(nr, ARRAY_SIZE(iov));
		}
		if (round & 1) {
			aio_prep_writev(&cb, fd, iov, nr, 0);
			n = aio_do(&cb);
		} else {
			n = pwritev(fd, iov, nr, 0);
		}
		ASSERT_EQ(total, n);
		ASSERT_EQ(total, vol_read("f", 0, back, total, 0));
		EXPECT_PATTERN(back, total, 0, round + 1);

		memset(mem, 0xaa, 4 * MIB);
		if (round & 1) {
			aio_prep_readv(&cb, fd, iov, nr, 0);
			n = aio_do(&cb);
		} else {
			n = preadv(fd, iov, nr, 0);
		}
		ASSERT_EQ(total, n);
		for (pos = 0, nr = 0; pos < total; pos += iov[nr++].iov_len)
			ASSERT_PATTERN(iov[nr].iov_base, iov[nr].iov_len, pos, round + 1);
		/* not a byte outside of the pieces */
		ASSERT_EQ((char)0xaa, mem[0]);
		ASSERT_EQ((char)0xaa, mem[at]);
	}
}

/* The same memory at every offset in a page that the device can do. */
TEST_F(dio_align, odd_memory)
{
	char *mem = buf_alloc(1 * MIB), *back = buf_alloc(1 * MIB);
	unsigned int align = 512, offset;
	const size_t len = 96 * KIB;
	size_t at;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	dio_align(fd, &align, &offset);
	for (at = align; at < 8192; at += at < 64 || align > 508 ? align : 508 & -align) {
		pattern_fill(mem + at, len, 0, at);
		ASSERT_EQ(len, do_write(at & 8 ? ASYNC : SYNC, fd, mem + at, len, 0));
		memset(back, 0xaa, 1 * MIB);
		ASSERT_EQ(len, do_read(at & 8 ? SYNC : ASYNC, fd, back + at, len, 0));
		ASSERT_PATTERN(back + at, len, 0, at);
		ASSERT_EQ((char)0xaa, back[at - 1]);
		ASSERT_EQ((char)0xaa, back[at + len]);
	}
}

TEST_HARNESS_MAIN
