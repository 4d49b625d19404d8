// SPDX-License-Identifier: GPL-2.0

//! Memory that a request lends to its bios.
//!
//! Pages of user memory are pinned for a bio. Those of the kernel, in a kvec or bvec iterator, are
//! there until the request is completed, and no longer. So a bio with such memory is counted by the
//! request, as lent, from [`Bio::submit`](super::Bio::submit) to
//! [`EndedBio::complete`](super::EndedBio::complete); a request with memory on loan must not be
//! completed.

use crate::bindings;
use core::ffi::c_void;

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

/// A request that has bios issued for it and lends them its memory.
///
/// # Safety
///
/// After [`Lender::lend`], the memory of the iterators that came with the request must stay until
/// [`Lender::give_back`] is called with what that returned.
pub unsafe trait Lender {
    /// What the block layer is to know of the request. May be called in any context.
    fn hints(&self) -> Hints;

    /// Counts a bio that has memory of the request and is about to be submitted. Returns what
    /// stands for the lender, which is not null.
    fn lend(&self) -> *const c_void;

    /// Counts a bio as given back, if it is this lender that `lender` stands for.
    ///
    /// # Safety
    ///
    /// `lender` must be from [`Lender::lend`], be given back once, and the bio that it was returned
    /// for must have ended.
    unsafe fn give_back(&self, lender: *const c_void);
}
