// SPDX-License-Identifier: GPL-2.0

//! What is done about a volume that is corrupt, or whose metadata cannot be written.

use crate::ext2::superblock::{self, OnError};
use crate::ext2::Corrupt;
use crate::types::SuperBlock;
use crate::volume::fault::{self, Fault};
use crate::volume::state::Volume;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::block::bdev::BlockDevice;

impl Volume {
    /// Looks whether metadata could not be written, whoever tried: `sync(2)`, or the kernel in the
    /// background, where nobody is told. May sleep.
    ///
    /// The volume is treated like one that is corrupt: what could not be written may be lost, and
    /// the rest does not go with it. Whoever has a file open is told by `syncfs(2)`.
    pub(crate) fn check_device(&self, sb: &SuperBlock) {
        if !BlockDevice::of(sb).has_new_write_error(&self.write_errors) {
            return;
        }
        sb.set_wb_err(EIO);
        if !self.write_failed.xchg(true, ordering::Relaxed) {
            pr_err!(
                "{}: metadata could not be written: run e2fsck after unmounting\n",
                sb.id()
            );
            self.error(sb);
        }
    }

    /// Deals with a volume that turned out to be corrupt: writes one line to the log, tells who
    /// listens (fanotify), marks the volume to be checked, and does what the option `errors=` says.
    pub(crate) fn corrupt(&self, sb: &SuperBlock, corrupt: &Corrupt) {
        pr_err!("{}: corrupt: {}\n", sb.id(), corrupt);
        if !mutant!("corruption-untold") {
            sb.report_metadata_error(corrupt.ino().map(u64::from), EUCLEAN);
        }
        self.error(sb);
    }

    /// Marks the volume to be checked, and does what the option `errors=` says.
    fn error(&self, sb: &SuperBlock) {
        if sb.rdonly() || self.is_stopped() {
            return;
        }
        if self
            .update_superblock(true, |bytes, _| superblock::mark_error(bytes))
            .is_err()
        {
            pr_err!("{}: cannot mark the volume as having errors\n", sb.id());
        }
        match self.options().on_error {
            OnError::Continue => {}
            OnError::RemountReadOnly => {
                pr_crit!(
                    "{}: the volume is not changed any more from now on: run e2fsck\n",
                    sb.id()
                );
                self.stopped.store(true, ordering::Relaxed);
            }
            OnError::Panic => kfs::panic::panic(c"the volume is corrupt and errors=panic is set"),
        }
    }
}

impl Fault {
    /// Returns the error for the user. Corruption is written to the log and dealt with as the
    /// option `errors=` says, and is `EUCLEAN` to the user.
    pub(crate) fn report(self, sb: &SuperBlock) -> Error {
        match self {
            Fault::Corrupt(corrupt) => {
                sb.data().corrupt(sb, &corrupt);
                EUCLEAN
            }
            Fault::Error(error) => error,
        }
    }
}

/// The error of `result` for the user: see [`Fault::report`].
pub(crate) fn reported<T>(sb: &SuperBlock, result: fault::Result<T>) -> Result<T> {
    result.map_err(|fault| fault.report(sb))
}
