// SPDX-License-Identifier: GPL-2.0

//! `struct address_space_operations`.
//!
//! Buffered I/O is that of the kernel's buffer_head and mpage helpers, around one function of the
//! filesystem: [`AddressSpaceOperations::get_block`], and one that fills holes. Direct I/O is left to the filesystem.
//!
//! What must not wait is in [`nowait`], and what is to be done about EOF for a write behind it in `gap`.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/buffer_head.h`](srctree/include/linux/buffer_head.h),
//! [`include/linux/mpage.h`](srctree/include/linux/mpage.h)

mod gap;
pub mod nowait;

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
pub use crate::fs::found::{Found, Mapped};
use crate::fs::inode::lock::{Exclusive, InodeLocked, Shared};
use crate::fs::inode::{loff, Inode};
use crate::fs::kiocb::{self, CallDest, CallIter, CallSource, Io, Kiocb, KiocbOwner};
use crate::fs::shutdown::Shutdown;
use crate::fs::small_folio;
use crate::fs::write_begin;
use crate::iov::{self, AnyIovIter, IovIter};
use crate::mm::nofs::nofs;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;

/// How long a store through a mapping waits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// A second, or until there is a signal: the caller of the fault holds a lock meanwhile.
    Second,
    /// Until there is a signal: a program stores.
    UntilSignal,
    /// Until the task is killed, unless it has had another signal: the kernel stores.
    UntilKilled,
}

/// The operations on the pages of a file.
#[vtable]
pub trait AddressSpaceOperations<F: KiocbOwner> {
    /// How large a folio of a regular file may be, in powers of two of pages.
    const FOLIO_ORDER_MAX: u32;

    /// Finds at most `max_blocks` blocks from the file's block `iblock` on. May sleep; the caller may hold the lock of a folio of
    /// the file.
    fn get_block(inode: &Inode<F>, iblock: u64, max_blocks: u32) -> Result<Found>;

    /// The same for what is to be written: a hole is filled. `ENOSPC` when there is no space. Without it no file can be written.
    fn get_block_create(_inode: &Inode<F>, _iblock: u64, _max_blocks: u32) -> Result<Mapped> {
        Err(EROFS)
    }

    /// [`AddressSpaceOperations::get_block_create`] for a store through a mapping: `EAGAIN` where
    /// the store has to wait by now, as [`AddressSpaceOperations::may_store`] says. May sleep; the caller holds the lock of the folio.
    fn get_block_to_store(inode: &Inode<F>, iblock: u64, max_blocks: u32) -> Result<Mapped> {
        Self::get_block_create(inode, iblock, max_blocks)
    }

    /// [`AddressSpaceOperations::get_block`], if that can be done without sleeping. Without it that is never so.
    fn get_block_nowait(_inode: &Inode<F>, _iblock: u64, _max_blocks: u32) -> Option<Found> {
        None
    }

    /// Whether there is room for so many blocks, and for those of pointers to them: if not, what is written is
    /// allocated page by page, as far as that goes. Otherwise a folio has all its blocks or none. May sleep.
    /// Without it there is room.
    fn has_room(_inode: &Inode<F>, _blocks: u32) -> bool {
        true
    }

    /// Whether stores through mappings to these bytes, which are inside i_size, may be made now: if not, they wait
    /// ([`AddressSpaceOperations::wait_to_store`]). What makes that false for blocks that the file has drops the pages afterwards,
    /// and nothing of them becomes dirty then. Called with the folio locked, or without. May sleep. Without it they may.
    fn may_store(_inode: &Inode<F>, _bytes: &Range<u64>) -> bool {
        true
    }

    /// Waits until stores to these bytes may be made, or as long as `patience` says. Returns whether they may. No lock
    /// is held, unless it is [`Patience::Second`]. Sleeps.
    fn wait_to_store(_inode: &Inode<F>, _bytes: &Range<u64>, _patience: Patience) -> bool {
        true
    }

    /// A buffered write that would have ended at byte `to` has failed or was short: blocks that
    /// were allocated beyond EOF are to be freed. May sleep. Without it they stay.
    fn write_failed(_inode: &InodeLocked<F, Exclusive>, _to: u64) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Reads or writes past the page cache. Without it, a file cannot be opened for that.
    fn direct_io<'a>(_iocb: Kiocb<'a, F>, _direct: Direct<'_, 'a, F>) -> Result<Io<'a, F>> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// What `direct_IO` is to do.
