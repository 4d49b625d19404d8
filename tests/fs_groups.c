// SPDX-License-Identifier: GPL-2.0
/*
 * Groups whose bitmap is being read from a device that takes its time: who has nothing to do with them
 * does not wait for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blocks.h"
#include "buf.h"
#include "caches.h"
#include "ext2.h"
#include "harness.h"
#include "pattern.h"
#include "task.h"

#define NOBODY	65534
#define DIRS	16
/* in the superblock */
#define INODES_PER_GROUP	(1024 + 40)

/* Eight groups. */
VOL_FIXTURE(fs_groups);
FIXTURE_VARIANT_ADD(fs_groups, bs1k) { .conf = { .bs = 1024, .isize = 128, .mib = 64 } };

/* One of many static buffers. */
static const char *in_dir(int dir, const char *name)
{
	static char buf[64][32];
	static int nr;
	char *path = buf[nr++ % 64];

	snprintf(path, sizeof(buf[0]), "d%d%s%s", dir, name ? "/" : "", name ?: "");
	return path;
}

/* Make directories until @nr of them are in groups of their own, of which no bitmap is in memory then. */
static void spread(struct __test_metadata *_metadata, struct vol *v, int nr, int *dirs, uint32_t *groups)
{
	const long in_group = vol_dev_get(v, 32, INODES_PER_GROUP);
	int found = 0, i, j;

	ASSERT_LT(0, in_group);
	for (i = 0; i < DIRS && found < nr; i++) {
		uint32_t group;

		ASSERT_EQ(0, vol_mkdir(in_dir(i, NULL)));
		group = (vol_inode(in_dir(i, NULL)) - 1) / in_group;
		/* what is in the first group is read for other reasons, too */
		for (j = 0; j < found && groups[j] != group; j++)
			;
		if (!group || j < found)
			continue;
		dirs[found] = i;
		groups[found++] = group;
	}
	ASSERT_EQ(nr, found);
	for (i = 0; i < nr; i++)
		ASSERT_LE(0, close(vol_make(in_dir(dirs[i], "f"), 20 * KIB, 1)));
	ASSERT_EQ(0, vol_remount(v));
	ASSERT_EQ(0, forget_all());
}

/* Hold reads of the bitmap of blocks of a group. (That of inodes is read when a name there is looked up.) */
static int hold_bitmap(struct vol *v, uint32_t group)
{
	struct vol_map map = { .nr = 1 };
	uint32_t blocks, inodes;
	int err = ext2_bitmaps(v, group, &blocks, &inodes);

	map.e[0] = (struct vol_extent){
		.sector = blocks * (v->bs / 512ULL),
		.len = v->bs / 512,
		.reads = true,
	};
	err = err ?: vol_route(v, &map);
	return err ?: vol_hold_routed(v);
}

static long op_statfs(void *st)
{
	return statfs(env_dir(), st) ? -errno : 0;
}

static long op_unlink(void *name)
{
	return unlink(vol_path(name)) ? -errno : 0;
}

static long op_create(void *name)
{
	int fd = vol_open(name, O_CREAT | O_EXCL | O_RDWR);

	close(fd);
	return fd < 0 ? fd : 0;
}

/* It is done although something else waits. */
static void does(struct __test_metadata *_metadata, long (*op)(void *arg), void *arg, long want)
{
	struct task task;

	ASSERT_EQ(0, task_start(&task, op, arg));
	ASSERT_TRUE(task_settles(&task, TASK_DONE));
	ASSERT_EQ(want, task_join(&task, JOIN_SECONDS));
}

/* A task that waits for a bitmap. */
static void waits(struct __test_metadata *_metadata, struct task *task, long (*op)(void *arg), void *arg)
{
	ASSERT_EQ(0, task_start(task, op, arg));
	ASSERT_TRUE(task_settles(task, TASK_BLOCKED));
}

