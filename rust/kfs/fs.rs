// SPDX-License-Identifier: GPL-2.0

//! Filesystems: what `include/linux/fs.h` declares, and what lies near it.

pub mod address_space;
pub mod export;
pub mod file;
pub mod file_system;
pub mod file_system_data;
pub(crate) mod file_system_type;
pub(crate) mod fs_context;
pub mod fs_parser;
pub(crate) mod fserror;
pub mod generic_io;
pub mod inode;
pub mod inode_operations;
pub mod kiocb;
pub mod registration;
pub mod super_block;
pub(crate) mod writeback_errors;
