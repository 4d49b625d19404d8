// SPDX-License-Identifier: GPL-2.0

//! The worker: issues a request, waits for it or leaves it to the retry, and completes it.
//!
//! [`direct_io_worker`] is entered by the submitter, through [`direct_io`], and again by the retry,
//! through [`retry`], with the same kiocb. It issues only if the kiocb has no dio, and returns a
//! [`Step`].
//!
//! [`direct_io`]: super::submit::direct_io
//! [`retry`]: super::retry

use super::complete::{dio_bio_reap, dio_complete};
use super::dio::{Bios, Dio, Kick};
use super::extent;
use super::filesystem::{Filesystem, Mapping, Stopped};
use super::issue::Issue;
use super::kick::defer;
use super::nowait;
use super::parking;
use super::policy::{self, Reason, Stop, Wait};
use super::request::{Armed, Request};
use super::state;
use super::step::{Context, Entry, Step, Submitter};
use core::convert::Infallible;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Bio, BioArc, Op};
use kfs::fs::inode::lock::{Exclusive, InodeGuard, InodeLocked, Shared};
use kfs::fs::kiocb::{CallDest, CallSource, IocbMut, Kiocb};
use kfs::iov::{IovIterDest, IovIterFaultIn, IovIterSource};
use kfs::task::MaySleep;
use kfs::trace;

/// Where the iterator of a request is, the inode lock of its submitter, and the bio that was allocated with
/// the dio.
pub(super) enum Transfer<'a, 'call, F: Filesystem> {
    /// Those of a read, which releases the lock when its bios are issued (R12).
    Read(
        CallDest<'call>,
        InodeGuard<'a, F, Shared>,
        Bio<IovIterDest<'call>, Dio<F>>,
    ),
    /// Those of a write, whose caller holds the lock for the whole call (R8, R11): exclusively, or
    /// the write is an overwrite.
    Write(
        CallSource<'call>,
        WriteLock<'a, F>,
        Bio<IovIterSource<'call>, Dio<F>>,
    ),
}

/// The inode lock as the caller of a write holds it.
pub(super) struct WriteLock<'a, F: Filesystem> {
    held: &'a InodeLocked<F, Shared>,
    exclusive: Option<&'a InodeLocked<F, Exclusive>>,
}

impl<F: Filesystem> Clone for WriteLock<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Filesystem> Copy for WriteLock<'_, F> {}

impl<'a, F: Filesystem> WriteLock<'a, F> {
    pub(super) fn new(held: &'a InodeLocked<F, Shared>) -> Self {
        let exclusive = held.as_exclusive();
        WriteLock { held, exclusive }
    }

    /// The lock of an overwrite.
    pub(super) fn overwrite(&self) -> Option<&'a InodeLocked<F, Shared>> {
        match self.exclusive {
            Some(_) => None,
            None => Some(self.held),
        }
    }
}

/// What only a submitter enters the worker with.
pub(super) struct Submission<'a, 'call, F: Filesystem> {
    pub(super) transfer: Transfer<'a, 'call, F>,
    /// Where its first blocks are, if that has been looked up under the lock.
    pub(super) known: Option<Mapping>,
    /// The submitter may sleep.
    pub(super) may_sleep: MaySleep<'a>,
}

/// What the worker is entered with.
pub(super) enum Enter<'a, 'data, F: Filesystem> {
    /// By a submitter.
    Submit(Submission<'a, 'data, F>),
    /// By a retry, with the bios, which have ended.
    Retry(Bios<F>),
}

/// What is waited for, and how.
enum Awaited<F: Filesystem> {
    /// So many bios that were issued. With up to which byte others will extend the file, if this request will, too.
    Issued(Wait, u32, Option<u64>),
    /// Nothing: these bios have ended.
    Ended(Bios<F>),
}

