// SPDX-License-Identifier: GPL-2.0

//! Parts of a file of which the page cache has nothing.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::loff;
use core::ops::Range;
use kernel::error::to_result;
use kernel::prelude::*;

/// How often what is dirtied again and again is written back.
const TRIES: usize = 8;

impl<F: FileSystemData> InodeLocked<F, Exclusive> {
    /// Checks that the file may have `size` bytes: `EFBIG` if that is more than the task may write
    /// (`RLIMIT_FSIZE`, and it gets `SIGXFSZ`), or than there can be.
    pub fn newsize_ok(&self, size: u64) -> Result {
        // SAFETY: By the invariants of `Inode` it is valid, and its lock is held.
        to_result(unsafe { bindings::inode_newsize_ok(self.as_raw(), loff(size)) })
    }

    /// Writes back and drops the pages with bytes in `range`; then runs `f`, and returns what that does.
    /// May sleep.
    ///
    /// `invalidate_lock` is held until `f` has returned: so no page with a byte of the range can be
    /// brought in, stored to or written back meanwhile. The error of writing back, as
    /// [`InodeLocked::write_back_watched`]; `EBUSY` if a page must not be dropped, as somebody has it pinned: a device that is about to
    /// write to it would do so in vain, also to bytes beside the range. And if it is stored to again and again.
    pub fn without_pages<R>(&self, range: Range<u64>, f: impl FnOnce() -> Result<R>) -> Result<R> {
        let bytes = loff(range.start)..loff(range.end);
        // SAFETY: By the invariants of `Inode` it is valid; the lock is given back below.
        let mapping = unsafe {
            let mapping = (*self.as_raw()).i_mapping;
            bindings::filemap_invalidate_lock(mapping);
            mapping
        };
        let cache = self.page_cache();
        let mut dropped = Err(EBUSY);
        for _ in 0..TRIES {
            // What is stored between the two makes a page dirty again, and it stays.
            dropped = self.write_back_watched(range.clone());
            if dropped.is_err() {
                break;
            }
            if cache.is_pinned_in(&bytes) && !cfg!(mutant = "kfs-allocated-pin-unseen") {
                dropped = Err(EBUSY);
                break;
            }
            if cache.invalidate(&bytes) {
                break;
            }
            dropped = Err(EBUSY);
        }
        let result = dropped.and_then(|()| f());
        // SAFETY: It was taken above.
        unsafe { bindings::filemap_invalidate_unlock(mapping) };
        result
    }

    /// Writes all pages back; then runs `f`, and returns what that does. May sleep. The error of writing back, as
    /// [`InodeLocked::write_back_watched`].
    ///
    /// `invalidate_lock` is held until `f` has returned: nobody stores to a page meanwhile through a mapping, and who stores to
    /// one after that has a fault first, as for a page that was never stored to.
    pub fn without_stores<R>(&self, f: impl FnOnce() -> R) -> Result<R> {
        // SAFETY: By the invariants of `Inode` it is valid; the lock is given back below.
        let mapping = unsafe {
            let mapping = (*self.as_raw()).i_mapping;
            bindings::filemap_invalidate_lock(mapping);
            mapping
        };
        let result = self.write_back_watched(0..i64::MAX as u64).map(|()| f());
        // SAFETY: It was taken above.
        unsafe { bindings::filemap_invalidate_unlock(mapping) };
        result
    }
}
