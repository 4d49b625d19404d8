// SPDX-License-Identifier: GPL-2.0

//! Reading and writing files that use the page cache: the kernel's generic functions.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked, Mode, Shared};
use crate::fs::inode::Inode;
use crate::fs::kiocb::{CallDest, CallSource, Io, Kiocb, KiocbOwner};
use crate::fs::writeback_errors::WritebackErrors;
use crate::iov::{part_of, IovIter};
use kernel::error::to_result;
use kernel::prelude::*;

/// Reads through the page cache, what is inside i_size when it is called. After an error the kiocb
/// comes back with it. May sleep.
///
/// io_uring may have it not wait for a page, and make another call when that is there (`IOCB_WAITQ`): the kiocb is as good as
/// queued. So it waits all the same if something hangs on the kiocb, which would be lost at that other call.
///
/// `filemap_read` looks at i_size when it has a page already, and without a lock: if a direct write
/// has extended the file in between, the page has zeroes where the data is. A page that is looked
/// up after i_size has been seen has the data up to there.
#[inline]
pub fn filemap_read<'a, F: KiocbOwner>(
    mut iocb: Kiocb<'a, F>,
    to: CallDest<'a>,
) -> Result<Io<'a, F>, (Kiocb<'a, F>, Error)> {
    let count = to.get(&iocb).count();
    let left = iocb.inode().left_to_read(iocb.pos(), count);
    if left == 0 {
        if count > 0 {
            iocb.accessed(iocb.may_sleep());
        }
        return Ok(Io::Done(iocb, 0));
    }
    if !iocb.is_bare() {
        // SAFETY: The kiocb is valid and ours.
        unsafe { (*iocb.as_raw()).ki_flags &= !bindings::IOCB_WAITQ };
    }
    // SAFETY: It is used as long as the kiocb was not given away.
    let part = unsafe { part_of(to.get(&iocb), left) };
    // SAFETY: Kiocb and iterator are valid, and ours until the kiocb is queued. The function returns what a `read_iter`
    // function does, and that it is queued only if nothing hangs on the kiocb.
    let mut io = unsafe { iocb.call(|iocb| bindings::filemap_read(iocb, part.as_raw(), 0)) };
    // If it has queued the request, it has read nothing.
    if let Ok(Io::Done(iocb, _)) | Err((iocb, _)) = &mut io {
        to.get_mut(iocb).advance(left - part.count());
    }
    io
}

impl<F: FileSystemData> Inode<F> {
    /// How many of the `count` bytes from `pos` on are inside i_size now.
    #[inline]
    pub(super) fn left_to_read(&self, pos: i64, count: usize) -> usize {
        if cfg!(mutant = "kfs-read-moving-end") {
            return count;
        }
        let left = self.i_size_read().saturating_sub(pos as u64);
        usize::try_from(left).map_or(count, |left| left.min(count))
    }
}

/// Writes back what the page cache has of the range, and calls `direct_IO` to read it. The iterator
/// and the position are advanced by what was read. May sleep, unless the kiocb must not.
///
/// `EINVAL` if the request is counted on the inode: that is for `direct_IO`, which may give the kiocb away.
#[inline]
pub fn generic_file_direct_read<'a, F: KiocbOwner>(
    iocb: Kiocb<'a, F>,
    to: CallDest<'a>,
) -> Result<Io<'a, F>> {
    let count = to.get(&iocb).count();
    if count == 0 {
        return Ok(Io::Done(iocb, 0));
    }
    if iocb.is_counted() {
        return Err(EINVAL);
    }
    // It may be advanced by more than is read.
    // SAFETY: It is used as long as the kiocb was not given away.
    let all = unsafe { part_of(to.get(&iocb), count) };
    let read = |iocb: *mut bindings::kiocb| {
        // SAFETY: Kiocb and iterator are valid, and ours until `direct_IO` has queued the kiocb.
        unsafe {
            let ret = bindings::kiocb_write_and_wait(iocb, count);
            if ret < 0 {
                return ret as isize;
            }
            bindings::file_accessed((*iocb).ki_filp);
            direct_io(iocb, all.as_raw())
        }
    };
    // SAFETY: The closure returns what a `read_iter` function does; when `direct_IO` has queued the
    // kiocb it only returns. The request is not counted, and with the kiocb `direct_IO` gave `private` away.
    let mut io = unsafe { iocb.call(read) }.map_err(|(_, error)| error)?;
    if let Io::Done(iocb, count) = &mut io {
        iocb.as_mut().advance(*count);
        to.get_mut(iocb).advance(*count);
    }
    Ok(io)
}

