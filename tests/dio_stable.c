// SPDX-License-Identifier: GPL-2.0
/*
 * Devices that need stable pages, as they or what is above them computes checksums of the
 * data: what a program does to its buffer during a direct write does not come to the device.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "disk.h"
#include "harness.h"
#include "queue.h"

VOL_FIXTURE(dio_stable);
FIXTURE_VARIANT_ADD(dio_stable, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_stable, bs4k) { .conf = SMALL_4K };

/* From here on writes can be held, and reads are not. */
static int stable_and_routed(struct vol *v)
{
	int err = vol_route_writes(v);

	return err ? err : stable_writes(v->dev, true);
}

/* Overwrites by all that can be in flight, and how it is without stable pages. */
TEST_F(dio_stable, changed_in_flight)
{
	const size_t len = 300 * KIB;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	const enum way how[] = { ASYNC, URING };
	struct counters c = {};
	unsigned int i, n;
	struct queue q;
	int fd, stable;

	if (!env_is_retryfs())
		SKIP(return, "the data changes on other filesystems");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, stable_and_routed(&self->v));
	for (i = 0; i < 4; i++) {
		stable = i < 2;
		if (!queue_possible(how[i % 2]))
			continue;
		ASSERT_EQ(0, stable_writes(self->v.dev, stable));
		ASSERT_EQ(0, queue_setup(&q, how[i % 2]));
		pattern_fill(buf, len, 0, 2 * i);
		ASSERT_EQ(0, vol_counters(&self->v, &c));
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, queue_submit(&q, 0, true, fd, buf, len, 0));
		ASSERT_TRUE(queue_issued(&self->v, &c, 1));
		pattern_fill(buf, len, 0, 2 * i + 1);
		ASSERT_EQ(0, vol_release_routed(&self->v));
		ASSERT_EQ(len, queue_reap(&q, true, &n));
		ASSERT_EQ(0, queue_exit(&q));
		ASSERT_EQ(len, vol_read("f", O_DIRECT, back, len, 0));
		EXPECT_PATTERN(back, len, 0, stable ? 2 * i : 2 * i + 1);
	}
}

/* A write that waits: over data, and over EOF from the middle of one block to that of another. */
TEST_F(dio_stable, changed_by_another_thread)
{
	const size_t bs = self->v.bs, sector = 512, len = 9 * bs;
	const off_t at[] = { sector, 8 * bs + sector, 40 * bs };
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct task writer;
	struct io_op wr;
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "the data changes on other filesystems");
	ASSERT_EQ(0, vol_prefill("f", 0, 16 * bs, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, stable_and_routed(&self->v));
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		pattern_fill(buf, len, at[i], 2);
		wr = (struct io_op){ fd, buf, len, at[i] };
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
		ASSERT_BLOCKED(&writer);
		memset(buf, 0x5a, len);
		ASSERT_EQ(0, vol_release_routed(&self->v));
		ASSERT_EQ(len, task_join(&writer, JOIN_SECONDS));
		ASSERT_EQ(len, vol_read("f", O_DIRECT, back, len, at[i]));
		EXPECT_PATTERN(back, len, at[i], 2);
	}
	/* around all this: the first sector, and the zeroes up to the last write */
	ASSERT_EQ(sector, pread(fd, back, sector, 0));
	EXPECT_PATTERN(back, sector, 0, 1);
	memset(buf, 0, len);
	ASSERT_EQ(len, pread(fd, back, len, 20 * bs));
	EXPECT_SAME(back, buf, len, 20 * bs);
}

/* The data is what it is without copies: from odd memory, over data, EOF and a hole. */
TEST_F(dio_stable, pieces)
{
	enum { TOTAL = 1200 * 1024, MEM = 4 * 1024 * 1024 };
	char *mem = buf_alloc(MEM), *back = buf_alloc(TOTAL);
	unsigned int align = 0, offset = 0;
	struct iovec iov[400];
	enum way how;
	int fd, nr, n;
	size_t pos;

	nr = way_setup(mem, MEM);
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, stable_writes(self->v.dev, true));
	for (how = SYNC; how < nr; how++) {
		fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(TOTAL / 4, pwrite(fd, back, TOTAL / 4, 0));
		ASSERT_EQ(0, ftruncate(fd, TOTAL / 2));
		ASSERT_EQ(0, dio_align(fd, &align, &offset));
		n = way_cut(iov, mem, align, TOTAL);
		ASSERT_GT(ARRAY_SIZE(iov), n);
		for (pos = 0, n = 0; pos < TOTAL; pos += iov[n++].iov_len)
			pattern_fill(iov[n].iov_base, iov[n].iov_len, pos, how);
		ASSERT_EQ(TOTAL, way_rw(how, true, fd, iov, n, 0, 0));
		ASSERT_EQ(TOTAL, pread(fd, back, TOTAL, 0));
		ASSERT_PATTERN(back, TOTAL, 0, how);
		close(fd);
	}
}

