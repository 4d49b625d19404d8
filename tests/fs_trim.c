// SPDX-License-Identifier: GPL-2.0
/* FITRIM, and the option discard: free blocks, and no others, are discarded. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "debugfs.h"
#include "disk.h"
#include "ext2.h"
#include "harness.h"
#include "powerloss.h"
#include "punch.h"

#define NOBODY	65534
#define LEN	(300 * KIB)
#define S_STATE	(1024 + 0x3a)

VOL_FIXTURE(fs_trim);
FIXTURE_VARIANT_ADD(fs_trim, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_trim, bs4k) { .conf = SMALL_4K };

static long op_syncfs(void *arg)
{
	return syncfs(*(int *)arg) ? -errno : 0;
}

struct trim_op {
	int fd;
	struct fstrim_range range;
};

static long op_trim(void *arg)
{
	struct trim_op *op = arg;

	return ioctl(op->fd, FITRIM, &op->range) ? -errno : 0;
}

static long trim(int fd, uint64_t start, uint64_t len, uint64_t min)
{
	struct trim_op op = { fd, { start, len, min } };
	long err = op_trim(&op);

	return err ?: (long)op.range.len;
}

static long free_bytes(void)
{
	struct statfs st;

	return statfs(env_dir(), &st) ? -errno : (long)(st.f_bfree * st.f_bsize);
}

static bool is_on_device(struct vol *v, uint64_t gen)
{
	struct vol_map map;

	return vol_find(v, 0, 512, gen, &map) == 0;
}

/* All that is free, and what is in use is left alone. */
TEST_F(fs_trim, all_that_is_free)
{
	const off_t bs = self->v.bs;
	int fd = vol_open_dir("."), i;
	char name[8];
	long got;

	ASSERT_LE(0, fd);
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		ASSERT_EQ(0, vol_prefill(name, 0, LEN, i + 1));
	}
	for (i = 0; i < 8; i += 2) {
		snprintf(name, sizeof(name), "f%d", i);
		ASSERT_EQ(0, unlink(vol_path(name)));
	}
	EXPECT_TRUE(is_on_device(&self->v, 1));
	/* a run that is shorter than a piece of the device is not worth while */
	got = trim(fd, 0, UINT64_MAX, 0);
	EXPECT_LE(got, free_bytes());
	EXPECT_GE(got, free_bytes() - 64 * bs);
	for (i = 0; i < 8; i += 2)
		EXPECT_FALSE(is_on_device(&self->v, i + 1));
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	for (i = 1; i < 8; i += 2) {
		snprintf(name, sizeof(name), "f%d", i);
		EXPECT_TRUE(vol_holds(name, LEN, i + 1));
	}
}

/* In a part of the volume, and in long pieces. */
TEST_F(fs_trim, ranges)
{
	const uint64_t bs = self->v.bs;
	int fd = vol_open_dir(".");

	ASSERT_LE(0, fd);
	EXPECT_EQ(MIB, trim(fd, 10 * MIB + 5, MIB, 0));
	EXPECT_EQ(MIB, trim(fd, 10 * MIB, MIB, MIB));
	EXPECT_EQ(0, trim(fd, 10 * MIB, MIB, MIB + bs));
	EXPECT_EQ(bs, trim(fd, 11 * MIB, bs, 1));
	/* the superblock */
	EXPECT_EQ(0, trim(fd, 0, 2 * bs, 0));
	EXPECT_EQ(2 * MIB, trim(fd, 14 * MIB, 1ULL << 50, 0));
	/* a range of nothing, or that is not there; a piece that no group has */
	EXPECT_EQ(-EINVAL, trim(fd, 0, bs - 1, 0));
	EXPECT_EQ(-EINVAL, trim(fd, 16 * MIB, MIB, 0));
	EXPECT_EQ(-EINVAL, trim(fd, UINT64_MAX, UINT64_MAX, 0));
	EXPECT_EQ(-EINVAL, trim(fd, 0, UINT64_MAX, 1ULL << 40));
	close(fd);
}

