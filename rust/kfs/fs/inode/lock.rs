// SPDX-License-Identifier: GPL-2.0

//! The inode lock (`inode->i_rwsem`) as evidence in types.
//!
//! A function that needs the lock takes `&InodeLocked<F, Exclusive>` (or `Shared`): a reference
//! that can only be had from a guard, or in a callback that the VFS makes with the lock held.

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::Inode;
use crate::sync::once::write_once;
use core::marker::PhantomData;
use core::ops::Deref;
use kernel::types::NotThreadSafe;

/// The inode lock is held for writing: no other holder of the lock.
pub struct Exclusive;

/// The inode lock is held at least for reading: no exclusive holder but perhaps the caller.
pub struct Shared;

mod private {
    pub trait Sealed {}
    impl Sealed for super::Exclusive {}
    impl Sealed for super::Shared {}
}

/// How the inode lock is held: [`Exclusive`] or [`Shared`].
pub trait Mode: private::Sealed {
    /// # Safety
    ///
    /// `inode` must be valid and the caller must hold its lock in this mode, and gives it back.
    #[doc(hidden)]
    unsafe fn unlock(inode: *mut bindings::inode);
}

impl Mode for Exclusive {
    unsafe fn unlock(inode: *mut bindings::inode) {
        // SAFETY: By the requirement.
        unsafe { bindings::inode_unlock(inode) }
    }
}

impl Mode for Shared {
    unsafe fn unlock(inode: *mut bindings::inode) {
        // SAFETY: By the requirement.
        unsafe { bindings::inode_unlock_shared(inode) }
    }
}

/// An inode whose lock is held, in mode `M`, for as long as the reference to it lives.
///
/// # Invariants
///
/// While a reference to such a value exists, the lock is held on behalf of the code that has it.
#[repr(transparent)]
pub struct InodeLocked<F: FileSystemData, M: Mode>(Inode<F>, PhantomData<M>, NotThreadSafe);

impl<F: FileSystemData, M: Mode> InodeLocked<F, M> {
    /// # Safety
    ///
    /// `inode` must be a valid inode of `F` whose lock is held in mode `M`, or which nobody else
    /// can reach, for all of `'a`.
    pub(crate) unsafe fn from_raw<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the requirement; the type is transparent.
        unsafe { &*inode.cast() }
    }
}

impl<F: FileSystemData> InodeLocked<F, Shared> {
    /// The same as evidence of the exclusive lock, if it is held exclusively.
    #[inline]
    pub fn as_exclusive(&self) -> Option<&InodeLocked<F, Exclusive>> {
        // SAFETY: By the type invariant the inode is valid.
        if !unsafe { bindings::inode_is_locked_exclusive(self.as_raw()) } {
            return None;
        }
        // SAFETY: The lock is held on behalf of the caller while `self` is borrowed. That excludes
        // an exclusive holder beside it, so that it is the caller's lock that is exclusive.
        Some(unsafe { InodeLocked::from_raw(self.as_raw()) })
    }
}

impl<F: FileSystemData> InodeLocked<F, Exclusive> {
    /// Sets the generation of the inode number: handles of the file become stale.
    pub fn set_generation(&self, generation: u32) {
        // SAFETY: By the invariants of `Inode` it is valid. Nobody else stores to it, with the lock held.
        unsafe { write_once(&raw mut (*self.as_raw()).i_generation, generation) };
    }
}

impl<F: FileSystemData, M: Mode> Deref for InodeLocked<F, M> {
    type Target = Inode<F>;

    fn deref(&self) -> &Inode<F> {
        &self.0
    }
}

/// Holds the inode lock in mode `M` until dropped.
///
/// # Invariants
///
/// The current task took the lock in mode `M` and has not given it back.
#[must_use = "the lock is given back at once when the guard is not used"]
pub struct InodeGuard<'a, F: FileSystemData, M: Mode> {
    inode: &'a Inode<F>,
    _p: PhantomData<M>,
    // The lock has to be given back by the task that took it.
    _not_send: NotThreadSafe,
}

impl<F: FileSystemData> Inode<F> {
    /// Takes the inode lock for writing. May sleep.
    pub fn lock(&self) -> InodeGuard<'_, F, Exclusive> {
        // SAFETY: By the type invariant the inode is valid.
        unsafe { bindings::inode_lock(self.as_raw()) };
        // INVARIANT: Just taken.
        InodeGuard {
            inode: self,
            _p: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// Takes the inode lock for writing if that does not need waiting.
    pub fn try_lock(&self) -> Option<InodeGuard<'_, F, Exclusive>> {
        // SAFETY: By the type invariant the inode is valid.
        if unsafe { bindings::inode_trylock(self.as_raw()) } == 0 {
            return None;
        }
        // INVARIANT: Just taken.
        Some(InodeGuard {
            inode: self,
            _p: PhantomData,
            _not_send: NotThreadSafe,
        })
    }

    /// Takes the inode lock for reading if that does not need waiting.
    pub fn try_lock_shared(&self) -> Option<InodeGuard<'_, F, Shared>> {
        // SAFETY: By the type invariant the inode is valid.
        if unsafe { bindings::inode_trylock_shared(self.as_raw()) } == 0 {
            return None;
        }
        // INVARIANT: Just taken.
        Some(InodeGuard {
            inode: self,
            _p: PhantomData,
            _not_send: NotThreadSafe,
        })
    }

    /// Takes the inode lock for reading. May sleep.
    pub fn lock_shared(&self) -> InodeGuard<'_, F, Shared> {
        // SAFETY: By the type invariant the inode is valid.
        unsafe { bindings::inode_lock_shared(self.as_raw()) };
        // INVARIANT: Just taken.
        InodeGuard {
            inode: self,
            _p: PhantomData,
            _not_send: NotThreadSafe,
        }
    }
}

impl<'a, F: FileSystemData, M: Mode> InodeGuard<'a, F, M> {
    /// The inode, which outlives the guard.
    pub(crate) fn inode(&self) -> &'a Inode<F> {
        self.inode
    }
}

impl<F: FileSystemData, M: Mode> Deref for InodeGuard<'_, F, M> {
    type Target = InodeLocked<F, M>;

    fn deref(&self) -> &InodeLocked<F, M> {
        // SAFETY: By the type invariant the lock is held while the guard is borrowed.
        unsafe { InodeLocked::from_raw(self.inode.as_raw()) }
    }
}

impl<F: FileSystemData, M: Mode> Drop for InodeGuard<'_, F, M> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; this is the end of it.
        unsafe { M::unlock(self.inode.as_raw()) };
    }
}
