// SPDX-License-Identifier: GPL-2.0

//! Memory barriers between CPUs, told by a type which accesses they order: before 7.3 there is a function for each.
//!
//! C header: [`include/asm-generic/barrier.h`](srctree/include/asm-generic/barrier.h)

use kernel::sync::barrier::{smp_mb as smp_full, smp_rmb, smp_wmb};

/// Orders loads.
pub struct Read;

/// Orders stores.
pub struct Write;

/// Orders all accesses.
pub struct Full;

/// Which accesses a barrier orders.
pub trait MemoryBarrier {
    /// The barrier.
    fn run();
}

impl MemoryBarrier for Read {
    #[inline(always)]
    fn run() {
        smp_rmb();
    }
}

impl MemoryBarrier for Write {
    #[inline(always)]
    fn run() {
        smp_wmb();
    }
}

impl MemoryBarrier for Full {
    #[inline(always)]
    fn run() {
        smp_full();
    }
}

/// A barrier for the accesses that its argument names.
#[inline(always)]
pub fn smp_mb<T: MemoryBarrier>(_: T) {
    T::run();
}
