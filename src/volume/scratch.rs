// SPDX-License-Identifier: GPL-2.0

//! Memory of the size of a block, for a copy of what a buffer has.

use core::ops::{Deref, DerefMut};
use kernel::alloc::AllocError;
use kernel::prelude::*;
use kfs::compat::zeroed;
use zerocopy::IntoBytes;

/// Blocks have a power of two of bytes, which are filled by eight.
pub(super) struct Scratch(KVVec<u64>);

impl Scratch {
    /// One of `size` bytes, zeroed. Sleeps.
    pub(super) fn new(size: u32) -> Result<Self, AllocError> {
        let words = size as usize / size_of::<u64>();
        Ok(Scratch(zeroed(words, GFP_KERNEL)?))
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }
}
