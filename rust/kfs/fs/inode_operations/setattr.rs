// SPDX-License-Identifier: GPL-2.0

//! Changing the attributes of an inode.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use kernel::error::to_result;
use kernel::prelude::*;

/// The change that `chmod(2)`, `chown(2)`, `truncate(2)` and `utimensat(2)` ask for.
pub struct SetAttr<'a, F: FileSystemData> {
    pub(super) inode: &'a InodeLocked<F, Exclusive>,
    pub(super) idmap: *mut bindings::mnt_idmap,
    pub(super) dentry: *mut bindings::dentry,
    pub(super) attr: &'a mut bindings::iattr,
}

impl<'a, F: FileSystemData> SetAttr<'a, F> {
    /// The inode to be changed.
    pub fn inode(&self) -> &'a InodeLocked<F, Exclusive> {
        self.inode
    }

    /// Checks whether the caller may make the change.
    pub fn prepare(&mut self) -> Result {
        // SAFETY: The pointers come from the VFS and are valid during the call.
        to_result(unsafe { bindings::setattr_prepare(self.idmap, self.dentry, self.attr) })
    }

    /// The new size of the file in bytes, when that is to change.
    pub fn size(&self) -> Option<u64> {
        let size = self.attr.ia_size as u64;
        let asked = self.attr.ia_valid & bindings::ATTR_SIZE != 0;
        (asked && size != self.inode.i_size_read()).then_some(size)
    }

    /// Has the access control list follow the mode, if that has been changed, after [`SetAttr::copy`].
    /// May sleep.
    pub fn posix_acl_chmod(&mut self) -> Result {
        if self.attr.ia_valid & bindings::ATTR_MODE == 0 {
            return Ok(());
        }
        // SAFETY: The lock is held, and the pointers are valid during the call.
        to_result(unsafe { bindings::posix_acl_chmod(self.idmap, self.dentry, self.inode.mode()) })
    }

    /// Copies everything but the size to the inode. The inode is not marked dirty.
    pub fn copy(&mut self) {
        // SAFETY: The lock is held, and the pointers are valid during the call.
        unsafe { bindings::setattr_copy(self.idmap, self.inode.as_ptr(), self.attr) };
    }
}
