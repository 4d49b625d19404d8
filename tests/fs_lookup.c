// SPDX-License-Identifier: GPL-2.0
/* Looking up blocks of a file, while others read or change what leads to them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "ext2.h"
#include "harness.h"
#include "stop.h"
#include "trace.h"

VOL_FIXTURE(fs_lookup);
FIXTURE_VARIANT_ADD(fs_lookup, bs1k) { .conf = SMALL_1K };

/* With blocks of 1 KiB: the first block below each of the blocks of pointers. */
#define FIRST	12
#define SECOND	(FIRST + 256)	/* below two */
#define THIRD	(SECOND + 256)
#define BLOCKS	(THIRD + 8)

/* The block of pointers to block @n of a file that is on the device. */
static int pointers_of(struct vol *v, const char *name, int n, struct vol_extent *e)
{
	uint32_t block, pointers;
	int err = ext2_block(v, name, n, &block, &pointers);

	*e = (struct vol_extent){
		.sector = pointers * (v->bs / 512), .len = v->bs / 512, .reads = true
	};
	return err ? err : pointers ? 0 : -ENODATA;
}

struct pwritev_op {
	int fd;
	const struct iovec *iov;	/* two */
	off_t pos;
};

static long op_pwritev(void *arg)
{
	const struct pwritev_op *op = arg;
	ssize_t n = pwritev(op->fd, op->iov, 2, op->pos);

	return n < 0 ? -errno : n;
}

