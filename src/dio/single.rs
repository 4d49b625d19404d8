// SPDX-License-Identifier: GPL-2.0

//! Requests of one bio: most of them.
//!
//! An asynchronous read or overwrite whose blocks are one run that is known, inside i_size, with
//! nothing in the page cache, is certain to be left to the retry as soon as its memory is pinned: so its
//! bio can carry the kiocb from the start. Nothing of it is shared, so that there is no state to be
//! locked, and the retry finds all that it needs in front of the bio that has ended. A synchronous one has a
//! submitter that waits for the bio, as the worker does.
//!
//! This does less than the worker, and nothing else. Whatever is not as said is left to that: before
//! anything is issued, by giving the kiocb back, and at the end, by making of it what the worker makes of
//! one of its own that it has left to the retry ([`general`]), or waited for ([`general_sync`]).

use super::dio::{Bios, Dio};
use super::dsync;
use super::extent::{self, BlockBits};
use super::filesystem::{cached_dios, Filesystem, Mapping};
use super::kick::NESTED_MAX;
use super::policy::{self, Stop, Wait};
use super::request::{Armed, Dsync, Request, Single};
use super::state::{self, BioList, Platform};
use super::step::Step;
use super::worker::{direct_io_worker, Enter};
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Bio, BioArc, EndedBio, Op, BIO_MAX_VECS, SECTOR_SIZE};
use kfs::fs::inode::lock::{InodeLocked, Shared};
use kfs::fs::kiocb::{CallDest, CallIter, CallSource, Io, Iocb, IocbMut, Kiocb};
use kfs::iov::IovIter;
use kfs::task::{task_io_account_write, Nested};
use kfs::trace;

/// The longest request in bytes: of a longer one, this is not what takes time.
const MAX: usize = 64 << 10;

/// A request that can be issued: the bio has its memory.
struct Built<I, F: Filesystem> {
    dio: BioArc<Dio<F>>,
    bio: Bio<I, Dio<F>>,
    len: u32,
}

/// A write that is not done here: nothing has been done.
pub(super) enum NotWritten<'a, F: Filesystem> {
    /// It takes more.
    Here(Kiocb<'a, F>),
    /// Its first block is in a hole.
    InHole(Kiocb<'a, F>),
}

/// How a request ends that is done here.
type Ended<'a, F> = Result<Io<'a, F>>;

/// Reads to `to` from the position of `iocb`. Gives `iocb` back, and has done nothing, if that takes more
/// than is done here. The inode lock is not held. May sleep, unless the kiocb is `IOCB_NOWAIT`.
#[inline(always)]
pub(super) fn read<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    to: CallDest<'a>,
) -> Result<Ended<'a, F>, Kiocb<'a, F>> {
    let inode = iocb.inode();
    if to.get(&iocb).count() > MAX || is_sync_nowait(&iocb) {
        return Err(iocb);
    }
    let locked = if iocb.is_nowait() {
        inode.try_lock_shared()
    } else {
        Some(inode.lock_shared())
    };
    let Some(locked) = locked else {
        return Err(iocb);
    };
    let Found::Blocks(found) = find(&iocb, to.get(&iocb), &locked) else {
        return Err(iocb);
    };
    let Some(built) = build(&mut iocb, to, &locked, found) else {
        return Err(iocb);
    };
    iocb.accessed(iocb.may_sleep());
    let waited_for = waited_for(&iocb, &built);
    let counters = &F::dio(inode.sb()).counters;
    match waited_for {
        Some(_) => counters.single_sync_read.inc(),
        None => counters.single_read.inc(),
    }
    let iocb = begin(iocb, &locked, built.dio);
    // The count of direct I/O keeps the blocks from being freed.
    let _kept = mutant!("single-keeps-lock").then_some(locked);
    match waited_for {
        Some(dio) => Ok(submit_sync(iocb, dio, built.bio, built.len)),
        None => submit(iocb, built.bio, built.len),
    }
}

