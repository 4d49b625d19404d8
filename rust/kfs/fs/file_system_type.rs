// SPDX-License-Identifier: GPL-2.0

//! What belongs to a registered `struct file_system_type`.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::kobject::Kobject;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::types::Opaque;

/// The slab cache of the inodes of a filesystem type.
///
/// # Invariants
///
/// The pointer is a slab cache that nobody else destroys.
pub(crate) struct InodeCache(NonNull<bindings::kmem_cache>);

// SAFETY: A slab cache may be used and destroyed by any thread.
unsafe impl Send for InodeCache {}
// SAFETY: The functions of the cache lock for themselves.
unsafe impl Sync for InodeCache {}

impl InodeCache {
    /// # Safety
    ///
    /// `cache` must be null or a slab cache that the caller gives away. When the value is dropped,
    /// nobody may allocate from the cache any more, and all its objects must have been freed, or be
    /// freed by RCU callbacks that have been queued.
    pub(crate) unsafe fn from_owned(cache: *mut bindings::kmem_cache) -> Option<Self> {
        // INVARIANT: By the requirement.
        NonNull::new(cache).map(Self)
    }

    /// The C slab cache.
    pub(crate) fn as_ptr(&self) -> *mut bindings::kmem_cache {
        self.0.as_ptr()
    }
}

impl Drop for InodeCache {
    fn drop(&mut self) {
        // SAFETY: By the contract of `from_owned` what is still in use is freed by RCU callbacks,
        // which `rcu_barrier` waits for; by the type invariant the cache is ours to destroy.
        unsafe {
            bindings::rcu_barrier();
            bindings::kmem_cache_destroy(self.as_ptr());
        }
    }
}

/// A `struct file_system_type`, and what its super blocks find with it.
#[pin_data]
pub(crate) struct FileSystemType<F: FileSystemData> {
    #[pin]
    pub(super) fs_type: Opaque<bindings::file_system_type>,
    pub(super) inode_cache: InodeCache,
    pub(super) sysfs: Kobject,
    pub(super) data: F::TypeData,
}

impl<F: FileSystemData> FileSystemType<F> {
    /// The type of a super block.
    ///
    /// # Safety
    ///
    /// `sb` must point to a super block that is valid for `'a` and whose type was registered by a
    /// [`Registration`](crate::fs::registration::Registration) of `F`.
    #[inline]
    pub(crate) unsafe fn of<'a>(sb: *mut bindings::super_block) -> &'a Self {
        // SAFETY: By the requirement, `s_type` is the field `fs_type` of such a value, which
        // outlives its super blocks because each of them holds a reference to the module.
        unsafe { &*kernel::container_of!(Opaque::cast_from((*sb).s_type), Self, fs_type) }
    }

    /// The slab cache of the inodes.
    pub(crate) fn inode_cache(&self) -> *mut bindings::kmem_cache {
        self.inode_cache.as_ptr()
    }

    /// The data of the type.
    #[inline]
    pub(crate) fn data(&self) -> &F::TypeData {
        &self.data
    }

    /// The directory of the type in sysfs.
    pub(crate) fn sysfs(&self) -> *mut bindings::kobject {
        self.sysfs.as_ptr()
    }
}
