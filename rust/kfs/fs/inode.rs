// SPDX-License-Identifier: GPL-2.0

//! Inodes.
//!
//! An inode in memory is an object of the slab cache of its
//! [`Registration`](crate::fs::registration::Registration) that holds the data of the filesystem
//! beside the `struct inode`. Its life, and the types that stand for it:
//!
//! * [`Iget::New`](new::Iget::New) / [`NewInode`](new::NewInode): not
//!   in the inode cache, and hashed now, to be read from the device by the first look-up; others
//!   wait. Dropping it makes them fail.
//! * [`Unhashed`](new::Unhashed): a new inode without a number, then
//!   [`CreatedInode`](new::CreatedInode): hashed and about to be linked into a
//!   directory. Dropping it takes the inode back, with its number and its blocks.
//! * [`Inode`], referenced by [`InodeRef`](reference::InodeRef): complete.
//! * Evicted: after the last reference was dropped, if there is no link left or by memory reclaim.
//!   See [`life::evict_inode`].
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod cached;
mod in_buffer;
pub mod init;
pub(crate) mod life;
pub mod lock;
pub mod new;
mod pages;
pub mod reference;
pub mod size;
pub mod tables;
mod truncate;
mod version;
mod without_pages;
pub(crate) mod writeback;
pub mod written;

use crate::bindings;
use crate::block::buffer_head::BufferHead;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::in_buffer::InBuffer;
use crate::fs::super_block::SuperBlock;
use crate::mm::page_cache::PageCache;
use crate::sync::once::read_once;
use crate::time::Timespec;
use core::marker::PhantomData;
use core::mem::{offset_of, MaybeUninit};
use core::ptr;
use kernel::prelude::*;
use kernel::types::Opaque;

/// What the slab cache holds.
#[repr(C)]
struct InodeObject<F: FileSystemData> {
    data: MaybeUninit<F::InodeData>,
    /// Whether the inode is in its buffer, and that perhaps not on the device.
    in_buffer: InBuffer,
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
pub struct Inode<F: FileSystemData>(Opaque<bindings::inode>, PhantomData<F>);

// SAFETY: An inode may be used and released by any thread.
unsafe impl<F: FileSystemData> Send for Inode<F> {}
// SAFETY: The methods only read fields that are constant or tolerate races, or call functions
// that lock for themselves; what needs a lock is in `InodeLocked` or `InodeInit`.
unsafe impl<F: FileSystemData> Sync for Inode<F> {}

/// The times of an inode that the VFS keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Of the last access.
    pub atime: Timespec,
    /// Of the last change of the content.
    pub mtime: Timespec,
    /// Of the last change of the inode.
    pub ctime: Timespec,
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

impl<F: FileSystemData> Inode<F> {
    /// # Safety
    ///
    /// `inode` must satisfy the type invariants and stay valid for `'a`.
    pub(crate) unsafe fn from_raw<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the requirement; the type is transparent.
        unsafe { &*inode.cast() }
    }

    /// The C inode.
    pub(crate) fn as_raw(&self) -> *mut bindings::inode {
        self.0.get()
    }

    fn in_buffer(&self) -> &InBuffer {
        // SAFETY: By the type invariant the fields of the object beside the inode are initialised.
        unsafe { &(*self.object()).in_buffer }
    }

    fn object(&self) -> *mut InodeObject<F> {
        // SAFETY: By the type invariant the inode is this field of such an object.
        unsafe {
            self.as_raw()
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
        // SAFETY: By the type invariant the super block is one of `F`; the inode keeps it.
        unsafe { SuperBlock::from_raw((*self.as_raw()).i_sb) }
    }

    /// The page cache of the file.
    pub(crate) fn page_cache(&self) -> PageCache<'_> {
        // SAFETY: The mapping of an inode is valid as long as the inode. The address space
        // operations of `F` are those of buffer heads.
        unsafe { PageCache::from_raw((*self.as_raw()).i_mapping) }
    }

    /// The number of the inode.
    pub fn ino(&self) -> u64 {
        // SAFETY: Constant once the inode is hashed.
        unsafe { (*self.as_raw()).i_ino }
    }

    /// Type and permissions.
    pub fn mode(&self) -> u16 {
        // SAFETY: May change at any time (chmod); it is read once.
        unsafe { read_once(&raw const (*self.as_raw()).i_mode) }
    }

