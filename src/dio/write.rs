// SPDX-License-Identifier: GPL-2.0

//! Direct writes and their fallback to the page cache.

use super::extent::BlockBits;
use super::filesystem::{Filesystem, Mapping};
use kernel::prelude::*;
use kfs::generic_io::{direct_write_fallback, file_modified, generic_file_direct_write};
use kfs::inode_lock::{Exclusive, InodeLocked};
use kfs::iov_iter::IovIter;
use kfs::kiocb::{Io, Kiocb};
use kfs::trace;

/// A direct write that has passed its checks: the worker's part, and the rest of it through the page
/// cache if the worker stopped at a hole (R9).
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
            let written = direct_write_fallback(&mut iocb, from, locked, written)?;
            Ok(Io::Done(iocb, written))
        }
        io => Ok(io),
    }
}

/// Whether a short write is short because the rest is for the page cache: what comes next is a hole
/// inside i_size, or nothing has been written, without an error. (So it is, too, when the page cache
/// would not let go of the range, and the worker was not even called.)
fn is_for_page_cache<F: Filesystem>(
    iocb: &Kiocb<'_, F>,
    locked: &InodeLocked<F, Exclusive>,
    written: usize,
) -> bool {
    let bits = BlockBits::new(locked.sb().blocksize_bits().into());
    let block = bits.block(iocb.pos() as u64);
    written == 0
        || block < bits.blocks(locked.i_size_read())
            && matches!(F::map(locked, block, 1), Ok(Mapping::Hole { .. }))
}
