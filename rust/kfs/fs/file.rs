// SPDX-License-Identifier: GPL-2.0

//! `struct file_operations`.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod dir_context;

pub use crate::fs::file::dir_context::DirContext;

use crate::bindings;
use crate::block::bdev::BlockDevice;
use crate::block::bio;
use crate::compat::EOPNOTSUPP;
use crate::fs::address_space::AddressSpaceOperations;
use crate::fs::file::dir_context::{is_narrow, place_of};
use crate::fs::file_system::FileSystem;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked, Shared};
use crate::fs::inode::Inode;
use crate::fs::ioctl::{self, Ioctl};
use crate::fs::kiocb::{self, CallDest, CallIter, CallSource, Io, Kiocb, KiocbOwner};
use crate::fs::llseek::{llseek, Seek};
use crate::fs::mmap;
use crate::fs::shutdown::Shutdown;
use crate::iov::{self, IovIterDest, IovIterSource};
use crate::sync::once::read_once;
use core::marker::PhantomData;
use core::ops::Range;
use kernel::error::{from_err_ptr, to_result};
use kernel::prelude::*;
use kernel::types::Opaque;

/// The longest path, with the zero at its end.
const PATH_MAX: usize = 4096;

/// An open file of the filesystem type `F`.
///
/// # Invariants
///
/// The file is open, and its inode is an [`Inode`] of `F`.
#[repr(transparent)]
pub struct File<F: FileSystemData>(Opaque<bindings::file>, PhantomData<F>);

impl<F: FileSystemData> File<F> {
    /// # Safety
    ///
    /// `file` must satisfy the type invariants for `'a`.
    pub(crate) unsafe fn from_raw<'a>(file: *mut bindings::file) -> &'a Self {
        // SAFETY: By the requirement; the type is transparent.
        unsafe { &*file.cast() }
    }

    /// The inode of the file.
    pub fn inode(&self) -> &Inode<F> {
        // SAFETY: By the type invariants the file holds its inode, which is never another one.
        unsafe { Inode::from_raw((*self.0.get()).f_inode) }
    }

    /// Where the mount is through which the file was opened, as the current task sees it: the path is in
    /// the first bytes of `buf`, and zeroes follow. `false` if there is no room for it and one zero. Does
    /// not sleep.
    #[must_use]
    pub fn mount_point(&self, buf: &mut [u8]) -> bool {
        let room = buf.len().min(PATH_MAX);
        // SAFETY: By the type invariants the file is open, so that its mount is there, and holds its
        // root. The function writes to `room` bytes of `buf` at most.
        let found = unsafe {
            let mnt = (*self.0.get()).__bindgen_anon_1.f_path.mnt;
            let path = bindings::path {
                mnt,
                dentry: (*mnt).mnt_root,
            };
            from_err_ptr(bindings::d_path(
                &raw const path,
                buf.as_mut_ptr().cast(),
                room as c_int,
            ))
        };
        let Ok(found) = found else {
            return false;
        };
        // It is at the end of the room, with a zero.
        let start = (found as usize).wrapping_sub(buf.as_ptr() as usize);
        let end = room.saturating_sub(1);
        if start > end {
            return false;
        }
        buf.copy_within(start..end, 0);
        buf[end - start..].fill(0);
        true
    }

    /// Does what has to be done to a file that is about to be modified: takes away its set-id bits
    /// and updates its times. May sleep.
    ///
    /// `EINVAL` if it is another inode that is locked.
    pub fn modified(&self, locked: &InodeLocked<F, Exclusive>) -> Result {
        if !locked.is(self.inode()) {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariants, and the lock of the inode is held.
        to_result(unsafe { bindings::file_modified(self.0.get()) })?;
        locked.inc_iversion();
        Ok(())
    }

    /// If what is done to the file is to be on the device at once (`O_DSYNC`, `O_SYNC`, a mount
    /// option or an attribute of the file), sees to that for the bytes in `range`. May sleep.
    pub fn sync_if_asked(&self, range: Range<u64>) -> Result {
        // SAFETY: The file is valid. Flags may change at any time (fcntl); it is read once.
        let flags = unsafe { read_once(&raw const (*self.0.get()).f_flags) };
        let is_sync = self.inode().needs_sync();
        if !is_sync && flags & bindings::O_DSYNC == 0 {
            return Ok(());
        }
        // All of `O_SYNC`, which has the bit of `O_DSYNC`, or no more than what finds the data.
        let datasync = !is_sync && flags & bindings::O_SYNC != bindings::O_SYNC;
        // SAFETY: The file is valid. The end is inclusive.
        to_result(unsafe {
            bindings::vfs_fsync_range(
                self.0.get(),
                range.start as i64,
                range.end.saturating_sub(1) as i64,
                datasync.into(),
            )
        })
    }
}

/// The operations on an open regular file. They may sleep, and no inode lock is held. Those that have a
/// default body do not exist for the VFS if they are not implemented.
#[vtable]
pub trait FileOperations<F: KiocbOwner>: Fsync<F> + Seek<F> {
    /// Whether reads and writes heed [`Iocb::is_nowait`](crate::fs::kiocb::Iocb::is_nowait). If
    /// not, the VFS refuses such requests.
    const NOWAIT: bool = false;

