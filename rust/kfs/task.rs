// SPDX-License-Identifier: GPL-2.0

//! The current task: signals, the scheduler, accounting; and the context: whether it may sleep, and how
//! deep it is in something.
//!
//! [`kernel::task`] knows of signals of any kind, not of those that kill.
//!
//! C headers: `rust/helpers/nested.h`, [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h),
//! [`include/linux/task_io_accounting_ops.h`](srctree/include/linux/task_io_accounting_ops.h)

use crate::bindings;
use core::marker::PhantomData;
use kernel::types::NotThreadSafe;

/// Evidence that this context may sleep: it is that of a task, and not an interrupt or one that a lock
/// keeps from sleeping.
///
/// What may sleep, and what takes locks that an interrupt may have come upon, of the methods of a request and of a bio that has
/// ended, takes it as an argument: these are in the hands of who is told that a bio has ended, and cannot be called there. It is good as
/// long as what it was got from, and on this task only.
///
/// It is no evidence for what takes none. The locks of an inode, to which a request leads; reading a block of metadata;
/// allocating the owner of a bio; flushing the cache of a device: these say that they may sleep, and it is for the filesystem to see to that.
#[derive(Clone, Copy)]
pub struct MaySleep<'a>(PhantomData<&'a ()>, NotThreadSafe);

impl MaySleep<'_> {
    /// # Safety
    ///
    /// The context must be one that may sleep, for the life time of the value.
    #[inline]
    pub(crate) unsafe fn new() -> Self {
        MaySleep(PhantomData, NotThreadSafe)
    }

    /// Lets another task run, if there is one that should.
    #[inline]
    pub fn cond_resched(self) {
        cond_resched();
    }
}

/// So many at most of a thing that may be begun within itself, on one stack. See [`Nested::enter`].
///
/// # Invariants
///
/// `kfs_nested_enter` was called by this context, and its end is owed.
pub struct Nested(NotThreadSafe);

impl Nested {
    /// Begins one, which ends when the value is dropped. `None` if this CPU is in the midst of `max` of
    /// them already, one within the other or within what interrupted it, or in tasks that were preempted on it. Until the end the task
    /// stays on its CPU. Any context.
    #[inline]
    pub fn enter(max: u32) -> Option<Self> {
        // SAFETY: The function may be called in any context.
        let depth = unsafe { bindings::kfs_nested_enter() };
        // INVARIANT: It was called.
        let this = Nested(NotThreadSafe);
        (depth <= max || cfg!(mutant = "kfs-nested-unbounded")).then_some(this)
    }
}

impl Drop for Nested {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::kfs_nested_exit() };
    }
}

/// Whether a signal is pending that kills the current task: an operation that takes long should be
/// given up, with `EINTR`.
pub fn fatal_signal_pending() -> bool {
    // SAFETY: The function looks at the current task only.
    unsafe { bindings::fatal_signal_pending_current() }
}

/// Lets another task run, if there is one that should. May sleep. For who is called by the VFS; where a bio may have ended there is
/// [`MaySleep::cond_resched`].
pub fn cond_resched() {
    // SAFETY: The function may be called wherever sleeping is allowed.
    unsafe { bindings::cond_resched() }
}

/// Accounts `bytes` bytes to the current task, as written by it.
#[inline]
pub fn task_io_account_write(bytes: usize) {
    // SAFETY: Changes a counter of the current task.
    unsafe { bindings::task_io_account_write(bytes) };
}

/// Accounts `bytes` bytes to the current task, as read by it.
#[inline]
pub fn task_io_account_read(bytes: usize) {
    // SAFETY: Changes a counter of the current task.
    unsafe { bindings::task_io_account_read(bytes) };
}

/// Whether what the current task does may as well be done by a worker: the task is none whose allocations are restricted, as it
/// writes back, or serves what does (`memalloc_noio_save()`, `PR_SET_IO_FLUSHER`); and is no worker of io_uring, which is there to
/// sleep for somebody.
#[inline]
pub fn may_be_punted() -> bool {
    const NOT: u32 = bindings::PF_MEMALLOC
        | bindings::PF_MEMALLOC_NOFS
        | bindings::PF_MEMALLOC_NOIO
        | bindings::PF_LOCAL_THROTTLE
        | bindings::PF_IO_WORKER;
    // SAFETY: Reads a field of the current task.
    unsafe { bindings::current_flags() & NOT == 0 }
}
