// SPDX-License-Identifier: GPL-2.0

//! Passing the entries of a block, to find one with a name, or room for one.
//!
//! Names of other entries are compared, and not validated: a search passes each of them many times.

use super::{
    blocks::{DirBlocks, WINDOW},
    DirBlock, Located, Name, RawEntry, HEADER, NAME_MAX,
};
use crate::ext2::Corrupt;
use zerocopy::FromBytes;

const _: () = assert!(WINDOW >= HEADER + NAME_MAX);

/// A name that is looked for among many.
struct Wanted<'a> {
    name: Name<'a>,
    /// Where it ends in an entry.
    end: usize,
    /// The last bytes of an entry with the name, and those of them that are of the name.
    tail: u64,
    mask: u64,
}

/// As many bytes are compared at first. An entry has no less before the end of its name.
const TAIL: usize = size_of::<u64>();

const _: () = assert!(TAIL <= HEADER);

impl<'a> Wanted<'a> {
    fn new(name: Name<'a>) -> Self {
        let (tail, mask) = match name.bytes.last_chunk::<TAIL>() {
            Some(tail) => (u64::from_le_bytes(*tail), u64::MAX),
            // The last byte of it is the highest of the number.
            None => name.bytes.iter().fold((0, 0), |(tail, mask), &byte| {
                (tail >> 8 | u64::from(byte) << 56, mask >> 8 | 0xff << 56)
            }),
        };
        Wanted {
            name,
            end: HEADER + name.bytes.len(),
            tail,
            mask,
        }
    }

    /// Whether the entry, which begins with `raw`, is in use for the name.
    #[inline(always)]
    fn is(&self, raw: &RawEntry, entry: &[u8]) -> bool {
        if raw.name_len != self.name.len || raw.ino.get() == 0 {
            return false;
        }
        let Some(entry) = entry.get(..self.end) else {
            return false;
        };
        // Names that are alike differ in their last bytes more often than in the first.
        let Some(tail) = entry.last_chunk::<TAIL>() else {
            return false;
        };
        (u64::from_le_bytes(*tail) ^ self.tail) & self.mask == 0
            && entry.get(HEADER..) == Some(self.name.bytes)
    }
}

/// Where one is in a block of which the entries are passed.
struct Pass {
    /// How many bytes of an entry the visitor needs.
    want: usize,
    /// The byte offset of the next entry.
    offset: usize,
    /// The last piece was one unused entry, as a sector without names is. Those behind it are likely to be so, and are not read.
    is_unused: bool,
}

/// What passes the entries of a block. A closure would do, but whether that is made a part of the loop, which costs half as much then, is up to
/// the compiler.
pub(super) trait Visit {
    /// What it looks for.
    type Found;

    /// With an entry that begins with `raw`; `entry` has its bytes, as many at least as one with the name that is looked for needs, unless
    /// it is unused; its byte offset in the block; and its length in bytes.
    fn visit(
        &mut self,
        raw: &RawEntry,
        entry: &[u8],
        offset: usize,
        rec_len: usize,
    ) -> Option<Self::Found>;
}

/// Looks for the entry with a name.
pub(super) struct Finder<'a> {
    wanted: Wanted<'a>,
    /// Byte offset of the entry that was passed last.
    before: Option<usize>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(name: Name<'a>) -> Self {
        Finder {
            wanted: Wanted::new(name),
            before: None,
        }
    }
}

/// An entry: its byte offset, its length in bytes, and how it begins.
pub(super) type Passed = (usize, usize, RawEntry);

impl Visit for Finder<'_> {
    type Found = Passed;

    #[inline(always)]
    fn visit(
        &mut self,
        raw: &RawEntry,
        entry: &[u8],
        offset: usize,
        rec_len: usize,
    ) -> Option<Self::Found> {
        if self.wanted.is(raw, entry) {
            return Some((offset, rec_len, *raw));
        }
        self.before = Some(offset);
        None
    }
}

