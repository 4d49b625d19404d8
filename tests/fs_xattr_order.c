// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks of extended attributes, and the inodes that lead to them: in which order they come to the
 * device, and what is there after a loss of power in between.
 */
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "caches.h"
#include "debugfs.h"
#include "harness.h"
#include "powerloss.h"
#include "stop.h"
#include "trace.h"

FIXTURE(fs_xattr_order) { struct vol v; };
FIXTURE_VARIANT(fs_xattr_order) {
	struct vol_conf conf;
	/* What begins the attribute that files have on the device, before they get another block; 0 for none. */
	int old;
};

FIXTURE_VARIANT_ADD(fs_xattr_order, first_1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_xattr_order, first_4k) { .conf = SMALL_4K };
FIXTURE_VARIANT_ADD(fs_xattr_order, other_1k) { .conf = SMALL_1K, .old = 'o' };
FIXTURE_VARIANT_ADD(fs_xattr_order, other_4k) { .conf = SMALL_4K, .old = 'o' };
/* an inode has room for it, but not in one sector */
FIXTURE_VARIANT_ADD(fs_xattr_order, other_sectors) { .conf = { .bs = 4096, .isize = 1024 }, .old = 'o' };

FIXTURE_SETUP(fs_xattr_order)
{
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
}

FIXTURE_TEARDOWN(fs_xattr_order)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

#define NAME	"user.x"
/* More than an inode has room for. */
#define BIG	400

static const char *big(int c)
{
	static char value[BIG];

	memset(value, c, BIG);
	return value;
}

static int set(const char *file, int c)
{
	return lsetxattr(vol_path(file), NAME, big(c), BIG, 0) ? -errno : 0;
}

static bool has(const char *file, int c)
{
	char value[BIG + 1];

	return lgetxattr(vol_path(file), NAME, value, sizeof(value)) == BIG &&
	       !memcmp(value, big(c), BIG);
}

/* A file, with what it is to have on the device. */
static int create(const char *name, int old)
{
	int fd = vol_open(name, O_CREAT | O_RDWR);

	close(fd);
	return fd < 0 ? fd : old ? set(name, old) : 0;
}

/* What begins the attribute of a file after the loss of power: 0 if it has none. */
static int lost(const char *file)
{
	char value[BIG + 1];

	return lost_xattr(file, NAME, value, sizeof(value)) < BIG ? 0 : value[0];
}

/* The block of attributes of a file on the device; 0 if its inode leads to none. */
static long on_disk(const char *file)
{
	char cmd[256], line[256];
	long block = -ENOENT;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "debugfs -D -R 'stat %s' %s 2>/dev/null", file, env_dev());
	f = popen(cmd, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "File ACL: %ld", &block);
	if (f)
		pclose(f);
	return block;
}

static long op_sync(void *unused)
{
	vol_sync();
	return 0;
}

/*
 * A file gets a block of attributes, which was one of another file. The device has the inode
 * before the block: it must have what it had, and not the attributes of the other file.
 */
TEST_F(fs_xattr_order, block_that_comes_late)
{
	const uint64_t sectors = self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	struct task syncing;
	long block;

	ASSERT_EQ(0, create("secret", 's'));
	ASSERT_EQ(0, create("f", variant->old));
	vol_sync();
	block = on_disk("secret");
	ASSERT_LT(0, block);
	ASSERT_EQ(0, unlink(vol_path("secret")));
	vol_sync();
	map.e[0] = (struct vol_extent){ .sector = block * sectors, .len = sectors, .writes = true };
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, set("f", 'f'));
	ASSERT_EQ(0, task_start(&syncing, op_sync, NULL));
	EXPECT_BLOCKED(&syncing);
	EXPECT_EQ(0, lose_power(&self->v));
	EXPECT_EQ(variant->old, lost("f"));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	/* it was that block, and all of it is there in the end */
	EXPECT_EQ(block, on_disk("f"));
	EXPECT_EQ(0, lose_power(&self->v));
	EXPECT_EQ('f', lost("f"));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* The device may lose a block that it has in its cache: it gets the inode behind a flush. */
TEST_F(fs_xattr_order, inode_behind_a_flush)
{
	struct task syncing;
	long old;

	ASSERT_EQ(0, create("f", variant->old));
	vol_sync();
	old = on_disk("f");
	ASSERT_EQ(!!variant->old, old > 0);
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, set("f", 'f'));
	ASSERT_EQ(0, task_start(&syncing, op_sync, NULL));
	EXPECT_BLOCKED(&syncing);
	EXPECT_EQ(old, on_disk("f"));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	EXPECT_LT(0, on_disk("f"));
	EXPECT_NE(old, on_disk("f"));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

