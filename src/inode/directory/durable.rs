// SPDX-License-Identifier: GPL-2.0

//! New blocks of a directory.
//!
//! A block that is linked is on the device: its last owner wrote something else to it.
//!
//! Some have names which the directory has already. A name that is on the device must stay there. So before a block gives names away to a new one, that is
//! on the device, and the directory there has it: the block, then the pointers to it and the inode with
//! its size, then the block that loses the names. If the power goes in between, the names are there twice,
//! or not where the index leads to; e2fsck puts them right. The block that has lost them releases what
//! they led to ([`First::Release`]): as long as the device has the old one, it has the names.
//!
//! [`First::Release`]: crate::volume::unwritten::First::Release

use crate::ext2::directory::grown;
use crate::inode::block_map;
use crate::inode::data::ino32;
use crate::inode::deferred;
use crate::inode::directory::block::block_count;
use crate::inode::dirty::mark_buffer_dirty;
use crate::inode::errors;
use crate::inode::in_flight;
use crate::inode::new_blocks;
use crate::inode::store;
use crate::inode::table;
use crate::types::{Inode, InodeLocked};
use crate::volume::fault::{Fault, Result};
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::buffer_head::BufferHead;
use kfs::fs::inode::lock::Exclusive;

/// Appends a block with new names to the directory. Returns its buffer. May sleep.
/// `ENOSPC`, `EIO`: the directory is as it was.
pub(super) fn append_new(dir: &InodeLocked<Exclusive>, bytes: KVVec<u8>) -> Result<BufferHead> {
    let index = block_count(dir);
    let new_size = grown(dir.i_size_read(), bytes.len()).ok_or(ENOSPC)?;
    let blocks = [bytes];
    let buffer = match mutant!("append-unwritten") {
        true => link_unsynced(dir, index, &blocks),
        false => write_and_link(dir, index, &blocks),
    }?;
    dir.dio_wait().i_size_write(new_size);
    buffer.ok_or(Fault::Error(EIO))
}

/// Appends `blocks` to the directory, and brings them and what leads to them to the device. Returns the
/// index of the first one.
///
/// May sleep. `ENOSPC`, `EIO`: the directory is as it was.
pub(super) fn append(dir: &InodeLocked<Exclusive>, blocks: &[KVVec<u8>]) -> Result<u32> {
    let first = block_count(dir);
    let size = dir.i_size_read();
    let added = blocks.len() << dir.blkbits();
    let new_size = grown(size, added).ok_or(ENOSPC)?;
    let appended = match mutant!("split-unsynced") {
        true => link_unsynced(dir, first, blocks),
        false => write_and_link(dir, first, blocks),
    };
    let done = appended.and_then(|_| {
        dir.dio_wait().i_size_write(new_size);
        match mutant!("split-unsynced") {
            true => Ok(()),
            false => sync_inode(dir, first, blocks.len()),
        }
    });
    if let Err(fault) = done {
        dir.dio_wait().i_size_write(size);
        let undone = block_map::truncate(dir, size);
        errors::log(dir, "cannot free new blocks of a directory", undone);
        return Err(fault);
    }
    Ok(first)
}

/// Writes the blocks to new blocks of the volume, and links these when the device has them. Returns the
/// buffer of the last one.
fn write_and_link(
    dir: &InodeLocked<Exclusive>,
    first: u32,
    blocks: &[KVVec<u8>],
) -> Result<Option<BufferHead>> {
    let first = u64::from(first);
    let range = first..first + blocks.len() as u64;
    let written = range
        .clone()
        .zip(blocks)
        .try_fold(None, |_, (index, bytes)| {
            let run = new_blocks::reserve(dir, index, 1)?;
            write_block(dir, run.blocks.start, bytes, true).map(Some)
        })
        .and_then(|last| flush_with_first(dir).map(|()| last));
    match written {
        Ok(last) => new_blocks::finish_flushed(dir, range).map(|()| last),
        Err(fault) => {
            let _ = new_blocks::finish(dir, Some(dir), range.clone(), range.start);
            in_flight::forget(dir, &range);
            Err(fault)
        }
    }
}

/// For a mutant.
fn link_unsynced(
    dir: &InodeLocked<Exclusive>,
    first: u32,
    blocks: &[KVVec<u8>],
) -> Result<Option<BufferHead>> {
    (first..).zip(blocks).try_fold(None, |_, (index, bytes)| {
        let run = block_map::allocate(dir, index.into(), 1)?;
        write_block(dir, run.blocks.start, bytes, false).map(Some)
    })
}

fn write_block(dir: &Inode, block: u32, bytes: &[u8], sync: bool) -> Result<BufferHead> {
    let buffer = dir.sb().getblk(block.into())?.init_zeroed();
    buffer.write(0, bytes)?;
    mark_buffer_dirty(dir, &buffer);
    if sync {
        buffer.sync_dirty()?;
    }
    Ok(buffer)
}

/// Writes the inode, and the blocks of pointers that lead to `count` blocks from the block `first` on.
fn sync_inode(dir: &InodeLocked<Exclusive>, first: u32, count: usize) -> Result {
    store::store(dir)?;
    for index in (first..).take(count) {
        block_map::sync_pointers(dir, index.into())?;
    }
    table::sync_cached(dir.sb(), ino32(dir))?;
    flush(dir)
}

/// [`flush`], by which the first block of a directory that is new comes to stable storage, too: it may be stored from then on.
fn flush_with_first(dir: &Inode) -> Result {
    let is_written = deferred::write_first(dir)?;
    flush(dir)?;
    if is_written {
        deferred::flushed_first(dir);
    }
    Ok(())
}

/// Brings what the device has in its cache to stable storage.
pub(super) fn flush(dir: &Inode) -> Result {
    Ok(BlockDevice::of(dir.sb()).issue_flush()?)
}
