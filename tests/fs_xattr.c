// SPDX-License-Identifier: GPL-2.0
/*
 * Extended attributes: in the inode, and in a block that inodes share. What one driver has written
 * the other reads.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "caches.h"
#include "debugfs.h"
#include "ext2.h"
#include "harness.h"
#include "ondisk.h"
#include "powerloss.h"
#include "rng.h"

VOL_FIXTURE(fs_xattr);
FIXTURE_VARIANT_ADD(fs_xattr, is128) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_xattr, is256) { .conf = SMALL_4K };

/* More than an inode has room for. */
#define BIG	400

static int set(const char *file, const char *name, const void *value, size_t len, int flags)
{
	return lsetxattr(vol_path(file), name, value, len, flags) ? -errno : 0;
}

static ssize_t get(const char *file, const char *name, void *value, size_t len)
{
	ssize_t n = lgetxattr(vol_path(file), name, value, len);

	return n < 0 ? -errno : n;
}

static int create(const char *name)
{
	int fd = vol_open(name, O_CREAT | O_RDWR);

	close(fd);
	return fd < 0 ? fd : 0;
}

static const char *big(int c)
{
	static char value[BIG];

	memset(value, c, BIG);
	return value;
}

static bool has_big(const char *file, const char *name, int c)
{
	char value[BIG + 1];

	return get(file, name, value, sizeof(value)) == BIG && !memcmp(value, big(c), BIG);
}

static long block_of(struct vol *v, const char *file)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "stat %s", file);
	return debugfs_number(v, cmd, "File ACL:");
}

static long blocks_free(void)
{
	struct statfs st;

	return statfs(env_dir(), &st) ? -errno : (long)st.f_bfree;
}

TEST_F(fs_xattr, errors)
{
	char name[300] = "user.", value[70000], list[64];

	ASSERT_EQ(0, create("f"));
	EXPECT_EQ(-ENODATA, get("f", "user.a", value, 10));
	EXPECT_EQ(0, llistxattr(vol_path("f"), list, sizeof(list)));
	EXPECT_EQ(-ENODATA, set("f", "user.a", "x", 1, XATTR_REPLACE));
	EXPECT_EQ(0, set("f", "user.a", "xyz", 3, XATTR_CREATE));
	EXPECT_EQ(-EEXIST, set("f", "user.a", "x", 1, XATTR_CREATE));
	/* both flags, which no attribute can satisfy */
	EXPECT_EQ(-EEXIST, set("f", "user.a", "x", 1, XATTR_CREATE | XATTR_REPLACE));
	EXPECT_EQ(-ENODATA, set("f", "user.b", "x", 1, XATTR_CREATE | XATTR_REPLACE));
	EXPECT_EQ(3, get("f", "user.a", value, 0));
	EXPECT_EQ(-ERANGE, get("f", "user.a", value, 2));
	EXPECT_EQ(3, get("f", "user.a", value, 3));
	EXPECT_EQ(0, memcmp(value, "xyz", 3));
	EXPECT_EQ(0, set("f", "user.empty", NULL, 0, 0));
	EXPECT_EQ(0, get("f", "user.empty", value, 10));
	EXPECT_EQ(7 + 11, llistxattr(vol_path("f"), NULL, 0));
	EXPECT_EQ(-1, llistxattr(vol_path("f"), list, 17));
	EXPECT_EQ(ERANGE, errno);
	EXPECT_EQ(18, llistxattr(vol_path("f"), list, 18));
	EXPECT_EQ(-EOPNOTSUPP, set("f", "other.a", "x", 1, 0));
	EXPECT_EQ(-EOPNOTSUPP, get("f", "system.a", value, 10));
	EXPECT_EQ(-EINVAL, set("f", "user.", "x", 1, 0));
	EXPECT_EQ(-1, lremovexattr(vol_path("f"), "user.b"));
	EXPECT_EQ(ENODATA, errno);
	EXPECT_EQ(0, lremovexattr(vol_path("f"), "user.a"));
	EXPECT_EQ(-ENODATA, get("f", "user.a", value, 10));
	/* a name of 255 bytes, and longer */
	memset(name + 5, 'n', 250);
	EXPECT_EQ(0, set("f", name, "v", 1, 0));
	EXPECT_EQ(1, get("f", name, value, 10));
	name[255] = 'n';
	EXPECT_EQ(-ERANGE, set("f", name, "v", 1, 0));
	/* more than a block, whatever else there is */
	memset(value, 'v', sizeof(value));
	EXPECT_EQ(env_is_retryfs() ? -ERANGE : -ENOSPC, set("f", "user.c", value, self->v.bs, 0));
	EXPECT_EQ(-E2BIG, set("f", "user.c", value, sizeof(value), 0));
	/* users have them on files and directories only */
	ASSERT_EQ(0, symlink("x", vol_path("l")));
	EXPECT_EQ(-EPERM, set("l", "user.a", "x", 1, 0));
	EXPECT_EQ(0, set("l", "trusted.a", "x", 1, 0));
	EXPECT_EQ(1, get("l", "trusted.a", value, 1));
	ASSERT_EQ(0, mknod(vol_path("p"), S_IFIFO | 0600, 0));
	EXPECT_EQ(0, set("p", "trusted.a", big('p'), BIG, 0));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(has_big("p", "trusted.a", 'p'));
	EXPECT_EQ(1, get("l", "trusted.a", value, 1));
}

