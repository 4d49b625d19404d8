// SPDX-License-Identifier: GPL-2.0

//! Direct writes and their fallback to the page cache.

use super::extent::{self, BlockBits};
use super::filesystem::{Filesystem, Mapping};
use super::nowait;
use super::outcome::Failure;
use super::report;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::Op;
use kfs::fs::generic_io::{
    direct_write_fallback, generic_file_direct_write, kiocb_modified, FallbackError,
};
use kfs::fs::inode::lock::{Exclusive, InodeLocked};
use kfs::fs::kiocb::{Io, Kiocb};
use kfs::iov::IovIter;
use kfs::trace;

/// A direct write that has passed its checks: the worker's part, and what it leaves through the page
/// cache if it stopped at a hole (R9).
///
/// If the worker stopped for another reason, the write is short. It does not go on through the page
/// cache: that would move i_size before it is known whether the device takes the data, and what
/// stopped the worker (no space, no memory at that address, a broken device) stops that as well.
///
/// For the same reason the page cache is given only what is inside i_size, and what is behind that
/// is for the worker again: it moves i_size when the data is on the device (R8).
pub(crate) fn direct_write<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    from: &mut IovIter<'_>,
    locked: &InodeLocked<F, Exclusive>,
) -> Result<Io<'a, F>> {
    let len = from.count();
    let counters = &F::dio(locked.sb()).counters;
    if iocb.is_nowait() {
        nowait::check(&iocb, from, locked, Op::Write)?;
    } else {
        counters.requests_write.inc();
    }
    kiocb_modified(&mut iocb, locked)?;
    let (mut iocb, written) = match generic_file_direct_write(iocb, from, locked) {
        Ok(Io::Done(iocb, written)) => (iocb, written),
        Ok(queued) => return Ok(queued),
        Err((_, error)) => return Err(error),
    };
    if written == len || !is_for_page_cache(&iocb, locked, written) {
        return Ok(Io::Done(iocb, written));
    }
    if iocb.is_nowait() {
        return Err(EAGAIN);
    }
    counters.buffered_fallback.inc();
    trace::dio_fallback(locked, iocb.pos() as u64, (len - written) as i64);
    F::direct_writes_wait(locked);

    if is_hole_with_end(&iocb, locked) && !mutant!("fallback-extends") {
        return extend_hole(iocb, from, locked);
    }
    let inside = locked.i_size_read().saturating_sub(iocb.pos() as u64);
    let inside = usize::try_from(inside).unwrap_or(usize::MAX);
    if inside == 0 || inside >= from.count() || mutant!("fallback-extends") {
        return match (written, fall_back(&mut iocb, from, locked, written)) {
            (0, Err(error)) => Err(error),
            (_, more) => Ok(Io::Done(iocb, written + more.unwrap_or(0))),
        };
    }
    let mut behind = from.duplicate();
    let filled = from.limited(inside, |from| fall_back(&mut iocb, from, locked, written));
    match (written, filled) {
        (0, Err(error)) => Err(error),
        (_, Ok(filled)) if filled == inside => {
            match extend_behind(iocb, from, &mut behind, inside, locked) {
                Io::Done(iocb, more) => Ok(Io::Done(iocb, written + filled + more)),
                queued => Ok(queued),
            }
        }
        (_, filled) => Ok(Io::Done(iocb, written + filled.unwrap_or(0))),
    }
}

/// Whether the position is behind i_size, but in the hole that i_size is in.
fn is_hole_with_end<F: Filesystem>(
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

/// A write that begins behind i_size, in the hole that i_size is in: the page cache fills that, as
/// a part of it is inside i_size, but without moving i_size; then it is for the worker.
fn extend_hole<'a, F: Filesystem>(
    iocb: Kiocb<'a, F>,
    from: &mut IovIter<'_>,
    locked: &InodeLocked<F, Exclusive>,
) -> Result<Io<'a, F>> {
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let i_size = locked.i_size_read();
    let part = bits.round_down(i_size)..i_size;
    F::fill_hole(locked, i_size)?;
    if let Err(error) = locked.write_and_wait_range(part.clone()) {
        report::tell(&iocb, true, part.clone(), Failure::Bio(error), false);
        undo(locked, part, true, i_size, bits);
        return Err(error);
    }
    match generic_file_direct_write(iocb, from, locked) {
        Ok(Io::Done(mut iocb, 0)) => {
            let written = fall_back(&mut iocb, from, locked, 0)?;
            Ok(Io::Done(iocb, written))
        }
        Ok(io) => Ok(io),
        Err((_, error)) => Err(error),
    }
}

