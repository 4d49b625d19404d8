// SPDX-License-Identifier: GPL-2.0

//! Renaming.
//!
//! C header: [`include/uapi/linux/fs.h`](srctree/include/uapi/linux/fs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::Inode;

/// `renameat2(2)`: the new name must not exist.
pub const RENAME_NOREPLACE: u32 = bindings::RENAME_NOREPLACE;

/// What `rename(2)` is to do.
pub struct Rename<'a, F: FileSystemData> {
    /// The directory with the old name.
    pub old_dir: &'a InodeLocked<F, Exclusive>,
    /// The old name.
    pub old_name: &'a [u8],
    /// The inode that has the old name.
    pub inode: &'a Inode<F>,
    /// The directory for the new name, perhaps the same as `old_dir`.
    pub new_dir: &'a InodeLocked<F, Exclusive>,
    /// The new name.
    pub new_name: &'a [u8],
    /// The inode that has the new name and loses it: a directory if and only if `inode` is one.
    pub replaced: Option<&'a InodeLocked<F, Exclusive>>,
    /// `RENAME_*` flags.
    pub flags: u32,
}
