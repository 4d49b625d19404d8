// SPDX-License-Identifier: GPL-2.0

//! The life cycle of a dio, as a state machine under one lock.
//!
//! A dio stands for one direct I/O request: bios in flight, and a submitter or a retry that
//! continues when the last of them has ended. Which of the two it is, is decided only after the
//! last bio was issued, when all of them may have ended already. So bios, submitter and retry share
//! a [`State`], and each makes its transition under the lock:
//!
//! ```text
//!                    bio_end: counts                     bio_end, not the last: counts
//!                      +-----+                             +-----+
//!                      v     |                             v     |
//!   new() ---------> Submitting ---- arm(iocb) ---------> Armed ----+
//!                        |  |  \                                    | bio_end, the last:
//!                        |  |   \                                   | kick, exactly once
//!                        |  |    +-- wait() --> Waiting             v
//!                        |  |                    |    ^           Done ---- defer() --> Kicked
//!     arm() or wait()    |  |   bio_end, the     |    | bio_end,                         |
//!     finds all bios     |  |   last: wake,      |    | not the last:                    |
//!     ended: there is    |  |   exactly once     |    +- counts                  retry() |
//!     no wake-up         v  v                    v                                       v
//!                       Done <-------------------+---------------------------------- Done
//! ```
//!
//! * *Submitting*: the submitter issues bios. Their number is not known yet, so none can be the
//!   last one: `in_flight` counts down from zero, and the number of issued bios is added when the
//!   submitter arms or waits. So submitting a bio takes no lock.
//! * *Armed*: the request is asynchronous and its submitter has returned. The dio owns the I/O
//!   control block; the last bio passes both to the retry.
//! * *Kicked*: the retry would have had to sleep where the last bio ended. It is queued, and takes
//!   the control block again. (One that links new blocks is queued once more after that.) The same is done with a
//!   request that is punted, of which no bio is issued: who takes the control block goes on as its submitter, from *Done*
//!   back to *Submitting*.
//! * *Waiting*: the submitter sleeps until the last bio wakes it.
//! * *Done*: nothing is in flight, and no wake-up is due. The ended bios are taken from here, or have
//!   been taken by the kick.
//!
//! A submitter that has to know whether one of its bios has failed already reaps those that have ended, in *Submitting*: they
//! have been counted, so that it arms for all of them.
//!
//! The transition to *Done* happens once, so that either the one woken by the last bio continues the
//! request, or the submitter that found all bios ended. (A submitter that gets no bio waits for its
//! own and then issues more: from *Done* back to *Submitting*, which it can do only if it has not
//! armed.)
//!
//! This file does not depend on the kernel: the lock, the bios and the wake-ups come from a
//! [`Platform`]. In the module that is a reference to the dio; `tests/host` runs the same source
//! under loom.

use core::mem;

/// A first-in, first-out list of ended bios that needs no memory of its own.
pub(crate) trait BioList: Default {
    /// A bio that has ended.
    type Bio;

    /// Appends `bio`.
    fn push(&mut self, bio: Self::Bio);

    /// Takes the oldest bio.
    fn pop(&mut self) -> Option<Self::Bio>;
}

/// The phase of a dio; see the module documentation for the transitions.
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
    /// Bios issued minus bios ended; the former are added at the end of submission.
    ///
    /// While submitting it is at most zero, and afterwards the number of bios in flight.
    in_flight: i32,
    /// Bios that have ended and are not reaped.
    ended: L,
}

// Nothing in it is structurally pinned: `K` and `L` are moved in and out.
impl<K, L> Unpin for State<K, L> {}

/// The wake-up that is due at the end of a bio.
pub(crate) enum Wake<K, L> {
    /// None: other bios are in flight, or are still being issued.
    None,
    /// That of the submitter, which sleeps.
    Submitter,
    /// That of the retry of the request with this control block, of which these bios have ended.
    Retry(K, L),
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

    /// Queues a bio that has ended, and returns the wake-up that is due.
    pub(crate) fn bio_end(&mut self, bio: L::Bio) -> Wake<K, L> {
        self.ended.push(bio);
        self.in_flight -= 1;
        let early = match self.phase {
            Phase::Armed(_) => mutant!("kick-early"),
            Phase::Waiting => mutant!("wake-early"),
            _ => false,
        };
        if self.in_flight != 0 && !early {
            return Wake::None;
        }
        match mem::replace(&mut self.phase, Phase::Done) {
            Phase::Waiting => Wake::Submitter,
            Phase::Armed(iocb) if !mutant!("no-kick") => {
                Wake::Retry(iocb, mem::take(&mut self.ended))
            }
            // Submitting never counts down to zero. In Kicked and Done nothing is in flight.
            other => {
                self.phase = other;
                Wake::None
            }
        }
    }

    /// Ends the submission of `issued` bios; whether all of them have ended.
    fn submitted(&mut self, issued: u32) -> bool {
        self.in_flight += issued as i32;
        self.phase = Phase::Done;
        self.in_flight == 0
    }

    /// Ends the submission of `issued` bios and leaves the control block to the retry: `iocb` makes
    /// it.
    ///
    /// If all bios have ended, there is no retry: `iocb` is given back, and the caller reaps.
    pub(crate) fn arm<F: FnOnce() -> K>(&mut self, issued: u32, iocb: F) -> Result<(), F> {
        if self.submitted(issued) && !mutant!("arm-late") {
            return Err(iocb);
        }
        self.phase = Phase::Armed(iocb());
        Ok(())
    }

    /// Ends the submission of `issued` bios by a submitter that waits; whether it has to sleep.
    pub(crate) fn wait(&mut self, issued: u32) -> bool {
        if self.submitted(issued) {
            return false;
        }
        self.phase = Phase::Waiting;
        true
    }

