// SPDX-License-Identifier: GPL-2.0

//! Random numbers.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use crate::bindings;

/// A random number, good enough for a key. May be called in any context.
pub fn random_u32() -> u32 {
    // SAFETY: The function may be called in any context.
    unsafe { bindings::get_random_u32() }
}
