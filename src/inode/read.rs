// SPDX-License-Identifier: GPL-2.0

//! Reading inodes.

use crate::ext2::geometry::ROOT_INO;
use crate::ext2::inode::{has_no_link, FileType, Inode as DiskInode, InodeError, EXTRA_SIZE};
use crate::ext2::time::Time;
use crate::ext2::{Corrupt, Place};
use crate::inode::attributes;
use crate::inode::data::{timespec, vfs_flags};
use crate::inode::directory::Found;
use crate::inode::operations::SetOperations;
use crate::inode::stored_attributes::AttributeBlock;
use crate::inode::table::{read_raw, RawSlot};
use crate::types::{InodeRef, RetryFs, SuperBlock};
use crate::volume::fault::{Fault, Result};
use crate::volume::inode_numbers;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::compat::ESTALE;
use kfs::fs::inode::init::{Attributes, InodeInit};
use kfs::fs::inode::new::{Iget, NewInode};
use kfs::fs::inode::Times;

/// Returns the root directory. May sleep. `EIO` when it cannot be read.
pub(crate) fn iget_root(sb: &SuperBlock) -> Result<InodeRef<'_>> {
    match sb.iget_locked(ROOT_INO.into())? {
        Iget::Found(inode) => Ok(inode),
        Iget::New(new) => read_new(sb, ROOT_INO, new, || match mutant!("deleted-root") {
            true => EIO.into(),
            false => Corrupt::new(Place::Inode(ROOT_INO), "root is deleted").into(),
        }),
    }
}

/// Returns the inode to which the directory entry `found` leads, from the inode cache or the
/// volume. The lock of the directory is held: so an inode to which there is a name has a link, and
/// its number is not free.
///
/// May sleep. `EIO` when it cannot be read. That it is deleted or of another type than the entry
/// says is corruption.
pub(crate) fn iget<'sb>(sb: &'sb SuperBlock, found: &Found) -> Result<InodeRef<'sb>> {
    const DELETED: &str = "entry of a deleted inode";
    let ino = found.ino;
    if !sb.data().geometry().is_file_ino(ino) {
        return Err(found.corrupt("entry of a reserved inode"));
    }
    let inode = match sb.iget_locked(ino.into())? {
        Iget::Found(inode) => inode,
        Iget::New(new) => {
            check_number(sb, found)?;
            read_new(sb, ino, new, || match mutant!("deleted-entry") {
                true => EIO.into(),
                false => found.corrupt(DELETED),
            })?
        }
    };
    if mutant!("entry-unchecked") {
        return Ok(inode);
    }
    if inode.nlink() == 0 {
        return Err(found.corrupt(DELETED));
    }
    if found.file_type.is_some() && found.file_type != FileType::from_mode(inode.mode()) {
        return Err(found.corrupt("entry of another file type than its inode"));
    }
    Ok(inode)
}

/// Checks that the number to which `found` leads is not free, and will not be given to another
/// file. While nothing is changed, and when the bitmap cannot be read, the inode can be used all the
/// same.
fn check_number(sb: &SuperBlock, found: &Found) -> Result {
    if sb.rdonly() || mutant!("entry-unchecked") {
        return Ok(());
    }
    match inode_numbers::is_allocated(sb, found.ino) {
        Ok(false) => Err(found.corrupt("entry of an inode that is free in its bitmap")),
        _ => Ok(()),
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
            if is_free || read_raw(sb, ino, |slot| has_no_link(slot))? {
                return Err(ESTALE.into());
            }
            read_new(sb, ino, new, || ESTALE.into())
        }
    }
}

/// Reads an inode that was not in the inode cache; `deleted` is what it means that it is deleted.
/// On error, `new` is dropped as a bad inode.
fn read_new<'sb>(
    sb: &'sb SuperBlock,
    ino: u32,
    new: NewInode<'sb, RetryFs>,
    deleted: impl FnOnce() -> Fault,
) -> Result<InodeRef<'sb>> {
    read_raw(sb, ino, |slot| {
        let parsed = DiskInode::parse(&sb.data().layout(), ino, slot);
        // Not moved, as it is large.
        let from = match &parsed {
            Ok(from) => from,
            Err(InodeError::Deleted) => return Err(deleted()),
            Err(InodeError::Corrupt(corrupt)) => return Err((*corrupt).into()),
        };
        if mutant!("symlink-without-nul") && from.size == 60 && from.file_type == FileType::Symlink
        {
            return Err(Corrupt::new(Place::Inode(ino), "no NUL").into());
        }
        fill(&new, from, slot)
    })??;
    Ok(new.unlock_new_inode())
}

/// Fills an inode from its `slot` in the inode table, which was parsed.
fn fill(inode: &InodeInit<RetryFs>, from: &DiskInode, slot: &RawSlot<'_>) -> Result {
    let data = inode.data();
    data.set_flags(from.flags);
    *data.attribute_block.lock() = AttributeBlock::of(from.file_acl);
    data.extra_size
        .store(extra_size(inode.sb(), from).into(), ordering::Relaxed);
    // Drivers that do not know it leave 0.
    if let Some(crtime) = from.crtime.filter(|&time| time != Time::default()) {
        data.crtime.populate(crtime);
    }
    if let Some(pointers) = from.pointers() {
        data.map.lock().set_root(pointers);
    }
    let id_mask = match inode.sb().data().uid16() {
        true => 0xffff,
        false => u32::MAX,
    };
    inode.set_attributes(&Attributes {
        mode: from.mode,
        uid: from.uid & id_mask,
        gid: from.gid & id_mask,
        nlink: from.links.into(),
        size: from.size,
        blocks: from.sectors,
        times: Times {
            atime: timespec(from.atime),
            mtime: timespec(from.mtime),
            ctime: timespec(from.ctime),
        },
        generation: from.generation,
    })?;
    inode.set_flags(vfs_flags(from.flags));
    let in_slot = from.extra_size != 0 && attributes::are_in_slot(inode, slot)?;
    data.in_slot.store(in_slot, ordering::Relaxed);
    if (from.file_acl == 0 && !in_slot) || mutant!("capability-unread") {
        inode.has_no_xattr();
    }
    Ok(RetryFs::set_operations(
        inode,
        from.file_type,
        &from.content,
    )?)
}

/// How many bytes of its slot an inode is to use for fields, after the first 128: what it used, and
/// those with known fields, where what is there is not used for anything.
fn extra_size(sb: &SuperBlock, from: &DiskInode) -> u16 {
    let used = from.extra_size;
    match used {
        0 => sb.data().superblock.extra_size.min(EXTRA_SIZE),
        _ => used,
    }
}
