// SPDX-License-Identifier: GPL-2.0

//! Completions that are waited for as I/O.
//!
//! [`kernel::sync::Completion`] cannot be extended to it: its `struct completion` is private, and
//! it has neither `complete` nor `wait_for_completion_io`.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)

use crate::bindings;
use crate::types::DropInAtomic;
use kernel::prelude::*;
use kernel::time::msecs_to_jiffies;
use kernel::types::Opaque;

/// How long a task sleeps at once. The limit of the kernel cannot be read by a module; it is of minutes as a rule.
const PIECE_MSECS: u32 = 2000;

/// Lets a task sleep until another context has signalled that some I/O is done.
///
/// Unlike [`kernel::sync::Completion`], the time spent waiting is accounted as I/O wait, and one
/// signal lets one waiter go.
#[pin_data]
pub struct Completion {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: Nothing is done to drop it.
unsafe impl DropInAtomic for Completion {}
// SAFETY: A completion may be used and freed by any thread.
unsafe impl Send for Completion {}
// SAFETY: The functions called by the methods lock the completion for themselves.
unsafe impl Sync for Completion {}

impl Completion {
    /// A completion that has not been signalled.
    #[inline]
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is valid for writes and pinned.
                unsafe { bindings::init_completion(slot) };
            }),
        })
    }

    /// Lets one waiter go, now or when it comes. May be called in any context.
    #[inline]
    pub fn complete(&self) {
        // SAFETY: The completion was initialised by `new`.
        unsafe { bindings::complete(self.inner.get()) };
    }

    /// Sleeps, uninterruptibly and as I/O wait, until [`Completion::complete`] has been called.
    ///
    /// In short pieces, where the kernel looks for tasks that hang: I/O may take longer than it lets a task sleep at once
    /// (`kernel.hung_task_timeout_secs`), as with `blk_wait_io()`, which cannot be called by a module.
    #[inline]
    pub fn wait_for_completion_io(&self) {
        let inner = self.inner.get();
        if !cfg!(CONFIG_DETECT_HUNG_TASK) || cfg!(mutant = "kfs-io-wait-unbroken") {
            // SAFETY: The completion was initialised by `new`.
            unsafe { bindings::wait_for_completion_io(inner) };
            return;
        }
        let piece = msecs_to_jiffies(PIECE_MSECS);
        // SAFETY: As above.
        while unsafe { bindings::wait_for_completion_io_timeout(inner, piece) } == 0 {}
    }
}
