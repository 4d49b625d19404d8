// SPDX-License-Identifier: GPL-2.0

//! The worker: issues a request, or waits for it, and completes it.
//!
//! [`direct_io_worker`] is entered by the submitter, through [`direct_io`], and again by the retry,
//! through [`retry`], with the same kiocb. It issues only if the kiocb has no dio, and leaves with
//! a [`Step`].

use super::extent::{self, BlockBits};
use super::filesystem::Filesystem;
use super::issue::{Issue, Locked};
use super::nowait;
use super::outcome::{Outcome, LEN_MAX};
use super::policy::{self, Reason, Stop, Wait};
use super::report;
use super::request::{Armed, Bios, Dio, Request};
use super::state::{self, BioList};
use core::convert::Infallible;
use core::ops::Deref;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Bio, BioArc, EndedBio, Op, BIO_MAX_VECS};
use kfs::fs::inode::lock::{Exclusive, InodeGuard, InodeLocked, Shared};
use kfs::fs::kiocb::{AsyncKiocb, Io, Iocb, IocbMut, Kiocb, Queued};
use kfs::iov::IovIter;
use kfs::trace;

/// How the worker leaves.
///
/// This never crosses into C. The caller of a system call sees `Retry` as `-EIOCBQUEUED`, and the
/// type says that the kiocb has been given away when it does.
pub(super) enum Step<E: Entry<F>, F: Filesystem> {
    /// The retry will go on with the request.
    Retry(E::Queued),
    /// The request is done; its dio is gone.
    Done(E, Result<usize>),
}

/// A kiocb that the worker is entered with.
pub(super) trait Entry<F: Filesystem>: Deref<Target = Iocb<F>> + Sized {
    /// Shows that the kiocb has been left to the retry.
    type Queued;

    /// To change it.
    fn as_mut(&mut self) -> IocbMut<'_, F>;

    /// Whether the request has to be waited for in any case.
    fn is_sync(&self) -> bool;

    /// Leaves the kiocb to the retry, if `f` takes it.
    fn queue(
        self,
        f: impl FnOnce(AsyncKiocb<F>) -> Result<(), AsyncKiocb<F>>,
    ) -> Result<Self::Queued, Self>;
}

impl<'a, F: Filesystem> Entry<F> for Kiocb<'a, F> {
    type Queued = Queued<'a>;

    fn as_mut(&mut self) -> IocbMut<'_, F> {
        Kiocb::as_mut(self)
    }

    fn is_sync(&self) -> bool {
        Kiocb::is_sync(self)
    }

    fn queue(
        self,
        f: impl FnOnce(AsyncKiocb<F>) -> Result<(), AsyncKiocb<F>>,
    ) -> Result<Queued<'a>, Self> {
        Kiocb::queue(self, f)
    }
}

impl<F: Filesystem> Entry<F> for AsyncKiocb<F> {
    /// There is one retry of a request: all its bios have ended.
    type Queued = Infallible;

    fn as_mut(&mut self) -> IocbMut<'_, F> {
        AsyncKiocb::as_mut(self)
    }

    fn is_sync(&self) -> bool {
        true
    }

    fn queue(
        self,
        _: impl FnOnce(AsyncKiocb<F>) -> Result<(), AsyncKiocb<F>>,
    ) -> Result<Infallible, Self> {
        Err(self)
    }
}

