// SPDX-License-Identifier: GPL-2.0

//! Directory entries: look-up, insertion, removal.
//!
//! Directory blocks are metadata in the buffer cache. A block is copied out, searched or changed by
//! [`crate::ext2::directory`], and the bytes that changed are copied back. The inode lock of the
//! directory serialises changes against look-ups.
//!
//! All functions read directory blocks and may sleep. `EIO` when one cannot be read; an entry that
//! breaks the rules of the format is a [`Corrupt`]. What looks for one name finds it also behind
//! such a block.

use crate::ext2::block_map::Mapping;
use crate::ext2::directory::change::Insert;
use crate::ext2::directory::{grown, DirBlock, Name, NAME_MAX};
use crate::ext2::inode::FileType;
use crate::ext2::{Corrupt, Place};
use crate::inode::block_map;
use crate::inode::data::{ino32, mark_buffer_dirty, mark_first_dirty};
use crate::types::{Inode, InodeLocked};
use crate::volume::copy_back::copy_back;
use crate::volume::fault::{Fault, Result};
use crate::volume::unwritten::First;
use core::ops::Range;
use entry::Inner;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
use kfs::fs::file::DirContext;
use kfs::fs::inode::lock::{Exclusive, Mode, Shared};
use kfs::task::{cond_resched, fatal_signal_pending};

mod entry;
pub(crate) use entry::{Entry, Parent};

/// A copy of a directory block.
struct Block {
    index: u32,
    at: DirBlock,
    bytes: KVec<u8>,
    buffer: BufferHead,
}

impl Block {
    /// Reads block `index` of the directory into `room`, which has the size of a block.
    fn read(dir: &Inode, index: u32, room: KVec<u8>) -> Result<Self> {
        let sb = dir.sb();
        let place = Place::Directory {
            ino: ino32(dir),
            offset: u64::from(index) << dir.blkbits(),
        };
        let Mapping::Mapped { start, .. } = block_map::lookup(dir, index.into(), 1)? else {
            return Err(Corrupt::new(place, "hole in a directory").into());
        };
        let buffer = sb.bread(start.into())?;
        let mut bytes = room;
        buffer.read(0, &mut bytes)?;
        Ok(Block {
            index,
            at: DirBlock::new(sb.data().geometry(), ino32(dir), index),
            bytes,
            buffer,
        })
    }

    /// Copies the range of bytes that was changed back, and marks the buffer dirty. Returns the
    /// block.
    fn write(&self, dir: &Inode, changed: Range<usize>) -> Result<u64> {
        copy_back(&self.buffer, 0, &self.bytes, changed)?;
        mark_buffer_dirty(dir, &self.buffer);
        Ok(self.buffer.block())
    }

    /// The same when an entry was removed or leads elsewhere.
    fn write_release(&self, dir: &Inode, changed: Range<usize>) -> Result<u64> {
        copy_back(&self.buffer, 0, &self.bytes, changed)?;
        mark_first_dirty(dir, &self.buffer, First::Release);
        Ok(self.buffer.block())
    }
}

/// [`Block::write`] or [`Block::write_release`].
type Write = fn(&Block, &Inode, Range<usize>) -> Result<u64>;

/// A buffer for a copy of a directory block.
fn room(dir: &Inode) -> Result<KVec<u8>> {
    Ok(KVec::from_elem(0, dir.sb().blocksize(), GFP_KERNEL)?)
}

/// The size of a directory in blocks.
fn block_count(dir: &Inode) -> u32 {
    // The size of a directory has 32 bits.
    (dir.i_size_read() >> dir.blkbits()) as u32
}

/// What a search does about a block that cannot be read, or is corrupt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BadBlock {
    /// It fails.
    Fail,
    /// It goes on, and fails if it finds nothing in the others.
    Skip,
}

/// Runs `visit` on the blocks of a directory, from block `from` on and round, until it returns
/// something.
///
/// A crafted directory can have millions of blocks, hence the reschedules.
fn find_block<T>(
    dir: &Inode,
    from: u32,
    bad: BadBlock,
    mut visit: impl FnMut(&mut Block) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let mut spare = room(dir)?;
    let mut fault = None;
    let count = block_count(dir);
    for index in Iterator::chain(from..count, 0..from.min(count)) {
        cond_resched();
        let visited = Block::read(dir, index, spare).and_then(|mut block| {
            let found = visit(&mut block)?;
            Ok((found, block.bytes))
        });
        spare = match visited {
            Ok((Some(found), _)) => return Ok(Some(found)),
            Ok((None, bytes)) => bytes,
            Err(error) if bad == BadBlock::Skip && error.is_of_block() => {
                fault.get_or_insert(error);
                room(dir)?
            }
            Err(error) => return Err(error),
        };
    }
    fault.map_or(Ok(None), Err)
}

