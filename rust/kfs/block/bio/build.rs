// SPDX-License-Identifier: GPL-2.0

//! Bios that are being built.
//!
//! ```ignore
//! let mut bio = Bio::alloc(&set, bdev, iter.npages(BIO_MAX_VECS, len), pos);
//! bio.set_sector(sector);
//! bio.set_hints(iocb);
//! // May be less than `len`: the next bio takes the rest.
//! let added = bio.add_iter(iter, len, bdev.dma_alignment(), bdev.logical_block_size() - 1)?;
//! bio.submit(owner.clone(), iocb.lending());
//! ```

use super::arc::{BioArc, BioArcSet};
use super::ended::{end_carrying, BioOwner, EndedBio};
use super::front::BioData;
use super::lender::{Lender, Lends};
use super::op::Op;
use super::owned::Owned;
use super::set::BioSet;
use super::submit::submit_whole_bio;
use crate::bindings;
use crate::block::bdev::BlockDevice;
use crate::iov::{IovIter, IovIterSource};
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::ForeignOwnable;
use kernel::warn_on;

/// The most bytes that [`Bio::add_iter`] adds to a bio: the size field has 32 bits.
const BIO_MAX_SIZE: usize = 1 << 30;

/// A bio that is being built, for memory of iterators of the type `I`: it reads if these are
/// destinations, and writes if they are sources. Their lifetime, that of a call, is one with the
/// lifetime of the request that it can be submitted for.
pub struct Bio<I, T: BioData> {
    pub(super) bio: Owned<T>,
    // Invariant, so that the lifetime of a call is never taken for that of another.
    _memory: PhantomData<fn(I) -> I>,
}

impl<'data, I: IovIter<'data>, T: BioData> Bio<I, T> {
    /// What a bio for such memory does.
    const OP: Op = if I::IS_DEST { Op::Read } else { Op::Write };

    /// Allocates a bio with room for `nr_vecs` segments, one at least.
    ///
    /// May sleep, until another bio of the set is freed if memory is short, but does not fail. So
    /// the caller must not own such bios: it might wait for itself.
    #[inline]
    pub fn alloc(set: &BioSet<T::Data>, bdev: &BlockDevice, nr_vecs: u16, data: T::Data) -> Self {
        loop {
            // With flags that allow to wait it takes from the reserve, and succeeds.
            let gfp = bindings::GFP_KERNEL;
            if let Some(bio) = Self::alloc_gfp(set, bdev, nr_vecs, data, gfp) {
                return bio;
            }
        }
    }

    /// Like [`Bio::alloc`], but does not sleep; fails if memory is short.
    #[inline]
    pub fn try_alloc(
        set: &BioSet<T::Data>,
        bdev: &BlockDevice,
        nr_vecs: u16,
        data: T::Data,
    ) -> Option<Self> {
        Self::alloc_gfp(set, bdev, nr_vecs, data, bindings::GFP_NOWAIT)
    }

    #[inline]
    fn alloc_gfp(
        set: &BioSet<T::Data>,
        bdev: &BlockDevice,
        nr_vecs: u16,
        data: T::Data,
        gfp: bindings::gfp_t,
    ) -> Option<Self> {
        let bio = set.alloc(bdev, nr_vecs, Self::OP.opf(), data, gfp)?;
        // SAFETY: The bio was just made and has its data, and nothing is pinned.
        Some(unsafe { Self::from_raw(bio) })
    }

    /// # Safety
    ///
    /// `bio` must satisfy the invariants of [`Owned`], and be one to do [`Bio::OP`].
    #[inline]
    unsafe fn from_raw(bio: NonNull<bindings::bio>) -> Self {
        Bio {
            // SAFETY: By the requirement.
            bio: unsafe { Owned::from_raw(bio) },
            _memory: PhantomData,
        }
    }

    /// Replaces the data that was given to [`Bio::alloc`].
    #[inline]
    pub fn set_data(&mut self, data: T::Data) {
        // SAFETY: By the invariants of `Owned` the structure is valid, and ours.
        unsafe { (*self.bio.front()).data.write(data) };
    }

    /// Sets where on the device the bio starts, in sectors of [`SECTOR_SIZE`](super::SECTOR_SIZE).
    #[inline]
    pub fn set_sector(&mut self, sector: u64) {
        // SAFETY: By the invariants of `Owned` the bio is valid, and nobody else uses it.
        unsafe { (*self.bio.as_raw()).bi_iter.bi_sector = sector };
    }

