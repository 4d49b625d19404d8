// SPDX-License-Identifier: GPL-2.0

//! Errors of functions below the operations tables.

use crate::ext2::features::Named;
use crate::ext2::superblock::MountError;
use crate::ext2::Corrupt;
use kernel::alloc::AllocError;
use kernel::prelude::*;

/// An error that has not been reported yet.
///
/// Where an operation ends, `Fault::report` turns it into an errno. So corruption is reported once,
/// with what and where.
pub(crate) enum Fault {
    /// The volume is corrupt.
    Corrupt(Corrupt),
    /// Anything else: no space, no memory, a device that fails.
    Error(Error),
}

impl Fault {
    /// Whether it is the fault of one block, so that others may be sound: it is corrupt, or the
    /// device cannot read it.
    pub(crate) fn is_of_block(&self) -> bool {
        match self {
            Fault::Corrupt(_) => true,
            Fault::Error(error) => *error == EIO,
        }
    }
}

impl From<Corrupt> for Fault {
    fn from(corrupt: Corrupt) -> Self {
        Fault::Corrupt(corrupt)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Error(error)
    }
}

impl From<AllocError> for Fault {
    fn from(error: AllocError) -> Self {
        Fault::Error(error.into())
    }
}

/// Implements the kernel's `Display`, for `pr_err!`, by that of `core`, which [`crate::ext2`] uses.
macro_rules! display_in_log {
    ($($type:ty),*) => {
        $(impl kernel::fmt::Display for $type {
            fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        })*
    };
}

display_in_log!(Corrupt, MountError, Named);

/// The result of functions below the operations tables.
pub(crate) type Result<T = (), E = Fault> = core::result::Result<T, E>;
