// SPDX-License-Identifier: GPL-2.0

//! What lies in front of a bio.
//!
//! The front pad of a set makes each of its bios the last field of a [`Front`].

use crate::bindings;
use crate::types::DropInAtomic;
use core::mem::{offset_of, MaybeUninit};
use core::ptr::NonNull;
use kernel::types::Opaque;

/// An owner of bios (see [`BioOwner`](crate::block::bio::BioOwner)), as far as its bios in memory
/// go. It may be dropped where the last of its bios has ended.
pub trait BioData: DropInAtomic + Send + Sync + Sized + 'static {
    /// What the owner keeps with each bio.
    type Data: Copy + Send;

    /// What [`Bio::submit_carrying`](super::Bio::submit_carrying) takes to the end of a bio.
    type Carried: DropInAtomic + Send;
}

/// What a bio set allocates for a bio, but for the inline bvecs at its end.
#[repr(C)]
pub(super) struct Front<D> {
    pub(super) data: MaybeUninit<D>,
    /// The bio has memory that is neither pinned nor static.
    pub(super) borrows: bool,
    /// The pages of the bio are its own.
    pub(super) is_copy: bool,
    /// The block layer changes it while it is in flight.
    pub(super) bio: Opaque<bindings::bio>,
}

impl<D> Front<D> {
    /// What is in front of a bio.
    ///
    /// # Safety
    ///
    /// `bio` must be the field of a `Front<D>`.
    #[inline]
    pub(super) unsafe fn of(bio: NonNull<bindings::bio>) -> NonNull<Self> {
        // SAFETY: By the requirement.
        unsafe { bio.byte_sub(offset_of!(Front<D>, bio)).cast() }
    }

    /// Fills in what is in front of a new bio.
    ///
    /// # Safety
    ///
    /// `front` must be valid for writes, and not be used by anybody else.
    #[inline]
    pub(super) unsafe fn init(front: NonNull<Self>, data: D) {
        let front = front.as_ptr();
        // SAFETY: By the requirement.
        unsafe {
            (*front).data.write(data);
            (*front).borrows = false;
            (*front).is_copy = false;
        }
    }
}
