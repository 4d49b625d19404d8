// SPDX-License-Identifier: GPL-2.0

//! Where bios come from: a `struct bio_set` that counts its bios.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use crate::bindings;
use crate::block::bdev::BlockDevice;
use crate::sync::completion::Completion;
use core::ptr::NonNull;
use kernel::error::{from_err_ptr, to_result};
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::types::Opaque;

/// Where a bio comes from when memory is not short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cache {
    /// The slab.
    Slab,
    /// A list of freed ones for each processor, then the slab. Such a list has up to 256 bios, which no
    /// shrinker can reclaim: for sets of which there are few.
    PerCpu,
    /// The slab; the bios are clones of others, and have no segments of their own.
    Clones,
}

/// The most segments a bio can have.
pub const BIO_MAX_VECS: u16 = bindings::BIO_MAX_VECS as u16;

/// What the bios of a set point to.
#[pin_data]
struct Pool {
    #[pin]
    set: Opaque<bindings::bio_set>,
    /// How many bios of the set exist, and one for the set itself.
    live: Atomic<usize>,
    /// The last of them has been freed.
    #[pin]
    empty: Completion,
    /// Whether an object lies in front of each bio.
    has_owner: bool,
}

/// A bio set, whatever is in front of its bios.
///
/// # Invariants
///
/// `set` is an initialised bio set. `live` is at least the number of its bios that are not freed,
/// and one more.
pub(super) struct RawSet(Pin<KBox<Pool>>);

// SAFETY: A bio set may be used and destroyed by any thread.
unsafe impl Send for RawSet {}
// SAFETY: The functions of the bio set lock for themselves, and so do atomics and completions.
unsafe impl Sync for RawSet {}

impl RawSet {
    /// Makes a set that keeps `reserve` bios for when memory is short, with `front_pad` bytes in
    /// front of each.
    pub(super) fn new(
        reserve: u32,
        front_pad: usize,
        has_owner: bool,
        cache: Cache,
    ) -> Result<Self> {
        let flags = match cache {
            Cache::Slab => bindings::BIOSET_NEED_BVECS,
            Cache::Clones => 0,
            Cache::PerCpu => bindings::BIOSET_NEED_BVECS | bindings::BIOSET_PERCPU_CACHE,
        };
        let pool = KBox::pin_init(
            pin_init!(Pool {
                set: Opaque::zeroed(),
                live: Atomic::new(1),
                empty <- Completion::new(),
                has_owner,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: All zeroes is what `bioset_init` expects, and the set is in a box and does not
        // move from here on.
        to_result(unsafe {
            bindings::bioset_init(pool.set.get(), reserve, front_pad as u32, flags as i32)
        })?;
        // INVARIANT: `bioset_init` succeeded, and there is no bio yet.
        Ok(RawSet(pool))
    }

    /// Allocates a bio with room for `nr_vecs` segments, one to [`BIO_MAX_VECS`], and counts it. `None` if memory is
    /// short and `gfp` does not allow to wait.
    #[inline(always)]
    pub(super) fn alloc(
        &self,
        bdev: &BlockDevice,
        nr_vecs: u16,
        opf: bindings::blk_opf_t,
        gfp: bindings::gfp_t,
    ) -> Option<NonNull<bindings::bio>> {
        let nr_vecs = nr_vecs.clamp(1, BIO_MAX_VECS);
        // SAFETY: By the invariants of `BlockDevice` and `RawSet`, the device is open and the set
        // initialised. There is no slab for more segments than these.
        let bio = NonNull::new(unsafe {
            bindings::bio_alloc_bioset(bdev.as_raw(), nr_vecs, opf, gfp, self.0.set.get())
        })?;
        self.0.live.add(1, ordering::Relaxed);
        Some(bio)
    }
}

impl RawSet {
    /// Splits the first `sectors` sectors off a bio, and counts the new one, which has the same segments and no owner. `None`
    /// if memory is short and `gfp` does not allow to wait.
    ///
    /// # Safety
    ///
    /// The bio must be valid, not be used by anybody else, and have more sectors than these, which must not be none. The new one must
    /// not be used when it has ended.
    pub(super) unsafe fn split(
        &self,
        bio: NonNull<bindings::bio>,
        sectors: u32,
        gfp: bindings::gfp_t,
    ) -> Option<NonNull<bindings::bio>> {
        // SAFETY: By the requirements, and the type invariants.
        let part = from_err_ptr(unsafe {
            bindings::bio_split(bio.as_ptr(), sectors as i32, gfp, self.0.set.get())
        });
        let part = NonNull::new(part.ok()?)?;
        self.0.live.add(1, ordering::Relaxed);
        Some(part)
    }
}

impl Drop for RawSet {
    /// Sleeps until the last bio is freed: a task that waits for a bio to end may go on before the
    /// context that ended the bio has dropped its reference.
    fn drop(&mut self) {
        if self.0.live.fetch_sub(1, ordering::Full) != 1 {
            self.0.empty.wait_for_completion_io();
        }
        // SAFETY: By the type invariants the set is initialised. It has no bio: by the full
        // ordering, the `bio_put` of each was before `live` became zero.
        unsafe { bindings::bioset_exit(self.0.set.get()) };
    }
}

/// The pool of a bio.
///
/// # Safety
///
/// `bio` must be from a [`RawSet`].
#[inline]
unsafe fn pool_of(bio: NonNull<bindings::bio>) -> *const Pool {
    // SAFETY: By the requirement the set of the bio is the field of a `Pool`.
    unsafe {
        let set = Opaque::cast_from((*bio.as_ptr()).bi_pool).cast_mut();
        kernel::container_of!(set, Pool, set)
    }
}

/// Whether an object lies in front of the bio.
///
/// # Safety
///
/// `bio` must be from a [`RawSet`] that has not been freed.
#[inline]
pub(super) unsafe fn has_owner(bio: NonNull<bindings::bio>) -> bool {
    // SAFETY: By the requirement; a set exists until its last bio is freed.
    unsafe { (*pool_of(bio)).has_owner }
}

/// Frees a bio.
///
/// # Safety
///
/// `bio` must be from a [`RawSet`] that nobody uses any more.
#[inline]
pub(super) unsafe fn put(bio: NonNull<bindings::bio>) {
    // SAFETY: By the requirement. The pool exists until `live` has become zero, and if it is this
    // call that does that, until `complete` has let the waiter go, which it does last. The code of
    // the module exists until those who call this have returned: see `Registration`.
    unsafe {
        let pool = pool_of(bio);
        bindings::bio_put(bio.as_ptr());
        if (*pool).live.fetch_sub(1, ordering::Full) == 1 {
            (*pool).empty.complete();
        }
    }
}