    /// Where on the device the bio starts, in sectors of [`SECTOR_SIZE`](super::SECTOR_SIZE).
    #[inline]
    pub fn sector(&self) -> u64 {
        // SAFETY: By the invariants of `Owned` the bio is valid and ours.
        unsafe { (*self.bio.as_raw()).bi_iter.bi_sector }
    }

    /// Takes over what a request says to the block layer: I/O priority, write hint, `REQ_NOWAIT`.
    #[inline]
    pub fn set_hints(&mut self, of: &impl Lender) {
        let hints = of.hints();
        let bio = self.bio.as_raw();
        // SAFETY: By the invariants of `Owned` the bio is valid, and nobody else uses it.
        unsafe {
            (*bio).bi_ioprio = hints.ioprio;
            (*bio).bi_write_hint = hints.write_hint;
            if hints.nowait {
                (*bio).bi_opf |= 1 << bindings::req_flag_bits___REQ_NOWAIT;
            }
        }
    }

    /// Has the bio, a write, end only when its data is on stable storage (`REQ_FUA`). Makes no difference
    /// to a device that has no cache which is lost with the power.
    #[inline]
    pub fn set_fua(&mut self) {
        if Self::OP == Op::Write {
            // SAFETY: By the invariants of `Owned` the bio is valid, and nobody else uses it.
            unsafe { (*self.bio.as_raw()).bi_opf |= 1 << bindings::req_flag_bits___REQ_FUA };
        }
    }

    /// How many bytes the bio has.
    #[inline]
    pub fn size(&self) -> usize {
        self.bio.size() as usize
    }

    /// The data that was given to [`Bio::alloc`].
    #[inline]
    pub fn data(&self) -> T::Data {
        self.bio.data()
    }

    /// Adds memory from `iter`, and advances that by as much: `max` bytes at most, and only so much
    /// that the bio gets a multiple of `len_mask + 1` bytes. Returns how much.
    ///
    /// It is less than `max` when the bio is full. User pages are pinned, which may sleep until they are brought in, unless
    /// [`IovIter::set_nofault`] says not to. Fails if nothing can be
    /// added: `EFAULT` if there is no such memory, `EINVAL` if it is misaligned with respect to
    /// `mem_mask + 1`, or is in so many small pieces that a full bio is too short for `len_mask`.
    /// `EINVAL` also if the bio has memory of another kind already.
    pub fn add_iter(
        &mut self,
        iter: &mut I,
        max: usize,
        mem_mask: u32,
        len_mask: u32,
    ) -> Result<usize> {
        let before = self.size();
        let max = max.min(BIO_MAX_SIZE.saturating_sub(before));
        let pin = iter.extract_will_pin();
        // INVARIANT: Either all segments are pinned or none is, those of zero pages included, see
        // `add_zeroes`, which excludes the flag; and none is of a copy.
        if before != 0 && (self.bio.is_pinned() != pin || self.bio.is_copy()) {
            return Err(EINVAL);
        }
        // SAFETY: By the invariants of `Owned` the structure is valid, and ours.
        unsafe { (*self.bio.front()).is_copy = false };
        self.bio.set_pinned(pin);
        if !pin {
            // SAFETY: By the invariants of `Owned` the structure is valid, and ours.
            unsafe { (*self.bio.front()).borrows = true };
        }

        let bio = self.bio.as_raw();
        let mut added = 0;
        let mut stopped = Ok(());
        loop {
            let left = max - added;
            if left == 0 || iter.count() == 0 || self.bio.is_full() {
                break;
            }
            let ret = self.extract(iter, left, mem_mask);
            if ret <= 0 {
                stopped = to_result(ret as i32);
                break;
            }
            added += ret as usize;
        }

        let size = before + added;
        // SAFETY: By the invariants of `Owned` the bio is valid, and nobody else uses it.
        unsafe { (*bio).bi_iter.bi_size = size as u32 };
        let excess = added.min(size & len_mask as usize);
        // SAFETY: They are no more than was just added, all of it from `iter`.
        unsafe { self.trim(iter, excess) };
        match added - excess {
            0 => Err(stopped.err().unwrap_or(EINVAL)),
            added => Ok(added),
        }
    }