    mode_is! {
        /// Whether this is a regular file.
        is_reg = S_IFREG;
        /// Whether this is a directory.
        is_dir = S_IFDIR;
        /// Whether this is a symbolic link.
        is_lnk = S_IFLNK;
    }

    /// Whether the file is append-only or immutable.
    pub fn is_append_or_immutable(&self) -> bool {
        // SAFETY: May change at any time; it is read once.
        let flags = unsafe { read_once(&raw const (*self.as_raw()).i_flags) };
        flags & (bindings::S_APPEND | bindings::S_IMMUTABLE) != 0
    }

    /// Whether the file is immutable.
    #[inline]
    pub fn is_immutable(&self) -> bool {
        // SAFETY: May change at any time; it is read once.
        let flags = unsafe { read_once(&raw const (*self.as_raw()).i_flags) };
        flags & bindings::S_IMMUTABLE != 0
    }

    /// Whether the VFS knows that a write has no privileges to take away: no set-id bits, and no
    /// capabilities among the extended attributes.
    pub fn has_no_privileges(&self) -> bool {
        // SAFETY: By the type invariant the inode is valid.
        unsafe { bindings::IS_NOSEC(self.as_raw()) }
    }

    /// Owner, as a number of the initial user namespace.
    pub fn uid(&self) -> u32 {
        // SAFETY: By the type invariant the inode is valid.
        unsafe { bindings::i_uid_read(self.as_raw()) }
    }

    /// Group, as a number of the initial user namespace.
    pub fn gid(&self) -> u32 {
        // SAFETY: By the type invariant the inode is valid.
        unsafe { bindings::i_gid_read(self.as_raw()) }
    }

    /// Number of links.
    pub fn nlink(&self) -> u32 {
        // SAFETY: The fields of the union are the same but for `const`.
        unsafe { read_once(&raw const (*self.as_raw()).__bindgen_anon_1.i_nlink) }
    }

    /// i_size in bytes. May change at any time, unless the inode lock is held.
    pub fn i_size_read(&self) -> u64 {
        // SAFETY: By the type invariant the inode is valid; the function tolerates concurrent
        // writers.
        unsafe { bindings::i_size_read(self.as_raw()) as u64 }
    }

    /// Device number of a special file, as the kernel encodes it in memory.
    pub fn rdev(&self) -> u32 {
        // SAFETY: Constant once the inode is complete.
        unsafe { (*self.as_raw()).i_rdev }
    }

    /// Generation of the inode number.
    pub fn generation(&self) -> u32 {
        // SAFETY: The inode is valid. May change at any time (`FS_IOC_SETVERSION`).
        unsafe { read_once(&raw const (*self.as_raw()).i_generation) }
    }

    /// Space that the file occupies, in sectors of 512 bytes.
    pub fn blocks(&self) -> u64 {
        // SAFETY: May change at any time; it is read once.
        unsafe { read_once(&raw const (*self.as_raw()).i_blocks) }
    }

    /// Logarithm to base two of the block size in bytes.
    pub fn blkbits(&self) -> u8 {
        // SAFETY: Constant once the inode exists.
        unsafe { (*self.as_raw()).i_blkbits }
    }

    /// Access, modification and change time.
    pub fn times(&self) -> Times {
        let time = |seconds, nanoseconds: c_long| Timespec {
            seconds,
            nanoseconds: nanoseconds as u32,
        };
        let inode = self.as_raw();
        // SAFETY: By the type invariant the inode is valid. Times may be torn, as they may be for C
        // code.
        unsafe {
            Times {
                atime: time(
                    bindings::inode_get_atime_sec(inode),
                    bindings::inode_get_atime_nsec(inode),
                ),
                mtime: time(
                    bindings::inode_get_mtime_sec(inode),
                    bindings::inode_get_mtime_nsec(inode),
                ),
                ctime: time(
                    bindings::inode_get_ctime_sec(inode),
                    bindings::inode_get_ctime_nsec(inode),
                ),
            }
        }
    }

    /// Sets the change time to now.
    pub fn touch_ctime(&self) {
        // SAFETY: By the type invariant the inode is valid.
        unsafe { bindings::inode_set_ctime_current(self.as_raw()) };
        self.inc_iversion();
    }

