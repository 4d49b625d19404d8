// SPDX-License-Identifier: GPL-2.0

//! Objects that are shared by reference counting, as with `Arc`, and lie in front of a bio.
//!
//! A request has bios, and needs memory of its own for as long as these are in flight. If it
//! has one bio, as most have, one allocation can do for both; and it is one that the block layer
//! caches. So `BioArc::alloc` makes the request and its first bio together. The memory is
//! freed when the last reference to the request is dropped; its bio owns one of them.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::deferral::Deferral;
use super::front::{BioData, Front};
use super::pool::{self, Cache, RawSet};
use crate::bindings;
use crate::block::bdev::BlockDevice;
use crate::compat::raw_init;
use crate::types::DropInAtomic;
use core::marker::PhantomData;
use core::mem::{align_of, offset_of, ManuallyDrop, MaybeUninit};
use core::ops::Deref;
use core::ptr::{self, NonNull};
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::Refcount;
use kernel::types::ForeignOwnable;

/// An object, followed by its bio.
#[repr(C)]
pub(super) struct WithOwner<T: BioData> {
    refs: Refcount,
    /// How many bios in flight have memory that was lent to them.
    loans: Atomic<u32>,
    pub(super) deferral: Deferral,
    /// Initialised while the bio is in flight that was submitted with it.
    pub(super) carried: MaybeUninit<T::Carried>,
    owner: T,
    front: Front<T::Data>,
}

impl<T: BioData> WithOwner<T> {
    /// Where in it the object is, in bytes.
    pub(super) const OWNER: usize = offset_of!(WithOwner<T>, owner);
    /// Where in it the bio is, in bytes.
    pub(super) const BIO: usize = offset_of!(WithOwner<T>, front) + offset_of!(Front<T::Data>, bio);
}

/// A source of bios with an object in front of each.
///
/// # Invariants
///
/// There is room for a `WithOwner<T>` in front of the end of each bio.
pub struct BioArcSet<T: BioData> {
    raw: RawSet,
    _owner: PhantomData<fn(T) -> T>,
}

impl<T: BioData> BioArcSet<T> {
    /// Makes a set with `reserve` bios that are kept for when memory is short.
    pub fn new(reserve: u32) -> Result<Self> {
        Self::with_cache(reserve, Cache::Slab)
    }

    /// Makes a set that keeps freed ones in lists for each processor, up to 256 in each: for all
    /// filesystems of a type, since that memory is given back only with the set.
    pub fn new_cached(reserve: u32) -> Result<Self> {
        Self::with_cache(reserve, Cache::PerCpu)
    }

    fn with_cache(reserve: u32, cache: Cache) -> Result<Self> {
        // The slab of the set aligns the whole object only as a bio needs it.
        const {
            assert!(align_of::<WithOwner<T>>() <= 8);
        }
        // INVARIANT: The front pad makes the bio the field of a `WithOwner<T>`.
        Ok(BioArcSet {
            raw: RawSet::new(reserve, WithOwner::<T>::BIO, true, cache)?,
            _owner: PhantomData,
        })
    }

    /// Allocates a bio with room for an object in front of it, which is not initialised. `None` if
    /// memory is short and `gfp` does not allow to wait.
    #[inline(always)]
    pub(super) fn alloc(
        &self,
        bdev: &BlockDevice,
        nr_vecs: u16,
        opf: bindings::blk_opf_t,
        gfp: bindings::gfp_t,
    ) -> Option<NonNull<bindings::bio>> {
        self.raw.alloc(bdev, nr_vecs, opf, gfp)
    }
}

/// A reference to an object in front of a bio.
///
/// # Invariants
///
/// The pointer is a `WithOwner<T>` from a `BioArcSet<T>`, whose `owner` is initialised, is not
/// moved, and is counted in `refs` for this value.
pub struct BioArc<T: BioData>(NonNull<WithOwner<T>>);

// SAFETY: The object is dropped, if this was the last reference, as by `BioData` it may be in any context,
// and so may a bio be freed.
unsafe impl<T: BioData> DropInAtomic for BioArc<T> {}
// SAFETY: As for `Arc`: the object may be used by several threads, and dropped by any of them,
// since `BioData` asks for `Send` and `Sync`. A bio may be freed by any thread.
unsafe impl<T: BioData> Send for BioArc<T> {}
// SAFETY: As above.
unsafe impl<T: BioData> Sync for BioArc<T> {}

