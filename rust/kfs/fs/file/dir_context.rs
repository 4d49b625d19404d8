// SPDX-License-Identifier: GPL-2.0

//! Reading an open directory: `struct dir_context`.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::sync::once::{read_once, write_once};
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;

/// Whether who reads an open directory has 31 bits for positions only.
///
/// # Safety
///
/// `file` must be open.
pub(super) unsafe fn is_narrow(file: *mut bindings::file) -> bool {
    // SAFETY: By the requirement. Nobody changes these bits while others use the file.
    let mode = unsafe { (*file).f_mode };
    // A server of NFS says what its client has.
    let wide = mode & bindings::FMODE_64BITHASH != 0;
    // SAFETY: It looks at the current task.
    let compat = || unsafe { bindings::in_compat_syscall() };
    mode & bindings::FMODE_32BITHASH != 0 || (!wide && compat())
}

/// A number that an open directory keeps beside its position: in `private_data`, which is its own.
///
/// # Invariants
///
/// The pointer is valid during `'a`. It is read and written by whole words only.
pub(super) struct Kept<'a>(NonNull<*mut c_void>, PhantomData<&'a ()>);

impl Kept<'_> {
    fn get(&self) -> usize {
        // SAFETY: By the type invariants.
        unsafe { read_once(self.0.as_ptr()) }.addr()
    }

    pub(super) fn set(&self, value: usize) {
        // SAFETY: By the type invariants.
        unsafe { write_once(self.0.as_ptr(), core::ptr::without_provenance_mut(value)) };
    }
}

/// # Safety
///
/// `file` must be an open directory during `'a`, with operations that are ours.
pub(super) unsafe fn place_of<'a>(file: *mut bindings::file) -> Kept<'a> {
    // SAFETY: By the requirement.
    let place = unsafe { NonNull::new_unchecked(&raw mut (*file).private_data) };
    // INVARIANT: By the requirement; the VFS leaves the field to us.
    Kept(place, PhantomData)
}

/// Where a directory is read from, and to whom the entries go.
///
/// # Invariants
///
/// The pointer is valid during `'a`, and nobody else uses what it points to but the function in it.
pub struct DirContext<'a> {
    context: NonNull<bindings::dir_context>,
    place: Kept<'a>,
    narrow: bool,
    call: PhantomData<&'a ()>,
}

impl DirContext<'_> {
    /// # Safety
    ///
    /// During `'a`, `file` must be an open directory with operations that are ours, and `context` valid
    /// and used by nobody else.
    pub(super) unsafe fn new(
        file: *mut bindings::file,
        context: *mut bindings::dir_context,
    ) -> Self {
        // SAFETY: By the requirement.
        unsafe {
            // INVARIANT: By the requirement.
            DirContext {
                context: NonNull::new_unchecked(context),
                place: place_of(file),
                narrow: is_narrow(file),
                call: PhantomData,
            }
        }
    }

    /// The position in the directory.
    pub fn pos(&self) -> u64 {
        // SAFETY: By the type invariants.
        unsafe { (*self.context.as_ptr()).pos as u64 }
    }

    /// Sets the position: of the next entry to be emitted, or of the end.
    pub fn set_pos(&mut self, pos: u64) {
        // SAFETY: By the type invariants.
        unsafe { (*self.context.as_ptr()).pos = pos as i64 };
        self.set_place(0);
    }

    /// A number that tells apart entries of one position; 0 when the position was set, by a seek or by
    /// [`DirContext::set_pos`]. It belongs to the open file, and no user sees it.
    pub fn place(&self) -> u64 {
        self.place.get() as u64
    }

    /// Sets [`DirContext::place`].
    pub fn set_place(&mut self, place: u64) {
        self.place.set(place as usize);
    }

    /// Whether the reader has 31 bits for positions: a program of 32 bits, or an old client of NFS.
    pub fn is_narrow(&self) -> bool {
        self.narrow
    }

    /// Emits an entry at the current position. `dt` is one of `DT_*`.
    ///
    /// Returns whether there is room for more; when not, the entry was not taken.
    #[must_use]
    pub fn emit(&mut self, name: &[u8], ino: u64, dt: u8) -> bool {
        // SAFETY: By the type invariants, and `name` is as long as said.
        unsafe {
            bindings::dir_emit(
                self.context.as_ptr(),
                name.as_ptr().cast(),
                name.len() as c_int,
                ino,
                c_uint::from(dt),
            )
        }
    }
}
