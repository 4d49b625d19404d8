// SPDX-License-Identifier: GPL-2.0

//! Writes through the page cache that must not wait: to pages that are there, of blocks that are there.
//!
//! The kernel's `generic_perform_write` waits for pages, for blocks and for writers to slow down, whatever
//! the request says; its counterpart in iomap does not. This is as that one.

use super::{map, AddressSpaceOperations, Found};
use crate::bindings;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::Inode;
use crate::fs::kiocb::{CallSource, Io, Kiocb, KiocbOwner};
use crate::fs::write_begin;
use crate::iov::{IovIter, IovIterSource};
use kernel::prelude::*;

/// Why a write has not been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// The page is not there, is not read yet, or is in use; or who makes pages dirty is to wait.
    Page,
    /// It is not known where the block is, or it is a hole.
    Block,
    /// Memory is short.
    Memory,
    /// An error: `EFAULT` if there is no such memory to write from, `EINVAL` if the write does not end
    /// inside i_size, or if it is another inode that is locked.
    Error(Error),
}

impl<F: KiocbOwner> InodeLocked<F, Exclusive> {
    /// Writes through the page cache, at the position of `iocb` and inside i_size, as far as that can be
    /// done without waiting. Returns the number of bytes, which is less if something is to be waited for
    /// after some were written. The position and `from` are advanced by that.
    ///
    /// Does not sleep but for the memory to write from, if that has to be brought in. The caller has seen to set-id bits
    /// and times. A block of which a part is written has no direct write in flight.
    pub fn write_nowait<'a, T: AddressSpaceOperations<F>>(
        &self,
        mut iocb: Kiocb<'a, F>,
        from: CallSource<'a>,
    ) -> Result<Io<'a, F>, NotWritten> {
        let (start, inode) = (iocb.pos(), iocb.inode());
        let iter = from.get_mut(&mut iocb);
        let end = (start as u64).saturating_add(iter.count() as u64);
        if !self.is(inode) || start < 0 || end > self.i_size_read() {
            return Err(NotWritten::Error(EINVAL));
        }
        let mut written = 0;
        while iter.count() > 0 {
            match self.write_page_nowait::<T>(start + written as i64, iter) {
                Ok(bytes) => written += bytes,
                Err(why) if written == 0 => return Err(why),
                Err(_) => break,
            }
        }
        iocb.as_mut().advance(written);
        Ok(Io::Done(iocb, written))
    }

    /// Writes what `iter` has for the folio with byte `pos`; returns how much, which is not nothing.
    fn write_page_nowait<T: AddressSpaceOperations<F>>(
        &self,
        pos: i64,
        iter: &mut IovIterSource<'_>,
    ) -> Result<usize, NotWritten> {
        // SAFETY: By the invariants of `Inode` it is valid, and so is its mapping.
        let throttled = unsafe {
            let may_wait = cfg!(mutant = "kfs-nowait-throttled");
            bindings::balance_dirty_pages((*self.as_raw()).i_mapping, may_wait) != 0
        };
        if throttled {
            return Err(NotWritten::Page);
        }
        let page = kernel::page::PAGE_SIZE;
        let len = iter.count().min(page - (pos as usize & (page - 1)));
        // While the folio is locked no fault is handled.
        // SAFETY: The iterator is valid.
        if unsafe { bindings::fault_in_iov_iter_readable(iter.as_raw(), len) } == len {
            return Err(NotWritten::Error(EFAULT));
        }
        let locked = match cfg!(mutant = "kfs-nowait-locks") {
            true => self.page_cache().lock_folio(pos),
            false => self.page_cache().try_lock_folio(pos),
        };
        let locked = locked.ok_or(NotWritten::Page)?;
        let folio = locked.as_raw();
        // SAFETY: The folio is locked, and in the page cache of this inode, so that its private data are
        // buffers, and the block size that of the inode.
        unsafe {
            let offset = (pos - locked.range().start) as usize;
            // Where a file grows, a folio may have more than what was written.
            let is_uptodate = bindings::folio_test_uptodate(folio)
                || (bindings::block_is_partially_uptodate(folio, offset, len)
                    && !cfg!(mutant = "kfs-nowait-all-of-it"));
            if !is_uptodate
                || (bindings::folio_is_stable(folio) && !cfg!(mutant = "kfs-nowait-unstable"))
            {
                return Err(NotWritten::Page);
            }
            if bindings::folio_buffers(folio).is_null() {
                if !bindings::folio_create_buffers_nowait(folio, 1 << self.blkbits()) {
                    return Err(NotWritten::Memory);
                }
                write_begin::map_found(self, folio, |block, max| {
                    match T::get_block_nowait(self, block, max) {
                        Some(Found::Hole { .. }) if cfg!(mutant = "kfs-nowait-hole-left") => None,
                        found => found,
                    }
                    .ok_or(EAGAIN)
                })
                .map_err(|_| NotWritten::Block)?;
            }
            // The blocks with these bytes are uptodate, and none is new: it reads nothing, and zeroes nothing.
            let get_block: bindings::get_block_t = Some(get_block::<F, T>);
            if bindings::__block_write_begin(folio, pos, len as c_uint, get_block) != 0 {
                return Err(NotWritten::Block);
            }
            bindings::flush_mapped_folio(folio);
            let copied = bindings::copy_folio_from_iter_atomic(folio, offset, len, iter.as_raw());
            // Of what was not copied the blocks have the old bytes: that is no short write.
            let copied_len = copied as c_uint;
            bindings::block_write_end(pos, copied_len, copied_len, folio);
            match copied {
                0 => Err(NotWritten::Memory),
                _ => Ok(copied),
            }
        }
    }
}

/// # Safety
///
/// Called by the buffer_head helpers with an inode of `F`, for a block that is to be written.
unsafe extern "C" fn get_block<F: KiocbOwner, T: AddressSpaceOperations<F>>(
    inode: *mut bindings::inode,
    iblock: bindings::sector_t,
    bh: *mut bindings::buffer_head,
    _create: c_int,
) -> c_int {
    // SAFETY: By the requirement.
    let inode = unsafe { Inode::<F>::from_raw(inode) };
    let found = match cfg!(mutant = "kfs-nowait-allocates") {
        true => T::get_block_create(inode, iblock, 1)
            .ok()
            .map(Found::Mapped),
        false => T::get_block_nowait(inode, iblock, 1),
    };
    match found {
        Some(Found::Mapped(run)) => {
            // SAFETY: `bh` is used by nobody else.
            unsafe { map(bh, inode, run, 1) };
            0
        }
        Some(Found::Hole { .. }) | None => EAGAIN.to_errno(),
    }
}
