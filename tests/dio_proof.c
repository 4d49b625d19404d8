// SPDX-License-Identifier: GPL-2.0
/*
 * One case for each protection of direct I/O that the other programs would not
 * miss: it was taken out (tests/mutants), and they all passed. As in dio_rules,
 * what must not happen is given all the time it needs to happen.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "harness.h"
#include "trace.h"

VOL_FIXTURE(dio_proof);
FIXTURE_VARIANT_ADD(dio_proof, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_proof, bs4k) { .conf = VOL_4K };

#define PIECES	16

/* How long to wait for what is not to come, in milliseconds. */
#define NEVER	3000

/*
 * A file of PIECES pieces of @piece bytes, generation 1, with something else
 * between them on the disk, so that each needs a bio of its own.
 */
static int make_pieces(const char *name, size_t piece)
{
	char *buf = buf_alloc(piece);
	int fd = vol_open(name, O_CREAT | O_RDWR | O_DIRECT);
	int gd = vol_open("between", O_CREAT | O_RDWR | O_DIRECT);
	int i;

	if (fd < 0 || gd < 0)
		return -EIO;
	for (i = 0; i < PIECES; i++) {
		pattern_fill(buf, piece, i * piece, 1);
		if (pwrite(fd, buf, piece, i * piece) != (ssize_t)piece)
			return -EIO;
		pattern_fill(buf, piece, i * piece, 99);
		if (pwrite(gd, buf, piece, i * piece) != (ssize_t)piece)
			return -EIO;
	}
	close(gd);
	sync();
	return fd;
}

/*
 * R3 and R6: many bios, of which all but one end while somebody waits for them.
 * The submitter of a synchronous request sleeps on, and an asynchronous one has
 * no event, until the last one is there as well.
 */
TEST_F(dio_proof, all_bios_but_one)
{
	const size_t piece = 4 * self->v.bs, len = PIECES * piece;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct vol_map map;
	struct io_event ev;
	struct task writer;
	struct iocb cb;
	aio_context_t ctx;
	struct io_op wr;
	int fd, i;

	fd = make_pieces("f", piece);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_find(&self->v, len - piece, piece, 1, &map));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, vol_hold(&self->v));
		pattern_fill(buf, len, 0, 2 + i);
		if (i) {
			aio_prep_write(&cb, fd, buf, len, 0);
			ASSERT_EQ(0, aio_submit_one(ctx, &cb));
		} else {
			wr = (struct io_op){ fd, buf, len, 0 };
			ASSERT_EQ(0, task_start(&writer, op_pwrite, &wr));
			ASSERT_TRUE(task_settles(&writer, TASK_BLOCKED));
		}
		/* all go, and the last one gets no further than the second device */
		ASSERT_EQ(0, vol_release(&self->v));
		ASSERT_TRUE(i ? aio_events(ctx, 1, 1, &ev, NEVER) == 0 :
				task_settles(&writer, TASK_BLOCKED));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		if (i) {
			ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
			EXPECT_EQ(len, ev.res);
		} else {
			EXPECT_EQ(len, task_join(&writer, JOIN_SECONDS));
		}
		memset(buf, 0x77, len);
		ASSERT_EQ(len, pread(fd, back, len, 0));
		EXPECT_PATTERN(back, len, 0, 2 + i);
	}
}

/* A request without a single bio: nobody will kick it. */
TEST_F(dio_proof, async_without_bios)
{
	const size_t len = 64 * KIB;
	char *back = buf_alloc(len);
	struct io_event ev;
	struct iocb cb;
	aio_context_t ctx;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, len));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	memset(back, 0xaa, len);
	aio_prep_read(&cb, fd, back, len, 0);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, NEVER));
	EXPECT_EQ(len, ev.res);
	EXPECT_ZERO(back, len, 0);
}

