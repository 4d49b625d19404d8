// SPDX-License-Identifier: GPL-2.0

//! The blocks of a directory in the buffer cache.

use crate::ext2::block_map::Mapping;
use crate::ext2::directory::blocks::{ChangeDirBlocks, DirBlocks, WINDOW};
use crate::ext2::directory::path;
use crate::ext2::directory::DirBlock;
use crate::ext2::{Corrupt, Place};
use crate::inode::block_map;
use crate::inode::data::ino32;
use crate::inode::dirty::{mark_buffer_dirty, mark_first_dirty};
use crate::types::Inode;
use crate::volume::copy_back::copy_back;
use crate::volume::fault::{Fault, Result};
use crate::volume::unwritten::First;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
use kfs::compat::zeroed;

/// How many blocks of a directory are read at once by who reads all of them.
fn batch() -> u32 {
    match mutant!("directory-not-ahead") {
        true => 1,
        false => 16,
    }
}

/// A sector of a directory on the volume: what is changed in one comes to the device at once, as it is not changed while that
/// is written ([`at_once`]).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sector {
    /// The block of the volume.
    pub(crate) block: u64,
    /// The sector of the block.
    pub(super) index: usize,
}

/// A copy of a directory block.
pub(super) struct Block {
    pub(super) at: DirBlock,
    pub(super) bytes: KVVec<u8>,
    pub(super) buffer: BufferHead,
}

impl Block {
    /// Reads block `index` of the directory. The memory of `room` is used, if it is enough.
    pub(super) fn read(dir: &Inode, index: u32, room: KVVec<u8>) -> Result<Self> {
        Self::read_batch(dir, index, 1, room)
    }

    /// The same of one of all the blocks of the directory that are read: if it is not in memory, those behind
    /// it begin to be read with it.
    pub(super) fn read_one_of_all(dir: &Inode, index: u32, room: KVVec<u8>) -> Result<Self> {
        Self::read_batch(dir, index, batch(), room)
    }

    fn read_batch(dir: &Inode, index: u32, max: u32, room: KVVec<u8>) -> Result<Self> {
        let buffer = buffer(dir, index, max)?;
        Self::copy(at(dir, index), buffer, room)
    }

    /// A copy of the block `at`, of which this is the buffer.
    pub(super) fn copy(at: DirBlock, buffer: BufferHead, room: KVVec<u8>) -> Result<Self> {
        let mut bytes = room;
        buffer.read_all(&mut bytes)?;
        Ok(Block { at, bytes, buffer })
    }

    /// Copies the range of bytes that was changed back, and marks the buffer dirty. Returns the
    /// block.
    pub(super) fn write(&self, dir: &Inode, changed: Range<usize>) -> Result<u64> {
        self.copy_back(changed)?;
        self::changed(dir, &self.buffer);
        Ok(self.buffer.block())
    }

    /// The same when entries have gone.
    pub(super) fn write_release(&self, dir: &Inode, changed: Range<usize>) -> Result<u64> {
        self.copy_back(changed)?;
        released(dir, &self.buffer);
        Ok(self.buffer.block())
    }

    fn copy_back(&self, changed: Range<usize>) -> Result {
        at_once(&self.buffer, |_| {
            copy_back(&self.buffer, 0, &self.bytes, changed)
        })
    }
}

/// Runs `change` on the buffer of a block of a directory. The device has it all, or nothing of it, in each sector: so
/// it does not begin while the block is written, for which it waits. May sleep.
///
/// A part of a sector from before a change, and a part from after it, has names neither where they were nor where they are.
pub(super) fn at_once<T>(buffer: &BufferHead, change: impl FnOnce(&mut InPlace<'_>) -> T) -> T {
    let change = || change(&mut InPlace(buffer));
    match mutant!("sector-in-flight") {
        true => change(),
        false => buffer.change_at_once(change),
    }
}

/// Entries in the buffer of a block were changed: marks it dirty. May sleep.
pub(super) fn changed(dir: &Inode, buffer: &BufferHead) {
    dir.data().set_entries_changed();
    mark_buffer_dirty(dir, buffer);
}

/// The same when one was removed or leads elsewhere.
pub(super) fn released(dir: &Inode, buffer: &BufferHead) {
    dir.data().set_entries_changed();
    mark_first_dirty(dir, buffer, First::Release);
}

/// [`changed`] or [`released`].
pub(super) type Mark = fn(&Inode, &BufferHead);

/// The one block that this is the buffer of, changed where it is. That takes no memory, and the buffer is not
/// marked dirty.
pub(super) struct InPlace<'a>(pub(super) &'a BufferHead);

