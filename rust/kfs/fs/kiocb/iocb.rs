// SPDX-License-Identifier: GPL-2.0

//! What can be done with a kiocb, by each of its owners.
//!
//! The kernel crate's `kernel::fs::Kiocb<'_, T>` is no base for it: that ties `T` to
//! `file->private_data`, and knows of neither completion nor `ki_flags`.

use crate::bindings;
use crate::block::bio::{BioArc, BioOwner};
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{InodeLocked, Mode};
use crate::fs::inode::Inode;
use crate::sync::once::write_once;
use crate::task::MaySleep;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use kernel::ffi::c_long;
use kernel::types::ForeignOwnable;
use kernel::warn_on;

/// A filesystem that keeps an object of its own with a kiocb.
pub trait KiocbOwner: FileSystemData {
    /// What `kiocb->private` owns a reference to while it is not null: the owner of the bios of the
    /// request. The request is not answered while that has loans: see [`Lends`](crate::block::bio::Lends).
    /// It is also by what `iopoll` finds the bio behind it.
    type Private: BioOwner;
}

/// What can be done with a kiocb, in a call or after it.
///
/// # Invariants
///
/// - The pointer is a valid kiocb of an open file whose inode is an `Inode<F>`, and nobody else
///   uses it.
/// - `private` of the kiocb is null, or comes from `BioArc::into_foreign` and is owned. It stays as
///   long as it has loans.
/// - If `dio` is [`Dio::Counted`], the inode counts a direct I/O request for this kiocb.
pub struct Iocb<F: KiocbOwner> {
    kiocb: NonNull<bindings::kiocb>,
    /// How many bytes the request is for, or `u32::MAX`.
    asked: u32,
    dio: Dio,
    _p: PhantomData<F>,
}

/// As wide as its neighbour: a kiocb is given away by two words then, and not byte by byte.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dio {
    Uncounted,
    Counted,
}

impl<F: KiocbOwner> Iocb<F> {
    /// # Safety
    ///
    /// The type invariants must hold, with no direct I/O counted for the kiocb.
    #[inline]
    pub(super) unsafe fn from_raw(kiocb: *mut bindings::kiocb, asked: u32) -> Self {
        Iocb {
            // SAFETY: What is valid is not null.
            kiocb: unsafe { NonNull::new_unchecked(kiocb) },
            asked,
            // INVARIANT: By the requirement.
            dio: Dio::Uncounted,
            _p: PhantomData,
        }
    }

