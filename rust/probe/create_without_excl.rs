// SPDX-License-Identifier: GPL-2.0

//! `inode_operations::create` is not told whether the name has to be new (7.3).

use kernel::bindings::{dentry, inode, inode_operations, mnt_idmap, umode_t};

type Create =
    unsafe extern "C" fn(*mut mnt_idmap, *mut inode, *mut dentry, umode_t) -> kernel::ffi::c_int;

/// Compiles if it is not.
pub fn probe(table: &mut inode_operations, create: Create) {
    table.create = Some(create);
}