/// The worker. Sleeps if the request is waited for, and where `context` says that it may.
///
/// If the kiocb has no dio yet, it issues the request; a retry comes with a dio, and issues nothing
/// (R2). Then it waits for the request, and completes it.
pub(super) fn direct_io_worker<'call, F: Filesystem, E: Submitter<'call, F>>(
    mut iocb: E,
    dio: BioArc<Dio<F>>,
    mut request: Request,
    enter: Enter<'_, 'call, F>,
    context: Context<'_, E::Atomic>,
) -> Step<E, F> {
    let mut locked = None;

    let awaited = match (iocb.private(), enter) {
        (None, Enter::Submit(submission)) => {
            if let Transfer::Write(_, lock, _) = submission.transfer {
                locked = Some(lock);
            }
            iocb.as_mut().set_private(dio.clone());
            trace::dio_submit(
                iocb.inode(),
                request.start(),
                request.len.into(),
                request.op == Op::Write,
                !iocb.is_sync(),
            );
            let Submission {
                transfer,
                known,
                may_sleep,
            } = submission;
            // The rest of a write of which the submitter has done a part.
            let stopped = locked
                .and_then(|lock| lock.exclusive)
                .and_then(|exclusive| F::stopped(exclusive));
            request.is_rest = matches!(stopped, Some(Stopped::Memory(_)));
            dio_begin(iocb.as_mut(), &transfer);
            // There is one: only a submitter has an iterator to enter with.
            let (issued, stop) = iocb.call().map_or((0, Stop::Error), |iocb| {
                direct_io_issue(iocb, &dio, &mut request, transfer, known, may_sleep)
            });

            let end = request.end();
            if mutant!("size-early") {
                if locked.is_some_and(|lock| lock.exclusive.is_some()) {
                    iocb.extend_post_direct_write(request.len as usize, may_sleep);
                }
            }
            if mutant!("hole-no-fallback") && stop == Stop::Hole {
                request.outcome.issued_to(end);
            }
            let must_not = iocb.is_nowait();
            let exclusive = locked.and_then(|lock| lock.exclusive);
            let retry_extends = request.async_alloc && !request.new_blocks.is_empty();
            let is_sync = iocb.is_sync() || request.is_rest && !mutant!("rest-async");
            let how = policy::decide(is_sync, must_not, request.extends(), stop, retry_extends);
            // One that must not wait may have come to nothing: where the device has no room, the bio has ended by now. If there
            // is one bio, that shows below, unless what has ended is left to who can sync it.
            if must_not && retry_extends {
                let is_synced = request.dsync.is_waited_for() && !mutant!("refused-unsynced");
                if (issued > 1 || is_synced) && !mutant!("refused-unseen") {
                    let mut ended = state::ended_early(&dio);
                    let context: Context<'_, Infallible> = Ok(may_sleep);
                    let Ok(()) = dio_bio_reap(&mut ended, &mut request.outcome, context);
                }
                request.is_refused = request.would_block().is_some();
            }
            let issued_to = match mutant!("refused-extends") {
                true => end,
                false if retry_extends && !request.is_refused => request.outcome.pos().min(end),
                false => 0,
            };
            let extended_to = exclusive
                .filter(|_| how == Wait::Async && issued_to > request.i_size)
                .map(|locked| {
                    let others = F::will_extend(locked, issued_to);
                    request.is_at_end =
                        others.max(request.i_size) == request.start() || mutant!("gap-closed");
                    others
                });
            if !iocb.is_nowait() {
                F::dio(iocb.inode().sb()).counters.waits(how);
            }
            if let Wait::Switch(reason) = how {
                trace::dio_switch(iocb.inode(), request.start(), reason as u32);
            }
            if let (true, Some(exclusive)) = (request.is_parked, exclusive) {
                if how != Wait::Async || issued == 0 {
                    if let Err(error) = parking::wait(exclusive, &mut request) {
                        request.outcome.stop(error);
                    }
                }
            }
            Awaited::Issued(how, issued, extended_to)
        }
        (_, Enter::Retry(bios)) => Awaited::Ended(bios),
        (Some(_), Enter::Submit(_)) => Awaited::Ended(Bios::default()),
    };

    dio_await_completion(iocb, dio, request, awaited, locked, context)
}

