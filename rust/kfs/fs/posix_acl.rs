// SPDX-License-Identifier: GPL-2.0

//! Access control lists in memory: `struct posix_acl`.
//!
//! C header: [`include/linux/posix_acl.h`](srctree/include/linux/posix_acl.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::init::InodeInit;
use crate::fs::inode::Inode;
use core::ptr::{self, NonNull};
use kernel::error::to_result;
use kernel::prelude::*;

/// Which list of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclType {
    /// The one that says who may do what.
    Access,
    /// Of a directory: the one that new files in it get.
    Default,
}

impl AclType {
    pub(crate) fn from_raw(acl_type: c_int) -> Option<Self> {
        match acl_type as u32 {
            bindings::ACL_TYPE_ACCESS => Some(AclType::Access),
            bindings::ACL_TYPE_DEFAULT => Some(AclType::Default),
            _ => None,
        }
    }

    fn to_raw(self) -> c_int {
        match self {
            AclType::Access => bindings::ACL_TYPE_ACCESS as c_int,
            AclType::Default => bindings::ACL_TYPE_DEFAULT as c_int,
        }
    }
}

/// An entry: a tag (`ACL_USER_OBJ` ...), permissions, and the user or group, as a number of the initial
/// user namespace, which only `ACL_USER` and `ACL_GROUP` have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// Whom it is about.
    pub tag: u16,
    /// What they may do.
    pub permissions: u16,
    /// Which user or group.
    pub id: Option<u32>,
}

/// A list that may be shared, and does not change any more.
///
/// # Invariants
///
/// The pointer is valid and owns a reference.
pub struct PosixAcl(NonNull<bindings::posix_acl>);

// SAFETY: A reference may be given back by any thread.
unsafe impl Send for PosixAcl {}
// SAFETY: What is shared is not changed.
unsafe impl Sync for PosixAcl {}

impl PosixAcl {
    /// A list of `count` entries, which `entries` has in order. `EINVAL` when it has not so many, or one
    /// has a tag that is none, or lacks its id; `ENOMEM`.
    pub fn new<E: From<Error>>(
        count: usize,
        entries: impl IntoIterator<Item = Result<AclEntry, E>>,
    ) -> Result<Self, E> {
        let number = c_uint::try_from(count).map_err(|_| EINVAL)?;
        // SAFETY: The function takes any number.
        let acl = unsafe { bindings::posix_acl_alloc(number, bindings::GFP_KERNEL) };
        // INVARIANT: It is ours.
        let acl = PosixAcl(NonNull::new(acl).ok_or(ENOMEM)?);
        let mut entries = entries.into_iter();
        for index in 0..count {
            let entry = entries.next().ok_or(EINVAL)??;
            let mut raw: bindings::posix_acl_entry = pin_init::zeroed();
            raw.e_tag = entry.tag as i16;
            raw.e_perm = entry.permissions;
            match (u32::from(entry.tag), entry.id) {
                (bindings::ACL_USER | bindings::ACL_GROUP, Some(id)) => {
                    // Both fields of the union are a number of the initial user namespace.
                    raw.__bindgen_anon_1.bindgen_union_field = id;
                }
                (
                    bindings::ACL_USER_OBJ
                    | bindings::ACL_GROUP_OBJ
                    | bindings::ACL_MASK
                    | bindings::ACL_OTHER,
                    None,
                ) => {}
                _ => return Err(EINVAL.into()),
            }
            // SAFETY: The list was made for so many entries, and nobody else has it yet.
            unsafe { acl.first_entry().add(index).write(raw) };
        }
        Ok(acl)
    }

    /// # Safety
    ///
    /// `acl` must be null, or a valid list with a reference that the caller gives away.
    pub(crate) unsafe fn from_owned(acl: *mut bindings::posix_acl) -> Option<Self> {
        // INVARIANT: By the requirement.
        NonNull::new(acl).map(PosixAcl)
    }

    /// Gives the reference away.
    pub(crate) fn into_raw(self) -> *mut bindings::posix_acl {
        let acl = self.as_raw();
        core::mem::forget(self);
        acl
    }

    /// The C list.
    pub(crate) fn as_raw(&self) -> *mut bindings::posix_acl {
        self.0.as_ptr()
    }

    fn first_entry(&self) -> *mut bindings::posix_acl_entry {
        // SAFETY: By the type invariant; entries follow the header.
        unsafe { (*self.as_raw()).a_entries.as_mut_ptr() }
    }

    /// The number of entries.
    pub fn count(&self) -> usize {
        // SAFETY: By the type invariant; it does not change.
        unsafe { (*self.as_raw()).__bindgen_anon_1.hdr.as_ref().a_count as usize }
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = AclEntry> + '_ {
        (0..self.count()).map(|index| {
            // SAFETY: By the type invariant; there are so many entries.
            let raw = unsafe { self.first_entry().add(index).read() };
            let tag = raw.e_tag as u16;
            AclEntry {
                tag,
                permissions: raw.e_perm,
                id: match u32::from(tag) {
                    bindings::ACL_USER | bindings::ACL_GROUP => {
                        Some(raw.__bindgen_anon_1.bindgen_union_field)
                    }
                    _ => None,
                },
            }
        })
    }
}

impl Drop for PosixAcl {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours, and this is its end.
        unsafe { bindings::posix_acl_release(self.as_raw()) };
    }
}

/// The lists that a new inode gets from its directory: see [`InodeInit::posix_acl_create`].
pub struct NewAcls {
    /// Its list of access, unless that says no more than its mode.
    pub access: Option<PosixAcl>,
    /// Of a directory: its default list.
    pub default: Option<PosixAcl>,
}

impl<F: FileSystemData> Inode<F> {
    /// Tells the VFS which list the inode has now, that was set.
    pub(crate) fn set_cached_acl(&self, acl_type: AclType, acl: *mut bindings::posix_acl) {
        // SAFETY: By the type invariant the inode is valid, and so is the list, to which the function
        // takes a reference.
        unsafe { bindings::set_cached_acl(self.as_raw(), acl_type.to_raw(), acl) };
    }
}

impl<F: FileSystemData> InodeInit<F> {
    /// The lists that the inode, which is new in `dir`, is to get. Its mode is changed by them, or by the
    /// umask if there are none. What is returned is known to the VFS, and has yet to be stored. May
    /// sleep.
    pub fn posix_acl_create(&self, dir: &Inode<F>) -> Result<NewAcls> {
        let (mut access, mut default) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: Both inodes are valid, and by the type invariant nobody else uses this one.
        to_result(unsafe {
            let mode = &raw mut (*self.as_raw()).i_mode;
            bindings::posix_acl_create(dir.as_raw(), mode, &mut default, &mut access)
        })?;
        self.set_cached_acl(AclType::Access, access);
        if self.is_dir() {
            self.set_cached_acl(AclType::Default, default);
        }
        // SAFETY: The function has given references to them away.
        Ok(unsafe {
            NewAcls {
                access: PosixAcl::from_owned(access),
                default: PosixAcl::from_owned(default),
            }
        })
    }
}
