// SPDX-License-Identifier: GPL-2.0

//! Exchanging two names (`RENAME_EXCHANGE`).

use crate::ext2::inode::FileType;
use crate::inode::data::{file_type, ino32};
use crate::inode::directory::{self, Found};
use crate::inode::errors;
use crate::inode::names;
use crate::types::{Inode, InodeLocked, RetryFs};
use crate::vfs::links::{check_links, sync_now};
use crate::volume::fault;
use kernel::prelude::*;
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::inode_operations::Rename;

/// One of the two names.
struct Side<'a> {
    dir: &'a InodeLocked<Exclusive>,
    name: &'a [u8],
    inode: &'a Inode,
    file_type: FileType,
    /// The block of the volume with the entry.
    block: u64,
}

impl<'a> Side<'a> {
    /// Finds the entry. `EUCLEAN` when it leads to another inode.
    fn find(
        dir: &'a InodeLocked<Exclusive>,
        name: &'a [u8],
        inode: &'a Inode,
    ) -> fault::Result<Self> {
        let found: Found = directory::find(dir, name)?.ok_or(ENOENT)?;
        if found.ino != ino32(inode) && !mutant!("entry-unchecked") {
            return Err(found.corrupt("entry leads to another inode than it did"));
        }
        Ok(Side {
            dir,
            name,
            inode,
            file_type: file_type(inode)?,
            block: found.block,
        })
    }

    fn is_dir(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// What the entry has of the inode.
    fn entry(&self) -> (u32, FileType) {
        (ino32(self.inode), self.file_type)
    }

    /// Points the entry to the inode of `to`.
    fn point(&self, to: &Side<'_>) -> fault::Result {
        let (ino, file_type) = to.entry();
        directory::replace(self.dir, self.name, ino, file_type).map(drop)
    }

    /// Points `..` of a directory to `parent`.
    fn set_parent(&self, parent: &Inode) -> fault::Result {
        match self.is_dir() {
            true => directory::set_parent(self.inode, parent),
            false => Ok(()),
        }
    }

    /// As it was, after an error.
    fn undo(&self, moved: bool) {
        let mut undone = self.point(self);
        if moved {
            undone = undone.and(self.set_parent(self.dir));
        }
        errors::log(self.dir, "cannot undo a rename", undone);
    }
}

/// Exchanges the names of `rename` and of `other`, so that after a crash each leads to one of the
/// inodes, with its data.
///
/// As with a name that is replaced, both inodes are on the device first. Entries in one block change
/// by a single write. Those in two blocks do not: both are on the device when the call returns; a
/// crash in between can leave both names to one inode, and the other, which has a link, to e2fsck,
/// for `lost+found`.
///
/// If the device fails the entries are put back.
pub(super) fn exchange(rename: &Rename<'_, RetryFs>, other: &Inode) -> fault::Result {
    let old = Side::find(rename.old_dir, rename.old_name, rename.inode)?;
    let new = Side::find(rename.new_dir, rename.new_name, other)?;
    let sides = [(&old, &new), (&new, &old)];
    let moved = !old.dir.is(new.dir);
    for (from, to) in sides {
        if moved && from.is_dir() {
            directory::check_parent(from.inode, from.dir)?;
            if !to.is_dir() {
                check_links(from.dir)?;
            }
        }
        names::make_room(from.inode)?;
    }
    for (side, _) in sides {
        if !mutant!("exchange-inode-late") {
            side.inode.write_and_wait()?;
            sync_now(side.inode)?;
        }
    }
    let one_block = old.block == new.block;
    if one_block {
        directory::exchange(old.dir, (old.name, old.entry()), (new.name, new.entry()))?;
    } else {
        new.point(&old)?;
        old.point(&new).inspect_err(|_| new.undo(false))?;
    }
    for (side, _) in sides {
        names::changed(side.inode, old.dir, old.block);
        names::changed(side.inode, new.dir, new.block);
    }
    let done = sides
        .iter()
        .try_for_each(|(from, to)| match moved && !mutant!("exchange-dotdot") {
            true => from.set_parent(to.dir),
            false => Ok(()),
        });
    let done = done.and_then(|()| match one_block || mutant!("exchange-names-late") {
        true => Ok(()),
        false => sync_now(old.inode).and_then(|()| sync_now(new.inode)),
    });
    done.inspect_err(|_| sides.iter().for_each(|(side, _)| side.undo(moved)))?;
    for (from, to) in sides {
        from.inode.touch_ctime();
        from.inode.mark_inode_dirty();
        if moved && from.is_dir() && !to.is_dir() && !mutant!("exchange-links") {
            to.dir.inc_link_count();
            from.dir.dec_link_count();
        }
    }
    Ok(())
}
