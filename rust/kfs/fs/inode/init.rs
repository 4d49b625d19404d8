// SPDX-License-Identifier: GPL-2.0

//! What has to be set before an inode is complete.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::compat::ENAMETOOLONG;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::version::init_iversion;
use crate::fs::inode::{file_type, loff, Inode, Times};
use crate::fs::mnt_idmap::MntIdmap;
use core::ops::Deref;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::types::NotThreadSafe;

/// The numbers of an inode as they are on the device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// Type and permissions.
    pub mode: u16,
    /// Owner, as a number of the initial user namespace.
    pub uid: u32,
    /// Group, as a number of the initial user namespace.
    pub gid: u32,
    /// Number of links.
    pub nlink: u32,
    /// Size in bytes.
    pub size: u64,
    /// Space occupied, in sectors of 512 bytes.
    pub blocks: u64,
    /// Its times.
    pub times: Times,
    /// Generation of the inode number.
    pub generation: u32,
}

/// Attributes that the VFS honours.
#[derive(Clone, Copy, Default)]
pub struct InodeFlags {
    /// Changes reach the device before an operation returns.
    pub sync: bool,
    /// The file can only grow.
    pub append: bool,
    /// The file cannot change.
    pub immutable: bool,
    /// Access times are not kept.
    pub noatime: bool,
    /// As `sync`, for changes of the directory only.
    pub dirsync: bool,
}

impl InodeFlags {
    /// All of them.
    pub(crate) const ALL: InodeFlags = InodeFlags {
        sync: true,
        append: true,
        immutable: true,
        noatime: true,
        dirsync: true,
    };

    /// As the VFS has them, `S_*`.
    pub(crate) fn bits(self) -> u32 {
        [
            (self.sync, bindings::S_SYNC),
            (self.append, bindings::S_APPEND),
            (self.immutable, bindings::S_IMMUTABLE),
            (self.noatime, bindings::S_NOATIME),
            (self.dirsync, bindings::S_DIRSYNC),
        ]
        .into_iter()
        .filter(|(set, _)| *set)
        .fold(0, |bits, (_, bit)| bits | bit)
    }
}

/// An inode that is not complete: only the one who made it uses it.
///
/// # Invariants
///
/// A reference to such a value exists only while the inode is in the hands of its maker: it is new (`I_NEW`), or not hashed yet. No
/// look-up finds it then. Who goes through all inodes of the super block passes over one that is `I_NEW`, and of the other may take a reference,
/// for a while, and drop pages (`drop_pagecache_sb()`): that uses none of what is set here.
#[repr(transparent)]
// The methods store to fields without a lock, by way of `&self`: one thread has it.
pub struct InodeInit<F: FileSystemData>(Inode<F>, NotThreadSafe);

impl<F: FileSystemData> Deref for InodeInit<F> {
    type Target = Inode<F>;

    fn deref(&self) -> &Inode<F> {
        &self.0
    }
}

impl<F: FileSystemData> InodeInit<F> {
    /// The inode as if locked: nobody else takes its lock, or does anything that would need it.
    pub fn as_locked(&self) -> &InodeLocked<F, Exclusive> {
        // SAFETY: By the type invariant nobody else uses what the lock is for.
        unsafe { InodeLocked::from_raw(self.as_raw()) }
    }

    pub(super) fn raw(&self) -> *mut bindings::inode {
        self.as_raw()
    }

