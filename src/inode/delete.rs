// SPDX-License-Identifier: GPL-2.0

//! Deleting inodes: no link is left, and the last reference is being dropped.

use crate::ext2::xattr;
use crate::inode::block_map;
use crate::inode::data::ino32;
use crate::inode::write::store_first;
use crate::types::{Inode, InodeLocked, SuperBlock};
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use crate::volume::unwritten::First;
use crate::volume::{blocks, inode_numbers};
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
    if inode.sb().data().is_stopped() {
        return Ok(());
    }
    let data = inode.data();
    // The format has room for 32 bits.
    data.dtime.store(real_seconds() as u32, ordering::Relaxed);
    let mut result = Ok(());
    if data.symlink.as_ref().is_none() && (inode.is_reg() || inode.is_dir() || inode.is_lnk()) {
        inode.i_size_write(0);
        result = block_map::truncate(inode, 0);
    }
    result
        .and(release_attributes(inode))
        .and(store_first(inode, First::Release))
}

/// Drops the reference of an inode to its block of extended attributes; frees it with the last one.
fn release_attributes(inode: &Inode) -> Result {
    let sb = inode.sb();
    let data = inode.data();
    let block = data.file_acl();
    if block == 0 {
        return Ok(());
    }
    nofs(|| {
        // The block may be shared between inodes: its reference count changes under one lock.
        let _locked = sb.data().attribute_blocks.lock();
        let buffer = sb.bread(block.into())?;
        let mut header = [0; 32];
        buffer.read(0, &mut header)?;
        match xattr::release(ino32(inode), block, &mut header)? {
            xattr::Release::Free => {
                buffer.forget();
                blocks::free(sb, blocks::Blocks::one(block))
            }
            xattr::Release::Keep(changed) => {
                copy_back(&buffer, 0, &header, changed)?;
                sb.data().mark_buffer_dirty(&buffer);
                Ok(())
            }
        }
    })?;
    data.file_acl.store(0, ordering::Relaxed);
    inode.sub_bytes(sb.blocksize() as u64);
    Ok(())
}

/// Frees the inode number of a deleted inode, as [`delete`]. Takes the lock of the groups; may
/// sleep.
pub(crate) fn free_number(sb: &SuperBlock, ino: u32, is_dir: bool) -> Result {
    if sb.data().is_stopped() {
        return Ok(());
    }
    inode_numbers::free(sb, ino, is_dir)
}
