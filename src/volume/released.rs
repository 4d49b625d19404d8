// SPDX-License-Identifier: GPL-2.0

//! Blocks and inode numbers that were given back, and may still have their owner on the device.
//!
//! A file that was truncated, punched or deleted has its old pointers on the device until its inode
//! and its blocks of pointers are written, and a directory the entry that was removed. Who got one of
//! the blocks before, or the number, would be what they lead to, if the power goes then. A file that
//! was synced has another's data; with another's data for pointers e2fsck clears it, or takes the
//! blocks from whoever has them now; and a name is found to lead to another file, or to be a second
//! one of a directory.
//!
//! So what leads to something is cleared, in a buffer that is marked [`First::Release`], before that is
//! given back. What was given back is free, and counted as free, but is not allocated before those
//! buffers have been written and the cache of the device flushed: see [`crate::volume::settle`]. So
//! nothing has two owners on the device at any time, and an fsync has nothing to do for that.
//!
//! [`First::Release`]: crate::volume::unwritten::First::Release

use crate::ext2::bitmap::{self, Run};
use crate::ext2::run_set::RunSet;
use crate::volume::fault::Result;
use core::ops::Range;
use kernel::prelude::*;

/// How many runs are kept in a set.
const RUNS: usize = 512;

struct Set {
    runs: RunSet<KVVec<Run>>,
    /// There are more than are kept: it may be any.
    is_full: bool,
}

impl Set {
    fn new() -> Result<Self> {
        let none = Run { start: 0, len: 0 };
        Ok(Set {
            runs: RunSet::new(KVVec::from_elem(none, RUNS, GFP_KERNEL)?),
            is_full: false,
        })
    }

    fn is_empty(&self) -> bool {
        self.runs.is_empty() && !self.is_full
    }

    fn add(&mut self, run: Run) {
        if !self.runs.insert(run) {
            self.is_full = true;
        }
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.is_full = false;
    }
}

/// Blocks, or inode numbers, under the lock of the groups.
pub(super) struct Released {
    /// Those given back since the last ones began to be settled.
    since: Set,
    /// Those that are being settled.
    settling: Set,
    /// How many may be kept from allocation while there are others, and
    limit: u32,
    /// the same, or more: what could not be settled is not tried again at once.
    due_above: u32,
}

impl Released {
    /// With many of them, what is allocated would be far from where it belongs: so not more than half
    /// a group, which has `in_group`.
    pub(super) fn new(in_group: u32) -> Result<Self> {
        let limit = in_group / 2;
        Ok(Released {
            since: Set::new()?,
            settling: Set::new()?,
            limit,
            due_above: limit,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.since.is_empty() && self.settling.is_empty()
    }

    /// Whether none can be allocated before they are settled.
    pub(super) fn is_full(&self) -> bool {
        (self.since.is_full || self.settling.is_full) && !mutant!("released-overflow")
    }

    /// Whether they should be settled before others are allocated.
    pub(super) fn is_due(&self) -> bool {
        let many = self.since.runs.total() > self.due_above && !mutant!("released-wander");
        many || self.is_full()
    }

    /// Adds what was given back. What led to it has been cleared.
    pub(super) fn add(&mut self, start: u32, len: u32) {
        if !mutant!("released-reused") {
            self.since.add(Run { start, len });
        }
    }

    /// Whether `block` may have an owner on the device that has given it back.
    pub(super) fn has(&self, block: u32) -> bool {
        let range = block..block.saturating_add(1);
        let among = |set: &Set| set.is_full || set.runs.within(range.clone()).next().is_some();
        among(&self.since) || among(&self.settling)
    }

    /// Begins to settle what there is. Returns whether there is anything. [`Released::end`] follows.
    pub(super) fn begin(&mut self) -> bool {
        core::mem::swap(&mut self.since, &mut self.settling);
        !self.settling.is_empty()
    }

    /// The first of what is being settled from `block` on, cut to that.
    pub(super) fn settling(&self, block: u32) -> Option<Run> {
        self.settling.runs.within(block..u32::MAX).next()
    }

    /// What is being settled, in order.
    pub(super) fn all_settling(&self) -> impl Iterator<Item = Run> + '_ {
        self.settling.runs.within(0..u32::MAX)
    }

    /// Whether the device has it now that they were given back: they can be allocated.
    pub(super) fn end(&mut self, is_settled: bool) {
        self.due_above = self.limit;
        if !is_settled && !mutant!("released-error-lost") {
            for run in self.settling.runs.within(0..u32::MAX) {
                self.since.add(run);
            }
            self.since.is_full |= self.settling.is_full;
            self.due_above = self.limit.saturating_add(self.since.runs.total());
        }
        self.settling.clear();
    }

    /// Sets the bits of those that are in `range`, what a group has, in its bitmap. Returns whether
    /// there are any.
    pub(super) fn mark(&self, range: Range<u32>, bitmap: &mut [u8]) -> bool {
        let first = range.start;
        let mut any = false;
        for set in [&self.since, &self.settling] {
            for run in set.runs.within(range.clone()) {
                let start = run.start - first;
                bitmap::mark_run(bitmap, Run { start, ..run });
                any = true;
            }
        }
        any
    }
}