impl DirBlocks for InPlace<'_> {
    type Error = Fault;

    fn count(&self) -> u32 {
        1
    }

    fn read(&mut self, _: u32, offset: usize, out: &mut [u8]) -> Result {
        Ok(self.0.read(offset, out)?)
    }

    #[inline(always)]
    fn with_window<R>(
        &mut self,
        _: u32,
        offset: usize,
        len: usize,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        Ok(self.0.with_copy::<WINDOW, R>(offset, len, f)?)
    }
}

impl ChangeDirBlocks for InPlace<'_> {
    fn write(&mut self, _: u32, offset: usize, bytes: &[u8]) -> Result {
        Ok(self.0.write(offset, bytes)?)
    }
}

/// The buffer of block `index` of a directory; if it is not in memory, it is read with up to `max` blocks that
/// follow each other from it on.
fn buffer(dir: &Inode, index: u32, max: u32) -> Result<BufferHead> {
    // What is mapped behind EOF is no block of it.
    let max = max.min(block_count(dir).saturating_sub(index)).max(1);
    let Mapping::Mapped { start, len } = block_map::lookup(dir, index.into(), max)? else {
        let place = Place::Directory {
            ino: ino32(dir),
            offset: u64::from(index) << dir.blkbits(),
        };
        return Err(Corrupt::new(place, "hole in a directory").into());
    };
    let start = u64::from(start);
    let batch = start..start + u64::from(len);
    Ok(dir.sb().bread_batch(start, batch)?)
}

/// Begins to read the first block of a directory that will be used. If that does not come to anything, who uses it
/// reads it.
pub(crate) fn read_ahead(dir: &Inode) {
    if let Ok(Mapping::Mapped { start, .. }) = block_map::lookup(dir, 0, 1) {
        let _ = dir.sb().bread_ahead(start.into());
    }
}

/// What block `index` of a directory is.
pub(super) fn at(dir: &Inode, index: u32) -> DirBlock {
    DirBlock::new(dir.sb().data().geometry(), ino32(dir), index)
}

/// What the index of a directory needs to know of it.
pub(super) fn directory(dir: &Inode) -> path::Directory<'_> {
    path::Directory {
        geometry: dir.sb().data().geometry(),
        ino: ino32(dir),
    }
}

/// A buffer for a copy of a directory block.
pub(super) fn room(dir: &Inode) -> Result<KVVec<u8>> {
    Ok(zeroed(dir.sb().blocksize(), GFP_KERNEL)?)
}

/// The size of a directory in blocks.
pub(super) fn block_count(dir: &Inode) -> u32 {
    // The size of a directory has 32 bits.
    (dir.i_size_read() >> dir.blkbits()) as u32
}

/// Reads pieces of the blocks of a directory; keeps the buffer used last.
pub(super) struct Buffers<'a> {
    dir: &'a Inode,
    max: u32,
    last: Option<(u32, BufferHead)>,
}

impl<'a> Buffers<'a> {
    /// For some blocks.
    pub(super) fn new(dir: &'a Inode) -> Self {
        Buffers {
            dir,
            max: 1,
            last: None,
        }
    }

    /// For all of them, one after the other.
    pub(super) fn of_all(dir: &'a Inode) -> Self {
        Buffers {
            dir,
            max: batch(),
            last: None,
        }
    }

    /// The buffer of block `index`.
    #[inline]
    pub(super) fn buffer(&mut self, index: u32) -> Result<&BufferHead> {
        if !matches!(self.last, Some((last, _)) if last == index) {
            self.last = Some((index, buffer(self.dir, index, self.max)?));
        }
        match &self.last {
            Some((_, buffer)) => Ok(buffer),
            None => Err(EIO.into()),
        }
    }
}

impl DirBlocks for Buffers<'_> {
    type Error = Fault;

    fn count(&self) -> u32 {
        block_count(self.dir)
    }

    #[inline]
    fn read(&mut self, index: u32, offset: usize, out: &mut [u8]) -> Result {
        Ok(self.buffer(index)?.read(offset, out)?)
    }

    #[inline(always)]
    fn with_window<R>(
        &mut self,
        index: u32,
        offset: usize,
        len: usize,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        Ok(self.buffer(index)?.with_copy::<WINDOW, R>(offset, len, f)?)
    }

    fn is_checked(&mut self, index: u32) -> Result<bool> {
        Ok(self.buffer(index)?.is_checked())
    }

    fn set_checked(&mut self, index: u32) -> Result {
        self.buffer(index)?.set_checked();
        Ok(())
    }
}
