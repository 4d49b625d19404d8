// SPDX-License-Identifier: GPL-2.0

//! A place for one run of a file, which is read and filled without a lock.

use crate::ext2::block_map::Mapping;
use crate::ext2::run_cache::Run;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::barrier::{smp_mb, Read};
use kfs::sync::unordered::Unordered;

/// A run, the age of the file when it was looked up, and a count of the changes of both, which is
/// odd while they are being changed.
pub(super) struct RunSlot {
    changes: Atomic<u32>,
    block: Unordered<u32>,
    start: Unordered<u32>,
    len: Unordered<u32>,
    age: Unordered<usize>,
}

impl RunSlot {
    /// An empty one.
    pub(super) fn new() -> Self {
        RunSlot {
            changes: Atomic::new(0),
            block: Unordered::new(0),
            start: Unordered::new(0),
            len: Unordered::new(0),
            age: Unordered::new(0),
        }
    }

    /// The run; an empty one if it is of another age.
    fn load(&self, age: usize) -> Run {
        if self.age.load() != age {
            return Run::default();
        }
        Run {
            block: self.block.load(),
            start: self.start.load(),
            len: self.len.load(),
        }
    }

    /// Looks up at most `max` blocks from block `block` of the file on. `None` if the run has them
    /// not, or not at the age `age`, or is being changed. Does not sleep.
    #[inline(always)]
    pub(super) fn get(&self, age: usize, block: u32, max: u32) -> Option<Mapping> {
        let changes = self.changes.load(ordering::Acquire);
        let run = self.load(age);
        smp_mb(Read);
        let torn = changes & 1 != 0 || self.changes.load(ordering::Relaxed) != changes;
        if torn && !mutant!("runs-torn") {
            // It would not be worth waiting for.
            return None;
        }
        run.get(block, max)
    }

    /// Puts a run here that was looked up at the age `age`, unless another one is being put here.
    /// Does not sleep.
    pub(super) fn put(&self, age: usize, new: Run) {
        let changes = self.changes.load(ordering::Relaxed);
        if changes & 1 != 0
            || self
                .changes
                .cmpxchg(changes, changes.wrapping_add(1), ordering::Full)
                .is_err()
        {
            return;
        }
        let run = self.load(age).with(new);
        self.block.store(run.block);
        self.start.store(run.start);
        self.len.store(run.len);
        self.age.store(age);
        self.changes
            .store(changes.wrapping_add(2), ordering::Release);
    }
}
