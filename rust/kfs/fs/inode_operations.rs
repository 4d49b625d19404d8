// SPDX-License-Identifier: GPL-2.0

//! `struct inode_operations`.
//!
//! The VFS holds the lock of a directory while it looks up or changes a name in it, and that keeps
//! the names of its dentries stable; so the methods get the locked directory and the name, and no
//! dentry. What an operation made is tied to the dentry here, after the method has returned.
//!
//! Here, too, the directories are brought to the device if that is asked for (`dirsync`). When
//! that fails, the operation returns the error, but is not undone: the name and the inode agree.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod attributes;
mod dirsync;
mod kstat;
mod lookup_flags;
mod rename;
mod set_acl;
mod setattr;
pub mod table;

use crate::fs::fiemap::FiemapExtentInfo;
use crate::fs::file_attr::FileAttr;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked, Shared};
use crate::fs::inode::new::CreatedInode;
use crate::fs::inode::reference::InodeRef;
use crate::fs::inode::Inode;
use crate::fs::mnt_idmap::MntIdmap;
use crate::fs::posix_acl::{AclType, PosixAcl};
use crate::fs::xattr::XattrBuffer;
use kernel::prelude::*;

pub use kstat::{
    Kstat, STATX_ATTR_APPEND, STATX_ATTR_COMPRESSED, STATX_ATTR_IMMUTABLE, STATX_ATTR_NODUMP,
};
pub use lookup_flags::LookupFlags;
pub use rename::{Rename, Target};
pub use set_acl::SetAcl;
pub use setattr::SetAttr;

/// The operations on an inode. A method that is not implemented does not exist for the VFS.
///
/// Names are at most `NAME_MAX` (255) bytes, and never `.` or `..`. What makes an inode gets the mapping of
/// the mount by which it is asked for, for [`InodeInit::init_owner`]. All methods may sleep.
///
/// [`InodeInit::init_owner`]: crate::fs::inode::init::InodeInit::init_owner
#[vtable]
pub trait InodeOperations<F: FileSystemData> {
    /// Finds the inode of `name` in `dir`, or `None` when there is no such name.
    fn lookup<'a>(
        _dir: &'a InodeLocked<F, Shared>,
        _name: &[u8],
        _flags: LookupFlags,
    ) -> Result<Option<InodeRef<'a, F>>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Called when [`InodeOperations::lookup`] in `dir` has returned the directory with the number
    /// `inode` and that is one above `dir`, which the VFS refuses. Returns the error for the caller.
    fn lookup_loop(_dir: &InodeLocked<F, Shared>, _inode: u64) -> Error {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a regular file. `mode` has the type and the permissions after the umask.
    fn create<'a>(
        _idmap: &MntIdmap,
        _dir: &'a InodeLocked<F, Exclusive>,
        _name: &[u8],
        _mode: u16,
    ) -> Result<CreatedInode<'a, F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a device, FIFO or socket. `rdev` is the device number as encoded in memory.
    fn mknod<'a>(
        _idmap: &MntIdmap,
        _dir: &'a InodeLocked<F, Exclusive>,
        _name: &[u8],
        _mode: u16,
        _rdev: u32,
    ) -> Result<CreatedInode<'a, F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a symbolic link to `target`.
    fn symlink<'a>(
        _idmap: &MntIdmap,
        _dir: &'a InodeLocked<F, Exclusive>,
        _name: &[u8],
        _target: &CStr,
    ) -> Result<CreatedInode<'a, F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a directory.
    fn mkdir<'a>(
        _idmap: &MntIdmap,
        _dir: &'a InodeLocked<F, Exclusive>,
        _name: &[u8],
        _mode: u16,
    ) -> Result<CreatedInode<'a, F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a regular file without a name.
    fn tmpfile<'a>(
        _idmap: &MntIdmap,
        _dir: &'a Inode<F>,
        _mode: u16,
    ) -> Result<CreatedInode<'a, F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Gives `inode`, which is not a directory and whose lock is held, the further name `name`.
    fn link(
        _inode: &InodeLocked<F, Exclusive>,
        _dir: &InodeLocked<F, Exclusive>,
        _name: &[u8],
    ) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Removes `name`, which is that of `inode` and not of a directory.
    fn unlink(
        _dir: &InodeLocked<F, Exclusive>,
        _name: &[u8],
        _inode: &InodeLocked<F, Exclusive>,
    ) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Removes `name`, which is that of the directory `inode`. `ENOTEMPTY` when it is not empty.
    fn rmdir(
        _dir: &InodeLocked<F, Exclusive>,
        _name: &[u8],
        _inode: &InodeLocked<F, Exclusive>,
    ) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Gives an inode another name, see [`Rename`]. Returns the inode of the whiteout, if one was
    /// asked for. If names are in step with the device (`dirsync`), both directories are brought there afterwards; what
    /// they lead to, and `..` of a directory that has moved, has to be there when this returns, or come with them.
    fn rename<'a>(_rename: &Rename<'a, F>) -> Result<Option<CreatedInode<'a, F>>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Writes the inode to the device, its names, and what is needed to find it, and waits for all
    /// that. The cache of the device is flushed afterwards, by the caller. May be called with the
    /// lock of the inode held. Returns what [`InodeOperations::flushed`] is to know of when it began.
    fn sync(_inode: &Inode<F>) -> Result<u64> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The cache of the device was flushed since the inode was synced, as `mark` says. Does not sleep.
    fn flushed(_inode: &Inode<F>, _mark: u64) {}

    /// Changes attributes of the inode, see [`SetAttr`].
    fn setattr(_attr: &mut SetAttr<'_, F>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Answers `FS_IOC_FIEMAP`: where the file is on the device.
    fn fiemap(_inode: &Inode<F>, _info: &mut FiemapExtentInfo<'_>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Adds to the attributes that `stat` already has from the inode.
    fn getattr(_inode: &Inode<F>, _stat: &mut Kstat<'_>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Appends the full names of the extended attributes of the inode to `names`, each with a NUL.
    fn listxattr(_inode: &Inode<F>, _names: &mut XattrBuffer<'_>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Reads an access control list of the inode; `None` when it has none.
    fn get_inode_acl(_inode: &Inode<F>, _acl_type: AclType) -> Result<Option<PosixAcl>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Stores an access control list of the inode, or removes it, by [`SetAcl::store`].
    fn set_acl(_acl: &SetAcl<'_, F>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Fills in the flags of the file.
    fn fileattr_get(_inode: &Inode<F>, _attr: &mut FileAttr<'_>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets the flags of the file. The VFS has checked that the caller may set them.
    fn fileattr_set(_inode: &InodeLocked<F, Exclusive>, _attr: &FileAttr<'_>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}
