// SPDX-License-Identifier: GPL-2.0
/*
 * Groups whose bitmap is being read from a device that takes its time: who has nothing to do with them
 * does not wait for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "caches.h"
#include "ext2.h"
#include "harness.h"
#include "task.h"

#define DIRS	16
/* in the superblock */
#define INODES_PER_GROUP	(1024 + 40)

/* Eight groups. */
VOL_FIXTURE(fs_groups);
FIXTURE_VARIANT_ADD(fs_groups, bs1k) { .conf = { .bs = 1024, .isize = 128, .mib = 64 } };

static const char *in_dir(int dir, const char *name)
{
	static char buf[4][32];
	static int nr;
	char *path = buf[nr++ % 4];

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

/* Hold reads of the bitmap of blocks, or of that of inodes, of a group. */
static int hold_bitmap(struct vol *v, uint32_t group, bool of_inodes)
{
	struct vol_map map = { .nr = 1 };
	uint32_t blocks, inodes;
	int err = ext2_bitmaps(v, group, &blocks, &inodes);

	map.e[0] = (struct vol_extent){
		.sector = (of_inodes ? inodes : blocks) * (v->bs / 512ULL),
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

/* It is done although something else waits. */
static void does(struct __test_metadata *_metadata, long (*op)(void *arg), void *arg, long want)
{
	struct task task;

	ASSERT_EQ(0, task_start(&task, op, arg));
	ASSERT_TRUE(task_settles(&task, TASK_DONE));
	ASSERT_EQ(want, task_join(&task, JOIN_SECONDS));
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
	ASSERT_EQ(0, hold_bitmap(&self->v, group, false));
	ASSERT_EQ(0, task_start(&task, op_unlink, (void *)in_dir(dir, "f")));
	ASSERT_TRUE(task_settles(&task, TASK_BLOCKED));
	does(_metadata, op_statfs, &st, 0);
	EXPECT_EQ(before.f_bfree, st.f_bfree);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(0, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	/* with its block of pointers */
	EXPECT_EQ(before.f_bfree + 21, st.f_bfree);
	EXPECT_EQ(before.f_ffree + 1, st.f_ffree);
}

TEST_HARNESS_MAIN
