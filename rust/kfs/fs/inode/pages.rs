// SPDX-License-Identifier: GPL-2.0

//! The dirty pages of a file.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::{loff, Inode};
use core::ops::Range;
use kernel::prelude::*;

impl<F: FileSystemData> Inode<F> {
    /// Whether the page cache has dirty pages, or pages under writeback, with bytes in `range`. Does
    /// not sleep.
    pub fn range_needs_writeback(&self, range: &Range<u64>) -> bool {
        if range.is_empty() {
            return false;
        }
        // SAFETY: By the type invariant the inode is valid. The end is inclusive.
        unsafe {
            bindings::filemap_range_needs_writeback(
                (*self.as_raw()).i_mapping,
                loff(range.start),
                loff(range.end) - 1,
            )
        }
    }

    /// Writes dirty pages with bytes in `range` back, and waits for writeback. May sleep. Fails if a page could not be given to
    /// the device; what that has failed to write is for who syncs the file.
    pub fn write_back_range(&self, range: &Range<u64>) -> Result {
        self.page_cache()
            .write_back(&(loff(range.start)..loff(range.end)))
    }
}