/// Writes `from` at the position of `iocb`, as [`read`], or says that it begins in a hole. `locked` is the inode lock, which the caller holds for
/// the whole call, and which may be shared.
#[inline(always)]
pub(super) fn overwrite<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    from: CallSource<'a>,
    locked: &InodeLocked<F, Shared>,
) -> Result<Ended<'a, F>, NotWritten<'a, F>> {
    let must_be_stable =
        BlockDevice::of(locked.sb()).stable_writes() && !mutant!("single-unstable");
    if from.get(&iocb).count() > MAX || must_be_stable || is_sync_nowait(&iocb) {
        return Err(NotWritten::Here(iocb));
    }
    let found = match find(&iocb, from.get(&iocb), locked) {
        Found::Blocks(found) => found,
        Found::Hole => return Err(NotWritten::InHole(iocb)),
        Found::Nothing => return Err(NotWritten::Here(iocb)),
    };
    // After the look-up: it is about the blocks that this has found.
    let dsync = dsync::decide(&iocb, Op::Write, Some(locked));
    if dsync.is_waited_for() && !mutant!("single-unsynced") {
        return Err(NotWritten::Here(iocb));
    }
    let Some(mut built) = build(&mut iocb, from, locked, found) else {
        return Err(NotWritten::Here(iocb));
    };
    if dsync == Dsync::Through {
        built.bio.set_fua();
    }
    let waited_for = waited_for(&iocb, &built);
    let counters = &F::dio(locked.sb()).counters;
    match waited_for {
        Some(_) => counters.single_sync_write.inc(),
        None => counters.single_write.inc(),
    }
    task_io_account_write(built.len as usize);
    let iocb = begin(iocb, locked, built.dio);
    F::direct_write_begin(locked);
    match waited_for {
        Some(dio) => Ok(submit_sync(iocb, dio, built.bio, built.len)),
        None => submit(iocb, built.bio, built.len).map_err(NotWritten::Here),
    }
}

/// Whether the caller waits, and must not: what the device says then is told, and counted, by the worker.
#[inline(always)]
fn is_sync_nowait<F: Filesystem>(iocb: &Kiocb<'_, F>) -> bool {
    iocb.is_sync() && (iocb.is_nowait() || mutant!("single-sync-never"))
}

/// The dio of a request whose submitter waits for it.
#[inline(always)]
fn waited_for<I, F: Filesystem>(
    iocb: &Kiocb<'_, F>,
    built: &Built<I, F>,
) -> Option<BioArc<Dio<F>>> {
    iocb.is_sync().then(|| built.dio.clone())
}

/// What is known of the blocks of a request.
enum Found {
    /// Where they are.
    Blocks(FoundBlocks),
    /// The first is in a hole.
    Hole,
    /// They are to be looked up, or the request is not as said above.
    Nothing,
}

/// What is known of a request before its bio is made.
struct FoundBlocks {
    /// Where it begins on the device.
    sector: u64,
    /// How the device wants its memory to be aligned, as a mask.
    dma_alignment: u32,
}

/// Looks up where the blocks are, if a request for them is as said above.
#[inline(always)]
fn find<'a, I: IovIter<'a>, F: Filesystem>(
    iocb: &Kiocb<'a, F>,
    iter: &I,
    locked: &InodeLocked<F, Shared>,
) -> Found {
    let sb = locked.sb();
    let bdev = BlockDevice::of(sb);
    let bits = BlockBits::new(sb.blocksize_bits());
    let (pos, len) = (iocb.pos() as u64, iter.count());
    let Some(end) = pos.checked_add(len as u64) else {
        return Found::Nothing;
    };

    let i_size = locked.i_size_read();
    let is_left = policy::decide(false, false, end > i_size, Stop::End, false) == Wait::Async
        || mutant!("single-past-eof");
    let (mem_mask, len_mask) = bdev.dio_masks();
    let is_aligned =
        (pos | len as u64) & u64::from(len_mask) == 0 && iter.alignment() & mem_mask as usize == 0;
    if len == 0 || !is_left || !is_aligned && !mutant!("single-unaligned") {
        return Found::Nothing;
    }
    if iocb.is_nowait() && !bdev.nowait() && !mutant!("nowait-unchecked") {
        return Found::Nothing;
    }
    let wanted = extent::blocks_wanted(pos, end, bits);
    let physical = match F::map_cached(locked, bits.block(pos), wanted) {
        Some(Mapping::Mapped { physical, .. }) => physical,
        Some(Mapping::Hole { .. }) => return Found::Hole,
        None => return Found::Nothing,
    };
    let sector = (physical * bits.size() + bits.offset(pos)) / SECTOR_SIZE;
    if iocb.is_nowait() && is_split(bdev, sector, len) {
        return Found::Nothing;
    }
    // After the look-up: a block that it found was allocated after its page was dirtied.
    let is_cached = iocb.concerns_page_cache(len) && !mutant!("single-cached");
    if is_cached {
        return Found::Nothing;
    }
    Found::Blocks(FoundBlocks {
        sector,
        dma_alignment: mem_mask,
    })
}

