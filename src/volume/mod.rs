// SPDX-License-Identifier: GPL-2.0

//! A mounted volume: superblock, block groups with their bitmaps, and the two allocators.
//!
//! * [`state`] is the mounted volume; [`superblock`] and [`groups`] are read at mount.
//! * [`unwritten`] pins dirty metadata until it is written; [`clean`] syncs it, and marks the
//!   volume clean.
//! * [`fault`] is the error type, and [`errors`] handles corruption and write errors.
//! * [`blocks`] and [`inode_numbers`] allocate in the [`bitmaps`]; [`last_bitmap`] knows which numbers are in use.
//! * [`trim`] discards what is free; [`windows`] keep it for files that grow, which
//!   allocate [`in_window`].
//! * [`attribute_blocks`] knows which blocks of extended attributes can be shared, and [`new_of_inodes`] which
//!   are on stable storage.
//! * [`unborn`] knows which inodes wait for that.
//! * [`released`] and [`settle`] keep blocks that were given back from being allocated too early.
//! * [`evicted`] knows which inodes left memory too early for their names, and [`synced_names`] what sync(2) has done for these.
//! * [`shutdown`] is about volumes on which nothing is to be done any more.
//! * [`scratch`] is memory for copies, and [`copy_back`] puts what was changed in one back into its buffer.
//! * [`totals`] are the sums over all groups, and [`usable`] is what of them a task may have.
//! * [`recount`] replaces counters that are wrong, [`uninit`] initialises what was left for later.
//! * [`options`] are the mount options, [`label`] is the label, [`last_mounted`] where it is mounted.
//!
//! Nothing here knows an inode in memory: the allocators work on numbers.

pub(crate) mod attribute_blocks;
pub(crate) mod bitmaps;
pub(crate) mod blocks;
pub(crate) mod clean;
pub(crate) mod copy_back;
pub(crate) mod errors;
pub(crate) mod evicted;
pub(crate) mod fault;
pub(crate) mod groups;
mod held;
pub(crate) mod in_window;
pub(crate) mod inode_numbers;
pub(crate) mod label;
mod last_bitmap;
pub(crate) mod last_mounted;
pub(crate) mod new_of_inodes;
pub(crate) mod options;
pub(crate) mod recount;
pub(crate) mod released;
pub(crate) mod scratch;
pub(crate) mod settle;
pub(crate) mod shutdown;
pub(crate) mod state;
pub(crate) mod superblock;
pub(crate) mod synced_names;
pub(crate) mod totals;
pub(crate) mod trim;
pub(crate) mod unborn;
pub(crate) mod uninit;
pub(crate) mod unwritten;
pub(crate) mod usable;
pub(crate) mod windows;
