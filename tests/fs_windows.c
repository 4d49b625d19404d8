// SPDX-License-Identifier: GPL-2.0
/*
 * Where new blocks lie: the reservation windows of files that grow side by side, and who
 * gets their blocks in the end; small files; what is fragmented, or almost full.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>

#include "blocks.h"
#include "harness.h"
#include "punch.h"

VOL_FIXTURE(fs_windows);
FIXTURE_VARIANT_ADD(fs_windows, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_windows, bs4k) { .conf = SMALL_4K };
FIXTURE_VARIANT_ADD(fs_windows, async1k) { .conf = ASYNC_ALLOC_1K };

#define FILES	8

static const char *file_name(const char *name, int i)
{
	static char buf[32];

	snprintf(buf, sizeof(buf), "%s%d", name, i);
	return buf;
}

/* A file of one block, open for writing. */
static int begin(struct vol *v, const char *name)
{
	char *buf = buf_alloc(v->bs);
	int fd = vol_open(name, O_CREAT | O_RDWR);

	pattern_fill(buf, v->bs, 0, 1);
	return fd < 0 ? fd : pwrite(fd, buf, v->bs, 0) == v->bs ? fd : -EIO;
}

/* Eight files grow by @len bytes in turn. A file of eight times the length has one piece more. */
static void side_by_side(struct __test_metadata *_metadata, struct vol *v, enum way how, int flags,
			 size_t len)
{
	const off_t size = env_number("WINDOWS_KIB", 512) * KIB;
	int fd[FILES], i, max = 2, most = 0;
	char *buf = buf_alloc(len);
	off_t off;

	ASSERT_LT(0, way_setup(buf, len));
	for (off = 8 * v->bs; off < size; off *= 8)
		max++;
	for (i = 0; i < FILES; i++) {
		fd[i] = vol_open(file_name("f", i), O_CREAT | O_RDWR | flags);
		ASSERT_LE(0, fd[i]);
	}
	for (off = 0; off < size; off += len)
		for (i = 0; i < FILES; i++) {
			pattern_fill(buf, len, off, i + 1);
			ASSERT_EQ(len, do_write(how, fd[i], buf, len, off));
		}
	for (i = 0; i < FILES; i++) {
		const int n = pieces_of(fd[i]);

		ASSERT_LE(1, n);
		EXPECT_GE(max, n);
		most = n > most ? n : most;
		ASSERT_EQ(0, fsync(fd[i]));
		close(fd[i]);
	}
	TH_LOG("%d files of %ld KiB by %zu bytes: %d pieces at most", FILES, size / KIB, len, most);
	buf = buf_alloc(size);
	for (i = 0; i < FILES; i++) {
		ASSERT_EQ(size, vol_read(file_name("f", i), O_DIRECT, buf, size, 0));
		EXPECT_PATTERN(buf, size, 0, i + 1);
	}
}

TEST_F(fs_windows, buffered)
{
	side_by_side(_metadata, &self->v, SYNC, 0, 4 * KIB);
}

TEST_F(fs_windows, direct)
{
	side_by_side(_metadata, &self->v, SYNC, O_DIRECT, 4 * KIB);
}

/* io_uring asks for what must not wait first. */
TEST_F(fs_windows, nowait)
{
	side_by_side(_metadata, &self->v, URING, O_DIRECT, 4 * KIB);
}

#define PARTS		4

/*
 * Parts of one file are written side by side, which are below different blocks of pointers with blocks of 1 KiB. Each is in
 * one piece but for where these lie, in the gaps that come first.
 */
static void parts_of_a_file(struct __test_metadata *_metadata, struct vol *v, int flags)
{
	const off_t part = env_number("WINDOWS_KIB", 512) * KIB, len = 4 * KIB;
	char *buf = buf_alloc(len);
	int fd, i, n;
	off_t off;

	fd = vol_open("f", O_CREAT | O_RDWR | flags);
	ASSERT_LE(0, fd);
	for (off = 0; off < part; off += len)
		for (i = 0; i < PARTS; i++) {
			pattern_fill(buf, len, i * part + off, 1);
			ASSERT_EQ(len, pwrite(fd, buf, len, i * part + off));
		}
	n = pieces_of(fd);
	TH_LOG("%d parts of %ld KiB: %d pieces", PARTS, part / KIB, n);
	EXPECT_GE(3 * PARTS, n);
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	EXPECT_TRUE(vol_holds("f", PARTS * part, 1));
}

TEST_F(fs_windows, parts_buffered)
{
	parts_of_a_file(_metadata, &self->v, 0);
}

TEST_F(fs_windows, parts_direct)
{
	parts_of_a_file(_metadata, &self->v, O_DIRECT);
}

/* What is wanted at once is more than a window. */
TEST_F(fs_windows, large_writes)
{
	side_by_side(_metadata, &self->v, SYNC, O_DIRECT, 64 * KIB);
}