/// The inode lock of a submitter.
enum Lock<'a, F: Filesystem> {
    /// Of a read, which gives it back when it has issued its bios (R12).
    Read(InodeGuard<'a, F, Shared>),
    /// Of the caller of a write, who holds it for the whole call (R8, R11).
    Write(&'a InodeLocked<F, Exclusive>),
}

/// What a submitter enters the worker with.
struct Submission<'a, 'data, F: Filesystem> {
    iter: &'a mut IovIter<'data>,
    lock: Lock<'a, F>,
    /// The bio that lies behind the dio.
    first: Bio<Dio<F>>,
}

/// The `direct_IO` operation of a filesystem.
///
/// A write needs the inode lock, exclusively; a read must not be called with the lock held.
pub(crate) fn direct_io<'a, F: Filesystem>(
    iocb: Kiocb<'a, F>,
    iter: &mut IovIter<'_>,
    locked: Option<&InodeLocked<F, Exclusive>>,
) -> Result<Io<'a, F>> {
    let inode = iocb.inode();
    let bdev = BlockDevice::of(inode.sb());
    let start = u64::try_from(iocb.pos()).map_err(|_| EINVAL)?;
    let len = iter.count();
    let op = match (iter.is_dest(), locked) {
        (true, None) => Op::Read,
        (false, Some(locked)) if locked.is(inode) => Op::Write,
        _ => return Err(EINVAL),
    };
    let mount = F::dio(inode.sb());
    // A write may come here twice; who calls counts it.
    if op == Op::Read && !iocb.is_nowait() {
        mount.counters.requests_read.inc();
    }
    if len == 0 || (op == Op::Read && start >= inode.i_size_read()) {
        return Ok(Io::Done(iocb, 0));
    }
    let misaligned = (start | len as u64) & u64::from(bdev.logical_block_size() - 1) != 0
        || iter.alignment() & bdev.dma_alignment() as usize != 0;
    if misaligned && !mutant!("unaligned") {
        return Err(EINVAL);
    }

    let vecs = iter.npages(BIO_MAX_VECS, len);
    let (dio, first) = BioArc::alloc(&mount.dios, bdev, vecs, op, start, Dio::new());
    let lock = match locked {
        Some(locked) => Lock::Write(locked),
        None if !iocb.is_nowait() || mutant!("nowait-locks") => Lock::Read(inode.lock_shared()),
        None => {
            let locked = inode.try_lock_shared().ok_or(EAGAIN)?;
            nowait::check(&iocb, iter, &locked, op)?;
            Lock::Read(locked)
        }
    };

    let request = Request {
        op,
        bits: BlockBits::new(inode.sb().blocksize_bits()),
        len: u32::try_from(len)
            .ok()
            .filter(|&len| len <= LEN_MAX)
            .ok_or(EINVAL)?,
        i_size: 0,
        allocated_to: 0,
        outcome: Outcome::new(start),
    };
    let submission = Submission { iter, lock, first };
    let nowait = iocb.is_nowait().then_some(iocb.is_sync());
    let step = direct_io_worker(iocb, dio, request, Some(submission));
    if let Some(is_sync) = nowait {
        nowait::count(&mount.counters, op, is_sync, &step);
    }
    match step {
        Step::Retry(queued) => Ok(Io::Queued(queued)),
        Step::Done(iocb, result) => Ok(Io::Done(iocb, result?)),
    }
}

/// The retry of an asynchronous request whose bios have all ended.
///
/// It touches neither the iterator nor user memory, and takes no lock that a submitter holds while
/// it waits.
pub(super) fn retry<F: Filesystem>(dio: BioArc<Dio<F>>, armed: Armed<F>) {
    let Armed { iocb, request } = armed;
    F::dio(iocb.inode().sb()).counters.retries.inc();
    trace::dio_retry(iocb.inode(), request.start(), request.len.into());
    match direct_io_worker(iocb, dio, request, None) {
        Step::Retry(never) => match never {},
        // Nothing may be touched after this: the kiocb, the file and the mount may be gone.
        Step::Done(iocb, result) => iocb.complete(result),
    }
}

