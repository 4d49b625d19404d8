// SPDX-License-Identifier: GPL-2.0

//! Whether what was written of a file is found after a loss of power, once the data itself is on the
//! medium.
//!
//! That takes the pointers to the blocks, i_size and a name, and it does not follow from the inode and
//! its buffers being clean: the device may have them in its volatile cache. It follows from an fsync,
//! which ends with a flush. So what changes any of these counts, and an fsync that has succeeded leaves
//! what had been counted when it began. If nothing was counted since, an overwrite with `O_DSYNC` needs
//! no flush, but its own data on the medium. An inode that was read is not known to be found.
//!
//! Pointers are counted when they are stored ([`crate::inode::map`]): who finds a block, finds the count,
//! too. All else is counted when the inode has been marked dirty, with the inode lock held, or when the
//! record of its names has the change.

use crate::inode::deferred;
use crate::inode::map::Map;
use crate::types::Inode;
use kernel::sync::atomic::{ordering, Atomic};
use kfs::compat::{smp_mb, Read};
use kfs::drop_in_atomic;

/// What has changed of an inode, and what of that is on stable storage.
pub(super) struct Durable {
    /// How often anything has changed but pointers, which the block map counts.
    changes: Atomic<u64>,
    /// The counts of before the last fsync that has succeeded.
    synced: Atomic<u64>,
    synced_pointers: Atomic<u64>,
}

drop_in_atomic!(plain Mark);
drop_in_atomic!(struct Durable { changes, synced, synced_pointers });

/// What had changed when an fsync began.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    changes: u64,
    pointers: u64,
}

impl Durable {
    /// Of an inode of which nothing is known.
    pub(super) fn new() -> Self {
        Durable {
            changes: Atomic::new(1),
            synced: Atomic::new(0),
            synced_pointers: Atomic::new(0),
        }
    }

    /// Something has changed that an fsync writes now. Does not sleep.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, ordering::Full);
    }

    fn is(&self, map: &Map) -> bool {
        let synced = self.synced.load(ordering::Acquire);
        let pointers = self.synced_pointers.load(ordering::Acquire);
        // The caller has looked blocks up.
        smp_mb(Read);
        pointers == map.stored() && synced == self.changes.load(ordering::Relaxed)
    }
}

/// Begins an fsync of `inode`. `None` while pointers are being changed, which may not be in buffers
/// that are dirty yet. Does not sleep.
pub(crate) fn begin(inode: &Inode) -> Option<Mark> {
    let data = inode.data();
    let changes = data.durable.changes.load(ordering::Acquire);
    let pointers = data.get_ref().map.settled()?;
    Some(Mark { changes, pointers })
}

/// The fsync has succeeded, with its flush. May sleep.
pub(crate) fn synced(inode: &Inode, mark: Mark) {
    let volume = inode.sb().data();
    volume.check_device(inode.sb());
    // What could not be written counts as clean, and what is deferred is not written yet.
    if volume.has_failed_writes() || deferred::has_some(inode) {
        return;
    }
    let durable = &inode.data().get_ref().durable;
    durable
        .synced_pointers
        .store(mark.pointers, ordering::Release);
    durable.synced.store(mark.changes, ordering::Release);
}

/// Whether blocks that were looked up are found after a loss of power. The inode lock is held, and has
/// been since before the look-up. Does not sleep.
pub(crate) fn is_durable(inode: &Inode) -> bool {
    let data = inode.data().get_ref();
    data.durable.is(&data.map) || mutant!("fua-unchecked")
}
