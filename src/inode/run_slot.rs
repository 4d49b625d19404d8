// SPDX-License-Identifier: GPL-2.0

//! A place for one run of a file and its block of pointers, which is read and filled without a lock.

use crate::ext2::block_map::Mapping;
use crate::ext2::run_cache::Run;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::barrier::{smp_mb, Read};
use kfs::sync::unordered::Unordered;

/// A run, its block of pointers, the age of the file when they were looked up, and a count of the
/// changes of all this, which is odd while it is being changed.
pub(super) struct RunSlot {
    changes: Atomic<u32>,
    block: Unordered<u32>,
    start: Unordered<u32>,
    len: Unordered<u32>,
    /// 0 if it is not known.
    pointers: Unordered<u32>,
    age: Unordered<usize>,
}

/// What was looked up.
#[derive(Clone, Copy)]
pub(super) struct LookedUp {
    pub(super) run: Run,
    /// The block of pointers with those to all of the run, if it is known.
    pub(super) pointers: Option<u32>,
}

impl RunSlot {
    /// An empty one.
    pub(super) fn new() -> Self {
        RunSlot {
            changes: Atomic::new(0),
            block: Unordered::new(0),
            start: Unordered::new(0),
            len: Unordered::new(0),
            pointers: Unordered::new(0),
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
        let run = self.unless_torn(|| self.load(age))?;
        run.get(block, max)
    }

    /// The run and its block of pointers, if `is_same` holds for the run, at the age `age`. Does not sleep.
    pub(super) fn pointers(
        &self,
        age: usize,
        is_same: impl FnOnce(Run) -> bool,
    ) -> Option<(Run, u32)> {
        let age = match mutant!("pointers-kept") {
            true => self.age.load(),
            false => age,
        };
        let (run, pointers) = self.unless_torn(|| (self.load(age), self.pointers.load()))?;
        (run.len != 0 && pointers != 0 && is_same(run)).then_some((run, pointers))
    }

    /// What `load` loads; `None` if that was changed meanwhile.
    #[inline(always)]
    fn unless_torn<T>(&self, load: impl FnOnce() -> T) -> Option<T> {
        let changes = self.changes.load(ordering::Acquire);
        let loaded = load();
        smp_mb(Read);
        let torn = changes & 1 != 0 || self.changes.load(ordering::Relaxed) != changes;
        // It would not be worth waiting for.
        (!torn || mutant!("runs-torn")).then_some(loaded)
    }

    /// Puts a run here that was looked up at the age `age`, unless another one is being put here.
    /// Does not sleep.
    pub(super) fn put(&self, age: usize, LookedUp { run: new, pointers }: LookedUp) {
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
        // If the run was joined with that which was here, so are their pointers in one block.
        if pointers.is_some() || run == new {
            self.pointers.store(pointers.unwrap_or(0));
        }
        self.age.store(age);
        self.changes
            .store(changes.wrapping_add(2), ordering::Release);
    }
}
