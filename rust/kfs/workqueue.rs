// SPDX-License-Identifier: GPL-2.0

//! The workqueues of a mount.
//!
//! They lie with the data of the mount, and are destroyed right before these, after the last inode. So there are only
//! borrows of them, and no work can be the one that drops its queue, and then waits for itself.
//!
//! None is `s_dio_done_wq` of the super block: the VFS destroys that before `put_super`, which may ask for it, and the
//! kernel's own `sb_init_dio_done_wq` makes one whose work is bound to the CPU that queued it.
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
    /// Makes a workqueue called `what` for the device `id`, which the caller has to destroy. May sleep.
    /// `ENOMEM`.
    pub(crate) fn alloc(what: &CStr, id: &CStr) -> Result<NonNull<bindings::workqueue_struct>> {
        let cpus = match cfg!(mutant = "kfs-wq-bound") {
            true => bindings::wq_flags_WQ_PERCPU,
            false => bindings::wq_flags_WQ_UNBOUND,
        };
        // SAFETY: The format takes two strings, and the arguments are valid for the call. The flags
        // say per-CPU xor unbound, as they must.
        let wq = unsafe {
            bindings::alloc_workqueue_noprof(
                c"%s/%s".as_char_ptr(),
                bindings::wq_flags_WQ_MEM_RECLAIM | cpus,
                0,
                what.as_char_ptr(),
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

/// A workqueue that is destroyed with this, which waits for what is queued.
///
/// # Invariants
///
/// A workqueue from [`Workqueue::alloc`] that nobody else destroys.
pub(crate) struct OwnedWorkqueue(NonNull<bindings::workqueue_struct>);

// SAFETY: A workqueue may be used and destroyed by any thread.
unsafe impl Send for OwnedWorkqueue {}
// SAFETY: The functions of the workqueue lock for themselves.
unsafe impl Sync for OwnedWorkqueue {}

impl OwnedWorkqueue {
    /// Makes one, as [`Workqueue::alloc`].
    ///
    /// # Safety
    ///
    /// Work of the queue must not drop it, and it must be dropped before the module may go.
    pub(crate) unsafe fn new(what: &CStr, id: &CStr) -> Result<Self> {
        // INVARIANT: It is not given to anybody else.
        Workqueue::alloc(what, id).map(Self)
    }

    /// The workqueue.
    #[inline]
    pub(crate) fn get(&self) -> &Workqueue {
        // SAFETY: By the type invariant it is one, and it is not destroyed while `self` is borrowed; the
        // rest is the contract of `new`.
        unsafe { Workqueue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for OwnedWorkqueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is ours to destroy, and nobody borrows it any more, so that
        // nobody queues work. By the contract of `new` this is no work of its own.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
