// SPDX-License-Identifier: GPL-2.0

//! Bios: one contiguous transfer between memory and a block device.
//!
//! A bio is owned by one side at a time, and each side has its own type for it:
//!
//! 1. [`Bio`] is being built: memory is added to it. [`Bio::submit`] consumes it.
//! 2. The block layer owns the bio. Nothing in Rust refers to it.
//! 3. [`EndedBio`] is handed to [`BioOwner::end_io`], in whatever context the device driver ends
//!    bios, interrupts included. It can be put on a [`BioList`] there and is consumed by
//!    [`EndedBio::complete`] in process context.
//!
//! Pages that were pinned are unpinned, and the bio is freed, whichever way it goes. Pages that are
//! not, those of a kvec or bvec iterator, are lent by the kiocb of the request, which is not over
//! until they are given back (see [`crate::fs::kiocb`]).
//!
//! Bios come from a [`BioSet`], which has a few in reserve: allocating waits, but does not fail. A
//! small piece of data of the owner, [`BioOwner::Data`], lies in front of each bio. In front of the
//! first bio of an owner lies the owner itself, see [`crate::block::bio_arc`].
//!
//! C headers: [`include/linux/bio.h`](srctree/include/linux/bio.h),
//! [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

use crate::bindings;
use crate::block::bdev::BlockDevice;
use crate::block::bio_arc::BioArc;
use crate::block::bio_set::{self, BioSet};
use crate::fs::file_system::FileSystem;
use crate::fs::inode::Inode;
use crate::fs::kiocb::{Iocb, KiocbOwner};
use crate::iov::IovIter;
use core::marker::PhantomData;
use core::mem::{self, offset_of, MaybeUninit};
use core::ptr::{self, NonNull};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::ForeignOwnable;

/// Bytes in a sector, the unit of addresses on a device whatever its logical block size.
pub const SECTOR_SIZE: u64 = 512;

/// The most bytes that [`Bio::add_iter`] adds to a bio: the size field has 32 bits.
const BIO_MAX_SIZE: usize = 1 << 30;

/// What bios belong to: a request that issues some and wants to know when each has ended.
pub trait BioOwner: Send + Sync + Sized + 'static {
    /// What the owner wants to remember with each bio.
    type Data: Copy + Send;

    /// A bio has ended, well or badly.
    ///
    /// May be called in interrupt context and from within [`Bio::submit`]. The last reference to
    /// the owner may be dropped here, so its destructor must not sleep either.
    fn end_io(this: BioArc<Self>, bio: EndedBio<Self>);
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// From the device to memory.
    Read,
    /// To the device from memory; somebody will wait for it.
    Write,
}

impl Op {
    pub(crate) const fn opf(self) -> bindings::blk_opf_t {
        match self {
            Op::Read => bindings::req_op_REQ_OP_READ,
            Op::Write => {
                bindings::req_op_REQ_OP_WRITE
                    | 1 << bindings::req_flag_bits___REQ_SYNC
                    | 1 << bindings::req_flag_bits___REQ_IDLE
            }
        }
    }
}

/// What a bio set allocates for a bio, but for the inline bvecs behind it.
#[repr(C)]
pub(crate) struct Front<D> {
    data: MaybeUninit<D>,
    /// The bio has memory that is neither pinned nor there for ever.
    borrows: bool,
    /// The kiocb that has lent it, once the bio is submitted.
    lender: *const bindings::kiocb,
    /// What the bio was to do, before the block layer worked it off.
    #[cfg(mutant = "kfs-retry-issues")]
    iter: bindings::bvec_iter,
    pub(crate) bio: bindings::bio,
}

impl<D> Front<D> {
    /// What is in front of a bio.
    ///
    /// # Safety
    ///
    /// `bio` must be the field of a `Front<D>`.
    #[inline]
    pub(crate) unsafe fn of(bio: NonNull<bindings::bio>) -> NonNull<Self> {
        // SAFETY: By the requirement.
        unsafe { bio.byte_sub(offset_of!(Front<D>, bio)).cast() }
    }

