// SPDX-License-Identifier: GPL-2.0

//! How the worker is entered, and how it returns.

use super::dio::{Bios, Dio, Kick};
use super::filesystem::Filesystem;
use super::request::{Armed, Request};
use core::convert::Infallible;
use core::ops::Deref;
use kernel::prelude::*;
use kfs::block::bio::BioArc;
use kfs::fs::kiocb::{AsyncKiocb, Handover, Iocb, IocbMut, Kiocb, Queued};
use kfs::task::MaySleep;

/// How the worker returns.
///
/// `Retry` becomes `-EIOCBQUEUED` where the submitter returns to C; its type proves that the kiocb
/// has been passed on.
pub(super) enum Step<E: Entry<F>, F: Filesystem> {
    /// The retry continues the request.
    Retry(E::Retry),
    /// The request is complete, with this result, and its dio freed.
    Done(E, Result<usize>),
}

/// Where the worker was entered: evidence that it may sleep there, or else `N`. Steps that may sleep
/// ask for the former; what has to sleep and must not fails with the latter, before it has done
/// anything. In process context `N` has no values.
pub(super) type Context<'a, N> = Result<MaySleep<'a>, N>;

/// A kiocb that the worker is entered with.
pub(super) trait Entry<F: Filesystem>: Deref<Target = Iocb<F>> + Sized {
    /// What the worker leaves to the retry, or the proof that it did.
    type Retry;
    /// What there is if it may not sleep.
    type Atomic: Copy;

    /// The kiocb, to change it.
    fn as_mut(&mut self) -> IocbMut<'_, F>;

    /// Whether the request is synchronous.
    fn is_sync(&self) -> bool;

    /// Leaves the kiocb to the retry, if `f` takes it. If not, returns what `f` did, if it was asked.
    fn queue<R>(
        self,
        f: impl FnOnce(Handover<'_, F>) -> R,
    ) -> Result<Self::Retry, (Self, Option<R>)>;

    /// Leaves the request, of which `bios` are not reaped, to a retry that may sleep.
    fn defer(
        self,
        atomic: Self::Atomic,
        dio: BioArc<Dio<F>>,
        request: Request,
        bios: Bios<F>,
    ) -> Self::Retry;
}

/// An [`Entry`] that bios can be issued for, with the memory that came with the call `'call`.
pub(super) trait Submitter<'call, F: Filesystem>: Entry<F> {
    /// The kiocb of that call, to use its iterator, and to lend its memory. A retry has none: it issues nothing.
    fn call(&mut self) -> Option<&mut Kiocb<'call, F>>;
}

impl<'a, F: Filesystem> Submitter<'a, F> for Kiocb<'a, F> {
    fn call(&mut self) -> Option<&mut Kiocb<'a, F>> {
        Some(self)
    }
}

impl<F: Filesystem> Submitter<'static, F> for AsyncKiocb<F> {
    fn call(&mut self) -> Option<&mut Kiocb<'static, F>> {
        None
    }
}

impl<F: Filesystem> Submitter<'static, F> for Kicked<F> {
    fn call(&mut self) -> Option<&mut Kiocb<'static, F>> {
        None
    }
}

impl<'a, F: Filesystem> Entry<F> for Kiocb<'a, F> {
    type Retry = Queued<'a>;
    type Atomic = Infallible;

    fn as_mut(&mut self) -> IocbMut<'_, F> {
        Kiocb::as_mut(self)
    }

    fn is_sync(&self) -> bool {
        Kiocb::is_sync(self)
    }

    fn queue<R>(
        self,
        f: impl FnOnce(Handover<'_, F>) -> R,
    ) -> Result<Queued<'a>, (Self, Option<R>)> {
        Kiocb::queue(self, f)
    }

    fn defer(self, atomic: Infallible, _: BioArc<Dio<F>>, _: Request, _: Bios<F>) -> Queued<'a> {
        match atomic {}
    }
}

impl<F: Filesystem> Entry<F> for AsyncKiocb<F> {
    /// A retry that may sleep is not left to another one: all bios have ended.
    type Retry = Infallible;
    type Atomic = Infallible;

    fn as_mut(&mut self) -> IocbMut<'_, F> {
        AsyncKiocb::as_mut(self)
    }

    fn is_sync(&self) -> bool {
        true
    }

    fn queue<R>(
        self,
        _: impl FnOnce(Handover<'_, F>) -> R,
    ) -> Result<Infallible, (Self, Option<R>)> {
        Err((self, None))
    }

    fn defer(self, atomic: Infallible, _: BioArc<Dio<F>>, _: Request, _: Bios<F>) -> Infallible {
        atomic
    }
}

/// The kiocb of a retry where the last bio has ended.
pub(super) struct Kicked<F: Filesystem>(pub(super) AsyncKiocb<F>);

/// The worker was entered where the last bio has ended, and must not sleep.
#[derive(Clone, Copy)]
pub(super) struct Atomic;

impl<F: Filesystem> Deref for Kicked<F> {
    type Target = Iocb<F>;

    fn deref(&self) -> &Iocb<F> {
        &self.0
    }
}

impl<F: Filesystem> Entry<F> for Kicked<F> {
    type Retry = Kick<F>;
    type Atomic = Atomic;

    fn as_mut(&mut self) -> IocbMut<'_, F> {
        self.0.as_mut()
    }

    fn is_sync(&self) -> bool {
        true
    }

    fn queue<R>(self, _: impl FnOnce(Handover<'_, F>) -> R) -> Result<Kick<F>, (Self, Option<R>)> {
        Err((self, None))
    }

    fn defer(self, _: Atomic, dio: BioArc<Dio<F>>, request: Request, bios: Bios<F>) -> Kick<F> {
        let armed = Armed {
            iocb: self.0,
            request,
            punted: None,
        };
        Kick { dio, armed, bios }
    }
}