/// Raises the count of direct I/O of the inode. With the lock held: truncate holds it and waits for
/// the count.
fn dio_begin<F: Filesystem>(mut iocb: IocbMut<'_, F>, transfer: &Transfer<'_, '_, F>) {
    match transfer {
        Transfer::Write(_, lock, _) if !mutant!("write-no-begin") => {
            iocb.inode_dio_begin(lock.held)
        }
        Transfer::Read(_, locked, _) if !mutant!("read-no-begin") => iocb.inode_dio_begin(locked),
        _ => {}
    }
}

/// Issues a request. Returns the number of bios to wait for, and why it stopped. May sleep. What it has on the stack is gone when
/// the request is waited for.
#[inline(never)]
fn direct_io_issue<'call, F: Filesystem>(
    iocb: &mut Kiocb<'call, F>,
    dio: &BioArc<Dio<F>>,
    request: &mut Request,
    transfer: Transfer<'_, 'call, F>,
    known: Option<Mapping>,
    may_sleep: MaySleep<'_>,
) -> (u32, Stop) {
    let end = request.end();
    let is_sync = iocb.is_sync();

    match transfer {
        Transfer::Write(from, lock, first) => {
            let (from, iocb) = from.with_lending(iocb);
            let locked = lock.held;
            F::direct_write_begin(locked);
            request.i_size = locked.i_size_read();
            // One that has stopped before ends with its submitter, which has done a part of it.
            request.async_alloc = lock.exclusive.is_some_and(|exclusive| {
                F::has_async_alloc(exclusive) && F::stopped(exclusive).is_none()
            });
            let is_late = cfg!(any(mutant = "memory-late", mutant = "memory-faults"));
            if request.async_alloc && !iocb.is_nowait() && !is_late {
                from.fault_in();
            }
            let takes_turns = request.async_alloc && !is_sync && !iocb.is_nowait();
            let mut issue = Issue::new(dio, first, iocb, request, from, known, may_sleep);
            let taken = match lock.exclusive {
                Some(exclusive) if takes_turns => issue.take_turns(exclusive),
                _ => Ok(()),
            };
            let stop = match taken {
                Ok(()) => issue.do_direct_write(locked, lock.exclusive, end),
                Err(error) => issue.stop(error),
            };
            let issued = issue.issued();
            let pos = request.outcome.pos();
            let stopped = match stop {
                Stop::Hole => Some(Stopped::Hole(pos)),
                Stop::Memory => Some(Stopped::Memory(pos)),
                Stop::End | Stop::Error => None,
            };
            if let (Some(_), Some(exclusive)) = (stopped, lock.exclusive) {
                F::set_stopped(exclusive, stopped);
            }
            (issued, stop)
        }
        Transfer::Read(to, locked, first) => {
            let (to, iocb) = to.with_lending(iocb);
            // The lock is released after the look-ups (R12); then `i_dio_count` keeps the blocks
            // from being freed.
            let bdev = BlockDevice::of(locked.sb());
            // What is known of the blocks was looked up after `i_size` was.
            if mutant!("read-size-late") {
                request.i_size = locked.i_size_read();
            }
            let eof = extent::round_up(request.i_size, bdev.logical_block_size().into());
            let mut issue = Issue::new(dio, first, iocb, request, to, known, may_sleep);
            let stop = issue.do_direct_read(&locked, end.min(eof));
            if mutant!("read-keeps-lock") {
                let _ = issue.dio_bio_wait();
            }
            (issue.issued(), stop)
        }
    }
}

/// The result of [`dio_await_one`].
enum Await<E: Entry<F>, F: Filesystem> {
    /// The request was left to the retry.
    Retry(E::Retry),
    /// Nothing is in flight: these bios have ended.
    Ended(E, Bios<F>),
}

