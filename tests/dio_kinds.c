// SPDX-License-Identifier: GPL-2.0
/*
 * Kinds of direct requests: sectors of other sizes, 64 MiB in one call, flags
 * together with memory in many pieces, and data, holes and the end of the file
 * in every order within one request.
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "harness.h"
#include "soak/uring.h"

VOL_FIXTURE(dio_kinds);
FIXTURE_VARIANT_ADD(dio_kinds, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_kinds, bs2k) { .conf = VOL_2K };
FIXTURE_VARIANT_ADD(dio_kinds, bs4k) { .conf = VOL_4K };

/* With these blocks 64 MiB reach to where the triple indirect ones begin. */
VOL_FIXTURE(dio_kinds_large);
FIXTURE_VARIANT_ADD(dio_kinds_large, bs1k) { .conf = { .bs = 1024, .isize = 128, .mib = 256 } };

/* FIXED is memory that is registered with the ring; it needs no pages pinned. */
enum way { SYNC, AIO, URING, FIXED, WAYS };

/* Fixed memory in many pieces: IORING_OP_READV_FIXED is not in older headers. */
enum { OP_READV_FIXED = 60, OP_WRITEV_FIXED };

static struct uring ring;

/* A ring that knows @mem. Returns how many of the ways there are here, or -errno. */
static int ways(void *mem, size_t len)
{
	struct iovec iov = { mem, len };
	int err;

	if (access("/proc/sys/kernel/io_uring_disabled", F_OK))
		return URING;
	err = uring_setup(&ring, 4);
	if (!err)
		err = uring_register(&ring, &iov, 1);
	return err ? err : WAYS;
}

static ssize_t by_uring(struct io_uring_sqe sqe)
{
	unsigned int at = *ring.sq_tail & *ring.sq_mask;
	uint64_t data;
	int res;

	ring.sqes[at] = sqe;
	ring.sq_array[at] = at;
	__atomic_store_n(ring.sq_tail, *ring.sq_tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring.fd, 1, 0, 0, NULL, 0) != 1)
		return -EIO;
	return uring_reap(&ring, true, &data, &res) == 1 ? res : -EIO;
}

/* As aio_do(), but in one context for all: to destroy one takes an RCU grace period. */
static ssize_t by_aio(struct iocb *cb)
{
	static aio_context_t ctx;
	struct io_event ev;
	ssize_t ret;

	ret = ctx ? 0 : aio_setup(1, &ctx);
	if (!ret)
		ret = aio_submit_one(ctx, cb);
	if (!ret)
		ret = aio_events(ctx, 1, 1, &ev, -1);
	return ret == 1 ? ev.res : ret;
}

/* One request; what it returns, or -errno. */
static ssize_t rw(enum way how, bool write, int fd, const struct iovec *iov,
		  int nr, off_t off, int rwf)
{
	struct io_uring_sqe sqe = {
		.opcode = write ? IORING_OP_WRITEV : IORING_OP_READV,
		.fd = fd,
		.addr = (uintptr_t)iov,
		.len = nr,
		.off = off,
		.rw_flags = rwf,
	};
	struct iocb cb;
	ssize_t n;

	switch (how) {
	case SYNC:
		n = write ? pwritev2(fd, iov, nr, off, rwf) : preadv2(fd, iov, nr, off, rwf);
		return n < 0 ? -errno : n;
	case AIO:
		if (write)
			aio_prep_writev(&cb, fd, iov, nr, off);
		else
			aio_prep_readv(&cb, fd, iov, nr, off);
		cb.aio_rw_flags = rwf;
		return by_aio(&cb);
	case FIXED:
		sqe.opcode = write ? OP_WRITEV_FIXED : OP_READV_FIXED;
		if (nr == 1) {
			sqe.opcode = write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
			sqe.addr = (uintptr_t)iov->iov_base;
			sqe.len = iov->iov_len;
		}
		break;
	default:
		break;
	}
	return by_uring(sqe);
}

