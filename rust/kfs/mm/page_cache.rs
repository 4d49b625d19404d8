// SPDX-License-Identifier: GPL-2.0

//! The pages of a file in the page cache: what direct I/O and truncate do to ranges of them.
//!
//! Ranges are in bytes of the file. Pages may be larger than blocks, and folios larger than pages:
//! what is said of a byte is done to the block, or the folio, that it is in.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::bindings;
use crate::sync::once::read_once;
use crate::task::cond_resched;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::page::PAGE_SHIFT;
use kernel::prelude::*;

/// The index of the page with byte `pos` of a file, which is not negative: the kernel is a 64-bit one, and
/// `usize` holds it.
pub(crate) const fn page_index(pos: i64) -> usize {
    (pos >> PAGE_SHIFT) as usize
}

/// The page cache of a file.
///
/// # Invariants
///
/// The mapping is that of an inode, and valid for `'a`; the private data of its folios, if they
/// have any, are buffers.
pub(crate) struct PageCache<'a>(NonNull<bindings::address_space>, PhantomData<&'a ()>);

impl<'a> PageCache<'a> {
    /// # Safety
    ///
    /// `mapping` must satisfy the type invariants.
    pub(crate) unsafe fn from_raw(mapping: *mut bindings::address_space) -> Self {
        // INVARIANT: By the requirement.
        // SAFETY: What is valid is not null.
        PageCache(unsafe { NonNull::new_unchecked(mapping) }, PhantomData)
    }

    fn mapping(&self) -> *mut bindings::address_space {
        self.0.as_ptr()
    }

    /// Whether there is no page. That may change at any time.
    #[inline(always)]
    fn is_empty(&self) -> bool {
        // SAFETY: By the type invariant the mapping is valid; it is read once.
        unsafe { read_once(&raw const (*self.mapping()).nrpages) == 0 }
    }

    /// Writes dirty pages with bytes in `range` back, and waits for writeback. Does nothing if
    /// there are no pages. May sleep.
    ///
    /// Returns the error of this writeback, or of an earlier one that nobody has been given yet.
    pub(crate) fn write_and_wait(&self, range: &Range<i64>) -> Result {
        if range.is_empty() || self.is_empty() {
            return Ok(());
        }
        // SAFETY: By the type invariant the mapping is valid. The end is inclusive.
        to_result(unsafe {
            bindings::filemap_write_and_wait_range(self.mapping(), range.start, range.end - 1)
        })
    }

    /// As [`PageCache::write_and_wait`], but without the errors that the file has of other parts, and of before: these stay for
    /// whom they are to be given.
    ///
    /// The error of what could not be given to the device: of a hole, for one, that gets no block. What the device has failed
    /// to write is clean afterwards, too, and only the error sequence of the mapping tells of it.
    pub(crate) fn write_back(&self, range: &Range<i64>) -> Result {
        if cfg!(mutant = "kfs-error-of-another") {
            return self.write_and_wait(range);
        }
        if range.is_empty() || self.is_empty() {
            return Ok(());
        }
        let (mapping, start, last) = (self.mapping(), range.start, range.end - 1);
        // SAFETY: By the type invariant the mapping is valid. The end is inclusive.
        unsafe {
            let begun = to_result(bindings::filemap_fdatawrite_range(mapping, start, last));
            // A part may be under writeback all the same. What this returns is of the whole file.
            bindings::filemap_fdatawait_range_keep_errors(mapping, start, last);
            begun
        }
    }