    /// Keeps what was kicked for a retry that may sleep; returns the control block as it is kept.
    fn defer(&mut self, iocb: K, bios: L) -> Option<&K> {
        self.ended = bios;
        self.phase = Phase::Kicked(iocb);
        match &self.phase {
            Phase::Kicked(iocb) => Some(iocb),
            _ => None,
        }
    }

    /// Takes what was kept for the retry, once, so that a request has no second one.
    pub(crate) fn retry(&mut self) -> Option<(K, L)> {
        match mem::replace(&mut self.phase, Phase::Done) {
            Phase::Kicked(iocb) => Some((iocb, mem::take(&mut self.ended))),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Starts another round of submission after a wait, or that of a request that was punted: from *Done* back to
    /// *Submitting*.
    pub(crate) fn resume(&mut self) {
        if let Phase::Done = self.phase {
            self.phase = Phase::Submitting;
        }
    }

    /// Takes the bios that have ended while others are still being issued, or before they are waited for. They have been counted.
    fn early(&mut self) -> L {
        match self.phase {
            Phase::Submitting => mem::take(&mut self.ended),
            _ => L::default(),
        }
    }

    /// Takes the ended bios; `None` in any phase but *Done*.
    pub(crate) fn ended(&mut self) -> Option<L> {
        match self.phase {
            Phase::Done => Some(mem::take(&mut self.ended)),
            _ => None,
        }
    }
}

/// What the state machine needs of its surroundings; implemented by a reference to the dio.
pub(crate) trait Platform: Sized {
    /// The I/O control block of an asynchronous request.
    type Iocb;
    /// A list of bios.
    type Bios: BioList;

    /// Runs `f` on the state with the lock held and interrupts off.
    fn with_state<R>(&self, f: impl FnOnce(&mut State<Self::Iocb, Self::Bios>) -> R) -> R;

    /// Starts the retry of a request, of which `bios` have ended: here, or, after [`defer`], where it
    /// may sleep. Called in the context in which the last bio ended, without the lock, once per
    /// request at most. Takes the reference to the dio, as the retry may complete the request.
    fn kick(self, iocb: Self::Iocb, bios: Self::Bios);

    /// Wakes the submitter. Called with the lock held, once per request at most.
    fn wake(&self);

    /// Sleeps until [`Platform::wake`] has been called.
    fn sleep(&self);
}

/// The end of a bio: queues it and, if it was the last one, wakes the submitter or kicks the retry
/// (R3).
///
/// Any context; takes the lock. The wake-up is done with the lock held: the submitter takes it before
/// it goes on, so that it does not free anything under this function. The kick comes after it, and
/// has what was in the state: nobody else uses that any more.
pub(crate) fn bio_end<P: Platform>(dio: P, bio: <P::Bios as BioList>::Bio) {
    let kicked = dio.with_state(|state| match state.bio_end(bio) {
        Wake::None => None,
        Wake::Submitter => {
            dio.wake();
            None
        }
        Wake::Retry(iocb, bios) => Some((iocb, bios)),
    });
    if let Some((iocb, bios)) = kicked {
        dio.kick(iocb, bios);
    }
}

/// Waits for `issued` bios without sleeping: leaves the control block, which `iocb` makes under the
/// lock, to the retry (R4).
///
/// After `Ok` the retry owns the control block and may have freed it. Otherwise all bios have ended,
/// and are returned with `iocb`; there is no retry, and no control block was made.
pub(crate) fn await_async<P: Platform, F: FnOnce() -> P::Iocb>(
    dio: &P,
    issued: u32,
    iocb: F,
) -> Result<(), (P::Bios, F)> {
    dio.with_state(|state| {
        state
            .arm(issued, iocb)
            .map_err(|iocb| (state.ended().unwrap_or_default(), iocb))
    })
}

/// Sleeps until all of `issued` bios have ended, and returns them.
pub(crate) fn await_sync<P: Platform>(dio: &P, issued: u32) -> P::Bios {
    let ended_already = dio.with_state(|state| match state.wait(issued) {
        true => None,
        false => state.ended(),
    });
    ended_already.unwrap_or_else(|| {
        dio.sleep();
        ended(dio)
    })
}

/// Takes the bios that have ended so far, for a submitter that has neither armed nor waited: what is known of its request by then. It
/// arms, or waits, for as many as without that.
pub(crate) fn ended_early<P: Platform>(dio: &P) -> P::Bios {
    dio.with_state(State::early)
}

/// Takes the ended bios of a dio that has none in flight.
pub(crate) fn ended<P: Platform>(dio: &P) -> P::Bios {
    dio.with_state(|state| state.ended().unwrap_or_default())
}

/// For a submitter that has waited for the bios issued so far, and issues more; or who goes on in its place.
pub(crate) fn resume<P: Platform>(dio: &P) {
    dio.with_state(State::resume);
}

/// Keeps what [`Platform::kick`] got for a retry in process context, which `queue` queues; or a request of which nothing is
/// issued, for a worker. The lock is
/// held meanwhile: the retry takes it before anything else.
pub(crate) fn defer<P: Platform>(
    dio: &P,
    iocb: P::Iocb,
    bios: P::Bios,
    queue: impl FnOnce(&P::Iocb),
) {
    dio.with_state(|state| {
        if let Some(iocb) = state.defer(iocb, bios) {
            queue(iocb);
        }
    });
}

/// Takes the control block and the bios for the retry in process context, once.
pub(crate) fn retry<P: Platform>(dio: &P) -> Option<(P::Iocb, P::Bios)> {
    dio.with_state(State::retry)
}
