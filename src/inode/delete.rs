// SPDX-License-Identifier: GPL-2.0

//! Deleting inodes: no link is left, and the last reference is being dropped.

use crate::inode::attribute_block;
use crate::inode::block_map;
use crate::inode::write::store_first;
use crate::types::{InodeLocked, SuperBlock};
use crate::volume::fault::Result;
use crate::volume::inode_numbers;
use crate::volume::unwritten::First;
use kernel::sync::atomic::ordering;
use kfs::fs::inode::lock::Exclusive;
use kfs::mm::nofs::nofs;
use kfs::time::real_seconds;

/// Frees the blocks of an inode without links, and marks it deleted in the inode table.
///
/// Called at eviction. Takes the lock of the block map, that of the blocks of extended attributes
/// and that of the groups; may sleep. Returns the first error, after the rest has been tried: what
/// could not be freed leaks until e2fsck. On a volume that takes no changes, which e2fsck has to
/// check anyway, nothing is done.
pub(crate) fn delete(inode: &InodeLocked<Exclusive>) -> Result {
    if inode.sb().data().is_stopped() && !mutant!("delete-stopped") {
        return Ok(());
    }
    let data = inode.data();
    // The format has room for 32 bits.
    data.dtime.store(real_seconds() as u32, ordering::Relaxed);
    let mut result = Ok(());
    let mut is_stored = false;
    if data.symlink.as_ref().is_none() && (inode.is_reg() || inode.is_dir() || inode.is_lnk()) {
        inode.dio_wait().i_size_write(0);
        // With blocks, it is stored as it is to be before the last of them are freed.
        let has_blocks = block_map::has_blocks(inode) || mutant!("delete-unstored");
        is_stored = has_blocks && data.file_acl() == 0 && !mutant!("root-released-late");
        result = block_map::truncate(inode, 0);
    }
    let attributes = nofs(|| attribute_block::take(inode));
    let stored = match is_stored && result.is_ok() {
        true => Ok(()),
        false => store_first(inode, First::Release),
    };
    let released = match stored {
        Ok(()) => nofs(|| attributes.and_then(|taken| attribute_block::release(inode, taken))),
        Err(_) => attributes.map(|_| ()),
    };
    result.and(stored).and(released)
}

/// Frees the inode number of a deleted inode, as [`delete`]. Takes the lock of its group; may
/// sleep.
pub(crate) fn free_number(sb: &SuperBlock, ino: u32, is_dir: bool) -> Result {
    if sb.data().is_stopped() && !mutant!("delete-stopped") {
        return Ok(());
    }
    inode_numbers::free(sb, ino, is_dir)
}
