// SPDX-License-Identifier: GPL-2.0
/*
 * Holes made by fallocate(2), against a model: what the file has to hold, which of
 * its blocks it may have, and with them how many blocks of pointers. And what must
 * wait: punching for direct requests in flight, which have the blocks (R10).
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "harness.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define DIRECT_BLOCKS	12
#define BLOCKS_MAX	512

VOL_FIXTURE(fs_punch);
FIXTURE_VARIANT_ADD(fs_punch, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(fs_punch, bs2k) { .conf = VOL_2K };
FIXTURE_VARIANT_ADD(fs_punch, bs4k) { .conf = VOL_4K };

#define EXPECT_BLOCKED(t)	EXPECT_TRUE(task_settles(t, TASK_BLOCKED))
#define ASSERT_BLOCKED(t)	ASSERT_TRUE(task_settles(t, TASK_BLOCKED))

static bool on_debug(void)
{
	const char *kind = getenv("RIG_KERNEL");

	return kind && !strcmp(kind, "debug");
}

static long free_blocks(void)
{
	struct statfs st;

	return statfs(env_dir(), &st) ? -errno : (long)st.f_bfree;
}

static int punch(int fd, off_t off, off_t len)
{
	return fallocate(fd, PUNCH, off, len) ? -errno : 0;
}

static long op_punch(void *arg)
{
	struct io_op *op = arg;

	return punch(op->fd, op->off, op->len);
}

/* How many blocks there are with those of pointers; @block is in order. */
static long with_pointers(unsigned int bs, const uint64_t *block, int nr)
{
	const uint64_t ptrs = bs / 4;
	uint64_t last[3] = { -1, -1, -1 };
	long sum = nr;
	int i, level;

	for (i = 0; i < nr; i++) {
		uint64_t n = block[i] - DIRECT_BLOCKS, first = 0, span = ptrs;
		int levels = 1;

		if (block[i] < DIRECT_BLOCKS)
			continue;
		for (; n >= first + span; levels++) {
			first += span;
			span *= ptrs;
		}
		/* a name for each block of pointers on the way: where it begins */
		for (level = 0; level < levels; level++) {
			uint64_t at = first + (n - first) / span * span;

			sum += last[level] != at;
			last[level] = at;
			span /= ptrs;
		}
	}
	return sum;
}

struct model {
	unsigned int bs;
	size_t size;
	char *want;
	bool has[BLOCKS_MAX];
};

static void model_init(struct model *m, unsigned int bs, size_t size)
{
	*m = (struct model){ .bs = bs, .size = size, .want = buf_alloc(size + bs) };
}

static void model_write(struct model *m, off_t off, size_t len, uint64_t gen)
{
	off_t i;

	pattern_fill(m->want + off, len, off, gen);
	for (i = off / m->bs; i <= (off_t)(off + len - 1) / m->bs; i++)
		m->has[i] = true;
}

static void model_punch(struct model *m, off_t off, off_t len)
{
	off_t end = off + len, i;

	if (off >= (off_t)m->size)
		return;
	if (end >= (off_t)m->size)
		end = (m->size + m->bs - 1) / m->bs * m->bs;
	memset(m->want + off, 0, end < (off_t)m->size ? end - off : m->size - off);
	for (i = (off + m->bs - 1) / m->bs; (i + 1) * m->bs <= end; i++)
		m->has[i] = false;
}

static long model_blocks(const struct model *m)
{
	uint64_t block[BLOCKS_MAX];
	int nr = 0, i;

	for (i = 0; i < BLOCKS_MAX; i++)
		if (m->has[i])
			block[nr++] = i;
	return with_pointers(m->bs, block, nr);
}

/* NULL, or that the file has not so many blocks, of @bs bytes. */
static const char *blocks_diff(const struct stat *st, unsigned int bs, long want)
{
	static char msg[64];

	if (st->st_blocks * 512 == want * (blkcnt_t)bs)
		return NULL;
	snprintf(msg, sizeof(msg), "%ld blocks, and not %ld", (long)st->st_blocks * 512 / bs,
		 want);
	return msg;
}

