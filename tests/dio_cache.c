// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O beside the page cache of the file, and beside the cache of the device: what
 * either has is neither stale nor lost.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "blocks.h"
#include "harness.h"
#include "stop.h"
#include "uffd.h"

VOL_FIXTURE(dio_cache);
FIXTURE_VARIANT_ADD(dio_cache, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_cache, bs4k) { .conf = SMALL_4K };

/*
 * The page cache is invalidated after a direct write too: a reader fills it
 * with what the device still holds while the write is under way.
 */
TEST_F(dio_cache, invalidate_after_the_write)
{
	const off_t bs = self->v.bs, len = 16 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len), *map;
	struct task write;
	struct io_op wr;
	struct iocb cb;
	int gen, fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, bfd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	for (gen = 2; gen <= 3; gen++) {
		pattern_fill(buf, len, 0, gen);
		wr = (struct io_op){ fd, buf, len, 0 };
		aio_prep_write(&cb, fd, buf, len, 0);
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		/* both wait for the end; the second one submits asynchronously */
		ASSERT_EQ(0, gen == 2 ? task_start(&write, op_pwrite, &wr) :
					task_start(&write, op_aio_do, &cb));
		ASSERT_BLOCKED(&write);
		ASSERT_EQ(len, pread(bfd, back, len, 0));
		EXPECT_PATTERN(back, len, 0, gen - 1);
		EXPECT_PATTERN(map, len, 0, gen - 1);
		ASSERT_EQ(0, vol_release_routed(&self->v));
		ASSERT_EQ(len, task_join(&write, JOIN_SECONDS));
		ASSERT_EQ(len, pread(bfd, back, len, 0));
		EXPECT_PATTERN(back, len, 0, gen);
		EXPECT_PATTERN(map, len, 0, gen);
	}
	munmap(map, len);
}

/*
 * The same when a bio of the write fails, the first one or the second of three: what is behind it does not count, and is
 * on the device.
 */
TEST_F(dio_cache, invalidate_after_a_failure)
{
	const off_t piece = 4096, len = 3 * piece, last = 2 * piece;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct vol_map held, bad;
	struct task write;
	struct io_op wr;
	struct iocb cb;
	int i, fd, bfd;
	long n;

	fd = make_pieces(&self->v, "f", piece, 3);
	ASSERT_LE(0, fd);
	bfd = vol_open("f", O_RDWR);
	/* what is read is in the cache, and nothing else */
	ASSERT_EQ(0, posix_fadvise(bfd, 0, 0, POSIX_FADV_RANDOM));
	for (i = 0; i < 4; i++) {
		const off_t ok = i / 2 * piece;

		ASSERT_EQ(0, vol_find(&self->v, last, piece, 1, &held));
		held.e[0].writes = true;
		ASSERT_EQ(0, vol_find(&self->v, ok, piece, 1, &bad));
		route_and_fail(&held, &bad);
		ASSERT_EQ(0, vol_route(&self->v, &held));
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		pattern_fill(buf, len, 0, 2);
		wr = (struct io_op){ fd, buf, len, 0 };
		aio_prep_write(&cb, fd, buf, len, 0);
		ASSERT_EQ(0, i % 2 ? task_start(&write, op_aio_do, &cb) : task_start(&write, op_pwrite, &wr));
		ASSERT_BLOCKED(&write);
		ASSERT_EQ(piece, pread(bfd, back, piece, last));
		EXPECT_PATTERN(back, piece, last, 1);
		ASSERT_EQ(0, vol_release_routed(&self->v));
		n = task_join(&write, JOIN_SECONDS);
		EXPECT_EQ(count_of(ok ?: -EIO, n), n);
		ASSERT_EQ(0, vol_unroute(&self->v));
		ASSERT_EQ(piece, pread(fd, back, piece, last));
		EXPECT_PATTERN(back, piece, last, 2);
		/* the kernel's own functions for direct I/O leave it */
		if (env_is_retryfs()) {
			ASSERT_EQ(piece, pread(bfd, back, piece, last));
			EXPECT_PATTERN(back, piece, last, 2);
		}
		/* nobody has stored to it */
		EXPECT_EQ(0, fsync(bfd));
		pattern_fill(buf, len, 0, 1);
		ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	}
}

