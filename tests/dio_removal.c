// SPDX-License-Identifier: GPL-2.0
/*
 * The disk is taken out of the machine with requests in flight. What a failing device
 * does is in dio_errors and dio_load: this one is not there any more, the block layer
 * has taken it away from under the filesystem, and reported that.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "blocks.h"
#include "disk.h"
#include "harness.h"
#include "queue.h"

#define LEN	(8 * KIB)
#define NR	16	/* requests of each queue */
#define REGION	(NR * LEN)
#define PIECE	(LEN / 2)
#define SECTOR	512	/* is written wholly or not at all */

FIXTURE(dio_removal) {
	struct vol v;
	struct disk disk;
};

FIXTURE_VARIANT(dio_removal) {
	unsigned int sector;
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_removal, bs1k) { .sector = 512, .conf = VOL_1K };
FIXTURE_VARIANT_ADD(dio_removal, bs4k) { .sector = 4096, .conf = VOL_4K };
FIXTURE_VARIANT_ADD(dio_removal, async_alloc) { .sector = 512, .conf = ASYNC_ALLOC_1K };

FIXTURE_SETUP(dio_removal)
{
	int err = disk_up(&self->disk, SCSI_DEBUG, variant->sector, 16);

	if (err == -ENOENT)
		SKIP(return, "no such disks here");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, disk_vol_up(&self->disk, &self->v, &variant->conf));
}

FIXTURE_TEARDOWN(dio_removal)
{
	close_range(3, ~0U, 0);
	if (self->v.mounted)
		EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, disk_down(&self->disk));
}

/* Put the disk back, repair what had still to be written, and mount it. */
static void bring_back(struct __test_metadata *_metadata, struct vol *v, struct disk *d)
{
	int status;

	/* the device is gone, and umount has no way to report that: it succeeds */
	ASSERT_EQ(0, vol_umount_soon(v));
	ASSERT_EQ(0, disk_rescan(d));
	snprintf(v->dev, sizeof(v->dev), "%s", d->node);
	status = run(1, (const char *const[]){ "e2fsck", "-f", "-y", v->dev, NULL });
	EXPECT_TRUE(status == 0 || status == 1);
	EXPECT_EQ(0, vol_fsck(v));
	ASSERT_EQ(0, vol_mount(v, env_fstype(), 0, NULL));
}

/* What the disk says while it goes is for the block layer to say; then it is EIO. */
static bool is_gone(ssize_t res)
{
	return res == -EIO || res == -ENODEV;
}

/* Without a device: whatever needs it fails with EIO, by all ways. */
static void check_gone(struct __test_metadata *_metadata, int fd, int uncached)
{
	char *buf = buf_alloc(2 * LEN);
	enum way how;
	int nr;

	nr = way_setup(buf, 2 * LEN);
	ASSERT_LT(0, nr);
	for (how = SYNC; how < nr; how++) {
		EXPECT_EQ(-EIO, do_read(how, fd, buf, LEN, 0));
		EXPECT_EQ(-EIO, do_write(how, fd, buf, LEN, 0));
		/* an extend */
		EXPECT_EQ(-EIO, do_write(how, fd, buf, LEN, file_size(fd)));
	}
	EXPECT_EQ(-1, pread(uncached, buf, LEN, 0));
	EXPECT_EQ(EIO, errno);
	/* the volume is shut down */
	EXPECT_EQ(-1, pwrite(uncached, buf, LEN, 0));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, fsync(uncached));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-EIO, vol_open("f", O_RDONLY));
	EXPECT_TRUE(vol_shows("shutdown"));
}

struct request {
	char *buf;
	off_t pos;
	bool write;
	ssize_t res;	/* -EINPROGRESS before its event */
};

/* Overwrites and reads by turns, of generation 1; the device takes its time. */
static void fill_queue(struct __test_metadata *_metadata, struct queue *q, struct request *r,
		       int fd, off_t base)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		r[i] = (struct request){ buf_alloc(LEN), base + i * LEN, i & 1, -EINPROGRESS };
		if (r[i].write)
			pattern_fill(r[i].buf, LEN, r[i].pos, 2);
		ASSERT_EQ(0, queue_submit(q, i, r[i].write, fd, r[i].buf, LEN, r[i].pos));
	}
}

