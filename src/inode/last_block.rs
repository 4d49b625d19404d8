// SPDX-License-Identifier: GPL-2.0

//! The block of a file that was allocated last.
//!
//! Where a file has nothing near a block that is to be allocated, that is put as far from this one as it is in the file, so that the hole
//! between them can be filled in one piece: by who writes the parts of a file side by side, or in any order. ext4 does so for files with
//! extents. It is a hint, and known while the inode is in memory and keeps its blocks.

use core::ops::Range;
use kfs::drop_in_atomic;
use kfs::sync::unordered::Unordered;

/// A block of the file, and where on the volume it is: 0 if that is not known. Set and asked with the right to change pointers.
pub(super) struct LastBlock {
    block: Unordered<u32>,
    place: Unordered<u32>,
}

drop_in_atomic!(plain LastBlock);

impl LastBlock {
    /// It is not known.
    pub(super) const fn new() -> Self {
        LastBlock {
            block: Unordered::new(0),
            place: Unordered::new(0),
        }
    }

    /// Block `block` of the file was allocated at block `place` of the volume. Does not sleep.
    pub(super) fn set(&self, block: u64, place: u32) {
        // Blocks of files have numbers of 32 bits.
        self.block.store(block as u32);
        self.place.store(place);
    }

    /// Blocks of the file are freed: what is left of it need not go on there. Does not sleep.
    pub(super) fn forget(&self) {
        self.place.store(0);
    }

    /// Where block `block` of the file should be, on a volume with the blocks `volume`. `None` if that is not known, or would be beyond
    /// them. Does not sleep.
    pub(super) fn goal(&self, block: u64, volume: &Range<u32>) -> Option<u32> {
        let place = self.place.load();
        if place == 0 || mutant!("parts-mixed") {
            return None;
        }
        let behind = i64::try_from(block).ok()? - i64::from(self.block.load());
        let goal = i64::from(place).checked_add(behind)?;
        u32::try_from(goal)
            .ok()
            .filter(|goal| volume.contains(goal))
    }
}
