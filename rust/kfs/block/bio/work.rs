// SPDX-License-Identifier: GPL-2.0

//! What an owner of bios has done in process context.
//!
//! The work item lies beside the owner ([`Deferral`]), so that queueing it takes no memory.
//!
//! A pool of workers tells work by the item and its function: while one of the pool runs it, the same is run by
//! no other one of the pool, but by this one, next, also if it was queued on another workqueue. So what has to go
//! on when the rest of what an owner does is waiting needs a function of its own, which every `W` of
//! [`BioWork`] has. Nobody may rely on one run being the last before the next: the item is initialised each time
//! that it is queued, and knows nothing of the pool in which it ran before. In another one they overlap.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use super::arc::{BioArc, WithOwner};
use super::deferral::Deferral;
use super::front::BioData;
use crate::bindings;
use crate::task::MaySleep;
use crate::workqueue::Workqueue;
use core::mem::offset_of;
use core::ptr::NonNull;
use kernel::sync::atomic::ordering;
use kernel::types::Opaque;

/// An owner of bios that has something done in process context: what is called `W`.
pub trait BioWork<W>: BioData {
    /// What is to be done. For each `W` something else, or the compiler may make one function of them.
    ///
    /// If the owner is queued again while this runs, the two calls may overlap, also of the same `W`.
    fn run(this: BioArc<Self>, may_sleep: MaySleep<'_>);
}

impl<T: BioData> BioArc<T> {
    /// Has [`BioWork::run`] called once, by a worker of `queue`. Any context. Gives the reference back if
    /// it is to be called already.
    pub fn queue<W>(self, queue: &Workqueue) -> Result<(), Self>
    where
        T: BioWork<W>,
    {
        let front = self.into_front();
        // SAFETY: The reference keeps the structure until the work runs, and takes it over.
        // INVARIANT: The work item is initialised and queued below.
        unsafe {
            let deferral = &raw mut (*front.as_ptr()).deferral;
            if (*deferral).queued.xchg(1, ordering::Full) != 0 {
                return Err(BioArc::from_front(front));
            }
            let work = Opaque::cast_into(&raw const (*deferral).work);
            bindings::INIT_WORK(work, Some(run::<T, W>));
            bindings::queue_work(queue.as_raw(), work);
        }
        Ok(())
    }
}

/// # Safety
///
/// Called by a workqueue for a work item that [`BioArc::queue`] has queued.
unsafe extern "C" fn run<T: BioWork<W>, W>(work: *mut bindings::work_struct) {
    // SAFETY: By the requirement it is the field of such a structure, which exists, as the reference that
    // was given up in `queue` is taken here.
    let this = unsafe {
        let deferral = work.byte_sub(offset_of!(Deferral, work)).cast::<Deferral>();
        // INVARIANT: Not queued any more.
        (*deferral).queued.store(0, ordering::Release);
        let front = deferral.byte_sub(offset_of!(WithOwner<T>, deferral)).cast();
        BioArc::<T>::from_front(NonNull::new_unchecked(front))
    };
    // SAFETY: A worker calls this in process context, without a lock.
    let may_sleep = unsafe { MaySleep::new() };
    T::run(this, may_sleep);
}
