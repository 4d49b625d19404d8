// SPDX-License-Identifier: GPL-2.0

//! Kobjects: directories in sysfs.
//!
//! One in `/sys/fs` is a [`Kobject`]; one of a mount, with files, is a [`Directory`].
//!
//! C header: [`include/linux/kobject.h`](srctree/include/linux/kobject.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::str::as_char_ptr_in_const_context;
use kernel::sync::{Arc, Completion};

/// A directory in `/sys/fs`, removed when dropped.
///
/// # Invariants
///
/// The pointer owns a reference to an object that was added.
pub(crate) struct Kobject(NonNull<bindings::kobject>);

// SAFETY: Kobjects may be used and released by any thread.
unsafe impl Send for Kobject {}
// SAFETY: As above.
unsafe impl Sync for Kobject {}

impl Kobject {
    /// Makes the directory `/sys/fs/NAME`, empty. May sleep.
    pub(crate) fn new_in_fs(name: &CStr) -> Result<Self> {
        // SAFETY: `fs_kobj` exists from boot on; the name is copied.
        let kobj = unsafe {
            bindings::kobject_create_and_add(as_char_ptr_in_const_context(name), bindings::fs_kobj)
        };
        // INVARIANT: The function returns a reference.
        Ok(Self(NonNull::new(kobj).ok_or(ENOMEM)?))
    }

    /// The C kobject.
    pub(crate) fn as_raw(&self) -> *mut bindings::kobject {
        self.0.as_ptr()
    }
}

impl Drop for Kobject {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; the last reference removes the directory.
        unsafe { bindings::kobject_put(self.as_raw()) };
    }
}

/// An object with files, removed from sysfs when dropped, which waits until it is released.
///
/// # Invariants
///
/// The pointer owns a reference to an object of whose release `released` tells.
pub(crate) struct Directory {
    kobj: NonNull<bindings::kobject>,
    released: Arc<Completion>,
}

// SAFETY: Kobjects may be used and released by any thread.
unsafe impl Send for Directory {}
// SAFETY: As above.
unsafe impl Sync for Directory {}

impl Directory {
    /// # Safety
    ///
    /// `kobj` must be an initialised object, added or not, with a reference that the caller gives away. Its release must be
    /// allowed for any thread, and complete `released` in the end.
    pub(crate) unsafe fn from_owned(
        kobj: NonNull<bindings::kobject>,
        released: Arc<Completion>,
    ) -> Self {
        // INVARIANT: By the requirement.
        Directory { kobj, released }
    }

    /// The C kobject.
    pub(crate) fn as_raw(&self) -> *mut bindings::kobject {
        self.kobj.as_ptr()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; `kobject_del` does nothing to an object that was not
        // added, and this is the end of our reference.
        unsafe {
            bindings::kobject_del(self.as_raw());
            bindings::kobject_put(self.as_raw());
        }
        // The core may put the release off, but the code for it is gone with the module.
        self.released.wait_for_completion();
    }
}
