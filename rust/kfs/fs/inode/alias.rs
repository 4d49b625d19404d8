// SPDX-License-Identifier: GPL-2.0

//! Inodes by what the dentry cache knows of their names, and by their numbers.
//!
//! C header: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::reference::InodeRef;
use crate::fs::inode::Inode;
use crate::fs::super_block::SuperBlock;
use core::ptr::NonNull;

impl<F: FileSystemData> Inode<F> {
    /// A directory that has a name of the inode, by one of its dentries: of several names, any.
    /// `None` when there is no dentry, or none with a name, as of the root. May sleep.
    pub fn any_parent(&self) -> Option<InodeRef<'_, F>> {
        // SAFETY: By the type invariant the inode is valid.
        let dentry = unsafe { bindings::d_find_any_alias(self.as_raw()) };
        if dentry.is_null() {
            return None;
        }
        // SAFETY: The dentry is ours until it is put. That of its parent has an inode, which is of
        // the same super block, and which it holds; the reference to it that is taken passes to
        // the result.
        unsafe {
            let parent = bindings::dget_parent(dentry);
            let inode = (*parent).d_inode;
            bindings::ihold(inode);
            bindings::dput(parent);
            bindings::dput(dentry);
            let inode = InodeRef::from_raw(NonNull::new_unchecked(inode));
            (!inode.is(self)).then_some(inode)
        }
    }
}

impl<F: FileSystemData> SuperBlock<F> {
    /// The inode `ino`, if it is in the inode cache. May sleep, also for another task that reads,
    /// makes or evicts the inode.
    pub fn ilookup(&self, ino: u64) -> Option<InodeRef<'_, F>> {
        // SAFETY: By the type invariant the super block is mounted.
        let inode = NonNull::new(unsafe { bindings::ilookup(self.as_raw(), ino) })?;
        // SAFETY: The inode is complete, and of the super block; the reference passes to the result.
        Some(unsafe { InodeRef::from_raw(inode) })
    }
}
