// SPDX-License-Identifier: GPL-2.0
/*
 * A block of metadata is changed while the device writes it. The device takes the one half of a sector before
 * the change, and the other one after it: what belongs together does not change in between.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "harness.h"
#include "nbd.h"
#include "powerloss.h"

enum { BS = 4096, SECTOR = 512, ENTRY = 32, DOTS = 24 };
/* Names of ENTRY bytes that a block has room for: in each sector but the first of them, SECTOR / ENTRY. */
#define FULL	((SECTOR - DOTS) / ENTRY + (BS / SECTOR - 1) * (SECTOR / ENTRY))
/* The sector of a block that NBD_HALVES comes to in the midst. */
#define HALVED	(NBD_HALF / SECTOR * SECTOR)
#define INODE	256
/* Where it has attributes. */
#define SLOT	160

FIXTURE(fs_in_flight) {
	struct nbd *disk;
	struct vol v;
	int dev;
	struct vol_map map;	/* of the block that is written */
	struct task writing;
	struct io_op at;
	char was[BS];		/* what it had when that began */
};
FIXTURE_VARIANT(fs_in_flight) {
	bool nbd;
};
/* the write is held before the device has taken anything of it */
FIXTURE_VARIANT_ADD(fs_in_flight, held) { .nbd = false };
/* or when it has taken a half */
FIXTURE_VARIANT_ADD(fs_in_flight, half) { .nbd = true };

FIXTURE_SETUP(fs_in_flight)
{
	const struct vol_conf conf = SMALL_4K;

	if (variant->nbd) {
		self->disk = nbd_vol_up(&self->v, &conf);
		if (!self->disk && errno == ENOENT)
			SKIP(return, "a kernel without nbd");
		ASSERT_TRUE(self->disk != NULL);
	} else {
		ASSERT_EQ(0, vol_up(&self->v, &conf));
	}
	self->dev = open(self->v.dev, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->dev);
}

FIXTURE_TEARDOWN(fs_in_flight)
{
	if (!variant->nbd) {
		EXPECT_EQ(0, vol_down(&self->v));
		return;
	}
	if (!self->disk)
		return;
	close(self->dev);
	EXPECT_EQ(0, nbd_vol_down(self->disk, &self->v));
}

/* Write what the cache of the device has of a block, and nothing else. */
static long op_write_block(void *io_op)
{
	const struct io_op *at = io_op;

	return sync_file_range(at->fd, at->off, at->len,
			       SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			       SYNC_FILE_RANGE_WAIT_AFTER) ? -errno : 0;
}

/* The block of self->map, which is dirty, is being written from here on. */
static int begin_write(FIXTURE_DATA(fs_in_flight) * self)
{
	const off_t off = self->map.e[0].sector * 512;
	int err;

	self->map.e[0].writes = true;
	if (self->disk)
		nbd_halve(self->disk, off);
	err = self->disk ? 0 : vol_route(&self->v, &self->map) ?: vol_hold_routed(&self->v);
	self->at = (struct io_op){ .fd = self->dev, .len = BS, .off = off };
	err = err ?: vol_dev_read(&self->v, self->was, BS, off);
	err = err ?: task_start(&self->writing, op_write_block, &self->at);
	if (err)
		return err;
	if (self->disk)
		return nbd_wait_half(self->disk) ? 0 : -ETIME;
	return task_settles(&self->writing, TASK_BLOCKED) ? 0 : -EBUSY;
}

/* Has it been changed since, from byte @from on? */
static bool is_changed(FIXTURE_DATA(fs_in_flight) * self, size_t from)
{
	char now[BS];

	return vol_dev_read(&self->v, now, BS, self->at.off) || memcmp(now + from, self->was + from, BS - from);
}

/* It has been written; and what the device has then is what it has when the power goes. */
static int end_write(FIXTURE_DATA(fs_in_flight) * self)
{
	int err = 0;

	if (self->disk)
		nbd_end(self->disk);
	else
		err = vol_release_routed(&self->v);
	return err ?: task_join(&self->writing, JOIN_SECONDS) ?: lose_power(&self->v);
}

