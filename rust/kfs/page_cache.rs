// SPDX-License-Identifier: GPL-2.0

//! What the page cache has of a file.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::bindings;
use crate::file_system::FileSystem;
use crate::inode::Inode;
use core::ops::Range;
use core::ptr;
use kernel::page::PAGE_SHIFT;
use kernel::prelude::*;

/// The page cache of a file.
pub(crate) struct PageCache<'a, F: FileSystem> {
    inode: &'a Inode<F>,
}

impl<'a, F: FileSystem> PageCache<'a, F> {
    pub(crate) fn of(inode: &'a Inode<F>) -> Self {
        PageCache { inode }
    }

    fn mapping(&self) -> *mut bindings::address_space {
        // SAFETY: The inode is valid.
        unsafe { (*self.inode.as_ptr()).i_mapping }
    }

    /// Drops the pages that have a part of the bytes in `range`. Returns whether none is left: a
    /// page that is dirty, or that somebody uses, stays. May sleep.
    pub(crate) fn invalidate(&self, range: &Range<i64>) -> bool {
        let mapping = self.mapping();
        // SAFETY: The mapping of an inode is valid. `nrpages` may change at any time: pages that
        // come later are read from the device.
        if range.is_empty() || unsafe { ptr::read_volatile(&raw const (*mapping).nrpages) } == 0 {
            return true;
        }
        // SAFETY: The mapping is valid. Both indices are inclusive.
        unsafe {
            bindings::invalidate_inode_pages2_range(
                mapping,
                (range.start >> PAGE_SHIFT) as usize,
                ((range.end - 1) >> PAGE_SHIFT) as usize,
            ) == 0
        }
    }

    /// Whether a block with a part of the bytes in `range` is dirty. May sleep.
    pub(crate) fn is_dirty_in(&self, range: &Range<i64>) -> bool {
        let mut pos = range.start;
        while pos < range.end {
            // SAFETY: The mapping of an inode is valid.
            let folio = unsafe {
                bindings::filemap_lock_folio(self.mapping(), (pos >> PAGE_SHIFT) as usize)
            };
            let Ok(folio) = kernel::error::from_err_ptr(folio) else {
                pos = ((pos >> PAGE_SHIFT) + 1) << PAGE_SHIFT;
                continue;
            };
            // SAFETY: The folio is locked, there is a reference to it, and it is of this mapping.
            let dirty = unsafe { is_folio_dirty_in(folio, range) };
            // SAFETY: As above. The position is that of the first byte behind it. The lock and the
            // reference were taken by the look-up.
            unsafe {
                pos = bindings::folio_pos(folio) + bindings::folio_size(folio) as i64;
                bindings::folio_unlock(folio);
                bindings::folio_put(folio);
            }
            if dirty {
                return true;
            }
        }
        false
    }

    /// Zeroes `len` bytes from `pos` on, in the page with `pos`, if that is there. May sleep.
    pub(crate) fn zero(&self, pos: i64, len: usize) {
        // SAFETY: The mapping of an inode is valid.
        let folio =
            unsafe { bindings::filemap_lock_folio(self.mapping(), (pos >> PAGE_SHIFT) as usize) };
        let Ok(folio) = kernel::error::from_err_ptr(folio) else {
            return;
        };
        // SAFETY: The folio is locked, there is a reference to it, and it has the byte at `pos`; no
        // more than what it has is zeroed. The lock and the reference were taken by the look-up.
        unsafe {
            let start = (pos - bindings::folio_pos(folio)) as usize;
            let len = len.min(bindings::folio_size(folio) - start);
            bindings::folio_zero_range(folio, start, len);
            bindings::folio_unlock(folio);
            bindings::folio_put(folio);
        }
    }

    /// Has the next fsync of the file fail with `error`, for each who has the file open.
    pub(crate) fn set_error(&self, error: Error) {
        // SAFETY: The mapping of an inode is valid; the function takes a negative error number.
        unsafe { bindings::errseq_set(&raw mut (*self.mapping()).wb_err, error.to_errno()) };
    }
}

/// Whether a block of the folio with a part of the bytes in `range` is dirty.
///
/// # Safety
///
/// The folio must be locked, and be in a mapping of a file whose private data are buffers.
unsafe fn is_folio_dirty_in(folio: *mut bindings::folio, range: &Range<i64>) -> bool {
    // SAFETY: By the requirement, here and below.
    if !unsafe { bindings::folio_test_dirty(folio) } {
        return false;
    }
    // SAFETY: As above: the lock keeps the buffers where they are.
    let head = unsafe { bindings::folio_buffers(folio) };
    if head.is_null() {
        // All of it will be written.
        return true;
    }
    // SAFETY: As above.
    let mut pos = unsafe { bindings::folio_pos(folio) };
    let mut bh = head;
    loop {
        // SAFETY: The buffers of a locked folio are valid, and each leads to the next one.
        let (dirty, size, next) = unsafe {
            (
                bindings::buffer_dirty(bh) != 0,
                (*bh).b_size as i64,
                (*bh).b_this_page,
            )
        };
        if dirty && pos < range.end && range.start < pos + size {
            return true;
        }
        pos += size;
        bh = next;
        if bh == head {
            return false;
        }
    }
}
