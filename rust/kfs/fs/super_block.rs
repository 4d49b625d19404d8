// SPDX-License-Identifier: GPL-2.0

//! Super blocks.
//!
//! A super block that is being filled is a [`NewSuperBlock`]; it becomes a [`SuperBlock`], whose
//! data may be used, once `s_fs_info` is set.
//!
//! C headers: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h),
//! [`include/linux/statfs.h`](srctree/include/linux/statfs.h)

pub mod data;
pub(crate) mod operations;
pub mod write;

use crate::bindings;
use crate::block::bdev::BlockDevice;
use crate::block::buffer_head::unread::UnreadBuffer;
use crate::block::buffer_head::BufferHead;
use crate::block::plug::plugged;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::file_system_type::FileSystemType;
use crate::fs::super_block::data::{Info, SuperBox};
use crate::kobject::Directory;
use crate::sync::once::{read_once, write_once};
use crate::workqueue::{OwnedWorkqueue, Workqueue};
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::{self, NonNull};
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sync::SetOnce;
use kernel::types::Opaque;

/// A mounted super block of the filesystem type `F`.
///
/// # Invariants
///
/// The type of the super block was registered by a
/// [`Registration`](crate::fs::registration::Registration) of `F`, and `s_fs_info` owns the
/// `Pin<KBox<Info<F>>>` of the box that `FileSystem::fill_super` returned.
#[repr(transparent)]
pub struct SuperBlock<F: FileSystemData>(Opaque<bindings::super_block>, PhantomData<F>);

// SAFETY: The methods only use fields that are constant while mounted, or functions that lock for
// themselves.
unsafe impl<F: FileSystemData> Send for SuperBlock<F> {}
// SAFETY: As above.
unsafe impl<F: FileSystemData> Sync for SuperBlock<F> {}

impl<F: FileSystemData> SuperBlock<F> {
    /// # Safety
    ///
    /// `sb` must satisfy the type invariants and stay valid for `'a`.
    pub(crate) unsafe fn from_raw<'a>(sb: *mut bindings::super_block) -> &'a Self {
        // SAFETY: By the requirement; the type is transparent.
        unsafe { &*sb.cast() }
    }

    /// The C super block.
    pub(crate) fn as_raw(&self) -> *mut bindings::super_block {
        self.0.get()
    }

    /// The data of the mount.
    pub fn data(&self) -> &F::SuperData {
        &self.info().data
    }

    #[inline]
    fn info(&self) -> &Info<F> {
        // SAFETY: By the type invariant `s_fs_info` owns such a box, and it is not replaced.
        unsafe { &*(*self.as_raw()).s_fs_info.cast::<Info<F>>() }
    }

    /// The data of the type.
    #[inline]
    pub fn type_data(&self) -> &F::TypeData {
        // SAFETY: By the type invariant.
        unsafe { FileSystemType::<F>::of(self.as_raw()) }.data()
    }

    /// The workqueue for what direct I/O on the files of the mount leaves to a worker, when the last
    /// bio of a request has ended.
    #[inline]
    pub fn dio_done_wq(&self) -> &Workqueue {
        self.info().dio_done_wq.get()
    }

    /// The workqueue for the part of that which others wait for, also in work that is on
    /// [`SuperBlock::dio_done_wq`]. For requests on the files of the mount. `None` until
    /// [`SuperBlock::make_dio_link_wq`].
    #[inline]
    pub fn dio_link_wq(&self) -> Option<&Workqueue> {
        self.info().dio_link_wq.as_ref().map(OwnedWorkqueue::get)
    }

    /// Makes [`SuperBlock::dio_link_wq`], for the rest of the mount, if it is not there yet. May sleep. `ENOMEM`.
    pub fn make_dio_link_wq(&self) -> Result {
        self.make_wq(|info| &info.dio_link_wq, c"dio-link")
    }

    /// The workqueue for what submitters of direct I/O leave to a worker, as they would have to sleep for metadata: it waits
    /// for locks that submitters hold while they wait for work on the other two. For requests on the files of the mount.
    /// `None` until [`SuperBlock::make_dio_punt_wq`].
    #[inline]
    pub fn dio_punt_wq(&self) -> Option<&Workqueue> {
        self.info().dio_punt_wq.as_ref().map(OwnedWorkqueue::get)
    }

