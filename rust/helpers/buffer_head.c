// SPDX-License-Identifier: GPL-2.0
/* Buffers. */
#include <linux/buffer_head.h>

void kfs_helper_brelse(struct buffer_head *bh)
{
	brelse(bh);
}

void kfs_helper_bforget(struct buffer_head *bh)
{
	bforget(bh);
}

void kfs_helper_get_bh(struct buffer_head *bh)
{
	get_bh(bh);
}

struct buffer_head *kfs_helper_sb_getblk(struct super_block *sb, sector_t block)
{
	return sb_getblk(sb, block);
}

struct buffer_head *kfs_helper_sb_find_get_block(struct super_block *sb, sector_t block)
{
	return sb_find_get_block(sb, block);
}

struct buffer_head *kfs_helper_sb_find_get_block_nonatomic(struct super_block *sb, sector_t block)
{
	return sb_find_get_block_nonatomic(sb, block);
}

void kfs_helper_lock_buffer(struct buffer_head *bh)
{
	lock_buffer(bh);
}

bool kfs_helper_trylock_buffer(struct buffer_head *bh)
{
	return trylock_buffer(bh);
}

void kfs_helper_set_buffer_uptodate(struct buffer_head *bh)
{
	set_buffer_uptodate(bh);
}

void kfs_helper_set_buffer_new(struct buffer_head *bh)
{
	set_buffer_new(bh);
}

void kfs_helper_clear_buffer_new(struct buffer_head *bh)
{
	clear_buffer_new(bh);
}

int kfs_helper_buffer_new(const struct buffer_head *bh)
{
	return buffer_new(bh);
}

void kfs_helper_bh_read_nowait(struct buffer_head *bh)
{
	bh_read_nowait(bh, 0);
}

void kfs_helper_wait_on_buffer(struct buffer_head *bh)
{
	wait_on_buffer(bh);
}

int kfs_helper_buffer_dirty(const struct buffer_head *bh)
{
	return buffer_dirty(bh);
}

int kfs_helper_buffer_mapped(const struct buffer_head *bh)
{
	return buffer_mapped(bh);
}

int kfs_helper_buffer_locked(const struct buffer_head *bh)
{
	return buffer_locked(bh);
}

int kfs_helper_buffer_uptodate(const struct buffer_head *bh)
{
	return buffer_uptodate(bh);
}

void kfs_helper_clear_buffer_write_io_error(struct buffer_head *bh)
{
	clear_buffer_write_io_error(bh);
}

int kfs_helper_buffer_write_io_error(const struct buffer_head *bh)
{
	return buffer_write_io_error(bh);
}

void kfs_helper_map_bh(struct buffer_head *bh, struct super_block *sb, sector_t block)
{
	map_bh(bh, sb, block);
}

struct buffer_head *kfs_helper_folio_buffers(const struct folio *folio)
{
	return folio_buffers(folio);
}
