// SPDX-License-Identifier: GPL-2.0

//! Whether an inode is in its buffer, and that perhaps not on the device.

use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_mutex, Mutex, MutexGuard};

/// How often an inode was copied to its buffer, and which of the copies are on the device.
#[pin_data]
pub(super) struct InBuffer {
    copies: Atomic<u64>,
    synced: Atomic<u64>,
    /// Held while buffers of the inode are written that are in its list.
    #[pin]
    writing: Mutex<()>,
}

impl InBuffer {
    /// Of an inode that comes into memory. It may have been there before, and its buffer be dirty since.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(InBuffer {
            copies: Atomic::new(1),
            synced: Atomic::new(u64::from(cfg!(mutant = "kfs-read-inode-synced"))),
            writing <- new_mutex!(()),
        })
    }

    /// For who writes buffers that are in the list of the inode: one at a time. May sleep. Nothing else is locked by who has this.
    pub(super) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// There is another copy.
    pub(super) fn add(&self) {
        // Before the inode counts as written, which is another one's to look at.
        self.copies.fetch_add(1, ordering::Full);
    }

    /// Unless the last copy is on the device, runs `sync`, which brings the buffer there. Others may do it at the same time:
    /// nobody returns before it is there.
    pub(super) fn sync(&self, sync: impl FnOnce() -> Result) -> Result {
        let copies = self.copies.load(ordering::Acquire);
        if self.synced.load(ordering::Acquire) == copies {
            return Ok(());
        }
        sync()?;
        self.synced.store(copies, ordering::Release);
        Ok(())
    }
}
