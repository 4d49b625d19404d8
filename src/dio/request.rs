// SPDX-License-Identifier: GPL-2.0

//! The state of a request.

use super::extent::BlockBits;
use super::outcome::{Failure, Outcome};
use super::policy::Block;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bio::{Op, UnplacedBio};
use kfs::drop_in_atomic;
use kfs::fs::kiocb::{AsyncKiocb, KiocbOwner};

/// What is done about `O_DSYNC`, see [`super::dsync`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dsync {
    /// Nothing: it is no write, or that is not asked for.
    Nothing,
    /// Its bios write through the cache of the device.
    Through,
    /// The worker flushes that cache when they have ended.
    Flush,
    /// It has been flushed, with this result.
    Flushed(Result),
    /// The worker syncs the file.
    Worker,
    /// The caller of the worker does, without the inode lock.
    Caller,
}

impl Dsync {
    /// Whether the request has to wait for a flush.
    pub(super) fn is_waited_for(self) -> bool {
        matches!(self, Dsync::Flush | Dsync::Worker | Dsync::Caller)
    }
}

/// The state of a request. Owned by the submitter, and then by the retry, if there is one.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// Read or write.
    pub(super) op: Op,
    /// What is done about `O_DSYNC`.
    pub(super) dsync: Dsync,
    /// Block size of the filesystem.
    pub(super) bits: BlockBits,
    /// Its length in bytes.
    pub(super) len: u32,
    /// i_size at the look-up of the blocks.
    pub(super) i_size: u64,
    /// Its retry links new blocks, and moves i_size (see [`super::new_blocks`]).
    pub(super) async_alloc: bool,
    /// It has turns at blocks (see [`Turns`]).
    pub(super) has_turns: bool,
    /// Its bios are kept back, as its turns have not come.
    pub(super) is_parked: bool,
    /// The blocks that were reserved for it.
    pub(super) new_blocks: NewBlocks,
    /// What it would have had to wait for, and must not: the reason of an `EAGAIN` that stopped it.
    pub(super) blocked: Option<Block>,
    /// Its submitter knew that it has come to nothing for that, and others begin where it did: so it is, whatever else its bios
    /// end with.
    pub(super) is_refused: bool,
    /// It began where an append would have, so that one may if it comes to nothing.
    pub(super) is_at_end: bool,
    /// It is the rest of one of which the submitter has done a part: who waits for it, though it is asynchronous.
    pub(super) is_rest: bool,
    /// Its start, and the results of its parts.
    pub(super) outcome: Outcome<Error>,
}

impl Request {
    /// A request for `len` bytes, [`LEN_MAX`](super::outcome::LEN_MAX) at most, from byte `start` of the file on. Nothing of it is issued.
    #[inline]
    pub(super) fn new(op: Op, bits: BlockBits, start: u64, len: u32) -> Self {
        Request {
            op,
            dsync: Dsync::Nothing,
            bits,
            len,
            i_size: 0,
            async_alloc: false,
            has_turns: false,
            is_parked: false,
            new_blocks: NewBlocks::new(),
            blocked: None,
            is_refused: false,
            is_at_end: false,
            is_rest: false,
            outcome: Outcome::new(start),
        }
    }

    /// The position in the file where the request starts.
    pub(super) fn start(&self) -> u64 {
        self.outcome.start()
    }

    /// The position in the file where the request ends.
    pub(super) fn end(&self) -> u64 {
        self.start() + u64::from(self.len)
    }

    /// The block with the first byte.
    pub(super) fn first_block(&self) -> u64 {
        self.bits.block(self.start())
    }

    /// The block with the last byte.
    pub(super) fn last_block(&self) -> u64 {
        self.bits.block(self.end() - 1)
    }

    /// Adds turns to those there are.
    pub(super) fn add_turns(&mut self, turns: Turns) {
        let first_block = self.first_block();
        let new = &mut self.new_blocks;
        if let Some(eof) = turns.eof {
            // There are none that are farther away.
            new.eof_turn = (first_block - eof) as u32;
        }
        new.first_turn |= turns.first.is_some();
        new.last_turn |= turns.last.is_some();
        if !turns.is_empty() {
            new.has_some = true;
            self.has_turns = true;
        }
    }

    /// Its turns; they are in [`NewBlocks`], which has room for them.
    pub(super) fn turns(&self) -> Turns {
        let new = &self.new_blocks;
        let first = self.first_block();
        Turns {
            eof: (new.eof_turn != 0).then(|| first - u64::from(new.eof_turn)),
            first: new.first_turn.then_some(first),
            last: new.last_turn.then(|| self.last_block()),
        }
    }

