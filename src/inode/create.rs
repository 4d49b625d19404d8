// SPDX-License-Identifier: GPL-2.0

//! Creating inodes.

use crate::ext2::geometry::ROOT_INO;
use crate::ext2::inode::{Content, FileType, InodeFlags};
use crate::ext2::xattr::{Index, Key};
use crate::ext2::{Corrupt, Place};
use crate::inode::acl;
use crate::inode::attributes;
use crate::inode::data::{disk_time, ino32, vfs_flags};
use crate::inode::errors::reported;
use crate::inode::operations::SetOperations;
use crate::inode::stored_attributes;
use crate::inode::unborn;
use crate::types::{CreatedInode, Inode, RetryFs};
use crate::volume::fault::{Fault, Result};
use crate::volume::inode_numbers;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::fs::inode::init::InodeInit;
use kfs::fs::mnt_idmap::MntIdmap;
use kfs::fs::posix_acl::AclType;
use kfs::fs::xattr::SetXattr;
use kfs::random::random_u32;

/// Creates an inode with one link for an entry in the directory `dir`.
///
/// `idmap` is that of the mount by which it is asked for. `name` is that of the entry, `None` for a
/// file without one. `mode` includes the file type, `content` is what the inode holds in place of
/// block pointers, or no pointers yet: a directory or a symbolic link is given its block then, and [`unborn::begin`] called. The caller
/// adds the entry; dropping the inode instead deletes it. Takes the locks of the groups; may sleep. `EINVAL` when `mode` has no file type, `ENOSPC` without a free
/// inode.
pub(crate) fn create<'a>(
    idmap: &MntIdmap,
    dir: &'a Inode,
    name: Option<&[u8]>,
    mode: u16,
    content: Content,
) -> Result<CreatedInode<'a>> {
    let sb = dir.sb();
    let file_type = FileType::from_mode(mode).ok_or(EINVAL)?;
    let unhashed = sb.new_inode()?;
    let parent = ino32(dir);
    let top = parent == ROOT_INO || dir.data().flags().has(InodeFlags::TOPDIR);
    let directory = file_type == FileType::Directory;
    let ino = inode_numbers::allocate(sb, parent, top, directory)?;
    // An inode in the inode cache is in use, whatever the bitmap said: leave the bit set.
    let inode = unhashed.insert_inode_locked(ino.into()).map_err(|_| {
        let what = "in use, but free in the inode bitmap";
        Fault::from(Corrupt::new(Place::Inode(ino), what))
    })?;
    let data = inode.data();
    data.set_flags(dir.data().flags().inherit(file_type));
    data.new.store(true, ordering::Relaxed);
    data.nothing_beyond_eof();
    let extra_size = sb.data().superblock.extra_size;
    data.extra_size.store(extra_size.into(), ordering::Relaxed);
    let inherit_group = sb.data().options().inherit_group;
    let mode = match inherit_group && mutant!("grpid-setgid") {
        true => mode | (dir.mode() & 0o2000),
        false => mode,
    };
    if mutant!("label-early") {
        create_labels(&inode, dir, name)?;
    }
    inode.init_owner(idmap, dir, mode, inherit_group)?;
    // What follows are lists and labels.
    inode.has_no_xattr();
    if sb.data().superblock.extra_size != 0 {
        data.crtime.populate(disk_time(inode.times().mtime));
    }
    inode.set_generation(random_u32());
    inode.set_flags(vfs_flags(data.flags()));
    RetryFs::set_operations(&inode, file_type, &content)?;
    if matches!(content, Content::Blocks(_)) && file_type != FileType::Regular {
        unborn::in_making(&inode);
    }
    inode.mark_inode_dirty();
    create_lists(&inode, dir)?;
    if !mutant!("label-early") {
        create_labels(&inode, dir, name)?;
    }
    Ok(inode)
}

/// The permissions of the group.
const GROUP: u16 = 0o070;

/// Gives a new inode the access control lists that its directory has for it.
fn create_lists(inode: &InodeInit<RetryFs>, dir: &Inode) -> Result {
    let acls = inode.posix_acl_create(dir)?;
    if !mutant!("acl-not-inherited") {
        if let Some(default) = &acls.default {
            acl::set(inode, AclType::Default, Some(default))?;
        }
        if let Some(access) = &acls.access {
            // What the mode gives the group is the mask of the list.
            stored_attributes::restrict(inode, !GROUP);
            acl::set(inode, AclType::Access, Some(access))?;
        }
    }
    Ok(())
}

/// Gives a new inode the labels of security modules, which go by its mode, its directory and its name.
fn create_labels(inode: &InodeInit<RetryFs>, dir: &Inode, name: Option<&[u8]>) -> Result {
    if mutant!("label-forgotten") {
        return Ok(());
    }
    let name = match mutant!("label-unnamed") {
        true => None,
        false => name,
    };
    inode.init_security(dir, name, |inode, name, value| {
        let index = Index::SECURITY;
        let set = attributes::set(inode, Key { index, name }, Some(value), SetXattr::ANY);
        match mutant!("label-failed") {
            true => Ok(()),
            false => reported(inode, set),
        }
    })?;
    Ok(())
}