/* The change of an attribute is one of the inode. */
TEST_F(fs_xattr, change_time)
{
	const struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
	struct stat before, after;

	ASSERT_EQ(0, create("f"));
	ASSERT_EQ(0, utimensat(AT_FDCWD, vol_path("f"), old, 0));
	ASSERT_EQ(0, stat(vol_path("f"), &before));
	ASSERT_EQ(0, set("f", "user.a", big('a'), BIG, 0));
	ASSERT_EQ(0, stat(vol_path("f"), &after));
	EXPECT_EQ(1, after.st_mtime);
	EXPECT_EQ(before.st_blocks + self->v.bs / 512, after.st_blocks);
	if (self->v.isize > 128)
		EXPECT_NE(0, memcmp(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim)));
	ASSERT_EQ(0, lremovexattr(vol_path("f"), "user.a"));
	ASSERT_EQ(0, stat(vol_path("f"), &after));
	EXPECT_EQ(before.st_blocks, after.st_blocks);
}

/* What does not fit any more changes nothing. */
TEST_F(fs_xattr, no_room_in_the_block)
{
	char name[32], value[BIG];
	int i, n;

	ASSERT_EQ(0, create("f"));
	for (n = 0; n < 200; n++) {
		snprintf(name, sizeof(name), "user.n%d", n);
		i = set("f", name, big('a' + n % 26), 90, 0);
		if (i)
			break;
	}
	EXPECT_EQ(-ENOSPC, i);
	EXPECT_LT(5, n);
	EXPECT_EQ(-ENOSPC, set("f", "user.n0", big('z'), BIG, 0));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "user.n%d", i);
		EXPECT_EQ(90, get("f", name, value, sizeof(value))) TH_LOG("%s", name);
		EXPECT_EQ(0, memcmp(value, big('a' + i % 26), 90));
	}
}

#define NAMES	12
#define FILES	4

/* What the files should have: the byte that a value is of, and its length. */
struct model {
	struct {
		int len;	/* -1: none */
		char c;
	} at[FILES][NAMES];
};

static const char *model_name(int n)
{
	static const char *const prefixes[] = { "user.", "trusted.", "security." };
	static char name[64];

	snprintf(name, sizeof(name), "%s%.*s%d", prefixes[n % 3], 3 * n, "abcdefghijklmnopqrstuvwxyzabcdefghijklmn", n);
	return name;
}

static int model_step(struct model *m, struct rng *r)
{
	static const int lens[] = { 0, 1, 3, 4, 17, 40, 90, 200, 400 };
	const int f = rng_below(r, FILES), n = rng_below(r, NAMES);
	const int len = rng_percent(r, 25) ? -1 : lens[rng_below(r, ARRAY_SIZE(lens))];
	const char c = 'a' + rng_below(r, 3);
	char file[8];
	int err;

	snprintf(file, sizeof(file), "f%d", f);
	if (len < 0) {
		err = lremovexattr(vol_path(file), model_name(n)) ? -errno : 0;
		if (err != (m->at[f][n].len < 0 ? -ENODATA : 0))
			return err ?: -EIO;
	} else {
		err = set(file, model_name(n), big(c), len, 0);
		if (err == -ENOSPC)
			return 0;
		if (err)
			return err;
	}
	m->at[f][n].len = len;
	m->at[f][n].c = c;
	return 0;
}

