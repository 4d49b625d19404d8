// SPDX-License-Identifier: GPL-2.0
/*
 * In which order names, inodes and blocks come to the device: what was synced is there
 * after a loss of power, and e2fsck, whatever was begun and not synced since.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "bios.h"
#include "blocks.h"
#include "harness.h"
#include "powerloss.h"

VOL_FIXTURE(fs_order);
FIXTURE_VARIANT_ADD(fs_order, bs1k) { .conf = SMALL_1K };

#define LEN	3000

/* A file of generation @gen that is open; it is synced, with all names. */
static int make_synced(const char *name, uint64_t gen)
{
	int fd = vol_make(name, LEN, gen);

	vol_sync();
	return fd;
}

/* Have a block of the inode table written, with the slots of the first files: @fd is of one. */
static int write_table(int fd)
{
	return fchmod(fd, 0640) || fsync(fd) ? -errno : 0;
}

/* What is replaced has another name since, which is not on the device: the file is not lost. */
TEST_F(fs_order, rename_over_a_file_with_a_new_link)
{
	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("b"));
	ASSERT_EQ(0, vol_mkdir("c"));
	close(vol_make("a/new", LEN, 1));
	close(vol_make("b/old", LEN, 2));
	vol_sync();
	ASSERT_EQ(0, vol_link("b/old", "c/link"));
	ASSERT_EQ(0, vol_rename("a/new", "b/old", 0));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("b/old", LEN, 1));
	EXPECT_TRUE(lost_holds("c/link", LEN, 2));
}

/*
 * A name is replaced. The inode that it led to before is deleted, and comes to the
 * device so, with another of its block; the directory does not.
 */
TEST_F(fs_order, rename_over_a_file)
{
	int other = vol_make("other", LEN, 3), fd;

	ASSERT_LE(0, other);
	ASSERT_EQ(0, fsync(other));
	close(vol_make("config", LEN, 1));
	fd = make_synced("new", 2);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_rename("new", "config", 0));
	ASSERT_EQ(0, write_table(other));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("config", LEN, 2));
}

/* The same with a new file that nobody has synced: the name has either. */
TEST_F(fs_order, rename_of_a_file_that_was_not_synced)
{
	int dir = vol_open_dir("");

	ASSERT_LE(0, dir);
	close(make_synced("config", 1));
	close(vol_make("new", LEN, 2));
	ASSERT_EQ(0, vol_rename("new", "config", 0));
	ASSERT_EQ(0, fsync(dir));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("config", LEN, 2));
}

TEST_F(fs_order, rename_over_a_directory)
{
	int other = vol_make("other", LEN, 3);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, fsync(other));
	ASSERT_EQ(0, vol_mkdir("old"));
	ASSERT_EQ(0, vol_mkdir("new"));
	close(make_synced("new/f", 1));
	ASSERT_EQ(0, vol_rename("new", "old", 0));
	ASSERT_EQ(0, write_table(other));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("old/f", LEN, 1));
}

/*
 * Both names are in one block, and change by one write of it: of two names of a directory
 * e2fsck keeps one, here the old one, which comes first in the block.
 */
TEST_F(fs_order, rename_over_a_directory_of_the_block)
{
	struct vol_map map;

	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_mkdir("d/new"));
	ASSERT_EQ(0, vol_mkdir("d/old"));
	close(make_synced("d/new/f", 1));
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &map));
	ASSERT_EQ(0, bios_watch());
	ASSERT_EQ(0, vol_rename("d/new", "d/old", 0));
	EXPECT_EQ(1, bios_written(&self->v, map.e[0].sector));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("d/old/f", LEN, 1));
	EXPECT_FALSE(lost_exists("d/new"));
}

