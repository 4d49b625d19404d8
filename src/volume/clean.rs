// SPDX-License-Identifier: GPL-2.0

//! Syncing metadata, and marking the volume clean or in use.

use crate::ext2::superblock::{self, State};
use crate::types::SuperBlock;
use crate::volume::fault::{Fault, Result};
use crate::volume::state::{is_outdated, Volume, OUTDATED};
use crate::volume::superblock::{reparse, warn_unchecked};
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::block::bdev::BlockDevice;
use kfs::compat::EUCLEAN;
use kfs::log::ratelimit as log_ratelimit;

impl Volume {
    /// Writes all dirty metadata, those buffers included that could not be written before, and
    /// flushes the cache of the device. May sleep. `EIO` when a buffer cannot be written.
    ///
    /// Of several that sync at a time, who had waited for the same buffer, the kernel tells one that it has failed; and a
    /// program that syncs the device would be told in their place. So each looks at the count of errors. An error of before is
    /// returned once, by whoever comes first.
    pub(crate) fn sync(&self, sb: &SuperBlock) -> Result {
        let device = BlockDevice::of(sb);
        // What has failed by now is tried again.
        let errors = device.watch_write_errors();
        self.unwritten.redirty_failed();
        let mut synced = device.sync();
        if device.has_unseen_write_error(&errors) && !mutant!("sync-error-of-another") {
            synced = Err(EIO);
        }
        self.unwritten.sweep();
        self.check_device(sb);
        let settled = self.settle_released(sb);
        // Which has flushed it, if there was anything to settle.
        if !matches!(settled, Ok(true)) && !mutant!("sync-no-flush") {
            device.issue_flush()?;
        }
        synced?;
        settled.map(|_| ())
    }

    /// Marks the volume as mounted read-write, not clean, and waits until that is on stable storage: what is written from
    /// then on may be there sooner than what is in the cache of the device, and a volume that counts as clean is not checked.
    ///
    /// The state it has until then is what it gets back at the end: that may not be the one it was
    /// mounted read-only with, as e2fsck may have run since.
    pub(crate) fn mark_mounted(&self, sb: &SuperBlock) -> Result {
        let mut super_buffer = self.super_buffer.lock();
        let mut before = super_buffer.before;
        // What was found to be wrong while nothing could be written.
        let miscounted = self.miscounted.load(ordering::Relaxed);
        let found_corrupt =
            self.found_corrupt.load(ordering::Relaxed) && !mutant!("corrupt-unmarked");
        super_buffer.change(|bytes, now| {
            let found = State::read(bytes);
            if !mutant!("state-of-first-mount") {
                before = found;
            }
            let changed = superblock::update::mark_mounted(bytes, now)?;
            // The state is the last of what was changed.
            if (miscounted || found_corrupt) && before.is_clean() {
                superblock::update::mark_error(bytes)?;
            }
            Ok(changed)
        })?;
        self.mark_buffer_dirty(&super_buffer.buffer);
        let is_written = super_buffer.buffer.sync_dirty();
        let totals = self.totals();
        let counts = (totals.free_blocks, totals.free_inodes);
        let marked = is_written.map_err(Fault::from);
        if let Err(fault) = marked.and_then(|()| self.flush_superblock(sb)) {
            if mutant!("failed-mount-marked") {
                super_buffer.before = State::read(&[]);
                return Err(fault);
            }
            // It stays read-only, and who unmounts it then marks nothing.
            super_buffer.change(|bytes, now| {
                superblock::update::mark_unmounted(bytes, before, counts, now)
            })?;
            self.mark_buffer_dirty(&super_buffer.buffer);
            // The caller gets the first error.
            let _ = super_buffer.buffer.sync_dirty();
            return Err(fault);
        }
        super_buffer.before = before;
        Ok(())
    }

    /// Brings the superblock, which was written, to stable storage. Sleeps.
    pub(super) fn flush_superblock(&self, sb: &SuperBlock) -> Result {
        match mutant!("superblock-unflushed") {
            true => Ok(()),
            false => Ok(BlockDevice::of(sb).issue_flush()?),
        }
    }

    /// Whether the volume was clean before it was mounted, or remounted, read-write. Takes the lock of
    /// the superblock's buffer; may sleep.
    pub(super) fn was_clean(&self) -> bool {
        self.super_buffer.lock().before.is_clean()
    }

    /// The same, and no error was found in it before. Takes the same lock; may sleep.
    pub(super) fn was_sound(&self) -> bool {
        let before = self.super_buffer.lock().before;
        before.is_clean() && !before.has_errors()
    }

