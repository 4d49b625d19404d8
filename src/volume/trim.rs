// SPDX-License-Identifier: GPL-2.0

//! Discarding free blocks: the device forgets what they hold.
//!
//! A block that was given back may belong to its file on the device still: it is left alone until that
//! is settled, see [`crate::volume::released`].

use crate::ext2::bitmap;
use crate::types::SuperBlock;
use crate::volume::blocks::Blocks;
use crate::volume::fault::Result;
use crate::volume::released::Marked;
use crate::volume::state::Volume;
use core::ops::Range;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::block::bdev::BlockDevice;
use kfs::compat::EUCLEAN;
use kfs::log::ratelimit;
use kfs::mm::nofs::nofs;
use kfs::task::{cond_resched, fatal_signal_pending};

/// What came of a group.
pub(crate) struct Trimmed {
    /// How many blocks were discarded.
    pub(crate) blocks: u64,
    /// So much was given back that it may be any block: the rest of the group is left alone.
    pub(crate) is_unsettled: bool,
}

impl Volume {
    /// Whether bitmaps can be believed: `EUCLEAN` if the volume was not clean when it was mounted, or
    /// something was found to be wrong since. A block that is wrongly free would be lost.
    pub(crate) fn check_trimmable(&self) -> Result<(), Error> {
        let found_corrupt = self.found_corrupt.load(ordering::Relaxed);
        let wrong = found_corrupt || self.has_failed_writes() || !self.was_sound();
        match wrong && !mutant!("trim-unsound") {
            true => Err(EUCLEAN),
            false => Ok(()),
        }
    }
}

impl Volume {
    /// If the mount option says so, discards what is being settled, and on the device is nobody's any
    /// more, in runs that the device can discard. Nobody can allocate it meanwhile.
    ///
    /// Takes the locks of the groups, but not while the device discards. Sleeps. If the device fails, the
    /// log has a line: nothing is lost but room on the device.
    pub(super) fn discard_settling(&self, sb: &SuperBlock) {
        let device = BlockDevice::of(sb);
        if !self.options().discard || !device.can_discard() || self.check_trimmable().is_err() {
            return;
        }
        let min = (device.discard_granularity() >> sb.blocksize_bits()).max(1);
        let mut at = 0;
        while let Ok(Some(run)) = next_settling(sb, &mut at) {
            if run.len < min {
                continue;
            }
            if let Err(error) = sb.issue_discard(run.start.into(), run.len.into()) {
                if ratelimit(c"retryfs_discard") {
                    pr_warn!(
                        "{}: cannot discard {} blocks from block {} on: error {}\n",
                        sb.id(),
                        run.len,
                        run.start,
                        error.to_errno()
                    );
                }
                return;
            }
            cond_resched();
        }
    }

    /// Warns if blocks are to be discarded on a device that cannot.
    pub(crate) fn warn_no_discard(sb: &SuperBlock) {
        if sb.data().options().discard && !BlockDevice::of(sb).can_discard() {
            pr_warn!(
                "{}: option discard: the device cannot discard, nothing is\n",
                sb.id()
            );
        }
    }
}

/// The first run of free blocks among what is being settled, from block `at` on; `at` is behind it then.
/// What was given back by one of those who share it is among it, and not free; or the last of them has given it back since, and
/// may have it on the device.
///
/// Takes the locks of the groups; may sleep.
fn next_settling(sb: &SuperBlock, at: &mut u32) -> Result<Option<Blocks>> {
    let volume = sb.data();
    let geometry = volume.geometry();
    let layout = volume.layout();
    while let Some(run) = volume.released_blocks.settling(*at) {
        let (group, index) = geometry.locate_block(run.start).ok_or(EIO)?;
        let end = geometry
            .group_blocks(group)
            .min(index.saturating_add(run.len));
        let first = geometry.group_first_block(group);
        if mutant!("discard-shared") {
            *at = first + end;
            let len = end - index;
            return Ok(Some(Blocks {
                start: run.start,
                len,
            }));
        }
        let mut set = volume.lock_to_trim(sb, group)?;
        let set = &mut *set;
        bitmap::check_block_bitmap(&layout, group, &set.bitmap)?;
        set.taken.copy_from_slice(&set.bitmap);
        let is_marked = mutant!("discard-given-back-since")
            || volume
                .released_blocks
                .mark_since(first, index..end, &mut set.taken);
        if !is_marked {
            // So much was given back since that it may be any.
            return Ok(None);
        }
        let free = bitmap::next_run(&set.taken, index, end, u32::MAX);
        *at = first + free.map_or(end, |free| free.start + free.len);
        if let Some(free) = free {
            let (start, len) = (first + free.start, free.len);
            return Ok(Some(Blocks { start, len }));
        }
    }
    Ok(None)
}

/// Discards the free blocks of `group`, in runs of `min` blocks at least, with indices in `within`.
///
/// Takes the lock of the group, for each run and while the device discards it: so nobody gets these
/// blocks meanwhile. May sleep; ends early when a signal kills the task. `EUCLEAN` when the bitmap is
/// corrupt, or the error of the device.
pub(crate) fn trim_group(
    sb: &SuperBlock,
    group: u32,
    within: &Range<u32>,
    min: u32,
) -> Result<Trimmed> {
    let volume = sb.data();
    let geometry = volume.geometry();
    let layout = volume.layout();
    let first = geometry.group_first_block(group);
    let end = within.end.min(geometry.group_blocks(group));
    let mut at = within.start;
    let mut trimmed = Trimmed {
        blocks: 0,
        is_unsettled: false,
    };
    while at < end && !fatal_signal_pending() {
        nofs(|| -> Result {
            let mut set = volume.lock_to_trim(sb, group)?;
            let set = &mut *set;
            bitmap::check_block_bitmap(&layout, group, &set.bitmap)?;
            set.taken.copy_from_slice(&set.bitmap);
            if !mutant!("trim-unsettled") {
                let range = 0..geometry.group_blocks(group);
                let marked = volume.released_blocks.mark(first, range, &mut set.taken);
                if marked == Marked::Any {
                    trimmed.is_unsettled = true;
                    at = end;
                    return Ok(());
                }
            }
            while let Some(run) = bitmap::next_run(&set.taken, at, end, u32::MAX) {
                at = run.start + run.len;
                if run.len >= min {
                    sb.issue_discard((first + run.start).into(), run.len.into())?;
                    trimmed.blocks += u64::from(run.len);
                    return Ok(());
                }
            }
            at = end;
            Ok(())
        })?;
        cond_resched();
    }
    Ok(trimmed)
}
