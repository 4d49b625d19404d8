// SPDX-License-Identifier: GPL-2.0

//! The kick: the last bio of a request wakes its submitter, if that waits, or queues the retry.

use super::dio::{Bios, Dio, Retry};
use super::request::Armed;
use super::state::{self, Platform, State};
use kernel::workqueue::{impl_has_work, WorkItem};
use kfs::block::bio::{BioArc, BioData, BioOwner, EndedBio};

impl<F: Retry> Platform for BioArc<Dio<F>> {
    type Iocb = Armed<F>;
    type Bios = Bios<F>;

    fn with_state<R>(&self, f: impl FnOnce(&mut State<Armed<F>, Bios<F>>) -> R) -> R {
        f(&mut self.state.lock())
    }

    fn kick(&self, armed: &Armed<F>) {
        // It cannot be queued already: the state machine kicks a request once.
        let _ = F::queue(armed.iocb.inode().sb()).enqueue(self.clone());
    }

    fn wake(&self) {
        self.done.complete();
    }

    fn sleep(&self) {
        self.done.wait_for_completion_io();
    }
}

impl<F: Retry> BioData for Dio<F> {
    /// The position in the file of the first byte of the bio.
    type Data = u64;
}

impl<F: Retry> BioOwner for Dio<F> {
    fn end_io(this: BioArc<Self>, bio: EndedBio<Self>) {
        dio_bio_end_io(&this, bio);
    }
}

/// The end of a bio: one function for reads and writes, synchronous and asynchronous (R3). Any
/// context, hard interrupt included.
fn dio_bio_end_io<F: Retry>(dio: &BioArc<Dio<F>>, bio: EndedBio<Dio<F>>) {
    state::bio_end(dio, bio);
}

impl_has_work! {
    impl{F: Retry} HasWork<Dio<F>> for Dio<F> { self.retry }
}

impl<F: Retry> WorkItem for Dio<F> {
    type Pointer = BioArc<Self>;

    /// The retry of an asynchronous request whose bios have all ended.
    fn run(this: BioArc<Self>) {
        if let Some(armed) = state::retry(&this) {
            F::retry(this, armed);
        }
    }
}
