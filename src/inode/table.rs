// SPDX-License-Identifier: GPL-2.0

//! The inode table: the slots of inodes on the volume.

use crate::ext2::xattr;
use crate::inode::data::ino32;
use crate::types::{Inode, SuperBlock};
use crate::volume::fault::Result;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;

/// Reads the first 128 bytes of the slot of inode `ino`. May sleep.
pub(super) fn read_raw(sb: &SuperBlock, ino: u32) -> Result<[u8; 128]> {
    let (buffer, offset) = read_table(sb, ino)?;
    let mut bytes = [0; 128];
    buffer.read(offset, &mut bytes)?;
    Ok(bytes)
}

/// Whether the slot of inode `ino` has extended attributes behind the inode. May sleep.
pub(super) fn has_attributes_in_slot(sb: &SuperBlock, ino: u32) -> Result<bool> {
    let size = sb.data().geometry().inode_size() as usize;
    let (buffer, offset) = read_table(sb, ino)?;
    let mut bytes = [0; 256];
    let slot = bytes.get_mut(..size.min(256)).unwrap_or_default();
    buffer.read(offset, slot)?;
    Ok(xattr::are_in_slot(slot))
}

/// Reads the block with the slot of inode `ino`: its buffer, and the byte offset of the slot in it.
/// May sleep.
pub(super) fn read_table(sb: &SuperBlock, ino: u32) -> Result<(BufferHead, usize)> {
    let location = sb.data().layout().locate_inode(ino)?;
    let buffer = sb.bread(location.block.into()).inspect_err(|_| {
        pr_err!(
            "{}: inode {}: cannot read its block {} of the inode table\n",
            sb.id(),
            ino,
            location.block
        );
    })?;
    Ok((buffer, location.offset as usize))
}

/// Writes the block with the slot of inode `ino` to the device and waits, if it is in memory: only
/// then may there be something to write. May sleep. `EIO` when the device fails.
pub(super) fn sync_cached(sb: &SuperBlock, ino: u32) -> Result {
    let location = sb.data().layout().locate_inode(ino)?;
    if let Some(buffer) = sb.find_get_block(location.block.into()) {
        buffer.sync_dirty()?;
    }
    Ok(())
}

/// Writes the block with the slot of `inode` to the device and waits. May sleep. `EIO` when the
/// device fails.
pub(crate) fn sync(inode: &Inode) -> Result {
    let (buffer, _) = read_table(inode.sb(), ino32(inode))?;
    buffer.sync_dirty().inspect_err(|_| {
        pr_err!(
            "{}: inode {}: cannot write it\n",
            inode.sb().id(),
            inode.ino()
        );
    })?;
    Ok(())
}