/* The same of names that follow each other the other way round; and one that cannot be written is undone. */
TEST_F(fs_order, rename_over_a_directory_that_cannot_be_written)
{
	static const char *const name[] = { "d/a", "d/b", "d/a" };
	struct vol_map map;
	int i;

	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_mkdir("d/a"));
	ASSERT_EQ(0, vol_mkdir("d/b"));
	ASSERT_EQ(0, vol_mkdir("d/c"));
	vol_sync();
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &map));
	for (i = 0; i < 2; i++) {
		const ino_t old = vol_inode(name[i]), new = vol_inode(name[i + 1]);

		ASSERT_EQ(0, vol_fail(&self->v, &map));
		EXPECT_EQ(-EIO, vol_rename(name[i], name[i + 1], 0));
		EXPECT_EQ(-EIO, vol_rename(name[i], "d/e", 0));
		ASSERT_EQ(0, vol_unroute(&self->v));
		vol_sync();
		ASSERT_EQ(0, vol_remount(&self->v));
		EXPECT_EQ(old, vol_inode(name[i]));
		EXPECT_EQ(new, vol_inode(name[i + 1]));
		EXPECT_TRUE(vol_exists("d/c"));
		EXPECT_FALSE(vol_exists("d/e"));
		EXPECT_EQ(5, vol_links("d"));
	}
	ASSERT_EQ(0, vol_rename("d/b", "d/a", 0));
	EXPECT_FALSE(vol_exists("d/b"));
	EXPECT_TRUE(vol_exists("d/c"));
	EXPECT_EQ(4, vol_links("d"));
}

/* The directory that has lost the file comes to the device before the one that got it. */
TEST_F(fs_order, rename_that_is_half_written)
{
	int dir;

	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("b"));
	close(make_synced("a/f", 1));
	dir = vol_open_dir("a");
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, vol_rename("a/f", "b/f", 0));
	ASSERT_EQ(0, fsync(dir));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("b/f", LEN, 1));
}

/* Of two names of a directory e2fsck keeps one, here the old one: its block comes first. */
TEST_F(fs_order, directory_that_has_moved)
{
	int dir;

	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("d"));
	close(make_synced("d/f", 1));
	dir = vol_open_dir("a");
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, vol_rename("d", "a/d", 0));
	ASSERT_EQ(0, fsync(dir));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("a/d/f", LEN, 1));
}

TEST_F(fs_order, rename_of_a_directory_that_is_half_written)
{
	int dir;

	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("b"));
	ASSERT_EQ(0, vol_mkdir("a/d"));
	close(make_synced("a/d/f", 1));
	dir = vol_open_dir("a");
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, vol_rename("a/d", "b/d", 0));
	ASSERT_EQ(0, fsync(dir));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("b/d/f", LEN, 1));
}

/* The same by link(2) and unlink(2). */
TEST_F(fs_order, link_and_unlink_that_are_half_written)
{
	int dir = vol_open_dir("");

	ASSERT_LE(0, dir);
	ASSERT_EQ(0, vol_mkdir("d"));
	close(make_synced("f", 1));
	ASSERT_EQ(0, vol_link("f", "d/g"));
	ASSERT_EQ(0, unlink(vol_path("f")));
	ASSERT_EQ(0, fsync(dir));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("d/g", LEN, 1));
}

static long op_unlink(void *name)
{
	return unlink(vol_path(name)) ? -errno : 0;
}

/*
 * A file has got a second name, which an fsync has written, and the device has not flushed. The first one, which is on stable
 * storage, is not removed before that.
 */
TEST_F(fs_order, unlink_while_the_other_name_is_flushed)
{
	struct io_op op = { .fd = make_synced("a", 1) };
	struct task syncing, unlinking;

	ASSERT_LE(0, op.fd);
	ASSERT_EQ(0, vol_link("a", "b"));
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&syncing, op_fsync, &op));
	ASSERT_BLOCKED(&syncing);
	ASSERT_EQ(0, task_start(&unlinking, op_unlink, "a"));
	EXPECT_BLOCKED(&unlinking);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&unlinking, JOIN_SECONDS));
	/* and the next one need not wait for anything */
	ASSERT_EQ(0, vol_link("b", "c"));
	ASSERT_EQ(0, fsync(op.fd));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&unlinking, op_unlink, "c"));
	ASSERT_DONE(&unlinking);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&unlinking, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_TRUE(vol_holds("b", LEN, 1));
}

