// SPDX-License-Identifier: GPL-2.0

//! Who changes i_size.
//!
//! * A *direct write*, its submitter or its retry, while it is counted as direct I/O of the inode, with
//!   `invalidate_lock` held exclusively: [`Iocb::extend_post_direct_write`]. It only grows. The retry has no
//!   inode lock.
//! * Who has an [`Extending`], and so is counted like that, too.
//! * Who has a [`SizeLocked`]: the inode lock held exclusively, after no direct I/O was in flight any more.
//! * The kernel, for a *buffered write*, with the inode lock held exclusively
//!   ([`__generic_file_write_iter`]), or what it calls (`address_space::gap`). Its caller has waited for direct writes that extend the file.
//!
//! [`Extending`]: crate::fs::inode::written::Extending
//! [`Iocb::extend_post_direct_write`]: crate::fs::kiocb::Iocb::extend_post_direct_write
//! [`__generic_file_write_iter`]: crate::fs::generic_io::__generic_file_write_iter
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::{loff, Inode};
use core::ops::Deref;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;

/// An inode whose size nobody else changes.
///
/// # Invariants
///
/// Since its lock was taken exclusively, there was a moment without direct I/O in flight. With the lock held,
/// others begin none.
#[derive(Clone, Copy)]
pub struct SizeLocked<'a, F: FileSystemData>(&'a InodeLocked<F, Exclusive>);

impl<F: FileSystemData> InodeLocked<F, Exclusive> {
    /// Waits until no direct I/O on the file is in flight. With the lock held, none can begin.
    /// Sleeps.
    pub fn dio_wait(&self) -> SizeLocked<'_, F> {
        if !cfg!(mutant = "kfs-no-dio-wait") {
            // SAFETY: By the invariants of `Inode` it is valid.
            unsafe { bindings::inode_dio_wait(self.as_raw()) };
        }
        // INVARIANT: There was none just now, and by the type the lock is held.
        SizeLocked(self)
    }
}

/// Stores i_size, in bytes.
///
/// # Safety
///
/// The caller is one of those that change it, as the head of this file has them.
pub(crate) unsafe fn i_size_write<F: FileSystemData>(inode: &Inode<F>, size: i64) {
    const { assert!(usize::BITS == 64, "i_size is stored in two parts") };
    // SAFETY: By the type invariants the inode is valid; nobody else stores to it, by the requirement.
    unsafe { bindings::i_size_write(inode.as_raw(), size) };
}

impl<F: FileSystemData> SizeLocked<'_, F> {
    /// Sets the size of the file in bytes.
    pub fn i_size_write(&self, size: u64) {
        // SAFETY: This is one of those, by the type invariant.
        unsafe { i_size_write(self, loff(size)) };
    }

    /// Sets i_size to `size` bytes and drops the pages beyond it from the page cache; then runs
    /// `free`, which frees the blocks beyond `size`, and returns what that does. May sleep.
    ///
    /// What was stored through a mapping beyond EOF, to its page, does not come into the file.
    ///
    /// `invalidate_lock` is held throughout: no page can be brought in until `free` has returned.
    pub fn truncate_setsize(&self, size: u64, free: impl FnOnce() -> Result) -> Result {
        let is_extended = size > self.i_size_read() && !cfg!(mutant = "kfs-stored-beyond-eof-kept");
        // SAFETY: By the invariants of `Inode` it is valid; the invalidate lock is taken and given
        // back here. Nobody else stores to i_size, as for `i_size_write`.
        unsafe {
            let mapping = (*self.as_raw()).i_mapping;
            bindings::filemap_invalidate_lock(mapping);
            if is_extended {
                self.extend_zeroed(size);
            } else if size <= self.i_size_read() {
                self.i_size_write(size);
                self.drop_pages_beyond(size);
            } else {
                bindings::truncate_setsize(self.as_raw(), loff(size));
            }
            let result = free();
            bindings::filemap_invalidate_unlock(mapping);
            result
        }
    }

    /// Sets i_size to `size` bytes, which are more than it has. May sleep; takes a folio lock.
    ///
    /// The folio of EOF is locked, and its pages from EOF on are in no mapping, from when what it has beyond EOF is zeroed until i_size has moved: who stores to them
    /// then has a fault, which waits for the folio, and finds the new size. So does one that was under way, also if EOF is where a page
    /// ends: it would make all of a folio writable that has come into the file, and has allocated the blocks up to the old
    /// size. `pagecache_isize_extended()` comes after that: it would zero
    /// what was stored to the file, and it leaves the rest of a block alone.
    fn extend_zeroed(&self, size: u64) {
        let old = self.i_size_read() as i64;
        let is_looked_up =
            !cfg!(mutant = "kfs-pages-beyond-eof-mapped") || old & (PAGE_SIZE as i64 - 1) != 0;
        let folio = match is_looked_up {
            true => self.page_cache().lock_folio(old),
            false => None,
        };
        let folio = folio.filter(|folio| folio.range().start < old);
        if let Some(folio) = &folio {
            folio.unmap_from(old);
            folio.wait_writeback();
            folio.zero(&(old..folio.range().end));
        }
        self.i_size_write(size);
    }
}

impl<F: FileSystemData> Deref for SizeLocked<'_, F> {
    type Target = InodeLocked<F, Exclusive>;

    fn deref(&self) -> &InodeLocked<F, Exclusive> {
        self.0
    }
}