    /// The C kiocb.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::kiocb {
        self.kiocb.as_ptr()
    }

    /// How many bytes the request is for; `u32::MAX` if it is for more. One that is completed later transfers no more than that.
    #[inline]
    pub(super) fn asked(&self) -> u32 {
        self.asked
    }

    /// The open file.
    #[inline]
    pub(super) fn file(&self) -> *mut bindings::file {
        // SAFETY: By the type invariants.
        unsafe { (*self.as_raw()).ki_filp }
    }

    #[inline]
    fn flags(&self) -> i32 {
        // SAFETY: By the type invariants.
        unsafe { (*self.as_raw()).ki_flags }
    }

    /// What is called when the request ends, unless the caller waits for it.
    #[inline]
    pub(super) fn ki_complete(&self) -> Option<unsafe extern "C" fn(*mut bindings::kiocb, c_long)> {
        // SAFETY: By the type invariants.
        unsafe { (*self.as_raw()).ki_complete }
    }

    /// The inode of the file, which is valid as long as that is open.
    #[inline]
    pub(super) fn f_inode(&self) -> *mut bindings::inode {
        // SAFETY: By the type invariants the file is open, so that it holds its inode.
        unsafe { (*self.file()).f_inode }
    }

    #[inline]
    pub(super) fn mapping(&self) -> *mut bindings::address_space {
        // SAFETY: By the type invariants the file is open.
        unsafe { (*self.file()).f_mapping }
    }

    /// Where in the file the request starts, or goes on.
    #[inline]
    pub fn pos(&self) -> i64 {
        // SAFETY: By the type invariants.
        unsafe { (*self.as_raw()).ki_pos }
    }

    /// Whether the inode counts the request as direct I/O: see [`IocbMut::inode_dio_begin`].
    #[inline]
    pub(in crate::fs) fn is_counted(&self) -> bool {
        self.dio == Dio::Counted
    }

    /// Whether nothing hangs on the kiocb that would have to be ended.
    #[inline]
    pub(in crate::fs) fn is_bare(&self) -> bool {
        !self.has_private() && !self.is_counted()
    }

    /// Whether the request is to begin at EOF (`O_APPEND`, `RWF_APPEND`).
    #[inline]
    pub fn is_append(&self) -> bool {
        self.flags() & bindings::IOCB_APPEND != 0
    }

    /// Whether the page cache is to be bypassed.
    #[inline]
    pub fn is_direct(&self) -> bool {
        self.flags() & bindings::IOCB_DIRECT as i32 != 0
    }

    /// Whether the request is to fail with `EAGAIN` where it would have to wait (`RWF_NOWAIT`).
    #[inline]
    pub fn is_nowait(&self) -> bool {
        self.flags() & bindings::IOCB_NOWAIT != 0
    }

    /// Whether somebody polls for the end of the request, once its call has ended.
    #[inline]
    pub fn is_polled(&self) -> bool {
        self.flags() & bindings::IOCB_HIPRI != 0 && self.ki_complete().is_some()
    }

    /// Whether what was written has to be on stable storage when the request ends.
    #[inline]
    pub fn is_dsync(&self) -> bool {
        // SAFETY: By the type invariants the kiocb is valid and of an open file.
        unsafe { bindings::iocb_is_dsync(self.as_raw()) }
    }

    /// Whether that goes for all of the inode, also for what is not needed to find the data (`O_SYNC`).
    #[inline]
    pub fn is_sync_all(&self) -> bool {
        self.flags() & bindings::IOCB_SYNC != 0
    }

    /// Updates the access time of the file, if the mount and the file want that. May sleep.
    #[inline]
    pub fn accessed(&self, _: MaySleep<'_>) {
        // SAFETY: By the type invariants the file is open.
        unsafe { bindings::file_accessed(self.file()) };
    }

    /// The I/O priority of the request.
    #[inline]
    pub(super) fn ioprio(&self) -> u16 {
        // SAFETY: By the type invariants.
        unsafe { (*self.as_raw()).ki_ioprio }
    }

    /// The inode of the file.
    #[inline]
    pub fn inode(&self) -> &Inode<F> {
        // SAFETY: By the type invariants it is an inode of `F`, and the file, which is open, holds it.
        unsafe { Inode::from_raw(self.f_inode()) }
    }

    /// The object that is outstanding for the request, or `None`.
    #[inline]
    pub fn private(&self) -> Option<&F::Private> {
        // SAFETY: By the type invariants.
        let private = unsafe { (*self.as_raw()).private };
        if private.is_null() {
            return None;
        }
        // SAFETY: By the type invariants it comes from `into_foreign` and is owned; taking it out
        // needs `&mut self`, so that it stays for the lifetime of `&self`.
        Some(unsafe { BioArc::borrow(private) })
    }

    /// A reference to that object.
    #[inline]
    pub fn hold_private(&self) -> Option<BioArc<F::Private>> {
        // SAFETY: By the type invariants.
        let private = unsafe { (*self.as_raw()).private };
        if private.is_null() {
            return None;
        }
        // SAFETY: By the type invariants it is owned, for the time of this call at least.
        Some((*unsafe { BioArc::<F::Private>::owned_by(private) }).clone())
    }

    /// Whether bios use memory of the request that is there no longer than until it is answered.
    #[inline]
    pub(super) fn has_loans(&self) -> bool {
        // SAFETY: By the type invariants.
        let private = unsafe { (*self.as_raw()).private };
        // SAFETY: By the type invariants it is owned, for the time of this call at least.
        !private.is_null() && unsafe { BioArc::<F::Private>::owned_by(private) }.has_loans()
    }

    /// Ends everything that hangs on the kiocb, but for what has loans.
    #[inline]
    pub(super) fn end(&mut self) {
        let has_private = self.has_private();
        let mut this = IocbMut(self);
        if has_private && !cfg!(mutant = "kfs-private-left") {
            drop(this.take_private());
        }
        this.inode_dio_end();
    }

    /// Whether there is an object that is outstanding.
    #[inline]
    fn has_private(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { !(*self.as_raw()).private.is_null() }
    }
}

