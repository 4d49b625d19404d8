// SPDX-License-Identifier: GPL-2.0

//! Requests that must not block: `RWF_NOWAIT`, and the first attempt of io_uring.
//!
//! Such a request is issued as a whole or fails with `EAGAIN` before anything is issued: a part of
//! it would complete as a short read or write, which its caller need not expect. On `EAGAIN` the
//! caller makes the request again where it may block (io_uring: in a worker thread).
//!
//! [`Block`] has what it would block on. A range of several extents takes several bios, of which the
//! device may refuse one when others are in flight.

use super::dsync;
use super::extent::{self, BlockBits};
use super::filesystem::{Filesystem, Mapping};
use super::policy::{Block, Wait};
use super::step::{Entry, Step};
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Op, BIO_MAX_VECS};
use kfs::fs::inode::lock::{InodeLocked, Mode, Shared};
use kfs::fs::kiocb::Kiocb;
use kfs::fs::super_block::SuperBlock;
use kfs::iov::IovIter;

/// Counts a request of this mount that would block; returns its error.
pub(crate) fn would_block<F: Filesystem>(sb: &SuperBlock<F>, on: Block) -> Error {
    F::dio(sb).counters.would_block(on);
    EAGAIN
}

/// The result of what fails with `EAGAIN` for a request that must not wait for metadata to be written.
pub(super) fn modified<T, F: Filesystem>(sb: &SuperBlock<F>, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error == EAGAIN {
        true => would_block(sb, Block::Metadata),
        false => error,
    })
}

/// Checks whether a request at the position of `iocb`, of the length of `iter`, can be issued
/// without blocking: `EAGAIN` if not, `EINVAL` if its range is not valid. Returns where its blocks
/// are, if there are some inside i_size. `overwrite` is the lock if it is that of an overwrite. Does not
/// sleep.
pub(super) fn check<'call, F: Filesystem, M: Mode>(
    iocb: &Kiocb<'_, F>,
    iter: &impl IovIter<'call>,
    locked: &InodeLocked<F, M>,
    op: Op,
    overwrite: Option<&InodeLocked<F, Shared>>,
) -> Result<Option<Mapping>> {
    if mutant!("nowait-unchecked") {
        return Ok(None);
    }
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let start = u64::try_from(iocb.pos()).map_err(|_| EINVAL)?;
    let len = iter.count();
    let end = start.checked_add(len as u64).ok_or(EINVAL)?;
    let i_size = locked.i_size_read();

    let again = |on| Err(would_block(locked.sb(), on));
    let is_past_eof = end > i_size && (op == Op::Write || !iocb.is_sync());
    let is_several = iter.npages(BIO_MAX_VECS, len) == BIO_MAX_VECS;
    if is_past_eof || is_several {
        return again(Block::Blocks);
    }
    if !BlockDevice::of(locked.sb()).nowait() {
        return again(Block::Device);
    }
    let end = end.min(i_size);
    if start >= end {
        return Ok(None);
    }
    let wanted = extent::blocks_wanted(start, end, bits);
    let Ok(mapping) = F::map_nowait(locked, bits.block(start), wanted) else {
        return again(Block::Metadata);
    };
    if !matches!(mapping, Mapping::Mapped { len, .. } if len >= wanted) {
        return again(Block::Blocks);
    }
    // After the look-up: a block that it found was allocated after its page was dirtied.
    match op {
        Op::Read if iocb.range_needs_writeback(iocb.pos(), end as i64) => again(Block::Pages),
        Op::Write if dsync::decide(iocb, op, overwrite).is_waited_for() => again(Block::Sync),
        Op::Write if iocb.has_pages(len) => again(Block::Pages),
        _ => Ok(Some(mapping)),
    }
}

/// Counts a request that has passed [`check`], unless the device had no free tag (`EAGAIN`): then
/// it was not made, and the blocking attempt counts.
pub(super) fn count<F: Filesystem, E: Entry<F>>(
    sb: &SuperBlock<F>,
    op: Op,
    wait: Wait,
    step: &Step<E, F>,
) {
    let counters = &F::dio(sb).counters;
    if matches!(step, Step::Done(_, Err(error)) if *error == EAGAIN) {
        counters.would_block(Block::Device);
        return;
    }
    match op {
        Op::Read => counters.requests_read.inc(),
        Op::Write => counters.requests_write.inc(),
    }
    counters.waits(wait);
}