    /// [`PageCache::write_back`], for who drops what has been written back then. `EIO` if an error of writeback that nobody has been told of is
    /// left, or has come: it may be of these pages, of which nothing else says so. Sleeps.
    pub(crate) fn write_back_to_drop(&self, range: &Range<i64>) -> Result {
        // SAFETY: By the type invariant the mapping is valid.
        let wb_err = unsafe { &raw mut (*self.mapping()).wb_err };
        // SAFETY: As above. Of an error that nobody has seen it returns 0, from which that is told.
        let since = unsafe { bindings::errseq_sample(wb_err) };
        self.write_back(range)?;
        // SAFETY: As above.
        match unsafe { bindings::errseq_check(wb_err, since) } {
            0 => Ok(()),
            _ if cfg!(mutant = "kfs-failed-page-dropped") => Ok(()),
            _ => Err(EIO),
        }
    }

    /// Finds the folio with byte `pos`, or makes one, of the least size, and reads it. The caller holds `invalidate_lock`,
    /// shared at least. Sleeps. The error of reading it.
    pub(crate) fn read_folio(&self, pos: i64) -> Result<FolioRef<'a>> {
        let file = core::ptr::null_mut();
        // SAFETY: By the type invariant the mapping is valid; its `read_folio` needs no file.
        let folio =
            unsafe { bindings::read_cache_folio(self.mapping(), page_index(pos), None, file) };
        let folio = kernel::error::from_err_ptr(folio)?;
        // INVARIANT: The function has taken a reference.
        Ok(FolioRef(NonNull::new(folio).ok_or(ENOMEM)?, PhantomData))
    }

    /// Whether there is a page with a part of the bytes in `range`. Any context.
    #[inline(always)]
    pub(crate) fn has_pages(&self, range: &Range<i64>) -> bool {
        if range.is_empty() || self.is_empty() {
            return false;
        }
        // SAFETY: By the type invariant the mapping is valid. The end is inclusive. The function takes
        // no lock but that of RCU.
        unsafe { bindings::filemap_range_has_page(self.mapping(), range.start, range.end - 1) }
    }

    /// Whether there is a folio with byte `pos`, and it is dirty. That may change at any time. Any context.
    pub(crate) fn is_dirty_at(&self, pos: i64) -> bool {
        // SAFETY: By the type invariant the mapping is valid. The function takes no lock but that of RCU.
        unsafe {
            let i_pages = &raw mut (*self.mapping()).i_pages;
            bindings::xa_get_mark(i_pages, page_index(pos), bindings::PAGECACHE_TAG_DIRTY)
        }
    }

    /// Whether direct I/O on the bytes in `range` would find anything here: a page, or an error of
    /// writeback that nobody has been given. Any context.
    #[inline(always)]
    pub(crate) fn concerns(&self, range: &Range<i64>) -> bool {
        const ERRORS: usize =
            1 << bindings::mapping_flags_AS_EIO | 1 << bindings::mapping_flags_AS_ENOSPC;
        // SAFETY: By the type invariant the mapping is valid; it is read once.
        let flags = unsafe { read_once(&raw const (*self.mapping()).flags) };
        flags & ERRORS != 0 || self.has_pages(range)
    }

    /// Looks up the folio with the byte at `pos` and locks it, if there is one. May sleep.
    pub(crate) fn lock_folio(&self, pos: i64) -> Option<LockedFolio<'a>> {
        // SAFETY: By the type invariant the mapping is valid.
        let folio = unsafe { bindings::filemap_lock_folio(self.mapping(), page_index(pos)) };
        let folio = kernel::error::from_err_ptr(folio).ok()?;
        // INVARIANT: The look-up has taken a reference and the lock.
        Some(LockedFolio(NonNull::new(folio)?, PhantomData))
    }

    /// As [`PageCache::lock_folio`], for who holds the inode lock and is about to write: if there is none, one of the least size is made, with
    /// nothing in it, which is read before anybody gets it. `ENOMEM`. Sleeps.
    pub(crate) fn lock_or_make_folio(&self, pos: i64) -> Result<LockedFolio<'a>> {
        let (iocb, index) = (core::ptr::null(), page_index(pos));
        // SAFETY: By the type invariant the mapping is valid; no kiocb is needed.
        let folio = unsafe { bindings::write_begin_get_folio(iocb, self.mapping(), index, 1) };
        let folio = kernel::error::from_err_ptr(folio)?;
        // INVARIANT: The look-up has taken a reference and the lock.
        Ok(LockedFolio(NonNull::new(folio).ok_or(ENOMEM)?, PhantomData))
    }

    /// As [`PageCache::lock_folio`], but does not sleep: `None` also if the folio is locked.
    pub(crate) fn try_lock_folio(&self, pos: i64) -> Option<LockedFolio<'a>> {
        // SAFETY: By the type invariant the mapping is valid.
        let folio = unsafe { bindings::filemap_trylock_folio(self.mapping(), page_index(pos)) };
        let folio = kernel::error::from_err_ptr(folio).ok()?;
        // INVARIANT: The look-up has taken a reference and the lock.
        Some(LockedFolio(NonNull::new(folio)?, PhantomData))
    }

    /// Whether somebody has pinned a page of a folio with a part of the bytes in `range`. May sleep, for folio locks: none may be held.
    ///
    /// If that is not so after the folios were written back, and the caller holds `invalidate_lock`, nobody pins one
    /// to write to it before it was dropped: it would have to be made writable first.
    pub(crate) fn is_pinned_in(&self, range: &Range<i64>) -> bool {
        let mut pos = range.start;
        while self.has_pages(&(pos..range.end)) {
            cond_resched();
            let Some(folio) = self.lock_folio(pos) else {
                pos = ((pos >> PAGE_SHIFT) + 1) << PAGE_SHIFT;
                continue;
            };
            if folio.is_pinned() {
                return true;
            }
            pos = folio.range().end;
        }
        false
    }

    /// Drops the blocks with the bytes in `range` of folios that have other bytes, too, and of which somebody has pinned a page
    /// ([`LockedFolio::drop_blocks`]). Returns the rest of the range, which is left to the kernel's functions: these
    /// split a folio, and if they cannot, as it is pinned, they drop all of it unless it is dirty. What a device
    /// writes to the other pages of it would be lost.
    ///
    /// May sleep, for folio locks: none may be held. The caller holds `invalidate_lock`, so that nobody pins a clean page to
    /// write to it meanwhile: it would have to be made writable first.
    pub(crate) fn drop_in_pinned(&self, range: Range<i64>) -> Range<i64> {
        let mut rest = range;
        if cfg!(mutant = "kfs-pinned-cut") {
            return rest;
        }
        let pinned_at = |pos| {
            let folio = self.lock_folio(pos)?;
            (folio.range().start < pos && folio.is_pinned()).then_some(folio)
        };
        if let Some(folio) = pinned_at(rest.start) {
            folio.drop_blocks(&rest);
            rest.start = folio.range().end.min(rest.end);
        }
        if rest.is_empty() {
            return rest;
        }
        if let Some(folio) = pinned_at(rest.end) {
            folio.drop_blocks(&rest);
            rest.end = folio.range().start.max(rest.start);
        }
        rest
    }

    /// Drops the pages that have a part of the bytes in `range`. Returns whether none is left: a
    /// page that is dirty stays. May sleep.
    ///
    /// One that somebody has a reference to, or has pinned, does not stay: what a device writes to it then is lost.
    pub(crate) fn invalidate(&self, range: &Range<i64>) -> bool {
        // Pages that come later are read from the device.
        if range.is_empty() || self.is_empty() {
            return true;
        }
        let mapping = self.mapping();
        // SAFETY: By the type invariant the mapping is valid. Both indices are inclusive.
        unsafe {
            bindings::invalidate_inode_pages2_range(
                mapping,
                page_index(range.start),
                page_index(range.end - 1),
            ) == 0
        }
    }

    /// Whether a block with a part of the bytes in `range` is dirty. May sleep, for folio locks:
    /// none may be held.
    pub(crate) fn is_dirty_in(&self, range: &Range<i64>) -> bool {
        let mut pos = range.start;
        while pos < range.end {
            cond_resched();
            let Some(folio) = self.lock_folio(pos) else {
                pos = ((pos >> PAGE_SHIFT) + 1) << PAGE_SHIFT;
                continue;
            };
            // SAFETY: By the invariant of `LockedFolio` it is locked, and its private data are
            // buffers.
            if unsafe { is_folio_dirty_in(folio.0.as_ptr(), range) } {
                return true;
            }
            pos = folio.range().end;
        }
        false
    }

    /// Has the next fsync of the file fail with `error`, for each who has the file open.
    pub(crate) fn set_error(&self, error: Error) {
        // SAFETY: By the type invariant the mapping is valid; the function takes a negative error
        // number.
        unsafe { bindings::errseq_set(&raw mut (*self.mapping()).wb_err, error.to_errno()) };
    }
}