    /// Reads again what e2fsck may have repaired under a read-only mount, before it becomes
    /// read-write. May sleep.
    ///
    /// `EROFS` when an error has stopped changes to the volume, it has features that do not allow
    /// them, or its descriptors are outdated ([`is_outdated`]); `EINVAL` when it is not the volume any
    /// more that was mounted, or lacks features that it had, and `EUCLEAN` when it is corrupt; the log says why.
    pub(crate) fn reread(&self, sb: &SuperBlock) -> Result<(), Error> {
        self.check_up()?;
        if self.is_stopped() {
            return Err(EROFS);
        }
        let now = reparse(sb, &self.super_buffer.lock())?;
        let forbidden = now.features.forbid_write();
        if !forbidden.is_empty() && !mutant!("features-unchecked") {
            pr_err!(
                "{}: cannot remount read-write: unsupported features: {}\n",
                sb.id(),
                forbidden
            );
            return Err(EROFS);
        }
        if !now.is_known_revision() && !mutant!("revision-unchecked") {
            pr_err!(
                "{}: cannot remount read-write: revision {} is not known\n",
                sb.id(),
                now.revision
            );
            return Err(EROFS);
        }
        self.attribute_blocks.lock().clear();
        let mounted = &self.superblock;
        if now.geometry != mounted.geometry || now.checksums != mounted.checksums {
            pr_err!(
                "{}: cannot remount read-write: not the volume that was mounted\n",
                sb.id()
            );
            return Err(EINVAL);
        }
        if !now.goes_on_as(mounted) && !mutant!("features-of-first-mount") {
            pr_err!(
                "{}: cannot remount read-write: features were taken away: unmount and mount\n",
                sb.id()
            );
            return Err(EINVAL);
        }
        warn_unchecked(sb.id(), false, &now);
        if mutant!("counters-of-first-mount") {
            return Ok(());
        }
        let reread =
            self.groups
                .reread(self.geometry(), &now.checksums, &self.layouts, &self.totals);
        let clamped = reread.map_err(|fault| match fault {
            Fault::Corrupt(corrupt) => {
                pr_err!("{}: cannot remount read-write: {}\n", sb.id(), corrupt);
                EUCLEAN
            }
            Fault::Error(error) => error,
        })?;
        if is_outdated(self.super_place, &self.groups) {
            pr_err!("{}: cannot remount read-write: {}\n", sb.id(), OUTDATED);
            return Err(EROFS);
        }
        self.miscounted.store(clamped, ordering::Relaxed);
        self.set_features_on_demand(&now.features);
        let was_checked = self.last_check.xchg(now.last_check, ordering::Relaxed) != now.last_check;
        if now.state.is_clean() && !now.state.has_errors() {
            // What was wrong before, if anything, has been repaired.
            self.write_failed.store(false, ordering::Relaxed);
            self.leaked.store(false, ordering::Relaxed);
            // Of what was found while nothing could be written, the state does not tell.
            if was_checked && !mutant!("repaired-still-corrupt") {
                self.found_corrupt.store(false, ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Marks the volume as not clean again after [`Volume::mark_unmounted`], within one mount: at
    /// the end of a freeze. Waits until that is on stable storage, as [`Volume::mark_mounted`].
    pub(crate) fn mark_in_use(&self, sb: &SuperBlock) -> Result {
        // It stays as the freeze has marked it.
        if self.is_shut_down() {
            return Ok(());
        }
        if self.is_stopped() && !self.error_unmarked.load(ordering::Relaxed) {
            return Ok(());
        }
        self.update_superblock(true, superblock::update::mark_in_use)?;
        self.flush_superblock(sb)
    }

    /// Syncs all metadata of a volume whose inodes have just been written, and that nobody changes: then there is nothing left to
    /// write. May sleep. `EIO` when something could not be written, or an inode not be stored, which writeback tries again at any time.
    pub(crate) fn sync_last(&self, sb: &SuperBlock) -> Result {
        self.sync(sb)?;
        Ok(self.check_stored(sb)?)
    }

    /// `EIO`, and a line in the log, if there is an inode that could not be stored. Does not sleep.
    pub(crate) fn check_stored(&self, sb: &SuperBlock) -> Result<(), Error> {
        let unstored = self.unstored.load(ordering::Relaxed);
        if unstored == 0 || mutant!("unstored-marked-clean") {
            return Ok(());
        }
        // Everybody who syncs comes here.
        if log_ratelimit(c"retryfs_unstored") {
            pr_err!(
                "{}: inodes that cannot be stored: {}: if that stays so, unmount and run e2fsck\n",
                sb.id(),
                unstored
            );
        }
        Err(EIO)
    }

    /// Syncs all metadata, and then marks the volume clean: if it was clean before this mount, no
    /// corruption was found, nothing leaked, and no metadata was lost to an error. May sleep. `EIO` when
    /// something could not be written, or an inode not be stored. Does nothing when the volume is shut down.
    pub(crate) fn mark_unmounted(&self, sb: &SuperBlock) -> Result {
        if self.is_shut_down() {
            return Ok(());
        }
        self.sync_last(sb)?;
        let failed = self.write_failed.load(ordering::Relaxed) && !mutant!("failed-marked-clean");
        let leaked = self.leaked.load(ordering::Relaxed) && !mutant!("leak-marked-clean");
        if self.is_stopped() || failed || leaked {
            return self.store_free_counts(sb, true);
        }
        let totals = self.totals();
        let mut super_buffer = self.super_buffer.lock();
        super_buffer.count_writes(BlockDevice::of(sb))?;
        let buffer = &super_buffer.buffer;
        super_buffer.change(|bytes, now| {
            let counts = (totals.free_blocks, totals.free_inodes);
            superblock::update::mark_unmounted(bytes, super_buffer.before, counts, now)
        })?;
        self.mark_error_of_freeze(&super_buffer)?;
        self.mark_buffer_dirty(buffer);
        let is_written = buffer.sync_dirty();
        let marked = is_written.and_then(|()| BlockDevice::of(sb).issue_flush());
        if let Err(error) = marked {
            // The mount may go on (remount, freeze): the buffer must not say "clean" when it is
            // written later.
            if !mutant!("failed-mark-kept") {
                super_buffer.change(superblock::update::mark_in_use)?;
                self.mark_buffer_dirty(buffer);
            }
            // And the device does, if it has failed to flush that.
            if is_written.is_ok() && !mutant!("unflushed-mark-kept") {
                buffer.sync_dirty()?;
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// Copies the free counts of the volume, and what was written, to the superblock; with `wait`, writes
    /// it to the device.
    pub(crate) fn store_free_counts(&self, sb: &SuperBlock, wait: bool) -> Result {
        let totals = self.totals();
        self.super_buffer.lock().count_writes(BlockDevice::of(sb))?;
        self.update_superblock(wait, |bytes, now| {
            superblock::update::set_free_counts(bytes, totals.free_blocks, totals.free_inodes, now)
        })
    }
}
