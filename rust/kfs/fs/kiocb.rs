// SPDX-License-Identifier: GPL-2.0

//! I/O control blocks: one read or write request on its way through the kernel.
//!
//! A kiocb belongs to the code that works on it, and there is a type for each way to own one:
//!
//! * [`Kiocb`]: the request is being handled by a call of `read_iter`, `write_iter` or `direct_IO`.
//!   The call ends with a result, and with that the caller gets the kiocb back.
//! * [`AsyncKiocb`]: the call has ended, or is about to end, with `-EIOCBQUEUED`. Whoever owns the
//!   value owes the caller a call of `ki_complete` and makes it with [`AsyncKiocb::complete`].
//!   Dropping the value completes the request with `EIO`, so that no request is ever lost.
//!
//! A call can only end with `-EIOCBQUEUED` by returning a [`Queued`], and the only way to get one
//! is [`Kiocb::queue`], which turns the kiocb into an [`AsyncKiocb`]. There is none for a
//! synchronous request. So a request is either answered by the return value or by `ki_complete`,
//! never by both and never by none.
//!
//! [`Iocb`] is what both types have in common. Two things hang on it and end with it:
//!
//! * The *private* pointer, a reference to an object of the filesystem that is outstanding for the
//!   request ([`KiocbOwner::Private`]). Callers of a filesystem do not initialise it.
//! * The count of direct I/O requests on the inode, which truncate waits for.
//!
//! The kiocb holds the file, and that holds the inode and the mount. And it lends memory: pages of
//! an iterator that are not pinned are there until the request is answered, and no longer. A bio
//! with such memory is counted as lent by the kiocb until it has come back; a request that is answered
//! before, or a kiocb that is forgotten, stops the kernel: the memory would be used after it is
//! gone.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::block::bio::{Hints, Lender};
use crate::fs::file_system::FileSystem;
use crate::fs::fserror;
use crate::fs::inode::Inode;
use crate::fs::inode_lock::{Exclusive, InodeLocked, Mode};
use crate::mm::page_cache::PageCache;
use core::cell::Cell;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, Range};
use core::ptr::{self, NonNull};
use kernel::prelude::*;
use kernel::types::{ForeignOwnable, NotThreadSafe};

/// A filesystem that keeps an object of its own with a kiocb.
pub trait KiocbOwner: FileSystem {
    /// What `kiocb->private` owns while it is not null.
    type Private: ForeignOwnable + Send + Sync + 'static;
}

/// What can be done with a kiocb, whoever owns it.
///
/// # Invariants
///
/// - The pointer is a valid kiocb of an open file whose inode is an `Inode<F>`, and nobody else
///   uses it.
/// - `private` of the kiocb is null, or comes from `F::Private::into_foreign` and is owned.
/// - If `dio` is set, the inode counts a direct I/O request for this kiocb.
/// - `lent` is the number of bios with memory of the request that may be in flight.
pub struct Iocb<F: KiocbOwner> {
    kiocb: NonNull<bindings::kiocb>,
    dio: bool,
    lent: Cell<u32>,
    _p: PhantomData<F>,
}

impl<F: KiocbOwner> Iocb<F> {
    #[inline]
    fn as_ref(&self) -> &bindings::kiocb {
        // SAFETY: By the type invariants the kiocb is valid and nobody else uses it.
        unsafe { self.kiocb.as_ref() }
    }

    #[inline]
    fn as_mut(&mut self) -> &mut bindings::kiocb {
        // SAFETY: By the type invariants the kiocb is valid and nobody else uses it.
        unsafe { self.kiocb.as_mut() }
    }

    #[inline]
    fn mapping(&self) -> *mut bindings::address_space {
        // SAFETY: By the type invariants the file is open.
        unsafe { (*self.as_ref().ki_filp).f_mapping }
    }

    /// Where in the file the request starts, or goes on.
    #[inline]
    pub fn pos(&self) -> i64 {
        self.as_ref().ki_pos
    }

