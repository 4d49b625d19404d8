// SPDX-License-Identifier: GPL-2.0
/*
 * Directories, inodes and bitmaps that contradict each other: whoever meets that is told
 * (EUCLEAN), the log says where and what, and the volume is marked for e2fsck. What is sound
 * can be used. The same of blocks that cannot be read (EIO).
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "debugfs.h"
#include "ext2.h"
#include "harness.h"
#include "put.h"

#define CONTINUE	"errors=continue"
#define STOP		"errors=remount-ro"
#define NOBODY		65534

VOL_FIXTURE(fs_corrupt);
FIXTURE_VARIANT_ADD(fs_corrupt, bs1k) { .conf = SMALL_1K };

/* The exit status of e2fsck(8) when all it found was corrected. */
#define CORRECTED	1

/* As at boot: a volume that is not marked is not looked at. */
static int preen(struct vol *v)
{
	const char *const argv[] = { "e2fsck", "-p", v->dev, NULL };

	return run(CORRECTED, argv);
}

static int mend(struct vol *v)
{
	const char *const argv[] = { "e2fsck", "-fy", v->dev, NULL };

	return run(CORRECTED, argv);
}

static int create(const char *name)
{
	int fd = vol_open(name, O_CREAT | O_RDWR);

	close(fd);
	return fd < 0 ? fd : 0;
}

#define STATE		(1024 + 58)	/* in the superblock: EXT2_VALID_FS, EXT2_ERROR_FS */
#define VALID_FS	1
#define ERROR_FS	2

/*
 * What corruption does to a volume mounted with STOP: NULL if it did, else what it has not. Unmounts it,
 * and takes the mark back.
 */
static const char *what_is_not_done(struct vol *v)
{
	if (create("late") != -EROFS)
		return "changes are not stopped";
	if (vol_umount_soon(v))
		return "it cannot be unmounted";
	if (vol_dev_get(v, 16, STATE) != ERROR_FS)
		return "it is not marked";
	return vol_dev_set(v, 16, STATE, VALID_FS) ? "the mark stays" : NULL;
}

/* The names of inodes that are not there; and nothing changes any more, nor is it tried. */
TEST_F(fs_corrupt, name_of_a_deleted_inode)
{
	char where[32], orphan[32];
	int kmsg, fd;

	ASSERT_EQ(0, create("a"));
	ASSERT_EQ(0, create("b"));
	ASSERT_EQ(0, create("orphan"));
	snprintf(where, sizeof(where), "(found %lu)", vol_inode("a"));
	snprintf(orphan, sizeof(orphan), "stat <%lu>", vol_inode("orphan"));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "clri a"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, STOP));
	fd = vol_open("orphan", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, unlink(vol_path("orphan")));
	kmsg = kmsg_open();
	ASSERT_LE(0, kmsg);
	EXPECT_EQ(-EUCLEAN, vol_open("a", O_RDONLY));
	if (env_is_retryfs())
		EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "dm-", "directory 2,",
				     "entry of a deleted inode", where, NULL }));
	EXPECT_EQ(-EROFS, create("new"));
	EXPECT_EQ(-1, unlink(vol_path("b")));
	EXPECT_EQ(EROFS, errno);
	close(fd);
	EXPECT_FALSE(kmsg_has(kmsg, (const char *[]){ "retryfs", "cannot free", NULL }));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	/* it has no time of deletion */
	EXPECT_GT(0, debugfs_number(&self->v, orphan, "dtime:"));
	EXPECT_EQ(CORRECTED, preen(&self->v));
}

/* There is nothing to be mounted then. */
TEST_F(fs_corrupt, root_that_is_deleted)
{
	int kmsg = kmsg_open();

	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "clri /"));
	EXPECT_EQ(-EUCLEAN, vol_mount(&self->v, env_fstype(), 0, NULL));
	if (env_is_retryfs())
		EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "corrupt",
				     "root is deleted", NULL }));
	ASSERT_EQ(0, vol_mkfs(&self->v, &variant->conf));
}

