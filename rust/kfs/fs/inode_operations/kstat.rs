// SPDX-License-Identifier: GPL-2.0

//! The attributes of an inode, as the user sees them.
//!
//! C header: [`include/linux/stat.h`](srctree/include/linux/stat.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::Inode;
use crate::time::Timespec;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::ffi::c_long;

/// `statx(2)`: the file can only be appended to.
pub const STATX_ATTR_APPEND: u64 = bindings::STATX_ATTR_APPEND as u64;
/// `statx(2)`: the file cannot be changed.
pub const STATX_ATTR_IMMUTABLE: u64 = bindings::STATX_ATTR_IMMUTABLE as u64;
/// `statx(2)`: the file is not for backups.
pub const STATX_ATTR_NODUMP: u64 = bindings::STATX_ATTR_NODUMP as u64;
/// `statx(2)`: the file is to be compressed.
pub const STATX_ATTR_COMPRESSED: u64 = bindings::STATX_ATTR_COMPRESSED as u64;

/// The answer to `statx(2)`.
///
/// # Invariants
///
/// The pointer is valid during `'a`, and nobody else uses what it points to.
pub struct Kstat<'a> {
    stat: NonNull<bindings::kstat>,
    request_mask: u32,
    _p: PhantomData<&'a ()>,
}

impl Kstat<'_> {
    /// # Safety
    ///
    /// `stat` must satisfy the type invariants for as long as the value lives.
    pub(super) unsafe fn from_raw(stat: NonNull<bindings::kstat>, request_mask: u32) -> Self {
        // INVARIANT: By the requirement.
        Kstat {
            stat,
            request_mask,
            _p: PhantomData,
        }
    }

    /// Whether the caller wants to know how to align direct I/O.
    pub fn wants_dioalign(&self) -> bool {
        self.request_mask & (bindings::STATX_DIOALIGN | bindings::STATX_DIO_READ_ALIGN) != 0
    }

    /// Sets the alignment that direct I/O needs, in bytes: of memory, and of offset and length,
    /// which are the same for reads and writes.
    pub fn set_dioalign(&mut self, memory: u32, offset: u32) {
        let stat = self.stat.as_ptr();
        // SAFETY: By the type invariants.
        unsafe {
            (*stat).result_mask |= bindings::STATX_DIOALIGN | bindings::STATX_DIO_READ_ALIGN;
            (*stat).dio_mem_align = memory;
            (*stat).dio_offset_align = offset;
            (*stat).dio_read_offset_align = offset;
        }
    }

    /// Whether the caller wants to know whether the inode changes: knfsd does.
    pub fn wants_change_cookie(&self) -> bool {
        self.request_mask & bindings::STATX_CHANGE_COOKIE != 0
    }

    /// Sets what is another number when the inode has changed.
    pub fn set_change_cookie<F: FileSystemData>(&mut self, inode: &Inode<F>) {
        let stat = self.stat.as_ptr();
        // SAFETY: By the type invariants.
        unsafe {
            (*stat).result_mask |= bindings::STATX_CHANGE_COOKIE;
            (*stat).change_cookie = inode.query_iversion();
        }
    }

    /// Sets the time of birth.
    pub fn set_btime(&mut self, time: Timespec) {
        let stat = self.stat.as_ptr();
        // SAFETY: By the type invariants.
        unsafe {
            (*stat).result_mask |= bindings::STATX_BTIME;
            (*stat).btime.tv_sec = time.seconds;
            (*stat).btime.tv_nsec = time.nanoseconds as c_long;
        }
    }

    /// Sets `attributes` (`STATX_ATTR_*`), and which attributes this filesystem knows at all.
    pub fn set_attributes(&mut self, attributes: u64, mask: u64) {
        let stat = self.stat.as_ptr();
        // SAFETY: By the type invariants.
        unsafe {
            (*stat).attributes |= attributes;
            (*stat).attributes_mask |= mask;
        }
    }
}