/// The worker.
///
/// A kiocb without a dio is new: the request is issued. Then, or at once if there is a dio (R2), it
/// is waited for.
fn direct_io_worker<F: Filesystem, E: Entry<F>>(
    mut iocb: E,
    dio: BioArc<Dio<F>>,
    mut request: Request,
    submission: Option<Submission<'_, '_, F>>,
) -> Step<E, F> {
    let mut locked = None;
    let mut wait = None;

    if let (None, Some(submission)) = (iocb.private(), submission) {
        if let Lock::Write(held) = submission.lock {
            locked = Some(held);
        }
        iocb.as_mut().set_private(dio.clone());
        trace::dio_submit(
            iocb.inode(),
            request.start(),
            request.len.into(),
            request.op == Op::Write,
            !iocb.is_sync(),
        );
        let (issued, stop) = direct_io_issue(iocb.as_mut(), &dio, &mut request, submission);

        let end = request.end();
        if let (true, Some(locked)) = (mutant!("size-early"), locked) {
            iocb.extend_post_direct_write(locked, request.len as usize);
        }
        if mutant!("hole-no-fallback") && stop == Stop::Hole {
            request.outcome.issued_to(end);
        }
        let how = policy::decide(iocb.is_sync(), end, request.i_size, stop);
        let counters = &F::dio(iocb.inode().sb()).counters;
        match how {
            Wait::Async if iocb.is_nowait() => {}
            Wait::Async => counters.async_requests.inc(),
            Wait::Switch(reason) => {
                counters.switched(reason).inc();
                trace::dio_switch(iocb.inode(), request.start(), reason as u32);
            }
            Wait::Sync => {}
        }
        wait = Some((how, issued));
    }

    // do_wait:
    dio_await_completion(iocb, dio, request, wait, locked)
}

/// Issues a request. Returns how many bios there are to wait for, and why there are not more.
fn direct_io_issue<F: Filesystem>(
    mut iocb: IocbMut<'_, F>,
    dio: &BioArc<Dio<F>>,
    request: &mut Request,
    submission: Submission<'_, '_, F>,
) -> (u32, Stop) {
    let Submission { iter, lock, first } = submission;
    let end = request.end();

    match lock {
        Lock::Write(locked) => {
            if !mutant!("write-no-begin") {
                iocb.inode_dio_begin(locked);
            }
            F::direct_write_begin(locked);
            request.i_size = locked.i_size_read();
            let mut issue = Issue::new(dio, first, &iocb, request, iter);
            let stop = issue.do_direct_io(&Locked::Write(locked), end);
            (issue.issued(), stop)
        }
        Lock::Read(locked) => {
            // The lock is held for the look-ups only (R12). From then on the count of direct I/O
            // requests keeps the blocks in place. It is taken with the lock held: a truncate that
            // has the lock and waits for the count would wait for ever otherwise.
            let bdev = BlockDevice::of(locked.sb());
            if !mutant!("read-no-begin") {
                iocb.inode_dio_begin(&locked);
            }
            request.i_size = locked.i_size_read();
            let eof = extent::round_up(request.i_size, bdev.logical_block_size().into());
            let mut issue = Issue::new(dio, first, &iocb, request, iter);
            let stop = issue.do_direct_io(&Locked::Read(&locked), end.min(eof));
            if mutant!("read-keeps-lock") {
                issue.dio_bio_wait();
            }
            (issue.issued(), stop)
        }
    }
}

/// How [`dio_await_one`] ends.
enum Await<E: Entry<F>, F: Filesystem> {
    /// The request was left to the retry.
    Retry(E::Queued),
    /// Nothing is in flight any more.
    Ended(E, Bios<F>),
}

/// Waits for bios.
///
/// An asynchronous wait arms the kick and does not sleep (R4). A synchronous one sleeps. In both
/// cases there is one wake-up, for the last bio. The retry has nothing to wait for.
fn dio_await_one<F: Filesystem, E: Entry<F>>(
    iocb: E,
    dio: &BioArc<Dio<F>>,
    request: &Request,
    wait: Option<(Wait, u32)>,
) -> Await<E, F> {
    match wait {
        None => Await::Ended(iocb, state::ended(dio)),
        Some((Wait::Switch(Reason::Hole), _)) if mutant!("hole-no-wait") => {
            Await::Ended(iocb, Bios::default())
        }
        Some((Wait::Sync | Wait::Switch(_), issued)) => {
            Await::Ended(iocb, state::await_sync(dio, issued))
        }
        Some((Wait::Async, issued)) => {
            let mut unarmed = None;
            let queued = iocb.queue(|iocb| {
                let request = *request;
                let armed = Armed { iocb, request };
                state::await_async(dio, issued, armed).map_err(|(armed, bios)| {
                    unarmed = Some(bios);
                    armed.iocb
                })
            });
            match queued {
                Ok(queued) => Await::Retry(queued),
                Err(iocb) => {
                    // All bios have ended already, or the kiocb cannot be queued.
                    let bios = unarmed.unwrap_or_else(|| state::await_sync(dio, issued));
                    Await::Ended(iocb, bios)
                }
            }
        }
    }
}

