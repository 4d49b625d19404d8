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
//! * if that is no byte at all: the error. Otherwise the error is lost, as it is when read(2) or
//!   write(2) are cut short; the caller meets it again when it goes on from there.
//!
//! A block that was allocated for the request has no old contents worth keeping, and what it had on
//! the device before must not be seen. So in the new part of the file the count never ends inside a
//! block of which something failed: it is cut back to the start of that block, which is then given
//! back.

use super::extent::BlockBits;

/// Collects what happened to the parts of one request.
///
/// `E` is an error number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<E> {
    /// First byte of the request.
    start: u64,
    /// Behind the last byte that was issued.
    issued: u64,
    /// Lowest byte that is known not to have made it, and why.
    failed: Option<(u64, E)>,
    /// Why nothing was issued beyond `issued`, if that was an error.
    stopped: Option<E>,
    /// The first byte of the file that is in a block that is new.
    new_from: Option<u64>,
}

impl<E: Copy> Outcome<E> {
    /// A request that starts at `start`, with nothing issued.
    pub(crate) fn new(start: u64) -> Self {
        Outcome {
            start,
            issued: start,
            failed: None,
            stopped: None,
            new_from: None,
        }
    }

    /// Everything before `pos` has been issued.
    pub(crate) fn issued_to(&mut self, pos: u64) {
        self.issued = pos;
    }

    /// The next byte to be issued.
    pub(crate) fn pos(&self) -> u64 {
        self.issued
    }

    /// The blocks of the file from byte `pos` on, where a block starts, are new. The first call
    /// counts.
    pub(crate) fn new_from(&mut self, pos: u64) {
        self.new_from.get_or_insert(pos);
    }

    /// Nothing more can be issued.
    pub(crate) fn stop(&mut self, error: E) {
        self.stopped.get_or_insert(error);
    }

    /// What should be at `pos` is not there. The lowest position wins.
    pub(crate) fn fail(&mut self, pos: u64, error: E) {
        let pos = pos.max(self.start);
        match self.failed {
            Some((lowest, _)) if lowest <= pos => {}
            _ => self.failed = Some((pos, error)),
        }
    }

    /// Behind the last byte that counts.
    pub(crate) fn end(&self, bits: BlockBits) -> u64 {
        let Some((failed, _)) = self.failed else {
            return self.issued;
        };
        let end = if mutant!("whole-count") {
            self.issued
        } else {
            failed.min(self.issued)
        };
        match self.new_from {
            Some(new) if failed >= new && !mutant!("part-of-block") => {
                bits.round_down(end).max(self.start)
            }
            _ => end,
        }
    }

    /// The number of bytes that count, or the error if there are none.
    pub(crate) fn count(&self, bits: BlockBits) -> Result<u64, E> {
        match (self.end(bits) - self.start, self.failed, self.stopped) {
            (0, Some((_, error)), _) | (0, None, Some(error)) => Err(error),
            (count, ..) => Ok(count),
        }
    }

    /// The lowest failure on the device, whether or not it is what the request returns.
    pub(crate) fn failure(&self) -> Option<(u64, E)> {
        self.failed
    }
}
