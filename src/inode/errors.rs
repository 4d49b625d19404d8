// SPDX-License-Identifier: GPL-2.0

//! What is said of an error that an operation on an inode ends with.

use crate::types::Inode;
use crate::volume::errors;
use crate::volume::fault;
use kernel::prelude::*;

/// The error of `result` for the user, as one of the volume of `inode`: see
/// [`fault::Fault`].
pub(crate) fn reported<T>(inode: &Inode, result: fault::Result<T>) -> Result<T> {
    errors::reported(inode.sb(), result)
}

/// Writes to the log that something could not be done to `inode`, which no user waits for.
pub(crate) fn log(inode: &Inode, what: &str, result: fault::Result) {
    if let Err(error) = reported(inode, result) {
        pr_err!(
            "{}: inode {}: {}: error {}\n",
            inode.sb().id(),
            inode.ino(),
            what,
            error.to_errno()
        );
    }
}
