// SPDX-License-Identifier: GPL-2.0

//! What a request counts for, when not all of it worked.
//!
//! A request is a range of the file. The worker issues it front to back and may stop early; bios
//! end in any order, and each may fail. What is counted is the part at the front of the request
//! that is known to be on the device (for a read: in memory), up to the first byte that is not:
//!
//! * nothing failed: everything that was issued, which may be less than was asked for if something
//!   stopped the worker (no memory at that address, no space);
//! * a bio failed: the bytes before the lowest one that did;
//! * if that is no byte at all: the error. Otherwise the caller does not hear of it, as when read(2)
//!   or write(2) are cut short, and meets it again when it goes on from there. Others may have to
//!   be told: [`super::report`].
//!
//! A block that was allocated for the request has no old contents worth keeping, and what it had on
//! the device before must not be seen. So in the new part of the file the count never ends inside a
//! block of which something failed: it is cut back to the start of that block, which is then given
//! back.

use super::extent::BlockBits;

/// The longest request, in bytes. The VFS lets less through (`MAX_RW_COUNT`).
pub(crate) const LEN_MAX: u32 = u32::MAX - 1;

/// For [`Outcome::new_from`]: no block is new. No request is so long.
const NONE: u32 = u32::MAX;

/// What has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure<E> {
    /// A bio: the device says so.
    Bio(E),
    /// What has to be done before there can be a bio.
    Stopped(E),
}

/// Collects what happened to the parts of one request.
///
/// `E` is an error number. It is small, as it is moved about and cleared for each request: positions
/// are kept relative to where the request starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<E> {
    /// First byte of the request.
    start: u64,
    /// Behind the last byte that was issued.
    issued: u32,
    /// The first byte that is in a block that is new.
    new_from: u32,
    /// Lowest byte that is known not to have made it, and why.
    failed: Option<(u32, E)>,
    /// Why nothing was issued beyond `issued`, if that was an error.
    stopped: Option<E>,
}

impl<E: Copy> Outcome<E> {
    /// A request that starts at `start`, with nothing issued. It has [`LEN_MAX`] bytes at most.
    pub(crate) fn new(start: u64) -> Self {
        Outcome {
            start,
            issued: 0,
            new_from: NONE,
            failed: None,
            stopped: None,
        }
    }

    /// How far `pos` is into the request; what is before it counts as its first byte.
    fn relative(&self, pos: u64) -> u32 {
        pos.saturating_sub(self.start).min(LEN_MAX.into()) as u32
    }

    /// The first byte of the request.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Everything before `pos` has been issued.
    pub(crate) fn issued_to(&mut self, pos: u64) {
        self.issued = self.relative(pos);
    }

    /// The next byte to be issued.
    pub(crate) fn pos(&self) -> u64 {
        self.start + u64::from(self.issued)
    }

    /// The blocks of the file from byte `pos` on, where a block starts, are new. The first call
    /// counts.
    pub(crate) fn new_from(&mut self, pos: u64) {
        if self.new_from == NONE {
            self.new_from = self.relative(pos);
        }
    }

    /// Nothing more can be issued.
    pub(crate) fn stop(&mut self, error: E) {
        self.stopped.get_or_insert(error);
    }

    /// What should be at `pos` is not there. The lowest position wins.
    pub(crate) fn fail(&mut self, pos: u64, error: E) {
        let pos = self.relative(pos);
        match self.failed {
            Some((lowest, _)) if lowest <= pos => {}
            _ => self.failed = Some((pos, error)),
        }
    }

    /// Behind the last byte that counts.
    pub(crate) fn end(&self, bits: BlockBits) -> u64 {
        let Some((failed, _)) = self.failed else {
            return self.pos();
        };
        let end = if mutant!("whole-count") {
            self.issued
        } else {
            failed.min(self.issued)
        };
        let end = self.start + u64::from(end);
        if failed >= self.new_from && !mutant!("part-of-block") {
            bits.round_down(end).max(self.start)
        } else {
            end
        }
    }

    /// The number of bytes that count, or the error if there are none.
    pub(crate) fn count(&self, bits: BlockBits) -> Result<u64, E> {
        match (self.end(bits) - self.start, self.failed, self.stopped) {
            (0, Some((_, error)), _) | (0, None, Some(error)) => Err(error),
            (count, ..) => Ok(count),
        }
    }

    /// The lowest failure, whether or not it is what the request returns: its byte, and what.
    pub(crate) fn failure(&self) -> Option<(u64, Failure<E>)> {
        match (self.failed, self.stopped) {
            (Some((pos, error)), _) => Some((self.start + u64::from(pos), Failure::Bio(error))),
            (None, Some(error)) => Some((self.pos(), Failure::Stopped(error))),
            (None, None) => None,
        }
    }
}