/* Memory that ends in the middle of a request. */
TEST_F(dio_stable, memory_that_faults)
{
	const size_t page = 4096, begin = 512, whole = page - begin, len = 16 * KIB;
	char *buf = buf_alloc(len), *back = buf_alloc(len), *map;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, stable_writes(self->v.dev, true));
	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + page, page));
	pattern_fill(map, page, 0, 2);
	EXPECT_EQ(whole, pwrite(fd, map + begin, 8 * KIB, 0));
	EXPECT_EQ(-1, pwrite(fd, map + page, 8 * KIB, 8 * KIB));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_SAME(back, map + begin, whole, 0);
	pattern_fill(buf, len, 0, 1);
	EXPECT_SAME(back + whole, buf + whole, len - whole, whole);
}

/* A long request has copies of a part at a time: the submitter waits for the device. */
TEST_F(dio_stable, copies_are_limited)
{
	const size_t len = 6 * MIB;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct iocb cb, *cbs[] = { &cb };
	struct submit_op op;
	struct task submitter;
	struct io_event ev;
	aio_context_t ctx;
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "copies of retryfs");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, stable_and_routed(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, len, 0, 2);
	aio_prep_write(&cb, fd, buf, len, 0);
	op = (struct submit_op){ ctx, 1, cbs };
	ASSERT_EQ(0, task_start(&submitter, op_submit, &op));
	ASSERT_BLOCKED(&submitter);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, task_join(&submitter, JOIN_SECONDS));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
}

static long mem_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	long kib = -1;

	while (f && kib < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "MemAvailable: %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

/* Much more is written than may be missing afterwards. */
TEST_F(dio_stable, copies_are_freed)
{
	const size_t len = 4 * MIB;
	char *buf = buf_alloc(len);
	long before;
	int fd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, stable_writes(self->v.dev, true));
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	before = mem_available();
	ASSERT_LT(0, before);
	for (i = 0; i < 40; i++)
		ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	EXPECT_GT(mem_available(), before - 80 * 1024);
}

FIXTURE(dio_checked) {
	struct vol v;
	struct disk disk;
};

FIXTURE_SETUP(dio_checked)
{
	int err = disk_up(&self->disk, SCSI_DEBUG_PI, 512, 16);

	if (err == -ENOENT)
		SKIP(return, "no such disks here");
	ASSERT_EQ(0, err);
	if (!disk_has_checksums(&self->disk))
		SKIP(return, "a kernel without checksums of data");
	ASSERT_EQ(0, disk_vol_up(&self->disk, &self->v, &SMALL_1K));
}

FIXTURE_TEARDOWN(dio_checked)
{
	close_range(3, ~0U, 0);
	if (self->v.mounted) {
		EXPECT_EQ(0, vol_umount_soon(&self->v));
		EXPECT_EQ(0, vol_fsck(&self->v));
	}
	EXPECT_EQ(0, disk_down(&self->disk));
}

/*
 * The checksum is made when the write is submitted. The disk does one command at a time, so
 * the write is behind the read: if that is not over when the buffer has been changed, the
 * disk gets the data after that.
 */
TEST_F(dio_checked, disk_that_checks)
{
	const size_t len = 64 * KIB;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	bool in_time = false;
	struct queue q;
	unsigned int n;
	ssize_t res;
	int fd, i;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, vol_prefill("g", 0, len, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	/* the pointers to blocks are in memory */
	ASSERT_EQ(len, pread(fd, back, len, 0));
	ASSERT_EQ(0, disk_serialize(&self->disk));
	ASSERT_EQ(0, queue_setup(&q, ASYNC));
	ASSERT_EQ(0, disk_delay(&self->disk, 500000000));
	for (i = 0; i < 10 && !in_time; i++) {
		pattern_fill(buf, len, 0, 2);
		ASSERT_EQ(0, queue_submit(&q, 0, false, fd, back, 4 * KIB, 0));
		ASSERT_EQ(0, queue_submit(&q, 1, true, fd, buf, len, 0));
		memset(buf, 0x5a, len);
		res = queue_reap(&q, false, &n);
		in_time = res == -EAGAIN;
		if (in_time) {
			ASSERT_EQ(4 * KIB, queue_reap(&q, true, &n));
			ASSERT_EQ(0, n);
		} else {
			ASSERT_EQ(4 * KIB, res);
		}
		EXPECT_EQ(len, queue_reap(&q, true, &n));
		ASSERT_EQ(1, n);
	}
	ASSERT_TRUE(in_time);
	ASSERT_EQ(0, disk_delay(&self->disk, 0));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
}

TEST_HARNESS_MAIN