static bool model_agrees(const struct model *m)
{
	char file[8], value[BIG + 1], list[4096];
	int f, n;

	for (f = 0; f < FILES; f++) {
		ssize_t want = 0;

		snprintf(file, sizeof(file), "f%d", f);
		for (n = 0; n < NAMES; n++) {
			const int len = m->at[f][n].len;
			ssize_t have = get(file, model_name(n), value, sizeof(value));

			if (have != (len < 0 ? -ENODATA : len) ||
			    (len > 0 && memcmp(value, big(m->at[f][n].c), len))) {
				printf("# %s %s: %zd, not %d\n", file, model_name(n), have, len);
				return false;
			}
			want += len < 0 ? 0 : strlen(model_name(n)) + 1;
		}
		if (llistxattr(vol_path(file), list, sizeof(list)) != want)
			return false;
	}
	return true;
}

/* Both drivers in turn change the same files at random. */
TEST_F(fs_xattr, random_changes_by_two_drivers)
{
	struct model m;
	struct rng r;
	int round, i;

	memset(&m, -1, sizeof(m));
	rng_seed(&r, 16, self->v.bs, 0);
	for (i = 0; i < FILES; i++) {
		char file[8];

		snprintf(file, sizeof(file), "f%d", i);
		ASSERT_EQ(0, create(file));
	}
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 150; i++)
			ASSERT_EQ(0, model_step(&m, &r)) TH_LOG("step %d", i);
		EXPECT_TRUE(model_agrees(&m));
		ASSERT_EQ(0, vol_switch(&self->v, round % 2 ? env_fstype() : "ext4"));
		EXPECT_TRUE(model_agrees(&m));
	}
}