    /// Whether the page cache is to be bypassed.
    #[inline]
    pub fn is_direct(&self) -> bool {
        self.as_ref().ki_flags & bindings::IOCB_DIRECT as i32 != 0
    }

    /// Whether the request is to fail with `EAGAIN` where it would have to wait (`RWF_NOWAIT`).
    #[inline]
    pub fn is_nowait(&self) -> bool {
        self.as_ref().ki_flags & bindings::IOCB_NOWAIT != 0
    }

    /// Whether what was written has to be on stable storage when the request ends.
    #[inline]
    pub fn is_dsync(&self) -> bool {
        // SAFETY: By the type invariants the kiocb is valid and of an open file.
        unsafe { bindings::iocb_is_dsync(self.kiocb.as_ptr()) }
    }

    /// The I/O priority of the request.
    #[inline]
    pub fn ioprio(&self) -> u16 {
        self.as_ref().ki_ioprio
    }

    /// The inode of the file.
    #[inline]
    pub fn inode(&self) -> &Inode<F> {
        // SAFETY: By the type invariants the file is open, so that it holds its inode.
        unsafe { Inode::from_raw((*self.as_ref().ki_filp).f_inode) }
    }

    /// The object that is outstanding for the request.
    #[inline]
    pub fn private(&self) -> Option<<F::Private as ForeignOwnable>::Borrowed<'_>> {
        let private = self.as_ref().private;
        if private.is_null() {
            return None;
        }
        // SAFETY: By the type invariants it comes from `into_foreign` and is owned; taking it out
        // needs `&mut self`, so that it stays for the life time of `&self`.
        Some(unsafe { F::Private::borrow(private) })
    }

    /// Writes what the page cache has of the bytes from `start` to `end` of the file to the device,
    /// and waits for it. Does nothing if there is nothing in the page cache. May sleep.
    pub fn write_and_wait_range(&self, start: i64, end: i64) -> Result {
        PageCache::of(self.inode()).write_and_wait(&(start..end))
    }

    /// Whether [`Iocb::write_and_wait_range`] would have something to do.
    pub fn range_needs_writeback(&self, start: i64, end: i64) -> bool {
        if start >= end {
            return false;
        }
        // SAFETY: The mapping of an open file is valid. The end is inclusive.
        unsafe { bindings::filemap_range_needs_writeback(self.mapping(), start, end - 1) }
    }

    /// Drops what the page cache has of the `count` bytes that were written at the position,
    /// because it is older than what is on the device. May sleep.
    ///
    /// What others wrote to other blocks meanwhile is not dropped but written to the device: pages
    /// can be larger than blocks. If that does not help, or if they wrote to the same blocks, the
    /// next fsync of the file fails with `EIO`, and the kernel log says why.
    pub fn invalidate_post_direct_write(&self, count: usize) {
        let end = self.pos() + count as i64;
        self.invalidate(self.pos()..end, self.pos()..end);
    }

    /// Drops `range`, in which `written` was written, both in bytes.
    fn invalidate(&self, range: Range<i64>, written: Range<i64>) {
        let cache = PageCache::of(self.inode());
        if cache.invalidate(&range) {
            return;
        }
        let is_collision = cache.is_dirty_in(&written) && !cfg!(mutant = "kfs-collision-untold");
        if !is_collision
            && self.write_and_wait_range(range.start, range.end).is_ok()
            && cache.invalidate(&range)
        {
            return;
        }
        cache.set_error(EIO);
        // SAFETY: The argument is a string.
        if unsafe { bindings::__printk_ratelimit(c"dio_complete".as_char_ptr()) } != 0 {
            pr_crit!(
                "{}: inode {}: Page cache invalidation failure on direct I/O.  Possible data corruption due to collision with buffered I/O!\n",
                self.inode().sb().id(),
                self.inode().ino()
            );
        }
    }

    /// Tells who listens (fanotify) that the device failed in the bytes `range` of the file, which
    /// was read or written directly. Does not sleep.
    pub fn report_dio_error(&self, is_write: bool, range: Range<u64>, error: Error) {
        let what = if is_write {
            bindings::fserror_type_FSERR_DIRECTIO_WRITE
        } else {
            bindings::fserror_type_FSERR_DIRECTIO_READ
        };
        fserror::report_inode(self.inode(), what, range, error);
    }

    /// Writes to the log that the device failed at byte `pos` of the file, which was read or written
    /// directly: for when the caller is told of the bytes before alone. Not more often than the
    /// kernel's limit for messages.
    pub fn log_dio_error(&self, is_write: bool, pos: u64, error: Error) {
        // SAFETY: The argument is a string.
        if unsafe { bindings::__printk_ratelimit(c"log_dio_error".as_char_ptr()) } != 0 {
            pr_err!(
                "{}: inode {}: direct {} cut short at byte {}: error {}\n",
                self.inode().sb().id(),
                self.inode().ino(),
                if is_write { "write" } else { "read" },
                pos,
                error.to_errno()
            );
        }
    }

    /// Moves the end of the file behind the `count` bytes that are on the device at the position.
    ///
    /// In between, no page can get into the page cache, and those that hold the old end of the file
    /// are dropped: a page that was read in before has zeroes where the new bytes are.
    pub fn extend_post_direct_write(&self, locked: &InodeLocked<F, Exclusive>, count: usize) {
        let (start, end) = (self.pos(), self.pos() + count as i64);
        let i_size = locked.i_size_read() as i64;
        if count == 0 || end <= i_size || !locked.is(self.inode()) {
            return;
        }
        let mapping = self.mapping();
        // SAFETY: The mapping of an open file is valid. The lock nests inside the inode lock, as it
        // does for truncate.
        unsafe { bindings::filemap_invalidate_lock(mapping) };
        self.invalidate(start.min(i_size)..end, start..end);
        locked.i_size_write(end as u64);
        // SAFETY: It was taken above.
        unsafe { bindings::filemap_invalidate_unlock(mapping) };
        locked.mark_inode_dirty();
    }

    /// For a request that asked for it (O_SYNC, O_DSYNC, RWF_SYNC, RWF_DSYNC): writes the `count`
    /// bytes before the position, and what is needed to find them again, to stable storage. Returns
    /// `count`. May sleep.
    pub fn generic_write_sync(&self, count: usize) -> Result<usize> {
        // SAFETY: The kiocb is valid and ours, and its file is open.
        let ret = unsafe { bindings::generic_write_sync(self.kiocb.as_ptr(), count as isize) };
        usize::try_from(ret).map_err(|_| Error::from_errno(ret as i32))
    }

    /// Ends everything that hangs on the kiocb.
    #[inline]
    fn end(&mut self) {
        assert!(self.lent.get() == 0, "bios use the memory of the request");
        let mut this = IocbMut(self);
        if !cfg!(mutant = "kfs-private-left") {
            drop(this.take_private());
        }
        this.inode_dio_end();
    }
}