pub enum Direct<'a, 'data, F: FileSystemData> {
    /// To read to this memory. The inode lock is not held.
    Read(CallDest<'data>),
    /// To write from this memory, with the lock of the inode held, shared at least.
    Write(CallSource<'data>, &'a InodeLocked<F, Shared>),
}

impl<'data, F: KiocbOwner> Direct<'_, 'data, F> {
    /// How many bytes are asked for.
    #[inline]
    pub fn count(&self, iocb: &Kiocb<'data, F>) -> usize {
        match self {
            Direct::Read(to) => to.get(iocb).count(),
            Direct::Write(from, _) => from.get(iocb).count(),
        }
    }

    /// The bits that are set in the address or the length of some segment of the memory.
    #[inline]
    pub fn alignment(&self, iocb: &Kiocb<'data, F>) -> usize {
        match self {
            Direct::Read(to) => to.get(iocb).alignment(),
            Direct::Write(from, _) => from.get(iocb).alignment(),
        }
    }

    /// An upper bound, `max` at most, for the number of pages in the next `bytes` bytes.
    #[inline]
    pub fn npages(&self, iocb: &Kiocb<'data, F>, max: u16, bytes: usize) -> u16 {
        match self {
            Direct::Read(to) => to.get(iocb).npages(max, bytes),
            Direct::Write(from, _) => from.get(iocb).npages(max, bytes),
        }
    }
}

/// An address space operations table for inodes of `F`.
pub struct AddressSpaceOps<F: FileSystemData> {
    table: &'static bindings::address_space_operations,
    folio_order_max: u32,
    _p: PhantomData<F>,
}

impl<F: FileSystemData> Clone for AddressSpaceOps<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: FileSystemData> Copy for AddressSpaceOps<F> {}

impl<F: FileSystemData> AddressSpaceOps<F> {
    /// The table of the operations `T`.
    pub const fn new<T: AddressSpaceOperations<F>>() -> Self
    where
        F: KiocbOwner + Shutdown,
    {
        Self {
            table: &Table::<F, T>::OPS,
            folio_order_max: T::FOLIO_ORDER_MAX,
            _p: PhantomData,
        }
    }

    pub(crate) fn as_raw(&self) -> *const bindings::address_space_operations {
        self.table
    }

    pub(crate) fn folio_order_max(&self) -> u32 {
        self.folio_order_max
    }
}

impl<F: KiocbOwner + Shutdown> InodeLocked<F, Exclusive> {
    /// Zeroes the bytes of `range`, which are in one block of the file, in the page cache: the rest
    /// of the block is read, and the block is dirty then. In a hole nothing is allocated, and only
    /// a page that is cached is zeroed. May sleep.
    ///
    /// `EINVAL` if they are not in one block, or if the inode has no operations on pages; `EFBIG` if they are beyond what a
    /// position can say.
    pub fn zero_part_of_block<T: AddressSpaceOperations<F>>(&self, range: Range<u64>) -> Result {
        if range.is_empty() {
            return Ok(());
        }
        // What begins before the end is a position, too.
        let bytes = loff(range.start)..i64::try_from(range.end).map_err(|_| EFBIG)?;
        let block = range.start >> self.blkbits();
        if (range.end - 1) >> self.blkbits() != block {
            return Err(EINVAL);
        }
        // With the inode lock held the block is not freed. Writing back its page may allocate it: not
        // while the folio is locked and not under writeback, and if it has, there is a block to zero.
        let early = match cfg!(mutant = "kfs-hole-looked-up-early") {
            true => Some(T::get_block(self, block, 1)?),
            false => None,
        };
        let folio = self.page_cache().lock_folio(bytes.start);
        if let Some(folio) = &folio {
            folio.wait_writeback();
        }
        let found = match early {
            Some(found) => found,
            None => T::get_block(self, block, 1)?,
        };
        if let Found::Hole { .. } = found {
            if let (Some(folio), false) = (folio, cfg!(mutant = "kfs-hole-page-kept")) {
                folio.zero(&bytes);
            }
            return Ok(());
        }
        drop(folio);
        let len = (range.end - range.start) as usize;
        // SAFETY: The bytes are in one block.
        unsafe { self.write_zeroes::<T>(bytes.start, len) }
    }

