// SPDX-License-Identifier: GPL-2.0
/* The page cache. */
#include <linux/mm.h>
#include <linux/mpage.h>
#include <linux/pagemap.h>

void kfs_helper_filemap_invalidate_lock(struct address_space *mapping)
{
	filemap_invalidate_lock(mapping);
}

void kfs_helper_filemap_invalidate_unlock(struct address_space *mapping)
{
	filemap_invalidate_unlock(mapping);
}

void kfs_helper_mapping_set_folio_order_range(struct address_space *mapping, unsigned int min,
					      unsigned int max)
{
	mapping_set_folio_order_range(mapping, min, max);
}

struct folio *kfs_helper_write_begin_get_folio(const struct kiocb *iocb,
					       struct address_space *mapping, pgoff_t index,
					       size_t len)
{
	return write_begin_get_folio(iocb, mapping, index, len);
}

void kfs_helper_filemap_invalidate_lock_shared(struct address_space *mapping)
{
	filemap_invalidate_lock_shared(mapping);
}

void kfs_helper_filemap_invalidate_unlock_shared(struct address_space *mapping)
{
	filemap_invalidate_unlock_shared(mapping);
}

bool kfs_helper_filemap_range_needs_writeback(struct address_space *mapping,
					      loff_t start, loff_t end)
{
	return filemap_range_needs_writeback(mapping, start, end);
}

int kfs_helper_mpage_writepages(struct address_space *mapping,
				struct writeback_control *wbc, get_block_t get_block)
{
	return mpage_writepages(mapping, wbc, get_block);
}

struct folio *kfs_helper_filemap_get_folio(struct address_space *mapping, pgoff_t index)
{
	return filemap_get_folio(mapping, index);
}

struct folio *kfs_helper_page_folio(struct page *page)
{
	return page_folio(page);
}

struct folio *kfs_helper_filemap_lock_folio(struct address_space *mapping, pgoff_t index)
{
	return filemap_lock_folio(mapping, index);
}

bool kfs_helper_folio_test_uptodate(struct folio *folio)
{
	return folio_test_uptodate(folio);
}

void kfs_helper_folio_lock(struct folio *folio)
{
	folio_lock(folio);
}

void kfs_helper_folio_put(struct folio *folio)
{
	folio_put(folio);
}

bool kfs_helper_folio_maybe_dma_pinned(struct folio *folio)
{
	return folio_maybe_dma_pinned(folio);
}

bool kfs_helper_folio_mapped(const struct folio *folio)
{
	return folio_mapped(folio);
}

bool kfs_helper_folio_trylock(struct folio *folio)
{
	return folio_trylock(folio);
}

bool kfs_helper_folio_test_dirty(const struct folio *folio)
{
	return folio_test_dirty(folio);
}

loff_t kfs_helper_folio_pos(const struct folio *folio)
{
	return folio_pos(folio);
}

size_t kfs_helper_folio_size(const struct folio *folio)
{
	return folio_size(folio);
}

void kfs_helper_folio_zero_range(struct folio *folio, size_t start, size_t length)
{
	folio_zero_range(folio, start, length);
}
