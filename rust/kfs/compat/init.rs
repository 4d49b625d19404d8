// SPDX-License-Identifier: GPL-2.0

//! Initialisation of raw memory: before 7.3, `pin_init` has but a method of the initialiser for it.

use pin_init::PinInit;

/// Initialises `slot`.
///
/// # Safety
///
/// `slot` is valid for writes, and what is made there is not moved until it is dropped.
#[inline(always)]
pub(crate) unsafe fn raw_init<T>(slot: *mut T, init: impl PinInit<T>) {
    // SAFETY: By the requirement.
    match unsafe { init.__pinned_init(slot) } {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

/// Initialises `slot`, unless that fails.
///
/// # Safety
///
/// As of [`raw_init`]; after an error nothing is there.
#[inline(always)]
pub(crate) unsafe fn raw_try_init<T, E>(slot: *mut T, init: impl PinInit<T, E>) -> Result<(), E> {
    // SAFETY: By the requirement.
    unsafe { init.__pinned_init(slot) }
}
