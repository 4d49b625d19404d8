// SPDX-License-Identifier: GPL-2.0

//! What is known of the free blocks of a group without a look at its bitmap.
//!
//! Bounds, which searches make closer, and what becomes free makes wide again: so an almost full group,
//! or one in which no long run is left, is not searched from its begin to its end each time.

use core::ops::Range;

use super::bitmap::{self, Run};

/// So many bits of a bitmap are looked at first: 64 bytes.
pub(crate) const PART: u32 = 512;

/// A run that is looked for in a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The bit that should be the first; `u32::MAX` for none.
    pub(crate) goal: u32,
    /// The shortest run that will do, unless the goal itself is free.
    pub(crate) need: u32,
    /// So many bits from the begin of the run on are looked at afterwards.
    pub(crate) behind: u32,
}

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

    /// No bit before `first` is free.
    pub(crate) const fn from(first: u32) -> Self {
        FreeRuns {
            first,
            ..Self::UNKNOWN
        }
    }

    /// No bit before this is free.
    pub(crate) const fn first(&self) -> u32 {
        self.first
    }

    /// Bits were set, and no bit before `first` is free.
    pub(crate) fn taken(&mut self, first: u32) {
        self.first = first;
    }

    /// Finds a run of the `end` bits of a group in no more of `bits` than is needed: most of what is wanted lies at its
    /// goal, or soon behind it. So a part is searched first, and eight times as much if that was not enough.
    ///
    /// `load` is called for each part, in bits, and stores what is taken there in its argument, all of `bits`; parts
    /// begin at a multiple of 64, and end at one or at `end`. What is found is what [`bitmap::find_run`] finds in all of
    /// it, and so many bits from its begin on are loaded as [`Wanted::behind`] says. `None` when there is no run
    /// that will do: then none is longer than [`FreeRuns::longest`].
    ///
    /// # Errors
    ///
    /// Those of `load`.
    pub(crate) fn find<E>(
        &mut self,
        bits: &mut [u8],
        end: u32,
        wanted: &Wanted,
        mut load: impl FnMut(&mut [u8], Range<u32>) -> Result<(), E>,
    ) -> Result<Option<Run>, E> {
        let Wanted { goal, need, behind } = *wanted;
        let need = need.max(1);
        let first = self.first.min(end);
        let from = if (first..end).contains(&goal) {
            goal
        } else {
            first
        };
        let up = |bit: u32| bit.saturating_add(63) / 64 * 64;
        // What is loaded, from the multiple of 64 before `from` on.
        let mut to = from / 64 * 64;
        let mut part = PART.max(need.saturating_add(behind));
        let (run, is_goal_free) = loop {
            let next = up(from.saturating_add(part)).min(end);
            load(bits, to..next)?;
            to = next;
            let is_goal_free = from == goal && goal < end && !bitmap::is_set(bits, goal);
            if self.longest < need && !is_goal_free {
                return Ok(None);
            }
            let run = bitmap::find_run(bits, from..to, goal, need);
            // One that ends with the part may be longer.
            let is_all = |run: &Run| run.len >= need || (is_goal_free && run.start + run.len < to);
            if run.is_some_and(|run| is_all(&run)) || cfg!(mutant = "search-ends-early") {
                break (run, is_goal_free);
            }
            if to == end {
                // There is none behind the goal.
                if first < from {
                    load(bits, first / 64 * 64..up(from).min(end))?;
                }
                break (bitmap::find_run(bits, first..end, goal, need), is_goal_free);
            }
            part = part.saturating_mul(8);
        };
        let Some(found) = run.filter(|run| is_goal_free || run.len >= need) else {
            self.longest = run.map_or(0, |run| run.len);
            return Ok(None);
        };
        let stop = up(found.start.saturating_add(behind)).min(end);
        if to < stop {
            load(bits, to..stop)?;
        }
        Ok(Some(found))
    }

    /// The bits of `run` can be had from now on.
    pub(crate) fn freed(&mut self, run: Run) {
        if !cfg!(mutant = "free-runs-kept") {
            self.longest = u32::MAX;
        }
        self.first = self.first.min(run.start);
    }
}