/// A folio that is, or was, in the page cache.
///
/// # Invariants
///
/// The value owns a reference to the folio.
pub(crate) struct FolioRef<'a>(NonNull<bindings::folio>, PhantomData<PageCache<'a>>);

impl FolioRef<'_> {
    /// The C folio.
    pub(crate) fn as_raw(&self) -> *mut bindings::folio {
        self.0.as_ptr()
    }
}

impl Drop for FolioRef<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; this is the end of the reference.
        unsafe { bindings::folio_put(self.0.as_ptr()) };
    }
}

/// A folio of the page cache, locked until dropped.
///
/// # Invariants
///
/// The folio is in a [`PageCache`] that satisfies the invariants; the value owns a reference to it
/// and its lock.
pub(crate) struct LockedFolio<'a>(NonNull<bindings::folio>, PhantomData<PageCache<'a>>);

impl<'a> LockedFolio<'a> {
    /// Takes over a reference to a folio and its lock.
    ///
    /// # Safety
    ///
    /// The folio must be in the page cache of an inode that is valid for `'a`, as for [`PageCache`], and the caller own both.
    pub(crate) unsafe fn from_raw(folio: NonNull<bindings::folio>) -> Self {
        // INVARIANT: By the requirement.
        LockedFolio(folio, PhantomData)
    }

