// SPDX-License-Identifier: GPL-2.0

//! Tests of `src/ext2`.

mod dir_block;
mod free_runs;
mod fuzz;
mod support;
mod volume;

mod acl;
mod bitmap;
mod block_map;
mod choose_group;
mod directory;
mod error;
mod features;
mod fuzzed;
mod geometry;
mod group;
mod images;
mod index;
mod indexed;
mod inode;
mod label;
mod layout;
mod mount_options;
mod rooms;
mod run_cache;
mod run_set;
mod sectors;
mod superblock;
mod truncate;
mod uninit;
mod window;
mod xattr;