static long op_sync_file(void *file)
{
	const int fd = vol_open(file, O_RDONLY);
	const int err = fd < 0 ? fd : fsync(fd) ? -errno : 0;

	close(fd);
	return err;
}

/*
 * A new block is changed in place as long as no inode leads to it on the device. If that is while new blocks are brought there,
 * it has to be brought once more.
 */
TEST_F(fs_xattr_order, block_that_is_changed_meanwhile)
{
	struct task syncing;
	long old;

	ASSERT_EQ(0, create("f", variant->old));
	ASSERT_EQ(0, create("other", 0));
	vol_sync();
	old = on_disk("f");
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, set("f", 'f'));
	ASSERT_EQ(0, set("other", 'x'));
	ASSERT_EQ(0, task_start(&syncing, op_sync_file, "other"));
	EXPECT_BLOCKED(&syncing);
	ASSERT_EQ(0, set("f", 'g'));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	EXPECT_EQ(0, lose_power(&self->v));
	EXPECT_EQ(variant->old, lost("f"));
	EXPECT_EQ('x', lost("other"));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&syncing, op_sync_file, "f"));
	EXPECT_BLOCKED(&syncing);
	EXPECT_EQ(old, on_disk("f"));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
	EXPECT_EQ(0, lose_power(&self->v));
	EXPECT_EQ('g', lost("f"));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* The device cannot write all of the block that has the previous attributes, which would be lost with it. */
TEST_F(fs_xattr_order, block_that_would_be_torn)
{
	const uint64_t sectors = self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	long block;

	if (!variant->old)
		SKIP(return, "there are none");
	ASSERT_EQ(0, create("f", variant->old));
	vol_sync();
	block = on_disk("f");
	ASSERT_LT(0, block);
	map.e[0] = (struct vol_extent){ .sector = block * sectors + 1, .len = sectors - 1, .fails = true };
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, set("f", 'f'));
	EXPECT_EQ(0, op_sync_file("f"));
	EXPECT_EQ(0, lose_power(&self->v));
	EXPECT_EQ('f', lost("f"));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* Others have put an attribute where the fields of the inode end with the sector: it can be removed, and is not what comes later. */
TEST_F(fs_xattr_order, slot_behind_the_sector)
{
	char value[BIG + 1];

	if (self->v.isize < 1024)
		SKIP(return, "inodes have one sector");
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "feature extra_isize"));
	ASSERT_EQ(0, debugfs(&self->v, "set_super_value want_extra_isize 384"));
	ASSERT_EQ(0, vol_mount(&self->v, "ext4", 0, NULL));
	ASSERT_EQ(0, create("f", 0));
	ASSERT_EQ(0, create("g", 0));
	ASSERT_EQ(0, lsetxattr(vol_path("f"), NAME, "old", 3, 0));
	ASSERT_EQ(0, lsetxattr(vol_path("g"), NAME, "old", 3, 0));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	EXPECT_EQ(3, lgetxattr(vol_path("f"), NAME, value, sizeof(value)));
	EXPECT_EQ(0, lremovexattr(vol_path("f"), NAME));
	EXPECT_EQ(0, lremovexattr(vol_path("g"), NAME));
	EXPECT_EQ(0, set("g", 'g'));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(-1, lgetxattr(vol_path("f"), NAME, value, sizeof(value)));
	EXPECT_EQ(ENODATA, errno);
	EXPECT_TRUE(has("g", 'g'));
}

/* As when files are unpacked: there is not a flush for each. */
TEST_F(fs_xattr_order, flush_for_many)
{
	const int nr = 40;
	char name[8];
	long before;
	int i;

	for (i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		ASSERT_EQ(0, create(name, variant->old));
	}
	vol_sync();
	for (i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		ASSERT_EQ(0, set(name, 'A' + i));
	}
	before = disk_flushes();
	ASSERT_LE(0, before);
	vol_sync();
	/* one of them is that of the sync; and writeback may have begun before it */
	EXPECT_GE(before + 6, disk_flushes());
	ASSERT_EQ(0, lose_power(&self->v));
	for (i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		EXPECT_EQ('A' + i, lost(name));
	}
}

