// SPDX-License-Identifier: GPL-2.0

//! Requests that must not block: `RWF_NOWAIT`, and the first attempt of io_uring.
//!
//! What can be known before is checked before anything is issued, for all of the request. What is found
//! out later (no memory for one more bio, a device with no room for one of several) fails all of the request
//! with `EAGAIN`, as it does in iomap: a part of it would complete as a short read or write, which the
//! caller of io_uring need not expect. On `EAGAIN` the request is made again where it may block (io_uring:
//! in a worker thread). Of a write, a part may have been written by then.
//!
//! [`Block`] has what it would block on.

use super::dsync;
use super::extent::{self, BlockBits};
use super::filesystem::{Filesystem, Mapping};
use super::policy::{Block, Wait};
use super::request::{Dsync, Request};
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Op, BIO_MAX_VECS};
use kfs::fs::inode::lock::{Exclusive, InodeLocked, Mode, Shared};
use kfs::fs::kiocb::Kiocb;
use kfs::fs::super_block::SuperBlock;
use kfs::iov::IovIter;

/// The most memory, in bytes, that a request has copies of at a time: a request may be of gigabytes.
pub(super) const COPIES_MAX: usize = 4 << 20;

/// Counts a request of this mount that would block; returns its error.
pub(crate) fn would_block<F: Filesystem>(sb: &SuperBlock<F>, on: Block) -> Error {
    F::dio(sb).counters.would_block(on);
    EAGAIN
}

/// The result of what fails with `EAGAIN` for a request that must not wait for metadata to be written.
pub(crate) fn modified<T, F: Filesystem>(sb: &SuperBlock<F>, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error == EAGAIN {
        true => would_block(sb, Block::Metadata),
        false => error,
    })
}

/// Checks whether a request at the position of `iocb`, of the length of `iter`, can be issued
/// without blocking: `EAGAIN` if not, `EINVAL` if its range is not valid. Returns where its first blocks
/// are, if there are some inside `i_size`, which is no older than the lock. `overwrite` is the lock if it is that of an
/// overwrite. Does not sleep.
pub(super) fn check<'call, F: Filesystem, M: Mode>(
    iocb: &Kiocb<'_, F>,
    iter: &impl IovIter<'call>,
    locked: &InodeLocked<F, M>,
    op: Op,
    i_size: u64,
    overwrite: Option<&InodeLocked<F, Shared>>,
) -> Result<Option<Mapping>> {
    if mutant!("nowait-unchecked") {
        return Ok(None);
    }
    let bdev = BlockDevice::of(locked.sb());
    let start = u64::try_from(iocb.pos()).map_err(|_| EINVAL)?;
    let len = iter.count();
    let end = start.checked_add(len as u64).ok_or(EINVAL)?;

    let again = |on| Err(would_block(locked.sb(), on));
    if end > i_size && op == Op::Write {
        return again(Block::Blocks);
    }
    if !bdev.nowait() {
        return again(Block::Device);
    }
    // More than that is copied when some of it is on the device.
    if op == Op::Write && bdev.stable_writes() && len > COPIES_MAX {
        return again(Block::Memory);
    }
    let end = end.min(i_size);
    if start >= end {
        return Ok(None);
    }
    let known = match look_up(locked, start..end, op) {
        Ok(known) => known,
        Err(on) => return again(on),
    };
    // After the look-up: a block that it found was allocated after its page was dirtied.
    match op {
        Op::Read if iocb.range_needs_writeback(iocb.pos(), end as i64) => again(Block::Pages),
        Op::Write if waits_to_sync(iocb, dsync::decide(iocb, op, overwrite)) => again(Block::Sync),
        Op::Write if iocb.has_pages(len) => again(Block::Pages),
        _ => Ok(Some(known)),
    }
}

/// Whether the submitter of a request that must not wait would wait for `O_DSYNC`, about which it does `dsync`: of an asynchronous
/// one the retry syncs.
pub(super) fn waits_to_sync<F: Filesystem>(iocb: &Kiocb<'_, F>, dsync: Dsync) -> bool {
    dsync.is_waited_for() && (iocb.is_sync() || mutant!("nowait-sync-waits"))
}

/// Whether a write with the lock shared begins in a hole that it may fill with the lock exclusive: see
/// [`check_new`]. Does not sleep.
pub(super) fn may_fill<F: Filesystem, M: Mode>(
    iocb: &Kiocb<'_, F>,
    locked: &InodeLocked<F, M>,
) -> bool {
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    F::async_alloc(locked.sb())
        && !iocb.is_sync()
        && matches!(
            F::map_nowait(locked, bits.block(iocb.pos() as u64), 1),
            Ok(Mapping::Hole { .. })
        )
}