    /// Gives both away.
    pub(crate) fn into_raw(self) -> *mut bindings::folio {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// Gives the lock back; the reference stays.
    pub(crate) fn unlock(self) -> FolioRef<'a> {
        let folio = ManuallyDrop::new(self).0;
        // SAFETY: By the type invariant; this is the end of the lock.
        unsafe { bindings::folio_unlock(folio.as_ptr()) };
        // INVARIANT: The reference was that of `self`.
        FolioRef(folio, PhantomData)
    }
}

impl LockedFolio<'_> {
    /// The C folio.
    pub(crate) fn as_raw(&self) -> *mut bindings::folio {
        self.0.as_ptr()
    }

    /// The bytes of the file that are in it.
    pub(crate) fn range(&self) -> Range<i64> {
        let folio = self.0.as_ptr();
        // SAFETY: By the type invariant.
        unsafe {
            let pos = bindings::folio_pos(folio);
            pos..pos + bindings::folio_size(folio) as i64
        }
    }

    /// What of `range` is in it: the offset in it, and the length.
    fn part(&self, range: &Range<i64>) -> (usize, usize) {
        let all = self.range();
        let start = range.start.clamp(all.start, all.end);
        let end = range.end.clamp(start, all.end);
        ((start - all.start) as usize, (end - start) as usize)
    }

    /// Whether somebody has pinned a page of it, to read or write it past the page tables.
    pub(crate) fn is_pinned(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::folio_maybe_dma_pinned(self.0.as_ptr()) }
    }

    /// Waits until it is not written back; as long as it is locked, it will not be again. Sleeps.
    pub(crate) fn wait_writeback(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::folio_wait_writeback(self.0.as_ptr()) };
    }

    /// Zeroes what it has of `range`. Nothing becomes dirty.
    pub(crate) fn zero(&self, range: &Range<i64>) {
        let (offset, len) = self.part(range);
        // SAFETY: By the type invariant; the bytes are in the folio.
        unsafe { bindings::folio_zero_range(self.0.as_ptr(), offset, len) };
    }

    /// Takes it out of all mappings: to store to it is a fault then, which waits for the lock. Private copies stay.
    pub(crate) fn unmap(&self) {
        // SAFETY: By the type invariant.
        unsafe { unmap(self.0.as_ptr()) };
    }

    /// The same with its pages that have bytes from `pos` on, which is not before it.
    pub(crate) fn unmap_from(&self, pos: i64) {
        let (first, end) = (page_index(pos), page_index(self.range().end));
        // SAFETY: By the type invariant the folio is in a mapping, which its lock keeps; it is locked as for `unmap`.
        unsafe {
            let mapping = (*self.0.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.mapping;
            bindings::unmap_mapping_pages(mapping, first, end.saturating_sub(first), false);
        }
    }

    /// Makes whole blocks in `range` zeroes that belong to no block of the device, and are not
    /// dirty. Who then stores to them through a mapping has a fault. May sleep: waits until what is
    /// written back of it is on the device.
    pub(crate) fn drop_blocks(&self, range: &Range<i64>) {
        let folio = self.0.as_ptr();
        // All blocks of a page that was stored to are dirty: before they are made clean.
        if !cfg!(mutant = "kfs-edge-mapped") {
            self.unmap();
        }
        let (offset, len) = self.part(range);
        self.wait_writeback();
        // SAFETY: By the type invariant; the bytes are in the folio.
        unsafe {
            bindings::folio_zero_range(folio, offset, len);
            if !bindings::folio_buffers(folio).is_null() {
                bindings::block_invalidate_folio(folio, offset, len);
            }
        }
    }
}

