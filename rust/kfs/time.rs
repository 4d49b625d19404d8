// SPDX-License-Identifier: GPL-2.0

//! Time of day.
//!
//! The kernel crate has clocks ([`kernel::time::Instant`]), but gives out differences alone.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use crate::bindings;

/// Seconds since 1970.
pub fn real_seconds() -> i64 {
    // SAFETY: The function may be called in any context.
    unsafe { bindings::ktime_get_real_seconds() }
}

/// Nanoseconds since 1970.
pub(crate) fn real_nanoseconds() -> u64 {
    // SAFETY: The function may be called in any context but that of an NMI.
    unsafe { bindings::ktime_get_real_ns() }
}

/// A time as the VFS has it: `struct timespec64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timespec {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds after these, less than 10^9.
    pub nanoseconds: u32,
}
