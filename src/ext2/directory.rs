// SPDX-License-Identifier: GPL-2.0

//! Blocks of directories.
//!
//! Each block of a directory is a chain of entries that fills it exactly: an inode number (0 for
//! an entry that is not in use), the length of the entry, the length of the name, the type of the
//! file, the name. All functions here check each entry before they use it, with the rules of
//! Linux' ext2 and one more: a name that is in use is not empty and holds neither `/` nor a 0 byte.
//!
//! A directory with a hash index is, block by block, also a chain of entries, in which the blocks
//! of the index appear as entries not in use; so it can be read. Who changes it clears
//! [`InodeFlags::INDEX`](super::inode::InodeFlags::INDEX), as the index is not kept up to date.

use core::ops::Range;

use zerocopy::{
    little_endian::{U16, U32},
    FromBytes, IntoBytes,
};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{inode::FileType, Corrupt, Geometry, Place};

/// Length of the longest name, in bytes.
pub(crate) const NAME_MAX: usize = 255;

/// The size in bytes of a directory of `size` bytes with one more block of `block` bytes. `None` when
/// it would not fit into the 32 bits that the inode has for it.
pub(crate) fn grown(size: u64, block: usize) -> Option<u64> {
    let size = size.checked_add(block as u64)?;
    (size <= u32::MAX.into()).then_some(size)
}

/// The part of an entry before the name, as it is on the disk.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    ino: U32,
    rec_len: U16,
    name_len: u8,
    /// The type of the file; without the feature `filetype`, the always unused upper half of
    /// the length of the name.
    file_type: u8,
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

/// A name that can be put into a directory.
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
}

/// The number that stands for a file type in an entry.
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

/// The file type for which a number in an entry stands; `None` for "unknown".
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

/// Which block of which directory: what the functions must know besides the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirBlock {
    ino: u32,
    start: u64,
    block_size: usize,
    inodes_count: u32,
    filetype: bool,
}

/// An entry of a directory, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Byte offset in the block.
    pub(crate) offset: usize,
    /// Length in bytes: the next entry, or the end of the block, follows.
    pub(crate) rec_len: usize,
    /// Inode number; 0 for an entry that is not in use.
    pub(crate) ino: u32,
    /// The type of the file; `None` when the directory does not tell.
    pub(crate) file_type: Option<FileType>,
    /// The name. Not empty when the entry is in use.
    pub(crate) name: &'a [u8],
}

impl Entry<'_> {
    /// Byte offset of the next entry in the block.
    pub(crate) const fn end(&self) -> usize {
        self.offset + self.rec_len
    }

    /// Bytes that the entry needs: none when it is not in use.
    const fn used(&self) -> usize {
        if self.ino == 0 {
            0
        } else {
            // A name has at most 255 bytes.
            needed(self.name.len() as u8)
        }
    }
}

/// The result of [`DirBlock::insert`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Insert {
    /// The entry is in; the bytes that changed.
    Done(Range<usize>),
    /// There is already an entry with the name; nothing changed.
    Exists,
    /// There is no room in the block; nothing changed.
    Full,
}

