// SPDX-License-Identifier: GPL-2.0

//! `struct inode_operations`.
//!
//! The VFS holds the lock of a directory while it looks up or changes a name in it, and that keeps
//! the names of its dentries stable; so the methods get the locked directory and the name, and no
//! dentry. What an operation made is tied to the dentry here, after the method has returned.
//!
//! Here, too, the directories are brought to the device if that is asked for (`dirsync`). When the
//! device fails then, the caller is told, but what was done stays done: the name and the inode agree.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system::FileSystem;
use crate::fs::inode::Inode;
use crate::fs::inode_lock::{Exclusive, InodeLocked, Shared};
use crate::fs::new_inode::CreatedInode;
use core::marker::PhantomData;
use core::ptr;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

pub use constants::*;

/// Flags and masks of the user interface that operations deal with.
mod constants {
    use crate::bindings;

    /// `renameat2(2)`: the new name must not exist.
    pub const RENAME_NOREPLACE: u32 = bindings::RENAME_NOREPLACE;
    /// `statx(2)`: the file can only be appended to.
    pub const STATX_ATTR_APPEND: u64 = bindings::STATX_ATTR_APPEND as u64;
    /// `statx(2)`: the file cannot be changed.
    pub const STATX_ATTR_IMMUTABLE: u64 = bindings::STATX_ATTR_IMMUTABLE as u64;
    /// `statx(2)`: the file is not for backups.
    pub const STATX_ATTR_NODUMP: u64 = bindings::STATX_ATTR_NODUMP as u64;
}

