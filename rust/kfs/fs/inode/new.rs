// SPDX-License-Identifier: GPL-2.0

//! Inodes that are `I_NEW`: being read from the device, or being created.
//!
//! While an inode is `I_NEW`, only its maker uses it, and look-ups wait. There is a type
//! for each way to own one: [`NewInode`] to be read, [`Unhashed`] without a number yet,
//! [`CreatedInode`] with one and without a name. What has to be set before the inode can be
//! seen is set through [`InodeInit`], to which they all dereference:
//!
//! ```ignore
//! match sb.iget_locked(ino)? {
//!     Iget::Found(inode) => Ok(inode),
//!     Iget::New(inode) => {
//!         // An error from here on drops `inode`, and fails the look-ups that wait for it.
//!         inode.set_attributes(&read(sb, ino)?)?;
//!         inode.set_directory(IOPS, FOPS)?;
//!         Ok(inode.unlock_new_inode())
//!     }
//! }
//! ```
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::init::InodeInit;
use crate::fs::inode::reference::InodeRef;
use crate::fs::super_block::SuperBlock;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;

/// What [`SuperBlock::iget_locked`] finds.
pub enum Iget<'sb, F: FileSystemData> {
    /// The inode is in memory and complete.
    Found(InodeRef<'sb, F>),
    /// The inode has to be read from the device.
    New(NewInode<'sb, F>),
}

impl<F: FileSystemData> SuperBlock<F> {
    /// Looks up the inode `ino` in the inode cache, or makes a new one to be read from the device.
    /// May sleep, also for another task that reads the inode. `ENOMEM`.
    pub fn iget_locked(&self, ino: u64) -> Result<Iget<'_, F>> {
        iget_locked(self, ino)
    }

    /// Makes a new inode without a number. May sleep. `ENOMEM`.
    pub fn new_inode(&self) -> Result<Unhashed<'_, F>> {
        new_inode(self)
    }
}

/// A hashed inode to be read from the device. When dropped, tasks that wait for it get an error.
///
/// # Invariants
///
/// The pointer owns a reference, and the inode is `I_NEW` on behalf of this value. The super block is not
/// unmounted during `'sb`.
pub struct NewInode<'sb, F: FileSystemData>(NonNull<InodeInit<F>>, PhantomData<&'sb SuperBlock<F>>);

impl<'sb, F: FileSystemData> NewInode<'sb, F> {
    /// The inode is complete: clears `I_NEW` and wakes tasks that wait for it.
    pub fn unlock_new_inode(self) -> InodeRef<'sb, F> {
        let inode = self.0;
        core::mem::forget(self);
        // SAFETY: By the type invariant; the reference passes to the result.
        unsafe {
            bindings::unlock_new_inode(inode.as_ptr().cast());
            InodeRef::from_raw(inode.cast())
        }
    }
}

impl<F: FileSystemData> Deref for NewInode<'_, F> {
    type Target = InodeInit<F>;

    fn deref(&self) -> &InodeInit<F> {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<F: FileSystemData> Drop for NewInode<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; the function consumes the reference.
        unsafe { bindings::iget_failed(self.0.as_ptr().cast()) };
    }
}

fn iget_locked<F: FileSystemData>(sb: &SuperBlock<F>, ino: u64) -> Result<Iget<'_, F>> {
    // SAFETY: The super block is mounted or being mounted.
    let inode = unsafe { bindings::iget_locked(sb.as_raw(), ino) };
    let inode = NonNull::new(inode).ok_or(ENOMEM)?;
    // SAFETY: `inode` is valid, and we own a reference. `I_NEW` shows that we made it: then it is
    // ours until `unlock_new_inode`, otherwise it is complete.
    unsafe {
        if bindings::inode_is_new(inode.as_ptr()) {
            // An object of the slab cache keeps the mode of its last use.
            (*inode.as_ptr()).i_mode = 0;
            // INVARIANT: As said.
            Ok(Iget::New(NewInode(inode.cast(), PhantomData)))
        } else {
            Ok(Iget::Found(InodeRef::from_raw(inode)))
        }
    }
}

/// A new inode that has no number yet.
///
/// # Invariants
///
/// The pointer owns a reference, and the inode is not hashed: nobody else has one, but for who goes through all inodes of the super block (see
/// [`InodeInit`]). The super block is not unmounted during `'sb`.
pub struct Unhashed<'sb, F: FileSystemData>(NonNull<InodeInit<F>>, PhantomData<&'sb SuperBlock<F>>);

