// SPDX-License-Identifier: GPL-2.0

//! Renaming.
//!
//! C header: [`include/uapi/linux/fs.h`](srctree/include/uapi/linux/fs.h)

use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::Inode;
use crate::fs::mnt_idmap::MntIdmap;

/// What the new name leads to before.
pub enum Target<'a, F: FileSystemData> {
    /// Nothing: there is no such name.
    Free,
    /// The inode that loses the name: a directory if and only if the one that is renamed is.
    Replaced(&'a InodeLocked<F, Exclusive>),
    /// The inode that gets the old name for it (`RENAME_EXCHANGE`): another one, of any type. The lock
    /// of a directory is held if it comes into another one.
    Exchanged(&'a Inode<F>),
}

/// What `rename(2)` is to do.
pub struct Rename<'a, F: FileSystemData> {
    /// How the mount maps owners, for the whiteout.
    pub idmap: &'a MntIdmap,
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
    /// What has the new name.
    pub target: Target<'a, F>,
    /// The old name is to lead to a character device 0/0 (`RENAME_WHITEOUT`), by which an overlay
    /// knows that it is gone. Not with [`Target::Exchanged`].
    pub whiteout: bool,
}
