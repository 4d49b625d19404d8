// SPDX-License-Identifier: GPL-2.0

//! `struct mnt_idmap`: owners of files, as a mount shows them.
//!
//! A mount may map the owners that inodes have to others (mount_setattr(2)). The VFS maps for what it does
//! itself; what a filesystem does with the owners of its callers, or shows them, goes through this.
//!
//! C header: [`include/linux/mnt_idmapping.h`](srctree/include/linux/mnt_idmapping.h)

use crate::bindings;
use core::ptr;
use kernel::types::Opaque;

/// The mapping of the mount that an operation came by.
///
/// # Invariants
///
/// A valid mapping, that lives as long as the reference to it.
#[repr(transparent)]
pub struct MntIdmap(Opaque<bindings::mnt_idmap>);

impl MntIdmap {
    /// # Safety
    ///
    /// `idmap` must be a valid mapping for the lifetime that the caller chooses.
    pub(crate) unsafe fn from_raw<'a>(idmap: *mut bindings::mnt_idmap) -> &'a Self {
        // INVARIANT: By the requirement.
        // SAFETY: By the requirement; the type is transparent.
        unsafe { &*idmap.cast() }
    }

    /// The C structure.
    pub(crate) fn as_raw(&self) -> *mut bindings::mnt_idmap {
        ptr::from_ref(self).cast_mut().cast()
    }
}
