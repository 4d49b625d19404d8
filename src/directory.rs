// SPDX-License-Identifier: GPL-2.0

//! Directories: names and what they lead to.
//!
//! The blocks of a directory are metadata in the buffer cache. A block is copied out, looked at or
//! changed by [`crate::ext2::directory`], and what changed is copied back. The inode lock of the
//! directory keeps readers and writers apart.

use crate::ext2::block_map::Mapping;
use crate::ext2::directory::{grown, DirBlock, Insert, Name};
use crate::ext2::error::{Corrupt, Place};
use crate::ext2::inode::FileType;
use crate::fault::Result;
use crate::inode::{ino32, mark_buffer_dirty};
use crate::{file_map, Inode, InodeLocked};
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
use kfs::fs::file::DirContext;
use kfs::fs::inode::lock::{Exclusive, Mode, Shared};
use kfs::task::{cond_resched, fatal_signal_pending};

/// A copy of a block of a directory.
struct Block {
    at: DirBlock,
    bytes: KVec<u8>,
    buffer: BufferHead,
}

impl Block {
    /// Reads the block with index `index`.
    fn read(dir: &Inode, index: u32, room: KVec<u8>) -> Result<Self> {
        let sb = dir.sb();
        let place = Place::Directory {
            ino: ino32(dir),
            offset: u64::from(index) << dir.blkbits(),
        };
        let Mapping::Mapped { start, .. } = file_map::lookup(dir, index.into(), 1)? else {
            return Err(Corrupt::new(place, "a hole").into());
        };
        let buffer = sb.bread(start.into())?;
        let mut bytes = room;
        buffer.read(0, &mut bytes)?;
        Ok(Block {
            at: DirBlock::new(sb.data().geometry(), ino32(dir), index),
            bytes,
            buffer,
        })
    }

    /// Copies the range that was changed back.
    fn write(&self, dir: &Inode, changed: Range<usize>) -> Result {
        let start = changed.start;
        let bytes = self.bytes.get(changed).unwrap_or_default();
        self.buffer.write(start, bytes)?;
        mark_buffer_dirty(dir, &self.buffer);
        Ok(())
    }
}

/// Room for a copy of a block.
fn room(dir: &Inode) -> Result<KVec<u8>> {
    Ok(KVec::from_elem(0, dir.sb().blocksize(), GFP_KERNEL)?)
}

/// How many blocks a directory has.
fn block_count(dir: &Inode) -> u32 {
    // The size of a directory has 32 bits.
    (dir.i_size_read() >> dir.blkbits()) as u32
}

/// Runs `visit` on the blocks of a directory until it returns something.
///
/// A crafted directory can have millions of blocks.
fn find_block<T>(
    dir: &Inode,
    mut visit: impl FnMut(&mut Block) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let mut spare = room(dir)?;
    for index in 0..block_count(dir) {
        cond_resched();
        let mut block = Block::read(dir, index, spare)?;
        if let Some(found) = visit(&mut block)? {
            return Ok(Some(found));
        }
        spare = block.bytes;
    }
    Ok(None)
}

/// [`find_block`] where nothing has been changed yet: `EINTR` when the task is to die.
fn look_for<T>(
    dir: &Inode,
    mut visit: impl FnMut(&mut Block) -> Result<Option<T>>,
) -> Result<Option<T>> {
    find_block(dir, |block| {
        if fatal_signal_pending() {
            return Err(EINTR.into());
        }
        visit(block)
    })
}

fn checked(name: &[u8]) -> Result<Name<'_>> {
    if name.len() > crate::ext2::directory::NAME_MAX {
        return Err(ENAMETOOLONG.into());
    }
    Ok(Name::new(name).ok_or(EINVAL)?)
}

/// Finds the number of the inode that `name` leads to.
pub(crate) fn find<M: Mode>(dir: &InodeLocked<M>, name: &[u8]) -> Result<Option<u32>> {
    let name = checked(name)?;
    look_for(dir, |block| {
        let entry = block.at.find(&block.bytes, name)?;
        Ok(entry.map(|entry| entry.ino))
    })
}

/// Lets `name` lead to the inode `ino` of type `file_type`. `EEXIST` when the name is there.
pub(crate) fn insert(
    dir: &InodeLocked<Exclusive>,
    name: &[u8],
    ino: u32,
    file_type: FileType,
) -> Result {
    let name = checked(name)?;
    let done = find_block(dir, |block| {
        match block.at.insert(&mut block.bytes, name, ino, file_type)? {
            Insert::Done(changed) => block.write(dir, changed).map(Some),
            Insert::Exists => Err(EEXIST.into()),
            Insert::Full => Ok(None),
        }
    })?;
    if done.is_none() {
        append(dir, |at, bytes| {
            at.init_empty(bytes)?;
            match at.insert(bytes, name, ino, file_type)? {
                Insert::Done(_) => Ok(()),
                Insert::Exists | Insert::Full => Err(ENOSPC.into()),
            }
        })?;
    }
    changed(dir);
    Ok(())
}

