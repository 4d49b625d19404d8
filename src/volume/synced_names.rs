// SPDX-License-Identifier: GPL-2.0

//! Which changes of names were on stable storage when sync(2) or syncfs(2) returned.
//!
//! Each change has a number. A sync of the volume writes all buffers, and so all entries of directories; but an entry is found only if
//! the inode of its directory leads to its block. The VFS has stored the inodes before that, and does not say which of them have changed
//! again since. So the directories are counted that have got or lost a name and were not stored since: with none of them, and no
//! [unborn](crate::volume::unborn) inode, all changes until then come to the device.

use kernel::sync::atomic::{ordering, Atomic};

/// The changes of names of a volume.
pub(crate) struct SyncedNames {
    /// How many there were.
    changes: Atomic<u64>,
    /// So many of them are on stable storage, at least.
    synced: Atomic<u64>,
    /// How many directories were changed, and not stored since.
    unstored: Atomic<u64>,
}

impl SyncedNames {
    /// There was none.
    pub(super) const fn new() -> Self {
        SyncedNames {
            changes: Atomic::new(0),
            synced: Atomic::new(0),
            unstored: Atomic::new(0),
        }
    }

    /// The number of a change that has been made, in a directory that counts as unstored. Does not sleep.
    pub(crate) fn number(&self) -> u64 {
        // Who finds this change counted finds the directory so, too.
        self.changes.fetch_add(1, ordering::Full) + 1
    }

    /// A directory is about to count as unstored, which did not. Does not sleep.
    pub(crate) fn add_unstored(&self) {
        self.unstored.fetch_add(1, ordering::Full);
    }

    /// One was stored, to a buffer that is dirty, or is gone. Does not sleep.
    pub(crate) fn drop_unstored(&self) {
        self.unstored.fetch_sub(1, ordering::Full);
    }

    /// Before all buffers of the volume are written: the changes that come to the device with them, if that is known. `is_complete` says
    /// whether no inode is unborn. May sleep, as far as that does.
    pub(crate) fn begin(&self, is_complete: impl FnOnce() -> bool) -> Option<u64> {
        let changes = self.changes.fetch_add(0, ordering::Full);
        let has_all =
            self.unstored.fetch_add(0, ordering::Full) == 0 || mutant!("names-of-unstored-synced");
        (has_all && is_complete()).then_some(changes)
    }

    /// They were written and flushed. Does not sleep.
    pub(crate) fn end(&self, changes: u64) {
        // Of two syncs at a time the older one may come last: then what is known is less than could be.
        self.synced.store(changes, ordering::Release);
    }

    /// Whether the change with this number is known to be on stable storage; 0 for none. Does not sleep.
    pub(crate) fn has(&self, number: u64) -> bool {
        match number {
            _ if mutant!("names-synced-early") => true,
            _ if mutant!("names-synced-unknown") => false,
            _ => number <= self.synced.load(ordering::Acquire),
        }
    }
}
