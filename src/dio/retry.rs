// SPDX-License-Identifier: GPL-2.0

//! The retry: enters the worker again with a request whose bios have all ended.

use super::dio::{Dio, Retry};
use super::filesystem::Filesystem;
use super::request::Armed;
use super::step::Step;
use super::worker::direct_io_worker;
use kfs::block::bio::BioArc;
use kfs::fs::super_block::SuperBlock;
use kfs::trace;
use kfs::workqueue::Workqueue;

impl<F: Filesystem> Retry for F {
    fn queue(sb: &SuperBlock<F>) -> &Workqueue {
        &F::dio(sb).queue
    }

    fn retry(dio: BioArc<Dio<F>>, armed: Armed<F>) {
        retry(dio, armed);
    }
}

/// The retry of an asynchronous request whose bios have all ended.
///
/// Uses neither the iterator nor the mm of the submitter, and takes no lock that a submitter holds
/// while it waits.
fn retry<F: Filesystem>(dio: BioArc<Dio<F>>, armed: Armed<F>) {
    let Armed { iocb, request } = armed;
    F::dio(iocb.inode().sb()).counters.retries.inc();
    trace::dio_retry(iocb.inode(), request.start(), request.len.into());
    match direct_io_worker(iocb, dio, request, None) {
        Step::Retry(never) => match never {},
        // The last reference to kiocb, file and mount may be dropped here: touch none afterwards.
        Step::Done(iocb, result) => iocb.complete(result),
    }
}
