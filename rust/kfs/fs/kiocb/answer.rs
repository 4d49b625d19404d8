// SPDX-License-Identifier: GPL-2.0

//! What a request is answered with.
//!
//! Callers rely on two things. What was read or written is no more than was asked for: splice takes so much of its pages. And
//! `-EIOCBQUEUED` says that the kiocb was given away, and nothing else: who waits for such a request does so for ever, or takes the
//! machine down. Filesystems give numbers and errors, of which no type says that they are such.
//!
//! This knows nothing of the kernel; `tests/host` compiles it, too.

/// `EIO`.
const EIO: i32 = 5;
/// The number of the error that means that a request is answered later.
pub(super) const EIOCBQUEUED: i32 = 529;

/// The answer of a request for `asked` bytes, or more if that is `u32::MAX`, of which `count` were read or written. If that cannot be,
/// `Err` with what is said instead.
#[inline(always)]
pub(super) fn count(asked: u32, count: usize) -> Result<isize, isize> {
    match count > asked as usize && !cfg!(mutant = "kfs-count-believed") {
        true => more_than(asked, count),
        false => Ok(count as isize),
    }
}

#[cold]
fn more_than(asked: u32, count: usize) -> Result<isize, isize> {
    match isize::try_from(count) {
        Ok(count) if asked == u32::MAX => Ok(count),
        _ => Err(asked as isize),
    }
}

/// The answer of a request that failed, by the negative number of the error. If that is none of a request, `Err` with what is said
/// instead.
#[inline]
pub(super) fn error(errno: i32) -> Result<isize, isize> {
    if errno == -EIOCBQUEUED && !cfg!(mutant = "kfs-queued-by-error") {
        return Err(-EIO as isize);
    }
    Ok(errno as isize)
}
