// SPDX-License-Identifier: GPL-2.0
/* Bios that every driver can take. */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/printk.h>

/*
 * submit_bio(), of whole logical blocks: what splits bios for a request queue refuses others, but drivers that have none (pmem, zram)
 * rely on those who submit them. No WARN_ON_ONCE(): whoever gives a device another table (dm) may change what its blocks are.
 */
void kfs_helper_submit_whole_bio(struct bio *bio)
{
	unsigned int mask = bdev_logical_block_size(bio->bi_bdev) - 1;

	if (unlikely((bio->bi_iter.bi_size | bio->bi_iter.bi_sector << SECTOR_SHIFT) & mask)) {
		pr_warn_once("retryfs: %pg: a bio is not whole logical blocks: %u bytes at sector %llu\n",
			     bio->bi_bdev, bio->bi_iter.bi_size, bio->bi_iter.bi_sector);
		bio->bi_status = BLK_STS_INVAL;
		bio_endio(bio);
		return;
	}
	submit_bio(bio);
}
