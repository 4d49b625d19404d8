// SPDX-License-Identifier: GPL-2.0

//! Bios that are ready, and of which it is not known yet where on the device they read.
//!
//! The submitter of a request has its memory, and somebody else, later, looks up the blocks. All that belongs to the
//! request is done by the former already, as for [`ReadyBios`](super::ReadyBios). The blocks need not be one run: then
//! each run is a part, a bio of a [`PartSet`], which shares the table of segments with this one, and this one has ended
//! when all of them have.
//!
//! ```ignore
//! let mut left = Some(bio);
//! while let Some(bio) = left.take() {
//!     left = match next_run()? {
//!         Run::Mapped { sector, bytes } => bio.read(sector, bytes, &parts, may_sleep),
//!         Run::Hole { bytes } => bio.zero(bytes, &parts, may_sleep),
//!     };
//! }
//! ```
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::arc::BioArc;
use super::build::Bio;
use super::ended::BioOwner;
use super::lender::Lends;
use super::op::SECTOR_SIZE;
use super::pool::{self, Cache, RawSet};
use super::submit::submit_whole_bio;
use crate::bindings;
use crate::iov::IovIterDest;
use crate::sync::once::{read_once, write_once};
use crate::task::MaySleep;
use crate::types::DropInAtomic;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A source of parts, with a reserve. Who waits for a part to be freed waits for the device, or for a limit of a cgroup, and for
/// no task: parts are freed where they end.
pub struct PartSet(RawSet);

impl PartSet {
    /// Makes a set with `reserve` parts that are kept for when memory is short. May sleep; `ENOMEM`.
    pub fn new(reserve: u32) -> Result<Self> {
        Ok(PartSet(RawSet::new(reserve, 0, false, Cache::Clones)?))
    }
}

/// A bio that reads, and is to be told from where, for some bytes after the other. If it is dropped it fails with
/// `EIO`.
///
/// # Invariants
///
/// The bio reads into pinned memory, belongs to this, and is as `Bio::prepare` leaves it, but that its first bytes may have
/// been split off. Each part that was, and has not ended, is counted in `__bi_remaining`.
pub struct UnplacedBio(NonNull<bindings::bio>);

// SAFETY: The bio is ended, as it may be in any context.
unsafe impl DropInAtomic for UnplacedBio {}
// SAFETY: A bio may be submitted and ended by any thread, and the owner that it refers to is `Send`, by `BioData`.
unsafe impl Send for UnplacedBio {}

impl UnplacedBio {
    /// Has the next `bytes` bytes read from `sector` of the device on, in sectors of
    /// [`SECTOR_SIZE`](super::SECTOR_SIZE), of which `bytes` is a multiple, and not zero: or else the bio fails; and so does what
    /// is not whole logical blocks, as for [`Bio::submit`]. Returns the rest, if there is one. May sleep, until another part of the
    /// set has ended if memory is short.
    pub fn read(
        self,
        sector: u64,
        bytes: u32,
        parts: &PartSet,
        may_sleep: MaySleep<'_>,
    ) -> Option<Self> {
        self.next(bytes, parts, may_sleep, |bio| {
            // SAFETY: The bio is valid and given up; it has bytes, and what happens at its end is set up.
            unsafe {
                (*bio.as_ptr()).bi_iter.bi_sector = sector;
                submit_whole_bio(bio);
            }
        })
    }

    /// Fills the memory of the next `bytes` bytes with zeroes; as [`UnplacedBio::read`].
    pub fn zero(self, bytes: u32, parts: &PartSet, may_sleep: MaySleep<'_>) -> Option<Self> {
        self.next(bytes, parts, may_sleep, |bio| {
            // SAFETY: The bio is valid and given up, and the pages of its segments are pinned.
            unsafe {
                if !cfg!(mutant = "kfs-punt-not-zeroed") {
                    bindings::zero_fill_bio(bio.as_ptr());
                }
                bindings::bio_endio(bio.as_ptr());
            }
        })
    }

    /// Ends the bio: no more is to be read.
    pub fn end(self) {
        let bio = self.into_raw();
        // SAFETY: By the type invariants it is as `prepare` has left it, and it is given up.
        unsafe { bindings::bio_endio(bio.as_ptr()) };
    }

