// SPDX-License-Identifier: GPL-2.0

//! The dio: what the bios of a request, its submitter and its retry meet in.
//!
//! Who holds what while a request is on its way:
//!
//! * the kiocb holds the file, which holds the inode and the mount; its private pointer holds the
//!   [`Dio`] (R1);
//! * the dio lies in front of its first bio, in one piece of memory, so that this bio holds the dio
//!   until it is reaped, or given up;
//! * each bio in flight holds the dio, and the memory it transfers: user pages are pinned, other
//!   pages are held by whoever made the iterator until the request completes;
//! * the dio holds the ended bios, and, while *Armed* or *Kicked*, the kiocb with the [`Request`];
//! * the queued retry holds the dio.
//!
//! That is a circle (kiocb, dio, kiocb), which the retry breaks; it always comes, because it is
//! queued when the last bio ends, and the block layer ends every bio.

use super::request::Armed;
use super::state::{self, State};
use kernel::prelude::*;
use kernel::sync::{new_spinlock_irq, SpinLockIrq};
use kernel::workqueue::{new_work, Work};
use kfs::block::bio::{BioArc, BioList, EndedBio};
use kfs::fs::kiocb::KiocbOwner;
use kfs::fs::super_block::SuperBlock;
use kfs::sync::completion::Completion;
use kfs::workqueue::Workqueue;

/// A filesystem whose requests are retried. What a retry does lies over the objects of a request,
/// which only have to start it: see [`super::retry`].
pub(crate) trait Retry: KiocbOwner<Private = BioArc<Dio<Self>>> {
    /// Where the retries of a mount run.
    fn queue(sb: &SuperBlock<Self>) -> &Workqueue;

    /// Goes on with a request whose bios have all ended. Process context; may sleep.
    fn retry(dio: BioArc<Dio<Self>>, armed: Armed<Self>);
}

/// The part of a request that bios, the submitter and the retry meet in.
#[pin_data]
pub(crate) struct Dio<F: Retry> {
    #[pin]
    pub(super) state: SpinLockIrq<State<Armed<F>, Bios<F>>>,
    /// Where the submitter of a synchronous request sleeps.
    #[pin]
    pub(super) done: Completion,
    #[pin]
    pub(super) retry: Work<Dio<F>>,
}

/// A list of the bios of a request.
pub(crate) struct Bios<F: Retry>(BioList<Dio<F>>);

impl<F: Retry> Default for Bios<F> {
    fn default() -> Self {
        Bios(BioList::new())
    }
}

impl<F: Retry> state::BioList for Bios<F> {
    type Bio = EndedBio<Dio<F>>;

    fn push(&mut self, bio: Self::Bio) {
        self.0.push(bio);
    }

    fn pop(&mut self) -> Option<Self::Bio> {
        self.0.pop()
    }
}

impl<F: Retry> Dio<F> {
    /// A dio for a request whose bios are about to be issued.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Dio {
            state <- new_spinlock_irq!(State::new(), "Dio::state"),
            done <- Completion::new(),
            retry <- new_work!("Dio::retry"),
        })
    }
}
