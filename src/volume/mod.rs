// SPDX-License-Identifier: GPL-2.0

//! What is mounted: the superblock, the groups with their bitmaps, and the two allocators.
//!
//! * [`state`] is the mounted volume, [`superblock`] and [`groups`] what it reads when it is mounted.
//! * [`unwritten`] holds metadata until it is on the device; [`clean`] brings it there, and marks the
//!   volume clean.
//! * [`fault`] is what can go wrong, [`errors`] what is done about it.
//! * [`blocks`] and [`inode_numbers`] allocate on the [`bitmaps`].
//! * [`options`] are the mount options.
//!
//! Nothing here knows an inode in memory: allocators are given numbers.

pub(crate) mod bitmaps;
pub(crate) mod blocks;
pub(crate) mod clean;
pub(crate) mod errors;
pub(crate) mod fault;
pub(crate) mod groups;
pub(crate) mod inode_numbers;
pub(crate) mod options;
pub(crate) mod state;
pub(crate) mod superblock;
pub(crate) mod unwritten;
