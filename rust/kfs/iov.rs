// SPDX-License-Identifier: GPL-2.0

//! Iterators over the memory of a read or write request.
//!
//! C header: [`include/linux/uio.h`](srctree/include/linux/uio.h)

use crate::bindings;
use core::marker::PhantomData;
use kernel::types::{NotThreadSafe, Opaque};

/// What is left of the memory that a request reads into or writes from.
///
/// The kernel crate has two types for this, by direction. Code that treats both directions alike
/// needs one, and asks [`IovIter::is_dest`].
///
/// # Invariants
///
/// The iterator is valid, and for `'data` so is the memory that it goes over, in the sense that the
/// C functions may be used on it: user memory is checked by them.
#[repr(transparent)]
pub struct IovIter<'data> {
    iter: Opaque<bindings::iov_iter>,
    _data: PhantomData<&'data mut [u8]>,
    // User memory is that of the current task.
    _not_send: NotThreadSafe,
}

impl<'data> IovIter<'data> {
    /// Wraps a C iterator.
    ///
    /// # Safety
    ///
    /// - `iter` must satisfy the type invariants, and nobody else may use it, for `'iter`.
    /// - The current task must be the one whose memory is meant, if it is user memory.
    #[inline]
    pub unsafe fn from_raw<'iter>(iter: *mut bindings::iov_iter) -> &'iter mut IovIter<'data> {
        // SAFETY: By the requirements; the type is transparent.
        unsafe { &mut *iter.cast() }
    }

    /// The C iterator.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::iov_iter {
        self.iter.get()
    }

    /// How many bytes are left.
    #[inline]
    pub fn count(&self) -> usize {
        // SAFETY: By the type invariants the iterator is valid, and `&self` keeps others from
        // writing to it. The field is a member of the same structure for every kind of iterator.
        unsafe {
            (*self.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .as_ref()
                .count
        }
    }

    /// An iterator over the same memory that moves by itself.
    #[inline]
    pub fn duplicate(&self) -> IovIter<'data> {
        // SAFETY: By the type invariants it is valid; `&self` keeps others from writing to it. A
        // copy of an iterator is one, as long as there is the memory, and the array of segments,
        // and that is `'data`: an iterator does not own either.
        let iter = unsafe { self.as_ptr().read() };
        // INVARIANT: As above.
        IovIter {
            iter: Opaque::new(iter),
            _data: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// Leaves out the next `bytes` bytes, or what is left.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        // SAFETY: By the type invariants the iterator is valid; it is ours to change.
        unsafe { bindings::iov_iter_advance(self.as_ptr(), bytes.min(self.count())) };
    }

    /// Runs `f` on the next `bytes` bytes, or what is left: to `f` they are all there is. Then
    /// leaves out as much as `f` did.
    pub fn limited<R>(&mut self, bytes: usize, f: impl FnOnce(&mut Self) -> R) -> R {
        let bytes = bytes.min(self.count());
        // `f` may put something else in the place of what it gets.
        let mut part = self.duplicate();
        part.truncate(bytes);
        let ret = f(&mut part);
        self.advance(bytes.saturating_sub(part.count()));
        ret
    }

    /// Cuts what is left to `bytes` bytes.
    fn truncate(&mut self, bytes: usize) {
        let count = bytes.min(self.count());
        // SAFETY: By the type invariants the iterator is valid, and it is ours to change. The field
        // is a member of the same structure for every kind of iterator.
        unsafe {
            (*self.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .as_mut()
                .count = count;
        }
    }

    /// Whether the memory is written to, as in read(2).
    #[inline]
    pub fn is_dest(&self) -> bool {
        // SAFETY: By the type invariants the iterator is valid.
        unsafe { (*self.as_ptr()).data_source == (bindings::ITER_DEST != 0) }
    }

    /// The bits that are set in the address or the length of some segment.
    #[inline]
    pub fn alignment(&self) -> usize {
        // SAFETY: By the type invariants the iterator is valid.
        unsafe { bindings::iov_iter_alignment(self.as_ptr()) }
    }

    /// Whether pages that are taken from the iterator get pinned and have to be unpinned.
    ///
    /// So it is for user memory. Pages of the kernel are held by whoever made the iterator, until
    /// the request is completed.
    #[inline]
    pub(crate) fn extract_will_pin(&self) -> bool {
        // SAFETY: By the type invariants the iterator is valid.
        unsafe { bindings::iov_iter_extract_will_pin(self.as_ptr()) }
    }

    /// An upper bound, `max` at most, for the number of pages in the next `bytes` bytes.
    #[inline]
    pub fn npages(&mut self, max: u16, bytes: usize) -> u16 {
        // SAFETY: By the type invariants the iterator is valid; it is ours to change.
        let pages = unsafe { bindings::iov_iter_npages_cap(self.as_ptr(), i32::from(max), bytes) };
        // It is zero to `max`.
        pages as u16
    }

    /// Fills the next `bytes` bytes with zeroes; returns how many could be.
    ///
    /// Fewer than `bytes` if the iterator ends, or if it comes to memory that cannot be written.
    #[inline]
    pub fn zero(&mut self, bytes: usize) -> usize {
        if !self.is_dest() {
            return 0;
        }
        // SAFETY: By the type invariants the iterator is valid, and it is a destination.
        unsafe { bindings::iov_iter_zero(bytes, self.as_ptr()) }
    }
}
