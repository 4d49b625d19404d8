// SPDX-License-Identifier: GPL-2.0

//! Blocks of which writes in flight have parts: whose turn it is.
//!
//! With the option `async_alloc` a write to a part of a block that is new, or in which EOF is and moves, is not
//! waited for. The next one to that block has to be behind it: the first writes zeroes to the rest of a new
//! block, and may fail, after which the block is not there. So each has a *turn* at the block, in the order
//! in which they came. One whose turn has not come is *parked*: its bios are ready, and are kept here.
//!
//! A turn is passed on when what was written in it is on the device, and a part of the file; or with the error, if
//! it is not: then those behind it fail, too. Where EOF is in the midst of a block that the file had
//! before, a write that begins in a later block has a turn, too: it moves EOF over the rest of that block.
//!
//! A write has turns at the block where it begins and at the one where it ends, and at that of EOF, and is behind
//! others at two of them at most. It takes them at the same time, and nobody else does then: so those who
//! wait for each other are in one order, that in which they came.

use core::ops::Range;
use kernel::error::Error;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kfs::block::bio::ReadyBios;
use kfs::drop_in_atomic;

/// The blocks of the file at which a write has turns.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AtBlocks {
    pub(crate) eof: Option<u64>,
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
}

impl AtBlocks {
    fn iter(self) -> impl Iterator<Item = u64> {
        self.eof.into_iter().chain(self.first).chain(self.last)
    }
}

/// A block of the file at which there are turns.
pub(super) struct Turns {
    /// Where it is on the volume.
    at: u32,
    /// The file had it before: what is in it from here on, in bytes of the file, is not known. None if
    /// it is new, and zeroes are written to the rest.
    known_to: Option<u64>,
    /// The number of the turn that is taken next,
    next: u32,
    /// and of that which has come.
    come: u32,
    /// How many writes with a turn are not over.
    writes: u32,
    /// The error of one that has passed its turn on.
    error: Option<Error>,
}

/// A turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// The block of the file,
    block: u64,
    /// and its number there.
    number: u32,
}

/// A write that is parked.
pub(super) struct Parked {
    bios: ReadyBios,
    /// Its other turn, if it is behind others at two blocks.
    then: Option<Turn>,
    /// The error of one before it.
    error: Option<Error>,
}

/// Up to where a block is known, in bytes of the file.
#[derive(Clone, Copy)]
struct KnownTo {
    block: u64,
    byte: u64,
}

/// Memory for a block at which there are turns.
pub(super) type Room = RBTreeNodeReservation<u64, Turns>;

/// Memory for a write that is parked.
pub(super) type ParkingPlace = RBTreeNodeReservation<Turn, Parked>;

/// The turns of the direct writes in flight to a file.
pub(super) struct AllTurns {
    /// By block of the file.
    blocks: RBTree<u64, Turns>,
    /// By the turn that has not come.
    parked: RBTree<Turn, Parked>,
    /// For the write that is being issued.
    place: Option<ParkingPlace>,
    /// What that has raised, as it was before.
    known_before: [Option<KnownTo>; 3],
    /// Its bios, if its turns have not come.
    kept: ReadyBios,
}

drop_in_atomic!(plain Turns);
drop_in_atomic!(plain Turn);
drop_in_atomic!(plain KnownTo);
drop_in_atomic!(struct Parked { bios, then, error });
drop_in_atomic!(struct AllTurns { blocks, parked, place, known_before, kept });

/// How a write is with regard to its turns.
pub(super) enum Come {
    /// They have come.
    Yes,
    NotYet,
    /// They have, but one before it has failed.
    After(Error),
}

/// What a write in flight keeps another one from.
pub(super) enum Enter {
    /// It has to wait for all in flight.
    Waits,
    /// Nothing: it has these turns.
    Takes(AtBlocks),
}