/// As [`check`], of a write that is left to its retry and has only new blocks: true if this is one, and can be
/// issued if its blocks can be reserved. False if it is another one. Only if it has found the option `async_alloc`.
///
/// Such a write begins and ends where blocks do, so that it has none in common with what is in flight. Does not sleep for
/// locks or the device.
pub(super) fn check_new<'call, F: Filesystem>(
    iocb: &Kiocb<'_, F>,
    iter: &impl IovIter<'call>,
    locked: &InodeLocked<F, Exclusive>,
) -> Result<bool> {
    let sb = locked.sb();
    if !F::has_async_alloc(locked) || iocb.is_sync() || mutant!("nowait-appends-never") {
        return Ok(false);
    }
    let bits = BlockBits::new(sb.blocksize_bits());
    let start = u64::try_from(iocb.pos()).map_err(|_| EINVAL)?;
    let len = iter.count();
    let end = start.checked_add(len as u64).ok_or(EINVAL)?;
    let i_size = locked.i_size_read();
    let blocks = bits.block(start)..bits.blocks(end);

    let again = |on| Err(would_block(sb, on));
    if end <= i_size {
        let wanted = extent::blocks_wanted(start, end, bits);
        match F::map_nowait(locked, blocks.start, wanted) {
            Ok(Mapping::Mapped { .. }) => return Ok(false),
            Ok(Mapping::Hole { len }) if len >= wanted => {}
            Ok(Mapping::Hole { .. }) => return again(Block::Blocks),
            Err(_) => return again(Block::Metadata),
        }
    } else if blocks.start < bits.blocks(i_size) {
        return again(Block::Blocks);
    }
    let is_in_parts = bits.round_down(start | end) != start | end;
    if is_in_parts || iter.npages(BIO_MAX_VECS, len) == BIO_MAX_VECS {
        return again(Block::Blocks);
    }
    if !BlockDevice::of(sb).nowait() {
        return again(Block::Device);
    }
    if waits_to_sync(iocb, dsync::decide(iocb, Op::Write, None)) {
        return again(Block::Sync);
    }
    if iocb.has_pages(len) {
        return again(Block::Pages);
    }
    if F::has_new_blocks(locked, blocks) && !mutant!("nowait-over-new") {
        return again(Block::Lock);
    }
    Ok(true)
}

/// Looks up the blocks of `bytes`, which are some inside i_size. Returns the first run, or what the
/// request would wait for. Does not sleep.
pub(super) fn look_up<F: Filesystem, M: Mode>(
    locked: &InodeLocked<F, M>,
    bytes: Range<u64>,
    op: Op,
) -> Result<Mapping, Block> {
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let mut first = None;
    let mut pos = bytes.start;
    loop {
        let wanted = extent::blocks_wanted(pos, bytes.end, bits);
        let mapping =
            F::map_nowait(locked, bits.block(pos), wanted).map_err(|_| Block::Metadata)?;
        let len = match mapping {
            Mapping::Hole { .. } if op == Op::Write => return Err(Block::Blocks),
            Mapping::Mapped { len, .. } | Mapping::Hole { len } => len,
        };
        let first = *first.get_or_insert(mapping);
        pos = extent::run(pos, bytes.end, len, bits).end;
        if pos >= bytes.end {
            return Ok(first);
        }
    }
}

/// Counts a request that has passed [`check`], when it ends without a retry, for which its submitter
/// waited as `how` says. One that has failed with `EAGAIN` all the same was not made: the attempt that may
/// block counts.
pub(super) fn count<F: Filesystem>(sb: &SuperBlock<F>, request: &Request, how: Wait) {
    match request.would_block() {
        Some(on) => F::dio(sb).counters.would_block(on),
        None => count_issued(sb, request.op, how),
    }
}

/// Counts a request when it has been issued, and is left to a retry.
pub(super) fn count_issued<F: Filesystem>(sb: &SuperBlock<F>, op: Op, how: Wait) {
    let counters = &F::dio(sb).counters;
    match op {
        Op::Read => counters.requests_read.inc(),
        Op::Write => counters.requests_write.inc(),
    }
    counters.waits(how);
}

/// Counts a request that has been counted as issued, if a part of it would have had to wait.
pub(super) fn count_retry<F: Filesystem>(sb: &SuperBlock<F>, request: &Request) {
    if let Some(on) = request.would_block() {
        F::dio(sb).counters.would_block(on);
    }
}
