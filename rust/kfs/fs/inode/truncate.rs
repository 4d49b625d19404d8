// SPDX-License-Identifier: GPL-2.0

//! The pages of a file when its size or its blocks change.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::loff;
use crate::fs::writeback_errors::WritebackErrors;
use core::ops::Range;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;

impl<F: FileSystemData> InodeLocked<F, Exclusive> {
    /// Drops the pages beyond `size` bytes from the page cache; then runs `free`, which frees the
    /// blocks beyond `size`, and returns what that does. i_size does not change. May sleep.
    ///
    /// `invalidate_lock` is held throughout, as by [`SizeLocked::truncate_setsize`].
    ///
    /// [`SizeLocked::truncate_setsize`]: crate::fs::inode::size::SizeLocked::truncate_setsize
    pub fn truncate_beyond<R>(&self, size: u64, free: impl FnOnce() -> R) -> R {
        // SAFETY: By the invariants of `Inode` it is valid; the invalidate lock is taken and given
        // back here.
        unsafe {
            let mapping = (*self.as_raw()).i_mapping;
            bindings::filemap_invalidate_lock(mapping);
            self.drop_pages_beyond(size);
            let result = free();
            bindings::filemap_invalidate_unlock(mapping);
            result
        }
    }

    /// Drops the bytes from `start` to `end` (exclusive) of the file, which are whole blocks, from
    /// the page cache, dirty or not; then runs `free`, which frees the blocks, and returns what
    /// that does. May sleep.
    ///
    /// `invalidate_lock` is held throughout: no page can be brought in until `free` has returned.
    /// The folios at both ends that have other blocks too are locked: they cannot be written back
    /// meanwhile.
    pub fn truncate_pagecache_range<R>(&self, start: u64, end: u64, free: impl FnOnce() -> R) -> R {
        let range = loff(start)..loff(end);
        let cache = self.page_cache();
        // SAFETY: By the invariants of `Inode` it is valid; the invalidate lock is taken here. The
        // end is inclusive.
        unsafe {
            bindings::filemap_invalidate_lock((*self.as_raw()).i_mapping);
            let rest = cache.drop_in_pinned(range.clone());
            if !rest.is_empty() {
                bindings::truncate_pagecache_range(self.as_raw(), rest.start, rest.end - 1);
            }
        }
        // A store through a mapping makes all blocks of a folio dirty, and writing it back looks up where
        // they are: not between now and then, in those that have others, too.
        //
        // Of the first one writeback is waited for before the last one is locked. Who writes back goes up through the
        // file, and keeps what it began in a bio that it submits later: it may wait for the lock of the last one
        // with the first one in its bio. A locked folio does not go under writeback.
        let edge_at = |pos: i64| {
            if cfg!(mutant = "kfs-edge-pages") && pos & (PAGE_SIZE as i64 - 1) == 0 {
                return None;
            }
            let folio = cache.lock_folio(pos).filter(|f| f.range().start < pos)?;
            folio.wait_writeback();
            Some(folio)
        };
        let first = edge_at(range.start);
        let is_first = |pos| first.as_ref().is_some_and(|f| f.range().contains(&pos));
        let last = match is_first(range.end) {
            true => None,
            false => edge_at(range.end),
        };
        for folio in [&first, &last].into_iter().flatten() {
            folio.drop_blocks(&range);
        }
        let result = free();
        drop((first, last));
        // SAFETY: The lock was taken above.
        unsafe { bindings::filemap_invalidate_unlock((*self.as_raw()).i_mapping) };
        result
    }

    /// Writes dirty pages with bytes in `range` back, and waits for writeback. Fails too if
    /// writeback of another part of the file failed meanwhile. May sleep.
    pub fn write_and_wait_range(&self, range: Range<u64>) -> Result {
        let errors = WritebackErrors::watch(self);
        let bytes = loff(range.start)..loff(range.end);
        self.page_cache().write_and_wait(&bytes).and(errors.check())
    }

    /// As [`InodeLocked::write_and_wait_range`], but an error of before is none of this, and stays for who syncs the file.
    pub fn write_back_watched(&self, range: Range<u64>) -> Result {
        let errors = WritebackErrors::watch(self);
        let bytes = loff(range.start)..loff(range.end);
        let begun = self.page_cache().write_back(&bytes);
        match cfg!(mutant = "kfs-own-error-unseen") {
            true => begun,
            false => begun.and(errors.check()),
        }
    }

    /// Drops the pages beyond `size` bytes from the page cache. i_size does not change. May sleep. The caller holds
    /// `invalidate_lock`.
    pub(super) fn drop_pages_beyond(&self, size: u64) {
        let size = loff(size);
        let rest = self.page_cache().drop_in_pinned(size..i64::MAX);
        // SAFETY: By the invariants of `Inode` it is valid.
        unsafe {
            if rest.start > size {
                // Private copies, too, as the function does beyond the folio. To the end of the file.
                let first = (size as usize).div_ceil(PAGE_SIZE);
                bindings::unmap_mapping_pages((*self.as_raw()).i_mapping, first, 0, true);
            }
            bindings::truncate_pagecache(self.as_raw(), rest.start);
        }
    }
}