/// Calls `direct_IO`; returns what that does.
///
/// # Safety
///
/// The kiocb must be of an open file of a filesystem with a `direct_IO` function, and it and the
/// iterator be the caller's, until the kiocb is queued. For a write the inode lock must be held.
unsafe fn direct_io(iocb: *mut bindings::kiocb, iter: *mut bindings::iov_iter) -> isize {
    // SAFETY: By the requirement; the table of an inode in use does not change.
    unsafe {
        let mapping = (*(*iocb).ki_filp).f_mapping;
        match (*(*mapping).a_ops).direct_IO {
            Some(direct_io) => direct_io(iocb, iter),
            None => EINVAL.to_errno() as isize,
        }
    }
}

/// Checks whether and where the write may be done, under the lock, which the position depends on
/// when appending. Returns how many bytes may be written; the iterator is cut to these.
///
/// `EINVAL` if it is another inode that is locked.
#[inline]
pub fn generic_write_checks<'a, F: KiocbOwner, M: Mode>(
    iocb: &mut Kiocb<'a, F>,
    from: CallSource<'a>,
    locked: &InodeLocked<F, M>,
) -> Result<usize> {
    if !locked.is(iocb.inode()) {
        return Err(EINVAL);
    }
    // SAFETY: Kiocb and iterator are valid, and ours.
    let ret = unsafe { bindings::generic_write_checks(iocb.as_raw(), from.as_raw()) };
    usize::try_from(ret).map_err(|_| Error::from_errno(ret as i32))
}

/// As [`generic_write_checks`], for a write that appends at byte `end`, which may be past i_size.
pub fn generic_write_checks_behind<'a, F: KiocbOwner>(
    iocb: &mut Kiocb<'a, F>,
    from: CallSource<'a>,
    locked: &InodeLocked<F, Exclusive>,
    end: u64,
) -> Result<usize> {
    iocb.as_mut()
        .set_pos(i64::try_from(end).map_err(|_| EFBIG)?);
    let append = bindings::IOCB_APPEND;
    // SAFETY: The kiocb is valid and ours.
    unsafe { (*iocb.as_raw()).ki_flags &= !append };
    let checked = generic_write_checks(iocb, from, locked);
    // SAFETY: As above.
    unsafe { (*iocb.as_raw()).ki_flags |= append };
    checked
}

/// Writes through the page cache. The lock is held for the whole call.
///
/// `EINVAL` for a direct write, which is for [`generic_file_direct_write`]: the kernel's function would revert the iterator by what `direct_IO` has
/// truncated it by. The same if it is another inode that is locked, or if the request is counted, as for [`generic_file_direct_read`].
#[inline]
pub fn __generic_file_write_iter<'a, F: KiocbOwner>(
    iocb: Kiocb<'a, F>,
    from: CallSource<'a>,
    locked: &InodeLocked<F, Exclusive>,
) -> Result<Io<'a, F>> {
    if iocb.is_direct() || !locked.is(iocb.inode()) || iocb.is_counted() {
        return Err(EINVAL);
    }
    // SAFETY: Kiocb and iterator are valid and ours, and the lock of the inode is held. The
    // function returns what a `write_iter` function does, and queues nothing that is not direct. The request is not counted.
    let done =
        unsafe { iocb.call(|iocb| bindings::__generic_file_write_iter(iocb, from.as_raw())) };
    locked.inc_iversion();
    done.map_err(|(_, error)| error)
}

/// Does what has to be done to a file that is about to be modified: takes away its set-id bits and
/// updates its times. `EAGAIN` if that would wait and the request must not.
///
/// `EINVAL` if it is another inode that is locked.
#[inline]
pub fn kiocb_modified<F: KiocbOwner>(
    iocb: &mut Kiocb<'_, F>,
    locked: &InodeLocked<F, Exclusive>,
) -> Result {
    if !locked.is(iocb.inode()) {
        return Err(EINVAL);
    }
    // SAFETY: The kiocb is valid and ours, its file is open, and the lock of its inode is held.
    to_result(unsafe { bindings::kiocb_modified(iocb.as_raw()) })?;
    locked.inc_iversion();
    Ok(())
}

/// As [`kiocb_modified`], with the lock held shared: false, and nothing is done, if the file may
/// have set-id bits or a capability, which only the exclusive owner of the lock takes away.
///
/// `EINVAL` if it is another inode that is locked.
#[inline]
pub fn kiocb_modified_nosec<F: KiocbOwner>(
    iocb: &mut Kiocb<'_, F>,
    locked: &InodeLocked<F, Shared>,
) -> Result<bool> {
    if !locked.is(iocb.inode()) {
        return Err(EINVAL);
    }
    // SAFETY: The inode is valid.
    if !unsafe { bindings::IS_NOSEC(locked.as_raw()) } {
        return Ok(false);
    }
    // SAFETY: The kiocb is valid and ours, and its file is open. Without anything to take away it
    // changes the times only, which writers may do side by side. The flag stays: who clears it has
    // the lock exclusively.
    to_result(unsafe { bindings::kiocb_modified(iocb.as_raw()) })?;
    locked.inc_iversion();
    Ok(true)
}