impl<T: BioData> BioArc<T> {
    /// Makes an object with `init` in front of a bio, which gets `data` and one of the first two
    /// references to it; the other one is returned.
    ///
    /// # Safety
    ///
    /// `bio` must be from a [`BioArcSet<T>`], and new: not used by anybody else.
    #[inline(always)]
    pub(super) unsafe fn in_front_of(
        bio: NonNull<bindings::bio>,
        data: T::Data,
        init: impl PinInit<T>,
    ) -> Self {
        // SAFETY: By the invariants of the set the bio is the field of such a structure, which is
        // not used by anybody else.
        let front = unsafe { bio.byte_sub(WithOwner::<T>::BIO).cast::<WithOwner<T>>() };
        // SAFETY: As above; the object stays where it is until it is dropped.
        unsafe {
            (&raw mut (*front.as_ptr()).refs).write(Refcount::new(2));
            (&raw mut (*front.as_ptr()).loans).write(Atomic::new(0));
            Deferral::init(&raw mut (*front.as_ptr()).deferral);
            Front::init(
                NonNull::new_unchecked(&raw mut (*front.as_ptr()).front),
                data,
            );
            raw_init(&raw mut (*front.as_ptr()).owner, init);
        }
        // INVARIANT: The object is initialised; of the two references one is for this value, and
        // one is for the bio.
        BioArc(front)
    }

    /// What lies in front of a bio.
    ///
    /// # Safety
    ///
    /// `bio` must be from a [`BioArcSet<T>`].
    #[inline]
    pub(super) unsafe fn front_of(bio: NonNull<bindings::bio>) -> NonNull<WithOwner<T>> {
        // SAFETY: By the invariants of the set the bio is the field of such a structure.
        unsafe { bio.byte_sub(WithOwner::<T>::BIO).cast() }
    }

    /// Takes the reference that a bio owns to the object in front of it.
    ///
    /// # Safety
    ///
    /// `bio` must be from a [`BioArcSet<T>`], and give the reference up.
    #[inline]
    pub(super) unsafe fn of_bio(bio: NonNull<bindings::bio>) -> Self {
        // INVARIANT: The bio has owned a reference since `alloc`.
        // SAFETY: By the requirement.
        BioArc(unsafe { Self::front_of(bio) })
    }

    /// Gives up the reference: the pointer owns it.
    #[inline]
    pub(super) fn into_front(self) -> NonNull<WithOwner<T>> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    ///
    /// `front` must be from [`BioArc::into_front`], and that reference be given up.
    #[inline]
    pub(super) unsafe fn from_front(front: NonNull<WithOwner<T>>) -> Self {
        // INVARIANT: They held for the value that was given to `into_front`.
        BioArc(front)
    }

    /// Counts a bio that has memory on loan and is about to be submitted. There is no room for so many
    /// that the count would overflow.
    #[inline]
    pub(super) fn lend(&self) {
        // SAFETY: By the type invariants the structure exists.
        unsafe { (*self.0.as_ptr()).loans.add(1, ordering::Relaxed) };
    }

    /// Counts a bio with memory on loan as ended.
    ///
    /// # Safety
    ///
    /// It must have been counted by [`BioArc::lend`], once for each call.
    #[inline]
    pub(super) unsafe fn give_back(&self) {
        // SAFETY: By the type invariants the structure exists.
        unsafe { (*self.0.as_ptr()).loans.fetch_sub(1, ordering::Release) };
    }

    /// Whether a bio in flight has memory on loan (see [`Lends`](super::Lends)). Any context.
    #[inline]
    pub(crate) fn has_loans(&self) -> bool {
        // SAFETY: By the type invariants the structure exists.
        unsafe { (*self.0.as_ptr()).loans.load(ordering::Acquire) != 0 }
    }

    /// Whether `foreign`, from `into_foreign`, is this object.
    #[inline]
    pub(crate) fn is(&self, foreign: *const c_void) -> bool {
        ptr::eq(ptr::from_ref(&**self).cast(), foreign)
    }