static const struct contradiction {
	const char *commands;	/* for debugfs */
	enum { LOOK_UP, UNLINK, UNLINK_BOTH, RMDIR, MOVE } op;
	const char *name;
	const char *what;	/* in the log */
} contradictions[] = {
	{ "freei free", LOOK_UP, "free", "free in its bitmap" },
	{ "sif fifo mode 010644", LOOK_UP, "fifo", "another file type" },
	{ "link <7> reserved", LOOK_UP, "reserved", "reserved inode" },
	{ "link <2> up", LOOK_UP, "up", "above it" },
	{ "link d d/self", LOOK_UP, "d/self", "above it" },
	{ "link d d/e/loop", LOOK_UP, "d/e/loop", "above it" },
	{ "link one two", UNLINK_BOTH, "one", "no link for a name" },
	{ "sif links links_count 3", RMDIR, "links", "are not two" },
	{ "unlink d/orphan/..", MOVE, "d/orphan", "without an entry for its parent" },
	{ "unlink d/other/..\nlink <2> d/other/..", MOVE, "d/other", "not the directory that it" },
};

static int meet(const struct contradiction *c)
{
	char from[128];
	struct stat st;
	int err = 0;

	snprintf(from, sizeof(from), "%s", vol_path(c->name));
	switch (c->op) {
	case LOOK_UP:
		err = lstat(from, &st);
		break;
	case UNLINK:
		err = unlink(from);
		break;
	case UNLINK_BOTH:
		/* "two" is known, and leads to the same inode */
		err = stat(vol_path("two"), &st) || unlink(from) ? -1 : unlink(vol_path("two"));
		break;
	case RMDIR:
		err = rmdir(from);
		break;
	case MOVE:
		err = rename(from, vol_path("moved"));
		break;
	}
	return err ? -errno : 0;
}

TEST_F(fs_corrupt, contradictions)
{
	static const char *const files[] = { "free", "fifo", "one" };
	static const char *const dirs[] = { "d", "d/e", "links", "d/orphan", "d/other" };
	static const char script[] = "/tmp/fs_corrupt.debugfs";
	const char *const argv[] = { "debugfs", "-w", "-f", script, self->v.dev, NULL };
	const struct contradiction *c;
	const char *not_done;
	int kmsg, i;
	FILE *f;

	if (!env_is_retryfs())
		SKIP(return, "others overlook some");
	ASSERT_EQ(0, put("/proc/sys/kernel/printk_ratelimit", "0"));
	for (i = 0; i < ARRAY_SIZE(files); i++)
		ASSERT_EQ(0, create(files[i]));
	for (i = 0; i < ARRAY_SIZE(dirs); i++)
		ASSERT_EQ(0, vol_mkdir(dirs[i]));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	f = fopen(script, "we");
	ASSERT_NE(NULL, f);
	for (i = 0; i < ARRAY_SIZE(contradictions); i++)
		fprintf(f, "%s\n", contradictions[i].commands);
	ASSERT_EQ(0, fclose(f));
	ASSERT_EQ(0, run(0, argv));

	for (c = contradictions; c < contradictions + ARRAY_SIZE(contradictions); c++) {
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, STOP));
		kmsg = kmsg_open();
		EXPECT_EQ(-EUCLEAN, meet(c)) TH_LOG("%s", c->name);
		EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "corrupt", c->what, NULL }))
			TH_LOG("%s", c->what);
		close(kmsg);
		not_done = what_is_not_done(&self->v);
		ASSERT_EQ(NULL, not_done) TH_LOG("%s: %s", c->name, not_done);
	}
	EXPECT_EQ(CORRECTED, mend(&self->v));

	/* to read it is possible all the same */
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, create("free2"));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "freei free2"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
	EXPECT_TRUE(vol_exists("free2"));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(CORRECTED, mend(&self->v));
}

#define BLOCKS	8

static const struct {
	const char *command;	/* for debugfs, with a block of "f" */
	enum { TRUNCATE, PUNCH, REMOVE, REMOVE_BOTH, GROW } op;
	int err;
	const char *what;	/* in the log */
} blocks[] = {
	{ "freeb %ld", TRUNCATE, -EUCLEAN, "freeing a block that is free" },
	{ "freeb %ld", PUNCH, -EUCLEAN, "freeing a block that is free" },
	/* the name is gone, whatever becomes of the blocks */
	{ "freeb %ld", REMOVE, 0, "freeing a block that is free" },
	{ "sif g block[2] %ld", REMOVE_BOTH, 0, "freeing a block that is free" },
	{ "freeb 1", GROW, -EROFS, "metadata" },
};

