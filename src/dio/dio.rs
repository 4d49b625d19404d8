// SPDX-License-Identifier: GPL-2.0

//! The dio: the state that the bios of a request, its submitter and its retry share.
//!
//! References while a request is in flight:
//!
//! * the kiocb holds the file, which holds the inode and the mount; its private pointer holds the
//!   [`Dio`] (R1);
//! * the dio is the front pad of its first bio, so that this bio holds the dio until it is reaped,
//!   or freed unused;
//! * each bio in flight holds the dio, and the memory it transfers: user pages are pinned, other
//!   pages are held by the maker of the iterator until the request completes;
//! * the dio holds the ended bios, and, while *Armed* or *Kicked*, the kiocb with the [`Request`];
//! * the queued retry holds the dio.
//!
//! The reference cycle of kiocb and dio is broken by the retry, which always runs: it is kicked
//! when the last bio ends, and the block layer ends every bio. If the request was punted, the work that is queued comes first.
//!
//! [`Request`]: super::request::Request

use super::flush::Flushes;
use super::request::{Armed, Single};
use super::state::{self, State};
use kernel::prelude::*;
use kfs::block::bio::{BioArc, BioList, EndedBio};
use kfs::compat::{new_spinlock_irq, SpinLockIrq};
use kfs::drop_in_atomic;
use kfs::fs::kiocb::KiocbOwner;
use kfs::sync::completion::Completion;
use kfs::task::MaySleep;
use kfs::workqueue::Workqueue;

/// A filesystem whose requests are retried. The objects of a request only start the retry; what it
/// does is in [`super::retry`], above them.
pub(crate) trait Retry: KiocbOwner<Private = Dio<Self>> {
    /// Takes note that the retry of a request starts. Any context.
    fn kicked(armed: &Armed<Self>);

    /// Takes note that the retry of a request has been left to process context. Any context.
    fn queued(armed: &Armed<Self>);

    /// The workqueue for the retry of a request. It has a rescuer: memory may be short because of pages
    /// that are pinned for, or being cleaned by, the very requests that are queued there (R15). Any
    /// context.
    fn retry_wq(armed: &Armed<Self>) -> &Workqueue;

    /// The workqueue for [`Retry::link`], if that has to be done first. It has a rescuer, too, as the retries of
    /// other requests may wait for it. Any context.
    fn link_wq(armed: &Armed<Self>) -> Option<&Workqueue>;

    /// Those of the mount that wait for a flush. Any context.
    fn flushes(armed: &Armed<Self>) -> &Flushes<Dio<Self>>;

    /// Flushes the cache of the device. `EIO`.
    fn issue_flush(armed: &Armed<Self>, may_sleep: MaySleep<'_>) -> Result;

    /// Continues a request. Any context: gives it back if that has to sleep.
    fn retry_atomic(kick: Kick<Self>) -> Option<Kick<Self>>;

    /// Continues a request of one bio, which has ended. Any context.
    fn retry_single(single: Single<Self>, bio: EndedBio<Dio<Self>>);

    /// Issues a request that was punted.
    fn issue_punted(kick: Kick<Self>, may_sleep: MaySleep<'_>);

    /// Links the new blocks of a request, and queues its retry.
    fn link(kick: Kick<Self>, may_sleep: MaySleep<'_>);

    /// Continues a request.
    fn retry(kick: Kick<Self>, may_sleep: MaySleep<'_>);
}

/// What the last bio of an asynchronous request leaves to the retry.
pub(crate) struct Kick<F: Retry> {
    pub(super) dio: BioArc<Dio<F>>,
    pub(super) armed: Armed<F>,
    /// The bios that are not reaped. All of the request have ended.
    pub(super) bios: Bios<F>,
}

/// The part of a request that its bios, its submitter and its retry share.
#[pin_data]
pub(crate) struct Dio<F: Retry> {
    #[pin]
    pub(super) state: SpinLockIrq<State<Armed<F>, Bios<F>>>,
    /// Completed by the last bio when the submitter waits.
    #[pin]
    pub(super) done: Completion,
}

drop_in_atomic!(struct[F: Retry] Dio<F> { state, done });
drop_in_atomic!(generic State<K = (), L = ()>);
drop_in_atomic!(struct[F: Retry] Bios<F> { bios });

/// The ended bios of a request.
pub(crate) struct Bios<F: Retry> {
    bios: BioList<Dio<F>>,
}

impl<F: Retry> Default for Bios<F> {
    fn default() -> Self {
        Bios {
            bios: BioList::new(),
        }
    }
}

impl<F: Retry> state::BioList for Bios<F> {
    type Bio = EndedBio<Dio<F>>;

    fn push(&mut self, bio: Self::Bio) {
        self.bios.push(bio);
    }

    fn pop(&mut self) -> Option<Self::Bio> {
        self.bios.pop()
    }
}

impl<F: Retry> Dio<F> {
    /// An initialiser for the dio of a request of which no bio is issued yet.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Dio {
            state <- new_spinlock_irq!(State::new(), "Dio::state"),
            done <- Completion::new(),
        })
    }
}