TEST_F(fs_trim, errors)
{
	int fd = vol_open_dir("."), status;
	pid_t pid;

	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, ioctl(fd, FITRIM, NULL));
	EXPECT_EQ(EFAULT, errno);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(setuid(NOBODY) ? 255 : -trim(fd, 0, UINT64_MAX, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(EPERM, WEXITSTATUS(status));
	if (!env_is_retryfs())
		return;
	ASSERT_EQ(0, vol_read_only_soon());
	EXPECT_EQ(-EROFS, trim(fd, 0, UINT64_MAX, 0));
	close(fd);
	/* where e2fsck may find that what is free is in use */
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "ssv state 0"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	fd = vol_open_dir(".");
	EXPECT_EQ(-EUCLEAN, trim(fd, 0, UINT64_MAX, 0));
	close(fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "ssv state 1"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
}

/*
 * What is freed after it has been seen to that the device knows what was freed before, and before
 * its group is looked at, is the file's on the device: it is left alone.
 */
TEST_F(fs_trim, freed_meanwhile)
{
	struct trim_op op = { .range = { 0, UINT64_MAX, 0 } };
	struct task t;
	char *buf = buf_alloc(LEN);
	size_t n;
	FILE *f;

	if (!env_is_retryfs())
		SKIP(return, "ext4 without a journal does not look");
	op.fd = vol_open_dir(".");
	ASSERT_LE(0, op.fd);
	ASSERT_EQ(0, vol_prefill("f", 0, LEN, 7));
	ASSERT_EQ(0, vol_prefill("g", 0, 512, 8));
	ASSERT_EQ(0, vol_prefill("e", 0, 512, 9));
	ASSERT_EQ(0, syncfs(op.fd));
	ASSERT_EQ(0, unlink(vol_path("e")));
	ASSERT_TRUE(is_on_device(&self->v, 7));
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&t, op_trim, &op));
	ASSERT_BLOCKED(&t);
	ASSERT_EQ(0, unlink(vol_path("f")));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	/* now either the device has forgotten the file, or it has its data */
	f = vol_cat(&self->v, "f");
	ASSERT_NE(NULL, f);
	n = fread(buf, 1, LEN, f);
	pclose(f);
	if (n)
		EXPECT_PATTERN(buf, n, 0, 7);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_TRUE(vol_holds("g", 512, 8));
	close(op.fd);
}

/*
 * The same of so many pieces that not all are remembered: after a round in which any block may be one of them, it is seen to again
 * that the device knows.
 */
TEST_F(fs_trim, freed_meanwhile_in_many_pieces)
{
	const int pieces = 2 * 560;
	const off_t bs = self->v.bs;
	struct trim_op op = { .range = { 0, UINT64_MAX, 0 } };
	uint32_t block, pointers;
	char sector[512];
	struct task t;
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "ext4 without a journal does not look");
	op.fd = vol_open_dir(".");
	ASSERT_LE(0, op.fd);
	ASSERT_EQ(0, vol_prefill("f", 0, 2 * pieces * bs, 7));
	ASSERT_EQ(0, vol_prefill("e", 0, 512, 9));
	ASSERT_EQ(0, syncfs(op.fd));
	ASSERT_EQ(0, unlink(vol_path("e")));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&t, op_trim, &op));
	ASSERT_BLOCKED(&t);
	for (i = 0; i < pieces; i++)
		ASSERT_EQ(0, punch(fd, 2 * i * bs, bs));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	/* what the file has on the device has its data */
	for (i = 0; i < pieces; i++) {
		ASSERT_EQ(0, ext2_block(&self->v, "f", 2 * i, &block, &pointers));
		if (!block)
			continue;
		ASSERT_EQ(0, vol_read_sector(&self->v, block * bs / 512, sector));
		ASSERT_PATTERN(sector, 512, 2 * i * bs, 7);
	}
	ASSERT_EQ(0, vol_unroute(&self->v));
	close(fd);
	close(op.fd);
}

/*
 * The option discard: what was freed is forgotten when the device knows that it is nobody's, and
 * not before.
 */
