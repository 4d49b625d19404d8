// SPDX-License-Identifier: GPL-2.0

//! Requests that must not wait: `RWF_NOWAIT`, and what io_uring tries first.
//!
//! Such a request is made if nothing is in its way, and else ends with `EAGAIN`, before anything is
//! issued: half a request would come back as a short one, and there is nobody to make the rest. Who
//! gets `EAGAIN` asks again, when there is time to wait (io_uring does so from a thread of its own).
//!
//! What is in the way: a lock that somebody else holds; blocks of pointers that are not in memory;
//! pages that would have to be written first; blocks in several places, as they take several bios;
//! and everything that the submitter waits for: a hole, the end of the file, `O_DSYNC`.

use super::counters::Counters;
use super::extent::{self, BlockBits};
use super::filesystem::{Filesystem, Mapping};
use super::worker::{Entry, Step};
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Op, BIO_MAX_VECS};
use kfs::fs::inode::lock::{InodeLocked, Mode};
use kfs::fs::kiocb::Kiocb;
use kfs::iov::IovIter;

/// Whether a request to do `op` at the position of `iocb` can be made without waiting: `EAGAIN` if
/// not. `EINVAL` if it makes no sense. Does not sleep.
pub(super) fn check<F: Filesystem, M: Mode>(
    iocb: &Kiocb<'_, F>,
    iter: &mut IovIter<'_>,
    locked: &InodeLocked<F, M>,
    op: Op,
) -> Result {
    if mutant!("nowait-unchecked") {
        return Ok(());
    }
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let start = u64::try_from(iocb.pos()).map_err(|_| EINVAL)?;
    let len = iter.count();
    let end = start.checked_add(len as u64).ok_or(EINVAL)?;
    let i_size = locked.i_size_read();

    let is_behind = end > i_size && (op == Op::Write || !iocb.is_sync());
    let is_several = iter.npages(BIO_MAX_VECS, len) == BIO_MAX_VECS;
    if is_behind || is_several || !BlockDevice::of(locked.sb()).nowait() {
        return Err(EAGAIN);
    }
    let end = end.min(i_size);
    if start >= end {
        return Ok(());
    }
    let wanted = extent::blocks_wanted(start, end, bits);
    match F::map_nowait(locked, bits.block(start), wanted)? {
        Mapping::Mapped { len, .. } if len >= wanted => {}
        _ => return Err(EAGAIN),
    }
    // After the look-up: whatever brought a block of these has dirtied its page before.
    let is_waited_for = match op {
        Op::Read => iocb.range_needs_writeback(iocb.pos(), end as i64),
        Op::Write => iocb.is_dsync(),
    };
    if is_waited_for {
        return Err(EAGAIN);
    }
    Ok(())
}

/// Counts a request that has passed [`check`], unless the device had no room: then it did not take
/// place, and may be made again by one who waits.
pub(super) fn count<F: Filesystem, E: Entry<F>>(
    counters: &Counters,
    op: Op,
    is_sync: bool,
    step: &Step<E, F>,
) {
    if matches!(step, Step::Done(_, Err(error)) if *error == EAGAIN) {
        return;
    }
    match op {
        Op::Read => counters.requests_read.inc(),
        Op::Write => counters.requests_write.inc(),
    }
    if !is_sync {
        counters.async_requests.inc();
    }
}
