// SPDX-License-Identifier: GPL-2.0

//! The new blocks of direct writes in flight. *Pending* are those that are reserved, and not in the block
//! map yet. See [`crate::inode::new_blocks`].

use crate::inode::turns::{AllTurns, AtBlocks, Enter};
use crate::volume::blocks::Blocks;
use core::ops::Range;
use kernel::alloc::Flags;
use kernel::error::Result;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kfs::block::buffer_head::BufferHead;
use kfs::drop_in_atomic;

/// The runs of new blocks of direct writes in flight.
pub(crate) struct Pending {
    /// By the first block of the file. They do not overlap.
    runs: RBTree<u64, Reserved>,
    /// Up to which byte writes in flight will extend the file; 0 if there are none.
    extended_to: u64,
    /// Somebody waits until a write is over.
    is_awaited: bool,
    /// Whose turn it is at blocks of which several have parts.
    pub(super) turns: AllTurns,
    /// The memory of a run that is over, for the next one: a file that is appended to needs none then.
    spare: Option<Place>,
}

/// A run of new blocks of a write in flight.
pub(super) struct Reserved {
    pub(super) blocks: Blocks,
    /// `None` when it has been linked or given back: then it is not pending any more, but the write is not
    /// over. The same if it was in the file before.
    pub(super) at: Option<PointerTo>,
}

/// Where the pointers to a run will be.
pub(super) struct PointerTo {
    /// In this block of pointers, or else in the inode.
    pub(super) parent: Option<BufferHead>,
    /// From this index on.
    pub(super) index: u32,
}

drop_in_atomic!(plain Blocks);
drop_in_atomic!(struct Pending { runs, extended_to, is_awaited, turns, spare });
drop_in_atomic!(struct Reserved { blocks, at });
drop_in_atomic!(struct PointerTo { parent, index });

impl Reserved {
    fn end(&self, first: u64) -> u64 {
        first + u64::from(self.blocks.len)
    }
}

impl Pending {
    pub(super) fn new() -> Self {
        Pending {
            runs: RBTree::new(),
            extended_to: 0,
            is_awaited: false,
            turns: AllTurns::new(),
            spare: None,
        }
    }

