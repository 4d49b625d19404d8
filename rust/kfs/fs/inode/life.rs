// SPDX-License-Identifier: GPL-2.0

//! The life of an inode in memory: its object in the slab cache, and eviction.
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use crate::bindings;
use crate::compat::{raw_init, raw_try_init};
use crate::fs::file_system::FileSystem;
use crate::fs::file_system_type::{FileSystemType, InodeCache};
use crate::fs::inode::in_buffer::InBuffer;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::{Inode, InodeObject};
use core::mem::offset_of;
use core::ptr;
use kernel::prelude::*;
use kernel::types::Opaque;

/// Makes the slab cache for the inodes of `F`.
pub(crate) fn create_cache<F: FileSystem>() -> Result<InodeCache> {
    let mut args = bindings::kmem_cache_args {
        align: core::mem::align_of::<InodeObject<F>>() as c_uint,
        // The target of a fast symbolic link is in there, and readlink(2) copies it to the user.
        useroffset: offset_of!(InodeObject<F>, data) as c_uint,
        usersize: size_of::<F::InodeData>() as c_uint,
        ctor: Some(init_once::<F>),
        ..pin_init::zeroed()
    };
    // SAFETY: The name is static; `args` is only used during the call.
    let cache = unsafe {
        bindings::__kmem_cache_create_args(
            F::NAME.as_char_ptr(),
            size_of::<InodeObject<F>>() as c_uint,
            &mut args,
            (bindings::SLAB_RECLAIM_ACCOUNT | bindings::SLAB_ACCOUNT) as bindings::slab_flags_t,
        )
    };
    // SAFETY: It was just made. It is dropped with the registration of the type, when there is no
    // super block any more to allocate from it, and inodes are freed by RCU callbacks.
    unsafe { InodeCache::from_owned(cache) }.ok_or(ENOMEM)
}

/// # Safety
///
/// Called by the slab allocator for a new object of the cache of `F`.
unsafe extern "C" fn init_once<F: FileSystem>(object: *mut c_void) {
    // SAFETY: `object` has room for an `InodeObject<F>`, and is not shared yet.
    unsafe {
        let object = object.cast::<InodeObject<F>>();
        bindings::inode_init_once(Opaque::cast_into(&raw const (*object).inode));
    }
}

/// # Safety
///
/// Called by the VFS as `alloc_inode` of a super block of `F`.
pub(crate) unsafe extern "C" fn alloc_inode<F: FileSystem>(
    sb: *mut bindings::super_block,
) -> *mut bindings::inode {
    // SAFETY: By the requirement the super block is of a type registered for `F`.
    let object = unsafe {
        bindings::kmem_cache_alloc_lru_noprof(
            FileSystemType::<F>::of(sb).inode_cache(),
            &raw mut (*sb).s_inode_lru,
            bindings::GFP_KERNEL,
        )
    };
    let object = object.cast::<InodeObject<F>>();
    if object.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: The object is new and does not move until it is freed.
    unsafe {
        let data = (&raw mut (*object).data).cast::<F::InodeData>();
        if raw_try_init(data, F::inode_data()).is_err() {
            bindings::kfree(object.cast());
            return ptr::null_mut();
        }
        let inode: *mut bindings::inode = Opaque::cast_into(&raw const (*object).inode);
        raw_init(&raw mut (*object).in_buffer, InBuffer::new());
        bindings::mmb_init(
            Opaque::cast_into(&raw const (*object).metadata_bhs),
            &raw mut (*inode).i_data,
        );
        inode
    }
}

/// # Safety
///
/// Called by the VFS as `free_inode` of an inode of `F`, an RCU grace period after the inode was
/// evicted.
pub(crate) unsafe extern "C" fn free_inode<F: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: The inode came from `alloc_inode`, and nobody uses it any more. The super block may
    // be gone, and with it the way to the cache: `kfree` finds that by itself.
    unsafe {
        let object = Inode::<F>::from_raw(inode).object();
        (*object).data.assume_init_drop();
        bindings::kfree(object.cast());
    }
}

/// Evicts an inode from memory; without links it is deleted from the device too.
///
/// # Safety
///
/// Called by the VFS as `evict_inode` of an inode of `F`: nobody else can reach the inode.
pub(crate) unsafe extern "C" fn evict_inode<F: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: By the requirement the inode is valid, and nobody else uses it. The order is that of
    // the VFS: pages, then the blocks, the buffers of the block map, `clear_inode`, and only then
    // the number, which can be allocated again at once.
    unsafe {
        let this = InodeLocked::<F, Exclusive>::from_raw(inode);
        let delete = this.nlink() == 0 && !bindings::is_bad_inode(inode);
        bindings::truncate_inode_pages_final(&raw mut (*inode).i_data);
        if delete {
            bindings::sb_start_intwrite((*inode).i_sb);
            if F::HAS_DELETE_INODE {
                F::delete_inode(this);
            }
        } else {
            // An error is kept in the address space, and in the log.
            let _ = this.sync_buffers();
            if F::HAS_EVICT_INODE && !bindings::is_bad_inode(inode) {
                F::evict_inode(this);
            }
        }
        // Pages that these have brought in again, by zeroing or by reading: `clear_inode` has none. There are none as a rule.
        bindings::truncate_inode_pages(&raw mut (*inode).i_data, 0);
        bindings::mmb_invalidate(this.metadata_bhs());
        bindings::clear_inode(inode);
        if delete {
            // The inode itself is dead: what is marked dirty through it now would be lost.
            if F::HAS_FREE_INODE {
                F::free_inode(this.sb(), this.ino(), this.is_dir());
            }
            bindings::sb_end_intwrite((*inode).i_sb);
        }
    }
}
