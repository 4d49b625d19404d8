// SPDX-License-Identifier: GPL-2.0

//! Which blocks of a directory may have room for a name.
//!
//! Without an index, a name is added to the first block with room for it. To look for that from the first block on would
//! be to read all blocks for each name that is added. So it is known for each length of names below which block there is
//! no room. It is not on the volume, and says too little at most: nothing after a mount, and of a block that has lost a
//! name that there is as much room as there may be.

use super::{needed, Name, NAME_MAX};

/// The lengths of entries, in units of four bytes.
const LENGTHS: usize = needed(NAME_MAX as u8) / 4 + 1;

/// What is known of the blocks of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    /// By the length of an entry: no block below this one has room for it. A longer one finds no more room than a
    /// shorter one, so that they do not decrease.
    first: [u32; LENGTHS],
}

impl Rooms {
    /// Nothing is known.
    pub(crate) const fn new() -> Self {
        Rooms {
            first: [0; LENGTHS],
        }
    }

    /// The first block that may have room for `name`.
    pub(crate) fn first(&self, name: Name<'_>) -> u32 {
        let first = self.first.get(needed(name.len()) / 4);
        first.copied().unwrap_or_default()
    }

    /// Takes note that no block below `block` has room for `name`.
    pub(crate) fn none_below(&mut self, name: Name<'_>, block: u32) {
        let longer = self.first.iter_mut().skip(needed(name.len()) / 4);
        for first in longer.take_while(|first| **first < block) {
            *first = block;
        }
    }

    /// Takes note that there may be so many bytes in one piece in the block now.
    pub(crate) fn freed(&mut self, bytes: usize, block: u32) {
        for first in self.first.iter_mut().take(bytes / 4 + 1) {
            *first = block.min(*first);
        }
    }
}
