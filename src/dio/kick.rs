// SPDX-License-Identifier: GPL-2.0

//! The kick: the last bio of a request wakes its submitter, if that waits, or starts the retry.
//!
//! The retry runs there and then, in the context in which the bio has ended, which may be a hard
//! interrupt. If it finds that it has to sleep it is queued, and runs in process context.

use super::dio::{Bios, Dio, Kick, Retry};
use super::request::{Armed, Dsync, Single};
use super::state::{self, Platform, State};
use kernel::prelude::*;
use kfs::block::bio::{BioArc, BioData, BioOwner, BioWork, EndedBio};
use kfs::task::{MaySleep, Nested};

/// How many retries may run one within the other on a CPU: what a retry completes may be the end of a
/// bio for another one (a filesystem in a file of another one), and the stack is not endless. In this
/// count are a hard and a soft interrupt that come in the midst of one.
pub(super) const NESTED_MAX: u32 = 4;

impl<F: Retry> Platform for BioArc<Dio<F>> {
    type Iocb = Armed<F>;
    type Bios = Bios<F>;

    fn with_state<R>(&self, f: impl FnOnce(&mut State<Armed<F>, Bios<F>>) -> R) -> R {
        f(&mut self.state.lock())
    }

    fn kick(self, armed: Armed<F>, bios: Bios<F>) {
        F::kicked(&armed);
        let kick = Kick {
            dio: self,
            armed,
            bios,
        };
        let deferred = match Nested::enter(NESTED_MAX) {
            Some(_nested) if !mutant!("kick-queued") => F::retry_atomic(kick),
            _ => Some(kick),
        };
        if let Some(kick) = deferred {
            defer(kick);
        }
    }

    fn wake(&self) {
        self.done.complete();
    }

    fn sleep(&self) {
        self.done.wait_for_completion_io();
    }
}

/// The work that issues a request which was punted.
pub(super) struct Punt;

/// The work that links new blocks.
struct Link;

/// The work that flushes the cache of the device, for this request and others.
struct Flush;

/// The work that does the rest.
struct Finish;

/// Queues the retry of a request.
pub(super) fn defer<F: Retry>(kick: Kick<F>) {
    let Kick { dio, armed, bios } = kick;
    state::defer(&dio, armed, bios, |armed| {
        let dio = dio.clone();
        // It cannot be queued already: the state machine kicks a request once.
        let _ = match F::link_wq(armed) {
            Some(queue) if mutant!("link-same-work") => dio.queue::<Finish>(queue),
            Some(queue) => dio.queue::<Link>(queue),
            None if armed.request.needs_flush() => match F::flushes(armed).join(dio) {
                Some(dio) => dio.queue::<Flush>(F::retry_wq(armed)),
                None => Ok(()),
            },
            None => dio.queue::<Finish>(F::retry_wq(armed)),
        };
        F::queued(armed);
    });
}

impl<F: Retry> BioData for Dio<F> {
    /// The position in the file of the first byte of the bio.
    type Data = u64;
    type Carried = Single<F>;
}

impl<F: Retry> BioOwner for Dio<F> {
    fn end_io(this: BioArc<Self>, bio: EndedBio<Self>) {
        dio_bio_end_io(this, bio);
    }

    fn end_carrying(single: Single<F>, bio: EndedBio<Self>) {
        F::retry_single(single, bio);
    }
}

/// The end of a bio: one function for reads and writes, synchronous and asynchronous (R3). Any
/// context, hard interrupt included.
fn dio_bio_end_io<F: Retry>(dio: BioArc<Dio<F>>, bio: EndedBio<Dio<F>>) {
    state::bio_end(dio, bio);
}

impl<F: Retry> BioWork<Punt> for Dio<F> {
    /// The rest of a submission.
    fn run(this: BioArc<Self>, may_sleep: MaySleep<'_>) {
        if let Some((armed, bios)) = state::retry(&this) {
            let dio = this;
            F::issue_punted(Kick { dio, armed, bios }, may_sleep);
        }
    }
}

impl<F: Retry> BioWork<Link> for Dio<F> {
    /// Before the retry of a request with new blocks.
    fn run(this: BioArc<Self>, may_sleep: MaySleep<'_>) {
        if let Some((armed, bios)) = state::retry(&this) {
            let dio = this;
            F::link(Kick { dio, armed, bios }, may_sleep);
        }
    }
}

impl<F: Retry> BioWork<Flush> for Dio<F> {
    /// The retry of a request that is done, but for a flush.
    fn run(this: BioArc<Self>, may_sleep: MaySleep<'_>) {
        if let Some((armed, bios)) = state::retry(&this) {
            let dio = this;
            flush(Kick { dio, armed, bios }, may_sleep);
        }
    }
}

impl<F: Retry> BioWork<Finish> for Dio<F> {
    /// The retry of an asynchronous request whose bios have all ended.
    fn run(this: BioArc<Self>, may_sleep: MaySleep<'_>) {
        if let Some((armed, bios)) = state::retry(&this) {
            let dio = this;
            let kick = Kick { dio, armed, bios };
            match F::link_wq(&kick.armed) {
                Some(_) if mutant!("link-same-work") => F::link(kick, may_sleep),
                _ => F::retry(kick, may_sleep),
            }
        }
    }
}

/// Flushes for a request, and for those that wait, and completes them.
fn flush<F: Retry>(kick: Kick<F>, may_sleep: MaySleep<'_>) {
    let flushes = F::flushes(&kick.armed);
    let waiting = (!mutant!("flush-joined-late")).then(|| flushes.take());
    let result = F::issue_flush(&kick.armed, may_sleep);
    let mut dios = waiting.unwrap_or_else(|| flushes.take());
    if let Some(next) = flushes.next() {
        // As in `join`.
        let _ = next.queue::<Flush>(F::retry_wq(&kick.armed));
    }
    while let Some(dio) = dios.pop() {
        if let Some((armed, bios)) = state::retry(&dio) {
            flushed(Kick { dio, armed, bios }, result);
        }
        may_sleep.cond_resched();
    }
    flushed(kick, result);
}

/// Completes a request after a flush with `result`. What has to sleep for something else is left to a retry of its
/// own, so that no other one waits for that.
fn flushed<F: Retry>(mut kick: Kick<F>, result: Result) {
    let is_lost = mutant!("flush-error-lost");
    kick.armed.request.dsync = Dsync::Flushed(if is_lost { Ok(()) } else { result });
    if let Some(kick) = F::retry_atomic(kick) {
        defer(kick);
    }
}