/// [`find_block`] for the block with one name. Names are often looked up in the order in which
/// readdir(3) has them, so that the search begins where the last one has ended. It finds a name also
/// behind a bad block.
fn find_name<T>(
    dir: &Inode,
    mut visit: impl FnMut(&mut Block) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let data = dir.data();
    let from = match mutant!("search-from-start") {
        true => 0,
        false => data.found_in(),
    };
    find_block(dir, from, skip(), |block| {
        let found = visit(block)?;
        if found.is_some() {
            data.set_found_in(block.index);
        }
        Ok(found)
    })
}

/// For the search for one name: goes on behind a bad block.
fn skip() -> BadBlock {
    match mutant!("bad-block-ends") {
        true => BadBlock::Fail,
        false => BadBlock::Skip,
    }
}

/// Validates a name from the VFS: `ENAMETOOLONG` above 255 bytes.
fn checked(name: &[u8]) -> Result<Name<'_>> {
    if name.len() > NAME_MAX {
        return Err(ENAMETOOLONG.into());
    }
    Ok(Name::new(name).ok_or(EINVAL)?)
}

/// A directory entry that was found.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// The inode that it leads to.
    pub(crate) ino: u32,
    /// The type that it has for it, if it has one.
    pub(crate) file_type: Option<FileType>,
    /// Where it is.
    pub(crate) place: Place,
    /// The same as a block of the volume.
    pub(crate) block: u64,
}

impl Found {
    /// That it leads to an inode to which it must not; `what` says why, in words that can follow a
    /// colon.
    pub(crate) fn corrupt(&self, what: &'static str) -> Fault {
        Corrupt::found(self.place, what, self.ino.into()).into()
    }
}

/// Looks up `name`; `None` when there is no such entry.
pub(crate) fn find<M: Mode>(dir: &InodeLocked<M>, name: &[u8]) -> Result<Option<Found>> {
    let entry = Inner::find(dir, checked(name)?)?;
    Ok(entry.map(|entry| entry.found))
}

/// That `dir` has no entry for its parent.
pub(crate) fn no_parent(dir: &Inode) -> Fault {
    let what = "directory without an entry for its parent";
    Corrupt::new(Place::Inode(ino32(dir)), what).into()
}

/// Adds an entry `name` for the inode `ino` of type `file_type`, in a new block if there is no
/// room. Returns the block of the volume that it is in.
///
/// `EEXIST` when there is such an entry, `ENOSPC` without space for a new block.
pub(crate) fn insert(
    dir: &InodeLocked<Exclusive>,
    name: &[u8],
    ino: u32,
    file_type: FileType,
) -> Result<u64> {
    let name = checked(name)?;
    // The name may be in a bad block.
    let done = find_block(dir, 0, BadBlock::Fail, |block| {
        match block.at.insert(&mut block.bytes, name, ino, file_type)? {
            Insert::Done(changed) => block.write(dir, changed).map(Some),
            Insert::Exists => Err(EEXIST.into()),
            Insert::Full => Ok(None),
        }
    })?;
    let block = match done {
        Some(block) => block,
        None => append(dir, |at, bytes| {
            at.init_empty(bytes)?;
            match at.insert(bytes, name, ino, file_type)? {
                Insert::Done(_) => Ok(()),
                Insert::Exists | Insert::Full => Err(ENOSPC.into()),
            }
        })?,
    };
    changed(dir);
    Ok(block)
}

/// Adds the first block of a new directory, with the entries `.` and `..`; the latter for `parent`.
pub(crate) fn make_empty(dir: &InodeLocked<Exclusive>, parent: &Inode) -> Result {
    append(dir, |at, bytes| Ok(at.init_first(bytes, ino32(parent))?))?;
    dir.mark_inode_dirty();
    Ok(())
}