    /// Allocates the block with byte `pos`, which is in a hole, by way of the page cache: the block
    /// is dirty then, with what is cached of it, or else zeroes. May sleep.
    ///
    /// `EINVAL` if a block begins at `pos`, or if the inode has no operations on pages; `ENOSPC` if no block
    /// is free; `EFBIG` if the end of the block is beyond what a position can say.
    pub fn fill_hole<T: AddressSpaceOperations<F>>(&self, pos: u64) -> Result {
        let last_of_block = (1u64 << self.blkbits()) - 1;
        if pos & last_of_block == 0 {
            return Err(EINVAL);
        }
        // All of the block has to have positions.
        if pos | last_of_block >= loff(u64::MAX) as u64 {
            return Err(EFBIG);
        }
        // Writing nothing in the midst of a block does all that a write does for the rest of it.
        // SAFETY: No bytes are in more than one block.
        unsafe { self.write_zeroes::<T>(loff(pos), 0) }
    }

    /// Writes `len` bytes of zeroes at `pos` to the page cache.
    ///
    /// # Safety
    ///
    /// They must be in one block.
    unsafe fn write_zeroes<T: AddressSpaceOperations<F>>(&self, pos: i64, len: usize) -> Result {
        // Without a table the folios are not as large as blocks, and nobody takes their buffers away again.
        // SAFETY: By the invariants of `Inode` it is valid; the table of an inode in use does not change, and is
        // one of `AddressSpaceOps`, or an empty one.
        if unsafe { (*(*(*self.as_raw()).i_mapping).a_ops).write_begin.is_none() } {
            return Err(EINVAL);
        }
        let all = write_begin::Len {
            all: len,
            // A folio is never of nothing.
            at_once: len.max(1),
        };
        let find = |block, max| T::get_block(self, block, max);
        let fill = |block, max| T::get_block_create(self, block, max);
        // SAFETY: The inode lock is held. The bytes are in one block, and so in one folio, which comes back locked,
        // with a reference, and with the block uptodate but for them; both are given back here.
        unsafe {
            let folio = write_begin::write_begin(ptr::null(), self, pos, all, find, fill)?;
            let offset = (pos - bindings::folio_pos(folio)) as usize;
            bindings::folio_zero_range(folio, offset, len);
            bindings::block_write_end(pos, len as c_uint, len as c_uint, folio);
            bindings::folio_unlock(folio);
            bindings::folio_put(folio);
        }
        Ok(())
    }
}

/// Has a buffer stand for the first block of a run, and be as long as that: but no longer than the `max_blocks` that were
/// asked for, as the helpers make bios of so much of a folio without another look, and not empty, as they would not get on.
///
/// # Safety
///
/// Nobody else may use `bh`, which is of a folio of the inode, or on the stack. The caller of `get_block` asked for so many
/// blocks.
unsafe fn map<F: FileSystemData>(
    bh: *mut bindings::buffer_head,
    inode: &Inode<F>,
    run: Mapped,
    max_blocks: u32,
) {
    let blocks = run.len.min(max_blocks).max(1);
    // SAFETY: By the requirement. `map_bh` sets `b_size` to one block.
    unsafe {
        bindings::map_bh(bh, inode.sb().as_raw(), run.block);
        (*bh).b_size = (blocks as usize) << inode.blkbits();
        if run.new {
            bindings::set_buffer_new(bh);
        }
    }
}

/// Whether there is too little space for all holes of `bytes`, which are in one folio, as far as is known. The caller may hold
/// the lock of the folio. May sleep. The error of looking for holes.
pub(super) fn lacks_room<F: KiocbOwner, T: AddressSpaceOperations<F>>(
    inode: &Inode<F>,
    bytes: Range<u64>,
) -> Result<bool> {
    let bits = inode.blkbits();
    let mut block = bytes.start >> bits;
    let end = bytes.end.div_ceil(1 << bits);
    if T::has_room(inode, (end - block) as u32) {
        return Ok(false);
    }
    while block < end {
        let found = T::get_block(inode, block, (end - block) as u32)?;
        if let Found::Hole { .. } = found {
            return Ok(true);
        }
        block += u64::from(found.len());
    }
    Ok(false)
}

