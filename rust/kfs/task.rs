// SPDX-License-Identifier: GPL-2.0

//! The current task: signals, the scheduler, accounting.
//!
//! [`kernel::task`] knows of signals of any kind, not of those that kill.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h),
//! [`include/linux/task_io_accounting_ops.h`](srctree/include/linux/task_io_accounting_ops.h)

use crate::bindings;

/// Whether a signal is pending that kills the current task: an operation that takes long should be
/// given up, with `EINTR`.
pub fn fatal_signal_pending() -> bool {
    // SAFETY: The function looks at the current task only.
    unsafe { bindings::fatal_signal_pending_current() }
}

/// Lets another task run, if there is one that should. May sleep.
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