static void is_released(struct __test_metadata *_metadata, struct vol *v, struct task *task, long want)
{
	ASSERT_EQ(0, vol_release_routed(v));
	ASSERT_EQ(want, task_join(task, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(v));
}

/* One block beyond EOF of an open file of 20 KiB. */
static struct io_op append(const char *name)
{
	struct io_op op = { .fd = vol_open(name, O_RDWR), .len = KIB, .off = 20 * KIB };

	op.buf = buf_alloc(op.len);
	pattern_fill(op.buf, op.len, op.off, 1);
	return op;
}

/* Its bitmaps are in memory then, with room for a name in the directory. */
static void warm_up(struct __test_metadata *_metadata, int dir)
{
	ASSERT_LE(0, close(vol_make(in_dir(dir, "warm"), KIB, 1)));
}

/* How much space there is does not depend on what is being read. */
TEST_F(fs_groups, space_while_a_bitmap_is_read)
{
	struct statfs before, st;
	struct task task;
	uint32_t group;
	int dir;

	spread(_metadata, &self->v, 1, &dir, &group);
	ASSERT_EQ(0, statfs(env_dir(), &before));
	ASSERT_EQ(0, hold_bitmap(&self->v, group));
	waits(_metadata, &task, op_unlink, (void *)in_dir(dir, "f"));
	does(_metadata, op_statfs, &st, 0);
	EXPECT_EQ(before.f_bfree, st.f_bfree);
	is_released(_metadata, &self->v, &task, 0);
	ASSERT_EQ(0, statfs(env_dir(), &st));
	/* with its block of pointers */
	EXPECT_EQ(before.f_bfree + 21, st.f_bfree);
	EXPECT_EQ(before.f_ffree + 1, st.f_ffree);
}

/* Blocks and inodes of other groups, and inodes of the same one. */
static void others(struct __test_metadata *_metadata, struct vol *v, long (*op)(void *arg), void *arg,
		   const int *dirs, const uint32_t *groups)
{
	struct io_op grow;
	struct task task;

	warm_up(_metadata, dirs[1]);
	warm_up(_metadata, dirs[2]);
	ASSERT_EQ(0, op_create((void *)in_dir(dirs[0], "warm")));
	grow = append(in_dir(dirs[1], "f"));
	ASSERT_LE(0, grow.fd);
	ASSERT_EQ(0, hold_bitmap(v, groups[0]));
	waits(_metadata, &task, op, arg);
	does(_metadata, op_pwrite, &grow, grow.len);
	does(_metadata, op_unlink, (void *)in_dir(dirs[2], "f"), 0);
	does(_metadata, op_create, (void *)in_dir(dirs[2], "new"), 0);
	/* with the same lock as what waits, whatever has */
	does(_metadata, op_create, (void *)in_dir(dirs[0], "new"), 0);
	close(grow.fd);
	is_released(_metadata, v, &task, op == op_pwrite ? KIB : 0);
	if (op == op_pwrite)
		close(((struct io_op *)arg)->fd);
	ASSERT_EQ(0, vol_remount(v));
	EXPECT_TRUE(vol_holds(in_dir(dirs[1], "f"), 21 * KIB, 1));
	EXPECT_TRUE(vol_exists(in_dir(dirs[0], "new")));
}

TEST_F(fs_groups, others_while_one_allocates)
{
	struct io_op grow;
	uint32_t groups[3];
	int dirs[3];

	spread(_metadata, &self->v, 3, dirs, groups);
	grow = append(in_dir(dirs[0], "f"));
	ASSERT_LE(0, grow.fd);
	others(_metadata, &self->v, op_pwrite, &grow, dirs, groups);
	EXPECT_TRUE(vol_holds(in_dir(dirs[0], "f"), 21 * KIB, 1));
}

TEST_F(fs_groups, others_while_one_frees)
{
	uint32_t groups[3];
	int dirs[3];

	spread(_metadata, &self->v, 3, dirs, groups);
	others(_metadata, &self->v, op_unlink, (void *)in_dir(dirs[0], "f"), dirs, groups);
	EXPECT_FALSE(vol_exists(in_dir(dirs[0], "f")));
}

#define COUNTED(group)	(2 * KIB + (group) * 32 + 12)
#define STATE		(1024 + 58)	/* in the superblock: EXT2_VALID_FS, EXT2_ERROR_FS */

/*
 * Two groups, in the place of eight, and no block free. In the first one is "old", of 20 KiB, in the second a
 * directory, the number of which is returned, with "f".
 */
static int make_full(struct __test_metadata *_metadata, struct vol *v)
{
	struct vol_conf conf = SMALL_1K;
	int dir = -1, i;

	ASSERT_EQ(0, vol_umount(v));
	ASSERT_EQ(0, vol_mkfs(v, &conf));
	ASSERT_EQ(0, vol_mount(v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, vol_prefill("f", 0, 20 * KIB, 1));
	ASSERT_EQ(0, vol_prefill("old", 0, 20 * KIB, 1));
	do {
		ASSERT_EQ(0, vol_mkdir(in_dir(++dir, NULL)));
	} while (vol_inode(in_dir(dir, NULL)) <= vol_dev_get(v, 32, INODES_PER_GROUP));
	ASSERT_EQ(0, vol_prefill(in_dir(dir, "f"), 0, 20 * KIB, 1));
	ASSERT_EQ(0, fill_up(v, 3));
	for (i = 0; free_blocks() > 0; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "fill%d", i);
		fd = vol_open(name, O_CREAT | O_RDWR);
		ASSERT_EQ(1, write(fd, "x", 1));
		close(fd);
	}
	return dir;
}

/* What is freed behind a search is found. */
TEST_F(fs_groups, freed_behind_a_search)
{
	struct io_op grow;
	struct task task;

	if (!env_is_retryfs())
		SKIP(return, "others may fail a write while blocks are freed");
	/* the second is wrong about that */
	make_full(_metadata, &self->v);
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_get(&self->v, 16, COUNTED(1)));
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, COUNTED(1), 5));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(5, free_blocks());
	grow = append("f");
	ASSERT_LE(0, grow.fd);
	ASSERT_EQ(0, hold_bitmap(&self->v, 1));
	waits(_metadata, &task, op_pwrite, &grow);
	ASSERT_EQ(0, unlink(vol_path("old")));
	/* so that nothing is left to be settled */
	vol_sync();
	is_released(_metadata, &self->v, &task, grow.len);
	close(grow.fd);
	EXPECT_TRUE(vol_holds("f", 21 * KIB, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	/* EXT2_ERROR_FS, for the wrong counter */
	EXPECT_EQ(2, vol_dev_get(&self->v, 16, STATE) & 2);
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, STATE, 1));
}

