// SPDX-License-Identifier: GPL-2.0

//! Runs of blocks of a file that were looked up, for a cache of them.
//!
//! The format maps each block by itself, and pointers are validated whenever they are followed. But
//! most files have long runs, broken only where a block of pointers lies between them. So one run
//! is cached for each block of pointers, and that block, in a table indexed by its number; with more
//! than [`SLOTS`] of them, slots are shared.
//!
//! Holes are not cached: they may be filled without updating the cache.

use super::block_map::Mapping;
use super::pointers::{pointer_bits, DIRECT};

/// The number of runs. With blocks of 4 KiB, enough for contiguous files of 4 GiB.
pub(crate) const SLOTS: usize = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 10;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) block: u32,
    pub(crate) start: u32,
    /// 0 in an empty slot.
    pub(crate) len: u32,
}

impl Run {
    /// The union of this run and `other`, if that is a run.
    fn joined(self, other: Run) -> Option<Run> {
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

    /// What a slot that has this run is to have when `new` was looked up.
    pub(crate) fn with(self, new: Run) -> Run {
        self.joined(new).unwrap_or(new)
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
}