/* NULL, or what is wrong, as seen by a read, a direct read or a mapping. */
static const char *look(const struct model *m, int fd, int dfd, int how)
{
	const size_t len = (m->size + 4095) & ~4095UL;
	const char *diff;
	struct stat st;
	char *buf;

	if (fstat(fd, &st) || st.st_size != (off_t)m->size)
		return "another size";
	diff = blocks_diff(&st, m->bs, model_blocks(m));
	if (diff)
		return diff;
	if (how == 2) {
		buf = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
		if (buf == MAP_FAILED)
			return "no mapping";
		diff = same_diff(buf, m->want, m->size, 0);
		munmap(buf, len);
		return diff;
	}
	buf = buf_alloc(len);
	if (pread(how ? dfd : fd, buf, len, 0) != (ssize_t)m->size)
		diff = "a short read";
	else
		diff = same_diff(buf, m->want, m->size, 0);
	munmap(buf, len);
	return diff;
}

/* Who looks first sees another thing than who comes after: each has its turn. */
static const char *look_all(const struct model *m, int fd, int dfd, int turn)
{
	const char *diff = NULL;
	int i;

	for (i = 0; i < 3 && !diff; i++)
		diff = look(m, fd, dfd, (i + turn) % 3);
	return diff;
}

#define EXPECT_MODEL(m, fd, dfd, turn) EXPECT_NULL_DIFF(look_all(m, fd, dfd, turn))

/* Within a block, over its borders, over that of the direct blocks, over the end. */
TEST_F(fs_punch, every_alignment)
{
	const off_t bs = self->v.bs, size = 20 * bs - 300;
	const int step = on_debug() ? 7 : 1;
	const off_t offs[] = { 0, 1, 512, bs - 1, bs, bs + 512, 4 * bs, 11 * bs + 3,
			       12 * bs, 19 * bs, 19 * bs + 100, size - 1, size };
	const off_t lens[] = { 1, 511, bs - 1, bs, bs + 1, 2 * bs - 2, 3 * bs, 9 * bs + 77,
			       size, 64 * bs };
	const char *diff;
	struct model m;
	size_t i, k;
	int fd, dfd;

	model_init(&m, bs, size);
	fd = vol_open("f", O_CREAT | O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, dfd);
	for (i = 0; i < ARRAY_SIZE(offs); i++) {
		for (k = 0; k < ARRAY_SIZE(lens); k++) {
			const int n = i * ARRAY_SIZE(lens) + k;

			if (n % step)
				continue;
			model_write(&m, 0, size, n + 1);
			ASSERT_EQ(size, pwrite(fd, m.want, size, 0));
			/* in the page cache, on the device and there, or there only */
			if (n % 3)
				ASSERT_EQ(0, fsync(fd));
			if (n % 3 == 2)
				ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
			ASSERT_EQ(0, punch(n % 2 ? fd : dfd, offs[i], lens[k]));
			model_punch(&m, offs[i], lens[k]);
			diff = look_all(&m, fd, dfd, n / 3);
			EXPECT_EQ(NULL, diff)
				TH_LOG("%ld bytes at %ld: %s", (long)lens[k], (long)offs[i], diff);
		}
	}
	close(fd);
	close(dfd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	EXPECT_MODEL(&m, fd, dfd, 0);
}

static unsigned int next_random(unsigned int *seed, unsigned int below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 8) % below;
}

/* Punches and writes of all kinds, one after the other, over two levels of indirection. */
TEST_F(fs_punch, with_writes_between)
{
	const off_t bs = self->v.bs;
	const size_t size = (bs == 1024 ? 290 : 60) * bs + 512;
	unsigned int seed = 1;
	struct model m;
	int fd, dfd, i;

	model_init(&m, bs, size);
	fd = vol_open("f", O_CREAT | O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, dfd);
	model_write(&m, 0, size, 1);
	ASSERT_EQ(size, pwrite(fd, m.want, size, 0));
	for (i = 0; i < (on_debug() ? 40 : 120); i++) {
		const unsigned int kind = next_random(&seed, 5);
		off_t off = next_random(&seed, size / 512) * 512;
		off_t len = (1 + next_random(&seed, kind < 3 ? 160 : 20)) * 512;

		if (off + len > (off_t)size)
			len = size - off;
		if (kind < 3) {
			if (kind == 2 && len > 200) {
				off += 77;
				len -= 100;
			}
			ASSERT_EQ(0, punch(fd, off, len));
			model_punch(&m, off, len);
		} else {
			/* parts of new blocks too, and what is beside must be zero */
			model_write(&m, off, len, i + 2);
			ASSERT_EQ(len, kind == 3 ? do_write(SYNC + i % 2, dfd, m.want + off, len, off) :
						   pwrite(fd, m.want + off, len, off));
		}
		if (i % 5 == 4)
			EXPECT_MODEL(&m, fd, dfd, i);
		if (i % 40 == 39) {
			close(fd);
			close(dfd);
			ASSERT_EQ(0, vol_remount(&self->v));
			fd = vol_open("f", O_RDWR);
			dfd = vol_open("f", O_RDWR | O_DIRECT);
			EXPECT_MODEL(&m, fd, dfd, i / 40);
		}
	}
}

