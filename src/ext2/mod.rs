// SPDX-License-Identifier: GPL-2.0

//! The on-disk format of the second extended filesystem.
//!
//! Nothing here depends on the kernel: the functions work on byte slices, plain values and a few
//! small traits. So the same files are compiled into the module and, by `tests/host`, into a
//! program for unit tests and property tests.
//!
//! Data from the disk is not trusted. Bytes are read through raw layouts
//! ([`superblock::RawSuperblock`], [`group::RawGroup`], [`inode::RawInode`], ...), for which every
//! bit pattern is valid, and turned by a `parse` function into a type that has valid values only,
//! or into a [`Corrupt`], which says what is wrong and where. No function panics, whatever the
//! bytes are: slices are accessed with `get`, and arithmetic on numbers from the disk is done after
//! their ranges were checked.
//!
//! A function that changes a block does so in a copy made by the caller, and returns the range of
//! bytes it changed; the caller copies back these, and only these.
//!
//! # References
//!
//! - Card, Ts'o, Tweedie: "Design and Implementation of the Second Extended Filesystem".
//! - Dave Poirier: "The Second Extended File System: Internal Layout".
//! - `Documentation/filesystems/ext2.rst` and `Documentation/filesystems/ext4/` in the Linux tree.

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::todo,
    clippy::unreachable,
    clippy::unwrap_used
)]

pub(crate) mod acl;
pub(crate) mod bitmap;
pub(crate) mod block_map;
pub(crate) mod check_due;
pub(crate) mod choose_group;
pub(crate) mod directory;
pub(crate) mod error;
pub(crate) mod features;
pub(crate) mod file_type;
pub(crate) mod free_runs;
pub(crate) mod geometry;
pub(crate) mod group;
pub(crate) mod inode;
pub(crate) mod inode_extra;
pub(crate) mod inode_flags;
pub(crate) mod label;
pub(crate) mod layout;
pub(crate) mod mount_options;
pub(crate) mod pointers;
pub(crate) mod run_cache;
pub(crate) mod run_set;
pub(crate) mod sort;
pub(crate) mod superblock;
pub(crate) mod time;
pub(crate) mod truncate;
pub(crate) mod tuned;
pub(crate) mod uninit;
pub(crate) mod window;
pub(crate) mod xattr;

pub(crate) use error::{Corrupt, Place};
pub(crate) use geometry::Geometry;
pub(crate) use layout::Layout;
