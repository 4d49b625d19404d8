// SPDX-License-Identifier: GPL-2.0

//! An inode in memory, and its way to the disk and back.
//!
//! * [`data`] is what an inode has beside what the VFS keeps, [`table`] its place on the volume.
//! * [`read`], [`create`], [`write`], [`delete`] are its life; [`operations`] is what the floor above
//!   adds to it.
//! * [`errors`] is what is said when something fails.
//! * [`block_map`] ties a file to its blocks, and [`directory`] the names of a directory to inodes.

pub(crate) mod block_map;
pub(crate) mod create;
pub(crate) mod data;
pub(crate) mod delete;
pub(crate) mod directory;
pub(crate) mod errors;
pub(crate) mod operations;
pub(crate) mod read;
pub(crate) mod table;
pub(crate) mod write;
