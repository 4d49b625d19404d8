// SPDX-License-Identifier: GPL-2.0
/* Writes of the page cache that are larger than pages: their blocks are allocated in runs, and their folios are large. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "blocks.h"
#include "caches.h"
#include "disk.h"
#include "harness.h"
#include "punch.h"
#include "stop.h"
#include "store.h"
#include "trace.h"

#define PAGE	4096
#define LEN	(256 * KIB)

VOL_FIXTURE(fs_folios);
FIXTURE_VARIANT_ADD(fs_folios, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_folios, bs4k) { .conf = SMALL_4K };

/* A write that begins and ends within blocks: what is beside it stays as it was, or is zero. */
TEST_F(fs_folios, parts_of_blocks)
{
	const off_t begin = 1000, end = 130 * KIB + 7;
	char *buf = buf_alloc(LEN), *back = buf_alloc(LEN);
	int i, how, fd;

	for (i = 0; i < 2; i++) {
		const char *const name = i ? "hole" : "full";

		ASSERT_EQ(0, vol_prefill(name, i ? LEN - 1 : 0, i ? 1 : LEN, 1));
		ASSERT_EQ(0, vol_remount(&self->v));
		fd = vol_open(name, O_RDWR);
		ASSERT_LE(0, fd);
		pattern_fill(buf, end - begin, begin, 2);
		ASSERT_EQ(end - begin, pwrite(fd, buf, end - begin, begin));
		for (how = 0; how < 2; how++) {
			ASSERT_EQ(LEN, vol_read(name, how ? O_DIRECT : O_RDONLY, back, LEN, 0));
			EXPECT_PATTERN(back + begin, end - begin, begin, 2);
			if (i) {
				EXPECT_ZERO(back, begin, 0);
				EXPECT_ZERO(back + end, LEN - 1 - end, end);
			} else {
				EXPECT_PATTERN(back, begin, 0, 1);
				EXPECT_PATTERN(back + end, LEN - end, end, 1);
			}
		}
		close(fd);
	}
}

/* What could not be copied: the blocks that were allocated for it have zeroes, or are none. */
TEST_F(fs_folios, memory_that_ends)
{
	char *mem, *back = buf_alloc(LEN);
	int fd, pages;

	for (pages = 1; pages < 8; pages += 3) {
		fd = vol_open("f", O_CREAT | O_RDWR | O_TRUNC);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ftruncate(fd, LEN));
		mem = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, mem);
		pattern_fill(mem, pages * PAGE, 0, 3);
		ASSERT_EQ(0, munmap(mem + pages * PAGE, (16 - pages) * PAGE));
		EXPECT_EQ(pages * PAGE, pwrite(fd, mem, 16 * PAGE, 0));
		munmap(mem, pages * PAGE);
		EXPECT_EQ(0, fsync(fd));
		ASSERT_EQ(LEN, vol_read("f", O_DIRECT, back, LEN, 0));
		EXPECT_PATTERN(back, pages * PAGE, 0, 3);
		EXPECT_ZERO(back + pages * PAGE, LEN - pages * PAGE, pages * PAGE);
		/* and beyond EOF none is left */
		ASSERT_EQ(0, ftruncate(fd, 0));
		EXPECT_EQ(0, blocks_of(fd));
		close(fd);
	}
}

/* Space that ends within a write. */
TEST_F(fs_folios, space_that_ends)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(LEN), *back = buf_alloc(LEN);
	struct stat st;
	ssize_t n;
	int i, fd;

	for (i = 0; i < 2; i++) {
		fd = vol_open("f", O_CREAT | O_RDWR | O_TRUNC);
		ASSERT_LE(0, fd);
		/* in a hole, and at the end */
		ASSERT_EQ(0, ftruncate(fd, i ? 0 : LEN));
		ASSERT_EQ(0, fill_up(&self->v, 27));
		pattern_fill(buf, LEN, 0, 4);
		n = write(fd, buf, LEN);
		EXPECT_LT(0, n);
		EXPECT_GE(27 * bs, n);
		EXPECT_EQ(0, fsync(fd));
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(i ? n : LEN, st.st_size);
		ASSERT_EQ(st.st_size, vol_read("f", O_RDONLY, back, LEN, 0));
		EXPECT_PATTERN(back, n, 0, 4);
		EXPECT_ZERO(back + n, st.st_size - n, n);
		ASSERT_EQ(0, ftruncate(fd, 0));
		EXPECT_EQ(0, blocks_of(fd));
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("fill")));
		vol_sync();
	}
}