// SAFETY: Pages that an iterator lends are there until its request is completed, as C has it. The
// kiocb cannot be completed or given back while `lent` counts a bio: `end` stops the kernel then.
unsafe impl<F: KiocbOwner> Lender for Iocb<F> {
    #[inline]
    fn hints(&self) -> Hints {
        // SAFETY: The inode is valid. The field may change at any time; it is only a hint.
        let hint = unsafe { ptr::read_volatile(&raw const (*self.inode().as_ptr()).i_write_hint) };
        Hints {
            ioprio: self.ioprio(),
            write_hint: hint as bindings::rw_hint,
            nowait: self.is_nowait(),
        }
    }

    #[inline]
    fn lend(&self) -> *const c_void {
        // There is no room for so many bios.
        self.lent.set(self.lent.get() + 1);
        self.kiocb.as_ptr().cast()
    }

    #[inline]
    unsafe fn give_back(&self, lender: *const c_void) {
        if ptr::eq(lender, self.kiocb.as_ptr().cast()) {
            self.lent.set(self.lent.get() - 1);
        }
    }
}

/// An [`Iocb`] that may be changed, but not be exchanged for another: with `&mut Iocb`, two owners
/// could swap theirs, and the one answer with what the other owes.
pub struct IocbMut<'a, F: KiocbOwner>(&'a mut Iocb<F>);

