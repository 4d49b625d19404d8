// SPDX-License-Identifier: GPL-2.0

//! The blocks of a folio that is about to be written to: allocated in runs.
//!
//! In the place of `block_write_begin()` and `__block_write_begin()`, which allocate block by block, and
//! take one page at a time.
//!
//! C headers: [`include/linux/buffer_head.h`](srctree/include/linux/buffer_head.h),
//! [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::found::{Found, Mapped};
use crate::fs::inode::Inode;
use crate::mm::page_cache::page_index;
use core::cmp::Ordering;
use core::ops::Range;
use kernel::error::from_err_ptr;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;

/// How many bytes are to be written.
pub(super) struct Len {
    /// All of them.
    pub(super) all: usize,
    /// As many as a new folio should have, from the first byte on; it may be made of fewer.
    pub(super) at_once: usize,
}

/// So many bytes a folio gets ahead of a write at most: of more there would be many buffers to pass for each write.
const AHEAD_MOST: u64 = 8 * PAGE_SIZE as u64;

/// How many bytes a folio should have that is made for a write at `pos`: more than those of the write where one
/// write follows on another, as the next ones will fill it. What it has beyond EOF, or of a hole, has no blocks; and what
/// is not written is not uptodate.
///
/// 0 for other writes, and for a direct one: its pages are dropped after it.
///
/// # Safety
///
/// `iocb` must be valid or null.
pub(super) unsafe fn ahead<F: FileSystemData>(
    iocb: *const bindings::kiocb,
    inode: &Inode<F>,
    pos: i64,
) -> usize {
    // SAFETY: By the requirement.
    let iocb = unsafe { iocb.as_ref() };
    let is_direct = iocb.is_some_and(|it| it.ki_flags & bindings::IOCB_DIRECT as c_int != 0);
    let size = inode.i_size_read();
    let bytes = match (pos as u64).cmp(&size) {
        _ if is_direct => 0,
        Ordering::Equal => ahead_at_eof(size),
        Ordering::Less => ahead_inside(inode, pos, size),
        Ordering::Greater => 0,
    };
    bytes as usize
}

/// The same at EOF, where the file grows: a quarter of what it has, so that little memory is taken for what does not
/// come.
fn ahead_at_eof(size: u64) -> u64 {
    const PART: u64 = 4;
    if cfg!(mutant = "kfs-append-by-page") {
        return 0;
    }
    if cfg!(mutant = "kfs-small-files-ahead") {
        return AHEAD_MOST;
    }
    AHEAD_MOST.min(size / PART)
}

/// The same inside the file: as much as there can be in one folio, which lies at a multiple of its size, if the page before it
/// is dirty; but nothing beyond EOF.
fn ahead_inside<F: FileSystemData>(inode: &Inode<F>, pos: i64, size: u64) -> u64 {
    let at = pos as u64;
    if at == 0 || at % AHEAD_MOST != 0 || cfg!(mutant = "kfs-fill-by-page") {
        return 0;
    }
    match inode.page_cache().is_dirty_at(pos - 1) || cfg!(mutant = "kfs-scattered-ahead") {
        true => AHEAD_MOST.min(size - at),
        false => 0,
    }
}

/// Finds or makes the folio with byte `pos`, for a write of `len` bytes from there on; allocates the
/// blocks of what is in it, and reads those of which a part only will be written. May sleep.
///
/// `find` finds at most so many blocks from one of the file on, and `fill` fills holes, too.
///
/// The folio is locked and referenced. After an error there is none, and blocks that were allocated are
/// zeroes.
///
/// # Safety
///
/// `iocb` must be valid or null, and the caller hold the lock of the inode, or be the only one with it.
pub(super) unsafe fn write_begin<F: FileSystemData>(
    iocb: *const bindings::kiocb,
    inode: &Inode<F>,
    pos: i64,
    len: Len,
    find: impl FnMut(u64, u32) -> Result<Found>,
    fill: impl FnMut(u64, u32) -> Result<Mapped>,
) -> Result<*mut bindings::folio> {
    // SAFETY: The inode is valid, and so is its mapping; `iocb` by the requirement.
    unsafe {
        let mapping = (*inode.as_raw()).i_mapping;
        let index = page_index(pos);
        let folio = from_err_ptr(bindings::write_begin_get_folio(
            iocb,
            mapping,
            index,
            len.at_once,
        ))?;
        let from = (pos - bindings::folio_pos(folio)) as usize;
        // The caller writes what is in the folio of all its bytes.
        let to = match cfg!(mutant = "kfs-ahead-allocated") {
            true => bindings::folio_size(folio),
            false => bindings::folio_size(folio).min(from.saturating_add(len.all)),
        };
        let allocated =
            make_buffers(inode, folio, find).and_then(|()| allocate(inode, folio, from..to, fill));
        match allocated {
            Ok(()) => Ok(folio),
            Err(error) => {
                bindings::folio_unlock(folio);
                bindings::folio_put(folio);
                Err(error)
            }
        }
    }
}

