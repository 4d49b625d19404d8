// SPDX-License-Identifier: GPL-2.0

//! Blocks that files have given back, and may still have on the device.
//!
//! A file that was truncated, punched or deleted has its old pointers on the device until its inode
//! and its blocks of pointers are written. Whoever overwrote one of its blocks before would damage it,
//! if the power goes then: it is found as it was, and may have been synced so. With a block of pointers
//! e2fsck clears the whole file.
//!
//! So such blocks are free, and counted as free, but are not allocated before the device has it that
//! they were given back: see [`crate::volume::settle`]. That takes writes and a flush, and is done
//! when no other block is free, when there are more runs of them than are kept here, and with a sync
//! of the volume.

use crate::ext2::bitmap::{self, Run};
use crate::ext2::run_set::RunSet;
use crate::volume::fault::Result;
use core::ops::Range;
use kernel::prelude::*;

/// How many runs are kept.
const RUNS: usize = 512;

/// The blocks, under the lock of the groups.
pub(super) struct Released {
    runs: RunSet<KVVec<Run>>,
    /// There are more than are kept: it may be any block.
    is_full: bool,
    /// How many operations are giving blocks back now.
    pub(super) releasing: u32,
    pub(super) is_settling: bool,
}

impl Released {
    pub(super) fn new() -> Result<Self> {
        let none = Run { start: 0, len: 0 };
        Ok(Released {
            runs: RunSet::new(KVVec::from_elem(none, RUNS, GFP_KERNEL)?),
            is_full: false,
            releasing: 0,
            is_settling: false,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty() && !self.is_full
    }

    /// Whether nothing can be allocated before they are settled.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// The device knows that they were given back.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.is_full = false;
    }

    /// Adds blocks that were freed.
    pub(super) fn add(&mut self, start: u32, len: u32) {
        if !mutant!("released-reused") && !self.runs.insert(Run { start, len }) {
            self.is_full = true;
        }
    }

    /// Sets the bits of those that are in `blocks`, the blocks of a group, in its bitmap. Returns
    /// whether there are any.
    pub(super) fn mark(&self, blocks: Range<u32>, bitmap: &mut [u8]) -> bool {
        let first = blocks.start;
        let mut any = false;
        for run in self.runs.within(blocks) {
            let start = run.start - first;
            bitmap::mark_run(bitmap, Run { start, ..run });
            any = true;
        }
        any
    }
}
