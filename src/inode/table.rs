// SPDX-License-Identifier: GPL-2.0

//! The inode table: the slots of inodes on the volume.

use crate::ext2::inode::KNOWN_BYTES;
use crate::inode::data::ino32;
use crate::types::{Inode, SuperBlock};
use crate::volume::fault::Result;
use core::ops::Deref;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;

/// How many blocks of the inode table are read at once: inodes that were made one after the other are looked
/// at together, and those of a directory are in its group. As many as ext4 reads.
const BATCH: u32 = 32;

/// The slot of an inode: a copy of the known fields.
pub(super) struct RawSlot<'a> {
    known: &'a [u8],
    /// The block that it is in, and the byte offset.
    buffer: &'a BufferHead,
    offset: usize,
}

impl Deref for RawSlot<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.known
    }
}

impl RawSlot<'_> {
    /// Copies bytes from byte `from` of the slot on, which may be behind the known fields. `EINVAL` when they are not in
    /// the block.
    pub(super) fn read(&self, from: usize, to: &mut [u8]) -> Result {
        Ok(self.buffer.read(self.offset + from, to)?)
    }
}

/// Reads the slot of inode `ino`, and runs `f` on it. May sleep.
#[inline]
pub(super) fn read_raw<R>(
    sb: &SuperBlock,
    ino: u32,
    f: impl FnOnce(&RawSlot<'_>) -> R,
) -> Result<R> {
    let (buffer, offset) = read_table(sb, ino)?;
    let len = KNOWN_BYTES.min(sb.data().geometry().inode_size() as usize);
    Ok(buffer.with_copy::<KNOWN_BYTES, _>(offset, len, |known| {
        f(&RawSlot {
            known,
            buffer: &buffer,
            offset,
        })
    })?)
}

/// Reads the block with the slot of inode `ino`: its buffer, and the byte offset of the slot in it.
/// May sleep.
pub(super) fn read_table(sb: &SuperBlock, ino: u32) -> Result<(BufferHead, usize)> {
    let layout = sb.data().layout();
    let location = layout.locate_inode(ino)?;
    let batch = match mutant!("table-not-ahead") {
        true => 0..0,
        false => layout.table_batch(ino, BATCH)?,
    };
    let read = sb.bread_batch(location.block.into(), batch);
    let buffer = read.inspect_err(|_| {
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
/// then may there be something to write. One that could not be written earlier is tried again. May sleep. `EIO` when the device fails.
pub(super) fn sync_cached(sb: &SuperBlock, ino: u32) -> Result {
    let location = sb.data().layout().locate_inode(ino)?;
    let cached = match mutant!("fsync-name-error-lost") {
        true => sb.find_get_block(location.block.into()),
        false => sb.find_any_block(location.block.into()),
    };
    if let Some(buffer) = cached {
        sb.data().unwritten.sync(&buffer)?;
    }
    Ok(())
}

/// The same for `inode`.
pub(crate) fn sync(inode: &Inode) -> Result {
    sync_cached(inode.sb(), ino32(inode)).inspect_err(|_| {
        pr_err!(
            "{}: inode {}: cannot write it\n",
            inode.sb().id(),
            inode.ino()
        );
    })
}
