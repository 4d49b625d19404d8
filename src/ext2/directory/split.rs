// SPDX-License-Identifier: GPL-2.0

//! Splitting the names of a directory block by their hashes.

use super::{
    index::CONTINUED,
    path::Range,
    sector::{sector, SECTOR},
    sectors::SECTORS_MAX,
    DirBlock, HEADER, SHORTEST,
};
use crate::ext2::{sort::sort_by_key, Corrupt};
use core::ops;

/// A name of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// Its hash.
    hash: u32,
    /// Byte offset of its entry.
    offset: u16,
    /// How many bytes the entry needs.
    size: u16,
}

/// The names of a block, in two parts: those with the lesser hashes, which stay, and those that move.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Halves<'a> {
    stay: &'a [Named],
    /// By offset.
    go: &'a [Named],
    /// The first hash of those that move, with [`CONTINUED`] if some of it stay.
    pub(crate) hash: u32,
}

impl Halves<'_> {
    /// The hash in the pointer to a new leaf for those that move from a leaf with the hashes `range`.
    pub(crate) fn bound(&self, range: &Range) -> u32 {
        // If none stays, the new leaf may have names of the hash of the leaf before, too, as this one has.
        match self.stay.is_empty() {
            true => self.hash.max(range.start),
            false => self.hash,
        }
    }
}

impl DirBlock {
    /// How many names there can be in a block.
    pub(crate) const fn names_max(&self) -> usize {
        self.block_size / SHORTEST
    }

    /// That `block` begins with the entries `.` and `..` and nothing between.
    pub(super) fn check_dots(&self, block: &[u8]) -> Result<(), Corrupt> {
        self.check_len(block)?;
        let mut entries = self.entries(block);
        for (offset, name) in [(0, &b"."[..]), (SHORTEST, b"..")] {
            let is_it = match entries.next() {
                Some(entry) => {
                    let entry = entry?;
                    entry.offset == offset && entry.ino != 0 && entry.name == name
                }
                None => false,
            };
            if !is_it {
                let what = "directory that does not begin with '.' and '..'";
                return Err(self.bad(offset, what, 0));
            }
        }
        Ok(())
    }

