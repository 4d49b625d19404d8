// SPDX-License-Identifier: GPL-2.0

//! The kiocb of a call of `read_iter`, `write_iter` or `direct_IO`, and how the call ends.
//!
//! The entry point of a table makes the call: it has a [`Kiocb`] made for the method, and what the
//! method returns turned into what C expects:
//!
//! ```ignore
//! unsafe extern "C" fn read_iter(iocb: *mut kiocb, to: *mut iov_iter) -> isize {
//!     unsafe { enter(iocb, iov::count(to), |iocb| {
//!         let to = CallIter::new(&iocb, IovIterDest::from_raw(to.cast()));
//!         T::read_iter(iocb, to)
//!     }) }
//! }
//! ```
//!
//! The methods are generic over the lifetime of the call, which kiocb and iterator have in common:
//! `read_iter<'a>(iocb: Kiocb<'a, F>, to: CallDest<'a>)`. Nothing with such a lifetime can be
//! kept, so that no code ever has the kiocb of one call and the iterator of another. To use the iterator takes a
//! borrow of the kiocb: it is out of reach when that was given away, by when its memory may be gone (see [`CallIter`](super::CallIter)).
//!
//! The [`Iocb`] of a call is in the frame of the entry point, and [`Kiocb`] is no more than the right to
//! use it: one pointer, which results and enums pass on in a register, with nothing to be done where it
//! is dropped.

use super::answer;
use super::async_kiocb::AsyncKiocb;
use super::iocb::{warn_of_answer, Iocb, IocbMut, KiocbOwner};
use crate::bindings;
use crate::fs::inode::Inode;
use crate::task::MaySleep;
use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr;
use kernel::prelude::*;
use kernel::time::delay::fsleep;
use kernel::time::Delta;
use kernel::types::NotThreadSafe;
use kernel::warn_on;

/// A call of `read_iter`, `write_iter` or `direct_IO`, in the frame of its entry point.
struct Call<F: KiocbOwner> {
    /// Moved out if `queued`.
    iocb: UnsafeCell<Iocb<F>>,
    /// The kiocb was given away: to an [`AsyncKiocb`], or by the kernel.
    queued: Cell<bool>,
}

const _: () = assert!(answer::EIOCBQUEUED == bindings::EIOCBQUEUED as i32);

/// Makes a call of `read_iter` or `write_iter`, for `asked` bytes: `f` is the method. Returns what C
/// expects. The request is answered by that unless `f` has given the kiocb away, whatever else it did with
/// it.
///
/// # Safety
///
/// `kiocb` must be valid, of an open file whose inode is an `Inode<F>`, and be used by nobody else,
/// from now to the end of the call, or, if the call ends with `-EIOCBQUEUED`, to its completion. The
/// caller of the call must hold the file until the end of the call in any case.
///
/// No rule of the VFS says the last, but filesystems need it, ext4 and iomap as well: they give back the lock of the inode when the request may
/// have been completed. Who waits for the request holds the file anyway; aio and io_uring hold the request until it is submitted, and that holds
/// the file. With the target of NVMe on files nothing but the request does (`nvmet_file_io_done()`), if the namespace is just being disabled.
#[inline]
pub(crate) unsafe fn enter<F: KiocbOwner>(
    kiocb: *mut bindings::kiocb,
    asked: usize,
    f: impl for<'a> FnOnce(Kiocb<'a, F>) -> Result<Io<'a, F>>,
) -> isize {
    // Not all callers initialise it: io_uring and loop do not.
    // SAFETY: By the requirement the kiocb is valid and not used by anybody else.
    unsafe { (*kiocb).private = ptr::null_mut() };
    // SAFETY: By the requirements, and `private` is null now.
    unsafe { enter_direct_io(kiocb, asked, f) }
}

/// As [`enter`], for a call of `direct_IO`.
///
/// # Safety
///
/// As for [`enter`]. The call must be made from within a call of `read_iter` or `write_iter` that has
/// entered with this kiocb and has not used it since.
#[inline]
pub(crate) unsafe fn enter_direct_io<F: KiocbOwner>(
    kiocb: *mut bindings::kiocb,
    asked: usize,
    f: impl for<'a> FnOnce(Kiocb<'a, F>) -> Result<Io<'a, F>>,
) -> isize {
    let asked = u32::try_from(asked).unwrap_or(u32::MAX);
    // SAFETY: By the requirements the kiocb is valid and ours, and `private` is null as set by
    // `enter`, or as left by its user: `Iocb::end` has been called whenever that gave it back, which
    // ends the count of direct I/O.
    let iocb = unsafe { Iocb::from_raw(kiocb, asked) };
    let mut call = Call {
        iocb: UnsafeCell::new(iocb),
        queued: Cell::new(false),
    };
    // INVARIANT: It is the only one, and nothing is given away. `f` takes any lifetime, and so can
    // neither keep the kiocb nor mix it up with that of another call.
    let io = f(Kiocb {
        call: &call,
        _call: PhantomData,
    });
    let ret = match io {
        Ok(Io::Done(_, count)) => answer::count(asked, count),
        Err(error) => answer::error(error.to_errno()),
        // There is no `Queued` of this call unless the kiocb was given away.
        Ok(Io::Queued(_)) => Err(EIO.to_errno() as isize),
    };
    if call.queued.get() {
        return -(bindings::EIOCBQUEUED as isize);
    }
    let iocb = call.iocb.get_mut();
    if iocb.has_loans() {
        wait_for_loans(iocb);
    }
    iocb.end();
    ret.unwrap_or_else(warn_of_answer)
}

