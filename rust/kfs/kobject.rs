// SPDX-License-Identifier: GPL-2.0

//! Kobjects: directories in sysfs.
//!
//! C header: [`include/linux/kobject.h`](srctree/include/linux/kobject.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::str::as_char_ptr_in_const_context;

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
