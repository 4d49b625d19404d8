// SPDX-License-Identifier: GPL-2.0

//! Block devices.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::bindings;
use crate::sync::once::read_once;
use crate::task::fatal_signal_pending;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::types::Opaque;

/// An open block device.
///
/// # Invariants
///
/// The device is open while a reference to the value exists.
#[repr(transparent)]
pub struct BlockDevice(Opaque<bindings::block_device>);

/// Up to where the write errors of a device's buffer cache are known, see
/// [`BlockDevice::watch_write_errors`].
pub struct WriteErrors(Atomic<u32>);

impl BlockDevice {
    /// # Safety
    ///
    /// `bdev` must satisfy the type invariants for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(bdev: *mut bindings::block_device) -> &'a Self {
        // SAFETY: By the requirement; the type is transparent.
        unsafe { &*bdev.cast() }
    }

    /// The C block device.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::block_device {
        self.0.get()
    }

    /// Writes the dirty buffers of the device's cache back, and waits for writeback. May sleep.
    ///
    /// An error, of this writeback or of an earlier one, is returned once, to the first caller.
    pub fn sync(&self) -> Result {
        // SAFETY: By the type invariant the device is open.
        to_result(unsafe { bindings::sync_blockdev(self.as_raw()) })
    }

    /// Has the device flush its write cache to stable storage. May sleep.
    pub fn issue_flush(&self) -> Result {
        // SAFETY: By the type invariant the device is open.
        to_result(unsafe { bindings::blkdev_issue_flush(self.as_raw()) })
    }

    /// Begins to watch for failed writeback of buffers of the device's cache. An earlier error counts as seen from then on: who opens
    /// the device later, or watches it, is not told of it (`errseq_sample()`). Any context.
    pub fn watch_write_errors(&self) -> WriteErrors {
        let errors = WriteErrors(Atomic::new(0));
        self.has_new_write_error(&errors);
        errors
    }

    /// What [`BlockDevice::has_new_write_error`] would say. The error still counts as new. Any context.
    #[inline]
    pub fn has_unseen_write_error(&self, errors: &WriteErrors) -> bool {
        let since = errors.0.load(ordering::Acquire);
        // SAFETY: By the type invariant the device is open, and so its mapping is there, with the
        // error sequence in it.
        unsafe {
            bindings::errseq_check(&raw mut (*(*self.as_raw()).bd_mapping).wb_err, since) != 0
        }
    }

    /// Whether writeback of a buffer of the device's cache has failed since the last call with
    /// these `errors`, or since [`BlockDevice::watch_write_errors`]. Of several callers at a time,
    /// more than one may get `true`. Any context.
    #[inline]
    pub fn has_new_write_error(&self, errors: &WriteErrors) -> bool {
        let mut since = errors.0.load(ordering::Relaxed);
        // SAFETY: By the type invariant the device is open, and so its mapping is there, with the
        // error sequence in it.
        let wb_err = unsafe { &raw mut (*(*self.as_raw()).bd_mapping).wb_err };
        // SAFETY: As above.
        if unsafe { bindings::errseq_check(wb_err, since) } == 0 {
            return false;
        }
        // SAFETY: As above; `since` is a local variable.
        let new = unsafe { bindings::errseq_check_and_advance(wb_err, &mut since) } != 0;
        errors.0.store(since, ordering::Release);
        new
    }

    /// The smallest unit that can be addressed, in bytes: a power of two, 512 at least.
    #[inline]
    pub fn logical_block_size(&self) -> u32 {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_logical_block_size(self.as_raw()) }
    }

    /// Bits that must be zero in the addresses and the lengths of memory given to the device.
    #[inline]
    pub fn dma_alignment(&self) -> u32 {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_dma_alignment(self.as_raw()) as u32 }
    }

    /// The bits that must be zero in the addresses of memory given to the device, and in what is transferred of a
    /// file: see [`BlockDevice::dma_alignment`] and [`BlockDevice::logical_block_size`]. Any context.
    #[inline]
    pub fn dio_masks(&self) -> (u32, u32) {
        // SAFETY: By the type invariant the device is open, so that it has a queue. Its limits may change at any time: each is
        // read once.
        let (memory, block) = unsafe {
            let limits = &raw const (*(*self.as_raw()).bd_queue).limits;
            (
                read_once(&raw const (*limits).dma_alignment),
                read_once(&raw const (*limits).logical_block_size),
            )
        };
        (memory, block.wrapping_sub(1))
    }

    /// Whether the memory of a write must not change until the write has ended: the device, or
    /// something on the way to it, computes a checksum or a parity of it. Any context.
    ///
    /// This is not for ever: an administrator may change it.
    #[inline]
    pub fn stable_writes(&self) -> bool {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_stable_writes(self.as_raw()) }
    }

    /// Whether the device has a cache that is lost with the power, so that what was written may be, too,
    /// until [`BlockDevice::issue_flush`]. Any context.
    ///
    /// This is not for ever: an administrator may change it.
    #[inline]
    pub fn has_volatile_cache(&self) -> bool {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_write_cache(self.as_raw()) }
    }

    /// Whether a bio can be written through the cache of the device ([`Bio::set_fua`]) without a flush of
    /// all of it, or there is no such cache. Any context.
    ///
    /// This is not for ever: an administrator may change it.
    ///
    /// [`Bio::set_fua`]: crate::block::bio::Bio::set_fua
    #[inline]
    pub fn can_write_through(&self) -> bool {
        // SAFETY: By the type invariant the device is open.
        !self.has_volatile_cache() || unsafe { bindings::bdev_fua(self.as_raw()) }
    }

    /// The sectors of 512 bytes that were written to the device since it is there, as
    /// `/proc/diskstats` has it. Any context.
    pub fn sectors_written(&self) -> u64 {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::part_stat_read_sectors_written(self.as_raw()) }
    }

    /// Whether the device is divided into zones, most of which can only be written from begin to end. Any context.
    #[inline]
    pub fn is_zoned(&self) -> bool {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_is_zoned(self.as_raw()) }
    }

    /// Whether the device can say that it would have to wait for room for a request, instead of
    /// waiting.
    #[inline]
    pub fn nowait(&self) -> bool {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_nowait(self.as_raw()) }
    }

    /// How many bytes from `sector` on a bio can have, of whole pages, that the device does not have split: of
    /// one that must not wait, that fails it. It is a multiple of the logical block size. A lower bound, and
    /// where the memory is in pieces smaller than pages there is none.
    #[inline]
    pub fn unsplit(&self, sector: u64) -> usize {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_unsplit(self.as_raw(), sector) as usize }
    }

    /// Whether the device can forget what a part of it holds.
    pub fn can_discard(&self) -> bool {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_max_discard_sectors(self.as_raw()) != 0 }
    }

    /// The smallest unit that the device can forget, in bytes.
    pub fn discard_granularity(&self) -> u32 {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_discard_granularity(self.as_raw()) }
    }

    /// Writes zeroes to `count` sectors of 512 bytes from `sector` on, and waits for the device. It does so by itself if
    /// it can, and keeps the space. What its buffer cache has of them is not changed. May sleep.
    ///
    /// `EINTR` when a signal kills the task: a part of them may not be zeroed then.
    pub fn issue_zeroout(&self, sector: u64, count: u64) -> Result {
        // SAFETY: By the type invariant the device is open. Sectors that it does not have are an error.
        to_result(unsafe {
            bindings::blkdev_issue_zeroout(
                self.as_raw(),
                sector,
                count,
                bindings::GFP_NOFS,
                bindings::BLKDEV_ZERO_NOUNMAP | bindings::BLKDEV_ZERO_KILLABLE,
            )
        })?;
        // With such a signal before its first bio, the function does nothing, and says that all went well.
        match fatal_signal_pending() && !cfg!(mutant = "kfs-zeroout-killed") {
            true => Err(EINTR),
            false => Ok(()),
        }
    }

    /// Discards `count` sectors of 512 bytes from `sector` on: the device forgets what they hold, and may read as
    /// anything there until they are written. Waits for the device; may sleep.
    ///
    /// `EOPNOTSUPP` when it cannot do that.
    pub fn issue_discard(&self, sector: u64, count: u64) -> Result {
        // SAFETY: By the type invariant the device is open. Sectors that it does not have are an error.
        to_result(unsafe {
            bindings::blkdev_issue_discard(self.as_raw(), sector, count, bindings::GFP_NOFS)
        })
    }
}