    /// Whether no write to new blocks is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty() && (self.turns.is_empty() || mutant!("parked-unseen"))
    }

    /// Whether some blocks are pending.
    pub(super) fn has_unlinked(&self) -> bool {
        self.runs.values().any(|run| run.at.is_some())
    }

    /// The last run that begins before block `block` of the file: what `f` makes of it.
    fn before<R>(&self, block: u64, f: impl FnOnce(u64, &Reserved) -> R) -> Option<R> {
        let f = |(&first, run): (&u64, &Reserved)| f(first, run);
        match self.runs.cursor_lower_bound(&block) {
            Some(behind) => behind.peek_prev().map(f),
            None => self.runs.cursor_back().map(|last| f(last.current())),
        }
    }

    /// The goal for block `block` of the file: after the run right before it.
    pub(super) fn goal(&self, block: u64) -> Option<u32> {
        self.before(block, |first, run| {
            let goal = run.blocks.start.saturating_add(run.blocks.len);
            (run.end(first) == block).then_some(goal)
        })
        .flatten()
    }

    /// Whether a write in flight has new blocks in `range`, or turns.
    pub(super) fn overlaps(&self, range: &Range<u64>) -> bool {
        self.is_new(range) || self.turns.overlaps(range)
    }

    /// Whether a write in flight has new blocks in `range`.
    pub(super) fn is_new(&self, range: &Range<u64>) -> bool {
        self.before(range.end, |first, run| run.end(first) > range.start)
            .unwrap_or(false)
    }

    /// What turns a write of `bytes` needs, with EOF at `i_size`. `bits`: the size of a block.
    pub(super) fn enter(&self, bytes: &Range<u64>, i_size: u64, bits: u32) -> Enter {
        let is_new = |range: &Range<u64>| self.is_new(range);
        self.turns.needed(bytes, i_size, bits, is_new)
    }

    /// Where the run is that begins with block `block` of the file.
    pub(super) fn run_at(&self, block: u64) -> Option<Blocks> {
        self.runs.get(&block).map(|run| run.blocks)
    }

    /// How many blocks, from block `block` of the file on and `max` at most, are not pending; 0 if that one
    /// is.
    pub(super) fn room(&self, block: u64, max: u32) -> u32 {
        let is_pending = self.before(block + 1, |first, run| {
            run.at.is_some() && run.end(first) > block
        });
        if is_pending.unwrap_or(false) {
            return 0;
        }
        match self.runs.cursor_lower_bound(&block) {
            Some(next) => (*next.current().0 - block).clamp(1, max.into()) as u32,
            None => max,
        }
    }

    /// Takes the pointers and the blocks of the first run that is pending and begins in `range`; it stays
    /// until [`Pending::remove`].
    pub(super) fn take(&mut self, range: &Range<u64>) -> Option<(u64, Blocks, PointerTo)> {
        let mut next = self.runs.cursor_lower_bound_mut(&range.start);
        while let Some(mut cursor) = next {
            let (&first, run) = cursor.current_mut();
            if first >= range.end {
                return None;
            }
            if let Some(at) = run.at.take() {
                return Some((first, run.blocks, at));
            }
            next = cursor.move_next();
        }
        None
    }

    /// Removes the runs that begin in `range`: the write is over, and has left its turns. Returns whether somebody has waited for one
    /// to be since that was asked last.
    pub(super) fn remove(&mut self, range: &Range<u64>) -> bool {
        while let Some(cursor) = self.runs.cursor_lower_bound_mut(&range.start) {
            if *cursor.current().0 >= range.end {
                break;
            }
            let (_, node) = cursor.remove_current();
            self.spare = Some(node.into_reservation());
        }
        self.removed()
    }

    /// Gives back the turns of the write that is being issued. Returns what [`Pending::remove`] does.
    pub(super) fn give_back(&mut self, at: AtBlocks) -> bool {
        self.turns.give_back(at);
        self.removed()
    }

    fn removed(&mut self) -> bool {
        if self.is_empty() {
            self.extended_to = 0;
        }
        core::mem::take(&mut self.is_awaited)
    }

    /// Somebody is about to wait until a write is over.
    pub(super) fn await_removal(&mut self) {
        self.is_awaited = true;
    }

    /// Memory for a run. Sleeps as `flags` say. `ENOMEM`.
    pub(super) fn place(&mut self, flags: Flags) -> Result<Place> {
        match self.spare.take() {
            Some(place) => Ok(place),
            None => Place::new(flags),
        }
    }

    /// Adds a run, from block `block` of the file on.
    pub(super) fn add(&mut self, place: Place, block: u64, run: Reserved) {
        self.runs.insert(place.into_node(block, run));
    }

    /// A write in flight will extend the file to byte `end`. Returns up to which byte it would be extended without that.
    pub(super) fn extend(&mut self, end: u64) -> u64 {
        let others = self.extended_to;
        self.extended_to = others.max(end);
        others
    }

    /// That write has ended, and nothing came behind it: `others` is what [`Pending::extend`] has returned.
    pub(super) fn has_ended(&mut self, others: u64) {
        self.extended_to = others;
    }

    /// A write of whole blocks, `bytes` of the file, which began where an append would have, and has taken no turns, has come to
    /// nothing, and is in flight still. If nothing came behind it, no other one ends where it would have been: that would have waited for it.
    pub(super) fn refused(&mut self, bytes: &Range<u64>) {
        if self.extended_to == bytes.end {
            self.extended_to = bytes.start;
        }
    }

    /// Up to which byte writes in flight will extend the file; 0 if there are none.
    pub(super) fn extended_to(&self) -> u64 {
        self.extended_to
    }
}

/// Memory for a run.
pub(super) type Place = RBTreeNodeReservation<u64, Reserved>;