/* Flushes that the disk has done: the 16th number. */
static long flushes(void)
{
	const char *dev = strrchr(env_dev(), '/') + 1;
	char path[64];
	long n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", dev);
	f = fopen(path, "re");
	if (!f)
		return -1;
	if (fscanf(f, "%*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %ld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

/* What an asynchronous overwrite promised to sync is flushed before its event. */
TEST_F(dio_proof, dsync_by_the_retry)
{
	const size_t len = 16 * KIB;
	char *buf = buf_alloc(len);
	long before, plain;
	struct iocb cb;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	before = flushes();
	ASSERT_LT(0, before) TH_LOG("a disk that is never flushed shows nothing");

	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(len, aio_do(&cb));
	plain = flushes();
	EXPECT_EQ(before, plain);

	aio_prep_write(&cb, fd, buf, len, 0);
	cb.aio_rw_flags = RWF_DSYNC;
	ASSERT_EQ(len, aio_do(&cb));
	EXPECT_LT(plain, flushes());

	before = flushes();
	aio_prep_write(&cb, fd, buf, len, 0);
	cb.aio_rw_flags = RWF_SYNC;
	ASSERT_EQ(len, aio_do(&cb));
	EXPECT_LT(before, flushes());
}

/* What was stored behind the end through a mapping is not in the file later. */
TEST_F(dio_proof, stores_behind_the_end)
{
	const off_t bs = self->v.bs, end = 2 * bs + 100, at = 4 * bs;
	char *buf = buf_alloc(bs), *back = buf_alloc(64 * KIB), *map;
	int i, fd;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_prefill("f", 0, end, 1));
		fd = vol_open("f", O_RDWR | (i ? O_DIRECT : 0));
		ASSERT_LE(0, fd);
		map = mmap(NULL, 3 * bs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		memset(map + end, 0x55, 3 * bs - end);
		pattern_fill(buf, bs, at, 2);
		ASSERT_EQ(bs, pwrite(fd, buf, bs, at));
		ASSERT_EQ(at + bs, pread(fd, back, 64 * KIB, 0));
		EXPECT_PATTERN(back, end, 0, 1);
		EXPECT_ZERO(back + end, at - end, end);
		EXPECT_PATTERN(back + at, bs, at, 2);
		munmap(map, 3 * bs);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

/*
 * The last block of the file has something behind its end on the disk: zeros as a
 * rule, but whoever wrote the volume may have left anything there. It must not
 * come into sight when the file grows.
 */
TEST_F(dio_proof, old_tail_on_the_device)
{
	const off_t bs = self->v.bs, end = 2 * bs + 100, at = 4 * bs;
	char *buf = buf_alloc(bs), *back = buf_alloc(64 * KIB), *junk = buf_alloc(512);
	struct vol_map map;
	int i, fd, dev;

	dev = open(self->v.dev, O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, dev);
	poison_fill(junk, 512);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_prefill("f", 0, end, 1 + i));
		ASSERT_EQ(0, vol_find(&self->v, 2 * bs, 512, 1 + i, &map));
		ASSERT_EQ(0, vol_remount(&self->v));
		ASSERT_EQ(512, pwrite(dev, junk, 512, (map.e[0].sector + 1) * 512));
		fd = vol_open("f", O_RDWR | (i ? O_DIRECT : 0));
		ASSERT_LE(0, fd);
		pattern_fill(buf, bs, at, 3);
		ASSERT_EQ(bs, pwrite(fd, buf, bs, at));
		ASSERT_EQ(at + bs, pread(fd, back, 64 * KIB, 0));
		EXPECT_PATTERN(back, end, 0, 1 + i);
		EXPECT_ZERO(back + end, at - end, end);
		EXPECT_PATTERN(back + at, bs, at, 3);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
	close(dev);
}

/*
 * A new block is written in part. What is behind the end of the file then has to
 * be zeros on the disk too: a mapping shows it, as far as its page goes.
 */
TEST_F(dio_proof, new_tail_in_a_mapping)
{
	char *buf = buf_alloc(4096), *map;
	struct vol_map where;
	int fd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 512, 0, 1);
	ASSERT_EQ(512, pwrite(fd, buf, 512, 0));
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_PATTERN(map, 512, 0, 1);
	EXPECT_ZERO(map + 512, 4096 - 512, 512);
	ASSERT_EQ(0, vol_find(&self->v, 0, 512, 1, &where));
	ASSERT_EQ(0, vol_read_sector(&self->v, where.e[0].sector + 1, buf));
	EXPECT_ZERO(buf, 512, 512);
	munmap(map, 4096);
}

/*
 * R7: memory ends in the middle of an asynchronous extend, with bios in flight.
 * Nobody but the submitter can move i_size and give back what was allocated for
 * the rest: it waits.
 */
TEST_F(dio_proof, error_is_waited_for)
{
	const size_t good = 32 * KIB, len = 64 * KIB;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct iocb cb, *list[] = { &cb };
	struct submit_op sub = { 0, 1, list };
	struct task submitter;
	struct io_event ev;
	struct stat st;
	ssize_t n;
	int fd;

	/* so that the bitmaps that are needed are in memory */
	ASSERT_EQ(0, vol_prefill("g", 0, len, 9));
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	sync();
	pattern_fill(buf, good, 0, 1);
	ASSERT_EQ(0, mprotect(buf + good, len - good, PROT_NONE));
	ASSERT_EQ(0, aio_setup(1, &sub.ctx));
	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(0, vol_hold(&self->v));
	ASSERT_EQ(0, task_start(&submitter, op_submit, &sub));
	EXPECT_TRUE(task_settles(&submitter, TASK_BLOCKED));
	EXPECT_EQ(0, aio_events(sub.ctx, 0, 1, &ev, 0));
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(1, task_join(&submitter, JOIN_SECONDS));
	ASSERT_EQ(1, aio_events(sub.ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	n = ev.res;
	ASSERT_TRUE(n > 0 && n <= (ssize_t)good) TH_LOG("returned %zd", n);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(n, st.st_size);
	ASSERT_EQ(n, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, n, 0, 1);
}

/* What the cache of the device has of a block must not come back over a new owner. */
TEST_F(dio_proof, alias_in_the_cache_of_the_device)
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
	sync();
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

/*
 * A direct write of one part of a block is under way, a buffered write of another
 * part comes: it needs the whole block in the page cache, and must not write the
 * first part back as it was before.
 */
TEST_F(dio_proof, two_parts_of_a_block)
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

/* A page that whoever touches it waits for, until it is filled. */
static int unfilled_page(void **page)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		return -errno;
	*page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)*page;
	reg.range.len = 4096;
	if (*page == MAP_FAILED || ioctl(uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	return uffd;
}

static int fill_page(int uffd, void *page, const void *from)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)page, .src = (uintptr_t)from, .len = 4096,
	};

	return ioctl(uffd, UFFDIO_COPY, &copy) ? -errno : 0;
}

/*
 * A direct read flushes the page cache, and then waits for the inode lock to look
 * up its blocks. Meanwhile a hole becomes a block, whose data is still on its way
 * to the device: the read must wait for that, and not read what was there before.
 */
TEST_F(dio_proof, block_that_comes_before_its_data)
{
	const off_t page = 4096, size = 3 * page;
	char *back = buf_alloc(page), *fill = buf_alloc(page), *map;
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
	rd = (struct io_op){ fd, back, page, 0 };
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
	EXPECT_EQ(page, task_join(&reader, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&syncer, JOIN_SECONDS));
	EXPECT_PATTERN(back, page, 0, 1);
	munmap(map, page);
}

/* R1: the kiocb is given back with nothing hanging on it. */
TEST_F(dio_proof, private_is_null_at_the_end)
{
	const size_t len = 16 * KIB;
	char *buf = buf_alloc(len), line[512];
	int i, events = 0, fd;
	struct iocb cb;
	FILE *f;

	/* struct kiocb: the file, the position, the function, and then it */
	trace_write("kprobe_events", "-:rfs_done\n");
	if (trace_write("kprobe_events", "p:rfs_done aio_complete_rw private=+24(%di):x64\n"))
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	trace_clear();
	ASSERT_EQ(0, trace_write("events/kprobes/rfs_done/enable", "1"));
	for (i = 0; i < 4; i++) {
		if (i & 1)
			aio_prep_write(&cb, fd, buf, len, 0);
		else
			aio_prep_read(&cb, fd, buf, len, 0);
		EXPECT_EQ(len, aio_do(&cb));
	}
	ASSERT_EQ(0, trace_write("events/kprobes/rfs_done/enable", "0"));
	f = trace_open();
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || !strstr(line, "rfs_done"))
			continue;
		events++;
		EXPECT_NE(NULL, strstr(line, "private=0x0\n")) TH_LOG("%s", line);
	}
	fclose(f);
	EXPECT_EQ(4, events);
	trace_write("kprobe_events", "-:rfs_done\n");
}

