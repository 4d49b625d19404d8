// SPDX-License-Identifier: GPL-2.0

//! Memory that a request lends to its bios.
//!
//! Pages of user memory are pinned for a bio. Those of the kernel, in a kvec or bvec iterator, are
//! there until the request is completed, and no longer. So a bio with such memory is counted by the
//! request, as lent, from [`Bio::submit`](super::Bio::submit) to
//! [`EndedBio::complete`](super::EndedBio::complete); a request with memory on loan must not be
//! completed.
//!
//! That it is this request whose memory the bio has is a matter of types. The iterators of a call
//! have its lifetime (see [`IovIter`](crate::iov::IovIter)), and so do the bios that are built from
//! them; [`Lends`] has it too, and none of them can be used with those of another call.

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

/// A request that has bios issued for it, and gets back the memory that it has lent them.
pub trait Lender {
    /// What the block layer is to know of the request. May be called in any context.
    fn hints(&self) -> Hints;

    /// Counts a bio as given back, if it is this lender that `lender` stands for.
    ///
    /// # Safety
    ///
    /// `lender` must be from [`Lends::lend`], be given back once, and the bio that it was returned
    /// for must have ended.
    unsafe fn give_back(&self, lender: *const c_void);
}

/// A request that lends bios the memory of the iterators of the call `'call`.
///
/// # Safety
///
/// After [`Lends::lend`], the memory of all iterators with the lifetime `'call` must stay until
/// [`Lender::give_back`] is called with what that returned.
pub unsafe trait Lends<'call>: Lender {
    /// Counts a bio that has memory of the request and is about to be submitted. Returns what
    /// stands for the lender, which is not null.
    fn lend(&self) -> *const c_void;
}
