// SPDX-License-Identifier: GPL-2.0

//! Entries of a directory that were looked for in one of its blocks.

use crate::ext2::directory::change::Room;
use crate::ext2::directory::{DirBlock, Located, Name};
use crate::ext2::inode::FileType;
use crate::ext2::{Corrupt, Place};
use crate::inode::directory::block::{at, Buffers};
use crate::types::Inode;
use crate::volume::fault::{Fault, Result};
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
use kfs::task::fatal_signal_pending;

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

/// An entry that was looked for, and the block that it is in.
pub(super) struct Named {
    pub(super) at: DirBlock,
    pub(super) buffer: BufferHead,
    pub(super) entry: Located,
}

impl Named {
    /// What it leads to.
    pub(super) fn found(&self) -> Found {
        Found {
            ino: self.entry.ino,
            file_type: self.entry.file_type,
            place: self.at.place(self.entry.offset),
            block: self.buffer.block(),
        }
    }
}

/// A name that is looked for, and room for it if that is wanted.
pub(super) struct Search<'a> {
    pub(super) name: Name<'a>,
    wants_room: bool,
    /// In how many blocks it was looked for, and room in one of them.
    blocks: u32,
    room: Option<(u32, Room)>,
}

impl<'a> Search<'a> {
    /// For the name.
    pub(super) fn new(name: Name<'a>) -> Self {
        Search {
            name,
            wants_room: false,
            blocks: 0,
            room: None,
        }
    }

    /// For room, too.
    pub(super) fn with_room(name: Name<'a>) -> Self {
        Search {
            wants_room: true,
            ..Self::new(name)
        }
    }

    /// Looks in block `index` of a directory.
    pub(super) fn in_block(
        &mut self,
        dir: &Inode,
        buffers: &mut Buffers<'_>,
        index: u32,
    ) -> Result<Option<Named>> {
        // Where a name may be in several blocks, who inserts it looks for room.
        let wants_room = self.wants_room && self.blocks == 0;
        self.blocks = self.blocks.saturating_add(1);
        if !wants_room {
            return find_in_block(dir, buffers, index, self.name);
        }
        if fatal_signal_pending() {
            return Err(EINTR.into());
        }
        let at = at(dir, index);
        match at.find_or_room(buffers, self.name)? {
            Ok(entry) => {
                let buffer = buffers.buffer(index)?.get();
                Ok(Some(Named { at, buffer, entry }))
            }
            Err(room) => {
                self.room = room.map(|room| (index, room));
                Ok(None)
            }
        }
    }

    /// The block in which the name can be inserted, as no other one could have it, and room in that.
    pub(super) fn only_room(&self) -> Option<(u32, Room)> {
        self.room.filter(|_| self.blocks == 1)
    }
}

/// Looks for `name` in block `index` of a directory.
pub(super) fn find_in_block(
    dir: &Inode,
    buffers: &mut Buffers<'_>,
    index: u32,
    name: Name<'_>,
) -> Result<Option<Named>> {
    if fatal_signal_pending() {
        return Err(EINTR.into());
    }
    let at = at(dir, index);
    let Some(entry) = at.find_in(buffers, name)? else {
        return Ok(None);
    };
    let buffer = buffers.buffer(index)?.get();
    Ok(Some(Named { at, buffer, entry }))
}
