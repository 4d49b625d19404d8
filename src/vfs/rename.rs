// SPDX-License-Identifier: GPL-2.0

//! Moving a name (`rename(2)`). Two that are exchanged are in [`super::exchange`].

use crate::ext2::inode::{Content, Device, FileType};
use crate::inode::create;
use crate::inode::data::{file_type, ino32};
use crate::inode::directory::{self, Entry, Parent, Sector};
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
    replaced: Option<&InodeLocked<Exclusive>>,
) -> fault::Result<Option<CreatedInode<'a>>> {
    let &Rename {
        old_dir,
        old_name,
        inode,
        new_dir,
        new_name,
        ..
    } = rename;
    let of_inode = leads_to(inode)?;
    let (ino, file_type) = of_inode;
    let is_dir = file_type == FileType::Directory;
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
    let mut old = Entry::find_leading_to(old_dir, old_name, inode)?;
    let mut over = None;
    if let Some(replaced) = replaced {
        if is_dir && !directory::is_empty(replaced)? {
            return Err(ENOTEMPTY.into());
        }
        check_own_links(replaced)?;
        if !is_dir
            && replaced.nlink() > 1
            && names::is_changed(replaced)
            && !mutant!("replaced-first")
        {
            // The name that stays comes to the device before this one leads elsewhere.
            sync_now(replaced)?;
        }
        let entry = Entry::find_leading_to(new_dir, new_name, replaced)?;
        over = Some((entry, leads_to(replaced)?));
    }
    let whiteout = match rename.whiteout {
        true => Some(make_whiteout(rename.idmap, old_dir)?),
        false => None,
    };
    let instead = whiteout
        .as_ref()
        .map(|made| (ino32(made), FileType::CharDevice));

    if over.is_some() && !mutant!("rename-inode-late") {
        inode.write_and_wait()?;
        sync_now(inode)?;
    }
    let at_once = over
        .as_ref()
        .is_some_and(|(entry, _)| is_one(entry.sector(), old.sector()))
        && !mutant!("rename-in-two");
    let new_sector = match &mut over {
        Some((entry, _)) => {
            match at_once {
                true => entry.take(of_inode, &mut old, instead)?,
                false => entry.replace(ino, file_type)?,
            };
            entry.sector()
        }
        None => {
            // There it takes no flush for the old one to be removed.
            let near = old_dir.is(new_dir).then_some(&old);
            directory::insert(new_dir, new_name, ino, file_type, near)?
        }
    };
    names::changed(inode, new_dir, new_sector.block);
    let added = over.is_none();
    let mut is_gone = at_once;
    let mut rest = || -> fault::Result {
        if added && !mutant!("rename-moved-name") {
            // The new one may have split the block of the old one.
            old.find_again()?;
        }
        let is_ordered = match added {
            false => !mutant!("rename-name-late"),
            true => !is_one(new_sector, old.sector()) && !mutant!("rename-old-first"),
        };
        if is_ordered {
            sync_now(inode)?;
        }
        if let Some(parent) = &mut parent {
            parent.set(new_dir)?;
        }
        if !at_once {
            let old_block = match instead {
                Some((ino, file_type)) => old.replace(ino, file_type)?,
                None => {
                    if mutant!("rename-half") {
                        drop(KVec::<u8>::with_capacity(
                            old_dir.sb().blocksize(),
                            GFP_KERNEL,
                        )?);
                    }
                    old.remove(ino)?
                }
            };
            is_gone = true;
            names::changed(inode, old_dir, old_block);
        }
        if is_dir && !mutant!("moved-directory-late") {
            sync_now(inode)?;
        }
        Ok(())
    };
    rest().inspect_err(|_| {
        let is_left = match &whiteout {
            Some(_) => mutant!("whiteout-half"),
            None => mutant!("rename-half"),
        };
        if is_left {
            return;
        }
        let put_back = match is_gone {
            true => old.put_back(ino, file_type),
            false => Ok(()),
        };
        let undone = put_back.and_then(|()| match &mut over {
            Some((entry, (ino, file_type))) => entry.replace(*ino, *file_type),
            None => Entry::find(new_dir, new_name).and_then(|mut new| new.remove(ino)),
        });
        let parent = parent.as_mut().map_or(Ok(()), |parent| parent.set(old_dir));
        errors::log(new_dir, "cannot undo a rename", undone.and(parent));
    })?;

    if let Some(made) = &whiteout {
        names::changed(made, old_dir, old.found().block);
    }
    inode.touch_ctime();
    inode.mark_inode_dirty();
    if let Some(replaced) = replaced {
        replaced.touch_ctime();
        match is_dir {
            true => drop_own_links(replaced),
            false => replaced.dec_link_count(),
        }
    } else if is_dir {
        add_subdirectory(new_dir);
    }
    if is_dir {
        drop_subdirectory(old_dir);
    }
    Ok(whiteout)
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