static void drain_queue(struct __test_metadata *_metadata, struct queue *q, struct request *r)
{
	unsigned int n, i;
	ssize_t res;

	for (n = 0; n < NR; n++) {
		res = queue_reap(q, true, &i);
		ASSERT_GT(NR, i);
		ASSERT_EQ(-EINPROGRESS, r[i].res) TH_LOG("request %u ended twice", i);
		r[i].res = res;
		/* less than all of it if the first of its bios came to the disk, and the second did not */
		EXPECT_TRUE((res > 0 && res <= (ssize_t)LEN) || is_gone(res))
			TH_LOG("request %u: %zd", i, res);
		if (res > 0 && !r[i].write)
			EXPECT_PATTERN(r[i].buf, res, r[i].pos, 1);
	}
	EXPECT_EQ(-EAGAIN, queue_reap(q, false, &i));
}

static void check_queue(struct __test_metadata *_metadata, const struct request *r)
{
	char *back = buf_alloc(LEN);
	unsigned int i;

	for (i = 0; i < NR; i++) {
		ASSERT_EQ(LEN, vol_read("f", O_DIRECT, back, LEN, r[i].pos));
		if (r[i].write && r[i].res > 0)
			EXPECT_PATTERN(back, r[i].res, r[i].pos, 2);
		if (!r[i].write)
			EXPECT_PATTERN(back, LEN, r[i].pos, 1);
	}
}

static long op_delete(void *arg)
{
	return disk_delete(arg);
}

static unsigned int in_flight(const struct disk *d)
{
	unsigned int reads = 0, writes = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/inflight", d->name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%u %u", &reads, &writes) != 2)
		reads = writes = 0;
	fclose(f);
	return reads + writes;
}

/*
 * Both queues are full, and each command takes the disk as long as the driver lets it:
 * it is taken away from under them.
 */