/// For a call that would end while bios use the memory of the request: a bug, that of who did not wait
/// for them. Sleeps until they have ended.
#[cold]
fn wait_for_loans<F: KiocbOwner>(iocb: &Iocb<F>) {
    warn_on!(true);
    while iocb.has_loans() {
        fsleep(Delta::from_millis(1));
    }
}

/// The kiocb of a call that is being made. `'a` is the time of the call, and stands for no other.
///
/// If it is dropped, the call still has to end.
///
/// # Invariants
///
/// It is the only one for its call, and the kiocb was not given away.
pub struct Kiocb<'a, F: KiocbOwner> {
    call: &'a Call<F>,
    // Invariant, so that the lifetimes of two calls are never taken for each other.
    _call: PhantomData<fn(&'a ()) -> &'a ()>,
}

impl<'a, F: KiocbOwner> Kiocb<'a, F> {
    /// Whether the caller waits for the result anyway, so that there is no queueing the request.
    #[inline]
    pub fn is_sync(&self) -> bool {
        self.ki_complete().is_none()
    }

    /// The inode of the file, which lives as long as the call whatever becomes of the kiocb.
    #[inline]
    pub fn inode(&self) -> &'a Inode<F> {
        // SAFETY: By the contract of `enter`, the caller holds the file until the end of `'a`.
        unsafe { Inode::from_raw(self.f_inode()) }
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
    /// If `f` takes it, the request may be complete, and kiocb and iterator gone, by the time that `f`
    /// returns. If it does not, or if the request is synchronous, so
    /// that `f` is not even asked, the call goes on with the kiocb.
    #[inline]
    pub fn queue<R>(
        self,
        f: impl FnOnce(Handover<'_, F>) -> R,
    ) -> Result<Queued<'a>, (Self, Option<R>)> {
        if self.is_sync() {
            return Err((self, None));
        }
        // INVARIANT: `self` has the right to the kiocb, and is not used while `f` runs; the value
        // does not outlive that.
        let ret = f(Handover(self.call));
        match self.call.queued.get() {
            true => Ok(Queued::new()),
            // INVARIANT: It was not taken.
            false => Err((self, Some(ret))),
        }
    }

    /// As [`Kiocb::queue`], with a kiocb that is taken in any case: unless the request is synchronous.
    #[inline(always)]
    pub fn detach(self) -> Result<(AsyncKiocb<F>, Queued<'a>), Self> {
        if self.is_sync() {
            return Err(self);
        }
        // INVARIANT: `self` had the right to the kiocb, and is not used any more.
        Ok((Handover(self.call).take(), Queued::new()))
    }

    /// Makes a call into the kernel that may end with the request queued. After an error the kiocb
    /// is the caller's as it was.
    ///
    /// # Safety
    ///
    /// `call` must return what a `read_iter` function returns, and must not have used the kiocb
    /// after it was queued. With a kiocb that gets queued, `private` must go to its new owner or be null, and it must not
    /// be counted: nobody else ends what hangs on it.
    pub(crate) unsafe fn call(
        self,
        call: impl FnOnce(*mut bindings::kiocb) -> isize,
    ) -> Result<Io<'a, F>, (Self, Error)> {
        match call(Iocb::as_raw(&self)) {
            // If the request gets queued, the kiocb is not ours any more.
            ret if ret == -(bindings::EIOCBQUEUED as isize) => {
                self.call.queued.set(true);
                Ok(Io::Queued(Queued::new()))
            }
            ret => match usize::try_from(ret) {
                Ok(count) => Ok(Io::Done(self, count)),
                Err(_) => Err((self, Error::from_errno(ret as i32))),
            },
        }
    }

    /// The C kiocb, for a call that does not queue it.
    #[inline]
    pub(crate) fn as_raw(&mut self) -> *mut bindings::kiocb {
        Iocb::as_raw(self)
    }

    /// To change it.
    #[inline]
    pub fn as_mut(&mut self) -> IocbMut<'_, F> {
        // SAFETY: By the type invariants it is there, and used by way of `self` alone.
        IocbMut(unsafe { &mut *self.call.iocb.get() })
    }
}

impl<F: KiocbOwner> Deref for Kiocb<'_, F> {
    type Target = Iocb<F>;

    #[inline]
    fn deref(&self) -> &Iocb<F> {
        // SAFETY: By the type invariants it is there, and used by way of `self` alone.
        unsafe { &*self.call.iocb.get() }
    }
}

/// A kiocb that may be taken out of the hands of its call, once.
///
/// # Invariants
///
/// It is the only one for its call, whose [`Kiocb`] is not used meanwhile, and the kiocb was not given
/// away.
pub struct Handover<'h, F: KiocbOwner>(&'h Call<F>);

impl<F: KiocbOwner> Handover<'_, F> {
    /// Takes the kiocb: the call ends with `-EIOCBQUEUED`.
    #[inline]
    pub fn take(self) -> AsyncKiocb<F> {
        self.0.queued.set(true);
        // SAFETY: By the type invariants it is there, and used by nobody else. It is moved out, not
        // copied: this is the end of the value, and who finds `queued` does not look at it.
        AsyncKiocb(unsafe { ptr::read(self.0.iocb.get()) })
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
    /// So many bytes were read or written. The caller takes them for initialised, also in memory of the kernel that it has not cleared: it is
    /// for the method to say no more than came there.
    Done(Kiocb<'a, F>, usize),
    /// The request will be completed later, or has been already.
    Queued(Queued<'a>),
}
