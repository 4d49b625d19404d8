// SPDX-License-Identifier: GPL-2.0

//! retryfs: a filesystem with the on-disk format of ext2, whose direct I/O is done by a retry-based
//! worker.
//!
//! `Documentation/filesystems/retryfs-walk.rst` follows two requests through the files.
//!
//! # Floors
//!
//! ```text
//!   VFS, block layer            vfs              one file for each operations table
//!         |                    /   \
//!         |                 dio     inode        the worker; an inode in memory
//!         |                           |
//!        kfs                       volume        what is mounted
//!         |                           |
//!   page and buffer cache           ext2         the on-disk format
//! ```
//!
//! A file imports files of its own floor and of those that the table names, and no files import each
//! other in a circle. `scripts/check-floors` reads this table and checks the imports, in `make test`:
//!
//! | floor | imports | what |
//! | --- | --- | --- |
//! | `vfs` | `dio`, `inode`, `volume`, `ext2`, `types` | What the VFS calls: the operations tables. |
//! | `dio` | | The direct I/O worker. It knows the filesystem by a trait ([`dio::Filesystem`]). |
//! | `inode` | `volume`, `ext2`, `types` | An inode in memory, and its way to the disk. |
//! | `volume` | `ext2`, `types` | What is mounted: superblock, groups, allocators. |
//! | `ext2` | | The on-disk format, without any of the kernel. |
//! | `types` | | The filesystem type, which all but `dio` and `ext2` have to name. |
//! | `mutant` | | A macro: builds that lack one protection. |
//!
//! What a lower floor needs from a higher one is a trait that the higher one implements:
//! [`inode::operations::SetOperations`], [`dio::Filesystem`], and those of `kfs`.
//!
//! # Locks
//!
//! In the order in which they are taken:
//!
//! 1. the inode lock (`i_rwsem`), and the `invalidate_lock` of the mapping;
//! 2. a folio lock;
//! 3. the extended attributes of an inode ([`inode::data::InodeData`]); then the right to change its
//!    block map ([`inode::map::Map`]; a look-up takes no lock), and below it its pending blocks
//!    ([`inode::pending`]) and its deferred pointers ([`inode::deferred`]), or the reference counts of
//!    blocks of extended attributes
//!    ([`volume::state::Volume::attribute_blocks`]);
//! 4. what was given back is being settled ([`volume::settle`]), or a group is being initialised
//!    ([`volume::uninit`]), by who allocates;
//! 5. a group, with which it is allocated and freed ([`volume::groups::GroupSet`]); nobody holds two, or reads from the
//!    device with one;
//! 6. what was given back ([`volume::released`]);
//! 7. the buffer of the superblock;
//! 8. the metadata that is not on the device yet ([`volume::unwritten`]).
//!
//! From 3 on, memory is allocated with `GFP_NOFS` only, as evicting an inode takes these locks, too.
//! The lock of a dio ([`dio`]) is taken last, with interrupts off. The record of names of an inode
//! ([`inode::names`]) has a spinlock of its own, under which no other is taken, and so have the storing
//! of pointers ([`inode::map`]), the block of attributes ([`inode::stored_attributes`]), what is known of the room in a directory ([`ext2::directory::rooms`]),
//! the mount options ([`volume::options`]), the marks of inodes that left memory ([`volume::evicted`]), and the inode bitmap that was
//! looked at last ([`volume::last_bitmap`]).

#![forbid(unsafe_code)]

#[macro_use]
mod mutant;

mod dio;
mod ext2;
mod inode;
mod types;
mod vfs;
mod volume;

use crate::types::RetryFs;
use kfs::module_fs;

#[cfg(not(mutants))]
module_fs! {
    type: RetryFs,
    name: "retryfs",
    authors: ["The retryfs developers"],
    description: "ext2 with retry-based asynchronous direct I/O",
    license: "GPL",
    alias: ["fs-retryfs"],
}

// For tests only, see `mutant`.
#[cfg(mutants)]
module_fs! {
    init: mutant::choose(module_parameters::mutant.value()),
    type: RetryFs,
    name: "retryfs",
    authors: ["The retryfs developers"],
    description: "ext2 with retry-based asynchronous direct I/O, one protection of which can be left out",
    license: "GPL",
    alias: ["fs-retryfs"],
    params: {
        mutant: u32 {
            default: 0,
            description: "The key of the protection that is left out (0: none)",
        },
    },
}
