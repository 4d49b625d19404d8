// SPDX-License-Identifier: GPL-2.0

//! The kiocb of a call of `read_iter`, `write_iter` or `direct_IO`, and how the call ends.
//!
//! The entry point of a table makes a [`Call`] on its stack, wraps the kiocb with it, and turns
//! what the method returns into what C expects:
//!
//! ```ignore
//! unsafe extern "C" fn read_iter(iocb: *mut kiocb, to: *mut iov_iter) -> isize {
//!     let call = Call::new();
//!     let (iocb, to) = unsafe { (Kiocb::enter(iocb, &call), ...) };
//!     call.ret(T::read_iter(iocb, to))
//! }
//! ```
//!
//! The methods are generic over the lifetime of the call, which kiocb and iterator have in common:
//! `read_iter<'a>(iocb: Kiocb<'a, F>, to: &mut IovIterDest<'a>)`. Nothing with such a lifetime can be
//! kept, so that no code ever has the kiocb of one call and the iterator of another.

use super::async_kiocb::AsyncKiocb;
use super::iocb::{Iocb, IocbMut, KiocbOwner};
use crate::bindings;
use crate::fs::inode::Inode;
use crate::task::MaySleep;
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr;
use kernel::prelude::*;
use kernel::types::NotThreadSafe;

/// A call of `read_iter`, `write_iter` or `direct_IO`, by which its caller knows what has become of
/// the [`Kiocb`].
pub(crate) struct Call {
    /// The kiocb was given back, or given away. If not, it was forgotten.
    ended: Cell<bool>,
}

impl Call {
    /// A call that begins.
    #[inline]
    pub(crate) fn new() -> Self {
        Call {
            ended: Cell::new(false),
        }
    }

    /// The return value for the C caller.
    #[inline]
    pub(crate) fn ret<F: KiocbOwner>(&self, io: Result<Io<'_, F>>) -> isize {
        let ret = match io {
            Ok(Io::Done(iocb, count)) => {
                drop(iocb);
                count as isize
            }
            Ok(Io::Queued(_)) => -(bindings::EIOCBQUEUED as isize),
            Err(error) => error.to_errno() as isize,
        };
        assert!(self.ended.get(), "a kiocb was forgotten");
        ret
    }
}

/// The kiocb of a call that is being made. `'a` is the time of the call, and stands for no other.
pub struct Kiocb<'a, F: KiocbOwner> {
    iocb: Iocb<F>,
    call: &'a Call,
    // Invariant, so that the lifetimes of two calls are never taken for each other.
    _call: PhantomData<fn(&'a ()) -> &'a ()>,
    _not_send: NotThreadSafe,
}

impl<'a, F: KiocbOwner> Kiocb<'a, F> {
    /// Wraps the kiocb of a call of `read_iter` or `write_iter`.
    ///
    /// # Safety
    ///
    /// `kiocb` must be valid, of an open file whose inode is an `Inode<F>`, and be used by nobody
    /// else, from now to the end of the call, which is `'a`, or, if the call ends with
    /// `-EIOCBQUEUED`, to its completion. The caller of the call must hold the file until the end
    /// of `'a` in any case.
    #[inline]
    pub(crate) unsafe fn enter(kiocb: *mut bindings::kiocb, call: &'a Call) -> Self {
        // Not all callers initialise it: io_uring and loop do not.
        // SAFETY: By the requirement the kiocb is valid and not used by anybody else.
        unsafe { (*kiocb).private = ptr::null_mut() };
        // SAFETY: By the requirements, and `private` is null now.
        unsafe { Self::from_raw(kiocb, call) }
    }

    /// Wraps the kiocb of a call of `direct_IO`.
    ///
    /// # Safety
    ///
    /// As for [`Kiocb::enter`]. The call must be made from within a call of `read_iter` or
    /// `write_iter` that has entered with this kiocb and has not used it since.
    #[inline]
    pub(crate) unsafe fn from_raw(kiocb: *mut bindings::kiocb, call: &'a Call) -> Self {
        Kiocb {
            // SAFETY: By the requirements the kiocb is valid and ours, and `private` is null as set
            // by `enter`, or as left by its user: `Iocb::end` has been called whenever that gave it
            // back, which ends the count of direct I/O and finds nothing lent.
            iocb: unsafe { Iocb::from_raw(kiocb) },
            call,
            _call: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// Whether the caller waits for the result anyway, so that there is no queueing the request.
    #[inline]
    pub fn is_sync(&self) -> bool {
        self.iocb.ki_complete().is_none()
    }

    /// The inode of the file, which lives as long as the call whatever becomes of the kiocb.
    #[inline]
    pub fn inode(&self) -> &'a Inode<F> {
        // SAFETY: By the contract of `enter`, the caller holds the file until the end of `'a`.
        unsafe { Inode::from_raw(self.iocb.f_inode()) }
    }

    /// Evidence that the call may sleep: it is made by a task.
    #[inline]
    pub fn may_sleep(&self) -> MaySleep<'a> {
        // SAFETY: `read_iter`, `write_iter` and `direct_IO` are called in process context, and the life
        // time is that of the call.
        unsafe { MaySleep::new() }
    }