    /// Fills in what is in front of a new bio.
    ///
    /// # Safety
    ///
    /// `front` must be valid for writes, and not be used by anybody else.
    #[inline]
    pub(crate) unsafe fn init(front: NonNull<Self>, data: D) {
        let front = front.as_ptr();
        // SAFETY: By the requirement.
        unsafe {
            (*front).data.write(data);
            (*front).borrows = false;
            (*front).lender = ptr::null();
        }
    }
}

/// A bio that belongs to us. What `Bio` and `EndedBio` have in common.
///
/// # Invariants
///
/// - The pointer is a bio from a `BioSet<T::Data>` or a `BioArcSet<T>`, field of a `Front<T::Data>`
///   whose data is initialised, and nobody else uses it. If it is from a `BioArcSet<T>`, it owns a
///   reference to the object in front of it.
/// - If the flag `BIO_PAGE_PINNED` is set, the pages of all segments are pinned once for the bio.
struct Owned<T: BioOwner>(NonNull<bindings::bio>, PhantomData<T>);

// SAFETY: By the type invariants nobody else uses the bio, and bios may be freed by any thread;
// so may the data, and the reference to an owner that a bio may have.
unsafe impl<T: BioOwner> Send for Owned<T> {}

impl<T: BioOwner> Owned<T> {
    #[inline]
    fn as_ref(&self) -> &bindings::bio {
        // SAFETY: By the type invariants the bio is valid and ours.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn as_mut(&mut self) -> &mut bindings::bio {
        // SAFETY: By the type invariants the bio is valid and nobody else uses it.
        unsafe { self.0.as_mut() }
    }

    #[inline]
    fn front(&self) -> *mut Front<T::Data> {
        // SAFETY: By the type invariants the bio is the field of such a structure.
        unsafe { Front::of(self.0) }.as_ptr()
    }

    #[inline]
    fn data(&self) -> T::Data {
        // SAFETY: By the type invariants the structure is valid and the data is initialised.
        unsafe { (*self.front()).data.assume_init() }
    }

    /// What no code may do, for a mutant to do: has the device do once more what a bio that has
    /// ended did, and waits for it.
    #[cfg(mutant = "kfs-retry-issues")]
    fn issue_again(&mut self) {
        let bio = self.0.as_ptr();
        // SAFETY: The bio is ours, the field of such a structure, and its memory is still there. The
        // clone is gone before.
        unsafe {
            (*bio).bi_iter = (*self.front()).iter;
            let gfp = bindings::GFP_KERNEL;
            let clone = bindings::bio_alloc_clone((*bio).bi_bdev, bio, gfp, (*bio).bi_pool);
            bindings::submit_bio_wait(clone);
            bindings::bio_put(clone);
        }
    }

    #[inline]
    fn is_read(&self) -> bool {
        self.as_ref().bi_opf & REQ_OP_MASK == bindings::req_op_REQ_OP_READ
    }

    #[inline]
    fn is_pinned(&self) -> bool {
        self.as_ref().bi_flags & (1 << bindings::BIO_PAGE_PINNED) != 0
    }

    /// Unpins the pages, if they are, after marking them dirty, if asked to, which may sleep.
    #[inline]
    fn release_pages(&mut self, mark_dirty: bool) {
        if self.is_pinned() {
            if cfg!(mutant = "kfs-pin-leak") {
                self.as_mut().bi_vcnt -= 1;
            }
            // SAFETY: By the type invariants every page of every segment is pinned for us.
            unsafe { bindings::__bio_release_pages(self.0.as_ptr(), mark_dirty) };
            // INVARIANT: Nothing is pinned any more.
            self.as_mut().bi_flags &= !(1 << bindings::BIO_PAGE_PINNED);
        }
    }
}

