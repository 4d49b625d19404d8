// SPDX-License-Identifier: GPL-2.0

//! File handles, for NFS and `open_by_handle_at(2)`: `export_operations`.

use crate::inode::directory;
use crate::inode::errors;
use crate::inode::names;
use crate::inode::read::{iget, iget_by_handle};
use crate::types::{Inode, InodeLocked, InodeRef, RetryFs, SuperBlock};
use crate::volume::errors::reported;
use crate::volume::fault::Result as FaultResult;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::compat::ESTALE;
use kfs::fs::export::ExportOperations;
use kfs::fs::inode::lock::Shared;

#[vtable]
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

    fn commit_metadata(inode: &Inode) -> Result {
        let sb = inode.sb();
        sb.data().check_up()?;
        let mark = names::begin(inode);
        inode.sync_metadata()?;
        if !mutant!("commit-nameless") {
            errors::reported(inode, names::sync(inode))?;
        }
        if !mutant!("commit-unflushed") {
            BlockDevice::of(sb).issue_flush()?;
            names::flushed(inode, mark);
        }
        Ok(())
    }
}

/// The inode that `..` of `dir` leads to. `ESTALE` when `dir` was removed.
fn parent(dir: &InodeLocked<Shared>) -> FaultResult<InodeRef<'_>> {
    // Before it is looked at: `..` of a directory that was replaced by rename(2) is still there,
    // and leads to where another inode may be by now.
    if dir.nlink() == 0 {
        return Err(ESTALE.into());
    }
    let found = directory::find(dir, b"..")?.ok_or_else(|| directory::no_parent(dir))?;
    let parent = iget(dir.sb(), &found)?;
    if !parent.is_dir() {
        return Err(found.corrupt("parent is not a directory"));
    }
    Ok(parent)
}
