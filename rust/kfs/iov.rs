// SPDX-License-Identifier: GPL-2.0

//! Iterators over the memory of a read or write request.
//!
//! The types are those of the kernel crate, one for each direction: a read is given an
//! [`IovIterDest`], a write an [`IovIterSource`]. [`IovIter`] adds what direct I/O needs of both,
//! and [`IovIterZero`] what it needs of a destination. Code that is the same for both directions is
//! generic:
//!
//! ```ignore
//! /// How many bytes of the request there is no room for in a bio.
//! fn left_over<'data, I: IovIter<'data>>(bio: &mut Bio<I, T>, iter: &mut I) -> Result<usize> {
//!     bio.add_iter(iter, iter.count(), 511, 511)?;
//!     Ok(iter.count())
//! }
//! ```
//!
//! C header: [`include/linux/uio.h`](srctree/include/linux/uio.h)

use crate::bindings;
use core::marker::PhantomData;
use core::ptr;
use kernel::page::PAGE_SHIFT;

pub use kernel::iov::{IovIterDest, IovIterSource};

mod private {
    pub trait Sealed {}
    impl Sealed for super::IovIterDest<'_> {}
    impl Sealed for super::IovIterSource<'_> {}
}

impl<'data> IovIter<'data> for IovIterDest<'data> {
    const IS_DEST: bool = true;
}

impl<'data> IovIter<'data> for IovIterSource<'data> {
    const IS_DEST: bool = false;
}

/// An iterator, whichever its direction: [`IovIterDest`] or [`IovIterSource`].
///
/// `'data` is the lifetime of the call of a [`Kiocb`](crate::fs::kiocb::Kiocb) that came with the iterator,
/// and that of no other call. Its memory is there for as long, but not longer than the request: once
/// the kiocb was given away it may be completed at any time. So the iterator can only be borrowed, by a borrow of
/// the kiocb (see [`CallIter`](crate::fs::kiocb::CallIter)), and there are no copies of it, but a [`Mark`] of where it was.
///
/// Both are a C iterator that is valid and goes over memory that is, in the sense that the C
/// functions may be used on it: user memory is checked by them. An iterator does not own its array
/// of segments. None of the methods sleeps.
pub trait IovIter<'data>: private::Sealed + Sized {
    /// Whether the memory is written to, as in read(2).
    const IS_DEST: bool;

    /// The C iterator.
    #[doc(hidden)]
    #[inline]
    fn as_raw(&self) -> *mut bindings::iov_iter {
        // Both types are transparent, and opaque inside.
        ptr::from_ref(self).cast_mut().cast()
    }

    /// How many bytes are left.
    #[inline]
    fn count(&self) -> usize {
        // SAFETY: By the invariants of both types the iterator is valid, and `&self` keeps others
        // from writing to it.
        unsafe { count(self.as_raw()) }
    }

    /// Where the iterator is, to go back there.
    #[inline]
    fn mark(&self) -> Mark<Self> {
        // SAFETY: Both types are a C iterator and have no destructor, and `&self` keeps others from
        // writing to it. The copy is not used as an iterator.
        Mark(unsafe { ptr::read(self) }, PhantomData)
    }

    /// Goes back to where the iterator was.
    #[inline]
    fn reset(&mut self, mark: Mark<Self>) {
        // It is one of this iterator: there is no other one of the call.
        *self = mark.0;
    }

    /// Leaves out the next `bytes` bytes, or what is left.
    #[inline]
    fn advance(&mut self, bytes: usize) {
        // SAFETY: By the invariants of both types the iterator is valid; it is ours to change. The
        // function goes no further than the end.
        unsafe { bindings::iov_iter_advance(self.as_raw(), bytes) };
    }

    /// Whether user memory that is not in memory, or not mapped, is as good as none: what needs it fails with
    /// `EFAULT`, and does not wait until it is brought in.
    #[inline]
    fn set_nofault(&mut self, nofault: bool) {
        // SAFETY: By the invariants of both types the iterator is valid; it is ours to change.
        unsafe { (*self.as_raw()).nofault = nofault };
    }

    /// See [`IovIter::set_nofault`].
    #[inline]
    fn is_nofault(&self) -> bool {
        // SAFETY: By the invariants of both types the iterator is valid.
        unsafe { (*self.as_raw()).nofault }
    }

    /// The bits that are set in the address or the length of some segment.
    #[inline]
    fn alignment(&self) -> usize {
        // An empty one may have no segments, and before 7.3 the function looks at the first one all the same.
        if self.count() == 0 {
            return 0;
        }
        // SAFETY: By the invariants of both types the iterator is valid, and it has a segment.
        unsafe { bindings::iov_iter_alignment(self.as_raw()) }
    }

    /// Whether pages that are taken from the iterator get pinned and have to be unpinned.
    ///
    /// So it is for user memory. Pages of the kernel are held by the maker of the iterator, until
    /// the request is completed.
    #[inline]
    fn extract_will_pin(&self) -> bool {
        // SAFETY: By the invariants of both types the iterator is valid.
        unsafe { bindings::iov_iter_extract_will_pin(self.as_raw()) }
    }

    /// An upper bound, `max` at most, for the number of pages in the next `bytes` bytes.
    #[inline(always)]
    fn npages(&self, max: u16, bytes: usize) -> u16 {
        // One segment of few pages: not worth a call.
        const FEW: usize = 3 << PAGE_SHIFT;
        // SAFETY: By the invariants of both types the iterator is valid. With these types it has a number of
        // segments.
        let is_one = unsafe {
            let iter = self.as_raw();
            u32::from((*iter).iter_type) <= bindings::iter_type_ITER_KVEC
                && (*iter).__bindgen_anon_2.nr_segs == 1
        };
        if is_one && bytes <= FEW {
            return max.min((bytes >> PAGE_SHIFT) as u16 + 2);
        }
        // SAFETY: By the invariants of both types the iterator is valid; the function leaves it as it is. It changes the count in
        // between, which nobody sees: the types are not `Sync`.
        let pages = unsafe { bindings::iov_iter_npages_cap(self.as_raw(), i32::from(max), bytes) };
        // It is zero to `max`.
        pages as u16
    }
}

