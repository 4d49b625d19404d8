// SPDX-License-Identifier: GPL-2.0

//! The cache of the runs of a file, and of its blocks of pointers. It is read and filled without a
//! lock.

use crate::ext2::block_map::Mapping;
use crate::ext2::run_cache::{last_pointers, slot, Run, RUNS, SLOTS};
use crate::inode::run_slot::{self, LookedUp};
use kernel::alloc::Flags;
use kernel::prelude::*;
use kernel::sync::SetOnce;
use kfs::drop_in_atomic;

/// The slots that are allocated together: few files have more blocks of pointers.
const TOGETHER: usize = 64;

type RunSlot = run_slot::RunSlot<RUNS>;

const _: () = assert!(
    size_of::<RunSlot>() <= 64,
    "more than a line of a processor's cache"
);

/// The cache of one file. Each run has the age of the file when it was looked up, and is valid as
/// long as the file has that.
pub(super) struct Runs {
    slots: [SetOnce<KVec<RunSlot>>; SLOTS / TOGETHER],
    block_bits: u32,
}

drop_in_atomic!(plain RunSlot);
drop_in_atomic!(struct Runs { slots, block_bits });

impl Runs {
    /// An empty cache for a file with blocks of 2^`block_bits` bytes.
    pub(super) fn new(block_bits: u32) -> Self {
        Runs {
            slots: [const { SetOnce::new() }; SLOTS / TOGETHER],
            block_bits,
        }
    }

    #[inline(always)]
    fn slot(&self, number: u32) -> Option<&RunSlot> {
        let index = slot(number);
        let slots = self.slots.get(index / TOGETHER)?.as_ref()?;
        slots.get(index % TOGETHER)
    }

    /// Looks up at most `max` blocks from block `block` of the file on, at the age `age`. `None` if
    /// they are not cached. Does not sleep.
    #[inline(always)]
    pub(super) fn get(&self, age: usize, block: u64, max: u32) -> Option<Mapping> {
        let block = u32::try_from(block).ok()?;
        let slot = self.slot(last_pointers(self.block_bits, block))?;
        slot.get(age, block, max)
    }

    /// Where `len` blocks from block `block` of the file on are, at the age `age`. `None` if that is not cached, or they are not
    /// one run. Does not sleep.
    #[inline(always)]
    pub(super) fn get_all(&self, age: usize, block: u64, len: u32) -> Option<u32> {
        let block = u32::try_from(block).ok()?;
        let slot = self.slot(last_pointers(self.block_bits, block))?;
        slot.get_all(age, block, len)
    }

    /// The block of pointers with that to block `block` of the file, at the age `age`. `None` if it is not cached. Does
    /// not sleep.
    pub(super) fn pointers(&self, age: usize, block: u64) -> Option<u32> {
        let number = last_pointers(self.block_bits, u32::try_from(block).ok()?);
        let is_same = |run: Run| last_pointers(self.block_bits, run.block) == number;
        self.slot(number)?.pointers(age, is_same)
    }

    /// The length of the run that is given up for another one with the pointers to block `block` of the file. Does not sleep.
    pub(super) fn shortest(&self, block: u64) -> u32 {
        let block = u32::try_from(block).ok();
        let slot = block.and_then(|block| self.slot(last_pointers(self.block_bits, block)));
        slot.map_or(0, RunSlot::shortest)
    }

    /// Makes room for runs with block `block` of the file. Optional: without memory they are not
    /// cached. May sleep, as `flags` say.
    pub(super) fn make_room(&self, block: u32, flags: Flags) {
        let index = slot(last_pointers(self.block_bits, block));
        let Some(room) = self.slots.get(index / TOGETHER) else {
            return;
        };
        if room.as_ref().is_none() {
            if let Ok(slots) = slots(flags) {
                room.populate(slots);
            }
        }
    }

    /// Caches what was looked up at the age `age`, if there is room. Does not sleep.
    pub(super) fn put(&self, age: usize, new: LookedUp) {
        if let Some(slot) = self.slot(last_pointers(self.block_bits, new.run.block)) {
            slot.put(age, new);
        }
    }
}

/// Empty slots. `ENOMEM` without memory; may sleep, as `flags` say.
fn slots(flags: Flags) -> Result<KVec<RunSlot>> {
    let mut slots = KVec::with_capacity(TOGETHER, flags)?;
    for _ in 0..TOGETHER {
        slots.push(RunSlot::new(), flags)?;
    }
    Ok(slots)
}
