// SPDX-License-Identifier: GPL-2.0
/*
 * async_alloc: a write that has reserved blocks does not wait for a page fault, as who holds
 * the page up may wait for these very blocks.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "blocks.h"
#include "disk.h"
#include "harness.h"
#include "stop.h"
#include "store.h"
#include "uffd.h"

enum { PAGE = 4096, PAGES = 8, LEN = PAGES * PAGE };

FIXTURE(dio_faultin) {
	struct vol v;
};

FIXTURE_VARIANT(dio_faultin) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_faultin, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_faultin, bs4k) { .conf = SMALL_4K };

FIXTURE_SETUP(dio_faultin)
{
	if (!env_is_retryfs())
		SKIP(return, "a mount option of retryfs");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, "async_alloc") ? -errno : 0);
}

/* What is to be unmapped before the volume is unmounted. */
static struct iovec maps[8];
static int nr_maps;

FIXTURE_TEARDOWN(dio_faultin)
{
	while (nr_maps) {
		nr_maps--;
		munmap(maps[nr_maps].iov_base, maps[nr_maps].iov_len);
	}
	EXPECT_EQ(0, vol_down(&self->v));
}

static char *map_file(int fd, size_t len, off_t off)
{
	char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off);

	if (map == MAP_FAILED)
		return NULL;
	maps[nr_maps++] = (struct iovec){ map, len };
	return map;
}

/* The page cache of "g", generation 1 from 0 on, which nobody has touched through the mapping. */
static char *untouched_memory(int *fd)
{
	if (vol_prefill("g", 0, LEN, 1))
		return NULL;
	*fd = vol_open("g", O_RDWR);
	return map_file(*fd, LEN, 0);
}

struct writev_op {
	int fd;
	struct iovec iov[2];
};

static long op_pwritev(void *arg)
{
	struct writev_op *op = arg;
	ssize_t n = pwritev(op->fd, op->iov, 2, 0);

	return n < 0 ? -errno : n;
}

static long store_and_sync(void *arg)
{
	char *map = arg;

	map[100] = 'x';
	return msync(map, PAGE, MS_SYNC) ? -errno : 0;
}

/*
 * The memory is a mapping of the hole that it is written to, after a page that has to be read.
 * While it is, somebody stores to that page of the hole, and writes it back.
 */
TEST_F(dio_faultin, memory_in_the_hole)
{
	char *back = buf_alloc(2 * PAGE), *memory, *stored;
	struct task writer, store;
	struct writev_op wr;
	int fd, bfd, gfd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_EQ(0, ftruncate(fd, 4 * PAGE));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, make_held(&self->v, "g", PAGE, PAGE, HELD_READS));
	gfd = vol_open("g", O_RDWR);
	ASSERT_EQ(0, posix_fadvise(gfd, 0, 0, POSIX_FADV_DONTNEED));
	memory = map_file(bfd, PAGE, PAGE);
	stored = map_file(bfd, PAGE, PAGE);
	wr = (struct writev_op){ fd, { { map_file(gfd, PAGE, 0), PAGE }, { memory, PAGE } } };
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&writer, op_pwritev, &wr));
	ASSERT_BLOCKED(&writer);
	ASSERT_EQ(0, task_start(&store, store_and_sync, stored));
	/* It ends, or it waits for the block. */
	ASSERT_NE(TASK_UNSETTLED, task_settle(&store));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	/* If not, the end of this process kills the one that waits for the page. */
	ASSERT_DONE(&writer);
	ASSERT_DONE(&store);
	EXPECT_EQ(2 * PAGE, task_join(&writer, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&store, JOIN_SECONDS));
	ASSERT_EQ(2 * PAGE, pread(fd, back, 2 * PAGE, 0));
	EXPECT_PATTERN(back, PAGE, 0, 1);
	EXPECT_EQ('x', back[PAGE + 100]);
	back[PAGE + 100] = 0;
	EXPECT_ZERO(back + PAGE, PAGE, PAGE);
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* Memory that has to be brought in first makes nobody wait for the device. */
TEST_F(dio_faultin, memory_that_is_not_there_yet)
{
	char *back = buf_alloc(LEN), *memory;
	struct counters c0, c1;
	int fd, gfd;

	memory = untouched_memory(&gfd);
	ASSERT_NE(NULL, memory);
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(LEN, do_write(ASYNC, fd, memory, LEN, 0));
	ASSERT_EQ(0, vol_counters(&self->v, &c1));
	EXPECT_EQ(c0.async + 1, c1.async);
	EXPECT_EQ(c0.sync_memory, c1.sync_memory);
	ASSERT_EQ(LEN, pread(fd, back, LEN, 0));
	EXPECT_PATTERN(back, LEN, 0, 1);
}

struct stopped_write {
	struct stop stop;
	struct iocb cb;
};

static long write_and_stop(void *arg)
{
	struct stopped_write *w = arg;
	int err = stop_me_at(&w->stop, "retryfs/retryfs_dio_bio");

	return err ? err : aio_do(&w->cb);
}

/*
 * "f" has its first block, or all but that, and @size bytes. When the first bio of a write to all of
 * it is issued, the memory of the rest is not mapped any more.
 */
