// SPDX-License-Identifier: GPL-2.0

//! Runs of blocks of a file that were looked up lately.
//!
//! The format maps each block by itself, and the pointers to it are checked whenever they are
//! followed. Most files lie on the volume in long runs, though, that break only where a block of
//! pointers lies between them. So one run is kept for each block of pointers, in a table that the
//! number of the block of pointers indexes; files of more than [`SLOTS`] of them share.
//!
//! What is cached stays true until blocks of the file are freed. Holes are not cached: blocks can
//! be added without a word to the cache.

use super::block_map::Mapping;
use super::pointers::{pointer_bits, DIRECT};

/// Runs that are kept. With blocks of 4 KiB, enough for files of 256 MiB in one piece.
const SLOTS: usize = 64;

/// `len` blocks of a file from its block `block` on are those from `start` on of the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    block: u32,
    start: u32,
    /// 0 in a slot that is free.
    len: u32,
}

impl Run {
    /// The run that is this one and `other`, if they are parts of one.
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
    /// Nothing is cached yet, of a file with blocks of 2^`block_bits` bytes.
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

    /// Where the run that block `block` of the file is in is kept.
    #[inline]
    fn slot(&self, block: u32) -> usize {
        // The direct pointers share with the last block of pointers that there can be.
        (block.wrapping_sub(DIRECT as u32) >> self.pointer_bits) as usize % SLOTS
    }

    /// The blocks from block `block` of the file on, at most `max`, which is taken as at least 1;
    /// `None` if that is not known.
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

    /// Keeps that the `len` blocks of the file from `block` on are those from `start` on of the
    /// volume, which have been checked.
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