TEST_F(dio_removal, with_full_queues)
{
	const enum way how[] = { ASYNC, URING };
	struct request r[2][NR];
	struct task removal;
	struct queue q[2];
	int fd, bfd, i, nr;
	struct stat st;

	nr = queue_possible(URING) ? 2 : 1;
	ASSERT_EQ(0, vol_prefill("f", 0, 2 * REGION, 1));
	ASSERT_EQ(0, vol_prefill("g", 0, REGION, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("g", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, bfd);
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, queue_setup(&q[i], how[i]));
	ASSERT_EQ(0, disk_slow(&self->disk));
	for (i = 0; i < nr; i++)
		fill_queue(_metadata, &q[i], r[i], fd, i * REGION);
	ASSERT_LT(0, in_flight(&self->disk));
	ASSERT_EQ(0, task_start(&removal, op_delete, &self->disk));
	for (i = 0; i < nr; i++)
		drain_queue(_metadata, &q[i], r[i]);
	ASSERT_EQ(0, task_join(&removal, JOIN_SECONDS));

	check_gone(_metadata, fd, bfd);
	EXPECT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(2 * REGION, st.st_size);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(0, queue_exit(&q[i]));
	close(fd);
	close(bfd);
	ASSERT_EQ(0, disk_delay(&self->disk, 0));
	bring_back(_metadata, &self->v, &self->disk);
	for (i = 0; i < nr; i++)
		check_queue(_metadata, r[i]);
	EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
}

static bool is_zero_or_written(const char *buf, size_t len, off_t pos)
{
	size_t at;

	for (at = 0; at < len; at += SECTOR)
		if (zero_diff(buf + at, SECTOR, pos + at) && pattern_diff(buf + at, SECTOR, pos + at, 1))
			return false;
	return true;
}

/*
 * The queues are full of appends and of writes to holes: the blocks of both are given back. Nobody has synced
 * what may have been written of them; whatever there is of it later is data, and not what the blocks held before.
 */
TEST_F(dio_removal, with_new_blocks)
{
	const enum way how[] = { ASYNC, URING };
	char *back = buf_alloc(REGION);
	off_t size[2] = { LEN, REGION }, at;
	int fd[2], bfd, nr, f;
	struct counters c0;
	struct task removal;
	struct queue q[2];
	unsigned int i, n;
	struct stat st;
	ssize_t res;

	if (!vol_shows(",async_alloc"))
		SKIP(return, "the submitter waits for each");
	nr = queue_possible(URING) ? 2 : 1;
	ASSERT_EQ(0, vol_prefill("append", 0, LEN, 1));
	ASSERT_EQ(0, vol_prefill("fill", 0, REGION, 1));
	ASSERT_EQ(0, vol_prefill("g", 0, REGION, 1));
	fd[0] = vol_open("append", O_RDWR | O_DIRECT);
	fd[1] = vol_open("fill", O_RDWR | O_DIRECT);
	bfd = vol_open("g", O_RDWR);
	/* blocks of pointers stay in memory */
	ASSERT_EQ(0, ftruncate(fd[1], LEN));
	ASSERT_EQ(0, ftruncate(fd[1], REGION));
	vol_sync();
	ASSERT_EQ(0, vol_counters(&self->v, &c0));
	ASSERT_EQ(0, disk_slow(&self->disk));
	for (f = 0; f < nr; f++) {
		ASSERT_EQ(0, queue_setup(&q[f], how[f]));
		for (i = 1; i < NR; i++) {
			char *data = buf_alloc(LEN);

			pattern_fill(data, LEN, i * LEN, 1);
			ASSERT_EQ(0, queue_submit(&q[f], i, true, fd[f], data, LEN, i * LEN));
		}
	}
	EXPECT_TRUE(queue_issued(&self->v, &c0, nr * (NR - 1)));
	ASSERT_LT(0, in_flight(&self->disk));
	for (f = 0; f < nr; f++)
		EXPECT_EQ(size[f], file_size(fd[f]));
	ASSERT_EQ(0, task_start(&removal, op_delete, &self->disk));
	for (f = 0; f < nr; f++) {
		bool ended[NR] = {};

		for (n = 1; n < NR; n++) {
			res = queue_reap(&q[f], true, &i);
			ASSERT_GT(NR, i);
			EXPECT_FALSE(ended[i]);
			ended[i] = true;
			EXPECT_TRUE((res > 0 && res <= (ssize_t)LEN) || is_gone(res));
			if (res > 0 && size[f] < i * LEN + res)
				size[f] = i * LEN + res;
		}
		EXPECT_EQ(-EAGAIN, queue_reap(&q[f], false, &i));
	}
	ASSERT_EQ(0, task_join(&removal, JOIN_SECONDS));
	for (f = 0; f < nr; f++) {
		EXPECT_EQ(0, fstat(fd[f], &st));
		EXPECT_EQ(size[f], st.st_size);
		EXPECT_EQ(0, queue_exit(&q[f]));
	}
	check_gone(_metadata, fd[0], bfd);
	close_range(3, ~0U, 0);
	ASSERT_EQ(0, disk_delay(&self->disk, 0));
	bring_back(_metadata, &self->v, &self->disk);
	for (f = 0; f < 2; f++) {
		res = vol_read(f ? "fill" : "append", 0, back, REGION, 0);
		ASSERT_LE((ssize_t)LEN, res);
		EXPECT_PATTERN(back, LEN, 0, 1);
		for (at = LEN; at < res; at += LEN)
			EXPECT_TRUE(is_zero_or_written(back + at, LEN, at)) TH_LOG("at %lld", (long long)at);
	}
	EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
}

/* The disk goes in the middle of a write: what counts is what came to it before that. */
TEST_F(dio_removal, in_the_middle)
{
	const size_t len = 16 * PIECE;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	struct task removal;
	struct queue q;
	unsigned int i;
	ssize_t res;
	off_t pos;
	int fd;

	fd = make_pieces(&self->v, "f", PIECE, len / PIECE);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	/* so that the indirect blocks are cached */
	ASSERT_EQ(len, pread(fd, back, len, 0));
	ASSERT_EQ(0, queue_setup(&q, ASYNC));
	/* the bios would take a quarter of a minute, one after the other */
	ASSERT_EQ(0, disk_no_merges(&self->disk));
	ASSERT_EQ(0, disk_serialize(&self->disk));
	ASSERT_EQ(0, disk_delay(&self->disk, 900000000));
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(0, queue_submit(&q, 0, true, fd, buf, len, 0));
	ASSERT_EQ(0, task_start(&removal, op_delete, &self->disk));
	res = queue_reap(&q, true, &i);
	ASSERT_EQ(0, task_join(&removal, JOIN_SECONDS));
	ASSERT_EQ(0, queue_exit(&q));
	close(fd);
	ASSERT_EQ(0, disk_delay(&self->disk, 0));
	bring_back(_metadata, &self->v, &self->disk);

	EXPECT_LT(0, res);
	EXPECT_GT((ssize_t)len, res);
	ASSERT_EQ(len, vol_read("f", O_DIRECT, back, len, 0));
	for (pos = 0; pos < len; pos += PIECE)
		EXPECT_PATTERN(back + pos, PIECE, pos, pos < res ? 2 : 1);
	EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
}

/*
 * A thread with a queue that is never empty: overwrites of one piece of the file, of
 * growing generations, and a file of its own that it extends.
 */
struct worker {
	struct queue q;
	unsigned int id;
	int fd, own;
	off_t base;
	uint64_t last[NR];		/* what was asked for */
	uint64_t ok[NR][LEN / SECTOR];	/* what counted, of each sector */
	off_t end;
	struct load *l;
	const char *wrong;
};

#define WORKERS	4
#define MOVES	400	/* requests before it goes, and after */

struct load {
	struct worker w[WORKERS];
	unsigned long ended, failed, stop;
};

static unsigned long get(unsigned long *n)
{
	return __atomic_load_n(n, __ATOMIC_ACQUIRE);
}

static long work(void *arg)
{
	static __thread char *buf[NR];
	struct worker *w = arg;
	struct load *l = w->l;
	bool busy[NR] = {};
	unsigned int i, s, queued = 0;
	ssize_t n;

	for (i = 0; i < NR; i++)
		buf[i] = buf_alloc(LEN);
	do {
		for (i = 0; i < NR && !get(&l->stop); i++) {
			const off_t pos = i ? w->base + i * LEN : w->end;

			if (busy[i])
				continue;
			pattern_fill(buf[i], LEN, pos, i ? ++w->last[i] : 1);
			if (queue_submit(&w->q, i, true, i ? w->fd : w->own, buf[i], LEN, pos)) {
				w->wrong = "a request was not taken";
				return -EIO;
			}
			busy[i] = true;
			queued++;
		}
		if (!queued)
			break;
		i = NR;
		n = queue_reap(&w->q, true, &i);
		if (i >= NR || !busy[i]) {
			w->wrong = "an event of no request";
			return n;
		}
		if (!is_gone(n) && (n <= 0 || n > (ssize_t)LEN))
			w->wrong = "neither a count nor an error of the device";
		if (w->wrong)
			return n;
		busy[i] = false;
		queued--;
		for (s = 0; i && n > 0 && s < n / SECTOR; s++)
			w->ok[i][s] = w->last[i];
		if (!i && n > 0)
			w->end += n;
		if (n < 0)
			__atomic_add_fetch(&l->failed, 1, __ATOMIC_RELEASE);
		__atomic_add_fetch(&l->ended, 1, __ATOMIC_RELEASE);
	} while (true);
	if (queue_reap(&w->q, false, &i) != -EAGAIN)
		w->wrong = "more events than requests";
	return w->wrong ? -EIO : 0;
}

/* Until so many have come; a load that stands still is found by the limit of the test. */
static bool reaches(struct load *l, struct task *t, unsigned long *what, unsigned long nr)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int i;

	while (get(what) < nr) {
		for (i = 0; i < WORKERS; i++)
			if (task_done(&t[i]))
				return false;
		nanosleep(&ms, NULL);
	}
	return true;
}