/* The block cannot be written: who syncs the file is told, and it has its attributes when it can. */
TEST_F(fs_xattr_order, block_that_cannot_be_written)
{
	const uint64_t sectors = self->v.bs / 512;
	const char *const preen[] = { "e2fsck", "-p", self->v.dev, NULL };
	struct vol_map map = { .nr = 1 };
	long block;
	int fd, i;

	ASSERT_EQ(0, create("a", 'a'));
	ASSERT_EQ(0, create("f", variant->old));
	vol_sync();
	block = on_disk("a");
	ASSERT_LT(0, block);
	ASSERT_EQ(0, unlink(vol_path("a")));
	vol_sync();
	fd = vol_open("f", O_RDONLY);
	ASSERT_LE(0, fd);
	map.e[0] = (struct vol_extent){ .sector = block * sectors, .len = sectors, .fails = true };
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, set("f", 'f'));
	/* who tries again is told again, and the inode does not lead there yet */
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-1, fsync(fd));
		EXPECT_EQ(EIO, errno);
	}
	EXPECT_EQ(0, lose_power(&self->v));
	EXPECT_EQ(variant->old, lost("f"));
	ASSERT_EQ(0, vol_unroute(&self->v));
	vol_sync();
	fsync(fd);
	EXPECT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	run(1, preen);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(has("f", 'f'));
}

static long op_set(void *file)
{
	return set(file, 'f');
}

/*
 * An attribute moves from the inode to a block, and when that is there the inode cannot be changed, as its
 * place has left memory, and cannot be read. The old value is there, and no block is lost.
 */
TEST_F(fs_xattr_order, attribute_that_moves_half_way)
{
	const uint64_t sectors = self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	struct vol_extent table;
	struct task setting;
	char value[BIG];
	long block, slot;

	if (self->v.isize < 256 || variant->old)
		SKIP(return, "the inode has no room for it, or the same as others");
	ASSERT_EQ(0, create("a", 'a'));
	ASSERT_EQ(0, create("f", 0));
	ASSERT_EQ(0, lsetxattr(vol_path("f"), NAME, "short", 5, 0));
	vol_sync();
	block = on_disk("a");
	slot = debugfs_number(&self->v, "imap f", "located at block");
	ASSERT_LT(0, slot);
	ASSERT_LT(slot, block);
	ASSERT_EQ(0, unlink(vol_path("a")));
	vol_sync();
	table = (struct vol_extent){ .sector = slot * sectors, .len = sectors };
	map.e[0] = (struct vol_extent){ .sector = block * sectors, .len = sectors, .writes = true };
	ASSERT_EQ(0, vol_route_beside(&self->v, &table, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&setting, op_set, "f"));
	EXPECT_BLOCKED(&setting);
	EXPECT_EQ(0, forget_all());
	EXPECT_EQ(0, vol_fail_side(&self->v));
	EXPECT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(-EIO, task_join(&setting, JOIN_SECONDS));
	EXPECT_EQ(0, vol_release_side(&self->v));
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* when it is unmounted no block is lost */
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_EQ(5, lgetxattr(vol_path("f"), NAME, value, sizeof(value)));
}

/* The file is synced by a thread that is stopped behind its first flush. */
static long op_sync_and_stop(void *arg)
{
	struct probed *p = arg;
	int err = stop_me_at(&p->stop, "kprobes/" STOP_PROBE);

	return err ? err : op_sync_file(p->arg);
}

/*
 * Two files are synced at once, and the flush of both ends: who began last goes on first. A third file, whose block was there when
 * that one began, comes to the device with it, as it loses its data. When the other one has gone on, too, this block is still one
 * that is not changed where it is.
 */