/*
 * A store through a mapping hits a page that a direct write in flight writes
 * too. That cannot be dropped, and one of both gets lost: the next fsync says so.
 * A store to another page is no such thing.
 */
TEST_F(dio_cache, collision_is_told)
{
	static const char *const told[] = { "Page cache invalidation failure on direct I/O", NULL };
	const off_t bs = self->v.bs, page = 4096;
	char *buf = buf_alloc(page), *map;
	struct io_event event;
	aio_context_t ctx = 0;
	struct iocb cb;
	int i, fd, bfd, kmsg;

	ASSERT_EQ(0, vol_prefill("f", 0, 4 * page, 1));
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	map = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, bfd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	/* the first time into another page, then into that of the write */
	for (i = 0; i < 2; i++) {
		const off_t pos = page, store = pos + (1 - i) * page + bs / 2;

		kmsg = kmsg_open();
		ASSERT_LE(0, kmsg);
		pattern_fill(buf, page, pos, 2 + i);
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		aio_prep_write(&cb, fd, buf, page, pos);
		ASSERT_EQ(0, aio_submit_one(ctx, &cb));
		map[store] = 'x';
		ASSERT_EQ(0, vol_release_routed(&self->v));
		ASSERT_EQ(1, aio_events(ctx, 1, 1, &event, JOIN_SECONDS * 1000));
		EXPECT_EQ(page, event.res);
		EXPECT_EQ(i, kmsg_has(kmsg, told));
		close(kmsg);
		errno = 0;
		EXPECT_EQ(i ? -1 : 0, fsync(bfd));
		EXPECT_EQ(i ? EIO : 0, errno);
		EXPECT_EQ(0, fsync(bfd));
		EXPECT_EQ('x', map[store]);
	}
	aio_destroy(ctx);
	munmap(map, 4 * page);
}

/*
 * While a direct write appends, somebody stores to a block of the same page that is
 * inside i_size; if a device does, the whole page is dirty. No page comes to the cache by
 * writing back what is past i_size. Neither of the two is lost, and there is no error.
 */
TEST_F(dio_cache, store_before_the_end)
{
	static const char *const told[] = { "Page cache invalidation failure on direct I/O", NULL };
	const off_t bs = self->v.bs, size = bs, len = 2 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(64 * KIB), *map;
	struct task write;
	struct io_op wr;
	struct iocb cb;
	int way, fd, bfd, gfd, kmsg;

	if (bs == 4096)
		SKIP(return, "a page has one block");
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	kmsg = kmsg_open();
	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, vol_prefill("g", 0, size, 3));
	gfd = vol_open("g", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, gfd);
	for (way = 0; way < 4; way++) {
		ASSERT_EQ(0, ftruncate(fd, 0));
		ASSERT_EQ(0, vol_prefill("f", 0, size, 1));
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, bfd, 0);
		ASSERT_NE(MAP_FAILED, map);
		ASSERT_EQ(0, vol_route_writes(&self->v));
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		pattern_fill(buf, len, size, 2);
		wr = (struct io_op){ fd, buf, len, size };
		aio_prep_write(&cb, fd, buf, len, size);
		ASSERT_EQ(0, way & 1 ? task_start(&write, op_aio_do, &cb) :
				       task_start(&write, op_pwrite, &wr));
		ASSERT_BLOCKED(&write);
		if (way & 2)
			ASSERT_EQ(size, pread(gfd, map, size, 0));
		map[0] = 'x';
		ASSERT_EQ(0, vol_release_routed(&self->v));
		ASSERT_EQ(len, task_join(&write, JOIN_SECONDS));
		ASSERT_EQ(0, vol_unroute(&self->v));
		/* by the page cache, and on the device */
		ASSERT_EQ(size + len, pread(bfd, back, 64 * KIB, 0));
		EXPECT_EQ('x', back[0]);
		EXPECT_PATTERN(back + 1, size - 1, 1, way & 2 ? 3 : 1);
		EXPECT_PATTERN(back + size, len, size, 2);
		EXPECT_EQ(0, fsync(bfd));
		ASSERT_EQ(0, munmap(map, 4096));
		ASSERT_EQ(0, posix_fadvise(bfd, 0, 0, POSIX_FADV_DONTNEED));
		ASSERT_EQ(size + len, pread(fd, back, 64 * KIB, 0));
		EXPECT_EQ('x', back[0]);
		EXPECT_PATTERN(back + 1, size - 1, 1, way & 2 ? 3 : 1);
		EXPECT_PATTERN(back + size, len, size, 2);
		EXPECT_FALSE(kmsg_has(kmsg, told));
	}
	close(kmsg);
}

