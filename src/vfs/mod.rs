// SPDX-License-Identifier: GPL-2.0

//! What the VFS calls: one file for each operations table.
//!
//! Operations enter and leave the filesystem here. So it is here that those that change the volume
//! check that it is writable, and that a [`Fault`](crate::volume::fault::Fault) becomes an errno
//! and a line in the log.
//!
//! * [`super_block`] has mounting and `super_operations`, [`sysfs`] the counters of a mount.
//! * [`directory`] has `inode_operations` and `file_operations` of directories, `rename` and
//!   `exchange` two of these and `links` what they share; [`attributes`] has `inode_operations` of everything else.
//! * [`file`], [`write`](self::write), [`fallocate`], [`allocate`] and [`allocate_beyond_eof`] have `file_operations` of regular files.
//! * [`address_space`] has `address_space_operations`, [`direct_io`] what the worker calls.
//! * [`xattr`] has `xattr_handler`s.
//! * `ioctl` has what both kinds of files do for `ioctl(2)`.
//! * [`export`] has `export_operations`.
//! * [`tables`] says which of these an inode gets.

pub(crate) mod address_space;
mod allocate;
mod allocate_beyond_eof;
pub(crate) mod attributes;
pub(crate) mod direct_io;
pub(crate) mod directory;
mod exchange;
pub(crate) mod export;
pub(crate) mod extents;
mod fallocate;
pub(crate) mod file;
mod ioctl;
mod ioctl_trim;
mod links;
mod rename;
pub(crate) mod super_block;
pub(crate) mod sysfs;
pub(crate) mod tables;
mod write;
pub(crate) mod xattr;
