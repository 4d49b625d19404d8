// SPDX-License-Identifier: GPL-2.0

//! The workqueue of a mount.
//!
//! It is `s_dio_done_wq` of the super block, which the VFS destroys when the mount is shut down: after the
//! last inode, and before the data of the mount. So there are only borrows of it, and no work can be
//! the one that drops it, and then waits for itself.
//!
//! The kernel's own `sb_init_dio_done_wq` makes one whose work is bound to the CPU that queued it.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::types::Opaque;

/// A workqueue that makes progress when memory is short, because a thread of its own takes over
/// when no worker can be created (`WQ_MEM_RECLAIM`). Work runs on any CPU (`WQ_UNBOUND`): the one that
/// queued it may be kept busy by a task that waits for the work.
///
/// # Invariants
///
/// A workqueue from [`Workqueue::alloc`]. It is destroyed, which waits for what is queued, when nobody
/// borrows it any more, not by work of its own, and before the module that borrowed it may go.
#[repr(transparent)]
pub struct Workqueue(Opaque<bindings::workqueue_struct>);

// SAFETY: The functions of the workqueue lock for themselves.
unsafe impl Sync for Workqueue {}

impl Workqueue {
    /// Makes a workqueue for the device `id`, which the caller has to destroy. May sleep. `ENOMEM`.
    pub(crate) fn alloc(id: &CStr) -> Result<NonNull<bindings::workqueue_struct>> {
        // SAFETY: The format takes one string, and the arguments are valid for the call. The flags
        // say per-CPU xor unbound, as they must.
        let wq = unsafe {
            bindings::alloc_workqueue_noprof(
                c"dio/%s".as_char_ptr(),
                bindings::wq_flags_WQ_MEM_RECLAIM | bindings::wq_flags_WQ_UNBOUND,
                0,
                id.as_char_ptr(),
            )
        };
        NonNull::new(wq).ok_or(ENOMEM)
    }

    /// # Safety
    ///
    /// `wq` must satisfy the type invariants for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(wq: *mut bindings::workqueue_struct) -> &'a Self {
        // SAFETY: By the requirement; the type is transparent.
        unsafe { &*wq.cast() }
    }

    /// The C workqueue.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::workqueue_struct {
        self.0.get()
    }
}