/// Invalidates the page cache for the range, and calls `direct_IO` to write it. Writes nothing if a
/// page of the range cannot be invalidated. The lock is held for the whole call, in a mode that
/// `direct_IO` finds out. May sleep, unless the kiocb must not.
///
/// What the kernel's function of this name does afterwards is left to `direct_IO`: moving i_size,
/// and invalidating the range again. That has an order, and must not be done twice: who sees the
/// new i_size may store to the pages.
///
/// The iterator and the position are advanced by what was written; after an error they are where
/// they were, and the kiocb comes back with it. `EINVAL` if it is another inode that is locked, or if the
/// request is counted, as for [`generic_file_direct_read`].
#[inline]
pub fn generic_file_direct_write<'a, F: KiocbOwner, M: Mode>(
    iocb: Kiocb<'a, F>,
    from: CallSource<'a>,
    locked: &InodeLocked<F, M>,
) -> Result<Io<'a, F>, (Kiocb<'a, F>, Error)> {
    let count = from.get(&iocb).count();
    if !locked.is(iocb.inode()) || iocb.is_counted() {
        return Err((iocb, EINVAL));
    }
    if count == 0 {
        return Ok(Io::Done(iocb, 0));
    }
    // It may be advanced by more than is written.
    // SAFETY: It is used as long as the kiocb was not given away.
    let all = unsafe { part_of(from.get(&iocb), count) };
    let write = |iocb: *mut bindings::kiocb| {
        // SAFETY: Kiocb and iterator are valid, and ours until `direct_IO` has queued the kiocb; the
        // lock of the inode is held.
        unsafe {
            match bindings::kiocb_invalidate_pages(iocb, count) {
                0 => {}
                ret if ret == EBUSY.to_errno() => return 0,
                ret => return ret as isize,
            }
            direct_io(iocb, all.as_raw())
        }
    };
    // SAFETY: The closure returns what a `write_iter` function does; when `direct_IO` has queued the
    // kiocb it only returns. The request is not counted, and with the kiocb `direct_IO` gave `private` away.
    let mut io = unsafe { iocb.call(write) }?;
    if let Io::Done(iocb, count) = &mut io {
        iocb.as_mut().advance(*count);
        from.get_mut(iocb).advance(*count);
    }
    Ok(io)
}

/// How [`direct_write_fallback`] fails.
#[derive(Clone, Copy)]
pub enum FallbackError {
    /// The page cache took nothing (`EFAULT`, `ENOSPC`, `ENOMEM`, `EINTR`, ...).
    NotTaken(Error),
    /// The page cache took it, and it could not be written back.
    NotOnDevice(Error),
}

impl From<FallbackError> for Error {
    fn from(error: FallbackError) -> Error {
        match error {
            FallbackError::NotTaken(error) | FallbackError::NotOnDevice(error) => error,
        }
    }
}

/// Writes the next `bytes` bytes, or what is left, through the page cache, and from there to the device, and drops them from the
/// page cache: what a direct write leaves to be written so. Returns the number of bytes written.
///
/// After an error the position is where it was. If the page cache took the data, nothing is known
/// to be on the device; blocks may have been allocated, and the size of the file may have moved. An
/// error in writing back anything else of the file meanwhile is taken for one of this write.
///
/// `EINVAL` if it is another inode that is locked.
#[inline]
pub fn direct_write_fallback<'a, F: KiocbOwner>(
    iocb: &mut Kiocb<'a, F>,
    from: CallSource<'a>,
    bytes: usize,
    locked: &InodeLocked<F, Exclusive>,
) -> Result<usize, FallbackError> {
    if !locked.is(iocb.inode()) {
        return Err(FallbackError::NotTaken(EINVAL));
    }
    let pos = iocb.pos();
    let errors = WritebackErrors::watch(locked);
    let bytes = bytes.min(from.get(iocb).count());
    // SAFETY: It is used here, and the kiocb is not given away.
    let part = unsafe { part_of(from.get(iocb), bytes) };
    // SAFETY: Kiocb and iterator are valid and ours, and the lock of the inode is held.
    let buffered = unsafe { bindings::generic_perform_write(iocb.as_raw(), part.as_raw()) };
    from.get_mut(iocb).advance(bytes - part.count());
    if buffered < 0 {
        return Err(FallbackError::NotTaken(Error::from_errno(buffered as i32)));
    }
    // SAFETY: As above; so many bytes before the position are in the page cache.
    let ret = unsafe { bindings::direct_write_fallback(iocb.as_raw(), part.as_raw(), 0, buffered) };
    let written = usize::try_from(ret)
        .map_err(|_| FallbackError::NotOnDevice(Error::from_errno(ret as i32)))?;
    let on_device = errors.check();
    if let (Err(error), false) = (on_device, cfg!(mutant = "kfs-fallback-flag")) {
        // SAFETY: The kiocb is valid and ours.
        unsafe { (*iocb.as_raw()).ki_pos = pos };
        return Err(FallbackError::NotOnDevice(error));
    }
    Ok(written)
}
