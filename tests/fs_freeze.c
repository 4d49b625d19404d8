// SPDX-License-Identifier: GPL-2.0
/*
 * Freezing marks the volume as clean. When the disk fails at the last step of that, the volume is in use, and must
 * not be marked so.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "harness.h"
#include "nbd.h"

/* s_state */
#define STATE		(1024 + 58)
#define STATE_VALID	1

FIXTURE(fs_freeze) {
	struct nbd *disk;
	struct vol v;
	int dir;	/* of the mount */
};

FIXTURE_SETUP(fs_freeze)
{
	self->disk = nbd_bare_up(&self->v);
	if (!self->disk && errno == ENOENT)
		SKIP(return, "a kernel without nbd");
	ASSERT_TRUE(self->disk != NULL);
	self->dir = open(env_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, self->dir);
}

FIXTURE_TEARDOWN(fs_freeze)
{
	if (!self->disk)
		return;
	close(self->dir);
	EXPECT_EQ(0, nbd_bare_down(self->disk, &self->v));
}

/* As the disk has it: a read of the device would write what is dirty first. Nothing is in flight. */
static int state(struct nbd *d)
{
	return nbd_bytes(d)[STATE];
}

/* The mark is written, and the disk fails to flush it. */
TEST_F(fs_freeze, mark_that_cannot_be_flushed)
{
	unsigned int nr;
	char what[64];
	int i;

	/* when there is nothing else to write, that flush is the last of so many requests */
	for (i = 0; i < 2; i++) {
		nbd_begin(self->disk, NBD_NONE, 0);
		ASSERT_EQ(0, ioctl(self->dir, FIFREEZE, 0));
		nr = nbd_end(self->disk);
		ASSERT_EQ(0, ioctl(self->dir, FITHAW, 0));
	}
	nbd_begin(self->disk, NBD_FAIL, nr);
	EXPECT_EQ(-1, ioctl(self->dir, FIFREEZE, 0));
	EXPECT_EQ(EIO, errno);
	nbd_end(self->disk);
	ASSERT_TRUE(nbd_hit(self->disk, what, sizeof(what)));
	EXPECT_EQ(0, strncmp(what, "flush", 5))
		TH_LOG("%s", what);
	EXPECT_EQ(0, state(self->disk) & STATE_VALID);
	EXPECT_EQ(0, ioctl(self->dir, FIFREEZE, 0));
	EXPECT_EQ(STATE_VALID, state(self->disk));
	EXPECT_EQ(0, ioctl(self->dir, FITHAW, 0));
}

/* It becomes read-write, and the disk fails to flush that it is in use: it stays read-only, and clean. */
TEST_F(fs_freeze, remount_that_cannot_be_flushed)
{
	unsigned int nr;
	char what[64];
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vol_read_only());
		nbd_begin(self->disk, NBD_NONE, 0);
		ASSERT_EQ(0, vol_read_write());
		nr = nbd_end(self->disk);
	}
	ASSERT_EQ(0, vol_read_only());
	nbd_begin(self->disk, NBD_FAIL, nr);
	EXPECT_EQ(-EIO, vol_read_write());
	nbd_end(self->disk);
	ASSERT_TRUE(nbd_hit(self->disk, what, sizeof(what)));
	EXPECT_EQ(0, strncmp(what, "flush", 5))
		TH_LOG("%s", what);
	EXPECT_EQ(STATE_VALID, state(self->disk));
	ASSERT_EQ(0, vol_read_write());
	EXPECT_EQ(0, state(self->disk) & STATE_VALID);
	ASSERT_EQ(0, vol_read_only());
	EXPECT_EQ(STATE_VALID, state(self->disk));
}

TEST_HARNESS_MAIN
