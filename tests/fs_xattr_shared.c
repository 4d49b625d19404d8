// SPDX-License-Identifier: GPL-2.0
/*
 * Several inodes that share a block of extended attributes, and give it up at the same time: e2fsck finds what it counts
 * at the end of each case.
 */
#include <fcntl.h>
#include <sys/xattr.h>

#include "debugfs.h"
#include "harness.h"
#include "stop.h"

VOL_FIXTURE(fs_xattr_shared);
FIXTURE_VARIANT_ADD(fs_xattr_shared, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_xattr_shared, bs4k) { .conf = SMALL_4K };

#define NAME	"user.x"
/* More than an inode has room for. */
#define BIG	400

static int set(const char *file, int c)
{
	char value[BIG];

	memset(value, c, BIG);
	return lsetxattr(vol_path(file), NAME, value, BIG, 0) ? -errno : 0;
}

static bool has(const char *file, int c)
{
	char value[BIG];

	return lgetxattr(vol_path(file), NAME, value, BIG) == BIG && value[0] == c &&
	       value[BIG - 1] == c;
}

static int create(const char *name)
{
	int fd = vol_open(name, O_CREAT | O_RDWR);

	close(fd);
	return fd < 0 ? fd : 0;
}

struct sharer {
	struct stop stop;
	const char *file;
};

/* To share the block of others, and stop where its buffer is dirtied: the lock of the counts is held there. */
static long op_share(void *arg)
{
	struct sharer *s = arg;
	int err = stop_me_at(&s->stop, "block/block_dirty_buffer");

	return err ?: set(s->file, 'x');
}

static long op_unlink(void *name)
{
	return unlink(vol_path(name)) ? -errno : 0;
}

static long op_remove(void *name)
{
	return lremovexattr(vol_path(name), NAME) ? -errno : 0;
}

/* It has another block, and gives up the previous one when it is written. */
static long op_change_and_sync(void *name)
{
	const int fd = vol_open(name, O_RDONLY);
	int err = fd < 0 ? fd : set(name, 'y');

	if (!err && fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

static void at_a_time(struct __test_metadata *_metadata, struct vol *v, long (*first)(void *name),
		      long (*second)(void *name))
{
	struct sharer sharer = { .file = "c" };
	struct task share, give_up[2];
	int i;

	ASSERT_EQ(0, stop_stay_away(&sharer.stop));
	ASSERT_EQ(0, create("a"));
	ASSERT_EQ(0, create("b"));
	ASSERT_EQ(0, create("c"));
	ASSERT_EQ(0, set("a", 'x'));
	ASSERT_EQ(0, set("b", 'x'));
	vol_sync();
	ASSERT_EQ(0, task_start(&share, op_share, &sharer));
	ASSERT_TRUE(stop_wait(&sharer.stop, JOIN_SECONDS));
	ASSERT_EQ(0, task_start(&give_up[0], first, "a"));
	ASSERT_EQ(0, task_start(&give_up[1], second, "b"));
	/* on the debug kernel it is not always stopped before it has given the lock back */
	for (i = 0; i < 2 && !env_on_debug(); i++)
		EXPECT_BLOCKED(&give_up[i]);
	ASSERT_TRUE(stop_go(&sharer.stop));
	EXPECT_EQ(0, task_join(&share, JOIN_SECONDS));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, task_join(&give_up[i], JOIN_SECONDS));
	EXPECT_TRUE(has("c", 'x'));
	ASSERT_EQ(0, vol_umount(v));
	EXPECT_EQ(1, debugfs_number(v, "stat c", "File ACL:") > 0);
	ASSERT_EQ(0, vol_fsck(v));
	ASSERT_EQ(0, vol_mount(v, env_fstype(), 0, NULL));
	EXPECT_TRUE(has("c", 'x'));
	/* the last one */
	ASSERT_EQ(0, unlink(vol_path("c")));
}

TEST_F(fs_xattr_shared, two_deleted)
{
	if (!env_is_retryfs())
		SKIP(return, "the locks of retryfs");
	at_a_time(_metadata, &self->v, op_unlink, op_unlink);
}

TEST_F(fs_xattr_shared, deleted_and_removed)
{
	if (!env_is_retryfs())
		SKIP(return, "the locks of retryfs");
	at_a_time(_metadata, &self->v, op_unlink, op_remove);
}

TEST_F(fs_xattr_shared, deleted_and_changed)
{
	if (!env_is_retryfs())
		SKIP(return, "the locks of retryfs");
	at_a_time(_metadata, &self->v, op_unlink, op_change_and_sync);
}

TEST_HARNESS_MAIN
