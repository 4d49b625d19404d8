// SPDX-License-Identifier: GPL-2.0

//! Reads whose submitter would sleep for a block of pointers.
//!
//! io_submit(2) is not to wait for the device, and does where the block map has to be read first: then the next request is
//! not even issued before. Here the submitter of an asynchronous read takes its memory, and *punts* the rest of
//! the submission: workers look up the blocks, of all such requests at once, and issue them. After that the request is as any
//! other one whose submitter has returned.
//!
//! Until then it has a dio (R1) and no bio in flight, and does not count as direct I/O on the inode: who truncates the
//! file does not wait for it, and it reads what is there when the worker gets the inode lock, like a read whose
//! submitter waits for that. The worker takes the lock shared, and releases it after the look-ups (R12).
//!
//! So the owner of a dio waits for the inode lock, whose holder may wait for a dio. That is no circle (R15): a read is
//! punted only if there is memory for its dio, which is none of the reserve then, and the worker allocates no dio and no bio
//! that has to be reaped: blocks that are in several runs are read by parts of the one bio, which are freed where they end. If there is
//! no memory, or not all of the request fits into one bio, its submitter sleeps. So does one that frees memory, or serves
//! who does: the worker would not know.
//!
//! Who holds the lock of one inode may wait for what is read from another one, by a page fault. There are workers for both, as
//! fewer requests are punted at a time than the queue runs at once ([`PUNTED_MAX`]).

use super::dio::{Bios, Dio, Kick};
use super::extent;
use super::filesystem::{cached_dios, Filesystem, Mapping};
use super::kick::Punt;
use super::nowait;
use super::policy::Wait;
use super::request::{Armed, Request};
use super::state;
use core::ops::Range;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{BioArc, Op, UnplacedBio, BIO_MAX_VECS, SECTOR_SIZE};
use kfs::block::plug::plugged;
use kfs::fs::inode::lock::{InodeLocked, Shared};
use kfs::fs::kiocb::{CallDest, Iocb, Kiocb, Queued};
use kfs::iov::{IovIter, IovIterDest};
use kfs::task::{may_be_punted, task_io_account_read, MaySleep};
use kfs::trace;

/// The longest request in bytes: more does not fit into a bio.
const MAX: usize = BIO_MAX_VECS as usize * PAGE_SIZE;

/// How many requests of a mount may be punted at a time, before others sleep. A workqueue runs 1024 at once, if there is memory
/// for its threads; of several nodes, each runs its share.
const PUNTED_MAX: u32 = 128;

/// How often the blocks are looked up before they count as not in memory.
const TRIES: u32 = 3;

/// What is known of the blocks of a read before it is issued.
pub(super) enum Blocks {
    /// Where the first ones are, if they were looked up.
    Known(Option<Mapping>),
    /// To look them up takes reading from the device, and somebody else can do that: the request counts as punted.
    Cold,
}

/// Looks up the blocks of a read to `to` from the position of `iocb`, which is inside `i_size`, as far as that does not
/// sleep, if it can be left to somebody else otherwise. `i_size` is no older than the lock.
///
/// Memory that is not pinned, as that of the kernel, is not taken along.
pub(super) fn look_up<'a, F: Filesystem>(
    iocb: &Kiocb<'a, F>,
    to: &IovIterDest<'a>,
    locked: &InodeLocked<F, Shared>,
    i_size: u64,
) -> Blocks {
    let (start, len) = (iocb.pos() as u64, to.count());
    let end = i_size.min(start + len as u64);
    let is_pinned = to.extract_will_pin() || mutant!("punt-unpinned");
    let is_left = !iocb.is_sync() && is_pinned && len <= MAX && !mutant!("punt-never");
    if !is_left || start >= end || !(may_be_punted() || mutant!("punt-flusher")) {
        return Blocks::Known(None);
    }
    // Pointers may be stored meanwhile: then what is in memory does not count, this time.
    for _ in 0..TRIES {
        if let Ok(known) = nowait::look_up(locked, start..end, Op::Read) {
            return Blocks::Known(Some(known));
        }
    }
    let punted = &F::dio(locked.sb()).punted;
    if punted.fetch_add(1, ordering::Relaxed) < PUNTED_MAX || mutant!("punt-unlimited") {
        return Blocks::Cold;
    }
    punted.fetch_sub(1, ordering::Relaxed);
    Blocks::Known(None)
}

/// Leaves an asynchronous read that counts as punted to a worker, with all of its memory, that of `to`. Gives the kiocb back, and
/// it does not count any more, if memory is short, or not all of the request fits into a bio. Called without the inode lock, for a
/// worker takes it. May sleep.
pub(super) fn punt<'a, F: Filesystem>(
    iocb: Kiocb<'a, F>,
    to: CallDest<'a>,
    request: Request,
) -> Result<Queued<'a>, Kiocb<'a, F>> {
    let punted = &F::dio(iocb.inode().sb()).punted;
    leave(iocb, to, request).inspect_err(|_| {
        punted.fetch_sub(1, ordering::Relaxed);
    })
}

