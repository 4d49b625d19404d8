// SPDX-License-Identifier: GPL-2.0

//! `struct vm_operations_struct`: mappings of regular files.
//!
//! A page of a shared mapping is read-only until it is stored to: that is a fault, at which the blocks
//! of the page are allocated, by the task that stores. So who stores is told that there is no space
//! (`SIGBUS`), and writeback need not allocate.
//!
//! All of a folio becomes writable by one fault, so it is the blocks of the folio that are allocated. If there is no space for them,
//! a page of it takes its place (`small_folio`), of which the blocks are there, or need less.
//!
//! A store that has to wait ([`AddressSpaceOperations::may_store`]) does so without the lock of the memory map, or of
//! the mapping: what it waits for may need that lock, to pin memory, and another task may wait to have it alone. `page_mkwrite`
//! is not told which lock its caller holds, and whether that may be released; `fault` is. So `page_mkwrite` takes the page out of the
//! mappings, so that the next attempt is a `fault`, which waits. A signal ends that, where whoever has the fault looks for it: the
//! fault is tried again later.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::bindings;
use crate::fs::address_space::{lacks_room, AddressSpaceOperations, Patience};
use crate::fs::inode::Inode;
use crate::fs::kiocb::KiocbOwner;
use crate::fs::shutdown::Shutdown;
use crate::fs::small_folio;
use crate::fs::write_begin;
use crate::mm::page_cache;
use core::marker::PhantomData;
use core::ops::Range;
use kernel::page::{PAGE_SHIFT, PAGE_SIZE};
use kernel::prelude::*;

/// How a folio is made writable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// If it is large, only while there is plenty of space: or else a small one is to take its place.
    WithRoom,
    /// With the space that there is.
    All,
}

/// The table for mappings of files whose pages have the operations `T`.
pub(super) struct Table<F, T>(PhantomData<(F, T)>);

