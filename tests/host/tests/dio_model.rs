// SPDX-License-Identifier: GPL-2.0

//! The state machine of the direct I/O worker under loom: every interleaving of a submitter, bios
//! that end on other CPUs, and the retry.
//!
//! `src/dio/state.rs` is what the module is built from. Only its platform is another one: loom's
//! mutex is the lock with interrupts off, and what the kernel's workqueue and completion do is in
//! `Dio`. The retry runs in the thread of the last bio, as in an interrupt, or, if it would sleep, in
//! that of the workqueue. The memory of the dio is an `Arc`; in the module it is counted in the same way, but is one
//! piece with the first bio, which is counted as well until it is reaped.
//!
//! Each run checks that every bio is reaped once, that the request is completed once, by one side,
//! with nothing in flight, and that nobody is woken twice or never: a lost wake-up is a deadlock,
//! which loom reports.
//!
//! A *cancel* (`io_cancel`, `IORING_OP_ASYNC_CANCEL`, a signal) comes from another thread at any
//! moment. A direct request has no cancel function, so all that reaches it is a wake-up of the
//! submitter that is not for the last bio. A *teardown* (`io_destroy`, the end of the process,
//! umount) waits for the completions that it has to expect, as the kernel does, and then takes away
//! the workqueue: whatever kicks, wakes or completes after that fails the run, and so does a dio
//! that is still armed, or a bio that was not reaped by then.
//!
//! Left out: what the block layer does between submission and end; several submitters (a dio has
//! one); the failure of a submitter half-way, which is a request with fewer bios.

#[macro_use]
#[path = "../../../src/mutant.rs"]
mod mutant;
// Each test target uses its own part of the shared source.
#[allow(dead_code)]
#[path = "../../../src/dio/state.rs"]
mod state;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use state::{BioList, Platform, State};

/// A bio is a number.
type Bio = usize;

/// The control block of an asynchronous request. It must be used up by one completion.
struct Iocb(Arc<Request>);

#[derive(Default)]
struct Bios(Vec<Bio>);

impl BioList for Bios {
    type Bio = Bio;

    fn push(&mut self, bio: Bio) {
        self.0.push(bio);
    }

    fn pop(&mut self) -> Option<Bio> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }
}

/// What the outside world sees of a request.
struct Request {
    completions: Mutex<u32>,
    completed: Condvar,
}

impl Request {
    fn new() -> Arc<Self> {
        Arc::new(Request {
            completions: Mutex::new(0),
            completed: Condvar::new(),
        })
    }
}

/// What the kernel gives to a dio.
struct Dio {
    state: Mutex<State<Iocb, Bios>>,
    /// The completion that a synchronous submitter sleeps on: number of wake-ups not yet slept for.
    woken: Mutex<u32>,
    wake: Condvar,
    /// The workqueue: number of times the retry was queued and has not run. `None`: closed.
    kicked: Mutex<Option<u32>>,
    kick: Condvar,
    /// All wake-ups and kicks there were. `None`: there must be none any more.
    signals: Mutex<Option<u32>>,
    retry: Retry,
    /// How many bios the retry has to find,
    bios: usize,
    /// but for these, which the submitter has reaped before it armed. The lock is none of the model.
    early: std::sync::Mutex<Vec<Bio>>,
}

/// Where the retry runs.
#[derive(Clone, Copy, PartialEq)]
enum Retry {
    /// Where the last bio has ended.
    AtTheKick,
    /// There, until it finds that it has to sleep, and then in the workqueue.
    Queued,
}

impl Dio {
    fn new(retry: Retry, bios: usize) -> Arc<Self> {
        Arc::new(Dio {
            retry,
            bios,
            early: std::sync::Mutex::default(),
            state: Mutex::new(State::new()),
            woken: Mutex::new(0),
            wake: Condvar::new(),
            kicked: Mutex::new(Some(0)),
            kick: Condvar::new(),
            signals: Mutex::new(Some(0)),
        })
    }

    /// The worker of the workqueue: waits for the retry to be queued. False if it never will be.
    fn wait_for_kick(&self) -> bool {
        let mut kicked = self.kicked.lock().unwrap();
        loop {
            match *kicked {
                None => return false,
                Some(0) => kicked = self.kick.wait(kicked).unwrap(),
                Some(count) => {
                    *kicked = Some(count - 1);
                    return true;
                }
            }
        }
    }

    /// Queues the work of the dio.
    fn queue(&self) {
        let mut kicked = self.kicked.lock().unwrap();
        *kicked = Some(kicked.expect("kicked after the submitter had completed") + 1);
        self.kick.notify_one();
    }