impl Drop for LockedFolio<'_> {
    fn drop(&mut self) {
        let folio = self.0.as_ptr();
        // SAFETY: By the type invariant; this is the end of the lock and of the reference.
        unsafe {
            bindings::folio_unlock(folio);
            bindings::folio_put(folio);
        }
    }
}

/// Takes the folio out of all mappings: to store to it is a fault then. Private copies stay.
///
/// # Safety
///
/// The folio must be locked, and be in the mapping of a file.
pub(crate) unsafe fn unmap(folio: *mut bindings::folio) {
    // SAFETY: By the requirement.
    unsafe {
        let first = page_index(bindings::folio_pos(folio));
        let pages = bindings::folio_size(folio) >> PAGE_SHIFT;
        let mapping = (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping;
        bindings::unmap_mapping_pages(mapping, first, pages, false);
    }
}

/// Whether a block of the folio with a part of the bytes in `range` is dirty.
///
/// # Safety
///
/// The folio must be locked, and be in a mapping of a file whose private data are buffers.
unsafe fn is_folio_dirty_in(folio: *mut bindings::folio, range: &Range<i64>) -> bool {
    // SAFETY: By the requirement, here and below.
    if !unsafe { bindings::folio_test_dirty(folio) } {
        return false;
    }
    // SAFETY: As above: the lock keeps the buffers where they are.
    let head = unsafe { bindings::folio_buffers(folio) };
    if head.is_null() {
        // All of it will be written.
        return true;
    }
    // SAFETY: As above.
    let mut pos = unsafe { bindings::folio_pos(folio) };
    let mut bh = head;
    loop {
        // SAFETY: The buffers of a locked folio are valid, and each leads to the next one.
        let (dirty, size, next) = unsafe {
            (
                bindings::buffer_dirty(bh) != 0,
                (*bh).b_size as i64,
                (*bh).b_this_page,
            )
        };
        if dirty && pos < range.end && range.start < pos + size {
            return true;
        }
        pos += size;
        bh = next;
        if bh == head {
            return false;
        }
    }
}
