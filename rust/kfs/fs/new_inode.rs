// SPDX-License-Identifier: GPL-2.0

//! Inodes that are being made: read from the device, or new there.
//!
//! While an inode is new (`I_NEW`), only its maker uses it, and others wait for it. There is a type
//! for each way to own one: [`NewInode`] to be read, [`Unhashed`] without a number yet,
//! [`CreatedInode`] with one and without a name. What has to be set before anybody sees the inode is
//! set through [`InodeInit`], which they all give out.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::address_space::AddressSpaceOps;
use crate::fs::file::{Directory, FileOps, Regular};
use crate::fs::file_system::FileSystem;
use crate::fs::inode::{file_type, loff, Inode};
use crate::fs::inode_lock::{Exclusive, InodeLocked};
use crate::fs::inode_operations::{FastSymlink, InodeOps, PageSymlink};
use crate::fs::super_block::SuperBlock;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// The numbers of an inode as they are on the device.
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
    /// Access, modification and change time, in seconds since 1970.
    pub times: (i64, i64, i64),
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

/// An inode that is not complete: only the one who made it uses it.
///
/// # Invariants
///
/// A reference to such a value exists only while the inode is new (`I_NEW`) and in the hands of
/// its maker.
#[repr(transparent)]
pub struct InodeInit<F: FileSystem>(Inode<F>);

impl<F: FileSystem> Deref for InodeInit<F> {
    type Target = Inode<F>;

    fn deref(&self) -> &Inode<F> {
        &self.0
    }
}

impl<F: FileSystem> InodeInit<F> {
    /// The inode as if locked: nobody else can reach it.
    pub fn as_locked(&self) -> &InodeLocked<F, Exclusive> {
        // SAFETY: By the type invariant nobody else uses the inode.
        unsafe { InodeLocked::from_raw(self.as_ptr()) }
    }

    fn raw(&self) -> *mut bindings::inode {
        self.as_ptr()
    }

