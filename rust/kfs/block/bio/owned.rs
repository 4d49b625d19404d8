// SPDX-License-Identifier: GPL-2.0

//! A bio that is ours: what [`Bio`](super::Bio) and [`EndedBio`](super::EndedBio) have in common.

use super::arc::BioArc;
use super::front::{BioData, Front};
use super::op::REQ_OP_MASK;
use super::pool;
use crate::bindings;
use crate::sync::once::read_once;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// A bio that belongs to us. What `Bio` and `EndedBio` have in common.
///
/// # Invariants
///
/// - The pointer is a bio from a `BioSet<T::Data>` or a `BioArcSet<T>`, field of a `Front<T::Data>`
///   whose data is initialised, and nobody else uses it. If it is from a `BioArcSet<T>`, it owns a
///   reference to the object in front of it.
/// - If the flag `BIO_PAGE_PINNED` is set, the pages of all segments are pinned once for the bio.
/// - If `is_copy` is set in front of it, that flag is not, and the pages of all segments belong to the
///   bio: each was allocated by itself, and nobody else uses it.
pub(super) struct Owned<T: BioData>(NonNull<bindings::bio>, PhantomData<T>);

// SAFETY: By the type invariants nobody else uses the bio, and bios may be freed by any thread;
// so may the data, and the reference to an owner that a bio may have.
unsafe impl<T: BioData> Send for Owned<T> {}

impl<T: BioData> Owned<T> {
    /// # Safety
    ///
    /// `bio` must satisfy the type invariants.
    #[inline]
    pub(super) unsafe fn from_raw(bio: NonNull<bindings::bio>) -> Self {
        // INVARIANT: By the requirement.
        Owned(bio, PhantomData)
    }

    /// The C bio.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::bio {
        self.0.as_ptr()
    }

    /// Gives up the bio: the pointer owns it.
    #[inline]
    pub(super) fn into_raw(self) -> NonNull<bindings::bio> {
        ManuallyDrop::new(self).0
    }

    /// How many bytes the bio has, and, once it has ended, did not transfer.
    #[inline]
    pub(super) fn size(&self) -> u32 {
        // SAFETY: By the type invariants the bio is valid and ours.
        unsafe { (*self.as_raw()).bi_iter.bi_size }
    }

    /// How many segments are in use.
    #[inline]
    pub(super) fn segments(&self) -> u16 {
        // SAFETY: By the type invariants the bio is valid and ours.
        unsafe { (*self.as_raw()).bi_vcnt }
    }

    /// Whether all segments are in use.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        // SAFETY: By the type invariants the bio is valid and ours.
        unsafe { self.segments() >= (*self.as_raw()).bi_max_vecs }
    }

    /// Says whether the pages of the segments are pinned for the bio.
    #[inline]
    pub(super) fn set_pinned(&mut self, pinned: bool) {
        let flag = 1 << bindings::BIO_PAGE_PINNED;
        // SAFETY: By the type invariants the bio is valid, and nobody else uses it.
        unsafe {
            match pinned {
                true => (*self.as_raw()).bi_flags |= flag,
                false => (*self.as_raw()).bi_flags &= !flag,
            }
        }
    }

    #[inline]
    pub(super) fn front(&self) -> *mut Front<T::Data> {
        // SAFETY: By the type invariants the bio is the field of such a structure.
        unsafe { Front::of(self.0) }.as_ptr()
    }

    #[inline]
    pub(super) fn data(&self) -> T::Data {
        // SAFETY: By the type invariants the structure is valid and the data is initialised.
        unsafe { (*self.front()).data.assume_init() }
    }

    #[inline]
    pub(super) fn is_read(&self) -> bool {
        // SAFETY: By the type invariants the bio is valid and ours.
        let opf = unsafe { (*self.as_raw()).bi_opf };
        opf & REQ_OP_MASK == bindings::req_op_REQ_OP_READ
    }

    #[inline]
    pub(super) fn is_pinned(&self) -> bool {
        // SAFETY: By the type invariants the bio is valid and ours.
        let flags = unsafe { (*self.as_raw()).bi_flags };
        flags & (1 << bindings::BIO_PAGE_PINNED) != 0
    }

    #[inline]
    pub(super) fn is_copy(&self) -> bool {
        // SAFETY: By the type invariants the structure is valid.
        unsafe { (*self.front()).is_copy }
    }

    /// Calls `f` for the folio of each segment, until it returns false; returns whether it never did.
    #[inline(always)]
    pub(super) fn all_folios(&self, mut f: impl FnMut(*mut bindings::folio) -> bool) -> bool {
        for i in 0..usize::from(self.segments()) {
            // SAFETY: By the type invariants the bio is ours, and so are its `bi_vcnt` segments, each of
            // which lies in one folio.
            let folio =
                unsafe { bindings::page_folio((*(*self.as_raw()).bi_io_vec.add(i)).bv_page) };
            if !f(folio) {
                return false;
            }
        }
        true
    }

    /// Whether the pages are user memory that the device writes to.
    #[inline]
    fn is_pinned_dest(&self) -> bool {
        self.is_read() && self.is_pinned()
    }

    /// Marks pages dirty that will be read into, as far as that does not need sleeping: what is clean at
    /// the end has to be marked then.
    #[inline(always)]
    pub(super) fn try_mark_dirty(&self) {
        if self.is_pinned_dest() {
            self.all_folios(
                #[inline(always)]
                |folio| {
                    // SAFETY: The folios are pinned for the bio.
                    unsafe {
                        if !is_dirty(folio) {
                            try_mark_dirty(folio);
                        }
                    }
                    true
                },
            );
        }
    }

    /// Whether pages were read into that are not marked dirty, or not any more: somebody has written
    /// them back meanwhile, perhaps without what was read.
    #[inline(always)]
    pub(super) fn is_left_clean(&self) -> bool {
        // SAFETY: The folios are pinned for the bio.
        self.is_pinned_dest() && !self.all_folios(|folio| unsafe { is_dirty(folio) })
    }

    /// Unpins the pages, if they are, after marking them dirty, if asked to, which may sleep; or
    /// frees them, if they are a copy.
    #[inline(always)]
    pub(super) fn release_pages(&mut self, mark_dirty: bool) {
        if self.is_pinned() {
            if cfg!(mutant = "kfs-pin-leak") {
                // SAFETY: By the type invariants the bio is valid, and nobody else uses it.
                unsafe { (*self.as_raw()).bi_vcnt -= 1 };
            }
            // SAFETY: By the type invariants every page of every segment is pinned for us.
            unsafe { bindings::__bio_release_pages(self.0.as_ptr(), mark_dirty) };
            // INVARIANT: Nothing is pinned any more.
            self.set_pinned(false);
        }
        if self.is_copy() {
            if !cfg!(mutant = "kfs-copy-leak") {
                // SAFETY: By the type invariants every page of every segment is ours, and was
                // allocated by itself.
                unsafe { bindings::bio_free_pages(self.0.as_ptr()) };
            }
            // INVARIANT: It has no pages any more, nobody looks at the segments, and they are not
            // freed again.
            // SAFETY: By the type invariants the structure is valid, and ours.
            unsafe { (*self.front()).is_copy = false };
        }
    }
}

