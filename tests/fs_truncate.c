// SPDX-License-Identifier: GPL-2.0
/* Sizes, holes, the levels of indirection, and shared mappings. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "blocks.h"
#include "harness.h"

VOL_FIXTURE(fs_truncate);
FIXTURE_VARIANT_ADD(fs_truncate, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(fs_truncate, bs2k) { .conf = VOL_2K };
FIXTURE_VARIANT_ADD(fs_truncate, bs4k) { .conf = VOL_4K };

TEST_F(fs_truncate, down_and_up)
{
	const off_t bs = self->v.bs;
	const size_t len = 20 * bs;
	char *buf = buf_alloc(len);
	struct stat st;
	off_t cut;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	/* within a block, at its end, and across the first indirect block */
	for (cut = 0; cut < (off_t)len; cut += 3 * bs + 333) {
		pattern_fill(buf, len, 0, cut + 1);
		ASSERT_EQ(len, pwrite(fd, buf, len, 0));
		ASSERT_EQ(0, ftruncate(fd, cut));
		ASSERT_EQ(0, fstat(fd, &st));
		ASSERT_EQ(cut, st.st_size);
		ASSERT_GE((cut + bs - 1) / bs + 1, st.st_blocks * 512 / bs);
		ASSERT_EQ(cut, pread(fd, buf, len, 0));
		ASSERT_PATTERN(buf, cut, 0, cut + 1);
		/* what comes back when it grows again is zeros */
		ASSERT_EQ(0, ftruncate(fd, len));
		ASSERT_EQ(len, pread(fd, buf, len, 0));
		ASSERT_PATTERN(buf, cut, 0, cut + 1);
		EXPECT_ZERO(buf + cut, len - cut, cut);
	}
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_blocks);
}

/* Blocks around each border between the levels of indirection. */
TEST_F(fs_truncate, indirect_levels)
{
	const uint64_t bs = self->v.bs, ptrs = bs / 4;
	const uint64_t border[] = { 12, 12 + ptrs, 12 + ptrs + ptrs * ptrs };
	char *buf = buf_alloc(2 * bs);
	long before = free_blocks();
	struct stat st;
	size_t i;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	for (i = 0; i < ARRAY_SIZE(border); i++) {
		off_t pos = (border[i] - 1) * bs;

		pattern_fill(buf, 2 * bs, pos, i + 1);
		ASSERT_EQ(2 * bs, pwrite(fd, buf, 2 * bs, pos));
	}
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ((border[2] + 1) * bs, st.st_size);
	/* six of data; of pointers one, one with its first and last below, three */
	EXPECT_EQ((6 + 1 + 3 + 3) * bs, st.st_blocks * 512);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(before - 13, free_blocks());

	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	for (i = 0; i < ARRAY_SIZE(border); i++) {
		off_t pos = (border[i] - 1) * bs;

		ASSERT_EQ(2 * bs, pread(fd, buf, 2 * bs, pos));
		EXPECT_PATTERN(buf, 2 * bs, pos, i + 1);
		ASSERT_EQ(bs, pread(fd, buf, bs, pos - bs));
		EXPECT_ZERO(buf, bs, pos - bs);
	}
	/* take the levels away again, one by one */
	ASSERT_EQ(0, ftruncate(fd, border[2] * bs));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ((5 + 1 + 3) * bs, st.st_blocks * 512);
	ASSERT_EQ(0, ftruncate(fd, border[1] * bs));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ((3 + 1) * bs, st.st_blocks * 512);
	ASSERT_EQ(0, ftruncate(fd, border[0] * bs));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(1 * bs, st.st_blocks * 512);
	ASSERT_EQ(bs, pread(fd, buf, 2 * bs, (border[0] - 1) * bs));
	EXPECT_PATTERN(buf, bs, (border[0] - 1) * bs, 1);
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(before, free_blocks());
}

/*
 * Blocks beyond EOF, as a crash can leave them, hold what somebody else wrote. A file that
 * grows does not show that, however it grows.
 */
