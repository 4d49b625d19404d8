// SPDX-License-Identifier: GPL-2.0

//! Splitting the names of a directory block by their hashes.

use super::{index::CONTINUED, needed, DirBlock, SHORTEST};
use crate::ext2::{sort::sort_by_key, Corrupt};

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

    /// Puts the names of `block` into two parts, with about as many bytes; `None` with less than two
    /// names. Those of the directory itself and of its parent do not count.
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
            0 => 1,
            go if go >= count => count / 2,
            go => go,
        };
        let Some(at) = count.checked_sub(go).filter(|&at| at > 0 && go > 0) else {
            return Ok(None);
        };
        let (stay, go) = names.split_at_mut(at);
        let (Some(last), Some(first)) = (stay.last(), go.first()) else {
            return Ok(None);
        };
        let hash = match last.hash == first.hash {
            true => first.hash | CONTINUED,
            false => first.hash,
        };
        sort_by_key(go, |named| named.offset);
        Ok(Some(Halves { stay, go, hash }))
    }

    /// Makes a new block of `to` with the entries of the `names` of `block`, one behind the other.
    fn pack(&self, to: &mut [u8], block: &[u8], names: &[Named]) -> Result<(), Corrupt> {
        self.init_empty(to)?;
        let mut end = 0;
        for (n, named) in names.iter().enumerate() {
            let (offset, size) = (usize::from(named.offset), usize::from(named.size));
            let from = block.get(offset..offset + size);
            let (Some(from), Some(place)) = (from, to.get_mut(end..end + size)) else {
                return Err(self.bad(offset, "entry crosses the end of its block", 0));
            };
            place.copy_from_slice(from);
            let rec_len = match n + 1 == names.len() {
                true => self.block_size - end,
                false => size,
            };
            self.set_rec_len(to, end, rec_len)?;
            end += size;
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

    /// Removes those that move from `block`. The others stay where they are in it, as one sector of it
    /// may come to the device and another not; unless there would be no room for a name of `want`
    /// bytes: then they are moved together, with the help of `spare`, which has the size of a block.
    ///
    /// # Errors
    ///
    /// As [`DirBlock::copy_moving`].
    pub(crate) fn remove_moving(
        &self,
        block: &mut [u8],
        halves: &Halves<'_>,
        want: u8,
        spare: &mut [u8],
    ) -> Result<(), Corrupt> {
        spare.copy_from_slice(block);
        let mut before: Option<usize> = None;
        let mut offset = 0;
        let mut go = halves.go.iter().peekable();
        let mut roomy = false;
        while offset < block.len() {
            let entry = self.parse_entry(block, offset)?;
            let (end, used) = (entry.end(), entry.used());
            let goes = go
                .next_if(|named| usize::from(named.offset) == offset)
                .is_some();
            let at = match before {
                Some(start) if goes || used == 0 => {
                    self.set_rec_len(block, start, end - start)?;
                    start
                }
                _ => offset,
            };
            if goes {
                self.raw_mut(block, offset)?.ino.set(0);
            }
            let here = self.parse_entry(block, at)?;
            roomy |= here.rec_len >= here.used() + needed(want);
            before = Some(at);
            offset = end;
        }
        if !roomy {
            self.pack(block, spare, halves.stay)?;
        }
        Ok(())
    }
}
