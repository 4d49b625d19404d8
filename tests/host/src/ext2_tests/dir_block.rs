// SPDX-License-Identifier: GPL-2.0

//! A directory block in memory that is looked at and changed by names.

use std::ops::Range;

use crate::ext2::{
    directory::{
        blocks::{ChangeDirBlocks, DirBlocks, One},
        change::Insert,
        DirBlock, Entry, Located, Name,
    },
    inode::FileType,
    Corrupt,
};

/// What became of a name that was to be inserted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It was, and these bytes were written.
    Done(Range<usize>),
    Exists,
    Full,
}

/// An entry that was removed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) ino: u32,
    /// These bytes were written.
    pub(super) changed: Range<usize>,
}

/// Takes note of what is written.
struct Watched<'a> {
    block: One<'a>,
    changed: Range<usize>,
}

impl DirBlocks for Watched<'_> {
    type Error = Corrupt;

    fn count(&self) -> u32 {
        self.block.count()
    }

    fn read(&mut self, index: u32, offset: usize, out: &mut [u8]) -> Result<(), Corrupt> {
        self.block.read(index, offset, out)
    }
}

impl ChangeDirBlocks for Watched<'_> {
    fn write(&mut self, index: u32, offset: usize, bytes: &[u8]) -> Result<(), Corrupt> {
        let end = offset + bytes.len();
        self.changed = match self.changed.is_empty() {
            true => offset..end,
            false => self.changed.start.min(offset)..self.changed.end.max(end),
        };
        self.block.write(index, offset, bytes)
    }
}

fn watched(block: &mut [u8]) -> Watched<'_> {
    Watched {
        block: One(block),
        changed: 0..0,
    }
}

pub(super) trait ByName {
    fn find<'a>(&self, block: &'a [u8], name: Name<'_>) -> Result<Option<Entry<'a>>, Corrupt>;

    fn insert_name(
        &self,
        block: &mut [u8],
        name: Name<'_>,
        ino: u32,
        file_type: FileType,
    ) -> Result<Inserted, Corrupt>;

    fn remove_name(&self, block: &mut [u8], name: Name<'_>) -> Result<Option<Removed>, Corrupt>;

    /// Returns the bytes that were written.
    fn set_inode_of(
        &self,
        block: &mut [u8],
        name: Name<'_>,
        ino: u32,
        file_type: FileType,
    ) -> Result<Option<Range<usize>>, Corrupt>;
}

fn located(at: &DirBlock, block: &[u8], name: Name<'_>) -> Result<Option<Located>, Corrupt> {
    let found = at.find_in(&mut One(&mut block.to_vec()), name)?;
    // Who looks for room, too, finds the same, or the room that is found without a look for the name.
    match at.find_or_room(&mut One(&mut block.to_vec()), name)? {
        Ok(entry) => assert_eq!(found, Some(entry)),
        Err(room) => {
            assert_eq!(found, None);
            let expected = match at.find_room(&mut One(&mut block.to_vec()), name, None)? {
                Insert::Room(room) => Some(room),
                _ => None,
            };
            assert_eq!(room, expected);
        }
    }
    Ok(found)
}

impl ByName for DirBlock {
    fn find<'a>(&self, block: &'a [u8], name: Name<'_>) -> Result<Option<Entry<'a>>, Corrupt> {
        match located(self, block, name)? {
            Some(found) => self.parse_entry(block, found.offset).map(Some),
            None => Ok(None),
        }
    }

    fn insert_name(
        &self,
        block: &mut [u8],
        name: Name<'_>,
        ino: u32,
        file_type: FileType,
    ) -> Result<Inserted, Corrupt> {
        let mut changed = 0..0;
        let mut found = self.find_room(&mut One(block), name, None)?;
        if found == Insert::Undivided {
            self.prepare_division(block)?;
            self.divide(block)?;
            found = self.find_room(&mut One(block), name, None)?;
            assert!(matches!(found, Insert::Room(_)));
            changed = 0..block.len();
        }
        let mut block = Watched {
            changed,
            ..watched(block)
        };
        Ok(match found {
            Insert::Room(room) => {
                self.insert(&mut block, room, name, ino, file_type)?;
                Inserted::Done(block.changed)
            }
            Insert::Exists => Inserted::Exists,
            Insert::Undivided | Insert::Full => Inserted::Full,
        })
    }

    fn remove_name(&self, block: &mut [u8], name: Name<'_>) -> Result<Option<Removed>, Corrupt> {
        let Some(found) = located(self, block, name)? else {
            return Ok(None);
        };
        let mut block = watched(block);
        self.remove(&mut block, &found)?;
        let (ino, changed) = (found.ino, block.changed);
        Ok(Some(Removed { ino, changed }))
    }

    fn set_inode_of(
        &self,
        block: &mut [u8],
        name: Name<'_>,
        ino: u32,
        file_type: FileType,
    ) -> Result<Option<Range<usize>>, Corrupt> {
        let Some(found) = located(self, block, name)? else {
            return Ok(None);
        };
        let mut block = watched(block);
        self.set_inode(&mut block, &found, ino, file_type)?;
        Ok(Some(block.changed))
    }
}
