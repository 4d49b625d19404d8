// SPDX-License-Identifier: GPL-2.0

//! Workqueues of a filesystem.
//!
//! [`kernel::workqueue::Queue`] is used as it is; the kernel crate has no constructor for one
//! beside those of the system, so [`Workqueue`] owns what `alloc_workqueue` returns.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::workqueue::Queue;

/// A workqueue that makes progress when memory is short, because a thread of its own takes over
/// when no worker can be created (`WQ_MEM_RECLAIM`). Work runs on the CPU that queued it.
///
/// Use it as a [`Queue`]. Dropping it waits for all work that was queued, and sleeps:
///
/// ```ignore
/// let queue = Workqueue::new(c"retryfs-dio")?;
/// queue.enqueue(item);
/// ```
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
                bindings::wq_flags_WQ_MEM_RECLAIM | bindings::wq_flags_WQ_PERCPU,
                0,
                name.as_char_ptr(),
            )
        };
        // INVARIANT: It was just made and is given to nobody else.
        Ok(Workqueue(NonNull::new(wq).ok_or(ENOMEM)?))
    }
}

impl Deref for Workqueue {
    type Target = Queue;

    #[inline]
    fn deref(&self) -> &Queue {
        // SAFETY: By the type invariant the workqueue is valid until `self` is dropped.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for Workqueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the workqueue is valid and ours to destroy; nobody borrows
        // it any more, so nothing is queued from here on.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
