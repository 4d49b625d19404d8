// SPDX-License-Identifier: GPL-2.0

//! The choice of a group for a new inode.
//!
//! The policy is that of Linux' ext2 (`fs/ext2/ialloc.c`). The inode of a file goes into the group
//! of its directory, and its blocks into the group of the inode. Directories are spread over the
//! groups by the allocator of Grigory Orlov for the FFS of BSD: those in the root directory always,
//! others only when the group of their parent is fuller than average. The "debt" that Linux' ext2
//! keeps for each group is left out: the limits on directories and free inodes have the same effect
//! a little later.

use super::group::GroupCounts;

/// The sums over all groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Free blocks.
    pub(crate) free_blocks: u32,
    /// Free inodes.
    pub(crate) free_inodes: u32,
    /// Directories.
    pub(crate) used_dirs: u32,
}

/// All `groups` groups, from `first` on, wrapping around.
pub(crate) fn groups_from(first: u32, groups: u32) -> impl Iterator<Item = u32> {
    let first = if first < groups { first } else { 0 };
    (first..groups).chain(0..first)
}

/// The group for the inode of a file that is not a directory; `None` when no inode is free.
///
/// The group of the parent directory, `parent_group`, if that has a free inode and a free block.
/// Otherwise a group that has, by a quadratic hash of `parent_ino`, so that files of one directory
/// stay together; or else the first with a free inode.
pub(crate) fn for_file(
    groups: u32,
    counts: impl Fn(u32) -> GroupCounts,
    parent_group: u32,
    parent_ino: u32,
) -> Option<u32> {
    let good = |group: u32| {
        let counts = counts(group);
        counts.free_inodes > 0 && counts.free_blocks > 0
    };
    if groups == 0 {
        return None;
    }
    let parent_group = if parent_group < groups {
        parent_group
    } else {
        0
    };
    if good(parent_group) {
        return Some(parent_group);
    }
    let hash = u64::from(parent_group) + u64::from(parent_ino);
    let quadratic = (0..u32::BITS)
        .map(|i| 1u64 << i)
        .take_while(|&step| step < u64::from(groups))
        // The sum of the steps 1, 2, 4 ... up to this one.
        .map(|step| ((hash + 2 * step - 1) % u64::from(groups)) as u32)
        .find(|&group| good(group));
    quadratic
        .or_else(|| groups_from(parent_group, groups).find(|&group| counts(group).free_inodes > 0))
}

/// The numbers of a volume that [`for_directory`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// Number of groups.
    pub(crate) groups: u32,
    /// Inodes in a group.
    pub(crate) inodes_per_group: u32,
    /// Blocks in a group.
    pub(crate) blocks_per_group: u32,
    /// Sums over all groups.
    pub(crate) totals: Totals,
}

/// The group for the inode of a directory; `None` when no inode is free.
///
/// With `top`, for a directory in the root directory or in one with the flag
/// [`TOPDIR`](super::inode::InodeFlags::TOPDIR): the group with the fewest directories among those
/// with at least average free inodes and blocks; `start`, a random number, breaks ties.
///
/// Without, the first group from `parent_group` on that has neither far more directories nor far
/// fewer free inodes or blocks than average. If there is none, the first with at least average free
/// inodes; and as a last resort, any with a free inode.
pub(crate) fn for_directory(
    spread: &Spread,
    counts: impl Fn(u32) -> GroupCounts,
    top: bool,
    parent_group: u32,
    start: u32,
) -> Option<u32> {
    let groups = spread.groups;
    if groups == 0 {
        return None;
    }
    let average_inodes = spread.totals.free_inodes / groups;
    let average_blocks = spread.totals.free_blocks / groups;
    let usable = |first: u32| {
        groups_from(first, groups)
            .map(|group| (group, counts(group)))
            .filter(|(_, counts)| counts.free_inodes > 0)
    };

    let best = if top {
        usable(start % groups)
            .filter(|(_, counts)| {
                u32::from(counts.free_inodes) >= average_inodes
                    && u32::from(counts.free_blocks) >= average_blocks
            })
            .min_by_key(|(_, counts)| counts.used_dirs)
    } else {
        let max_dirs = (spread.totals.used_dirs / groups)
            .saturating_add(spread.inodes_per_group / 16)
            .max(1);
        let min_inodes = average_inodes.saturating_sub(spread.inodes_per_group / 4);
        let min_blocks = average_blocks.saturating_sub(spread.blocks_per_group / 4);
        usable(parent_group).find(|(_, counts)| {
            u32::from(counts.used_dirs) < max_dirs
                && u32::from(counts.free_inodes) >= min_inodes
                && u32::from(counts.free_blocks) >= min_blocks
        })
    };
    let parent_group = if top { start % groups } else { parent_group };
    best.or_else(|| {
        usable(parent_group).find(|(_, counts)| u32::from(counts.free_inodes) >= average_inodes)
    })
    .or_else(|| usable(parent_group).next())
    .map(|(group, _)| group)
}
