// SPDX-License-Identifier: GPL-2.0

//! Reporting errors of the device to the administrator.
//!
//! The caller of a short read or write gets a count and no error, and a caller that gets an error
//! may not report it. So errors are also reported by fanotify (`FAN_FS_ERROR`), and, when the
//! caller gets none, by a line in the log.
//!
//! Not reported are errors that the caller has caused (`ENOSPC`, `EFAULT`), `ENOMEM`, which the
//! kernel logs itself, and corruption, which [`crate::volume`] reports.

use super::outcome::{Failure, Outcome};
use core::ops::Range;
use kernel::prelude::*;
use kfs::compat::EOPNOTSUPP;
use kfs::fs::kiocb::{Iocb, KiocbOwner};

/// Whether a failure is reported: if it comes from the device. A bio has no other; `EIO` is the one
/// among the errors that stop the worker or a buffered write.
fn is_reported<F: KiocbOwner>(iocb: &Iocb<F>, failure: &Failure<Error>) -> bool {
    match failure {
        // A device that cannot be polled says so.
        Failure::Bio(error) if *error == EOPNOTSUPP => !iocb.is_polled(),
        Failure::Bio(error) => *error != EAGAIN,
        Failure::Stopped(error) => *error == EIO,
    }
}

/// Reports the failure in `outcome`, if there is one, for a request that ends at byte `end`.
/// `is_cut_short`: the caller gets a short count, and so no error. Does not sleep.
#[inline]
pub(super) fn outcome<F: KiocbOwner>(
    iocb: &Iocb<F>,
    is_write: bool,
    outcome: &Outcome<Error>,
    end: u64,
    is_cut_short: bool,
) {
    if let Some((pos, failure)) = outcome.failure() {
        report(iocb, is_write, pos..end, failure, is_cut_short);
    }
}

/// Reports a failure in the bytes `range` of the file. `is_cut_short` as for [`outcome`].
pub(super) fn report<F: KiocbOwner>(
    iocb: &Iocb<F>,
    is_write: bool,
    range: Range<u64>,
    failure: Failure<Error>,
    is_cut_short: bool,
) {
    if !is_reported(iocb, &failure) {
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

/// Logs a failure at byte `pos` of the file, if it is one to report.
pub(super) fn log<F: KiocbOwner>(
    iocb: &Iocb<F>,
    is_write: bool,
    pos: u64,
    failure: Failure<Error>,
) {
    let (Failure::Bio(error) | Failure::Stopped(error)) = failure;
    if is_reported(iocb, &failure) && !mutant!("short-unlogged") {
        iocb.log_dio_error(is_write, pos, error);
    }
}