/// Where an iterator was, for [`IovIter::reset`]. It may be kept for longer than the iterator is there.
pub struct Mark<I>(
    I,
    // Invariant, so that the lifetime of a call is never taken for that of another.
    PhantomData<fn(I) -> I>,
);

/// An iterator of its own over the next `bytes` bytes of `iter`, or what is left.
///
/// # Safety
///
/// It must not be used any more when the kiocb of the call was given away, nor be given to others, who would not know.
#[inline]
pub(crate) unsafe fn part_of<'data, I: IovIter<'data>>(iter: &I, bytes: usize) -> I {
    let bytes = bytes.min(iter.count());
    // SAFETY: Both types are a C iterator and have no destructor, and `&I` keeps others from writing to it. A copy of a valid
    // iterator is one, of the same direction, as long as there are the memory and the array of segments: by the requirement it is
    // used no longer.
    let part = unsafe { ptr::read(iter) };
    // SAFETY: The copy is valid and ours to change. The field is a member of the same structure for every kind of iterator.
    unsafe {
        (*part.as_raw())
            .__bindgen_anon_1
            .__bindgen_anon_1
            .as_mut()
            .count = bytes;
    }
    part
}

/// How many bytes a C iterator has left.
///
/// # Safety
///
/// It must be valid, and nobody write to it meanwhile.
#[inline]
pub(crate) unsafe fn count(iter: *const bindings::iov_iter) -> usize {
    // SAFETY: By the requirement. The field is a member of the same structure for every kind of iterator.
    unsafe { (*iter).__bindgen_anon_1.__bindgen_anon_1.as_ref().count }
}

/// Bringing in the memory that a write comes from.
pub trait IovIterFaultIn {
    /// Brings in the memory that is left, as far as there is some. It may be gone again at any time. Sleeps,
    /// and must not be called with a lock held that a page fault takes.
    fn fault_in(&self);
}

impl IovIterFaultIn for IovIterSource<'_> {
    #[inline]
    fn fault_in(&self) {
        // SAFETY: By the type invariants the iterator is valid, and it is a source. It is not changed.
        unsafe { bindings::fault_in_iov_iter_readable(self.as_raw(), self.count()) };
    }
}

/// Zeroing the memory that a read goes to.
pub trait IovIterZero {
    /// Fills the next `bytes` bytes with zeroes; returns how many could be. May sleep, as user
    /// memory may have to be brought in.
    ///
    /// Fewer than `bytes` if the iterator ends, or if it comes to memory that cannot be written.
    fn zero(&mut self, bytes: usize) -> usize;
}

impl IovIterZero for IovIterDest<'_> {
    #[inline]
    fn zero(&mut self, bytes: usize) -> usize {
        // SAFETY: By the type invariants the iterator is valid, and it is a destination.
        unsafe { bindings::iov_iter_zero(bytes, self.as_raw()) }
    }
}

/// An iterator of a direction that is only known at run time, as `direct_IO` gets it.
pub(crate) enum AnyIovIter<'iter, 'data> {
    /// Of a read.
    Dest(&'iter mut IovIterDest<'data>),
    /// Of a write.
    Source(&'iter mut IovIterSource<'data>),
}

impl AnyIovIter<'_, '_> {
    /// # Safety
    ///
    /// `iter` must be a valid iterator that nobody else uses for `'iter`, over memory that stays
    /// for `'data`. The current task must be the one whose memory is meant, if it is user memory.
    #[inline]
    pub(crate) unsafe fn from_raw<'iter, 'data>(
        iter: *mut kernel::bindings::iov_iter,
    ) -> AnyIovIter<'iter, 'data> {
        // SAFETY: By the requirement the iterator is valid. Its direction is the one looked for.
        unsafe {
            if (*iter).data_source == (bindings::ITER_DEST != 0) {
                AnyIovIter::Dest(IovIterDest::from_raw(iter))
            } else {
                AnyIovIter::Source(IovIterSource::from_raw(iter))
            }
        }
    }
}
