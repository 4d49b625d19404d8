// SPDX-License-Identifier: GPL-2.0

//! Lists of bios, linked through the bios.

use super::ended::EndedBio;
use super::front::BioData;
use crate::bindings;
use crate::types::DropInAtomic;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

/// Bios that are linked by `bi_next`.
///
/// # Invariants
///
/// `head` and the `bi_next` of the bios make a list that ends with `tail`, whose `bi_next` is null;
/// both are null if it is empty. The bios are valid, and nobody else uses them.
pub(super) struct Links {
    head: *mut bindings::bio,
    tail: *mut bindings::bio,
}

impl Links {
    /// None.
    #[inline]
    pub(super) const fn new() -> Self {
        // INVARIANT: The list is empty.
        Links {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
        }
    }

    /// Appends a bio.
    ///
    /// # Safety
    ///
    /// It must be valid, and be given up.
    #[inline]
    pub(super) unsafe fn push(&mut self, bio: NonNull<bindings::bio>) {
        let bio = bio.as_ptr();
        // SAFETY: By the requirement the bio is ours and so is, by the type invariants, the last one of the list.
        // INVARIANT: The bio becomes the last one.
        unsafe {
            (*bio).bi_next = ptr::null_mut();
            if self.tail.is_null() {
                self.head = bio;
            } else {
                (*self.tail).bi_next = bio;
            }
        }
        self.tail = bio;
    }

    /// Takes the first bio.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<NonNull<bindings::bio>> {
        let bio = NonNull::new(self.head)?;
        // SAFETY: By the type invariants the first bio is ours.
        // INVARIANT: The list starts with the next one, or is empty.
        unsafe {
            self.head = (*bio.as_ptr()).bi_next;
            (*bio.as_ptr()).bi_next = ptr::null_mut();
        }
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        Some(bio)
    }
}

/// A list of ended bios.
///
/// # Invariants
///
/// The list owns the bios, as [`EndedBio`] does.
pub struct BioList<T: BioData> {
    bios: Links,
    _p: PhantomData<EndedBio<T>>,
}

// SAFETY: The bios are dropped, in any context.
unsafe impl<T: BioData> DropInAtomic for BioList<T> {}
// SAFETY: The list owns its bios, and these are `Send`.
unsafe impl<T: BioData> Send for BioList<T> {}

impl<T: BioData> BioList<T> {
    /// An empty list.
    #[inline]
    pub const fn new() -> Self {
        // INVARIANT: The list is empty.
        BioList {
            bios: Links::new(),
            _p: PhantomData,
        }
    }

    /// Appends a bio.
    #[inline]
    pub fn push(&mut self, bio: EndedBio<T>) {
        // INVARIANT: The list owns it.
        // SAFETY: It is ours, and is given up.
        unsafe { self.bios.push(bio.into_raw()) };
    }

    /// Takes the first bio.
    #[inline]
    pub fn pop(&mut self) -> Option<EndedBio<T>> {
        let bio = self.bios.pop()?;
        // INVARIANT: The list gave it up, and it was given to the list as an `EndedBio`.
        // SAFETY: As said; so the invariants of `Owned` hold as they did.
        Some(unsafe { EndedBio::from_raw(bio) })
    }
}

impl<T: BioData> Default for BioList<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: BioData> Drop for BioList<T> {
    fn drop(&mut self) {
        while let Some(bio) = self.pop() {
            drop(bio);
        }
    }
}
