// SPDX-License-Identifier: GPL-2.0

//! Moving a name (`rename(2)`). Two that are exchanged are in [`super::exchange`].

use crate::ext2::inode::{Content, Device, FileType};
use crate::inode::create;
use crate::inode::data::{file_type, ino32};
use crate::inode::directory::{self, Added, Entry, Parent, Sector};
use crate::inode::errors;
use crate::inode::names;
use crate::inode::write;
use crate::types::{CreatedInode, Inode, InodeLocked, RetryFs};
use crate::vfs::links::{
    add_subdirectory, check_links, check_own_links, check_room, drop_own_links, drop_subdirectory,
    sync_now,
};
use crate::volume::fault;
use crate::volume::unwritten::First;
use kernel::prelude::*;
use kfs::compat::ENOTEMPTY;
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::inode_operations::Rename;
use kfs::fs::mnt_idmap::MntIdmap;

/// A name that moves.
struct Move<'a, 'r> {
    rename: &'r Rename<'a, RetryFs>,
    /// What a name has of the inode.
    of_inode: (u32, FileType),
    old: Entry<'a>,
    /// The name that is replaced, and what it leads to.
    over: Option<(Entry<'a>, (u32, FileType))>,
    /// What is replaced.
    replaced: Option<&'a Inode>,
    /// The new name, if there was none to be replaced.
    added: Option<Added>,
    /// The parent of a directory that moves to another one.
    parent: Option<Parent<'a>>,
    /// What the old name leads to, if that was asked for.
    whiteout: Option<CreatedInode<'a>>,
    /// The old name leads to the inode no more.
    is_gone: bool,
}

/// Moves an entry, so that a crash at any time leaves the inode with one name at least, and a name
/// that is replaced with one inode or the other.
///
/// What was on the device when the call began is not given up before the new state is there:
///
/// * a name is replaced when the inode that it is to lead to is on the device, with its data: what it
///   replaces may have been synced long ago;
/// * the link of what was replaced is dropped, and the old name removed, when the new name is on the
///   device. Names in one sector of the directory change by a single write; two sectors of a block need not
///   come to the device together.
///
/// A directory has moved on the device, too, when the call returns: who syncs what is below it has nothing to do
/// for that. Of a directory with two names e2fsck keeps the one that it comes to first. So if one is moved over
/// another one, whose name is in another sector, the name that is replaced may be gone after a crash in the midst
/// of the call.
///
/// On error the entries are put back. Returns the whiteout that the old name leads to, if that was
/// asked for; the same goes for that as for a name that is replaced.
pub(super) fn move_entry<'a>(
    rename: &Rename<'a, RetryFs>,
    replaced: Option<&'a InodeLocked<Exclusive>>,
) -> fault::Result<Option<CreatedInode<'a>>> {
    let mut moved = Move::prepare(rename, replaced)?;
    let new_sector = moved.make_new_name()?;
    if let Err(fault) = moved.give_up_old_name(new_sector) {
        moved.undo();
        return Err(fault);
    }
    moved.count_links(replaced);
    Ok(moved.whiteout)
}

impl<'a, 'r> Move<'a, 'r> {
    /// Checks whether it may be done, and finds the entries. Nothing is changed yet, but that a whiteout is there, with no name.
    fn prepare(
        rename: &'r Rename<'a, RetryFs>,
        replaced: Option<&'a InodeLocked<Exclusive>>,
    ) -> fault::Result<Self> {
        let &Rename {
            old_dir,
            old_name,
            inode,
            new_dir,
            ..
        } = rename;
        let of_inode = leads_to(inode)?;
        let is_dir = of_inode.1 == FileType::Directory;
        let mut parent = None;
        if is_dir {
            check_links(old_dir)?;
            if !old_dir.is(new_dir) {
                parent = Some(Parent::find(inode, old_dir)?);
                if replaced.is_none() {
                    check_room(new_dir)?;
                }
            }
        }
        names::make_room(inode)?;
        let old = Entry::find_leading_to(old_dir, old_name, inode)?;
        let over = match replaced {
            Some(replaced) => Some(find_replaced(rename, replaced, is_dir)?),
            None => None,
        };
        let whiteout = match rename.whiteout {
            true => Some(make_whiteout(rename.idmap, old_dir)?),
            false => None,
        };
        Ok(Move {
            rename,
            of_inode,
            old,
            over,
            replaced: replaced.map(|replaced| &**replaced),
            added: None,
            parent,
            whiteout,
            is_gone: false,
        })
    }