struct stopped {
	struct stop stop;
	struct io_op op;
};

static long punch_and_stop(void *arg)
{
	struct stopped *p = arg;
	int err = stop_me_at(&p->stop, "kprobes/rfs_folios");

	return err ? err : op_punch(&p->op);
}

/*
 * A hole within a folio, of which another page is stored to meanwhile: the hole is one, and stays one
 * when the folio is written back. With @reader a device is about to write to a third page, so that a store makes all of
 * it dirty.
 */
static void hole_within(struct __test_metadata *_metadata, struct vol *v, const struct io_op *reader)
{
	const off_t bs = v->bs, at = 4 * PAGE, len = 4 * PAGE;
	struct stopped p;
	struct task hole, read;
	struct io_op op;
	char *map, *buf = buf_alloc(LEN);
	int fd;

	trace_write("kprobe_events", "-:rfs_folios\n");
	if (trace_write("kprobe_events", "p:rfs_folios __filemap_get_folio_mpol\n") &&
	    trace_write("kprobe_events", "p:rfs_folios __filemap_get_folio\n"))
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, stop_stay_away(&p.stop));
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 16 * PAGE, 0, 5);
	ASSERT_EQ(16 * PAGE, pwrite(fd, buf, 16 * PAGE, 0));
	map = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	if (reader) {
		op = *reader;
		op.buf = map + 12 * PAGE;
		ASSERT_EQ(0, task_start(&read, op_pread, &op));
		ASSERT_BLOCKED(&read);
	}
	p.op = (struct io_op){ .fd = fd, .off = at - 100, .len = len + 100 };
	ASSERT_EQ(0, task_start(&hole, punch_and_stop, &p));
	ASSERT_TRUE(stop_wait(&p.stop, JOIN_SECONDS));
	EXPECT_EQ(0, store(map, 'x'));
	ASSERT_TRUE(stop_go(&p.stop));
	ASSERT_EQ(0, task_join(&hole, JOIN_SECONDS));
	trace_write("kprobe_events", "-:rfs_folios\n");
	EXPECT_EQ(0, fsync(fd));
	/* one of pointers */
	EXPECT_EQ(12 * PAGE + bs, blocks_of(fd) * 512);
	EXPECT_ZERO(map + at, len, at);
	buf[0] = 'x';
	memset(buf + at - 100, 0, len + 100);
	EXPECT_EQ(0, memcmp(buf, map, 16 * PAGE));
	if (reader) {
		ASSERT_EQ(0, vol_release_routed(v));
		EXPECT_EQ(PAGE, task_join(&read, JOIN_SECONDS));
		EXPECT_PATTERN(map + 12 * PAGE, PAGE, 0, 1);
	}
	munmap(map, 16 * PAGE);
}

TEST_F(fs_folios, hole_within_a_folio)
{
	hole_within(_metadata, &self->v, NULL);
}

