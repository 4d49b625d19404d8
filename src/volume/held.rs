// SPDX-License-Identifier: GPL-2.0

//! The metadata buffers that are held until they have been written ([`crate::volume::unwritten`]).
//!
//! Those that have to be written before others are in a tree of their own: who writes them passes no other ones. A buffer
//! that becomes one of them goes from the one tree to the other, which takes no memory.

use core::ops::Range;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kfs::block::buffer_head::BufferHead;

/// The number of held buffers from which on clean ones are swept.
const SWEEP_AT: usize = 256;

/// After so many passes of a settle what it waits for is not forgotten before it is written.
const SHORT_PASSES: u32 = 2;

/// Why a buffer has to be written before others.
#[derive(Clone, Copy)]
pub(crate) enum First {
    /// It releases an inode number or blocks.
    Release = 1,
    /// It has a new inode.
    New = 2,
    /// It is a new block of extended attributes, or the first one of a new directory.
    OfInode = 4,
}

/// How many buffers have each of the bits of [`First`].
type Counts = [usize; 3];

/// Counts a buffer whose bits change.
fn count(counts: &mut Counts, old: u8, new: u8) {
    for (bit, count) in counts.iter_mut().enumerate() {
        *count += usize::from(new >> bit & 1);
        *count -= usize::from(old >> bit & 1);
    }
}

/// How many have one of these bits, at most.
fn counted(counts: &Counts, bits: u8) -> usize {
    let with = |(bit, count): (usize, &usize)| count * usize::from(bits >> bit & 1);
    counts.iter().enumerate().map(with).sum()
}

/// A buffer that is held.
pub(super) struct HeldBuffer {
    buffer: BufferHead,
    /// Bits of [`First`].
    first: u8,
    /// With [`First::Release`]: the last pass when it was marked so.
    released_in: u64,
}

impl HeldBuffer {
    /// Whether a settle in its pass `pass` waits for it to be written.
    fn is_wanted(&self, pass: u64) -> bool {
        self.first & First::Release as u8 != 0
            && self.released_in < pass
            && self.buffer.is_unwritten()
    }
}

/// Memory for a buffer that is held.
pub(super) type Place = RBTreeNodeReservation<u64, HeldBuffer>;

/// By block number.
type Tree = RBTree<u64, HeldBuffer>;

/// The buffers that are held, and how far a settle is that waits for some of them.
pub(super) struct Held {
    /// Those that have one of the bits of [`First`].
    first: Tree,
    /// The others.
    rest: Tree,
    /// How many there are in both.
    len: usize,
    /// How many have to be written before others, by the bits of [`First`].
    counts: Counts,
    /// The same bits of those that could neither be held nor be written.
    lost: u8,
    /// The pass of the settle that is the last one.
    pass: u64,
    /// In that pass a buffer was forgotten that it should have written.
    is_pass_short: bool,
    /// How many passes before it were so.
    short_passes: u32,
    sweep_at: usize,
    /// The blocks from which on memory reclaim looks at those in `first` and in `rest`.
    reclaim_from: [u64; 2],
}

impl Held {
    /// No buffer is held.
    pub(super) fn new() -> Self {
        Held {
            first: RBTree::new(),
            rest: RBTree::new(),
            len: 0,
            counts: [0; 3],
            lost: 0,
            pass: 0,
            is_pass_short: false,
            short_passes: 0,
            sweep_at: SWEEP_AT,
            reclaim_from: [0; 2],
        }
    }

    /// How many are held.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bits of [`First`] of buffers of which nothing is known any more.
    pub(super) fn lost(&self) -> u8 {
        self.lost
    }

    /// Adds to these.
    pub(super) fn add_lost(&mut self, first: u8) {
        self.lost |= first;
    }

    /// Adds bits of [`First`] to a buffer, if it is held. Returns whether it is.
    pub(super) fn mark(&mut self, buffer: &BufferHead, first: u8) -> bool {
        let block = buffer.block();
        if self.mark_first(block, first) {
            return true;
        }
        if first == 0 || mutant!("held-among-the-rest") {
            return self.rest.get(&block).is_some();
        }
        let Some(node) = self.rest.remove_node(&block) else {
            return false;
        };
        self.first.insert(node);
        self.mark_first(block, first)
    }

    /// The same for one of those that have a bit.
    fn mark_first(&mut self, block: u64, first: u8) -> bool {
        let Some(old) = self.first.get_mut(&block) else {
            return false;
        };
        let bits = old.first;
        old.first |= first;
        if bits & First::Release as u8 == 0 {
            old.released_in = self.pass;
        }
        count(&mut self.counts, bits, bits | first);
        true
    }

    /// Holds a buffer, which somebody may have done meanwhile.
    pub(super) fn hold(&mut self, place: Place, buffer: &BufferHead, first: u8) {
        if self.mark(buffer, first) {
            return;
        }
        if self.len >= self.sweep_at {
            self.sweep();
        }
        let new = HeldBuffer {
            buffer: buffer.get(),
            first,
            released_in: self.pass,
        };
        let tree = match first {
            0 => &mut self.rest,
            _ => &mut self.first,
        };
        tree.insert(place.into_node(buffer.block(), new));
        self.len += 1;
        count(&mut self.counts, 0, first);
    }

