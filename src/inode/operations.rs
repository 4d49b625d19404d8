// SPDX-License-Identifier: GPL-2.0

//! The operations tables of an inode, which the floor above sets.

use crate::ext2::inode::{Content, FileType};
use crate::types::RetryFs;
use kernel::prelude::*;
use kfs::fs::inode::init::InodeInit;

/// Sets operations tables. Implemented for [`RetryFs`] in [`crate::vfs`]: the operations call into
/// this floor, which therefore cannot name them.
pub(crate) trait SetOperations {
    /// Sets the operations tables of an inode of type `file_type` that is being read or created.
    /// `content` distinguishes the kinds of symbolic links, and has the number of a device.
    fn set_operations(inode: &InodeInit<RetryFs>, file_type: FileType, content: &Content)
        -> Result;
}
