// SPDX-License-Identifier: GPL-2.0

//! The record of an inode of changes of its names, see [`crate::inode::names`].

use crate::volume::synced_names::SyncedNames;

/// How many changes of names of an inode may wait for its next sync.
pub(super) const ENTRIES: usize = 4;

/// A block of a directory in which a name of the inode has changed.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry {
    /// The inode number of the directory.
    pub(super) dir: u32,
    /// The block of the volume.
    pub(super) block: u64,
    /// The number of the change.
    change: u64,
}

/// What was done to a name.
#[derive(Clone, Copy)]
pub(super) enum Change {
    /// It was made, or put back, or leads elsewhere now.
    Added,
    /// It was removed.
    Removed,
}

/// What of the names of an inode may not be on the device.
#[derive(Clone, Copy)]
pub(super) struct Record {
    entries: [Entry; ENTRIES],
    len: usize,
    /// How many changes there were.
    changes: u64,
    /// The number of the last one that has made a name, or may have: it need not be among the entries.
    added: u64,
    /// How many of them are on stable storage.
    flushed: u64,
    /// The numbers that the volume has given to the last one of all, and of those: see [`crate::volume::synced_names`].
    changed_at: u64,
    added_at: u64,
}

kfs::drop_in_atomic!(plain Record);

impl Record {
    /// Without a change.
    pub(super) const fn new() -> Self {
        const NONE: Entry = Entry {
            dir: 0,
            block: 0,
            change: 0,
        };
        Record {
            entries: [NONE; ENTRIES],
            len: 0,
            changes: 0,
            added: 0,
            flushed: 0,
            changed_at: 0,
            added_at: 0,
        }
    }

    /// The changes.
    pub(super) fn entries(&self) -> &[Entry] {
        self.entries.get(..self.len).unwrap_or_default()
    }

    /// How many changes there were.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether all that were made are on stable storage, as far as is known.
    pub(super) fn is_there(&self, synced: &SyncedNames) -> bool {
        let is_written = self.is_empty() && mutant!("names-unflushed");
        self.added <= self.flushed || is_written || synced.has(self.added_at)
    }

    /// Whether no sync of the inode has to write any of them: each is on the device, in its cache at least.
    pub(super) fn is_settled(&self, synced: &SyncedNames) -> bool {
        self.is_empty() || synced.has(self.changed_at)
    }

    /// The first `changes` of them are on stable storage.
    pub(super) fn set_flushed(&mut self, changes: u64) {
        self.flushed = self.flushed.max(changes);
    }

    /// Whether all is on the device, in its cache at least.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is no room for another change.
    pub(super) fn is_full(&self) -> bool {
        self.len == ENTRIES
    }

    /// Adds a change, to which the volume has given the number `at`. Returns whether there was room for it.
    pub(super) fn add(&mut self, dir: u32, block: u64, change: Change, at: u64) -> bool {
        self.changes += 1;
        self.changed_at = at;
        if matches!(change, Change::Added) || mutant!("removal-waited-for") {
            self.added = self.changes;
            self.added_at = at;
        }
        let new = Entry {
            dir,
            block,
            change: self.changes,
        };
        let len = self.len;
        let same = |entry: &&mut Entry| entry.dir == dir && entry.block == block;
        if let Some(entry) = self.entries.iter_mut().take(len).find(same) {
            *entry = new;
        } else if let Some(entry) = self.entries.get_mut(len) {
            *entry = new;
            self.len += 1;
        } else {
            return false;
        }
        true
    }

    /// Drops what had been in the record when it was `synced`: the device has it, in its cache at least.
    pub(super) fn remove(&mut self, synced: &Record) {
        let entries = self.entries;
        let rest = entries.iter().take(self.len);
        self.len = 0;
        for entry in rest.filter(|entry| entry.change > synced.changes) {
            if let Some(place) = self.entries.get_mut(self.len) {
                *place = *entry;
                self.len += 1;
            }
        }
    }
}