    /// Begins a pass of a settle.
    pub(super) fn begin_pass(&mut self) {
        self.pass += 1;
        self.is_pass_short = false;
    }

    /// Ends it; `is_written` unless there was an error. Returns whether all that it should have written has been.
    pub(super) fn end_pass(&mut self, is_written: bool) -> bool {
        let is_over = !self.is_pass_short || mutant!("settled-in-one-pass");
        self.short_passes = match is_over || !is_written {
            true => 0,
            false => self.short_passes + 1,
        };
        is_over
    }

    /// A settle has given up.
    pub(super) fn forget_short_passes(&mut self) {
        self.short_passes = 0;
    }

    /// Fills `batch` with buffers that have to be written first for the reasons `why`, from block `start` on, and redirties them
    /// if they could not be written. Returns the block to go on from. `EIO` when one was lost.
    pub(super) fn first_from(
        &mut self,
        start: u64,
        why: u8,
        batch: &mut [Option<BufferHead>],
    ) -> Result<Option<u64>> {
        if self.lost & why != 0 {
            return Err(EIO);
        }
        if counted(&self.counts, why) == 0 {
            return Ok(None);
        }
        let mut places = batch.iter_mut();
        let mut next = self.first.cursor_lower_bound_mut(&start);
        while let Some(cursor) = next {
            let (&block, found) = cursor.current();
            if found.first & why == 0 {
                next = cursor.move_next();
            } else if found.buffer.is_unwritten() {
                let Some(place) = places.next() else {
                    return Ok(Some(block));
                };
                // Not when a sweep looks at it, which would take it for one that was written.
                if found.buffer.has_write_error() {
                    found.buffer.mark_dirty();
                }
                *place = Some(found.buffer.get());
                next = cursor.move_next();
            } else {
                count(&mut self.counts, found.first, 0);
                self.len -= 1;
                next = cursor.remove_current().0;
            }
        }
        Ok(None)
    }

    /// Drops the buffers of these blocks, and takes note if a settle waits for one of them.
    pub(super) fn forget(&mut self, blocks: Range<u64>) {
        for tree in [&mut self.first, &mut self.rest] {
            while let Some(cursor) = tree.cursor_lower_bound_mut(&blocks.start) {
                let (&block, found) = cursor.current();
                if block >= blocks.end {
                    break;
                }
                self.is_pass_short |= found.is_wanted(self.pass);
                count(&mut self.counts, found.first, 0);
                self.len -= 1;
                cursor.remove_current();
            }
        }
    }

    /// Redirties buffers that could not be written.
    pub(super) fn redirty_failed(&self) {
        for held in Iterator::chain(self.first.values(), self.rest.values()) {
            if held.buffer.has_write_error() {
                held.buffer.mark_dirty();
            }
        }
    }

    /// The first buffer of these blocks that a settle waits for, and has begun anew for others.
    pub(super) fn next_wanted(&mut self, blocks: Range<u64>) -> Option<BufferHead> {
        if self.short_passes < SHORT_PASSES || mutant!("wanted-forgotten") {
            return None;
        }
        let mut next = self.first.cursor_lower_bound_mut(&blocks.start);
        while let Some(cursor) = next {
            let (&block, found) = cursor.current();
            if block >= blocks.end {
                return None;
            }
            if found.is_wanted(self.pass) {
                return Some(found.buffer.get());
            }
            next = cursor.move_next();
        }
        None
    }

    /// Drops buffers that have been written.
    pub(super) fn sweep(&mut self) {
        self.sweep_from([0; 2], usize::MAX);
        self.sweep_at = SWEEP_AT.max(2 * self.len);
    }

    /// The same of `most` of either kind, which are behind those at which the last call has looked. Returns how many were dropped.
    pub(super) fn reclaim(&mut self, most: usize) -> usize {
        let before = self.len;
        self.reclaim_from = self.sweep_from(self.reclaim_from, most);
        before.saturating_sub(self.len)
    }

    /// Drops buffers that have been written, from a block on in each tree, of `most` that it looks at there. Returns where to go on.
    fn sweep_from(&mut self, from: [u64; 2], most: usize) -> [u64; 2] {
        let mut from = from;
        for (tree, from) in [&mut self.first, &mut self.rest].into_iter().zip(&mut from) {
            let mut left = most;
            let mut next = tree.cursor_lower_bound_mut(from);
            // To the begin, if there is no other one behind these.
            *from = 0;
            while let Some(cursor) = next {
                let (&block, found) = cursor.current();
                if left == 0 {
                    *from = block;
                    break;
                }
                left -= 1;
                next = if found.buffer.is_unwritten() {
                    cursor.move_next()
                } else {
                    count(&mut self.counts, found.first, 0);
                    self.len -= 1;
                    cursor.remove_current().0
                };
            }
        }
        from
    }
}
