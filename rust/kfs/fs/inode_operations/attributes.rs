// SPDX-License-Identifier: GPL-2.0

//! What the VFS calls for extended attributes, access control lists and flags.

use super::set_acl::set_acl;
use super::InodeOperations;
use crate::bindings;
use crate::fs::file_attr::FileAttr;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::Inode;
use crate::fs::posix_acl::AclType;
use crate::fs::xattr::XattrBuffer;
use core::ptr;
use kernel::prelude::*;

/// # Safety
///
/// Called by the VFS with a dentry that has an inode, and a buffer of that size or none.
pub(super) unsafe extern "C" fn listxattr<F: FileSystemData, T: InodeOperations<F>>(
    dentry: *mut bindings::dentry,
    buffer: *mut c_char,
    size: usize,
) -> isize {
    // SAFETY: By the requirement.
    let (inode, mut names) = unsafe {
        (
            Inode::<F>::from_raw((*dentry).d_inode),
            XattrBuffer::from_raw(buffer.cast(), size),
        )
    };
    let result = T::listxattr(inode, &mut names);
    match names.ret(result) {
        Ok(len) => len as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// # Safety
///
/// Called by the VFS for an inode of `F`, perhaps in an RCU read-side section.
pub(super) unsafe extern "C" fn get_inode_acl<F: FileSystemData, T: InodeOperations<F>>(
    inode: *mut bindings::inode,
    acl_type: c_int,
    rcu: bool,
) -> *mut kernel::bindings::posix_acl {
    if rcu {
        return ECHILD.to_ptr();
    }
    let Some(acl_type) = AclType::from_raw(acl_type) else {
        return EINVAL.to_ptr();
    };
    // SAFETY: By the requirement.
    match T::get_inode_acl(unsafe { Inode::<F>::from_raw(inode) }, acl_type) {
        Ok(acl) => acl.map_or(ptr::null_mut(), |acl| acl.into_raw().cast()),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// Called by the VFS with the lock of the inode held, and a valid list or none.
pub(super) unsafe extern "C" fn set_inode_acl<F: FileSystemData, T: InodeOperations<F>>(
    idmap: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    acl: *mut kernel::bindings::posix_acl,
    acl_type: c_int,
) -> c_int {
    let Some(acl_type) = AclType::from_raw(acl_type) else {
        return EINVAL.to_errno();
    };
    // SAFETY: By the requirement.
    errno(unsafe { set_acl::<F, T>(idmap, (*dentry).d_inode, acl.cast(), acl_type) })
}

/// # Safety
///
/// Called by the VFS with a dentry that has an inode.
pub(super) unsafe extern "C" fn fileattr_get<F: FileSystemData, T: InodeOperations<F>>(
    dentry: *mut bindings::dentry,
    attr: *mut kernel::bindings::file_kattr,
) -> c_int {
    // SAFETY: By the requirement; `attr` is used by nobody else.
    errno(unsafe {
        T::fileattr_get(
            Inode::<F>::from_raw((*dentry).d_inode),
            &mut FileAttr::from_raw(attr),
        )
    })
}

/// # Safety
///
/// Called by the VFS with the lock of the inode held.
pub(super) unsafe extern "C" fn fileattr_set<F: FileSystemData, T: InodeOperations<F>>(
    _idmap: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    attr: *mut kernel::bindings::file_kattr,
) -> c_int {
    // SAFETY: By the requirement; `attr` is used by nobody else.
    errno(unsafe {
        T::fileattr_set(
            InodeLocked::<F, Exclusive>::from_raw((*dentry).d_inode),
            &FileAttr::from_raw(attr),
        )
    })
}

/// The result of an operation for C.
pub(super) fn errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