    /// Adds the next `len` bytes from `iter` to a bio that has nothing yet, and advances
    /// that by as much; see [`Bio::add_iter`] for `mem_mask`. User pages are pinned. False, and nothing is done, if that is not
    /// possible, or not all of it fits, or there is nothing. May sleep, as [`Bio::add_iter`].
    #[inline(always)]
    pub fn add_all(&mut self, iter: &mut I, len: usize, mem_mask: u32) -> bool {
        if self.size() != 0 || len == 0 || len > BIO_MAX_SIZE {
            return false;
        }
        let pin = iter.extract_will_pin();
        // INVARIANT: All segments are pinned or none is, and none is of a copy.
        // SAFETY: By the invariants of `Owned` the structure is valid, and ours.
        unsafe {
            (*self.bio.front()).is_copy = false;
            (*self.bio.front()).borrows = !pin;
        }
        self.bio.set_pinned(pin);
        if !pin && self.add_segment(iter, len) {
            return true;
        }
        let mut added = 0;
        while added < len {
            let ret = self.extract(iter, len - added, mem_mask);
            if ret <= 0 {
                break;
            }
            added += ret as usize;
        }
        // SAFETY: By the invariants of `Owned` the bio is valid, and nobody else uses it.
        unsafe { (*self.bio.as_raw()).bi_iter.bi_size = added as u32 };
        let is_all = added == len;
        if !is_all {
            // SAFETY: They are what was just added, all of it from `iter`.
            unsafe { self.trim(iter, added) };
        }
        is_all
    }

    /// What [`Bio::add_all`] does with memory that is not pinned and in one piece, as that which is registered with a ring of
    /// io_uring is, and that of a loop device. False, and nothing is done, for other memory.
    #[inline(always)]
    fn add_segment(&mut self, iter: &mut I, len: usize) -> bool {
        let bio = self.bio.as_raw();
        // SAFETY: The bio is ours, and has a table of one segment at least, of which none is in use. The iterator is valid. The length
        // was compared with that of a bio.
        unsafe {
            let is_one = bindings::iov_iter_take_segment(iter.as_raw(), len, (*bio).bi_io_vec);
            if is_one {
                (*bio).bi_vcnt = 1;
                (*bio).bi_iter.bi_size = len as u32;
            }
            is_one
        }
    }

    /// Takes at most `max` bytes, which are some, from `iter`, and makes segments of them. Returns how many, or a
    /// negative error number; 0 if the bio is full.
    #[inline(always)]
    fn extract(&mut self, iter: &mut I, max: usize, mem_mask: u32) -> isize {
        if iter.count() == 0 || self.bio.is_full() {
            return 0;
        }
        let bio = self.bio.as_raw();
        // SAFETY: The bio is ours and has a table of `bi_max_vecs` segments, of which `bi_vcnt` are in use.
        // The iterator is valid.
        unsafe {
            bindings::iov_iter_extract_bvecs(
                iter.as_raw(),
                (*bio).bi_io_vec,
                max,
                &raw mut (*bio).bi_vcnt,
                (*bio).bi_max_vecs,
                mem_mask,
                0,
            )
        }
    }

    /// Gives the last `bytes` bytes of the bio back to `iter`, and what they are in, if that is the bio's.
    ///
    /// # Safety
    ///
    /// They came from `iter`, or are a copy of what did, and are what it was advanced by last.
    pub(super) unsafe fn trim(&mut self, iter: &mut I, bytes: usize) {
        if bytes == 0 {
            return;
        }
        // SAFETY: By the requirement the iterator was advanced by at least `bytes`.
        unsafe { bindings::iov_iter_revert(iter.as_raw(), bytes) };

        let (pinned, is_copy) = (self.bio.is_pinned(), self.bio.is_copy());
        let bio = self.bio.as_raw();
        let mut bytes = bytes as u32;
        // SAFETY: By the invariants of `Owned` the bio is valid, and nobody else uses it.
        unsafe { (*bio).bi_iter.bi_size -= bytes };
        while bytes != 0 && self.bio.segments() != 0 {
            // SAFETY: The table has more than `bi_vcnt - 1` segments.
            let bv = unsafe { (*bio).bi_io_vec.add(usize::from((*bio).bi_vcnt) - 1) };
            // SAFETY: The segment is initialised, as it is in use.
            let (page, offset, len) = unsafe { ((*bv).bv_page, (*bv).bv_offset, (*bv).bv_len) };
            let cut = bytes.min(len);
            let left = len - cut;
            bytes -= cut;
            let gone = pages(offset, len) - pages(offset, left);
            if pinned && gone != 0 && !cfg!(mutant = "kfs-trim-leak") {
                // SAFETY: A segment lies in one folio, every page of it was pinned once, and the
                // last `gone` of them are not part of the bio any more.
                unsafe { bindings::unpin_user_folio(bindings::page_folio(page), gone as usize) };
            }
            if is_copy {
                let left = pages(offset, left) as usize;
                for page_gone in left..left + gone as usize {
                    // SAFETY: `bio_add_page` makes one segment only of pages whose `struct page`s follow each other. By the
                    // invariants of the bio those of a copy are its own, each allocated by itself; these are not part of it any more.
                    unsafe { bindings::__free_pages(page.add(page_gone), 0) };
                }
            }
            // SAFETY: As above; the bio is ours.
            unsafe {
                (*bv).bv_len = left;
                if left == 0 {
                    (*bio).bi_vcnt -= 1;
                }
            }
        }
    }
}

