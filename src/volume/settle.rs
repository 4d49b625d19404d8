// SPDX-License-Identifier: GPL-2.0

//! Giving blocks back, and making sure that the device knows it: see [`crate::volume::released`].

use crate::types::SuperBlock;
use crate::volume::fault::Result;
use crate::volume::state::Volume;
use crate::volume::unwritten::First;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::mm::nofs::nofs;

/// From when the first block is freed until what had it is in the buffers: before, the device cannot
/// be told.
pub(crate) struct Releasing<'a>(&'a Volume);

impl Drop for Releasing<'_> {
    fn drop(&mut self) {
        nofs(|| self.0.groups.lock().released.releasing -= 1);
        self.0.released_changed.notify_all();
    }
}

impl Volume {
    /// Begins to give blocks back. The lock of the block map of the file is held, and stays so until
    /// the value is dropped: who waits for that with the lock of another one would wait for ever
    /// otherwise. May sleep.
    pub(crate) fn begin_release(&self) -> Releasing<'_> {
        nofs(|| {
            let mut groups = self.groups.lock();
            while groups.released.is_settling {
                self.released_changed.wait(&mut groups);
            }
            groups.released.releasing += 1;
        });
        Releasing(self)
    }

    /// Makes sure that on the device, too, the blocks that were given back belong to nobody: they can be
    /// allocated then. Returns whether there were any; if so, the cache of the device was flushed.
    ///
    /// Takes the lock of the groups; the caller may hold that of a block map. Sleeps. `EIO` when the
    /// device fails; the next call tries again.
    pub(crate) fn settle_released(&self, sb: &SuperBlock) -> Result<bool> {
        nofs(|| -> Result<bool> {
            let mut groups = self.groups.lock();
            while groups.released.is_settling {
                self.released_changed.wait(&mut groups);
            }
            if groups.released.is_empty() {
                return Ok(false);
            }
            groups.released.is_settling = true;
            while groups.released.releasing > 0 {
                self.released_changed.wait(&mut groups);
            }
            drop(groups);
            let result: Result<(), Error> = match mutant!("released-unsettled") {
                true => Ok(()),
                false => self
                    .unwritten
                    .sync_first(&[First::Release])
                    .and_then(|()| BlockDevice::of(sb).issue_flush()),
            };
            let released = &mut self.groups.lock().released;
            released.is_settling = false;
            if result.is_ok() {
                released.clear();
            }
            self.released_changed.notify_all();
            result?;
            Ok(true)
        })
    }
}