    /// Splits the next `bytes` bytes off and passes them to `f`, which submits or ends the bio that it gets: a part, or, if
    /// that is all there is, this one.
    fn next(
        self,
        bytes: u32,
        parts: &PartSet,
        _: MaySleep<'_>,
        f: impl FnOnce(NonNull<bindings::bio>),
    ) -> Option<Self> {
        let sectors = bytes / SECTOR_SIZE as u32;
        let is_whole = bytes % SECTOR_SIZE as u32 == 0;
        // SAFETY: By the type invariants the bio is valid and ours.
        let left = unsafe { (*self.0.as_ptr()).bi_iter.bi_size } / SECTOR_SIZE as u32;
        if is_whole && sectors >= left && left != 0 {
            f(self.into_raw());
            return None;
        }
        // Or else this is dropped, and fails.
        let sectors = Some(sectors).filter(|&sectors| is_whole && sectors != 0 && left != 0)?;
        // SAFETY: By the type invariants the bio is valid and ours; it has more sectors than these, which are some.
        let part = unsafe { parts.0.split(self.0, sectors, bindings::GFP_NOFS) }?;
        // SAFETY: The part was just made and nobody else has it. It keeps this bio from ending, so that the segments stay.
        // INVARIANT: It is counted.
        unsafe {
            (*part.as_ptr()).bi_private = self.0.as_ptr().cast();
            (*part.as_ptr()).bi_end_io = Some(part_end_io);
            bindings::bio_inc_remaining(self.0.as_ptr());
        }
        f(part);
        Some(self)
    }

    /// Gives up the bio: the pointer owns it.
    fn into_raw(self) -> NonNull<bindings::bio> {
        ManuallyDrop::new(self).0
    }
}

impl Drop for UnplacedBio {
    fn drop(&mut self) {
        // SAFETY: By the type invariants it is as `prepare` has left it, and this is the end of it.
        unsafe {
            fail(self.0, bindings::errno_to_blk_status(EIO.to_errno()));
            bindings::bio_endio(self.0.as_ptr());
        }
    }
}

/// Records that a part of a bio has failed, unless one has already.
///
/// # Safety
///
/// The bio must be valid, and not have ended.
unsafe fn fail(bio: NonNull<bindings::bio>, status: bindings::blk_status_t) {
    // SAFETY: By the requirement. Of several that fail at once, one counts.
    unsafe {
        let of_all = &raw mut (*bio.as_ptr()).bi_status;
        if read_once(of_all) == 0 {
            write_once(of_all, status);
        }
    }
}

/// The end of a part.
///
/// # Safety
///
/// Called by the block layer as `bi_end_io` of a bio that [`UnplacedBio`] has split off, once.
unsafe extern "C" fn part_end_io(part: *mut bindings::bio) {
    // SAFETY: The block layer passes a valid bio and gives it up; it is from a `RawSet`. It has the bio of which it is a
    // part, which has not ended, as this part is counted in it: `bio_endio` takes that back, and ends the bio when it is the
    // last.
    unsafe {
        let whole = NonNull::new_unchecked((*part).bi_private.cast::<bindings::bio>());
        let status = (*part).bi_status;
        if status != 0 {
            fail(whole, status);
        }
        // Before the end of the request, by which the set may go.
        pool::put(NonNull::new_unchecked(part));
        bindings::bio_endio(whole.as_ptr());
    }
}

impl<'data, T: BioOwner> Bio<IovIterDest<'data>, T> {
    /// As [`Bio::submit`], but the bio is not handed to the block layer, as it is not known yet where on the device it
    /// reads. `None`, and the bio is freed, if its memory is not pinned for it.
    pub fn unplaced<L: Lends<'data, T>>(self, owner: BioArc<T>, lender: &L) -> Option<UnplacedBio> {
        // INVARIANT: It reads into pinned memory, was just prepared, and is given up.
        self.bio
            .is_pinned()
            .then(|| UnplacedBio(self.prepare(owner, lender)))
    }
}
