// SPDX-License-Identifier: GPL-2.0

//! The sums of the counters of all groups, which are read without a lock.
//!
//! They change with the counters of a group. So a `statfs(2)` waits for no allocation,
//! and looks at no group.

use crate::ext2::choose_group::Totals;
use crate::ext2::group::GroupCounts;
use kernel::sync::atomic::{ordering, Atomic};

/// [`Totals`] that are shared.
pub(crate) struct SharedTotals {
    free_blocks: Atomic<u32>,
    free_inodes: Atomic<u32>,
    used_dirs: Atomic<u32>,
}

impl SharedTotals {
    pub(super) fn new(totals: Totals) -> Self {
        SharedTotals {
            free_blocks: Atomic::new(totals.free_blocks),
            free_inodes: Atomic::new(totals.free_inodes),
            used_dirs: Atomic::new(totals.used_dirs),
        }
    }

    /// Each as it is now. Does not sleep.
    pub(crate) fn get(&self) -> Totals {
        Totals {
            free_blocks: self.free_blocks(),
            free_inodes: self.free_inodes.load(ordering::Relaxed),
            used_dirs: self.used_dirs.load(ordering::Relaxed),
        }
    }

    pub(super) fn free_blocks(&self) -> u32 {
        self.free_blocks.load(ordering::Relaxed)
    }

    /// Counts `len` blocks as in use, or as many of them as there are if `kept` are left. Returns how many.
    pub(super) fn take_blocks(&self, len: u32, kept: u32) -> u32 {
        let kept = match mutant!("usable-unchecked") {
            true => 0,
            false => kept,
        };
        let most = |free: u32| len.min(free.saturating_sub(kept));
        most(change(&self.free_blocks, |free| free - most(free)))
    }

    /// Counts `len` blocks as free.
    pub(super) fn give_blocks(&self, len: u32) {
        change(&self.free_blocks, |free| free.saturating_add(len));
    }

    /// Counts an inode as in use, for a `directory` or something else.
    pub(super) fn take_inode(&self, directory: bool) {
        change(&self.free_inodes, |free| free.saturating_sub(1));
        if directory {
            change(&self.used_dirs, |dirs| dirs.saturating_add(1));
        }
    }

    /// Counts an inode as free that was that of a `directory` or something else.
    pub(super) fn give_inode(&self, directory: bool) {
        change(&self.free_inodes, |free| free.saturating_add(1));
        if directory {
            change(&self.used_dirs, |dirs| dirs.saturating_sub(1));
        }
    }

    /// A group has the counters `now`, not `before`.
    pub(super) fn recount(&self, before: &GroupCounts, now: &GroupCounts) {
        let inodes = |counts: &GroupCounts| (counts.free_inodes.into(), counts.used_dirs.into());
        self.recount_blocks(before.free_blocks.into(), now.free_blocks.into());
        self.recount_inodes(inodes(before), inodes(now));
    }

    /// A group has `now` free blocks, not `before`.
    pub(super) fn recount_blocks(&self, before: u32, now: u32) {
        change(&self.free_blocks, replace(before, now));
    }

    /// The same of free inodes and directories.
    pub(super) fn recount_inodes(&self, before: (u32, u32), now: (u32, u32)) {
        change(&self.free_inodes, replace(before.0, now.0));
        change(&self.used_dirs, replace(before.1, now.1));
    }
}

/// The sum, with one of its parts replaced.
fn replace(before: u32, now: u32) -> impl Fn(u32) -> u32 {
    move |sum| sum.saturating_sub(before).saturating_add(now)
}

/// Replaces `value` by what `new` makes of it. Returns what it was.
fn change(value: &Atomic<u32>, new: impl Fn(u32) -> u32) -> u32 {
    let mut old = value.load(ordering::Relaxed);
    while let Err(now) = value.cmpxchg(old, new(old), ordering::Relaxed) {
        old = now;
    }
    old
}