fn new_inode<F: FileSystemData>(sb: &SuperBlock<F>) -> Result<Unhashed<'_, F>> {
    // SAFETY: The super block is mounted.
    let inode = unsafe { bindings::new_inode(sb.as_raw()) };
    let inode = NonNull::new(inode).ok_or(ENOMEM)?;
    // An object of the slab cache keeps the mode of its last use.
    // SAFETY: The inode is new, and nobody else uses what it has.
    unsafe { (*inode.as_ptr()).i_mode = 0 };
    // INVARIANT: The inode is new and not hashed.
    Ok(Unhashed(inode.cast(), PhantomData))
}

impl<'sb, F: FileSystemData> Unhashed<'sb, F> {
    /// Gives the inode the number `ino` and makes it known by that. `EBUSY` when an inode of that
    /// number is in memory, which a correct filesystem does not have.
    pub fn insert_inode_locked(self, ino: u64) -> Result<CreatedInode<'sb, F>> {
        let inode = self.0.as_ptr().cast::<bindings::inode>();
        // SAFETY: By the type invariant nobody else uses the number.
        unsafe { (*inode).i_ino = ino };
        // SAFETY: By the type invariant the inode is valid, and not hashed.
        kernel::error::to_result(unsafe { bindings::insert_inode_locked(inode) })?;
        let created = CreatedInode(self.0, PhantomData);
        core::mem::forget(self);
        Ok(created)
    }
}

impl<F: FileSystemData> Deref for Unhashed<'_, F> {
    type Target = InodeInit<F>;

    fn deref(&self) -> &InodeInit<F> {
        // SAFETY: By the type invariant; it is in our hands.
        unsafe { self.0.as_ref() }
    }
}

impl<F: FileSystemData> Drop for Unhashed<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; a bad inode is evicted without being written or freed on
        // the device.
        unsafe {
            bindings::make_bad_inode(self.0.as_ptr().cast());
            bindings::iput(self.0.as_ptr().cast());
        }
    }
}

/// A new inode with a number, not yet linked into a directory.
///
/// When dropped, the inode is deleted, with its blocks and its number.
///
/// # Invariants
///
/// The pointer owns a reference, and the inode is `I_NEW` on behalf of this value. The super block is not
/// unmounted during `'sb`.
pub struct CreatedInode<'sb, F: FileSystemData>(
    NonNull<InodeInit<F>>,
    PhantomData<&'sb SuperBlock<F>>,
);

impl<'sb, F: FileSystemData> CreatedInode<'sb, F> {
    /// Ties the inode to `dentry` and clears `I_NEW`.
    ///
    /// # Safety
    ///
    /// `dentry` must be a valid negative dentry that the VFS has given to a creating operation.
    pub(crate) unsafe fn d_instantiate_new(self, dentry: *mut bindings::dentry) {
        // SAFETY: By the type invariant and the requirement; the reference passes to the dentry.
        unsafe { bindings::d_instantiate_new(dentry, self.0.as_ptr().cast()) };
        core::mem::forget(self);
    }

    /// Clears `I_NEW` of an inode that has got a name, but no dentry.
    pub(crate) fn unlock(self) -> InodeRef<'sb, F> {
        let inode = self.0.cast();
        core::mem::forget(self);
        // SAFETY: By the type invariant; the reference passes on.
        unsafe {
            bindings::unlock_new_inode(inode.as_ptr());
            InodeRef::from_raw(inode)
        }
    }

    /// Ties the inode to a file without a name (`O_TMPFILE`), and takes its link away.
    ///
    /// # Safety
    ///
    /// `file` must be the file that the VFS has given to `tmpfile`.
    pub(crate) unsafe fn d_tmpfile(self, file: *mut bindings::file) {
        // SAFETY: By the type invariant and the requirement; the reference passes to the dentry.
        unsafe {
            bindings::d_tmpfile(file, self.0.as_ptr().cast());
            bindings::unlock_new_inode(self.0.as_ptr().cast());
        }
        core::mem::forget(self);
    }
}

impl<F: FileSystemData> Deref for CreatedInode<'_, F> {
    type Target = InodeInit<F>;

    fn deref(&self) -> &InodeInit<F> {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<F: FileSystemData> Drop for CreatedInode<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; the function consumes the reference, and without links
        // the inode is deleted when it is evicted.
        unsafe {
            bindings::clear_nlink(self.0.as_ptr().cast());
            bindings::discard_new_inode(self.0.as_ptr().cast());
        }
    }
}
