// SPDX-License-Identifier: GPL-2.0

//! Kiocbs as lenders of the memory that they came with.

use super::call::Kiocb;
use super::iocb::{Iocb, KiocbOwner};
use crate::bindings;
use crate::block::bio::{BioArc, Hints, Lender, Lends};
use crate::sync::once::read_once;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr;

impl<F: KiocbOwner> Lender for Iocb<F> {
    #[inline]
    fn hints(&self) -> Hints {
        // SAFETY: The inode is valid. The field may change at any time; it is only a hint.
        let hint = unsafe { read_once(&raw const (*self.inode().as_raw()).i_write_hint) };
        Hints {
            ioprio: self.ioprio(),
            write_hint: hint as bindings::rw_hint,
            nowait: self.is_nowait(),
        }
    }
}

/// The kiocb of a request, with the lifetime of the call that its memory came with.
///
/// # Invariants
///
/// The memory of iterators with the lifetime `'call` stays until the kiocb is completed, which may be
/// before the call has ended, or, if it is not given away, until the call has ended.
#[repr(transparent)]
pub struct CallIocb<'call, F: KiocbOwner> {
    iocb: Iocb<F>,
    // Invariant, so that the lifetimes of two calls are never taken for each other.
    _call: PhantomData<fn(&'call ()) -> &'call ()>,
}

impl<'call, F: KiocbOwner> CallIocb<'call, F> {
    /// # Safety
    ///
    /// The type invariants must hold for `'call`.
    #[inline]
    unsafe fn of(iocb: &Iocb<F>) -> &Self {
        // INVARIANT: By the requirement.
        // SAFETY: The type is transparent.
        unsafe { &*ptr::from_ref(iocb).cast() }
    }
}

impl<F: KiocbOwner> Deref for CallIocb<'_, F> {
    type Target = Iocb<F>;

    #[inline]
    fn deref(&self) -> &Iocb<F> {
        &self.iocb
    }
}

impl<F: KiocbOwner> Lender for CallIocb<'_, F> {
    #[inline]
    fn hints(&self) -> Hints {
        self.iocb.hints()
    }
}

// SAFETY: By the type invariants the memory stays until the kiocb is completed or given back. Neither
// is done while what `private` holds has loans (see `AsyncKiocb::complete` and `enter`), and as long as
// it has, by the invariants of `Iocb` that stays there.
unsafe impl<'call, F: KiocbOwner> Lends<'call, F::Private> for CallIocb<'call, F> {
    #[inline]
    fn holds(&self, owner: &BioArc<F::Private>) -> bool {
        // SAFETY: By the invariants of `Iocb` the kiocb is valid.
        owner.is(unsafe { (*self.as_raw()).private })
    }
}

impl<F: KiocbOwner> Lender for Kiocb<'_, F> {
    #[inline]
    fn hints(&self) -> Hints {
        (**self).hints()
    }
}

// SAFETY: As for `CallIocb`: whoever has this one has not given it away yet.
unsafe impl<'call, F: KiocbOwner> Lends<'call, F::Private> for Kiocb<'call, F> {
    #[inline]
    fn holds(&self, owner: &BioArc<F::Private>) -> bool {
        self.lending().holds(owner)
    }
}

impl<'a, F: KiocbOwner> Kiocb<'a, F> {
    /// The kiocb, to lend the memory that came with it.
    #[inline]
    pub fn lending(&self) -> &CallIocb<'a, F> {
        // SAFETY: `'a` stands for the call that the kiocb was made for, and for no other. Iterators
        // get it where they are made, with this kiocb (see `enter`).
        unsafe { CallIocb::of(self) }
    }
}