/* Inodes with the same attributes have one block. Who changes them gets another one. */
TEST_F(fs_xattr, shared_block)
{
	const long free = blocks_free();
	long block;

	ASSERT_EQ(0, create("a"));
	ASSERT_EQ(0, create("b"));
	ASSERT_EQ(0, create("c"));
	ASSERT_EQ(0, set("a", "user.x", big('x'), BIG, 0));
	ASSERT_EQ(0, set("b", "user.x", big('x'), BIG, 0));
	ASSERT_EQ(0, set("c", "user.x", big('x'), BIG, 0));
	EXPECT_EQ(free - 1, blocks_free());
	/* also before any of it has been written */
	ASSERT_EQ(0, set("b", "user.other", big('z'), 200, 0));
	EXPECT_EQ(-ENODATA, get("a", "user.other", NULL, 0));
	ASSERT_EQ(0, lremovexattr(vol_path("b"), "user.other"));
	EXPECT_EQ(free - 1, blocks_free());
	ASSERT_EQ(0, vol_umount(&self->v));
	block = block_of(&self->v, "a");
	ASSERT_LT(0, block);
	EXPECT_EQ(block, block_of(&self->v, "b"));
	EXPECT_EQ(block, block_of(&self->v, "c"));
	EXPECT_EQ(0, vol_fsck(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, set("b", "user.x", big('y'), BIG, 0));
	EXPECT_TRUE(has_big("a", "user.x", 'x'));
	EXPECT_TRUE(has_big("b", "user.x", 'y'));
	EXPECT_TRUE(has_big("c", "user.x", 'x'));
	ASSERT_EQ(0, unlink(vol_path("a")));
	EXPECT_TRUE(has_big("c", "user.x", 'x'));
	/* two that become equal again */
	ASSERT_EQ(0, set("c", "user.x", big('y'), BIG, 0));
	/* what was before is kept until the inodes have been written */
	vol_sync();
	EXPECT_EQ(free - 1, blocks_free());
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_TRUE(has_big("b", "user.x", 'y'));
	EXPECT_TRUE(has_big("c", "user.x", 'y'));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	ASSERT_EQ(0, unlink(vol_path("b")));
	ASSERT_EQ(0, lremovexattr(vol_path("c"), "user.x"));
	EXPECT_EQ(free, blocks_free());
}

/* A file that has another block than on the device, and loses it: none of the two is left. */
TEST_F(fs_xattr, both_blocks_are_given_back)
{
	const long free = blocks_free();

	ASSERT_EQ(0, create("deleted"));
	ASSERT_EQ(0, create("removed"));
	ASSERT_EQ(0, set("deleted", "user.x", big('a'), BIG, 0));
	ASSERT_EQ(0, set("removed", "user.x", big('b'), BIG, 0));
	vol_sync();
	ASSERT_EQ(0, set("deleted", "user.x", big('c'), BIG, 0));
	ASSERT_EQ(0, set("removed", "user.x", big('d'), BIG, 0));
	ASSERT_EQ(0, unlink(vol_path("deleted")));
	ASSERT_EQ(0, lremovexattr(vol_path("removed"), "user.x"));
	EXPECT_EQ(free, blocks_free());
}

/*
 * A file that has a block no more which it still has on the device, and another that had
 * it, too, and is changed and synced: the first one must not get the second one's.
 */
TEST_F(fs_xattr, block_that_was_shared)
{
	char name[16], value[BIG + 1];
	int fd, i;

	ASSERT_EQ(0, create("a"));
	/* in a block of inodes of its own */
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ASSERT_EQ(0, create(name));
	}
	ASSERT_EQ(0, create("b"));
	ASSERT_EQ(0, set("a", "user.x", big('x'), BIG, 0));
	vol_sync();
	/* on the device it has none, so that a block of its own could be changed in place */
	ASSERT_EQ(0, set("b", "user.x", big('x'), BIG, 0));
	ASSERT_EQ(0, lremovexattr(vol_path("a"), "user.x"));
	ASSERT_EQ(0, set("b", "user.x", big('y'), BIG, 0));
	fd = vol_open("b", O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(0, lose_power(&self->v));
	ASSERT_EQ(BIG, lost_xattr("b", "user.x", value, sizeof(value)));
	EXPECT_EQ(0, memcmp(value, big('y'), BIG));
	/* that it was removed was not synced */
	if (lost_xattr("a", "user.x", value, sizeof(value)))
		EXPECT_EQ(0, memcmp(value, big('x'), BIG));
}

/*
 * No block for it on the volume: the file has what it had, if others have it, too. A block of its own is
 * written over, and synced.
 */
TEST_F(fs_xattr, full_volume)
{
	char name[16], value[BIG + 1];
	int i, fd, err = 0;

	ASSERT_EQ(0, create("a"));
	ASSERT_EQ(0, create("b"));
	ASSERT_EQ(0, create("own"));
	ASSERT_EQ(0, set("own", "user.x", big('o'), BIG, 0));
	ASSERT_EQ(0, set("own", "user.small", "s", 1, 0));
	ASSERT_EQ(0, set("a", "user.x", big('x'), BIG, 0));
	ASSERT_EQ(0, set("b", "user.x", big('x'), BIG, 0));
	for (i = 0; !err && i < 64; i++) {
		snprintf(name, sizeof(name), "fill%d", i);
		err = vol_prefill(name, 0, MIB, 1);
	}
	for (; blocks_free() > 0; i++) {
		snprintf(name, sizeof(name), "fill%d", i);
		ASSERT_EQ(0, vol_prefill(name, 0, self->v.bs, 1));
	}
	vol_sync();
	EXPECT_EQ(0, set("own", "user.x", big('p'), BIG, 0));
	EXPECT_EQ(0, lremovexattr(vol_path("own"), "user.small"));
	fd = vol_open("own", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_EQ(BIG, lost_xattr("own", "user.x", value, sizeof(value)));
	EXPECT_EQ(0, memcmp(value, big('p'), BIG));
	EXPECT_EQ(-ENOSPC, set("a", "user.x", big('y'), BIG, 0));
	EXPECT_TRUE(has_big("a", "user.x", 'x'));
	EXPECT_TRUE(has_big("b", "user.x", 'x'));
	ASSERT_EQ(0, unlink(vol_path("fill0")));
	EXPECT_EQ(0, set("a", "user.x", big('y'), BIG, 0));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(has_big("a", "user.x", 'y'));
	EXPECT_TRUE(has_big("b", "user.x", 'x'));
}

/* How often a line of what debugfs finds on the device itself has the word. */
static int on_device(const char *command, const char *word)
{
	char cmd[256], line[1024];
	int n = 0;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "debugfs -D -R '%s' %s 2>/dev/null", command, env_dev());
	f = popen(cmd, "r");
	while (f && fgets(line, sizeof(line), f))
		n += !!strstr(line, word);
	if (f)
		pclose(f);
	return n;
}

/* An fsync takes the attributes along, also when the block was made for another file. */
TEST_F(fs_xattr, fsync)
{
	int fd, i;

	ASSERT_EQ(0, create("a"));
	ASSERT_EQ(0, create("b"));
	ASSERT_EQ(0, create("small"));
	/* the first block of a file is written before the inode is: what counts is a change of it */
	ASSERT_EQ(0, set("b", "user.first", big('f'), BIG, 0));
	vol_sync();
	ASSERT_EQ(0, set("a", "user.x", big('x'), BIG, 0));
	ASSERT_EQ(0, set("b", "user.x", big('x'), BIG, 0));
	ASSERT_EQ(0, set("small", "user.small", "s", 1, 0));
	for (i = 0; i < 2; i++) {
		fd = vol_open(i ? "small" : "b", O_RDONLY);
		ASSERT_LE(0, fd);
		EXPECT_EQ(0, fsync(fd));
		close(fd);
	}
	EXPECT_EQ(1, on_device("ea_list b", "user.x"));
	EXPECT_EQ(1, on_device("ea_list small", "user.small"));
}

/* e2fsck takes the blocks of attributes away where the superblock does not say that there may be any. */
TEST_F(fs_xattr, volume_without_the_feature)
{
	struct vol_conf old = variant->conf;

	old.features = "^ext_attr";
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &old));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, create("a"));
	ASSERT_EQ(0, set("a", "user.x", big('x'), BIG, 0));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_TRUE(has_big("a", "user.x", 'x'));
}