impl<T: BioOwner> Drop for Owned<T> {
    #[inline]
    fn drop(&mut self) {
        self.release_pages(false);
        // SAFETY: By the type invariants the bio is from one of the two kinds of sets, and nobody
        // else uses it; if it owns a reference, that ends here, and frees it when it is the last.
        unsafe {
            if bio_set::has_owner(self.0) {
                drop(BioArc::<T>::of_bio(self.0));
            } else {
                bio_set::put(self.0);
            }
        }
    }
}

/// A bio that is being built.
pub struct Bio<T: BioOwner>(Owned<T>);

impl<T: BioOwner> Bio<T> {
    /// Allocates a bio with room for `nr_vecs` segments, one at least.
    ///
    /// May sleep, until another bio of the set is freed if memory is short, but does not fail. So
    /// the caller must not own such bios: it might wait for itself.
    #[inline]
    pub fn alloc(
        set: &BioSet<T::Data>,
        bdev: &BlockDevice,
        nr_vecs: u16,
        op: Op,
        data: T::Data,
    ) -> Self {
        loop {
            // With flags that allow to wait it takes from the reserve, and succeeds.
            let gfp = bindings::GFP_KERNEL;
            if let Some(bio) = Self::alloc_gfp(set, bdev, nr_vecs, op, data, gfp) {
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
        op: Op,
        data: T::Data,
    ) -> Option<Self> {
        Self::alloc_gfp(set, bdev, nr_vecs, op, data, bindings::GFP_NOWAIT)
    }

    #[inline]
    fn alloc_gfp(
        set: &BioSet<T::Data>,
        bdev: &BlockDevice,
        nr_vecs: u16,
        op: Op,
        data: T::Data,
        gfp: bindings::gfp_t,
    ) -> Option<Self> {
        let bio = set.alloc(bdev, nr_vecs, op.opf(), data, gfp)?;
        // SAFETY: The bio was just made and has its data, and nothing is pinned.
        Some(unsafe { Self::from_raw(bio) })
    }

    /// # Safety
    ///
    /// `bio` must satisfy the invariants of [`Owned`].
    #[inline]
    pub(crate) unsafe fn from_raw(bio: NonNull<bindings::bio>) -> Self {
        // INVARIANT: By the requirement.
        Bio(Owned(bio, PhantomData))
    }

    /// Puts other data in front of the bio.
    #[inline]
    pub fn set_data(&mut self, data: T::Data) {
        // SAFETY: By the invariants of `Owned` the structure is valid, and ours.
        unsafe { (*self.0.front()).data.write(data) };
    }

    /// Sets where on the device the bio starts.
    #[inline]
    pub fn set_sector(&mut self, sector: u64) {
        self.0.as_mut().bi_iter.bi_sector = sector;
    }

    /// Where on the device the bio starts.
    #[inline]
    pub fn sector(&self) -> u64 {
        self.0.as_ref().bi_iter.bi_sector
    }

    /// Takes over what the caller of read(2) or write(2) wants the device to know.
    #[inline]
    pub fn set_hints<F: KiocbOwner>(&mut self, iocb: &Iocb<F>) {
        let bio = self.0.as_mut();
        bio.bi_ioprio = iocb.ioprio();
        bio.bi_write_hint = write_hint(iocb.inode());
        if iocb.is_nowait() {
            bio.bi_opf |= 1 << bindings::req_flag_bits___REQ_NOWAIT;
        }
    }

    /// How many bytes the bio has.
    #[inline]
    pub fn size(&self) -> usize {
        self.0.as_ref().bi_iter.bi_size as usize
    }

    /// The data that was given to [`Bio::alloc`].
    #[inline]
    pub fn data(&self) -> T::Data {
        self.0.data()
    }

    /// Adds memory from `iter`, and advances that by as much: `max` bytes at most, and only so much
    /// that the bio gets a multiple of `len_mask + 1` bytes. Returns how much.
    ///
    /// It is less than `max` when the bio is full. User pages are pinned. Fails if nothing can be
    /// added: `EFAULT` if there is no such memory, `EINVAL` if it is not aligned to
    /// `mem_mask + 1`, or is in so many small pieces that a full bio is too short for `len_mask`.
    /// `EINVAL` also for a bio that reads if the memory is not to be written to, the other way
    /// round, and if the bio has memory of another kind already.
    pub fn add_iter(
        &mut self,
        iter: &mut IovIter<'_>,
        max: usize,
        mem_mask: u32,
        len_mask: u32,
    ) -> Result<usize> {
        let before = self.size();
        let max = max.min(BIO_MAX_SIZE.saturating_sub(before));
        if iter.is_dest() != self.0.is_read() {
            return Err(EINVAL);
        }
        let pin = iter.extract_will_pin();
        // INVARIANT: Either all segments are pinned or none is, those of zero pages included, see
        // `add_zeroes`, which excludes the flag.
        if before != 0 && self.0.is_pinned() != pin {
            return Err(EINVAL);
        }
        if pin {
            self.0.as_mut().bi_flags |= 1 << bindings::BIO_PAGE_PINNED;
        } else {
            self.0.as_mut().bi_flags &= !(1 << bindings::BIO_PAGE_PINNED);
            // SAFETY: By the invariants of `Owned` the structure is valid, and ours.
            unsafe { (*self.0.front()).borrows = true };
        }

        let mut stopped = Ok(());
        loop {
            let bio = self.0.as_mut();
            let left = max - (bio.bi_iter.bi_size as usize - before);
            if left == 0 || iter.count() == 0 || bio.bi_vcnt >= bio.bi_max_vecs {
                break;
            }
            // SAFETY: The bio is ours and has a table of `bi_max_vecs` segments, of which
            // `bi_vcnt` are in use. The iterator is valid.
            let ret = unsafe {
                bindings::iov_iter_extract_bvecs(
                    iter.as_ptr(),
                    bio.bi_io_vec,
                    left,
                    &raw mut bio.bi_vcnt,
                    bio.bi_max_vecs,
                    mem_mask,
                    0,
                )
            };
            if ret <= 0 {
                stopped = to_result(ret as i32);
                break;
            }
            bio.bi_iter.bi_size += ret as u32;
        }

        let excess = self.size() & len_mask as usize;
        self.trim(iter, excess.min(self.size() - before));
        match self.size() - before {
            0 => Err(stopped.err().unwrap_or(EINVAL)),
            added => Ok(added),
        }
    }

    /// Gives the last `bytes` bytes, which came from `iter`, back to it.
    fn trim(&mut self, iter: &mut IovIter<'_>, bytes: usize) {
        if bytes == 0 {
            return;
        }
        // SAFETY: The iterator was advanced by at least `bytes` while these were added to the bio.
        unsafe { bindings::iov_iter_revert(iter.as_ptr(), bytes) };

        let pinned = self.0.is_pinned();
        let bio = self.0.as_mut();
        bio.bi_iter.bi_size -= bytes as u32;
        let mut bytes = bytes as u32;
        while bytes != 0 && bio.bi_vcnt != 0 {
            // SAFETY: The table has more than `bi_vcnt - 1` segments, and the bio is ours.
            let bv = unsafe { &mut *bio.bi_io_vec.add(usize::from(bio.bi_vcnt) - 1) };
            let pages = pages(bv);
            let cut = bytes.min(bv.bv_len);
            bv.bv_len -= cut;
            bytes -= cut;
            let gone = pages - self::pages(bv);
            if pinned && gone != 0 && !cfg!(mutant = "kfs-trim-leak") {
                // SAFETY: A segment lies in one folio, every page of it was pinned once, and the
                // last `gone` of them are not part of the bio any more.
                unsafe {
                    bindings::unpin_user_folio(bindings::page_folio(bv.bv_page), gone as usize)
                };
            }
            if bv.bv_len == 0 {
                bio.bi_vcnt -= 1;
            }
        }
    }

    /// Adds `len` bytes of zeroes to a bio that has nothing but zeroes; returns how many fit. None
    /// do in a bio that reads.
    pub fn add_zeroes(&mut self, len: usize) -> usize {
        let before = self.size();
        if self.0.is_read() {
            return 0;
        }
        while self.size() - before < len && !self.0.is_pinned() {
            let chunk = (len - (self.size() - before)).min(kernel::page::PAGE_SIZE);
            // SAFETY: The bio is ours. The zero page is never freed, so it needs no pin.
            let added = unsafe {
                bindings::bio_add_page(self.0 .0.as_ptr(), bindings::zero_page(), chunk as u32, 0)
            };
            if added == 0 {
                break;
            }
        }
        self.size() - before
    }

    /// Hands the bio to the block layer. `owner` gets it back in [`BioOwner::end_io`].
    ///
    /// `iocb` is that of the request that the memory comes from. It cannot end before
    /// [`EndedBio::complete`], if the memory is no longer there then.
    #[inline]
    pub fn submit<F: KiocbOwner>(self, owner: BioArc<T>, iocb: &Iocb<F>) {
        // SAFETY: By the invariants of `Owned` the structure is valid, and ours.
        unsafe {
            let front = self.0.front();
            if (*front).borrows {
                (*front).lender = iocb.lend();
            }
        }
        let bio = self.0 .0;
        #[cfg(mutant = "kfs-retry-issues")]
        // SAFETY: As in `issue_again`.
        unsafe {
            (*self.0.front()).iter = (*bio.as_ptr()).bi_iter
        };
        // The block layer owns it from here.
        mem::forget(self);
        // SAFETY: By the invariants of `Owned` the bio is valid and ours.
        unsafe {
            (*bio.as_ptr()).bi_private = owner.into_foreign();
            (*bio.as_ptr()).bi_end_io = Some(end_io::<T>);
            if (*bio.as_ptr()).bi_iter.bi_size == 0 {
                // Nothing to do: the device is not bothered.
                bindings::bio_endio(bio.as_ptr());
            } else {
                bindings::submit_bio(bio.as_ptr());
            }
        }
    }
}

/// How many pages a segment touches.
fn pages(bv: &bindings::bio_vec) -> u32 {
    let page = kernel::page::PAGE_SIZE as u32;
    let end = u64::from(bv.bv_offset) + u64::from(bv.bv_len);
    if bv.bv_len == 0 {
        0
    } else {
        (end.div_ceil(page.into()) as u32) - bv.bv_offset / page
    }
}

/// What user space said about the life time of the data in a file.
fn write_hint<F: FileSystem>(inode: &Inode<F>) -> bindings::rw_hint {
    // SAFETY: The inode is valid. The field may change at any time; it is only a hint.
    unsafe { ptr::read_volatile(&raw const (*inode.as_ptr()).i_write_hint) as bindings::rw_hint }
}

/// The end of every bio that [`Bio::submit`] submitted.
///
/// # Safety
///
/// Called by the block layer as `bi_end_io` of a bio that `Bio::<T>::submit` submitted, once.
unsafe extern "C" fn end_io<T: BioOwner>(bio: *mut bindings::bio) {
    // SAFETY: `submit` stored a reference to the owner there, and this is called once.
    let owner = unsafe { BioArc::<T>::from_foreign((*bio).bi_private) };
    // SAFETY: The block layer passes a valid bio and gives it up.
    let bio = unsafe { NonNull::new_unchecked(bio) };
    // INVARIANT: As they held when `submit` gave the bio away: the block layer does not change the
    // table of segments, nor the flag.
    T::end_io(owner, EndedBio(Owned(bio, PhantomData)));
}

/// A bio that has ended.
///
/// If it is dropped, the pages of a read are not marked dirty, and memory that was lent does not
/// count as given back: use [`EndedBio::complete`].
pub struct EndedBio<T: BioOwner>(Owned<T>);

impl<T: BioOwner> EndedBio<T> {
    /// Gives the memory back and says how it went. Pages of user memory that were read into are
    /// marked dirty, which may sleep. `iocb` is that of [`Bio::submit`].
    #[inline]
    pub fn complete<F: KiocbOwner>(mut self, iocb: &Iocb<F>) -> (T::Data, Result) {
        #[cfg(mutant = "kfs-retry-issues")]
        self.0.issue_again();
        let bio = self.0.as_ref();
        let is_read = self.0.is_read();
        let result = if bio.bi_status == 0 {
            Ok(())
        } else {
            // SAFETY: The function takes any status.
            to_result(unsafe { bindings::blk_status_to_errno(bio.bi_status) })
        };
        self.0
            .release_pages(is_read && !cfg!(mutant = "kfs-read-clean"));
        // SAFETY: By the invariants of `Owned` the structure is valid.
        let lender = unsafe { (*self.0.front()).lender };
        if !lender.is_null() {
            iocb.give_back(lender);
        }
        (self.0.data(), result)
    }
}

/// Accounts `bytes` bytes to the current task, as written by it.
#[inline]
pub fn task_io_account_write(bytes: usize) {
    // SAFETY: Changes a counter of the current task.
    unsafe { bindings::task_io_account_write(bytes) };
}

/// The bits of `bi_opf` that say what to do, as opposed to how.
const REQ_OP_MASK: bindings::blk_opf_t = (1 << bindings::REQ_OP_BITS) - 1;

/// A list of ended bios, linked through the bios.
///
/// # Invariants
///
/// `head` and the `bi_next` of the bios make a list that ends with `tail`, whose `bi_next` is null;
/// both are null if it is empty. The list owns the bios, as [`EndedBio`] does.
pub struct BioList<T: BioOwner> {
    head: *mut bindings::bio,
    tail: *mut bindings::bio,
    _p: PhantomData<EndedBio<T>>,
}

// SAFETY: The list owns its bios, and these are `Send`.
unsafe impl<T: BioOwner> Send for BioList<T> {}

impl<T: BioOwner> BioList<T> {
    /// An empty list.
    #[inline]
    pub const fn new() -> Self {
        // INVARIANT: The list is empty.
        BioList {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
            _p: PhantomData,
        }
    }

    /// Appends a bio.
    #[inline]
    pub fn push(&mut self, bio: EndedBio<T>) {
        let bio = mem::ManuallyDrop::new(bio).0 .0.as_ptr();
        // SAFETY: The bio is ours and so is, by the type invariants, the last one of the list.
        // INVARIANT: The bio becomes the last one.
        unsafe {
            (*bio).bi_next = ptr::null_mut();
            if self.tail.is_null() {
                self.head = bio;
            } else {
                (*self.tail).bi_next = bio;
            }
        }
        self.tail = bio;
    }

    /// Takes the first bio.
    #[inline]
    pub fn pop(&mut self) -> Option<EndedBio<T>> {
        let bio = NonNull::new(self.head)?;
        // SAFETY: By the type invariants the first bio is ours.
        // INVARIANT: The list starts with the next one, or is empty.
        unsafe {
            self.head = (*bio.as_ptr()).bi_next;
            (*bio.as_ptr()).bi_next = ptr::null_mut();
        }
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        // INVARIANT: The list gave it up, and it was given to the list as an `EndedBio`.
        Some(EndedBio(Owned(bio, PhantomData)))
    }
}

impl<T: BioOwner> Default for BioList<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: BioOwner> Drop for BioList<T> {
    fn drop(&mut self) {
        while let Some(bio) = self.pop() {
            drop(bio);
        }
    }
}
