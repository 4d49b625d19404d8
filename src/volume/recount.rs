// SPDX-License-Identifier: GPL-2.0

//! Counters of groups that are wrong: a crash leaves them so, and so do some tools.
//!
//! Before a counter is relied on for the first time, when the bitmap is in memory anyway, it is
//! counted anew. A wrong one stops nothing: the bitmap is what counts. One that says that nothing is free has
//! everybody pass over the group; so before it is said that nothing is free anywhere, these are counted, too.

use crate::ext2::bitmap::{self, Kind};
use crate::types::SuperBlock;
use crate::volume::fault::Result;
use crate::volume::groups::{warn_miscounted, GroupSet};
use crate::volume::state::Volume;
use kernel::sync::atomic::ordering;
use kfs::block::buffer_head::BufferHead;
use kfs::task::{cond_resched, fatal_signal_pending};

impl GroupSet {
    /// Counts the free blocks of `group`, whose block bitmap is in `buffer`, unless that
    /// was done before. A bitmap that cannot be right counts nothing.
    pub(super) fn recount_blocks(
        &mut self,
        sb: &SuperBlock,
        group: u32,
        buffer: &BufferHead,
    ) -> Result {
        let volume = sb.data();
        match self.compared(group) {
            Some(compared) if !compared.blocks && !mutant!("counters-believed") => {}
            _ => return Ok(()),
        }
        self.use_bitmap(buffer)?;
        if bitmap::check_block_bitmap(&volume.layout(), group, &self.bitmap).is_err() {
            return Ok(());
        }
        if let Some(compared) = self.compared(group) {
            compared.blocks = true;
        }
        let free = bitmap::count_free(&self.bitmap, volume.geometry().group_blocks(group));
        let counted = u32::from(volume.groups.counts(group).free_blocks);
        if counted == free {
            return Ok(());
        }
        self.change_counts(&volume.groups, group, |counts| {
            // It fits: what is free of a group can be counted in 16 bits, or else it is not mounted (`COUNTABLE`
            // in `src/ext2/superblock.rs`).
            counts.free_blocks = free as u16;
            Ok(())
        })?;
        volume.totals.recount_blocks(counted, free);
        volume.miscounted(sb, group, "free blocks", counted, free);
        self.store_counts(volume, group)
    }

    /// Whether that was done.
    pub(super) fn has_counted_blocks(&mut self, group: u32) -> bool {
        self.compared(group).is_some_and(|compared| compared.blocks)
    }

    /// The same for the free inodes, with the inode bitmap.
    pub(super) fn recount_inodes(
        &mut self,
        sb: &SuperBlock,
        group: u32,
        buffer: &BufferHead,
    ) -> Result {
        let volume = sb.data();
        match self.compared(group) {
            Some(compared) if !compared.inodes && !mutant!("counters-believed") => {
                compared.inodes = true;
            }
            _ => return Ok(()),
        }
        self.use_bitmap(buffer)?;
        let inodes = volume.geometry().inodes_per_group();
        let free = bitmap::count_free(&self.bitmap, inodes);
        let counts = volume.groups.counts(group);
        let counted = u32::from(counts.free_inodes);
        let dirs = u32::from(counts.used_dirs);
        // How many of the inodes are directories the bitmap does not say, but not more than it has.
        let bounded = dirs.min(inodes - free);
        if counted == free && dirs == bounded {
            return Ok(());
        }
        self.change_counts(&volume.groups, group, |counts| {
            // They fit, as above.
            counts.free_inodes = free as u16;
            counts.used_dirs = bounded as u16;
            Ok(())
        })?;
        volume
            .totals
            .recount_inodes((counted, dirs), (free, bounded));
        match counted == free {
            true => volume.miscounted(sb, group, "directories", dirs, bounded),
            false => volume.miscounted(sb, group, "free inodes", counted, free),
        }
        self.store_counts(volume, group)
    }
}

impl Volume {
    /// Counts what is free in the groups of which the counter says that nothing is, unless that was done before.
    /// Returns whether there is something. What cannot be read is passed over; a fatal signal ends it.
    ///
    /// Takes the locks of the groups; sleeps.
    pub(super) fn recount_full(&self, sb: &SuperBlock, kind: Kind) -> bool {
        let is_full = |group: u32| {
            let counts = self.groups.counts(group);
            match kind {
                Kind::Blocks => counts.free_blocks == 0,
                Kind::Inodes => counts.free_inodes == 0,
            }
        };
        let is_counted = |group: u32| {
            let mut set = self.groups.lock(group).ok()?;
            let compared = set.compared(group)?;
            Some(match kind {
                Kind::Blocks => compared.blocks,
                Kind::Inodes => compared.inodes,
            })
        };
        let mut found = false;
        for group in 0..self.geometry().groups() {
            if fatal_signal_pending() {
                break;
            }
            if !is_full(group) || is_counted(group) != Some(false) || mutant!("zero-believed") {
                continue;
            }
            // There may be many, and each is read.
            cond_resched();
            let Ok((buffer, mut set)) = self.lock_to_allocate(sb, group, kind) else {
                continue;
            };
            let counted = match kind {
                Kind::Blocks => set.recount_blocks(sb, group, &buffer),
                Kind::Inodes => set.recount_inodes(sb, group, &buffer),
            };
            drop(set);
            if counted.is_ok() && !is_full(group) {
                self.groups.give();
                found = true;
            }
        }
        found
    }

    /// Says in the log, once for a mount, that a counter of `group` has been replaced. A volume that
    /// was clean is marked as having errors: that should not be, and e2fsck finds out what else.
    ///
    /// Takes the lock of the superblock's buffer; may sleep.
    pub(super) fn miscounted(
        &self,
        sb: &SuperBlock,
        group: u32,
        what: &str,
        counted: u32,
        found: u32,
    ) {
        if self.miscounted.xchg(true, ordering::Relaxed) {
            return;
        }
        warn_miscounted(sb.id(), group, what, counted, found);
        if sb.rdonly() || !self.was_clean() {
            return;
        }
        self.mark_error(sb);
    }
}
