// SPDX-License-Identifier: GPL-2.0

//! The iterator of a call, which is there as long as its kiocb was not given away.
//!
//! A method has a [`CallIter`] and a [`Kiocb`] of one call. The former says where the iterator is, and the latter is the right to
//! use it:
//!
//! ```ignore
//! let left = to.get(&iocb).count();
//! to.get_mut(&mut iocb).advance(left);
//! let (kiocb, queued) = iocb.detach()?;
//! to.get(&iocb); // Does not compile: `iocb` was moved.
//! ```
//!
//! What is borrowed of the iterator borrows the kiocb. So it is not used by who has given that away, be it the method or one that
//! has called it; and where the kiocb is given back, as with an error, so is the iterator. It costs nothing: the one is a
//! pointer to the iterator, as before, and the other is not looked at.

use super::call::Kiocb;
use super::iocb::KiocbOwner;
use super::lending::CallIocb;
use crate::bindings;
use crate::iov::{IovIter, IovIterDest, IovIterSource};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// Where the iterator of the call `'a` is. To use it takes the [`Kiocb`] of that call.
///
/// # Invariants
///
/// As long as there is a [`Kiocb`] of the call `'a`, it is a valid iterator, the only one of that call, over the memory that came with
/// it; and it is used by way of that `Kiocb` alone: it is borrowed as long as the `Kiocb` is, and in the same way.
pub struct CallIter<'a, I: IovIter<'a>> {
    iter: NonNull<I>,
    // Invariant, so that the lifetimes of two calls are never taken for each other.
    _call: PhantomData<fn(&'a ()) -> &'a ()>,
}

/// That of a read.
pub type CallDest<'a> = CallIter<'a, IovIterDest<'a>>;

/// That of a write.
pub type CallSource<'a> = CallIter<'a, IovIterSource<'a>>;

impl<'a, I: IovIter<'a>> Clone for CallIter<'a, I> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<'a, I: IovIter<'a>> Copy for CallIter<'a, I> {}

impl<'a, I: IovIter<'a>> CallIter<'a, I> {
    /// # Safety
    ///
    /// `iter` must be the one iterator of the call that `iocb` was made for, and nobody else use it until that ends, or, if the
    /// kiocb is given away, until then.
    #[inline(always)]
    pub(crate) unsafe fn new<F: KiocbOwner>(_iocb: &Kiocb<'a, F>, iter: &mut I) -> Self {
        // INVARIANT: By the requirement: `'a` is the lifetime of the call of `iocb`, and of no other (see `enter`).
        CallIter {
            iter: NonNull::from(iter),
            _call: PhantomData,
        }
    }

    /// The iterator.
    #[inline(always)]
    pub fn get<'b, F: KiocbOwner>(self, _iocb: &'b Kiocb<'a, F>) -> &'b I {
        // SAFETY: By the type invariants it is valid, as there is a `Kiocb` of the call, and while that is borrowed nobody changes
        // it.
        unsafe { self.iter.as_ref() }
    }

    /// The iterator, to change it.
    #[inline(always)]
    pub fn get_mut<'b, F: KiocbOwner>(mut self, _iocb: &'b mut Kiocb<'a, F>) -> &'b mut I {
        // SAFETY: By the type invariants it is valid, as there is a `Kiocb` of the call, and while that is borrowed nobody else uses
        // it.
        unsafe { self.iter.as_mut() }
    }

    /// The iterator, to change it, and the kiocb, to lend its memory.
    #[inline(always)]
    pub fn with_lending<'b, F: KiocbOwner>(
        mut self,
        iocb: &'b mut Kiocb<'a, F>,
    ) -> (&'b mut I, &'b CallIocb<'a, F>) {
        // SAFETY: As for `get_mut`. With the other value nobody comes to the iterator.
        (unsafe { self.iter.as_mut() }, iocb.lending())
    }

    /// The C iterator, for a function of C that gets the kiocb, too. To be used as long as there is a [`Kiocb`] of the call, or
    /// until that function has given the kiocb away.
    #[inline(always)]
    pub(crate) fn as_raw(self) -> *mut bindings::iov_iter {
        // Both types are transparent, and opaque inside.
        self.iter.as_ptr().cast()
    }
}