/// Whether the device has a bio of `len` bytes at `sector` split, so that one that must not wait would fail. What is in one page of
/// the device is not.
#[inline(always)]
fn is_split(bdev: &BlockDevice, sector: u64, len: usize) -> bool {
    let offset = (sector * SECTOR_SIZE) as usize % PAGE_SIZE;
    offset + len > PAGE_SIZE && len > bdev.unsplit(sector) && !mutant!("single-split")
}

/// Makes a bio with all of the memory, for the blocks that were found.
#[inline(always)]
fn build<'a, I: IovIter<'a>, F: Filesystem>(
    iocb: &mut Kiocb<'a, F>,
    iter: CallIter<'a, I>,
    locked: &InodeLocked<F, Shared>,
    found: FoundBlocks,
) -> Option<Built<I, F>> {
    let sb = locked.sb();
    let bdev = BlockDevice::of(sb);
    let is_sync = iocb.is_sync();
    let (iter, iocb) = iter.with_lending(iocb);
    let (pos, len) = (iocb.pos() as u64, iter.count());

    let vecs = iter.npages(BIO_MAX_VECS, len);
    let (dio, mut bio) = BioArc::try_alloc(cached_dios(sb), bdev, vecs, pos, Dio::new())?;
    bio.set_sector(found.sector);
    bio.set_hints(iocb);
    if !bio.add_all(iter, len, found.dma_alignment) {
        return None;
    }
    if iocb.is_polled() {
        bio.set_polled();
    }
    let is_write = !I::IS_DEST && !mutant!("single-traced-as-read");
    trace::dio_submit(locked, pos, len as u64, is_write, !is_sync);
    trace::dio_bio(locked, pos, len as u64, found.sector);
    Some(Built {
        dio,
        bio,
        len: len as u32,
    })
}

/// Begins a request: from here on it has a dio (R1), and truncate waits for it.
#[inline(always)]
fn begin<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    locked: &InodeLocked<F, Shared>,
    dio: BioArc<Dio<F>>,
) -> Kiocb<'a, F> {
    if !mutant!("single-no-begin") {
        iocb.as_mut().inode_dio_begin(locked);
    }
    iocb.as_mut().set_private(dio);
    iocb
}

/// Submits the bio, which carries the kiocb. The request may be complete on return.
#[inline(always)]
fn submit<'a, I: IovIter<'a>, F: Filesystem>(
    iocb: Kiocb<'a, F>,
    bio: Bio<I, Dio<F>>,
    len: u32,
) -> Result<Ended<'a, F>, Kiocb<'a, F>> {
    let queued = bio.submit_carrying(iocb, |iocb| {
        iocb.detach()
            .map(|(iocb, queued)| (Single { iocb, len }, queued))
    })?;
    Ok(Ok(Io::Queued(queued)))
}

/// Submits the bio of a synchronous request, waits for it, and completes the request. Sleeps.
#[inline(never)]
fn submit_sync<'a, I: IovIter<'a>, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    dio: BioArc<Dio<F>>,
    bio: Bio<I, Dio<F>>,
    len: u32,
) -> Ended<'a, F> {
    bio.submit(dio.clone(), iocb.lending());
    let mut bios = state::await_sync(&dio, 1);
    // There is one.
    let bio = bios.pop().ok_or(EIO)?;
    let is_write = !bio.is_read();
    let is_ok = bio.is_ok() || mutant!("single-failed");
    let has_pages = is_write && iocb.has_pages(len as usize) && !mutant!("single-kick-cached");
    if !is_ok || has_pages {
        bios.push(bio);
        return general_sync(iocb, dio, bios, len, is_write);
    }
    // It was successful, and read all.
    let _ = bio.complete(iocb.may_sleep());
    finish(iocb.as_mut(), len, is_write);
    Ok(Io::Done(iocb, len as usize))
}

