// SPDX-License-Identifier: GPL-2.0

//! Direct writes, and their fallback to buffered I/O.

use super::extent::{self, BlockBits};
use super::filesystem::{Filesystem, Mapping, Stopped};
use super::nowait;
use super::outcome::Failure;
use super::policy::Block;
use super::report;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::Op;
use kfs::fs::generic_io::{
    direct_write_fallback, generic_file_direct_write, kiocb_modified, FallbackError,
};
use kfs::fs::inode::lock::{Exclusive, InodeLocked};
use kfs::fs::kiocb::{CallSource, Io, Kiocb};
use kfs::iov::{IovIter, IovIterSource, Mark};
use kfs::trace;

/// Writes `from` at the position of `iocb`, after `generic_write_checks`: by the worker, and where
/// that stopped at a hole, by buffered I/O (R9). Returns the number of bytes, or `Queued`.
///
/// If the worker stopped for another reason, the write is short. There is no fallback then: it
/// would move i_size before the data is on the device, and what stopped the worker (`ENOSPC`,
/// `EFAULT`, a device that fails) would stop it too. Likewise only the part inside i_size falls
/// back, and what is past i_size is for the worker again, which moves i_size when the data is on
/// the device (R8).
///
/// `locked` is the inode lock, which the caller holds for the whole call. `is_counted`: the request
/// has been counted already. `waits_for_none`: of those in flight, as it has been entered (see
/// [`Filesystem::turns`]) or its caller has waited. May sleep, unless the kiocb is `IOCB_NOWAIT`: then `EAGAIN` if it would block.
pub(crate) fn direct_write<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    from: CallSource<'a>,
    locked: &InodeLocked<F, Exclusive>,
    is_counted: bool,
    waits_for_none: bool,
) -> Result<Io<'a, F>> {
    let len = from.get(&iocb).count();
    let counters = &F::dio(locked.sb()).counters;
    if iocb.is_nowait() {
        if !nowait::check_new(&iocb, from.get(&iocb), locked)? {
            let i_size = locked.i_size_read();
            nowait::check(&iocb, from.get(&iocb), locked, Op::Write, i_size, None)?;
        }
    } else if !is_counted {
        counters.requests_write.inc();
    }
    let (start, end) = (iocb.pos() as u64, iocb.pos() as u64 + len as u64);
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    if !iocb.is_nowait() && !waits_for_none {
        F::wait_for_new_blocks(locked, bits.block(start)..bits.blocks(end));
    }
    nowait::modified(locked.sb(), kiocb_modified(&mut iocb, locked))?;
    F::set_stopped(locked, None);
    let (mut iocb, mut written) = match generic_file_direct_write(iocb, from, locked) {
        Ok(Io::Done(iocb, written)) => (iocb, written),
        Ok(queued) => return Ok(queued),
        Err((_, error)) => return Err(error),
    };
    if F::stopped(locked) == Some(Stopped::Memory(iocb.pos() as u64)) {
        // Nothing moves i_size from now on: so a page fault waits for none of the blocks that are reserved,
        // as these are beyond EOF.
        F::direct_writes_wait(locked);
        match generic_file_direct_write(iocb, from, locked) {
            Ok(Io::Done(rest, more)) => (iocb, written) = (rest, written + more),
            // The rest of a request is not left to the retry.
            Ok(queued) => return Ok(queued),
            Err((_, error)) if written == 0 => return Err(error),
            Err((iocb, error)) => {
                report::log(&iocb, true, iocb.pos() as u64, Failure::Stopped(error));
                return Ok(Io::Done(iocb, written));
            }
        }
    }
    let is_at_hole = match mutant!("hole-looked-up-late") {
        true => is_in_hole(&iocb, locked),
        false => F::stopped(locked) == Some(Stopped::Hole(iocb.pos() as u64)),
    };
    // There was no error if nothing was written: the page cache of the range could not be
    // invalidated, and the worker was not called; or it stopped at once.
    if written == len || written != 0 && !is_at_hole {
        return Ok(Io::Done(iocb, written));
    }
    if iocb.is_nowait() {
        return Err(nowait::would_block(locked.sb(), Block::Blocks));
    }
    // The worker was not called.
    F::give_back_turns(locked);
    counters.buffered_fallback.inc();
    trace::dio_fallback(locked, iocb.pos() as u64, (len - written) as i64);
    F::direct_writes_wait(locked);
    write_rest(iocb, from, locked, written)
}

