// SPDX-License-Identifier: GPL-2.0

//! Writing to a mount as a whole: syncing it, and keeping it from being frozen.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::super_block::SuperBlock;
use crate::task::fatal_signal_pending;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::NotThreadSafe;

impl<F: FileSystemData> SuperBlock<F> {
    /// Writes everything of the mount to the device, as syncfs(2) does. Takes `s_umount`: not to be
    /// called where the VFS holds it, as in the operations on a mount, nor with a [`StartWrite`]. May
    /// sleep.
    pub fn sync_filesystem(&self) -> Result {
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

    /// Writes zeroes to `count` blocks from `block` on, and waits for the device. It does so by itself if
    /// it can, and keeps the space. What the buffer cache has of them is not changed. May sleep.
    ///
    /// `EINTR` when a signal kills the task: a part of them may not be zeroed then.
    pub fn issue_zeroout(&self, block: u64, count: u64) -> Result {
        let shift = u32::from(self.blocksize_bits()) - 9;
        // SAFETY: By the type invariant its device is open. Blocks that it does not have are an error.
        to_result(unsafe {
            bindings::blkdev_issue_zeroout(
                (*self.as_raw()).s_bdev,
                block << shift,
                count << shift,
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

    /// Discards `count` blocks from `block` on: the device forgets what they hold, and may read as
    /// anything there until they are written. Waits for the device; may sleep.
    ///
    /// `EOPNOTSUPP` when it cannot do that.
    pub fn issue_discard(&self, block: u64, count: u64) -> Result {
        let shift = u32::from(self.blocksize_bits()) - 9;
        // SAFETY: By the type invariant its device is open. Blocks that it does not have are an error.
        to_result(unsafe {
            bindings::blkdev_issue_discard(
                (*self.as_raw()).s_bdev,
                block << shift,
                count << shift,
                bindings::GFP_NOFS,
            )
        })
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
