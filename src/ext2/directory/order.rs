// SPDX-License-Identifier: GPL-2.0

//! The order in which the names of a directory are read that has a hash index, or will get one.
//!
//! The place of an entry changes when a block is split, its hash does not. So the position of a reader is
//! a hash, and a name that is there all the time is returned once. That goes for a directory of one block,
//! too, as it gets an index when it grows.

use super::{
    hash::{Function, Hash, Hashing},
    index::CONTINUED,
    DirBlock,
};
use crate::ext2::{sort::sort_by_key, Corrupt};

/// How positions are made of hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// 31 bits, for programs that have no more for a position: many names have the same one.
    Bits31,
    /// 63 bits.
    Bits63,
}

/// Where a name is in the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The position.
    pub(crate) pos: u64,
    /// Among names of the same position: the place of the entry, and never 0.
    pub(crate) place: u64,
}

/// The position of `.`, of `..`, and the first one of other names.
const DOT: u64 = 0;
const DOTDOT: u64 = 1;
const FIRST: u64 = 2;

/// Bits for an offset in a block.
const OFFSET_BITS: u32 = match cfg!(mutant = "order-offset-cut") {
    true => 13,
    false => 16,
};

impl Key {
    fn new(pos: u64, index: u32, offset: usize) -> Self {
        let place = (u64::from(index) << OFFSET_BITS | offset as u64) + 1;
        Key { pos, place }
    }

    /// The index of the block with the entry, and its byte offset there.
    pub(crate) const fn entry(&self) -> (u32, usize) {
        let place = self.place.saturating_sub(1);
        let offset = place & ((1 << OFFSET_BITS) - 1);
        ((place >> OFFSET_BITS) as u32, offset as usize)
    }
}

impl Width {
    /// The position of the names with a hash.
    pub(crate) const fn pos(self, hash: Hash) -> u64 {
        let major = (hash.major >> 1) as u64;
        let pos = match self {
            Width::Bits31 => major,
            Width::Bits63 => major << 32 | hash.minor as u64,
        };
        if pos < FIRST {
            FIRST
        } else {
            pos
        }
    }

    /// The hash where names of position `pos` and beyond begin.
    pub(crate) const fn major(self, pos: u64) -> u32 {
        let major = match self {
            _ if pos <= FIRST => 0,
            Width::Bits31 => pos,
            Width::Bits63 => pos >> 32,
        };
        // The position of the end is beyond all hashes.
        if major > 0x7fff_ffff {
            u32::MAX
        } else {
            (major as u32) << 1
        }
    }

    /// The position of the first names with a hash of an index, which may be marked as continued.
    pub(crate) const fn first(self, hash: u32) -> u64 {
        self.pos(Hash {
            major: hash & !1,
            minor: 0,
        })
    }

    /// Whether names on both sides of `bound`, the hash in the pointer to a leaf, may have one position. Then
    /// that leaf is read together with the one before it: a reader cannot go on between them.
    pub(crate) const fn joins(self, bound: u32) -> bool {
        // With 31 bits, several hashes have the position of the first names.
        bound & CONTINUED != 0 || self.first(bound) == FIRST
    }

    /// Whether a reader from `pos` on gets `.` or `..`.
    pub(crate) const fn has_dots(self, pos: u64) -> bool {
        pos < FIRST
    }

    /// The position behind all names.
    pub(crate) const fn end(self) -> u64 {
        match self {
            Width::Bits31 => i32::MAX as u64,
            Width::Bits63 => i64::MAX as u64,
        }
    }
}

/// What names are put in order by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// How they are hashed.
    pub(crate) hashing: Hashing,
    /// The function.
    pub(crate) function: Function,
    /// The positions.
    pub(crate) width: Width,
}

impl Order {
    /// Runs `visit` with the keys of the names in `block`, which has the index `index`.
    ///
    /// # Errors
    ///
    /// An entry breaks the rules; or that of `visit`.
    pub(crate) fn keys<E: From<Corrupt>>(
        &self,
        at: &DirBlock,
        index: u32,
        block: &[u8],
        mut visit: impl FnMut(Key, u32) -> Result<(), E>,
    ) -> Result<(), E> {
        for entry in at.entries(block) {
            let entry = entry?;
            if entry.ino == 0 {
                continue;
            }
            let (pos, major) = match entry.name {
                b"." => (DOT, 0),
                b".." => (DOTDOT, 0),
                name => {
                    let hash = self.hashing.hash(self.function, name);
                    (self.width.pos(hash), hash.major)
                }
            };
            visit(Key::new(pos, index, entry.offset), major)?;
        }
        Ok(())
    }
}

/// The least keys of many.
pub(crate) struct Least<S> {
    keys: S,
    len: usize,
    /// No others are wanted: there are enough that are less.
    below: Option<Key>,
}

impl<S: AsRef<[Key]> + AsMut<[Key]>> Least<S> {
    /// No keys. `keys` has room for twice as many as are wanted.
    pub(crate) fn new(keys: S) -> Self {
        Least {
            keys,
            len: 0,
            below: None,
        }
    }

    /// Adds a key, if it is one of the least.
    pub(crate) fn add(&mut self, key: Key) {
        if self.below.is_some_and(|below| key >= below) {
            return;
        }
        if self.len == self.keys.as_ref().len() {
            self.sort();
            self.len /= 2;
            self.below = self.keys.as_ref().get(self.len).copied();
            return self.add(key);
        }
        if let Some(place) = self.keys.as_mut().get_mut(self.len) {
            *place = key;
            self.len += 1;
        }
    }

    /// Puts the keys in order.
    pub(crate) fn sort(&mut self) {
        let keys = self.keys.as_mut().get_mut(..self.len).unwrap_or_default();
        sort_by_key(keys, |key| *key);
    }

    /// The keys.
    pub(crate) fn keys(&self) -> &[Key] {
        self.keys.as_ref().get(..self.len).unwrap_or_default()
    }

    /// Forgets all keys.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.below = None;
    }

    /// Whether there are more than were kept, which are all greater.
    pub(crate) fn is_cut(&self) -> bool {
        self.below.is_some()
    }
}