TEST_F(fs_folios, hole_within_a_pinned_folio)
{
	struct io_op op = { .len = PAGE };

	ASSERT_EQ(0, make_held(&self->v, "g", PAGE, PAGE, HELD_READS));
	op.fd = vol_open("g", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, op.fd);
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	hole_within(_metadata, &self->v, &op);
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/*
 * A part of a folio is cut off, and of the rest a page is pinned by a device that is about to write to it. Nothing of the folio is dirty, so
 * that it could be dropped; what the device writes is not lost.
 */
static void cut_beside_a_pin(struct __test_metadata *_metadata, struct vol *v, bool truncate)
{
	const off_t at = 8 * PAGE, size = 16 * PAGE, end = truncate ? 12 * PAGE : size;
	char *buf = buf_alloc(size), *back = buf_alloc(size), *map;
	struct io_op op = { .len = PAGE };
	struct task read;
	int fd;

	ASSERT_EQ(0, make_held(v, "g", PAGE, PAGE, HELD_READS));
	op.fd = vol_open("g", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, op.fd);
	pattern_fill(buf, size, 0, 5);
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(size, pwrite(fd, buf, size, 0));
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, vol_hold_routed(v));
	op.buf = map;
	ASSERT_EQ(0, task_start(&read, op_pread, &op));
	ASSERT_BLOCKED(&read);
	ASSERT_EQ(0, fsync(fd));
	if (truncate) {
		EXPECT_EQ(0, ftruncate(fd, end));
	} else {
		EXPECT_EQ(0, punch(fd, at, 4 * PAGE));
		memset(buf + at, 0, 4 * PAGE);
	}
	ASSERT_EQ(0, vol_release_routed(v));
	EXPECT_EQ(PAGE, task_join(&read, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(v));
	EXPECT_PATTERN(map, PAGE, 0, 1);
	memcpy(buf, map, PAGE);
	EXPECT_EQ(end, pread(fd, back, size, 0));
	EXPECT_EQ(0, memcmp(buf, back, end));
	EXPECT_EQ(0, fsync(fd));
	munmap(map, size);
	close(fd);
	close(op.fd);
	ASSERT_EQ(0, vol_remount(v));
	ASSERT_EQ(end, vol_read("f", 0, back, size, 0));
	EXPECT_EQ(0, memcmp(buf, back, end));
}

TEST_F(fs_folios, hole_beside_a_pinned_page)
{
	cut_beside_a_pin(_metadata, &self->v, false);
}

TEST_F(fs_folios, truncated_beside_a_pinned_page)
{
	cut_beside_a_pin(_metadata, &self->v, true);
}

/* A store makes all of a folio writable, and dirty: what is stored to its other pages is not lost. */
TEST_F(fs_folios, stores_to_its_pages)
{
	const off_t size = MIB, at = 768 * KIB;
	char *map, *back = buf_alloc(size);
	int fd, i, round;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, size));
	/* read-ahead makes folios larger and larger */
	ASSERT_EQ(size, pread(fd, back, size, 0));
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 8; i++)
			EXPECT_EQ(0, store(map + at + i * PAGE + round, 'x'));
		EXPECT_EQ(0, fsync(fd));
	}
	ASSERT_EQ(size, vol_read("f", O_DIRECT, back, size, 0));
	EXPECT_EQ(0, memcmp(back, map, size));
	for (i = 0; i < 8; i++)
		EXPECT_EQ(0, memcmp(back + at + i * PAGE, "xx", 3));
	munmap(map, size);
}

/*
 * A file that grows page by page gets folios ahead, but few of a small one: what they have beyond EOF has no blocks,
 * is not shown, and is a hole where the file is made longer.
 */
TEST_F(fs_folios, grown_by_pages)
{
	const off_t bs = self->v.bs, size = LEN + PAGE;
	char *buf = buf_alloc(2 * LEN), *back = buf_alloc(2 * LEN), *map;
	long ahead, most = 0;
	struct stat st;
	off_t at;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_APPEND);
	ASSERT_LE(0, fd);
	if (cached_pages(fd, 0, 0) < 0)
		SKIP(return, "cachestat(2): %s", strerror(-cached_pages(fd, 0, 0)));
	pattern_fill(buf, size, 0, 6);
	for (at = 0; at < size; at += PAGE) {
		ASSERT_EQ(PAGE, write(fd, buf + at, PAGE));
		EXPECT_EQ(blocks_needed(bs, at + PAGE) * bs, blocks_of(fd) * 512);
		ahead = cached_pages(fd, at + PAGE, 0);
		ASSERT_LE(0, ahead);
		EXPECT_GE(at / 4, ahead * PAGE);
		if (ahead > most)
			most = ahead;
	}
	/* a kernel without large folios has none */
	if (!stat("/sys/kernel/mm/transparent_hugepage", &st))
		EXPECT_EQ(7, most);
	ASSERT_EQ(size, pread(fd, back, 2 * LEN, 0));
	EXPECT_EQ(0, memcmp(buf, back, size));
	/* in the midst of a folio that is written, with the next page */
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(PAGE, write(fd, buf, PAGE));
	memcpy(buf + size, buf, PAGE);
	EXPECT_EQ(0, ftruncate(fd, 2 * LEN));
	map = mmap(NULL, 2 * LEN, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, memcmp(buf, map, 2 * LEN));
	munmap(map, 2 * LEN);
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(blocks_needed(bs, size + PAGE) * bs, blocks_of(fd) * 512);
	close(fd);
	ASSERT_EQ(2 * LEN, vol_read("f", O_DIRECT, back, 2 * LEN, 0));
	EXPECT_EQ(0, memcmp(buf, back, 2 * LEN));
}