/*
 * While a direct write is in flight, another block of its page is stored to, and a page elsewhere cannot be written back. The
 * first page is written and dropped none the less: that the file has an error is no collision, and a page that is kept has what
 * was there before.
 */
TEST_F(dio_cache, error_elsewhere)
{
	static const char *const told[] = { "Page cache invalidation failure on direct I/O", NULL };
	const off_t bs = self->v.bs, page = 4096, at = 2 * page, len = 4 * page;
	char *buf = buf_alloc(page), *back = buf_alloc(page);
	struct vol_map side, map;
	struct io_event event;
	aio_context_t ctx = 0;
	struct iocb cb;
	int fd, bfd, kmsg;

	if (bs == page)
		SKIP(return, "a page has one block");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, vol_find(&self->v, 0, page, 1, &side));
	ASSERT_EQ(0, vol_find(&self->v, at, page, 1, &map));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	kmsg = kmsg_open();
	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(1, side.nr);
	ASSERT_EQ(1, map.nr);
	ASSERT_LT(side.e[0].sector, map.e[0].sector);
	map.e[0].writes = true;
	ASSERT_EQ(0, vol_route_beside(&self->v, &side.e[0], &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, bs, at + bs, 2);
	aio_prep_write(&cb, fd, buf, bs, at + bs);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));

	/* the page as it was, and then one block of it dirty */
	ASSERT_EQ(page, pread(bfd, back, page, at));
	EXPECT_PATTERN(back, page, at, 1);
	pattern_fill(back, bs, at, 3);
	ASSERT_EQ(bs, pwrite(bfd, back, bs, at));
	ASSERT_EQ(page, pwrite(bfd, back, page, 0));
	ASSERT_EQ(0, vol_fail_side(&self->v));
	ASSERT_EQ(0, sync_file_range(bfd, 0, page, SYNC_FILE_RANGE_WRITE));
	ASSERT_EQ(0, aio_events(ctx, 0, 1, &event, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &event, JOIN_SECONDS * 1000));
	EXPECT_EQ(bs, event.res);

	ASSERT_EQ(page, pread(bfd, back, page, at));
	EXPECT_PATTERN(back, bs, at, 3);
	EXPECT_PATTERN(back + bs, bs, at + bs, 2);
	EXPECT_PATTERN(back + 2 * bs, page - 2 * bs, at + 2 * bs, 1);
	EXPECT_FALSE(kmsg_has(kmsg, told));
	/* and who asks for it is told of the error */
	errno = 0;
	EXPECT_EQ(-1, fdatasync(bfd));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(0, fsync(bfd));
	aio_destroy(ctx);
	close(kmsg);
}

struct stopped_write {
	struct stop stop;
	struct io_op op;
};

static long write_and_stop(void *arg)
{
	struct stopped_write *w = arg;
	int err = stop_me_at(&w->stop, "retryfs/retryfs_dio_complete");

	return err ? err : op_pwrite(&w->op);
}

/*
 * Who sees the i_size that an append has moved may store to what was appended, also when the
 * write has not returned yet: that is no collision.
 */