/* A name that cannot be written is not replaced, and one does not move there. */
TEST_F(fs_order, rename_that_cannot_be_written)
{
	struct vol_map map;

	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("d"));
	close(vol_make("a/f", LEN, 1));
	close(make_synced("d/g", 2));
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &map));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-EIO, vol_rename("a/f", "d/g", 0));
	EXPECT_EQ(-EIO, vol_rename("a/f", "d/h", 0));
	ASSERT_EQ(0, vol_unroute(&self->v));
	vol_sync();
	EXPECT_FALSE(vol_exists("d/h"));
	EXPECT_TRUE(vol_holds("a/f", LEN, 1));
	EXPECT_TRUE(vol_holds("d/g", LEN, 2));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_FALSE(vol_exists("d/h"));
	EXPECT_TRUE(vol_holds("a/f", LEN, 1));
	EXPECT_TRUE(vol_holds("d/g", LEN, 2));
}

enum { SECTOR = 512, ENTRY = 32, DOTS = 24, PER_SECTOR = (SECTOR - DOTS) / ENTRY };

/* Each is an entry of ENTRY bytes. */
static const char *nth(const char *dir, int n)
{
	static char name[2][64];
	static int last;

	last = !last;
	snprintf(name[last], sizeof(name[last]), "%s/%024d", dir, n);
	return name[last];
}

static int make_many(const char *dir, int from, int to)
{
	int fd = 0;

	for (; fd >= 0 && from < to; from++) {
		fd = vol_open(nth(dir, from), O_CREAT | O_RDWR);
		close(fd);
	}
	return fd < 0 ? fd : 0;
}

/* The device cannot write the sectors of the first block of a directory but the first one. */
static int fail_later_sectors(struct vol *v, const char *dir)
{
	struct vol_map map;
	int err = vol_block(v, dir, 0, &map);

	if (err)
		return err;
	map.e[0].sector++;
	map.e[0].len--;
	return vol_fail(v, &map);
}

/*
 * The directory of the root was made by mkfs. A short name takes the room of a longer one at the end of a sector; the next
 * one could have its header in both sectors, of which one is not written: what was there is no entry, and there are
 * names behind it.
 */