/* Write pages one after the other. How many pages there were ahead of one at most; a negative errno. */
static long write_pages(int fd, char *buf, off_t from, off_t to)
{
	long ahead, most = 0;
	off_t at;

	for (at = from; at < to; at += PAGE) {
		pattern_fill(buf + at, PAGE, at, 6);
		if (pwrite(fd, buf + at, PAGE, at) != PAGE)
			return -EIO;
		ahead = cached_pages(fd, at + PAGE, 0);
		if (ahead < 0)
			return ahead;
		if (ahead > most)
			most = ahead;
	}
	return most;
}

/* Writes that follow one on another inside i_size get folios for those that may come: of what these do not write, nothing changes. */
TEST_F(fs_folios, filled_by_pages)
{
	const off_t bs = self->v.bs, size = LEN + PAGE, end = LEN / 2 + PAGE;
	char *buf = buf_alloc(size), *back = buf_alloc(size);
	const bool is_large = !access("/sys/kernel/mm/transparent_hugepage", F_OK);
	off_t at;
	int fd, i;

	for (i = 0; i < 2; i++) {
		const char *const name = i ? "full" : "hole";

		/* free blocks have something else */
		ASSERT_EQ(0, vol_prefill("old", 0, 2 * LEN, 7));
		ASSERT_EQ(0, unlink(vol_path("old")));
		ASSERT_EQ(0, vol_prefill(name, i ? 0 : size - 1, i ? size : 1, 1));
		ASSERT_EQ(0, vol_remount(&self->v));
		ASSERT_EQ(size, vol_read(name, O_DIRECT, buf, size, 0));
		fd = vol_open(name, O_RDWR);
		ASSERT_LE(0, fd);
		if (cached_pages(fd, 0, 0) < 0)
			SKIP(return, "cachestat(2): %s", strerror(-cached_pages(fd, 0, 0)));
		EXPECT_EQ(is_large ? 7 : 0, write_pages(fd, buf, 0, end));
		ASSERT_EQ(size, pread(fd, back, size, 0));
		EXPECT_EQ(0, memcmp(buf, back, size));
		EXPECT_EQ(0, fsync(fd));
		if (!i)
			EXPECT_EQ((blocks_needed(bs, end) + 1) * bs, blocks_of(fd) * 512);
		ASSERT_EQ(size, vol_read(name, O_DIRECT, back, size, 0));
		EXPECT_EQ(0, memcmp(buf, back, size));

		/* none of those that come one before the other, and none beyond EOF */
		close(fd);
		ASSERT_EQ(0, vol_remount(&self->v));
		fd = vol_open(name, O_RDWR);
		ASSERT_LE(0, fd);
		for (at = LEN; at >= 0; at -= 8 * PAGE) {
			ASSERT_EQ(PAGE, pwrite(fd, buf + at, PAGE, at));
			EXPECT_EQ((LEN - at) / (8 * PAGE) + 1, cached_pages(fd, 0, 0));
		}
		EXPECT_EQ(0, fsync(fd));
		close(fd);
	}
}