TEST_F(dio_cache, store_to_what_was_appended)
{
	static const char *const told[] = { "Page cache invalidation failure on direct I/O", NULL };
	const off_t page = 4096;
	char *buf = buf_alloc(page), *back = buf_alloc(page), *map;
	struct stopped_write w;
	struct task write;
	int fd, bfd, kmsg;

	if (!env_is_retryfs())
		SKIP(return, "a trace point of retryfs");
	ASSERT_EQ(0, stop_stay_away(&w.stop));
	ASSERT_EQ(0, vol_prefill("f", 0, page, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	kmsg = kmsg_open();
	ASSERT_LE(0, kmsg);
	pattern_fill(buf, page, page, 2);
	w.op = (struct io_op){ fd, buf, page, page };
	ASSERT_EQ(0, task_start(&write, write_and_stop, &w));
	ASSERT_TRUE(stop_wait(&w.stop, JOIN_SECONDS));
	ASSERT_EQ(2 * page, file_size(bfd));
	map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, bfd, page);
	ASSERT_NE(MAP_FAILED, map);
	map[0] = 'x';
	EXPECT_PATTERN(map + 512, page - 512, page + 512, 2);
	ASSERT_TRUE(stop_go(&w.stop));
	ASSERT_EQ(page, task_join(&write, JOIN_SECONDS));
	EXPECT_FALSE(kmsg_has(kmsg, told));
	EXPECT_EQ(0, fsync(bfd));
	ASSERT_EQ(page, pread(fd, back, page, page));
	EXPECT_EQ('x', back[0]);
	EXPECT_PATTERN(back + 512, page - 512, page + 512, 2);
	munmap(map, page);
	close(kmsg);
}

/*
 * A direct write of one part of a block is under way, a buffered write of another
 * part comes: it needs the whole block in the page cache, and must not write the
 * first part back as it was before.
 */
TEST_F(dio_cache, two_parts_of_a_block)
{
	const off_t bs = self->v.bs, len = 16 * bs, at = 8 * bs;
	char *buf = buf_alloc(512), *part = buf_alloc(512), *back = buf_alloc(len);
	struct io_event ev;
	struct task writer;
	struct iocb cb;
	aio_context_t ctx;
	struct io_op wr;
	int fd, bfd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, bfd);
	/* the pointers are in memory afterwards, the page is not */
	ASSERT_EQ(512, pread(fd, back, 512, at));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, 512, at, 2);
	aio_prep_write(&cb, fd, buf, 512, at);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	pattern_fill(part, 512, at + 512, 3);
	wr = (struct io_op){ bfd, part, 512, at + 512 };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	EXPECT_TRUE(task_settles(&writer, TASK_BLOCKED));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(512, ev.res);
	EXPECT_EQ(512, task_join(&writer, JOIN_SECONDS));
	ASSERT_EQ(0, fsync(bfd));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, at, 0, 1);
	EXPECT_PATTERN(back + at, 512, at, 2);
	EXPECT_PATTERN(back + at + 512, 512, at + 512, 3);
	EXPECT_PATTERN(back + at + 1024, len - at - 1024, at + 1024, 1);
}

/*
 * A direct read flushes the page cache, and then waits for the inode lock to look
 * up its blocks. Meanwhile a hole becomes a block, whose data is still on its way
 * to the device: the read must wait for that, and not read what was there before.
 */