static ssize_t do_write(enum way how, int fd, void *buf, size_t len, off_t off)
{
	return rw(how, true, fd, &(struct iovec){ buf, len }, 1, off, 0);
}

static ssize_t do_read(enum way how, int fd, void *buf, size_t len, off_t off)
{
	return rw(how, false, fd, &(struct iovec){ buf, len }, 1, off, 0);
}

/* Divide @len bytes into pieces of 1 to 15 times 512, with gaps of odd sizes between. */
static int cut(struct iovec *iov, char *mem, unsigned int align, size_t len)
{
	size_t n;
	int nr;

	for (nr = 0; len; len -= n, nr++) {
		n = 512 * (1 + nr * 4 % 15);
		if (n > len)
			n = len;
		mem += align * (1 + nr % 5);
		iov[nr] = (struct iovec){ mem, n };
		mem += n;
	}
	return nr;
}

/* NULL when @buf is as @want, which is the file from @pos on; else what is wrong. */
static const char *differ(const char *buf, const char *want, size_t len, off_t pos)
{
	static char msg[128];
	size_t i;

	if (!memcmp(buf, want, len))
		return NULL;
	for (i = 0; buf[i] == want[i]; i++)
		;
	snprintf(msg, sizeof(msg), "at offset %zu: %s%#04x instead of %#04x", (size_t)pos + i,
		 i + 8 <= len && has_poison(buf + (i & ~7UL), 8) ? "poison, " : "",
		 (unsigned char)buf[i], (unsigned char)want[i]);
	return msg;
}

#define EXPECT_SAME(buf, want, len, pos)	EXPECT_NULL_DIFF(differ(buf, want, len, pos))

static bool untouched(const char *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len && buf[i] == (char)0xaa; i++)
		;
	return i == len;
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -errno : st.st_size;
}

/*
 * A filesystem on a loop device on a file in memory: it can have sectors of any
 * size. Its pages are full of poison before mkfs, as TEST_DEV is elsewhere.
 */
FIXTURE(dio_kinds_sector) {
	struct vol v;
	int image;
	int loop;
};

FIXTURE_VARIANT(dio_kinds_sector) {
	unsigned int sector;
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_kinds_sector, s512_bs1k) { .sector = 512, .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_kinds_sector, s2048_bs4k) { .sector = 2048, .conf = VOL_4K };
FIXTURE_VARIANT_ADD(dio_kinds_sector, s4096_bs4k) { .sector = 4096, .conf = VOL_4K };

#define IMAGE	(16 * MIB)

static int image_make(void)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	void *map;

	if (fd < 0 || ftruncate(fd, IMAGE))
		return -errno;
	map = mmap(NULL, IMAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	poison_fill(map, IMAGE);
	munmap(map, IMAGE);
	return fd;
}