/* The same by records that end anywhere, with a device that has something else in its free blocks. */
TEST_F(fs_folios, grown_by_records)
{
	const size_t record = 1000, size = 200 * record;
	char *buf = buf_alloc(size), *back = buf_alloc(LEN), *map;
	size_t at;
	int fd;

	ASSERT_EQ(0, vol_prefill("old", 0, LEN, 7));
	ASSERT_EQ(0, unlink(vol_path("old")));
	vol_sync();
	fd = vol_open("f", O_CREAT | O_RDWR | O_APPEND);
	ASSERT_LE(0, fd);
	map = mmap(NULL, LEN, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	pattern_fill(buf, size, 0, 8);
	for (at = 0; at < size; at += record) {
		ASSERT_EQ(record, write(fd, buf + at, record));
		/* its last page is brought in as a whole, with what is in memory of it */
		if (at / record % 3 == 0)
			ASSERT_EQ(0, memcmp(buf + at, map + at, record));
		if (at / record % 7 == 0)
			ASSERT_EQ(0, fdatasync(fd));
	}
	EXPECT_EQ(0, memcmp(buf, map, size));
	EXPECT_ZERO(map + size, -size % PAGE, size);
	munmap(map, LEN);
	EXPECT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(size, vol_read("f", O_DIRECT, back, LEN, 0));
	EXPECT_EQ(0, memcmp(buf, back, size));
}

/* Read a file from one end to the other: read-ahead makes folios larger and larger. Whether all of it was read. */
static bool read_in_order(int fd, char *buf, off_t size)
{
	const off_t piece = 4 * PAGE;
	off_t at;

	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	for (at = 0; at < size; at += piece)
		if (pread(fd, buf + at, piece, at) != piece)
			return false;
	return true;
}

/*
 * A store needs no space where the file has blocks, whatever folio the page cache has there; and one to a hole takes
 * what it needs, and no more if space is short.
 */
TEST_F(fs_folios, store_beside_holes)
{
	const off_t size = MIB, at = 768 * KIB + PAGE;
	char *map, *buf = buf_alloc(size), *back = buf_alloc(size);
	int fd, round;
	off_t blocks;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, size));
	pattern_fill(buf + at, PAGE, at, 9);
	ASSERT_EQ(PAGE, pwrite(fd, buf + at, PAGE, at));
	close(fd);
	ASSERT_EQ(0, fill_up(&self->v, 0));
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, vol_remount(&self->v));
		fd = vol_open("f", O_RDWR);
		ASSERT_LE(0, fd);
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		blocks = blocks_of(fd);
		/* a fault makes a large folio, too, if it is told to */
		if (round == 2)
			madvise(map, size, MADV_HUGEPAGE);
		else
			read_in_order(fd, back, size);
		/* it is read-only in the mapping, or is not there */
		if (round)
			EXPECT_EQ(buf[at], map[at]);
		buf[at + round] = 'x';
		EXPECT_EQ(0, store(map + at + round, 'x'));
		EXPECT_EQ(-ENOSPC, store(map + at + PAGE, 'y'));
		EXPECT_EQ(-ENOSPC, store(map + at - PAGE, 'y'));
		EXPECT_EQ(0, memcmp(buf, map, size));
		EXPECT_EQ(0, fsync(fd));
		EXPECT_EQ(blocks, blocks_of(fd));
		munmap(map, size);
		ASSERT_EQ(size, vol_read("f", O_DIRECT, back, size, 0));
		EXPECT_EQ(0, memcmp(buf, back, size));
		close(fd);
	}
	/* some space */
	ASSERT_EQ(0, unlink(vol_path("fill")));
	ASSERT_EQ(0, fill_up(&self->v, 3 * PAGE / self->v.bs));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(read_in_order(fd, back, size));
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, store(map + at + PAGE, 'y'));
	EXPECT_EQ(0, store(map + at, 'y'));
	EXPECT_EQ(blocks * 512 + PAGE, blocks_of(fd) * 512);
	buf[at + PAGE] = 'y';
	buf[at] = 'y';
	EXPECT_EQ(0, memcmp(buf, map, size));
	munmap(map, size);
	close(fd);
	ASSERT_EQ(size, vol_read("f", O_DIRECT, back, size, 0));
	EXPECT_EQ(0, memcmp(buf, back, size));
}

