// SPDX-License-Identifier: GPL-2.0
/*
 * The retry in each context in which a device ends bios: the same requests on one that does so
 * before their submission returns, in hard and in soft interrupts, and in threads. Which it was
 * is told by the trace point. With forced threaded interrupts (threadirqs) and with PREEMPT_RT there
 * are no hard ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/utsname.h>

#include "disk.h"
#include "dm.h"
#include "harness.h"
#include "nbd.h"
#include "queue.h"
#include "trace.h"

#define CRYPT	"rfs-crypt"
#define MIBS	16

enum device { INLINE, SOFT, TIMER, VIRTIO, NBD, DM_CRYPT };

FIXTURE(dio_context) {
	enum device device;
	struct disk disk;
	struct nbd *nbd;
	struct vol v;
	bool up;
};

FIXTURE_VARIANT(dio_context) {
	enum device device;
	/* as the trace point tells it: hard, soft, a thread; nothing if it cannot be said */
	char context;
};

FIXTURE_VARIANT_ADD(dio_context, inline) { INLINE, 'i' };
FIXTURE_VARIANT_ADD(dio_context, soft) { SOFT };
FIXTURE_VARIANT_ADD(dio_context, timer) { TIMER, 'h' };
FIXTURE_VARIANT_ADD(dio_context, virtio) { VIRTIO };
FIXTURE_VARIANT_ADD(dio_context, nbd) { NBD, 's' };
FIXTURE_VARIANT_ADD(dio_context, crypt) { DM_CRYPT, '.' };

/* Above the disk of the test, or with nothing between. */
static int dm_up(char *node, size_t len, bool crypt)
{
	struct dm_seg seg = { .len = MIBS * MIB / 512 };
	int err;

	dm_remove(CRYPT);
	snprintf(seg.type, sizeof(seg.type), crypt ? "crypt" : "linear");
	snprintf(seg.params, sizeof(seg.params), crypt ?
		 "aes-xts-plain64 0123456789abcdef0123456789abcdef00112233445566778899aabbccddeeff 0 %s 0" :
		 "%s 0", env_dev());
	err = dm_create(CRYPT, node, len);
	if (!err)
		err = dm_load(CRYPT, &seg, 1);
	return err ? err : dm_resume(CRYPT);
}

static int device_up(enum device device, struct disk *disk, struct nbd **nbd)
{
	static const enum disk_kind kinds[] = {
		[INLINE] = NULL_BLK_INLINE, [SOFT] = NULL_BLK_SOFT, [TIMER] = NULL_BLK_TIMER,
	};
	const char *const modprobe[] = { "modprobe", "-q", "dm-crypt", NULL };
	int err;

	switch (device) {
	case NBD:
		*nbd = nbd_up(MIBS, true, disk->node, sizeof(disk->node));
		return *nbd ? 0 : -errno;
	case VIRTIO:
		return dm_up(disk->node, sizeof(disk->node), false);
	case DM_CRYPT:
		run(1, modprobe);
		err = dm_up(disk->node, sizeof(disk->node), true);
		/* no such target, or no such cipher */
		return err ? -ENOENT : 0;
	default:
		return disk_up(disk, kinds[device], 512, MIBS);
	}
}

FIXTURE_SETUP(dio_context)
{
	const struct vol_conf conf = VOL_1K;
	int err;

	umount2(env_dir(), 0);
	self->device = variant->device;
	err = device_up(variant->device, &self->disk, &self->nbd);
	if (err == -ENOENT) {
		dm_remove(CRYPT);
		SKIP(return, "no such device here");
	}
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, disk_vol_up(&self->disk, &self->v, &conf));
	self->up = true;
}

FIXTURE_TEARDOWN(dio_context)
{
	if (!self->up)
		return;
	/* of the disk that the test is itself, there are some that it needs */
	if (!self->nbd)
		close_range(3, ~0U, 0);
	EXPECT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
	switch (self->device) {
	case NBD:
		nbd_down(self->nbd);
		break;
	case VIRTIO:
	case DM_CRYPT:
		EXPECT_EQ(0, dm_remove(CRYPT));
		break;
	default:
		EXPECT_EQ(0, disk_down(&self->disk));
	}
}

/* The contexts of all retries since trace_start(), each once. */
static int retry_contexts(char *contexts, size_t size)
{
	size_t n = 0;
	char line[512];
	FILE *f;

	contexts[0] = 0;
	trace_write("events/retryfs/enable", "0");
	f = trace_open();
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		/* task, processor, flags: interrupts, rescheduling, context */
		const char *flags = strstr(line, "] ");

		if (line[0] == '#' || !flags || !strstr(line, ": retryfs_dio_retry: "))
			continue;
		if (!strchr(contexts, flags[4]) && n + 1 < size) {
			contexts[n++] = flags[4];
			contexts[n] = 0;
		}
	}
	fclose(f);
	return 0;
}

/* Are the interrupts of @device handled in threads? Those of timers are only with PREEMPT_RT. */
static bool no_hard_interrupts(enum device device)
{
	char line[1024] = "";
	struct utsname u;
	FILE *f;

	uname(&u);
	f = fopen("/proc/cmdline", "re");
	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = 0;
		fclose(f);
	}
	if (strstr(u.version, "PREEMPT_RT"))
		return true;
	return device != TIMER && strstr(line, "threadirqs");
}

#define DEPTH	8
#define ONE	(8 * KIB)
#define LEN	(DEPTH * ONE)