TEST_F(fs_order, names_behind_a_new_one)
{
	/* "lost+found" has 20 bytes */
	const int cut = (SECTOR - DOTS - 20) / ENTRY, nr = (self->v.bs - DOTS - 20) / ENTRY;
	int n;

	ASSERT_EQ(0, make_many(".", 0, nr));
	ASSERT_EQ(0, unlink(vol_path(nth(".", cut))));
	close(vol_open("short", O_CREAT | O_RDWR));
	vol_sync();
	ASSERT_EQ(0, fail_later_sectors(&self->v, "."));
	close(vol_open("m", O_CREAT | O_RDWR));
	vol_sync();
	ASSERT_EQ(0, lose_power(&self->v));
	for (n = 0; n < nr; n++)
		EXPECT_EQ(n != cut, lost_exists(nth(".", n)));
	EXPECT_TRUE(lost_exists("short"));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* What begins a sector is there before an entry of the sector before it leads to that: else nothing is added. */
TEST_F(fs_order, sector_that_cannot_be_written)
{
	const int cut = (SECTOR - DOTS - 20) / ENTRY;

	ASSERT_EQ(0, make_many(".", 0, cut));
	vol_sync();
	ASSERT_EQ(0, fail_later_sectors(&self->v, "."));
	EXPECT_EQ(-EIO, make_many(".", cut, cut + 1));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_EQ(3 + cut, lost_entries(""));
	ASSERT_EQ(0, vol_unroute(&self->v));
	vol_sync();
	EXPECT_EQ(0, make_many(".", cut, cut + 1));
}

/* "d" has one block that ext4 has filled: name ACROSS lies across the end of a sector. */
enum { ACROSS = PER_SECTOR, FULL = 31 };

static int make_packed(struct vol *v, int gone_from, int gone_to)
{
	int err = vol_switch(v, "ext4");

	if (!err)
		err = vol_mkdir("d");
	if (!err)
		err = make_many("d", 0, FULL);
	for (; !err && gone_from < gone_to; gone_from++)
		err = unlink(vol_path(nth("d", gone_from))) ? -errno : 0;
	return err ?: vol_switch(v, env_fstype());
}

/* Writes of the first sector of the directory can be held, and those of its others not. */
static int route_first_sector(struct vol *v, const char *dir)
{
	struct vol_map map;
	int err = vol_block(v, dir, 0, &map);

	map.e[0].len = 1;
	map.e[0].writes = true;
	return err ?: vol_route(v, &map);
}

static long op_sync(void *unused)
{
	sync();
	return 0;
}

static long op_create(void *name)
{
	int fd = vol_open(name, O_CREAT | O_RDWR);

	close(fd);
	return fd < 0 ? fd : 0;
}

/* A sector of its own is known to the device before a name is moved within it, to where it begins since. */
TEST_F(fs_order, rename_in_a_sector_that_is_divided)
{
	const char *new = "d/a-name-for-which-there-is-room-only-where-the-other-sector-begins-now";
	struct task syncing;

	ASSERT_EQ(0, make_packed(&self->v, ACROSS, ACROSS + 3));
	ASSERT_EQ(0, route_first_sector(&self->v, "d"));
	ASSERT_EQ(0, vol_rename(nth("d", ACROSS + 3), new, 0));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&syncing, op_sync, NULL));
	/* with the mutant there is something of the first sector to be written; and else perhaps nothing */
	task_settles(&syncing, TASK_BLOCKED);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists(new) || lost_exists(nth("d", ACROSS + 3)));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* What was a name until now is written over when the device has it as slack. */
TEST_F(fs_order, sector_with_what_was_a_name)
{
	struct task creating;

	ASSERT_EQ(0, make_packed(&self->v, 0, 0));
	ASSERT_EQ(0, route_first_sector(&self->v, "d"));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, unlink(vol_path(nth("d", ACROSS))));
	ASSERT_EQ(0, task_start(&creating, op_create, "d/short"));
	ASSERT_BLOCKED(&creating);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists(nth("d", ACROSS)));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&creating, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* In a directory that has filled its first sector: the new name has no room there. */
TEST_F(fs_order, rename_between_sectors)
{
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, make_many("d", 0, PER_SECTOR));
	ASSERT_EQ(0, vol_prefill(nth("d", 3), 0, LEN, 1));
	vol_sync();
	ASSERT_EQ(0, fail_later_sectors(&self->v, "d"));
	vol_rename(nth("d", 3), "d/a-name-that-is-longer-than-the-one-that-it-had", 0);
	vol_sync();
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds(nth("d", 3), LEN, 1));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* The name that is replaced is in the other sector. */
TEST_F(fs_order, rename_over_a_name_in_another_sector)
{
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, make_many("d", 0, PER_SECTOR + 1));
	ASSERT_EQ(0, vol_prefill(nth("d", 3), 0, LEN, 1));
	vol_sync();
	ASSERT_EQ(0, fail_later_sectors(&self->v, "d"));
	vol_rename(nth("d", 3), nth("d", PER_SECTOR), 0);
	vol_sync();
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds(nth("d", 3), LEN, 1));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

TEST_F(fs_order, exchange_between_sectors)
{
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, make_many("d", 0, PER_SECTOR + 1));
	ASSERT_EQ(0, vol_prefill(nth("d", 3), 0, LEN, 1));
	ASSERT_EQ(0, vol_prefill(nth("d", PER_SECTOR), 0, LEN, 2));
	vol_sync();
	ASSERT_EQ(0, fail_later_sectors(&self->v, "d"));
	vol_rename(nth("d", 3), nth("d", PER_SECTOR), RENAME_EXCHANGE);
	vol_sync();
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds(nth("d", 3), LEN, 1));
	EXPECT_TRUE(lost_holds(nth("d", PER_SECTOR), LEN, 2));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* The first blocks of a file of blocks of 1 KiB that are below one, and two, blocks of pointers. */