    /// The submitter has completed the request itself: the worker need not wait.
    fn close(&self) {
        *self.kicked.lock().unwrap() = None;
        self.kick.notify_one();
    }

    /// Counts a wake-up or a kick.
    fn signal(&self) {
        let mut signals = self.signals.lock().unwrap();
        *signals = Some(signals.expect("woken after the teardown") + 1);
    }

    /// Wakes a submitter who may be asleep, but not for the end of a bio.
    fn interrupt(&self) {
        let _woken = self.woken.lock().unwrap();
        self.wake.notify_one();
    }
}

impl Request {
    /// Waits for the completion, and takes away what `dio` works with. Returns how many wake-ups and
    /// kicks there were.
    fn tear_down(&self, dio: &Arc<Dio>) -> u32 {
        let mut completions = self.completions.lock().unwrap();
        while *completions == 0 {
            completions = self.completed.wait(completions).unwrap();
        }
        drop(completions);
        let queued = dio.kicked.lock().unwrap().take();
        assert_eq!(queued.unwrap_or(0), 0, "queued at the teardown");
        assert!(state::retry(dio).is_none(), "armed at the teardown");
        assert!(state::ended(dio).0.is_empty(), "not reaped at the teardown");
        let signals = dio.signals.lock().unwrap().take();
        signals.expect("torn down twice")
    }
}

impl Platform for Arc<Dio> {
    type Iocb = Iocb;
    type Bios = Bios;

    fn with_state<R>(&self, f: impl FnOnce(&mut State<Iocb, Bios>) -> R) -> R {
        f(&mut self.state.lock().unwrap())
    }

    fn kick(self, iocb: Iocb, mut bios: Bios) {
        assert_eq!(*iocb.0.completions.lock().unwrap(), 0);
        self.signal();
        if self.retry == Retry::AtTheKick {
            let mut reaped = Vec::new();
            reap(bios, &mut reaped);
            check_all(&self, &reaped);
            // The last: the teardown waits for it.
            self.close();
            complete(&iocb.0);
            return;
        }
        // One that would have to sleep is put back.
        if let Some(first) = bios.pop() {
            bios.push(first);
        }
        state::defer(&self, iocb, bios, |iocb| {
            assert_eq!(*iocb.0.completions.lock().unwrap(), 0);
            self.queue();
        });
    }

    fn wake(&self) {
        self.signal();
        *self.woken.lock().unwrap() += 1;
        self.wake.notify_one();
    }

    fn sleep(&self) {
        let mut woken = self.woken.lock().unwrap();
        while *woken == 0 {
            woken = self.wake.wait(woken).unwrap();
        }
        *woken -= 1;
    }
}

/// Submits a bio: it ends on another CPU.
fn submit(dio: &Arc<Dio>, bio: Bio) -> thread::JoinHandle<()> {
    let dio = dio.clone();
    thread::spawn(move || state::bio_end(dio, bio))
}

fn reap(mut bios: Bios, reaped: &mut Vec<Bio>) {
    while let Some(bio) = bios.pop() {
        reaped.push(bio);
    }
}

fn complete(request: &Request) {
    let mut completions = request.completions.lock().unwrap();
    assert_eq!(*completions, 0, "completed twice");
    *completions += 1;
    request.completed.notify_all();
}

/// All of the bios of `dio` have been reaped, once: these, and those that were before.
fn check_all(dio: &Dio, reaped: &[Bio]) {
    let early = dio.early.lock().unwrap();
    check(&[reaped, &early].concat(), dio.bios);
}

fn check(reaped: &[Bio], expected: usize) {
    let mut reaped = reaped.to_vec();
    reaped.sort_unstable();
    assert_eq!(reaped, (0..expected).collect::<Vec<_>>());
}

/// The worker of the workqueue: the retry, if it is queued.
fn work(dio: &Arc<Dio>, request: &Arc<Request>, reaped: &mut Vec<Bio>) {
    if !dio.wait_for_kick() {
        return;
    }
    let (iocb, bios) = state::retry(dio).expect("kicked without a control block");
    assert!(state::retry(dio).is_none(), "a second retry");
    reap(bios, reaped);
    check_all(dio, reaped);
    assert!(Arc::ptr_eq(&iocb.0, request));
    complete(&iocb.0);
}

