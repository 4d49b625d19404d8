// SPDX-License-Identifier: GPL-2.0

//! Bios that are ready, and are kept back until something else is done.
//!
//! All that belongs to a request is done already: its memory is pinned, or counted as lent, and each bio has a
//! reference to its owner. What is left to do takes no memory, and nothing of the request, so that
//! anybody can do it. For the owner they are in flight.

use super::arc::BioArc;
use super::build::{submit_prepared, Bio};
use super::ended::BioOwner;
use super::lender::Lends;
use super::list::Links;
use crate::bindings;
use crate::iov::IovIter;
use crate::types::DropInAtomic;
use kernel::prelude::*;

/// A list of bios that are ready. If it is dropped they fail with `EIO`.
///
/// # Invariants
///
/// The bios belong to the list, and are as `Bio::prepare` leaves them.
pub struct ReadyBios(Links);

// SAFETY: The bios are ended, as they may be in any context.
unsafe impl DropInAtomic for ReadyBios {}
// SAFETY: Bios may be submitted and ended by any thread, and the owners that they refer to are `Send`, by
// `BioData`.
unsafe impl Send for ReadyBios {}

impl Default for ReadyBios {
    /// An empty list.
    fn default() -> Self {
        ReadyBios(Links::new())
    }
}

impl ReadyBios {
    /// Appends the bios of another list.
    pub fn append(&mut self, mut other: Self) {
        while let Some(bio) = other.0.pop() {
            // INVARIANT: It was one of the other list.
            // SAFETY: As said; so it is ours, and is given up.
            unsafe { self.0.push(bio) };
        }
    }

    /// Hands the bios to the block layer, in their order, as [`Bio::submit`] does. May sleep.
    pub fn submit(mut self) {
        while let Some(bio) = self.0.pop() {
            // SAFETY: By the type invariants it is as `prepare` has left it, and it is given up.
            unsafe { submit_prepared(bio) };
        }
    }

    /// Ends the bios with `error`: the device does not get them. Any context.
    pub fn fail(mut self, error: Error) {
        self.end(error);
    }

    fn end(&mut self, error: Error) {
        while let Some(bio) = self.0.pop() {
            // SAFETY: By the type invariants it is as `prepare` has left it, and it is given up.
            unsafe {
                (*bio.as_ptr()).bi_status = bindings::errno_to_blk_status(error.to_errno());
                bindings::bio_endio(bio.as_ptr());
            }
        }
    }
}

impl Drop for ReadyBios {
    fn drop(&mut self) {
        self.end(EIO);
    }
}

impl<'data, I: IovIter<'data>, T: BioOwner> Bio<I, T> {
    /// As [`Bio::submit`], but the bio is not handed to the block layer: it is the only one of the list that is returned.
    pub fn keep_back<L: Lends<'data, T>>(self, owner: BioArc<T>, lender: &L) -> ReadyBios {
        let mut ready = ReadyBios::default();
        // INVARIANT: It was just prepared.
        // SAFETY: It is ours, and is given up.
        unsafe { ready.0.push(self.prepare(owner, lender)) };
        ready
    }
}