impl<F: KiocbOwner + Shutdown, T: AddressSpaceOperations<F>> Table<F, T> {
    pub(super) const OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(Self::fault),
        map_pages: Some(bindings::filemap_map_pages),
        page_mkwrite: Some(Self::page_mkwrite),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the memory management as `fault`, for a mapping of a file of `F`.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: By the requirement, here and below.
        unsafe {
            if bindings::vmf_is_shared_store(vmf) {
                if let Err(ret) = Self::wait(vmf) {
                    return ret;
                }
            }
            bindings::filemap_fault(vmf)
        }
    }

    /// Waits until the page may be stored to. As an error, what the fault is to return: it waited without the lock, and is to be
    /// tried again, or it must not wait, or cannot any longer.
    ///
    /// # Safety
    ///
    /// As for [`Table::fault`].
    unsafe fn wait(vmf: *mut bindings::vm_fault) -> Result<(), bindings::vm_fault_t> {
        const ALLOW_RETRY: u32 = bindings::fault_flag_FAULT_FLAG_ALLOW_RETRY;
        const RETRY_NOWAIT: u32 = bindings::fault_flag_FAULT_FLAG_RETRY_NOWAIT;
        const USER: u32 = bindings::fault_flag_FAULT_FLAG_USER;
        const RETRY: bindings::vm_fault_t = bindings::vm_fault_reason_VM_FAULT_RETRY;
        const SIGBUS: bindings::vm_fault_t = bindings::vm_fault_reason_VM_FAULT_SIGBUS;
        // SAFETY: By the requirement: the mapping holds its file.
        let (file, index, flags) = unsafe {
            let fault = &raw const (*vmf).__bindgen_anon_1;
            ((*(*fault).vma).vm_file, (*fault).pgoff, (*vmf).flags)
        };
        // SAFETY: As above.
        let inode = unsafe { Inode::<F>::from_raw((*file).f_inode) };
        // The largest folio that the page may be in: few stores have to wait.
        let largest = 1 << T::FOLIO_ORDER_MAX;
        let first = index & !(largest - 1);
        if T::may_store(inode, &Self::inside(inode, first, largest)) {
            return Ok(());
        }
        // SAFETY: The inode is valid.
        let bytes = unsafe { Self::bytes_of_folio(inode, index) };
        if T::may_store(inode, &bytes) {
            return Ok(());
        }
        if flags & ALLOW_RETRY == 0 {
            // The caller has the lock, and goes on with it: a futex, or a debugger.
            return match T::wait_to_store(inode, &bytes, Patience::Second) {
                true => Ok(()),
                false => Err(SIGBUS),
            };
        }
        if flags & RETRY_NOWAIT != 0 {
            return Err(RETRY);
        }
        // As `fault_signal_pending()` has it: in the kernel's mode only a fatal signal ends the attempts.
        let patience = match flags & USER {
            0 => Patience::UntilKilled,
            _ => Patience::UntilSignal,
        };
        // SAFETY: The reference to the file is taken while the mapping has one, and so keeps the inode; it is given back here. The lock
        // is that of the fault, and may be released, as `VM_FAULT_RETRY` is returned; nothing of the fault is used afterwards.
        unsafe {
            let file = bindings::get_file(file);
            if !cfg!(mutant = "kfs-store-waits-locked") {
                bindings::release_fault_lock(vmf);
            }
            T::wait_to_store(inode, &bytes, patience);
            if cfg!(mutant = "kfs-store-waits-locked") {
                bindings::release_fault_lock(vmf);
            }
            bindings::fput(file);
        }
        Err(RETRY)
    }

    /// The bytes of these pages that are inside i_size.
    fn inside(inode: &Inode<F>, first: usize, pages: usize) -> Range<u64> {
        let bytes = |page: usize| (page as u64) << PAGE_SHIFT;
        let size = inode.i_size_read();
        bytes(first).min(size)..bytes(first.saturating_add(pages)).min(size)
    }

    /// The bytes inside i_size of the folio that the page cache has there, or else of the page, which may be in
    /// a larger one when it is brought in.
    ///
    /// # Safety
    ///
    /// The inode must be valid.
    unsafe fn bytes_of_folio(inode: &Inode<F>, index: usize) -> Range<u64> {
        // SAFETY: By the requirement.
        let folio = unsafe { bindings::filemap_get_folio((*inode.as_raw()).i_mapping, index) };
        let Ok(folio) = kernel::error::from_err_ptr(folio) else {
            return Self::inside(inode, index, 1);
        };
        // SAFETY: The look-up has taken a reference, by which it stays as large as it is; it is given back here.
        unsafe {
            let first = page_cache::page_index(bindings::folio_pos(folio));
            let pages = bindings::folio_size(folio) / PAGE_SIZE;
            bindings::folio_put(folio);
            Self::inside(inode, first, pages)
        }
    }

    /// # Safety
    ///
    /// Called by the memory management as `page_mkwrite`, for a mapping of a file of `F`.
    unsafe extern "C" fn page_mkwrite(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        const SIGBUS: bindings::vm_fault_t = bindings::vm_fault_reason_VM_FAULT_SIGBUS;
        // SAFETY: By the requirement, here and below: the mapping holds its file, and the fault a
        // reference to the page, which is uptodate.
        let (file, folio) = unsafe {
            let file = (*(*vmf).__bindgen_anon_1.vma).vm_file;
            (file, bindings::page_folio((*vmf).page))
        };
        // SAFETY: As above.
        let inode = unsafe { Inode::<F>::from_raw((*file).f_inode) };
        if F::check_up(inode.sb()).is_err() || inode.is_immutable() {
            return SIGBUS;
        }
        // SAFETY: As above. Both are given back here, and lie between the lock of the memory map and
        // that of the folio.
        unsafe {
            let (sb, mapping) = ((*inode.as_raw()).i_sb, (*inode.as_raw()).i_mapping);
            bindings::sb_start_pagefault(sb);
            // As with every filesystem, the store is not refused when this fails.
            let _ = bindings::file_update_time(file);
            inode.inc_iversion();
            bindings::filemap_invalidate_lock_shared(mapping);
            // Again, with the lock, which who makes it so holds.
            let is_refused = inode.is_immutable() && !cfg!(mutant = "kfs-immutable-early");
            let index = (*vmf).__bindgen_anon_1.pgoff;
            let writable = match is_refused {
                true => Err(EPERM),
                false => Self::make_writable(inode, folio, index, Need::WithRoom),
            };
            let writable = match writable {
                Err(ENOSPC) => Self::make_page_writable(inode, folio, index),
                writable => writable,
            };
            let ret = match writable {
                Ok(()) => bindings::vm_fault_reason_VM_FAULT_LOCKED,
                Err(error) => bindings::vmf_fs_error(error.to_errno()),
            };
            bindings::filemap_invalidate_unlock_shared(mapping);
            bindings::sb_end_pagefault(sb);
            ret
        }
    }

    /// Locks the folio, allocates its blocks inside i_size, and makes them dirty: all of it may become
    /// writable by one fault, but for pages that are beyond EOF. `EFAULT` if it, or its page that is stored to, is not in the file any more, `EAGAIN` if the store has to wait, with which it is
    /// tried again; `ENOSPC` as for [`Table::allocate`]; after an error it is not locked.
    ///
    /// # Safety
    ///
    /// `folio` must be referenced, uptodate, and one that is or was in the page cache of `inode`, and
    /// the caller hold `invalidate_lock`, shared; `index` is that of a page of the folio.
    unsafe fn make_writable(
        inode: &Inode<F>,
        folio: *mut bindings::folio,
        index: usize,
        need: Need,
    ) -> Result {
        // SAFETY: By the requirement. The lock is given to the caller, or back.
        unsafe {
            let mapping = (*inode.as_raw()).i_mapping;
            bindings::folio_lock(folio);
            let size = inode.i_size_read() as i64;
            // A truncate may have cut off the page since it was found, and left a folio that could not be split.
            let is_page_inside = ((index as i64) << PAGE_SHIFT) < size
                || cfg!(mutant = "kfs-page-beyond-eof-writable");
            let is_there = (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping == mapping;
            let inside = match is_there && is_page_inside {
                true => size - bindings::folio_pos(folio),
                false => 0,
            };
            let allocated = match usize::try_from(inside) {
                // Truncated, or dropped.
                Err(_) | Ok(0) => Err(EFAULT),
                Ok(len) => {
                    let len = len.min(bindings::folio_size(folio));
                    let pos = bindings::folio_pos(folio) as u64;
                    match T::may_store(inode, &(pos..pos + len as u64))
                        || cfg!(mutant = "kfs-mkwrite-unwaited")
                    {
                        true => Self::allocate(inode, folio, len, need),
                        false => Err(EAGAIN),
                    }
                }
            };
            match allocated {
                Ok(()) => bindings::folio_wait_stable(folio),
                Err(error) => {
                    // One that was mapped while EOF was moving must not stay so: its next fault would end here, too, and not
                    // with a signal.
                    if error == EAGAIN || (is_there && !is_page_inside) {
                        page_cache::unmap(folio);
                    }
                    bindings::folio_unlock(folio);
                }
            }
            allocated
        }
    }

    /// Has a folio of the least size take the place of `folio`, which was too large for the space there is, and makes that
    /// writable, as [`Table::make_writable`]: `EAGAIN` if that was done, as it is another one that the store has to find then.
    ///
    /// What cannot be dropped, as somebody has pinned it, stores to it all the time, or as it cannot be written back, gets all that it needs,
    /// if there is so much: `ENOSPC` if not. Another error, by which the folio cannot be read.
    ///
    /// # Safety
    ///
    /// As for [`Table::make_writable`]; `index` is that of a page of the folio.
    unsafe fn make_page_writable(
        inode: &Inode<F>,
        folio: *mut bindings::folio,
        index: usize,
    ) -> Result {
        let pos = (index << PAGE_SHIFT) as u64;
        // SAFETY: By the requirement: with a reference it stays as large as it is.
        let mut size = unsafe { bindings::folio_size(folio) };
        for _ in 0..small_folio::TRIES {
            // There was no space for that either.
            if size <= small_folio::least(inode) || cfg!(mutant = "kfs-store-all-or-nothing") {
                return Err(ENOSPC);
            }
            if small_folio::drop_larger(inode, pos).is_err() {
                break;
            }
            // Somebody may have brought in a large one.
            // SAFETY: By the requirement.
            match unsafe { Self::make_found_writable(inode, pos, Need::WithRoom) }? {
                Some(large) => size = large,
                None => return Err(EAGAIN),
            }
        }
        if cfg!(mutant = "kfs-store-gives-up") {
            return Err(ENOSPC);
        }
        // SAFETY: By the requirement.
        match unsafe { Self::make_found_writable(inode, pos, Need::All) }? {
            Some(_) => Err(ENOSPC),
            None => Err(EAGAIN),
        }
    }

    /// Makes the folio with byte `pos` writable, which is read if there is none; the store has to find it then. If there is too little space
    /// for it, returns how large it is. Sleeps. Other errors of [`Table::make_writable`], or that of reading it.
    ///
    /// # Safety
    ///
    /// The caller holds `invalidate_lock`, shared.
    unsafe fn make_found_writable(inode: &Inode<F>, pos: u64, need: Need) -> Result<Option<usize>> {
        // Truncated: a page beyond EOF is not to be brought in.
        if pos >= inode.i_size_read() {
            return Err(EFAULT);
        }
        let found = inode.page_cache().read_folio(pos as i64)?;
        // SAFETY: It was found uptodate in the page cache of the inode, and is referenced as long as `found`; the rest is required of
        // the caller. After success it is locked by this.
        unsafe {
            let index = page_cache::page_index(pos as i64);
            match Self::make_writable(inode, found.as_raw(), index, need) {
                Ok(()) => {
                    bindings::folio_unlock(found.as_raw());
                    Ok(None)
                }
                Err(ENOSPC) => Ok(Some(bindings::folio_size(found.as_raw()))),
                Err(error) => Err(error),
            }
        }
    }

    /// Allocates the blocks with the first `len` bytes of the folio, and makes them dirty. `EAGAIN` if the store has to wait by now;
    /// `ENOSPC` if there is no space, or too little for a large folio: then nothing is allocated, in most cases.
    ///
    /// # Safety
    ///
    /// As for [`Table::make_writable`]; the folio is locked and in the page cache, and has so many bytes.
    unsafe fn allocate(
        inode: &Inode<F>,
        folio: *mut bindings::folio,
        len: usize,
        need: Need,
    ) -> Result {
        // SAFETY: By the requirement.
        unsafe {
            // One that is pinned cannot be dropped: it gets all that it needs, if there is so much.
            let may_drop = need == Need::WithRoom
                && bindings::folio_size(folio) > small_folio::least(inode)
                && !bindings::folio_maybe_dma_pinned(folio);
            if may_drop && !cfg!(mutant = "kfs-store-takes-what-there-is") {
                let pos = bindings::folio_pos(folio) as u64;
                if lacks_room::<F, T>(inode, pos..pos + len as u64)? {
                    return Err(ENOSPC);
                }
            }
            write_begin::make_buffers(inode, folio, |block, max| T::get_block(inode, block, max))?;
            // Who finds a block that is allocated here, without the inode lock, must find that its page
            // is dirty, and so wait for the folio: a direct read, which would read stale data. The buffers
            // are not dirty yet: if there is no space, there is nothing to write.
            if !cfg!(mutant = "kfs-mkwrite-clean") {
                bindings::filemap_dirty_folio((*inode.as_raw()).i_mapping, folio);
            }
            write_begin::allocate(inode, folio, 0..len, |block, max| {
                T::get_block_to_store(inode, block, max)
            })?;
            bindings::block_commit_write(folio, 0, len);
        }
        Ok(())
    }
}
