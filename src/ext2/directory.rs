// SPDX-License-Identifier: GPL-2.0

//! Directory blocks. What changes them is in [`change`].
//!
//! A directory block is a chain of entries that fills it exactly: an inode number (0 for an unused
//! entry), the length of the entry, the length of the name, the file type, the name. All functions
//! validate each entry before they use it, by the rules of Linux' ext2 and one more: the name of an
//! entry in use is not empty, and has neither `/` nor NUL. Who looks for a name, or for room, passes many others, and does not
//! validate the bytes of these.
//!
//! A directory with a hash index ([`index`]) can be read likewise: blocks of the index look like unused
//! entries. Who changes it without the index clears
//! [`InodeFlags::INDEX`](super::inode::InodeFlags::INDEX).

pub(crate) mod blocks;
pub(crate) mod change;
pub(crate) mod hash;
pub(crate) mod index;
pub(crate) mod order;
pub(crate) mod path;
mod rec_len;
pub(crate) mod rooms;
pub(crate) mod sector;
pub(crate) mod sectors;
pub(crate) mod split;
mod visit;

use zerocopy::{
    little_endian::{U16, U32},
    FromBytes,
};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{inode::FileType, Corrupt, Geometry, Place};
use rec_len::WHOLE;
use sector::sector;

/// Length of the longest name, in bytes.
pub(crate) const NAME_MAX: usize = 255;

/// The size in bytes of a directory of `size` bytes with `block` bytes more. `None` when it is more than
/// 2 GiB: e2fsck takes that for a fault, though the inode has 32 bits for it.
pub(crate) fn grown(size: u64, block: usize) -> Option<u64> {
    let size = size.checked_add(block as u64)?;
    (size < 1 << 31).then_some(size)
}

/// The part of an entry before the name, as it is on the disk.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    ino: U32,
    rec_len: U16,
    name_len: u8,
    /// The file type; without the feature `filetype`, the upper half of the length of the name,
    /// which is always 0.
    file_type: u8,
}

impl RawEntry {
    /// How many bytes the entry needs; 0 when it is unused.
    const fn used(&self) -> usize {
        match self.ino.get() {
            0 => 0,
            _ => needed(self.name_len),
        }
    }
}

const HEADER: usize = 8;
/// Length of the shortest possible entry: one byte of name, rounded up.
const SHORTEST: usize = 12;

const _: () = {
    assert!(size_of::<RawEntry>() == HEADER);
    assert!(needed(1) == SHORTEST);
};

/// The bytes that an entry with a name of `name_len` bytes needs.
const fn needed(name_len: u8) -> usize {
    (HEADER + name_len as usize).next_multiple_of(4)
}

/// A valid name for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    bytes: &'a [u8],
    len: u8,
}

impl<'a> Name<'a> {
    /// Checks that `bytes` is a name: 1 to 255 bytes, none of them `/` or 0.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        match u8::try_from(bytes.len()) {
            Ok(len) if len > 0 && !bytes.iter().any(|&b| b == b'/' || b == 0) => {
                Some(Name { bytes, len })
            }
            _ => None,
        }
    }

    /// Its bytes.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many they are.
    pub(crate) const fn len(&self) -> u8 {
        self.len
    }
}

/// The number of a file type in an entry.
pub(crate) const fn type_code(file_type: FileType) -> u8 {
    match file_type {
        FileType::Regular => 1,
        FileType::Directory => 2,
        FileType::CharDevice => 3,
        FileType::BlockDevice => 4,
        FileType::Fifo => 5,
        FileType::Socket => 6,
        FileType::Symlink => 7,
    }
}

/// The file type with a number in an entry; `None` for "unknown".
pub(crate) const fn type_from_code(code: u8) -> Option<FileType> {
    match code {
        1 => Some(FileType::Regular),
        2 => Some(FileType::Directory),
        3 => Some(FileType::CharDevice),
        4 => Some(FileType::BlockDevice),
        5 => Some(FileType::Fifo),
        6 => Some(FileType::Socket),
        7 => Some(FileType::Symlink),
        _ => None,
    }
}

