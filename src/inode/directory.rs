// SPDX-License-Identifier: GPL-2.0

//! Directory entries: look-up, insertion, removal.
//!
//! Directory blocks are metadata in the buffer cache. They are searched, a piece at a time, and changed where they are, by
//! [`crate::ext2::directory`]; who lists all names or splits a block has a copy of it. The inode lock of the
//! directory serialises changes against look-ups. Names are looked for by the hash index of the directory
//! if it has one ([`indexed`]), and else in its blocks, one after the other.
//!
//! All functions read directory blocks and may sleep. `EIO` when one cannot be read; an entry that
//! breaks the rules of the format is a [`Corrupt`]. What looks for one name finds it also behind
//! such a block.

mod absent;
mod added;
mod block;
mod durable;
mod emit;
mod entry;
mod found;
mod grow;
mod indexed;
mod linear;
mod new_entry;
mod ordered;
mod read;
mod search;

pub(crate) use absent::Absent;
pub(crate) use added::Added;
pub(crate) use block::{read_ahead, Sector};
pub(crate) use entry::{Entry, Parent};
pub(crate) use found::Found;
pub(crate) use search::no_parent;

use crate::ext2::directory::blocks::One;
use crate::ext2::directory::change::Insert;
use crate::ext2::directory::Name;
use crate::ext2::inode::FileType;
use crate::inode::block_map;
use crate::inode::data::ino32;
use crate::inode::directory::block::{at, block_count, room};
use crate::inode::directory::found::Named;
use crate::inode::directory::new_entry::NewEntry;
use crate::inode::directory::search::{changed, checked, find_block, find_name, find_name_or_room};
use crate::inode::dirty::mark_first_dirty;
use crate::inode::unborn;
use crate::types::{Inode, InodeLocked};
use crate::volume::fault::{Fault, Result};
use crate::volume::unwritten::First;
use kernel::prelude::*;
use kfs::fs::file::DirContext;
use kfs::fs::inode::lock::{Exclusive, Mode, Shared};
use kfs::task::fatal_signal_pending;

/// Whether `dir` was removed. Who removed it may have been told of an error after that (`dirsync`): then the VFS goes on
/// using it. It has no names, and no blocks to which its index, if it had one, could lead.
fn is_removed(dir: &Inode) -> bool {
    dir.nlink() == 0
}

/// Looks up `name`; `None` when there is no such entry.
pub(crate) fn find<M: Mode>(dir: &InodeLocked<M>, name: &[u8]) -> Result<Option<Found>> {
    find_by(dir, name, find_name)
}

/// The same for a name that is about to be created: [`insert`] is faster after that.
pub(crate) fn find_to_create<M: Mode>(dir: &InodeLocked<M>, name: &[u8]) -> Result<Option<Found>> {
    find_by(dir, name, find_name_or_room)
}

fn find_by(
    dir: &Inode,
    name: &[u8],
    find: fn(&Inode, Name<'_>) -> Result<Option<Named>>,
) -> Result<Option<Found>> {
    if is_removed(dir) && !mutant!("removed-searched") {
        return Ok(None);
    }
    let named = find(dir, checked(name)?)?;
    Ok(named.map(|named| named.found()))
}

/// Adds an entry `name` for the inode `ino` of type `file_type`, in a new block if there is no
/// room. Returns what it takes to remove it: it is in the sector of `near`, an entry of the directory, if there is room in
/// that and the block of it is searched.
///
/// `EEXIST` when there is such an entry, `ENOSPC` without space for a new block.
pub(crate) fn insert(
    dir: &InodeLocked<Exclusive>,
    name: &[u8],
    ino: u32,
    file_type: FileType,
    near: Option<&Entry<'_>>,
) -> Result<Added> {
    if is_removed(dir) && !mutant!("removed-filled") {
        return Err(ENOENT.into());
    }
    let entry = NewEntry {
        name: checked(name)?,
        ino,
        file_type,
        near: near.map(Entry::near),
    };
    if let Some(added) = entry.insert_where_absent(dir)? {
        changed(dir);
        return Ok(added);
    }
    let added = match grow::insert(dir, &entry)? {
        Some(added) => added,
        None => insert_by_block(dir, &entry)?,
    };
    changed(dir);
    Ok(added)
}

/// [`insert`] without an index.
fn insert_by_block(dir: &InodeLocked<Exclusive>, entry: &NewEntry<'_>) -> Result<Added> {
    if let Some(added) = linear::insert(dir, entry)? {
        return Ok(added);
    }
    if block_count(dir) == 1 && grow::make_index(dir)? {
        return grow::insert(dir, entry)?.ok_or(Fault::Error(EIO));
    }
    let at = at(dir, block_count(dir));
    let mut bytes = room(dir)?;
    at.init_empty(&mut bytes)?;
    let mut block = One(&mut bytes);
    let Insert::Room(room) = at.find_room(&mut block, entry.name, None)? else {
        return Err(ENOSPC.into());
    };
    at.insert(&mut block, room, entry.name, entry.ino, entry.file_type)?;
    let buffer = durable::append_new(dir, bytes)?;
    Ok(Added::new(at, buffer, room.sector()))
}

/// Adds the first block of a new directory, with the entries `.` and `..`; the latter for `parent`. The inode is stored when that
/// is on the device ([`unborn`]).
pub(crate) fn make_empty(dir: &InodeLocked<Exclusive>, parent: &Inode) -> Result {
    let mut bytes = room(dir)?;
    at(dir, 0).init_first(&mut bytes, ino32(parent))?;
    let run = block_map::allocate(dir, 0, 1)?;
    let buffer = match dir.sb().getblk(run.blocks.start.into()) {
        Ok(buffer) => buffer.init_zeroed(),
        Err(error) => {
            // A block that cannot be freed leaks until e2fsck; the caller gets the first error.
            let _ = block_map::truncate(dir, 0);
            return Err(error.into());
        }
    };
    buffer.write(0, &bytes)?;
    mark_first_dirty(dir, &buffer, First::OfInode);
    unborn::begin(dir)?;
    dir.dio_wait().i_size_write(bytes.len() as u64);
    dir.mark_inode_dirty();
    Ok(())
}

/// Whether a directory has no entries but `.` and `..`.
pub(crate) fn is_empty(dir: &InodeLocked<Exclusive>) -> Result<bool> {
    let other = find_block(dir, |block| {
        if fatal_signal_pending() {
            return Err(EINTR.into());
        }
        let empty = block.at.is_empty(&block.bytes)?;
        Ok((!empty).then_some(()))
    })?;
    Ok(other.is_none())
}

/// Emits the entries from the position of `context` on. `ENOENT` when `dir` was removed, as of the VFS where it knows that.
pub(crate) fn emit(dir: &InodeLocked<Shared>, context: &mut DirContext<'_>) -> Result {
    if is_removed(dir) && !mutant!("removed-read") {
        return Err(ENOENT.into());
    }
    match ordered::order(dir, context.is_narrow()) {
        Some(order) => ordered::emit(dir, context, &order),
        None => read::emit(dir, context),
    }
}

/// The position behind all entries of `dir`, for a reader that has positions of 31 bits, or of 63.
pub(crate) fn end(dir: &Inode, narrow: bool) -> u64 {
    match ordered::order(dir, narrow) {
        Some(order) => order.width.end(),
        None => dir.i_size_read(),
    }
}