/* Who needs a block of pointers waits for the device, and keeps nobody from others. */
TEST_F(fs_lookup, pointers_that_are_being_read)
{
	static const int others[] = { 0, FIRST, THIRD };
	const size_t bs = self->v.bs;
	char *held = buf_alloc(bs), *back = buf_alloc(bs);
	struct task reader, other;
	struct io_op rd, op;
	struct vol_map map = { .nr = 1 };
	int fd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, BLOCKS * bs, 1));
	ASSERT_EQ(0, pointers_of(&self->v, "f", SECOND, map.e));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	rd = (struct io_op){ .fd = fd, .buf = held, .len = bs, .off = SECOND * bs };
	ASSERT_EQ(0, task_start(&reader, op_pread, &rd));
	ASSERT_BLOCKED(&reader);
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		op = (struct io_op){ .fd = fd, .buf = back, .len = bs, .off = others[i] * bs };
		ASSERT_EQ(0, task_start(&other, op_pread, &op));
		if (!task_settles(&other, TASK_DONE))
			break;
		EXPECT_EQ(bs, task_join(&other, JOIN_SECONDS));
		EXPECT_PATTERN(back, bs, others[i] * bs, 1);
	}
	EXPECT_EQ(ARRAY_SIZE(others), i);
	EXPECT_FALSE(task_done(&reader));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(bs, task_join(&reader, JOIN_SECONDS));
	EXPECT_PATTERN(held, bs, SECOND * bs, 1);
	if (i < ARRAY_SIZE(others))
		EXPECT_EQ(bs, task_join(&other, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/*
 * A buffered write that fails in the middle frees what it has allocated beyond EOF while nobody is bringing
 * in pages of the file.
 */
TEST_F(fs_lookup, failed_write_beside_a_reader)
{
	const size_t bs = self->v.bs, part = 100;
	char *good = buf_alloc(bs), *held = buf_alloc(bs), *back = buf_alloc(bs);
	struct iovec iov[2] = { { good, part }, { .iov_len = part } };
	const off_t end = BLOCKS * bs;
	struct task reader, writer;
	struct pwritev_op wr;
	struct io_op rd;
	struct vol_map map = { .nr = 1 };
	int fd, random;

	ASSERT_EQ(0, vol_prefill("f", 0, BLOCKS * bs, 1));
	ASSERT_EQ(0, pointers_of(&self->v, "f", SECOND, map.e));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	random = vol_open("f", O_RDONLY);
	ASSERT_LE(0, random);
	ASSERT_EQ(0, posix_fadvise(random, 0, 0, POSIX_FADV_RANDOM));
	/* the first write looks for blocks beyond EOF */
	pattern_fill(good, bs, end, 1);
	ASSERT_EQ(bs, pwrite(fd, good, bs, end));
	iov[1].iov_base = mmap(NULL, bs, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, iov[1].iov_base);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	rd = (struct io_op){ .fd = random, .buf = held, .len = bs, .off = SECOND * bs };
	ASSERT_EQ(0, task_start(&reader, op_pread, &rd));
	ASSERT_BLOCKED(&reader);
	pattern_fill(good, bs, end + bs, 1);
	wr = (struct pwritev_op){ fd, iov, end + bs };
	ASSERT_EQ(0, task_start(&writer, op_pwritev, &wr));
	EXPECT_BLOCKED(&writer);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(bs, task_join(&reader, JOIN_SECONDS));
	EXPECT_PATTERN(held, bs, SECOND * bs, 1);
	EXPECT_EQ(part, task_join(&writer, JOIN_SECONDS));
	ASSERT_EQ(part, pread(fd, back, bs, end + bs));
	EXPECT_PATTERN(back, part, end + bs, 1);
	ASSERT_EQ(0, vol_unroute(&self->v));
}

enum { READERS = 32 };

static int by_sector(const void *a, const void *b)
{
	const struct vol_extent *e = a, *f = b;

	return (e->sector > f->sector) - (e->sector < f->sector);
}

/* The file has a block below each of so many blocks of pointers. Where these are. */
static int below_each(struct vol *v, const char *name, struct vol_map *map)
{
	char *buf = buf_alloc(v->bs);
	int fd = vol_open(name, O_CREAT | O_RDWR), i, err;

	for (i = 0; i < READERS; i++) {
		const off_t pos = (FIRST + 256 * i) * (off_t)v->bs;

		pattern_fill(buf, v->bs, pos, 1);
		if (pwrite(fd, buf, v->bs, pos) != v->bs)
			return -errno;
	}
	if (fsync(fd))
		return -errno;
	for (i = 0; i < READERS; i++) {
		err = pointers_of(v, name, FIRST + 256 * i, &map->e[i]);
		if (err)
			return err;
	}
	map->nr = READERS;
	qsort(map->e, map->nr, sizeof(*map->e), by_sector);
	return close(fd);
}

/* For how many of these has the block layer got a bio, as was traced? */
static int traced(const struct vol_map *map)
{
	bool seen[READERS] = {};
	unsigned long long sector;
	char line[512], *at;
	int i, nr = 0;
	FILE *f = trace_open();

	while (f && fgets(line, sizeof(line), f)) {
		at = strstr(line, ": block_bio_queue: ");
		if (!at || sscanf(at, ": block_bio_queue: %*d,%*d %*s %llu +", &sector) != 1)
			continue;
		for (i = 0; i < map->nr; i++)
			if (map->e[i].sector == sector)
				seen[i] = true;
	}
	if (f)
		fclose(f);
	for (i = 0; i < map->nr; i++)
		nr += seen[i];
	return nr;
}

/* Many who need different blocks of pointers wait for the device at the same time. */
TEST_F(fs_lookup, many_pointers_that_are_being_read)
{
	const size_t bs = self->v.bs;
	char *buf = buf_alloc(READERS * bs);
	struct task reader[READERS];
	struct io_op rd[READERS];
	struct vol_map map = {};
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "others may hold a lock");
	if (trace_write("trace", "\n"))
		SKIP(return, "no tracing");
	ASSERT_EQ(0, below_each(&self->v, "f", &map));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	trace_clear();
	ASSERT_EQ(0, trace_write("events/block/block_bio_queue/enable", "1"));
	for (i = 0; i < READERS; i++) {
		rd[i] = (struct io_op){
			.fd = fd, .buf = buf + i * bs, .len = bs, .off = (FIRST + 256 * i) * bs
		};
		ASSERT_EQ(0, task_start(&reader[i], op_pread, &rd[i]));
	}
	for (i = 0; i < READERS; i++)
		EXPECT_BLOCKED(&reader[i]);
	ASSERT_EQ(0, trace_write("events/block/block_bio_queue/enable", "0"));
	EXPECT_EQ(READERS, traced(&map));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	for (i = 0; i < READERS; i++) {
		EXPECT_EQ(bs, task_join(&reader[i], JOIN_SECONDS));
		EXPECT_PATTERN(rd[i].buf, bs, rd[i].off, 1);
	}
	ASSERT_EQ(0, vol_unroute(&self->v));
}

struct stopped_lookup {
	struct stop stop;
	int fd;
	int block;
};

/* The block of the volume that a block of the file is in, 0 for a hole; -errno. */
static long lookup_and_stop(void *arg)
{
	struct stopped_lookup *l = arg;
	int err = stop_me_at(&l->stop, "kprobes/rfs_getblk");

	if (err)
		return err;
	return ioctl(l->fd, FIBMAP, &l->block) ? -errno : l->block;
}

/*
 * A look-up has found a block of pointers, and is about to read it. The file is truncated, and the
 * block gets other contents, that could be pointers.
 */
TEST_F(fs_lookup, pointers_that_are_freed)
{
	const size_t bs = self->v.bs;
	struct stopped_lookup l;
	uint32_t pointers[256];
	struct vol_map map = { .nr = 1 };
	struct task task;
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "others hold a lock meanwhile");
	trace_write("kprobe_events", "-:rfs_getblk\n");
	if (trace_write("kprobe_events", "p:rfs_getblk bdev_getblk\n"))
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, vol_prefill("f", 0, (FIRST + 8) * bs, 1));
	ASSERT_EQ(0, pointers_of(&self->v, "f", FIRST, map.e));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	/* a block of data, by its number */
	for (i = 0; i < ARRAY_SIZE(pointers); i++)
		pointers[i] = 9000;

	ASSERT_EQ(0, stop_stay_away(&l.stop));
	l.fd = fd;
	l.block = FIRST;
	ASSERT_EQ(0, task_start(&task, lookup_and_stop, &l));
	ASSERT_TRUE(stop_wait(&l.stop, JOIN_SECONDS));
	ASSERT_EQ(0, ftruncate(fd, 0));
	ASSERT_EQ(0, vol_dev_write(&self->v, pointers, bs, map.e[0].sector * 512));
	ASSERT_TRUE(stop_go(&l.stop));
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	trace_write("kprobe_events", "-:rfs_getblk\n");
}

/* Where the pointers to a part of a file were, a look-up does not go once they are gone. */
TEST_F(fs_lookup, pointers_that_were_freed)
{
	const size_t bs = self->v.bs;
	uint32_t pointers[256];
	struct vol_map map = { .nr = 1 };
	int fd, block, i;

	ASSERT_EQ(0, vol_prefill("f", 0, (FIRST + 8) * bs, 1));
	ASSERT_EQ(0, pointers_of(&self->v, "f", FIRST, map.e));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	block = FIRST + 1;
	ASSERT_EQ(0, ioctl(fd, FIBMAP, &block));
	EXPECT_NE(0, block);
	ASSERT_EQ(0, ftruncate(fd, 0));
	for (i = 0; i < ARRAY_SIZE(pointers); i++)
		pointers[i] = 9000;
	ASSERT_EQ(0, vol_dev_write(&self->v, pointers, bs, map.e[0].sector * 512));
	ASSERT_EQ(0, ftruncate(fd, (FIRST + 8) * bs));
	block = FIRST;
	ASSERT_EQ(0, ioctl(fd, FIBMAP, &block));
	EXPECT_EQ(0, block);
	close(fd);
}

TEST_HARNESS_MAIN
