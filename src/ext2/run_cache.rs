// SPDX-License-Identifier: GPL-2.0

//! Runs of blocks of a file that were looked up, for a cache of them.
//!
//! The format maps each block by itself, and pointers are validated whenever they are followed. But
//! most files have long runs, broken where a block of pointers lies between them, and where a window
//! ended while the file grew. So a few runs are cached for each block of pointers, and that block, in a
//! table indexed by its number; with more than [`SLOTS`] of them, slots are shared.
//!
//! Holes are not cached: they may be filled without updating the cache.

use super::block_map::Mapping;
use super::pointers::{pointer_bits, DIRECT};
use core::mem::replace;

/// The number of slots. With blocks of 4 KiB, enough for files of 4 GiB.
pub(crate) const SLOTS: usize = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 10;

/// The number of runs in a slot: with these it is one line of a processor's cache.
pub(crate) const RUNS: usize = 4;

/// The number of the block of pointers with that to block `block` of a file, among those that have
/// pointers to data, with blocks of 2^`block_bits` bytes.
///
/// Direct pointers are in none: for them it is more than any block of pointers has.
#[inline]
pub(crate) fn last_pointers(block_bits: u32, block: u32) -> u32 {
    block.wrapping_sub(DIRECT as u32) >> pointer_bits(block_bits)
}

/// The index of the slot for runs with pointers in block of pointers `number`.
#[inline]
pub(crate) fn slot(number: u32) -> usize {
    // Those that are far apart may be multiples of a power of two.
    let folded = number ^ number >> SLOT_BITS ^ number >> (2 * SLOT_BITS);
    folded as usize % SLOTS
}

/// `len` blocks of a file from its block `block` on are those from `start` on of the volume, which
/// have been validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) block: u32,
    pub(crate) start: u32,
    /// 0 in an empty place.
    pub(crate) len: u32,
}

impl Run {
    /// In an empty place.
    pub(crate) const EMPTY: Self = Run {
        block: 0,
        start: 0,
        len: 0,
    };

    /// This run with `next` behind it, if that is where it goes on.
    #[inline]
    fn continued(self, next: Run) -> Option<Run> {
        let goes_on = self.len != 0
            && next.len != 0
            && self.block.checked_add(self.len) == Some(next.block)
            && self.start.checked_add(self.len) == Some(next.start);
        let len = self.len.checked_add(next.len)?;
        goes_on.then_some(Run { len, ..self })
    }

    /// The union of this run and `other`, if that is a run.
    #[inline]
    fn joined(self, other: Run) -> Option<Run> {
        if self.len == 0 || other.len == 0 {
            return None;
        }
        let (first, second) = match self.block <= other.block {
            true => (self, other),
            false => (other, self),
        };
        let apart = second.block - first.block;
        if apart > first.len || first.start.checked_add(apart) != Some(second.start) {
            return None;
        }
        Some(Run {
            len: first.len.max(apart.checked_add(second.len)?),
            ..first
        })
    }

    /// At most `max` blocks from block `block` of the file on; a `max` of 0 is taken as 1. `None` if
    /// they are not in the run.
    #[inline]
    pub(crate) fn get(&self, block: u32, max: u32) -> Option<Mapping> {
        let into = block.checked_sub(self.block)?;
        if into >= self.len {
            return None;
        }
        Some(Mapping::Mapped {
            // The end of the run is a block of the volume.
            start: self.start.checked_add(into)?,
            len: (self.len - into).min(max.max(1)),
        })
    }

    /// Where `len` blocks from block `block` of the file on are, if all are in the run.
    #[inline]
    pub(crate) fn get_all(&self, block: u32, len: u32) -> Option<u32> {
        let into = block.checked_sub(self.block)?;
        let after = self.len.checked_sub(into)?;
        let has_all = len <= after && len != 0;
        // The end of the run is a block of the volume.
        has_all.then_some(self.start.checked_add(into)?)
    }
}

/// The runs of a slot with `N` of them, the one that was put last first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotRuns<const N: usize>(pub(crate) [Run; N]);

impl<const N: usize> SlotRuns<N> {
    /// None.
    pub(crate) const EMPTY: Self = SlotRuns([Run::EMPTY; N]);

    /// Puts `new`, joined with what it continues, before the others. If it continues none, the shortest of them is
    /// given up, and the oldest of these.
    #[inline]
    pub(crate) fn put(&mut self, new: Run) {
        let mut joined = new;
        let mut place = None;
        for (index, run) in self.0.iter_mut().enumerate() {
            if let Some(longer) = joined.joined(*run) {
                joined = longer;
                *run = Run::EMPTY;
                place = place.or(Some(index));
            }
        }
        let place = place.or_else(|| self.oldest_of_the_shortest());
        let mut moved = joined;
        for (index, run) in self.0.iter_mut().enumerate() {
            moved = replace(run, moved);
            if Some(index) == place {
                break;
            }
        }
    }

    /// What `last`, which was put last, becomes if `new` is put behind it and nothing else changes: `None` if
    /// [`SlotRuns::put`] has to see, as `new` is elsewhere, or leads to one of the `others`. A file that grows is put
    /// so, block by block.
    #[inline]
    pub(crate) fn grown(last: Run, mut others: impl Iterator<Item = Run>, new: Run) -> Option<Run> {
        let grown = last.continued(new)?;
        others
            .all(|other| grown.joined(other).is_none())
            .then_some(grown)
    }

    fn oldest_of_the_shortest(&self) -> Option<usize> {
        let shortest = self.0.iter().map(|run| run.len).min()?;
        self.0.iter().rposition(|run| run.len == shortest)
    }
}