/* The device is gone when nobody has it open or mounted: nothing is to be cleared away. */
static int loop_open(int image, unsigned int sector, struct vol *v)
{
	struct loop_config config = {
		.fd = image,
		.block_size = sector,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int nr;

	if (fd < 0)
		return -errno;
	nr = ioctl(fd, LOOP_CTL_GET_FREE);
	close(fd);
	snprintf(v->dev, sizeof(v->dev), "/dev/loop%d", nr);
	fd = open(v->dev, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return ioctl(fd, LOOP_CONFIGURE, &config) ? -errno : fd;
}

FIXTURE_SETUP(dio_kinds_sector)
{
	self->v.bs = variant->conf.bs;
	self->v.isize = variant->conf.isize;
	/* what a killed test has left */
	umount2(env_dir(), 0);
	self->image = image_make();
	ASSERT_LE(0, self->image);
	self->loop = loop_open(self->image, variant->sector, &self->v);
	if (self->loop == -ENOENT)
		SKIP(return, "no loop devices here");
	ASSERT_LE(0, self->loop);
	ASSERT_EQ(0, vol_mkfs(&self->v, &variant->conf));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
}

FIXTURE_TEARDOWN(dio_kinds_sector)
{
	struct timespec ms20 = { .tv_nsec = 20000000 };
	int i;

	/* a failed test leaves files open; those of io_uring are let go of a moment later */
	close_range(self->loop + 1, ~0U, 0);
	for (i = 0; i < 500 && vol_umount(&self->v) == -EBUSY; i++)
		nanosleep(&ms20, NULL);
	EXPECT_FALSE(self->v.mounted);
	EXPECT_EQ(0, vol_fsck(&self->v));
	close(self->loop);
	close(self->image);
}

TEST_F(dio_kinds_sector, alignment)
{
	const size_t s = variant->sector, h = s / 2, len = 16 * self->v.bs;
	/* offset and length; some are right for sectors of 512 */
	const size_t bad[][2] = {
		{ h, s }, { 0, h }, { s + h, s + h }, { s - 256, s },
		{ 512, s }, { 0, 512 }, { s - 512, s + 512 }, { 8 * s, s + 512 },
	};
	char *buf = buf_alloc(64 * KIB), *back = buf_alloc(len);
	unsigned int mem = 0, offset = 0;
	enum way how;
	int fd, nr;
	size_t i;

	nr = ways(buf, 64 * KIB);
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, dio_align(fd, &mem, &offset));
	EXPECT_EQ(s, offset);
	ASSERT_LE(1, mem);
	ASSERT_GE(s, mem);
	for (how = SYNC; how < nr; how++) {
		pattern_fill(buf, 64 * KIB, 0, 9);
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			const off_t pos = bad[i][0], n = bad[i][1];

			if (!((pos | n) & (s - 1)))
				continue;
			EXPECT_EQ(-EINVAL, do_write(how, fd, buf, n, pos));
			EXPECT_EQ(-EINVAL, do_read(how, fd, buf, n, pos));
		}
		if (mem > 1) {
			EXPECT_EQ(-EINVAL, do_write(how, fd, buf + mem / 2, s, s));
			EXPECT_EQ(-EINVAL, do_read(how, fd, buf + mem / 2, s, s));
		}
		ASSERT_EQ(len, do_read(SYNC, fd, back, len, 0));
		ASSERT_PATTERN(back, s, 0, 1 + how);
		ASSERT_PATTERN(back + 3 * s, len - 3 * s, 3 * s, 1);

		/* this much is enough: whole sectors, at the alignment of memory and no more */
		pattern_fill(buf + mem, 3 * s, 0, 2 + how);
		ASSERT_EQ(3 * s, do_write(how, fd, buf + mem, 3 * s, 0));
		memset(buf, 0xaa, 64 * KIB);
		ASSERT_EQ(2 * s, do_read(how, fd, buf + 3 * mem, 2 * s, s));
		EXPECT_PATTERN(buf + 3 * mem, 2 * s, s, 2 + how);
		EXPECT_TRUE(untouched(buf, 3 * mem));
		EXPECT_TRUE(untouched(buf + 3 * mem + 2 * s, s));
	}
}

