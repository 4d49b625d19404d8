// SPDX-License-Identifier: GPL-2.0

//! The objects of a request.
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

use super::extent::BlockBits;
use super::filesystem::Filesystem;
use super::outcome::Outcome;
use super::state::{self, Platform, State};
use super::worker;
use kernel::prelude::*;
use kernel::sync::{new_spinlock_irq, SpinLockIrq};
use kernel::workqueue::{impl_has_work, new_work, Work, WorkItem};
use kfs::block::bio::{BioArc, BioData, BioList, BioOwner, EndedBio, Op};
use kfs::fs::kiocb::AsyncKiocb;
use kfs::sync::completion::Completion;

/// What is known about a request. It belongs to whoever works on the request: the submitter, then
/// the retry.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// Read or write.
    pub(super) op: Op,
    /// Block size of the filesystem.
    pub(super) bits: BlockBits,
    /// How many bytes were asked for.
    pub(super) len: u32,
    /// Size of the file when the blocks were looked up.
    pub(super) i_size: u64,
    /// Behind the last byte for which a block was allocated.
    pub(super) allocated_to: u64,
    /// Where it starts, and what has become of it.
    pub(super) outcome: Outcome<Error>,
}

impl Request {
    /// The position in the file where the request starts.
    pub(super) fn start(&self) -> u64 {
        self.outcome.start()
    }

    /// Behind the last byte that was asked for.
    pub(super) fn end(&self) -> u64 {
        self.start() + u64::from(self.len)
    }

    /// How many bytes count.
    ///
    /// A read that crosses the end of the file counts up to there only, although the device reads
    /// whole sectors (R13). The end is the one under which the blocks were looked up.
    pub(super) fn count(&self) -> Result<usize> {
        let count = self.outcome.count(self.bits)?;
        Ok(match self.op {
            Op::Read if !mutant!("read-past-eof") => {
                count.min(self.i_size.saturating_sub(self.start()))
            }
            _ => count,
        } as usize)
    }
}

/// An asynchronous request whose submitter has left.
pub(crate) struct Armed<F: Filesystem> {
    pub(super) iocb: AsyncKiocb<F>,
    pub(super) request: Request,
}

/// The part of a request that bios, the submitter and the retry meet in.
#[pin_data]
pub(crate) struct Dio<F: Filesystem> {
    #[pin]
    state: SpinLockIrq<State<Armed<F>, Bios<F>>>,
    /// Where the submitter of a synchronous request sleeps.
    #[pin]
    done: Completion,
    #[pin]
    retry: Work<Dio<F>>,
}

/// A list of the bios of a request.
pub(crate) struct Bios<F: Filesystem>(BioList<Dio<F>>);

impl<F: Filesystem> Default for Bios<F> {
    fn default() -> Self {
        Bios(BioList::new())
    }
}

impl<F: Filesystem> state::BioList for Bios<F> {
    type Bio = EndedBio<Dio<F>>;

    fn push(&mut self, bio: Self::Bio) {
        self.0.push(bio);
    }

    fn pop(&mut self) -> Option<Self::Bio> {
        self.0.pop()
    }
}

impl<F: Filesystem> Dio<F> {
    /// A dio for a request whose bios are about to be issued.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Dio {
            state <- new_spinlock_irq!(State::new(), "Dio::state"),
            done <- Completion::new(),
            retry <- new_work!("Dio::retry"),
        })
    }
}

impl<F: Filesystem> Platform for BioArc<Dio<F>> {
    type Iocb = Armed<F>;
    type Bios = Bios<F>;

    fn with_state<R>(&self, f: impl FnOnce(&mut State<Armed<F>, Bios<F>>) -> R) -> R {
        f(&mut self.state.lock())
    }

    fn kick(&self, armed: &Armed<F>) {
        // The state machine kicks a request once, so that it cannot be queued already.
        let _ = F::dio(armed.iocb.inode().sb()).queue.enqueue(self.clone());
    }

    fn wake(&self) {
        self.done.complete();
    }

    fn sleep(&self) {
        self.done.wait_for_completion_io();
    }
}

impl<F: Filesystem> BioData for Dio<F> {
    /// The position in the file of the first byte of the bio.
    type Data = u64;
}

impl<F: Filesystem> BioOwner for Dio<F> {
    fn end_io(this: BioArc<Self>, bio: EndedBio<Self>) {
        dio_bio_end_io(&this, bio);
    }
}

/// The end of a bio, in whatever context the device ends it.
///
/// There is one such function for reads and writes, synchronous and asynchronous (R3).
fn dio_bio_end_io<F: Filesystem>(dio: &BioArc<Dio<F>>, bio: EndedBio<Dio<F>>) {
    state::bio_end(dio, bio);
}

impl_has_work! {
    impl{F: Filesystem} HasWork<Dio<F>> for Dio<F> { self.retry }
}

impl<F: Filesystem> WorkItem for Dio<F> {
    type Pointer = BioArc<Self>;

    /// The retry: all bios of an asynchronous request have ended.
    fn run(this: BioArc<Self>) {
        if let Some(armed) = state::retry(&this) {
            worker::retry(this, armed);
        }
    }
}
