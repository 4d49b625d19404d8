// SPDX-License-Identifier: GPL-2.0

//! The filesystem type, and what the generic types of `kfs` are of it.
//!
//! The type itself is empty. What it can do is in the implementations of the traits that `kfs` and
//! the floors ask for, and these are in [`crate::vfs`]; here is only what every floor may name.

/// The filesystem type.
pub(crate) struct RetryFs;

/// An inode of retryfs.
pub(crate) type Inode = kfs::fs::inode::Inode<RetryFs>;

/// A reference to an inode of retryfs.
pub(crate) type InodeRef<'sb> = kfs::fs::inode::reference::InodeRef<'sb, RetryFs>;

/// A new inode of retryfs without a name.
pub(crate) type CreatedInode<'sb> = kfs::fs::inode::new::CreatedInode<'sb, RetryFs>;

/// A mounted retryfs.
pub(crate) type SuperBlock = kfs::fs::super_block::SuperBlock<RetryFs>;

/// A super block of retryfs that is being filled.
pub(crate) type NewSuperBlock<'a> = kfs::fs::super_block::NewSuperBlock<'a, RetryFs>;

/// An inode of retryfs whose lock is held in mode `M`.
pub(crate) type InodeLocked<M> = kfs::fs::inode::lock::InodeLocked<RetryFs, M>;

/// Holds the lock of an inode of retryfs in mode `M`.
pub(crate) type InodeGuard<'a, M> = kfs::fs::inode::lock::InodeGuard<'a, RetryFs, M>;
