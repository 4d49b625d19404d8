// SPDX-License-Identifier: GPL-2.0

//! The kernel log.
//!
//! C header: [`include/linux/printk.h`](srctree/include/linux/printk.h)

use crate::bindings;
use kernel::prelude::*;

/// Whether a message that may come often may be logged now: by the limit of
/// `/proc/sys/kernel/printk_ratelimit`. What was suppressed is counted under the name `who`. Does
/// not sleep.
pub fn ratelimit(who: &'static CStr) -> bool {
    // SAFETY: The argument is a terminated string, and static.
    unsafe { bindings::__printk_ratelimit(who.as_char_ptr()) != 0 }
}
