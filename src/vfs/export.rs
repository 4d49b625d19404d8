// SPDX-License-Identifier: GPL-2.0

//! File handles, for NFS and `open_by_handle_at(2)`: `export_operations`.

use crate::ext2::{Corrupt, Place};
use crate::inode::data::ino32;
use crate::inode::directory;
use crate::inode::errors;
use crate::inode::read::{iget, iget_by_handle};
use crate::types::{InodeLocked, InodeRef, RetryFs, SuperBlock};
use crate::volume::errors::reported;
use crate::volume::fault::{Fault, Result as FaultResult};
use kernel::prelude::*;
use kfs::fs::export::ExportOperations;
use kfs::fs::inode::lock::Shared;

impl ExportOperations for RetryFs {
    fn get_inode(sb: &SuperBlock, ino: u64, generation: u32) -> Result<InodeRef<'_>> {
        let ino = u32::try_from(ino).map_err(|_| ESTALE)?;
        let inode = reported(sb, iget_by_handle(sb, ino))?;
        // Generation 0 is no wildcard, as in some filesystems: it has to match like any other.
        if inode.generation() != generation && !mutant!("stale-handle") {
            return Err(ESTALE);
        }
        Ok(inode)
    }

    fn get_parent(dir: &InodeLocked<Shared>) -> Result<InodeRef<'_>> {
        errors::reported(dir, parent(dir))
    }
}

/// The inode that `..` of `dir` leads to. `ESTALE` when `dir` was removed.
fn parent(dir: &InodeLocked<Shared>) -> FaultResult<InodeRef<'_>> {
    let Some(ino) = directory::find(dir, b"..")? else {
        // rmdir(2) has set i_size to 0.
        if dir.nlink() == 0 {
            return Err(ESTALE.into());
        }
        let what = "directory without an entry for its parent";
        return Err(Fault::from(Corrupt::new(Place::Inode(ino32(dir)), what)));
    };
    iget(dir.sb(), ino)
}
