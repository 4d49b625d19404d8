// SPDX-License-Identifier: GPL-2.0

//! Storing an inode, when the device has what it leads to.

use crate::inode::attribute_block;
use crate::inode::deferred;
use crate::inode::errors;
use crate::inode::write;
use crate::types::Inode;
use crate::volume::fault::Result;
use kfs::mm::nofs::nofs;

/// Copies an inode to its slot in the buffer of the inode table, and marks the buffer dirty. Its new
/// blocks of pointers and of attributes are on the device then.
///
/// Takes the lock of its attributes, and those of shared blocks and of the groups; reads the block of the inode table; may sleep.
/// If the device fails, the inode is dirty; and it stays there as it was if that has failed to get blocks of pointers, as they
/// go with its size.
pub(crate) fn store(inode: &Inode) -> Result {
    let attributes = attribute_block::settle(inode);
    deferred::settle(inode)?;
    write::store_now(inode)?;
    attributes
}

/// An inode leaves memory that could not be stored: it is, without what cannot be brought to the device. The volume is not
/// marked clean then. May sleep.
pub(crate) fn evict(inode: &Inode) {
    if deferred::has_some(inode) && !mutant!("deferred-evicted") {
        deferred::settle_last(inode);
        let stored = nofs(|| write::store_now(inode));
        errors::log(inode, "cannot store it", stored);
    }
}
