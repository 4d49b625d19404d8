// SPDX-License-Identifier: GPL-2.0

//! `struct vm_operations_struct`: mappings of regular files.
//!
//! A page of a shared mapping is read-only until it is stored to: that is a fault, at which the blocks
//! of the page are allocated, by the task that stores. So who stores is told that there is no space
//! (`SIGBUS`), and writeback need not allocate.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::bindings;
use crate::fs::address_space::AddressSpaceOperations;
use crate::fs::inode::Inode;
use crate::fs::kiocb::KiocbOwner;
use crate::fs::shutdown::Shutdown;
use crate::fs::write_begin;
use core::marker::PhantomData;
use kernel::prelude::*;

/// The table for mappings of files whose pages have the operations `T`.
pub(super) struct Table<F, T>(PhantomData<(F, T)>);

impl<F: KiocbOwner + Shutdown, T: AddressSpaceOperations<F>> Table<F, T> {
    pub(super) const OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(bindings::filemap_fault),
        map_pages: Some(bindings::filemap_map_pages),
        page_mkwrite: Some(Self::page_mkwrite),
        ..pin_init::zeroed()
    };

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
            let ret = match Self::make_writable(inode, folio) {
                Ok(()) => bindings::vm_fault_reason_VM_FAULT_LOCKED,
                Err(error) => bindings::vmf_fs_error(error.to_errno()),
            };
            bindings::filemap_invalidate_unlock_shared(mapping);
            bindings::sb_end_pagefault(sb);
            ret
        }
    }

    /// Locks the folio, allocates its blocks inside i_size, and makes them dirty: all of it may become
    /// writable by one fault. `EFAULT` if it is not in the file any more; after an error it is not locked.
    ///
    /// # Safety
    ///
    /// `folio` must be referenced, uptodate, and one that is or was in the page cache of `inode`, and
    /// the caller hold `invalidate_lock`, shared.
    unsafe fn make_writable(inode: &Inode<F>, folio: *mut bindings::folio) -> Result {
        // SAFETY: By the requirement. The lock is given to the caller, or back.
        unsafe {
            let mapping = (*inode.as_raw()).i_mapping;
            bindings::folio_lock(folio);
            let size = inode.i_size_read() as i64;
            let inside = match (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping == mapping {
                true => size - bindings::folio_pos(folio),
                false => 0,
            };
            let allocated = match usize::try_from(inside) {
                // Truncated, or dropped.
                Err(_) | Ok(0) => Err(EFAULT),
                Ok(len) => Self::allocate(inode, folio, len.min(bindings::folio_size(folio))),
            };
            match allocated {
                Ok(()) => bindings::folio_wait_stable(folio),
                Err(_) => bindings::folio_unlock(folio),
            }
            allocated
        }
    }

    /// Allocates the blocks with the first `len` bytes of the folio, and makes them dirty.
    ///
    /// # Safety
    ///
    /// As for [`Table::make_writable`]; the folio is locked and in the page cache, and has so many bytes.
    unsafe fn allocate(inode: &Inode<F>, folio: *mut bindings::folio, len: usize) -> Result {
        // SAFETY: By the requirement.
        unsafe {
            if bindings::folio_buffers(folio).is_null() {
                bindings::create_empty_buffers(folio, 1 << inode.blkbits(), 0);
            }
            // Who finds a block that is allocated here, without the inode lock, must find that its page
            // is dirty, and so wait for the folio: a direct read, which would read stale data. The buffers
            // are not dirty yet: if there is no space, there is nothing to write.
            if !cfg!(mutant = "kfs-mkwrite-clean") {
                bindings::filemap_dirty_folio((*inode.as_raw()).i_mapping, folio);
            }
            write_begin::allocate(inode, folio, 0..len, |block, max| {
                T::get_block(inode, block, max, true)
            })?;
            bindings::block_commit_write(folio, 0, len);
        }
        Ok(())
    }
}
