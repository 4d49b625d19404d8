// SPDX-License-Identifier: GPL-2.0

//! Kiocbs that are completed after their call has ended.

use super::answer;
use super::iocb::{warn_of_answer, Iocb, IocbMut, KiocbOwner};
use crate::fs::inode::lock::{InodeLocked, Shared};
use crate::fs::inode::Inode;
use crate::task::MaySleep;
use crate::types::DropInAtomic;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use kernel::prelude::*;
use kernel::warn_on;

/// A kiocb whose call does not wait for it. It is to be completed.
pub struct AsyncKiocb<F: KiocbOwner>(pub(super) Iocb<F>);

// SAFETY: A kiocb may be completed in any context, and so may what hangs on it be dropped.
unsafe impl<F: KiocbOwner> DropInAtomic for AsyncKiocb<F> {}
// SAFETY: A kiocb may be completed by any thread, and so may what hangs on it be used and dropped.
unsafe impl<F: KiocbOwner> Send for AsyncKiocb<F> {}

impl<F: KiocbOwner> AsyncKiocb<F> {
    /// Completes the request. This is the end of the kiocb, and perhaps of the file. If bios in flight
    /// use its memory, it is never completed, and there is a warning.
    #[inline]
    pub fn complete(self, result: Result<usize>) {
        let mut this = ManuallyDrop::new(self);
        this.complete_once(result);
    }

    #[inline(always)]
    fn complete_once(&mut self, result: Result<usize>) {
        // It must not be answered, and waiting is not for every context: it stays, with all it has.
        if warn_on!(self.0.has_loans()) {
            return;
        }
        self.0.end();
        let ret = match result {
            Ok(count) => answer::count(self.0.asked(), count),
            Err(error) => answer::error(error.to_errno()),
        };
        let ret = ret.unwrap_or_else(warn_of_answer);
        if let Some(ki_complete) = self.0.ki_complete() {
            // SAFETY: The kiocb is valid and the request has not been completed: this is called by
            // `complete`, which consumes the value, or else by `drop`.
            unsafe { ki_complete(self.0.as_raw(), ret) };
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

    /// Runs `f` with the inode lock held shared. The request counts as direct I/O on the inode from then on: see
    /// [`IocbMut::inode_dio_begin`]. May sleep.
    pub fn begin_shared<R>(
        &mut self,
        _: MaySleep<'_>,
        f: impl FnOnce(&Iocb<F>, &InodeLocked<F, Shared>) -> R,
    ) -> R {
        // SAFETY: By the type invariants it is an inode of `F`, and the file, which is open until the request is completed,
        // holds it: `self` is borrowed until then.
        let inode: &Inode<F> = unsafe { Inode::from_raw(self.f_inode()) };
        let locked = inode.lock_shared();
        if !cfg!(mutant = "kfs-punt-no-begin") {
            self.as_mut().inode_dio_begin(&locked);
        }
        f(self, &locked)
    }
}

impl<F: KiocbOwner> Drop for AsyncKiocb<F> {
    #[cold]
    fn drop(&mut self) {
        self.complete_once(Err(EIO));
    }
}
