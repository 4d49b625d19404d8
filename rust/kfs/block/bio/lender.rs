// SPDX-License-Identifier: GPL-2.0

//! Memory that a request lends to its bios.
//!
//! Pages of user memory are pinned for a bio. Those of the kernel, in a kvec or bvec iterator, are
//! there until the request is completed, and no longer. So a bio with such memory is counted, as a
//! loan, from [`Bio::submit`](super::Bio::submit) until it has ended. The count is beside the owner of
//! the bio, which the request has to hold: `BioArc::has_loans` tells it whether it can be completed.
//!
//! That it is this request whose memory the bio has is a matter of types. The iterators of a call
//! have its lifetime (see [`IovIter`](crate::iov::IovIter)), and so do the bios that are built from
//! them; [`Lends`] has it too, and none of them can be used with those of another call.

use super::arc::BioArc;
use super::front::BioData;
use crate::bindings;

/// What the block layer is to know of a request.
#[derive(Clone, Copy)]
pub struct Hints {
    /// `ioprio` of the request.
    pub(crate) ioprio: u16,
    /// What the user said about the lifetime of the data (`rw_hint`).
    pub(crate) write_hint: bindings::rw_hint,
    /// The device must not wait for room for the bio, but fail it with `EAGAIN`.
    pub(crate) nowait: bool,
}

/// A request that has bios issued for it.
pub trait Lender {
    /// What the block layer is to know of the request. May be called in any context.
    fn hints(&self) -> Hints;
}

/// A request that lends bios the memory of the iterators of the call `'call`.
///
/// # Safety
///
/// If [`Lends::holds`] has returned true for an owner, the memory of all iterators with the lifetime
/// `'call` must stay as long as that has loans which were counted while the
/// request was borrowed for the call of it.
pub unsafe trait Lends<'call, T: BioData>: Lender {
    /// Whether the request holds this owner, and with it the count of its loans.
    fn holds(&self, owner: &BioArc<T>) -> bool;
}