impl<T: BioData> Owned<T> {
    /// Frees the bio, which has no pages any more.
    #[inline(always)]
    pub(super) fn free(self) {
        // SAFETY: By the type invariants, and this is the end of it.
        unsafe { ManuallyDrop::new(self).put() };
    }

    /// # Safety
    ///
    /// It is not used, nor dropped, any more.
    #[inline(always)]
    unsafe fn put(&self) {
        // SAFETY: By the type invariants the bio is from one of the two kinds of sets, and nobody
        // else uses it; if it owns a reference, that ends here, and frees it when it is the last.
        unsafe {
            if pool::has_owner(self.0) {
                BioArc::<T>::of_bio(self.0).put();
            } else {
                pool::put(self.0);
            }
        }
    }
}

impl<T: BioData> Drop for Owned<T> {
    fn drop(&mut self) {
        self.release_pages(false);
        // SAFETY: By the type invariants, and this is the end of it.
        unsafe { self.put() };
    }
}

/// Marks a folio dirty, unless somebody has its lock. Any context.
///
/// # Safety
///
/// The folio must be valid.
#[cold]
unsafe fn try_mark_dirty(folio: *mut bindings::folio) {
    // SAFETY: By the requirement. To mark one dirty takes its lock.
    unsafe {
        if bindings::folio_trylock(folio) {
            bindings::folio_mark_dirty(folio);
            bindings::folio_unlock(folio);
        }
    }
}

/// Whether the whole folio is dirty. One with private data has a state for each block, of which the flag
/// of the folio says too little. Any context; it may change at any time.
///
/// # Safety
///
/// The folio must be valid.
#[inline(always)]
unsafe fn is_dirty(folio: *mut bindings::folio) -> bool {
    const DIRTY: usize = 1 << bindings::pageflags_PG_dirty;
    const PRIVATE: usize = 1 << bindings::pageflags_PG_private;
    // SAFETY: By the requirement.
    let flags = unsafe { read_once(&raw const (*folio).__bindgen_anon_1.__bindgen_anon_1.flags.f) };
    flags & (DIRTY | PRIVATE) == DIRTY
}