    /// Sets the modification and the change time to now.
    pub fn touch_cmtime(&self) {
        // SAFETY: By the type invariant the inode is valid.
        unsafe {
            let now = bindings::inode_set_ctime_current(self.as_raw());
            bindings::inode_set_mtime_to_ts(self.as_raw(), now);
        }
        self.inc_iversion();
    }

    /// Adds `bytes` to the space that the file occupies.
    pub fn add_bytes(&self, bytes: u64) {
        // SAFETY: By the type invariant the inode is valid; the function takes `i_lock`.
        unsafe { bindings::inode_add_bytes(self.as_raw(), bytes as i64) };
    }

    /// Takes `bytes` from the space that the file occupies.
    pub fn sub_bytes(&self, bytes: u64) {
        // SAFETY: By the type invariant the inode is valid; the function takes `i_lock`.
        unsafe { bindings::inode_sub_bytes(self.as_raw(), bytes as i64) };
    }

    /// Marks the inode dirty: `FileSystem::write_inode` will be called for it.
    pub fn mark_inode_dirty(&self) {
        // SAFETY: By the type invariant the inode is valid.
        unsafe { bindings::mark_inode_dirty(self.as_raw()) };
        if !cfg!(mutant = "kfs-size-uncounted") {
            F::inode_changed(&self.data());
        }
    }

    /// Adds a link and marks the inode dirty. The lock of the directory that gets the link has to
    /// be held, or the inode is still new.
    pub fn inc_link_count(&self) {
        // SAFETY: By the type invariant the inode is valid; the count is only ever wrong, not
        // unsound, without a lock.
        unsafe { bindings::inode_inc_link_count(self.as_raw()) };
    }

    /// Removes a link and marks the inode dirty.
    ///
    /// When there is none (a corrupt filesystem) nothing changes.
    pub fn dec_link_count(&self) {
        if self.nlink() == 0 {
            return;
        }
        // SAFETY: By the type invariant the inode is valid, and the count is not zero.
        unsafe { bindings::inode_dec_link_count(self.as_raw()) };
    }

    /// Sets the number of links, which is not 0 before or after, and marks the inode dirty. The lock of the
    /// directory that gets or loses the link has to be held.
    pub fn set_link_count(&self, links: u32) {
        if self.nlink() == 0 || links == 0 {
            return;
        }
        // SAFETY: By the type invariant the inode is valid, and neither count is 0; it is only ever
        // wrong, not unsound, without a lock.
        unsafe { bindings::set_nlink(self.as_raw(), links) };
        self.mark_inode_dirty();
    }

    /// Whether changes of the inode have to be on the device before the operation returns
    /// (`O_SYNC`-like mount option or attribute; for a directory also `dirsync`).
    pub fn needs_sync(&self) -> bool {
        // SAFETY: By the type invariant the inode is valid.
        unsafe { bindings::inode_needs_sync(self.as_raw()) != 0 }
    }

    /// Marks a buffer dirty that belongs to the inode's block map or directory: an fsync of this
    /// inode will write it. May sleep.
    pub fn mark_buffer_dirty(&self, bh: &BufferHead) {
        bh.mark_dirty_by(|bh| {
            // SAFETY: By the invariants of both types they are valid; the list in the inode is
            // emptied before the inode is freed.
            unsafe { bindings::mmb_mark_buffer_dirty(bh, self.metadata_bhs()) }
        });
    }

    /// Writes the buffers of [`Inode::mark_buffer_dirty`] to the device and waits for them. May
    /// sleep.
    pub fn sync_buffers(&self) -> Result {
        // The function takes them off the list before it writes them: another one would find none, and return before they
        // are on the device.
        let _one = (!cfg!(mutant = "kfs-buffers-by-two")).then(|| self.in_buffer().writing());
        // SAFETY: By the type invariant the list is initialised, and valid as long as the inode.
        kernel::error::to_result(unsafe { bindings::mmb_sync(self.metadata_bhs()) })
    }

    /// Writes all dirty pages of the file back, and waits for writeback. May sleep.
    pub fn write_and_wait(&self) -> Result {
        self.page_cache().write_and_wait(&(0..i64::MAX))
    }

    /// Whether both are the same inode.
    pub fn is(&self, other: &Self) -> bool {
        ptr::eq(self, other)
    }
}