    /// Whether reads through the page cache do, too, by [`filemap_read`], and can be called again when a
    /// page has been read (`IOCB_WAITQ`). If not, io_uring has a thread wait for the page.
    ///
    /// [`filemap_read`]: crate::fs::generic_io::filemap_read
    const BUFFER_RASYNC: bool = false;

    /// Whether writes through the page cache do. If not, io_uring does not try.
    const BUFFER_WASYNC: bool = false;

    /// Whether direct writes that overwrite are done side by side. Otherwise io_uring makes them one
    /// after the other.
    const DIO_PARALLEL_WRITE: bool = false;

    /// The operations on its pages, for mappings: they allocate blocks by
    /// [`get_block`](AddressSpaceOperations::get_block) when a page is first stored to.
    type Pages: AddressSpaceOperations<F>;

    /// Reads from the file.
    fn read_iter<'a>(iocb: Kiocb<'a, F>, to: CallDest<'a>) -> Result<Io<'a, F>>;

    /// Writes to the file.
    fn write_iter<'a>(_iocb: Kiocb<'a, F>, _from: CallSource<'a>) -> Result<Io<'a, F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Is told that the file was opened.
    fn opened(_file: &File<F>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Is told that the last file that was open for writing is being closed. May sleep.
    ///
    /// Another one may be opened meanwhile; and when several are closed at once, it may be that none is
    /// told of as the last.
    fn last_writer_closed(_inode: &Inode<F>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a hole of the bytes in `range`, which is not empty: they read as zeroes, and blocks
    /// that are in it as a whole are freed. The size of the file does not change.
    ///
    /// This is `fallocate(2)` with `FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE`. The file may be written
    /// to, is none that is swapped to, can be changed in the middle, and its volume is not frozen
    /// meanwhile; the range ends within the largest file there can be.
    fn punch_hole(_file: &File<F>, _range: Range<u64>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Allocates blocks for the bytes in `range`, which is not empty, or zeroes them, as `how` says.
    ///
    /// This is `fallocate(2)` with `FALLOC_FL_ZERO_RANGE`, `FALLOC_FL_KEEP_SIZE`, both or none. All other
    /// modes are refused with `EOPNOTSUPP`. The same holds as for [`FileOperations::punch_hole`], but
    /// that a file that is not to be zeroed may be one that can only grow.
    fn allocate(_file: &File<F>, _range: Range<u64>, _how: Allocate) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

const fn flag(is_set: bool, flag: bindings::fop_flags_t) -> bindings::fop_flags_t {
    match is_set {
        true => flag,
        false => 0,
    }
}

/// How `fallocate(2)` allocates.
#[derive(Clone, Copy)]
pub struct Allocate {
    /// All of the range reads as zeroes afterwards, not only what was a hole.
    pub zero: bool,
    /// i_size stays. Otherwise it moves to the end of the range, if that is beyond.
    pub keep_size: bool,
}

/// What `fsync(2)` writes of an inode beside its data, its block map and itself.
///
/// Without these there is no `fsync(2)`: `EINVAL`, as for most filesystems that are never written to.
#[vtable]
pub trait Fsync<F: FileSystemData> {
    /// What [`Fsync::fsync_end`] is to know of when the fsync began.
    type Mark;

    /// An fsync begins. Does not sleep.
    fn fsync_begin(_inode: &Inode<F>) -> Self::Mark {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// It has succeeded: all that it was about is on stable storage. Does not sleep.
    fn fsync_end(_inode: &Inode<F>, _mark: Self::Mark) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Writes what is needed to find the inode after a crash, and waits for it. Called after the
    /// inode itself has been written, and before the cache of the device is flushed; no lock of an
    /// inode is held. May sleep.
    fn fsync_names(_inode: &Inode<F>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// The operations on an open directory.
pub trait DirectoryOperations<F: FileSystemData>: Fsync<F> {
    /// Emits the entries from the position of `context` on, until it takes no more.
    fn iterate_shared(dir: &InodeLocked<F, Shared>, context: &mut DirContext<'_>) -> Result;

    /// The position behind all entries; for `SEEK_END`. `narrow` is [`DirContext::is_narrow`]. No lock of
    /// the inode is held.
    fn end(dir: &Inode<F>, narrow: bool) -> u64;
}

/// Stands for regular files in the type of a [`FileOps`].
pub enum Regular {}

/// Stands for directories in the type of a [`FileOps`].
pub enum Directory {}

/// A file operations table for inodes of `F` of the type `K`: [`Regular`] or [`Directory`].
pub struct FileOps<F: FileSystemData, K>(&'static bindings::file_operations, PhantomData<(F, K)>);

impl<F: FileSystemData, K> Clone for FileOps<F, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: FileSystemData, K> Copy for FileOps<F, K> {}

impl<F: FileSystemData> FileOps<F, Regular> {
    /// The table for regular files.
    pub const fn regular<T: FileOperations<F>>() -> Self
    where
        F: FileSystem + KiocbOwner + Ioctl,
    {
        Self(&RegularTable::<F, T>::OPS, PhantomData)
    }
}

impl<F: FileSystemData> FileOps<F, Directory> {
    /// The table for directories.
    pub const fn directory<T: DirectoryOperations<F>>() -> Self
    where
        F: FileSystem + Ioctl,
    {
        Self(&DirectoryTable::<F, T>::OPS, PhantomData)
    }
}

impl<F: FileSystemData, K> FileOps<F, K> {
    pub(crate) fn as_raw(&self) -> *const bindings::file_operations {
        self.0
    }
}

/// # Safety
///
/// Called by the VFS as `fsync` of a file of `F`.
unsafe extern "C" fn fsync<F: FileSystem + Shutdown, T: Fsync<F>>(
    file: *mut bindings::file,
    start: bindings::loff_t,
    end: bindings::loff_t,
    datasync: c_int,
) -> c_int {
    // SAFETY: By the requirement the file is open during the call.
    let inode = unsafe { File::<F>::from_raw(file) }.inode();
    if let Err(error) = F::check_up(inode.sb()) {
        return error.to_errno();
    }
    let mark = T::fsync_begin(inode);
    // SAFETY: By the requirement. Nobody is told of an error twice: the function takes those of
    // writeback that this file has not seen.
    let error = unsafe { bindings::simple_fsync_noflush(file, start, end, datasync) };
    if error != 0 {
        return error;
    }
    let flush = || match cfg!(mutant = "kfs-fsync-no-flush") {
        true => Ok(()),
        false => BlockDevice::of(inode.sb()).issue_flush(),
    };
    let names = || T::fsync_names(inode);
    match inode
        .sync_written()
        .and_then(|()| names())
        .and_then(|()| flush())
    {
        Ok(()) => {
            T::fsync_end(inode, mark);
            0
        }
        Err(error) => error.to_errno(),
    }
}

struct RegularTable<F, T>(PhantomData<(F, T)>);

impl<F: FileSystem + KiocbOwner + Ioctl, T: FileOperations<F>> RegularTable<F, T> {
    const OPS: bindings::file_operations = bindings::file_operations {
        llseek: Some(llseek::<F, T>),
        read_iter: Some(Self::read_iter),
        write_iter: if_has!(T::HAS_WRITE_ITER, Self::write_iter),
        unlocked_ioctl: Some(ioctl::unlocked_ioctl::<F>),
        compat_ioctl: Some(ioctl::compat_ioctl),
        open: Some(Self::open),
        release: if_has!(T::HAS_LAST_WRITER_CLOSED, Self::release),
        mmap_prepare: Some(Self::mmap_prepare),
        fsync: if_has!(T::HAS_FSYNC_NAMES, fsync::<F, T>),
        splice_read: Some(Self::splice_read),
        splice_write: if_has!(T::HAS_WRITE_ITER, bindings::iter_file_splice_write),
        setlease: Some(bindings::generic_setlease),
        iopoll: Some(Self::iopoll),
        fallocate: if_has!(T::HAS_PUNCH_HOLE, Self::fallocate),
        fop_flags: flag(T::DIO_PARALLEL_WRITE, bindings::FOP_DIO_PARALLEL_WRITE)
            | flag(T::BUFFER_RASYNC, bindings::FOP_BUFFER_RASYNC)
            | flag(T::BUFFER_WASYNC, bindings::FOP_BUFFER_WASYNC),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS as `open` of a file of `F`, which nobody else uses yet.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the requirement the inode is one of `F`.
        if let Err(error) = F::check_up(unsafe { Inode::<F>::from_raw(inode) }.sb()) {
            return error.to_errno();
        }
        if T::NOWAIT {
            // SAFETY: By the requirement the file is valid and ours.
            unsafe { (*file).f_mode |= bindings::FMODE_NOWAIT };
        }
        // SAFETY: By the requirement.
        let error = unsafe { bindings::generic_file_open(inode, file) };
        if error == 0 && T::HAS_OPENED {
            // SAFETY: By the requirement; that it is opened is all but said.
            T::opened(unsafe { File::from_raw(file) });
        }
        error
    }

    /// # Safety
    ///
    /// Called by the VFS as `release` of a file of `F`, which nobody else uses any more.
    unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the requirement both are valid, and the file counts among the writers until this
        // returns. The counter, of which there is one word, may change at any time; it is read once.
        unsafe {
            let is_writer = (*file).f_mode & bindings::FMODE_WRITE != 0;
            if is_writer && read_once(&raw const (*inode).i_writecount.counter) == 1 {
                T::last_writer_closed(Inode::from_raw(inode));
            }
        }
        0
    }

    /// # Safety
    ///
    /// Called by the VFS as `mmap_prepare` for a file of `F`.
    unsafe extern "C" fn mmap_prepare(desc: *mut bindings::vm_area_desc) -> c_int {
        // SAFETY: By the requirement the file is open during the call.
        let inode = unsafe { File::<F>::from_raw((*desc).file) }.inode();
        match F::check_up(inode.sb()) {
            // SAFETY: By the requirement. The operations are those of a file of `F`.
            Ok(()) => unsafe {
                let ret = bindings::generic_file_mmap_prepare(desc);
                if !cfg!(mutant = "kfs-mkwrite-late") {
                    (*desc).vm_ops = &mmap::Table::<F, T::Pages>::OPS;
                }
                ret
            },
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS as `fallocate` of a file of `F`.
    unsafe extern "C" fn fallocate(
        file: *mut bindings::file,
        mode: c_int,
        offset: bindings::loff_t,
        len: bindings::loff_t,
    ) -> c_long {
        const KEEP_SIZE: c_int = bindings::FALLOC_FL_KEEP_SIZE;
        const PUNCH_HOLE: c_int = bindings::FALLOC_FL_PUNCH_HOLE | KEEP_SIZE;
        const ZERO_RANGE: c_int = bindings::FALLOC_FL_ZERO_RANGE;
        // The VFS has checked that neither is negative, and that the sum fits.
        let range = offset as u64..offset as u64 + len as u64;
        // SAFETY: By the requirement the file is open during the call.
        let file = unsafe { File::from_raw(file) };
        let how = Allocate {
            zero: mode & ZERO_RANGE != 0,
            keep_size: mode & KEEP_SIZE != 0,
        };
        let result = match mode {
            PUNCH_HOLE => T::punch_hole(file, range),
            _ if mode & !(KEEP_SIZE | ZERO_RANGE) == 0 => T::allocate(file, range, how),
            _ => Err(EOPNOTSUPP),
        };
        match result {
            Ok(()) => 0,
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// Called as `iopoll` of a kiocb that was queued by a file of `F`. It may be completed meanwhile, and
    /// stays valid.
    unsafe extern "C" fn iopoll(
        iocb: *mut bindings::kiocb,
        iob: *mut bindings::io_comp_batch,
        flags: c_uint,
    ) -> c_int {
        let _rcu = kernel::sync::rcu::read_lock();
        // SAFETY: By the requirement. It comes from `into_foreign` as long as the request is not completed,
        // and is null then: what is read here is taken back later than this critical section began.
        unsafe {
            match read_once(&raw const (*iocb).private) {
                private if private.is_null() => 0,
                private => bio::poll::<F::Private>(private, iob, flags),
            }
        }
    }

    /// # Safety
    ///
    /// Called by the VFS as `splice_read` of a file of `F`, with a position of its own.
    unsafe extern "C" fn splice_read(
        file: *mut bindings::file,
        pos: *mut bindings::loff_t,
        pipe: *mut bindings::pipe_inode_info,
        len: usize,
        flags: c_uint,
    ) -> isize {
        // SAFETY: By the requirement. As for `filemap_read`, what is spliced was inside i_size
        // before its pages were looked up.
        unsafe {
            let inode = File::<F>::from_raw(file).inode();
            if let Err(error) = F::check_up(inode.sb()) {
                return error.to_errno() as isize;
            }
            match inode.left_to_read(*pos, len) {
                0 => {
                    bindings::file_accessed(file);
                    0
                }
                left => bindings::filemap_splice_read(file, pos, pipe, left, flags),
            }
        }
    }

    /// # Safety
    ///
    /// Called by the VFS as `read_iter` of a file of `F`.
    unsafe extern "C" fn read_iter(
        iocb: *mut bindings::kiocb,
        to: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: By the requirement the pointers are valid, and ours to use during the call, or until the
        // kiocb is completed, if that is given away; and so is the memory. It is the iterator of the call. That the file is held
        // until the end of the call is up to who submits: see `enter`.
        unsafe {
            kiocb::enter(iocb, iov::count(to), |iocb| {
                let to = CallIter::new(&iocb, IovIterDest::from_raw(to.cast()));
                T::read_iter(iocb, to)
            })
        }
    }

    /// # Safety
    ///
    /// Called by the VFS as `write_iter` of a file of `F`.
    unsafe extern "C" fn write_iter(
        iocb: *mut bindings::kiocb,
        from: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: By the requirement the pointers are valid, and ours to use during the call, or until the
        // kiocb is completed, if that is given away; and so is the memory. It is the iterator of the call. That the file is held
        // until the end of the call is up to who submits: see `enter`.
        unsafe {
            kiocb::enter(iocb, iov::count(from), |iocb| {
                let from = CallIter::new(&iocb, IovIterSource::from_raw(from.cast()));
                T::write_iter(iocb, from)
            })
        }
    }
}

struct DirectoryTable<F, T>(PhantomData<(F, T)>);

impl<F: FileSystem + Ioctl, T: DirectoryOperations<F>> DirectoryTable<F, T> {
    const OPS: bindings::file_operations = bindings::file_operations {
        llseek: Some(Self::llseek),
        read: Some(bindings::generic_read_dir),
        iterate_shared: Some(Self::iterate_shared),
        unlocked_ioctl: Some(ioctl::unlocked_ioctl::<F>),
        compat_ioctl: Some(ioctl::compat_ioctl),
        fsync: if_has!(T::HAS_FSYNC_NAMES, fsync::<F, T>),
        setlease: Some(bindings::generic_setlease),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS as `llseek` of a directory of `F`.
    unsafe extern "C" fn llseek(
        file: *mut bindings::file,
        offset: bindings::loff_t,
        whence: c_int,
    ) -> bindings::loff_t {
        // SAFETY: By the requirement the file is open during the call.
        let inode = unsafe { File::<F>::from_raw(file) }.inode();
        // SAFETY: As above.
        let end = T::end(inode, unsafe { is_narrow(file) });
        // SAFETY: By the requirement. Positions are those of entries, and any others are positions, too.
        let pos = unsafe {
            bindings::generic_file_llseek_size(file, offset, whence, i64::MAX, end as i64)
        };
        if pos >= 0 && (offset != 0 || whence as u32 != bindings::SEEK_CUR) {
            // SAFETY: By the requirement.
            unsafe { place_of(file) }.set(0);
        }
        pos
    }

    /// # Safety
    ///
    /// Called by the VFS as `iterate_shared` with the lock of the directory held.
    unsafe extern "C" fn iterate_shared(
        file: *mut bindings::file,
        context: *mut bindings::dir_context,
    ) -> c_int {
        // SAFETY: By the requirement; `context` is valid during the call and used by nobody else.
        let (dir, mut context) = unsafe {
            (
                InodeLocked::from_raw((*file).f_inode),
                DirContext::new(file, context),
            )
        };
        match T::iterate_shared(dir, &mut context) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }
}
