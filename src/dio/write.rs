// SPDX-License-Identifier: GPL-2.0

//! Direct writes and their fallback to the page cache.

use super::extent::{self, BlockBits};
use super::filesystem::{Filesystem, Mapping};
use core::ops::Range;
use kernel::prelude::*;
use kfs::generic_io::{direct_write_fallback, file_modified, generic_file_direct_write};
use kfs::inode_lock::{Exclusive, InodeLocked};
use kfs::iov_iter::IovIter;
use kfs::kiocb::{Io, Kiocb};
use kfs::trace;

/// A direct write that has passed its checks: the worker's part, and the rest of it through the
/// page cache if the worker stopped at a hole (R9).
///
/// If the worker stopped for another reason, the write is short. It does not go on through the page
/// cache: that would move i_size before it is known whether the device takes the data, and what
/// stopped the worker (no space, no memory at that address, a broken device) stops that as well.
pub(crate) fn direct_write<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    from: &mut IovIter<'_>,
    locked: &InodeLocked<F, Exclusive>,
) -> Result<Io<'a, F>> {
    let len = from.count();
    file_modified(&mut iocb, locked)?;
    match generic_file_direct_write(iocb, from, locked)? {
        Io::Done(mut iocb, written)
            if written < len && is_for_page_cache(&iocb, locked, written) =>
        {
            F::dio(locked.sb()).counters.buffered_fallback.inc();
            trace::dio_fallback(locked, iocb.pos() as u64, (len - written) as i64);
            F::direct_writes_wait(locked);
            match (written, fall_back(&mut iocb, from, locked)) {
                (0, Err(error)) => Err(error),
                (_, Err(_)) => Ok(Io::Done(iocb, written)),
                (_, Ok(more)) => Ok(Io::Done(iocb, written + more)),
            }
        }
        io => Ok(io),
    }
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
/// back.
fn fall_back<F: Filesystem>(
    iocb: &mut Kiocb<'_, F>,
    from: &mut IovIter<'_>,
    locked: &InodeLocked<F, Exclusive>,
) -> Result<usize> {
    let bits = BlockBits::new(locked.sb().blocksize_bits());
    let mut written = 0;
    while from.count() > 0 {
        let i_size = locked.i_size_read();
        let pos = iocb.pos() as u64;
        let end = pos + from.count() as u64;
        let (part, is_hole) = match next_part(locked, pos, end, bits) {
            Ok(part) => part,
            Err(error) if written == 0 => return Err(error),
            Err(_) => break,
        };
        let len = (part.end - part.start) as usize;

        let result = from.limited(len, |from| direct_write_fallback(iocb, from, locked));
        match result {
            Ok(count) => written += count,
            Err(_) if mutant!("fallback-kept") => {}
            Err(_) => undo(locked, part, is_hole, i_size, bits),
        }
        match result {
            Ok(count) if count == len => {}
            Err(error) if written == 0 => return Err(error),
            _ => break,
        }
    }
    Ok(written)
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