impl DirBlock {
    /// Looks for the entry with `name` in `blocks`, of which it reads a piece of this block at a time, to where the
    /// name is.
    ///
    /// The names of other entries are compared, and not validated: a search passes each of them many times.
    ///
    /// # Errors
    ///
    /// An entry before it, or any entry if it is not there, breaks the rules.
    pub(crate) fn find_in<B: DirBlocks>(
        &self,
        blocks: &mut B,
        name: Name<'_>,
    ) -> Result<Option<Located>, B::Error> {
        let mut finder = Finder::new(name);
        let found = self.visit(blocks, name, &mut finder)?;
        Ok(found.map(|passed| self.located(&passed, &finder)))
    }

    /// The entry at which `finder` has stopped.
    pub(super) fn located(&self, &(offset, rec_len, raw): &Passed, finder: &Finder<'_>) -> Located {
        Located {
            offset,
            rec_len,
            before: finder.before,
            ino: raw.ino.get(),
            file_type: self.file_type(&raw),
            name_len: raw.name_len,
        }
    }

    /// Shows `visitor` the entries, one after the other, until it returns something.
    ///
    /// # Errors
    ///
    /// An entry up to there breaks the rules. The bytes of names are not validated.
    #[inline(always)]
    pub(super) fn visit<B: DirBlocks, V: Visit>(
        &self,
        blocks: &mut B,
        name: Name<'_>,
        visitor: &mut V,
    ) -> Result<Option<V::Found>, B::Error> {
        let mut pass = Pass {
            want: HEADER + name.bytes.len(),
            offset: 0,
            is_unused: false,
        };
        while pass.offset < self.block_size {
            if pass.is_unused && pass.offset + HEADER <= self.block_size {
                let mut header = [0; HEADER];
                blocks.read(self.index, pass.offset, &mut header)?;
                if let Some((raw, rec_len)) = self.unused(&header, pass.offset)? {
                    if let Some(found) = visitor.visit(raw, &header, pass.offset, rec_len) {
                        return Ok(Some(found));
                    }
                    pass.offset += rec_len;
                    continue;
                }
            }
            let offset = pass.offset;
            let len = WINDOW.min(self.block_size - offset);
            let found = blocks.with_window(self.index, offset, len, |piece| {
                self.visit_piece(piece, &mut pass, visitor)
            })??;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The same with those in `piece`, which begins where `pass` is. Goes on to the first one that is not in it as far as
    /// the visitor needs it.
    #[inline(always)]
    fn visit_piece<V: Visit>(
        &self,
        piece: &[u8],
        pass: &mut Pass,
        visitor: &mut V,
    ) -> Result<Option<V::Found>, Corrupt> {
        let mut offset = pass.offset;
        pass.is_unused = self
            .unused(piece, offset)?
            .is_some_and(|(_, len)| len >= WINDOW);
        let enough = match offset + piece.len() == self.block_size {
            true => 1,
            false => pass.want,
        };
        let mut rest = piece;
        while rest.len() >= enough {
            let Ok((raw, _)) = RawEntry::ref_from_prefix(rest) else {
                return Err(self.bad(offset, "entry crosses the end of its block", 0));
            };
            let rec_len = self.check(raw, offset, self.block_size - offset)?;
            if let Some(found) = visitor.visit(raw, rest, offset, rec_len) {
                return Ok(Some(found));
            }
            offset += rec_len;
            match rest.get(rec_len..) {
                Some(behind) => rest = behind,
                None => break,
            }
        }
        pass.offset = offset;
        Ok(None)
    }

    /// The unused entry at `offset`, and its length in bytes: `bytes` begin with it, if there is one.
    ///
    /// # Errors
    ///
    /// It breaks the rules.
    #[inline(always)]
    fn unused<'b>(
        &self,
        bytes: &'b [u8],
        offset: usize,
    ) -> Result<Option<(&'b RawEntry, usize)>, Corrupt> {
        match RawEntry::ref_from_prefix(bytes) {
            Ok((raw, _)) if raw.ino.get() == 0 => {
                let rec_len = self.check(raw, offset, self.block_size - offset)?;
                Ok(Some((raw, rec_len)))
            }
            _ => Ok(None),
        }
    }
}