impl<F: KiocbOwner> Deref for IocbMut<'_, F> {
    type Target = Iocb<F>;

    #[inline]
    fn deref(&self) -> &Iocb<F> {
        self.0
    }
}

impl<F: KiocbOwner> IocbMut<'_, F> {
    /// Moves the position behind the bytes that were read or written.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.set_pos(self.pos().saturating_add(count as i64));
    }

    /// Sets where in the file the request goes on, in bytes.
    #[inline]
    pub fn set_pos(&mut self, pos: i64) {
        self.0.as_mut().ki_pos = pos;
    }

    /// Sets the object that is outstanding for the request. What was there before is dropped.
    #[inline]
    pub fn set_private(&mut self, private: F::Private) {
        drop(self.take_private());
        // INVARIANT: It comes from `into_foreign`.
        self.0.as_mut().private = private.into_foreign();
    }

    /// Takes the object out: nothing is outstanding any more.
    #[inline]
    pub fn take_private(&mut self) -> Option<F::Private> {
        // INVARIANT: It is null from here on.
        let private = core::mem::replace(&mut self.0.as_mut().private, ptr::null_mut());
        // SAFETY: By the type invariants it is null, or from `into_foreign` and owned.
        unsafe { F::Private::try_from_foreign(private) }
    }

    /// Makes truncate, and whoever else changes blocks, wait for this request until
    /// [`IocbMut::inode_dio_end`].
    ///
    /// Needs the inode lock, exclusive or shared: who has taken it exclusively and waited for the
    /// requests, must not get a new one before releasing it. `locked` is the evidence, and has to
    /// be of the inode of this kiocb.
    #[inline]
    pub fn inode_dio_begin<M: Mode>(&mut self, locked: &InodeLocked<F, M>) {
        if !self.dio && locked.is(self.inode()) {
            // SAFETY: By the type invariants the inode is valid.
            unsafe { bindings::inode_dio_begin(self.inode().as_ptr()) };
            // INVARIANT: Just counted.
            self.0.dio = true;
        }
    }

    /// Ends what [`IocbMut::inode_dio_begin`] began, if that has not been done.
    #[inline]
    pub fn inode_dio_end(&mut self) {
        if core::mem::replace(&mut self.0.dio, false) {
            // SAFETY: By the type invariants the inode is valid, and counts a request for us.
            unsafe { bindings::inode_dio_end(self.inode().as_ptr()) };
        }
    }
}

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
    // Invariant, so that the life times of two calls are never taken for each other.
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
            iocb: Iocb {
                // SAFETY: By the requirements it is valid, so that it is not null.
                kiocb: unsafe { NonNull::new_unchecked(kiocb) },
                // INVARIANT: By the requirements `private` is null as set by `enter`, or as left by
                // its user: `end` has been called whenever that gave it back.
                dio: false,
                // INVARIANT: The same goes for bios.
                lent: Cell::new(0),
                _p: PhantomData,
            },
            call,
            _call: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// Whether the caller waits for the result anyway, so that there is no queueing the request.
    #[inline]
    pub fn is_sync(&self) -> bool {
        self.iocb.as_ref().ki_complete.is_none()
    }

    /// The inode of the file, which lives as long as the call whatever becomes of the kiocb.
    #[inline]
    pub fn inode(&self) -> &'a Inode<F> {
        // SAFETY: By the contract of `enter`, the caller holds the file until the end of `'a`.
        unsafe { Inode::from_raw((*self.iocb.as_ref().ki_filp).f_inode) }
    }

    /// Makes the request asynchronous: gives the kiocb to `f`, who takes it, or does not.
    ///
    /// If `f` takes it, the request may be complete and the kiocb gone by the time that `f`
    /// returns. If `f` gives it back, or if the request is synchronous, so that `f` is not even
    /// asked, the call goes on with the kiocb.
    #[inline]
    pub fn queue(
        self,
        f: impl FnOnce(AsyncKiocb<F>) -> Result<(), AsyncKiocb<F>>,
    ) -> Result<Queued<'a>, Self> {
        if self.is_sync() {
            return Err(self);
        }
        let (kiocb, call) = (self.iocb.kiocb, self.call);
        call.ended.set(true);
        // SAFETY: `self` is forgotten, so that the value is moved out, not copied.
        let iocb = unsafe { ptr::read(&ManuallyDrop::new(self).iocb) };

        match f(AsyncKiocb(iocb)) {
            Err(back) if back.0.kiocb == kiocb => {
                call.ended.set(false);
                Err(back.take_back(call))
            }
            // If another kiocb came back, dropping it completes that one. Ours has been taken.
            _ => Ok(Queued::new()),
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
        match call(this.iocb.kiocb.as_ptr()) {
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
    pub(crate) fn as_ptr(&mut self) -> *mut bindings::kiocb {
        self.iocb.kiocb.as_ptr()
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

/// A kiocb whose call does not wait for it. It is to be completed.
pub struct AsyncKiocb<F: KiocbOwner>(Iocb<F>);

// SAFETY: A kiocb may be completed by any thread, and so may what hangs on it be used and dropped.
unsafe impl<F: KiocbOwner> Send for AsyncKiocb<F> {}

impl<F: KiocbOwner> AsyncKiocb<F> {
    /// Completes the request. This is the end of the kiocb, and perhaps of the file.
    #[inline]
    pub fn complete(self, result: Result<usize>) {
        let mut this = ManuallyDrop::new(self);
        this.complete_once(result);
    }

    fn complete_once(&mut self, result: Result<usize>) {
        self.0.end();
        let ret = match result {
            Ok(count) => count as isize,
            Err(error) => error.to_errno() as isize,
        };
        if let Some(ki_complete) = self.0.as_ref().ki_complete {
            // SAFETY: The kiocb is valid and the request has not been completed: this is called by
            // `complete`, which consumes the value, or else by `drop`.
            unsafe { ki_complete(self.0.kiocb.as_ptr(), ret) };
            #[cfg(mutant = "kfs-complete-twice")]
            // SAFETY: There is no safety in this.
            unsafe {
                ki_complete(self.0.kiocb.as_ptr(), ret)
            };
        }
    }

    /// For [`Kiocb::queue`]: the kiocb of the call `'a` was not queued after all.
    #[inline]
    fn take_back(self, call: &Call) -> Kiocb<'_, F> {
        let this = ManuallyDrop::new(self);
        Kiocb {
            // SAFETY: `self` is forgotten, so that the value is moved out, not copied.
            iocb: unsafe { ptr::read(&this.0) },
            call,
            _call: PhantomData,
            _not_send: NotThreadSafe,
        }
    }
}

impl<F: KiocbOwner> Deref for AsyncKiocb<F> {
    type Target = Iocb<F>;

    #[inline]
    fn deref(&self) -> &Iocb<F> {
        &self.0
    }
}

impl<F: KiocbOwner> AsyncKiocb<F> {
    /// To change it.
    #[inline]
    pub fn as_mut(&mut self) -> IocbMut<'_, F> {
        IocbMut(&mut self.0)
    }
}

impl<F: KiocbOwner> Drop for AsyncKiocb<F> {
    fn drop(&mut self) {
        self.complete_once(Err(EIO));
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