impl AllTurns {
    pub(super) fn new() -> Self {
        AllTurns {
            blocks: RBTree::new(),
            parked: RBTree::new(),
            place: None,
            known_before: [None; 3],
            kept: ReadyBios::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether there are turns in `range`.
    pub(super) fn overlaps(&self, range: &Range<u64>) -> bool {
        self.blocks
            .cursor_lower_bound(&range.start)
            .is_some_and(|next| *next.current().0 < range.end)
    }

    /// The turns that one may still take at a block: not when one has failed.
    fn open(&self, block: u64) -> Option<&Turns> {
        self.blocks
            .get(&block)
            .filter(|turns| turns.error.is_none())
    }

    /// What turns a write of `bytes` needs, with EOF at `i_size`. `is_new` says whether one in flight has new
    /// blocks in a range of blocks. `bits`: the size of a block.
    pub(super) fn needed(
        &self,
        bytes: &Range<u64>,
        i_size: u64,
        bits: u32,
        is_new: impl Fn(&Range<u64>) -> bool,
    ) -> Enter {
        let in_block = |pos: u64| pos & ((1 << bits) - 1) != 0;
        let (first, last) = (bytes.start >> bits, (bytes.end - 1) >> bits);
        let (begins_in, ends_in) = (in_block(bytes.start), in_block(bytes.end));
        let mut at = AtBlocks::default();
        let mut rest = first..last + 1;

        if begins_in || ends_in && first == last {
            if let Some(turns) = self.open(first) {
                let known_to = turns.known_to.unwrap_or(u64::MAX);
                if bytes.start > known_to && !mutant!("parked-over-a-gap") {
                    return Enter::Waits;
                }
                at.first = Some(first);
                rest.start += 1;
            }
        }
        let eof = i_size >> bits;
        if at.first.is_none() && bytes.start > i_size && in_block(i_size) {
            // It moves EOF over the rest of that block.
            let is_near = eof < first && first - eof < u64::from(u32::MAX);
            match self.open(eof).map(|turns| turns.known_to) {
                Some(None) if is_near => {}
                Some(Some(to)) if is_near && to >= (eof + 1) << bits => {
                    if !mutant!("parked-without-eof") {
                        at.eof = Some(eof);
                    }
                }
                _ => return Enter::Waits,
            }
        }
        if ends_in && last > first && self.open(last).is_some() {
            at.last = Some(last);
            rest.end -= 1;
        }
        match !rest.is_empty() && (self.overlaps(&rest) || is_new(&rest)) {
            true => Enter::Waits,
            false => Enter::Takes(at),
        }
    }

    /// Whether turns that are taken now at these blocks have come.
    pub(super) fn is_next(&self, at: AtBlocks) -> bool {
        at.iter()
            .filter_map(|block| self.blocks.get(&block))
            .all(|turns| turns.come == turns.next)
    }

    /// Takes the turns that [`AllTurns::needed`] has said, for a write up to byte `end`; `place` is for when they
    /// have not come.
    pub(super) fn take(&mut self, at: AtBlocks, end: u64, bits: u32, place: Option<ParkingPlace>) {
        self.known_before = [None; 3];
        for (block, before) in at.iter().zip(&mut self.known_before) {
            if let Some(turns) = self.blocks.get_mut(&block) {
                turns.next = turns.next.wrapping_add(1);
                turns.writes += 1;
                *before = turns.known_to.map(|byte| KnownTo { block, byte });
                let written_to = end.min((block + 1) << bits);
                turns.known_to = turns.known_to.map(|to| to.max(written_to));
            }
        }
        self.place = place;
    }

    /// Has the write up to byte `end` that is being issued take the first turn at a block, which is `at` there on
    /// the volume.
    pub(super) fn begin(&mut self, room: Room, block: u64, at: u32, known_to: Option<u64>) {
        let turns = Turns {
            at,
            known_to,
            next: 1,
            come: 0,
            writes: 1,
            error: None,
        };
        self.blocks.insert(room.into_node(block, turns));
    }

    /// Gives back the turns of the write that is being issued, which were taken last.
    pub(super) fn give_back(&mut self, at: AtBlocks) {
        for block in at.iter() {
            if let Some(turns) = self.blocks.get_mut(&block) {
                turns.next = turns.next.wrapping_sub(1);
            }
        }
        for before in self.known_before.into_iter().flatten() {
            if let (Some(turns), false) = (
                self.blocks.get_mut(&before.block),
                mutant!("given-back-known"),
            ) {
                turns.known_to = Some(before.byte);
            }
        }
        self.leave(at);
    }

    /// Where a block with turns is on the volume.
    pub(super) fn block_of(&self, block: u64) -> Option<u32> {
        self.blocks.get(&block).map(|turns| turns.at)
    }

    /// Whether the turns have come of the write that is being issued, which were taken last.
    pub(super) fn come(&self, at: AtBlocks) -> Come {
        let mut come = Come::Yes;
        for turns in at.iter().filter_map(|block| self.blocks.get(&block)) {
            if turns.come.wrapping_add(1) != turns.next {
                return Come::NotYet;
            }
            if let Some(error) = turns.error {
                come = Come::After(error);
            }
        }
        come
    }

    /// Keeps bios of the write that is being issued.
    pub(super) fn keep_back(&mut self, bios: ReadyBios) {
        self.kept.append(bios);
    }

    /// Takes those that were kept.
    pub(super) fn take_kept(&mut self) -> ReadyBios {
        core::mem::take(&mut self.kept)
    }

    /// Parks the write that is being issued. If its turns have come, or there is no memory for it, gives its bios back.
    pub(super) fn park(&mut self, at: AtBlocks) -> Result<(), (ReadyBios, Come)> {
        let (come, bios) = (self.come(at), self.take_kept());
        let turn = |block| {
            let turns = self.blocks.get(&block)?;
            let number = turns.next.wrapping_sub(1);
            (turns.come != number).then_some(Turn { block, number })
        };
        let mut turns = at.iter().filter_map(turn);
        let (first, then) = (turns.next(), turns.next());
        drop(turns);
        match (come, first, self.place.take()) {
            (Come::NotYet, Some(turn), Some(place)) => {
                let error = None;
                let parked = Parked { bios, then, error };
                self.parked.insert(place.into_node(turn, parked));
                Ok(())
            }
            (come, ..) => Err((bios, come)),
        }
    }

    /// Passes on the turns of a write, which has failed with `error`, if so.
    pub(super) fn pass(&mut self, at: AtBlocks, error: Option<Error>) {
        for block in at.iter() {
            if let Some(turns) = self.blocks.get_mut(&block) {
                turns.come = turns.come.wrapping_add(1);
                turns.error = turns.error.or(error);
            }
        }
    }

    /// A parked write all of whose turns have come, at one of the blocks at which some were passed on; and the error
    /// of one before it. To be called until there is none.
    pub(super) fn next(&mut self, at: AtBlocks) -> Option<(ReadyBios, Option<Error>)> {
        for block in at.iter() {
            let Some(turns) = self.blocks.get(&block) else {
                continue;
            };
            let number = turns.come;
            let (turn, passed) = (Turn { block, number }, turns.error);
            let Some(parked) = self.parked.get_mut(&turn) else {
                continue;
            };
            let bios = core::mem::take(&mut parked.bios);
            let then = parked.then.take();
            let error = parked.error.or(passed);
            let Some(node) = self.parked.remove_node(&turn) else {
                continue;
            };
            let other = then.and_then(|then: Turn| {
                let turns = self.blocks.get(&then.block)?;
                Some((turns.come == then.number, turns.error))
            });
            match (then, other) {
                (Some(turn), Some((false, _))) => {
                    let then = None;
                    let parked = Parked { bios, then, error };
                    self.parked
                        .insert(node.into_reservation().into_node(turn, parked));
                }
                (_, other) => {
                    let error = error.or(other.and_then(|(_, error)| error));
                    return Some((bios, error));
                }
            }
        }
        None
    }

    /// A write with these turns is over.
    pub(super) fn leave(&mut self, at: AtBlocks) {
        for block in at.iter() {
            if let Some(turns) = self.blocks.get_mut(&block) {
                turns.writes -= 1;
                if turns.writes == 0 {
                    self.blocks.remove(&block);
                }
            }
        }
    }
}
