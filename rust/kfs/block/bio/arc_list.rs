// SPDX-License-Identifier: GPL-2.0

//! Lists of owners of bios.

use super::arc::{BioArc, WithOwner};
use super::deferral::Deferral;
use super::front::BioData;
use crate::types::DropInAtomic;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr::NonNull;
use kernel::sync::atomic::ordering;

/// A list of owners, linked through what lies beside them, so that it takes no memory.
///
/// An owner is in one list at a time, and not while it is [queued](BioArc::queue).
///
/// # Invariants
///
/// `head` and the `next` of the owners make a list that ends with `tail`; both are `None` if it is empty. For each
/// of them the list owns a reference, and has set `queued`.
pub struct BioArcList<T: BioData> {
    head: Option<NonNull<Deferral>>,
    tail: Option<NonNull<Deferral>>,
    _p: PhantomData<BioArc<T>>,
}

// SAFETY: The references are dropped, in any context.
unsafe impl<T: BioData> DropInAtomic for BioArcList<T> {}
// SAFETY: The list owns its references, and these are `Send`. What lies beside an owner may be used by any thread.
unsafe impl<T: BioData> Send for BioArcList<T> {}

impl<T: BioData> BioArcList<T> {
    /// An empty list.
    #[inline]
    pub const fn new() -> Self {
        // INVARIANT: The list is empty.
        BioArcList {
            head: None,
            tail: None,
            _p: PhantomData,
        }
    }

    /// Appends an owner. Gives the reference back if it is in a list, or queued. Any context.
    pub fn push(&mut self, owner: BioArc<T>) -> Result<(), BioArc<T>> {
        let front = owner.into_front();
        // SAFETY: The reference keeps the structure, and is the list's from here on.
        let last = unsafe {
            let deferral = NonNull::new_unchecked(&raw mut (*front.as_ptr()).deferral);
            if (*deferral.as_ptr()).queued.xchg(1, ordering::Full) != 0 {
                return Err(BioArc::from_front(front));
            }
            deferral
        };
        // SAFETY: It is ours, as we have set `queued`, and so is, by the type invariants, the last one.
        // INVARIANT: It becomes the last one.
        unsafe {
            *(*last.as_ptr()).next.get() = None;
            match self.tail {
                None => self.head = Some(last),
                Some(tail) => *(*tail.as_ptr()).next.get() = Some(last),
            }
        }
        self.tail = Some(last);
        Ok(())
    }

    /// Takes the first owner. Any context.
    pub fn pop(&mut self) -> Option<BioArc<T>> {
        let first = self.head?;
        // SAFETY: By the type invariants it is ours, and the field of a `WithOwner<T>`, of which the list gives up
        // its reference.
        // INVARIANT: The list starts with the next one, or is empty. It is in no list any more.
        unsafe {
            self.head = *(*first.as_ptr()).next.get();
            if self.head.is_none() {
                self.tail = None;
            }
            (*first.as_ptr()).queued.store(0, ordering::Release);
            let front = first.byte_sub(offset_of!(WithOwner<T>, deferral)).cast();
            Some(BioArc::from_front(front))
        }
    }
}

impl<T: BioData> Default for BioArcList<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: BioData> Drop for BioArcList<T> {
    fn drop(&mut self) {
        while let Some(owner) = self.pop() {
            drop(owner);
        }
    }
}