/* A window is nobody's block: neither statfs(2) nor the file counts it. */
TEST_F(fs_windows, not_counted)
{
	long before, after;
	int fd;

	fd = vol_open("a", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	before = free_blocks();
	ASSERT_LE(0, begin(&self->v, "a"));
	after = free_blocks();
	EXPECT_EQ(before - 1, after);
	EXPECT_SIZE_AND_BLOCKS(fd, self->v.bs, 1, self->v.bs);
}

/* When nothing else is left, the blocks of windows are allocated: to the last one. */
TEST_F(fs_windows, no_space)
{
	int fd[FILES], i, last;

	for (i = 0; i < FILES; i++) {
		fd[i] = begin(&self->v, file_name("f", i));
		ASSERT_LE(0, fd[i]);
	}
	ASSERT_EQ(0, fill_up(&self->v, 1));
	EXPECT_EQ(1, free_blocks());
	last = begin(&self->v, "last");
	ASSERT_LE(0, last);
	EXPECT_EQ(0, free_blocks());
	EXPECT_EQ(-1, pwrite(last, "x", 1, self->v.bs));
	EXPECT_EQ(ENOSPC, errno);
	/* and those who had them go on when there is some room again */
	ASSERT_EQ(0, unlink(vol_path("fill")));
	for (i = 0; i < FILES; i++)
		EXPECT_EQ(1, pwrite(fd[i], "x", 1, self->v.bs));
}

/*
 * Who makes a window has the first block of it, and leaves alone what the cache of the device has of the others: they may be
 * somebody else's by then. So it does not wait for one of them that is being written; who takes that does.
 */
TEST_F(fs_windows, others_of_it_are_left_alone)
{
	char *buf = buf_alloc(4 * self->v.bs), *junk = buf_alloc(self->v.bs);
	struct vol_map map, second = { .nr = 1 };
	const off_t bs = self->v.bs;
	struct task writer, syncer;
	struct io_op wr, sy;
	int fd, dev;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 4 * bs, 0, 1);
	ASSERT_EQ(4 * bs, pwrite(fd, buf, 4 * bs, 0));
	ASSERT_EQ(0, vol_find(&self->v, 0, bs, 1, &map));
	ASSERT_EQ(0, ftruncate(fd, 0));
	vol_sync();
	second.e[0] = (struct vol_extent){ map.e[0].sector + bs / 512, bs / 512, .writes = true };
	ASSERT_EQ(0, vol_route(&self->v, &second));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	dev = open(self->v.dev, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
	memset(junk, 0x66, bs);
	ASSERT_EQ(bs, pwrite(dev, junk, bs, second.e[0].sector * 512));
	sy = (struct io_op){ .fd = dev };
	ASSERT_EQ(0, task_start(&syncer, op_fsync, &sy));
	ASSERT_BLOCKED(&syncer);
	pattern_fill(buf, 2 * bs, 0, 2);
	wr = (struct io_op){ fd, buf, bs, 0 };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	ASSERT_DONE(&writer);
	EXPECT_EQ(bs, task_join(&writer, JOIN_SECONDS));
	/* the same block, or this was no test */
	EXPECT_EQ(map.e[0].sector * 512 / bs, block_of(fd, 0));
	wr = (struct io_op){ fd, buf + bs, bs, bs };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	EXPECT_BLOCKED(&writer);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(bs, task_join(&writer, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&syncer, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(block_of(fd, 0) + 1, block_of(fd, 1));
	close(dev);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("f", 2 * bs, 2));
}

/* Does a new file get the block behind block @n of another? */
static bool is_next(struct vol *v, int fd, int n, const char *name)
{
	int next = begin(v, name);

	return next >= 0 && block_of(next, 0) == block_of(fd, n) + 1;
}

/* A window lasts as long as somebody writes, and no longer. */
TEST_F(fs_windows, close)
{
	int fd, fd2, rd;

	fd = begin(&self->v, "f");
	ASSERT_LE(0, fd);
	fd2 = vol_open("f", O_RDWR);
	rd = vol_open("f", O_RDONLY);
	ASSERT_LE(0, fd2);
	ASSERT_LE(0, rd);
	ASSERT_EQ(0, close(fd2));
	EXPECT_FALSE(is_next(&self->v, rd, 0, "a"));
	ASSERT_EQ(0, close(fd));
	EXPECT_TRUE(is_next(&self->v, rd, 0, "b"));
}

/* Blocks of a file become free: it will not go on where it was. */
static void freed(struct __test_metadata *_metadata, struct vol *v, bool punched)
{
	int fd = begin(v, "f"), other;

	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pwrite(fd, "x", 1, v->bs));
	EXPECT_FALSE(is_next(v, fd, 1, "a"));
	ASSERT_EQ(0, punched ? punch(fd, v->bs, v->bs) : ftruncate(fd, v->bs));
	/* not the one that was freed: the device has it still */
	other = begin(v, "b");
	EXPECT_EQ(block_of(fd, 0) + 2, block_of(other, 0));
}

TEST_F(fs_windows, punch)
{
	freed(_metadata, &self->v, true);
}

TEST_F(fs_windows, truncate)
{
	freed(_metadata, &self->v, false);
}

/*
 * What a file has given back is not allocated before the device knows it, also not to itself from its window: with
 * the power gone, the old pointers lead to it.
 */
TEST_F(fs_windows, own_blocks)
{
	char *buf = buf_alloc(self->v.bs);
	int fd = begin(&self->v, "f"), i;
	long old;

	ASSERT_LE(0, fd);
	for (i = 1; i < 4; i++)
		ASSERT_EQ(self->v.bs, pwrite(fd, buf, self->v.bs, i * self->v.bs));
	ASSERT_EQ(0, fsync(fd));
	old = block_of(fd, 2);
	ASSERT_EQ(0, punch(fd, 2 * self->v.bs, self->v.bs));
	ASSERT_EQ(self->v.bs, pwrite(fd, buf, self->v.bs, 2 * self->v.bs));
	EXPECT_NE(old, block_of(fd, 2));
}

/* Where a file went on is not where it goes on when that was truncated: the block of pointers is gone. */
TEST_F(fs_windows, behind_what_was_truncated)
{
	const size_t bs = self->v.bs;
	char *buf = buf_alloc(bs);
	int fd = begin(&self->v, "f"), i, other;

	ASSERT_LE(0, fd);
	for (i = 1; i < 20; i++)
		ASSERT_EQ(bs, pwrite(fd, buf, bs, i * bs));
	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(0, syncfs(fd));
	/* it may have the block now */
	other = vol_open("other", O_CREAT | O_RDWR);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, vol_prefill("more", 0, 64 * bs, 2));
	pattern_fill(buf, bs, 20 * bs, 1);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, 20 * bs));
	close(fd);
	close(other);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(bs, vol_read("f", 0, buf, bs, 20 * bs));
	EXPECT_PATTERN(buf, bs, 20 * bs, 1);
}

