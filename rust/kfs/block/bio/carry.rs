// SPDX-License-Identifier: GPL-2.0

//! Bios that carry something to their end.
//!
//! If a request has one bio, nobody else needs what is to be done when that has ended. So the bio can take
//! it along, in front of it, and there is nothing to be shared, or locked.

use super::arc::BioArc;
use super::build::{end_io, Bio};
use super::ended::BioOwner;
use super::pool;
use super::submit::submit_whole_bio;
use crate::bindings;
use crate::iov::IovIter;
use core::ptr::{self, NonNull};
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
