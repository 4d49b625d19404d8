// SPDX-License-Identifier: GPL-2.0

//! Whether an inode is in its buffer, and that perhaps not on the device.

use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};

/// How often an inode was copied to its buffer, and which of the copies are on the device.
pub(super) struct InBuffer {
    copies: Atomic<u64>,
    synced: Atomic<u64>,
}

impl InBuffer {
    /// Of an inode that comes into memory. It may have been there before, and its buffer be dirty since.
    pub(super) fn new() -> Self {
        InBuffer {
            copies: Atomic::new(1),
            synced: Atomic::new(u64::from(cfg!(mutant = "kfs-read-inode-synced"))),
        }
    }

    /// There is another copy.
    pub(super) fn add(&self) {
        self.copies.fetch_add(1, ordering::Release);
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
