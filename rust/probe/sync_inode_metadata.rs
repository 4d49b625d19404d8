// SPDX-License-Identifier: GPL-2.0

//! The VFS remembers that the metadata of an inode is under writeback, and has an operation that waits for it (7.3).

/// Compiles if it has.
pub fn probe(table: &mut kernel::bindings::super_operations) {
    table.sync_inode_metadata = None;
}