    /// Puts the names of `block` into two parts, with about as many bytes; `None` without names. Those of the directory
    /// itself and of its parent do not count. A single name moves: there may be no room beside it in the sectors
    /// that it lies across.
    ///
    /// `names` has room for [`DirBlock::names_max`] ones.
    ///
    /// # Errors
    ///
    /// An entry breaks the rules.
    pub(crate) fn halves<'a>(
        &self,
        block: &[u8],
        hash: impl Fn(&[u8]) -> u32,
        names: &'a mut [Named],
    ) -> Result<Option<Halves<'a>>, Corrupt> {
        self.check_len(block)?;
        let mut count = 0;
        for entry in self.entries(block) {
            let entry = entry?;
            if entry.ino == 0 || (self.start == 0 && matches!(entry.name, b"." | b"..")) {
                continue;
            }
            let Some(place) = names.get_mut(count) else {
                return Err(self.bad(entry.offset, "more names than possible", count as u64));
            };
            *place = Named {
                hash: hash(entry.name),
                // Less than the size of a block.
                offset: entry.offset as u16,
                size: entry.used() as u16,
            };
            count += 1;
        }
        let names = names.get_mut(..count).unwrap_or_default();
        sort_by_key(names, |named| *named);
        let mut size = 0;
        let is_little = |named: &&Named| {
            size += usize::from(named.size);
            size <= self.block_size / 2
        };
        let go = names.iter().rev().take_while(is_little).count();
        // A name can be longer than half a block, and all together shorter.
        let go = match go {
            go if go >= count => count / 2,
            go => go,
        };
        let (stay, go) = names.split_at_mut(count.saturating_sub(go.max(1)));
        let Some(first) = go.first() else {
            return Ok(None);
        };
        let hash = match stay.last().is_some_and(|last| last.hash == first.hash) {
            true => first.hash | CONTINUED,
            false => first.hash,
        };
        sort_by_key(go, |named| named.offset);
        Ok(Some(Halves { stay, go, hash }))
    }

    /// Makes a new block of `to` with the entries of the `names` of `block`: each in the first sector that has room for
    /// it. Names of half a block and the longest one fit so.
    fn pack(&self, to: &mut [u8], block: &[u8], names: &[Named]) -> Result<(), Corrupt> {
        self.init_empty(to)?;
        // Of each sector: how many bytes are used, and the place of the last entry among them.
        let mut ends = [(0_u16, 0_u16); SECTORS_MAX];
        let ends = ends.get_mut(..block.len() / SECTOR).unwrap_or_default();
        for named in names {
            let (offset, size) = (usize::from(named.offset), usize::from(named.size));
            let mut sectors = ends.iter_mut().enumerate();
            let place = sectors.find(|(_, (end, _))| usize::from(*end) + size <= SECTOR);
            let Some((n, ends)) = place else {
                return Err(self.bad(offset, "names that do not fit a block", size as u64));
            };
            let (end, last) = (usize::from(ends.0), usize::from(ends.1));
            let start = n * SECTOR;
            let at = start + end;
            let from = block.get(offset..offset + size);
            let (Some(from), Some(place)) = (from, to.get_mut(at..at + size)) else {
                return Err(self.bad(offset, "entry crosses the end of its block", 0));
            };
            place.copy_from_slice(from);
            if end > 0 {
                self.set_rec_len(to, start + last, end - last)?;
            }
            self.set_rec_len(to, at, SECTOR - end)?;
            // Within a sector.
            *ends = ((end + size) as u16, end as u16);
        }
        Ok(())
    }

    /// Makes a new block of `to` with those of the names of `block` that move.
    ///
    /// # Errors
    ///
    /// `block` is another one than that of the `halves`.
    pub(crate) fn copy_moving(
        &self,
        to: &mut [u8],
        block: &[u8],
        halves: &Halves<'_>,
    ) -> Result<(), Corrupt> {
        self.pack(to, block, halves.go)
    }

    /// The same with those that stay, if they came to a block of their own.
    ///
    /// # Errors
    ///
    /// As [`DirBlock::copy_moving`].
    pub(crate) fn copy_staying(
        &self,
        to: &mut [u8],
        block: &[u8],
        halves: &Halves<'_>,
    ) -> Result<(), Corrupt> {
        self.pack(to, block, halves.stay)
    }

    /// Removes those that move from `block`. The others stay in their sectors, as one sector of it may come to the
    /// device and another not, and are moved together there. `spare` has the size of a block.
    ///
    /// # Errors
    ///
    /// As [`DirBlock::copy_moving`].
    pub(crate) fn remove_moving(
        &self,
        block: &mut [u8],
        halves: &Halves<'_>,
        spare: &mut [u8],
    ) -> Result<(), Corrupt> {
        spare.copy_from_slice(block);
        let mut go = halves.go.iter().peekable();
        let mut offset = 0;
        while offset < block.len() {
            offset = self.pack_sector(block, spare, offset, |offset| {
                let moves = |named: &&Named| usize::from(named.offset) == offset;
                go.next_if(moves).is_some()
            })?;
        }
        Ok(())
    }

    /// Removes entries from the sector of `block` that begins with the one at `first`: those that are not used, and those
    /// of which `goes` says so by their offset. `before` is the block as it was. Returns the offset of the first entry
    /// behind them.
    ///
    /// An entry across the end of the sector stays where it is, and so does what leads into this sector and out of it.
    fn pack_sector(
        &self,
        block: &mut [u8],
        before: &[u8],
        first: usize,
        mut goes: impl FnMut(usize) -> bool,
    ) -> Result<usize, Corrupt> {
        let limit = (sector(first) + 1) * SECTOR;
        // What stays ends here so far, and its last entry is this one.
        let (mut end, mut last) = (first, None);
        let mut offset = first;
        while offset < before.len() && offset < limit {
            let entry = self.parse_entry(before, offset)?;
            let used = entry.used();
            let next = entry.end();
            let goes = goes(offset);
            if used > 0 && !goes {
                let to = match offset + used > limit {
                    true => offset,
                    false => end,
                };
                self.close(block, first, last, end..to)?;
                let from = before.get(offset..offset + used);
                if let (Some(from), Some(place)) = (from, block.get_mut(to..to + used)) {
                    place.copy_from_slice(from);
                }
                (end, last) = (to + used, Some(to));
            }
            offset = next;
        }
        self.close(block, first, last, end..offset)?;
        Ok(offset)
    }

    /// The bytes `slack` belong to the entry at `last` from now on; to an unused one at `first`, if there is none yet.
    fn close(
        &self,
        block: &mut [u8],
        first: usize,
        last: Option<usize>,
        slack: ops::Range<usize>,
    ) -> Result<(), Corrupt> {
        // What is left of names does not look like some. Only this sector is changed, and no header.
        let limit = slack.end.min((sector(first) + 1) * SECTOR);
        let used = match last {
            Some(_) => slack.start,
            None => first + HEADER,
        };
        if let Some(bytes) = block.get_mut(used..limit) {
            bytes.fill(0);
        }
        match last {
            Some(last) => self.set_rec_len(block, last, slack.end - last),
            None if slack.is_empty() => Ok(()),
            None => {
                self.raw_mut(block, first)?.ino.set(0);
                self.set_rec_len(block, first, slack.end - first)
            }
        }
    }
}
