// SPDX-License-Identifier: GPL-2.0

//! How the worker is entered, and how it leaves.

use core::convert::Infallible;
use core::ops::Deref;
use kernel::prelude::*;
use kfs::fs::kiocb::{AsyncKiocb, Iocb, IocbMut, Kiocb, KiocbOwner, Queued};

/// How the worker leaves.
///
/// This never crosses into C. The caller of a system call sees `Retry` as `-EIOCBQUEUED`, and the
/// type says that the kiocb has been given away when it does.
pub(super) enum Step<E: Entry<F>, F: KiocbOwner> {
    /// The retry will go on with the request.
    Retry(E::Queued),
    /// The request is done; its dio is gone.
    Done(E, Result<usize>),
}

/// A kiocb that the worker is entered with.
pub(super) trait Entry<F: KiocbOwner>: Deref<Target = Iocb<F>> + Sized {
    /// Shows that the kiocb has been left to the retry.
    type Queued;

    /// To change it.
    fn as_mut(&mut self) -> IocbMut<'_, F>;

    /// Whether the request has to be waited for in any case.
    fn is_sync(&self) -> bool;

    /// Leaves the kiocb to the retry, if `f` takes it.
    fn queue(
        self,
        f: impl FnOnce(AsyncKiocb<F>) -> Result<(), AsyncKiocb<F>>,
    ) -> Result<Self::Queued, Self>;
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
    /// There is one retry of a request: all its bios have ended.
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
