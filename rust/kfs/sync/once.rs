// SPDX-License-Identifier: GPL-2.0

//! Fields of C that others change at any time: `READ_ONCE()` and `WRITE_ONCE()`.
//!
//! In Rust that is a relaxed load or store by `kernel::sync::atomic::Atomic::from_ptr`. But without
//! `CONFIG_RUST_INLINE_HELPERS`, which distributions do not set, each of those calls a function of C, which is
//! too much for fields that every request looks at; and there is none for the 16 bits of `i_mode`. A
//! volatile access of a word is what the macros of C are.
//!
//! C header: [`include/asm-generic/rwonce.h`](srctree/include/asm-generic/rwonce.h)

/// Whether a value is read or written by one instruction.
const fn is_word<T>() -> bool {
    matches!(size_of::<T>(), 1 | 2 | 4 | 8) && align_of::<T>() == size_of::<T>()
}

/// One of the values that the field has had, or has: as a relaxed atomic load.
///
/// # Safety
///
/// `field` must be valid and aligned, and be written by whole words only.
#[inline(always)]
pub(crate) unsafe fn read_once<T: Copy>(field: *const T) -> T {
    const { assert!(is_word::<T>()) };
    // SAFETY: By the requirement.
    unsafe { field.read_volatile() }
}

/// Stores the value at once: as a relaxed atomic store. Of several at once, one is the last.
///
/// # Safety
///
/// `field` must be valid and aligned, and be read and written by whole words only.
#[inline(always)]
pub(crate) unsafe fn write_once<T: Copy>(field: *mut T, value: T) {
    const { assert!(is_word::<T>()) };
    // SAFETY: By the requirement.
    unsafe { field.write_volatile(value) };
}
