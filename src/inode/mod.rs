// SPDX-License-Identifier: GPL-2.0

//! An inode in memory, and its way to the disk and back.
//!
//! * [`data`] is the filesystem's part of an inode in memory, [`table`] its slot in the inode
//!   table.
//! * [`read`], [`create`], [`write`], [`store`], [`delete`] are its life cycle; in [`operations`] the floor
//!   above gives it its operations tables.
//! * [`attributes`] are its extended attributes, of which [`acl`] are access control lists; [`attribute_block`] is the block
//!   that has some, and [`stored_attributes`] keeps the inode from leading to one that is not on the device.
//! * [`errors`] reports what fails.
//! * [`block_map`] maps the blocks of a file, by the pointers in [`map`] and [`pointer_blocks`], of which
//!   [`sequence`] counts the changes, and the runs in [`runs`]; [`tail`] is where a file goes on that grows, [`last_block`] near what it
//!   is filled,
//!   [`extents`] shows runs, and [`directory`] has the names of a directory, with [`last_leaf`] for its hash index.
//! * [`deferred`] keeps pointers from the device until it has what they lead to, and [`new_blocks`] blocks
//!   out of the file until they are written; [`pending`] has them meanwhile, and [`turns`] the order of those
//!   that write to one block. [`dirty`] marks buffers.
//! * [`unborn`] are inodes that are not stored before they may be.
//! * [`names`] sees to it that an inode that was synced is found after a crash, and [`durable`] knows
//!   whether what it takes is on stable storage. [`unstored_names`] are directories that were not stored since they have changed.

pub(crate) mod acl;
mod attribute_block;
pub(crate) mod attributes;
pub(crate) mod block_map;
pub(crate) mod create;
pub(crate) mod data;
mod deferred;
pub(crate) mod delete;
pub(crate) mod directory;
mod dirty;
pub(crate) mod durable;
pub(crate) mod errors;
pub(crate) mod extents;
pub(crate) mod in_flight;
mod last_block;
mod last_leaf;
pub(crate) mod map;
mod name_record;
pub(crate) mod names;
pub(crate) mod new_blocks;
pub(crate) mod operations;
mod pending;
mod pointer_blocks;
mod rare_vec;
pub(crate) mod read;
mod run_slot;
mod runs;
mod sequence;
pub(crate) mod store;
pub(crate) mod stored_attributes;
pub(crate) mod table;
mod tail;
pub(crate) mod turns;
pub(crate) mod unborn;
pub(crate) mod unstored_names;
pub(crate) mod write;