impl<T: BioData> Bio<IovIterSource<'_>, T> {
    /// Adds `len` bytes of zeroes to a bio that has nothing but zeroes; returns how many fit.
    pub fn add_zeroes(&mut self, len: usize) -> usize {
        let before = self.size();
        if self.bio.is_copy() {
            return 0;
        }
        while self.size() - before < len && !self.bio.is_pinned() {
            let chunk = (len - (self.size() - before)).min(kernel::page::PAGE_SIZE);
            // SAFETY: The bio is ours. The zero page is never freed, so it needs no pin.
            let added = unsafe {
                bindings::bio_add_page(self.bio.as_raw(), bindings::zero_page(), chunk as u32, 0)
            };
            if added == 0 {
                break;
            }
        }
        self.size() - before
    }
}

impl<'data, I: IovIter<'data>, T: BioOwner> Bio<I, T> {
    /// Hands the bio to the block layer, which passes it to [`BioOwner::end_io`] of `owner` when it
    /// has ended: in any context, and perhaps before this returns. May sleep, for a request of the
    /// queue, unless `REQ_NOWAIT` is set.
    ///
    /// If it does not begin at a logical block of the device, or is not a number of them, it fails with `EINVAL`, and a warning.
    ///
    /// `lender` is the request that the memory comes from: that of the call whose lifetime the
    /// memory has. If the memory is not pinned, the request has to hold `owner`: it is not answered
    /// before the bio has ended. Otherwise the bio fails with `EIO`, and a warning.
    #[inline]
    pub fn submit<L: Lends<'data, T>>(self, owner: BioArc<T>, lender: &L) {
        let bio = self.prepare(owner, lender);
        // SAFETY: It was just prepared, and is given up.
        unsafe { submit_prepared(bio) };
    }

    /// Does all of [`Bio::submit`] but to hand the bio to the block layer. The pointer owns it: to be passed to
    /// [`submit_prepared`], or to be ended by `bio_endio`.
    #[inline(always)]
    pub(super) fn prepare<L: Lends<'data, T>>(
        self,
        owner: BioArc<T>,
        lender: &L,
    ) -> NonNull<bindings::bio> {
        self.bio.try_mark_dirty();
        // SAFETY: By the invariants of `Owned` the structure is valid, and ours.
        let borrows = unsafe { (*self.bio.front()).borrows };
        // Counted in any case: it is given back when the bio ends.
        if borrows {
            owner.lend();
        }
        let is_lent = !borrows || lender.holds(&owner);
        warn_on!(!is_lent);
        let bio = self.bio.into_raw();
        // SAFETY: By the invariants of `Owned` the bio is valid and ours.
        unsafe {
            (*bio.as_ptr()).bi_private = owner.into_foreign();
            (*bio.as_ptr()).bi_end_io = Some(end_io::<T>);
            if !is_lent {
                (*bio.as_ptr()).bi_status = bindings::errno_to_blk_status(EIO.to_errno());
            }
        }
        bio
    }
}

/// Hands a bio to the block layer. May sleep, as [`Bio::submit`] may.
///
/// # Safety
///
/// The bio must come from [`Bio::prepare`], and be given up.
#[inline(always)]
pub(super) unsafe fn submit_prepared(bio: NonNull<bindings::bio>) {
    // SAFETY: By the requirement the bio is valid and ours, and the block layer owns it from here.
    unsafe {
        if (*bio.as_ptr()).bi_status != 0 || (*bio.as_ptr()).bi_iter.bi_size == 0 {
            // Nothing to do: end it without the device.
            bindings::bio_endio(bio.as_ptr());
        } else {
            submit_whole_bio(bio);
        }
    }
}

