// SPDX-License-Identifier: GPL-2.0

//! When all metadata is on the device, and whether the volume may be marked clean.

use crate::ext2::superblock;
use crate::types::SuperBlock;
use crate::volume::fault::Result;
use crate::volume::state::Volume;
use crate::volume::superblock::change;
use kernel::sync::atomic::ordering;
use kfs::block::bdev::BlockDevice;

impl Volume {
    /// Brings all metadata to the device, and out of its cache. May sleep.
    pub(crate) fn sync(&self, sb: &SuperBlock) -> Result {
        self.unwritten.try_again();
        let device = BlockDevice::of(sb);
        let synced = device.sync();
        self.unwritten.sweep();
        self.check_device(sb);
        if !mutant!("sync-no-flush") {
            device.issue_flush()?;
        }
        Ok(synced?)
    }

    /// Marks the volume as mounted for writing.
    pub(crate) fn mark_mounted(&self) -> Result {
        self.update_superblock(true, superblock::mark_mounted)
    }

    /// Marks the volume as in use again, after [`Volume::mark_unmounted`] and within one mount.
    pub(crate) fn mark_in_use(&self) -> Result {
        if self.is_stopped() {
            return Ok(());
        }
        self.update_superblock(true, superblock::mark_in_use)
    }

    /// Marks the volume as cleanly unmounted, if it was so before it was mounted, has not turned
    /// out to be corrupt, and has all its metadata on the device.
    pub(crate) fn mark_unmounted(&self, sb: &SuperBlock) -> Result {
        self.sync(sb)?;
        let failed = self.write_failed.load(ordering::Relaxed) && !mutant!("failed-marked-clean");
        if self.is_stopped() || failed {
            return self.store_free_counts(true);
        }
        let totals = self.totals();
        let buffer = self.super_buffer.lock();
        change(&buffer, |bytes, now| {
            let counts = (totals.free_blocks, totals.free_inodes);
            superblock::mark_unmounted(bytes, self.superblock.state, counts, now)
        })?;
        self.mark_buffer_dirty(&buffer);
        if let Err(error) = buffer.sync_dirty() {
            // The mount goes on, and the mark must not reach the device after all.
            if !mutant!("failed-mark-kept") {
                change(&buffer, superblock::mark_in_use)?;
                self.mark_buffer_dirty(&buffer);
            }
            return Err(error.into());
        }
        Ok(BlockDevice::of(sb).issue_flush()?)
    }

    /// Writes the sums over all groups to the superblock.
    pub(crate) fn store_free_counts(&self, wait: bool) -> Result {
        let totals = self.totals();
        self.update_superblock(wait, |bytes, now| {
            superblock::set_free_counts(bytes, totals.free_blocks, totals.free_inodes, now)
        })
    }
}
