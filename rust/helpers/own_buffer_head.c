// SPDX-License-Identifier: GPL-2.0
/* Buffers: without waiting, without their device, dirty but for holes, and a flag of the filesystem. */
#include <linux/buffer_head.h>
#include <linux/folio_batch.h>
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

/* Dirty, being written, or it could not be. */
static bool kfs_buffer_unwritten(const struct buffer_head *bh)
{
	if (!buffer_mapped(bh))
		return false;
	if (buffer_dirty(bh))
		return true;
	/* Who writes it locks it, and then clears the dirty flag. */
	smp_rmb();
	if (buffer_locked(bh))
		return true;
	/* The flag of an error is set before the lock is given back. */
	smp_rmb();
	return buffer_write_io_error(bh);
}

/* The buffers of a folio that is being moved are not to be had, as in __find_get_block_slow(): any of them may be dirty. */
static bool kfs_folio_unwritten(struct folio *folio, sector_t block, sector_t count)
{
	struct buffer_head *head = folio_buffers(folio), *bh = head;

	if (!head)
		return false;
	if (test_bit_acquire(BH_Migrate, &head->b_state))
		return true;
	do {
		if (bh->b_blocknr >= block && bh->b_blocknr < block + count && kfs_buffer_unwritten(bh))
			return true;
		bh = bh->b_this_page;
	} while (bh != head);
	return false;
}

/*
 * Whether clean_bdev_aliases() has something to do. As it may not sleep, i_private_lock keeps the buffers, as in
 * __find_get_block_slow().
 */
bool kfs_helper_has_unwritten_buffers(struct block_device *bdev, sector_t block, sector_t count)
{
	struct address_space *mapping = bdev->bd_mapping;
	const int bits = mapping->host->i_blkbits;
	pgoff_t index = ((loff_t)block << bits) / PAGE_SIZE;
	const pgoff_t end = ((loff_t)(block + count - 1) << bits) / PAGE_SIZE;
	struct folio_batch batch;
	bool found = false;

	folio_batch_init(&batch);
	while (!found && filemap_get_folios(mapping, &index, end, &batch)) {
		unsigned int i;

		spin_lock(&mapping->i_private_lock);
		for (i = 0; i < folio_batch_count(&batch) && !found; i++)
			found = kfs_folio_unwritten(batch.folios[i], block, count);
		spin_unlock(&mapping->i_private_lock);
		folio_batch_release(&batch);
		/* The end was reached. */
		if (index > end || !index)
			break;
	}
	return found;
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