    /// Makes [`SuperBlock::dio_punt_wq`], as [`SuperBlock::make_dio_link_wq`].
    pub fn make_dio_punt_wq(&self) -> Result {
        self.make_wq(|info| &info.dio_punt_wq, c"dio-punt")
    }

    fn make_wq(
        &self,
        slot: impl for<'i> FnOnce(&'i Info<F>) -> &'i SetOnce<OwnedWorkqueue>,
        what: &CStr,
    ) -> Result {
        let slot = slot(self.info());
        if slot.as_ref().is_none() {
            // SAFETY: It is dropped with the data of the mount: by `put_super`, when no inode is left. Only
            // a super block lends it, so that work is queued for the requests of its inodes alone, and
            // `put_super` is not work. Till then the super block holds the module. If another one was made
            // meanwhile, it is dropped here, and nobody has seen it.
            slot.populate(unsafe { OwnedWorkqueue::new(what, self.id()) }?);
        }
        Ok(())
    }

    /// Has the mount own the directory in sysfs that `make` makes, for the rest of the mount. `EBUSY` if it
    /// has one.
    pub(crate) fn set_sysfs(&self, make: impl FnOnce() -> Result<Directory>) -> Result {
        let slot = &self.info().sysfs;
        if slot.as_ref().is_some() || !slot.populate(make()?) {
            return Err(EBUSY);
        }
        Ok(())
    }

    /// The name of the device, as the kernel log shows it.
    pub fn id(&self) -> &CStr {
        // SAFETY: `s_id` is a terminated array that does not change while mounted.
        unsafe { CStr::from_char_ptr((&raw const (*self.as_raw()).s_id).cast()) }
    }

    /// Whether the mount is read-only at the moment.
    pub fn rdonly(&self) -> bool {
        // SAFETY: The flags may change at any time; it is read once.
        let flags = unsafe { read_once(&raw const (*self.as_raw()).s_flags) };
        flags & bindings::SB_RDONLY != 0
    }

    /// Whether the mount is frozen: what is on the device must not change. Constant while `s_umount`
    /// is held, as for `FileSystem::sync_fs`; else it may change at any time.
    pub fn is_frozen(&self) -> bool {
        // SAFETY: The super block is valid; it is read once.
        let frozen = unsafe { read_once(&raw const (*self.as_raw()).s_writers.frozen) };
        i64::from(frozen) == i64::from(bindings::SB_FREEZE_COMPLETE)
    }

    /// Whether the mount is frozen, or `FileSystem::freeze_fs` is about to be called, or under way: who asks under a lock that this
    /// takes, too, is told of what it has done, or comes before it. May change at any time.
    pub fn is_freezing(&self) -> bool {
        // SAFETY: The super block is valid; it is read once.
        let frozen = unsafe { read_once(&raw const (*self.as_raw()).s_writers.frozen) };
        i64::from(frozen) >= i64::from(bindings::SB_FREEZE_FS)
    }

    /// Whether there are inodes that are unlinked but open: in a snapshot of the device they would
    /// never be freed. May change at any time, unless the mount is frozen.
    pub fn has_unlinked_inodes(&self) -> bool {
        // SAFETY: The super block is valid. The count may change at any time; it is read once.
        unsafe { read_once(&raw const (*self.as_raw()).s_remove_count.counter) != 0 }
    }

    /// Block size in bytes.
    pub fn blocksize(&self) -> usize {
        // SAFETY: Constant while mounted.
        unsafe { (*self.as_raw()).s_blocksize }
    }

    /// Logarithm to base two of the block size in bytes.
    pub fn blocksize_bits(&self) -> u8 {
        // SAFETY: Constant while mounted.
        unsafe { (*self.as_raw()).s_blocksize_bits }
    }

    /// Size of the device in bytes.
    pub fn device_size(&self) -> u64 {
        device_size(self.as_raw())
    }

    /// Returns the buffer of `block` (in units of the block size) with its content, read from the
    /// device if it is not cached.
    ///
    /// May sleep. `EIO` when the device fails or has no such block.
    pub fn bread(&self, block: u64) -> Result<BufferHead> {
        bread(self.as_raw(), block)
    }

    /// [`SuperBlock::bread`] of a block with those that are likely to be wanted next: if it has to be read from
    /// the device, the others of `batch` that are not cached begin to be read, too.
    ///
    /// May sleep. `EIO` when `block` cannot be read, which is tried twice then. Nobody is told if another one cannot be read, or has no
    /// memory without waiting: it is read again when it is wanted. Blocks beyond the end of the device are none.
    pub fn bread_batch(&self, block: u64, batch: Range<u64>) -> Result<BufferHead> {
        let buffer = getblk(self.as_raw(), block)?;
        if buffer.is_uptodate() {
            return buffer.fill();
        }
        let mut others = batch.filter(|&other| other != block).peekable();
        if others.peek().is_some() {
            // All are submitted at once, before one is waited for.
            plugged(true, || {
                buffer.begin_read(0);
                for block in others {
                    if self.bread_ahead(block).is_err() {
                        break;
                    }
                }
            });
        }
        buffer.fill()
    }

    /// Begins to read `block` from the device ahead of any need, if it is not cached. Nobody is told if it cannot be
    /// read: it is read again when it is wanted.
    ///
    /// The block layer may sleep. `ENOMEM` when there is no memory for its buffer without waiting.
    pub fn bread_ahead(&self, block: u64) -> Result {
        bread_ahead(self.as_raw(), block)
    }

    /// Returns the buffer of `block` if it is cached and uptodate. May sleep: for one whose page is being migrated.
    pub fn find_get_block(&self, block: u64) -> Option<BufferHead> {
        self.find_unread_block(block)?.if_uptodate()
    }

    /// The same without sleeping: it may be cached though none is found.
    pub fn find_get_block_nowait(&self, block: u64) -> Option<BufferHead> {
        // SAFETY: By the type invariant the super block is mounted, so that its device is open.
        unsafe { UnreadBuffer::from_owned(bindings::sb_find_get_block(self.as_raw(), block)) }?
            .if_uptodate()
    }

    /// The buffer of `block` if it is cached with content, also such as could not be written. May sleep, also for the end of a
    /// read or a write of it.
    pub fn find_any_block(&self, block: u64) -> Option<BufferHead> {
        self.find_unread_block(block)?.if_filled()
    }

    /// The buffer of `block` if it is cached, also one that is being read, could not be, or never was. May sleep.
    pub fn find_unread_block(&self, block: u64) -> Option<UnreadBuffer> {
        // SAFETY: By the type invariant the super block is mounted, so that its device is open.
        unsafe {
            UnreadBuffer::from_owned(bindings::sb_find_get_block_nonatomic(self.as_raw(), block))
        }
    }

    /// Whether the buffer cache has to write, or is writing, any of `count` blocks from `block` on: if not,
    /// [`SuperBlock::clean_bdev_aliases`] has nothing to do. Does not sleep.
    pub fn has_unwritten_buffers(&self, block: u64, count: u64) -> bool {
        // SAFETY: By the type invariant the super block is mounted, so that its device is open.
        unsafe { bindings::has_unwritten_buffers((*self.as_raw()).s_bdev, block, count) }
    }

    /// Forgets what the buffer cache has of `count` blocks from `block` on: it is not written back,
    /// and fsync(2) of the inode that had it does not look for it. For blocks that are about to be
    /// freed. May sleep.
    pub fn forget_blocks(&self, block: u64, count: u64) {
        for block in block..block.saturating_add(count) {
            if let Some(buffer) = self.find_unread_block(block) {
                buffer.forget();
            }
        }
    }

    /// Returns the buffer of `block` without reading it.
    ///
    /// May sleep, also for memory. `EIO` when the device has no such block.
    pub fn getblk(&self, block: u64) -> Result<UnreadBuffer> {
        getblk(self.as_raw(), block)
    }

    /// Cleans the buffers that the buffer cache has of `count` blocks from `block` on, and waits
    /// for those under writeback. May sleep.
    ///
    /// Called for blocks that become file data: otherwise an old dirty buffer of theirs could be
    /// written over the new data.
    pub fn clean_bdev_aliases(&self, block: u64, count: u64) {
        // SAFETY: By the type invariant the super block is mounted, so that its device is open.
        unsafe { bindings::clean_bdev_aliases((*self.as_raw()).s_bdev, block, count) };
    }

    /// Records `error`: `syncfs(2)` fails with it once for each open file of the mount.
    pub fn set_wb_err(&self, error: Error) {
        // SAFETY: The super block is valid; the function takes a negative error number.
        unsafe { bindings::errseq_set(&raw mut (*self.as_raw()).s_wb_err, error.to_errno()) };
    }
}

