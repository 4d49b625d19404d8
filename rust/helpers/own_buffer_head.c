// SPDX-License-Identifier: GPL-2.0
/* Buffers: without waiting for memory, without their device, dirty but for holes, and a flag of the filesystem. */
#include <linux/buffer_head.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/writeback.h>

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

/*
 * block_dirty_folio(), but for buffers without a block. The others are dirty before the folio is, so that try_to_free_buffers()
 * leaves them.
 */
bool kfs_helper_block_dirty_folio_but_holes(struct address_space *mapping, struct folio *folio)
{
	struct buffer_head *head, *bh;

	spin_lock(&mapping->i_private_lock);
	head = folio_buffers(folio);
	if (!head) {
		spin_unlock(&mapping->i_private_lock);
		return block_dirty_folio(mapping, folio);
	}
	bh = head;
	do {
		if (buffer_mapped(bh))
			set_buffer_dirty(bh);
		bh = bh->b_this_page;
	} while (bh != head);
	spin_unlock(&mapping->i_private_lock);
	return filemap_dirty_folio(mapping, folio);
}
