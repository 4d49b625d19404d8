// SPDX-License-Identifier: GPL-2.0
/* Holes made by fallocate(2): alignments, levels, mappings, what is refused, ext4. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "blocks.h"
#include "harness.h"
#include "punch.h"
#include "store.h"

VOL_FIXTURE(fs_punch);
FIXTURE_VARIANT_ADD(fs_punch, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(fs_punch, bs2k) { .conf = VOL_2K };
FIXTURE_VARIANT_ADD(fs_punch, bs4k) { .conf = VOL_4K };

/* Within a block, over its borders, over that of the direct blocks, over EOF. */
TEST_F(fs_punch, every_alignment)
{
	const off_t bs = self->v.bs, size = 20 * bs - 300;
	const int step = env_on_debug() ? 7 : 1;
	const off_t offs[] = { 0, 1, 512, bs - 1, bs, bs + 512, 4 * bs, 11 * bs + 3,
			       12 * bs, 19 * bs, 19 * bs + 100, size - 1, size };
	const off_t lens[] = { 1, 511, bs - 1, bs, bs + 1, 2 * bs - 2, 3 * bs, 9 * bs + 77,
			       size, 64 * bs };
	const char *diff;
	struct sparse m;
	size_t i, k;
	int fd, dfd;

	sparse_init(&m, bs, size);
	fd = vol_open("f", O_CREAT | O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, dfd);
	for (i = 0; i < ARRAY_SIZE(offs); i++) {
		for (k = 0; k < ARRAY_SIZE(lens); k++) {
			const int n = i * ARRAY_SIZE(lens) + k;

			if (n % step)
				continue;
			sparse_write(&m, 0, size, n + 1);
			ASSERT_EQ(size, pwrite(fd, m.want, size, 0));
			/* in the page cache, on the device and there, or there only */
			if (n % 3)
				ASSERT_EQ(0, fsync(fd));
			if (n % 3 == 2)
				ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
			ASSERT_EQ(0, punch(n % 2 ? fd : dfd, offs[i], lens[k]));
			sparse_punch(&m, offs[i], lens[k]);
			diff = sparse_diff_all(&m, fd, dfd, n / 3);
			EXPECT_EQ(NULL, diff)
				TH_LOG("%ld bytes at %ld: %s", (long)lens[k], (long)offs[i], diff);
		}
	}
	close(fd);
	close(dfd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	EXPECT_SPARSE(&m, fd, dfd, 0);
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
	struct sparse m;
	int fd, dfd, i;

	sparse_init(&m, bs, size);
	fd = vol_open("f", O_CREAT | O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, dfd);
	sparse_write(&m, 0, size, 1);
	ASSERT_EQ(size, pwrite(fd, m.want, size, 0));
	for (i = 0; i < (env_on_debug() ? 40 : 120); i++) {
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
			sparse_punch(&m, off, len);
		} else {
			/* parts of new blocks too, and what is beside must be zero */
			sparse_write(&m, off, len, i + 2);
			ASSERT_EQ(len, kind == 3 ? do_write(SYNC + i % 2, dfd, m.want + off, len, off) :
						   pwrite(fd, m.want + off, len, off));
		}
		if (i % 5 == 4)
			EXPECT_SPARSE(&m, fd, dfd, i);
		if (i % 40 == 39) {
			close(fd);
			close(dfd);
			ASSERT_EQ(0, vol_remount(&self->v));
			fd = vol_open("f", O_RDWR);
			dfd = vol_open("f", O_RDWR | O_DIRECT);
			EXPECT_SPARSE(&m, fd, dfd, i / 40);
		}
	}
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
		ASSERT_EQ(0, punch(fd, from * bs, to > l.piece[5] + LEVELS_PIECE ? 1ULL << 33 :
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
	struct sparse m;
	int fd, dfd;

	sparse_init(&m, bs, size);
	memset(m.want, 0, size);
	fd = vol_open("f", O_CREAT | O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_EQ(0, ftruncate(fd, size));
	ASSERT_EQ(0, punch(fd, 100, 5 * bs));
	ASSERT_EQ(0, punch(fd, bs + 1, 7));
	ASSERT_EQ(0, punch(fd, 0, size));
	EXPECT_SPARSE(&m, fd, dfd, 0);
	sparse_write(&m, 20 * bs, bs, 1);
	ASSERT_EQ(bs, pwrite(fd, m.want + 20 * bs, bs, 20 * bs));
	sparse_write(&m, 64 * bs, 100, 1);
	ASSERT_EQ(100, pwrite(fd, m.want + 64 * bs, 100, 64 * bs));
	ASSERT_EQ(0, punch(fd, 19 * bs + 5, bs));
	sparse_punch(&m, 19 * bs + 5, bs);
	EXPECT_SPARSE(&m, fd, dfd, 1);
	/* beyond EOF there is nothing, and EOF does not move */
	ASSERT_EQ(0, punch(fd, size, bs));
	ASSERT_EQ(0, punch(fd, size + 10 * bs, bs));
	EXPECT_SPARSE(&m, fd, dfd, 2);
	/* the last block, which EOF is in, is punched if the range reaches EOF */
	ASSERT_EQ(0, punch(fd, 64 * bs, 100));
	sparse_punch(&m, 64 * bs, 100);
	EXPECT_SPARSE(&m, fd, dfd, 0);
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
	struct sparse m;
	int fd, dfd;

	sparse_init(&m, bs, size);
	sparse_write(&m, 0, size, 1);
	ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(MAP_FAILED, copy);
	/* dirty, by a store */
	sparse_write(&m, 4096, 3 * 4096, 2);
	memcpy(map + 4096, m.want + 4096, 3 * 4096);
	copy[2 * 4096] = 'c';
	ASSERT_EQ(0, punch(fd, 4096 + bs, 2 * 4096 - bs + 512));
	sparse_punch(&m, 4096 + bs, 2 * 4096 - bs + 512);
	EXPECT_SAME(map, m.want, size, 0);
	EXPECT_EQ('c', copy[2 * 4096]);
	EXPECT_SPARSE(&m, fd, dfd, 0);

	/* A page that is stored to gets all its blocks, and so may others of its folio. */
	sparse_write(&m, 4096 + bs, 200, 3);
	memcpy(map + 4096 + bs, m.want + 4096 + bs, 200);
	memset(m.has + 4096 / bs, true, 4096 / bs);
	ASSERT_EQ(0, msync(map, size, MS_SYNC));
	if (blocks_of(fd) * 512 > sparse_blocks(&m) * bs)
		memset(m.has, true, size / bs);
	EXPECT_SPARSE(&m, fd, dfd, 1);
	munmap(map, size);
	munmap(copy, size);
	close(fd);
	close(dfd);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(size, vol_read("f", 0, buf, size, 0));
	EXPECT_SAME(buf, m.want, size, 0);
}

/*
 * A block that was read into while it became a hole has data in the page cache, and no block, not
 * even when space is short: what is to become zero of it does.
 */
TEST_F(fs_punch, read_into_a_hole)
{
	const off_t bs = self->v.bs;
	char *map;
	int fd;

	if (bs == 4096)
		SKIP(return, "the page goes with the block");
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_EQ(0, ftruncate(fd, 4096));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, store_in_hole(&self->v, "g", fd, map, 'x'));
	ASSERT_EQ(0, fill_up(&self->v, 0));
	ASSERT_EQ(0, punch(fd, 100, 100));
	EXPECT_EQ('x', map[99]);
	EXPECT_ZERO(map + 100, 100, 100);
	EXPECT_EQ('x', map[200]);
	munmap(map, 4096);
	ASSERT_EQ(0, unlink(vol_path("fill")));
}

/* Times, and the set-id bits that a modification clears. */
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
		FALLOC_FL_PUNCH_HOLE, FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE,
		PUNCH | FALLOC_FL_ZERO_RANGE,
	};
	const char *const fix[] = { "debugfs", "-w", "-R", "sif a flags 0x20",
				    self->v.dev, NULL };
	const off_t bs = self->v.bs, size = 4 * bs;
	struct sparse m;
	size_t i;
	int fd, rfd, dfd, dir;

	sparse_init(&m, bs, size);
	sparse_write(&m, 0, size, 1);
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
	EXPECT_SPARSE(&m, fd, dfd, 0);
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
		vol_sync();
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
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	fd = vol_open("f", O_RDWR);
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	/* (it keeps some blocks of pointers that lead to nothing: not here) */
	ASSERT_EQ(0, punch(fd, (l.piece[2] + 1) * bs, 2 * bs));
	levels_punch(&l, l.piece[2] + 1, l.piece[2] + 3);
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	close(fd);
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	fd = vol_open("f", O_RDWR);
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	ASSERT_EQ(0, punch(fd, (l.piece[4] + 1) * bs, 2 * bs));
	levels_punch(&l, l.piece[4] + 1, l.piece[4] + 3);
	close(fd);
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	fd = vol_open("f", O_RDWR);
	EXPECT_NULL_DIFF(levels_diff(&l, bs, fd));
	close(fd);
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
}

TEST_HARNESS_MAIN