/// [`punt`], but for the count.
fn leave<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    to: CallDest<'a>,
    request: Request,
) -> Result<Queued<'a>, Kiocb<'a, F>> {
    let inode = iocb.inode();
    let sb = inode.sb();
    let bdev = BlockDevice::of(sb);
    let (start, len) = (request.start(), to.get(&iocb).count());
    let Some(queue) = sb.dio_punt_wq() else {
        return Err(iocb);
    };
    let vecs = to.get(&iocb).npages(BIO_MAX_VECS, len);
    let allocated = match mutant!("punt-reserve") {
        true => {
            let dios = &F::dio(sb).dios;
            Some(BioArc::alloc(dios, bdev, vecs, start, Dio::new()))
        }
        false => BioArc::try_alloc(cached_dios(sb), bdev, vecs, start, Dio::new()),
    };
    let Some((dio, mut bio)) = allocated else {
        return Err(iocb);
    };
    bio.set_hints(&*iocb);
    let begin = to.get(&iocb).mark();
    let has_all = bio.add_all(to.get_mut(&mut iocb), len, bdev.dma_alignment());
    let unplaced = match has_all {
        true => bio.unplaced(dio.clone(), iocb.lending()),
        false => None,
    };
    let Some(bio) = unplaced else {
        if !mutant!("punt-unpinned") {
            to.get_mut(&mut iocb).reset(begin);
        }
        return Err(iocb);
    };
    // As much as it asks for: another task will submit the bio.
    task_io_account_read(len);
    let mount = F::dio(sb);
    mount.counters.waits(Wait::Async);
    mount.counters.punted.inc();
    trace::dio_submit(inode, start, len as u64, false, true);
    iocb.as_mut().set_private(dio.clone());
    let queued = iocb.queue(|iocb| {
        let armed = Armed {
            iocb: iocb.take(),
            request,
            punted: Some(bio),
        };
        state::defer(&dio, armed, Bios::default(), |_| {
            // Nothing of the request has been queued before.
            let _ = dio.clone().queue::<Punt>(queue);
        });
    });
    queued.map_err(|(iocb, _)| iocb)
}

/// Issues a read that was punted.
pub(super) fn issue<F: Filesystem>(kick: Kick<F>, may_sleep: MaySleep<'_>) {
    let Kick { dio, armed, .. } = kick;
    let Armed {
        mut iocb,
        mut request,
        punted,
    } = armed;
    state::resume(&dio);
    let issued = punted.map_or(0, |bio| {
        iocb.begin_shared(may_sleep, |iocb, locked| {
            // With a plug: there may be several runs.
            plugged(request.len as usize > PAGE_SIZE, || {
                issue_runs(iocb, locked, &mut request, bio, may_sleep);
            });
        });
        1
    });
    // Before the request may end, and the mount go.
    F::dio(iocb.inode().sb())
        .punted
        .fetch_sub(1, ordering::Relaxed);
    let armed = || Armed {
        iocb,
        request,
        punted: None,
    };
    if let Err((bios, armed)) = state::await_async(&dio, issued, armed) {
        let armed = armed();
        F::kicked(&armed);
        F::retry(Kick { dio, armed, bios }, may_sleep);
    }
}

/// Looks up the blocks of a read, all of which is in `bio`, and issues it up to EOF, or to where a look-up fails. While
/// the lock is held, the block map does not change.
fn issue_runs<F: Filesystem>(
    iocb: &Iocb<F>,
    locked: &InodeLocked<F, Shared>,
    request: &mut Request,
    bio: UnplacedBio,
    may_sleep: MaySleep<'_>,
) {
    let bdev = BlockDevice::of(locked.sb());
    request.i_size = match mutant!("punt-old-i-size") {
        true => request.end(),
        false => locked.i_size_read(),
    };
    let eof = extent::round_up(request.i_size, bdev.logical_block_size().into());
    let end = match mutant!("punt-past-eof") {
        true => request.end(),
        false => request.end().min(eof),
    };
    let mut left = Some(bio);
    while request.outcome.pos() < end {
        let Some(bio) = left.take() else { break };
        let pos = request.outcome.pos();
        match issue_run(iocb, locked, request, pos..end, bio, may_sleep) {
            Ok((bytes, rest)) => {
                request.outcome.issued_to(bytes.end);
                left = rest;
            }
            Err((error, bio)) => {
                request.outcome.stop(error);
                left = Some(bio);
                break;
            }
        }
    }
    if let Some(bio) = left {
        bio.end();
    }
}

/// Issues the first run of `wanted`. Returns what that was, and the rest of the bio.
fn issue_run<F: Filesystem>(
    iocb: &Iocb<F>,
    locked: &InodeLocked<F, Shared>,
    request: &Request,
    wanted: Range<u64>,
    bio: UnplacedBio,
    may_sleep: MaySleep<'_>,
) -> Result<(Range<u64>, Option<UnplacedBio>), (Error, UnplacedBio)> {
    let (pos, bits) = (wanted.start, request.bits);
    let blocks = extent::blocks_wanted(pos, wanted.end, bits);
    let mapping = match F::map(locked, bits.block(pos), blocks) {
        Ok(mapping) => mapping,
        Err(error) => return Err((error, bio)),
    };
    let (Mapping::Mapped { len, .. } | Mapping::Hole { len }) = mapping;
    let bytes = match mutant!("punt-one-run") {
        true => wanted,
        false => extent::run(pos, wanted.end, len, bits),
    };
    let size = (bytes.end - bytes.start) as u32;
    let rest = match mapping {
        Mapping::Mapped { physical, .. } => {
            // After the look-up, see `do_direct_read`.
            let (from, to) = (bytes.start as i64, bytes.end as i64);
            let flushed = match mutant!("punt-unflushed") {
                true => Ok(()),
                false => iocb.write_and_wait_range(from, to, may_sleep),
            };
            if let Err(error) = flushed {
                return Err((error, bio));
            }
            let sector = (physical * bits.size() + bits.offset(pos)) / SECTOR_SIZE;
            trace::dio_bio(locked, pos, size.into(), sector);
            bio.read(sector, size, &F::dio(locked.sb()).parts, may_sleep)
        }
        Mapping::Hole { .. } => bio.zero(size, &F::dio(locked.sb()).parts, may_sleep),
    };
    Ok((bytes, rest))
}