TEST_F(fs_truncate, blocks_beyond_eof)
{
	const off_t bs = self->v.bs, size = bs + bs / 2, len = 30 * bs;
	char cmd[64], *buf = buf_alloc(len), *back = buf_alloc(len);
	const char *const shrink[] = { "debugfs", "-w", "-R", cmd, self->v.dev, NULL };
	const off_t at[] = { len, len - 512, len - 100 };
	const long before = free_blocks();
	int fd, way;
	ssize_t n;

	for (way = 0; way < 3; way++) {
		ASSERT_EQ(0, vol_prefill("f", 0, len, 2));
		ASSERT_EQ(0, vol_umount(&self->v));
		snprintf(cmd, sizeof(cmd), "sif f size %ld", (long)size);
		ASSERT_EQ(0, run(0, shrink));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
		fd = vol_open("f", O_RDWR | (way == 1 ? O_DIRECT : 0));
		ASSERT_LE(0, fd);
		/* truncate, a direct write after a gap, a buffered one of a part of a block */
		pattern_fill(buf, 512, at[way], 3);
		n = way ? pwrite(fd, buf, len - at[way], at[way]) : ftruncate(fd, len);
		ASSERT_EQ(len - at[way], n);
		close(fd);
		ASSERT_EQ(len, vol_read("f", 0, back, len, 0));
		EXPECT_PATTERN(back, size, 0, 2);
		EXPECT_ZERO(back + size, at[way] - size, size);
		EXPECT_PATTERN(back + at[way], len - at[way], at[way], 3);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
	EXPECT_EQ(before, free_blocks());
}

TEST_F(fs_truncate, too_big)
{
	const uint64_t bs = self->v.bs, ptrs = bs / 4;
	uint64_t max = (12 + ptrs + ptrs * ptrs + ptrs * ptrs * ptrs) * bs;
	int fd;

	/* what the 512-byte count of an inode can say limits 4 KiB blocks */
	if (max > 0xffffffffULL * 512)
		max = 0xffffffffULL * 512;
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, ftruncate(fd, max + bs));
	EXPECT_EQ(EFBIG, errno);
	EXPECT_EQ(-1, pwrite(fd, "x", 1, max + bs));
	EXPECT_EQ(EFBIG, errno);
	EXPECT_EQ(0, ftruncate(fd, 1ULL << 33));
	EXPECT_EQ(1, pwrite(fd, "x", 1, (1ULL << 33) - 1));
}

TEST_F(fs_truncate, sparse)
{
	const off_t bs = self->v.bs, span = 1 * MIB;
	char *buf = buf_alloc(span);
	struct stat st;
	off_t pos;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, span));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_blocks);
	ASSERT_EQ(span, pread(fd, buf, span, 0));
	EXPECT_ZERO(buf, span, 0);
	/* every eighth block, its middle only */
	for (pos = 0; pos < span; pos += 8 * bs) {
		pattern_fill(buf, bs / 2, pos + bs / 4, 1);
		ASSERT_EQ(bs / 2, pwrite(fd, buf, bs / 2, pos + bs / 4));
	}
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	for (pos = 0; pos < span; pos += 8 * bs) {
		ASSERT_EQ(8 * bs, pread(fd, buf, 8 * bs, pos));
		EXPECT_ZERO(buf, bs / 4, pos);
		ASSERT_PATTERN(buf + bs / 4, bs / 2, pos + bs / 4, 1);
		EXPECT_ZERO(buf + 3 * bs / 4, 8 * bs - 3 * bs / 4, pos + 3 * bs / 4);
	}
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_GT(span / 4, st.st_blocks * 512);
}

/* Bytes beyond EOF that were stored through a mapping must not be exposed. */
TEST_F(fs_truncate, tail_of_a_mapping)
{
	char *map, buf[4096];
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	memset(map + 100, 0x55, 3996);
	ASSERT_EQ(0, msync(map, 4096, MS_SYNC));
	ASSERT_EQ(0, ftruncate(fd, 4096));
	ASSERT_EQ(4096, pread(fd, buf, 4096, 0));
	EXPECT_PATTERN(buf, 100, 0, 1);
	EXPECT_ZERO(buf + 100, 3996, 100);
	munmap(map, 4096);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	ASSERT_EQ(4096, pread(fd, buf, 4096, 0));
	EXPECT_ZERO(buf + 100, 3996, 100);
}

