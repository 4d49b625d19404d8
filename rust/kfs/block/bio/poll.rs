// SPDX-License-Identifier: GPL-2.0

//! Bios that a task polls for: the device ends them when it is asked, and not by an interrupt.
//!
//! Who polls has what owns the bio as a foreign pointer, and holds no reference to it: the bio may be
//! ended by another task that polls the same queue, and be freed, meanwhile. Its memory stays one of its slab until a
//! grace period of RCU has passed: these are slabs with `SLAB_TYPESAFE_BY_RCU`. bio_poll() reads the device
//! and the queue from it, and polls that; if they are those of another request it does no harm.
//!
//! A slab is shared by all sets of the kernel whose objects are of one size. With as much in front of the bio, what is found is
//! a bio of any of them, as with all that the kernel polls for (iocb_bio_iopoll()). An object is the front pad, the bio,
//! and inline vecs or none: so of two sets of one size that both have these, or both have not, the bios
//! lie at one place. What is not excluded, here as there, is one without, whose front pad is larger by just the inline vecs: if it
//! got this memory in just this critical section, its front pad would be taken for the bio. There is no way to
//! have a slab for oneself.
//!
//! So only the bio that lies behind its owner is polled for ([`BioArc`]). Others of the owner are found by
//! nobody, and have to end by an interrupt.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::arc::{BioArc, WithOwner};
use super::build::Bio;
use super::front::BioData;
use super::pool;
use crate::bindings;
use crate::iov::IovIter;
use core::ffi::c_void;

impl<T: BioData> BioArc<T> {
    /// The bio that goes with what `into_foreign` has returned. Does not use the pointer.
    #[inline]
    fn bio_of(foreign: *mut c_void) -> *mut bindings::bio {
        foreign
            .wrapping_byte_sub(WithOwner::<T>::OWNER)
            .wrapping_byte_add(WithOwner::<T>::BIO)
            .cast()
    }
}

/// Polls for the bio of what `foreign` was made of: how many requests of the queue were ended, which may be
/// others. Does not sleep. The end of the bio comes from here.
///
/// # Safety
///
/// `foreign` must be from `into_foreign` of a `BioArc<T>`, and not have been taken back before the current critical
/// section of RCU began. `iob` and `flags` are those of `iopoll`.
#[inline]
pub(crate) unsafe fn poll<T: BioData>(
    foreign: *mut c_void,
    iob: *mut bindings::io_comp_batch,
    flags: u32,
) -> i32 {
    // SAFETY: By the requirement it was a bio from a set when this critical section began, and its memory is not given back to
    // the page allocator in it: it is still that, or one of a set with bios at the same place (see above), for which
    // iocb_bio_iopoll() says why that is enough.
    unsafe { bindings::bio_poll(BioArc::<T>::bio_of(foreign), iob, flags) }
}

impl<'data, I: IovIter<'data>, T: BioData> Bio<I, T> {
    /// Has the device end the bio when somebody polls for it (`REQ_POLLED`), which somebody has to do: it
    /// does not end otherwise. False, and it ends by an interrupt, if nobody would find it: it is not the
    /// bio that was allocated with its owner.
    ///
    /// A device that cannot do that fails the bio with `EOPNOTSUPP`.
    #[inline]
    pub fn set_polled(&mut self) -> bool {
        let bio = self.bio.as_raw();
        // SAFETY: By the invariants of `Owned` the bio is from a set and valid, and nobody else uses it.
        unsafe {
            let is_found = pool::has_owner(core::ptr::NonNull::new_unchecked(bio))
                || cfg!(mutant = "kfs-poll-any");
            if is_found {
                (*bio).bi_opf |= 1 << bindings::req_flag_bits___REQ_POLLED;
            }
            is_found
        }
    }
}
