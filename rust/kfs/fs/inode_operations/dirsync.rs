// SPDX-License-Identifier: GPL-2.0

//! Bringing directories to the device at once (`dirsync`).

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::Inode;
use kernel::prelude::*;

/// Writes those of the directories that have to be in step with the device, and `inode`, which got
/// a name in one of them, before.
pub(super) fn dirsync<F: FileSystemData>(inode: Option<&Inode<F>>, dirs: &[&Inode<F>]) -> Result {
    let mut result = Ok(());
    for dir in dirs.iter().filter(|dir| dir.needs_sync()) {
        if let Some(inode) = inode {
            result = result.and(inode.sync_metadata());
        }
        result = result.and(dir.sync_metadata());
    }
    result
}

/// [`dirsync`] for names that are gone. The VFS takes them to be there still when it fails: it has
/// to ask again.
///
/// # Safety
///
/// The pointers must be directories and dentries of `F` that the VFS has given to an operation.
pub(super) unsafe fn dirsync_removed<F: FileSystemData>(
    dirs: &[*mut bindings::inode],
    dentries: &[*mut bindings::dentry],
) -> Result {
    let mut result = Ok(());
    for &dir in dirs {
        // SAFETY: By the requirement.
        result = result.and(dirsync(None, &[unsafe { Inode::<F>::from_raw(dir) }]));
    }
    if result.is_err() {
        for &dentry in dentries {
            // SAFETY: By the requirement.
            unsafe { bindings::d_drop(dentry) };
        }
    }
    result
}
