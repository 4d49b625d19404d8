// SPDX-License-Identifier: GPL-2.0
/*
 * The times of an inode: what of them the volume has room for, and the kernel's ext4 driver
 * reads the same.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "debugfs.h"
#include "harness.h"

VOL_FIXTURE(fs_times);
FIXTURE_VARIANT_ADD(fs_times, is128) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_times, is256) { .conf = SMALL_4K };
FIXTURE_VARIANT_ADD(fs_times, is1024) { .conf = SMALL_CONF(4096, 1024) };
FIXTURE_VARIANT_ADD(fs_times, feature) {
	.conf = { .bs = 1024, .isize = 256, .mib = 16, .features = "extra_isize" },
};

#define LAST	0x37fffffffL	/* 2446-05-10 */
#define LAST32	0x7fffffffL	/* 2038-01-19 */

/* e2fsck takes the years 2310 to 2378 for ones before 1970. */
static const struct timespec stamps[] = {
	{ 0, 1 }, { 1700000000, 999999999 }, { -1, 123456789 }, { -0x7fffffffL, 5 },
	{ LAST32, 0 }, { LAST32 + 1, 7 }, { 4200000000, 400000000 }, { 0x17fffffffL, 1 },
	{ 0x180000000L, 2 }, { LAST - 1, 999999999 }, { LAST, 0 },
};

static const char *name_of(int i)
{
	static char name[16];

	snprintf(name, sizeof(name), "t%d", i);
	return name;
}

static int set_all(void)
{
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(stamps); i++) {
		const struct timespec t[2] = {
			stamps[i], stamps[ARRAY_SIZE(stamps) - 1 - i],
		};

		if (utimensat(AT_FDCWD, vol_path(name_of(i)), t, 0))
			return -errno;
	}
	return 0;
}

static bool is(const struct timespec *have, struct timespec want, bool room)
{
	if (!room) {
		want.tv_nsec = 0;
		if (want.tv_sec > LAST32)
			want.tv_sec = LAST32;
	}
	return have->tv_sec == want.tv_sec && have->tv_nsec == want.tv_nsec;
}

/* The first one that is not as it was set, or -1. */
static int wrong(bool room)
{
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(stamps); i++) {
		struct stat st;

		if (stat(vol_path(name_of(i)), &st) || !is(&st.st_atim, stamps[i], room) ||
		    !is(&st.st_mtim, stamps[ARRAY_SIZE(stamps) - 1 - i], room))
			return i;
	}
	return -1;
}

TEST_F(fs_times, nanoseconds_and_late_years)
{
	const bool room = self->v.isize > 128;
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(stamps); i++)
		ASSERT_EQ(0, vol_prefill(name_of(i), 0, 16, 1));
	ASSERT_EQ(0, set_all());
	EXPECT_EQ(-1, wrong(room));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(-1, wrong(room));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_EQ(-1, wrong(room));
	ASSERT_EQ(0, utimensat(AT_FDCWD, vol_path("t0"), NULL, 0));
	ASSERT_EQ(0, set_all());
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	EXPECT_EQ(-1, wrong(room));
}

static struct timespec btime(const char *name, bool *known)
{
	struct statx stx = {};

	*known = !statx(AT_FDCWD, vol_path(name), 0, STATX_BTIME, &stx) &&
		 stx.stx_mask & STATX_BTIME;
	return (struct timespec){ stx.stx_btime.tv_sec, stx.stx_btime.tv_nsec };
}

TEST_F(fs_times, birth)
{
	const bool room = self->v.isize > 128;
	struct timespec before, after, born, now;
	bool known;

	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	ASSERT_EQ(0, vol_mkdir("d"));
	clock_gettime(CLOCK_REALTIME, &after);
	born = btime("d", &known);
	ASSERT_EQ(room, known);
	if (!room)
		return;
	EXPECT_LE(before.tv_sec, born.tv_sec);
	EXPECT_GE(after.tv_sec, born.tv_sec);
	EXPECT_NE(0, born.tv_nsec);
	ASSERT_EQ(0, chmod(vol_path("d"), 0700));
	ASSERT_EQ(0, utimensat(AT_FDCWD, vol_path("d"), NULL, 0));
	ASSERT_EQ(0, vol_remount(&self->v));
	now = btime("d", &known);
	EXPECT_TRUE(known && is(&now, born, true));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	now = btime("d", &known);
	EXPECT_TRUE(known && is(&now, born, true));
	ASSERT_EQ(0, vol_mkdir("e"));
	born = btime("e", &known);
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	now = btime("e", &known);
	EXPECT_TRUE(known && is(&now, born, true));
}

/* Who looks at a file after each change, in less than a tick of the clock, sees each change. */
TEST_F(fs_times, each_change_is_seen)
{
	struct stat st, last = {};
	int fd, i, same = 0;

	if (self->v.isize == 128)
		SKIP(return, "whole seconds");
	fd = vol_open("f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
		ASSERT_EQ(0, fstat(fd, &st));
		same += !memcmp(&st.st_mtim, &last.st_mtim, sizeof(st.st_mtim));
		last = st;
	}
	close(fd);
	EXPECT_EQ(0, same);
}

/* That does not make requests that must not wait fail. */
TEST_F(fs_times, overwrites_that_must_not_wait)
{
	const size_t len = 4 * self->v.bs;
	char *buf = buf_alloc(len);
	struct iovec iov = { buf, len };
	struct stat st;
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "others fail them for the times");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(len, pwrite(fd, buf, len, 0));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(len, pwritev2(fd, &iov, 1, 0, RWF_NOWAIT)) TH_LOG("%d: %m", i);
	}
	close(fd);
}

/* An inode by somebody who does not know the fields: they are taken into use. */
TEST_F(fs_times, inode_without_the_fields)
{
	const struct timespec t[2] = { stamps[1], stamps[6] };
	struct stat st;
	bool known;

	if (self->v.isize == 128 || !strcmp(variant->conf.features ?: "", "extra_isize"))
		SKIP(return, "they are not there, or have to be");
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif d extra_isize 0"));
	ASSERT_EQ(0, debugfs(&self->v, "sif d crtime_lo 0"));
	ASSERT_EQ(0, debugfs(&self->v, "sif d crtime_extra 0"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	if (env_is_retryfs()) {
		btime("d", &known);
		EXPECT_FALSE(known);
	}
	ASSERT_EQ(0, utimensat(AT_FDCWD, vol_path("d"), t, 0));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	ASSERT_EQ(0, stat(vol_path("d"), &st));
	EXPECT_TRUE(is(&st.st_atim, t[0], true));
	EXPECT_TRUE(is(&st.st_mtim, t[1], true));
}

/* Fields that end beyond the inode are none. */
TEST_F(fs_times, fields_beyond_the_inode)
{
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	int kmsg = kmsg_open();
	struct stat st;

	if (self->v.isize != 256 || !env_is_retryfs())
		SKIP(return, "the messages of retryfs");
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif d extra_isize 132"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=continue"));
	EXPECT_EQ(-1, stat(vol_path("d"), &st));
	EXPECT_EQ(EUCLEAN, errno);
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "corrupt", "fields", NULL }));
	close(kmsg);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(1, run(1, mend));
}

TEST_HARNESS_MAIN