/// Reaps a bio: process context, as marking pages dirty sleeps (R5).
fn dio_bio_complete<F: Filesystem>(
    bio: EndedBio<Dio<F>>,
    iocb: &Iocb<F>,
    outcome: &mut Outcome<Error>,
) {
    let (pos, result) = bio.complete(iocb);
    if let (Err(error), false) = (result, mutant!("bio-error-lost")) {
        outcome.fail(pos, error);
    }
}

/// Reaps bios.
pub(super) fn dio_bio_reap<F: Filesystem>(
    mut bios: Bios<F>,
    iocb: &Iocb<F>,
    outcome: &mut Outcome<Error>,
) {
    while let (Some(bio), false) = (bios.pop(), mutant!("not-reaped")) {
        dio_bio_complete(bio, iocb, outcome);
    }
}

/// Waits for all bios, reaps them, and completes and frees the dio (R6).
///
/// `wait` says how a submitter waits for how many bios; the retry does not wait.
fn dio_await_completion<F: Filesystem, E: Entry<F>>(
    iocb: E,
    dio: BioArc<Dio<F>>,
    mut request: Request,
    wait: Option<(Wait, u32)>,
    locked: Option<&InodeLocked<F, Exclusive>>,
) -> Step<E, F> {
    let is_retry = wait.is_none();
    let awaited = match locked {
        #[cfg(any(mutant = "kfs-extend-unlocked", mutant = "kfs-sync-unlocked"))]
        Some(locked)
            if cfg!(mutant = "kfs-extend-unlocked") == (request.end() > request.i_size) =>
        {
            locked.unlocked(|| dio_await_one(iocb, &dio, &request, wait))
        }
        _ => dio_await_one(iocb, &dio, &request, wait),
    };
    let (mut iocb, bios) = match awaited {
        Await::Retry(queued) => return Step::Retry(queued),
        Await::Ended(iocb, bios) => (iocb, bios),
    };
    dio_bio_reap(bios, &iocb, &mut request.outcome);
    let result = dio_complete(iocb.as_mut(), &request, locked, is_retry);
    if !mutant!("kfs-private-left") {
        drop(iocb.as_mut().take_private());
    }
    drop(dio);
    Step::Done(iocb, result)
}

/// Does what has to follow the i/o before anybody hears of the request.
///
/// For a submitter, the caller does the rest: it drops what the page cache has of the range, moves
/// the position, writes to the page cache what was left to that, and syncs if asked to. For the
/// retry there is nobody else to do so.
fn dio_complete<F: Filesystem>(
    mut iocb: IocbMut<'_, F>,
    request: &Request,
    locked: Option<&InodeLocked<F, Exclusive>>,
    is_retry: bool,
) -> Result<usize> {
    let mut result = request.count();
    let count = result.unwrap_or(0);
    let is_write = request.op == Op::Write;

    report::outcome(&iocb, is_write, &request.outcome, request.end(), count > 0);
    if let (true, Some(locked)) = (is_write, locked) {
        let end = match count {
            0 => request.i_size,
            _ => request.i_size.max(request.start() + count as u64),
        };
        if request.allocated_to > request.bits.round_up(end) && !mutant!("blocks-kept") {
            F::truncate_blocks(locked, end);
        }
        // The data is on the device: now it may be seen (R8).
        let written = if mutant!("size-of-failed") {
            request.len as usize
        } else {
            count
        };
        iocb.extend_post_direct_write(locked, written);
    }

    if is_retry && is_write && count > 0 && !mutant!("retry-no-invalidate") {
        iocb.invalidate_post_direct_write(count);
    }
    trace::dio_complete(
        iocb.inode(),
        request.start(),
        result.map_or_else(|error| error.to_errno().into(), |count| count as i64),
    );
    if is_write {
        F::direct_write_end(iocb.inode());
    }
    iocb.inode_dio_end();
    if is_retry && count > 0 {
        iocb.advance(count);
        if is_write && !mutant!("retry-no-sync") {
            result = iocb.generic_write_sync(count);
        }
    }
    result
}
