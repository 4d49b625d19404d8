// SPDX-License-Identifier: GPL-2.0

//! Inodes that are new on the volume.

use crate::ext2::geometry::ROOT_INO;
use crate::ext2::inode::{Content, FileType, InodeFlags};
use crate::ext2::{Corrupt, Place};
use crate::inode::data::{ino32, vfs_flags};
use crate::inode::operations::SetOperations;
use crate::types::{Inode, RetryFs};
use crate::volume::fault::{Fault, Result};
use crate::volume::inode_numbers;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::fs::new_inode::CreatedInode;
use kfs::random::random_u32;

/// Makes an inode in the directory `dir`, with one link; `content` is what it is to hold.
///
/// `mode` has the type too. `ENOSPC` when there is no free inode. May sleep.
pub(crate) fn create(dir: &Inode, mode: u16, content: Content) -> Result<CreatedInode<RetryFs>> {
    let sb = dir.sb();
    let file_type = FileType::from_mode(mode).ok_or(EINVAL)?;
    let unhashed = sb.new_inode()?;
    let parent = ino32(dir);
    let top = parent == ROOT_INO || dir.data().flags().has(InodeFlags::TOPDIR);
    let directory = file_type == FileType::Directory;
    let ino = inode_numbers::allocate(sb, parent, top, directory)?;
    // Should the number be in memory already, it was not really free: it stays allocated.
    let inode = unhashed.insert_inode_locked(ino.into()).map_err(|_| {
        let what = "the bitmap has an inode as free that is in use";
        Fault::from(Corrupt::new(Place::Inode(ino), what))
    })?;
    let data = inode.data();
    data.set_flags(dir.data().flags().inherit(file_type));
    data.new.store(true, ordering::Relaxed);
    inode.init_owner(dir, mode, sb.data().options().inherit_group)?;
    inode.set_generation(random_u32());
    inode.set_flags(vfs_flags(data.flags()));
    RetryFs::set_operations(&inode, file_type, &content)?;
    inode.mark_inode_dirty();
    Ok(inode)
}