    /// The reference that a pointer from `into_foreign` owns.
    ///
    /// # Safety
    ///
    /// The reference must not be given up as long as the value is used.
    #[inline]
    pub(crate) unsafe fn owned_by(foreign: *mut c_void) -> ManuallyDrop<Self> {
        // SAFETY: By the requirement the reference is there, and it is not dropped.
        ManuallyDrop::new(unsafe { Self::from_raw(foreign.cast()) })
    }

    /// Drops the reference, which is the last one as a rule, with no call of a function for that.
    #[inline(always)]
    pub(super) fn put(self) {
        // SAFETY: The value is not used, nor dropped, any more.
        unsafe { ManuallyDrop::new(self).drop_reference() };
    }

    /// # Safety
    ///
    /// It is not used, nor dropped, any more.
    #[inline(always)]
    unsafe fn drop_reference(&self) {
        // SAFETY: By the type invariants the structure exists.
        if unsafe { (*self.0.as_ptr()).refs.dec_and_test() } {
            // SAFETY: This was the last reference.
            unsafe { free(self.0) };
        }
    }

    /// As [`BioArc::into_front`], with a pointer to the object.
    #[inline]
    fn into_raw(self) -> *mut T {
        // SAFETY: By the type invariants the structure exists.
        unsafe { &raw mut (*self.into_front().as_ptr()).owner }
    }

    /// # Safety
    ///
    /// `owner` must be from [`BioArc::into_raw`], and that reference be given up.
    #[inline]
    unsafe fn from_raw(owner: *mut T) -> Self {
        // INVARIANT: They held for the value that was given to `into_raw`.
        // SAFETY: By the requirement the object is a field of such a structure, which is not null.
        unsafe {
            let front = owner.byte_sub(offset_of!(WithOwner<T>, owner)).cast();
            BioArc(NonNull::new_unchecked(front))
        }
    }
}

impl<T: BioData> Deref for BioArc<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariants the object is initialised, and exists while it is counted.
        // The reference is to the object alone: the bio behind it may be the block layer's.
        unsafe { &(*self.0.as_ptr()).owner }
    }
}

impl<T: BioData> Clone for BioArc<T> {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: By the type invariants the structure exists.
        unsafe { (*self.0.as_ptr()).refs.inc() };
        // INVARIANT: It has just been counted.
        BioArc(self.0)
    }
}

impl<T: BioData> Drop for BioArc<T> {
    fn drop(&mut self) {
        // SAFETY: This is the end of the value.
        unsafe { self.drop_reference() };
    }
}

/// # Safety
///
/// There must be no reference any more.
unsafe fn free<T: BioData>(front: NonNull<WithOwner<T>>) {
    let front = front.as_ptr();
    // SAFETY: By the requirement nobody uses the object, and, as the bio would own a reference, nobody uses
    // the bio, which is from a `BioArcSet`.
    unsafe {
        (&raw mut (*front).owner).drop_in_place();
        pool::put(NonNull::new_unchecked((*front).front.bio.get()));
    }
}

// SAFETY: `into_foreign` returns a pointer that is aligned as `FOREIGN_ALIGN` says and not null,
// and the references are those that `BioArc` counts.
unsafe impl<T: BioData> ForeignOwnable for BioArc<T> {
    const FOREIGN_ALIGN: usize = align_of::<T>();

    type Borrowed<'a> = &'a T;
    type BorrowedMut<'a> = &'a T;

    #[inline]
    fn into_foreign(self) -> *mut c_void {
        self.into_raw().cast()
    }

    #[inline]
    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // SAFETY: By the requirements it comes from `into_foreign`, and is given up.
        unsafe { Self::from_raw(ptr.cast()) }
    }

    #[inline]
    unsafe fn borrow<'a>(ptr: *mut c_void) -> &'a T {
        // SAFETY: By the requirements it comes from `into_foreign`, whose reference is kept for
        // `'a`.
        unsafe { &*ptr.cast::<T>() }
    }

    #[inline]
    unsafe fn borrow_mut<'a>(ptr: *mut c_void) -> &'a T {
        // SAFETY: The requirements are more than those of `borrow`.
        unsafe { <Self as ForeignOwnable>::borrow(ptr) }
    }
}