/// Has a folio have buffers. Those of one that is uptodate are mapped to the blocks that the file has inside i_size: one that is not
/// mapped is of a hole then. Who has stored to the folio, and says so late, with buffers that were made anew since, has stored to
/// nothing else ([`dirty_folio`](super::address_space)). May sleep for memory, and if `find` does.
///
/// `find` finds at most so many blocks from one of the file on. Its error; the folio has no buffers then, or all are dirty.
///
/// # Safety
///
/// The folio must be locked and in the page cache of `inode`.
pub(super) unsafe fn make_buffers<F: FileSystemData>(
    inode: &Inode<F>,
    folio: *mut bindings::folio,
    find: impl FnMut(u64, u32) -> Result<Found>,
) -> Result {
    // SAFETY: By the requirement; it has buffers then, which were just made.
    unsafe {
        if !bindings::folio_buffers(folio).is_null() {
            return Ok(());
        }
        bindings::create_empty_buffers(folio, 1 << inode.blkbits(), 0);
        map_found(inode, folio, find)
    }
}

/// What [`make_buffers`] does with buffers that were just made.
///
/// # Safety
///
/// As for that; the folio has buffers, and none of them is mapped.
pub(super) unsafe fn map_found<F: FileSystemData>(
    inode: &Inode<F>,
    folio: *mut bindings::folio,
    mut find: impl FnMut(u64, u32) -> Result<Found>,
) -> Result {
    let bits = inode.blkbits();
    // SAFETY: By the requirement.
    let (mut bh, is_uptodate, pos, size) = unsafe {
        (
            bindings::folio_buffers(folio),
            bindings::folio_test_uptodate(folio),
            bindings::folio_pos(folio) as u64,
            bindings::folio_size(folio) as u64,
        )
    };
    // What is not uptodate nobody has but who locks it.
    if !is_uptodate || cfg!(mutant = "kfs-buffers-unmapped") {
        return Ok(());
    }
    let end = inode.i_size_read().min(pos + size).div_ceil(1 << bits);
    let mut rest = None;
    for block in pos >> bits..end {
        let found = match rest.take() {
            Some(found) => Ok(found),
            None => find(block, (end - block) as u32),
        };
        let found = found.inspect_err(|_| {
            // SAFETY: By the requirement. Buffers that are dirty stay.
            unsafe { bindings::try_to_free_buffers(folio) };
        })?;
        if let Found::Mapped(run) = found {
            // SAFETY: `bh` is the buffer of this block, and the lock keeps it where it is.
            unsafe { bindings::map_bh(bh, inode.sb().as_raw(), run.block) };
        }
        rest = found.rest();
        // SAFETY: As above: each leads to the next one.
        bh = unsafe { (*bh).b_this_page };
    }
    Ok(())
}

/// Allocates the blocks with the bytes in `range`, in bytes of the folio. Of one that is not uptodate,
/// new blocks are zeroed where they are not in the range, and others are read. May sleep.
///
/// After an error, blocks that were allocated are zeroes, and dirty.
///
/// # Safety
///
/// The folio must be locked and in the page cache of `inode`, and have the bytes, and buffers.
pub(super) unsafe fn allocate<F: FileSystemData>(
    inode: &Inode<F>,
    folio: *mut bindings::folio,
    range: Range<usize>,
    fill: impl FnMut(u64, u32) -> Result<Mapped>,
) -> Result {
    // SAFETY: By the requirement.
    unsafe {
        let result = map_buffers(inode, folio, &range, fill);
        if result.is_err() {
            bindings::folio_zero_new_buffers(folio, range.start, range.end);
        }
        result
    }
}