static int change_blocks(int op, size_t bs)
{
	char *buf = buf_alloc(bs);
	int fd, err = 0;

	if (op == REMOVE || op == REMOVE_BOTH)
		return unlink(vol_path("f")) || (op == REMOVE_BOTH && unlink(vol_path("g"))) ? -errno : 0;
	fd = vol_open("f", O_RDWR);
	if (fd < 0)
		return fd;
	if (op == TRUNCATE)
		err = ftruncate(fd, 0);
	else if (op == PUNCH)
		err = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLOCKS * bs);
	else if (pwrite(fd, buf, bs, BLOCKS * bs) < 0 || fsync(fd))
		err = -1;
	err = err ? -errno : 0;
	close(fd);
	return err;
}

/*
 * Blocks of a file that are free in the bitmap, or another file's, too, are not freed once more; and
 * nothing is allocated in a group that has metadata for free.
 */
TEST_F(fs_corrupt, blocks_that_are_free)
{
	const size_t len = BLOCKS * self->v.bs;
	const char *not_done;
	long block;
	int kmsg, i;

	if (!env_is_retryfs())
		SKIP(return, "others overlook some");
	ASSERT_EQ(0, put("/proc/sys/kernel/printk_ratelimit", "0"));
	for (i = 0; i < ARRAY_SIZE(blocks); i++) {
		ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
		ASSERT_EQ(0, vol_prefill("g", 0, len, 1));
		ASSERT_EQ(0, vol_umount_soon(&self->v));
		block = debugfs_block(&self->v, "f", 2);
		ASSERT_LT(0, block);
		ASSERT_EQ(0, debugfs(&self->v, blocks[i].command, block));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, STOP));
		kmsg = kmsg_open();
		EXPECT_EQ(blocks[i].err, change_blocks(blocks[i].op, self->v.bs)) TH_LOG("case %d", i);
		EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "corrupt", "group 0",
				     blocks[i].what, NULL })) TH_LOG("case %d", i);
		close(kmsg);
		not_done = what_is_not_done(&self->v);
		ASSERT_EQ(NULL, not_done) TH_LOG("case %d: %s", i, not_done);
		EXPECT_EQ(CORRECTED, mend(&self->v));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	}
}

/*
 * A bitmap that was sound when it was first looked at has metadata for free later, as another one was read
 * in its place: nothing is written there.
 */
TEST_F(fs_corrupt, metadata_that_becomes_free)
{
	const size_t len = BLOCKS * self->v.bs;
	uint32_t blocks, inodes, bit;
	const char *not_done;
	int kmsg, was;
	off_t at;

	if (!env_is_retryfs())
		SKIP(return, "others overlook that");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, vol_prefill("g", 0, len, 1));
	ASSERT_EQ(0, ext2_bitmaps(&self->v, 0, &blocks, &inodes));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, STOP));
	/* it is looked at, but not searched yet */
	ASSERT_EQ(0, unlink(vol_path("g")));
	/* the first bit is that of block 1 */
	bit = inodes - 1;
	at = (off_t)blocks * self->v.bs + bit / 8;
	was = vol_dev_get(&self->v, 8, at);
	ASSERT_TRUE(was >= 0 && was & 1 << bit % 8);
	ASSERT_EQ(0, vol_dev_set(&self->v, 8, at, was & ~(1 << bit % 8)));
	ASSERT_EQ(0, create("f2"));
	ASSERT_EQ(0, rename(vol_path("f2"), vol_path("f")));
	kmsg = kmsg_open();
	EXPECT_EQ(-EROFS, change_blocks(GROW, self->v.bs));
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "corrupt", "group 0", "metadata",
			     NULL }));
	close(kmsg);
	not_done = what_is_not_done(&self->v);
	ASSERT_EQ(NULL, not_done) TH_LOG("%s", not_done);
	EXPECT_EQ(CORRECTED, mend(&self->v));
}

