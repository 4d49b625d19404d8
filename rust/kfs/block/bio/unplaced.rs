// SPDX-License-Identifier: GPL-2.0

//! Bios that are ready, and of which it is not known yet where on the device they read.
//!
//! The submitter of a request has its memory, and somebody else, later, looks up the blocks. All that belongs to the
//! request is done by the former already, as for [`ReadyBios`](super::ReadyBios). The blocks need not be one run: then
//! each run is a bio of its own, which shares the table of segments with this one, and this one has ended when all of
//! them have (see `bio_split` and `bio_chain`).
//!
//! ```ignore
//! let mut left = Some(bio);
//! while let Some(bio) = left.take() {
//!     left = match next_run()? {
//!         Run::Mapped { sector, bytes } => bio.read(sector, bytes, may_sleep),
//!         Run::Hole { bytes } => bio.zero(bytes, may_sleep),
//!     };
//! }
//! ```
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::arc::BioArc;
use super::build::{submit_prepared, Bio};
use super::ended::BioOwner;
use super::lender::Lends;
use super::op::SECTOR_SIZE;
use crate::bindings;
use crate::iov::IovIterDest;
use crate::task::MaySleep;
use crate::types::DropInAtomic;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::error::from_err_ptr;
use kernel::prelude::*;

/// A bio that reads, and is to be told from where, for some bytes after the other. If it is dropped it fails with
/// `EIO`.
///
/// # Invariants
///
/// The bio reads, belongs to this, and is as `Bio::prepare` leaves it, but that its first bytes may have been split off,
/// for bios that it is chained to.
pub struct UnplacedBio(NonNull<bindings::bio>);

// SAFETY: The bio is ended, as it may be in any context.
unsafe impl DropInAtomic for UnplacedBio {}
// SAFETY: A bio may be submitted and ended by any thread, and the owner that it refers to is `Send`, by `BioData`.
unsafe impl Send for UnplacedBio {}

impl UnplacedBio {
    /// Has the next `bytes` bytes read from `sector` of the device on, in sectors of
    /// [`SECTOR_SIZE`](super::SECTOR_SIZE), of which `bytes` is a multiple. Returns the rest, if there is one. May sleep.
    pub fn read(self, sector: u64, bytes: u32, may_sleep: MaySleep<'_>) -> Option<Self> {
        self.next(bytes, may_sleep, |bio| {
            // SAFETY: The bio is valid and given up. `prepare` has set up what the whole of it needs, and
            // `bio_chain` what a part does.
            unsafe {
                (*bio.as_ptr()).bi_iter.bi_sector = sector;
                submit_prepared(bio);
            }
        })
    }

    /// Fills the memory of the next `bytes` bytes with zeroes; as [`UnplacedBio::read`].
    pub fn zero(self, bytes: u32, may_sleep: MaySleep<'_>) -> Option<Self> {
        self.next(bytes, may_sleep, |bio| {
            // SAFETY: The bio is valid, its segments are, and it is given up.
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

    /// Splits the next `bytes` bytes off and passes them to `f`, which submits or ends the bio that it gets.
    fn next(
        self,
        bytes: u32,
        _: MaySleep<'_>,
        f: impl FnOnce(NonNull<bindings::bio>),
    ) -> Option<Self> {
        let bio = self.0.as_ptr();
        // SAFETY: By the type invariants the bio is valid and ours.
        let left = unsafe { (*bio).bi_iter.bi_size };
        if bytes >= left {
            f(self.into_raw());
            return None;
        }
        let sectors = bytes / SECTOR_SIZE as u32;
        if sectors == 0 {
            return Some(self);
        }
        // SAFETY: By the type invariants the bio is valid and ours, and it has more sectors than these, which are some.
        // The set of the kernel's is there from boot on. With flags that allow to wait it takes from the reserve: the one
        // before was submitted.
        let part = from_err_ptr(unsafe {
            bindings::bio_split(
                bio,
                sectors as i32,
                bindings::GFP_NOFS,
                &raw mut bindings::fs_bio_set,
            )
        });
        let Some(part) = part.ok().and_then(NonNull::new) else {
            // Dropped: it fails.
            return None;
        };
        // SAFETY: The part was just made, and nobody else has it. This bio does not end before it has, so that the
        // segments stay.
        unsafe { bindings::bio_chain(part.as_ptr(), bio) };
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
            (*self.0.as_ptr()).bi_status = bindings::errno_to_blk_status(EIO.to_errno());
            bindings::bio_endio(self.0.as_ptr());
        }
    }
}

impl<'data, T: BioOwner> Bio<IovIterDest<'data>, T> {
    /// As [`Bio::submit`], but the bio is not handed to the block layer, as it is not known yet where on the device it
    /// reads.
    pub fn unplaced<L: Lends<'data, T>>(self, owner: BioArc<T>, lender: &L) -> UnplacedBio {
        // INVARIANT: It reads, was just prepared, and is given up.
        UnplacedBio(self.prepare(owner, lender))
    }
}
