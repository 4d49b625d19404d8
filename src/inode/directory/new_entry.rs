// SPDX-License-Identifier: GPL-2.0

//! Entries that are to be added to a directory.

use crate::ext2::directory::change::Insert;
use crate::ext2::directory::Name;
use crate::ext2::inode::FileType;
use crate::inode::directory::block::{at, changed, Buffers, InPlace};
use crate::types::Inode;
use crate::volume::fault::Result;
use kernel::prelude::*;

/// An entry that is to be added.
#[derive(Clone, Copy)]
pub(super) struct NewEntry<'a> {
    pub(super) name: Name<'a>,
    pub(super) ino: u32,
    pub(super) file_type: FileType,
}

impl NewEntry<'_> {
    /// Inserts it into block `index` of the directory, if there is room. Returns the block of the volume then. May
    /// sleep. `EEXIST` when there is such an entry in it.
    pub(super) fn insert(
        &self,
        dir: &Inode,
        buffers: &mut Buffers<'_>,
        index: u32,
    ) -> Result<Option<u64>> {
        let at = at(dir, index);
        let room = match at.find_room(buffers, self.name)? {
            Insert::Room(room) => room,
            Insert::Exists => return Err(EEXIST.into()),
            Insert::Full => return Ok(None),
        };
        let buffer = buffers.buffer(index)?;
        let mut block = InPlace(buffer);
        at.insert(&mut block, room, self.name, self.ino, self.file_type)?;
        changed(dir, buffer);
        Ok(Some(buffer.block()))
    }
}