impl BlockDevice {
    /// The device that a filesystem is mounted from.
    #[inline]
    pub fn of<F: FileSystemData>(sb: &SuperBlock<F>) -> &BlockDevice {
        // SAFETY: `s_bdev` of a filesystem on a block device is set before the super block is
        // filled, and the device stays open until after the last use of the super block.
        unsafe { BlockDevice::from_raw((*sb.as_raw()).s_bdev) }
    }
}

/// A super block of type `F` that is being filled.
///
/// It is on the lists of all super blocks, and of those of its type, already: who goes through them
/// looks at its flags and counts at any time.
///
/// # Invariants
///
/// The pointer is a super block that is being filled during `'a`, by the owner of the value alone, and
/// its device is open.
pub struct NewSuperBlock<'a, F: FileSystemData> {
    sb: NonNull<bindings::super_block>,
    _p: PhantomData<&'a mut SuperBlock<F>>,
}

impl<F: FileSystemData> NewSuperBlock<'_, F> {
    /// # Safety
    ///
    /// `sb` must satisfy the type invariants for as long as the value lives.
    pub(super) unsafe fn from_raw(sb: NonNull<bindings::super_block>) -> Self {
        // INVARIANT: By the requirement.
        NewSuperBlock {
            sb,
            _p: PhantomData,
        }
    }

    fn as_raw(&self) -> *mut bindings::super_block {
        self.sb.as_ptr()
    }

    /// The device, which is open.
    pub fn device(&self) -> &BlockDevice {
        // SAFETY: The device of a super block that is being filled is open, and stays so until
        // after the last use of the super block.
        unsafe { BlockDevice::from_raw((*self.as_raw()).s_bdev) }
    }

    /// The name of the device, as the kernel log shows it.
    pub fn id(&self) -> &CStr {
        // SAFETY: By the type invariant it is valid; `s_id` is a terminated array.
        unsafe { CStr::from_char_ptr((&raw const (*self.as_raw()).s_id).cast()) }
    }

    /// Size of the device in bytes.
    pub fn device_size(&self) -> u64 {
        device_size(self.as_raw())
    }

    /// Whether a read-only mount is asked for.
    pub fn rdonly(&self) -> bool {
        // SAFETY: By the type invariant it is valid, and nobody else changes it.
        unsafe { (*self.as_raw()).s_flags & bindings::SB_RDONLY != 0 }
    }

    /// Sets the block size to the smallest that the device can do, but at least `size` bytes, and
    /// returns it. `EINVAL` when there is none.
    pub fn min_blocksize(&mut self, size: u32) -> Result<u32> {
        // SAFETY: By the type invariant it is valid, and its device is open.
        match unsafe { bindings::sb_min_blocksize(self.as_raw(), size as c_int) } {
            0 => Err(EINVAL),
            size => Ok(size as u32),
        }
    }

    /// Whether the kernel has block devices and page caches with blocks of `size` bytes: those larger than a page, up to
    /// 64 KiB, are in one piece of memory only if it was built for that.
    pub fn has_blocksize(&self, size: u32) -> bool {
        // `BLK_MAX_BLOCK_SIZE`, which bindgen cannot tell where it is the size of a page.
        const MAX: usize = 64 << 10;
        let max = match cfg!(CONFIG_TRANSPARENT_HUGEPAGE) {
            true => MAX,
            false => PAGE_SIZE,
        };
        size as usize <= max
    }

    /// Sets the block size to `size` bytes. `EINVAL` when the device cannot do that.
    ///
    /// Buffers read before must be gone: the buffer cache is emptied.
    pub fn set_blocksize(&mut self, size: u32) -> Result {
        // SAFETY: By the type invariant it is valid, and its device is open.
        match unsafe { bindings::sb_set_blocksize(self.as_raw(), size as c_int) } {
            0 => Err(EINVAL),
            _ => Ok(()),
        }
    }

    /// Reads the block with the number `block`, in units of the block size set last.
    pub fn bread(&mut self, block: u64) -> Result<BufferHead> {
        bread(self.as_raw(), block)
    }

    /// Begins to read `blocks`, before [`NewSuperBlock::bread`] of each: they are submitted together. May sleep. Nobody is told if one cannot
    /// be read, or has no memory without waiting, with all behind it: it is read when it is wanted.
    pub fn bread_ahead(&mut self, blocks: impl Iterator<Item = u64>) {
        plugged(true, || {
            for block in blocks {
                if bread_ahead(self.as_raw(), block).is_err() {
                    break;
                }
            }
        });
    }

    /// Makes the mount read-only, although it was not asked for.
    pub fn set_rdonly(&mut self) {
        // SAFETY: By the type invariant it is valid, and nobody else changes it. Who looks whether it
        // is born does so at any time; they are written once.
        unsafe {
            let flags = &raw mut (*self.as_raw()).s_flags;
            write_once(flags, *flags | bindings::SB_RDONLY);
        }
    }

    /// Has writeback charged to the cgroup of who wrote to a file, rather than to the root one. Bios
    /// of file data have to be made by functions of the kernel that see to that (`wbc_init_bio()`).
    pub fn set_cgroup_writeback(&mut self) {
        // SAFETY: By the type invariant it is valid, and nobody else changes it.
        unsafe { (*self.as_raw()).s_iflags |= bindings::SB_I_CGROUPWB };
    }

    /// Sets the UUID, and the name of the directory in `/sys/fs`, which is that of the device, for
    /// `FS_IOC_GETFSUUID` and `FS_IOC_GETFSSYSFSPATH`.
    pub fn set_identity(&mut self, uuid: &[u8; 16]) {
        // SAFETY: By the type invariant it is valid, and its device is open.
        unsafe {
            bindings::super_set_uuid(self.as_raw(), uuid.as_ptr(), uuid.len() as c_uint);
            bindings::super_set_sysfs_name_bdev(self.as_raw());
        }
    }

    /// Sets the magic number that `statfs(2)` reports.
    pub fn set_magic(&mut self, magic: u32) {
        // SAFETY: By the type invariant it is valid, and nobody else changes it.
        unsafe { (*self.as_raw()).s_magic = magic as c_ulong };
    }

    /// Sets the table for handles of inodes, which has to be one for `F`.
    pub(crate) fn set_export_op(&mut self, ops: &'static bindings::export_operations) {
        // SAFETY: By the type invariant it is valid, and nobody else changes it.
        unsafe { (*self.as_raw()).s_export_op = ptr::from_ref(ops).cast() };
    }

    /// Sets the handlers of extended attributes, which have to be ones for `F`; a null pointer ends the
    /// list.
    pub(crate) fn set_xattr(&mut self, handlers: &'static [*const bindings::xattr_handler]) {
        // SAFETY: By the type invariant it is valid, and nobody else changes it.
        unsafe { (*self.as_raw()).s_xattr = handlers.as_ptr().cast() };
    }

    /// Sets the size of the largest possible file in bytes, or what the VFS has for that, if it is less: so that the folio with the last byte
    /// ends where a position can be.
    pub fn set_maxbytes(&mut self, maxbytes: u64) {
        // No folio is larger.
        const FOLIO: i64 = 1 << 30;
        let most = bindings::MAX_LFS_FILESIZE - FOLIO;
        let maxbytes = i64::try_from(maxbytes).map_or(most, |bytes| bytes.min(most));
        // SAFETY: By the type invariant it is valid, and nobody else changes it.
        unsafe { (*self.as_raw()).s_maxbytes = maxbytes };
    }

    /// Sets the largest number of links to an inode.
    pub fn set_max_links(&mut self, links: u32) {
        // SAFETY: By the type invariant it is valid, and nobody else changes it.
        unsafe { (*self.as_raw()).s_max_links = links };
    }

    /// Sets the first and the last time, in seconds since 1970, that can be stored, and the
    /// granularity of times in nanoseconds.
    pub fn set_time_range(&mut self, min: i64, max: i64, granularity: u32) {
        let sb = self.as_raw();
        // SAFETY: By the type invariant it is valid, and nobody else changes it.
        unsafe {
            (*sb).s_time_min = min;
            (*sb).s_time_max = max;
            (*sb).s_time_gran = granularity;
        }
    }
}