#define PIECE	4	/* blocks */

struct levels {
	uint64_t piece[6];	/* where each begins, in blocks */
	bool gone[6][PIECE];
};

/* Two direct blocks and two behind, and the same at each other border of levels. */
static void levels_init(struct levels *l, unsigned int bs)
{
	const uint64_t p = bs / 4, dind = DIRECT_BLOCKS + p, tind = dind + p * p;

	*l = (struct levels){ .piece = { DIRECT_BLOCKS - 2, dind - 2, dind + p - 2,
					 dind + 7 * p + 100, tind - 2, tind + p - 2 } };
}

static void levels_punch(struct levels *l, uint64_t from, uint64_t to)
{
	int i, k;

	for (i = 0; i < ARRAY_SIZE(l->piece); i++)
		for (k = 0; k < PIECE; k++)
			if (l->piece[i] + k >= from && l->piece[i] + k < to)
				l->gone[i][k] = true;
}

static long levels_blocks(const struct levels *l, unsigned int bs)
{
	uint64_t block[ARRAY_SIZE(l->piece) * PIECE];
	int nr = 0, i, k;

	for (i = 0; i < ARRAY_SIZE(l->piece); i++)
		for (k = 0; k < PIECE; k++)
			if (!l->gone[i][k])
				block[nr++] = l->piece[i] + k;
	return with_pointers(bs, block, nr);
}

static int levels_write(unsigned int bs, const char *name, int flags)
{
	char *buf = buf_alloc(PIECE * bs);
	struct levels l;
	int fd = vol_open(name, O_CREAT | O_RDWR | flags);
	int i;

	levels_init(&l, bs);
	for (i = 0; i < ARRAY_SIZE(l.piece); i++) {
		pattern_fill(buf, PIECE * bs, l.piece[i] * bs, 1);
		if (pwrite(fd, buf, PIECE * bs, l.piece[i] * bs) != PIECE * bs)
			return -EIO;
	}
	return fsync(fd) ? -errno : fd;
}

static const char *levels_diff(const struct levels *l, unsigned int bs, int fd)
{
	char *buf = buf_alloc(bs);
	const char *diff = NULL;
	struct stat st;
	int i, k;

	if (fstat(fd, &st) || st.st_size != (off_t)((l->piece[5] + PIECE) * bs))
		return "another size";
	diff = blocks_diff(&st, bs, levels_blocks(l, bs));
	for (i = 0; i < ARRAY_SIZE(l->piece) && !diff; i++)
		for (k = 0; k < PIECE && !diff; k++) {
			off_t pos = (l->piece[i] + k) * bs;

			if (pread(fd, buf, bs, pos) != bs)
				return "a short read";
			diff = l->gone[i][k] ? zero_diff(buf, bs, pos) :
					       pattern_diff(buf, bs, pos, 1);
		}
	munmap(buf, bs);
	return diff;
}

/* Over each border of levels; blocks of pointers go with what they lead to, and no sooner. */
TEST_F(fs_punch, all_levels)
{
	const uint64_t bs = self->v.bs, p = bs / 4;
	const uint64_t dind = DIRECT_BLOCKS + p, tind = dind + p * p;
	const uint64_t range[][2] = {
		{ 11, 13 }, { 10, 14 }, { 13, dind }, { 12, dind }, { dind - 1, dind + 1 },
		{ dind, dind + p }, { dind + 1, dind + p + 1 }, { dind + p, tind },
		{ dind + 7 * p + 101, dind + 7 * p + 103 }, { dind, tind }, { tind, tind + 1 },
		{ tind - 1, tind + p }, { 12, tind + 1 }, { tind + p - 2, tind + p + 2 },
		{ 0, tind + 2 * p }, { 3, 1ULL << 30 },
	};
	long before = free_blocks();
	const char *diff;
	struct levels l;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(range); i++) {
		const uint64_t from = range[i][0], to = range[i][1];

		fd = levels_write(bs, "f", i % 2 ? O_DIRECT : 0);
		ASSERT_LE(0, fd);
		levels_init(&l, bs);
		EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
		levels_punch(&l, from, to);
		ASSERT_EQ(0, punch(fd, from * bs, to > l.piece[5] + PIECE ? 1ULL << 33 :
							      (to - from) * bs));
		diff = levels_diff(&l, bs, fd);
		EXPECT_EQ(NULL, diff)
			TH_LOG("blocks %lu to %lu: %s", (unsigned long)from,
			       (unsigned long)to, diff);
		EXPECT_EQ(levels_blocks(&l, bs), before - free_blocks());
		if (i % 4 == 3) {
			close(fd);
			ASSERT_EQ(0, vol_remount(&self->v));
			fd = vol_open("f", O_RDWR);
			EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
		}
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
		EXPECT_EQ(before, free_blocks());
	}
}

