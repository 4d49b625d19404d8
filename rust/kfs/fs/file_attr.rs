// SPDX-License-Identifier: GPL-2.0

//! Flags of files, as lsattr(1) and chattr(1) have them: `struct file_kattr`.
//!
//! C header: [`include/linux/fileattr.h`](srctree/include/linux/fileattr.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::init::InodeFlags;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// The flags of a file that are asked for, or are to be set.
///
/// # Invariants
///
/// The pointer is valid during `'a`, and nobody else uses what it points to.
pub struct FileAttr<'a>(NonNull<bindings::file_kattr>, PhantomData<&'a ()>);

impl<'a> FileAttr<'a> {
    /// # Safety
    ///
    /// `attr` must be valid for `'a`, and used by nobody else.
    pub(crate) unsafe fn from_raw(attr: *mut kernel::bindings::file_kattr) -> Self {
        // INVARIANT: By the requirement.
        // SAFETY: What is valid is not null.
        FileAttr(unsafe { NonNull::new_unchecked(attr.cast()) }, PhantomData)
    }

    /// Sets the flags (`FS_*_FL`) of a file, as the answer.
    pub fn fill_flags(&mut self, flags: u32) {
        // SAFETY: By the type invariants.
        unsafe { bindings::fileattr_fill_flags(self.0.as_ptr(), flags) };
    }

    /// The flags that are to be set.
    pub fn flags(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { (*self.0.as_ptr()).flags }
    }

    /// Whether there is more to set than these flags: a project, sizes of extents, flags of XFS.
    pub fn has_fsx(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::fileattr_has_fsx(self.0.as_ptr()) }
    }
}

impl<F: FileSystemData> InodeLocked<F, Exclusive> {
    /// Sets the attributes that the VFS honours, and clears those that are not set.
    pub fn set_inode_flags(&self, flags: InodeFlags) {
        // SAFETY: The inode is valid, and its lock is held; other flags stay as they are.
        unsafe { bindings::inode_set_flags(self.as_raw(), flags.bits(), InodeFlags::ALL.bits()) };
    }
}