    /// Whether the inode has no type yet, or that of `mode`. It gets one once: what the VFS keeps in
    /// the inode, and how it frees that, depends on it.
    fn check_type(&self, mode: u16) -> Result {
        let (old, new) = (file_type(self.mode()), file_type(mode));
        if old != 0 && old != new {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Whether the inode has the type `S_IFMT`.
    fn has_type(&self, s_ifmt: u32) -> Result {
        if file_type(self.mode()) != s_ifmt {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Sets what was read from the device. `EINVAL` when the inode has another type already.
    pub fn set_attributes(&self, from: &Attributes) -> Result {
        self.check_type(from.mode)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode.
        unsafe {
            (*inode).i_mode = from.mode;
            bindings::i_uid_write(inode, from.uid);
            bindings::i_gid_write(inode, from.gid);
            bindings::set_nlink(inode, from.nlink);
            bindings::i_size_write(inode, loff(from.size));
            (*inode).i_blocks = from.blocks;
            bindings::inode_set_atime(inode, from.times.0, 0);
            bindings::inode_set_mtime(inode, from.times.1, 0);
            bindings::inode_set_ctime(inode, from.times.2, 0);
            (*inode).i_generation = from.generation;
        }
        Ok(())
    }

    /// Sets owner, group and mode as for a new file in `dir`, and all times to now.
    ///
    /// With `inherit_group` the group is that of the directory. `EINVAL` when the inode has another
    /// type already.
    pub fn init_owner(&self, dir: &Inode<F>, mode: u16, inherit_group: bool) -> Result {
        self.check_type(mode)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses `inode`; `dir` is valid.
        unsafe {
            bindings::inode_init_owner(&raw mut bindings::nop_mnt_idmap, inode, dir.as_ptr(), mode);
            if inherit_group {
                (*inode).i_gid = (*dir.as_ptr()).i_gid;
            }
            bindings::simple_inode_init_ts(inode);
        }
        Ok(())
    }

    /// Sets the generation of the inode number.
    pub fn set_generation(&self, generation: u32) {
        // SAFETY: By the type invariant nobody else uses the inode.
        unsafe { (*self.raw()).i_generation = generation };
    }

    /// Sets the number of links.
    pub fn set_nlink(&self, nlink: u32) {
        // SAFETY: By the type invariant nobody else uses the inode.
        unsafe { bindings::set_nlink(self.raw(), nlink) };
    }

    /// Sets the attributes that the VFS honours.
    pub fn set_flags(&self, flags: InodeFlags) {
        let mut bits = 0;
        for (set, bit) in [
            (flags.sync, bindings::S_SYNC),
            (flags.append, bindings::S_APPEND),
            (flags.immutable, bindings::S_IMMUTABLE),
            (flags.noatime, bindings::S_NOATIME),
            (flags.dirsync, bindings::S_DIRSYNC),
        ] {
            if set {
                bits |= bit;
            }
        }
        // SAFETY: By the type invariant nobody else uses the inode.
        unsafe { (*self.raw()).i_flags |= bits };
    }

    /// Sets the operations of a regular file. `EINVAL` when it is none.
    pub fn set_regular(
        &self,
        iop: InodeOps<F>,
        fop: FileOps<F, Regular>,
        aops: AddressSpaceOps<F>,
    ) -> Result {
        self.has_type(bindings::S_IFREG)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode; the tables are static.
        unsafe {
            (*inode).i_op = iop.as_ptr();
            (*inode).__bindgen_anon_3.i_fop = fop.as_ptr();
            (*(*inode).i_mapping).a_ops = aops.as_ptr();
        }
        Ok(())
    }

    /// Sets the operations of a directory whose blocks are in the buffer cache. `EINVAL` when it is
    /// none.
    pub fn set_directory(&self, iop: InodeOps<F>, fop: FileOps<F, Directory>) -> Result {
        self.has_type(bindings::S_IFDIR)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode; the tables are static.
        unsafe {
            (*inode).i_op = iop.as_ptr();
            (*inode).__bindgen_anon_3.i_fop = fop.as_ptr();
        }
        Ok(())
    }

    /// Sets the operations of a symbolic link whose target is in the page cache. `EINVAL` when it is
    /// none.
    pub fn set_page_symlink(
        &self,
        iop: InodeOps<F, PageSymlink>,
        aops: AddressSpaceOps<F>,
    ) -> Result {
        self.has_type(bindings::S_IFLNK)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode; the tables are static.
        unsafe {
            (*inode).i_op = iop.as_ptr();
            bindings::inode_nohighmem(inode);
            (*(*inode).i_mapping).a_ops = aops.as_ptr();
        }
        Ok(())
    }

    /// Sets the operations of a symbolic link with its target in the inode.
    ///
    /// `target` finds the target in the filesystem's data of the inode. `EINVAL` when there is
    /// none, or the inode is no symbolic link.
    pub fn set_fast_symlink(
        &self,
        iop: InodeOps<F, FastSymlink>,
        target: for<'a> fn(&'a F::InodeData) -> Option<&'a CStr>,
    ) -> Result {
        self.has_type(bindings::S_IFLNK)?;
        let target = target(self.data().get_ref()).ok_or(EINVAL)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode, whose type is and stays that for
        // which this field of the union is meant. A reference that lives as long as any that the
        // data is borrowed for, which ends when the data is dropped in `free_inode`, an RCU grace
        // period after the last user of `i_link`, is to memory that does not change until then.
        unsafe {
            (*inode).i_op = iop.as_ptr();
            (*inode).__bindgen_anon_5.i_link = target.as_char_ptr().cast_mut();
        }
        Ok(())
    }

    /// Sets the operations of a device, FIFO or socket with the device number `rdev`. `EINVAL` when
    /// it is none of these.
    pub fn init_special(&self, iop: InodeOps<F>, rdev: u32) -> Result {
        match file_type(self.mode()) {
            bindings::S_IFCHR | bindings::S_IFBLK | bindings::S_IFIFO | bindings::S_IFSOCK => {}
            _ => return Err(EINVAL),
        }
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode; the table is static.
        unsafe {
            bindings::init_special_inode(inode, (*inode).i_mode, rdev);
            (*inode).i_op = iop.as_ptr();
        }
        Ok(())
    }

    /// Writes `target` as the content of a symbolic link through the page cache.
    ///
    /// The size becomes that of the target. `EINVAL` when the inode has no operations to write
    /// with: see [`InodeInit::set_page_symlink`].
    pub fn page_symlink(&self, target: &CStr) -> Result {
        let len = target.to_bytes_with_nul().len();
        // SAFETY: The table of a new inode is that which `set_page_symlink` or `set_regular` has
        // set, or an empty one.
        if unsafe { (*(*(*self.raw()).i_mapping).a_ops).write_begin.is_none() } {
            return Err(EINVAL);
        }
        // SAFETY: The inode can be written to, and `target` is `len` bytes long.
        kernel::error::to_result(unsafe {
            bindings::page_symlink(self.raw(), target.as_char_ptr(), len as c_int)
        })
    }
}

/// What [`SuperBlock::iget_locked`] finds.
pub enum Iget<F: FileSystem> {
    /// The inode is in memory and complete.
    Found(ARef<Inode<F>>),
    /// The inode has to be read from the device.
    New(NewInode<F>),
}

/// A hashed inode to be read from the device. When dropped, whoever waits for it gets an error.
///
/// # Invariants
///
/// The pointer owns a reference, and the inode is `I_NEW` on behalf of this value.
pub struct NewInode<F: FileSystem>(NonNull<InodeInit<F>>);

impl<F: FileSystem> NewInode<F> {
    /// The inode is complete: everybody may use it.
    pub fn unlock_new_inode(self) -> ARef<Inode<F>> {
        let inode = self.0;
        core::mem::forget(self);
        // SAFETY: By the type invariant; the reference passes to the result.
        unsafe {
            bindings::unlock_new_inode(inode.as_ptr().cast());
            ARef::from_raw(inode.cast())
        }
    }
}

impl<F: FileSystem> Deref for NewInode<F> {
    type Target = InodeInit<F>;

    fn deref(&self) -> &InodeInit<F> {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<F: FileSystem> Drop for NewInode<F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; the function consumes the reference.
        unsafe { bindings::iget_failed(self.0.as_ptr().cast()) };
    }
}

pub(crate) fn iget_locked<F: FileSystem>(sb: &SuperBlock<F>, ino: u64) -> Result<Iget<F>> {
    // SAFETY: The super block is mounted or being mounted.
    let inode = unsafe { bindings::iget_locked(sb.as_ptr(), ino) };
    let inode = NonNull::new(inode).ok_or(ENOMEM)?;
    // SAFETY: `inode` is valid, and we own a reference. `I_NEW` shows that we made it: then it is
    // ours until `unlock_new_inode`, otherwise it is complete.
    unsafe {
        if bindings::inode_is_new(inode.as_ptr()) {
            // An object of the slab cache keeps the mode of its last use.
            (*inode.as_ptr()).i_mode = 0;
            // INVARIANT: As said.
            Ok(Iget::New(NewInode(inode.cast())))
        } else {
            Ok(Iget::Found(ARef::from_raw(inode.cast())))
        }
    }
}

/// A new inode that has no number yet.
///
/// # Invariants
///
/// The pointer owns the only reference.
pub struct Unhashed<F: FileSystem>(NonNull<InodeInit<F>>);

pub(crate) fn new_inode<F: FileSystem>(sb: &SuperBlock<F>) -> Result<Unhashed<F>> {
    // SAFETY: The super block is mounted.
    let inode = unsafe { bindings::new_inode(sb.as_ptr()) };
    let inode = NonNull::new(inode).ok_or(ENOMEM)?;
    // An object of the slab cache keeps the mode of its last use.
    // SAFETY: The inode is new, and nobody else uses it.
    unsafe { (*inode.as_ptr()).i_mode = 0 };
    // INVARIANT: The inode is new and not hashed.
    Ok(Unhashed(inode.cast()))
}

impl<F: FileSystem> Unhashed<F> {
    /// Gives the inode the number `ino` and makes it known by that. `EBUSY` when an inode of that
    /// number is in memory, which a correct filesystem does not have.
    pub fn insert_inode_locked(self, ino: u64) -> Result<CreatedInode<F>> {
        let inode = self.0.as_ptr().cast::<bindings::inode>();
        // SAFETY: By the type invariant nobody else uses the inode.
        unsafe { (*inode).i_ino = ino };
        // SAFETY: As above.
        kernel::error::to_result(unsafe { bindings::insert_inode_locked(inode) })?;
        let created = CreatedInode(self.0);
        core::mem::forget(self);
        Ok(created)
    }
}

impl<F: FileSystem> Deref for Unhashed<F> {
    type Target = InodeInit<F>;

    fn deref(&self) -> &InodeInit<F> {
        // SAFETY: By the type invariant nobody else uses the inode.
        unsafe { self.0.as_ref() }
    }
}

impl<F: FileSystem> Drop for Unhashed<F> {
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
/// The pointer owns a reference, and the inode is `I_NEW` on behalf of this value.
pub struct CreatedInode<F: FileSystem>(NonNull<InodeInit<F>>);

impl<F: FileSystem> CreatedInode<F> {
    /// Ties the inode to `dentry` and lets everybody use it.
    ///
    /// # Safety
    ///
    /// `dentry` must be a valid negative dentry that the VFS has given to a creating operation.
    pub(crate) unsafe fn d_instantiate_new(self, dentry: *mut bindings::dentry) {
        // SAFETY: By the type invariant and the requirement; the reference passes to the dentry.
        unsafe { bindings::d_instantiate_new(dentry, self.0.as_ptr().cast()) };
        core::mem::forget(self);
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

impl<F: FileSystem> Deref for CreatedInode<F> {
    type Target = InodeInit<F>;

    fn deref(&self) -> &InodeInit<F> {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<F: FileSystem> Drop for CreatedInode<F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; the function consumes the reference, and without links
        // the inode is deleted when it is evicted.
        unsafe {
            bindings::clear_nlink(self.0.as_ptr().cast());
            bindings::discard_new_inode(self.0.as_ptr().cast());
        }
    }
}
