// SPDX-License-Identifier: GPL-2.0

//! Bios that carry something to their end.
//!
//! If a request has one bio, nobody else needs what is to be done when that has ended. So the bio can take
//! it along, in front of it, and there is nothing to be shared, or locked.

use super::arc::BioArc;
use super::build::Bio;
use super::ended::{BioOwner, EndedBio};
use super::pool;
use crate::bindings;
use crate::iov::IovIter;
use core::ptr::NonNull;
use kernel::warn_on;

impl<'data, I: IovIter<'data>, T: BioOwner> Bio<I, T> {
    /// Hands the bio to the block layer, as [`Bio::submit`] does. When it has ended it is passed to
    /// [`BioOwner::end_carrying`], with `carried`.
    ///
    /// It has to be the bio that was allocated with an owner, and its memory to be pinned, or its own. If not,
    /// there is a warning, and both are dropped.
    #[inline(always)]
    pub fn submit_carrying(self, carried: T::Carried) {
        // SAFETY: By the invariants of `Owned` the bio is from a set, the structure is valid, and ours.
        let is_fit = unsafe {
            pool::has_owner(NonNull::new_unchecked(self.bio.as_raw()))
                && !(*self.bio.front()).borrows
        };
        if warn_on!(!is_fit) {
            return;
        }
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
            (*bio.as_ptr()).bi_end_io = Some(end_io::<T>);
            if (*bio.as_ptr()).bi_iter.bi_size == 0 {
                // Nothing to do: end it without the device.
                bindings::bio_endio(bio.as_ptr());
            } else {
                bindings::submit_bio(bio.as_ptr());
            }
        }
    }
}

/// The end of every bio that [`Bio::submit_carrying`] submitted.
///
/// # Safety
///
/// Called by the block layer as `bi_end_io` of a bio that `Bio::<T>::submit_carrying` submitted, once.
unsafe extern "C" fn end_io<T: BioOwner>(bio: *mut bindings::bio) {
    // SAFETY: The block layer passes a valid bio and gives it up. It is one from a `BioArcSet<T>`, and
    // `submit_carrying` has stored in front of it what is taken here.
    let (carried, bio) = unsafe {
        let bio = NonNull::new_unchecked(bio);
        let front = BioArc::<T>::front_of(bio).as_ptr();
        let carried = (&raw const (*front).carried).cast::<T::Carried>().read();
        // INVARIANT: As they held when `submit_carrying` gave the bio away: the block layer does not change
        // the table of segments, nor the flag.
        (carried, EndedBio::from_raw(bio))
    };
    T::end_carrying(carried, bio);
}