    /// Makes the request asynchronous: `f` may take the kiocb, by [`Handover::take`]. Returns what `f`
    /// does.
    ///
    /// If `f` takes it, the request may be complete and the kiocb gone by the time that `f` returns. If
    /// it does not, or if the request is synchronous, so that `f` is not even asked, the call goes on
    /// with the kiocb.
    #[inline]
    pub fn queue<R>(
        self,
        f: impl FnOnce(Handover<'_, F>) -> R,
    ) -> Result<Queued<'a>, (Self, Option<R>)> {
        if self.is_sync() {
            return Err((self, None));
        }
        let call = self.call;
        // SAFETY: `self` is forgotten, so that the value is moved out, not copied.
        let mut iocb = Some(unsafe { ptr::read(&ManuallyDrop::new(self).iocb) });
        // INVARIANT: It is there.
        let ret = f(Handover(&mut iocb));
        match iocb {
            None => {
                call.ended.set(true);
                Ok(Queued::new())
            }
            Some(iocb) => Err((
                Kiocb {
                    iocb,
                    call,
                    _call: PhantomData,
                    _not_send: NotThreadSafe,
                },
                Some(ret),
            )),
        }
    }

    /// Makes a call into the kernel that may end with the request queued. After an error the kiocb
    /// is the caller's as it was.
    ///
    /// # Safety
    ///
    /// `call` must return what a `read_iter` function returns, and must not have used the kiocb
    /// after it was queued.
    pub(crate) unsafe fn call(
        self,
        call: impl FnOnce(*mut bindings::kiocb) -> isize,
    ) -> Result<Io<'a, F>, (Self, Error)> {
        // If the request gets queued, the kiocb is not ours any more.
        let this = ManuallyDrop::new(self);
        match call(this.iocb.as_raw()) {
            ret if ret == -(bindings::EIOCBQUEUED as isize) => {
                this.call.ended.set(true);
                Ok(Io::Queued(Queued::new()))
            }
            ret => {
                let this = ManuallyDrop::into_inner(this);
                match usize::try_from(ret) {
                    Ok(count) => Ok(Io::Done(this, count)),
                    Err(_) => Err((this, Error::from_errno(ret as i32))),
                }
            }
        }
    }

    /// The C kiocb, for a call that does not queue it.
    #[inline]
    pub(crate) fn as_raw(&mut self) -> *mut bindings::kiocb {
        self.iocb.as_raw()
    }
}

impl<F: KiocbOwner> Deref for Kiocb<'_, F> {
    type Target = Iocb<F>;

    #[inline]
    fn deref(&self) -> &Iocb<F> {
        &self.iocb
    }
}

impl<F: KiocbOwner> Kiocb<'_, F> {
    /// To change it.
    #[inline]
    pub fn as_mut(&mut self) -> IocbMut<'_, F> {
        IocbMut(&mut self.iocb)
    }
}

impl<F: KiocbOwner> Drop for Kiocb<'_, F> {
    #[inline]
    fn drop(&mut self) {
        self.iocb.end();
        self.call.ended.set(true);
    }
}

/// A kiocb that may be taken out of the hands of its call, once.
///
/// # Invariants
///
/// It is `Some`.
pub struct Handover<'h, F: KiocbOwner>(&'h mut Option<Iocb<F>>);

impl<F: KiocbOwner> Handover<'_, F> {
    /// Takes the kiocb: the call ends with `-EIOCBQUEUED`.
    #[inline]
    pub fn take(self) -> AsyncKiocb<F> {
        // SAFETY: By the type invariant; this is the end of the value.
        AsyncKiocb(unsafe { self.0.take().unwrap_unchecked() })
    }
}

/// The kiocb of the call `'a` belongs to an [`AsyncKiocb`], or did: the call has to end with
/// `-EIOCBQUEUED`.
#[must_use]
pub struct Queued<'a> {
    _call: PhantomData<fn(&'a ()) -> &'a ()>,
    _not_send: NotThreadSafe,
}

impl Queued<'_> {
    #[inline]
    fn new() -> Self {
        Queued {
            _call: PhantomData,
            _not_send: NotThreadSafe,
        }
    }
}

/// How a call of `read_iter`, `write_iter` or `direct_IO` ends, if not with an error.
#[must_use]
pub enum Io<'a, F: KiocbOwner> {
    /// So many bytes were read or written.
    Done(Kiocb<'a, F>, usize),
    /// The request will be completed later, or has been already.
    Queued(Queued<'a>),
}
