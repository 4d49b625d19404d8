// SPDX-License-Identifier: GPL-2.0
/* What of the limits of a device direct I/O asks for. */
#include <linux/blkdev.h>

/* As get_max_io_size() and the count of segments of the block layer have it, for memory in whole pages. */
unsigned int kfs_helper_bdev_unsplit(struct block_device *bdev, sector_t sector)
{
	const struct queue_limits *lim = bdev_limits(bdev);
	unsigned int block = bdev_logical_block_size(bdev) >> SECTOR_SHIFT;
	unsigned int sectors = READ_ONCE(lim->max_sectors);
	unsigned int chunk = READ_ONCE(lim->chunk_sectors);
	unsigned int segments = READ_ONCE(lim->max_segments);

	/* The first page may begin in the middle, and the last one end there. */
	segments = max(segments, 2U) - 1;
	if (segments < sectors / PAGE_SECTORS)
		sectors = segments * PAGE_SECTORS;
	if (chunk) {
		sector += get_start_sect(bdev);
		sectors = min(sectors, chunk - sector_div(sector, chunk));
	}
	return max(round_down(sectors, block), block) << SECTOR_SHIFT;
}
