// SPDX-License-Identifier: GPL-2.0

//! Exchanging two names (`RENAME_EXCHANGE`).

use crate::ext2::inode::FileType;
use crate::inode::directory::{Entry, Parent};
use crate::inode::errors;
use crate::inode::names;
use crate::types::{Inode, InodeLocked, RetryFs};
use crate::vfs::links::{
    add_subdirectory, check_links, check_room, drop_subdirectory, sync, sync_now,
};
use crate::vfs::rename::{is_one, leads_to};
use crate::volume::fault;
use core::mem;
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::inode_operations::Rename;

/// One of the two names.
struct Side<'a> {
    dir: &'a InodeLocked<Exclusive>,
    inode: &'a Inode,
    entry: Entry<'a>,
    /// What the entry has of the inode.
    leads_to: (u32, FileType),
    /// That of the inode for its parent, if it is a directory and moves to another one.
    parent: Option<Parent<'a>>,
}

impl<'a> Side<'a> {
    /// Finds the entries. `EUCLEAN` when one leads to another inode.
    fn find(
        dir: &'a InodeLocked<Exclusive>,
        name: &'a [u8],
        inode: &'a Inode,
        moves: bool,
    ) -> fault::Result<Self> {
        let entry = Entry::find_leading_to(dir, name, inode)?;
        let leads_to = leads_to(inode)?;
        let parent = match moves && leads_to.1 == FileType::Directory {
            true => Some(Parent::find(inode, dir)?),
            false => None,
        };
        Ok(Side {
            dir,
            inode,
            entry,
            leads_to,
            parent,
        })
    }

    fn is_dir(&self) -> bool {
        self.leads_to.1 == FileType::Directory
    }

    fn block(&self) -> u64 {
        self.entry.found().block
    }

    /// Points the entry to the inode of a side.
    fn point(&mut self, (ino, file_type): (u32, FileType)) -> fault::Result {
        self.entry.replace(ino, file_type).map(drop)
    }

    /// Points `..` of a directory that moves to `parent`.
    fn set_parent(&mut self, parent: &Inode) -> fault::Result {
        self.parent
            .as_mut()
            .map_or(Ok(()), |entry| entry.set(parent))
    }

    /// The name leads to the inode of `other` from now on, whose own name has yet to change, or has changed.
    fn take(&mut self, other: &mut Side<'_>) -> fault::Result {
        self.point(other.leads_to)?;
        for inode in [self.inode, other.inode] {
            names::added(inode, self.dir, self.block());
        }
        match mutant!("exchange-dotdot") {
            true => Ok(()),
            false => other.set_parent(self.dir),
        }
    }

    /// As it was, after an error.
    fn undo(&mut self) {
        let undone = self.point(self.leads_to);
        let undone = undone.and_then(|()| self.set_parent(self.dir));
        errors::log(self.dir, "cannot undo a rename", undone);
    }
}

/// Exchanges the names of `rename` and of `other`, so that after a crash each leads to one of the
/// inodes, with its data.
///
/// As with a name that is replaced, both inodes are on the device first. Entries in one sector change
/// by a single write. Those in two sectors do not. The new name leads to the inode of the old one first, and
/// the device has that before the old name changes, as for a rename: a crash in between leaves both
/// names to this inode. `other` has a link then, and no name, and e2fsck puts it into `lost+found`. Of a
/// directory with two names e2fsck keeps one. Both names are on the device when the call returns.
///
/// On error the entries are put back.
pub(super) fn exchange(rename: &Rename<'_, RetryFs>, other: &Inode) -> fault::Result {
    let moves = !rename.old_dir.is(rename.new_dir);
    let mut old = Side::find(rename.old_dir, rename.old_name, rename.inode, moves)?;
    let mut new = Side::find(rename.new_dir, rename.new_name, other, moves)?;
    for (from, to) in [(&old, &new), (&new, &old)] {
        if moves && from.is_dir() && !to.is_dir() {
            check_links(from.dir)?;
            check_room(to.dir)?;
        }
        names::make_room(from.inode)?;
    }
    for side in [&old, &new] {
        if !mutant!("exchange-inode-late") {
            side.inode.write_and_wait()?;
            sync_now(side.inode)?;
        }
    }
    let exchanged = match is_one(old.entry.sector(), new.entry.sector()) {
        true => exchange_in_sector(&mut old, &mut new),
        false => exchange_in_two(&mut old, &mut new),
    };
    exchanged.inspect_err(|_| {
        if !mutant!("exchange-half") {
            old.undo();
            new.undo();
            if !mutant!("undo-unrecorded") {
                // The device may have some of it, and not that it was undone.
                for side in [&old, &new] {
                    for inode in [old.inode, new.inode] {
                        names::added(inode, side.dir, side.block());
                    }
                }
            }
        }
    })?;
    for (from, to) in [(&old, &new), (&new, &old)] {
        from.inode.touch_ctime();
        from.inode.mark_inode_dirty();
        if moves && from.is_dir() && !to.is_dir() && !mutant!("exchange-links") {
            add_subdirectory(to.dir);
            drop_subdirectory(from.dir);
        }
    }
    Ok(())
}

fn exchange_in_sector<'a>(old: &mut Side<'a>, new: &mut Side<'a>) -> fault::Result {
    let (of_old, of_new) = (old.leads_to, new.leads_to);
    old.entry.exchange(of_old, &new.entry, of_new)?;
    for side in [&old, &new] {
        names::added(side.inode, side.dir, side.block());
    }
    if !mutant!("exchange-block-late") {
        let mark = sync(old.inode)?;
        sync_now(new.inode)?;
        names::flushed(old.inode, mark);
    }
    Ok(())
}

fn exchange_in_two<'a>(old: &mut Side<'a>, new: &mut Side<'a>) -> fault::Result {
    if mutant!("exchange-reversed") {
        mem::swap(old, new);
    }
    new.take(old)?;
    sync_now(old.inode)?;
    old.take(new)?;
    if !mutant!("exchange-names-late") {
        sync_now(new.inode)?;
    }
    Ok(())
}
