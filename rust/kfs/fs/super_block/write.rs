// SPDX-License-Identifier: GPL-2.0

//! Writing to a mount as a whole: syncing it, and keeping it from being frozen.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::block::bdev::BlockDevice;
use crate::block::bio::SECTOR_SIZE;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::super_block::SuperBlock;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::NotThreadSafe;

impl<F: FileSystemData> SuperBlock<F> {
    /// Writes everything of the mount to the device, as syncfs(2) does. Takes `s_umount`: not to be
    /// called where the VFS holds it, as in the operations on a mount, nor with a [`StartWrite`]. May
    /// sleep.
    pub(crate) fn sync_filesystem(&self) -> Result {
        let sb = self.as_raw();
        // SAFETY: By the type invariant it is mounted. The lock is what the function needs.
        unsafe {
            bindings::down_read(&raw mut (*sb).s_umount);
            let error = bindings::sync_filesystem(sb);
            bindings::up_read(&raw mut (*sb).s_umount);
            to_result(error)
        }
    }

    /// Waits while the mount is frozen; it will not be before the value is dropped. May sleep.
    pub fn start_write(&self) -> StartWrite<'_, F> {
        // SAFETY: By the type invariant.
        unsafe { bindings::sb_start_write(self.as_raw()) };
        // INVARIANT: It was called.
        StartWrite(self, NotThreadSafe)
    }

    /// Keeps the mount from being frozen, for a change that no user has asked for. `None` if it is frozen, or
    /// about to be. Does not sleep.
    pub fn try_start_intwrite(&self) -> Option<StartIntwrite<'_, F>> {
        // SAFETY: By the type invariant.
        let started = unsafe { bindings::sb_start_intwrite_trylock(self.as_raw()) };
        // INVARIANT: It has succeeded.
        started.then_some(StartIntwrite(self, NotThreadSafe))
    }

    /// [`BlockDevice::issue_zeroout`] of `count` blocks from `block` on. What the buffer cache has of them is not changed.
    pub fn issue_zeroout(&self, block: u64, count: u64) -> Result {
        let (sector, sectors) = self.sectors(block, count)?;
        BlockDevice::of(self).issue_zeroout(sector, sectors)
    }

    /// [`BlockDevice::issue_discard`] of `count` blocks from `block` on.
    pub fn issue_discard(&self, block: u64, count: u64) -> Result {
        let (sector, sectors) = self.sectors(block, count)?;
        BlockDevice::of(self).issue_discard(sector, sectors)
    }

    /// Where `count` blocks from `block` on are on the device, in sectors. `EINVAL` where no device has them.
    fn sectors(&self, block: u64, count: u64) -> Result<(u64, u64)> {
        let each = self.blocksize() as u64 / SECTOR_SIZE;
        let sectors = |blocks: u64| blocks.checked_mul(each).ok_or(EINVAL);
        Ok((sectors(block)?, sectors(count)?))
    }
}

/// The mount is not frozen as long as this lives.
///
/// # Invariants
///
/// `sb_start_write` was called by this task, and its end is owed.
pub struct StartWrite<'a, F: FileSystemData>(&'a SuperBlock<F>, NotThreadSafe);

impl<F: FileSystemData> Drop for StartWrite<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::sb_end_write(self.0.as_raw()) };
    }
}

/// The mount is not frozen as long as this lives, nor has what the VFS does by itself been stopped for that.
///
/// # Invariants
///
/// `sb_start_intwrite_trylock` was called by this task, with success, and its end is owed.
pub struct StartIntwrite<'a, F: FileSystemData>(&'a SuperBlock<F>, NotThreadSafe);

impl<F: FileSystemData> Drop for StartIntwrite<'_, F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::sb_end_intwrite(self.0.as_raw()) };
    }
}
