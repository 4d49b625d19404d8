// SPDX-License-Identifier: GPL-2.0

//! Setting an access control list.
//!
//! C header: [`include/linux/posix_acl.h`](srctree/include/linux/posix_acl.h)

use super::InodeOperations;
use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::posix_acl::{AclType, PosixAcl};
use crate::sync::once::write_once;
use core::mem::ManuallyDrop;
use core::ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// A list that an inode is to get.
pub struct SetAcl<'a, F: FileSystemData> {
    inode: &'a InodeLocked<F, Exclusive>,
    acl: Option<ManuallyDrop<PosixAcl>>,
    acl_type: AclType,
    /// What the mode of the inode is with the list, if it follows that.
    mode: Option<bindings::umode_t>,
}

impl<'a, F: FileSystemData> SetAcl<'a, F> {
    /// The inode.
    pub fn inode(&self) -> &'a InodeLocked<F, Exclusive> {
        self.inode
    }

    /// The list, or `None` when the inode is to have none any more.
    pub fn acl(&self) -> Option<&PosixAcl> {
        self.acl.as_deref()
    }

    /// Which of the lists.
    pub fn acl_type(&self) -> AclType {
        self.acl_type
    }

    /// Has the list stored by `store`, and the mode of the inode follow it: the VFS is told of both then, and the inode is marked
    /// dirty. After an error all is as it was, and the inode is dirty, too: it may have been stored meanwhile.
    ///
    /// While `store` runs, the mode has the permissions that it had before and will have: what is stored of the inode beside the old
    /// list, or beside the new one, or without any, gives nobody more than either of them did.
    pub fn store(&self, store: impl FnOnce() -> Result) -> Result {
        let before = self.inode.mode();
        if let Some(mode) = self.mode.filter(|_| !cfg!(mutant = "kfs-mode-late")) {
            self.set_mode(before & mode);
        }
        if let Err(error) = store() {
            self.set_mode(before);
            if !cfg!(mutant = "kfs-mode-kept") {
                self.inode.mark_inode_dirty();
            }
            return Err(error);
        }
        let acl = self.acl().map_or(ptr::null_mut(), PosixAcl::as_raw);
        self.inode.set_cached_acl(self.acl_type, acl);
        if let Some(mode) = self.mode {
            self.set_mode(mode);
            self.inode.touch_ctime();
            self.inode.mark_inode_dirty();
        }
        Ok(())
    }

    fn set_mode(&self, mode: bindings::umode_t) {
        // SAFETY: The lock is held, by the type of the reference, and it is written once.
        unsafe { write_once(&raw mut (*self.inode.as_raw()).i_mode, mode) };
    }
}

/// Sets a list by `T`. One that says no more than the mode is not stored.
///
/// # Safety
///
/// The pointers must be those that the VFS gives to `set_acl` of an inode of `F`, whose lock is held.
pub(super) unsafe fn set_acl<F: FileSystemData, T: InodeOperations<F>>(
    idmap: *mut bindings::mnt_idmap,
    inode: *mut bindings::inode,
    mut acl: *mut bindings::posix_acl,
    acl_type: AclType,
) -> Result {
    // SAFETY: By the requirement.
    let locked = unsafe { InodeLocked::<F, Exclusive>::from_raw(inode) };
    let mut mode = locked.mode();
    if acl_type == AclType::Default && !locked.is_dir() {
        return match acl.is_null() {
            true => Ok(()),
            false => Err(EACCES),
        };
    }
    let update = acl_type == AclType::Access && !acl.is_null();
    if update {
        // SAFETY: By the requirement. The function may replace the list by none.
        to_result(unsafe { bindings::posix_acl_update_mode(idmap, inode, &mut mode, &mut acl) })?;
    }
    T::set_acl(&SetAcl {
        inode: locked,
        // SAFETY: By the requirement the list is valid, and its reference is the caller's, to whom it is
        // left.
        acl: unsafe { PosixAcl::from_owned(acl) }.map(ManuallyDrop::new),
        acl_type,
        mode: update.then_some(mode),
    })
}