TEST_F(fs_xattr_order, flushes_that_end_together)
{
	const size_t len = 3000;
	struct task first, second;
	struct probed p = { .arg = "first" };
	long block;

	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	if (variant->old)
		ASSERT_EQ(0, set("f", variant->old));
	ASSERT_EQ(0, create("first", 0));
	ASSERT_EQ(0, create("second", 0));
	vol_sync();
	trace_write("kprobe_events", "-:" STOP_PROBE "\n");
	if (trace_write("kprobe_events", "r:" STOP_PROBE " blkdev_issue_flush\n"))
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, stop_stay_away(&p.stop));
	ASSERT_EQ(0, vol_route_flushes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, set("first", 'a'));
	ASSERT_EQ(0, task_start(&first, op_sync_and_stop, &p));
	ASSERT_BLOCKED(&first);
	ASSERT_EQ(0, set("f", 'f'));
	ASSERT_EQ(0, set("second", 'b'));
	ASSERT_EQ(0, task_start(&second, op_sync_file, "second"));
	ASSERT_BLOCKED(&second);
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_TRUE(stop_wait(&p.stop, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&second, JOIN_SECONDS));
	EXPECT_EQ(0, truncate(vol_path("f"), 0));
	ASSERT_TRUE(let_go(&p));
	EXPECT_EQ(0, task_join(&first, JOIN_SECONDS));
	/* the inode table has one block for all of them */
	EXPECT_EQ(0, chmod(vol_path("second"), 0600));
	EXPECT_EQ(0, op_sync_file("second"));
	block = on_disk("f");
	EXPECT_LT(0, block);
	ASSERT_EQ(0, set("f", 'g'));
	EXPECT_EQ(0, op_sync_file("f"));
	EXPECT_NE(block, on_disk("f"));
	EXPECT_EQ(0, lose_power(&self->v));
	EXPECT_EQ('g', lost("f"));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

#define TRUSTED	"trusted.x"

static long op_remove(void *file)
{
	return lremovexattr(vol_path(file), TRUSTED) ? -errno : 0;
}

/*
 * A symbolic link loses its block of attributes, and is written back before its sectors are counted: by these it is told whether its
 * target is in the inode.
 */
TEST_F(fs_xattr_order, sectors_of_a_symbolic_link)
{
	struct task removing, syncing;
	struct probed p;
	int err;

	if (variant->old)
		SKIP(return, "the same as others");
	ASSERT_EQ(0, symlink("target", vol_path("l")));
	ASSERT_EQ(0, lsetxattr(vol_path("l"), TRUSTED, big('t'), BIG, 0));
	vol_sync();
	ASSERT_LT(0, on_disk("l"));
	ASSERT_EQ(0, lchown(vol_path("l"), 1, 1));
	err = stop_in_probe(&p, &removing, "p:" STOP_PROBE " inode_sub_bytes\n", op_remove, "l");
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, task_start(&syncing, op_sync, NULL));
	/* with PREEMPT_RT, it waits */
	task_settle(&syncing);
	EXPECT_EQ(0, lose_power_at_boot(&self->v));
	EXPECT_TRUE(lost_exists("l"));
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(0, task_join(&removing, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&syncing, JOIN_SECONDS));
}

/* A new inode in a block that has been changed for another one, with its attributes, and is not on the device yet. */
TEST_F(fs_xattr_order, new_inode_beside_it)
{
	const ino_t per_block = self->v.bs / self->v.isize;
	struct stat dir, old, new;
	char name[32];
	int fd, i = 0;

	if (self->v.isize < 256)
		SKIP(return, "an inode has no room for attributes");
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, stat(vol_path("d"), &dir));
	/* one that is not the last of its block, and in another one than the directory */
	do {
		snprintf(name, sizeof(name), "d/old%d", i++);
		ASSERT_EQ(0, mknod(vol_path(name), S_IFREG | 0600, 0));
		ASSERT_EQ(0, stat(vol_path(name), &old));
	} while (old.st_ino % per_block == 0 || (old.st_ino - 1) / per_block == (dir.st_ino - 1) / per_block);
	vol_sync();
	ASSERT_EQ(0, setxattr(vol_path(name), NAME, "b", 1, 0));
	ASSERT_EQ(0, mknod(vol_path("d/new"), S_IFIFO | 0600, 0));
	ASSERT_EQ(0, stat(vol_path("d/new"), &new));
	ASSERT_EQ((old.st_ino - 1) / per_block, (new.st_ino - 1) / per_block);
	fd = vol_open_dir("d");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("d/new"));
}

#define LIST_MAX	24

/* Give @file a list with @users of it, to whom @mask leaves what they may, and nothing for its group; minimal if 0. 0 or -errno. */
static int give_masked_list(const char *file, const char *attribute, int users, int mask)
{
	struct {
		struct posix_acl_xattr_header h;
		struct posix_acl_xattr_entry e[LIST_MAX];
	} list = { .h.a_version = POSIX_ACL_XATTR_VERSION };
	int i, n = 0;

	list.e[n++] = (struct posix_acl_xattr_entry){ ACL_USER_OBJ, 6, -1 };
	for (i = 0; i < users; i++)
		list.e[n++] = (struct posix_acl_xattr_entry){ ACL_USER, 6, 1000 + i };
	list.e[n++] = (struct posix_acl_xattr_entry){ ACL_GROUP_OBJ, 0, -1 };
	if (users)
		list.e[n++] = (struct posix_acl_xattr_entry){ ACL_MASK, mask, -1 };
	list.e[n++] = (struct posix_acl_xattr_entry){ ACL_OTHER, 0, -1 };
	return setxattr(vol_path(file), attribute, &list, sizeof(list.h) + n * sizeof(list.e[0]), 0) ? -errno : 0;
}