/// Writes the rest of a direct write after the worker has written `written` bytes: what is inside
/// i_size by buffered I/O, and what is past it by the worker. Returns the number of bytes of both.
fn write_rest<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    from: CallSource<'a>,
    locked: &InodeLocked<F, Exclusive>,
    written: usize,
) -> Result<Io<'a, F>> {
    if is_in_hole_at_eof(&iocb, locked) && !mutant!("fallback-extends") {
        return extend_hole(iocb, from, locked);
    }
    let inside = locked.i_size_read().saturating_sub(iocb.pos() as u64);
    let inside = usize::try_from(inside).unwrap_or(usize::MAX);
    if inside == 0 || inside >= from.get(&iocb).count() || mutant!("fallback-extends") {
        return match (
            written,
            fall_back(&mut iocb, from, usize::MAX, locked, written),
        ) {
            (0, Err(error)) => Err(error),
            (_, more) => Ok(Io::Done(iocb, written + more.unwrap_or(0))),
        };
    }
    let start = from.get(&iocb).mark();
    let filled = fall_back(&mut iocb, from, inside, locked, written);
    match (written, filled) {
        (0, Err(error)) => Err(error),
        (_, Ok(filled)) if filled == inside => match extend(iocb, from, start, inside, locked) {
            Io::Done(iocb, more) => Ok(Io::Done(iocb, written + filled + more)),
            queued => Ok(queued),
        },
        (_, filled) => Ok(Io::Done(iocb, written + filled.unwrap_or(0))),
    }
}

/// Whether the position is at or past i_size, and in the same block as EOF, which is a hole.
fn is_in_hole_at_eof<F: Filesystem>(
    iocb: &Kiocb<'_, F>,
    locked: &InodeLocked<F, Exclusive>,
) -> bool {
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let (pos, i_size) = (iocb.pos() as u64, locked.i_size_read());
    let block = bits.block(pos);
    pos >= i_size
        && block < bits.blocks(i_size)
        && matches!(F::map(locked, block, 1), Ok(Mapping::Hole { .. }))
}

/// Writes past i_size, in a block that is a hole and has EOF in it: a part of it is inside i_size,
/// so the page cache fills the hole with zeroes, without moving i_size; the rest is for the worker.
fn extend_hole<'a, F: Filesystem>(
    iocb: Kiocb<'a, F>,
    from: CallSource<'a>,
    locked: &InodeLocked<F, Exclusive>,
) -> Result<Io<'a, F>> {
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let i_size = locked.i_size_read();
    let part = bits.round_down(i_size)..i_size;
    F::fill_hole(locked, i_size)?;
    if let Err(error) = locked.write_and_wait_range(part.clone()) {
        report::report(&iocb, true, part.clone(), Failure::Bio(error), false);
        roll_back(locked, part, true, i_size, bits);
        return Err(error);
    }
    match generic_file_direct_write(iocb, from, locked) {
        Ok(Io::Done(mut iocb, 0)) => {
            let written = fall_back(&mut iocb, from, usize::MAX, locked, 0)?;
            Ok(Io::Done(iocb, written))
        }
        Ok(io) => Ok(io),
        Err((_, error)) => Err(error),
    }
}

/// Writes the part past i_size, after a fallback for the part inside it: position and `from` are at
/// i_size. Returns the number of bytes past i_size.
///
/// `start` is where `from` was `filled` bytes before. The worker has to start at a sector, that
/// with i_size in it, and so writes some of these bytes again.
///
/// If the page with i_size cannot be invalidated, the rest falls back as well.
fn extend<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    from: CallSource<'a>,
    start: Mark<IovIterSource<'a>>,
    filled: usize,
    locked: &InodeLocked<F, Exclusive>,
) -> Io<'a, F> {
    let i_size = iocb.pos();
    let sector = i64::from(BlockDevice::of(locked.sb()).logical_block_size());
    let again = (i_size & (sector - 1)) as usize;
    let iter = from.get_mut(&mut iocb);
    iter.reset(start);
    iter.advance(filled - again);
    iocb.as_mut().set_pos(i_size - again as i64);
    F::set_stopped(locked, Some(Stopped::Hole(i_size as u64)));

    let (mut iocb, written) = match generic_file_direct_write(iocb, from, locked) {
        Ok(Io::Done(iocb, written)) => (iocb, written),
        // A request that has stopped is not left to the retry.
        Ok(queued) => return queued,
        Err((mut iocb, error)) => {
            // The worker did not log the error, as it returned it; the caller gets a short write.
            report::log(&iocb, true, i_size as u64, Failure::Stopped(error));
            iocb.as_mut().set_pos(i_size);
            return Io::Done(iocb, 0);
        }
    };
    let more = written.saturating_sub(again);
    iocb.as_mut().set_pos(i_size + more as i64);
    // It may not have come to where it was.
    from.get_mut(&mut iocb)
        .advance(again.saturating_sub(written));
    if written == 0 {
        let more = fall_back(&mut iocb, from, usize::MAX, locked, filled).unwrap_or(0);
        return Io::Done(iocb, more);
    }
    Io::Done(iocb, more)
}