/* Has the name, in the root directory, lead to the inode of another one, behind the back of the mount. */
static int lead_to(struct vol *v, const char *name, const char *other)
{
	const long block = debugfs_block(v, "/", 0);
	unsigned char *buf = buf_alloc(v->bs);
	unsigned int at, len;
	int err;

	if (block < 0)
		return block;
	err = vol_dev_read(v, buf, v->bs, block * v->bs);
	for (at = 0; !err && at + 8 <= v->bs; at += len) {
		len = buf[at + 4] | buf[at + 5] << 8;
		if (buf[at + 6] == strlen(name) && !memcmp(buf + at + 8, name, buf[at + 6]))
			return vol_dev_set(v, 32, block * v->bs + at, vol_inode(other));
		if (len < 8)
			break;
	}
	return err ?: -ENOENT;
}

/* Names that were looked up before: what a rename is about to change, or to replace. */
TEST_F(fs_corrupt, names_that_lead_elsewhere)
{
	static const struct {
		const char *changed;
		unsigned int flags;
	} renames[] = {
		{ "old", 0 }, { "new", 0 }, { "old", RENAME_WHITEOUT }, { "new", RENAME_WHITEOUT },
		{ "old", RENAME_EXCHANGE }, { "new", RENAME_EXCHANGE },
	};
	const char *const told[] = { "retryfs", "corrupt", "another inode than it did", NULL };
	const char *not_done;
	struct stat st;
	int kmsg, i;

	if (!env_is_retryfs())
		SKIP(return, "others overlook it");
	ASSERT_EQ(0, create("old"));
	ASSERT_EQ(0, create("new"));
	ASSERT_EQ(0, create("other"));
	for (i = 0; i < ARRAY_SIZE(renames); i++) {
		const char *changed = renames[i].changed;

		ASSERT_EQ(0, vol_umount_soon(&self->v));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, STOP));
		ASSERT_EQ(0, stat(vol_path("old"), &st));
		ASSERT_EQ(0, stat(vol_path("new"), &st));
		ASSERT_EQ(0, lead_to(&self->v, changed, "other"));
		kmsg = kmsg_open();
		EXPECT_EQ(-EUCLEAN, vol_rename("old", "new", renames[i].flags)) TH_LOG("%d", i);
		EXPECT_TRUE(kmsg_has(kmsg, told)) TH_LOG("%d", i);
		close(kmsg);
		ASSERT_EQ(0, lead_to(&self->v, changed, changed));
		not_done = what_is_not_done(&self->v);
		ASSERT_EQ(NULL, not_done) TH_LOG("%d: %s", i, not_done);
		ASSERT_EQ(0, vol_fsck(&self->v));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	}
}

#define NAMES	16

/* Names so long that four of them fill a block. */
static const char *entry(int i)
{
	static char name[256];

	snprintf(name, sizeof(name), "d/%02d%0200d", i, 0);
	return name;
}

/* Which names there are, and how often readdir(3) fails, with @want. */
static int list(bool *seen, int want)
{
	DIR *d = opendir(vol_path("d"));
	int failed = 0, i;

	memset(seen, 0, NAMES * sizeof(*seen));
	while (d && failed <= NAMES) {
		struct dirent *e;

		errno = 0;
		e = readdir(d);
		if (!e && !errno)
			break;
		if (!e && errno != want)
			return -errno;
		if (!e)
			failed++;
		else if (sscanf(e->d_name, "%2d", &i) == 1 && i < NAMES)
			seen[i] = true;
	}
	closedir(d);
	return failed;
}

/* The names in the second of four blocks cannot be found, and all others can. */
static const char *what_is_lost(int err)
{
	bool seen[NAMES];
	int first = NAMES, last = 0, i, got;

	if (list(seen, -err) != 1)
		return "it does not fail once";
	for (i = 0; i < NAMES; i++) {
		if (!seen[i] && first == NAMES)
			first = i;
		if (!seen[i])
			last = i;
	}
	if (first == 0 || last - first > 4 || last >= NAMES - 4)
		return "more is lost than a block";
	for (i = 0; i < NAMES; i++) {
		got = vol_open(entry(i), O_RDONLY);
		if (seen[i] != (i < first || i > last) || (seen[i] ? got < 0 : got != err))
			return "a name is not found, or one that is lost is";
		close(got);
	}
	return create("d/none") == err ? NULL : "a name that is not there may be in the block";
}