/// The identity of a directory block, and what validating it needs besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirBlock {
    ino: u32,
    index: u32,
    start: u64,
    block_size: usize,
    inodes_count: u32,
    filetype: bool,
    metadata_csum: bool,
}

const BAD_NAME: &str = "name empty or with impossible bytes";

/// An entry in use whose name was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// Byte offset in the block.
    pub(crate) offset: usize,
    /// Length in bytes.
    pub(crate) rec_len: usize,
    /// Byte offset of the entry before it in the block.
    pub(crate) before: Option<usize>,
    /// Inode number.
    pub(crate) ino: u32,
    /// The file type; `None` when the entry has none.
    pub(crate) file_type: Option<FileType>,
    name_len: u8,
}

impl Located {
    /// Byte offset of the next entry in the block.
    const fn end(&self) -> usize {
        self.offset + self.rec_len
    }

    /// The entry before it, by byte offset, if that gets its bytes when it is removed: in another sector it could be
    /// longer when this one is still there on the device, or the other way round.
    fn merged_with(&self) -> Option<usize> {
        let before = self.before?;
        (sector(before) == sector(self.offset)).then_some(before)
    }

    /// How many bytes in one piece there are at most for other entries when it has been removed.
    pub(crate) fn room(&self) -> usize {
        self.end() - self.merged_with().unwrap_or(self.offset)
    }
}

/// A validated directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Byte offset in the block.
    pub(crate) offset: usize,
    /// Length in bytes: the next entry, or the end of the block, follows.
    pub(crate) rec_len: usize,
    /// Inode number; 0 for an entry that is not in use.
    pub(crate) ino: u32,
    /// The file type; `None` when the entry has none.
    pub(crate) file_type: Option<FileType>,
    /// The name. Not empty when the entry is in use.
    pub(crate) name: &'a [u8],
}

impl Entry<'_> {
    /// Byte offset of the next entry in the block.
    pub(crate) const fn end(&self) -> usize {
        self.offset + self.rec_len
    }

    /// The number of bytes that the entry needs; 0 when it is unused.
    const fn used(&self) -> usize {
        if self.ino == 0 {
            0
        } else {
            // A name has at most 255 bytes.
            needed(self.name.len() as u8)
        }
    }
}

/// The entries of a block. After an error there are no more.
#[derive(Clone)]
pub(crate) struct Entries<'a> {
    at: DirBlock,
    block: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.block.len() {
            return None;
        }
        let entry = self.at.parse_entry(self.block, self.offset);
        self.offset = match &entry {
            Ok(entry) => entry.end(),
            Err(_) => self.block.len(),
        };
        Some(entry)
    }
}

impl DirBlock {
    /// Its index in the directory.
    pub(crate) const fn index(&self) -> u32 {
        self.index
    }

    /// The block with index `index` of the directory with inode number `ino`.
    pub(crate) fn new(geometry: &Geometry, ino: u32, index: u32) -> Self {
        DirBlock {
            ino,
            index,
            start: u64::from(index) << geometry.block_bits(),
            block_size: geometry.block_size() as usize,
            inodes_count: geometry.inodes_count(),
            filetype: geometry.has_filetype(),
            metadata_csum: geometry.has_metadata_csum(),
        }
    }

    /// The place of the entry at byte `offset` of the block.
    pub(crate) fn place(&self, offset: usize) -> Place {
        Place::Directory {
            ino: self.ino,
            offset: self.start.saturating_add(offset as u64),
        }
    }

    fn bad(&self, offset: usize, what: &'static str, found: u64) -> Corrupt {
        Corrupt::found(self.place(offset), what, found)
    }

    fn check_len(&self, block: &[u8]) -> Result<(), Corrupt> {
        if block.len() == self.block_size {
            Ok(())
        } else {
            Err(self.bad(0, "not a whole block", block.len() as u64))
        }
    }