TEST_F(dio_cache, block_that_comes_before_its_data)
{
	/* more than a request of one bio, which looks at the page cache under the lock alone */
	const off_t page = 4096, size = 2 << 20;
	char *back = buf_alloc(size), *fill = buf_alloc(page), *map;
	struct task writer, reader, syncer;
	struct io_op wr, rd, sy;
	int fd, bfd, uffd;
	void *late = NULL;

	uffd = unfilled_page(&late);
	if (uffd < 0)
		SKIP(return, "no userfaultfd");
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	bfd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, bfd);
	ASSERT_EQ(0, ftruncate(fd, size));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, bfd, 0);
	ASSERT_NE(MAP_FAILED, map);

	/* has the inode lock, and cannot get at its memory */
	wr = (struct io_op){ bfd, late, 512, 2 * page };
	ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
	ASSERT_TRUE(task_settles(&writer, TASK_BLOCKED));
	/* has flushed, as there is nothing, and waits for the lock */
	rd = (struct io_op){ fd, back, size, 0 };
	ASSERT_EQ(0, task_start(&reader, op_pread, &rd));
	ASSERT_TRUE(task_settles(&reader, TASK_BLOCKED));
	/* allocates, and cannot write */
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(map, page, 0, 1);
	sy = (struct io_op){ .fd = bfd };
	ASSERT_EQ(0, task_start(&syncer, op_fsync, &sy));
	ASSERT_TRUE(task_settles(&syncer, TASK_BLOCKED));

	pattern_fill(fill, page, 2 * page, 2);
	ASSERT_EQ(0, fill_page(uffd, late, fill));
	ASSERT_EQ(512, task_join(&writer, JOIN_SECONDS));
	EXPECT_TRUE(task_settles(&reader, TASK_BLOCKED));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(size, task_join(&reader, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&syncer, JOIN_SECONDS));
	EXPECT_PATTERN(back, page, 0, 1);
	munmap(map, page);
}

/* What the cache of the device has of a block must not come back over a new owner. */
TEST_F(dio_cache, alias_in_the_cache_of_the_device)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(bs), *junk = buf_alloc(bs);
	struct vol_map map;
	int fd, dev;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, bs, 0, 1);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, 0));
	ASSERT_EQ(0, vol_find(&self->v, 0, bs, 1, &map));
	ASSERT_EQ(0, ftruncate(fd, 0));
	vol_sync();
	/* dirty there, and free in the filesystem */
	dev = open(self->v.dev, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
	memset(junk, 0x66, bs);
	ASSERT_EQ(bs, pwrite(dev, junk, bs, map.e[0].sector * 512));
	pattern_fill(buf, bs, 0, 2);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, 0));
	ASSERT_EQ(0, fsync(dev));
	ASSERT_EQ(bs, pread(fd, buf, bs, 0));
	EXPECT_PATTERN(buf, bs, 0, 2);
	close(dev);
	/* it was the same block, or this was no test */
	ASSERT_EQ(0, vol_read_sector(&self->v, map.e[0].sector, buf));
	EXPECT_TRUE(pattern_stamped(buf, 0, 2));
}

/* The same of blocks that the file has not yet, but that are kept for it when it gets the one before them. */
TEST_F(dio_cache, aliases_of_a_window)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(4 * bs), *junk = buf_alloc(4 * bs);
	struct vol_map map;
	int fd, dev, i;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 4 * bs, 0, 1);
	ASSERT_EQ(4 * bs, pwrite(fd, buf, 4 * bs, 0));
	ASSERT_EQ(0, vol_find(&self->v, 0, bs, 1, &map));
	ASSERT_EQ(0, ftruncate(fd, 0));
	vol_sync();
	dev = open(self->v.dev, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
	memset(junk, 0x66, 4 * bs);
	ASSERT_EQ(4 * bs, pwrite(dev, junk, 4 * bs, map.e[0].sector * 512));
	pattern_fill(buf, 4 * bs, 0, 2);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(bs, pwrite(fd, buf + i * bs, bs, i * bs));
	ASSERT_EQ(0, fsync(dev));
	ASSERT_EQ(4 * bs, pread(fd, buf, 4 * bs, 0));
	EXPECT_PATTERN(buf, 4 * bs, 0, 2);
	close(dev);
	/* these were the same blocks, or this was no test */
	ASSERT_EQ(0, vol_read_sector(&self->v, map.e[0].sector + 3 * bs / 512, buf));
	EXPECT_TRUE(pattern_stamped(buf, 3 * bs, 2));
}

TEST_HARNESS_MAIN
