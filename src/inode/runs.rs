// SPDX-License-Identifier: GPL-2.0

//! The cache of the runs of a file. It is read and filled without a lock.

use crate::ext2::block_map::Mapping;
use crate::ext2::run_cache::{slot, Run, SLOTS};
use crate::inode::run_slot::RunSlot;
use kernel::prelude::*;
use kfs::drop_in_atomic;

/// The cache of one file. Each run has the age of the file when it was looked up, and is valid as
/// long as the file has that.
pub(super) struct Runs {
    slots: KVec<RunSlot>,
    block_bits: u32,
}

drop_in_atomic!(plain RunSlot);
drop_in_atomic!(struct Runs { slots, block_bits });

impl Runs {
    /// An empty cache for a file with blocks of 2^`block_bits` bytes. `ENOMEM` without memory.
    pub(super) fn new(block_bits: u32) -> Result<Self> {
        let mut slots = KVec::with_capacity(SLOTS, GFP_KERNEL)?;
        for _ in 0..SLOTS {
            slots.push(RunSlot::new(), GFP_KERNEL)?;
        }
        Ok(Runs { slots, block_bits })
    }

    /// Looks up at most `max` blocks from block `block` of the file on, at the age `age`. `None` if
    /// they are not cached. Does not sleep.
    #[inline(always)]
    pub(super) fn get(&self, age: usize, block: u64, max: u32) -> Option<Mapping> {
        let block = u32::try_from(block).ok()?;
        let slot = self.slots.get(slot(self.block_bits, block))?;
        slot.get(age, block, max)
    }

    /// Caches that the `len` blocks of the file from `block` on are those from `start` on of the
    /// volume, as was looked up at the age `age`. Does not sleep.
    pub(super) fn put(&self, age: usize, block: u64, start: u32, len: u32) {
        let Ok(block) = u32::try_from(block) else {
            return;
        };
        if let Some(slot) = self.slots.get(slot(self.block_bits, block)) {
            slot.put(age, Run { block, start, len });
        }
    }
}