/* What is a hole stays one: nothing is allocated for it, be it zeroed in part. */
TEST_F(fs_punch, holes_and_beyond)
{
	const off_t bs = self->v.bs, size = 64 * bs + 100;
	char *buf = buf_alloc(bs);
	struct stat st;
	struct model m;
	int fd, dfd;

	model_init(&m, bs, size);
	memset(m.want, 0, size);
	fd = vol_open("f", O_CREAT | O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(0, ftruncate(fd, size));
	ASSERT_EQ(0, punch(fd, 100, 5 * bs));
	ASSERT_EQ(0, punch(fd, bs + 1, 7));
	ASSERT_EQ(0, punch(fd, 0, size));
	EXPECT_MODEL(&m, fd, dfd, 0);
	model_write(&m, 20 * bs, bs, 1);
	ASSERT_EQ(bs, pwrite(fd, m.want + 20 * bs, bs, 20 * bs));
	model_write(&m, 64 * bs, 100, 1);
	ASSERT_EQ(100, pwrite(fd, m.want + 64 * bs, 100, 64 * bs));
	ASSERT_EQ(0, punch(fd, 19 * bs + 5, bs));
	model_punch(&m, 19 * bs + 5, bs);
	EXPECT_MODEL(&m, fd, dfd, 1);
	/* behind the end there is nothing; and it does not move */
	ASSERT_EQ(0, punch(fd, size, bs));
	ASSERT_EQ(0, punch(fd, size + 10 * bs, bs));
	EXPECT_MODEL(&m, fd, dfd, 2);
	/* the last block, which the end is in, is in the range as far as there is one */
	ASSERT_EQ(0, punch(fd, 64 * bs, 100));
	model_punch(&m, 64 * bs, 100);
	EXPECT_MODEL(&m, fd, dfd, 0);
	/* and when the file grows, that is zero */
	ASSERT_EQ(0, ftruncate(fd, size + bs));
	ASSERT_EQ(bs, pread(fd, buf, bs, 64 * bs));
	EXPECT_ZERO(buf, bs, 64 * bs);
	ASSERT_EQ(0, fstat(fd, &st));
	/* one of data, and the one of pointers that leads to it */
	EXPECT_EQ(2 * bs, st.st_blocks * 512);
}

/* A mapping sees the hole, and what is stored in it then is kept. Copies are not touched. */
TEST_F(fs_punch, mappings)
{
	const off_t bs = self->v.bs, size = 16 * 4096;
	char *map, *copy, *buf = buf_alloc(size);
	struct model m;
	int fd, dfd;

	model_init(&m, bs, size);
	model_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(MAP_FAILED, copy);
	/* dirty, by a store */
	model_write(&m, 4096, 3 * 4096, 2);
	memcpy(map + 4096, m.want + 4096, 3 * 4096);
	copy[2 * 4096] = 'c';
	ASSERT_EQ(0, punch(fd, 4096 + bs, 2 * 4096 - bs + 512));
	model_punch(&m, 4096 + bs, 2 * 4096 - bs + 512);
	EXPECT_SAME(map, m.want, size, 0);
	EXPECT_EQ('c', copy[2 * 4096]);
	EXPECT_MODEL(&m, fd, dfd, 0);

	/* A page that is stored to gets all its blocks when it is written back. */
	model_write(&m, 4096 + bs, 200, 3);
	memcpy(map + 4096 + bs, m.want + 4096 + bs, 200);
	memset(m.has + 4096 / bs, true, 4096 / bs);
	ASSERT_EQ(0, msync(map, size, MS_SYNC));
	EXPECT_MODEL(&m, fd, dfd, 1);
	munmap(map, size);
	munmap(copy, size);
	close(fd);
	close(dfd);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(size, vol_read("f", 0, buf, size, 0));
	EXPECT_SAME(buf, m.want, size, 0);
}

/*
 * A store in a hole has no block yet, not even when space is short: what is to
 * become zero of it does. (The rest of the page is not part of this.)
 */
TEST_F(fs_punch, store_without_space)
{
	const off_t bs = self->v.bs, size = 16 * 4096;
	char *map, *buf = buf_alloc(MIB);
	size_t n = MIB;
	int fd, big;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_EQ(0, ftruncate(fd, size));
	big = vol_open("big", O_CREAT | O_RDWR);
	while (n >= 512) {
		if (write(big, buf, n) <= 0)
			n /= 2;
	}
	ASSERT_EQ(0, fsync(big));
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	memset(map, 'x', 4 * 4096);
	ASSERT_EQ(0, punch(fd, 100, 100));
	ASSERT_EQ(0, punch(fd, 4096 + 100, 4096 + bs));
	EXPECT_ZERO(map + 100, 100, 100);
	EXPECT_ZERO(map + 4096 + 100, 4096 + bs, 4096 + 100);
	EXPECT_EQ('x', map[99]);
	EXPECT_EQ('x', map[200]);
	ASSERT_EQ(0, unlink(vol_path("big")));
	close(big);
	munmap(map, size);
}

/* Times, and the bits that must go when somebody changes a file. */
TEST_F(fs_punch, is_a_modification)
{
	const struct timespec old[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
	const off_t bs = self->v.bs;
	struct stat st0, st;
	int status, fd;
	pid_t pid;

	ASSERT_EQ(0, vol_prefill("f", 0, 4 * bs, 1));
	fd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, fchmod(fd, 06755));
	ASSERT_EQ(0, futimens(fd, old));
	ASSERT_EQ(0, fstat(fd, &st0));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(setuid(65534) || punch(fd, bs, bs) ? 1 : 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0755, st.st_mode & 07777);
	EXPECT_LT(st0.st_mtime, st.st_mtime);
	EXPECT_LE(st0.st_ctime, st.st_ctime);
	EXPECT_EQ(st0.st_size, st.st_size);
	EXPECT_EQ(3 * bs, st.st_blocks * 512);
}

TEST_F(fs_punch, what_is_refused)
{
	static const int modes[] = {
		0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE,
		PUNCH | FALLOC_FL_ZERO_RANGE,
	};
	const char *const fix[] = { "debugfs", "-w", "-R", "sif a flags 0x20",
				    self->v.dev, NULL };
	const off_t bs = self->v.bs, size = 4 * bs;
	struct model m;
	size_t i;
	int fd, rfd, dfd, dir;

	model_init(&m, bs, size);
	model_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	ASSERT_EQ(0, vol_prefill("a", 0, size, 1));
	fd = vol_open("f", O_RDWR);
	rfd = vol_open("f", O_RDONLY);
	dfd = vol_open("f", O_RDONLY | O_DIRECT);
	if (env_is_retryfs())
		for (i = 0; i < ARRAY_SIZE(modes); i++) {
			EXPECT_EQ(-1, fallocate(fd, modes[i], bs, bs));
			EXPECT_EQ(EOPNOTSUPP, errno) TH_LOG("mode %#x", modes[i]);
		}
	EXPECT_EQ(-EINVAL, punch(fd, bs, 0));
	EXPECT_EQ(-EINVAL, punch(fd, -bs, bs));
	EXPECT_EQ(-EINVAL, punch(fd, bs, -bs));
	EXPECT_EQ(-EFBIG, punch(fd, bs, INT64_MAX));
	EXPECT_EQ(-EFBIG, punch(fd, 1ULL << 50, bs));
	EXPECT_EQ(-EBADF, punch(rfd, bs, bs));
	dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	EXPECT_EQ(-EBADF, punch(dir, 0, bs));
	EXPECT_MODEL(&m, fd, dfd, 0);
	close(dir);
	ASSERT_EQ(0, mkfifo(vol_path("p"), 0600));
	dir = vol_open("p", O_RDWR);
	EXPECT_EQ(-ESPIPE, punch(dir, 0, bs));
	close(dir);
	close(fd);
	close(rfd);
	close(dfd);

	/* a file that can only grow */
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, run(0, fix));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	fd = vol_open("a", O_WRONLY | O_APPEND);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EPERM, punch(fd, 0, bs));
}