    /// Whether the inode has no type yet, or that of `mode`. It gets one once: what the VFS keeps
    /// in the inode, and how it frees that, depends on it.
    fn check_type(&self, mode: u16) -> Result {
        let (old, new) = (file_type(self.mode()), file_type(mode));
        if old != 0 && old != new {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Whether the inode has the type `S_IFMT`.
    pub(super) fn has_type(&self, s_ifmt: u32) -> Result {
        if file_type(self.mode()) != s_ifmt {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Sets what was read from the device. `EINVAL` when the inode has another type already.
    pub fn set_attributes(&self, from: &Attributes) -> Result {
        self.check_type(from.mode)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses what is set of the inode.
        unsafe {
            (*inode).i_mode = from.mode;
            bindings::i_uid_write(inode, from.uid);
            bindings::i_gid_write(inode, from.gid);
            bindings::set_nlink(inode, from.nlink);
            bindings::i_size_write(inode, loff(from.size));
            (*inode).i_blocks = from.blocks;
            let Times {
                atime,
                mtime,
                ctime,
            } = from.times;
            bindings::inode_set_atime(inode, atime.seconds, atime.nanoseconds as c_long);
            bindings::inode_set_mtime(inode, mtime.seconds, mtime.nanoseconds as c_long);
            bindings::inode_set_ctime(inode, ctime.seconds, ctime.nanoseconds as c_long);
            (*inode).i_generation = from.generation;
            init_iversion(inode);
        }
        Ok(())
    }

    /// Sets owner, group and mode as for a new file in `dir`, made by way of a mount with `idmap`, and all
    /// times to now.
    ///
    /// With `inherit_group` the group is that of the directory, and a directory does not get the
    /// setgid bit of its parent, which asks for no more. `EINVAL` when the inode has another type
    /// already.
    pub fn init_owner(
        &self,
        idmap: &MntIdmap,
        dir: &Inode<F>,
        mode: u16,
        inherit_group: bool,
    ) -> Result {
        self.check_type(mode)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses what is set of `inode`; `dir` and the mapping are valid.
        unsafe {
            let idmap = match cfg!(mutant = "kfs-owner-unmapped") {
                true => &raw mut bindings::nop_mnt_idmap,
                false => idmap.as_raw(),
            };
            bindings::inode_init_owner(idmap, inode, dir.as_raw(), mode);
            if inherit_group {
                (*inode).i_gid = (*dir.as_raw()).i_gid;
                (*inode).i_mode = mode;
            }
            bindings::simple_inode_init_ts(inode);
            init_iversion(inode);
        }
        Ok(())
    }

    /// Sets the generation of the inode number.
    pub fn set_generation(&self, generation: u32) {
        // SAFETY: By the type invariant nobody else uses what is set of the inode.
        unsafe { (*self.raw()).i_generation = generation };
    }

    /// Sets the attributes that the VFS honours.
    pub fn set_flags(&self, flags: InodeFlags) {
        // SAFETY: By the type invariant nobody else uses what is set of the inode.
        unsafe { (*self.raw()).i_flags |= flags.bits() };
    }

    /// Tells the VFS that the inode has no extended attributes: with no set-id bits among its mode, which has been set, a
    /// write has no privileges to take away ([`Inode::has_no_privileges`]), and the first one need not look.
    pub fn has_no_xattr(&self) {
        // SAFETY: By the type invariant nobody else uses what is set of the inode.
        unsafe { bindings::inode_has_no_xattr(self.raw()) };
    }

    /// Writes `target` as the content of a symbolic link through the page cache.
    ///
    /// The size becomes that of the target. `EINVAL` when the inode has no operations to write
    /// with: see [`InodeInit::set_page_symlink`]. `ENAMETOOLONG` when the target, with a zero at its end, does not
    /// fit in a block, or in a page if that is smaller.
    pub fn page_symlink(&self, target: &CStr) -> Result {
        let len = target.to_bytes_with_nul().len();
        // The function copies all of it to the one folio that it gets, which has a page at least.
        if len > PAGE_SIZE.min(1 << self.blkbits()) {
            return Err(ENAMETOOLONG);
        }
        // SAFETY: The table of a new inode is that which `set_page_symlink` or `set_regular` has
        // set, or an empty one.
        if unsafe { (*(*(*self.raw()).i_mapping).a_ops).write_begin.is_none() } {
            return Err(EINVAL);
        }
        // SAFETY: The inode can be written to, and `target` is `len` bytes long, which are no more than a folio has.
        kernel::error::to_result(unsafe {
            bindings::page_symlink(self.raw(), target.as_char_ptr(), len as c_int)
        })
    }
}
