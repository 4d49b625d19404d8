// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of a mapping that somebody has pinned, or holds by reference, and writes to late: what space that is short, a hole,
 * and a shortage of memory leave of that.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>

#include "blocks.h"
#include "harness.h"
#include "punch.h"
#include "stop.h"
#include "store.h"
#include "trace.h"

#define PAGE	4096

VOL_FIXTURE(fs_held);
FIXTURE_VARIANT_ADD(fs_held, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_held, bs4k) { .conf = SMALL_4K };

/*
 * A store to a hole, while space is short: its folio, of which another page can be stored to already, is to be written back, and
 * dropped. Before that, a device is about to write to that page, and so it stays: the store gets what space there is, @left blocks, if
 * that is enough; and what the device writes is not lost.
 */
static void pinned_meanwhile(struct __test_metadata *_metadata, struct vol *v, long left)
{
	const off_t bs = v->bs, at = 16 * PAGE, hole = at + PAGE, size = at + 4 * PAGE;
	char *buf = buf_alloc(size), *back = buf_alloc(size), *map;
	struct task storing, reading;
	struct store_op store_op;
	struct probed p;
	struct io_op op;
	int fd, i, err;

	if (access("/sys/kernel/mm/transparent_hugepage", F_OK))
		SKIP(return, "no large folios");
	ASSERT_EQ(0, make_held(v, "g", PAGE, PAGE, HELD_READS));
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	pattern_fill(buf, size, 0, 2);
	for (i = 0; i <= at / PAGE; i++)
		ASSERT_EQ(PAGE, pwrite(fd, buf + i * PAGE, PAGE, i * PAGE));
	ASSERT_EQ(0, fill_up(v, PAGE / bs + left));
	EXPECT_EQ(0, store(map + at, 'x'));
	ASSERT_EQ(PAGE, pwrite(fd, buf + size - PAGE, PAGE, size - PAGE));
	ASSERT_EQ(left, free_blocks());

	op = (struct io_op){ vol_open("g", O_RDONLY | O_DIRECT), map + at, PAGE, 0 };
	ASSERT_LE(0, op.fd);
	ASSERT_EQ(0, vol_hold_routed(v));
	store_op = (struct store_op){ map + hole, 'y' };
	err = stop_in_probe(&p, &storing, "p:" STOP_PROBE " filemap_fdatawrite_range\n", op_store, &store_op);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, task_start(&reading, op_pread, &op));
	ASSERT_BLOCKED(&reading);
	ASSERT_TRUE(let_go(&p));
	EXPECT_EQ(left ? 0 : -ENOSPC, task_join(&storing, JOIN_SECONDS));
	EXPECT_EQ(left ? PAGE / bs : 0, free_blocks());
	EXPECT_EQ(left ? 'y' : 0, map[hole]);
	ASSERT_EQ(0, unlink(vol_path("fill")));
	ASSERT_EQ(0, vol_release_routed(v));
	EXPECT_EQ(PAGE, task_join(&reading, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(v));
	EXPECT_PATTERN(map + at, PAGE, 0, 1);
	EXPECT_EQ(0, store(map + hole, 'y'));
	munmap(map, size);
	/* writeback has met the hole, which is dirty as long as the folio is pinned */
	EXPECT_EQ(left ? 0 : -1, fsync(fd));
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(size, vol_read("f", O_DIRECT, back, size, 0));
	pattern_fill(buf + at, PAGE, 0, 1);
	memset(buf + hole, 0, 2 * PAGE);
	buf[hole] = 'y';
	EXPECT_EQ(0, memcmp(buf, back, size));
}

TEST_F(fs_held, pinned_before_it_is_dropped)
{
	pinned_meanwhile(_metadata, &self->v, 3 * PAGE / self->v.bs);
}

TEST_F(fs_held, pinned_without_space)
{
	pinned_meanwhile(_metadata, &self->v, 0);
}

/* A byte that is written past the page tables: the page is referenced meanwhile, and is said to be dirty afterwards. */
struct poke_op {
	int mem;
	char *at;
};