/* A copy that cannot be written: who syncs the file is told, and on the device it has what it had. */
TEST_F(fs_xattr, copy_that_cannot_be_written)
{
	const char *const preen[] = { "e2fsck", "-p", self->v.dev, NULL };
	char value[BIG + 1];
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "others write over it");
	ASSERT_EQ(0, create("a"));
	ASSERT_EQ(0, create("b"));
	ASSERT_EQ(0, set("a", "user.x", big('x'), BIG, 0));
	ASSERT_EQ(0, set("b", "user.x", big('x'), BIG, 0));
	ASSERT_EQ(0, create("moved"));
	ASSERT_EQ(0, set("moved", "user.m", "m", 1, 0));
	vol_sync();
	fd = vol_open("a", O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	EXPECT_EQ(0, set("a", "user.x", big('y'), BIG, 0));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	/* from the inode to a block */
	if (self->v.isize > 128) {
		EXPECT_EQ(-EIO, set("moved", "user.m", big('m'), BIG, 0));
		EXPECT_EQ(1, get("moved", "user.m", value, sizeof(value)));
	}
	EXPECT_EQ(0, lose_power(&self->v));
	EXPECT_EQ(BIG, lost_xattr("a", "user.x", value, sizeof(value)));
	EXPECT_EQ(0, memcmp(value, big('x'), BIG));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_TRUE(has_big("a", "user.x", 'y'));
	EXPECT_TRUE(has_big("b", "user.x", 'x'));
	vol_sync();
	fsync(fd);
	EXPECT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	run(1, preen);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(has_big("a", "user.x", 'y'));
	EXPECT_TRUE(has_big("b", "user.x", 'x'));
}

/* A capability as setcap(8) makes it. */
static int set_capability(const char *file)
{
	const struct vfs_cap_data cap = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data[0].permitted = 1 << CAP_NET_RAW,
	};

	return set(file, "security.capability", &cap, sizeof(cap), 0);
}

/* The block of an attribute that goes cannot be freed: it goes all the same, and e2fsck is to find the block. */
TEST_F(fs_xattr, block_that_cannot_be_freed)
{
	const char *const preen[] = { "e2fsck", "-p", self->v.dev, NULL };
	const unsigned int per = self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	uint32_t bitmap, inodes;
	int kmsg = kmsg_open();
	char value[BIG];

	if (!env_is_retryfs())
		SKIP(return, "others do not read it again");
	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, create("f"));
	ASSERT_EQ(0, set("f", "user.x", big('x'), BIG, 0));
	vol_sync();
	ASSERT_EQ(0, ext2_bitmaps(&self->v, block_of(&self->v, "f") / (8 * self->v.bs), &bitmap, &inodes));
	map.e[0] = (struct vol_extent){ .sector = bitmap * per, .len = per };
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(has_big("f", "user.x", 'x'));
	ASSERT_EQ(0, forget_all());
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(0, removexattr(vol_path("f"), "user.x"));
	EXPECT_EQ(-ENODATA, get("f", "user.x", value, sizeof(value)));
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "cannot free a block of attributes", NULL }));
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(1, run(1, preen));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_EQ(-ENODATA, get("f", "user.x", value, sizeof(value)));
	close(kmsg);
}

