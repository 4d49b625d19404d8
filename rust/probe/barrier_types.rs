// SPDX-License-Identifier: GPL-2.0

//! `smp_mb()` is told by a type which accesses it orders (7.3); before that, there is a function for each.

/// Compiles if it is.
pub fn probe() {
    kernel::sync::barrier::smp_mb(kernel::sync::barrier::Read);
}