/* The same with an end in a hole, where nothing but the mapping has ever stored. */
TEST_F(fs_truncate, tail_of_a_hole_in_a_mapping)
{
	const off_t bs = self->v.bs, end = 100;
	char *back = buf_alloc(3 * bs), *map;
	int i, fd;

	for (i = 0; i < 3; i++) {
		const off_t size = i ? 3 * bs : bs;

		fd = vol_open("f", O_CREAT | O_RDWR | O_TRUNC);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ftruncate(fd, end));
		map = mmap(NULL, bs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		memset(map, 0x55, bs);
		ASSERT_LE(0, i < 2 ? ftruncate(fd, size) : pwrite(fd, "", 1, size - 1));
		ASSERT_EQ(size, pread(fd, back, 3 * bs, 0));
		EXPECT_EQ(0x55, back[end - 1]);
		EXPECT_ZERO(back + end, size - end, end);
		EXPECT_EQ(0, fsync(fd));
		ASSERT_EQ(0, munmap(map, bs));
		close(fd);
		ASSERT_EQ(0, vol_remount(&self->v));
		ASSERT_EQ(size, vol_read("f", O_RDONLY, back, 3 * bs, 0));
		EXPECT_EQ(0x55, back[end - 1]);
		EXPECT_ZERO(back + end, size - end, end);
	}
}

TEST_F(fs_truncate, mmap_shared)
{
	const size_t len = 256 * KIB;
	char *map, *buf = buf_alloc(len);
	struct stat st;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, len));
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_ZERO(map, len, 0);
	/* into a hole, by mapping: blocks are allocated at the fault */
	pattern_fill(map, len / 2, 0, 3);
	ASSERT_EQ(len, pread(fd, buf, len, 0));
	EXPECT_PATTERN(buf, len / 2, 0, 3);
	EXPECT_ZERO(buf + len / 2, len / 2, len / 2);
	/* and what is written is seen by the mapping */
	pattern_fill(buf, 8192, len / 2, 4);
	ASSERT_EQ(8192, pwrite(fd, buf, 8192, len / 2));
	EXPECT_PATTERN(map + len / 2, 8192, len / 2, 4);
	ASSERT_EQ(0, msync(map, len, MS_SYNC));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_LE(len / 2, st.st_blocks * 512);
	munmap(map, len);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDONLY);
	ASSERT_EQ(len, pread(fd, buf, len, 0));
	EXPECT_PATTERN(buf, len / 2, 0, 3);
	EXPECT_PATTERN(buf + len / 2, 8192, len / 2, 4);
	EXPECT_ZERO(buf + len / 2 + 8192, len / 2 - 8192, len / 2 + 8192);
}

/*
 * A mapping of a hole on a full volume: the error is reported, at the fault by
 * SIGBUS or, as ext2 does, when it asks for its data to be written.
 */
enum { GOT_SIGBUS = 42, GOT_ENOSPC, GOT_NOTHING };

static void on_bus(int sig)
{
	_exit(GOT_SIGBUS);
}

TEST_F(fs_truncate, mmap_no_space)
{
	const size_t len = 64 * KIB;
	char *map, *buf = buf_alloc(MIB);
	size_t n = MIB;
	int fd, big;
	int status;
	pid_t pid;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, len));
	/* to the last block: smaller and smaller pieces */
	big = vol_open("big", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, big);
	while (n >= 512) {
		if (write(big, buf, n) <= 0)
			n /= 2;
	}
	ASSERT_EQ(0, fsync(big));
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		size_t i;

		signal(SIGBUS, on_bus);
		for (i = 0; i < len; i += 4096)
			map[i] = 1;
		_exit(msync(map, len, MS_SYNC) && errno == ENOSPC ? GOT_ENOSPC :
								    GOT_NOTHING);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	if (env_is_retryfs())
		EXPECT_EQ(GOT_SIGBUS, WEXITSTATUS(status));
	EXPECT_NE(GOT_NOTHING, WEXITSTATUS(status));
	EXPECT_LE(GOT_SIGBUS, WEXITSTATUS(status));
	EXPECT_GE(GOT_NOTHING, WEXITSTATUS(status));
	munmap(map, len);
}

TEST_HARNESS_MAIN