static const char *nth(int n)
{
	static char name[4][64];
	static int last;

	last = (last + 1) % 4;
	snprintf(name[last], sizeof(name[last]), "d/%024d", n);
	return name[last];
}

/* The name @n of the sector HALVED. */
static const char *in_sector(FIXTURE_DATA(fs_in_flight) * self, int n)
{
	static char name[4][64];
	static int last;
	char entry[ENTRY];
	int err;

	last = (last + 1) % 4;
	err = vol_dev_read(&self->v, entry, sizeof(entry),
			   self->map.e[0].sector * 512 + HALVED + n * ENTRY);
	snprintf(name[last], sizeof(name[last]), "d/%.24s", err ? "none" : entry + 8);
	return name[last];
}

/* A directory of one block, which is full, on the device. */
static int make_full(FIXTURE_DATA(fs_in_flight) * self)
{
	int n, fd, err = vol_mkdir("d");

	for (n = 0; !err && n < FULL; n++) {
		fd = vol_open(nth(n), O_CREAT | O_RDWR);
		err = fd < 0 ? fd : 0;
		close(fd);
	}
	vol_sync();
	return err ?: vol_block(&self->v, "d", 0, &self->map);
}

/* A file that has nothing to be synced. */
static ino_t make_clean(const char *name)
{
	int fd = vol_open(name, O_RDWR);
	int err = fd < 0 ? fd : fsync(fd);

	close(fd);
	return err ? 0 : vol_inode(name);
}

/* Have the block of the directory dirty, by a name of its first sector. */
static int make_dirty(FIXTURE_DATA(fs_in_flight) * self)
{
	return unlink(vol_path(nth(0))) ? -errno : 0;
}

struct rename_op {
	const char *from, *to;
	unsigned int flags;
};

static long op_rename(void *rename_op)
{
	const struct rename_op *r = rename_op;

	return vol_rename(r->from, r->to, r->flags);
}

