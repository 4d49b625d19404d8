// SPDX-License-Identifier: GPL-2.0

//! Reading inodes.

use crate::ext2::inode::{has_no_link, Inode as DiskInode};
use crate::ext2::{Corrupt, Place};
use crate::inode::data::vfs_flags;
use crate::inode::operations::SetOperations;
use crate::inode::table::read_raw;
use crate::types::{InodeRef, RetryFs, SuperBlock};
use crate::volume::fault::Result;
use crate::volume::inode_numbers;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::fs::inode::init::{Attributes, InodeInit};
use kfs::fs::inode::new::{Iget, NewInode};

/// Returns the inode `ino`, to which a directory entry refers, from the inode cache or the volume.
///
/// May sleep. `ESTALE` when it is deleted, `EIO` when it cannot be read.
pub(crate) fn iget(sb: &SuperBlock, ino: u32) -> Result<InodeRef<'_>> {
    if !sb.data().geometry().is_file_ino(ino) {
        let what = "directory entry refers to a reserved inode";
        return Err(Corrupt::new(Place::Inode(ino), what).into());
    }
    match sb.iget_locked(ino.into())? {
        Iget::Found(inode) => Ok(inode),
        Iget::New(new) => read_new(sb, ino, new),
    }
}

/// Returns the inode `ino` of a file handle, which may be stale or forged.
///
/// May sleep. `ESTALE` when no file can have that number, when it is free, or when the inode has no
/// link. The slot of such an inode is not parsed: anything in it would be reported as corruption.
pub(crate) fn iget_by_handle(sb: &SuperBlock, ino: u32) -> Result<InodeRef<'_>> {
    if !sb.data().geometry().is_file_ino(ino) {
        return Err(ESTALE.into());
    }
    match sb.iget_locked(ino.into())? {
        Iget::Found(inode) => Ok(inode),
        Iget::New(new) => {
            let is_free = !inode_numbers::is_allocated(sb, ino)? && !mutant!("free-handle");
            if is_free || has_no_link(&read_raw(sb, ino)?) {
                return Err(ESTALE.into());
            }
            read_new(sb, ino, new)
        }
    }
}

/// Reads an inode that was not in the inode cache. On error, `new` is dropped as a bad inode.
fn read_new<'sb>(
    sb: &'sb SuperBlock,
    ino: u32,
    new: NewInode<'sb, RetryFs>,
) -> Result<InodeRef<'sb>> {
    let bytes = read_raw(sb, ino)?;
    let from = DiskInode::parse(&sb.data().layout(), ino, &bytes)?;
    fill(&new, &from)?;
    Ok(new.unlock_new_inode())
}

/// Fills an inode from its slot in the inode table.
fn fill(inode: &InodeInit<RetryFs>, from: &DiskInode) -> Result {
    let data = inode.data();
    data.set_flags(from.flags);
    data.file_acl.store(from.file_acl, ordering::Relaxed);
    if let Some(pointers) = from.pointers() {
        data.map.lock().pointers = *pointers;
    }
    inode.set_attributes(&Attributes {
        mode: from.mode,
        uid: from.uid,
        gid: from.gid,
        nlink: from.links.into(),
        size: from.size,
        blocks: from.sectors.into(),
        times: (from.atime.into(), from.mtime.into(), from.ctime.into()),
        generation: from.generation,
    })?;
    inode.set_flags(vfs_flags(from.flags));
    Ok(RetryFs::set_operations(
        inode,
        from.file_type,
        &from.content,
    )?)
}
