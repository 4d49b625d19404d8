// SPDX-License-Identifier: GPL-2.0

//! The `kernel` crate has a spinlock that is taken with interrupts disabled (7.3).

/// Compiles if it has.
pub use kernel::sync::{new_spinlock_irq, SpinLockIrq};