#define SINGLE		12
#define DOUBLE		(SINGLE + 256)

static int write_block(int fd, off_t bs, off_t block)
{
	char *buf = buf_alloc(bs);

	pattern_fill(buf, bs, block * bs, 2);
	return pwrite(fd, buf, bs, block * bs) == bs ? 0 : -errno;
}

/*
 * "f", synced with @len bytes of generation 1, has got blocks since. The device gets its inode and
 * its blocks of pointers of before, but not the new ones: they have there what they had before, and
 * e2fsck deletes a file with such pointers.
 */
static void lose_what_is_new(struct __test_metadata *_metadata, struct vol *v, size_t len,
			     uint64_t after)
{
	const struct vol_map rest = {
		.e[0] = { .sector = after, .len = v->sectors - after }, .nr = 1
	};
	struct task syncing;

	ASSERT_EQ(0, vol_route(v, &rest));
	ASSERT_EQ(0, vol_hold_routed(v));
	ASSERT_EQ(0, task_start(&syncing, op_sync, NULL));
	EXPECT_BLOCKED(&syncing);
	EXPECT_EQ(0, lose_power(v));
	EXPECT_TRUE(lost_holds("f", len, 1));
	ASSERT_EQ(0, vol_release_routed(v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	/* all of it comes to the device in the end */
	ASSERT_EQ(0, lose_power(v));
	EXPECT_FALSE(lost_holds("f", len, 1));
	EXPECT_TRUE(lost_exists("f"));
}

/* The end of the last extent: what is allocated next lies behind it. */
static uint64_t end_of(const struct vol_map *map)
{
	return map->e[map->nr - 1].sector + map->e[map->nr - 1].len;
}

/*
 * A new directory gets the block of one that was removed. Nobody has synced it; but the device has what is in its block of the
 * inode table, and in the one of the directory that it is in.
 */
TEST_F(fs_order, directory_that_is_new)
{
	int fd;

	ASSERT_EQ(0, vol_mkdir("o"));
	ASSERT_EQ(0, vol_mkdir("o/s"));
	ASSERT_EQ(0, vol_mkdir("p"));
	close(make_synced("p/f", 1));
	ASSERT_EQ(0, rmdir(vol_path("o/s")));
	ASSERT_EQ(0, rmdir(vol_path("o")));
	vol_sync();
	ASSERT_EQ(0, vol_mkdir("p/d"));
	fd = vol_make("p/g", LEN, 2);
	ASSERT_LE(0, fd);
	/* or the case says nothing */
	ASSERT_EQ((vol_inode("p/d") - 1) / 8, (vol_inode("p/g") - 1) / 8);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power_at_boot(&self->v));
	EXPECT_TRUE(lost_holds("p/f", LEN, 1));
	EXPECT_TRUE(lost_holds("p/g", LEN, 2));
	if (lost_exists("p/d"))
		EXPECT_EQ(2, lost_entries("p/d"));
}

/* The same with a symbolic link that has a block: the device has it in its cache, and flushes that before it gets the inode. */
TEST_F(fs_order, symlink_that_is_new)
{
	char target[100] = "";
	int fd = make_synced("f", 1);
	struct io_op op = { .fd = fd };
	struct task syncing;

	ASSERT_LE(0, fd);
	memset(target, 'x', sizeof(target) - 1);
	ASSERT_EQ(0, symlink(target, vol_path("link")));
	ASSERT_EQ((vol_inode("f") - 1) / 8, (vol_inode("link") - 1) / 8);
	ASSERT_EQ(0, fchmod(fd, 0640));
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&syncing, op_fsync, &op));
	ASSERT_BLOCKED(&syncing);
	ASSERT_EQ(0, lose_power_at_boot(&self->v));
	EXPECT_FALSE(lost_exists("link"));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	vol_sync();
	ASSERT_EQ(0, lose_power_at_boot(&self->v));
	EXPECT_TRUE(lost_exists("link"));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* That costs one flush for all of them. */