/* As many requests as go together, at @pos; 0 or what was wrong. */
static long all(struct queue *q, bool write, int fd, char *buf, off_t pos)
{
	unsigned int i, nr;
	ssize_t n;
	int err;

	for (i = 0; i < DEPTH; i++) {
		err = queue_submit(q, i, write, fd, buf + i * ONE, ONE, pos + i * ONE);
		if (err)
			return err;
	}
	for (i = 0; i < DEPTH; i++) {
		n = queue_reap(q, true, &nr);
		if (n != (ssize_t)ONE)
			return n < 0 ? n : -EIO;
	}
	return 0;
}

/* Whatever a retry does, by libaio and by io_uring. */
TEST_F(dio_context, requests)
{
	const size_t large = MIB + 512 * KIB;
	char *buf = buf_alloc(large), *back = buf_alloc(large), *map, contexts[16];
	struct queue q = {};
	int fd, cached, synced, other;
	bool threaded;
	unsigned int nr;
	enum way how;

	ASSERT_EQ(0, vol_prefill("f", 0, large, 1));
	ASSERT_EQ(0, vol_prefill("mapped", 0, LEN, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	synced = vol_open("f", O_RDWR | O_DIRECT | O_DSYNC);
	cached = vol_open("f", O_RDWR);
	other = vol_open("mapped", O_RDWR);
	ASSERT_TRUE(fd >= 0 && synced >= 0 && cached >= 0 && other >= 0);
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	ASSERT_NE(MAP_FAILED, map);
	if (env_is_retryfs())
		ASSERT_EQ(0, trace_start());
	for (how = ASYNC; how <= URING; how++) {
		int gen = 10 * (1 + how);

		if (!queue_possible(how))
			continue;
		ASSERT_EQ(0, queue_setup(&q, how));
		/* overwrites, and reads */
		pattern_fill(buf, LEN, 0, gen);
		EXPECT_EQ(0, all(&q, true, fd, buf, 0));
		EXPECT_EQ(0, all(&q, false, fd, back, 0));
		EXPECT_PATTERN(back, LEN, 0, gen);
		/* to be synced */
		pattern_fill(buf, LEN, 0, gen + 1);
		EXPECT_EQ(0, all(&q, true, synced, buf, 0));
		/* with pages in the page cache, some of them dirty when it begins */
		ASSERT_EQ(LEN, pread(cached, back, LEN, 0));
		EXPECT_PATTERN(back, LEN, 0, gen + 1);
		ASSERT_EQ(ONE, pwrite(cached, back, ONE, ONE));
		pattern_fill(buf, LEN, 0, gen + 2);
		EXPECT_EQ(0, all(&q, true, fd, buf, 0));
		ASSERT_EQ(LEN, pread(cached, back, LEN, 0));
		EXPECT_PATTERN(back, LEN, 0, gen + 2);
		/* to pages of another file, which are clean */
		ASSERT_EQ(0, msync(map, LEN, MS_SYNC));
		EXPECT_EQ(0, all(&q, false, fd, map, 0));
		ASSERT_EQ(0, fsync(other));
		ASSERT_EQ(LEN, vol_read("mapped", O_DIRECT, back, LEN, 0));
		EXPECT_PATTERN(back, LEN, 0, gen + 2);
		/* of many segments */
		pattern_fill(buf, large, 0, gen + 3);
		EXPECT_EQ(0, queue_submit(&q, 0, true, fd, buf, large, 0));
		EXPECT_EQ(large, queue_reap(&q, true, &nr));
		EXPECT_EQ(0, queue_submit(&q, 0, false, fd, back, large, 0));
		EXPECT_EQ(large, queue_reap(&q, true, &nr));
		EXPECT_PATTERN(back, large, 0, gen + 3);
		/* past EOF, and to a hole */
		ASSERT_EQ(0, ftruncate(fd, large + LEN));
		pattern_fill(buf, LEN, large, gen + 4);
		EXPECT_EQ(0, all(&q, true, fd, buf, large));
		pattern_fill(buf, LEN, large + LEN, gen + 4);
		EXPECT_EQ(0, all(&q, true, fd, buf, large + LEN));
		EXPECT_EQ(0, all(&q, false, fd, back, large));
		EXPECT_PATTERN(back, LEN, large, gen + 4);
		EXPECT_EQ(0, all(&q, false, fd, back, large + LEN));
		EXPECT_PATTERN(back, LEN, large + LEN, gen + 4);
		ASSERT_EQ(0, ftruncate(fd, large));
		ASSERT_EQ(0, queue_exit(&q));
	}
	munmap(map, LEN);
	close(fd);
	close(synced);
	close(cached);
	close(other);
	if (!env_is_retryfs())
		return;
	ASSERT_EQ(0, retry_contexts(contexts, sizeof(contexts)));
	TH_LOG("retries ran in: '%s'", contexts);
	/* on one in memory it may be over before the submitter has left, or is on its way to that */
	if (variant->device != SOFT && variant->device != INLINE)
		EXPECT_NE(0, contexts[0]);
	if (variant->device == INLINE)
		EXPECT_EQ(NULL, strpbrk(contexts, "hHs"));
	threaded = no_hard_interrupts(variant->device);
	if (threaded)
		EXPECT_EQ(NULL, strpbrk(contexts, "hH"));
	if (!threaded && variant->context && variant->context != 'i')
		EXPECT_NE(NULL, strchr(contexts, variant->context));
}

TEST_HARNESS_MAIN