/// An [`Iocb`] that may be changed, but not be exchanged for another: with `&mut Iocb`, two owners
/// could swap theirs, and the one answer with what the other owes.
pub struct IocbMut<'a, F: KiocbOwner>(pub(super) &'a mut Iocb<F>);

impl<F: KiocbOwner> Deref for IocbMut<'_, F> {
    type Target = Iocb<F>;

    #[inline]
    fn deref(&self) -> &Iocb<F> {
        self.0
    }
}

impl<F: KiocbOwner> IocbMut<'_, F> {
    /// Moves the position by the `count` bytes that were read or written.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.set_pos(self.pos().saturating_add_unsigned(count as u64));
    }

    /// Sets where in the file the request goes on, in bytes.
    #[inline]
    pub fn set_pos(&mut self, pos: i64) {
        // SAFETY: By the type invariants of `Iocb`.
        unsafe { (*self.0.as_raw()).ki_pos = pos };
    }

    /// Sets the object that is outstanding for the request. What was there before is dropped; but if
    /// that has loans it stays, and `private` is dropped.
    #[inline(always)]
    pub fn set_private(&mut self, private: BioArc<F::Private>) {
        if self.0.has_private() {
            drop(self.take_private());
        }
        let kiocb = self.0.as_raw();
        // INVARIANT: It comes from `into_foreign`, and nothing with loans was there.
        // SAFETY: By the type invariants of `Iocb`. Somebody may be polling, and read it.
        unsafe {
            if (*kiocb).private.is_null() {
                write_once(&raw mut (*kiocb).private, private.into_foreign());
            }
        }
    }

    /// Takes the object out: nothing is outstanding any more. `None` also if it has loans, with which
    /// it stays.
    #[inline]
    pub fn take_private(&mut self) -> Option<BioArc<F::Private>> {
        if self.has_loans() {
            return None;
        }
        let kiocb = self.0.as_raw();
        // INVARIANT: It is null from here on.
        // SAFETY: By the type invariants of `Iocb` it is null, or from `into_foreign` and owned.
        unsafe {
            let private = (*kiocb).private;
            // Somebody may be polling, and read it.
            write_once(&raw mut (*kiocb).private, ptr::null_mut());
            BioArc::try_from_foreign(private)
        }
    }

    /// Counts a direct I/O request on the inode, until [`IocbMut::inode_dio_end`]: truncate, and
    /// everything else that frees blocks, waits until the count is zero.
    ///
    /// Needs the inode lock, exclusive or shared: a task that holds it exclusively and has waited
    /// for the requests must not see a new one. `locked` is the evidence; if it is not of the inode
    /// of this kiocb nothing is counted.
    #[inline]
    pub fn inode_dio_begin<M: Mode>(&mut self, locked: &InodeLocked<F, M>) {
        if self.dio == Dio::Uncounted && locked.is(self.inode()) {
            // SAFETY: By the type invariants the inode is valid.
            unsafe { bindings::inode_dio_begin(self.inode().as_raw()) };
            // INVARIANT: Just counted.
            self.0.dio = Dio::Counted;
        }
    }

    /// Ends what [`IocbMut::inode_dio_begin`] began, if that has not been done. Any context.
    #[inline]
    pub fn inode_dio_end(&mut self) {
        if core::mem::replace(&mut self.0.dio, Dio::Uncounted) == Dio::Counted {
            // SAFETY: By the type invariants the inode is valid, and counts a request for us.
            unsafe { bindings::inode_dio_end(self.inode().as_raw()) };
        }
    }
}

/// Says that a request was to be answered with what is no answer, which is a bug; `instead` is.
#[cold]
pub(super) fn warn_of_answer(instead: isize) -> isize {
    kernel::do_once_lite! {
        warn_on!(true);
    }
    instead
}
