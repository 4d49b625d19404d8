// SPDX-License-Identifier: GPL-2.0

//! The state of the worker for a mount, and for all of them.

use super::counters::Counters;
use super::dio::{Dio, Retry};
use super::flush::Flushes;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kfs::block::bio::{BioArcSet, BioSet, PartSet};

/// The number of bios in the reserve of a mempool.
const BIO_RESERVE: u32 = 4;

/// Dios that have been freed, for the next requests of all mounts.
pub(crate) struct DioCache<F: Retry>(pub(super) BioArcSet<Dio<F>>);

impl<F: Retry> DioCache<F> {
    /// Sets the cache up. May sleep; `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        // Its reserve is not used: a request that has to wait for a dio waits for one of its mount.
        BioArcSet::new_cached(1).map(DioCache)
    }
}

/// The state of the worker for a mount.
pub(crate) struct Mount<F: Retry> {
    /// The mempool of dios, each with its first bio, for when memory is short. A submitter that
    /// sleeps for one holds none, and waits for another request to complete; none that has one waits
    /// for a lock of it. Not shared by mounts: one may be on a file of another.
    pub(super) dios: BioArcSet<Dio<F>>,
    /// The mempool of further bios. A submitter that sleeps for one has none in flight, and waits
    /// for another request to reap one, which needs no memory.
    pub(super) bios: BioSet<u64>,
    /// The mempool of parts of bios. Who sleeps for one waits for the device, or for a limit of a cgroup.
    pub(super) parts: PartSet,
    /// How many requests are punted, and not issued.
    pub(super) punted: Atomic<u32>,
    /// The requests that wait for a flush.
    pub(super) flushes: Flushes<Dio<F>>,
    /// The statistics.
    pub(crate) counters: Counters,
}

impl<F: Retry> Mount<F> {
    /// Sets up the worker for a mount. May sleep; `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Mount {
            dios: match mutant!("dios-cached-by-mount") {
                true => BioArcSet::new_cached(BIO_RESERVE)?,
                false => BioArcSet::new(BIO_RESERVE)?,
            },
            bios: BioSet::new(BIO_RESERVE)?,
            parts: PartSet::new(BIO_RESERVE)?,
            punted: Atomic::new(0),
            flushes: Flushes::new()?,
            counters: Counters::new(),
        })
    }
}