/// How many pages a segment of `len` bytes from `offset` on touches.
fn pages(offset: u32, len: u32) -> u32 {
    let page = kernel::page::PAGE_SIZE as u32;
    let end = u64::from(offset) + u64::from(len);
    if len == 0 {
        0
    } else {
        (end.div_ceil(page.into()) as u32) - offset / page
    }
}

/// The end of every bio that [`Bio::submit`] or [`Bio::submit_carrying`] submitted.
///
/// # Safety
///
/// Called by the block layer as `bi_end_io` of a bio that one of these submitted, with this `T`, once.
pub(super) unsafe extern "C" fn end_io<T: BioOwner>(bio: *mut bindings::bio) {
    // SAFETY: The block layer passes a valid bio and gives it up.
    let (private, bio) = unsafe { ((*bio).bi_private, NonNull::new_unchecked(bio)) };
    if private.is_null() {
        // SAFETY: It is a bio that carries something, and this is called once.
        return unsafe { end_carrying::<T>(bio) };
    }
    // SAFETY: `submit` stored a reference to the owner there, and this is called once.
    let owner = unsafe { BioArc::<T>::from_foreign(private) };
    // INVARIANT: As they held when `submit` gave the bio away: the block layer does not change the
    // table of segments, nor the flag.
    // SAFETY: As said.
    let bio = unsafe { EndedBio::from_raw(bio) };
    // The owner may complete the request from here on.
    // SAFETY: `submit` has counted it, if it borrows, and this is called once.
    unsafe { bio.give_back(&owner) };
    T::end_io(owner, bio);
}

impl<T: BioData> BioArc<T> {
    /// Allocates an object, which `init` makes, and a bio with room for `nr_vecs` segments, one at
    /// least, for memory of iterators of the type `I`. The bio has `data` in front of it, until [`Bio::set_data`].
    ///
    /// May sleep, until another one of the set is freed if memory is short, but does not fail. So
    /// the caller must not own one: it might wait for itself. Nor may the owner of one wait for the
    /// caller: for a lock that is held here.
    #[inline]
    pub fn alloc<'data, I: IovIter<'data>>(
        set: &BioArcSet<T>,
        bdev: &BlockDevice,
        nr_vecs: u16,
        data: T::Data,
        init: impl PinInit<T>,
    ) -> (Self, Bio<I, T>) {
        let opf = Bio::<I, T>::OP.opf();
        loop {
            // With flags that allow to wait it takes from the reserve, and succeeds.
            if let Some(bio) = set.alloc(bdev, nr_vecs, opf, bindings::GFP_KERNEL) {
                // SAFETY: The bio was just allocated from this set, to do that.
                return unsafe { Self::with_bio(bio, data, init) };
            }
        }
    }

    /// Like [`BioArc::alloc`], but does not sleep; `None` if memory is short. The reserve is for
    /// those who may wait.
    #[inline(always)]
    pub fn try_alloc<'data, I: IovIter<'data>>(
        set: &BioArcSet<T>,
        bdev: &BlockDevice,
        nr_vecs: u16,
        data: T::Data,
        init: impl PinInit<T>,
    ) -> Option<(Self, Bio<I, T>)> {
        let opf = Bio::<I, T>::OP.opf();
        let bio = set.alloc(bdev, nr_vecs, opf, bindings::GFP_NOWAIT)?;
        // SAFETY: The bio was just allocated from this set, to do that.
        Some(unsafe { Self::with_bio(bio, data, init) })
    }

    /// # Safety
    ///
    /// `bio` must be from a [`BioArcSet<T>`], new: not used by anybody else, and one to do what
    /// [`Bio::OP`] says.
    #[inline(always)]
    unsafe fn with_bio<'data, I: IovIter<'data>>(
        bio: NonNull<bindings::bio>,
        data: T::Data,
        init: impl PinInit<T>,
    ) -> (Self, Bio<I, T>) {
        // SAFETY: By the requirement.
        let this = unsafe { BioArc::in_front_of(bio, data, init) };
        // SAFETY: The bio is new and has its data, nothing is pinned, and it owns a reference to
        // the object in front of it.
        (this, unsafe { Bio::from_raw(bio) })
    }
}
