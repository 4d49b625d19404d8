// SPDX-License-Identifier: GPL-2.0
/*
 * Retries on top of retries: a volume on a loop device on a file of a volume on a loop device, and so on. The
 * retry of one of them completes the request of the loop device, and so ends the bio of the next one, whose retry begins
 * there and then, on the same stack; but so many of them only. A loop device with one processor ends its requests
 * where they are completed. With several it does so in a soft interrupt, after the retry.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "aio.h"
#include "harness.h"

/* NESTED_MAX in src/dio/kick.rs */
#define NESTED_MAX	4
#define LEVELS		(NESTED_MAX + 2)
/* of a file in each of them, below a block of pointers */
#define LEN	(4 * KIB)
#define AT	(32 * KIB)

/* A volume. The lowest one is that of the fixture. */
struct level {
	struct vol v;
	char dir[32];
	int loop, file;
};

FIXTURE(dio_nested) {
	struct vol v;
	struct level level[LEVELS];
	int up;
};

FIXTURE_VARIANT(dio_nested) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(dio_nested, bs1k) { .conf = SMALL_1K };

/* A file of @len bytes, with nothing of it in the page cache; a descriptor for direct I/O, or -errno. */
static int make_file(const char *dir, const char *name, size_t len)
{
	const size_t piece = 64 * KIB;
	char path[64], *buf = buf_alloc(piece);
	int fd, err = 0;
	size_t pos;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	for (pos = 0; pos < len && !err; pos += piece) {
		pattern_fill(buf, piece, pos, 1);
		if (pwrite(fd, buf, piece, pos) != (ssize_t)piece)
			err = -errno;
	}
	if (!err && fsync(fd))
		err = -errno;
	if (err)
		close(fd);
	return err ? err : fd;
}

/* A loop device on an image in @below, and a volume on that. 0, -errno or an exit status. */
static int level_up(struct level *l, int nr, const struct level *below, const struct vol_conf *conf)
{
	struct loop_config config = { .block_size = 512, .info.lo_flags = LO_FLAGS_DIRECT_IO };
	int ctl, err = 0, n;

	config.fd = make_file(below->dir, "image", (12 - 2 * nr) * MIB);
	if ((int)config.fd < 0)
		return config.fd;
	ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	n = ctl < 0 ? -errno : ioctl(ctl, LOOP_CTL_GET_FREE);
	close(ctl);
	if (n < 0)
		return -ENOENT;
	snprintf(l->v.dev, sizeof(l->v.dev), "/dev/loop%d", n);
	snprintf(l->dir, sizeof(l->dir), "/mnt/rfs-nested-%d", nr);
	l->loop = open(l->v.dev, O_RDWR | O_CLOEXEC);
	if (l->loop < 0 || ioctl(l->loop, LOOP_CONFIGURE, &config))
		err = -errno;
	close(config.fd);
	if (err)
		return err;
	l->v.bs = conf->bs;
	l->v.isize = conf->isize;
	err = vol_mkfs(&l->v, conf);
	if (err)
		return err;
	if (mkdir(l->dir, 0700) && errno != EEXIST)
		return -errno;
	return mount(l->v.dev, l->dir, env_fstype(), MS_NOATIME, NULL) ? -errno : 0;
}

static bool has_one_processor(void)
{
	char line[16] = "";
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");

	if (f && !fgets(line, sizeof(line), f))
		line[0] = 0;
	if (f)
		fclose(f);
	return !strcmp(line, "0\n");
}

FIXTURE_SETUP(dio_nested)
{
	char *buf = buf_alloc(LEN);
	int i;

	if (!env_is_retryfs())
		SKIP(return, "counters of retryfs");
	if (!has_one_processor())
		SKIP(return, "there is more than one processor");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	self->up = 1;
	self->level[0].v = self->v;
	snprintf(self->level[0].dir, sizeof(self->level[0].dir), "%s", env_dir());
	for (i = 0; i < LEVELS; i++) {
		struct level *l = &self->level[i];

		if (i) {
			ASSERT_EQ(0, level_up(l, i, l - 1, &variant->conf));
			self->up++;
		}
		l->file = make_file(l->dir, "f", AT + LEN);
		ASSERT_LE(0, l->file);
		/* its run is known, and that there are no set-id bits */
		ASSERT_EQ(LEN, pread(l->file, buf, LEN, AT));
		ASSERT_EQ(LEN, pwrite(l->file, buf, LEN, AT));
	}
}

FIXTURE_TEARDOWN(dio_nested)
{
	int i;

	for (i = self->up - 1; i >= 0; i--) {
		struct level *l = &self->level[i];

		close(l->file);
		if (!i)
			break;
		EXPECT_EQ(0, umount2(l->dir, 0));
		EXPECT_EQ(0, rmdir(l->dir));
		EXPECT_EQ(0, vol_fsck(&l->v));
		EXPECT_EQ(0, ioctl(l->loop, LOOP_CLR_FD));
		close(l->loop);
	}
	if (self->up)
		EXPECT_EQ(0, vol_down(&self->v));
}

/*
 * One request on each level, when nothing else is in flight: the retries of the lowest levels run one within the
 * other, as many as may. The next one is queued, and has a stack of its own, as those on top of it have.
 */
TEST_F(dio_nested, depth)
{
	char *buf = buf_alloc(LEN);
	struct counters c0[LEVELS] = {}, c1 = {};
	struct task t;
	struct iocb cb;
	int top, i, write;

	for (top = 0; top < 2 * LEVELS; top++) {
		const int level = top / 2;

		write = top & 1;
		for (i = 0; i < LEVELS; i++)
			ASSERT_EQ(0, vol_counters(&self->level[i].v, &c0[i]));
		if (write) {
			pattern_fill(buf, LEN, AT, 1);
			aio_prep_write(&cb, self->level[level].file, buf, LEN, AT);
		} else {
			aio_prep_read(&cb, self->level[level].file, buf, LEN, AT);
		}
		ASSERT_EQ(0, vol_hold(&self->v));
		ASSERT_EQ(0, task_start(&t, op_aio_do, &cb));
		EXPECT_BLOCKED(&t);
		ASSERT_EQ(0, vol_release(&self->v));
		EXPECT_EQ(LEN, task_join(&t, JOIN_SECONDS));
		EXPECT_PATTERN(buf, LEN, AT, 1);
		for (i = 0; i <= level; i++) {
			ASSERT_EQ(0, vol_counters(&self->level[i].v, &c1));
			EXPECT_LT(c0[i].retries, c1.retries);
			EXPECT_EQ(i == NESTED_MAX, c1.retries_queued > c0[i].retries_queued)
				TH_LOG("level %d of %d", i, level);
		}
	}
}

TEST_HARNESS_MAIN
