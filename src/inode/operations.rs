// SPDX-License-Identifier: GPL-2.0

//! What the floor above gives each inode: its operations tables.

use crate::ext2::inode::{Content, FileType};
use crate::types::RetryFs;
use kernel::prelude::*;
use kfs::fs::new_inode::InodeInit;

/// Knows the operations tables. [`RetryFs`] does, in [`crate::vfs`]: the tables call down to here, so
/// that they cannot be named here.
pub(crate) trait SetOperations {
    /// Sets the operations tables of an inode of type `file_type` that is being read or made.
    /// `content` says what kind of symbolic link it is, or which device.
    fn set_operations(inode: &InodeInit<RetryFs>, file_type: FileType, content: &Content)
        -> Result;
}
