// SPDX-License-Identifier: GPL-2.0

//! Making sure that the device knows what was given back: see [`crate::volume::released`].
//!
//! It is done by who allocates, when nothing else is free or much is kept, and with a sync of the
//! volume. Who allocates may hold the inode lock, folio locks and the lock of the block map, so that
//! settling waits for nothing but the device and others that settle: it writes buffers, which any
//! task could, and no inodes; and giving back waits for no settling. What is given back meanwhile is
//! settled the next time.
//!
//! With the mount option `discard`, blocks are discarded then: on the device nothing leads to them, so
//! that a crash finds no file with what a discarded block reads as; and nobody has them yet.

use crate::ext2::bitmap::{Kind, Run};
use crate::types::SuperBlock;
use crate::volume::fault::{Fault, Result};
use crate::volume::released::SharedReleased;
use crate::volume::state::Volume;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::mm::nofs::nofs;

impl Volume {
    /// Makes sure that on the device, too, what was given back belongs to nobody: it can be allocated
    /// then. Returns whether there was anything; if so, the cache of the device was flushed. Where others free blocks
    /// all the time it may be left to the next call.
    ///
    /// Takes the lock of settling, and then those of the groups, but not while it waits for the device.
    /// Sleeps. `EIO` when the device fails; the next call tries again.
    pub(crate) fn settle_released(&self, sb: &SuperBlock) -> Result<bool> {
        nofs(|| {
            let _one_at_a_time = self.settling.lock();
            // Both.
            if !(self.released_blocks.begin() | self.released_numbers.begin()) {
                return Ok(false);
            }
            if mutant!("discard-early") {
                self.discard_settling(sb);
            }
            let result = match mutant!("released-unsettled") {
                true => Ok(true),
                false => self.write_released(sb),
            };
            let is_settled = matches!(result, Ok(true));
            if is_settled && !mutant!("discard-early") {
                self.discard_settling(sb);
            }
            self.end_settling(is_settled);
            result?;
            Ok(true)
        })
    }

    /// Brings what has released something to stable storage. `false` if that is left to the next call.
    ///
    /// A buffer that could not be written may have been marked dirty again by who syncs, before it was looked at here. So it is
    /// tried again after any error of the device, which may be that of another buffer.
    fn write_released(&self, sb: &SuperBlock) -> kernel::error::Result<bool> {
        const TRIES: u32 = 3;
        let device = BlockDevice::of(sb);
        for _ in 0..TRIES {
            let errors = device.watch_write_errors();
            let is_settled = self.unwritten.sync_released()?;
            if !device.has_unseen_write_error(&errors) {
                device.issue_flush()?;
                return Ok(is_settled);
            }
            if mutant!("settle-error-of-another") {
                break;
            }
        }
        Err(EIO)
    }

    fn end_settling(&self, is_settled: bool) {
        if is_settled {
            self.released_blocks.settled();
            self.released_numbers.settled();
            self.tell_settled();
        }
        self.released_blocks.end(is_settled);
        self.released_numbers.end(is_settled);
    }

    /// The blocks that are settled were in the way of searches, which took note of that. While there were more than are
    /// kept, none was made. So that nobody gives up who has not seen this, it is done before they are no longer among
    /// what was given back.
    fn tell_settled(&self) {
        let mut from = 0;
        while let Some(run) = self.released_blocks.settling(from) {
            // Of a run of several groups, the part in the first.
            let Some((group, index)) = self.geometry().locate_block(run.start) else {
                break;
            };
            let len = run.len.min(self.geometry().group_blocks(group) - index);
            if let Ok(mut set) = self.groups.lock(group) {
                set.freed(&self.groups, self.geometry(), Run { len, ..run });
            }
            from = run.start.saturating_add(len);
        }
        self.groups.give();
    }

    /// Allocates with `search` what is not among the released ones of this `kind`: these are settled first if that
    /// finds nothing, or if there are many. `ENOSPC` if there is nothing then.
    ///
    /// Takes the locks as [`Volume::settle_released`]. Sleeps. `EIO` when all that is left was given back, and
    /// that cannot be written; or the error of `search`.
    pub(super) fn allocate<T>(
        &self,
        sb: &SuperBlock,
        kind: Kind,
        mut search: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let released = match kind {
            Kind::Blocks => &self.released_blocks,
            Kind::Inodes => &self.released_numbers,
        };
        nofs(|| {
            let given = self.groups.given();
            match self.allocate_counted(sb, released, &mut search) {
                // Somebody else may have counted them meanwhile.
                Err(Fault::Error(error))
                    if error == ENOSPC
                        && (self.recount_full(sb, kind) || !self.groups.is_given(given)) =>
                {
                    self.allocate_counted(sb, released, &mut search)
                }
                allocated => allocated,
            }
        })
    }

    /// [`Volume::allocate`] by the counters of the groups. Called in `nofs`.
    fn allocate_counted<T>(
        &self,
        sb: &SuperBlock,
        released: &SharedReleased,
        search: &mut impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let mut is_tried = false;
        loop {
            let given = self.groups.given();
            let before = released.summary();
            let is_due = before.is_due() && !is_tried;
            let is_full = before.is_full();
            if !is_due && !is_full {
                if let Some(found) = search()? {
                    return Ok(found);
                }
                // In this order: what is settled is given first.
                if released.summary().is_empty() && self.groups.is_given(given) {
                    return Err(ENOSPC.into());
                }
                // Something was given behind the search.
                if !self.groups.is_given(given) {
                    continue;
                }
            }
            is_tried = true;
            let settled = self.settle_released(sb);
            // If it was only due, others are free.
            if !is_due || is_full {
                settled?;
            }
        }
    }
}
