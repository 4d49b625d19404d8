// SPDX-License-Identifier: GPL-2.0

//! One flush for many requests.
//!
//! A request that is done but for a flush of the device's cache waits for one that begins after its bios have ended.
//! So of all those that come while a flush is under way, one flushes for all the others, next. That is done in
//! process context, by the work item of this one, and there is one such work item for a mount at a time.

use core::mem;
use kernel::prelude::*;
use kfs::block::bio::{BioArc, BioArcList, BioData};
use kfs::compat::{new_spinlock_irq, SpinLockIrq};

/// The requests of a mount that wait for a flush, by their dios.
pub(crate) struct Flushes<T: BioData>(Pin<KBox<SpinLockIrq<Waiting<T>>>>);

struct Waiting<T: BioData> {
    /// One of them is queued to flush, or does.
    is_under_way: bool,
    /// Those whose bios may have ended after that has begun.
    dios: BioArcList<T>,
}

impl<T: BioData> Flushes<T> {
    /// None. May sleep; `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        let waiting = Waiting {
            is_under_way: false,
            dios: BioArcList::new(),
        };
        let lock = new_spinlock_irq!(waiting, "Flushes");
        Ok(Flushes(KBox::pin_init(lock, GFP_KERNEL)?))
    }

    /// Has a request wait. Gives it back if it has to flush: it is to be queued for that. Any context.
    pub(super) fn join(&self, dio: BioArc<T>) -> Option<BioArc<T>> {
        let mut waiting = self.0.lock();
        if !mem::replace(&mut waiting.is_under_way, true) || mutant!("flush-alone") {
            return Some(dio);
        }
        // It cannot be in a list, or queued, already: the state machine kicks a request once.
        let _ = waiting.dios.push(dio);
        None
    }

    /// Those whose bios have ended. Any context.
    pub(super) fn take(&self) -> BioArcList<T> {
        mem::take(&mut self.0.lock().dios)
    }

    /// Ends a flush: the one that is to flush next, if any is waiting. Any context.
    pub(super) fn next(&self) -> Option<BioArc<T>> {
        let mut waiting = self.0.lock();
        let next = waiting.dios.pop();
        waiting.is_under_way = next.is_some();
        next
    }
}
