// SPDX-License-Identifier: GPL-2.0

//! Errors of writeback of a file, without taking them from `fsync` or from other observers.
//!
//! C header: [`include/linux/errseq.h`](srctree/include/linux/errseq.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use core::ffi::c_int;
use kernel::error::to_result;
use kernel::prelude::*;

/// Watches the writeback errors of a file, from [`WritebackErrors::watch`] until dropped.
///
/// `filemap_write_and_wait_range` looks at flags of the mapping (`AS_EIO`), which the first to look
/// clears: that may be a read or a sync of another part of the file meanwhile. The error sequence
/// of the mapping is not cleared. While it is watched it is marked as seen, as an unseen error
/// would hide the next one; in the end that is undone.
pub(crate) struct WritebackErrors<'a, F: FileSystemData> {
    locked: &'a InodeLocked<F, Exclusive>,
    since: bindings::errseq_t,
    /// The error that nobody had seen before, negative, or 0.
    unseen: c_int,
}

impl<'a, F: FileSystemData> WritebackErrors<'a, F> {
    /// Watches from now on. The inode lock has to be held because two observers at a time could
    /// each undo the mark of the other. Does not sleep.
    pub(crate) fn watch(locked: &'a InodeLocked<F, Exclusive>) -> Self {
        let mut errors = WritebackErrors {
            locked,
            since: 0,
            unseen: 0,
        };
        let wb_err = errors.wb_err();
        // SAFETY: The error sequence of a valid mapping, as below.
        errors.since = unsafe { bindings::errseq_sample(wb_err) };
        // SAFETY: As above.
        errors.unseen = unsafe { bindings::errseq_check_and_advance(wb_err, &mut errors.since) };
        errors
    }

    /// The error that happened since, if any: of the whole file.
    pub(crate) fn check(&self) -> Result {
        // SAFETY: The error sequence of a valid mapping.
        to_result(unsafe { bindings::errseq_check(self.wb_err(), self.since) })
    }

    fn wb_err(&self) -> *mut bindings::errseq_t {
        // SAFETY: By the invariants of `Inode` it is valid, and so is its mapping as long.
        unsafe { &raw mut (*(*self.locked.as_raw()).i_mapping).wb_err }
    }
}

impl<F: FileSystemData> Drop for WritebackErrors<'_, F> {
    fn drop(&mut self) {
        let kept = self.unseen != 0 && self.check().is_ok();
        if kept && !cfg!(mutant = "kfs-error-forgotten") {
            // SAFETY: The error sequence of a valid mapping. Nobody had seen the error when it was
            // marked as seen: to all who ask, it is one that they have not seen.
            unsafe { bindings::errseq_set(self.wb_err(), self.unseen) };
        }
    }
}
