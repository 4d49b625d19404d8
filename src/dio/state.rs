// SPDX-License-Identifier: GPL-2.0

//! The life of a dio, as one small state machine behind one lock.
//!
//! A dio is one direct I/O request on its way: some bios that the submitter issued, and somebody
//! who wants to know when the last of them is done. Who that is, is only known after the last bio
//! was issued, and by then all of them may have ended. So the bios, the submitter and the retry
//! meet in [`State`], and each of them makes one transition under the lock:
//!
//! ```text
//!                    bio_end: counts                     bio_end, not the last: counts
//!                      +-----+                             +-----+
//!                      v     |                             v     |
//!   new() ---------> Submitting ---- arm(iocb) ---------> Armed ----+
//!                        |  |  \                                    | bio_end, the last:
//!                        |  |   \                                   | kick, exactly once
//!                        |  |    +-- wait() --> Waiting             v
//!                        |  |                    |    ^          Kicked ---- retry() ----+
//!     arm() or wait()    |  |   bio_end, the     |    | bio_end,                         |
//!     finds all bios     |  |   last: wake,      |    | not the last:                    |
//!     ended: nobody      |  |   exactly once     |    +- counts                          |
//!     is woken           v  v                    v                                       v
//!                       Done <-------------------+---------------------------------- Done
//! ```
//!
//! * *Submitting*: the submitter still issues bios. How many there will be is not known yet, so no
//!   bio can be the last one: `in_flight` counts down from zero, and the number of issued bios is
//!   added when the submitter arms or waits. Submitting a bio therefore takes no lock.
//! * *Armed*: the request is asynchronous and its submitter has left. The dio owns the I/O control
//!   block; the last bio hands both to the retry.
//! * *Kicked*: nothing is in flight and the retry is queued. It takes the control block out.
//! * *Waiting*: the submitter sleeps until the last bio wakes it.
//! * *Done*: nothing is in flight, nobody is to be woken any more. The ended bios are taken from
//!   here and reaped in process context.
//!
//! The transition to *Done* or *Kicked* happens once, so exactly one side goes on with the request:
//! the last bio's wake-up, or the submitter who found everything done already. (A submitter who
//! runs out of memory waits for its own bios and then issues more: from *Done* back to
//! *Submitting*, which only the submitter can do and only if it has not armed.)
//!
//! This file needs no kernel: the lock, the bios and the ways to wake come from a [`Platform`]. The
//! module's platform is the dio itself; `tests/host` runs the same source under loom.

use core::mem;

/// A first-in, first-out list of ended bios that needs no memory of its own.
pub(crate) trait BioList: Default {
    /// What the list is made of.
    type Bio;

    /// Appends `bio`.
    fn push(&mut self, bio: Self::Bio);

    /// Takes the first bio.
    fn pop(&mut self) -> Option<Self::Bio>;
}

/// Where a dio is in its life. The module documentation draws the transitions.
enum Phase<K> {
    Submitting,
    Waiting,
    Armed(K),
    Kicked(K),
    Done,
}

/// The state of one dio: `K` is the I/O control block of an asynchronous request.
pub(crate) struct State<K, L> {
    phase: Phase<K>,
    /// Bios issued minus bios ended; what was issued is added when submission is over.
    ///
    /// While submitting, this is zero or less and means nothing; afterwards it is zero or more and
    /// is the number of bios that are in flight.
    in_flight: i32,
    /// Bios that ended and are not reaped.
    ended: L,
}

// Nothing in here is pinned in place, whatever `K` and `L` are: they are moved in and out.
impl<K, L> Unpin for State<K, L> {}

/// Whom the end of a bio wakes.
pub(crate) enum Wake<'a, K> {
    /// Nobody: other bios are in flight, or are still being issued.
    Nobody,
    /// The submitter, who sleeps.
    Waiter,
    /// The retry of the request that this control block belongs to.
    Retry(&'a K),
}

impl<K, L: BioList> State<K, L> {
    /// The state of a dio whose submitter is about to issue bios.
    pub(crate) fn new() -> Self {
        State {
            phase: Phase::Submitting,
            in_flight: 0,
            ended: L::default(),
        }
    }