impl<F: FileSystemData> SuperBox<F> {
    /// Makes the data of the mount `sb` with `init`. May sleep. `ENOMEM`, or the error of `init`.
    pub fn new(sb: &NewSuperBlock<'_, F>, init: impl PinInit<F::SuperData, Error>) -> Result<Self> {
        let info = try_pin_init!(Info {
            sysfs: SetOnce::new(),
            // SAFETY: It is dropped with the data of the mount, as those that `SuperBlock::make_wq` makes, and only a
            // super block lends it.
            dio_done_wq: unsafe { OwnedWorkqueue::new(c"dio", sb.id()) }?,
            dio_punt_wq: SetOnce::new(),
            dio_link_wq: SetOnce::new(),
            data <- init,
        });
        KBox::try_pin_init(info, GFP_KERNEL).map(SuperBox::from_inner)
    }
}

fn device_size(sb: *mut bindings::super_block) -> u64 {
    // SAFETY: Callers pass a super block that is mounted or being filled: its device is open.
    unsafe { bindings::bdev_nr_bytes((*sb).s_bdev) as u64 }
}

fn getblk(sb: *mut bindings::super_block, block: u64) -> Result<UnreadBuffer> {
    // SAFETY: Callers pass a super block that is mounted or being filled: its device is open.
    unsafe { UnreadBuffer::from_owned(bindings::sb_getblk(sb, block)) }.ok_or(EIO)
}

