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

use crate::ext2::Geometry;
use crate::types::SuperBlock;
use crate::volume::fault::Result;
use crate::volume::groups::{freed, Groups};
use crate::volume::released::Released;
use crate::volume::state::Volume;
use crate::volume::unwritten::First;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::mm::nofs::nofs;

impl Volume {
    /// Makes sure that on the device, too, what was given back belongs to nobody: it can be allocated
    /// then. Returns whether there was anything; if so, the cache of the device was flushed.
    ///
    /// Takes the lock of settling, and then that of the groups, but not while it waits for the device.
    /// Sleeps. `EIO` when the device fails; the next call tries again.
    pub(crate) fn settle_released(&self, sb: &SuperBlock) -> Result<bool> {
        nofs(|| {
            let _one_at_a_time = self.settling.lock();
            if !self.groups.lock().begin_settling() {
                return Ok(false);
            }
            if mutant!("discard-early") {
                self.discard_settling(sb);
            }
            let result = match mutant!("released-unsettled") {
                true => Ok(()),
                false => self
                    .unwritten
                    .sync_first(First::Release)
                    .and_then(|()| BlockDevice::of(sb).issue_flush()),
            };
            if result.is_ok() && !mutant!("discard-early") {
                self.discard_settling(sb);
            }
            self.groups
                .lock()
                .end_settling(self.geometry(), result.is_ok());
            result?;
            Ok(true)
        })
    }

    /// Allocates with `search` what is not among the `released` ones: these are settled first if that
    /// finds nothing, or if there are many. `ENOSPC` if there is nothing then.
    ///
    /// Takes the locks as [`Volume::settle_released`]. Sleeps. `EIO` when all that is left was given back, and
    /// that cannot be written; or the error of `search`.
    pub(super) fn allocate<T>(
        &self,
        sb: &SuperBlock,
        released: fn(&Groups) -> &Released,
        mut search: impl FnMut(&mut Groups) -> Result<Option<T>>,
    ) -> Result<T> {
        let mut is_tried = false;
        nofs(|| loop {
            let mut groups = self.groups.lock();
            let is_due = released(&groups).is_due() && !is_tried;
            let is_full = released(&groups).is_full();
            if !is_due && !is_full {
                if let Some(found) = search(&mut groups)? {
                    return Ok(found);
                }
                if released(&groups).is_empty() {
                    return Err(ENOSPC.into());
                }
            }
            drop(groups);
            is_tried = true;
            let settled = self.settle_released(sb);
            // If it was only due, others are free.
            if !is_due || is_full {
                settled?;
            }
        })
    }
}

impl Groups {
    fn begin_settling(&mut self) -> bool {
        // Both.
        self.released_blocks.begin() | self.released_numbers.begin()
    }

    fn end_settling(&mut self, geometry: &Geometry, is_settled: bool) {
        // They were in the way of searches. While there were more than are kept, none was made.
        for run in self.released_blocks.all_settling() {
            freed(geometry, &mut self.free_runs, run);
        }
        self.released_blocks.end(is_settled);
        self.released_numbers.end(is_settled);
    }
}