/* A write to a hole that the page cache has in a large folio is short where space ends, and takes only what it writes. */
/* What could not be written back of a large folio stays in memory, though it is in the way of a write for which there is little space. */
TEST_F(fs_folios, space_that_ends_beside_what_has_failed)
{
	const off_t size = MIB, at = 768 * KIB;
	char *buf = buf_alloc(LEN), *back = buf_alloc(size);
	struct vol_map map;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", at, PAGE, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), size));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, vol_find(&self->v, at, PAGE, 1, &map));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(read_in_order(fd, back, size));
	ASSERT_EQ(0, fill_up(&self->v, 27));
	pattern_fill(buf, PAGE, at, 2);
	ASSERT_EQ(PAGE, pwrite(fd, buf, PAGE, at));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_GT((ssize_t)LEN - PAGE, pwrite(fd, buf, LEN - PAGE, at + PAGE));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(PAGE, pread(fd, back, PAGE, at));
	EXPECT_PATTERN(back, PAGE, at, 2);
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	close(fd);
}

TEST_F(fs_folios, space_that_ends_in_what_was_read)
{
	const off_t bs = self->v.bs, size = MIB, at = 768 * KIB;
	char *buf = buf_alloc(size), *back = buf_alloc(size);
	ssize_t n;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, size));
	ASSERT_TRUE(read_in_order(fd, back, size));
	ASSERT_EQ(0, fill_up(&self->v, 27));
	pattern_fill(buf + at, LEN, at, 4);
	n = pwrite(fd, buf + at, LEN, at);
	ASSERT_LT(0, n);
	EXPECT_GE(27 * bs, n);
	/* what is left is not enough for a page and its pointers */
	EXPECT_LE((27 - 4) * bs - PAGE, n);
	EXPECT_LE(n, blocks_of(fd) * 512);
	EXPECT_GE(n + PAGE + 3 * bs, blocks_of(fd) * 512);
	memset(buf + at + n, 0, LEN - n);
	ASSERT_EQ(size, pread(fd, back, size, 0));
	EXPECT_EQ(0, memcmp(buf, back, size));
	EXPECT_EQ(-1, pwrite(fd, buf, LEN, 0));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(size, vol_read("f", O_DIRECT, back, size, 0));
	EXPECT_EQ(0, memcmp(buf, back, size));
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(0, blocks_of(fd));
}

/* What a folio has of a hole that comes into the file behind a page that is stored to stays a hole. */
TEST_F(fs_folios, hole_behind_a_store)
{
	const off_t bs = self->v.bs, eof = LEN / 4, at = eof + 3 * PAGE;
	const off_t needed = blocks_needed(bs, eof + PAGE) * bs;
	char *buf = buf_alloc(LEN), *map;
	int fd, i, round;

	for (round = 0; round < 2; round++) {
		fd = vol_open("f", O_CREAT | O_RDWR | O_TRUNC);
		ASSERT_LE(0, fd);
		map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		for (i = 0; i <= eof / PAGE; i++)
			ASSERT_EQ(PAGE, pwrite(fd, buf, PAGE, i * PAGE));
		EXPECT_EQ(0, store(map + eof, 'x'));
		/* it is made longer, or written beyond EOF */
		EXPECT_EQ(round ? PAGE : 0, round ? pwrite(fd, buf, PAGE, at) : ftruncate(fd, at));
		/* after ftruncate() that is a new fault, which fills the hole */
		if (round)
			EXPECT_EQ(0, store(map + eof + 1, 'x'));
		EXPECT_EQ(0, fsync(fd));
		EXPECT_EQ(needed + round * PAGE, blocks_of(fd) * 512);
		EXPECT_ZERO(map + eof + PAGE, at - eof - PAGE, eof + PAGE);
		EXPECT_EQ(0, memcmp(map + eof, round ? "xx" : "x", 2 + round));
		munmap(map, LEN);
		close(fd);
	}
}