/* Files of a few blocks, made one after the other, lie one behind the other. */
TEST_F(fs_windows, small_files)
{
	char *buf = buf_alloc(3 * self->v.bs);
	long next = 0;
	int i, fd;

	for (i = 0; i < 20; i++) {
		fd = vol_open(file_name("f", i), O_CREAT | O_RDWR);
		ASSERT_LE(0, fd);
		ASSERT_EQ(3 * self->v.bs, write(fd, buf, 3 * self->v.bs));
		if (i)
			EXPECT_EQ(next, block_of(fd, 0));
		next = block_of(fd, 2) + 1;
		close(fd);
	}
}

/* A block somewhere in a hole keeps none for its file: the next file begins right behind it. */
TEST_F(fs_windows, lone_block)
{
	char *buf = buf_alloc(self->v.bs);
	int hole = vol_open("hole", O_CREAT | O_RDWR), next = vol_open("next", O_CREAT | O_RDWR);

	ASSERT_LE(0, hole);
	ASSERT_LE(0, next);
	ASSERT_EQ(self->v.bs, pwrite(hole, buf, self->v.bs, 5 * self->v.bs));
	ASSERT_EQ(self->v.bs, write(next, buf, self->v.bs));
	EXPECT_EQ(block_of(hole, 5) + 1, block_of(next, 0));
	close(hole);
	close(next);
}

/* The goal behind blocks of pointers is behind the last data, not in a gap behind other pointers. */
TEST_F(fs_windows, behind_pointers)
{
	const int first = DIRECT_BLOCKS, last = first + self->v.bs / 4;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, last * self->v.bs, 1));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	/* more than the two new blocks of pointers need */
	ASSERT_EQ(0, punch(fd, first * self->v.bs, 6 * self->v.bs));
	ASSERT_EQ(0, syncfs(fd));
	ASSERT_EQ(1, pwrite(fd, "x", 1, last * self->v.bs));
	EXPECT_EQ(block_of(fd, last - 1) + 1, block_of(fd, last));
}

/* In a group without a long run: another one has some. */
TEST_F(fs_windows, fragmented_group)
{
	const size_t len = 64 * KIB, bs = self->v.bs;
	char *buf = buf_alloc(len);
	int fd, dfd, i;
	off_t size;

	if (bs != 1024)
		SKIP(return, "all is in one group");
	/* the first group, and a piece of the second */
	size = 9 * MIB;
	ASSERT_EQ(0, vol_prefill("gaps", 0, size, 1));
	fd = vol_open("gaps", O_RDWR);
	ASSERT_LE(0, fd);
	for (i = 0; i < (int)(size / bs); i += 2)
		ASSERT_EQ(0, punch(fd, i * bs, bs));
	ASSERT_EQ(0, syncfs(fd));
	dfd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, dfd);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(len, pwrite(dfd, buf, len, i * len));
	EXPECT_GE(3, pieces_of(dfd));
}

TEST_HARNESS_MAIN
