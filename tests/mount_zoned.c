// SPDX-License-Identifier: GPL-2.0
/*
 * A zoned device, which is written to from the begin of each zone to its end, is refused, whatever it holds. Some
 * have zones that can be written to anywhere at their begin: a volume that is in these alone is refused as well, as the
 * block layer has rules of its own for all bios of such a device.
 */
#include <sys/mount.h>

#include "disk.h"
#include "harness.h"

#define MIBS	64	/* of the disk; its last zone is not for a volume */
#define VOLUME	"32M"

FIXTURE(mount_zoned) {
	struct disk disk;
	struct vol v;
	int kmsg;
};

FIXTURE_SETUP(mount_zoned)
{
	int err = disk_up(&self->disk, NULL_BLK_ZONED, 512, MIBS);

	if (err == -ENOENT)
		SKIP(return, "a kernel without null_blk, or without zones in it");
	ASSERT_EQ(0, err);
	self->v = (struct vol){};
	snprintf(self->v.dev, sizeof(self->v.dev), "%s", self->disk.node);
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	if (!env_is_retryfs())
		SKIP(return, "the messages and limits of retryfs");
}

FIXTURE_TEARDOWN(mount_zoned)
{
	if (!self->disk.node[0])
		return;
	/* the one that should not be there */
	umount2(env_dir(), 0);
	EXPECT_EQ(0, disk_down(&self->disk));
}

static bool refused(struct vol *v, unsigned long flags, int kmsg)
{
	return vol_mount(v, env_fstype(), flags, NULL) == -EINVAL &&
	       kmsg_has(kmsg, (const char *[]){ "retryfs: ", strrchr(v->dev, '/') + 1, "zoned", NULL });
}

TEST_F(mount_zoned, without_a_volume)
{
	EXPECT_TRUE(refused(&self->v, 0, self->kmsg));
	EXPECT_TRUE(refused(&self->v, MS_RDONLY, self->kmsg));
}

TEST_F(mount_zoned, with_a_volume)
{
	const char *const mkfs[] = { "mkfs.ext2", "-q", "-F", self->v.dev, VOLUME, NULL };

	ASSERT_EQ(0, run(0, mkfs));
	EXPECT_TRUE(refused(&self->v, 0, self->kmsg));
	EXPECT_TRUE(refused(&self->v, MS_RDONLY, self->kmsg));
}

TEST_HARNESS_MAIN
