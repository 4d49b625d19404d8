// SPDX-License-Identifier: GPL-2.0

//! What a filesystem keeps with the kernel's objects.
//!
//! [`Inode`](crate::fs::inode::Inode), [`SuperBlock`](crate::fs::super_block::SuperBlock) and what
//! is made of them are generic over [`FileSystemData`], and not over
//! [`FileSystem`](crate::fs::file_system::FileSystem), whose methods take them: so the files that
//! define them need not know the one that defines the operations.

use crate::types::DropInAtomic;

/// A filesystem type, as far as its data in memory goes.
pub trait FileSystemData: Sized + Send + Sync + 'static {
    /// The data of the type, which all its mounts share.
    type TypeData: Send + Sync;

    /// The data of a mount, in `sb->s_fs_info`.
    type SuperData: Send + Sync;

    /// The data of an inode beside what the VFS keeps. It is dropped in an RCU callback, that is
    /// in softirq context.
    type InodeData: Send + Sync + DropInAtomic;

    /// Called when something has changed that an fsync of an inode writes, but its times, and the inode
    /// has been marked dirty for that. Does not sleep.
    fn inode_changed(_data: &Self::InodeData) {}
}