/// The operations on an inode. A method that is not implemented does not exist for the VFS.
///
/// Names are at most `NAME_MAX` (255) bytes, and never `.` or `..`. All methods may sleep.
#[vtable]
pub trait InodeOperations<F: FileSystem> {
    /// Finds the inode of `name` in `dir`, or `None` when there is no such name.
    fn lookup(_dir: &InodeLocked<F, Shared>, _name: &[u8]) -> Result<Option<ARef<Inode<F>>>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a regular file. `mode` has the type and the permissions after the umask.
    fn create(
        _dir: &InodeLocked<F, Exclusive>,
        _name: &[u8],
        _mode: u16,
    ) -> Result<CreatedInode<F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a device, FIFO or socket. `rdev` is the device number as encoded in memory.
    fn mknod(
        _dir: &InodeLocked<F, Exclusive>,
        _name: &[u8],
        _mode: u16,
        _rdev: u32,
    ) -> Result<CreatedInode<F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a symbolic link to `target`.
    fn symlink(
        _dir: &InodeLocked<F, Exclusive>,
        _name: &[u8],
        _target: &CStr,
    ) -> Result<CreatedInode<F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a directory.
    fn mkdir(
        _dir: &InodeLocked<F, Exclusive>,
        _name: &[u8],
        _mode: u16,
    ) -> Result<CreatedInode<F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a regular file without a name.
    fn tmpfile(_dir: &Inode<F>, _mode: u16) -> Result<CreatedInode<F>> {
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

    /// Gives an inode another name, see [`Rename`].
    fn rename(_rename: &Rename<'_, F>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes attributes of the inode, see [`SetAttr`].
    fn setattr(_attr: &mut SetAttr<'_, F>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Adds to the attributes that `stat` already has from the inode.
    fn getattr(_inode: &Inode<F>, _stat: &mut Kstat<'_>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// What `rename(2)` is to do.
pub struct Rename<'a, F: FileSystem> {
    /// The directory with the old name.
    pub old_dir: &'a InodeLocked<F, Exclusive>,
    /// The old name.
    pub old_name: &'a [u8],
    /// The inode that has the old name.
    pub inode: &'a Inode<F>,
    /// The directory for the new name, perhaps the same as `old_dir`.
    pub new_dir: &'a InodeLocked<F, Exclusive>,
    /// The new name.
    pub new_name: &'a [u8],
    /// The inode that has the new name and loses it: a directory if and only if `inode` is one.
    pub replaced: Option<&'a InodeLocked<F, Exclusive>>,
    /// `RENAME_*` flags.
    pub flags: u32,
}

/// Stands for inodes that are no symbolic links in the type of an [`InodeOps`].
pub enum NoLink {}

/// Stands for symbolic links with the target in the inode in the type of an [`InodeOps`].
pub enum FastSymlink {}

/// Stands for symbolic links with the target in the page cache in the type of an [`InodeOps`].
pub enum PageSymlink {}

/// An inode operations table for inodes of `F` of the kind `K`: [`NoLink`], [`FastSymlink`] or
/// [`PageSymlink`].
pub struct InodeOps<F: FileSystem, K = NoLink>(
    &'static bindings::inode_operations,
    PhantomData<(F, K)>,
);

impl<F: FileSystem, K> Clone for InodeOps<F, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: FileSystem, K> Copy for InodeOps<F, K> {}

/// Where the target of a symbolic link is.
#[derive(Clone, Copy)]
enum Link {
    None,
    Inode,
    Page,
}

impl<F: FileSystem> InodeOps<F, NoLink> {
    /// The table of the operations `T`.
    pub const fn new<T: InodeOperations<F>>() -> Self {
        Self(&Table::<F, T>::OPS, PhantomData)
    }
}

impl<F: FileSystem> InodeOps<F, FastSymlink> {
    /// As [`InodeOps::new`], for symbolic links with the target in the inode.
    pub const fn fast_symlink<T: InodeOperations<F>>() -> Self {
        Self(&Table::<F, T>::FAST_SYMLINK, PhantomData)
    }
}

impl<F: FileSystem> InodeOps<F, PageSymlink> {
    /// As [`InodeOps::new`], for symbolic links with the target in the page cache.
    pub const fn page_symlink<T: InodeOperations<F>>() -> Self {
        Self(&Table::<F, T>::PAGE_SYMLINK, PhantomData)
    }
}

impl<F: FileSystem, K> InodeOps<F, K> {
    pub(crate) fn as_ptr(&self) -> *const bindings::inode_operations {
        self.0
    }
}

struct Table<F: FileSystem, T: InodeOperations<F>>(PhantomData<(F, T)>);

macro_rules! if_has {
    ($has:expr, $function:expr) => {
        if $has {
            Some($function)
        } else {
            None
        }
    };
}

impl<F: FileSystem, T: InodeOperations<F>> Table<F, T> {
    const OPS: bindings::inode_operations = Self::table(Link::None);
    const FAST_SYMLINK: bindings::inode_operations = Self::table(Link::Inode);
    const PAGE_SYMLINK: bindings::inode_operations = Self::table(Link::Page);

    const fn table(link: Link) -> bindings::inode_operations {
        bindings::inode_operations {
            lookup: if_has!(T::HAS_LOOKUP, Self::lookup),
            get_link: match link {
                Link::None => None,
                Link::Inode => Some(bindings::simple_get_link),
                Link::Page => Some(bindings::page_get_link),
            },
            create: if_has!(T::HAS_CREATE, Self::create),
            mknod: if_has!(T::HAS_MKNOD, Self::mknod),
            symlink: if_has!(T::HAS_SYMLINK, Self::symlink),
            mkdir: if_has!(T::HAS_MKDIR, Self::mkdir),
            tmpfile: if_has!(T::HAS_TMPFILE, Self::tmpfile),
            link: if_has!(T::HAS_LINK, Self::link),
            unlink: if_has!(T::HAS_UNLINK, Self::unlink),
            rmdir: if_has!(T::HAS_RMDIR, Self::rmdir),
            rename: if_has!(T::HAS_RENAME, Self::rename),
            setattr: if_has!(T::HAS_SETATTR, Self::setattr),
            getattr: if_has!(T::HAS_GETATTR, Self::getattr),
            // SAFETY: All zeroes is a valid value: a structure of optional function pointers.
            ..unsafe { core::mem::zeroed() }
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with the lock of `dir` held at least for reading.
    unsafe extern "C" fn lookup(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        _flags: c_uint,
    ) -> *mut bindings::dentry {
        // SAFETY: By the requirement.
        let (sb, found) = unsafe {
            let dir = InodeLocked::<F, Shared>::from_raw(dir);
            (dir.sb(), T::lookup(dir, name(dentry)))
        };
        match found {
            // What belongs to another mount would outlive it here.
            Ok(Some(inode)) if !ptr::eq(inode.sb(), sb) => EIO.to_ptr(),
            Ok(inode) => {
                let inode = match inode {
                    Some(inode) => ARef::into_raw(inode).as_ptr().cast(),
                    None => ptr::null_mut(),
                };
                // SAFETY: The reference to the inode passes to the function.
                unsafe { bindings::d_splice_alias(inode, dentry) }
            }
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with the lock of `dir` held and a negative dentry.
    unsafe extern "C" fn create(
        _idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> c_int {
        // SAFETY: By the requirement.
        unsafe {
            let made = T::create(InodeLocked::from_raw(dir), name(dentry), mode);
            errno(instantiate(dir, dentry, made))
        }
    }

    /// # Safety
    ///
    /// As [`Self::create`].
    unsafe extern "C" fn mknod(
        _idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
        rdev: bindings::dev_t,
    ) -> c_int {
        // SAFETY: By the requirement.
        unsafe {
            let made = T::mknod(InodeLocked::from_raw(dir), name(dentry), mode, rdev);
            errno(instantiate(dir, dentry, made))
        }
    }

    /// # Safety
    ///
    /// As [`Self::create`]; `target` is a terminated string.
    unsafe extern "C" fn symlink(
        _idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        target: *const c_char,
    ) -> c_int {
        // SAFETY: By the requirement.
        unsafe {
            let target = CStr::from_char_ptr(target);
            let made = T::symlink(InodeLocked::from_raw(dir), name(dentry), target);
            errno(instantiate(dir, dentry, made))
        }
    }

    /// # Safety
    ///
    /// As [`Self::create`].
    unsafe extern "C" fn mkdir(
        _idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> *mut bindings::dentry {
        // The VFS leaves it to the filesystem to add the type.
        let mode = mode | bindings::S_IFDIR as u16;
        // SAFETY: By the requirement.
        let made = unsafe {
            let made = T::mkdir(InodeLocked::from_raw(dir), name(dentry), mode);
            instantiate(dir, dentry, made)
        };
        match made {
            Ok(()) => ptr::null_mut(),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with a file that is being opened.
    unsafe extern "C" fn tmpfile(
        _idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        file: *mut bindings::file,
        mode: bindings::umode_t,
    ) -> c_int {
        // SAFETY: `dir` is valid.
        let dir = unsafe { Inode::from_raw(dir) };
        match T::tmpfile(dir, mode) {
            Ok(inode) if !ptr::eq(inode.sb(), dir.sb()) => EIO.to_errno(),
            Ok(inode) => {
                // SAFETY: By the requirement.
                unsafe {
                    inode.d_tmpfile(file);
                    bindings::finish_open_simple(file, 0)
                }
            }
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with the locks of `dir` and of the inode held, and a negative dentry.
    unsafe extern "C" fn link(
        old_dentry: *mut bindings::dentry,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: By the requirement; a dentry that is linked to has an inode.
        unsafe {
            let inode = InodeLocked::<F, Exclusive>::from_raw((*old_dentry).d_inode);
            match T::link(inode, InodeLocked::from_raw(dir), name(dentry)) {
                Ok(()) => {
                    // The dentry takes over a reference.
                    bindings::ihold(inode.as_ptr());
                    bindings::d_instantiate(dentry, inode.as_ptr());
                    errno(dirsync(Some(inode), &[Inode::from_raw(dir)]))
                }
                Err(error) => error.to_errno(),
            }
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with the locks of `dir` and of the inode of `dentry` held.
    unsafe extern "C" fn unlink(dir: *mut bindings::inode, dentry: *mut bindings::dentry) -> c_int {
        // SAFETY: By the requirement; a name that is removed has an inode.
        errno(unsafe {
            T::unlink(
                InodeLocked::from_raw(dir),
                name(dentry),
                InodeLocked::from_raw((*dentry).d_inode),
            )
            .and_then(|()| dirsync_removed::<F>(&[dir], &[dentry]))
        })
    }

    /// # Safety
    ///
    /// As [`Self::unlink`].
    unsafe extern "C" fn rmdir(dir: *mut bindings::inode, dentry: *mut bindings::dentry) -> c_int {
        // SAFETY: As in `unlink`.
        errno(unsafe {
            T::rmdir(
                InodeLocked::from_raw(dir),
                name(dentry),
                InodeLocked::from_raw((*dentry).d_inode),
            )
            .and_then(|()| dirsync_removed::<F>(&[dir], &[dentry]))
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with the locks of both directories and of a replaced inode held.
    unsafe extern "C" fn rename(
        _idmap: *mut bindings::mnt_idmap,
        old_dir: *mut bindings::inode,
        old_dentry: *mut bindings::dentry,
        new_dir: *mut bindings::inode,
        new_dentry: *mut bindings::dentry,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: By the requirement.
        errno(unsafe {
            let replaced = (*new_dentry).d_inode;
            T::rename(&Rename {
                old_dir: InodeLocked::from_raw(old_dir),
                old_name: name(old_dentry),
                inode: Inode::from_raw((*old_dentry).d_inode),
                new_dir: InodeLocked::from_raw(new_dir),
                new_name: name(new_dentry),
                replaced: if replaced.is_null() {
                    None
                } else {
                    Some(InodeLocked::from_raw(replaced))
                },
                flags,
            })
            // The new name first, so that a crash in between leaves one.
            .and_then(|()| dirsync_removed::<F>(&[new_dir, old_dir], &[new_dentry, old_dentry]))
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with the lock of the inode held.
    unsafe extern "C" fn setattr(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut bindings::iattr,
    ) -> c_int {
        // SAFETY: By the requirement.
        errno(unsafe {
            T::setattr(&mut SetAttr {
                inode: InodeLocked::from_raw((*dentry).d_inode),
                idmap,
                dentry,
                attr: &mut *attr,
            })
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with a path on this filesystem.
    unsafe extern "C" fn getattr(
        idmap: *mut bindings::mnt_idmap,
        path: *const bindings::path,
        stat: *mut bindings::kstat,
        request_mask: u32,
        _flags: c_uint,
    ) -> c_int {
        // SAFETY: By the requirement; `stat` is used by nobody else.
        unsafe {
            let inode = (*(*path).dentry).d_inode;
            bindings::generic_fillattr(idmap, request_mask, inode, stat);
            T::getattr(
                Inode::from_raw(inode),
                &mut Kstat {
                    stat: &mut *stat,
                    request_mask,
                },
            );
        }
        0
    }
}

fn errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// The name of `dentry` must not change for `'a`.
unsafe fn name<'a>(dentry: *const bindings::dentry) -> &'a [u8] {
    // SAFETY: By the requirement.
    unsafe {
        let name = &(*dentry).__bindgen_anon_1.d_name;
        let len = name.__bindgen_anon_1.__bindgen_anon_1.len as usize;
        core::slice::from_raw_parts(name.name, len)
    }
}

/// # Safety
///
/// `dentry` must be the negative dentry, and `dir` the directory, of a creating operation.
unsafe fn instantiate<F: FileSystem>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    made: Result<CreatedInode<F>>,
) -> Result {
    let made = made?;
    // SAFETY: By the requirement.
    if !ptr::eq(made.sb(), unsafe { Inode::<F>::from_raw(dir) }.sb()) {
        return Err(EIO);
    }
    if cfg!(mutant = "kfs-dirsync-undone") {
        // SAFETY: By the requirement.
        dirsync::<F>(None, &[unsafe { Inode::from_raw(dir) }])?;
    }
    // SAFETY: By the requirement. The dentry keeps the inode.
    unsafe {
        made.d_instantiate_new(dentry);
        let inode = Inode::<F>::from_raw((*dentry).d_inode);
        dirsync(Some(inode), &[Inode::from_raw(dir)])
    }
}

/// Writes those of the directories that have to be in step with the device, and `inode`, which got
/// a name in one of them, before.
fn dirsync<F: FileSystem>(inode: Option<&Inode<F>>, dirs: &[&Inode<F>]) -> Result {
    let mut result = Ok(());
    for dir in dirs.iter().filter(|dir| dir.needs_sync()) {
        if let Some(inode) = inode {
            result = result.and(inode.sync_metadata());
        }
        result = result.and(dir.sync_metadata());
    }
    result
}

/// [`dirsync`] for names that are gone. The VFS takes them to be there still when it fails: it has
/// to ask again.
///
/// # Safety
///
/// The pointers must be directories and dentries of `F` that the VFS has given to an operation.
unsafe fn dirsync_removed<F: FileSystem>(
    dirs: &[*mut bindings::inode],
    dentries: &[*mut bindings::dentry],
) -> Result {
    let mut result = Ok(());
    for &dir in dirs {
        // SAFETY: By the requirement.
        result = result.and(dirsync(None, &[unsafe { Inode::<F>::from_raw(dir) }]));
    }
    if result.is_err() {
        for &dentry in dentries {
            // SAFETY: By the requirement.
            unsafe { bindings::d_drop(dentry) };
        }
    }
    result
}

/// The change that `chmod(2)`, `chown(2)`, `truncate(2)` and `utimensat(2)` ask for.
pub struct SetAttr<'a, F: FileSystem> {
    inode: &'a InodeLocked<F, Exclusive>,
    idmap: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    attr: &'a mut bindings::iattr,
}

impl<'a, F: FileSystem> SetAttr<'a, F> {
    /// The inode to be changed.
    pub fn inode(&self) -> &'a InodeLocked<F, Exclusive> {
        self.inode
    }

    /// Checks whether the caller may make the change.
    pub fn prepare(&mut self) -> Result {
        // SAFETY: The pointers come from the VFS and are valid during the call.
        to_result(unsafe { bindings::setattr_prepare(self.idmap, self.dentry, self.attr) })
    }

    /// The new size of the file in bytes, when that is to change.
    pub fn size(&self) -> Option<u64> {
        let size = self.attr.ia_size as u64;
        let asked = self.attr.ia_valid & bindings::ATTR_SIZE != 0;
        (asked && size != self.inode.i_size_read()).then_some(size)
    }

    /// Copies everything but the size to the inode. The inode is not marked dirty.
    pub fn copy(&mut self) {
        // SAFETY: The lock is held, and the pointers are valid during the call.
        unsafe { bindings::setattr_copy(self.idmap, self.inode.as_ptr(), self.attr) };
    }
}

/// The answer to `statx(2)`.
pub struct Kstat<'a> {
    stat: &'a mut bindings::kstat,
    request_mask: u32,
}

impl Kstat<'_> {
    /// Whether the caller wants to know how to align direct I/O.
    pub fn wants_dioalign(&self) -> bool {
        self.request_mask & (bindings::STATX_DIOALIGN | bindings::STATX_DIO_READ_ALIGN) != 0
    }

    /// Sets the alignment that direct I/O needs, in bytes: of memory, and of offset and length,
    /// which are the same for reads and writes.
    pub fn set_dioalign(&mut self, memory: u32, offset: u32) {
        self.stat.result_mask |= bindings::STATX_DIOALIGN | bindings::STATX_DIO_READ_ALIGN;
        self.stat.dio_mem_align = memory;
        self.stat.dio_offset_align = offset;
        self.stat.dio_read_offset_align = offset;
    }

    /// Sets `attributes` (`STATX_ATTR_*`), and which attributes this filesystem knows at all.
    pub fn set_attributes(&mut self, attributes: u64, mask: u64) {
        self.stat.attributes |= attributes;
        self.stat.attributes_mask |= mask;
    }
}