/// Makes a folio dirty that was stored to, but for its holes: what is inside i_size of a page that can be stored to has blocks, and
/// what is beyond is zero when EOF moves ([`mmap`](crate::fs::mmap)). If EOF has moved by the time it is written back, holes would be
/// filled then, by whoever does that.
///
/// # Safety
///
/// Called by the memory management as `dirty_folio`, for a mapping of a file whose private data are buffers.
unsafe extern "C" fn dirty_folio(
    mapping: *mut bindings::address_space,
    folio: *mut bindings::folio,
) -> bool {
    // SAFETY: By the requirement.
    unsafe {
        // Who has had a part of it when a hole came there, and may have written to that since: it is pinned; or nobody has
        // it mapped, as with a hole that is punched, and it is held by reference (`FOLL_GET`, as NFS does).
        let is_held = bindings::folio_maybe_dma_pinned(folio)
            || (!bindings::folio_mapped(folio) && !cfg!(mutant = "kfs-held-hole-clean"));
        match is_held {
            true => bindings::block_dirty_folio(mapping, folio),
            false => bindings::block_dirty_folio_but_holes(mapping, folio),
        }
    }
}

struct Table<F, T>(PhantomData<(F, T)>);

impl<F: KiocbOwner + Shutdown, T: AddressSpaceOperations<F>> Table<F, T> {
    const OPS: bindings::address_space_operations = bindings::address_space_operations {
        read_folio: Some(Self::read_folio),
        readahead: Some(Self::readahead),
        writepages: Some(Self::writepages),
        dirty_folio: Some(match cfg!(mutant = "kfs-holes-dirtied") {
            true => bindings::block_dirty_folio,
            false => dirty_folio,
        }),
        invalidate_folio: Some(bindings::block_invalidate_folio),
        write_begin: Some(Self::write_begin),
        write_end: Some(Self::write_end),
        bmap: Some(Self::bmap),
        direct_IO: if_has!(T::HAS_DIRECT_IO, Self::direct_io),
        migrate_folio: migrate_folio(),
        is_partially_uptodate: Some(bindings::block_is_partially_uptodate),
        error_remove_folio: Some(bindings::generic_error_remove_folio),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the buffer_head helpers with an inode of `F`; `bh` says in `b_size` how many
    /// bytes are asked for.
    unsafe extern "C" fn get_block(
        inode: *mut bindings::inode,
        iblock: bindings::sector_t,
        bh: *mut bindings::buffer_head,
        create: c_int,
    ) -> c_int {
        // SAFETY: By the requirement.
        let (inode, bits, size) = unsafe {
            let inode = Inode::<F>::from_raw(inode);
            (inode, inode.blkbits(), (*bh).b_size)
        };
        let max_blocks = u32::try_from(size >> bits).unwrap_or(u32::MAX).max(1);
        let found = match create {
            0 => T::get_block(inode, iblock, max_blocks),
            _ => T::get_block_create(inode, iblock, max_blocks).map(Found::Mapped),
        };
        match found {
            Ok(Found::Hole { .. }) => 0,
            Ok(Found::Mapped(run)) => {
                // SAFETY: `bh` is used by nobody else.
                unsafe { map(bh, inode, run, max_blocks) };
                0
            }
            Err(error) => error.to_errno(),
        }
    }

    /// Looks up all blocks of a folio that are not beyond EOF. The kernel's functions that read folios do not
    /// pass on the error of a look-up: readers would get `EIO`.
    ///
    /// # Safety
    ///
    /// The folio must be locked, and of a file of `F`.
    unsafe fn look_up(folio: *mut bindings::folio) -> Result {
        // SAFETY: By the requirement.
        let (inode, pos, len) = unsafe {
            let mapping = (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping;
            let inode = Inode::<F>::from_raw((*mapping).host);
            (
                inode,
                bindings::folio_pos(folio),
                bindings::folio_size(folio),
            )
        };
        let block = 1u64 << inode.blkbits();
        let end = inode.i_size_read().min(pos as u64 + len as u64);
        let mut at = pos as u64;
        while at < end {
            let blocks = (end - at).div_ceil(block) as u32;
            let found = T::get_block(inode, at >> inode.blkbits(), blocks)?;
            at += u64::from(found.len()) << inode.blkbits();
        }
        Ok(())
    }

    /// # Safety
    ///
    /// Called by the VFS as `read_folio`.
    unsafe extern "C" fn read_folio(
        _file: *mut bindings::file,
        folio: *mut bindings::folio,
    ) -> c_int {
        let found = match cfg!(mutant = "kfs-read-eio") {
            true => Ok(()),
            // SAFETY: By the requirement the folio is locked and of a file of `F`.
            false => unsafe { Self::look_up(folio) },
        };
        // What can be read of it is read all the same; it is unlocked then.
        // SAFETY: As above.
        let read = unsafe { bindings::mpage_read_folio(folio, Some(Self::get_block)) };
        found.map_or_else(|error| error.to_errno(), |()| read)
    }

    /// # Safety
    ///
    /// Called by the VFS as `readahead`.
    unsafe extern "C" fn readahead(rac: *mut bindings::readahead_control) {
        // SAFETY: By the requirement.
        unsafe { bindings::mpage_readahead(rac, Some(Self::get_block)) };
    }

    /// # Safety
    ///
    /// Called by the VFS as `writepages`.
    unsafe extern "C" fn writepages(
        mapping: *mut bindings::address_space,
        wbc: *mut bindings::writeback_control,
    ) -> c_int {
        // SAFETY: By the requirement the mapping is of an inode of `F`.
        let inode = unsafe { Inode::<F>::from_raw((*mapping).host) };
        if let Err(error) = F::check_up(inode.sb()) {
            return error.to_errno();
        }
        // SAFETY: By the requirement.
        unsafe { bindings::mpage_writepages(mapping, wbc, Some(Self::get_block)) }
    }

    /// # Safety
    ///
    /// `mapping` must be of an inode of `F` whose lock is held, or that is new and in the hands of
    /// its maker (a symbolic link).
    unsafe fn write_failed(mapping: *mut bindings::address_space, to: i64) {
        if !T::HAS_WRITE_FAILED {
            return;
        }
        // SAFETY: By the requirement.
        let inode = unsafe { InodeLocked::<F, Exclusive>::from_raw((*mapping).host) };
        T::write_failed(inode, to as u64);
    }

    /// Has a write of `len` bytes at `pos`, for which there may be too little space, find a page of them there, instead of a large
    /// folio with a hole: of that it is to write all. If that cannot be dropped, it stays, and the write fails if the hole cannot be
    /// filled. Sleeps.
    fn make_way(inode: &Inode<F>, pos: i64, len: usize) {
        let least = small_folio::least(inode) as i64;
        for _ in 0..small_folio::TRIES {
            let Some(folio) = inode.page_cache().lock_folio(pos) else {
                break;
            };
            let all = folio.range();
            drop(folio);
            let bytes = pos as u64..all.end.min(pos + len as i64) as u64;
            // An error meets who looks for the block to write to it.
            let has_hole =
                all.end - all.start > least && lacks_room::<F, T>(inode, bytes).unwrap_or(false);
            if !has_hole || cfg!(mutant = "kfs-write-all-or-nothing") {
                break;
            }
            if small_folio::drop_larger(inode, pos as u64).is_err() {
                break;
            }
        }
    }

    /// # Safety
    ///
    /// Called by the VFS as `write_begin` with the lock of the inode held, or for a new inode.
    unsafe extern "C" fn write_begin(
        iocb: *const bindings::kiocb,
        mapping: *mut bindings::address_space,
        pos: bindings::loff_t,
        len: c_uint,
        folio: *mut *mut bindings::folio,
        fsdata: *mut *mut c_void,
    ) -> c_int {
        // SAFETY: By the requirement.
        unsafe {
            let inode = Inode::<F>::from_raw((*mapping).host);
            let in_page = PAGE_SIZE - (pos as usize & (PAGE_SIZE - 1));
            let blocks = (len >> inode.blkbits()) + 1;
            let all = len as usize;
            let at_once = match all > in_page && !T::has_room(inode, blocks) {
                true => {
                    Self::make_way(inode, pos, all);
                    in_page
                }
                false => all.max(write_begin::ahead(iocb, inode, pos)),
            };
            let all = write_begin::Len { all, at_once };
            let find = |block, max| T::get_block(inode, block, max);
            let fill = |block, max| T::get_block_create(inode, block, max);
            // Has made way already: that would drop the folio.
            let found = gap::Edge::find(inode, pos).and_then(|edge| {
                let begin = || write_begin::write_begin(iocb, inode, pos, all, find, fill);
                let found = match edge {
                    // Reclaim might wait for a folio before it, which writeback has when it waits for this one.
                    gap::Edge::Locked(_) => nofs(begin)?,
                    _ => begin()?,
                };
                Ok((found, edge))
            });
            match found {
                Ok((found, edge)) => {
                    *folio = found;
                    *fsdata = edge.into_fsdata();
                    0
                }
                // The folio with EOF is not locked any more.
                Err(error) => {
                    Self::write_failed(mapping, pos + i64::from(len));
                    error.to_errno()
                }
            }
        }
    }

    /// # Safety
    ///
    /// Called by the VFS as `write_end` with the lock of the inode held, or for a new inode.
    unsafe extern "C" fn write_end(
        iocb: *const bindings::kiocb,
        mapping: *mut bindings::address_space,
        pos: bindings::loff_t,
        len: c_uint,
        copied: c_uint,
        folio: *mut bindings::folio,
        fsdata: *mut c_void,
    ) -> c_int {
        // SAFETY: By the requirement.
        unsafe {
            let inode = Inode::<F>::from_raw((*mapping).host);
            let before = inode.i_size_read();
            // What `write_begin` has locked is given back in any case.
            let is_behind_gap = !fsdata.is_null()
                || (pos as u64 > before && !cfg!(mutant = "kfs-gap-behind-mapped"));
            let ret = match is_behind_gap {
                true => gap::write_end(inode, pos, len, copied, folio, fsdata),
                false => {
                    bindings::generic_write_end(iocb, mapping, pos, len, copied, folio, fsdata)
                }
            };
            if inode.i_size_read() != before && !cfg!(mutant = "kfs-size-uncounted") {
                F::inode_changed(&inode.data());
            }
            if i64::from(ret) < i64::from(len) {
                Self::write_failed(mapping, pos + i64::from(len));
            }
            ret
        }
    }

    /// # Safety
    ///
    /// Called by the VFS as `bmap`.
    unsafe extern "C" fn bmap(
        mapping: *mut bindings::address_space,
        block: bindings::sector_t,
    ) -> bindings::sector_t {
        // SAFETY: By the requirement.
        unsafe { bindings::generic_block_bmap(mapping, block, Some(Self::get_block)) }
    }

    /// # Safety
    ///
    /// Called by `generic_file_direct_read` without the inode lock, or by
    /// `generic_file_direct_write` with the inode lock held, in either mode.
    unsafe extern "C" fn direct_io(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: By the requirement the pointers are valid, and ours to use during the call, or until the
        // kiocb is completed, if that is given away; and so is the memory. It is the iterator of the call. That the file is held
        // until the end of the call is up to who submits: see `enter`. For a write the lock is held.
        unsafe {
            kiocb::enter_direct_io(iocb, iov::count(iter), |iocb| {
                let direct = match AnyIovIter::from_raw(iter.cast()) {
                    AnyIovIter::Dest(to) => Direct::Read(CallIter::new(&iocb, to)),
                    AnyIovIter::Source(from) => {
                        let from = CallIter::new(&iocb, from);
                        Direct::Write(from, InodeLocked::from_raw(iocb.inode().as_raw()))
                    }
                };
                T::direct_io(iocb, direct)
            })
        }
    }
}

type MigrateFolio = unsafe extern "C" fn(
    *mut bindings::address_space,
    *mut bindings::folio,
    *mut bindings::folio,
    bindings::migrate_mode,
) -> c_int;

#[cfg(CONFIG_MIGRATION)]
const fn migrate_folio() -> Option<MigrateFolio> {
    Some(bindings::buffer_migrate_folio)
}

#[cfg(not(CONFIG_MIGRATION))]
const fn migrate_folio() -> Option<MigrateFolio> {
    None
}