/* A file with a folio of @LEN bytes, dirty, that is mapped where one table has all of it; the descriptor, or -errno. */
static int map_folio(char **map)
{
	const size_t table = 2 * MIB;
	char *buf = buf_alloc(LEN), *at;
	int fd = vol_open("f", O_CREAT | O_RDWR | O_TRUNC);

	if (fd < 0)
		return fd;
	memset(buf, 'a', LEN);
	if (pwrite(fd, buf, LEN, 0) != LEN)
		return -EIO;
	at = mmap(NULL, 2 * table, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	at += -(uintptr_t)at % table;
	*map = mmap(at, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	return *map == MAP_FAILED ? -errno : fd;
}

/*
 * EOF moves past a folio, from the beginning of one of its pages, while a store makes the folio writable: who stores to what
 * has come into the file gets blocks for that.
 */
TEST_F(fs_folios, extended_beside_a_store)
{
	const off_t at = 200 * KIB;
	char *map, c, *back = buf_alloc(PAGE);
	struct task t, extend;
	struct store_op st;
	struct probed p;
	struct io_op op;
	int fd, err, round;

	/* what is needed for a store has had its faults */
	ASSERT_EQ(0, store(&c, 'x'));
	for (round = 0; round < 2; round++) {
		fd = map_folio(&map);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ftruncate(fd, LEN / 2));
		st = (struct store_op){ map, 'x' };
		err = stop_in_probe(&p, &t, "p:" STOP_PROBE " finish_fault\n", op_store, &st);
		if (err == -ENOENT)
			SKIP(return, "no kprobe events");
		ASSERT_EQ(0, err);
		/* by itself, or by a write */
		op = (struct io_op){ fd, &c, 1, round ? MIB : LEN };
		ASSERT_EQ(0, task_start(&extend, round ? op_pwrite : op_ftruncate, &op));
		EXPECT_BLOCKED(&extend);
		EXPECT_TRUE(let_go(&p));
		EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
		EXPECT_EQ(round, task_join(&extend, JOIN_SECONDS));
		EXPECT_EQ(0, map[at]);
		EXPECT_EQ(0, store(map + at, 'y'));
		EXPECT_EQ(0, fsync(fd));
		munmap(map, LEN);
		close(fd);
		ASSERT_EQ(PAGE, vol_read("f", O_RDONLY | O_DIRECT, back, PAGE, at));
		EXPECT_EQ('y', back[0]);
		ASSERT_EQ(PAGE, vol_read("f", O_RDONLY | O_DIRECT, back, PAGE, 0));
		EXPECT_EQ('x', back[0]);
	}
}

/* A page of a folio is beyond EOF before a store to it has looked: that is no page of the file, though the folio is. */
TEST_F(fs_folios, cut_off_before_a_store)
{
	const off_t at = 40 * PAGE;
	char *map, c, *back = buf_alloc(PAGE);
	struct store_op st;
	struct probed p;
	struct task t;
	int fd, err;

	ASSERT_EQ(0, store(&c, 'x'));
	fd = map_folio(&map);
	ASSERT_LE(0, fd);
	st = (struct store_op){ map + at, 'x' };
	err = stop_in_probe(&p, &t, "p:" STOP_PROBE " file_update_time\n", op_store, &st);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	EXPECT_EQ(0, ftruncate(fd, LEN / 2));
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(-ENOSPC, task_join(&t, JOIN_SECONDS));
	EXPECT_EQ(0, ftruncate(fd, LEN));
	EXPECT_EQ(0, map[at]);
	EXPECT_EQ(0, store(map + at, 'y'));
	EXPECT_EQ(0, fsync(fd));
	munmap(map, LEN);
	close(fd);
	ASSERT_EQ(PAGE, vol_read("f", O_RDONLY | O_DIRECT, back, PAGE, at));
	EXPECT_EQ('y', back[0]);
}

TEST_HARNESS_MAIN
