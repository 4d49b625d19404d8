// SPDX-License-Identifier: GPL-2.0

//! What belongs to a registered `struct file_system_type`.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::kobject::Kobject;
use core::ptr::{self, NonNull};
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
    pub(crate) fn as_raw(&self) -> *mut bindings::kmem_cache {
        self.0.as_ptr()
    }
}

impl Drop for InodeCache {
    fn drop(&mut self) {
        // SAFETY: By the contract of `from_owned` what is still in use is freed by RCU callbacks,
        // which `rcu_barrier` waits for; by the type invariant the cache is ours to destroy.
        unsafe {
            bindings::rcu_barrier();
            bindings::kmem_cache_destroy(self.as_raw());
        }
    }
}

/// A `struct file_system_type`, with the keys in it by which lockdep knows the locks of its super blocks
/// and inodes: for those, it has to be in static memory, or they have to be registered.
///
/// # Invariants
///
/// The keys are registered while the value exists.
#[pin_data(PinnedDrop)]
#[repr(transparent)]
pub(crate) struct LockKeyed {
    #[pin]
    fs_type: Opaque<bindings::file_system_type>,
}

impl LockKeyed {
    /// A type of which only the keys are set. Not for static memory.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            fs_type <- Opaque::ffi_init(|slot: *mut bindings::file_system_type| {
                // SAFETY: `slot` is valid for writes; all zeroes is a valid value of the type. The keys
                // are at a place of their own until the destructor runs.
                unsafe {
                    ptr::write_bytes(slot, 0, 1);
                    Self::for_each_key(slot, |key| bindings::lockdep_register_key(key));
                }
            }),
        })
    }

    /// # Safety
    ///
    /// `fs_type` must be valid.
    unsafe fn for_each_key(
        fs_type: *mut bindings::file_system_type,
        f: impl Fn(*mut bindings::lock_class_key),
    ) {
        // SAFETY: By the requirement; the fields are projected, not used.
        unsafe {
            f(&raw mut (*fs_type).s_lock_key);
            f(&raw mut (*fs_type).s_umount_key);
            f(&raw mut (*fs_type).s_vfs_rename_key);
            for level in 0..(*fs_type).s_writers_key.len() {
                f(&raw mut (*fs_type).s_writers_key[level]);
            }
            f(&raw mut (*fs_type).i_lock_key);
            f(&raw mut (*fs_type).i_mutex_key);
            f(&raw mut (*fs_type).invalidate_lock_key);
            f(&raw mut (*fs_type).i_mutex_dir_key);
        }
    }

    /// The C type.
    pub(crate) fn as_raw(&self) -> *mut bindings::file_system_type {
        self.fs_type.get()
    }
}

#[pinned_drop]
impl PinnedDrop for LockKeyed {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant they are registered. Nobody uses a lock that they are for.
        unsafe { Self::for_each_key(self.as_raw(), |key| bindings::lockdep_unregister_key(key)) };
    }
}

/// A `struct file_system_type`, and what its super blocks find with it.
#[pin_data]
pub(crate) struct FileSystemType<F: FileSystemData> {
    pub(super) inode_cache: InodeCache,
    pub(super) sysfs: Kobject,
    pub(super) data: F::TypeData,
    // The last that is dropped: the inodes have its locks.
    #[pin]
    pub(super) fs_type: LockKeyed,
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
        // outlives its super blocks because each of them holds a reference to the module, whose exit
        // drops it (see `Registration::new`).
        unsafe {
            let fs_type = (*sb).s_type.cast::<LockKeyed>().cast_const();
            &*kernel::container_of!(fs_type, Self, fs_type)
        }
    }

    /// The slab cache of the inodes.
    pub(crate) fn inode_cache(&self) -> *mut bindings::kmem_cache {
        self.inode_cache.as_raw()
    }

    /// The data of the type.
    #[inline]
    pub(crate) fn data(&self) -> &F::TypeData {
        &self.data
    }

    /// The directory of the type in sysfs.
    pub(crate) fn sysfs(&self) -> *mut bindings::kobject {
        self.sysfs.as_raw()
    }
}
