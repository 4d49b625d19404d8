// SPDX-License-Identifier: GPL-2.0

//! Time of day, random numbers, the current task, and the end of everything.

use crate::bindings;
use kernel::prelude::*;

/// Seconds since 1970.
pub fn real_seconds() -> i64 {
    // SAFETY: The function may be called in any context.
    unsafe { bindings::ktime_get_real_seconds() }
}

/// Whether somebody wants the current task to die: what may take long should be given up.
pub fn fatal_signal_pending() -> bool {
    // SAFETY: The function looks at the current task only.
    unsafe { bindings::fatal_signal_pending_current() }
}

/// Lets another task run, if there is one that should. May sleep.
pub fn cond_resched() {
    // SAFETY: The function may be called wherever sleeping is allowed.
    unsafe { bindings::cond_resched() }
}

/// A random number.
pub fn random_u32() -> u32 {
    // SAFETY: The function may be called in any context.
    unsafe { bindings::get_random_u32() }
}

/// Stops the machine. For filesystems whose user has asked for that (`errors=panic`).
// Inlined, as objtool knows by name which functions do not return.
#[inline(always)]
pub fn panic(reason: &CStr) -> ! {
    // SAFETY: The format takes one string, which is terminated.
    unsafe { bindings::panic(c"retryfs: %s\n".as_char_ptr(), reason.as_char_ptr()) }
}
