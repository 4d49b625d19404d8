// SPDX-License-Identifier: GPL-2.0

//! Telling of a device that fails.
//!
//! The caller of a request that is cut short is told of the bytes before alone, and a caller who is
//! told of an error may be a program that keeps it to itself. So who looks after the filesystem is
//! told as well: always by fanotify (`FAN_FS_ERROR`), and by the log if nobody else is told.
//!
//! What the caller has brought about is no business of theirs: no space, no memory at that address.
//! Nor is no memory at all, of which the kernel's log is full by then, or what is corrupt, of which
//! [`crate::volume`] tells.

use super::outcome::{Failure, Outcome};
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::kiocb::{Iocb, KiocbOwner};

/// Whether to tell of it. What a bio ends with is what the device says; what stopped the worker, or
/// the page cache, may be many things, of which this is the one that comes from a device.
fn is_told(failure: &Failure<Error>) -> bool {
    match failure {
        Failure::Bio(error) => *error != EAGAIN,
        Failure::Stopped(error) => *error == EIO,
    }
}

/// Tells of what has failed in a request whose last byte is before `end`. `is_cut_short` says that
/// the caller is told of the bytes before it, and so not of the error.
pub(super) fn outcome<F: KiocbOwner>(
    iocb: &Iocb<F>,
    is_write: bool,
    outcome: &Outcome<Error>,
    end: u64,
    is_cut_short: bool,
) {
    if let Some((pos, failure)) = outcome.failure() {
        tell(iocb, is_write, pos..end, failure, is_cut_short);
    }
}

/// Tells of what has failed in the bytes `range` of the file.
pub(super) fn tell<F: KiocbOwner>(
    iocb: &Iocb<F>,
    is_write: bool,
    range: Range<u64>,
    failure: Failure<Error>,
    is_cut_short: bool,
) {
    if !is_told(&failure) {
        return;
    }
    if is_cut_short {
        log(iocb, is_write, range.start, failure);
    }
    let (Failure::Bio(error) | Failure::Stopped(error)) = failure;
    if !mutant!("failure-untold") {
        iocb.report_dio_error(is_write, range, error);
    }
}

/// Writes to the log what has failed at byte `pos` of the file, if that is to be told.
pub(super) fn log<F: KiocbOwner>(
    iocb: &Iocb<F>,
    is_write: bool,
    pos: u64,
    failure: Failure<Error>,
) {
    let (Failure::Bio(error) | Failure::Stopped(error)) = failure;
    if is_told(&failure) && !mutant!("short-unlogged") {
        iocb.log_dio_error(is_write, pos, error);
    }
}