static long op_poke(void *arg)
{
	struct poke_op *op = arg;

	return pwrite(op->mem, "x", 1, (uintptr_t)op->at);
}

/* Is there a page in the page tables? */
static bool is_present(void *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (pread(fd, &entry, sizeof(entry), (uintptr_t)at / PAGE * sizeof(entry)) != sizeof(entry))
		entry = 0;
	close(fd);
	return entry >> 63;
}

/* Poke to the last block of "f", a page that is @map: stopped when it has a reference, and has not written. */
static int stop_in_poke(struct probed *p, struct task *t, struct poke_op *op)
{
	/* in the lists of this processor */
	int err = stop_stay_away(&p->stop);

	if (err)
		return err;
	__atomic_load_n(op->at, __ATOMIC_RELAXED);
	return stop_in_probe(p, t, "r:" STOP_PROBE " get_user_pages_remote\n", op_poke, op);
}

/* "f" of a page, mapped; the descriptor, or -errno. */
static int make_and_map(struct vol *v, struct poke_op *op, char **map)
{
	int err = vol_prefill("f", 0, PAGE, 1) ?: vol_remount(v), fd;

	fd = err ?: vol_open("f", O_RDWR);
	if (fd < 0)
		return fd;
	*map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	*op = (struct poke_op){ open("/proc/self/mem", O_RDWR), *map + PAGE - 10 };
	return *map == MAP_FAILED || op->mem < 0 ? -errno : fd;
}

/* What is written to what has become a hole since, in a page that stays, fills the hole: the file is one for all who read it. */
TEST_F(fs_held, hole_that_is_written_to_late)
{
	const off_t bs = self->v.bs;
	char *back = buf_alloc(PAGE), *map;
	struct poke_op op;
	struct probed p;
	struct task t;
	int fd, err;

	if (bs == PAGE)
		SKIP(return, "pages have one block");
	fd = make_and_map(&self->v, &op, &map);
	ASSERT_LE(0, fd);
	err = stop_in_poke(&p, &t, &op);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	EXPECT_EQ(0, punch(fd, PAGE - bs, bs));
	EXPECT_EQ(PAGE - bs, blocks_of(fd) * 512);
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(1, task_join(&t, JOIN_SECONDS));
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(PAGE, vol_read("f", O_DIRECT, back, PAGE, 0));
	EXPECT_EQ('x', back[PAGE - 10]);
	EXPECT_EQ(0, memcmp(map, back, PAGE));
	munmap(map, PAGE);
}

/*
 * A page has lost its buffers, as memory was short, and has others since, for a write to another block of it: what is written late to a
 * block that the file has is not lost, also if the page is mapped again.
 */
TEST_F(fs_held, buffers_that_were_made_anew)
{
	char *back = buf_alloc(PAGE), *map;
	struct poke_op op;
	struct probed p;
	struct task t;
	int fd, err;

	if (self->v.bs == PAGE)
		SKIP(return, "pages have one block");
	fd = make_and_map(&self->v, &op, &map);
	ASSERT_LE(0, fd);
	err = stop_in_poke(&p, &t, &op);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, madvise(map, PAGE, MADV_PAGEOUT));
	EXPECT_FALSE(is_present(map));
	EXPECT_EQ(1, pwrite(fd, "y", 1, 0));
	EXPECT_EQ('y', __atomic_load_n(map, __ATOMIC_RELAXED));
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(1, task_join(&t, JOIN_SECONDS));
	EXPECT_EQ('x', map[PAGE - 10]);
	munmap(map, PAGE);
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(PAGE, vol_read("f", O_DIRECT, back, PAGE, 0));
	EXPECT_EQ('x', back[PAGE - 10]);
	EXPECT_EQ('y', back[0]);
	pattern_fill(map = buf_alloc(PAGE), PAGE, 0, 1);
	map[0] = 'y';
	map[PAGE - 10] = 'x';
	EXPECT_EQ(0, memcmp(map, back, PAGE));
}

TEST_HARNESS_MAIN
