// SPDX-License-Identifier: GPL-2.0

//! Workqueues of a filesystem.
//!
//! The kernel crate has no constructor for a workqueue beside those of the system, so [`Workqueue`] owns
//! what `alloc_workqueue` returns.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A workqueue that makes progress when memory is short, because a thread of its own takes over
/// when no worker can be created (`WQ_MEM_RECLAIM`). Work runs on any CPU (`WQ_UNBOUND`): the one that
/// queued it may be kept busy by a task that waits for the work.
///
/// Dropping it waits for all work that was queued, and sleeps.
///
/// # Invariants
///
/// The pointer is a workqueue from `alloc_workqueue` that nobody else destroys.
pub struct Workqueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Workqueues may be used and destroyed by any thread.
unsafe impl Send for Workqueue {}
// SAFETY: The functions of the workqueue lock for themselves.
unsafe impl Sync for Workqueue {}

impl Workqueue {
    /// Makes a workqueue whose rescuer thread is called `name`. May sleep. `ENOMEM`.
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The format takes one string, and the arguments are valid for the call. The flags
        // say per-CPU xor unbound, as they must.
        let wq = unsafe {
            bindings::alloc_workqueue_noprof(
                c"%s".as_char_ptr(),
                bindings::wq_flags_WQ_MEM_RECLAIM | bindings::wq_flags_WQ_UNBOUND,
                0,
                name.as_char_ptr(),
            )
        };
        // INVARIANT: It was just made and is given to nobody else.
        Ok(Workqueue(NonNull::new(wq).ok_or(ENOMEM)?))
    }

    /// The C workqueue.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::workqueue_struct {
        self.0.as_ptr()
    }
}

impl Drop for Workqueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the workqueue is valid and ours to destroy; nobody borrows
        // it any more, so nothing is queued from here on.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