/// The rest of a write of which the page cache has taken what is inside i_size: the position is at
/// i_size, and so is `from`. Returns how many bytes it was behind that.
///
/// `behind` is where `from` was `filled` bytes ago. The worker begins with the sector that i_size is
/// in, and so writes some of these bytes once more.
///
/// If the page cache does not let go of the page with i_size, it has to take the rest as well.
fn extend_behind<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    from: &mut IovIter<'_>,
    behind: &mut IovIter<'_>,
    filled: usize,
    locked: &InodeLocked<F, Exclusive>,
) -> Io<'a, F> {
    let i_size = iocb.pos();
    let sector = i64::from(BlockDevice::of(locked.sb()).logical_block_size());
    let again = (i_size & (sector - 1)) as usize;
    behind.advance(filled - again);
    iocb.as_mut().set_pos(i_size - again as i64);

    let (mut iocb, written) = match generic_file_direct_write(iocb, behind, locked) {
        Ok(Io::Done(iocb, written)) => (iocb, written),
        // An extend is not left to the retry.
        Ok(queued) => return queued,
        Err((mut iocb, error)) => {
            // The worker takes it that the caller is told of the error.
            report::log(&iocb, true, i_size as u64, Failure::Stopped(error));
            iocb.as_mut().set_pos(i_size);
            return Io::Done(iocb, 0);
        }
    };
    let more = written.saturating_sub(again);
    iocb.as_mut().set_pos(i_size + more as i64);
    from.advance(more);
    if written == 0 {
        let more = fall_back(&mut iocb, from, locked, filled).unwrap_or(0);
        return Io::Done(iocb, more);
    }
    Io::Done(iocb, more)
}

/// Whether a short write is short because the rest is for the page cache: what comes next is a hole
/// inside i_size, or nothing has been written, without an error. (So it is, too, when the page
/// cache would not let go of the range, and the worker was not even called.)
fn is_for_page_cache<F: Filesystem>(
    iocb: &Kiocb<'_, F>,
    locked: &InodeLocked<F, Exclusive>,
    written: usize,
) -> bool {
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let block = bits.block(iocb.pos() as u64);
    written == 0
        || block < bits.blocks(locked.i_size_read())
            && matches!(F::map(locked, block, 1), Ok(Mapping::Hole { .. }))
}

/// Writes the rest of a direct write through the page cache: what is a hole and what is not, one
/// after the other.
///
/// The data of one part is on the device before the next one begins. If the device does not take
/// it, a block that was allocated for it still holds what its previous owner left, and the page
/// cache will forget what should be there: then what was a hole becomes one again, and i_size goes
/// back. What the page cache did not even take needs none of that: the blocks that it may have
/// allocated are dirty zeroes in it, as after any buffered write, and perhaps what somebody stored
/// there through a mapping.
///
/// `before` is how many bytes of the request have been written already: after these, the caller is
/// not told of an error.
fn fall_back<F: Filesystem>(
    iocb: &mut Kiocb<'_, F>,
    from: &mut IovIter<'_>,
    locked: &InodeLocked<F, Exclusive>,
    before: usize,
) -> Result<usize> {
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let mut written = 0;
    while from.count() > 0 {
        let i_size = locked.i_size_read();
        let pos = iocb.pos() as u64;
        let end = pos + from.count() as u64;
        let (part, is_hole) = match next_part(locked, pos, end, bits) {
            Ok(part) => part,
            Err(error) => {
                let is_cut_short = before + written > 0;
                report::tell(iocb, true, pos..end, Failure::Stopped(error), is_cut_short);
                match written {
                    0 => return Err(error),
                    _ => break,
                }
            }
        };
        let len = (part.end - part.start) as usize;

        let result = from.limited(len, |from| direct_write_fallback(iocb, from, locked));
        match result {
            Ok(count) => written += count,
            Err(error) => {
                let is_cut_short = before + written > 0;
                report::tell(iocb, true, part.clone(), error.into(), is_cut_short);
                if matches!(error, FallbackError::NotOnDevice(_)) && !mutant!("fallback-kept") {
                    undo(locked, part, is_hole, i_size, bits);
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

/// The bytes from `pos` on, up to `end`, that are all in a hole, or all not. Says which.
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

/// Takes back a part that the device did not take from the page cache.
fn undo<F: Filesystem>(
    locked: &InodeLocked<F, Exclusive>,
    part: Range<u64>,
    is_hole: bool,
    i_size: u64,
    bits: BlockBits,
) {
    if locked.i_size_read() > i_size {
        locked.i_size_write(i_size);
        locked.mark_inode_dirty();
        locked.truncate_pagecache(i_size);
    }
    if is_hole {
        // Direct reads may have looked the blocks up.
        locked.dio_wait();
        let (start, end) = (bits.round_down(part.start), bits.round_up(part.end));
        locked.truncate_pagecache_range(start, end, || {
            let blocks = extent::blocks_wanted(part.start, part.end, bits);
            F::punch(locked, bits.block(start), blocks);
        });
    }
}
