// SPDX-License-Identifier: GPL-2.0

//! A cache of runs of blocks of a file that were looked up.
//!
//! The format maps each block by itself, and pointers are validated whenever they are followed. But
//! most files have long runs, broken only where a block of pointers lies between them. So one run
//! is cached for each block of pointers, in a table indexed by its number; with more than [`SLOTS`]
//! of them, slots are shared.
//!
//! A cached run is valid until blocks of the file are freed. Holes are not cached: they may be
//! filled without updating the cache.

use super::block_map::Mapping;
use super::pointers::{pointer_bits, DIRECT};

/// The number of runs. With blocks of 4 KiB, enough for contiguous files of 256 MiB.
const SLOTS: usize = 64;

/// `len` blocks of a file from its block `block` on are those from `start` on of the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    block: u32,
    start: u32,
    /// 0 in an empty slot.
    len: u32,
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
}

/// The cache of one file.
#[derive(Debug)]
pub(crate) struct RunCache {
    runs: [Run; SLOTS],
    pointer_bits: u32,
}

impl RunCache {
    /// An empty cache for a file with blocks of 2^`block_bits` bytes.
    pub(crate) const fn new(block_bits: u32) -> Self {
        const FREE: Run = Run {
            block: 0,
            start: 0,
            len: 0,
        };
        RunCache {
            runs: [FREE; SLOTS],
            pointer_bits: pointer_bits(block_bits),
        }
    }

    /// The index of the slot for runs with block `block` of the file.
    #[inline]
    fn slot(&self, block: u32) -> usize {
        // The direct pointers share the slot of the last possible block of pointers.
        (block.wrapping_sub(DIRECT as u32) >> self.pointer_bits) as usize % SLOTS
    }

    /// Looks up at most `max` blocks from block `block` of the file on; a `max` of 0 is taken as 1.
    /// `None` if they are not cached.
    #[inline]
    pub(crate) fn get(&self, block: u64, max: u32) -> Option<Mapping> {
        let block = u32::try_from(block).ok()?;
        let run = self.runs.get(self.slot(block))?;
        let into = block.checked_sub(run.block)?;
        if into >= run.len {
            return None;
        }
        Some(Mapping::Mapped {
            // The end of the run is a block of the volume.
            start: run.start.checked_add(into)?,
            len: (run.len - into).min(max.max(1)),
        })
    }

    /// Caches that the `len` blocks of the file from `block` on are the blocks of the volume from
    /// `start` on, which have been validated.
    pub(crate) fn put(&mut self, block: u64, start: u32, len: u32) {
        let Ok(block) = u32::try_from(block) else {
            return;
        };
        let new = Run { block, start, len };
        let slot = self.slot(block);
        if let Some(run) = self.runs.get_mut(slot) {
            *run = run.joined(new).unwrap_or(new);
        }
    }
}