TEST_F(fs_trim, discard)
{
	int dir, i;

	if (!env_is_retryfs())
		SKIP(return, "ext4 discards with its journal only");
	ASSERT_EQ(0, vol_prefill("f0", 0, LEN, 10));
	ASSERT_EQ(0, vol_prefill("f1", 0, LEN, 11));
	ASSERT_EQ(0, vol_prefill("g", 0, LEN, 12));
	for (i = 0; i < 2; i++) {
		const char *const name = i ? "f1" : "f0";
		struct task t;

		if (i)
			ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, "discard"));
		dir = vol_open_dir(".");
		ASSERT_LE(0, dir);
		ASSERT_EQ(0, syncfs(dir));
		ASSERT_EQ(0, unlink(vol_path(name)));
		ASSERT_EQ(0, vol_route_flushes(&self->v));
		ASSERT_EQ(0, vol_hold_routed(&self->v));
		ASSERT_EQ(0, task_start(&t, op_syncfs, &dir));
		ASSERT_BLOCKED(&t);
		EXPECT_TRUE(is_on_device(&self->v, 10 + i));
		ASSERT_EQ(0, vol_release_routed(&self->v));
		EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
		EXPECT_EQ(!i, is_on_device(&self->v, 10 + i));
		ASSERT_EQ(0, vol_unroute(&self->v));
		close(dir);
	}
	EXPECT_TRUE(is_on_device(&self->v, 12));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("g", LEN, 12));
}

/* A block of attributes that one of two has given up is the other's. */
TEST_F(fs_trim, discard_what_is_shared)
{
	char value[300], back[300];

	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "discard"));
	memset(value, 'x', sizeof(value));
	ASSERT_EQ(0, vol_prefill("a", 0, 512, 1));
	ASSERT_EQ(0, vol_prefill("b", 0, 512, 2));
	ASSERT_EQ(0, setxattr(vol_path("a"), "user.x", value, sizeof(value), 0));
	ASSERT_EQ(0, setxattr(vol_path("b"), "user.x", value, sizeof(value), 0));
	vol_sync();
	ASSERT_EQ(0, removexattr(vol_path("a"), "user.x"));
	vol_sync();
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_EQ(sizeof(back), getxattr(vol_path("b"), "user.x", back, sizeof(back)));
	EXPECT_EQ(0, memcmp(value, back, sizeof(back)));
}

/*
 * One of two that share a block of attributes has given it up. While that is seen to, the other is deleted, too: on the
 * device it has its name still, and its attributes.
 */
TEST_F(fs_trim, discard_what_is_given_back_since)
{
	struct trim_op op = { .range = { 0, UINT64_MAX, 0 } };
	char value[300], back[301];
	struct task t;

	if (!env_is_retryfs())
		SKIP(return, "ext4 discards with its journal only");
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "discard"));
	op.fd = vol_open_dir(".");
	ASSERT_LE(0, op.fd);
	memset(value, 'x', sizeof(value));
	ASSERT_EQ(0, vol_prefill("a", 0, 512, 1));
	ASSERT_EQ(0, vol_prefill("b", 0, 512, 2));
	ASSERT_EQ(0, setxattr(vol_path("a"), "user.x", value, sizeof(value), 0));
	ASSERT_EQ(0, setxattr(vol_path("b"), "user.x", value, sizeof(value), 0));
	vol_sync();
	ASSERT_EQ(0, removexattr(vol_path("a"), "user.x"));
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&t, op_trim, &op));
	ASSERT_BLOCKED(&t);
	ASSERT_EQ(0, unlink(vol_path("b")));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_EQ(sizeof(value), lost_xattr("b", "user.x", back, sizeof(back)));
	EXPECT_EQ(0, memcmp(value, back, sizeof(value)));
	ASSERT_EQ(0, vol_unroute(&self->v));
	close(op.fd);
}

/* A disk that cannot forget. */
TEST(not_by_this_disk)
{
	const struct vol_conf conf = SMALL_1K;
	struct disk d;
	struct vol v;
	int fd, err = disk_up(&d, NULL_BLK, 512, 16);

	if (err == -ENOENT)
		SKIP(return, "no such disk");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, disk_vol_up(&d, &v, &conf));
	fd = vol_open_dir(".");
	EXPECT_EQ(-EOPNOTSUPP, trim(fd, 0, UINT64_MAX, 0));
	close(fd);
	if (env_is_retryfs()) {
		int kmsg = kmsg_open();

		ASSERT_LE(0, kmsg);
		ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, "discard"));
		EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){
			"retryfs", d.name, "option discard", "cannot discard", NULL }));
		ASSERT_EQ(0, vol_prefill("f", 0, LEN, 1));
		ASSERT_EQ(0, unlink(vol_path("f")));
		vol_sync();
		close(kmsg);
	}
	ASSERT_EQ(0, vol_umount(&v));
	ASSERT_EQ(0, disk_down(&d));
}

TEST_HARNESS_MAIN
