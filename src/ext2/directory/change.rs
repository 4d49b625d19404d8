// SPDX-License-Identifier: GPL-2.0

//! Changing directory blocks.

use super::{
    blocks::{ChangeDirBlocks, DirBlocks, One},
    needed, rec_len,
    sector::{is_in_one, sector, SECTOR},
    sectors::Slack,
    type_code,
    visit::{Finder, Passed, Visit},
    DirBlock, Located, Name, RawEntry, HEADER, SHORTEST,
};
use crate::ext2::{inode::FileType, Corrupt};
use core::mem::offset_of;
use zerocopy::{little_endian::U32, FromBytes, IntoBytes};

/// Where there is room for an entry: behind what another one uses of its bytes, or in the place of an unused one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Byte offset of the entry that has it.
    offset: usize,
    /// How many bytes that one needs; 0 if it is unused.
    used: usize,
    /// How many it has.
    rec_len: usize,
}

impl Room {
    /// The sector of the block that it is in.
    pub(crate) const fn sector(&self) -> usize {
        sector(self.offset)
    }
}

/// What [`DirBlock::find_room`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Insert {
    /// The entry can be inserted there.
    Room(Room),
    /// There is an entry with the name, before any room.
    Exists,
    /// There is room when the slack of the block has been divided ([`super::sectors`]).
    Undivided,
    /// There is no room in the block.
    Full,
}

/// Looks for an entry with a name, and for room for one.
struct RoomFinder<'a> {
    finder: Finder<'a>,
    /// How many bytes are needed.
    want: usize,
    near: Option<usize>,
    room: Option<Room>,
    /// There is no better one.
    is_best: bool,
    /// There would be some across the end of a sector.
    is_undivided: bool,
}

impl<'a> RoomFinder<'a> {
    fn new(name: Name<'a>, near: Option<usize>) -> Self {
        RoomFinder {
            finder: Finder::new(name),
            want: needed(name.len),
            near,
            room: None,
            is_best: false,
            is_undivided: false,
        }
    }

    /// An entry has room behind its name.
    fn found(&mut self, offset: usize, used: usize, rec_len: usize) {
        let want = self.want;
        if !is_in_one(offset, used + want) {
            let slack = Slack::of(offset, used, rec_len);
            self.is_undivided |= slack.is_some_and(|slack| slack.has_room(want));
            return;
        }
        let twice = used + 2 * want;
        self.is_best = match self.near {
            Some(near) => near == sector(offset),
            None => rec_len >= twice && is_in_one(offset, twice),
        };
        if self.is_best || self.room.is_none() {
            self.room = Some(Room {
                offset,
                used,
                rec_len,
            });
        }
    }
}

impl Visit for RoomFinder<'_> {
    type Found = Passed;

    #[inline(always)]
    fn visit(
        &mut self,
        raw: &RawEntry,
        entry: &[u8],
        offset: usize,
        rec_len: usize,
    ) -> Option<Passed> {
        let found = self.finder.visit(raw, entry, offset, rec_len);
        if found.is_none() {
            let used = raw.used();
            if rec_len >= used + self.want && !self.is_best {
                self.found(offset, used, rec_len);
            }
        }
        found
    }
}

impl DirBlock {
    /// Looks for room for an entry with `name`, to the end of the block: the name may be there behind the room. Room
    /// in the sector `near` is best; where none is wanted, room for two: then a rename of the name finds room beside it, and
    /// what replaces a file is often made and renamed.
    ///
    /// # Errors
    ///
    /// An entry breaks the rules.
    pub(crate) fn find_room<B: DirBlocks>(
        &self,
        blocks: &mut B,
        name: Name<'_>,
        near: Option<usize>,
    ) -> Result<Insert, B::Error> {
        let mut rooms = RoomFinder::new(name, near);
        let exists = self.visit_for_room(blocks, name, &mut rooms)?;
        Ok(match (exists, rooms.room) {
            (Some(_), _) => Insert::Exists,
            (None, Some(room)) => Insert::Room(room),
            (None, None) if rooms.is_undivided => Insert::Undivided,
            (None, None) => Insert::Full,
        })
    }

    /// Looks for the entry with `name`, as [`DirBlock::find_in`] does, or else for room for one, as [`DirBlock::find_room`].
    ///
    /// # Errors
    ///
    /// An entry that was passed breaks the rules.
    pub(crate) fn find_or_room<B: DirBlocks>(
        &self,
        blocks: &mut B,
        name: Name<'_>,
    ) -> Result<Result<Located, Option<Room>>, B::Error> {
        let mut rooms = RoomFinder::new(name, None);
        let found = self.visit_for_room(blocks, name, &mut rooms)?;
        Ok(found
            .map(|passed| self.located(&passed, &rooms.finder))
            .ok_or(rooms.room))
    }

    /// [`DirBlock::visit`] for room. There is one of it, so that the loop is a part of that.
    #[inline(never)]
    fn visit_for_room<B: DirBlocks>(
        &self,
        blocks: &mut B,
        name: Name<'_>,
        rooms: &mut RoomFinder<'_>,
    ) -> Result<Option<Passed>, B::Error> {
        self.visit(blocks, name, rooms)
    }