/* R13 with an end that is in the middle of a sector of this size. */
TEST_F(dio_kinds_sector, end_of_file)
{
	const size_t s = variant->sector, bs = self->v.bs, len = 8 * bs;
	const size_t tails[] = { 1, 513, s / 2, s - 1, s };
	char *buf = buf_alloc(len), *want = buf_alloc(len);
	enum way how;
	int fd, nr;
	size_t i;

	nr = ways(buf, len);
	ASSERT_LT(0, nr);
	for (i = 0; i < ARRAY_SIZE(tails) * nr; i++) {
		const size_t size = 3 * bs + tails[i / nr], pos = (size - 1) & -s;

		how = i % nr;
		ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
		fd = vol_open("f", O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		memset(buf, 0xaa, len);
		ASSERT_EQ(size, do_read(how, fd, buf, len, 0));
		ASSERT_PATTERN(buf, size, 0, 1);
		if (env_is_retryfs())
			EXPECT_TRUE(untouched(buf + pos + s, len - pos - s));
		ASSERT_EQ(size - pos, do_read(how, fd, buf, s, pos));
		ASSERT_PATTERN(buf, size - pos, pos, 1);
		EXPECT_EQ(0, do_read(how, fd, buf, s, pos + s));
		EXPECT_EQ(0, do_read(how, fd, buf, len, 4 * len));
		/* the sector with the end, and with what is behind it */
		pattern_fill(want, pos, 0, 1);
		pattern_fill(want + pos, 2 * s, pos, 2);
		memcpy(buf, want + pos, 2 * s);
		ASSERT_EQ(2 * s, do_write(how, fd, buf, 2 * s, pos));
		ASSERT_EQ(pos + 2 * s, size_of(fd));
		ASSERT_EQ(pos + 2 * s, do_read(how, fd, buf, len, 0));
		EXPECT_SAME(buf, want, pos + 2 * s, 0);
		/* another end in a sector, and a request behind it: zeros between */
		ASSERT_EQ(0, ftruncate(fd, size));
		memset(want + size, 0, len - size);
		pattern_fill(want + 7 * bs, s, 7 * bs, 3);
		memcpy(buf, want + 7 * bs, s);
		ASSERT_EQ(s, do_write(how, fd, buf, s, 7 * bs));
		ASSERT_EQ(7 * bs + s, do_read(how, fd, buf, len, 0));
		EXPECT_SAME(buf, want, 7 * bs + s, 0);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

/* Extends, overwrites and writes into holes, of parts of blocks where these have parts. */
TEST_F(dio_kinds_sector, writes)
{
	const size_t s = variant->sector, bs = self->v.bs, len = 32 * bs;
	const size_t todo[][2] = {
		{ 0, s }, { s, 3 * s }, { bs - s, bs + s }, { 8 * bs - s, s },
		{ 12 * bs - s, 2 * s }, { 6 * bs, s }, { 5 * bs - s, 2 * s }, { s, 10 * bs },
		{ 20 * bs + (bs > s ? s : 0), s }, { 20 * bs, bs }, { 9 * bs, 12 * bs },
		{ 24 * bs - s, 7 * bs + s },
	};
	char *buf = buf_alloc(len), *want = buf_alloc(len);
	size_t i, size;
	enum way how;
	int fd, nr;

	nr = ways(buf, len);
	ASSERT_LT(0, nr);
	for (how = SYNC; how < nr; how++) {
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		memset(want, 0, len);
		for (i = 0, size = 0; i < ARRAY_SIZE(todo); i++) {
			const size_t pos = todo[i][0], n = todo[i][1];

			pattern_fill(want + pos, n, pos, i + 1);
			memcpy(buf, want + pos, n);
			ASSERT_EQ(n, do_write(how, fd, buf, n, pos));
			size = size > pos + n ? size : pos + n;
			ASSERT_EQ(size, size_of(fd));
			ASSERT_EQ(size, do_read(how, fd, buf, len, 0));
			EXPECT_SAME(buf, want, size, 0);
		}
		close(fd);
	}
}

/* More pieces than a bio can have, so that it is full in the middle of a sector. */
TEST_F(dio_kinds_sector, pieces)
{
	enum { TOTAL = 1200 * 1024, MEM = 4 * 1024 * 1024 };
	char *mem = buf_alloc(MEM), *back = buf_alloc(TOTAL);
	unsigned int align = 0, offset = 0;
	struct iovec iov[400];
	enum way how;
	int fd, nr, n;
	size_t pos;

	nr = ways(mem, MEM);
	ASSERT_LT(0, nr);
	for (how = SYNC; how < nr; how++) {
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, dio_align(fd, &align, &offset));
		n = cut(iov, mem, align, TOTAL);
		ASSERT_LT(256, n);
		ASSERT_GT(ARRAY_SIZE(iov), n);
		for (pos = 0, n = 0; pos < TOTAL; pos += iov[n++].iov_len)
			pattern_fill(iov[n].iov_base, iov[n].iov_len, pos, how);
		ASSERT_EQ(TOTAL, rw(how, true, fd, iov, n, 0, 0));
		ASSERT_EQ(TOTAL, pread(fd, back, TOTAL, 0));
		ASSERT_PATTERN(back, TOTAL, 0, how);
		memset(mem, 0xaa, MEM);
		ASSERT_EQ(TOTAL, rw(how, false, fd, iov, n, 0, 0));
		for (pos = 0, n = 0; pos < TOTAL; pos += iov[n++].iov_len) {
			ASSERT_PATTERN(iov[n].iov_base, iov[n].iov_len, pos, how);
			ASSERT_EQ((char)0xaa, ((char *)iov[n].iov_base)[-1]);
			ASSERT_EQ((char)0xaa, ((char *)iov[n].iov_base)[iov[n].iov_len]);
		}
		close(fd);
	}
}

/* A volume that is fine comes to a device whose sectors are larger than its blocks. */
TEST(blocks_smaller_than_sectors)
{
	struct vol v = { .bs = 1024, .isize = 128 };
	int image, loop, kmsg = kmsg_open();
	unsigned int sector;

	ASSERT_LE(0, kmsg);
	umount2(env_dir(), 0);
	image = image_make();
	ASSERT_LE(0, image);
	for (sector = 512; sector <= 4096; sector *= 2) {
		loop = loop_open(image, sector, &v);
		if (loop == -ENOENT)
			SKIP(return, "no loop devices here");
		ASSERT_LE(0, loop);
		if (sector == 512)
			ASSERT_EQ(0, vol_mkfs(&v, &VOL_1K));
		EXPECT_EQ(sector > v.bs ? -EINVAL : 0, vol_mount(&v, env_fstype(), 0, NULL));
		if (sector > v.bs && env_is_retryfs())
			EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", v.dev + 5,
						     "block size 1024 is smaller", NULL }));
		if (v.mounted)
			ASSERT_EQ(0, vol_umount(&v));
		EXPECT_EQ(0, vol_fsck(&v));
		close(loop);
	}
}