TEST_F(fs_corrupt, directory_with_a_bad_block)
{
	struct vol_conf linear = variant->conf;
	const uint64_t sectors = self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	long block;
	int i;

	if (!env_is_retryfs())
		SKIP(return, "others do not tell");
	/* names are in the order in which they were made */
	linear.features = "^dir_index";
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &linear));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, vol_mkdir("d"));
	for (i = 0; i < NAMES; i++)
		ASSERT_EQ(0, create(entry(i)));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	block = debugfs_block(&self->v, "d", 1);
	ASSERT_LT(0, block);

	/* one that cannot be read */
	map.e[0] = (struct vol_extent){ block * sectors, sectors };
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_NULL_DIFF(what_is_lost(-EIO));
	EXPECT_EQ(0, unlink(vol_path(entry(NAMES - 1))));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(0, create(entry(NAMES - 1)));
	ASSERT_EQ(0, vol_umount_soon(&self->v));

	/* one with an entry of impossible length */
	ASSERT_EQ(0, debugfs(&self->v, "zap_block -f d -o 4 -l 2 -p 3 1"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, CONTINUE));
	EXPECT_NULL_DIFF(what_is_lost(-EUCLEAN));
	EXPECT_EQ(0, unlink(vol_path(entry(NAMES - 1))));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(CORRECTED, mend(&self->v));
}

/* The bitmaps of both groups, or of the first. */
static int fail_bitmaps(struct vol *v, int groups)
{
	const uint64_t sectors = v->bs / 512;
	struct vol_map map = { .nr = 2 * groups };
	uint32_t blocks, inodes;
	int err = 0, i;

	for (i = 0; !err && i < groups; i++) {
		err = ext2_bitmaps(v, i, &blocks, &inodes);
		map.e[2 * i] = (struct vol_extent){ blocks * sectors, sectors };
		map.e[2 * i + 1] = (struct vol_extent){ inodes * sectors, sectors };
	}
	return err ? err : vol_fail(v, &map);
}

/* The device cannot read the bitmaps of one group: there are others. */
TEST_F(fs_corrupt, bitmaps_that_cannot_be_read)
{
	const size_t len = 4 * self->v.bs;
	char *buf = buf_alloc(len);
	int fd;

	if (!env_is_retryfs())
		SKIP(return, "others read them all at once");
	ASSERT_EQ(0, vol_prefill("a", 0, len, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, fail_bitmaps(&self->v, 1));
	EXPECT_EQ(0, create("new"));
	EXPECT_EQ(0, vol_mkdir("dir"));
	fd = vol_open("a", O_RDWR);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, len, 1);
	EXPECT_EQ(len, pwrite(fd, buf, len, len));
	EXPECT_EQ(0, fsync(fd));
	close(fd);
	EXPECT_TRUE(vol_holds("a", 2 * len, 1));

	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, fail_bitmaps(&self->v, 2));
	EXPECT_EQ(-EIO, create("new2"));
	fd = vol_open("a", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, pwrite(fd, buf, len, 2 * len));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* What cannot be freed as the device does not say what it is: e2fsck has to find it. */
TEST_F(fs_corrupt, attributes_that_cannot_be_read)
{
	const uint64_t sectors = self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	int kmsg = kmsg_open();
	long acl;

	if (!env_is_retryfs())
		SKIP(return, "others mark the volume as having errors");
	ASSERT_EQ(0, create("a"));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "ea_set a user.a %0100d", 1));
	acl = debugfs_number(&self->v, "stat a", "File ACL:");
	ASSERT_LT(0, acl);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, STOP));
	map.e[0] = (struct vol_extent){ acl * sectors, sectors };
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(0, unlink(vol_path("a")));
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "cannot free", "error -5", NULL }));
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* that is no reason to stop */
	EXPECT_EQ(0, create("new"));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(CORRECTED, preen(&self->v));
}

/*
 * Pointers that lead outside of the volume, and to metadata: nothing is read or written there, by
 * direct I/O or through the page cache.
 */
