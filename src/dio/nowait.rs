// SPDX-License-Identifier: GPL-2.0

//! Requests that must not block: `RWF_NOWAIT`, and the first attempt of io_uring.
//!
//! Such a request is issued as a whole or fails with `EAGAIN` before anything is issued: a part of
//! it would complete as a short read or write, which its caller need not expect. On `EAGAIN` the
//! caller makes the request again where it may block (io_uring: in a worker thread).
//!
//! It would block on: a contended lock; a block of pointers that is not in memory; memory for a dio
//! that is not there at once; dirty pages to be written back first; and all that makes a submitter wait: a hole, an extend, `O_DSYNC`. A
//! range of several extents takes several bios, of which the device may refuse one when others are
//! in flight.

use super::counters::Counters;
use super::extent::{self, BlockBits};
use super::filesystem::{Filesystem, Mapping};
use super::policy::Wait;
use super::step::{Entry, Step};
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Op, BIO_MAX_VECS};
use kfs::fs::inode::lock::{InodeLocked, Mode};
use kfs::fs::kiocb::Kiocb;
use kfs::iov::IovIter;

/// Checks whether a request at the position of `iocb`, of the length of `iter`, can be issued
/// without blocking: `EAGAIN` if not, `EINVAL` if its range is not valid. Returns where its blocks
/// are, if there are some inside i_size. Does not sleep.
pub(super) fn check<'call, F: Filesystem, M: Mode>(
    iocb: &Kiocb<'_, F>,
    iter: &impl IovIter<'call>,
    locked: &InodeLocked<F, M>,
    op: Op,
) -> Result<Option<Mapping>> {
    if mutant!("nowait-unchecked") {
        return Ok(None);
    }
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let start = u64::try_from(iocb.pos()).map_err(|_| EINVAL)?;
    let len = iter.count();
    let end = start.checked_add(len as u64).ok_or(EINVAL)?;
    let i_size = locked.i_size_read();

    let is_past_eof = end > i_size && (op == Op::Write || !iocb.is_sync());
    let is_several = iter.npages(BIO_MAX_VECS, len) == BIO_MAX_VECS;
    if is_past_eof || is_several || !BlockDevice::of(locked.sb()).nowait() {
        return Err(EAGAIN);
    }
    let end = end.min(i_size);
    if start >= end {
        return Ok(None);
    }
    let wanted = extent::blocks_wanted(start, end, bits);
    let mapping = F::map_nowait(locked, bits.block(start), wanted)?;
    if !matches!(mapping, Mapping::Mapped { len, .. } if len >= wanted) {
        return Err(EAGAIN);
    }
    // After the look-up: a block that it found was allocated after its page was dirtied.
    let would_block = match op {
        Op::Read => iocb.range_needs_writeback(iocb.pos(), end as i64),
        Op::Write => iocb.is_dsync(),
    };
    if would_block {
        return Err(EAGAIN);
    }
    Ok(Some(mapping))
}

/// Counts a request that has passed [`check`], unless the device had no free tag (`EAGAIN`): then
/// it was not made, and the blocking attempt counts.
pub(super) fn count<F: Filesystem, E: Entry<F>>(
    counters: &Counters,
    op: Op,
    wait: Wait,
    step: &Step<E, F>,
) {
    if matches!(step, Step::Done(_, Err(error)) if *error == EAGAIN) {
        return;
    }
    match op {
        Op::Read => counters.requests_read.inc(),
        Op::Write => counters.requests_write.inc(),
    }
    counters.waits(wait);
}
