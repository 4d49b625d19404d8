// SPDX-License-Identifier: GPL-2.0

//! Numbers that are read and written without any order.
//!
//! The kernel's [`Atomic`](kernel::sync::atomic::Atomic) calls a function of C for each access. Where
//! barriers or a sequence count make up for the order of many accesses, one instruction for each is
//! enough, as by C's `READ_ONCE()` and `WRITE_ONCE()`.
//!
//! C header: [`include/asm-generic/rwonce.h`](srctree/include/asm-generic/rwonce.h)

use crate::sync::once::{read_once, write_once};
use crate::types::DropInAtomic;
use core::cell::UnsafeCell;
use kernel::sync::atomic::{Atomic, AtomicType};

mod sealed {
    pub trait Number: Copy {}

    impl Number for bool {}
    impl Number for u32 {}
    impl Number for usize {}
}

/// A number that many may read and write at once: each access sees or makes one whole value.
pub struct Unordered<T: sealed::Number>(UnsafeCell<T>);

// SAFETY: All accesses are those of `READ_ONCE()` and `WRITE_ONCE()`, of no more than a machine word,
// which the memory model of the kernel allows beside others of the same kind.
unsafe impl<T: sealed::Number> Sync for Unordered<T> {}

// SAFETY: Numbers are not dropped.
unsafe impl<T: sealed::Number> DropInAtomic for Unordered<T> {}

/// The value of `atomic`, as a relaxed load of it, by one instruction. Does not sleep, any context.
#[inline]
pub fn load<T: sealed::Number + AtomicType>(atomic: &Atomic<T>) -> T {
    // SAFETY: By the guarantee of `as_ptr` the pointer is valid and aligned, and it is written by atomic operations, which leave a
    // valid value.
    unsafe { read_once(atomic.as_ptr()) }
}

impl<T: sealed::Number> Unordered<T> {
    /// One that is `value`.
    #[inline]
    pub const fn new(value: T) -> Self {
        Unordered(UnsafeCell::new(value))
    }

    /// Its value. Does not sleep, any context.
    #[inline]
    pub fn load(&self) -> T {
        // SAFETY: The pointer is that of a valid number, which `store` alone writes, by whole words.
        unsafe { read_once(self.0.get()) }
    }

    /// Makes it `value`; of several at once, one is the last. Does not sleep, any context.
    #[inline]
    pub fn store(&self, value: T) {
        // SAFETY: The pointer is that of a valid number, which nobody reads but by `load`, nor writes but
        // by this function: by whole words.
        unsafe { write_once(self.0.get(), value) }
    }
}
