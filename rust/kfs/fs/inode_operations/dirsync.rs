// SPDX-License-Identifier: GPL-2.0

//! Bringing names to the device at once (`dirsync`).

use super::InodeOperations;
use crate::bindings;
use crate::block::bdev::BlockDevice;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::Inode;
use kernel::prelude::*;

/// If one of the directories has to be in step with the device, brings `inodes`, which got a name in
/// one of them, and all of them there, with what is needed to find them.
pub(super) fn dirsync<F: FileSystemData, T: InodeOperations<F>>(
    inodes: &[&Inode<F>],
    dirs: &[&Inode<F>],
) -> Result {
    let Some(dir) = dirs.iter().find(|dir| dir.needs_sync()) else {
        return Ok(());
    };
    let mut result = Ok(());
    for inode in Iterator::chain(inodes.iter(), dirs) {
        result = result.and(T::sync(inode));
    }
    result.and_then(|()| BlockDevice::of(dir.sb()).issue_flush())
}

/// [`dirsync`] for names that are gone. The VFS takes them to be there still when it fails: it has
/// to ask again.
///
/// # Safety
///
/// The pointers must be directories and dentries of `F` that the VFS has given to an operation.
pub(super) unsafe fn dirsync_removed<F: FileSystemData, T: InodeOperations<F>>(
    dirs: &[*mut bindings::inode; 2],
    dentries: &[*mut bindings::dentry],
) -> Result {
    // SAFETY: By the requirement.
    let dirs = dirs.map(|dir| unsafe { Inode::<F>::from_raw(dir) });
    dirsync::<F, T>(&[], &dirs).inspect_err(|_| {
        for &dentry in dentries {
            // SAFETY: By the requirement.
            unsafe { bindings::d_drop(dentry) };
        }
    })
}