    /// Reads and validates the entry at `offset`.
    pub(crate) fn parse_entry<'a>(
        &self,
        block: &'a [u8],
        offset: usize,
    ) -> Result<Entry<'a>, Corrupt> {
        let rest = block.get(offset..).unwrap_or_default();
        let Ok((raw, _)) = RawEntry::ref_from_prefix(rest) else {
            return Err(self.bad(offset, "entry crosses the end of its block", 0));
        };
        let rec_len = self.check(raw, offset, rest.len())?;
        let ino = raw.ino.get();
        let name = rest.get(HEADER..HEADER + usize::from(raw.name_len));
        let name = name.unwrap_or_default();
        if ino != 0 && Name::new(name).is_none() {
            return Err(self.bad(offset, BAD_NAME, ino.into()));
        }
        Ok(Entry {
            offset,
            rec_len,
            ino,
            file_type: self.file_type(raw),
            name,
        })
    }

    const fn file_type(&self, raw: &RawEntry) -> Option<FileType> {
        match self.filetype {
            true => type_from_code(raw.file_type),
            false => None,
        }
    }

    /// Validates the entry at `offset`, which has `left` bytes to the end of its block, but for the bytes of its
    /// name. Returns its length.
    #[inline(always)]
    fn check(&self, raw: &RawEntry, offset: usize, left: usize) -> Result<usize, Corrupt> {
        let rec_len = usize::from(raw.rec_len.get());
        let ino = raw.ino.get();
        // A multiple of 4 with room for one byte of a name is not shorter than possible.
        let has_room = match raw.name_len {
            0 => rec_len >= SHORTEST && ino == 0,
            len => rec_len >= HEADER + usize::from(len),
        };
        let fits = has_room && rec_len % 4 == 0 && rec_len <= left && ino <= self.inodes_count;
        match fits {
            true => Ok(rec_len),
            false => self.check_whole(raw, offset, left),
        }
    }

    /// The same of an entry with a length that is none, or is not right: in blocks of 64 KiB it can stand for that of
    /// a whole block, which 16 bits do not hold.
    #[cold]
    fn check_whole(&self, raw: &RawEntry, offset: usize, left: usize) -> Result<usize, Corrupt> {
        let is_whole = rec_len::from_disk(raw.rec_len, self.block_size) == WHOLE
            && left == WHOLE
            && raw.ino.get() <= self.inodes_count
            && (raw.name_len > 0 || raw.ino.get() == 0);
        match is_whole && !cfg!(mutant = "whole-entry-unread") {
            true => Ok(WHOLE),
            false => Err(self.broken(raw, offset, left)),
        }
    }

    /// What is wrong with an entry that [`DirBlock::check`] does not let pass.
    #[cold]
    fn broken(&self, raw: &RawEntry, offset: usize, left: usize) -> Corrupt {
        let rec_len = rec_len::from_disk(raw.rec_len, self.block_size);
        let (what, found) = if rec_len < SHORTEST {
            ("entry shorter than possible", rec_len as u64)
        } else if rec_len % 4 != 0 {
            ("length of an entry not a multiple of 4", rec_len as u64)
        } else if rec_len > left {
            ("entry crosses the end of its block", rec_len as u64)
        } else if needed(raw.name_len) > rec_len {
            ("entry too short for its name", raw.name_len.into())
        } else if raw.ino.get() > self.inodes_count {
            (
                "entry of an inode that does not exist",
                raw.ino.get().into(),
            )
        } else {
            (BAD_NAME, raw.ino.get().into())
        };
        self.bad(offset, what, found)
    }

    /// The entries of `block`, including unused ones.
    ///
    /// To continue at an offset seen before, when the block may have changed since, take the
    /// entries from the start and skip those at lower offsets: the offset may be inside an entry
    /// now.
    pub(crate) const fn entries<'a>(&self, block: &'a [u8]) -> Entries<'a> {
        Entries {
            at: *self,
            block,
            offset: 0,
        }
    }

    /// Whether `block` has no entries but `.`, with the inode of the directory itself, and `..`.
    ///
    /// # Errors
    ///
    /// An entry breaks the rules.
    pub(crate) fn is_empty(&self, block: &[u8]) -> Result<bool, Corrupt> {
        self.check_len(block)?;
        for entry in self.entries(block) {
            let entry = entry?;
            let expected = match entry.name {
                b"." => entry.ino == self.ino,
                b".." => true,
                _ => false,
            };
            if entry.ino != 0 && !expected {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
