// SPDX-License-Identifier: GPL-2.0

//! Entries that are to be added to a directory.

use crate::ext2::directory::change::{Insert, Room};
use crate::ext2::directory::{DirBlock, Name};
use crate::ext2::inode::FileType;
use crate::inode::directory::absent;
use crate::inode::directory::added::Added;
use crate::inode::directory::block::{at, at_once, changed, Block, Buffers};
use crate::inode::directory::durable::flush;
use crate::types::Inode;
use crate::volume::fault::Result;
use kernel::prelude::*;

/// An entry that is to be added.
#[derive(Clone, Copy)]
pub(super) struct NewEntry<'a> {
    pub(super) name: Name<'a>,
    pub(super) ino: u32,
    pub(super) file_type: FileType,
    /// The block of the directory, and the sector of it, where it is wanted most.
    pub(super) near: Option<(u32, usize)>,
}

impl NewEntry<'_> {
    /// Inserts it into block `index` of the directory, if there is room. Returns where it is then. May
    /// sleep. `EEXIST` when there is such an entry in it.
    pub(super) fn insert(
        &self,
        dir: &Inode,
        buffers: &mut Buffers<'_>,
        index: u32,
    ) -> Result<Option<Added>> {
        let at = at(dir, index);
        let near = self.near.filter(|&(block, _)| block == index);
        let near = near.map(|(_, sector)| sector);
        let mut found = at.find_room(buffers, self.name, near)?;
        if found == Insert::Undivided {
            divide(dir, index)?;
            found = at.find_room(buffers, self.name, near)?;
        }
        let room = match found {
            Insert::Room(room) => room,
            Insert::Exists => return Err(EEXIST.into()),
            Insert::Undivided | Insert::Full => return Ok(None),
        };
        self.insert_at(dir, buffers, at, room).map(Some)
    }

    /// Inserts it where room was found for it when it was looked for, if that is known, and nobody wants it elsewhere.
    /// May sleep.
    pub(super) fn insert_where_absent(&self, dir: &Inode) -> Result<Option<Added>> {
        if self.near.is_some() {
            return Ok(None);
        }
        let Some((index, room)) = absent::room_for(dir, self.name) else {
            return Ok(None);
        };
        let mut buffers = Buffers::new(dir);
        let at = at(dir, index);
        self.insert_at(dir, &mut buffers, at, room).map(Some)
    }

    fn insert_at(
        &self,
        dir: &Inode,
        buffers: &mut Buffers<'_>,
        at: DirBlock,
        room: Room,
    ) -> Result<Added> {
        let buffer = buffers.buffer(at.index())?;
        at_once(buffer, |block| {
            at.insert(block, room, self.name, self.ino, self.file_type)
        })?;
        changed(dir, buffer);
        Ok(Added::new(at, buffer.get(), room.sector()))
    }
}

/// Divides the slack of block `index` of a directory at the ends of its sectors
/// ([`crate::ext2::directory::sectors`]). Waits for the device, three times.
fn divide(dir: &Inode, index: u32) -> Result {
    let mut block = Block::read(dir, index, KVVec::new())?;
    let all = 0..block.bytes.len();
    if !mutant!("division-early") {
        sync(dir, &block)?;
    }
    block.at.prepare_division(&mut block.bytes)?;
    block.write(dir, all.clone())?;
    sync(dir, &block)?;
    block.at.divide(&mut block.bytes)?;
    block.write(dir, all)?;
    match mutant!("division-late") {
        true => Ok(()),
        false => sync(dir, &block),
    }
}

/// Brings a block to stable storage. Sleeps.
fn sync(dir: &Inode, block: &Block) -> Result {
    if mutant!("division-unsynced") {
        return Ok(());
    }
    block.buffer.sync_dirty()?;
    flush(dir)
}
