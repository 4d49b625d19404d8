// SPDX-License-Identifier: GPL-2.0
/* Block devices. */
#include <linux/blkdev.h>
#include <linux/part_stat.h>

loff_t kfs_helper_bdev_nr_bytes(struct block_device *bdev)
{
	return bdev_nr_bytes(bdev);
}

unsigned int kfs_helper_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

unsigned int kfs_helper_bdev_dma_alignment(struct block_device *bdev)
{
	return bdev_dma_alignment(bdev);
}

bool kfs_helper_bdev_stable_writes(struct block_device *bdev)
{
	return bdev_stable_writes(bdev);
}

unsigned int kfs_helper_bdev_max_discard_sectors(struct block_device *bdev)
{
	return bdev_max_discard_sectors(bdev);
}

unsigned int kfs_helper_bdev_discard_granularity(struct block_device *bdev)
{
	return bdev_discard_granularity(bdev);
}

bool kfs_helper_bdev_write_cache(struct block_device *bdev)
{
	return bdev_write_cache(bdev);
}

bool kfs_helper_bdev_fua(struct block_device *bdev)
{
	return bdev_fua(bdev);
}

u64 kfs_helper_part_stat_read_sectors_written(struct block_device *bdev)
{
	return part_stat_read(bdev, sectors[STAT_WRITE]);
}

bool kfs_helper_bdev_is_zoned(struct block_device *bdev)
{
	return bdev_is_zoned(bdev);
}

bool kfs_helper_bdev_nowait(struct block_device *bdev)
{
	return bdev_nowait(bdev);
}
