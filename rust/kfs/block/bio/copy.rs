// SPDX-License-Identifier: GPL-2.0

//! Bios that write a copy of the memory of a request.
//!
//! What computes a checksum or a parity of the data and then transfers it, needs both to be of the
//! same data: a device that wants stable pages
//! ([`BlockDevice::stable_writes`](crate::block::bdev::BlockDevice::stable_writes)). The memory of a
//! direct write belongs to a program, which may change it at any time. Pages of our own nobody
//! changes.

use super::build::Bio;
use super::front::BioData;
use crate::bindings;
use crate::iov::{IovIter, IovIterSource};
use core::mem::ManuallyDrop;
use kernel::alloc::flags::{GFP_KERNEL_ACCOUNT, GFP_NOWAIT};
use kernel::alloc::Flags;
use kernel::page::{Page, PAGE_SIZE};
use kernel::prelude::*;

impl<'data, T: BioData> Bio<IovIterSource<'data>, T> {
    /// Adds a copy of memory from `iter`, and advances that by as much: `max` bytes at most, and
    /// only so much that the bio gets a multiple of `len_mask + 1` bytes. Returns how much.
    ///
    /// It is less than `max` when the bio is full. The copy is freed with the bio; the memory of
    /// `iter` is not used after this. May sleep, as user memory may have to be brought in
    /// ([`IovIter::set_nofault`]), and, if `may_wait`, for memory. Fails if nothing can be added: `EFAULT` if
    /// there is no such memory, `ENOMEM`.
    /// `EINVAL` for a bio that has memory of another kind already, or is full.
    pub fn add_copy(
        &mut self,
        iter: &mut IovIterSource<'data>,
        max: usize,
        len_mask: u32,
        may_wait: bool,
    ) -> Result<usize> {
        let gfp = match may_wait {
            true => GFP_KERNEL_ACCOUNT,
            false => GFP_NOWAIT | (GFP_KERNEL_ACCOUNT & !GFP_KERNEL),
        };
        let before = self.size();
        if before != 0 && !self.bio.is_copy() {
            return Err(EINVAL);
        }
        // INVARIANT: If anything is in the bio, it is pages of a copy; if not, neither is anything
        // pinned.
        self.bio.set_pinned(false);
        // SAFETY: By the invariants of `Owned` the structure is valid, and ours.
        unsafe { (*self.bio.front()).is_copy = true };

        // A sector that is larger than a page is in several.
        let page_mask = len_mask.min(PAGE_SIZE as u32 - 1);
        let mut stopped = Err(EINVAL);
        loop {
            let left = (max - (self.size() - before)).min(iter.count());
            if left == 0 || self.bio.is_full() {
                break;
            }
            let wanted = left.min(PAGE_SIZE);
            let added = match self.add_page(iter, wanted, page_mask, gfp) {
                Ok(added) => added,
                Err(error) => {
                    stopped = Err(error);
                    break;
                }
            };
            if added < wanted {
                break;
            }
        }
        let added = self.size() - before;
        let excess = match cfg!(mutant = "kfs-copy-cut") {
            true => 0,
            false => added.min(self.size() & len_mask as usize),
        };
        // SAFETY: They are no more than was just added, all of it copies of what came from `iter`.
        unsafe { self.trim(iter, excess) };
        match added - excess {
            0 => stopped,
            added => Ok(added),
        }
    }

    /// Adds a page with a copy of the next `len` bytes, a page at most, or of as many as there are.
    fn add_page(
        &mut self,
        iter: &mut IovIterSource<'data>,
        len: usize,
        len_mask: u32,
        gfp: Flags,
    ) -> Result<usize> {
        let page = Page::alloc_page(gfp)?;
        // SAFETY: The page is ours, and `len` is not more than its size. It is a folio of one page. The iterator
        // is valid, and a source.
        let copied = unsafe {
            match iter.is_nofault() && !cfg!(mutant = "kfs-copy-faults") {
                true => {
                    let folio = page.as_ptr().cast();
                    bindings::copy_folio_from_iter_atomic(folio, 0, len, iter.as_raw())
                }
                false => bindings::copy_page_from_iter(page.as_ptr(), 0, len, iter.as_raw()),
            }
        };
        let whole = copied & !(len_mask as usize);
        // SAFETY: The iterator was advanced by at least as much just now.
        unsafe { bindings::iov_iter_revert(iter.as_raw(), copied - whole) };
        if whole == 0 {
            return Err(EFAULT);
        }
        // SAFETY: The bio is ours, and the first `whole` bytes of the page are initialised. The bio
        // keeps the page, below.
        let added =
            unsafe { bindings::bio_add_page(self.bio.as_raw(), page.as_ptr(), whole as u32, 0) };
        if added == 0 {
            // SAFETY: As above.
            unsafe { bindings::iov_iter_revert(iter.as_raw(), whole) };
            return Err(EINVAL);
        }
        // INVARIANT: The bio owns the page.
        let _ = ManuallyDrop::new(page);
        Ok(whole)
    }
}