enum { BIOS_MAX = 4 * PIECES };

/* Is the line about a bio for some of these sectors, or about a flush? */
static bool is_bio_for(const char *line, const struct vol_extent *e, int nr)
{
	unsigned long long sector;
	unsigned int len;
	char rwbs[16];
	int i;

	line = strstr(line, ": block_bio_queue: ");
	if (!line || sscanf(line, ": block_bio_queue: %*d,%*d %15s %llu + %u", rwbs, &sector,
			    &len) != 3)
		return false;
	for (i = 0; i < nr; i++)
		if (sector < e[i].sector + e[i].len && e[i].sector < sector + len)
			return true;
	return rwbs[0] == 'F';
}

/*
 * R2, as the trace points tell it: a request is submitted once, its bios are
 * issued before the retry and none after it, and it is completed once. The block
 * layer sees the same: nothing after the retry, by whatever way.
 */
TEST_F(dio_proof, the_retry_issues_nothing)
{
	const size_t piece = 4 * self->v.bs, len = PIECES * piece;
	int submits = 0, bios = 0, queued = 0, retries = 0, completes = 0, fd;
	char *buf = buf_alloc(len), line[512];
	struct vol_extent e[BIOS_MAX] = {};
	struct io_event ev;
	struct iocb cb;
	aio_context_t ctx;
	FILE *f;

	if (!env_is_retryfs())
		SKIP(return, "trace points of retryfs");
	if (trace_write("trace", "\n"))
		SKIP(return, "no tracing");
	fd = make_pieces("f", piece);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, aio_setup(1, &ctx));
	trace_clear();
	ASSERT_EQ(0, trace_write("events/retryfs/enable", "1"));
	ASSERT_EQ(0, trace_write("events/block/block_bio_queue/enable", "1"));
	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	ASSERT_EQ(0, trace_write("events/block/block_bio_queue/enable", "0"));
	ASSERT_EQ(0, trace_write("events/retryfs/enable", "0"));
	f = trace_open();
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#')
			continue;
		submits += !!strstr(line, ": retryfs_dio_submit: ");
		retries += !!strstr(line, ": retryfs_dio_retry: ");
		completes += !!strstr(line, ": retryfs_dio_complete: ");
		if (strstr(line, ": retryfs_dio_bio: ")) {
			const char *bytes = strstr(line, " len "), *sector = strstr(line, " sector ");

			ASSERT_GT(BIOS_MAX, bios);
			ASSERT_NE(NULL, bytes);
			ASSERT_NE(NULL, sector);
			e[bios].sector = strtoull(sector + strlen(" sector "), NULL, 10);
			e[bios++].len = strtoull(bytes + strlen(" len "), NULL, 10) / 512;
			EXPECT_EQ(0, retries) TH_LOG("%s", line);
		} else if (is_bio_for(line, e, bios)) {
			queued++;
			EXPECT_EQ(0, retries) TH_LOG("%s", line);
		}
	}
	fclose(f);
	EXPECT_EQ(1, submits);
	EXPECT_LE(1, bios);
	EXPECT_LE(bios, queued);
	EXPECT_EQ(1, retries);
	EXPECT_EQ(1, completes);
}