/// Whether the position is inside i_size and in a hole, by now: writeback of a store through a mapping
/// may have filled the one that the worker met.
fn is_in_hole<F: Filesystem>(iocb: &Kiocb<'_, F>, locked: &InodeLocked<F, Exclusive>) -> bool {
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let block = bits.block(iocb.pos() as u64);
    block < bits.blocks(locked.i_size_read())
        && matches!(F::map(locked, block, 1), Ok(Mapping::Hole { .. }))
}

/// Writes the rest of a direct write, or the next `max` bytes of that, by buffered I/O: hole by hole, and what is between them.
///
/// Each part is on the device before the next is written. If its writeback fails, a block that was
/// allocated for it holds stale data, and the page with the new data is no longer dirty and may be
/// reclaimed: so the hole is punched again, and i_size moved back. A part that did not get into the
/// page cache is left alone: blocks that were allocated for it have dirty pages of zeroes, as after
/// any short buffered write, or of what was stored there through a mapping.
///
/// `before` is the number of bytes of the request that have been written already: if there are
/// some, an error makes the write short, and the caller does not get it.
fn fall_back<'a, F: Filesystem>(
    iocb: &mut Kiocb<'a, F>,
    from: CallSource<'a>,
    max: usize,
    locked: &InodeLocked<F, Exclusive>,
    before: usize,
) -> Result<usize> {
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let mut written = 0;
    let max = max.min(from.get(iocb).count());
    while written < max {
        let i_size = locked.i_size_read();
        let pos = iocb.pos() as u64;
        let end = pos + (max - written) as u64;
        let (part, is_hole) = match next_part(locked, pos, end, bits) {
            Ok(part) => part,
            Err(error) => {
                let is_cut_short = before + written > 0;
                report::report(iocb, true, pos..end, Failure::Stopped(error), is_cut_short);
                match written {
                    0 => return Err(error),
                    _ => break,
                }
            }
        };
        let len = (part.end - part.start) as usize;

        let result = direct_write_fallback(iocb, from, len, locked);
        match result {
            Ok(count) => written += count,
            Err(error) => {
                let is_cut_short = before + written > 0;
                report::report(iocb, true, part.clone(), error.into(), is_cut_short);
                if matches!(error, FallbackError::NotOnDevice(_)) && !mutant!("fallback-kept") {
                    roll_back(locked, part, is_hole, i_size, bits);
                }
            }
        }
        match result {
            Ok(count) if count == len => {}
            Err(error) if written == 0 => return Err(error.into()),
            _ => break,
        }
    }
    Ok(written)
}

impl From<FallbackError> for Failure<Error> {
    fn from(error: FallbackError) -> Self {
        match error {
            FallbackError::NotTaken(error) => Failure::Stopped(error),
            FallbackError::NotOnDevice(error) => Failure::Bio(error),
        }
    }
}

/// The longest part of `pos..end` from `pos` on that is all hole or all allocated; true for a hole.
fn next_part<F: Filesystem>(
    locked: &InodeLocked<F, Exclusive>,
    pos: u64,
    end: u64,
    bits: BlockBits,
) -> Result<(Range<u64>, bool)> {
    let mut part = pos..pos;
    let mut is_hole = None;
    while part.end < end {
        let wanted = extent::blocks_wanted(part.end, end, bits);
        let (blocks, hole) = match F::map(locked, bits.block(part.end), wanted)? {
            Mapping::Mapped { len, .. } => (len, false),
            Mapping::Hole { len } => (len, true),
        };
        if *is_hole.get_or_insert(hole) != hole {
            break;
        }
        part.end = extent::run(part.end, end, blocks, bits).end;
    }
    Ok((part, is_hole.unwrap_or(false)))
}

/// Rolls back a part of a fallback whose writeback failed: moves i_size back to `i_size`, and
/// punches the part if it was a hole.
fn roll_back<F: Filesystem>(
    locked: &InodeLocked<F, Exclusive>,
    part: Range<u64>,
    is_hole: bool,
    i_size: u64,
    bits: BlockBits,
) {
    if locked.i_size_read() > i_size {
        locked.dio_wait().i_size_write(i_size);
        locked.mark_inode_dirty();
        locked.truncate_beyond(i_size, || ());
    }
    if is_hole {
        // Direct reads in flight may use the blocks.
        locked.dio_wait();
        let (start, end) = (bits.round_down(part.start), bits.round_up(part.end));
        locked.truncate_pagecache_range(start, end, || {
            let blocks = extent::blocks_wanted(part.start, part.end, bits);
            F::punch(locked, bits.block(start), blocks);
        });
    }
}