fn bread(sb: *mut bindings::super_block, block: u64) -> Result<BufferHead> {
    getblk(sb, block)?.fill()
}

fn bread_ahead(sb: *mut bindings::super_block, block: u64) -> Result {
    // SAFETY: Callers pass a super block that is mounted or being filled: its device is open.
    let ahead = unsafe { UnreadBuffer::from_owned(bindings::sb_getblk_nowait(sb, block)) };
    ahead.ok_or(ENOMEM)?.readahead();
    Ok(())
}

/// The answer to `statfs(2)`.
///
/// # Invariants
///
/// The pointer is valid during `'a`, and nobody else uses what it points to.
pub struct Statfs<'a>(NonNull<bindings::kstatfs>, PhantomData<&'a ()>);

impl Statfs<'_> {
    /// # Safety
    ///
    /// `statfs` must satisfy the type invariants for as long as the value lives.
    pub(super) unsafe fn from_raw(statfs: NonNull<bindings::kstatfs>) -> Self {
        // INVARIANT: By the requirement.
        Statfs(statfs, PhantomData)
    }

    /// Sets the magic number, the size of a block in bytes and the longest name in bytes.
    pub fn set_type(&mut self, magic: u64, blocksize: u64, namelen: u64) {
        let to = self.0.as_ptr();
        // SAFETY: By the type invariants.
        unsafe {
            (*to).f_type = magic as c_long;
            (*to).f_bsize = blocksize as c_long;
            (*to).f_namelen = namelen as c_long;
        }
    }

    /// Sets the number of all blocks, of free ones, and of those that any user may have.
    pub fn set_blocks(&mut self, all: u64, free: u64, available: u64) {
        let to = self.0.as_ptr();
        // SAFETY: By the type invariants.
        unsafe {
            (*to).f_blocks = all;
            (*to).f_bfree = free;
            (*to).f_bavail = available;
        }
    }

    /// Sets the number of all inodes and of free ones.
    pub fn set_files(&mut self, all: u64, free: u64) {
        let to = self.0.as_ptr();
        // SAFETY: By the type invariants.
        unsafe {
            (*to).f_files = all;
            (*to).f_ffree = free;
        }
    }

    /// Sets the identity of the filesystem.
    pub fn set_fsid(&mut self, fsid: u64) {
        // SAFETY: By the type invariants.
        unsafe { (*self.0.as_ptr()).f_fsid.val = [fsid as i32, (fsid >> 32) as i32] };
    }
}