/*
 * One request as large as the file, over all borders of the block map; smaller
 * ones inside of it; then data and holes by turns, and an end in a sector.
 */
TEST_F(dio_kinds_large, all_sizes)
{
	const size_t bs = self->v.bs, len = 64 * MIB + 512 * KIB, room = len + MIB;
	const size_t border[] = { 12, 12 + bs / 4, 12 + bs / 4 + bs / 4 * bs / 4 };
	const size_t todo[] = { 33 * MIB + 512, 5 * MIB + 1536, MIB + 512, MIB, MIB - 512, 512 };
	char *want = buf_alloc(len), *back = buf_alloc(room);
	int fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT), bfd;
	size_t i, pos, n;
	enum way how;

	ASSERT_LE(0, fd);
	for (how = SYNC; how <= AIO; how++) {
		ASSERT_EQ(0, ftruncate(fd, 0));
		pattern_fill(want, len, 0, how);
		ASSERT_EQ(len, do_write(how, fd, want, len, 0));
		ASSERT_EQ(len, size_of(fd));
		ASSERT_EQ(len, do_write(how, fd, want, len, 0));
		for (i = 0; i < ARRAY_SIZE(todo); i++) {
			pos = (3 * i + 1) * 512;
			pattern_fill(want + pos, todo[i], pos, 2 + i);
			ASSERT_EQ(todo[i], do_write(how, fd, want + pos, todo[i], pos));
		}
		ASSERT_EQ(len, do_read(how, fd, back, room, 0));
		EXPECT_SAME(back, want, len, 0);
	}

	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(0, ftruncate(fd, len - 300));
	memset(want, 0, len);
	bfd = vol_open("f", O_RDWR);
	ASSERT_LE(0, bfd);
	for (pos = 0, i = 0; pos + 8 * bs < len; pos += n + (1 + i % 11) * bs, i++) {
		n = (1 + i % 7) * bs;
		pattern_fill(want + pos, n, pos, 1);
		ASSERT_EQ(n, pwrite(bfd, want + pos, n, pos));
	}
	close(bfd);
	for (how = SYNC; how <= AIO; how++) {
		ASSERT_EQ(len - 300, do_read(how, fd, back, room, 0));
		EXPECT_SAME(back, want, len - 300, 0);
	}
	/* where the levels meet: both, by both ways */
	for (i = 0; i < ARRAY_SIZE(border); i++) {
		pos = border[i] > 50 ? (border[i] - 50) * bs + 512 : 512;
		n = (border[i] + 50) * bs - pos;
		pattern_fill(want + pos, n, pos, 2 + i);
		ASSERT_EQ(n, do_write(i & 1 ? SYNC : AIO, fd, want + pos, n, pos));
	}
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(len - 300, do_read(SYNC, fd, back, room, 0));
	EXPECT_SAME(back, want, len - 300, 0);
}

