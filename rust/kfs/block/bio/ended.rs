// SPDX-License-Identifier: GPL-2.0

//! Bios that have ended.

use super::arc::BioArc;
use super::front::BioData;
use super::owned::Owned;
use crate::bindings;
use crate::task::MaySleep;
use crate::types::DropInAtomic;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;

/// What bios belong to: a request that issues some, and is called when each has ended.
pub trait BioOwner: BioData {
    /// A bio has ended, well or badly.
    ///
    /// May be called in interrupt context and from within [`Bio::submit`](super::Bio::submit).
    fn end_io(this: BioArc<Self>, bio: EndedBio<Self>);

    /// The same for a bio that carries something.
    fn end_carrying(carried: Self::Carried, bio: EndedBio<Self>);
}

/// The owner of bios in a filesystem that issues none of its own: there is no such value.
pub enum NoBios {}

// SAFETY: There is no value to be dropped.
unsafe impl DropInAtomic for NoBios {}

impl BioData for NoBios {
    type Data = ();
    type Carried = NoBios;
}

impl BioOwner for NoBios {
    fn end_io(_: BioArc<Self>, _: EndedBio<Self>) {}

    fn end_carrying(carried: NoBios, _: EndedBio<Self>) {
        match carried {}
    }
}

/// A bio that has ended.
///
/// If it is dropped, the pages of a read are not marked dirty: use [`EndedBio::complete`].
pub struct EndedBio<T: BioData>(Owned<T>);

// SAFETY: Pages are unpinned, or freed, and a bio is freed, in any context; and so may be the owner,
// if that is the last reference.
unsafe impl<T: BioData> DropInAtomic for EndedBio<T> {}

impl<T: BioData> EndedBio<T> {
    /// # Safety
    ///
    /// `bio` must satisfy the invariants of [`Owned`], and have ended.
    #[inline]
    pub(super) unsafe fn from_raw(bio: NonNull<bindings::bio>) -> Self {
        // SAFETY: By the requirement.
        EndedBio(unsafe { Owned::from_raw(bio) })
    }

    /// Gives up the bio: the pointer owns it.
    #[inline]
    pub(super) fn into_raw(self) -> NonNull<bindings::bio> {
        self.0.into_raw()
    }

    /// The number of segments that the bio has. To complete it takes time for each.
    #[inline]
    pub fn segments(&self) -> usize {
        self.0.segments().into()
    }

    /// Whether it reads.
    #[inline]
    pub fn is_read(&self) -> bool {
        self.0.is_read()
    }

    /// Whether it has done all that it was to do.
    #[inline]
    pub fn is_ok(&self) -> bool {
        // SAFETY: By the invariants of `Owned` the bio is valid and ours.
        unsafe { (*self.0.as_raw()).bi_status == 0 }
    }

    /// Gives back the memory that was lent to the bio, if any was. It is not used any more.
    ///
    /// # Safety
    ///
    /// To be called once, for the owner that the loan was counted with when the bio was submitted.
    #[inline]
    pub(super) unsafe fn give_back(&self, owner: &BioArc<T>) {
        // SAFETY: By the invariants of `Owned` the structure is valid; by the requirement the bio was
        // counted if it borrows.
        unsafe {
            if (*self.0.front()).borrows {
                owner.give_back();
            }
        }
    }

    /// Unpins the memory, frees the bio, and returns its data and how it ended. Pages of user memory
    /// that were read into and are not dirty are marked so, which may sleep.
    #[inline]
    pub fn complete(self, _: MaySleep<'_>) -> (T::Data, Result) {
        let is_left_clean = self.0.is_left_clean();
        self.release(is_left_clean)
    }

    /// As [`EndedBio::complete`], in any context. Gives the bio back if pages have to be marked dirty.
    #[inline(always)]
    pub fn complete_atomic(self) -> Result<(T::Data, Result), Self> {
        let is_left_clean = self.0.is_left_clean();
        if is_left_clean && !cfg!(mutant = "kfs-kick-clean") {
            return Err(self);
        }
        Ok(self.release(false))
    }

    #[inline(always)]
    fn release(mut self, mark_dirty: bool) -> (T::Data, Result) {
        // SAFETY: By the invariants of `Owned` the bio is valid and ours.
        let result = match unsafe { (*self.0.as_raw()).bi_status } {
            0 => Ok(()),
            // SAFETY: The function takes any status.
            status => to_result(unsafe { bindings::blk_status_to_errno(status) }),
        };
        self.0
            .release_pages(mark_dirty && !cfg!(mutant = "kfs-read-clean"));
        let data = self.0.data();
        self.0.free();
        (data, result)
    }
}

/// The end of a bio that [`Bio::submit_carrying`](super::Bio::submit_carrying) submitted.
///
/// # Safety
///
/// `bio` must be such a bio, which has ended, and be given up. To be called once.
#[inline(always)]
pub(super) unsafe fn end_carrying<T: BioOwner>(bio: NonNull<bindings::bio>) {
    // SAFETY: By the requirement it is from a `BioArcSet<T>`, and `submit_carrying` has stored in front of it
    // what is taken here.
    let (carried, bio) = unsafe {
        let front = BioArc::<T>::front_of(bio).as_ptr();
        let carried = (&raw const (*front).carried).cast::<T::Carried>().read();
        // INVARIANT: As they held when `submit_carrying` gave the bio away: the block layer does not change
        // the table of segments, nor the flag.
        (carried, EndedBio::from_raw(bio))
    };
    if !cfg!(mutant = "kfs-carried-on-loan") {
        // SAFETY: The bio owns a reference to the object in front of it, which it keeps. If its memory was lent, `submit_carrying` has
        // counted that with this owner.
        unsafe {
            let owner = ManuallyDrop::new(BioArc::of_bio(NonNull::new_unchecked(bio.0.as_raw())));
            bio.give_back(&owner);
        }
    }
    T::end_carrying(carried, bio);
}
