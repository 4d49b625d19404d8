// SPDX-License-Identifier: GPL-2.0

//! Stopping the machine.
//!
//! C header: [`include/linux/panic.h`](srctree/include/linux/panic.h)

use crate::bindings;
use kernel::prelude::*;

/// Stops the machine. For filesystems whose user has asked for that (`errors=panic`).
// Inlined, as objtool knows by name which functions do not return.
#[inline(always)]
pub fn panic(reason: &CStr) -> ! {
    // SAFETY: The format takes one string, which is terminated.
    unsafe { bindings::panic(c"retryfs: %s\n".as_char_ptr(), reason.as_char_ptr()) }
}