/// The retry of a request whose bio has ended (R2). Any context.
pub(super) fn retry<F: Filesystem>(single: Single<F>, bio: EndedBio<Dio<F>>) {
    let (iocb, len) = (&single.iocb, single.len as usize);
    let is_write = !bio.is_read();
    let nested = Nested::enter(NESTED_MAX);
    let is_ok = bio.is_ok() || mutant!("single-failed");
    let has_pages = is_write && iocb.has_pages(len) && !mutant!("single-kick-cached");
    if nested.is_none() || !is_ok || has_pages {
        drop(nested);
        return general(single, bio);
    }
    match bio.complete_atomic() {
        Ok(_) => complete(single, is_write),
        Err(bio) => {
            drop(nested);
            general(single, bio)
        }
    }
}

/// Completes a request, of which everything has been transferred and nothing is left to be done (R6).
#[inline(always)]
fn complete<F: Filesystem>(single: Single<F>, is_write: bool) {
    let Single { mut iocb, len } = single;
    let inode = iocb.inode();
    F::dio(inode.sb()).counters.retries.inc();
    trace::dio_retry(inode, iocb.pos() as u64, len.into());
    finish(iocb.as_mut(), len, is_write);
    // The last reference to kiocb, file and mount may be dropped here: touch none afterwards.
    iocb.complete(Ok(len as usize));
}

/// Ends what began with [`begin`], of a request of which everything has been transferred.
#[inline(always)]
fn finish<F: Filesystem>(mut iocb: IocbMut<'_, F>, len: u32, is_write: bool) {
    let inode = iocb.inode();
    trace::dio_complete(inode, iocb.pos() as u64, len.into());
    if is_write {
        F::direct_write_end(inode);
    }
    iocb.inode_dio_end();
    iocb.advance(len as usize);
    drop(iocb.take_private());
}

/// Leaves a request to the worker, as if that had issued it.
#[cold]
fn general<F: Filesystem>(single: Single<F>, bio: EndedBio<Dio<F>>) {
    let Single { iocb, len } = single;
    let request = request(&iocb, len, !bio.is_read());
    // It has one: see `begin`.
    let Some(dio) = iocb.hold_private() else {
        return;
    };
    let mut bios = Bios::default();
    bios.push(bio);
    let punted = None;
    let armed = Armed {
        iocb,
        request,
        punted,
    };
    dio.kick(armed, bios);
}

/// Leaves a request whose submitter has waited for it to the worker, as if that had. May sleep.
#[cold]
fn general_sync<'a, F: Filesystem>(
    iocb: Kiocb<'a, F>,
    dio: BioArc<Dio<F>>,
    bios: Bios<F>,
    len: u32,
    is_write: bool,
) -> Ended<'a, F> {
    let request = request(&iocb, len, is_write);
    let context = Ok(iocb.may_sleep());
    match direct_io_worker(iocb, dio, request, Enter::Retry(bios), context) {
        Step::Done(iocb, result) => Ok(Io::Done(iocb, result?)),
        Step::Retry(queued) => Ok(Io::Queued(queued)),
    }
}

/// What the worker is to know of a request that was issued, and is not to be synced. Its length is one of a request.
fn request<F: Filesystem>(iocb: &Iocb<F>, len: u32, is_write: bool) -> Request {
    let start = iocb.pos() as u64;
    let end = start + u64::from(len);
    let op = if is_write { Op::Write } else { Op::Read };
    let bits = BlockBits::new(iocb.inode().sb().blocksize_bits());
    let mut request = Request::new(op, bits, start, len);
    // It was more, or the same.
    request.i_size = end;
    request.outcome.issued_to(end);
    request
}
