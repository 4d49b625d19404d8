// SPDX-License-Identifier: GPL-2.0

//! `struct super_operations`.
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use crate::bindings;
use crate::fs::file_system::FileSystem;
use crate::fs::inode::{life, writeback};
use crate::fs::super_block::data::Info;
use crate::fs::super_block::{NewSuperBlock, Statfs, SuperBlock};
use crate::sync::once::write_once;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::types::ForeignOwnable;
use kernel::warn_on;

struct Table<F: FileSystem>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const HAS_CACHE: bool = F::HAS_NR_CACHED_OBJECTS && F::HAS_FREE_CACHED_OBJECTS;

    const OPS: bindings::super_operations = bindings::super_operations {
        alloc_inode: Some(life::alloc_inode::<F>),
        free_inode: Some(life::free_inode::<F>),
        write_inode: if_has!(F::HAS_WRITE_INODE, writeback::write_inode::<F>),
        evict_inode: Some(life::evict_inode::<F>),
        put_super: Some(put_super::<F>),
        sync_fs: if_has!(F::HAS_SYNC_FS, sync_fs::<F>),
        freeze_fs: if_has!(F::HAS_FREEZE_FS, freeze_fs::<F>),
        unfreeze_fs: if_has!(F::HAS_UNFREEZE_FS, unfreeze_fs::<F>),
        statfs: Some(statfs::<F>),
        shutdown: if_has!(F::HAS_SHUTDOWN, shutdown::<F>),
        show_options: if_has!(F::HAS_SHOW_OPTIONS, show_options::<F>),
        // The VFS calls the second if there is the first.
        nr_cached_objects: if_has!(Self::HAS_CACHE, nr_cached_objects::<F>),
        free_cached_objects: if_has!(Self::HAS_CACHE, free_cached_objects::<F>),
        ..pin_init::zeroed()
    };
}

/// Fills a new super block.
///
/// # Safety
///
/// `sb` must be a new super block of a type that was registered for `F`, with its device open, that
/// is being filled by the caller alone.
pub(crate) unsafe fn fill_super<F: FileSystem>(
    sb: *mut bindings::super_block,
    options: &F::Options,
) -> Result {
    // SAFETY: By the requirement it is valid, and nobody else changes it, or is called through its
    // table yet.
    let mut new = unsafe {
        (*sb).s_op = &Table::<F>::OPS;
        NewSuperBlock::from_raw(NonNull::new_unchecked(sb))
    };
    let data = F::fill_super(&mut new, options)?;
    // INVARIANT: `s_fs_info` owns the data from here to `drop_data`.
    // SAFETY: `sb` is valid.
    unsafe { (*sb).s_fs_info = data.into_inner().into_foreign().cast() };
    // SAFETY: The invariants hold now, and nobody else uses the super block.
    let this = unsafe {
        set_posix_acl::<F>(sb);
        SuperBlock::<F>::from_raw(sb)
    };
    let made = F::root(this).and_then(|root| {
        let root = root.into_raw();
        // SAFETY: `d_make_root` takes over the reference, also when it fails.
        unsafe { (*sb).s_root = bindings::d_make_root(root) };
        // SAFETY: `sb` is valid.
        if unsafe { (*sb).s_root.is_null() } {
            return Err(ENOMEM);
        }
        // With a root in place, a failure from here on goes through `put_super`.
        match F::HAS_MOUNTED {
            true => F::mounted(this),
            false => Ok(()),
        }
    });
    // Without a root the VFS does not call `put_super`, nor does it evict inodes. There is none: one whose last reference goes
    // while the super block is not active is evicted at once, and nobody can keep one, but a reference may have been forgotten.
    // SAFETY: The super block is valid, and still ours. Nobody uses the data: an inode that is left over is not found any more,
    // and there is nothing by which to use it.
    unsafe {
        if (*sb).s_root.is_null() {
            warn_on!(bindings::poison_busy_inodes(sb));
            drop_data::<F>(sb);
        }
    }
    made
}

/// Lets the VFS honour access control lists, or not, as the options say.
///
/// # Safety
///
/// The invariants of a [`SuperBlock`] must hold for `sb`, and nobody else may change its flags.
pub(crate) unsafe fn set_posix_acl<F: FileSystem>(sb: *mut bindings::super_block) {
    // SAFETY: By the requirement. The flags are read at any time; they are written once.
    unsafe {
        let on = F::HAS_POSIX_ACL && F::posix_acl(SuperBlock::<F>::from_raw(sb));
        let flags = (*sb).s_flags & !bindings::SB_POSIXACL;
        let acl = if on { bindings::SB_POSIXACL } else { 0 };
        write_once(&raw mut (*sb).s_flags, flags | acl);
    }
}