/// Waits for the bios of a request.
///
/// An asynchronous wait arms the kick and does not sleep (R4); a synchronous one sleeps. Either way
/// there is one wake-up, by the last bio. `exclusive` is the inode lock
/// of a write that may be parked.
fn dio_await_one<F: Filesystem, E: Entry<F>>(
    iocb: E,
    dio: &BioArc<Dio<F>>,
    request: &Request,
    awaited: Awaited<F>,
    exclusive: Option<&InodeLocked<F, Exclusive>>,
) -> Await<E, F> {
    match awaited {
        Awaited::Ended(bios) => Await::Ended(iocb, bios),
        Awaited::Issued(Wait::Switch(Reason::Hole), ..) if mutant!("hole-no-wait") => {
            Await::Ended(iocb, Bios::default())
        }
        Awaited::Issued(Wait::Sync, ..) if mutant!("loans-left") => {
            Await::Ended(iocb, Bios::default())
        }
        Awaited::Issued(Wait::Sync | Wait::Switch(_), issued, _) => {
            Await::Ended(iocb, state::await_sync(dio, issued))
        }
        Awaited::Issued(Wait::Async, issued, _) => {
            // A flush is waited for where nobody else waits.
            let is_synced = request.dsync.is_waited_for() && !mutant!("submitter-syncs");
            let queued = iocb.queue(|iocb| {
                let armed = || Armed {
                    iocb: iocb.take(),
                    request: *request,
                    punted: None,
                };
                match state::await_async(dio, issued, armed) {
                    Ok(()) => {
                        if let (true, Some(exclusive)) = (request.is_parked, exclusive) {
                            parking::park(exclusive, request);
                        }
                        None
                    }
                    Err((bios, armed)) if is_synced => {
                        let armed = armed();
                        F::kicked(&armed);
                        let dio = dio.clone();
                        defer(Kick { dio, armed, bios });
                        None
                    }
                    Err((bios, _)) => Some(bios),
                }
            });
            match queued {
                Ok(queued) => Await::Retry(queued),
                Err((iocb, ended)) => {
                    // All bios have ended already, or the kiocb cannot be queued.
                    let bios = ended.flatten();
                    let bios = bios.unwrap_or_else(|| state::await_sync(dio, issued));
                    Await::Ended(iocb, bios)
                }
            }
        }
    }
}

/// Waits for all bios, reaps them, completes the request and frees the dio (R6). If that has to sleep
/// and must not, leaves it to the retry.
fn dio_await_completion<F: Filesystem, E: Entry<F>>(
    iocb: E,
    dio: BioArc<Dio<F>>,
    mut request: Request,
    awaited: Awaited<F>,
    locked: Option<WriteLock<'_, F>>,
    context: Context<'_, E::Atomic>,
) -> Step<E, F> {
    let (how, extended_to) = match awaited {
        Awaited::Issued(how, _, extended_to) => (Some(how), extended_to),
        Awaited::Ended(_) => (None, None),
    };
    let is_retry = matches!(awaited, Awaited::Ended(_));
    let exclusive = locked.and_then(|lock| lock.exclusive);
    let (mut iocb, mut bios) = match dio_await_one(iocb, &dio, &request, awaited, exclusive) {
        Await::Retry(queued) => return Step::Retry(queued),
        Await::Ended(iocb, bios) => (iocb, bios),
    };
    // If it has succeeded, i_size will say so; and if not, the next append begins where this one did. The inode lock is still held.
    if let (Some(others), Some(exclusive), false) =
        (extended_to, exclusive, mutant!("ended-extends"))
    {
        F::has_ended(exclusive, others);
    }
    let result = dio_bio_reap(&mut bios, &mut request.outcome, context)
        .and_then(|()| dio_complete(iocb.as_mut(), &mut request, exclusive, is_retry, context));
    let result = match result {
        Ok(result) => result,
        Err(atomic) => return Step::Retry(iocb.defer(atomic, dio, request, bios)),
    };
    if iocb.is_nowait() {
        match how {
            Some(how) => nowait::count(iocb.inode().sb(), &request, how),
            None => nowait::count_retry(iocb.inode().sb(), &request),
        }
    }
    if !mutant!("kfs-private-left") {
        drop(iocb.as_mut().take_private());
    }
    drop(dio);
    Step::Done(iocb, result)
}
