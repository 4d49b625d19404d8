// SPDX-License-Identifier: GPL-2.0

//! Changing directory blocks.

use super::{blocks::One, needed, type_code, DirBlock, Located, Name, RawEntry, HEADER, SHORTEST};
use crate::ext2::{inode::FileType, Corrupt};
use core::ops::Range;
use zerocopy::{
    little_endian::{U16, U32},
    FromBytes, IntoBytes,
};

/// The result of [`DirBlock::insert`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Insert {
    /// The entry was inserted; the bytes that changed.
    Done(Range<usize>),
    /// There is already an entry with the name; nothing changed.
    Exists,
    /// There is no room in the block; nothing changed.
    Full,
}

/// The result of [`DirBlock::remove`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    /// The inode of the entry.
    pub(crate) ino: u32,
    /// The bytes that changed.
    pub(crate) changed: Range<usize>,
}

impl DirBlock {
    /// Inserts an entry into `block`: in place of an unused entry, or in the slack after an entry.
    ///
    /// # Errors
    ///
    /// An entry breaks the rules; nothing changed.
    pub(crate) fn insert(
        &self,
        block: &mut [u8],
        name: Name<'_>,
        ino: u32,
        file_type: FileType,
    ) -> Result<Insert, Corrupt> {
        self.check_len(block)?;
        let want = needed(name.len);
        let mut room: Option<(usize, usize, usize)> = None;
        // To the end of the block, as the name may exist after the room.
        let mut offset = 0;
        while offset < block.len() {
            let rest = block.get(offset..).unwrap_or_default();
            let Ok((raw, _)) = RawEntry::ref_from_prefix(rest) else {
                return Err(self.bad(offset, "entry crosses the end of its block", 0));
            };
            let rec_len = self.check(raw, offset, rest.len())?;
            if raw.is(rest, name) {
                return Ok(Insert::Exists);
            }
            let used = match raw.ino.get() {
                0 => 0,
                _ => needed(raw.name_len),
            };
            if room.is_none() && rec_len >= used + want {
                room = Some((offset, used, rec_len));
            }
            offset += rec_len;
        }
        let Some((offset, used, rec_len)) = room else {
            return Ok(Insert::Full);
        };
        if used > 0 {
            self.set_rec_len(block, offset, used)?;
        }
        let start = offset + used;
        let end = self.write_entry(block, start, rec_len - used, name, ino, file_type)?;
        Ok(Insert::Done(offset..end))
    }

    /// Removes the entry `name` from `block`, by merging it with the one before it; `None` if there
    /// is none.
    ///
    /// # Errors
    ///
    /// An entry up to there breaks the rules; nothing changed.
    pub(crate) fn remove(
        &self,
        block: &mut [u8],
        name: Name<'_>,
    ) -> Result<Option<Removed>, Corrupt> {
        self.check_len(block)?;
        let Some(Located {
            offset,
            rec_len,
            before,
            ino,
            ..
        }) = self.find_in(&mut One(block), 0, name)?
        else {
            return Ok(None);
        };
        let end = offset + rec_len;
        let start = before.unwrap_or(offset);
        if before.is_some() {
            self.set_rec_len(block, start, end - start)?;
        }
        // The first entry of a block is not merged, and becomes unused. A merged one gets inode 0
        // too, so that what remains of it in the slack does not look like an entry in use.
        self.raw_mut(block, offset)?.ino.set(0);
        let changed = start..offset + HEADER;
        Ok(Some(Removed { ino, changed }))
    }

    /// Points the entry `name` to inode `ino` of type `file_type`; `None` if there is none. Returns
    /// the bytes that changed.
    ///
    /// # Errors
    ///
    /// An entry up to there breaks the rules; nothing changed.
    pub(crate) fn set_inode(
        &self,
        block: &mut [u8],
        name: Name<'_>,
        ino: u32,
        file_type: FileType,
    ) -> Result<Option<Range<usize>>, Corrupt> {
        self.check_len(block)?;
        let Some(Located { offset, .. }) = self.find_in(&mut One(block), 0, name)? else {
            return Ok(None);
        };
        let code = self.code(file_type);
        let raw = self.raw_mut(block, offset)?;
        raw.ino.set(ino);
        raw.file_type = code;
        Ok(Some(offset..offset + HEADER))
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
        self.check_len(block)?;
        block.fill(0);
        let rest = self.block_size.saturating_sub(SHORTEST);
        self.write_entry(block, 0, SHORTEST, DOT, self.ino, FileType::Directory)?;
        self.write_entry(block, SHORTEST, rest, DOTDOT, parent, FileType::Directory)?;
        Ok(())
    }

    /// Initialises `block` as a block of one unused entry, to be appended to the directory.
    ///
    /// # Errors
    ///
    /// `block` is not of the size of a block.
    pub(crate) fn init_empty(&self, block: &mut [u8]) -> Result<(), Corrupt> {
        self.check_len(block)?;
        block.fill(0);
        self.set_rec_len(block, 0, self.block_size)
    }

    fn code(&self, file_type: FileType) -> u8 {
        if self.filetype {
            type_code(file_type)
        } else {
            0
        }
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
        // At most the size of a block, 4 KiB.
        raw.rec_len.set(rec_len as u16);
        Ok(())
    }

    /// Writes an entry of `rec_len` bytes; returns the end of what it wrote.
    fn write_entry(
        &self,
        block: &mut [u8],
        offset: usize,
        rec_len: usize,
        name: Name<'_>,
        ino: u32,
        file_type: FileType,
    ) -> Result<usize, Corrupt> {
        let start = offset + HEADER;
        let end = start + name.bytes.len();
        let Some(place) = block.get_mut(start..end) else {
            return Err(self.bad(offset, "entry crosses the end of its block", 0));
        };
        place.copy_from_slice(name.bytes);
        let raw = RawEntry {
            ino: U32::new(ino),
            rec_len: U16::new(rec_len as u16),
            name_len: name.len,
            file_type: self.code(file_type),
        };
        if let Some(header) = block.get_mut(offset..start) {
            header.copy_from_slice(raw.as_bytes());
        }
        Ok(end)
    }
}
