// SPDX-License-Identifier: GPL-2.0

//! The retry: enters the worker again with a request whose bios have all ended.
//!
//! Uses neither the iterator nor the mm of the submitter, and takes no lock that a submitter holds
//! while it waits.

use super::complete::dio_bio_reap;
use super::dio::{Dio, Kick, Retry};
use super::filesystem::Filesystem;
use super::flush::Flushes;
use super::kick::defer;
use super::new_blocks;
use super::punt;
use super::request::{Armed, Dsync, Single};
use super::single;
use super::step::{Atomic, Context, Kicked, Step};
use super::worker::{direct_io_worker, Enter};
use core::convert::Infallible;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::EndedBio;
use kfs::task::MaySleep;
use kfs::trace;
use kfs::workqueue::Workqueue;

impl<F: Filesystem> Retry for F {
    fn kicked(armed: &Armed<F>) {
        let (inode, request) = (armed.iocb.inode(), &armed.request);
        F::dio(inode.sb()).counters.retries.inc();
        trace::dio_retry(inode, request.start(), request.len.into());
    }

    fn queued(armed: &Armed<F>) {
        let request = &armed.request;
        // Or else it was counted before its blocks were linked, or the cache was flushed.
        if !request.new_blocks.is_finished && !matches!(request.dsync, Dsync::Flushed(_)) {
            F::dio(armed.iocb.inode().sb())
                .counters
                .retries_queued
                .inc();
        }
    }

    fn retry_wq(armed: &Armed<F>) -> &Workqueue {
        armed.iocb.inode().sb().dio_done_wq()
    }

    fn link_wq(armed: &Armed<F>) -> Option<&Workqueue> {
        if !armed.request.new_blocks.is_pending() {
            return None;
        }
        // It is there: `async_alloc` has made it. Without it the retry would link, like a submitter.
        armed.iocb.inode().sb().dio_link_wq()
    }

    fn flushes(armed: &Armed<F>) -> &Flushes<Dio<F>> {
        &F::dio(armed.iocb.inode().sb()).flushes
    }

    fn issue_flush(armed: &Armed<F>, _: MaySleep<'_>) -> Result {
        BlockDevice::of(armed.iocb.inode().sb()).issue_flush()
    }

    fn retry_atomic(kick: Kick<F>) -> Option<Kick<F>> {
        let Kick { dio, armed, bios } = kick;
        let Armed { iocb, request, .. } = armed;
        let enter = Enter::Retry(bios);
        match direct_io_worker(Kicked(iocb), dio, request, enter, Err(Atomic)) {
            Step::Retry(kick) => Some(kick),
            // The last reference to kiocb, file and mount may be dropped here: touch none afterwards.
            Step::Done(Kicked(iocb), result) => {
                iocb.complete(result);
                None
            }
        }
    }

    fn retry_single(single: Single<F>, bio: EndedBio<Dio<F>>) {
        single::retry(single, bio);
    }

    fn link(kick: Kick<F>, may_sleep: MaySleep<'_>) {
        let Kick {
            dio,
            armed,
            mut bios,
        } = kick;
        let Armed {
            iocb, mut request, ..
        } = armed;
        let context: Context<'_, Infallible> = Ok(may_sleep);
        let Ok(()) = dio_bio_reap(&mut bios, &mut request.outcome, context);
        let behind = new_blocks::finish(iocb.inode(), None, &mut request, may_sleep);
        let armed = Armed {
            iocb,
            request,
            punted: None,
        };
        // To submit what was behind it may have to wait for the device, or be throttled; this request has not to. Work is told apart by
        // the address of its item and its function: if that were free by then, the work of who has it next would wait for this.
        let kept = behind.as_ref().map(|_| dio.clone());
        defer(Kick { dio, armed, bios });
        if let Some(behind) = behind {
            behind.submit();
        }
        drop(kept);
    }

    fn issue_punted(kick: Kick<F>, may_sleep: MaySleep<'_>) {
        punt::issue(kick, may_sleep);
    }

    fn retry(kick: Kick<F>, may_sleep: MaySleep<'_>) {
        let Kick { dio, armed, bios } = kick;
        let Armed { iocb, request, .. } = armed;
        let enter = Enter::Retry(bios);
        match direct_io_worker(iocb, dio, request, enter, Ok(may_sleep)) {
            Step::Retry(never) => match never {},
            // As above.
            Step::Done(iocb, result) => iocb.complete(result),
        }
    }
}
