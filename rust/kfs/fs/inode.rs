// SPDX-License-Identifier: GPL-2.0

//! Inodes.
//!
//! An inode in memory is an object of the slab cache of its [`Registration`] that holds the data
//! of the filesystem beside the `struct inode`. Its life, and the types that stand for it:
//!
//! * [`Iget::New`](crate::fs::new_inode::Iget::New) / [`NewInode`](crate::fs::new_inode::NewInode): found
//!   nowhere in memory and hashed, to be read from the device by the one who asked first; everybody
//!   else waits. Dropping it makes the look-up fail.
//! * [`Unhashed`](crate::fs::new_inode::Unhashed): a new inode without a number, then
//!   [`CreatedInode`](crate::fs::new_inode::CreatedInode): hashed and about to be linked into a
//!   directory. Dropping it takes the inode back, with its number and its blocks.
//! * [`Inode`], referenced by [`ARef`](kernel::sync::aref::ARef): complete, may be used by everybody.
//! * Evicted: after the last reference, when there is no link left or memory is needed. See
//!   [`evict_inode`].
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::block::buffer_head::BufferHead;
use crate::fs::file_system::{FileSystem, Registration};
use crate::fs::inode_lock::{Exclusive, InodeLocked};
use crate::fs::super_block::{self, SuperBlock};
use crate::fs::writeback_errors::WritebackErrors;
use crate::mm::page_cache::PageCache;
use core::marker::PhantomData;
use core::mem::{offset_of, MaybeUninit};
use core::ops::Range;
use core::ptr::{self, NonNull};
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sync::aref::AlwaysRefCounted;
use kernel::types::Opaque;

/// What the slab cache holds.
#[repr(C)]
struct InodeObject<F: FileSystem> {
    data: MaybeUninit<F::InodeData>,
    /// Dirty buffers of the block map, to be written by fsync.
    metadata_bhs: Opaque<bindings::mapping_metadata_bhs>,
    inode: Opaque<bindings::inode>,
}

/// An inode of the filesystem type `F`.
///
/// # Invariants
///
/// The inode is the field `inode` of an `InodeObject<F>` whose other fields are initialised, and
/// its super block is a [`SuperBlock`] of `F`.
#[repr(transparent)]
pub struct Inode<F: FileSystem>(Opaque<bindings::inode>, PhantomData<F>);

// SAFETY: An inode may be used and released by any thread.
unsafe impl<F: FileSystem> Send for Inode<F> {}
// SAFETY: The methods only read fields that are constant or tolerate races, or call functions
// that lock for themselves; what needs a lock is in `InodeLocked` or `InodeInit`.
unsafe impl<F: FileSystem> Sync for Inode<F> {}

