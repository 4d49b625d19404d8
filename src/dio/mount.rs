// SPDX-License-Identifier: GPL-2.0

//! What the worker keeps for a mount.

use super::counters::Counters;
use super::dio::{Dio, Retry};
use kernel::prelude::*;
use kfs::block::bio::{BioArcSet, BioSet};
use kfs::workqueue::Workqueue;

/// Bios that are kept in reserve for when memory is short.
const BIO_RESERVE: u32 = 4;

/// What the worker keeps for a mount.
pub(crate) struct Mount<F: Retry> {
    /// Where retries run. It has to make progress when memory is short, since memory may be short
    /// because of pages that are pinned for, or were written by, requests that wait here (R15).
    pub(super) queue: Workqueue,
    /// Where requests come from, each with its first bio. A submitter that waits for one waits
    /// for another request to be completed, and has none itself.
    pub(super) dios: BioArcSet<Dio<F>>,
    /// Where further bios come from. A submitter that waits for a bio waits for one that another
    /// request has reaped, and reaping needs no bio.
    pub(super) bios: BioSet<u64>,
    /// What has been done.
    pub(crate) counters: Counters,
}

impl<F: Retry> Mount<F> {
    /// Sets up the worker for a mount.
    pub(crate) fn new() -> Result<Self> {
        Ok(Mount {
            queue: Workqueue::new(c"retryfs-dio")?,
            dios: BioArcSet::new(BIO_RESERVE)?,
            bios: BioSet::new(BIO_RESERVE)?,
            counters: Counters::new(),
        })
    }
}