/* May a request with these flags return @n? */
static bool may_return(enum way how, int rwf, ssize_t n, ssize_t len)
{
	/* only a ring that polls takes it; others drop it, or the filesystem ignores it */
	if (rwf & RWF_HIPRI && how >= URING)
		return n == -EINVAL;
	/* like ext2, retryfs does not say that it can; ext4 does, and does what it can at once */
	if (rwf & RWF_NOWAIT && env_is_retryfs())
		return n == -EOPNOTSUPP;
	if (rwf & RWF_NOWAIT && n != len)
		return n == -EAGAIN || (n >= 0 && n < len && n % 512 == 0);
	return n == len;
}

/* What is on the device, for a reader who knows nothing of the mounted filesystem. */
static const char *device_differs(struct vol *v, const char *want, size_t size, char *buf)
{
	FILE *out = vol_cat(v, "f");
	size_t n;

	if (!out)
		return "no debugfs";
	n = fread(buf, 1, size + 1, out);
	return pclose(out) || n != size ? "not of this size" : differ(buf, want, size, 0);
}

TEST_F(dio_kinds, flags)
{
	static const int flags[] = { RWF_SYNC, RWF_APPEND | RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT };
	/* 8 blocks of data and 8 of a hole: an overwrite, over the border, an extend */
	const size_t bs = self->v.bs, len = 5 * bs, old = 16 * bs;
	const off_t place[] = { 2 * bs + 512, 6 * bs + 512, 16 * bs };
	enum { MEM = 128 * 1024, PLACES = ARRAY_SIZE(place) };
	char *mem = buf_alloc(MEM), *want = buf_alloc(MEM), *back = buf_alloc(MEM);
	unsigned int align = 0, offset = 0;
	struct iovec iov[32];
	int i, nr, dir;

	nr = ways(mem, MEM);
	ASSERT_LT(0, nr);
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	for (i = 0; i < nr * PLACES * ARRAY_SIZE(flags); i++) {
		const int rwf = flags[i / PLACES / nr];
		const enum way how = i % nr;
		off_t pos = place[i / nr % PLACES];
		int fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT), k, n;
		size_t size = old, done;
		const char *wrong;
		ssize_t ret;

		ASSERT_LE(0, fd);
		if (!i)
			ASSERT_EQ(0, fsync(dir));
		ASSERT_EQ(0, dio_align(fd, &align, &offset));
		memset(want, 0, MEM);
		pattern_fill(want, 8 * bs, 0, 1);
		ASSERT_EQ(8 * bs, pwrite(fd, want, 8 * bs, 0));
		ASSERT_EQ(0, ftruncate(fd, size));

		n = cut(iov, mem, align, len);
		ASSERT_LE(3, n);
		for (k = 0, done = 0; k < n; done += iov[k++].iov_len)
			pattern_fill(iov[k].iov_base, iov[k].iov_len,
				     (rwf & RWF_APPEND ? old : pos) + done, 2);
		ret = rw(how, true, fd, iov, n, pos, rwf);
		ASSERT_TRUE(may_return(how, rwf, ret, len))
			TH_LOG("how %d, flags %#x, at %zd: %zd", how, rwf, pos, ret);
		if (rwf & RWF_APPEND)
			pos = old;
		if (ret > 0) {
			pattern_fill(want + pos, ret, pos, 2);
			size = size > pos + ret ? size : pos + ret;
		}
		if (rwf & (RWF_DSYNC | RWF_SYNC)) {
			wrong = device_differs(&self->v, want, size, back);
			ASSERT_EQ(NULL, wrong)
				TH_LOG("how %d, flags %#x, at %zd: %s", how, rwf, pos, wrong);
		}
		ASSERT_EQ(size, size_of(fd));
		ASSERT_EQ(size, pread(fd, back, MEM, 0));
		EXPECT_SAME(back, want, size, 0);

		/* and back into the same pieces; to that, APPEND and the SYNCs say nothing */
		memset(mem, 0xaa, MEM);
		ret = rw(how, false, fd, iov, n, pos, rwf);
		ASSERT_TRUE(may_return(how, rwf, ret, len > size - pos ? size - pos : len))
			TH_LOG("how %d, flags %#x, at %zd: %zd", how, rwf, pos, ret);
		for (k = 0; k < n && ret > 0; pos += iov[k].iov_len, ret -= iov[k++].iov_len)
			EXPECT_SAME(iov[k].iov_base, want + pos,
				    ret < iov[k].iov_len ? ret : iov[k].iov_len, pos);
		close(fd);
	}
	close(dir);
}

