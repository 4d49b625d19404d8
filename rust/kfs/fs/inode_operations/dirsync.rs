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
pub(super) fn dirsync<F: FileSystemData, T: InodeOperations<F>, const N: usize>(
    inodes: [&Inode<F>; N],
    dirs: &[&Inode<F>],
) -> Result {
    let Some(dir) = dirs.iter().find(|dir| dir.needs_sync()) else {
        return Ok(());
    };
    let synced = inodes.map(T::sync);
    let mut result = synced.iter().try_for_each(|synced| synced.map(drop));
    for dir in dirs {
        result = result.and(T::sync(dir).map(drop));
    }
    result.and_then(|()| BlockDevice::of(dir.sb()).issue_flush())?;
    for (inode, mark) in inodes.into_iter().zip(synced.into_iter().flatten()) {
        T::flushed(inode, mark);
    }
    Ok(())
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
    dirsync::<F, T, 0>([], &dirs).inspect_err(|_| {
        for &dentry in dentries {
            // SAFETY: By the requirement.
            unsafe { bindings::d_drop(dentry) };
        }
    })
}
