// SPDX-License-Identifier: GPL-2.0

//! retryfs: an ext2 whose direct I/O is done by a retry-based worker.
//!
//! * [`ext2`] is the on-disk format, without any of the kernel.
//! * [`dio`] is the direct I/O worker.
//! * [`volume`], [`blocks`], [`inodes`] keep the state of a mount: superblock, group descriptors,
//!   and the allocators on the bitmaps; [`unwritten`] what is not on the device yet.
//! * [`file_map`], [`inode`], [`directory`] tie an inode in memory to its blocks on the device.
//! * [`mount`], [`file`], [`namei`], [`attributes`], [`export`] implement the operations tables of the VFS.
//!
//! Locks are taken in this order: the inode lock (`i_rwsem`), a folio lock, the lock of the
//! inode's block map ([`inode::InodeData`]) or that of blocks of extended attributes, the lock of the
//! allocators ([`volume::Volume`]), that of the superblock's buffer, that of [`unwritten`]. The block
//! map's and what is behind it are held with memory allocation confined to `GFP_NOFS`, as evicting
//! an inode takes them too.

#![forbid(unsafe_code)]

#[macro_use]
mod mutant;

mod attributes;
mod blocks;
mod dio;
mod directory;
mod export;
mod ext2;
mod fallocate;
mod fault;
mod file;
mod file_map;
mod inode;
mod inodes;
mod mount;
mod namei;
mod options;
mod unwritten;
mod volume;

use kernel::prelude::*;
use kernel::InPlaceModule;
use kfs::fs::registration::Registration;

/// The filesystem type.
pub(crate) struct RetryFs;

/// An inode of retryfs.
type Inode = kfs::fs::inode::Inode<RetryFs>;
/// A mounted retryfs.
type SuperBlock = kfs::fs::super_block::SuperBlock<RetryFs>;
/// An inode of retryfs whose lock is held in mode `M`.
type InodeLocked<M> = kfs::fs::inode::lock::InodeLocked<RetryFs, M>;

module! {
    type: Module,
    name: "retryfs",
    authors: ["The retryfs developers"],
    description: "ext2 with retry-based asynchronous direct I/O",
    license: "GPL",
    alias: ["fs-retryfs"],
}

#[pin_data]
struct Module {
    #[pin]
    registration: Registration<RetryFs>,
}

impl InPlaceModule for Module {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            registration <- Registration::new(module),
        })
    }
}