/* Files of so many blocks, of which each is data or a hole. */
enum { BLOCKS = 6, ORDERS = 1 << BLOCKS, DATA = ORDERS - 1 };

/* What is asked of them, in bytes from the begin or from the end of the last block. */
static const struct shape {
	int start;	/* of the request */
	int size;	/* of the file */
	int end;	/* of the request: this, and so many blocks */
	int beyond;
} shapes[] = {
	{ 0, 0, 0, 2 },			/* all of it, and beyond */
	{ 0, 0, 0, 0 },			/* to the end */
	{ 512, -300, -512, 2 },		/* over an end in a sector */
	{ 512, -300, -512, 0 },		/* up to before that */
};

/* The file before the request, and its size. */
static size_t before(char *want, const struct shape *s, unsigned int order, size_t bs)
{
	const size_t size = BLOCKS * bs + s->size;
	int i;

	memset(want, 0, 16 * bs);
	for (i = 0; i < BLOCKS; i++)
		if (order >> i & 1)
			pattern_fill(want + i * bs, bs, i * bs, 1);
	memset(want + size, 0, 16 * bs - size);
	return size;
}

/* And after it. */
static size_t after(char *want, const struct shape *s, unsigned int order, size_t bs)
{
	const size_t end = (BLOCKS + s->beyond) * bs + s->end;
	const size_t size = before(want, s, order, bs);

	pattern_fill(want + s->start, end - s->start, s->start, 2);
	return size > end ? size : end;
}

static const char *order_name(unsigned int order)
{
	static char name[8];

	snprintf(name, sizeof(name), "o%u", order);
	return name;
}

