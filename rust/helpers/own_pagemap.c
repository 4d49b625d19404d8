// SPDX-License-Identifier: GPL-2.0
/* What a write or a store to the page cache does that must not wait. */
#include <linux/buffer_head.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/writeback.h>

/* Whether it is a fault of a store to a shared mapping. */
bool kfs_helper_vmf_is_shared_store(const struct vm_fault *vmf)
{
	return vmf->flags & FAULT_FLAG_WRITE && vmf->vma->vm_flags & VM_SHARED;
}

/* -ENOENT if there is none, -EAGAIN if it is locked. */
struct folio *kfs_helper_filemap_trylock_folio(struct address_space *mapping, pgoff_t index)
{
	return __filemap_get_folio(mapping, index, FGP_LOCK | FGP_NOWAIT | FGP_WRITE, 0);
}

/* Whether a locked folio is being written, and must not change meanwhile. */
bool kfs_helper_folio_is_stable(struct folio *folio)
{
	return folio_test_writeback(folio) && mapping_stable_writes(folio->mapping);
}

/* What create_empty_buffers() does for an uptodate folio, but for waiting for memory. */
bool kfs_helper_folio_create_buffers_nowait(struct folio *folio, unsigned long size)
{
	gfp_t gfp = GFP_NOWAIT | __GFP_ACCOUNT;
	struct buffer_head *head = folio_alloc_buffers(folio, size, gfp), *bh = head;

	if (!head)
		return false;
	spin_lock(&folio->mapping->i_private_lock);
	for (;;) {
		set_buffer_uptodate(bh);
		if (folio_test_dirty(folio))
			set_buffer_dirty(bh);
		if (!bh->b_this_page)
			break;
		bh = bh->b_this_page;
	}
	bh->b_this_page = head;
	folio_attach_private(folio, head);
	spin_unlock(&folio->mapping->i_private_lock);
	return true;
}

/* Who makes pages dirty waits now, if there are too many, or has to: -EAGAIN. */
int kfs_helper_balance_dirty_pages(struct address_space *mapping, bool may_wait)
{
	return balance_dirty_pages_ratelimited_flags(mapping, may_wait ? 0 : BDP_ASYNC);
}

/* Before the kernel writes to a page that may be mapped. */
void kfs_helper_flush_mapped_folio(struct folio *folio)
{
	if (mapping_writably_mapped(folio->mapping))
		flush_dcache_folio(folio);
}
