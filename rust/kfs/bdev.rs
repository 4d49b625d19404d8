// SPDX-License-Identifier: GPL-2.0

//! Block devices.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::bindings;
use crate::file_system::FileSystem;
use crate::super_block::SuperBlock;
use kernel::types::Opaque;

/// An open block device.
///
/// # Invariants
///
/// The device is open while a reference to the value exists.
#[repr(transparent)]
pub struct BlockDevice(Opaque<bindings::block_device>);

impl BlockDevice {
    /// The device that a filesystem is mounted from.
    #[inline]
    pub fn of<F: FileSystem>(sb: &SuperBlock<F>) -> &BlockDevice {
        // SAFETY: `s_bdev` of a filesystem on a block device is set before the super block is
        // filled, and the device stays open until after the last use of the super block. The type
        // is transparent.
        unsafe { &*(*sb.as_ptr()).s_bdev.cast() }
    }

    /// The C block device.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::block_device {
        self.0.get()
    }

    /// The smallest unit that can be addressed, in bytes: a power of two, 512 at least.
    #[inline]
    pub fn logical_block_size(&self) -> u32 {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_logical_block_size(self.as_ptr()) }
    }

    /// Bits that must be zero in the addresses and the lengths of memory given to the device.
    #[inline]
    pub fn dma_alignment(&self) -> u32 {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_dma_alignment(self.as_ptr()) as u32 }
    }

    /// Whether the device can say that it would have to wait for room for a request, instead of
    /// waiting.
    #[inline]
    pub fn nowait(&self) -> bool {
        // SAFETY: By the type invariant the device is open.
        unsafe { bindings::bdev_nowait(self.as_ptr()) }
    }
}