static void memory_goes(struct __test_metadata *_metadata, struct vol *v, off_t size, bool first)
{
	char *buf = buf_alloc(LEN), *back = buf_alloc(LEN), *memory;
	struct stopped_write w = {};
	struct counters c0, c1;
	struct vol_map map;
	const off_t bs = v->bs, at = first ? 0 : bs;
	const size_t len = first ? bs : size - bs;
	struct task writer;
	int fd, gfd;

	ASSERT_EQ(0, stop_stay_away(&w.stop));
	memory = untouched_memory(&gfd);
	ASSERT_NE(NULL, memory);
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	pattern_fill(buf, LEN, 0, 3);
	ASSERT_EQ(len, pwrite(fd, buf + at, len, at));
	ASSERT_EQ(0, ftruncate(fd, size));
	vol_sync();
	/* the rest is in flight for as long as it is held */
	if (!first) {
		ASSERT_EQ(0, vol_find(v, at, len, 3, &map));
		ASSERT_EQ(0, vol_route(v, &map));
		ASSERT_EQ(0, vol_hold_routed(v));
	}
	ASSERT_EQ(0, vol_counters(v, &c0));
	aio_prep_write(&w.cb, fd, memory, LEN, 0);
	ASSERT_EQ(0, task_start(&writer, write_and_stop, &w));
	ASSERT_TRUE(stop_wait(&w.stop, JOIN_SECONDS));
	ASSERT_EQ(0, madvise(memory, LEN, MADV_DONTNEED));
	ASSERT_TRUE(stop_go(&w.stop));
	if (!first) {
		EXPECT_BLOCKED(&writer);
		ASSERT_EQ(0, vol_release_routed(v));
	}
	EXPECT_EQ(LEN, task_join(&writer, JOIN_SECONDS));
	ASSERT_EQ(0, vol_counters(v, &c1));
	EXPECT_EQ(c0.sync_memory + 1, c1.sync_memory);
	EXPECT_EQ(LEN, file_size(fd));
	ASSERT_EQ(LEN, pread(fd, back, LEN, 0));
	EXPECT_PATTERN(back, LEN, 0, 1);
	EXPECT_SIZE_AND_BLOCKS(fd, LEN, blocks_needed(bs, LEN), bs);
}

TEST_F(dio_faultin, memory_goes_before_a_hole)
{
	memory_goes(_metadata, &self->v, LEN, true);
}

TEST_F(dio_faultin, memory_goes_before_an_append)
{
	memory_goes(_metadata, &self->v, self->v.bs, true);
}

TEST_F(dio_faultin, memory_goes_after_a_hole)
{
	memory_goes(_metadata, &self->v, LEN, false);
}

/* The same with a copy of the memory. */
TEST_F(dio_faultin, memory_goes_before_it_is_copied)
{
	ASSERT_EQ(0, stable_writes(self->v.dev, true));
	memory_goes(_metadata, &self->v, LEN, true);
}

/*
 * While a write to a part of a block beyond EOF waits for its memory, one that was in flight moves EOF over that, and somebody
 * stores to the rest of the block, and syncs it.
 */
static void eof_moves(struct __test_metadata *_metadata, struct vol *v, enum way way)
{
	const off_t at = 2 * PAGE, eof = 4 * PAGE, stored = 9000;
	char *buf = buf_alloc(PAGE), *back = buf_alloc(PAGE), *map;
	struct way_write w = { .way = way, .off = at };
	struct iocb cb, *list = &cb;
	struct io_event ev;
	aio_context_t ctx;
	struct task t;
	void *late;
	int uffd;

	w.fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	pattern_fill(buf, PAGE, 0, 1);
	ASSERT_EQ(PAGE, pwrite(w.fd, buf, PAGE, 0));
	uffd = unfilled_page(&late);
	ASSERT_LE(0, uffd);
	w.iov = (struct iovec){ late, PATTERN_SECTOR };
	map = map_file(vol_open("f", O_RDWR), PAGE, at);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_hold(v));
	pattern_fill(buf, PAGE, eof, 1);
	aio_prep_write(&cb, w.fd, buf, PAGE, eof);
	ASSERT_EQ(1, aio_submit(ctx, 1, &list));
	ASSERT_EQ(0, task_start(&t, op_way_write, &w));
	EXPECT_BLOCKED(&t);
	ASSERT_EQ(0, vol_release(v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(eof + PAGE, file_size(w.fd));
	EXPECT_EQ(0, store(map + stored - at, 'x'));
	EXPECT_EQ(0, msync(map, PAGE, MS_SYNC));
	pattern_fill(buf, PAGE, at, 2);
	EXPECT_EQ(0, fill_page(uffd, late, buf));
	EXPECT_EQ(PATTERN_SECTOR, task_join(&t, JOIN_SECONDS));
	ASSERT_EQ(PAGE, pread(w.fd, back, PAGE, at));
	EXPECT_PATTERN(back, PATTERN_SECTOR, at, 2);
	EXPECT_EQ('x', back[stored - at]);
	back[stored - at] = 0;
	EXPECT_ZERO(back + PATTERN_SECTOR, PAGE - PATTERN_SECTOR, at + PATTERN_SECTOR);
	close(uffd);
}

TEST_F(dio_faultin, eof_moves_meanwhile)
{
	eof_moves(_metadata, &self->v, SYNC);
}

TEST_F(dio_faultin, eof_moves_before_an_aio)
{
	eof_moves(_metadata, &self->v, ASYNC);
}

TEST_HARNESS_MAIN