/// Makes the first block of a new directory in the directory `parent`.
pub(crate) fn make_empty(dir: &InodeLocked<Exclusive>, parent: &Inode) -> Result {
    append(dir, |at, bytes| Ok(at.init_first(bytes, ino32(parent))?))?;
    dir.mark_inode_dirty();
    Ok(())
}

/// Appends a block that `fill` makes.
fn append(
    dir: &InodeLocked<Exclusive>,
    fill: impl FnOnce(&DirBlock, &mut [u8]) -> Result,
) -> Result {
    let sb = dir.sb();
    let index = block_count(dir);
    let size = dir.i_size_read();
    let mut bytes = room(dir)?;
    let new_size = grown(size, bytes.len()).ok_or(ENOSPC)?;
    fill(
        &DirBlock::new(sb.data().geometry(), ino32(dir), index),
        &mut bytes,
    )?;
    let run = file_map::allocate(dir, index.into(), 1)?;
    let buffer = match sb.getblk(run.blocks.start.into()) {
        Ok(buffer) => buffer,
        Err(error) => {
            file_map::truncate(dir, size)?;
            return Err(error.into());
        }
    };
    buffer.init_zeroed();
    buffer.write(0, &bytes)?;
    mark_buffer_dirty(dir, &buffer);
    dir.i_size_write(new_size);
    Ok(())
}

/// Removes `name`. `ENOENT` when it is not there.
pub(crate) fn remove(dir: &InodeLocked<Exclusive>, name: &[u8]) -> Result {
    let name = checked(name)?;
    find_block(dir, |block| {
        match block.at.remove(&mut block.bytes, name)? {
            Some(removed) => block.write(dir, removed.changed).map(Some),
            None => Ok(None),
        }
    })?
    .ok_or(ENOENT)?;
    changed(dir);
    Ok(())
}

/// Lets `name`, which is there, lead to another inode.
pub(crate) fn replace(
    dir: &InodeLocked<Exclusive>,
    name: &[u8],
    ino: u32,
    file_type: FileType,
) -> Result {
    replace_entry(dir, checked(name)?, ino, file_type)?;
    changed(dir);
    Ok(())
}

/// Lets `..` of the directory `dir` lead to `parent`.
///
/// `dir` is moved by a rename: its lock need not be held, as nobody but a rename, which the VFS
/// serialises for the whole filesystem, changes the entry `..`.
pub(crate) fn set_parent(dir: &Inode, parent: &Inode) -> Result {
    let name = checked(b"..")?;
    replace_entry(dir, name, ino32(parent), FileType::Directory)?;
    dir.mark_inode_dirty();
    Ok(())
}

fn replace_entry(dir: &Inode, name: Name<'_>, ino: u32, file_type: FileType) -> Result {
    let done = find_block(dir, |block| {
        let changed = block.at.set_inode(&mut block.bytes, name, ino, file_type)?;
        match changed {
            Some(changed) => block.write(dir, changed).map(Some),
            None => Ok(None),
        }
    })?;
    Ok(done.ok_or(ENOENT)?)
}

/// Whether a directory has no entries but `.` and `..`.
pub(crate) fn is_empty(dir: &InodeLocked<Exclusive>) -> Result<bool> {
    let other = look_for(dir, |block| {
        let empty = block.at.is_empty(&block.bytes)?;
        Ok((!empty).then_some(()))
    })?;
    Ok(other.is_none())
}

/// Emits the entries from the position of `context` on.
///
/// The position is the byte offset in the directory. An entry that began at a position may have
/// been merged with the one before since; so a block is always read from its begin.
pub(crate) fn emit(dir: &InodeLocked<Shared>, context: &mut DirContext<'_>) -> Result {
    let bits = dir.blkbits();
    let size = u64::from(block_count(dir)) << bits;
    let mut spare = room(dir)?;
    while context.pos() < size {
        // Below the number of blocks, which has 32 bits.
        let index = (context.pos() >> bits) as u32;
        if fatal_signal_pending() {
            return Err(EINTR.into());
        }
        cond_resched();
        let start = u64::from(index) << bits;
        let block = Block::read(dir, index, spare)?;
        for entry in block.at.entries(&block.bytes) {
            let entry = entry?;
            let offset = start + entry.offset as u64;
            if entry.ino == 0 || offset < context.pos() {
                continue;
            }
            context.set_pos(offset);
            let dt = entry.file_type.map_or(DT_UNKNOWN, dt);
            if !context.emit(entry.name, entry.ino.into(), dt) {
                return Ok(());
            }
            context.set_pos(start + entry.end() as u64);
        }
        context.set_pos(start + (1 << bits));
        spare = block.bytes;
    }
    Ok(())
}

const DT_UNKNOWN: u8 = 0;

/// The type of an entry as `readdir(3)` tells it: the upper four bits of the mode.
fn dt(file_type: FileType) -> u8 {
    match file_type {
        FileType::Fifo => 1,
        FileType::CharDevice => 2,
        FileType::Directory => 4,
        FileType::BlockDevice => 6,
        FileType::Regular => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
    }
}

/// Does what follows every change of a directory. It is synced, if that is asked for, when the
/// operation is done.
fn changed(dir: &InodeLocked<Exclusive>) {
    dir.data().drop_index();
    dir.touch_cmtime();
    dir.mark_inode_dirty();
}
