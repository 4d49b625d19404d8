// SPDX-License-Identifier: GPL-2.0

//! What is known of the free blocks of a group without a look at its bitmap.
//!
//! Bounds, which searches make closer, and what becomes free makes wide again: so an almost full group,
//! or one in which no long run is left, is not searched from its begin to its end each time.

use super::bitmap::{self, Run};

/// Bounds of the free runs of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FreeRuns {
    /// No run is longer.
    longest: u32,
    /// No bit before this is free.
    first: u32,
}

impl FreeRuns {
    /// Nothing is known.
    pub(crate) const UNKNOWN: FreeRuns = FreeRuns {
        longest: u32::MAX,
        first: 0,
    };

    /// No run is longer.
    pub(crate) const fn longest(&self) -> u32 {
        self.longest
    }

    /// No bit before this is free.
    pub(crate) const fn first(&self) -> u32 {
        self.first
    }

    /// All was searched, and the longest run that can be had is `longest`; 0 for none.
    pub(crate) fn searched(&mut self, longest: u32) {
        self.longest = longest;
    }

    /// Some of the `end` bits of the bitmap `bits` were set.
    pub(crate) fn taken(&mut self, bits: &[u8], end: u32) {
        self.first = bitmap::next_free(bits, self.first, end).unwrap_or(end);
    }

    /// The bits of `run` can be had from now on.
    pub(crate) fn freed(&mut self, run: Run) {
        if !cfg!(mutant = "free-runs-kept") {
            self.longest = u32::MAX;
        }
        self.first = self.first.min(run.start);
    }
}
