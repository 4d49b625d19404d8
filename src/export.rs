// SPDX-License-Identifier: GPL-2.0

//! Inodes by their handles: `export_operations`.

use crate::directory;
use crate::ext2::error::{Corrupt, Place};
use crate::fault::{Fault, Result as FaultResult};
use crate::inode::{iget, iget_by_handle, ino32};
use crate::{Inode, InodeLocked, RetryFs, SuperBlock};
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kfs::fs::export::ExportOperations;
use kfs::fs::inode::lock::Shared;

impl ExportOperations for RetryFs {
    fn get_inode(sb: &SuperBlock, ino: u64, generation: u32) -> Result<ARef<Inode>> {
        let ino = u32::try_from(ino).map_err(|_| ESTALE)?;
        let inode = iget_by_handle(sb, ino).map_err(|fault| fault.report(sb))?;
        // There is no generation that stands for any: a handle without one is of nothing.
        if inode.generation() != generation && !mutant!("stale-handle") {
            return Err(ESTALE);
        }
        Ok(inode)
    }

    fn get_parent(dir: &InodeLocked<Shared>) -> Result<ARef<Inode>> {
        parent(dir).map_err(|fault| fault.report(dir.sb()))
    }
}

fn parent(dir: &InodeLocked<Shared>) -> FaultResult<ARef<Inode>> {
    let Some(ino) = directory::find(dir, b"..")? else {
        // One that was removed has no entries any more.
        if dir.nlink() == 0 {
            return Err(ESTALE.into());
        }
        let what = "a directory without an entry for its parent";
        return Err(Fault::from(Corrupt::new(Place::Inode(ino32(dir)), what)));
    };
    iget(dir.sb(), ino)
}
