// SPDX-License-Identifier: GPL-2.0
/*
 * A disk that fails once, at the last step of an operation on names: that is undone, and what
 * is synced then is there after a loss of power.
 */
#include <linux/fs.h>

#include "files.h"
#include "harness.h"
#include "nbd.h"
#include "powerloss.h"

#define LEN	3000

FIXTURE(fs_undo) {
	struct nbd *disk;
	struct vol v;
};

FIXTURE_SETUP(fs_undo)
{
	self->disk = nbd_bare_up(&self->v);
	if (!self->disk && errno == ENOENT)
		SKIP(return, "a kernel without nbd");
	ASSERT_TRUE(self->disk != NULL);
}

FIXTURE_TEARDOWN(fs_undo)
{
	if (!self->disk)
		return;
	EXPECT_EQ(0, nbd_bare_down(self->disk, &self->v));
}

/*
 * The last flush of a rename fails, when the device has the new state: the rename is undone in memory. Who syncs the file
 * that would have been replaced, or exchanged, finds it by its name after a loss of power.
 */
static void undone(struct __test_metadata *_metadata, FIXTURE_DATA(fs_undo) * self,
		   unsigned int flags)
{
	unsigned int nr = 0;
	char what[64];
	int i, fd = -1;

	/* when there is nothing else to write, that flush is the last of so many requests */
	for (i = 0; i < 3; i++) {
		unlink(vol_path("x"));
		unlink(vol_path("y"));
		close(vol_make("x", LEN, 1));
		fd = vol_make("y", LEN, 2);
		ASSERT_LE(0, fd);
		vol_sync();
		ASSERT_EQ(0, fsync(fd));
		nbd_begin(self->disk, i < 2 ? NBD_NONE : NBD_FAIL, nr);
		ASSERT_EQ(i < 2 ? 0 : -EIO, vol_rename("x", "y", flags));
		nr = nbd_end(self->disk);
		if (i < 2)
			close(fd);
	}
	ASSERT_TRUE(nbd_hit(self->disk, what, sizeof(what)));
	ASSERT_EQ(0, strncmp(what, "flush", 5))
		TH_LOG("%s", what);
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(0, lose_power_in_memory(nbd_bytes(self->disk), MIB));
	EXPECT_TRUE(lost_holds("x", LEN, 1));
	EXPECT_TRUE(lost_holds("y", LEN, 2));
}

TEST_F(fs_undo, over_a_file)
{
	undone(_metadata, self, 0);
}

TEST_F(fs_undo, exchange)
{
	undone(_metadata, self, RENAME_EXCHANGE);
}

TEST_HARNESS_MAIN
