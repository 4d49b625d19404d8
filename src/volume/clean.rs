// SPDX-License-Identifier: GPL-2.0

//! Syncing metadata, and marking the volume clean or in use.

use crate::ext2::superblock;
use crate::types::SuperBlock;
use crate::volume::fault::Result;
use crate::volume::state::Volume;
use crate::volume::superblock::change;
use kernel::sync::atomic::ordering;
use kfs::block::bdev::BlockDevice;

impl Volume {
    /// Writes all dirty metadata, those buffers included that could not be written before, and
    /// flushes the cache of the device. May sleep. `EIO` when a buffer cannot be written.
    pub(crate) fn sync(&self, sb: &SuperBlock) -> Result {
        self.unwritten.redirty_failed();
        let device = BlockDevice::of(sb);
        let synced = device.sync();
        self.unwritten.sweep();
        self.check_device(sb);
        if !mutant!("sync-no-flush") {
            device.issue_flush()?;
        }
        Ok(synced?)
    }

    /// Marks the volume as mounted read-write, not clean, and waits for the superblock.
    pub(crate) fn mark_mounted(&self) -> Result {
        self.update_superblock(true, superblock::mark_mounted)
    }

    /// Marks the volume as not clean again after [`Volume::mark_unmounted`], within one mount: at
    /// the end of a freeze. Waits for the superblock.
    pub(crate) fn mark_in_use(&self) -> Result {
        if self.is_stopped() {
            return Ok(());
        }
        self.update_superblock(true, superblock::mark_in_use)
    }

    /// Syncs all metadata, and then marks the volume clean: if it was clean before this mount, no
    /// corruption was found, nothing leaked, and no metadata was lost to a write error. May sleep. `EIO` when
    /// something could not be written.
    pub(crate) fn mark_unmounted(&self, sb: &SuperBlock) -> Result {
        self.sync(sb)?;
        let failed = self.write_failed.load(ordering::Relaxed) && !mutant!("failed-marked-clean");
        let leaked = self.leaked.load(ordering::Relaxed) && !mutant!("leak-marked-clean");
        if self.is_stopped() || failed || leaked {
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
            // The mount may go on (remount, freeze): the buffer must not say "clean" when it is
            // written later.
            if !mutant!("failed-mark-kept") {
                change(&buffer, superblock::mark_in_use)?;
                self.mark_buffer_dirty(&buffer);
            }
            return Err(error.into());
        }
        Ok(BlockDevice::of(sb).issue_flush()?)
    }

    /// Copies the free counts of the volume to the superblock; with `wait`, writes it to the
    /// device.
    pub(crate) fn store_free_counts(&self, wait: bool) -> Result {
        let totals = self.totals();
        self.update_superblock(wait, |bytes, now| {
            superblock::set_free_counts(bytes, totals.free_blocks, totals.free_inodes, now)
        })
    }
}