    /// Queues a bio that has ended, and says whom to wake.
    pub(crate) fn bio_end(&mut self, bio: L::Bio) -> Wake<'_, K> {
        self.ended.push(bio);
        self.in_flight -= 1;
        let early = match self.phase {
            Phase::Armed(_) => mutant!("kick-early"),
            Phase::Waiting => mutant!("wake-early"),
            _ => false,
        };
        if self.in_flight != 0 && !early {
            return Wake::Nobody;
        }
        match mem::replace(&mut self.phase, Phase::Done) {
            Phase::Waiting => Wake::Waiter,
            Phase::Armed(iocb) if !mutant!("no-kick") => {
                self.phase = Phase::Kicked(iocb);
                match &self.phase {
                    Phase::Kicked(iocb) => Wake::Retry(iocb),
                    _ => Wake::Nobody,
                }
            }
            // Submitting never counts down to zero. In Kicked and Done nothing is in flight.
            other => {
                self.phase = other;
                Wake::Nobody
            }
        }
    }

    /// Ends the submission of `issued` bios: true if all of them have ended.
    fn submitted(&mut self, issued: u32) -> bool {
        self.in_flight += issued as i32;
        self.phase = Phase::Done;
        self.in_flight == 0
    }

    /// Ends the submission of `issued` bios by leaving `iocb` to the retry.
    ///
    /// If all bios have ended, there is nothing to retry for: the control block comes back, and the
    /// caller reaps.
    pub(crate) fn arm(&mut self, issued: u32, iocb: K) -> Result<(), K> {
        if self.submitted(issued) && !mutant!("arm-late") {
            return Err(iocb);
        }
        self.phase = Phase::Armed(iocb);
        Ok(())
    }

    /// Ends the submission of `issued` bios by a caller who will wait: true if it has to sleep.
    pub(crate) fn wait(&mut self, issued: u32) -> bool {
        if self.submitted(issued) {
            return false;
        }
        self.phase = Phase::Waiting;
        true
    }

    /// Takes the control block that the last bio left to the retry.
    ///
    /// It is there once per kick, so there can be no second retry of one request.
    pub(crate) fn retry(&mut self) -> Option<K> {
        match mem::replace(&mut self.phase, Phase::Done) {
            Phase::Kicked(iocb) => Some(iocb),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Begins another round of submission, after a wait: from *Done* back to *Submitting*.
    pub(crate) fn resume(&mut self) {
        if let Phase::Done = self.phase {
            self.phase = Phase::Submitting;
        }
    }

    /// Takes all ended bios, if none is in flight.
    pub(crate) fn ended(&mut self) -> Option<L> {
        match self.phase {
            Phase::Done => Some(mem::take(&mut self.ended)),
            _ => None,
        }
    }
}

/// What the state machine needs from its surroundings: implemented by a reference to the dio.
pub(crate) trait Platform {
    /// The I/O control block of an asynchronous request.
    type Iocb;
    /// A list of bios.
    type Bios: BioList;

    /// Runs `f` on the state with the lock held and interrupts off.
    fn with_state<R>(&self, f: impl FnOnce(&mut State<Self::Iocb, Self::Bios>) -> R) -> R;

    /// Queues the retry. Called with the lock held, once per request at most.
    fn kick(&self, iocb: &Self::Iocb);

    /// Wakes the submitter. Called with the lock held, once per request at most.
    fn wake(&self);

    /// Sleeps until [`Platform::wake`] has been called.
    fn sleep(&self);
}

/// The end of a bio: queues it and wakes whoever waits, if it was the last one.
///
/// This is all that happens in interrupt context (R3). The wake-up is done with the lock held, so
/// that whoever is woken cannot finish the request before this function is done with it.
pub(crate) fn bio_end<P: Platform>(dio: &P, bio: <P::Bios as BioList>::Bio) {
    dio.with_state(|state| match state.bio_end(bio) {
        Wake::Nobody => {}
        Wake::Waiter => dio.wake(),
        Wake::Retry(iocb) => dio.kick(iocb),
    })
}

/// Waits for `issued` bios without sleeping, by leaving `iocb` to the retry (R4).
///
/// After `Ok` neither the dio nor the control block are ours any more. Otherwise all bios have
/// ended meanwhile, no retry will come, and here is everything back.
pub(crate) fn await_async<P: Platform>(
    dio: &P,
    issued: u32,
    iocb: P::Iocb,
) -> Result<(), (P::Iocb, P::Bios)> {
    dio.with_state(|state| match state.arm(issued, iocb) {
        Ok(()) => Ok(()),
        Err(iocb) => Err((iocb, state.ended().unwrap_or_default())),
    })
}

/// Sleeps until all of `issued` bios have ended, and returns them.
pub(crate) fn await_sync<P: Platform>(dio: &P, issued: u32) -> P::Bios {
    if dio.with_state(|state| state.wait(issued)) {
        dio.sleep();
    }
    ended(dio)
}

/// The ended bios of a dio that has none in flight.
pub(crate) fn ended<P: Platform>(dio: &P) -> P::Bios {
    dio.with_state(|state| state.ended().unwrap_or_default())
}

/// For a submitter who has waited for what was issued so far, and goes on issuing.
pub(crate) fn resume<P: Platform>(dio: &P) {
    dio.with_state(State::resume);
}

/// For the retry: the control block, once.
pub(crate) fn retry<P: Platform>(dio: &P) -> Option<P::Iocb> {
    dio.with_state(State::retry)
}
