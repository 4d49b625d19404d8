// SPDX-License-Identifier: GPL-2.0

//! What was written past the page cache: how it comes into sight.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeGuard};
use crate::fs::inode::size::i_size_write;
use crate::fs::inode::{loff, Inode};
use core::ops::Range;
use kernel::prelude::*;

/// Drops `range` from the page cache. What was written, and what writing back would overwrite, is in the blocks of
/// `written`. Both are in bytes. May sleep; takes folio locks.
pub(crate) fn invalidate<F: FileSystemData>(
    inode: &Inode<F>,
    range: Range<i64>,
    written: Range<i64>,
) {
    let cache = inode.page_cache();
    if cache.invalidate(&range) {
        return;
    }
    // Somebody may store to the page again before it is dropped, which ends some time.
    const TRIES: u32 = 10;
    for _ in 0..TRIES {
        if cache.is_dirty_in(&written) && !cfg!(mutant = "kfs-collision-untold") {
            break;
        }
        // An error of other pages, or of these, is for who syncs the file. A page is clean then, too, and to be dropped.
        let written_back = match cfg!(mutant = "kfs-collision-of-another") {
            true => cache.write_and_wait(&range),
            false => cache.write_back(&range).or(Ok(())),
        };
        if written_back.is_err() {
            break;
        }
        if cache.invalidate(&range) {
            return;
        }
    }
    cache.set_error(EIO);
    // SAFETY: The argument is a terminated string, and static.
    if unsafe { bindings::__printk_ratelimit(c"dio_complete".as_char_ptr()) } != 0 {
        pr_crit!(
            "{}: inode {}: Page cache invalidation failure on direct I/O.  Possible data corruption due to collision with buffered I/O!\n",
            inode.sb().id(),
            inode.ino()
        );
    }
}

/// Extends i_size to the end of `bytes`, which are on the device, and drops what the page cache has of them, as
/// [`invalidate`]. Does nothing, and returns false, if they end within i_size. May sleep.
///
/// `invalidate_lock` of the mapping is held meanwhile, so that no page can be brought in, and
/// pages with the old EOF are invalidated: one that was read in before has zeroes beyond it,
/// where the new bytes are. It may be dirty, and then is in all of its blocks: as long as i_size
/// has not moved, those past EOF are not written back.
///
/// # Safety
///
/// The inode counts direct I/O for the caller.
pub(crate) unsafe fn extend<F: FileSystemData>(inode: &Inode<F>, bytes: Range<i64>) -> bool {
    // SAFETY: By the type invariant the inode is valid. The lock nests inside the inode lock, as it does for
    // truncate.
    let mapping = unsafe {
        let mapping = (*inode.as_raw()).i_mapping;
        bindings::filemap_invalidate_lock(mapping);
        mapping
    };
    // Others may have moved it.
    let i_size = inode.i_size_read() as i64;
    let is_extended = bytes.end > i_size;
    let written_back = match cfg!(mutant = "kfs-tail-collides") {
        true => bytes.end,
        false => ((i_size - 1) | ((1i64 << inode.blkbits()) - 1)).saturating_add(1),
    };
    if is_extended {
        let written = bytes.start..bytes.end.min(written_back);
        invalidate(inode, bytes.start.min(i_size)..bytes.end, written);
        // SAFETY: By the requirement, and `invalidate_lock` is held.
        unsafe { i_size_write(inode, bytes.end) };
    }
    // SAFETY: It was taken above.
    unsafe { bindings::filemap_invalidate_unlock(mapping) };
    if is_extended {
        // Who has asked for the number since the writing began has seen the old size.
        inode.inc_iversion();
        inode.mark_inode_dirty();
    }
    is_extended
}

/// An extension of a file that is in flight, without the inode lock: it is counted as direct I/O of the inode. Who frees
/// blocks, or moves EOF, waits until this is dropped, with the inode lock held: so it is not to be waited for meanwhile.
///
/// # Invariants
///
/// The inode counts direct I/O for this.
#[must_use = "it is over when this is dropped"]
pub struct Extending<'a, F: FileSystemData>(&'a Inode<F>);

impl<'a, F: FileSystemData> InodeGuard<'a, F, Exclusive> {
    /// Gives the lock back, and begins to extend the file before that: who gets the lock, and has waited, must not see a
    /// new one.
    pub fn unlock_extending(self) -> Extending<'a, F> {
        let inode = self.inode();
        if !cfg!(mutant = "kfs-extending-uncounted") {
            // SAFETY: By the type invariant the inode is valid.
            unsafe { bindings::inode_dio_begin(inode.as_raw()) };
        }
        // INVARIANT: Just counted.
        Extending(inode)
    }
}

impl<F: FileSystemData> Extending<'_, F> {
    /// Brings the bytes in `range`, which are on the device and in the block map, into sight: drops what the page cache has
    /// of them, and extends i_size to their end, if that is beyond. May sleep; takes `invalidate_lock` and folio
    /// locks.
    pub fn extend(&self, range: Range<u64>) {
        let bytes = loff(range.start)..loff(range.end);
        // SAFETY: By the type invariant.
        if !unsafe { extend(self.0, bytes.clone()) } {
            invalidate(self.0, bytes.clone(), bytes);
            // As for a direct write, see `Iocb::mark_post_direct_write`.
            self.0.inc_iversion();
            self.0.mark_inode_dirty();
        }
    }
}

impl<F: FileSystemData> Drop for Extending<'_, F> {
    fn drop(&mut self) {
        if !cfg!(mutant = "kfs-extending-uncounted") {
            // SAFETY: By the type invariant the inode counts direct I/O for this, and this is the end of it.
            unsafe { bindings::inode_dio_end(self.0.as_raw()) };
        }
    }
}
