// SPDX-License-Identifier: GPL-2.0

//! Storing an inode, when the device has what it leads to.
//!
//! One that cannot be stored is *unstored*: it stays dirty, and writeback tries again. A block of the inode table that cannot be read is no
//! error of a write, of which the device would tell the volume. So unstored inodes are counted: with one the volume is not marked clean,
//! nor after one has left memory.

use crate::inode::attribute_block;
use crate::inode::deferred;
use crate::inode::errors;
use crate::inode::unborn;
use crate::inode::unstored_names;
use crate::inode::write;
use crate::types::Inode;
use crate::volume::fault;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::mm::nofs::nofs;

/// Copies an inode to its slot in the buffer of the inode table, and marks the buffer dirty. Its new
/// blocks of pointers and of attributes are on the device then.
///
/// Takes the lock of its attributes, and those of shared blocks and of the groups; reads the block of the inode table; may sleep.
/// If the device fails, the inode is dirty; and it stays there as it was if that has failed to get blocks of pointers, as they
/// go with its size.
pub(crate) fn store(inode: &Inode) -> fault::Result {
    let attributes = attribute_block::settle(inode);
    let had_changed = unstored_names::begin_store(inode);
    let stored = deferred::settle(inode).and_then(|()| write::store_now(inode));
    if had_changed {
        unstored_names::end_store(inode, stored.is_ok());
    }
    stored.and(attributes)
}

/// An inode leaves memory that could not be stored, as the device has failed to write what its new pointers lead to: it is, without these.
/// The volume is not marked clean then. May sleep.
pub(crate) fn store_last(inode: &Inode) {
    if !deferred::has_some(inode) || mutant!("deferred-evicted") {
        return;
    }
    deferred::settle_last(inode);
    let stored = nofs(|| write::store_now(inode));
    if stored.is_ok() {
        forget(inode);
    }
    errors::log(inode, "cannot store it", stored);
}

/// [`store`] for writeback, where an inode that is dirty is stored, one call at a time: if it cannot be, it is unstored from then on, until
/// it is stored. If that is for another reason than the device or memory, nobody tries again, and the volume is not marked clean.
pub(crate) fn write_back(inode: &Inode) -> Result {
    let stored = errors::reported(inode, store(inode));
    let volume = inode.sb().data();
    let is_tried_again = matches!(stored, Err(error) if error == EIO || error == ENOMEM);
    let was_unstored = inode
        .data()
        .unstored
        .xchg(is_tried_again, ordering::Relaxed);
    match (was_unstored, is_tried_again) {
        (false, true) => volume.add_unstored(),
        (true, false) => volume.drop_unstored(),
        _ => {}
    }
    if let Err(error) = stored {
        if !is_tried_again {
            volume.set_leaked();
        }
        if !was_unstored {
            pr_err!(
                "{}: inode {}: cannot store it: error {}\n",
                inode.sb().id(),
                inode.ino(),
                error.to_errno()
            );
        }
    }
    stored
}

/// The inode leaves memory: if it is unstored, what was changed of it is lost; or all of it, if it is [unborn]. May sleep.
pub(crate) fn evict(inode: &Inode) {
    let is_lost = unborn::evict(inode) && !mutant!("unborn-lost-untold");
    if !(forget(inode) || is_lost) {
        return;
    }
    if !mutant!("unstored-evicted") {
        inode.sb().data().set_leaked();
    }
    pr_err!(
        "{}: inode {}: not stored, and lost: run e2fsck\n",
        inode.sb().id(),
        inode.ino()
    );
}

/// The inode was deleted, or leaves memory: it is not stored any more. Returns whether it was unstored. Does not sleep.
pub(crate) fn forget(inode: &Inode) -> bool {
    let was_unstored = inode.data().unstored.xchg(false, ordering::Relaxed);
    if was_unstored {
        inode.sb().data().drop_unstored();
    }
    was_unstored
}
