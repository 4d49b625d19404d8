// SPDX-License-Identifier: GPL-2.0

//! What direct I/O does to the page cache and the size of the file, and whom it tells of errors.

use super::iocb::{Iocb, KiocbOwner};
use crate::bindings;
use crate::fs::fserror;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use core::ops::Range;
use kernel::prelude::*;

impl<F: KiocbOwner> Iocb<F> {
    /// Writes what the page cache has of the bytes from `start` to `end` of the file to the device,
    /// and waits for it. Does nothing if there is nothing in the page cache. May sleep.
    pub fn write_and_wait_range(&self, start: i64, end: i64) -> Result {
        self.inode().page_cache().write_and_wait(&(start..end))
    }

    /// Whether [`Iocb::write_and_wait_range`] would have something to do.
    pub fn range_needs_writeback(&self, start: i64, end: i64) -> bool {
        if start >= end {
            return false;
        }
        // SAFETY: The mapping of an open file is valid. The end is inclusive.
        unsafe { bindings::filemap_range_needs_writeback(self.mapping(), start, end - 1) }
    }

    /// Drops what the page cache has of the `count` bytes that were written at the position,
    /// because it is older than what is on the device. May sleep.
    ///
    /// What others wrote to other blocks meanwhile is not dropped but written to the device: pages
    /// can be larger than blocks. If that does not help, or if they wrote to the same blocks, the
    /// next fsync of the file fails with `EIO`, and the kernel log says why.
    pub fn invalidate_post_direct_write(&self, count: usize) {
        let end = self.pos() + count as i64;
        self.invalidate(self.pos()..end, self.pos()..end);
    }

    /// Drops `range`, in which `written` was written, both in bytes.
    fn invalidate(&self, range: Range<i64>, written: Range<i64>) {
        let cache = self.inode().page_cache();
        if cache.invalidate(&range) {
            return;
        }
        let is_collision = cache.is_dirty_in(&written) && !cfg!(mutant = "kfs-collision-untold");
        if !is_collision
            && self.write_and_wait_range(range.start, range.end).is_ok()
            && cache.invalidate(&range)
        {
            return;
        }
        cache.set_error(EIO);
        // SAFETY: The argument is a string.
        if unsafe { bindings::__printk_ratelimit(c"dio_complete".as_char_ptr()) } != 0 {
            pr_crit!(
                "{}: inode {}: Page cache invalidation failure on direct I/O.  Possible data corruption due to collision with buffered I/O!\n",
                self.inode().sb().id(),
                self.inode().ino()
            );
        }
    }

    /// Tells who listens (fanotify) that the device failed in the bytes `range` of the file, which
    /// was read or written directly. Does not sleep.
    pub fn report_dio_error(&self, is_write: bool, range: Range<u64>, error: Error) {
        let what = if is_write {
            bindings::fserror_type_FSERR_DIRECTIO_WRITE
        } else {
            bindings::fserror_type_FSERR_DIRECTIO_READ
        };
        fserror::report_inode(self.inode(), what, range, error);
    }

    /// Writes to the log that the device failed at byte `pos` of the file, which was read or written
    /// directly: for when the caller is told of the bytes before alone. Not more often than the
    /// kernel's limit for messages.
    pub fn log_dio_error(&self, is_write: bool, pos: u64, error: Error) {
        // SAFETY: The argument is a string.
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

    /// Moves the end of the file behind the `count` bytes that are on the device at the position.
    ///
    /// In between, no page can get into the page cache, and those that hold the old end of the file
    /// are dropped: a page that was read in before has zeroes where the new bytes are.
    pub fn extend_post_direct_write(&self, locked: &InodeLocked<F, Exclusive>, count: usize) {
        let (start, end) = (self.pos(), self.pos() + count as i64);
        let i_size = locked.i_size_read() as i64;
        if count == 0 || end <= i_size || !locked.is(self.inode()) {
            return;
        }
        let mapping = self.mapping();
        // SAFETY: The mapping of an open file is valid. The lock nests inside the inode lock, as it
        // does for truncate.
        unsafe { bindings::filemap_invalidate_lock(mapping) };
        self.invalidate(start.min(i_size)..end, start..end);
        locked.i_size_write(end as u64);
        // SAFETY: It was taken above.
        unsafe { bindings::filemap_invalidate_unlock(mapping) };
        locked.mark_inode_dirty();
    }

    /// For a request that asked for it (O_SYNC, O_DSYNC, RWF_SYNC, RWF_DSYNC): writes the `count`
    /// bytes before the position, and what is needed to find them again, to stable storage. Returns
    /// `count`. May sleep.
    pub fn generic_write_sync(&self, count: usize) -> Result<usize> {
        // SAFETY: The kiocb is valid and ours, and its file is open.
        let ret = unsafe { bindings::generic_write_sync(self.as_ptr(), count as isize) };
        usize::try_from(ret).map_err(|_| Error::from_errno(ret as i32))
    }
}