/// The submitter of an asynchronous request, with `issued` bios that are not reaped. Whether it has
/// left the request to the retry.
fn arm(dio: &Arc<Dio>, request: &Arc<Request>, issued: u32, reaped: &mut Vec<Bio>) -> bool {
    let mut made = false;
    let iocb = || {
        made = true;
        Iocb(request.clone())
    };
    let Err((ended, _)) = state::await_async(dio, issued, iocb) else {
        // Neither the dio nor the control block are ours from here.
        return true;
    };
    assert!(!made, "two control blocks");
    reap(ended, reaped);
    check_all(dio, reaped);
    complete(request);
    false
}

/// An asynchronous request with `bios` bios: the submitter arms, the retry or the submitter reaps.
fn asynchronous(retry: Retry, bios: usize) {
    let dio = Dio::new(retry, bios);
    let request = Request::new();

    let worker = {
        let (dio, request) = (dio.clone(), request.clone());
        thread::spawn(move || work(&dio, &request, &mut Vec::new()))
    };
    let bio_threads: Vec<_> = (0..bios).map(|bio| submit(&dio, bio)).collect();
    let armed = arm(&dio, &request, bios as u32, &mut Vec::new());
    if !armed {
        dio.close();
    }
    worker.join().unwrap();
    for thread in bio_threads {
        thread.join().unwrap();
    }
    assert_eq!(*request.completions.lock().unwrap(), 1);
    // One kick at most, and none if the submitter completed.
    assert_eq!(*dio.signals.lock().unwrap(), Some(u32::from(armed)));
    assert!(state::retry(&dio).is_none());
    assert!(state::ended(&dio).0.is_empty());
}

/// An asynchronous request with `bios` bios while somebody waits for its end to tear it down.
fn asynchronous_torn_down(retry: Retry, bios: usize) {
    let dio = Dio::new(retry, bios);
    let request = Request::new();

    let bio_threads: Vec<_> = (0..bios).map(|bio| submit(&dio, bio)).collect();
    let teardown = {
        let (dio, request) = (dio.clone(), request.clone());
        thread::spawn(move || request.tear_down(&dio))
    };
    let armed = arm(&dio, &request, bios as u32, &mut Vec::new());
    if armed {
        // The submitter's thread goes on as the worker of the workqueue.
        work(&dio, &request, &mut Vec::new());
    }
    assert_eq!(teardown.join().unwrap(), u32::from(armed));
    for thread in bio_threads {
        thread.join().unwrap();
    }
    assert_eq!(*request.completions.lock().unwrap(), 1);
}

/// A synchronous request with `bios` bios that somebody tries to cancel, and waits to tear down.
fn synchronous_cancelled(bios: usize) {
    let dio = Dio::new(Retry::Queued, bios);
    let request = Request::new();

    let bio_threads: Vec<_> = (0..bios).map(|bio| submit(&dio, bio)).collect();
    let cancel = {
        let (dio, request) = (dio.clone(), request.clone());
        thread::spawn(move || {
            dio.interrupt();
            request.tear_down(&dio)
        })
    };
    let mut reaped = Vec::new();
    reap(state::await_sync(&dio, bios as u32), &mut reaped);
    check(&reaped, bios);
    complete(&request);
    // One wake at most, and it was slept for.
    assert!(cancel.join().unwrap() <= 1);
    assert_eq!(*dio.woken.lock().unwrap(), 0);
    for thread in bio_threads {
        thread.join().unwrap();
    }
}

/// A synchronous request with `bios` bios.
fn synchronous(bios: usize) {
    let dio = Dio::new(Retry::Queued, bios);
    let bio_threads: Vec<_> = (0..bios).map(|bio| submit(&dio, bio)).collect();
    let mut reaped = Vec::new();
    reap(state::await_sync(&dio, bios as u32), &mut reaped);
    check(&reaped, bios);
    for thread in bio_threads {
        thread.join().unwrap();
    }
    // One wake at most, and it was slept for.
    assert!(*dio.signals.lock().unwrap() <= Some(1));
    assert_eq!(*dio.woken.lock().unwrap(), 0);
}

/// A request that is punted: its submitter leaves it to the workqueue before any bio is issued. There its bio is issued,
/// and it is left to the retry.
fn punted(retry: Retry) {
    let dio = Dio::new(retry, 1);
    let request = Request::new();

    let worker = {
        let (dio, request) = (dio.clone(), request.clone());
        thread::spawn(move || {
            assert!(dio.wait_for_kick());
            let (iocb, bios) = state::retry(&dio).expect("punted without a control block");
            assert!(bios.0.is_empty() && Arc::ptr_eq(&iocb.0, &request));
            state::resume(&dio);
            let bio = submit(&dio, 0);
            if arm(&dio, &request, 1, &mut Vec::new()) {
                work(&dio, &request, &mut Vec::new());
            }
            bio.join().unwrap();
        })
    };
    state::defer(&dio, Iocb(request.clone()), Bios::default(), |_| {
        dio.queue()
    });
    worker.join().unwrap();
    assert_eq!(*request.completions.lock().unwrap(), 1);
    assert!(*dio.signals.lock().unwrap() <= Some(1));
    assert!(state::retry(&dio).is_none());
}