/// The result of [`DirBlock::remove`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    /// The inode that the entry led to.
    pub(crate) ino: u32,
    /// The bytes that changed.
    pub(crate) changed: Range<usize>,
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
    /// The block with index `index` of the directory with inode number `ino`.
    pub(crate) fn new(geometry: &Geometry, ino: u32, index: u32) -> Self {
        DirBlock {
            ino,
            start: u64::from(index) << geometry.block_bits(),
            block_size: geometry.block_size() as usize,
            inodes_count: geometry.inodes_count(),
            filetype: geometry.has_filetype(),
        }
    }

    fn place(&self, offset: usize) -> Place {
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

    /// Reads and checks the entry at `offset`.
    fn parse_entry<'a>(&self, block: &'a [u8], offset: usize) -> Result<Entry<'a>, Corrupt> {
        let rest = block.get(offset..).unwrap_or_default();
        let Ok((raw, _)) = RawEntry::ref_from_prefix(rest) else {
            return Err(self.bad(offset, "entry crosses the end of its block", 0));
        };
        let rec_len = usize::from(raw.rec_len.get());
        if rec_len < SHORTEST {
            return Err(self.bad(offset, "entry shorter than possible", rec_len as u64));
        }
        if rec_len % 4 != 0 {
            return Err(self.bad(
                offset,
                "length of an entry not a multiple of 4",
                rec_len as u64,
            ));
        }
        if rec_len > rest.len() {
            return Err(self.bad(offset, "entry crosses the end of its block", rec_len as u64));
        }
        let name_len = raw.name_len;
        let name = match rest.get(HEADER..HEADER + usize::from(name_len)) {
            Some(name) if needed(name_len) <= rec_len => name,
            _ => return Err(self.bad(offset, "entry too short for its name", name_len.into())),
        };
        let ino = raw.ino.get();
        if ino > self.inodes_count {
            return Err(self.bad(offset, "entry of an inode that does not exist", ino.into()));
        }
        if ino != 0 && Name::new(name).is_none() {
            return Err(self.bad(offset, "name empty or with impossible bytes", ino.into()));
        }
        Ok(Entry {
            offset,
            rec_len,
            ino,
            file_type: if self.filetype {
                type_from_code(raw.file_type)
            } else {
                None
            },
            name,
        })
    }

    /// The entries of `block`, those not in use among them.
    ///
    /// To go on at an offset seen before, after the block may have changed, take the entries from
    /// the start and skip those at lower offsets: an entry may begin there no more.
    pub(crate) const fn entries<'a>(&self, block: &'a [u8]) -> Entries<'a> {
        Entries {
            at: *self,
            block,
            offset: 0,
        }
    }

    /// Looks for the entry with `name`.
    ///
    /// # Errors
    ///
    /// An entry before it, or any entry if it is not there, breaks the rules.
    pub(crate) fn find<'a>(
        &self,
        block: &'a [u8],
        name: Name<'_>,
    ) -> Result<Option<Entry<'a>>, Corrupt> {
        self.check_len(block)?;
        for entry in self.entries(block) {
            let entry = entry?;
            if entry.ino != 0 && entry.name == name.bytes {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Whether `block` has no entries but `.`, which must lead to the directory itself, and `..`.
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

    /// Puts an entry into `block`, where there is room: in an entry not in use, or after an entry
    /// that is longer than it needs to be.
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
        // All of the block is looked at, to find the same name after the room.
        for entry in self.entries(block) {
            let entry = entry?;
            if entry.ino != 0 && entry.name == name.bytes {
                return Ok(Insert::Exists);
            }
            let used = entry.used();
            if room.is_none() && entry.rec_len >= used + want {
                room = Some((entry.offset, used, entry.rec_len));
            }
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

    /// Takes the entry with `name` out of `block`; `None` if there is none. Its room goes to the
    /// entry before it.
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
        let mut before: Option<usize> = None;
        let mut target = None;
        for entry in self.entries(block) {
            let entry = entry?;
            if entry.ino != 0 && entry.name == name.bytes {
                target = Some((entry.offset, entry.end(), entry.ino));
                break;
            }
            before = Some(entry.offset);
        }
        let Some((offset, end, ino)) = target else {
            return Ok(None);
        };
        let start = before.unwrap_or(offset);
        if before.is_some() {
            self.set_rec_len(block, start, end - start)?;
        }
        // The first entry of a block has none before it, and stays as one not in use. One that
        // was merged is marked too, as a help to who looks for lost files.
        self.raw_mut(block, offset)?.ino.set(0);
        let changed = start..offset + HEADER;
        Ok(Some(Removed { ino, changed }))
    }

    /// Lets the entry with `name` lead to inode `ino`, a file of type `file_type`; `None` if
    /// there is none. Returns the bytes that changed.
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
        let Some(offset) = self.find(block, name)?.map(|entry| entry.offset) else {
            return Ok(None);
        };
        let code = self.code(file_type);
        let raw = self.raw_mut(block, offset)?;
        raw.ino.set(ino);
        raw.file_type = code;
        Ok(Some(offset..offset + HEADER))
    }

    /// Makes `block` the first block of this, new, directory: `.` and `..`.
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

    /// Makes `block` a block without entries in use, to be appended to the directory.
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

    fn raw_mut<'a>(&self, block: &'a mut [u8], offset: usize) -> Result<&'a mut RawEntry, Corrupt> {
        match block.get_mut(offset..).map(RawEntry::mut_from_prefix) {
            Some(Ok((raw, _))) => Ok(raw),
            _ => Err(self.bad(offset, "entry crosses the end of its block", 0)),
        }
    }

    fn set_rec_len(&self, block: &mut [u8], offset: usize, rec_len: usize) -> Result<(), Corrupt> {
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
