// SPDX-License-Identifier: GPL-2.0

//! A spinlock that is taken with interrupts disabled, which the `kernel` crate has from 7.3 on. As with that, each processor counts
//! how many it holds: interrupts are enabled with the last one, whatever the order in which guards are dropped.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use crate::bindings;
use kernel::prelude::*;
use kernel::sync::lock::{Backend, Lock};

/// Makes a [`SpinLockIrq`] with the given name, or that of the place, and a lock class of its own.
#[macro_export]
macro_rules! new_spinlock_irq {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::compat::SpinLockIrq::new(
            $inner, ::kernel::optional_name!($($name)?), ::kernel::static_lock_class!())
    };
}
pub use new_spinlock_irq;

/// A spinlock that disables the interrupts of the processor while it is held.
pub type SpinLockIrq<T> = Lock<T, SpinLockIrqBackend>;

/// The `spinlock_t` of a [`SpinLockIrq`].
pub struct SpinLockIrqBackend;

// SAFETY: The `spinlock_t` ensures mutual exclusion. `relock` uses the default implementation, which calls `lock`.
unsafe impl Backend for SpinLockIrqBackend {
    type State = bindings::spinlock_t;
    type GuardState = ();

    #[inline]
    unsafe fn init(ptr: *mut Self::State, name: *const c_char, key: *mut bindings::lock_class_key) {
        // SAFETY: By the requirement `ptr` is valid for writes, and the others stay.
        unsafe { bindings::__spin_lock_init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) {
        // SAFETY: By the requirement it is initialised.
        unsafe { bindings::spin_lock_irq_nested(ptr) }
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, (): &()) {
        // SAFETY: By the requirement the caller owns it, and so has taken it by `lock` or `try_lock` on this processor.
        unsafe { bindings::spin_unlock_irq_nested(ptr) }
    }

    #[inline]
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<()> {
        // SAFETY: By the requirement it is initialised.
        unsafe { bindings::spin_trylock_irq_nested(ptr) }.then_some(())
    }

    #[inline]
    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: By the requirement it is initialised.
        unsafe { bindings::spin_assert_is_held(ptr) }
    }
}