/// Appends a block with the contents that `fill` makes. Returns the block of the volume.
fn append(
    dir: &InodeLocked<Exclusive>,
    fill: impl FnOnce(&DirBlock, &mut [u8]) -> Result,
) -> Result<u64> {
    let sb = dir.sb();
    let index = block_count(dir);
    let size = dir.i_size_read();
    let mut bytes = room(dir)?;
    let new_size = grown(size, bytes.len()).ok_or(ENOSPC)?;
    fill(
        &DirBlock::new(sb.data().geometry(), ino32(dir), index),
        &mut bytes,
    )?;
    let run = block_map::allocate(dir, index.into(), 1)?;
    let buffer = match sb.getblk(run.blocks.start.into()) {
        Ok(buffer) => buffer,
        Err(error) => {
            // A block that cannot be freed leaks until e2fsck; the caller gets the first error.
            let _ = block_map::truncate(dir, size);
            return Err(error.into());
        }
    };
    buffer.init_zeroed();
    buffer.write(0, &bytes)?;
    match index {
        0 => mark_first_dirty(dir, &buffer, First::New),
        _ => mark_buffer_dirty(dir, &buffer),
    }
    dir.i_size_write(new_size);
    Ok(buffer.block())
}

/// Whether a directory has no entries but `.` and `..`.
pub(crate) fn is_empty(dir: &InodeLocked<Exclusive>) -> Result<bool> {
    let other = find_block(dir, 0, BadBlock::Fail, |block| {
        if fatal_signal_pending() {
            return Err(EINTR.into());
        }
        let empty = block.at.is_empty(&block.bytes)?;
        Ok((!empty).then_some(()))
    })?;
    Ok(other.is_none())
}

/// Emits the entries from the position of `context` on, which is a byte offset in the directory.
///
/// The entry that was at the position may have been merged with the one before it since, so a block
/// is always parsed from its start. `EINTR` on a fatal signal.
///
/// A bad block is skipped by the call that fails with it, so that the next one goes on behind it. A
/// call that has emitted entries does not come to it: the VFS would return these, and no error.
pub(crate) fn emit(dir: &InodeLocked<Shared>, context: &mut DirContext<'_>) -> Result {
    let bits = dir.blkbits();
    let size = u64::from(block_count(dir)) << bits;
    let mut spare = room(dir)?;
    let mut any = false;
    while context.pos() < size {
        // Less than the number of blocks, which fits 32 bits.
        let index = (context.pos() >> bits) as u32;
        if fatal_signal_pending() {
            return Err(EINTR.into());
        }
        cond_resched();
        let start = u64::from(index) << bits;
        spare = match emit_block(dir, index, spare, context, &mut any) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(fault) if fault.is_of_block() && !mutant!("bad-block-ends") => {
                if any {
                    return Ok(());
                }
                context.set_pos(start + (1 << bits));
                return Err(fault);
            }
            Err(fault) => return Err(fault),
        };
        context.set_pos(start + (1 << bits));
    }
    Ok(())
}

/// Emits the entries in block `index` from the position of `context` on, and sets `any` if there
/// are some. Returns `room`, or `None` when there was no more room for an entry.
fn emit_block(
    dir: &Inode,
    index: u32,
    room: KVec<u8>,
    context: &mut DirContext<'_>,
    any: &mut bool,
) -> Result<Option<KVec<u8>>> {
    let start = u64::from(index) << dir.blkbits();
    let block = Block::read(dir, index, room)?;
    for entry in block.at.entries(&block.bytes) {
        let entry = entry?;
        let offset = start + entry.offset as u64;
        if entry.ino == 0 || offset < context.pos() {
            continue;
        }
        context.set_pos(offset);
        let dt = entry.file_type.map_or(DT_UNKNOWN, dt);
        if !context.emit(entry.name, entry.ino.into(), dt) {
            return Ok(None);
        }
        *any = true;
        context.set_pos(start + entry.end() as u64);
    }
    Ok(Some(block.bytes))
}

const DT_UNKNOWN: u8 = 0;

/// The type of an entry as in `d_type` of `readdir(3)`: the upper four bits of the mode.
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

/// Updates the inode after a change of its entries. For a `dirsync` directory, the VFS wrapper
/// syncs it when the operation is done.
fn changed(dir: &InodeLocked<Exclusive>) {
    dir.data().drop_index();
    dir.touch_cmtime();
    dir.mark_inode_dirty();
}
