// SPDX-License-Identifier: GPL-2.0

//! The result of a request of which not all may have succeeded.
//!
//! A request is a range of the file. The worker issues it front to back and may stop early; bios
//! end in any order, and each may fail. The result is the length of the prefix that is known to be
//! on the device (for a read: in memory):
//!
//! * nothing failed: all that was issued, which is less than the request if something stopped the
//!   worker (`EFAULT`, `ENOSPC`);
//! * a bio failed: the bytes before the lowest one that did;
//! * if that is no byte at all: the error. Otherwise the request is a short read(2) or write(2),
//!   and the caller meets the error when it continues there. It is also reported:
//!   [`super::report`].
//!
//! A new block holds stale data. So in the new part of the file, a prefix never ends inside a block
//! of which something failed: it is cut back to the start of that block, which is freed.

use super::extent::BlockBits;

/// The longest request, in bytes. The VFS limits requests to less (`MAX_RW_COUNT`).
pub(crate) const LEN_MAX: u32 = u32::MAX - 1;

/// For [`Outcome::new_from`]: no block is new. Greater than any position in a request.
const NONE: u32 = u32::MAX;

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure<E> {
    /// A bio, with the error of the device.
    Bio(E),
    /// Issuing: a look-up, an allocation, or pinning memory.
    Stopped(E),
}

/// Collects the results of the parts of one request. Positions are in bytes of the file.
///
/// `E` is an errno. Positions are kept relative to the start of the request, as the struct is
/// copied with each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<E> {
    /// First byte of the request.
    start: u64,
    /// The end of what was issued.
    issued: u32,
    /// The first byte that is in a new block.
    new_from: u32,
    /// The lowest byte that is known to have failed, and the error.
    failed: Option<(u32, E)>,
    /// The error that stopped the worker at `issued`, if one did.
    stopped: Option<E>,
}

impl<E: Copy> Outcome<E> {
    /// The outcome of a request of at most [`LEN_MAX`] bytes from `start` on; nothing is issued.
    pub(crate) fn new(start: u64) -> Self {
        Outcome {
            start,
            issued: 0,
            new_from: NONE,
            failed: None,
            stopped: None,
        }
    }

    /// `pos` relative to the start of the request; what is before that is 0.
    fn relative(&self, pos: u64) -> u32 {
        pos.saturating_sub(self.start).min(LEN_MAX.into()) as u32
    }

    /// The first byte of the request.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Records that everything before `pos` has been issued.
    pub(crate) fn issued_to(&mut self, pos: u64) {
        self.issued = self.relative(pos);
    }

    /// The next byte to be issued.
    pub(crate) fn pos(&self) -> u64 {
        self.start + u64::from(self.issued)
    }

    /// Records that the blocks from the block-aligned `pos` on are new. Only the first call counts.
    pub(crate) fn new_from(&mut self, pos: u64) {
        if self.new_from == NONE {
            self.new_from = self.relative(pos);
        }
    }

    /// Records the error that stopped the worker. Only the first counts.
    pub(crate) fn stop(&mut self, error: E) {
        self.stopped.get_or_insert(error);
    }

    /// Records that a bio failed whose first byte is at `pos`. The lowest position wins.
    pub(crate) fn fail(&mut self, pos: u64, error: E) {
        let pos = self.relative(pos);
        match self.failed {
            Some((lowest, _)) if lowest <= pos => {}
            _ => self.failed = Some((pos, error)),
        }
    }

    /// The end of the prefix that succeeded.
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

    /// The result: the length of the prefix that succeeded, or the error if that is empty.
    pub(crate) fn count(&self, bits: BlockBits) -> Result<u64, E> {
        match (self.end(bits) - self.start, self.failed, self.stopped) {
            (0, Some((_, error)), _) | (0, None, Some(error)) => Err(error),
            (count, ..) => Ok(count),
        }
    }

    /// The lowest failure and its position, also when the request returns a short count instead.
    pub(crate) fn failure(&self) -> Option<(u64, Failure<E>)> {
        match (self.failed, self.stopped) {
            (Some((pos, error)), _) => Some((self.start + u64::from(pos), Failure::Bio(error))),
            (None, Some(error)) => Some((self.pos(), Failure::Stopped(error))),
            (None, None) => None,
        }
    }
}
