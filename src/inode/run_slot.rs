// SPDX-License-Identifier: GPL-2.0

//! A place for a few runs of a file and their block of pointers, which is read and filled without a lock.

use crate::ext2::block_map::Mapping;
use crate::ext2::run_cache::{Run, SlotRuns};
use kernel::sync::atomic::{ordering, Atomic};
use kfs::compat::{smp_mb, Read};
use kfs::sync::unordered::{self, Unordered};

/// `N` runs, the block of pointers of the first, the age of the file when they were looked up, and a count of
/// the changes of all this, which is odd while it is being changed.
pub(super) struct RunSlot<const N: usize> {
    changes: Atomic<u32>,
    /// 0 if it is not known.
    pointers: Unordered<u32>,
    age: Unordered<usize>,
    runs: [RunPlace; N],
}

struct RunPlace {
    block: Unordered<u32>,
    start: Unordered<u32>,
    len: Unordered<u32>,
}

impl RunPlace {
    #[inline(always)]
    fn load(&self) -> Run {
        Run {
            block: self.block.load(),
            start: self.start.load(),
            len: self.len.load(),
        }
    }

    fn store(&self, run: Run) {
        self.block.store(run.block);
        self.start.store(run.start);
        self.len.store(run.len);
    }
}

/// What was looked up.
#[derive(Clone, Copy)]
pub(super) struct LookedUp {
    pub(super) run: Run,
    /// The block of pointers with those to all of the run, if it is known.
    pub(super) pointers: Option<u32>,
}

impl<const N: usize> RunSlot<N> {
    /// An empty one.
    pub(super) fn new() -> Self {
        let empty = || RunPlace {
            block: Unordered::new(0),
            start: Unordered::new(0),
            len: Unordered::new(0),
        };
        RunSlot {
            changes: Atomic::new(0),
            pointers: Unordered::new(0),
            age: Unordered::new(0),
            runs: [(); N].map(|()| empty()),
        }
    }

    /// Looks up at most `max` blocks from block `block` of the file on. `None` if no run has them,
    /// or not at the age `age`, or they are being changed. Does not sleep.
    #[inline(always)]
    pub(super) fn get(&self, age: usize, block: u32, max: u32) -> Option<Mapping> {
        let changes = self.begin();
        let found = self.find(age, block, max);
        self.unless_torn(changes, found)?
    }

    /// Apart from [`RunSlot::get`], and no closure, for the compiler makes a function of that in spite of what it is told.
    #[inline(always)]
    fn find(&self, age: usize, block: u32, max: u32) -> Option<Mapping> {
        if self.age.load() != age {
            return None;
        }
        for place in &self.runs {
            if let Some(found) = place.load().get(block, max) {
                return Some(found);
            }
        }
        None
    }

    /// Where `len` blocks from block `block` of the file on are: `None` if no run has them all, and as [`RunSlot::get`]. Does not
    /// sleep.
    #[inline(always)]
    pub(super) fn get_all(&self, age: usize, block: u32, len: u32) -> Option<u32> {
        let changes = self.begin();
        let found = self.find_all(age, block, len);
        self.unless_torn(changes, found)?
    }

    /// Apart, as [`RunSlot::find`].
    #[inline(always)]
    fn find_all(&self, age: usize, block: u32, len: u32) -> Option<u32> {
        if self.age.load() != age {
            return None;
        }
        for place in &self.runs {
            if let Some(start) = place.load().get_all(block, len) {
                return Some(start);
            }
        }
        None
    }

    /// The block of pointers of the run that was put last, if `is_same` holds for that, at the age `age`. Does not
    /// sleep.
    pub(super) fn pointers(&self, age: usize, is_same: impl FnOnce(Run) -> bool) -> Option<u32> {
        let age = match mutant!("pointers-kept") {
            true => self.age.load(),
            false => age,
        };
        let changes = self.begin();
        let last = self.runs.first()?.load();
        let is_valid = self.age.load() == age && last.len != 0;
        let block = self.pointers.load();
        self.unless_torn(changes, ())?;
        (is_valid && block != 0 && is_same(last)).then_some(block)
    }

    /// The length of the run that is given up for another one, in blocks: 0 if there is room. Does not sleep.
    pub(super) fn shortest(&self) -> u32 {
        let lens = self.runs.iter().map(|place| place.len.load());
        lens.min().unwrap_or(0)
    }

    /// Begins to load what is here: the count of changes.
    #[inline(always)]
    fn begin(&self) -> u32 {
        self.changes.load(ordering::Acquire)
    }

    /// What was loaded since the count was `changes`; `None` if that was changed meanwhile.
    #[inline(always)]
    fn unless_torn<T>(&self, changes: u32, loaded: T) -> Option<T> {
        smp_mb(Read);
        let torn = changes & 1 != 0 || unordered::load(&self.changes) != changes;
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
        let is_valid = self.age.load() == age;
        if !is_valid || !self.grow(new) {
            self.replace(is_valid, new);
        }
        self.pointers.store(pointers.unwrap_or(0));
        self.age.store(age);
        self.changes
            .store(changes.wrapping_add(2), ordering::Release);
    }

    /// Has the run that was put last go on with `new`. False if that is not all that there is to do.
    #[inline]
    fn grow(&self, new: Run) -> bool {
        let Some((last, others)) = self.runs.split_first() else {
            return false;
        };
        let grown = SlotRuns::<N>::grown(last.load(), others.iter().map(RunPlace::load), new);
        if let Some(grown) = grown {
            last.len.store(grown.len);
        }
        grown.is_some()
    }

    /// Puts `new` with the runs that are here, if they are valid.
    #[inline(never)]
    fn replace(&self, is_valid: bool, new: Run) {
        let mut runs = SlotRuns::<N>::EMPTY;
        if is_valid {
            for (run, place) in runs.0.iter_mut().zip(&self.runs) {
                *run = place.load();
            }
        }
        runs.put(new);
        for (index, (place, run)) in self.runs.iter().zip(&runs.0).enumerate() {
            match index > 0 && mutant!("runs-one") {
                true => place.store(Run::EMPTY),
                false => place.store(*run),
            }
        }
    }
}
