// SPDX-License-Identifier: GPL-2.0

//! The pending blocks of a file: reserved, and not in its block map. See [`crate::inode::new_blocks`].

use crate::volume::blocks::Blocks;
use core::ops::Range;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kfs::block::buffer_head::BufferHead;
use kfs::drop_in_atomic;

/// The pending blocks of a file.
pub(crate) struct Pending {
    /// By the first block of the file. They do not overlap.
    runs: RBTree<u64, Reserved>,
}

/// A run of pending blocks.
pub(super) struct Reserved {
    pub(super) blocks: Blocks,
    pub(super) at: PointerTo,
}

/// Where the pointers to a run will be.
pub(super) struct PointerTo {
    /// In this block of pointers, or else in the inode.
    pub(super) parent: Option<BufferHead>,
    /// From this index on.
    pub(super) index: u32,
}

drop_in_atomic!(plain Blocks);
drop_in_atomic!(struct Pending { runs });
drop_in_atomic!(struct Reserved { blocks, at });
drop_in_atomic!(struct PointerTo { parent, index });

impl Pending {
    pub(super) fn new() -> Self {
        Pending {
            runs: RBTree::new(),
        }
    }

    /// The goal for block `block` of the file: after the pending blocks right before it.
    pub(super) fn goal(&self, block: u64) -> Option<u32> {
        let goal = |(&first, run): (&u64, &Reserved)| {
            let is_next = first + u64::from(run.blocks.len) == block;
            is_next.then(|| run.blocks.start.saturating_add(run.blocks.len))
        };
        match self.runs.cursor_lower_bound(&block) {
            Some(behind) => behind.peek_prev().and_then(goal),
            None => self
                .runs
                .cursor_back()
                .and_then(|last| goal(last.current())),
        }
    }

    /// Takes the first run that begins in `range`.
    pub(super) fn take(&mut self, range: &Range<u64>) -> Option<(u64, Reserved)> {
        let first = self.runs.cursor_lower_bound_mut(&range.start)?;
        if *first.current().0 >= range.end {
            return None;
        }
        Some(first.remove_current().1.to_key_value())
    }

    /// Adds a run, from block `block` of the file on.
    pub(super) fn add(&mut self, place: Place, block: u64, run: Reserved) {
        self.runs.insert(place.into_node(block, run));
    }
}

/// Memory for a run.
pub(super) type Place = RBTreeNodeReservation<u64, Reserved>;
