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
use core::ops::Range;
use kernel::alloc::AllocError;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_mutex, Mutex};

/// How many runs are kept in a set.
const RUNS: usize = 512;

struct Set {
    runs: RunSet<KVVec<Run>>,
    /// There are more than are kept: it may be any.
    is_full: bool,
}

impl Set {
    fn new() -> Result<Self, AllocError> {
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

/// Blocks, or inode numbers.
struct Released {
    /// Those given back since the last ones began to be settled.
    since: Set,
    /// Those that are being settled.
    settling: Set,
    /// They are settled, and can be allocated. They are not forgotten yet.
    is_settled: bool,
    /// How many may be kept from allocation while there are others, and
    limit: u32,
    /// the same, or more: what could not be settled is not tried again at once.
    due_above: u32,
}

impl Released {
    fn new(in_group: u32) -> Result<Self, AllocError> {
        let limit = in_group / 2;
        Ok(Released {
            since: Set::new()?,
            settling: Set::new()?,
            is_settled: false,
            limit,
            due_above: limit,
        })
    }

    fn summary(&self) -> u32 {
        let is_empty = self.since.is_empty() && self.settling.is_empty();
        let is_full = self.is_full();
        let many = self.since.runs.total() > self.due_above && !mutant!("released-wander");
        let if_so = |is: bool, bit: u32| if is { bit } else { 0 };
        if_so(is_empty, Summary::EMPTY)
            | if_so(is_full, Summary::FULL)
            | if_so(many || is_full, Summary::DUE)
    }

    /// It may be any.
    fn is_full(&self) -> bool {
        let settling_full = self.settling.is_full && !self.is_settled;
        (self.since.is_full || settling_full) && !mutant!("released-overflow")
    }

    fn add(&mut self, run: Run) {
        if !mutant!("released-reused") {
            self.since.add(run);
        }
    }

    fn has(&self, block: u32) -> bool {
        let range = block..block.saturating_add(1);
        let among = |set: &Set| set.is_full || set.runs.within(range.clone()).next().is_some();
        among(&self.since) || (among(&self.settling) && !self.is_settled)
    }

    fn mark(&self, first: u32, range: Range<u32>, bitmap: &mut [u8]) -> Marked {
        if self.is_full() && !mutant!("released-full-unmarked") {
            return Marked::Any;
        }
        let since = mark_runs(&self.since, first, &range, bitmap);
        let settling = !self.is_settled && mark_runs(&self.settling, first, &range, bitmap);
        match since || settling {
            true => Marked::Some,
            false => Marked::Nothing,
        }
    }

    fn end(&mut self, is_settled: bool) {
        self.due_above = self.limit;
        if !is_settled && !mutant!("released-error-lost") {
            for run in self.settling.runs.within(0..u32::MAX) {
                self.since.add(run);
            }
            self.since.is_full |= self.settling.is_full;
            self.due_above = self.limit.saturating_add(self.since.runs.total());
        }
        self.settling.clear();
        self.is_settled = false;
    }
}

/// Sets the bits of those of `set` that are in `range`, as [`SharedReleased::mark`]. Returns whether there are any.
fn mark_runs(set: &Set, first: u32, range: &Range<u32>, bitmap: &mut [u8]) -> bool {
    let range = first.saturating_add(range.start)..first.saturating_add(range.end);
    let mut any = false;
    for run in set.runs.within(range) {
        let start = run.start - first;
        bitmap::mark_run(bitmap, Run { start, ..run });
        any = true;
    }
    any
}

/// What of a range was given back, and may have its owner on the device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Marked {
    /// None of it.
    Nothing,
    /// Some of it, which is marked.
    Some,
    /// So much was given back that it may be any of it: nothing is marked, and nothing can be allocated before that is settled.
    Any,
}

/// What can be said of [`SharedReleased`] without its lock.
#[derive(Clone, Copy)]
pub(super) struct Summary(u32);

impl Summary {
    const EMPTY: u32 = 1;
    const DUE: u32 = 2;
    const FULL: u32 = 4;