    fn is_dir(&self) -> bool {
        self.of_inode.1 == FileType::Directory
    }

    /// What the old name is to lead to, if it is to stay.
    fn instead(&self) -> Option<(u32, FileType)> {
        let made = self.whiteout.as_ref()?;
        Some((ino32(made), FileType::CharDevice))
    }

    /// Makes the new name; with that, the old one goes if one write does for both. Returns where the new one is.
    fn make_new_name(&mut self) -> fault::Result<Sector> {
        let &Rename {
            old_dir,
            inode,
            new_dir,
            new_name,
            ..
        } = self.rename;
        let (ino, file_type) = self.of_inode;
        let instead = self.instead();
        let sector = match &mut self.over {
            Some((entry, _)) => {
                if !mutant!("rename-inode-late") {
                    inode.write_and_wait()?;
                    sync_now(inode)?;
                }
                let at_once = is_one(entry.sector(), self.old.sector());
                self.is_gone = at_once && !mutant!("rename-in-two");
                match self.is_gone {
                    true => entry.take(self.of_inode, &mut self.old, instead)?,
                    false => entry.replace(ino, file_type)?,
                };
                entry.sector()
            }
            None => {
                // There it takes no flush for the old one to be removed.
                let near = old_dir.is(new_dir).then_some(&self.old);
                let added = directory::insert(new_dir, new_name, ino, file_type, near)?;
                self.added.insert(added).sector()
            }
        };
        names::added(inode, new_dir, sector.block);
        Ok(sector)
    }

    /// Removes the old name, or points it to the whiteout, unless that is done already; and `..` to the new parent. Before that, the
    /// new name, which is in `new_sector`, comes to the device.
    fn give_up_old_name(&mut self, new_sector: Sector) -> fault::Result {
        let &Rename {
            old_dir,
            inode,
            new_dir,
            ..
        } = self.rename;
        let is_added = self.over.is_none();
        if is_added && !mutant!("rename-moved-name") {
            // The new one may have split the block of the old one.
            self.old.find_again()?;
        }
        let is_ordered = match is_added {
            false => !mutant!("rename-name-late"),
            true => !is_one(new_sector, self.old.sector()) && !mutant!("rename-old-first"),
        };
        let mut is_synced = is_ordered;
        if is_ordered {
            sync_now(inode)?;
        }
        if let Some(parent) = &mut self.parent {
            parent.set(new_dir)?;
            is_synced = false;
        }
        if !self.is_gone {
            let old_block = self.change_old_name()?;
            self.is_gone = true;
            names::removed(inode, old_dir, old_block);
            is_synced = false;
        }
        if self.is_dir() && !is_synced && !mutant!("moved-directory-late") {
            sync_now(inode)?;
        }
        Ok(())
    }

    /// Returns the block of the directory that the old name was in.
    fn change_old_name(&mut self) -> fault::Result<u64> {
        if let Some((ino, file_type)) = self.instead() {
            return self.old.replace(ino, file_type);
        }
        if mutant!("rename-half") {
            let block = self.rename.old_dir.sb().blocksize();
            drop(KVec::<u8>::with_capacity(block, GFP_KERNEL)?);
        }
        self.old.remove(self.of_inode.0)
    }

