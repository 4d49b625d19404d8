// SPDX-License-Identifier: GPL-2.0

//! What direct I/O does to the page cache and to i_size, and how it reports errors.

use super::iocb::{Iocb, KiocbOwner};
use crate::bindings;
use crate::fs::fserror;
use crate::fs::inode::written;
use crate::task::MaySleep;
use core::ops::Range;
use kernel::error::to_result;
use kernel::prelude::*;

impl<F: KiocbOwner> Iocb<F> {
    /// Where `count` bytes from the position on end. No file has any beyond what a position can say.
    #[inline(always)]
    fn end_of(&self, count: usize) -> i64 {
        self.pos().saturating_add_unsigned(count as u64)
    }

    /// Writes dirty pages with the bytes from `start` to `end` (exclusive) of the file back, and
    /// waits for writeback. Does nothing if the page cache has nothing of the file. May sleep.
    pub fn write_and_wait_range(&self, start: i64, end: i64, _: MaySleep<'_>) -> Result {
        self.inode().page_cache().write_and_wait(&(start..end))
    }

    /// Writes dirty pages with the bytes from `start` to `end` (exclusive) of the file back, and drops all that have some.
    /// Returns whether none is left: one that is in use stays. May sleep. Fails with the error of writeback.
    pub fn drop_pages(&self, start: i64, end: i64, _: MaySleep<'_>) -> Result<bool> {
        let range = start..end;
        let cache = self.inode().page_cache();
        if !cache.has_pages(&range) {
            return Ok(true);
        }
        cache.write_and_wait(&range)?;
        Ok(cache.invalidate(&range))
    }

    /// Whether [`Iocb::write_and_wait_range`] would have something to do.
    pub fn range_needs_writeback(&self, start: i64, end: i64) -> bool {
        if start >= end {
            return false;
        }
        // SAFETY: By the type invariants the file is open, so that its mapping is valid. The end is
        // inclusive.
        unsafe { bindings::filemap_range_needs_writeback(self.mapping(), start, end - 1) }
    }

    /// Whether the page cache has any of the `count` bytes at the position. Any context.
    ///
    /// It may change at any time; but when the device has the bytes, a page that comes later has them
    /// too.
    #[inline(always)]
    pub fn has_pages(&self, count: usize) -> bool {
        let end = self.end_of(count);
        self.inode().page_cache().has_pages(&(self.pos()..end))
    }

    /// Whether there is something in the page cache that direct I/O on the `count` bytes at the position has
    /// to do with before: a page, or an error of writeback that is yet to be returned. Any context.
    #[inline(always)]
    pub fn concerns_page_cache(&self, count: usize) -> bool {
        let end = self.end_of(count);
        self.inode().page_cache().concerns(&(self.pos()..end))
    }

    /// Invalidates the page cache for the `count` bytes that were written at the position: what it
    /// has of them is stale. Takes folio locks.
    ///
    /// A page that was dirtied in other blocks meanwhile is written back and then invalidated:
    /// pages can be larger than blocks. If that fails, or the same blocks were dirtied, the next
    /// fsync of the file fails with `EIO`, and the kernel log says why.
    pub fn invalidate_post_direct_write(&self, count: usize, _: MaySleep<'_>) {
        let end = self.end_of(count);
        written::invalidate(self.inode(), self.pos()..end, self.pos()..end);
    }

    /// Reports to fanotify (`FAN_FS_ERROR`) that direct I/O on the bytes `range` of the file
    /// failed. Does not sleep; the report is lost when memory is short.
    pub fn report_dio_error(&self, is_write: bool, range: Range<u64>, error: Error) {
        let what = if is_write {
            bindings::fserror_type_FSERR_DIRECTIO_WRITE
        } else {
            bindings::fserror_type_FSERR_DIRECTIO_READ
        };
        fserror::report_inode(self.inode(), what, range, error);
    }

    /// Logs that direct I/O failed at byte `pos` of the file: for a request that is cut short
    /// there, whose caller gets the number of bytes before `pos` and not the error. Rate limited.
    pub fn log_dio_error(&self, is_write: bool, pos: u64, error: Error) {
        // SAFETY: The argument is a terminated string, and static.
        if unsafe { bindings::__printk_ratelimit(c"log_dio_error".as_char_ptr()) } != 0 {
            pr_err!(
                "{}: inode {}: direct {} cut short at byte {}: error {}\n",
                self.inode().sb().id(),
                self.inode().ino(),
                if is_write { "write" } else { "read" },
                pos,
                error.to_errno()
            );
        }
    }

    /// Extends i_size to the end of the `count` bytes at the position, which are on the device, and
    /// invalidates the page cache for them, as [`Iocb::invalidate_post_direct_write`]. Does nothing,
    /// and returns false, if they end within i_size. May sleep.
    ///
    /// The inode lock is not needed: see [`size`](crate::fs::inode::size). The request is counted.
    pub fn extend_post_direct_write(&self, count: usize, _: MaySleep<'_>) -> bool {
        let inode = self.inode();
        let (start, end) = (self.pos(), self.end_of(count));
        if count == 0 || end <= inode.i_size_read() as i64 || !self.is_counted() {
            return false;
        }
        // SAFETY: The request is counted.
        unsafe { written::extend(inode, start..end) }
    }

    /// What was written has come into sight, and others may have moved i_size over it who have not marked the inode dirty yet: marks
    /// it for this request, so that whoever syncs that from now on does. Counts a change of the data for those who cache it. May sleep.
    pub fn mark_post_direct_write(&self, _: MaySleep<'_>) {
        self.inode().inc_iversion();
        self.inode().mark_inode_dirty();
    }

    /// For a request that asked for it (O_SYNC, O_DSYNC, RWF_SYNC, RWF_DSYNC): writes the `count`
    /// bytes before the position, and what is needed to find them again, to stable storage. Returns
    /// `count`.
    pub fn generic_write_sync(&self, count: usize, _: MaySleep<'_>) -> Result<usize> {
        // SAFETY: By the type invariants the kiocb is valid, ours, and of an open file.
        let ret = unsafe { bindings::generic_write_sync(self.as_raw(), count as isize) };
        usize::try_from(ret).map_err(|_| Error::from_errno(ret as i32))
    }

    /// The same for the `count` bytes from the position on.
    pub fn write_sync(&self, count: usize, _: MaySleep<'_>) -> Result<usize> {
        if !self.is_dsync() || count == 0 {
            return Ok(count);
        }
        let last = self.end_of(count) - 1;
        let datasync = !self.is_sync_all();
        // SAFETY: By the type invariants the file is open.
        to_result(unsafe {
            bindings::vfs_fsync_range(self.file(), self.pos(), last, datasync.into())
        })?;
        Ok(count)
    }
}