static int give_list(const char *file, const char *attribute, int users)
{
	return give_masked_list(file, attribute, users, 6);
}

#define ACCESS	"system.posix_acl_access"
#define DEFAULT	"system.posix_acl_default"

/* After a loss of power: does the group of @file have more than its list gave it? */
static bool group_has_more(const char *file)
{
	char value[1024];
	long mode = lost_mode(file);

	if (mode < 0)
		return true;
	return mode & 070 && lost_xattr(file, ACCESS, value, sizeof(value)) <= 0;
}

/* Two files, f and beside, with their inodes in one block. 0 or -errno. */
static int make_two(struct vol *v)
{
	const ino_t per_block = v->bs / v->isize;
	struct stat f, beside;
	int i;

	for (i = 0; i < (int)per_block; i++) {
		if (vol_prefill("f", 0, v->bs, 1) || vol_prefill("beside", 0, v->bs, 1))
			return -EIO;
		if (stat(vol_path("f"), &f) || stat(vol_path("beside"), &beside))
			return -errno;
		if ((f.st_ino - 1) / per_block == (beside.st_ino - 1) / per_block)
			return chmod(vol_path("f"), 0600) ? -errno : 0;
		if (rename(vol_path("beside"), vol_path("f")))
			return -errno;
	}
	return -ENOENT;
}

/* Sync @name, and no other inode, and then the power goes. 0 or -errno. */
static int sync_and_lose(struct vol *v, const char *name)
{
	int fd = vol_open(name, O_RDWR), err;

	if (fd < 0)
		return fd;
	err = fchmod(fd, 0640) || fsync(fd) ? -errno : lose_power(v);
	close(fd);
	return err;
}

/* A list goes, and the mode with what its mask gave; an inode beside it is synced. */
TEST_F(fs_xattr_order, list_that_goes)
{
	static const int users[] = { 1, 16 };
	int i;

	ASSERT_EQ(0, make_two(&self->v));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, give_list("f", ACCESS, users[i]));
		vol_sync();
		ASSERT_EQ(0, give_list("f", ACCESS, 0));
		ASSERT_EQ(0, sync_and_lose(&self->v, "beside"));
		EXPECT_FALSE(group_has_more("f")) TH_LOG("%d users, mode %lo", users[i], lost_mode("f"));
	}
}

/* A list cannot be set, when the inode has been stored for it: the mode stays. */
TEST_F(fs_xattr_order, list_that_is_not_set)
{
	const unsigned int per = self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	char value[4096] = "";
	struct stat st;
	long block;

	if (self->v.isize != 256 || self->v.bs != 4096 || variant->old)
		SKIP(return, "the inode has no room for it, or the block has");
	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	ASSERT_EQ(0, chmod(vol_path("f"), 0600));
	/* the list is in the block, which is full, and the inode has room */
	ASSERT_EQ(0, setxattr(vol_path("f"), "user.s", value, 60, 0));
	ASSERT_EQ(0, give_list("f", ACCESS, 1));
	ASSERT_EQ(0, setxattr(vol_path("f"), "user.l", value, 3984, 0));
	ASSERT_EQ(0, removexattr(vol_path("f"), "user.s"));
	vol_sync();
	block = debugfs_number(&self->v, "imap f", "located at block");
	ASSERT_LT(0, block);
	map.e[0] = (struct vol_extent){ .sector = block * per, .len = per, .fails = true, .writes = true };
	ASSERT_EQ(0, vol_route(&self->v, &map));
	EXPECT_EQ(-EIO, give_masked_list("f", ACCESS, 4, 4));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	EXPECT_EQ(0660, st.st_mode & 0777);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	EXPECT_EQ(0660, st.st_mode & 0777);
	EXPECT_LT(0, getxattr(vol_path("f"), ACCESS, value, sizeof(value)));
}

