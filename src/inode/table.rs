// SPDX-License-Identifier: GPL-2.0

//! Inodes in their place on the volume: the inode table.

use crate::inode::data::ino32;
use crate::types::{Inode, SuperBlock};
use crate::volume::fault::Result;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;

/// The part of the inode table that is the inode `ino`.
pub(super) fn read_raw(sb: &SuperBlock, ino: u32) -> Result<[u8; 128]> {
    let (buffer, offset) = read_table(sb, ino)?;
    let mut bytes = [0; 128];
    buffer.read(offset, &mut bytes)?;
    Ok(bytes)
}

/// The buffer with the place of inode `ino` on the volume, and the byte offset in it.
pub(super) fn read_table(sb: &SuperBlock, ino: u32) -> Result<(BufferHead, usize)> {
    let location = sb.data().layout().locate_inode(ino)?;
    let buffer = sb.bread(location.block.into()).inspect_err(|_| {
        pr_err!(
            "{}: cannot read block {} with inode {}\n",
            sb.id(),
            location.block,
            ino
        );
    })?;
    Ok((buffer, location.offset as usize))
}

/// Writes the buffer with the inode to the device and waits.
pub(crate) fn sync(inode: &Inode) -> Result {
    let (buffer, _) = read_table(inode.sb(), ino32(inode))?;
    buffer.sync_dirty().inspect_err(|_| {
        pr_err!("{}: cannot write inode {}\n", inode.sb().id(), inode.ino());
    })?;
    Ok(())
}
