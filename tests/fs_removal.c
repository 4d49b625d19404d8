// SPDX-License-Identifier: GPL-2.0
/*
 * unlink(2) of a file with several names: it waits for those that stay, if the device may not have them,
 * and for nothing else.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "ondisk.h"
#include "powerloss.h"
#include "stop.h"

VOL_FIXTURE(fs_removal);
FIXTURE_VARIANT_ADD(fs_removal, bs1k) { .conf = SMALL_1K };

#define LEN	3000
/* More than an inode has in mind. */
#define NAMES	7

static const char *name(int i)
{
	static char name[16];

	snprintf(name, sizeof(name), "d%d/f", i);
	return name;
}

/* A file with a name in each of as many directories; its descriptor. */
static int make_names(void)
{
	char dir[16];
	int fd = -1, i;

	for (i = 0; i < NAMES; i++) {
		snprintf(dir, sizeof(dir), "d%d", i);
		if (vol_mkdir(dir))
			return -errno;
		if (i == 0)
			fd = vol_make(name(0), LEN, 1);
		else if (vol_link("d0/f", name(i)))
			return -errno;
	}
	return fd;
}

/* All but the last one are removed, and the device is not waited for. */
static void remove_names(struct __test_metadata *_metadata)
{
	long before = disk_flushes();
	int i;

	ASSERT_LE(0, before);
	for (i = 0; i < NAMES - 1; i++) {
		ASSERT_EQ(0, unlink(vol_path(name(i))));
		EXPECT_EQ(before, disk_flushes());
	}
}

/* Of a file that was synced; and when that is synced again, they are gone. */
TEST_F(fs_removal, names_of_a_synced_file)
{
	int fd = make_names(), i;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	remove_names(_metadata);
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(0, lose_power(&self->v));
	for (i = 0; i < NAMES - 1; i++)
		EXPECT_FALSE(lost_exists(name(i)));
	EXPECT_TRUE(lost_holds(name(NAMES - 1), LEN, 1));
}

/* By syncfs(2), or by sync(2). */
static void on_a_synced_volume(struct __test_metadata *_metadata, void (*sync_all)(void))
{
	int fd = make_names();

	ASSERT_LE(0, fd);
	close(fd);
	sync_all();
	remove_names(_metadata);
}

TEST_F(fs_removal, names_on_a_synced_volume)
{
	on_a_synced_volume(_metadata, vol_sync);
}

TEST_F(fs_removal, names_on_a_volume_synced_with_others)
{
	on_a_synced_volume(_metadata, sync);
}

/* What is made after that is waited for. */
TEST_F(fs_removal, name_that_is_newer_than_a_sync)
{
	int dir = vol_open_dir("");

	ASSERT_LE(0, dir);
	ASSERT_EQ(0, vol_mkdir("d"));
	close(vol_make("f", LEN, 1));
	vol_sync();
	ASSERT_EQ(0, vol_link("f", "d/g"));
	ASSERT_EQ(0, unlink(vol_path("f")));
	ASSERT_EQ(0, fsync(dir));
	close(dir);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("d/g", LEN, 1));
}

static long sync_volume(void *unused)
{
	vol_sync();
	return 0;
}

/* So is a name for which a directory has grown when the sync had stored the inodes, and not written their buffers. */
TEST_F(fs_removal, name_that_is_made_during_a_sync)
{
	int dir, err, i;
	struct vol_conf linear = variant->conf;
	struct probed p;
	struct task t;
	struct stat st;
	char new[256];

	/* an index would have it stored */
	linear.features = "^dir_index";
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &linear));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	dir = vol_open_dir("");
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, vol_mkdir("d"));
	close(vol_make("x", LEN, 2));
	close(vol_make("f", LEN, 1));
	/* a block full of names */
	for (i = 0; i < 4; i++) {
		snprintf(new, sizeof(new), "d/%0200d", i);
		ASSERT_EQ(0, vol_link("x", new));
	}
	vol_sync();
	ASSERT_EQ(0, stat(vol_path("d"), &st));
	ASSERT_EQ(self->v.bs, st.st_size);
	err = stop_in_probe(&p, &t, "r:" STOP_PROBE " sync_inodes_sb\n", sync_volume, NULL);
	if (err == -ENODEV)
		SKIP(return, "two processors are needed");
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	snprintf(new, sizeof(new), "d/%0200d", i);
	EXPECT_EQ(0, vol_link("f", new));
	EXPECT_EQ(0, stat(vol_path("d"), &st));
	EXPECT_EQ(2 * self->v.bs, st.st_size);
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	ASSERT_EQ(0, unlink(vol_path("f")));
	ASSERT_EQ(0, fsync(dir));
	close(dir);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_FALSE(lost_exists("f"));
	EXPECT_TRUE(lost_holds(new, LEN, 1));
}

TEST_HARNESS_MAIN