/* With O_DSYNC and O_SYNC the hole is on the device when the call returns. */
TEST_F(fs_punch, synchronous)
{
	static const int flags[] = { O_DSYNC, O_SYNC };
	const off_t bs = self->v.bs, size = 20 * bs;
	char *buf = buf_alloc(size + 1);
	size_t i, n;
	FILE *f;
	int fd;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
		sync();
		fd = vol_open("f", O_RDWR | flags[i]);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, punch(fd, 100, 15 * bs));
		f = vol_cat(&self->v, "f");
		ASSERT_NE(NULL, f);
		n = fread(buf, 1, size + 1, f);
		pclose(f);
		ASSERT_EQ(size, n);
		EXPECT_PATTERN(buf, 100, 0, 1);
		EXPECT_ZERO(buf + 100, 15 * bs, 100);
		close(fd);
	}
}

/* R10: blocks that a direct write goes to are not freed before it has ended. */
TEST_F(fs_punch, waits_for_a_write_in_flight)
{
	const off_t bs = self->v.bs, size = 32 * bs, len = 8 * bs;
	char *buf = buf_alloc(size), *back = buf_alloc(size);
	struct task hole;
	struct io_event ev;
	struct io_op op;
	aio_context_t ctx;
	struct model m;
	struct iocb cb;
	int fd, dfd, gfd;
	struct stat st;
	long free;

	model_init(&m, bs, size);
	model_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	gfd = vol_open("g", O_CREAT | O_RDWR);
	sync();
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(size, pread(fd, back, size, 0));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	pattern_fill(buf, len, 14 * bs, 2);
	aio_prep_write(&cb, dfd, buf, len, 14 * bs);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	free = free_blocks();
	op = (struct io_op){ .fd = fd, .off = 16 * bs, .len = 8 * bs };
	ASSERT_EQ(0, task_start(&hole, op_punch, &op));
	ASSERT_BLOCKED(&hole);
	EXPECT_EQ(free, free_blocks());
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_NULL_DIFF(blocks_diff(&st, bs, model_blocks(&m)));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	/* so nobody else can have them */
	pattern_fill(buf + len, size - len, 0, 9);
	ASSERT_EQ(size - len, pwrite(gfd, buf + len, size - len, 0));

	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	EXPECT_EQ(0, task_join(&hole, JOIN_SECONDS));
	model_write(&m, 14 * bs, len, 2);
	model_punch(&m, 16 * bs, 8 * bs);
	EXPECT_MODEL(&m, fd, dfd, 0);
	ASSERT_EQ(0, fsync(gfd));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(size - len, vol_read("g", O_DIRECT, back, size, 0));
	EXPECT_PATTERN(back, size - len, 0, 9);
}