/* R14: io_cancel(2) neither frees a request nor keeps its event back, nor doubles it. */
TEST_F(dio_proof, cancel_in_flight)
{
	const off_t bs = self->v.bs, len = 8 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct io_event ev;
	aio_context_t ctx;
	struct iocb cb;
	int i, fd;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, aio_setup(1, &ctx));
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	pattern_fill(buf, len, 0, 2);
	aio_prep_write(&cb, fd, buf, len, 0);
	ASSERT_EQ(0, aio_submit_one(ctx, &cb));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-1, syscall(SYS_io_cancel, ctx, &cb, &ev));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, &ev, JOIN_SECONDS * 1000));
	EXPECT_EQ(len, ev.res);
	EXPECT_EQ(-1, syscall(SYS_io_cancel, ctx, &cb, &ev));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, &ev, 0));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
	EXPECT_EQ(0, aio_destroy(ctx));
}

/* Blocks that were looked up, and freed, are another's: a look-up does not find them again. */
TEST_F(dio_proof, freed_blocks_are_forgotten)
{
	const size_t bs = self->v.bs, len = 64 * bs, kept = 20 * bs;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	int fd, gd;

	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	gd = vol_open("g", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, gd);
	pattern_fill(buf, len, 0, 1);
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	ASSERT_EQ(0, ftruncate(fd, kept));
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(len, pwrite(gd, buf, len, 0));
	ASSERT_EQ(0, ftruncate(fd, len));
	ASSERT_EQ(len, pread(fd, back, len, 0));
	EXPECT_PATTERN(back, kept, 0, 1);
	EXPECT_ZERO(back + kept, len - kept, kept);
	/* and what is written there now is nobody else's */
	pattern_fill(buf, len, 0, 3);
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	ASSERT_EQ(len, pread(gd, back, len, 0));
	EXPECT_PATTERN(back, len, 0, 2);
}

TEST_HARNESS_MAIN
