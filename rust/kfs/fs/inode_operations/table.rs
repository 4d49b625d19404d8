// SPDX-License-Identifier: GPL-2.0

//! The tables that the VFS calls: one for each implementation of [`InodeOperations`] and each kind
//! of symbolic link.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::attributes::{self, errno};
use super::dirsync::{dirsync, dirsync_removed};
use super::kstat::Kstat;
use super::lookup_flags::LookupFlags;
use super::rename::{Rename, Target};
use super::setattr::SetAttr;
use super::InodeOperations;
use crate::bindings;
use crate::compat::ELOOP;
use crate::fs::fiemap::FiemapExtentInfo;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked, Shared};
use crate::fs::inode::new::CreatedInode;
use crate::fs::inode::Inode;
use crate::fs::mnt_idmap::MntIdmap;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use kernel::error::from_err_ptr;
use kernel::prelude::*;

/// Stands for inodes that are no symbolic links in the type of an [`InodeOps`].
pub enum NoLink {}

/// Stands for symbolic links with the target in the inode in the type of an [`InodeOps`].
pub enum FastSymlink {}

/// Stands for symbolic links with the target in the page cache in the type of an [`InodeOps`].
pub enum PageSymlink {}

/// An inode operations table for inodes of `F` of the kind `K`: [`NoLink`], [`FastSymlink`] or
/// [`PageSymlink`].
pub struct InodeOps<F: FileSystemData, K = NoLink>(
    &'static bindings::inode_operations,
    PhantomData<(F, K)>,
);

impl<F: FileSystemData, K> Clone for InodeOps<F, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: FileSystemData, K> Copy for InodeOps<F, K> {}

/// Where the target of a symbolic link is.
#[derive(Clone, Copy)]
enum Link {
    None,
    Inode,
    Page,
}

impl<F: FileSystemData> InodeOps<F, NoLink> {
    /// The table of the operations `T`.
    pub const fn new<T: InodeOperations<F>>() -> Self {
        Self(&Table::<F, T>::OPS, PhantomData)
    }
}

impl<F: FileSystemData> InodeOps<F, FastSymlink> {
    /// As [`InodeOps::new`], for symbolic links with the target in the inode.
    pub const fn fast_symlink<T: InodeOperations<F>>() -> Self {
        Self(&Table::<F, T>::FAST_SYMLINK, PhantomData)
    }
}

impl<F: FileSystemData> InodeOps<F, PageSymlink> {
    /// As [`InodeOps::new`], for symbolic links with the target in the page cache.
    pub const fn page_symlink<T: InodeOperations<F>>() -> Self {
        Self(&Table::<F, T>::PAGE_SYMLINK, PhantomData)
    }
}

impl<F: FileSystemData, K> InodeOps<F, K> {
    pub(crate) fn as_raw(&self) -> *const bindings::inode_operations {
        self.0
    }
}

struct Table<F: FileSystemData, T: InodeOperations<F>>(PhantomData<(F, T)>);

