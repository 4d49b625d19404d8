// SPDX-License-Identifier: GPL-2.0

//! Direct writes side by side: overwrites of allocated blocks inside i_size.
//!
//! Such a write changes neither the block map nor i_size, and needs the inode lock only to keep
//! others from doing so: shared. All that needs more takes the lock exclusively, from the start: a
//! hole, a write past i_size, set-id bits or a capability to be taken away, pages that cannot be
//! invalidated.

use super::extent::{self, BlockBits};
use super::filesystem::{Filesystem, Mapping};
use super::nowait;
use super::single::{self, NotWritten};
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bio::Op;
use kfs::fs::generic_io::{generic_file_direct_write, kiocb_modified_nosec};
use kfs::fs::inode::lock::{InodeLocked, Shared};
use kfs::fs::kiocb::{CallSource, Io, Kiocb};
use kfs::iov::IovIter;

/// How [`direct_overwrite`] ends.
pub(crate) enum Overwrite<'a, F: Filesystem> {
    /// As a write does.
    Written(Io<'a, F>),
    /// Nothing is written: that takes the lock exclusively. The request is counted, if it is true.
    NeedsExclusive(Kiocb<'a, F>, bool),
}

/// Writes `from` at the position of `iocb`, after `generic_write_checks`, if that is an overwrite.
///
/// `locked` is the inode lock, which the caller holds for the whole call. May sleep, unless the
/// kiocb is `IOCB_NOWAIT`: then `EAGAIN` if it would block.
pub(crate) fn direct_overwrite<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    from: CallSource<'a>,
    locked: &InodeLocked<F, Shared>,
) -> Result<Overwrite<'a, F>> {
    let end = iocb.pos() as u64 + from.get(&iocb).count() as u64;
    let i_size = locked.i_size_read();
    if end > i_size || mutant!("overwrite-exclusive") {
        return Ok(Overwrite::NeedsExclusive(iocb, false));
    }
    if iocb.is_nowait() {
        if nowait::may_fill(&iocb, locked) {
            return Ok(Overwrite::NeedsExclusive(iocb, false));
        }
        nowait::check(
            &iocb,
            from.get(&iocb),
            locked,
            Op::Write,
            i_size,
            Some(locked),
        )?;
    }
    if !nowait::modified(locked.sb(), kiocb_modified_nosec(&mut iocb, locked))? {
        return Ok(Overwrite::NeedsExclusive(iocb, false));
    }
    let iocb = match single::overwrite(iocb, from, locked) {
        Ok(ended) => return ended.map(Overwrite::Written),
        // So the worker would find, and write nothing.
        Err(NotWritten::InHole(iocb)) if !iocb.is_nowait() && !mutant!("overwrite-unchecked") => {
            return Ok(Overwrite::NeedsExclusive(iocb, false));
        }
        Err(NotWritten::Here(iocb) | NotWritten::InHole(iocb)) => iocb,
    };
    let is_counted = !iocb.is_nowait();
    if is_counted {
        F::dio(locked.sb()).counters.requests_write.inc();
    }
    match generic_file_direct_write(iocb, from, locked) {
        Ok(Io::Done(iocb, 0)) => Ok(Overwrite::NeedsExclusive(iocb, is_counted)),
        Ok(io) => Ok(Overwrite::Written(io)),
        Err((_, error)) => Err(error),
    }
}

/// Looks up the blocks of `bytes`, which are inside i_size. Returns the first run of blocks, or
/// `None` if one of the blocks is a hole. May sleep.
pub(super) fn allocated<F: Filesystem>(
    locked: &InodeLocked<F, Shared>,
    bytes: Range<u64>,
    bits: BlockBits,
) -> Result<Option<Mapping>> {
    let mut first = None;
    let mut pos = bytes.start;
    while pos < bytes.end {
        let wanted = extent::blocks_wanted(pos, bytes.end, bits);
        match F::map(locked, bits.block(pos), wanted)? {
            mapping @ Mapping::Mapped { len, .. } => {
                first = first.or(Some(mapping));
                pos = extent::run(pos, bytes.end, len, bits).end;
            }
            Mapping::Hole { .. } if mutant!("overwrite-unchecked") => break,
            Mapping::Hole { .. } => return Ok(None),
        }
    }
    Ok(first)
}