    pub(super) fn is_empty(self) -> bool {
        self.0 & Self::EMPTY != 0
    }

    /// Whether none can be allocated before they are settled. Who searches asks [`SharedReleased::mark`]: when settling fails,
    /// they may become so many at any time, and no lock of a group keeps that off.
    pub(super) fn is_full(self) -> bool {
        self.0 & Self::FULL != 0
    }

    /// Whether they should be settled before others are allocated.
    pub(super) fn is_due(self) -> bool {
        self.0 & Self::DUE != 0
    }
}

/// Blocks, or inode numbers, with a lock of their own, which is taken below that of a group. What becomes free is added
/// under the lock of its group.
#[pin_data]
pub(crate) struct SharedReleased {
    #[pin]
    released: Mutex<Released>,
    summary: Atomic<u32>,
}

impl SharedReleased {
    /// With many of them, what is allocated would be far from where it belongs: so not more than half
    /// a group, which has `in_group`.
    pub(super) fn new(in_group: u32) -> Result<impl PinInit<Self>, AllocError> {
        let released = Released::new(in_group)?;
        Ok(pin_init!(SharedReleased {
            summary: Atomic::new(released.summary()),
            released <- new_mutex!(released),
        }))
    }

    /// What there was a moment ago; of a group, what there is, under its lock. Does not sleep.
    pub(super) fn summary(&self) -> Summary {
        Summary(self.summary.load(ordering::Acquire))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Released) -> T) -> T {
        let mut released = self.released.lock();
        let result = change(&mut released);
        self.summary.store(released.summary(), ordering::Release);
        result
    }

    /// Adds what was given back. What led to it has been cleared. May sleep, as all that follow.
    pub(super) fn add(&self, start: u32, len: u32) {
        self.change(|released| released.add(Run { start, len }));
    }

    /// Whether `block` may have an owner on the device that has given it back.
    pub(super) fn has(&self, block: u32) -> bool {
        !self.summary().is_empty() && self.released.lock().has(block)
    }

    /// Sets the bits of those that are in `range`, by their indices in a group that begins with `first`, in its bitmap.
    /// The lock of the group is held.
    pub(super) fn mark(&self, first: u32, range: Range<u32>, bitmap: &mut [u8]) -> Marked {
        match self.summary().is_empty() {
            true => Marked::Nothing,
            false => self.released.lock().mark(first, range, bitmap),
        }
    }

    /// The same if the lock is free: `None` if it is not. Does not sleep.
    pub(super) fn try_mark(
        &self,
        first: u32,
        range: Range<u32>,
        bitmap: &mut [u8],
    ) -> Option<Marked> {
        if self.summary().is_empty() {
            return Some(Marked::Nothing);
        }
        Some(self.released.try_lock()?.mark(first, range, bitmap))
    }

    /// The same as [`SharedReleased::mark`] of those that were given back since the last ones began to be settled. `false` if
    /// that may be any.
    pub(super) fn mark_since(&self, first: u32, range: Range<u32>, bitmap: &mut [u8]) -> bool {
        let released = self.released.lock();
        let since = &released.since;
        mark_runs(since, first, &range, bitmap);
        !since.is_full
    }

    /// Begins to settle what there is, under the lock of settling. Returns whether there is anything.
    /// [`SharedReleased::end`] follows.
    pub(super) fn begin(&self) -> bool {
        self.change(|released| {
            core::mem::swap(&mut released.since, &mut released.settling);
            !released.settling.is_empty()
        })
    }

    /// The first of what is being settled from block `from` on, cut to that.
    pub(super) fn settling(&self, from: u32) -> Option<Run> {
        let released = self.released.lock();
        let first = released.settling.runs.within(from..u32::MAX).next();
        first
    }

    /// The device has it that they were given back: they can be allocated. They stay among what is being settled, so
    /// that there is something to wait for until all who search know that.
    pub(super) fn settled(&self) {
        self.change(|released| released.is_settled = true);
    }

    /// Ends settling. If it has failed, they are to be settled the next time.
    pub(super) fn end(&self, is_settled: bool) {
        self.change(|released| released.end(is_settled));
    }
}