    /// The result of the request in bytes, or its error.
    ///
    /// A read across EOF returns the bytes up to it, although the device transfers whole sectors
    /// (R13). EOF is that at the look-up of the blocks.
    ///
    /// If a part of it would have had to wait, it fails as a whole: it is made again as a whole, where
    /// it may wait, and who does that (io_uring) may have promised all of it to its caller.
    pub(super) fn count(&self) -> Result<usize> {
        if self.would_block().is_some() && !mutant!("nowait-short") {
            return Err(EAGAIN);
        }
        let count = self.outcome.count(self.bits)?;
        Ok(match self.op {
            Op::Read if !mutant!("read-past-eof") => {
                count.min(self.i_size.saturating_sub(self.start()))
            }
            _ => count,
        } as usize)
    }

    /// Whether nothing is left to be done, as far as is known, but to flush the cache of the device.
    pub(super) fn needs_flush(&self) -> bool {
        self.dsync == Dsync::Flush && self.outcome.failure().is_none()
    }

    /// Why not all of it counts, if so.
    pub(super) fn failure(&self) -> Option<Error> {
        if self.outcome.end(self.bits) == self.end() {
            return None;
        }
        match self.outcome.failure() {
            Some((_, Failure::Bio(error) | Failure::Stopped(error))) => Some(error),
            None => Some(EIO),
        }
    }

    /// Whether it is a write that ends past EOF, as that was when the blocks were looked up. Of a read, what is behind that does not
    /// count, wherever EOF is later (R13): nothing depends on its end.
    pub(super) fn extends(&self) -> bool {
        let is_write = self.op == Op::Write || mutant!("read-over-eof-waits");
        is_write && self.end() > self.i_size
    }

    /// What a part of it would have had to wait for, if that is why it failed.
    pub(super) fn would_block(&self) -> Option<Block> {
        match self.outcome.failure() {
            Some((_, Failure::Bio(EAGAIN))) => Some(Block::Device),
            Some((_, Failure::Stopped(EAGAIN))) => Some(self.blocked.unwrap_or(Block::Memory)),
            _ if self.is_refused && !mutant!("refused-forgotten") => {
                Some(self.blocked.unwrap_or(Block::Device))
            }
            _ => None,
        }
    }
}

/// The blocks of the file at which a write has turns: of each of them it writes a part, and so do others in
/// flight, one after the other. Or the block has EOF in it, and the write begins in a later one.
#[derive(Clone, Copy, Default)]
pub(crate) struct Turns {
    /// That with EOF.
    pub(crate) eof: Option<u64>,
    /// That with the first byte of the write.
    pub(crate) first: Option<u64>,
    /// That with the last byte, if it is another one.
    pub(crate) last: Option<u64>,
}

impl Turns {
    /// Whether there are none.
    pub(super) fn is_empty(self) -> bool {
        self.eof.is_none() && self.first.is_none() && self.last.is_none()
    }
}

/// The blocks of the file that were reserved for a request: they are in this range. And at which blocks it has
/// turns.
#[derive(Clone, Copy)]
pub(super) struct NewBlocks {
    start: u64,
    end: u64,
    /// There are some, or turns.
    has_some: bool,
    /// They have been linked, or given back; turns were passed on.
    pub(super) is_finished: bool,
    /// The request has a turn at its first block.
    first_turn: bool,
    /// It has one at its last block.
    last_turn: bool,
    /// If it has one at the block with EOF: by how many blocks that is before its first one; else 0.
    eof_turn: u32,
}

impl NewBlocks {
    /// None.
    pub(super) const fn new() -> Self {
        NewBlocks {
            start: 0,
            end: 0,
            has_some: false,
            is_finished: false,
            first_turn: false,
            last_turn: false,
            eof_turn: 0,
        }
    }

    /// Adds `len` blocks, from block `start` on, which is behind those there are.
    pub(super) fn add(&mut self, start: u64, len: u32) {
        if self.end == 0 {
            self.start = start;
        }
        self.end = start + u64::from(len);
        self.has_some = true;
    }

    /// Whether there are none, and no turns.
    pub(super) fn is_empty(self) -> bool {
        !self.has_some
    }

    /// Whether they are pending.
    pub(super) fn is_pending(self) -> bool {
        !self.is_empty() && !self.is_finished
    }

    /// In blocks of the file.
    pub(super) fn range(self) -> Range<u64> {
        self.start..self.end
    }
}

drop_in_atomic!(plain Request);
drop_in_atomic!(struct[F: KiocbOwner] Armed<F> { iocb, request, punted });

/// An asynchronous request whose submitter has returned.
pub(crate) struct Armed<F: KiocbOwner> {
    pub(super) iocb: AsyncKiocb<F>,
    pub(super) request: Request,
    /// What is yet to be issued of it, see [`super::punt`].
    pub(super) punted: Option<UnplacedBio>,
}

drop_in_atomic!(struct[F: KiocbOwner] Single<F> { iocb, len });

/// An asynchronous request that is one bio, which carries it: see [`super::single`].
pub(crate) struct Single<F: KiocbOwner> {
    pub(super) iocb: AsyncKiocb<F>,
    /// Its length in bytes.
    pub(super) len: u32,
}
