// SPDX-License-Identifier: GPL-2.0

//! A spinlock that is taken with interrupts disabled, which the `kernel` crate has from 7.3 on. This one remembers in its guard whether
//! they were: guards are dropped in the opposite order.
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
    type GuardState = c_ulong;

    #[inline]
    unsafe fn init(ptr: *mut Self::State, name: *const c_char, key: *mut bindings::lock_class_key) {
        // SAFETY: By the requirement `ptr` is valid for writes, and the others stay.
        unsafe { bindings::__spin_lock_init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> c_ulong {
        // SAFETY: By the requirement it is initialised.
        unsafe { bindings::spin_lock_irqsave(ptr) }
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, flags: &c_ulong) {
        // SAFETY: By the requirement the caller owns it, and the state is that of `lock`.
        unsafe { bindings::spin_unlock_irqrestore(ptr, *flags) }
    }

    #[inline]
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<c_ulong> {
        let mut flags = 0;
        // SAFETY: By the requirement it is initialised.
        unsafe { bindings::spin_trylock_irqsave(ptr, &mut flags) }.then_some(flags)
    }

    #[inline]
    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: By the requirement it is initialised.
        unsafe { bindings::spin_assert_is_held(ptr) }
    }
}