/*
 * What counted is on the disk, or what was asked for after that. A request of which less counted
 * may be there in part: each sector by itself is of one or the other.
 */
static void check_slot(struct __test_metadata *_metadata, const struct worker *w, unsigned int i,
		       const char *back)
{
	unsigned int s;
	uint64_t gen;

	for (s = 0; s < LEN / SECTOR; s++) {
		const off_t pos = w->base + i * LEN + s * SECTOR;

		for (gen = w->ok[i][s]; gen < w->last[i]; gen++)
			if (!pattern_diff(back + s * SECTOR, SECTOR, pos, gen))
				break;
		EXPECT_PATTERN(back + s * SECTOR, SECTOR, pos, gen);
	}
}

TEST_F_TIMEOUT(dio_removal, under_load, 600)
{
	struct load *l = calloc(1, sizeof(*l));
	char *back = buf_alloc(LEN), name[16];
	struct task t[WORKERS];
	unsigned int i, s, id;
	int fd, bfd;

	ASSERT_NE(NULL, l);
	/* so that each request takes two commands at least, and the disk goes between those of many */
	ASSERT_EQ(0, disk_no_merges(&self->disk));
	fd = make_pieces(&self->v, "f", PIECE, WORKERS * REGION / PIECE);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_prefill("g", 0, REGION, 1));
	for (id = 0; id < WORKERS; id++) {
		snprintf(name, sizeof(name), "own%u", id);
		ASSERT_EQ(0, vol_prefill(name, 0, LEN, 1));
	}
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	bfd = vol_open("g", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, bfd);
	for (id = 0; id < WORKERS; id++) {
		struct worker *w = &l->w[id];

		snprintf(name, sizeof(name), "own%u", id);
		*w = (struct worker){ .l = l, .id = id, .fd = fd, .base = id * REGION, .end = LEN };
		for (i = 0; i < NR; i++) {
			w->last[i] = 1;
			for (s = 0; s < LEN / SECTOR; s++)
				w->ok[i][s] = 1;
		}
		w->own = vol_open(name, O_RDWR | O_DIRECT);
		ASSERT_LE(0, w->own);
		ASSERT_EQ(0, queue_setup(&w->q, id & 1 && queue_possible(URING) ? URING : ASYNC));
	}
	ASSERT_EQ(0, disk_serialize(&self->disk));
	ASSERT_EQ(0, disk_delay(&self->disk, 1000000));
	for (id = 0; id < WORKERS; id++)
		ASSERT_EQ(0, task_start(&t[id], work, &l->w[id]));
	EXPECT_TRUE(reaches(l, t, &l->ended, MOVES));
	EXPECT_EQ(0, l->failed);
	EXPECT_EQ(0, disk_delete(&self->disk));
	EXPECT_TRUE(reaches(l, t, &l->failed, MOVES));
	__atomic_store_n(&l->stop, 1, __ATOMIC_RELEASE);
	for (id = 0; id < WORKERS; id++) {
		EXPECT_EQ(0, task_join(&t[id], JOIN_SECONDS))
			TH_LOG("thread %u: %s", id, l->w[id].wrong ? l->w[id].wrong : "hangs");
		EXPECT_EQ(0, queue_exit(&l->w[id].q));
		close(l->w[id].own);
	}
	check_gone(_metadata, fd, bfd);
	close(fd);
	close(bfd);

	ASSERT_EQ(0, disk_delay(&self->disk, 0));
	bring_back(_metadata, &self->v, &self->disk);
	for (id = 0; id < WORKERS; id++) {
		struct worker *w = &l->w[id];

		for (i = 1; i < NR; i++) {
			ASSERT_EQ(LEN, vol_read("f", O_DIRECT, back, LEN, w->base + i * LEN));
			check_slot(_metadata, w, i, back);
		}
		/* the extended i_size was never synced, so that the disk may have an older one */
		snprintf(name, sizeof(name), "own%u", id);
		ASSERT_EQ(LEN, vol_read(name, O_DIRECT, back, LEN, 0));
		EXPECT_PATTERN(back, LEN, 0, 1);
	}
	EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
}

TEST_HARNESS_MAIN
