// SPDX-License-Identifier: GPL-2.0

//! The work item of an owner of bios, and its place in a list.
//!
//! Both are initialised when they are used: most owners are done where their last bio has ended.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use kernel::sync::atomic::Atomic;
use kernel::types::Opaque;

/// The work item of an owner, and its place in a list.
///
/// # Invariants
///
/// While `queued` is not 0, `work` is initialised and queued, or `next` is that of a
/// [`BioArcList`](super::BioArcList), and either owns a reference to the owner; or the one who has set it is about to
/// do that.
pub(super) struct Deferral {
    pub(super) queued: Atomic<u32>,
    pub(super) work: Opaque<bindings::work_struct>,
    pub(super) next: UnsafeCell<Option<NonNull<Deferral>>>,
}

impl Deferral {
    /// Makes one that is not queued.
    ///
    /// # Safety
    ///
    /// `this` must be valid for writes, and not be used by anybody else.
    #[inline]
    pub(super) unsafe fn init(this: *mut Self) {
        // SAFETY: By the requirement. Nothing else is looked at before it is queued.
        unsafe { (&raw mut (*this).queued).write(Atomic::new(0)) };
    }
}