/* R10 and R12: those that a direct read comes from neither. */
TEST_F(fs_punch, waits_for_a_read_in_flight)
{
	const off_t bs = self->v.bs, size = 32 * bs, len = 8 * bs;
	char *back = buf_alloc(size);
	struct task hole;
	struct io_event ev;
	struct io_op op;
	aio_context_t ctx;
	struct model m;
	struct iocb cb;
	int fd, dfd;
	long free;

	model_init(&m, bs, size);
	model_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	/* the way to the blocks and the bitmaps must be in memory, or it waits for these */
	ASSERT_EQ(0, punch(fd, 30 * bs, bs));
	model_punch(&m, 30 * bs, bs);
	sync();
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_hold(&self->v));

	aio_prep_read(&cb, dfd, back, len, 14 * bs);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	free = free_blocks();
	op = (struct io_op){ .fd = fd, .off = 16 * bs, .len = 8 * bs };
	ASSERT_EQ(0, task_start(&hole, op_punch, &op));
	EXPECT_BLOCKED(&hole);
	EXPECT_EQ(free, free_blocks());

	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	EXPECT_PATTERN(back, len, 14 * bs, 1);
	EXPECT_EQ(0, task_join(&hole, JOIN_SECONDS));
	model_punch(&m, 16 * bs, 8 * bs);
	EXPECT_MODEL(&m, fd, dfd, 0);
}