    /// Inserts an entry where `room` was found for it. Until the last write nothing leads to its bytes.
    pub(crate) fn insert<B: ChangeDirBlocks>(
        &self,
        blocks: &mut B,
        room: Room,
        name: Name<'_>,
        ino: u32,
        file_type: FileType,
    ) -> Result<(), B::Error> {
        let start = room.offset + room.used;
        let raw = self.raw(ino, room.rec_len - room.used, name.len, file_type);
        blocks.write(self.index, start + HEADER, name.bytes)?;
        blocks.write(self.index, start, raw.as_bytes())?;
        match room.used {
            0 => Ok(()),
            used => self.write_rec_len(blocks, room.offset, used),
        }
    }

    /// Removes the entry that was found, by merging it with the one before it in its sector.
    pub(crate) fn remove<B: ChangeDirBlocks>(
        &self,
        blocks: &mut B,
        found: &Located,
    ) -> Result<(), B::Error> {
        if let Some(before) = found.merged_with() {
            self.write_rec_len(blocks, before, found.end() - before)?;
        }
        // The first entry of a sector is not merged, and becomes unused. A merged one gets inode 0
        // too, so that what remains of it in the slack does not look like an entry in use.
        blocks.write(self.index, found.offset, U32::ZERO.as_bytes())
    }

    /// Puts an entry back that was found, and removed since or pointed elsewhere, by [`DirBlock::remove`] or
    /// [`DirBlock::set_inode`]: nothing was inserted into the block meanwhile.
    pub(crate) fn put_back<B: ChangeDirBlocks>(
        &self,
        blocks: &mut B,
        found: &Located,
        ino: u32,
        file_type: FileType,
    ) -> Result<(), B::Error> {
        self.set_inode(blocks, found, ino, file_type)?;
        match found.merged_with() {
            Some(before) => self.write_rec_len(blocks, before, found.offset - before),
            None => Ok(()),
        }
    }

    /// Points the entry that was found to inode `ino` of type `file_type`, by a single write.
    pub(crate) fn set_inode<B: ChangeDirBlocks>(
        &self,
        blocks: &mut B,
        found: &Located,
        ino: u32,
        file_type: FileType,
    ) -> Result<(), B::Error> {
        let raw = self.raw(ino, found.rec_len, found.name_len, file_type);
        blocks.write(self.index, found.offset, raw.as_bytes())
    }

    /// Sets the length of the entry at `offset`.
    fn write_rec_len<B: ChangeDirBlocks>(
        &self,
        blocks: &mut B,
        offset: usize,
        rec_len: usize,
    ) -> Result<(), B::Error> {
        let rec_len = rec_len::to_disk(rec_len);
        blocks.write(
            self.index,
            offset + offset_of!(RawEntry, rec_len),
            rec_len.as_bytes(),
        )
    }

    fn raw(&self, ino: u32, rec_len: usize, name_len: u8, file_type: FileType) -> RawEntry {
        let file_type = match self.filetype {
            true => type_code(file_type),
            false => 0,
        };
        RawEntry {
            ino: U32::new(ino),
            rec_len: rec_len::to_disk(rec_len),
            name_len,
            file_type,
        }
    }

    /// Initialises `block` as the first block of a new directory, with `.` and `..`.
    ///
    /// # Errors
    ///
    /// `block` is not of the size of a block.
    pub(crate) fn init_first(&self, block: &mut [u8], parent: u32) -> Result<(), Corrupt> {
        const DOT: Name<'static> = Name {
            bytes: b".",
            len: 1,
        };
        const DOTDOT: Name<'static> = Name {
            bytes: b"..",
            len: 2,
        };
        self.init_empty(block)?;
        let whole = Room {
            offset: 0,
            used: 0,
            rec_len: SECTOR,
        };
        let behind = Room {
            used: SHORTEST,
            ..whole
        };
        let mut block = One(block);
        self.insert(&mut block, whole, DOT, self.ino, FileType::Directory)?;
        self.insert(&mut block, behind, DOTDOT, parent, FileType::Directory)
    }

    /// Initialises `block` as a block of one unused entry, which a node of an index looks like.
    pub(super) fn init_whole(&self, block: &mut [u8]) -> Result<(), Corrupt> {
        self.check_len(block)?;
        block.fill(0);
        self.set_rec_len(block, 0, self.block_size)
    }

    pub(super) fn raw_mut<'a>(
        &self,
        block: &'a mut [u8],
        offset: usize,
    ) -> Result<&'a mut RawEntry, Corrupt> {
        match block.get_mut(offset..).map(RawEntry::mut_from_prefix) {
            Some(Ok((raw, _))) => Ok(raw),
            _ => Err(self.bad(offset, "entry crosses the end of its block", 0)),
        }
    }

    pub(super) fn set_rec_len(
        &self,
        block: &mut [u8],
        offset: usize,
        rec_len: usize,
    ) -> Result<(), Corrupt> {
        let raw = self.raw_mut(block, offset)?;
        raw.rec_len = rec_len::to_disk(rec_len);
        Ok(())
    }
}
