// SPDX-License-Identifier: GPL-2.0

//! Changing the attributes of an inode.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;

/// The change that `chmod(2)`, `chown(2)`, `truncate(2)` and `utimensat(2)` ask for.
///
/// # Invariants
///
/// The pointers are what the VFS calls `setattr` with, for the inode, and valid during `'a`. Nobody else
/// uses `attr`.
pub struct SetAttr<'a, F: FileSystemData> {
    inode: &'a InodeLocked<F, Exclusive>,
    idmap: NonNull<bindings::mnt_idmap>,
    dentry: NonNull<bindings::dentry>,
    attr: NonNull<bindings::iattr>,
}

impl<'a, F: FileSystemData> SetAttr<'a, F> {
    /// # Safety
    ///
    /// The pointers must be what the VFS calls `setattr` of an inode of `F` with, which is to last for
    /// `'a`.
    pub(super) unsafe fn from_raw(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut bindings::iattr,
    ) -> Self {
        // INVARIANT: By the requirement.
        // SAFETY: By the requirement the pointers are valid, the dentry has an inode, and the lock of
        // that is held.
        unsafe {
            SetAttr {
                inode: InodeLocked::from_raw((*dentry).d_inode),
                idmap: NonNull::new_unchecked(idmap),
                dentry: NonNull::new_unchecked(dentry),
                attr: NonNull::new_unchecked(attr),
            }
        }
    }

    fn ia_valid(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { (*self.attr.as_ptr()).ia_valid }
    }

    /// The inode to be changed.
    pub fn inode(&self) -> &'a InodeLocked<F, Exclusive> {
        self.inode
    }

    /// Checks whether the caller may make the change.
    pub fn prepare(&mut self) -> Result {
        let (idmap, dentry) = (self.idmap.as_ptr(), self.dentry.as_ptr());
        // SAFETY: By the type invariants.
        to_result(unsafe { bindings::setattr_prepare(idmap, dentry, self.attr.as_ptr()) })
    }

    /// The new size of the file in bytes, if one was asked for. It may be the size that the file has.
    pub fn size(&self) -> Option<u64> {
        // SAFETY: By the type invariants.
        let size = unsafe { (*self.attr.as_ptr()).ia_size } as u64;
        let asked = self.ia_valid() & bindings::ATTR_SIZE != 0;
        asked.then_some(size)
    }

    /// Has the access control list follow the mode, if that has been changed, after [`SetAttr::copy`].
    /// May sleep.
    pub fn posix_acl_chmod(&mut self) -> Result {
        if self.ia_valid() & bindings::ATTR_MODE == 0 {
            return Ok(());
        }
        let (idmap, dentry) = (self.idmap.as_ptr(), self.dentry.as_ptr());
        // SAFETY: By the type invariants, and the lock is held.
        to_result(unsafe { bindings::posix_acl_chmod(idmap, dentry, self.inode.mode()) })
    }

    /// Copies everything but the size to the inode. The inode is not marked dirty.
    pub fn copy(&mut self) {
        let (idmap, attr) = (self.idmap.as_ptr(), self.attr.as_ptr());
        // SAFETY: By the type invariants, and the lock is held.
        unsafe { bindings::setattr_copy(idmap, self.inode.as_raw(), attr) };
        self.inode.inc_iversion();
    }
}