TEST_F(fs_corrupt, pointers)
{
	const uint32_t bs = self->v.bs, end = self->v.sectors * 512 / bs;
	char *buf = buf_alloc(bs), *back = buf_alloc(bs);
	uint32_t bitmap, inodes, at[5];
	size_t i;

	ASSERT_EQ(0, vol_prefill("f", 0, 20 * bs, 1));
	ASSERT_EQ(0, ext2_bitmaps(&self->v, 0, &bitmap, &inodes));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	at[0] = end;
	at[1] = UINT32_MAX;
	at[2] = bitmap;
	at[3] = inodes + 1;	/* of the inode table */
	at[4] = 1;		/* the superblock */
	pattern_fill(buf, bs, 0, 2);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		int fd, cached;
		void *map;

		ASSERT_EQ(0, debugfs(&self->v, "sif f block[1] %u", at[i]));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, CONTINUE));
		fd = vol_open("f", O_RDWR | O_DIRECT);
		cached = vol_open("f", O_RDONLY);
		ASSERT_LE(0, fd);
		ASSERT_LE(0, cached);
		EXPECT_EQ(-1, pread(fd, back, bs, bs));
		EXPECT_EQ(EUCLEAN, errno);
		EXPECT_EQ(-1, pwrite(fd, buf, bs, bs));
		EXPECT_EQ(EUCLEAN, errno);
		EXPECT_EQ(-1, pread(cached, back, bs, bs));
		EXPECT_EQ(EUCLEAN, errno);
		map = mmap(NULL, bs, PROT_READ, MAP_SHARED, cached, 0);
		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(-1, madvise(map, bs, MADV_POPULATE_READ));
		munmap(map, bs);
		/* what is beside it is sound */
		EXPECT_EQ(bs, pread(fd, back, bs, 0));
		EXPECT_PATTERN(back, bs, 0, 1);
		close(cached);
		close(fd);
		ASSERT_EQ(0, vol_umount_soon(&self->v));
	}
	/* e2fsck gives the file a hole there */
	EXPECT_EQ(CORRECTED, mend(&self->v));
}

/*
 * What is cut off a file by somebody else than root cannot be freed. The file is shorter all the same: so it has the times of that,
 * and is no program any more that runs as its owner.
 */
TEST_F(fs_corrupt, truncated_by_another)
{
	const uint32_t bs = self->v.bs, end = self->v.sectors * 512 / bs;
	const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	struct stat st;

	ASSERT_EQ(0, vol_prefill("f", 0, 20 * bs, 1));
	ASSERT_EQ(0, chmod(vol_path("f"), 04777));
	ASSERT_EQ(0, utimensat(AT_FDCWD, vol_path("f"), times, 0));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif f block[IND] %u", end));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, CONTINUE));
	ASSERT_EQ(0, seteuid(NOBODY));
	errno = 0;
	EXPECT_EQ(-1, truncate(vol_path("f"), 5 * bs));
	EXPECT_EQ(EUCLEAN, errno);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	EXPECT_EQ(5 * bs, st.st_size);
	EXPECT_EQ(0777, st.st_mode & 07777);
	EXPECT_NE(times[1].tv_sec, st.st_mtime);
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_EQ(CORRECTED, mend(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	EXPECT_EQ(0777, st.st_mode & 07777);
}

/* As genext2fs made them: the target fills the place of the pointers, without a NUL. */
TEST_F(fs_corrupt, symbolic_link_of_60_bytes)
{
	char target[61] = {}, back[128];

	if (!env_is_retryfs())
		SKIP(return, "others refuse it, or cut it off");
	memset(target, 'a', 60);
	target[59] = '\0';
	ASSERT_EQ(0, symlink(target, vol_path("l")));
	target[59] = 'a';
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "sif l size 60"));
	ASSERT_EQ(0, debugfs(&self->v, "sif l block[TIND] 0x61616161"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, STOP));
	ASSERT_EQ(60, readlink(vol_path("l"), back, sizeof(back)));
	EXPECT_EQ(0, memcmp(target, back, 60));
	/* it is written again, and stays as it is */
	EXPECT_EQ(0, vol_rename("l", "l2", 0));
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(60, readlink(vol_path("l2"), back, sizeof(back)));
	EXPECT_EQ(0, memcmp(target, back, 60));
	EXPECT_EQ(0, create("new"));
	/* e2fsck would not have it */
	EXPECT_EQ(0, unlink(vol_path("l2")));
}

TEST_HARNESS_MAIN
