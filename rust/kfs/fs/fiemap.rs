// SPDX-License-Identifier: GPL-2.0

//! `FS_IOC_FIEMAP`: where a file is on the device.
//!
//! C header: [`include/linux/fiemap.h`](srctree/include/linux/fiemap.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::Inode;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;

/// A part of a file that is in one piece on the device. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file it begins.
    pub logical: u64,
    /// Where on the device it begins.
    pub physical: u64,
    /// Its length.
    pub len: u64,
}

/// The answer to `FS_IOC_FIEMAP`, in the memory of the caller.
///
/// # Invariants
///
/// The pointer is what the VFS calls `fiemap` with, valid during `'a`, and nobody else uses what it
/// points to.
pub struct FiemapExtentInfo<'a> {
    info: NonNull<bindings::fiemap_extent_info>,
    start: u64,
    len: u64,
    _p: PhantomData<&'a ()>,
}

impl FiemapExtentInfo<'_> {
    /// # Safety
    ///
    /// `info` must satisfy the type invariants for as long as the value lives.
    pub(super) unsafe fn from_raw(
        info: *mut bindings::fiemap_extent_info,
        start: u64,
        len: u64,
    ) -> Self {
        // INVARIANT: By the requirement.
        FiemapExtentInfo {
            // SAFETY: What is valid is not null.
            info: unsafe { NonNull::new_unchecked(info) },
            start,
            len,
            _p: PhantomData,
        }
    }

    /// Checks what is asked for, and writes dirty pages back if that is (`FIEMAP_FLAG_SYNC`). Returns
    /// the range of the file that is asked for, in bytes. May sleep.
    ///
    /// `EBADR` for a flag that this does not know.
    pub fn prep<F: FileSystemData>(&mut self, inode: &Inode<F>) -> Result<Range<u64>> {
        let info = self.info.as_ptr();
        // SAFETY: By the invariants of both types inode and request are valid.
        to_result(unsafe {
            bindings::fiemap_prep(inode.as_raw(), info, self.start, &mut self.len, 0)
        })?;
        Ok(self.start..self.start.saturating_add(self.len))
    }

    /// Adds an extent. Returns false if there is no room for another one. May sleep.
    ///
    /// `EFAULT` if the memory of the caller is not there.
    pub fn fill_next(&mut self, extent: &Extent, is_last: bool) -> Result<bool> {
        // The runs of a block map have no other ends than those that merging them gives.
        let mut flags = bindings::FIEMAP_EXTENT_MERGED;
        if is_last {
            flags |= bindings::FIEMAP_EXTENT_LAST;
        }
        // SAFETY: By the type invariants.
        let ret = unsafe {
            bindings::fiemap_fill_next_extent(
                self.info.as_ptr(),
                extent.logical,
                extent.physical,
                extent.len,
                flags,
            )
        };
        match ret {
            0 => Ok(true),
            ret if ret > 0 => Ok(false),
            ret => Err(Error::from_errno(ret)),
        }
    }
}
