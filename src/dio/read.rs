// SPDX-License-Identifier: GPL-2.0

//! Direct reads.

use super::filesystem::Filesystem;
use super::nowait;
use super::policy::Block;
use super::single;
use kernel::prelude::*;
use kfs::fs::generic_io::{filemap_read, generic_file_direct_read};
use kfs::fs::kiocb::{CallDest, Io, Kiocb};
use kfs::iov::IovIter;

/// Reads to `to` from the position of `iocb`: by the worker, and what that leaves inside i_size by
/// buffered I/O: what the device could not read, perhaps only because it was much at once, and what
/// the file was extended by meanwhile. Returns the number of bytes, or `Queued`.
///
/// The inode lock is not held. May sleep, unless the kiocb is `IOCB_NOWAIT`: then `EAGAIN` if it
/// would block.
#[inline(always)]
pub(crate) fn direct_read<'a, F: Filesystem>(
    iocb: Kiocb<'a, F>,
    to: CallDest<'a>,
) -> Result<Io<'a, F>> {
    let iocb = match single::read(iocb, to) {
        Ok(ended) => return ended,
        Err(iocb) => iocb,
    };
    read_by_worker(iocb, to)
}

/// [`direct_read`] of what is no request of one bio.
#[inline(never)]
fn read_by_worker<'a, F: Filesystem>(iocb: Kiocb<'a, F>, to: CallDest<'a>) -> Result<Io<'a, F>> {
    if iocb.is_nowait() {
        let end = iocb.pos().saturating_add(to.get(&iocb).count() as i64);
        if iocb.range_needs_writeback(iocb.pos(), end) {
            return Err(nowait::would_block(iocb.inode().sb(), Block::Pages));
        }
    }
    let (iocb, read) = match generic_file_direct_read(iocb, to)? {
        Io::Done(iocb, read) => (iocb, read),
        queued => return Ok(queued),
    };
    if to.get(&iocb).count() == 0 || iocb.pos() as u64 >= iocb.inode().i_size_read() {
        return Ok(Io::Done(iocb, read));
    }
    match filemap_read(iocb, to) {
        Ok(Io::Done(iocb, more)) => Ok(Io::Done(iocb, read + more)),
        Err((iocb, _)) if read > 0 => Ok(Io::Done(iocb, read)),
        Err((_, error)) => Err(error),
        Ok(queued) => Ok(queued),
    }
}