/* A name moves from behind the half to before it, in one sector: it is there with the old name, or with the new one. */
TEST_F(fs_in_flight, name_that_moves)
{
	struct rename_op r = { .to = "d/a-new-name-of-24-bytes.." };
	struct task renaming;

	ASSERT_EQ(0, make_full(self));
	r.from = in_sector(self, 10);
	/* there it goes */
	ASSERT_EQ(0, unlink(vol_path(in_sector(self, 2))));
	ASSERT_EQ(0, unlink(vol_path(in_sector(self, 1))));
	vol_sync();
	ASSERT_EQ(0, make_dirty(self));
	ASSERT_EQ(0, begin_write(self));
	ASSERT_EQ(0, task_start(&renaming, op_rename, &r));
	EXPECT_BLOCKED(&renaming);
	EXPECT_FALSE(is_changed(self, 0));
	ASSERT_EQ(0, end_write(self));
	EXPECT_EQ(0, task_join(&renaming, JOIN_SECONDS));
	EXPECT_TRUE(lost_exists(r.from) || lost_exists(r.to));
	EXPECT_FALSE(vol_exists(r.from));
	EXPECT_TRUE(vol_exists(r.to));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* Two names are exchanged, one before the half, and one behind it: neither file has both. */
TEST_F(fs_in_flight, names_that_are_exchanged)
{
	struct rename_op r = { .flags = RENAME_EXCHANGE };
	ino_t from, to, lost_from, lost_to;
	struct task renaming;

	ASSERT_EQ(0, make_full(self));
	r.from = in_sector(self, 1);
	r.to = in_sector(self, 10);
	from = make_clean(r.from);
	to = make_clean(r.to);
	ASSERT_EQ(0, make_dirty(self));
	ASSERT_EQ(0, begin_write(self));
	ASSERT_EQ(0, task_start(&renaming, op_rename, &r));
	EXPECT_BLOCKED(&renaming);
	EXPECT_FALSE(is_changed(self, 0));
	ASSERT_EQ(0, end_write(self));
	EXPECT_EQ(0, task_join(&renaming, JOIN_SECONDS));
	lost_from = lost_inode(r.from);
	lost_to = lost_inode(r.to);
	EXPECT_TRUE((lost_from == from && lost_to == to) || (lost_from == to && lost_to == from));
	EXPECT_EQ(to, vol_inode(r.from));
	EXPECT_EQ(from, vol_inode(r.to));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* A name before the half is replaced by one behind it. */
TEST_F(fs_in_flight, name_that_replaces_another)
{
	struct rename_op r = {};
	struct task renaming;
	ino_t from, to, lost;

	ASSERT_EQ(0, make_full(self));
	r.from = in_sector(self, 10);
	r.to = in_sector(self, 1);
	from = make_clean(r.from);
	to = make_clean(r.to);
	ASSERT_EQ(0, make_dirty(self));
	ASSERT_EQ(0, begin_write(self));
	ASSERT_EQ(0, task_start(&renaming, op_rename, &r));
	EXPECT_BLOCKED(&renaming);
	EXPECT_FALSE(is_changed(self, 0));
	ASSERT_EQ(0, end_write(self));
	EXPECT_EQ(0, task_join(&renaming, JOIN_SECONDS));
	lost = lost_inode(r.to);
	EXPECT_TRUE(lost == to || lost == from);
	EXPECT_TRUE(lost == from || lost_inode(r.from) == from);
	EXPECT_EQ(from, vol_inode(r.to));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

#define ATTRIBUTE	"user.a"

static long op_setxattr(void *value)
{
	return setxattr(vol_path("f"), ATTRIBUTE, value, strlen(value), 0) ? -errno : 0;
}

/* A file "f" whose inode is the one at HALVED of a block of the table. */
static int make_inode(FIXTURE_DATA(fs_in_flight) * self)
{
	char name[32];
	int n, fd;

	for (n = 0; n < 64; n++) {
		snprintf(name, sizeof(name), "f%d", n);
		fd = vol_open(name, O_CREAT | O_RDWR);
		if (fd < 0)
			return fd;
		close(fd);
		if ((vol_inode(name) - 1) * INODE % BS == HALVED)
			return vol_rename(name, "f", 0);
	}
	return -ENOENT;
}

/* An attribute moves from the inode to a block: the inode has one or the other. */
TEST_F(fs_in_flight, attribute_that_moves)
{
	char old[41], new[301], got[512];
	uint64_t first_table;
	struct task setting;
	ssize_t len;

	memset(old, 'o', 40);
	old[40] = 0;
	memset(new, 'n', 300);
	new[300] = 0;
	ASSERT_EQ(0, make_inode(self));
	ASSERT_EQ(0, op_setxattr(old));
	vol_sync();
	/* of the first group, in its descriptor in the block behind the superblock */
	first_table = vol_dev_get(&self->v, 32, BS + 8);
	self->map.nr = 1;
	self->map.e[0].len = BS / 512;
	self->map.e[0].sector = first_table * (BS / 512) +
				(vol_inode("f") - 1) * INODE / BS * (BS / 512);
	/* what is set goes into the table with the next fsync; this one makes it dirty now */
	ASSERT_EQ(0, setxattr(vol_path("f"), "user.b", "", 0, 0));
	ASSERT_EQ(0, removexattr(vol_path("f"), "user.b"));
	ASSERT_EQ(0, begin_write(self));
	ASSERT_EQ(0, task_start(&setting, op_setxattr, new));
	EXPECT_BLOCKED(&setting);
	EXPECT_FALSE(is_changed(self, HALVED + SLOT));
	ASSERT_EQ(0, end_write(self));
	EXPECT_EQ(0, task_join(&setting, JOIN_SECONDS));
	len = lost_xattr("f", ATTRIBUTE, got, sizeof(got));
	EXPECT_TRUE((len == 40 && !memcmp(got, old, 40)) || (len == 300 && !memcmp(got, new, 300)));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

TEST_HARNESS_MAIN
