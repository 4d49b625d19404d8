// SPDX-License-Identifier: GPL-2.0

//! How the worker is entered, and how it returns.

use core::convert::Infallible;
use core::ops::Deref;
use kernel::prelude::*;
use kfs::fs::kiocb::{AsyncKiocb, CallIocb, Iocb, IocbMut, Kiocb, KiocbOwner, Queued};

/// How the worker returns.
///
/// `Retry` becomes `-EIOCBQUEUED` where the submitter returns to C; its type proves that the kiocb
/// has been passed on.
pub(super) enum Step<E: Entry<F>, F: KiocbOwner> {
    /// The retry continues the request.
    Retry(E::Queued),
    /// The request is complete, with this result, and its dio freed.
    Done(E, Result<usize>),
}

/// A kiocb that the worker is entered with.
pub(super) trait Entry<F: KiocbOwner>: Deref<Target = Iocb<F>> + Sized {
    /// Proof that the kiocb has been left to the retry.
    type Queued;

    /// The kiocb, to change it.
    fn as_mut(&mut self) -> IocbMut<'_, F>;

    /// Whether the request is synchronous.
    fn is_sync(&self) -> bool;

    /// Leaves the kiocb to the retry, unless `f` returns it.
    fn queue(
        self,
        f: impl FnOnce(AsyncKiocb<F>) -> Result<(), AsyncKiocb<F>>,
    ) -> Result<Self::Queued, Self>;
}

/// An [`Entry`] that bios can be issued for, with the memory that came with the call `'call`.
pub(super) trait Submitter<'call, F: KiocbOwner>: Entry<F> {
    /// The kiocb, to lend that memory.
    fn lending(&self) -> &CallIocb<'call, F>;
}

impl<'a, F: KiocbOwner> Submitter<'a, F> for Kiocb<'a, F> {
    fn lending(&self) -> &CallIocb<'a, F> {
        Kiocb::lending(self)
    }
}

impl<F: KiocbOwner> Submitter<'static, F> for AsyncKiocb<F> {
    /// A retry issues nothing.
    fn lending(&self) -> &CallIocb<'static, F> {
        AsyncKiocb::lending(self)
    }
}

impl<'a, F: KiocbOwner> Entry<F> for Kiocb<'a, F> {
    type Queued = Queued<'a>;

    fn as_mut(&mut self) -> IocbMut<'_, F> {
        Kiocb::as_mut(self)
    }

    fn is_sync(&self) -> bool {
        Kiocb::is_sync(self)
    }

    fn queue(
        self,
        f: impl FnOnce(AsyncKiocb<F>) -> Result<(), AsyncKiocb<F>>,
    ) -> Result<Queued<'a>, Self> {
        Kiocb::queue(self, f)
    }
}

impl<F: KiocbOwner> Entry<F> for AsyncKiocb<F> {
    /// A retry is not left to another one: all bios have ended.
    type Queued = Infallible;

    fn as_mut(&mut self) -> IocbMut<'_, F> {
        AsyncKiocb::as_mut(self)
    }

    fn is_sync(&self) -> bool {
        true
    }

    fn queue(
        self,
        _: impl FnOnce(AsyncKiocb<F>) -> Result<(), AsyncKiocb<F>>,
    ) -> Result<Infallible, Self> {
        Err(self)
    }
}