#[test]
fn punted_request() {
    loom::model(|| punted(Retry::AtTheKick));
    loom::model(|| punted(Retry::Queued));
}

#[test]
fn asynchronous_with_no_bio() {
    loom::model(|| asynchronous(Retry::Queued, 0));
}

#[test]
fn asynchronous_with_one_bio() {
    loom::model(|| asynchronous(Retry::AtTheKick, 1));
    loom::model(|| asynchronous(Retry::Queued, 1));
}

#[test]
fn asynchronous_with_two_bios() {
    loom::model(|| asynchronous(Retry::AtTheKick, 2));
    loom::model(|| asynchronous(Retry::Queued, 2));
}

#[test]
fn synchronous_with_no_bio() {
    loom::model(|| synchronous(0));
}

#[test]
fn synchronous_with_one_bio() {
    loom::model(|| synchronous(1));
}

#[test]
fn synchronous_with_two_bios() {
    loom::model(|| synchronous(2));
}

#[test]
fn torn_down_with_one_bio() {
    loom::model(|| asynchronous_torn_down(Retry::AtTheKick, 1));
    loom::model(|| asynchronous_torn_down(Retry::Queued, 1));
}

#[test]
fn torn_down_with_two_bios() {
    bounded(3, || asynchronous_torn_down(Retry::AtTheKick, 2));
    bounded(3, || asynchronous_torn_down(Retry::Queued, 2));
}

#[test]
fn cancelled_with_one_bio() {
    loom::model(|| synchronous_cancelled(1));
}

#[test]
fn cancelled_with_two_bios() {
    bounded(3, || synchronous_cancelled(2));
}

/// Searches what more threads do than can be searched exhaustively in reasonable time.
fn bounded(preemptions: usize, request: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(request);
}

/// More bios than can be searched exhaustively in reasonable time: up to two preemptions.
#[test]
fn three_bios_bounded() {
    bounded(2, || asynchronous(Retry::AtTheKick, 3));
    bounded(2, || asynchronous(Retry::Queued, 3));
    bounded(2, || synchronous(3));
}

/// A submitter that runs out of memory waits for its first bio, then issues another and arms.
#[test]
fn two_rounds() {
    loom::model(|| {
        let dio = Dio::new(Retry::Queued, 2);
        let request = Request::new();
        let mut reaped = Vec::new();

        let first = submit(&dio, 0);
        reap(state::await_sync(&dio, 1), &mut reaped);
        state::resume(&dio);
        assert_eq!(reaped, [0]);
        first.join().unwrap();

        let second = submit(&dio, 1);
        if arm(&dio, &request, 1, &mut reaped) {
            work(&dio, &request, &mut reaped);
        }
        second.join().unwrap();
        check(&reaped, 2);
        assert_eq!(*request.completions.lock().unwrap(), 1);
    });
}

/// A submitter that looks which bios have ended, before it arms for all of them.
fn looked_at(retry: Retry, bios: usize) {
    let dio = Dio::new(retry, bios);
    let request = Request::new();

    let bio_threads: Vec<_> = (0..bios).map(|bio| submit(&dio, bio)).collect();
    let mut early = Vec::new();
    reap(state::ended_early(&dio), &mut early);
    *dio.early.lock().unwrap() = early;
    let armed = arm(&dio, &request, bios as u32, &mut Vec::new());
    if armed && retry == Retry::Queued {
        work(&dio, &request, &mut Vec::new());
    }
    for thread in bio_threads {
        thread.join().unwrap();
    }
    assert_eq!(*request.completions.lock().unwrap(), 1);
    assert_eq!(*dio.signals.lock().unwrap(), Some(u32::from(armed)));
}

#[test]
fn looked_at_before_it_arms() {
    loom::model(|| looked_at(Retry::AtTheKick, 1));
    loom::model(|| looked_at(Retry::Queued, 1));
    bounded(3, || looked_at(Retry::AtTheKick, 2));
    bounded(3, || looked_at(Retry::Queued, 2));
}
