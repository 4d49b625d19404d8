// SPDX-License-Identifier: GPL-2.0

//! Bios that carry something to their end.
//!
//! If a request has one bio, nobody else needs what is to be done when that has ended. So the bio can take
//! it along, in front of it, and there is nothing to be shared, or locked.

use super::arc::BioArc;
use super::build::{end_io, Bio};
use super::ended::BioOwner;
use super::lender::Lends;
use super::pool;
use super::submit::submit_whole_bio;
use crate::bindings;
use crate::iov::IovIter;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use kernel::warn_on;

impl<'data, I: IovIter<'data>, T: BioOwner> Bio<I, T> {
    /// Hands the bio to the block layer, as [`Bio::submit`] does. When it has ended it is passed to
    /// [`BioOwner::end_carrying`], with what `give` makes of the `request` that the memory comes from: that of the call whose
    /// lifetime the memory has. Returns what else `give` does.
    ///
    /// It has to be the bio that was allocated with an owner; and if its memory is not pinned, the request has to hold that: it is not
    /// answered before the bio has ended. If not, there is a warning, and the bio is dropped, as it is when `give` does not
    /// give anything: the request comes back.
    #[inline(always)]
    pub fn submit_carrying<L: Lends<'data, T>, R>(
        self,
        request: L,
        give: impl FnOnce(L) -> Result<(T::Carried, R), L>,
    ) -> Result<R, L> {
        // SAFETY: By the invariants of `Owned` the bio is from a set, the structure is valid, and ours.
        let (has_owner, borrows) = unsafe {
            (
                pool::has_owner(NonNull::new_unchecked(self.bio.as_raw())),
                (*self.bio.front()).borrows,
            )
        };
        if warn_on!(!has_owner) || (borrows && !self.lend(&request)) {
            return Err(request);
        }
        let (carried, rest) = match give(request) {
            Ok(given) => given,
            Err(request) => {
                if borrows {
                    // SAFETY: It was counted, and the bio is not submitted.
                    unsafe { self.owner().give_back() };
                }
                return Err(request);
            }
        };
        // SAFETY: It has an owner. If it borrows memory, that was counted.
        unsafe { self.submit_with(carried) };
        Ok(rest)
    }

    /// The owner in front of the bio, which has one.
    #[inline]
    fn owner(&self) -> ManuallyDrop<BioArc<T>> {
        // SAFETY: By the invariants of `Owned` the bio is valid and owns a reference, which it keeps.
        ManuallyDrop::new(unsafe { BioArc::of_bio(NonNull::new_unchecked(self.bio.as_raw())) })
    }

    /// Counts the memory of the bio, which has an owner, as lent by `request`. False, with a warning, if that does not hold the
    /// owner.
    fn lend(&self, request: &impl Lends<'data, T>) -> bool {
        let owner = self.owner();
        let is_held = request.holds(&owner);
        if is_held {
            owner.lend();
        }
        !warn_on!(!is_held)
    }

    /// # Safety
    ///
    /// The bio must have an owner, and, if it borrows memory, be counted with that as one that does.
    #[inline(always)]
    unsafe fn submit_with(self, carried: T::Carried) {
        self.bio.try_mark_dirty();
        // The block layer owns it from here.
        let bio = self.bio.into_raw();
        // SAFETY: By the invariants of `Owned` the bio is valid and ours, and so is what lies in front of it,
        // but for the object, which is not used.
        unsafe {
            let front = BioArc::<T>::front_of(bio).as_ptr();
            (&raw mut (*front).carried)
                .cast::<T::Carried>()
                .write(carried);
            (*bio.as_ptr()).bi_private = ptr::null_mut();
            (*bio.as_ptr()).bi_end_io = Some(end_io::<T>);
            if (*bio.as_ptr()).bi_iter.bi_size == 0 {
                // Nothing to do: end it without the device.
                bindings::bio_endio(bio.as_ptr());
            } else {
                submit_whole_bio(bio);
            }
        }
    }
}