/* A list comes, and the inode is stored, as blocks are freed, before the block with the list may be: then one beside it is synced. */
TEST_F(fs_xattr_order, list_that_comes)
{
	static const int users[] = { 1, 16 };
	char value[1024];
	int i;

	ASSERT_EQ(0, make_two(&self->v));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_prefill("f", 0, self->v.bs, 1));
		vol_sync();
		ASSERT_EQ(0, give_list("f", ACCESS, users[i]));
		ASSERT_EQ(0, truncate(vol_path("f"), 0));
		ASSERT_EQ(0, sync_and_lose(&self->v, "beside"));
		EXPECT_FALSE(group_has_more("f")) TH_LOG("%d users, mode %lo", users[i], lost_mode("f"));
		/* when it is synced it has both */
		ASSERT_EQ(0, sync_and_lose(&self->v, "f"));
		EXPECT_EQ(040, lost_mode("f") & 070);
		EXPECT_LT(0, lost_xattr("f", ACCESS, value, sizeof(value)));
		ASSERT_EQ(0, give_list("f", ACCESS, 0));
	}
}

/* The same of a new file, which inherits one. */
TEST_F(fs_xattr_order, list_of_a_new_file)
{
	const ino_t per_block = self->v.bs / self->v.isize;
	struct stat beside, new;
	char name[32];
	int i = 0;

	ASSERT_EQ(0, vol_mkdir("d"));
	do {
		snprintf(name, sizeof(name), "d/old%d", i++);
		ASSERT_EQ(0, vol_prefill(name, 0, 100, 1));
		ASSERT_EQ(0, stat(vol_path(name), &beside));
	} while (beside.st_ino % per_block == 0);
	ASSERT_EQ(0, give_list("d", DEFAULT, 16));
	vol_sync();
	ASSERT_EQ(0, mknod(vol_path("d/new"), S_IFREG | 0666, 0));
	ASSERT_EQ(0, stat(vol_path("d/new"), &new));
	ASSERT_EQ((beside.st_ino - 1) / per_block, (new.st_ino - 1) / per_block);
	EXPECT_EQ(0660, new.st_mode & 0777);
	ASSERT_EQ(0, sync_and_lose(&self->v, name));
	EXPECT_TRUE(!lost_exists("d/new") || !group_has_more("d/new"));
	i = vol_open_dir("d");
	ASSERT_LE(0, i);
	EXPECT_EQ(0, fsync(i));
	close(i);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_FALSE(group_has_more("d/new"));
}

static long mkdir_new(void *arg)
{
	return vol_mkdir(arg);
}

/*
 * A directory gets an access control list, which is stored in its inode, before it has a block; then another inode of that block of the
 * inode table is synced: the device does not have it in use.
 */
TEST_F(fs_xattr_order, directory_in_the_making)
{
	const ino_t per_block = self->v.bs / self->v.isize;
	struct stat beside, new;
	struct probed probed;
	struct task making;
	char name[32];
	int d, i = 0;

	if (self->v.isize < 256)
		SKIP(return, "an inode has no room for attributes");
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, give_list("d", DEFAULT, 1));
	/* one that is not the last of its block */
	do {
		snprintf(name, sizeof(name), "d/old%d", i++);
		ASSERT_EQ(0, vol_mkdir(name));
		ASSERT_EQ(0, stat(vol_path(name), &beside));
	} while (beside.st_ino % per_block == 0);
	vol_sync();
	d = vol_open_dir(name);
	ASSERT_LE(0, d);
	i = stop_in_probe(&probed, &making, "p:" STOP_PROBE " security_inode_init_security\n", mkdir_new,
			  (void *)"d/new");
	if (i == -ENOENT)
		SKIP(return, "no such probe");
	ASSERT_EQ(0, i);
	EXPECT_EQ(0, fchmod(d, 0700));
	EXPECT_EQ(0, fsync(d));
	snprintf(name, sizeof(name), "stat <%lu>", beside.st_ino + 1);
	EXPECT_EQ(0, debugfs_number(&self->v, name, "Links: "));
	EXPECT_EQ(0, lose_power_at_boot(&self->v));
	ASSERT_TRUE(let_go(&probed));
	EXPECT_EQ(0, task_join(&making, JOIN_SECONDS));
	ASSERT_EQ(0, stat(vol_path("d/new"), &new));
	ASSERT_EQ(beside.st_ino + 1, new.st_ino);
	close(d);
	d = vol_open_dir("d/new");
	ASSERT_LE(0, d);
	EXPECT_EQ(0, fsync(d));
	ASSERT_EQ(0, lose_power_at_boot(&self->v));
	EXPECT_TRUE(lost_exists("d/new"));
	close(d);
}

TEST_HARNESS_MAIN
