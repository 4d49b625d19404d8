// SPDX-License-Identifier: GPL-2.0

//! Sets of blocks, or of inode numbers, as runs in a table of fixed size.

use core::ops::{Deref, DerefMut, Range};

use super::bitmap::Run;

/// A set of blocks: runs in order, no two of which touch. `T` is the table.
#[derive(Debug)]
pub(crate) struct RunSet<T> {
    table: T,
    len: usize,
    total: u32,
}

/// The block behind a run.
fn end(run: &Run) -> u32 {
    run.start.saturating_add(run.len)
}

impl<T: Deref<Target = [Run]> + DerefMut> RunSet<T> {
    /// An empty set, with room for as many runs as `table` has.
    pub(crate) const fn new(table: T) -> Self {
        RunSet {
            table,
            len: 0,
            total: 0,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of blocks.
    pub(crate) const fn total(&self) -> u32 {
        self.total
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.total = 0;
    }

    fn runs(&self) -> &[Run] {
        self.table.get(..self.len).unwrap_or_default()
    }

    /// Adds a run. Returns whether there was room for it.
    #[must_use]
    pub(crate) fn insert(&mut self, new: Run) -> bool {
        let runs = self.runs();
        let (from, to) = (
            runs.partition_point(|run| end(run) < new.start),
            runs.partition_point(|run| run.start <= end(&new)),
        );
        // Those between touch the new one, which takes their place.
        let touching = runs.get(from..to).unwrap_or_default();
        let start = touching
            .first()
            .map_or(new.start, |run| run.start.min(new.start));
        let stop = touching
            .last()
            .map_or(end(&new), |run| end(run).max(end(&new)));
        let replaced: u32 = touching.iter().map(|run| run.len).sum();
        let len = self.len - touching.len() + 1;
        let table = &mut *self.table;
        if len > table.len() {
            return false;
        }
        self.total = self.total - replaced + (stop - start);
        table.copy_within(to..self.len, from + 1);
        if let Some(place) = table.get_mut(from) {
            *place = Run {
                start,
                len: stop - start,
            };
        }
        self.len = len;
        true
    }

    /// The parts of the set that are in `range`, in order.
    pub(crate) fn within(&self, range: Range<u32>) -> impl Iterator<Item = Run> + '_ {
        let runs = self.runs();
        let from = runs.partition_point(|run| end(run) <= range.start);
        let rest = runs.get(from..).unwrap_or_default();
        rest.iter()
            .take_while({
                let stop = range.end;
                move |run| run.start < stop
            })
            .map(move |run| {
                let start = run.start.max(range.start);
                Run {
                    start,
                    len: end(run).min(range.end) - start,
                }
            })
    }
}