impl<F: FileSystemData, T: InodeOperations<F>> Table<F, T> {
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
            fiemap: if_has!(T::HAS_FIEMAP, Self::fiemap),
            listxattr: if_has!(T::HAS_LISTXATTR, attributes::listxattr::<F, T>),
            fileattr_get: if_has!(T::HAS_FILEATTR_GET, attributes::fileattr_get::<F, T>),
            fileattr_set: if_has!(T::HAS_FILEATTR_SET, attributes::fileattr_set::<F, T>),
            // A symbolic link has no lists.
            get_inode_acl: match link {
                Link::None => if_has!(T::HAS_GET_INODE_ACL, attributes::get_inode_acl::<F, T>),
                _ => None,
            },
            set_acl: match link {
                Link::None => if_has!(T::HAS_SET_ACL, attributes::set_inode_acl::<F, T>),
                _ => None,
            },
            ..pin_init::zeroed()
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with the lock of `dir` held at least for reading.
    unsafe extern "C" fn lookup(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        flags: c_uint,
    ) -> *mut bindings::dentry {
        // SAFETY: By the requirement.
        let (dir, found) = unsafe {
            let dir = InodeLocked::<F, Shared>::from_raw(dir);
            (dir, T::lookup(dir, name(dentry), LookupFlags(flags)))
        };
        match found {
            // What belongs to another mount would outlive it here.
            Ok(Some(inode)) if !ptr::eq(inode.sb(), dir.sb()) => EIO.to_ptr(),
            Ok(inode) => {
                let ino = inode.as_ref().map_or(0, |inode| inode.ino());
                let inode = match inode {
                    Some(inode) => inode.into_raw(),
                    None => ptr::null_mut(),
                };
                // SAFETY: The reference to the inode passes to the function.
                let spliced = unsafe { bindings::d_splice_alias(inode, dentry) };
                match from_err_ptr(spliced) {
                    Err(error) if error == ELOOP => T::lookup_loop(dir, ino).to_ptr(),
                    _ => spliced,
                }
            }
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with the mapping of a mount, the lock of `dir` held and a negative dentry.
    unsafe extern "C" fn create(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
        #[cfg(not(kfs_has_create_without_excl))] _excl: bool,
    ) -> c_int {
        // SAFETY: By the requirement.
        unsafe {
            let made = T::create(
                MntIdmap::from_raw(idmap),
                InodeLocked::from_raw(dir),
                name(dentry),
                mode,
            );
            errno(instantiate::<F, T>(dir, dentry, made))
        }
    }

    /// # Safety
    ///
    /// As [`Self::create`].
    unsafe extern "C" fn mknod(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
        rdev: bindings::dev_t,
    ) -> c_int {
        // SAFETY: By the requirement.
        unsafe {
            let made = T::mknod(
                MntIdmap::from_raw(idmap),
                InodeLocked::from_raw(dir),
                name(dentry),
                mode,
                rdev,
            );
            errno(instantiate::<F, T>(dir, dentry, made))
        }
    }

    /// # Safety
    ///
    /// As [`Self::create`]; `target` is a terminated string.
    unsafe extern "C" fn symlink(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        target: *const c_char,
    ) -> c_int {
        // SAFETY: By the requirement.
        unsafe {
            let target = CStr::from_char_ptr(target);
            let made = T::symlink(
                MntIdmap::from_raw(idmap),
                InodeLocked::from_raw(dir),
                name(dentry),
                target,
            );
            errno(instantiate::<F, T>(dir, dentry, made))
        }
    }

    /// # Safety
    ///
    /// As [`Self::create`].
    unsafe extern "C" fn mkdir(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> *mut bindings::dentry {
        // The VFS leaves it to the filesystem to add the type.
        let mode = mode | bindings::S_IFDIR as u16;
        // SAFETY: By the requirement.
        let made = unsafe {
            let made = T::mkdir(
                MntIdmap::from_raw(idmap),
                InodeLocked::from_raw(dir),
                name(dentry),
                mode,
            );
            instantiate::<F, T>(dir, dentry, made)
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
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        file: *mut bindings::file,
        mode: bindings::umode_t,
    ) -> c_int {
        // SAFETY: Both are valid.
        let (idmap, dir) = unsafe { (MntIdmap::from_raw(idmap), Inode::from_raw(dir)) };
        match T::tmpfile(idmap, dir, mode) {
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
                    bindings::ihold(inode.as_raw());
                    bindings::d_instantiate(dentry, inode.as_raw());
                    errno(dirsync::<F, T, 1>([inode], &[Inode::from_raw(dir)]))
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
            .and_then(|()| dirsync_removed::<F, T>(&[dir, dir], &[dentry]))
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
            .and_then(|()| dirsync_removed::<F, T>(&[dir, dir], &[dentry]))
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with the locks of both directories and of a replaced inode held.
    unsafe extern "C" fn rename(
        idmap: *mut bindings::mnt_idmap,
        old_dir: *mut bindings::inode,
        old_dentry: *mut bindings::dentry,
        new_dir: *mut bindings::inode,
        new_dentry: *mut bindings::dentry,
        flags: c_uint,
    ) -> c_int {
        if flags & !RENAME_FLAGS != 0 {
            return EINVAL.to_errno();
        }
        let exchange = flags & bindings::RENAME_EXCHANGE != 0;
        // SAFETY: By the requirement. In an exchange both dentries have inodes, and the lock of one
        // that stays in its directory need not be held.
        errno(unsafe {
            let target = (*new_dentry).d_inode;
            T::rename(&Rename {
                idmap: MntIdmap::from_raw(idmap),
                old_dir: InodeLocked::from_raw(old_dir),
                old_name: name(old_dentry),
                inode: Inode::from_raw((*old_dentry).d_inode),
                new_dir: InodeLocked::from_raw(new_dir),
                new_name: name(new_dentry),
                target: match exchange {
                    true => Target::Exchanged(Inode::from_raw(target)),
                    false if target.is_null() => Target::Free,
                    false => Target::Replaced(InodeLocked::from_raw(target)),
                },
                whiteout: flags & bindings::RENAME_WHITEOUT != 0,
            })
            .and_then(|whiteout| {
                let dir = Inode::<F>::from_raw(old_dir);
                // A whiteout has a name now, and no dentry: it is looked up when it is asked for.
                match whiteout {
                    Some(made) if !ptr::eq(made.sb(), dir.sb()) => return Err(EIO),
                    made => drop(made.map(|made| made.unlock())),
                }
                let dentries = &[new_dentry, old_dentry];
                dirsync_removed::<F, T>(&[new_dir, old_dir], dentries)
            })
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
        let mut attr = unsafe { SetAttr::from_raw(idmap, dentry, attr) };
        errno(T::setattr(&mut attr))
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
        // SAFETY: By the requirement; `stat` is valid during the call and used by nobody else.
        let (inode, mut stat) = unsafe {
            let inode = (*(*path).dentry).d_inode;
            bindings::generic_fillattr(idmap, request_mask, inode, stat);
            let stat = Kstat::from_raw(NonNull::new_unchecked(stat), request_mask);
            (Inode::from_raw(inode), stat)
        };
        T::getattr(inode, &mut stat);
        0
    }

    /// # Safety
    ///
    /// Called by the VFS as `fiemap` of an inode of `F`.
    unsafe extern "C" fn fiemap(
        inode: *mut bindings::inode,
        info: *mut kernel::bindings::fiemap_extent_info,
        start: u64,
        len: u64,
    ) -> c_int {
        // SAFETY: By the requirement.
        let (inode, mut info) = unsafe {
            (
                Inode::from_raw(inode),
                FiemapExtentInfo::from_raw(info.cast(), start, len),
            )
        };
        errno(T::fiemap(inode, &mut info))
    }
}

/// The flags of `renameat2(2)` that are known here. The VFS has checked `RENAME_NOREPLACE`.
const RENAME_FLAGS: u32 =
    bindings::RENAME_NOREPLACE | bindings::RENAME_EXCHANGE | bindings::RENAME_WHITEOUT;

/// # Safety
///
/// The name of `dentry` must not change for `'a`.
unsafe fn name<'a>(dentry: *const bindings::dentry) -> &'a [u8] {
    // SAFETY: By the requirement.
    unsafe {
        let name = &raw const (*dentry).__bindgen_anon_1.d_name;
        let len = (*name).__bindgen_anon_1.__bindgen_anon_1.len as usize;
        core::slice::from_raw_parts((*name).name, len)
    }
}

/// # Safety
///
/// `dentry` must be the negative dentry, and `dir` the directory, of a creating operation.
unsafe fn instantiate<F: FileSystemData, T: InodeOperations<F>>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    made: Result<CreatedInode<'_, F>>,
) -> Result {
    let made = made?;
    // SAFETY: By the requirement.
    if !ptr::eq(made.sb(), unsafe { Inode::<F>::from_raw(dir) }.sb()) {
        return Err(EIO);
    }
    if cfg!(mutant = "kfs-dirsync-undone") {
        // SAFETY: By the requirement.
        dirsync::<F, T, 0>([], &[unsafe { Inode::from_raw(dir) }])?;
    }
    // SAFETY: By the requirement. The dentry keeps the inode.
    unsafe {
        made.d_instantiate_new(dentry);
        let inode = Inode::<F>::from_raw((*dentry).d_inode);
        dirsync::<F, T, 1>([inode], &[Inode::from_raw(dir)])
    }
}
