// SPDX-License-Identifier: GPL-2.0

//! Reporting an error that an operation on an inode ends with.

use crate::types::{Inode, SuperBlock};
use crate::volume::errors;
use crate::volume::fault;
use kernel::prelude::*;

/// Turns a fault into an errno; corruption is reported as one of the volume of `inode`. May sleep.
/// See [`fault::Fault`].
pub(crate) fn reported<T>(inode: &Inode, result: fault::Result<T>) -> Result<T> {
    errors::reported(inode.sb(), result)
}

/// Logs an error of freeing something, that has no caller to return it to. `what` says what could
/// not be freed of `inode`: it leaks, and the volume is not marked clean. May sleep.
pub(crate) fn log(inode: &Inode, what: &str, result: fault::Result) {
    log_of(inode.sb(), inode.ino(), what, result);
}

/// Like [`log`], of the inode with the number `ino`, which is not in memory any more.
pub(crate) fn log_of(sb: &SuperBlock, ino: u64, what: &str, result: fault::Result) {
    if let Err(error) = errors::reported(sb, result) {
        sb.data().set_leaked();
        pr_err!(
            "{}: inode {}: {}: error {}\n",
            sb.id(),
            ino,
            what,
            error.to_errno()
        );
    }
}