// SAFETY: `ihold` and `iput` count references, and the inode exists while there is one.
unsafe impl<F: FileSystem> AlwaysRefCounted for Inode<F> {
    fn inc_ref(&self) {
        // SAFETY: A shared reference shows that there is a reference already.
        unsafe { bindings::ihold(self.as_ptr()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the requirement of the trait the caller owns a reference.
        unsafe { bindings::iput(obj.as_ptr().cast()) };
    }
}

/// The type in a mode.
pub(crate) fn file_type(mode: u16) -> u32 {
    u32::from(mode) & bindings::S_IFMT
}

/// A size or a position for C, where it has a sign.
pub(crate) fn loff(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

macro_rules! mode_is {
    ($($(#[$doc:meta])* $name:ident = $mode:ident;)*) => {
        $($(#[$doc])*
        pub fn $name(&self) -> bool {
            file_type(self.mode()) == bindings::$mode
        })*
    };
}

impl<F: FileSystem> Inode<F> {
    /// # Safety
    ///
    /// `inode` must satisfy the type invariants and stay valid for `'a`.
    pub unsafe fn from_raw<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the requirement; the type is transparent.
        unsafe { &*inode.cast() }
    }

    /// The C inode.
    pub fn as_ptr(&self) -> *mut bindings::inode {
        self.0.get()
    }

    fn object(&self) -> *mut InodeObject<F> {
        // SAFETY: By the type invariant the inode is this field of such an object.
        unsafe {
            self.as_ptr()
                .byte_sub(offset_of!(InodeObject<F>, inode))
                .cast()
        }
    }

    fn metadata_bhs(&self) -> *mut bindings::mapping_metadata_bhs {
        // SAFETY: By the type invariant the object is valid.
        Opaque::cast_into(unsafe { &raw const (*self.object()).metadata_bhs })
    }

    /// The data of the filesystem in the inode.
    pub fn data(&self) -> Pin<&F::InodeData> {
        // SAFETY: By the type invariant the data is initialised; slab objects do not move.
        unsafe { Pin::new_unchecked((*self.object()).data.assume_init_ref()) }
    }

    /// The super block that the inode belongs to.
    pub fn sb(&self) -> &SuperBlock<F> {
        super_block::of_inode(self)
    }

    /// The number of the inode.
    pub fn ino(&self) -> u64 {
        // SAFETY: Constant once the inode is hashed.
        unsafe { (*self.as_ptr()).i_ino }
    }

    /// Type and permissions.
    pub fn mode(&self) -> u16 {
        // SAFETY: May change at any time (chmod); a volatile read takes one of the values.
        unsafe { ptr::read_volatile(&raw const (*self.as_ptr()).i_mode) }
    }

    mode_is! {
        /// Whether this is a regular file.
        is_reg = S_IFREG;
        /// Whether this is a directory.
        is_dir = S_IFDIR;
        /// Whether this is a symbolic link.
        is_lnk = S_IFLNK;
    }

    /// Whether nothing may be written to the file but at its end, or nothing at all.
    pub fn is_append_or_immutable(&self) -> bool {
        // SAFETY: May change at any time; a volatile read takes one of the values.
        let flags = unsafe { ptr::read_volatile(&raw const (*self.as_ptr()).i_flags) };
        flags & (bindings::S_APPEND | bindings::S_IMMUTABLE) != 0
    }

    /// Owner, as a number of the initial user namespace.
    pub fn uid(&self) -> u32 {
        // SAFETY: The inode is valid.
        unsafe { bindings::i_uid_read(self.as_ptr()) }
    }

    /// Group, as a number of the initial user namespace.
    pub fn gid(&self) -> u32 {
        // SAFETY: The inode is valid.
        unsafe { bindings::i_gid_read(self.as_ptr()) }
    }

    /// Number of links.
    pub fn nlink(&self) -> u32 {
        // SAFETY: The fields of the union are the same but for `const`.
        unsafe { ptr::read_volatile(&raw const (*self.as_ptr()).__bindgen_anon_1.i_nlink) }
    }

    /// Size of the file in bytes, as it is at the moment.
    pub fn i_size_read(&self) -> u64 {
        // SAFETY: The inode is valid; the function tolerates concurrent writers.
        unsafe { bindings::i_size_read(self.as_ptr()) as u64 }
    }

    /// Device number of a special file, as the kernel encodes it in memory.
    pub fn rdev(&self) -> u32 {
        // SAFETY: Constant once the inode is complete.
        unsafe { (*self.as_ptr()).i_rdev }
    }

    /// Generation of the inode number.
    pub fn generation(&self) -> u32 {
        // SAFETY: Constant once the inode is complete.
        unsafe { (*self.as_ptr()).i_generation }
    }

    /// Space that the file occupies, in sectors of 512 bytes.
    pub fn blocks(&self) -> u64 {
        // SAFETY: May change at any time; a volatile read takes one of the values.
        unsafe { ptr::read_volatile(&raw const (*self.as_ptr()).i_blocks) }
    }

    /// Logarithm to base two of the block size in bytes.
    pub fn blkbits(&self) -> u8 {
        // SAFETY: Constant once the inode exists.
        unsafe { (*self.as_ptr()).i_blkbits }
    }

    /// Access, modification and change time, in seconds since 1970.
    pub fn times(&self) -> (i64, i64, i64) {
        // SAFETY: The inode is valid. Times may be torn, as they may be for C code.
        unsafe {
            (
                bindings::inode_get_atime_sec(self.as_ptr()),
                bindings::inode_get_mtime_sec(self.as_ptr()),
                bindings::inode_get_ctime_sec(self.as_ptr()),
            )
        }
    }

    /// Sets the change time to now.
    pub fn touch_ctime(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::inode_set_ctime_current(self.as_ptr()) };
    }

    /// Sets the modification and the change time to now.
    pub fn touch_cmtime(&self) {
        // SAFETY: The inode is valid.
        unsafe {
            let now = bindings::inode_set_ctime_current(self.as_ptr());
            bindings::inode_set_mtime_to_ts(self.as_ptr(), now);
        }
    }

    /// Adds `bytes` to the space that the file occupies.
    pub fn add_bytes(&self, bytes: u64) {
        // SAFETY: The inode is valid; the function takes `i_lock`.
        unsafe { bindings::inode_add_bytes(self.as_ptr(), bytes as i64) };
    }

    /// Takes `bytes` from the space that the file occupies.
    pub fn sub_bytes(&self, bytes: u64) {
        // SAFETY: The inode is valid; the function takes `i_lock`.
        unsafe { bindings::inode_sub_bytes(self.as_ptr(), bytes as i64) };
    }

    /// Marks the inode dirty: [`FileSystem::write_inode`] will be called for it.
    pub fn mark_inode_dirty(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::mark_inode_dirty(self.as_ptr()) };
    }

    /// Adds a link and marks the inode dirty. The lock of the directory that gets the link has to
    /// be held, or the inode is still new.
    pub fn inc_link_count(&self) {
        // SAFETY: The inode is valid; the count is only ever wrong, not unsound, without a lock.
        unsafe { bindings::inode_inc_link_count(self.as_ptr()) };
    }

    /// Removes a link and marks the inode dirty.
    ///
    /// When there is none (a corrupt filesystem) nothing changes.
    pub fn dec_link_count(&self) {
        if self.nlink() == 0 {
            return;
        }
        // SAFETY: The inode is valid, and the count is not zero.
        unsafe { bindings::inode_dec_link_count(self.as_ptr()) };
    }

    /// Whether changes of the inode have to be on the device before the operation returns
    /// (`O_SYNC`-like mount option or attribute; for a directory also `dirsync`).
    pub fn needs_sync(&self) -> bool {
        // SAFETY: The inode is valid.
        unsafe { bindings::inode_needs_sync(self.as_ptr()) != 0 }
    }

    /// Writes the inode and the buffers marked by [`Inode::mark_buffer_dirty`] to the device and
    /// waits for them.
    pub fn sync_metadata(&self) -> Result {
        // SAFETY: The inode is valid.
        kernel::error::to_result(unsafe { bindings::sync_inode_metadata(self.as_ptr(), 1) })
    }

    /// Marks a buffer dirty that belongs to the inode's block map or directory: an fsync of this
    /// inode will write it. May sleep.
    pub fn mark_buffer_dirty(&self, bh: &BufferHead) {
        bh.mark_dirty_by(|bh| {
            // SAFETY: Both are valid; the list in the inode is emptied before the inode is freed.
            unsafe { bindings::mmb_mark_buffer_dirty(bh, self.metadata_bhs()) }
        });
    }

    /// Writes the buffers of [`Inode::mark_buffer_dirty`] to the device and waits for them.
    pub fn sync_buffers(&self) -> Result {
        // SAFETY: The list is valid as long as the inode.
        kernel::error::to_result(unsafe { bindings::mmb_sync(self.metadata_bhs()) })
    }

    /// Whether both are the same inode.
    pub fn is(&self, other: &Self) -> bool {
        ptr::eq(self, other)
    }
}

impl<F: FileSystem> InodeLocked<F, Exclusive> {
    /// Waits until no direct I/O on the file is in flight. With the lock held, none can begin.
    pub fn dio_wait(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::inode_dio_wait(self.as_ptr()) };
    }

    /// Sets the size of the file to `size` bytes and drops the pages behind it from the page
    /// cache; then runs `free`, which frees the blocks behind `size`.
    ///
    /// No page can be brought in until `free` has returned.
    pub fn truncate_setsize(&self, size: u64, free: impl FnOnce() -> Result) -> Result {
        // SAFETY: The inode is valid; the invalidate lock is taken and given back here.
        unsafe {
            let mapping = (*self.as_ptr()).i_mapping;
            bindings::filemap_invalidate_lock(mapping);
            bindings::truncate_setsize(self.as_ptr(), loff(size));
            let result = free();
            bindings::filemap_invalidate_unlock(mapping);
            result
        }
    }

    /// Drops what the page cache has of the bytes from `start` to `end` of the file, written or not,
    /// which are whole blocks; then runs `free`, which frees the blocks with them, and returns what
    /// that does.
    ///
    /// No page can be brought in until `free` has returned, and no page that has other blocks beside
    /// can be written back: `free` runs with the locks of these held.
    pub fn truncate_pagecache_range<R>(&self, start: u64, end: u64, free: impl FnOnce() -> R) -> R {
        let range = loff(start)..loff(end);
        let cache = PageCache::of(self);
        // SAFETY: The inode is valid; the invalidate lock is taken here. The end is inclusive.
        unsafe {
            bindings::filemap_invalidate_lock((*self.as_ptr()).i_mapping);
            if !range.is_empty() {
                bindings::truncate_pagecache_range(self.as_ptr(), range.start, range.end - 1);
            }
        }
        // A store through a mapping makes all blocks of a page dirty, and writing it back looks up
        // where they are: not between now and then.
        let is_edge = |pos: i64| pos & (PAGE_SIZE as i64 - 1) != 0 && !range.is_empty();
        let first = is_edge(range.start)
            .then(|| cache.lock_folio(range.start))
            .flatten();
        let is_first = |pos| first.as_ref().is_some_and(|f| f.range().contains(&pos));
        let last = (is_edge(range.end) && !is_first(range.end))
            .then(|| cache.lock_folio(range.end))
            .flatten();
        for folio in [&first, &last].into_iter().flatten() {
            folio.drop_blocks(&range);
        }
        let result = free();
        drop((first, last));
        // SAFETY: The lock was taken above.
        unsafe { bindings::filemap_invalidate_unlock((*self.as_ptr()).i_mapping) };
        result
    }

    /// Writes what the page cache has of the bytes in `range` to the device, and waits for it. Fails
    /// too if something else of the file could not be written meanwhile. May sleep.
    pub fn write_and_wait_range(&self, range: Range<u64>) -> Result {
        let errors = WritebackErrors::watch(self);
        let bytes = loff(range.start)..loff(range.end);
        PageCache::of(self)
            .write_and_wait(&bytes)
            .and(errors.check())
    }

    /// Drops pages of the page cache from `size` bytes on. The size of the file does not change.
    pub fn truncate_pagecache(&self, size: u64) {
        // SAFETY: The inode is valid.
        unsafe { bindings::truncate_pagecache(self.as_ptr(), loff(size)) };
    }
}

/// Makes the slab cache for the inodes of `F`.
pub(crate) fn create_cache<F: FileSystem>() -> Result<*mut bindings::kmem_cache> {
    let mut args = bindings::kmem_cache_args {
        align: core::mem::align_of::<InodeObject<F>>() as c_uint,
        // The target of a fast symbolic link is in there, and readlink(2) copies it to the user.
        useroffset: offset_of!(InodeObject<F>, data) as c_uint,
        usersize: size_of::<F::InodeData>() as c_uint,
        ctor: Some(init_once::<F>),
        // SAFETY: All zeroes is a valid value: integers and an optional function pointer.
        ..unsafe { core::mem::zeroed() }
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
    if cache.is_null() {
        return Err(ENOMEM);
    }
    Ok(cache)
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
    // SAFETY: The super block is of a type registered for `F`.
    let object = unsafe {
        bindings::kmem_cache_alloc_lru_noprof(
            Registration::<F>::inode_cache(sb),
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
        if pin_init::raw_try_init(data, F::inode_data()).is_err() {
            bindings::kfree(object.cast());
            return ptr::null_mut();
        }
        let inode: *mut bindings::inode = Opaque::cast_into(&raw const (*object).inode);
        bindings::mmb_init(
            Opaque::cast_into(&raw const (*object).metadata_bhs),
            &raw mut (*inode).i_data,
        );
        inode
    }
}

/// # Safety
///
/// Called by the VFS as `free_inode`, an RCU grace period after the inode was evicted.
pub(crate) unsafe extern "C" fn free_inode<F: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: The inode came from `alloc_inode`, and nobody uses it any more. The super block may
    // be gone, and with it the way to the cache: `kfree` finds that by itself.
    unsafe {
        let object = Inode::<F>::from_raw(inode).object();
        (*object).data.assume_init_drop();
        bindings::kfree(object.cast());
    }
}

/// # Safety
///
/// Called by the VFS as `write_inode`.
///
/// The VFS takes the inode for clean from here on, whatever is returned, and only a sync that calls
/// this itself tells of an error. So the error is kept with the mapping for the next fsync, and the
/// inode is dirty again: want of memory passes, and a device that fails may be well again.
pub(crate) unsafe extern "C" fn write_inode<F: FileSystem>(
    inode: *mut bindings::inode,
    _wbc: *mut bindings::writeback_control,
) -> c_int {
    // SAFETY: The VFS passes a valid inode of this filesystem.
    let this = unsafe { Inode::<F>::from_raw(inode) };
    match F::write_inode(this) {
        Ok(()) => {
            // SAFETY: The operations have `sync_inode_metadata`, which this flag asks for.
            unsafe { bindings::set_inode_metadata_writeback(inode) };
            0
        }
        Err(error) => {
            if !cfg!(mutant = "kfs-inode-error-lost") {
                PageCache::of(this).set_error(error);
            }
            let may_pass = error == ENOMEM || error == EIO;
            if may_pass && !cfg!(mutant = "kfs-inode-not-retried") {
                this.mark_inode_dirty();
            }
            error.to_errno()
        }
    }
}

/// # Safety
///
/// Called by the VFS as `sync_inode_metadata`.
pub(crate) unsafe extern "C" fn sync_inode_metadata<F: FileSystem>(
    inode: *mut bindings::inode,
    _wbc: *mut bindings::writeback_control,
) -> c_int {
    // SAFETY: The VFS passes a valid inode of this filesystem.
    let inode = unsafe { Inode::<F>::from_raw(inode) };
    match inode
        .sync_buffers()
        .and_then(|()| F::sync_inode_metadata(inode))
    {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Takes an inode out of memory; without links also from the device.
///
/// # Safety
///
/// Called by the VFS as `evict_inode`: nobody else can reach the inode.
pub(crate) unsafe extern "C" fn evict_inode<F: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: The inode is valid, and nobody else uses it. The order is that of the VFS: pages,
    // then the blocks, the buffers of the block map, `clear_inode`, and only then the number,
    // which somebody else can have at once.
    unsafe {
        let this = InodeLocked::<F, Exclusive>::from_raw(inode);
        let delete = this.nlink() == 0 && !bindings::is_bad_inode(inode);
        bindings::truncate_inode_pages_final(&raw mut (*inode).i_data);
        if delete {
            bindings::sb_start_intwrite((*inode).i_sb);
            F::delete_inode(this);
        } else {
            // An error is kept in the address space, and in the log.
            let _ = this.sync_buffers();
        }
        bindings::mmb_invalidate(this.metadata_bhs());
        bindings::clear_inode(inode);
        if delete {
            F::free_inode(this);
            bindings::sb_end_intwrite((*inode).i_sb);
        }
    }
}
