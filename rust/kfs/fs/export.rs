// SPDX-License-Identifier: GPL-2.0

//! `struct export_operations`: inodes by their handles.
//!
//! A handle is the number and the generation of an inode, and perhaps those of its parent
//! directory. It is for name_to_handle_at(2) and open_by_handle_at(2), for NFS, and for
//! fanotify(7), which names inodes by their handles. What comes back in one may have been made up,
//! or be of an inode that is long gone.
//!
//! C header: [`include/linux/exportfs.h`](srctree/include/linux/exportfs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{InodeLocked, Shared};
use crate::fs::inode::reference::InodeRef;
use crate::fs::inode::Inode;
use crate::fs::super_block::{NewSuperBlock, SuperBlock};
use core::ffi::c_int;
use core::marker::PhantomData;
use kernel::prelude::*;

/// A filesystem whose inodes have handles. All methods may sleep; no lock of an inode is held, but where
/// it says so.
#[vtable]
pub trait ExportOperations: FileSystemData {
    /// Returns the inode with the number `ino`, if that is still the one of this generation.
    ///
    /// `ESTALE` if not: no such inode, a free one, a later one. Both values are to be distrusted.
    fn get_inode(sb: &SuperBlock<Self>, ino: u64, generation: u32) -> Result<InodeRef<'_, Self>>;

    /// Returns the directory that the directory `dir` is in. Without it, a directory that is not cached
    /// cannot be opened by its handle.
    fn get_parent(_dir: &InodeLocked<Self, Shared>) -> Result<InodeRef<'_, Self>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes the changes of `inode` durable that are not of its data: its attributes, and if it is a directory
    /// its entries. For knfsd, which has changed them and answers when they are, unless the export is
    /// `async`. The lock of `inode` may be held. Without it knfsd has the inode written, and does not flush the
    /// cache of the device.
    fn commit_metadata(_inode: &Inode<Self>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

impl<F: ExportOperations> NewSuperBlock<'_, F> {
    /// Lets the inodes of the filesystem have handles.
    pub fn set_export_operations(&mut self) {
        self.set_export_op(Table::<F>::OPS);
    }
}

struct Table<F: ExportOperations>(PhantomData<F>);

impl<F: ExportOperations> Table<F> {
    const OPS: &'static bindings::export_operations = &bindings::export_operations {
        encode_fh: Some(bindings::generic_encode_ino32_fh),
        fh_to_dentry: Some(fh_to_dentry::<F>),
        fh_to_parent: Some(fh_to_parent::<F>),
        get_parent: if_has!(F::HAS_GET_PARENT, get_parent::<F>),
        commit_metadata: if_has!(F::HAS_COMMIT_METADATA, commit_metadata::<F>),
        ..pin_init::zeroed()
    };
}

/// Passes the reference on to C.
fn into_ptr<F: FileSystemData>(inode: Result<InodeRef<'_, F>>) -> *mut bindings::inode {
    match inode {
        Ok(inode) => inode.into_raw(),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// Called with a mounted super block of type `F`.
unsafe extern "C" fn get_inode<F: ExportOperations>(
    sb: *mut bindings::super_block,
    ino: u64,
    generation: u32,
) -> *mut bindings::inode {
    // SAFETY: By the requirement.
    let sb = unsafe { SuperBlock::from_raw(sb) };
    into_ptr(F::get_inode(sb, ino, generation))
}

/// # Safety
///
/// Called by the VFS as `fh_to_dentry` of a mounted super block of type `F`, with a handle of
/// `fh_len` words.
unsafe extern "C" fn fh_to_dentry<F: ExportOperations>(
    sb: *mut bindings::super_block,
    fid: *mut bindings::fid,
    fh_len: c_int,
    fh_type: c_int,
) -> *mut bindings::dentry {
    // SAFETY: By the requirement; the function calls back with the same super block, looks at no
    // more of the handle than is there, and takes over the reference or the error.
    unsafe { bindings::generic_fh_to_dentry(sb, fid, fh_len, fh_type, Some(get_inode::<F>)) }
}

/// # Safety
///
/// As [`fh_to_dentry`], for `fh_to_parent`.
unsafe extern "C" fn fh_to_parent<F: ExportOperations>(
    sb: *mut bindings::super_block,
    fid: *mut bindings::fid,
    fh_len: c_int,
    fh_type: c_int,
) -> *mut bindings::dentry {
    // SAFETY: As in `fh_to_dentry`.
    unsafe { bindings::generic_fh_to_parent(sb, fid, fh_len, fh_type, Some(get_inode::<F>)) }
}

/// # Safety
///
/// Called by the VFS as `get_parent`, with a dentry of a directory and no lock held.
unsafe extern "C" fn get_parent<F: ExportOperations>(
    child: *mut bindings::dentry,
) -> *mut bindings::dentry {
    // SAFETY: The dentry of a directory has an inode, of type `Inode<F>`, and holds it.
    let dir = unsafe { Inode::<F>::from_raw((*child).d_inode) };
    let parent = into_ptr(F::get_parent(&dir.lock_shared()));
    // SAFETY: The function takes over the reference, or the error.
    unsafe { bindings::d_obtain_alias(parent) }
}

/// # Safety
///
/// Called by knfsd as `commit_metadata`, with an inode of a mounted super block of type `F` that it holds.
unsafe extern "C" fn commit_metadata<F: ExportOperations>(inode: *mut bindings::inode) -> c_int {
    // SAFETY: By the requirement; it is held during the call.
    match F::commit_metadata(unsafe { Inode::<F>::from_raw(inode) }) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