static void one_order(struct __test_metadata *_metadata, struct vol *v, enum way how,
		      const struct shape *s, unsigned int order)
{
	const size_t bs = v->bs, end = (BLOCKS + s->beyond) * bs + s->end;
	const size_t room = 16 * bs;
	struct counters c0 = {}, c1 = {};
	static char *buf, *want;
	int fd, bfd, i;
	size_t size;

	if (!buf) {
		buf = buf_alloc(room);
		want = buf_alloc(room);
	}
	fd = vol_open(order_name(order), O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
	bfd = vol_open(order_name(order), O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, bfd);
	size = before(want, s, order, bs);
	for (i = 0; i < BLOCKS; i++) {
		pattern_fill(buf, bs, i * bs, 1);
		if (order >> i & 1)
			ASSERT_EQ(bs, pwrite(bfd, buf, bs, i * bs));
	}
	ASSERT_EQ(0, ftruncate(bfd, size));
	/* half of them are on the device already */
	if (__builtin_parity(order))
		ASSERT_EQ(0, fsync(bfd));

	memset(buf, 0xaa, room);
	ASSERT_EQ(size - s->start, do_read(how, fd, buf, room - s->start, s->start));
	EXPECT_SAME(buf, want + s->start, size - s->start, s->start);
	if (env_is_retryfs()) {
		/* up to the end of a sector */
		i = ((size + 511) & -512) - s->start;
		ASSERT_TRUE(untouched(buf + i, room - i));
	}

	if (env_is_retryfs())
		ASSERT_EQ(0, vol_counters(v, &c0));
	pattern_fill(buf, end - s->start, s->start, 2);
	ASSERT_EQ(end - s->start, do_write(how, fd, buf, end - s->start, s->start));
	if (env_is_retryfs()) {
		const bool hole = order != DATA, extends = end > size, async = how == AIO;

		ASSERT_EQ(0, vol_counters(v, &c1));
		ASSERT_EQ(c0.requests_write + 1, c1.requests_write);
		ASSERT_EQ(c0.buffered_fallback + hole, c1.buffered_fallback);
		ASSERT_EQ(c0.sync_hole + (async && hole), c1.sync_hole);
		ASSERT_EQ(c0.sync_extend + (async && !hole && extends), c1.sync_extend);
		ASSERT_EQ(c0.async + (async && !hole && !extends), c1.async);
		ASSERT_EQ(c0.sync_error, c1.sync_error);
	}
	size = after(want, s, order, bs);
	ASSERT_EQ(size, size_of(fd));
	ASSERT_EQ(size, do_read(how, fd, buf, room, 0));
	EXPECT_SAME(buf, want, size, 0);
	ASSERT_EQ(size, pread(bfd, buf, room, 0));
	EXPECT_SAME(buf, want, size, 0);
	close(fd);
	close(bfd);
}

static void orders(struct __test_metadata *_metadata, struct vol *v, enum way how)
{
	char *want = buf_alloc(16 * v->bs), *buf = buf_alloc(16 * v->bs);
	unsigned int i, order;

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		for (order = 0; order < ORDERS; order++) {
			one_order(_metadata, v, how, &shapes[i], order);
			ASSERT_TRUE(__test_passed(_metadata))
				TH_LOG("shape %d, order %#x", i, order);
		}
		ASSERT_EQ(0, vol_remount(v));
		for (order = 0; order < ORDERS; order++) {
			int fd = vol_open(order_name(order), O_RDONLY | (order & 1 ? O_DIRECT : 0));
			size_t size = after(want, &shapes[i], order, v->bs);

			ASSERT_LE(0, fd);
			ASSERT_EQ(size, read(fd, buf, 16 * v->bs));
			EXPECT_SAME(buf, want, size, 0);
			close(fd);
		}
	}
}

TEST_F(dio_kinds, orders_sync)
{
	orders(_metadata, &self->v, SYNC);
}

TEST_F(dio_kinds, orders_async)
{
	orders(_metadata, &self->v, AIO);
}

TEST_HARNESS_MAIN