/* What is in the inode is read without the block. */
TEST_F(fs_xattr, block_that_is_not_needed)
{
	const unsigned int per = self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	char value[BIG + 1];
	long block;

	if (self->v.isize < 256)
		SKIP(return, "an inode has no room for attributes");
	ASSERT_EQ(0, create("f"));
	ASSERT_EQ(0, set("f", "user.small", "s", 1, 0));
	ASSERT_EQ(0, set("f", "user.large", big('x'), BIG, 0));
	vol_sync();
	block = block_of(&self->v, "f");
	ASSERT_LT(0, block);
	map.e[0] = (struct vol_extent){ .sector = block * per, .len = per };
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, forget_all());
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(1, get("f", "user.small", value, sizeof(value)));
	EXPECT_EQ(-EIO, get("f", "user.large", value, sizeof(value)));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_TRUE(has_big("f", "user.large", 'x'));
}

/* Whether it goes, without the right to execute, depends on who writes: so the first write looks, also where there are no attributes. */
TEST_F(fs_xattr, set_group_id_goes_with_a_write)
{
	struct stat st;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	ASSERT_EQ(0, chown(vol_path("f"), 0, 1));
	ASSERT_EQ(0, chmod(vol_path("f"), 02666));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(02666, st.st_mode & 07777);
	ASSERT_EQ(0, setresuid(-1, 65534, -1));
	EXPECT_EQ(1, pwrite(fd, "x", 1, 0));
	ASSERT_EQ(0, setresuid(-1, 0, -1));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0666, st.st_mode & 07777);
	close(fd);
}

/* Whoever writes to a file takes its capability away, in whatever way. */
TEST_F(fs_xattr, capability_goes_with_a_write)
{
	static const char *const how[] = {
		"buffered", "append", "direct", "async", "truncate", "punch", "chown", "nowait",
	};
	const size_t len = 4 * self->v.bs;
	char *buf = buf_alloc(len), value[64];
	struct iovec iov = { buf, len };
	int i, fd;

	ASSERT_LT(0, way_setup(buf, len));
	memset(buf, 'w', len);
	for (i = 0; i < (int)ARRAY_SIZE(how); i++) {
		ASSERT_EQ(0, vol_prefill(how[i], 0, len, 1));
		ASSERT_EQ(0, set_capability(how[i]));
	}
	ASSERT_EQ(0, vol_remount(&self->v));
	for (i = 0; i < (int)ARRAY_SIZE(how); i++) {
		const bool direct = i == 2 || i == 3 || i == 7;

		EXPECT_EQ(20, get(how[i], "security.capability", value, sizeof(value)));
		fd = vol_open(how[i], O_RDWR | (direct ? O_DIRECT : 0) | (i == 1 ? O_APPEND : 0));
		ASSERT_LE(0, fd);
		switch (i) {
		case 4:
			EXPECT_EQ(0, ftruncate(fd, 1));
			break;
		case 5:
			if (!env_is_retryfs()) {
				EXPECT_EQ(1, pwrite(fd, buf, 1, 0));
				break;
			}
			EXPECT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, len));
			break;
		case 6:
			EXPECT_EQ(0, fchown(fd, 1, 1));
			break;
		case 7:
			EXPECT_EQ(-1, pwritev2(fd, &iov, 1, 0, RWF_NOWAIT));
			EXPECT_EQ(EAGAIN, errno);
			EXPECT_EQ(20, get(how[i], "security.capability", value, sizeof(value)));
			EXPECT_EQ(len, pwrite(fd, buf, len, 0));
			break;
		default:
			EXPECT_EQ(len, do_write(i == 3 ? ASYNC : SYNC, fd, buf, len, 0));
		}
		close(fd);
		EXPECT_EQ(-ENODATA, get(how[i], "security.capability", value, sizeof(value)))
			TH_LOG("%s", how[i]);
		/* and again, when nobody looks any more whether there is one */
		ASSERT_EQ(0, set_capability(how[i]));
		fd = vol_open(how[i], O_RDWR);
		EXPECT_EQ(1, pwrite(fd, "x", 1, 0));
		close(fd);
		EXPECT_EQ(-ENODATA, get(how[i], "security.capability", value, sizeof(value)))
			TH_LOG("%s, again", how[i]);
	}
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	for (i = 0; i < (int)ARRAY_SIZE(how); i++)
		EXPECT_EQ(-ENODATA, get(how[i], "security.capability", value, sizeof(value)));
}