/* Nor those that a page is read from, for a read or for a mapping. */
TEST_F(fs_punch, waits_for_a_page_that_is_read)
{
	const off_t bs = self->v.bs, size = 32 * bs;
	char *back = buf_alloc(bs);
	struct task reader, hole;
	struct io_op rd, op;
	struct model m;
	int fd, dfd;
	long free;

	model_init(&m, bs, size);
	model_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	/* the way to the blocks and the bitmaps must be in memory, or it waits for these */
	ASSERT_EQ(0, punch(fd, 30 * bs, bs));
	model_punch(&m, 30 * bs, bs);
	sync();
	ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	ASSERT_EQ(0, vol_hold(&self->v));

	rd = (struct io_op){ .fd = fd, .buf = back, .off = 20 * bs, .len = bs };
	ASSERT_EQ(0, task_start(&reader, op_pread, &rd));
	ASSERT_BLOCKED(&reader);
	free = free_blocks();
	op = (struct io_op){ .fd = fd, .off = 16 * bs, .len = 8 * bs };
	ASSERT_EQ(0, task_start(&hole, op_punch, &op));
	EXPECT_BLOCKED(&hole);
	EXPECT_EQ(free, free_blocks());

	ASSERT_EQ(0, vol_release(&self->v));
	EXPECT_EQ(bs, task_join(&reader, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&hole, JOIN_SECONDS));
	/* it was before the hole, or after */
	if (*back)
		EXPECT_PATTERN(back, bs, 20 * bs, 1);
	else
		EXPECT_ZERO(back, bs, 20 * bs);
	model_punch(&m, 16 * bs, 8 * bs);
	EXPECT_MODEL(&m, fd, dfd, 0);
}

TEST_F(fs_punch, waits_for_a_frozen_volume)
{
	const off_t bs = self->v.bs, size = 8 * bs;
	struct task hole;
	struct model m;
	struct io_op op;
	int fd, dfd;

	model_init(&m, bs, size);
	model_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_EQ(0, ioctl(fd, FIFREEZE, 0));
	op = (struct io_op){ .fd = fd, .off = 2 * bs, .len = bs };
	ASSERT_EQ(0, task_start(&hole, op_punch, &op));
	EXPECT_BLOCKED(&hole);
	EXPECT_NULL_DIFF(look(&m, fd, dfd, 1));
	ASSERT_EQ(0, ioctl(fd, FITHAW, 0));
	EXPECT_EQ(0, task_join(&hole, JOIN_SECONDS));
	model_punch(&m, 2 * bs, bs);
	EXPECT_MODEL(&m, fd, dfd, 1);
}

/* The n-th block of pointers of a file, of those that lead to data, as debugfs(8) tells. */
static long pointer_block(struct vol *v, const char *name, int n)
{
	char cmd[128], word[64];
	long block, found = -ENOENT;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "debugfs -D -R 'stat %s' %s 2>/dev/null", name, env_dev());
	f = popen(cmd, "re");
	if (!f)
		return -errno;
	while (fscanf(f, "%63s", word) == 1)
		if (sscanf(word, "(IND):%ld", &block) == 1 && !n--)
			found = block;
	pclose(f);
	return found;
}

/*
 * A block of pointers in the middle cannot be read: what is freed until there is
 * no part of the file any more, what is not stays, and nothing is lost.
 */
TEST_F(fs_punch, pointers_that_cannot_be_read)
{
	const uint64_t bs = self->v.bs, p = bs / 4;
	const off_t at = (DIRECT_BLOCKS + p + p * p + p - 2) * bs;
	struct vol_map map = { .nr = 1 };
	long before = free_blocks(), used;
	char *buf = buf_alloc(bs);
	struct levels l, all;
	struct stat st;
	long block;
	int fd;

	fd = levels_write(bs, "f", 0);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	/* single indirect; the first three of the double; ... */
	block = pointer_block(&self->v, "f", 2);
	ASSERT_LT(0, block);
	map.e[0] = (struct vol_extent){ .sector = block * (bs / 512), .len = bs / 512,
					.fails = true };
	fd = vol_open("f", O_RDWR);
	/* in the page cache only, and what will stay */
	pattern_fill(buf, bs, at, 2);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, at));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-EIO, punch(fd, 0, 1ULL << 33));
	ASSERT_EQ(bs, pread(fd, buf, bs, at));
	EXPECT_PATTERN(buf, bs, at, 2);
	pattern_fill(buf, bs, at, 1);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, at));
	ASSERT_EQ(0, fstat(fd, &st));
	used = st.st_blocks * 512 / bs;
	EXPECT_EQ(used, before - free_blocks());
	levels_init(&l, bs);
	levels_punch(&l, 0, DIRECT_BLOCKS + 2 * p);
	EXPECT_EQ(levels_blocks(&l, bs), used);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	close(fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	fd = vol_open("f", O_RDWR);
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	ASSERT_EQ(0, punch(fd, 0, 1ULL << 33));
	levels_init(&all, bs);
	levels_punch(&all, 0, 1ULL << 40);
	EXPECT_NULL_DIFF(levels_diff(&all, bs, fd));
	EXPECT_EQ(before, free_blocks());
}

