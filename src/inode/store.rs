// SPDX-License-Identifier: GPL-2.0

//! Storing an inode, when the device has what it leads to.

use crate::inode::attribute_block;
use crate::inode::deferred;
use crate::inode::write;
use crate::types::Inode;
use crate::volume::fault::Result;

/// Copies an inode to its slot in the buffer of the inode table, and marks the buffer dirty. Its new
/// blocks of pointers and of attributes are on the device then.
///
/// Takes the lock of its attributes, and those of shared blocks and of the groups; reads the block of the inode table; may sleep.
pub(crate) fn store(inode: &Inode) -> Result {
    let settled = attribute_block::settle(inode).and(deferred::settle(inode));
    write::store_now(inode)?;
    settled
}
