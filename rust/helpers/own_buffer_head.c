// SPDX-License-Identifier: GPL-2.0
/* Buffers: without waiting for memory, without their device, and a flag of the filesystem. */
#include <linux/buffer_head.h>

/* What sb_breadahead() gets. */
struct buffer_head *kfs_helper_sb_getblk_nowait(struct super_block *sb, sector_t block)
{
	return bdev_getblk(sb->s_bdev, block, sb->s_blocksize, GFP_NOWAIT | __GFP_MOVABLE);
}

/* The first flag that is the filesystem's own: what is in the buffer was checked. */
static const enum bh_state_bits BH_checked = BH_PrivateStart;

bool kfs_helper_buffer_checked(const struct buffer_head *bh)
{
	return test_bit(BH_checked, &bh->b_state);
}

void kfs_helper_set_buffer_checked(struct buffer_head *bh)
{
	set_bit(BH_checked, &bh->b_state);
}

/*
 * write_dirty_buffer(), of a buffer that may have lost its device: the flag is looked at with the lock, as by sync_dirty_buffer(). It
 * stays dirty then, so that the latter says so.
 */
void kfs_helper_write_dirty_buffer_if_mapped(struct buffer_head *bh)
{
	lock_buffer(bh);
	if (!buffer_mapped(bh) || !test_clear_buffer_dirty(bh)) {
		unlock_buffer(bh);
		return;
	}
	bh_submit(bh, REQ_OP_WRITE, bh_end_write);
}