/* Whether numbers are in use is looked up in the bitmap of their group, whichever was looked at before. */
TEST_F(fs_groups, numbers_of_two_groups)
{
	uint32_t groups[2];
	char name[32];
	int dirs[2], i;

	spread(_metadata, &self->v, 2, dirs, groups);
	for (i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "d%d/n%d", dirs[0], i);
		ASSERT_EQ(0, op_create(name));
	}
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, forget_all());
	EXPECT_EQ(0, access(vol_path(in_dir(dirs[1], "f")), F_OK));
	for (i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "d%d/n%d", dirs[0], i);
		EXPECT_EQ(0, access(vol_path(name), F_OK));
	}
}

/* As a user for whom nothing is reserved. */
static long op_pwrite_as_nobody(void *op)
{
	return syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) ? -errno : op_pwrite(op);
}

/* Of the last blocks that are not reserved, some are taken by another while one waits for a bitmap. */
TEST_F(fs_groups, reserve_is_kept)
{
	struct io_op first = { .len = 10 * KIB }, second = { .len = 5 * KIB };
	const char *const tune2fs[] = { "tune2fs", "-r", "32", self->v.dev, NULL };
	struct task task;
	int dir;

	dir = make_full(_metadata, &self->v);
	ASSERT_EQ(0, op_create("first"));
	ASSERT_EQ(0, op_create((void *)in_dir(dir, "second")));
	/* with their blocks of pointers */
	ASSERT_EQ(0, unlink(vol_path("old")));
	ASSERT_EQ(0, unlink(vol_path(in_dir(dir, "f"))));
	ASSERT_EQ(42, free_blocks());
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, run(1, tune2fs));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	first.buf = buf_alloc(first.len);
	second.buf = buf_alloc(second.len);
	first.fd = vol_open("first", O_RDWR | O_DIRECT);
	second.fd = vol_open(in_dir(dir, "second"), O_RDWR | O_DIRECT);
	ASSERT_LE(0, first.fd);
	ASSERT_LE(0, second.fd);
	ASSERT_EQ(0, hold_bitmap(&self->v, 0));
	waits(_metadata, &task, op_pwrite_as_nobody, &first);
	does(_metadata, op_pwrite_as_nobody, &second, second.len);
	is_released(_metadata, &self->v, &task, 5 * KIB);
	EXPECT_EQ(32, free_blocks());
	first.off = 5 * KIB;
	does(_metadata, op_pwrite_as_nobody, &first, -ENOSPC);
	close(first.fd);
	close(second.fd);
}

TEST_HARNESS_MAIN