/// # Safety
///
/// As for [`allocate`].
unsafe fn map_buffers<F: FileSystemData>(
    inode: &Inode<F>,
    folio: *mut bindings::folio,
    range: &Range<usize>,
    mut fill: impl FnMut(u64, u32) -> Result<Mapped>,
) -> Result {
    let bits = inode.blkbits();
    // SAFETY: By the requirement. The lock keeps the buffers where they are, and nobody else maps them.
    let (head, uptodate, first) = unsafe {
        (
            bindings::folio_buffers(folio),
            bindings::folio_test_uptodate(folio),
            (bindings::folio_pos(folio) >> bits) as u64,
        )
    };
    let mut known = Run(None);
    let mut reading = [core::ptr::null_mut(); 2];
    let mut result = Ok(());
    let mut bh = head;
    let mut start = 0;
    loop {
        let end = start + (1 << bits);
        if start >= range.end {
            break;
        }
        let is_written = end > range.start && start < range.end;
        // SAFETY: `bh` is one of the buffers of the folio.
        unsafe {
            // To clear it is a locked operation.
            if is_written && bindings::buffer_new(bh) != 0 {
                bindings::clear_buffer_new(bh);
            }
            if is_written && bindings::buffer_mapped(bh) == 0 {
                let block = first + (start >> bits) as u64;
                let max = (range.end - start + (1 << bits) - 1) >> bits;
                match known.at(block, max as u32, &mut fill) {
                    Ok(run) => map(inode, folio, bh, &run, uptodate, start..end, range),
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
            let is_part = is_written && (start < range.start || end > range.end);
            if uptodate {
                // One that could not be written back is not.
                if is_written {
                    bindings::set_buffer_uptodate(bh);
                }
            } else if is_part && bindings::buffer_new(bh) == 0 && !cfg!(mutant = "kfs-part-unread")
            {
                bindings::bh_read_nowait(bh);
                let [begin, rest] = &mut reading;
                *(if start < range.start { begin } else { rest }) = bh;
            }
            bh = (*bh).b_this_page;
        }
        start = end;
        if bh == head {
            break;
        }
    }
    for bh in reading.into_iter().filter(|bh| !bh.is_null()) {
        // SAFETY: As above.
        unsafe {
            bindings::wait_on_buffer(bh);
            if bindings::buffer_uptodate(bh) == 0 {
                result = Err(EIO);
            }
        }
    }
    result
}

/// Maps a buffer, the bytes `place` of the folio, to the first block of `run`.
///
/// # Safety
///
/// As for [`map_buffers`], of which the buffer is one.
unsafe fn map<F: FileSystemData>(
    inode: &Inode<F>,
    folio: *mut bindings::folio,
    bh: *mut bindings::buffer_head,
    run: &Mapped,
    uptodate: bool,
    place: Range<usize>,
    range: &Range<usize>,
) {
    // SAFETY: By the requirement.
    unsafe {
        bindings::map_bh(bh, inode.sb().as_raw(), run.block);
        match (run.new, uptodate) {
            (false, _) => {}
            (true, true) => {
                bindings::set_buffer_uptodate(bh);
                bindings::mark_buffer_dirty(bh);
            }
            (true, false) => {
                if !cfg!(mutant = "kfs-new-unmarked") {
                    bindings::set_buffer_new(bh);
                }
                for rest in [place.start..range.start, range.end..place.end] {
                    if rest.start < rest.end {
                        bindings::folio_zero_range(folio, rest.start, rest.len());
                    }
                }
            }
        }
    }
}

/// The run of blocks that was allocated or found last, and its first block of the file.
struct Run(Option<(u64, Mapped)>);

impl Run {
    /// Where `block` of the file is: if there is a hole, it is allocated, and so are those after it, up
    /// to `max`.
    fn at(
        &mut self,
        block: u64,
        max: u32,
        fill: &mut impl FnMut(u64, u32) -> Result<Mapped>,
    ) -> Result<Mapped> {
        if let Some((first, run)) = self.0 {
            let into = block - first;
            if into < run.len.into() {
                let (block, len) = (run.block + into, run.len - into as u32);
                return Ok(Mapped { block, len, ..run });
            }
        }
        let run = fill(block, max)?;
        self.0 = Some((block, run));
        Ok(run)
    }
}
