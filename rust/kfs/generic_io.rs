// SPDX-License-Identifier: GPL-2.0

//! The kernel's generic read and write, for files that use the page cache.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::inode_lock::{Exclusive, InodeLocked};
use crate::iov_iter::IovIter;
use crate::kiocb::{Io, Kiocb, KiocbOwner};
use kernel::prelude::*;

/// Reads through the page cache, or, for a direct request, calls `direct_IO` and reads what that
/// leaves through the page cache.
#[inline]
pub fn generic_file_read_iter<'a, F: KiocbOwner>(
    iocb: Kiocb<'a, F>,
    iter: &mut IovIter<'_>,
) -> Result<Io<'a, F>> {
    // SAFETY: Kiocb and iterator are valid, and ours. The function returns what a `read_iter`
    // function does; after `direct_IO` has queued the kiocb it only returns.
    unsafe { iocb.call(|iocb| bindings::generic_file_read_iter(iocb, iter.as_ptr())) }
}

/// Checks whether and where the write may be done, under the lock, which the position depends on
/// when appending. Returns how many bytes may be written; the iterator is cut to these.
///
/// `EINVAL` if it is another inode that is locked.
#[inline]
pub fn generic_write_checks<F: KiocbOwner>(
    iocb: &mut Kiocb<'_, F>,
    iter: &mut IovIter<'_>,
    locked: &InodeLocked<F, Exclusive>,
) -> Result<usize> {
    if !locked.is(iocb.inode()) {
        return Err(EINVAL);
    }
    // SAFETY: Kiocb and iterator are valid, and ours.
    let ret = unsafe { bindings::generic_write_checks(iocb.as_ptr(), iter.as_ptr()) };
    usize::try_from(ret).map_err(|_| Error::from_errno(ret as i32))
}

/// Writes through the page cache, or, for a direct request, calls `direct_IO` and writes what that
/// leaves through the page cache. The lock is held for the whole call.
///
/// `EINVAL` if it is another inode that is locked.
#[inline]
pub fn __generic_file_write_iter<'a, F: KiocbOwner>(
    iocb: Kiocb<'a, F>,
    iter: &mut IovIter<'_>,
    locked: &InodeLocked<F, Exclusive>,
) -> Result<Io<'a, F>> {
    if !locked.is(iocb.inode()) {
        return Err(EINVAL);
    }
    // SAFETY: Kiocb and iterator are valid and ours, and the lock of the inode is held. The function returns what a `write_iter`
    // function does; after `direct_IO` has queued the kiocb it only returns.
    unsafe { iocb.call(|iocb| bindings::__generic_file_write_iter(iocb, iter.as_ptr())) }
}