/// # Safety
///
/// `s_fs_info` must own the data of the mount, which nobody uses any more.
unsafe fn drop_data<F: FileSystem>(sb: *mut bindings::super_block) {
    // SAFETY: By the requirement; the pointer comes from `into_foreign` in `fill_super`.
    unsafe {
        let data = (*sb).s_fs_info;
        (*sb).s_fs_info = ptr::null_mut();
        drop(Pin::<KBox<Info<F>>>::from_foreign(data.cast()));
    }
}

/// # Safety
///
/// Called by the VFS as `put_super`, after all inodes are gone, with the device still open.
unsafe extern "C" fn put_super<F: FileSystem>(sb: *mut bindings::super_block) {
    if F::HAS_PUT_SUPER {
        // SAFETY: A super block with a root went through `fill_super`, so that the invariants hold.
        F::put_super(unsafe { SuperBlock::<F>::from_raw(sb) });
    }
    // SAFETY: No inode and no file is left that could use the data.
    unsafe { drop_data::<F>(sb) };
}

/// # Safety
///
/// Called by the VFS as `sync_fs` of a mounted super block.
unsafe extern "C" fn sync_fs<F: FileSystem>(sb: *mut bindings::super_block, wait: c_int) -> c_int {
    // SAFETY: The super block is mounted.
    match F::sync_fs(unsafe { SuperBlock::<F>::from_raw(sb) }, wait != 0) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Called by the VFS as `freeze_fs` of a mounted super block.
unsafe extern "C" fn freeze_fs<F: FileSystem>(sb: *mut bindings::super_block) -> c_int {
    // SAFETY: The super block is mounted.
    match F::freeze_fs(unsafe { SuperBlock::<F>::from_raw(sb) }) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Called by the VFS as `unfreeze_fs` of a mounted super block.
unsafe extern "C" fn unfreeze_fs<F: FileSystem>(sb: *mut bindings::super_block) -> c_int {
    // SAFETY: The super block is mounted.
    match F::unfreeze_fs(unsafe { SuperBlock::<F>::from_raw(sb) }) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Called by the VFS as `shutdown` of a mounted super block.
unsafe extern "C" fn shutdown<F: FileSystem>(sb: *mut bindings::super_block) {
    // SAFETY: The super block is mounted.
    F::shutdown(unsafe { SuperBlock::<F>::from_raw(sb) });
}

/// # Safety
///
/// Called by the shrinker of a super block, which has `SB_BORN`, and is not killed before the
/// shrinker is freed: as `nr_cached_objects`.
unsafe extern "C" fn nr_cached_objects<F: FileSystem>(
    sb: *mut bindings::super_block,
    _sc: *mut bindings::shrink_control,
) -> c_long {
    // SAFETY: `fill_super` had succeeded before `SB_BORN` was set, so that the invariants hold, and
    // `put_super` comes after the shrinker was freed.
    let count = F::nr_cached_objects(unsafe { SuperBlock::<F>::from_raw(sb) });
    c_long::try_from(count).unwrap_or(c_long::MAX)
}

/// # Safety
///
/// As [`nr_cached_objects`], as `free_cached_objects`.
unsafe extern "C" fn free_cached_objects<F: FileSystem>(
    sb: *mut bindings::super_block,
    sc: *mut bindings::shrink_control,
) -> c_long {
    // SAFETY: The shrinker passes on what it was called with, which is valid during the call.
    let nr_to_scan = unsafe { (*sc).nr_to_scan };
    // SAFETY: As in `nr_cached_objects`.
    let freed = F::free_cached_objects(unsafe { SuperBlock::<F>::from_raw(sb) }, nr_to_scan);
    c_long::try_from(freed).unwrap_or(c_long::MAX)
}

/// # Safety
///
/// Called by the VFS as `show_options` of a mounted super block.
unsafe extern "C" fn show_options<F: FileSystem>(
    seq: *mut bindings::seq_file,
    root: *mut bindings::dentry,
) -> c_int {
    // SAFETY: `root` is a dentry of a mounted super block and `seq` is valid during the call.
    unsafe {
        let sb = SuperBlock::<F>::from_raw((*root).d_sb);
        F::show_options(sb, SeqFile::from_raw(seq));
    }
    0
}

/// # Safety
///
/// Called by the VFS as `statfs` with a dentry of a mounted super block.
unsafe extern "C" fn statfs<F: FileSystem>(
    dentry: *mut bindings::dentry,
    buf: *mut kernel::bindings::kstatfs,
) -> c_int {
    // SAFETY: By the requirement; `buf` is valid during the call and used by nobody else.
    let (sb, mut statfs) = unsafe {
        (
            SuperBlock::<F>::from_raw((*dentry).d_sb),
            Statfs::from_raw(NonNull::new_unchecked(buf.cast())),
        )
    };
    match F::statfs(sb, &mut statfs) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