TEST_F(fs_order, directories_that_are_new)
{
	const int nr = 40;
	char name[16];
	long before;
	int i;

	vol_sync();
	for (i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		ASSERT_EQ(0, vol_mkdir(name));
	}
	before = disk_flushes();
	ASSERT_LE(0, before);
	vol_sync();
	/* one of them is that of the sync; and writeback may have begun before it */
	EXPECT_GE(before + 6, disk_flushes());
	ASSERT_EQ(0, lose_power_at_boot(&self->v));
	for (i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		EXPECT_EQ(2, lost_entries(name));
	}
}

TEST_F(fs_order, file_that_has_grown)
{
	const off_t bs = self->v.bs;
	struct vol_map map;
	int fd;

	fd = make_synced("f", 1);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_find(&self->v, 0, bs, 1, &map));
	ASSERT_EQ(0, write_block(fd, bs, SINGLE));
	ASSERT_EQ(0, write_block(fd, bs, DOUBLE));
	lose_what_is_new(_metadata, &self->v, LEN, end_of(&map) + 3 * bs / 512);
}

/* The same below a block of pointers that the file has had before. */
TEST_F(fs_order, file_that_has_grown_further)
{
	const off_t bs = self->v.bs, size = (DOUBLE + 1) * bs;
	struct vol_map map;
	int fd;

	fd = vol_make("f", size, 1);
	ASSERT_LE(0, fd);
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, DOUBLE * bs, bs, 1, &map));
	ASSERT_EQ(0, write_block(fd, bs, DOUBLE + 256));
	lose_what_is_new(_metadata, &self->v, size, end_of(&map));
}

/* The same when the inode is stored for another reason: it has given blocks back. */
TEST_F(fs_order, file_that_has_grown_and_has_a_hole)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(bs);
	int other = vol_make("other", LEN, 3), fd;

	ASSERT_LE(0, other);
	fd = make_synced("f", 1);
	ASSERT_LE(0, fd);
	pattern_fill(buf, bs, DOUBLE * bs, 2);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, DOUBLE * bs));
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, bs, bs));
	ASSERT_EQ(0, write_table(other));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("f"));
}

/*
 * A block of pointers has got a pointer that is not to come to the device yet, and is given
 * back: it is not written over what it is used for then.
 */
TEST_F(fs_order, block_of_pointers_that_is_given_back)
{
	const off_t bs = self->v.bs;
	char *buf = buf_alloc(64 * bs), *back = buf_alloc(64 * bs);
	off_t pos, size = 0;
	int fd, all;

	fd = vol_make("f", (DOUBLE + 1) * bs, 1);
	ASSERT_LE(0, fd);
	vol_sync();
	ASSERT_EQ(0, write_block(fd, bs, DOUBLE + 256));
	ASSERT_EQ(0, ftruncate(fd, (SINGLE + 1) * bs));
	/* a file that has all there is */
	all = vol_open("all", O_CREAT | O_RDWR);
	ASSERT_LE(0, all);
	for (;;) {
		ssize_t n;

		pattern_fill(buf, 64 * bs, size, 2);
		n = pwrite(all, buf, 64 * bs, size);
		if (n <= 0)
			break;
		size += n;
	}
	ASSERT_EQ(ENOSPC, errno);
	vol_sync();
	close(all);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	all = vol_open("all", O_RDONLY);
	for (pos = 0; pos < size; pos += 64 * bs) {
		const off_t len = size - pos < 64 * bs ? size - pos : 64 * bs;

		ASSERT_EQ(len, pread(all, back, len, pos));
		ASSERT_PATTERN(back, len, pos, 2);
	}
}

TEST_HARNESS_MAIN
