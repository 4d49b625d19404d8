// SPDX-License-Identifier: GPL-2.0

//! The work item of an owner of bios.
//!
//! It is initialised when it is queued: most owners are done where their last bio has ended.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use kernel::sync::atomic::Atomic;
use kernel::types::Opaque;

/// The work item of an owner.
///
/// # Invariants
///
/// While `queued` is not 0, `work` is initialised and queued, and owns a reference to the owner; or
/// the one who has set it is about to do that.
pub(super) struct Deferral {
    pub(super) queued: Atomic<u32>,
    pub(super) work: Opaque<bindings::work_struct>,
}

impl Deferral {
    /// Makes one that is not queued.
    ///
    /// # Safety
    ///
    /// `this` must be valid for writes, and not be used by anybody else.
    #[inline]
    pub(super) unsafe fn init(this: *mut Self) {
        // SAFETY: By the requirement. The work item is not looked at before it is queued.
        unsafe { (&raw mut (*this).queued).write(Atomic::new(0)) };
    }
}
