// SPDX-License-Identifier: GPL-2.0

//! References to inodes.
//!
//! The VFS hands inodes to a filesystem in calls during which their count may be zero: writeback
//! only pins what it writes, and eviction comes after the last reference. So `&Inode` is no evidence
//! of a reference, and [`Inode`] is not `AlwaysRefCounted`: there is no way from `&Inode` to
//! an [`InodeRef`].
//!
//! No inode may outlive its mount. The lifetime of a reference is that of a borrow of the super
//! block, so that a reference can be returned to the VFS, but not be kept in the data of the mount
//! or in a static.

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::Inode;
use crate::fs::super_block::SuperBlock;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;

/// A reference to an inode that is complete, of a mount that is borrowed for `'sb`.
///
/// Dropping it may evict the inode, which may sleep.
///
/// # Invariants
///
/// The pointer is a valid inode, an `Inode<F>`, and the value owns a reference to it. Its super
/// block is not unmounted during `'sb`.
pub struct InodeRef<'sb, F: FileSystemData> {
    inode: NonNull<bindings::inode>,
    _sb: PhantomData<&'sb SuperBlock<F>>,
}

impl<'sb, F: FileSystemData> InodeRef<'sb, F> {
    /// # Safety
    ///
    /// `inode` must be an inode of `F` that is complete, and its super block be valid for `'sb`. The
    /// caller gives up a reference to it.
    #[inline]
    pub(super) unsafe fn from_raw(inode: NonNull<bindings::inode>) -> Self {
        // INVARIANT: By the requirements.
        InodeRef {
            inode,
            _sb: PhantomData,
        }
    }

    /// Passes the reference on to C.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut bindings::inode {
        ManuallyDrop::new(self).inode.as_ptr()
    }
}

impl<F: FileSystemData> Deref for InodeRef<'_, F> {
    type Target = Inode<F>;

    #[inline]
    fn deref(&self) -> &Inode<F> {
        // SAFETY: By the type invariants; the reference is kept while `self` is borrowed.
        unsafe { Inode::from_raw(self.inode.as_ptr()) }
    }
}

impl<F: FileSystemData> Drop for InodeRef<'_, F> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants the value owns a reference, which it gives up.
        unsafe { bindings::iput(self.inode.as_ptr()) };
    }
}