/*
 * The same when new blocks cannot be written either: they hold what was there
 * before, and that must not be seen when nobody has them in the page cache any more.
 */
TEST_F(fs_punch, new_blocks_that_could_not_be_written)
{
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	const off_t bs = self->v.bs, p = bs / 4;
	const off_t at = (DIRECT_BLOCKS + p + p * p + p + 3) * bs;
	struct vol_map map = { .nr = 2 };
	char *buf = buf_alloc(bs);
	long block;
	int fd, data;

	fd = levels_write(bs, "f", 0);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	block = pointer_block(&self->v, "f", 2);
	ASSERT_LT(0, block);
	fd = vol_open("f", O_RDWR);
	pattern_fill(buf, bs, at, 2);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, at));
	data = at / bs;
	ASSERT_EQ(0, ioctl(fd, FIBMAP, &data));
	ASSERT_LT(0, data);
	/* in the order of the device */
	map.e[data < block] = (struct vol_extent){ .sector = block * (bs / 512),
						   .len = bs / 512, .fails = true };
	map.e[block < data] = (struct vol_extent){ .sector = data * (bs / 512),
						   .len = bs / 512, .fails = true };
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-EIO, punch(fd, 0, 1ULL << 33));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(bs, pread(fd, buf, bs, at));
	EXPECT_ZERO(buf, bs, at);
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	close(fd);
	/* what the file has lost nobody has */
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(1, run(1, mend));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
}

/* A part of a block that cannot be read to be zeroed: nothing has happened then. */
TEST_F(fs_punch, part_of_a_block_that_cannot_be_read)
{
	const off_t bs = self->v.bs, size = 20 * bs;
	struct vol_map map;
	struct model m;
	int fd, dfd;

	model_init(&m, bs, size);
	model_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, vol_find(&self->v, 15 * bs, bs, 1, &map));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-EIO, punch(fd, 4 * bs, 11 * bs + 100));
	/* to be rid of it as a whole it need not be read */
	EXPECT_EQ(0, punch(fd, 14 * bs + 100, 2 * bs - 100));
	model_punch(&m, 14 * bs + 100, 2 * bs - 100);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_MODEL(&m, fd, dfd, 0);
}

static int switch_to(struct vol *v, const char *fstype)
{
	int err = vol_umount(v);

	if (!err)
		err = vol_fsck(v);
	return err ? err : vol_mount(v, fstype, 0, NULL);
}

/* Holes that one driver has made are holes to the other. */
TEST_F(fs_punch, interop)
{
	const uint64_t bs = self->v.bs, p = bs / 4;
	struct levels l;
	int fd;

	fd = levels_write(bs, "f", 0);
	ASSERT_LE(0, fd);
	levels_init(&l, bs);
	ASSERT_EQ(0, punch(fd, 11 * bs, (p + 2) * bs));
	levels_punch(&l, 11, p + 13);
	close(fd);
	ASSERT_EQ(0, switch_to(&self->v, "ext4"));
	fd = vol_open("f", O_RDWR);
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	/* (it keeps some blocks of pointers that lead to nothing: not here) */
	ASSERT_EQ(0, punch(fd, (l.piece[2] + 1) * bs, 2 * bs));
	levels_punch(&l, l.piece[2] + 1, l.piece[2] + 3);
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	close(fd);
	ASSERT_EQ(0, switch_to(&self->v, env_fstype()));
	fd = vol_open("f", O_RDWR);
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	ASSERT_EQ(0, punch(fd, (l.piece[4] + 1) * bs, 2 * bs));
	levels_punch(&l, l.piece[4] + 1, l.piece[4] + 3);
	close(fd);
	ASSERT_EQ(0, switch_to(&self->v, "ext4"));
	fd = vol_open("f", O_RDWR);
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	close(fd);
	ASSERT_EQ(0, switch_to(&self->v, env_fstype()));
}

TEST_HARNESS_MAIN