/* A request that must not wait does not wait for attributes. */
TEST_F(fs_xattr, nowait)
{
	const size_t len = 4 * self->v.bs;
	char *buf = buf_alloc(len), value[BIG];
	struct iovec iov = { buf, len };
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "others wait");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, set("f", "user.x", big('x'), BIG, 0));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, pwritev2(fd, &iov, 1, 0, RWF_NOWAIT));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(BIG, get("f", "user.x", value, BIG));
	EXPECT_EQ(len, pwritev2(fd, &iov, 1, 0, RWF_NOWAIT));
	close(fd);
}

/* Change the block of attributes of "f" on the disk, and mount the volume again. 0 or -errno. */
static int change_block(struct vol *v, unsigned int bits, long offset, uint64_t value, const char *options)
{
	int err = vol_umount(v);
	long block = err ? err : block_of(v, "f");

	if (block <= 0)
		return block ?: -ENODATA;
	err = vol_dev_set(v, bits, block * v->bs + offset, value);
	return err ?: vol_mount(v, env_fstype(), 0, options);
}

/* Corrupt ones are an error for who asks for them, and the log says where. */
TEST_F(fs_xattr, corrupt)
{
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	char value[BIG];
	int kmsg = kmsg_open();

	if (!env_is_retryfs())
		SKIP(return, "the messages of retryfs");
	ASSERT_EQ(0, vol_prefill("f", 0, 16, 1));
	ASSERT_EQ(0, set("f", "user.x", big('x'), BIG, 0));
	/* the size of the value, of the first entry */
	ASSERT_EQ(0, change_block(&self->v, 32, 32 + 8, 5000, "errors=continue"));
	EXPECT_EQ(-EUCLEAN, get("f", "user.x", value, BIG));
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "corrupt", "attribute block",
						     "out of bounds", NULL }));
	EXPECT_EQ(-EUCLEAN, set("f", "user.y", "y", 1, 0));
	EXPECT_EQ(-1, llistxattr(vol_path("f"), NULL, 0));
	EXPECT_EQ(EUCLEAN, errno);
	EXPECT_TRUE(vol_holds("f", 16, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(1, run(1, mend));
	close(kmsg);
}

/* An access control list has no more of a name; with one, nobody could ask for what is listed. */
TEST_F(fs_xattr, list_with_a_name)
{
	const char acl_access = 2;

	ASSERT_EQ(0, vol_prefill("f", 0, 16, 1));
	ASSERT_EQ(0, set("f", "user.note", big('x'), BIG, 0));
	ASSERT_EQ(0, change_block(&self->v, 8, 32 + 1, acl_access, NULL));
	if (env_is_retryfs())
		EXPECT_EQ(0, llistxattr(vol_path("f"), NULL, 0));
	EXPECT_TRUE(vol_holds("f", 16, 1));
	ASSERT_EQ(0, change_block(&self->v, 8, 32 + 1, 1, NULL));
	EXPECT_EQ(10, llistxattr(vol_path("f"), NULL, 0));
}

/* What has neither a prefix nor a name is no end of those that are set beside it. */
TEST_F(fs_xattr, without_a_name)
{
	char value[BIG];

	ASSERT_EQ(0, vol_prefill("f", 0, 16, 1));
	ASSERT_EQ(0, set("f", "user.x", big('x'), BIG, 0));
	/* behind the only entry, which takes 20 bytes: one more, whose place of a value is not 0 */
	ASSERT_EQ(0, change_block(&self->v, 16, 32 + 20 + 2, 4, NULL));
	ASSERT_EQ(0, set("f", "user.y", "y", 1, 0));
	EXPECT_EQ(1, get("f", "user.y", value, BIG));
	EXPECT_TRUE(has_big("f", "user.x", 'x'));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(1, get("f", "user.y", value, BIG));
	EXPECT_TRUE(has_big("f", "user.x", 'x'));
	/* and what is in no one's way goes with the last one in its place */
	EXPECT_EQ(0, lremovexattr(vol_path("f"), "user.x"));
}

TEST_HARNESS_MAIN
