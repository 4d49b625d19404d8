// SPDX-License-Identifier: GPL-2.0

//! Filesystems: what `include/linux/fs.h` declares, and what lies near it.
//!
//! No file imports another in a circle, though C's structures all point to each other. From bottom
//! to top:
//!
//! * `file_system_data`: the types that a filesystem keeps with the kernel's objects, for which the
//!   objects are generic. `file_system_type` and `fs_parser` are not generic at all.
//! * `super_block`, then `inode`, its lock, and what an inode does that is new or is truncated.
//! * `kiocb`, with `fserror` and `writeback_errors`; `generic_io`.
//! * `shutdown`, which those below ask, and `ioctl` answers.
//! * `xattr`, `posix_acl`, `security` and `file_attr`: what an inode carries beside.
//! * A file for each table of operations: `file`, `address_space`, `inode_operations`, `export`, with
//!   `llseek`, `fiemap`, `mmap`, `write_begin` and `ioctl` for one operation each, and `small_folio` for two. They take inodes and kiocbs. `inode::tables` is above them, and gives an inode its tables.
//! * `file_system`: the operations of a filesystem, [`FileSystem`](file_system::FileSystem).
//! * What calls these: `inode::life` and `inode::writeback`, `super_block::operations`, `fs_context`, `registration`.
//!
//! An item that needs something of a higher file is there, as an `impl` block of its own: a super
//! block looks up inodes in `inode::new`.

/// An entry of a table: `$function` if there is one, by a constant of `#[vtable]`.
macro_rules! if_has {
    ($has:expr, $function:expr) => {
        if $has {
            Some($function)
        } else {
            None
        }
    };
}

pub mod address_space;
pub mod export;
pub mod fiemap;
pub mod file;
pub mod file_attr;
pub mod file_system;
pub mod file_system_data;
pub(crate) mod file_system_type;
pub(crate) mod found;
pub(crate) mod fs_context;
pub mod fs_parser;
pub(crate) mod fserror;
pub mod generic_io;
pub mod inode;
pub mod inode_operations;
pub mod ioctl;
pub mod kiocb;
pub mod llseek;
pub(crate) mod mmap;
pub mod mnt_idmap;
pub mod posix_acl;
pub mod registration;
pub mod security;
pub mod shutdown;
pub(crate) mod small_folio;
pub mod super_block;
pub(crate) mod write_begin;
pub(crate) mod writeback_errors;
pub mod xattr;
