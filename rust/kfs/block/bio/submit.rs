// SPDX-License-Identifier: GPL-2.0

//! Bios that every driver can take.
//!
//! C headers: [`include/linux/bio.h`](srctree/include/linux/bio.h),
//! [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::op::SECTOR_SIZE;
use crate::bindings;
use crate::sync::once::read_once;
use core::ptr::NonNull;
use kernel::{pr_warn_once, prelude::*};

/// `submit_bio()`, of whole logical blocks: what splits bios for a request queue refuses others, but drivers that have none
/// (pmem, zram) rely on those who submit them. One that is not fails with `EINVAL`, and a warning. May sleep, for a request of
/// the queue, unless `REQ_NOWAIT` is set.
///
/// # Safety
///
/// The bio must be valid, for a device that is open, with bytes, and be given up.
#[inline(always)]
pub(super) unsafe fn submit_whole_bio(bio: NonNull<bindings::bio>) {
    let bio = bio.as_ptr();
    // SAFETY: By the requirement the bio is valid and ours, and an open device has a queue. The limits of that may change at any time;
    // this one is read once. The block layer owns the bio from here.
    unsafe {
        let queue = (*(*bio).bi_bdev).bd_queue;
        let mask = read_once(&raw const (*queue).limits.logical_block_size).wrapping_sub(1);
        let (size, sector) = ((*bio).bi_iter.bi_size, (*bio).bi_iter.bi_sector);
        match (size | (sector as u32).wrapping_mul(SECTOR_SIZE as u32)) & mask {
            0 => bindings::submit_bio(bio),
            _ => refuse(bio),
        }
    }
}

/// # Safety
///
/// As for [`submit_whole_bio`].
#[cold]
unsafe fn refuse(bio: *mut bindings::bio) {
    // No WARN_ON_ONCE(): whoever gives a device another table (dm) may change what its blocks are.
    // SAFETY: By the requirement.
    unsafe {
        let (size, sector) = ((*bio).bi_iter.bi_size, (*bio).bi_iter.bi_sector);
        pr_warn_once!("a bio is not whole logical blocks: {size} bytes at sector {sector}\n");
        (*bio).bi_status = bindings::errno_to_blk_status(EINVAL.to_errno());
        bindings::bio_endio(bio);
    }
}