    /// Puts the entries back, after an error.
    fn undo(&mut self) {
        let &Rename {
            old_dir,
            new_dir,
            new_name,
            ..
        } = self.rename;
        let is_left = match &self.whiteout {
            Some(_) => mutant!("whiteout-half"),
            None => mutant!("rename-half"),
        };
        if is_left {
            return;
        }
        let (ino, file_type) = self.of_inode;
        let put_back = match self.is_gone {
            true => self.old.put_back(ino, file_type),
            false => Ok(()),
        };
        let undone = put_back.and_then(|()| match (&mut self.over, &self.added) {
            (Some((entry, (ino, file_type))), _) => entry.replace(*ino, *file_type).map(drop),
            (None, _) if mutant!("undo-searches") => {
                Entry::find(new_dir, new_name).and_then(|mut new| new.remove(ino).map(drop))
            }
            (None, Some(added)) => added.remove(new_dir, new_name, ino),
            (None, None) => Ok(()),
        });
        let parent = match &mut self.parent {
            Some(parent) => parent.set(old_dir),
            None => Ok(()),
        };
        errors::log(new_dir, "cannot undo a rename", undone.and(parent));
        if !mutant!("undo-unrecorded") {
            self.record_undone();
        }
    }

    /// The device may have any of it, and not that it was undone, but for one that fails once more.
    fn record_undone(&self) {
        let &Rename {
            old_dir,
            inode,
            new_dir,
            ..
        } = self.rename;
        names::added(inode, old_dir, self.old.found().block);
        let new_block = match (&self.over, &self.added) {
            (Some((entry, _)), _) => entry.sector().block,
            (None, Some(added)) => added.sector().block,
            (None, None) => return,
        };
        names::added(inode, new_dir, new_block);
        if let Some(replaced) = self.replaced {
            names::added(replaced, new_dir, new_block);
        }
    }

    /// The names are as they are to be: so are the links and the times of the inodes.
    fn count_links(&self, replaced: Option<&InodeLocked<Exclusive>>) {
        let &Rename {
            old_dir,
            inode,
            new_dir,
            ..
        } = self.rename;
        if let Some(made) = &self.whiteout {
            names::added(made, old_dir, self.old.found().block);
        }
        inode.touch_ctime();
        inode.mark_inode_dirty();
        // A directory that stays where it is may be in one that has no room for another link.
        let moves = !old_dir.is(new_dir) || mutant!("moved-within-counted");
        if let Some(replaced) = replaced {
            replaced.touch_ctime();
            match self.is_dir() {
                true => drop_own_links(replaced),
                false => replaced.dec_link_count(),
            }
        } else if self.is_dir() && moves {
            add_subdirectory(new_dir);
        }
        if self.is_dir() && (moves || replaced.is_some()) {
            drop_subdirectory(old_dir);
        }
    }
}

/// Finds the name that is replaced. `replaced` is its inode, a directory if what moves `is_dir`: it may be given up.
fn find_replaced<'a>(
    rename: &Rename<'a, RetryFs>,
    replaced: &'a InodeLocked<Exclusive>,
    is_dir: bool,
) -> fault::Result<(Entry<'a>, (u32, FileType))> {
    if is_dir && !directory::is_empty(replaced)? {
        return Err(ENOTEMPTY.into());
    }
    check_own_links(replaced)?;
    if !is_dir && replaced.nlink() > 1 && names::has_new(replaced) && !mutant!("replaced-first") {
        // The name that stays comes to the device before this one leads elsewhere.
        sync_now(replaced)?;
    }
    let entry = Entry::find_leading_to(rename.new_dir, rename.new_name, replaced)?;
    Ok((entry, leads_to(replaced)?))
}

/// Whether two entries come to the device together.
pub(super) fn is_one(this: Sector, other: Sector) -> bool {
    match mutant!("names-by-block") {
        true => this.block == other.block,
        false => this == other,
    }
}

/// What an entry has of the inode that it leads to.
pub(super) fn leads_to(inode: &Inode) -> fault::Result<(u32, FileType)> {
    Ok((ino32(inode), file_type(inode)?))
}

/// Makes a whiteout for a name in `dir`, and brings it to the device.
fn make_whiteout<'a>(idmap: &MntIdmap, dir: &'a Inode) -> fault::Result<CreatedInode<'a>> {
    const CHAR_DEVICE: u16 = 0o02_0000;
    let none = Content::Device(Device { major: 0, minor: 0 });
    let made = create::create(idmap, dir, None, CHAR_DEVICE, none)?;
    write::store_first(&made, First::New)?;
    if !mutant!("whiteout-late") {
        sync_now(&made)?;
    }
    Ok(made)
}
