// SPDX-License-Identifier: GPL-2.0

//! Lists of ended bios.

use super::ended::EndedBio;
use super::front::BioData;
use crate::bindings;
use crate::types::DropInAtomic;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

/// A list of ended bios, linked through the bios.
///
/// # Invariants
///
/// `head` and the `bi_next` of the bios make a list that ends with `tail`, whose `bi_next` is null;
/// both are null if it is empty. The list owns the bios, as [`EndedBio`] does.
pub struct BioList<T: BioData> {
    head: *mut bindings::bio,
    tail: *mut bindings::bio,
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
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
            _p: PhantomData,
        }
    }

    /// Appends a bio.
    #[inline]
    pub fn push(&mut self, bio: EndedBio<T>) {
        let bio = bio.into_raw().as_ptr();
        // SAFETY: The bio is ours and so is, by the type invariants, the last one of the list.
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
    pub fn pop(&mut self) -> Option<EndedBio<T>> {
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
