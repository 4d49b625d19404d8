// SPDX-License-Identifier: GPL-2.0

//! `lseek(2)` to data and holes.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{InodeLocked, Shared};
use crate::fs::inode::Inode;
use kernel::prelude::*;

/// Where the data and the holes of a file are. Without these, all of it is data.
#[vtable]
pub trait Seek<F: FileSystemData> {
    /// The first byte from `pos` on, which is inside i_size, that is data; i_size if there is none.
    fn seek_data(_inode: &InodeLocked<F, Shared>, _pos: u64) -> Result<u64> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The first byte from `pos` on, which is inside i_size, that is a hole; i_size if there is none.
    fn seek_hole(_inode: &InodeLocked<F, Shared>, _pos: u64) -> Result<u64> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// Called by the VFS as `llseek` of a file of `F`.
pub(super) unsafe extern "C" fn llseek<F: FileSystemData, T: Seek<F>>(
    file: *mut bindings::file,
    offset: bindings::loff_t,
    whence: c_int,
) -> bindings::loff_t {
    let find = match whence as u32 {
        bindings::SEEK_DATA if T::HAS_SEEK_DATA => T::seek_data,
        bindings::SEEK_HOLE if T::HAS_SEEK_HOLE => T::seek_hole,
        // SAFETY: By the requirement.
        _ => return unsafe { bindings::generic_file_llseek(file, offset, whence) },
    };
    // SAFETY: By the requirement the file is open during the call, and so has its inode.
    let inode = unsafe { Inode::<F>::from_raw((*file).f_inode) };
    let locked = inode.lock_shared();
    let size = locked.i_size_read();
    let found = match u64::try_from(offset) {
        Ok(pos) if pos < size => find(&locked, pos),
        _ => Err(ENXIO),
    };
    match found {
        Ok(pos) if pos >= size && whence as u32 == bindings::SEEK_DATA => ENXIO.to_errno().into(),
        // SAFETY: By the requirement. The position is inside what a file may have.
        Ok(pos) => unsafe {
            bindings::vfs_setpos(file, pos as i64, (*(*inode.as_raw()).i_sb).s_maxbytes)
        },
        Err(error) => error.to_errno().into(),
    }
}
