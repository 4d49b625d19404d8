// SPDX-License-Identifier: GPL-2.0

//! Looking for names by the hash index of a directory ([`crate::ext2::directory::index`]).
//!
//! An index that breaks the rules is reported, as any corruption, and not used any more: names are looked
//! for in all blocks. The next change of the directory clears its flag.

use crate::ext2::directory::hash::{Function, Hashing};
use crate::ext2::directory::path::Path;
use crate::ext2::directory::Name;
use crate::inode::directory::block::{directory, Buffers};
use crate::inode::directory::found::{find_in_block, Named};
use crate::types::Inode;
use crate::volume::fault::{Fault, Result};
use kernel::prelude::*;
use kfs::task::cond_resched;

/// How the names of `dir` are hashed, if it has an index that is used.
pub(super) fn hashing(dir: &Inode) -> Option<Hashing> {
    let hashing = dir.sb().data().superblock.hashing?;
    dir.data().has_index().then_some(hashing)
}

/// That the index of `dir` cannot be used: it breaks the rules, or a block of it cannot be read. Any
/// other fault is returned.
pub(super) fn give_up(dir: &Inode, fault: Fault) -> Result {
    match fault {
        Fault::Corrupt(corrupt) if !mutant!("bad-index-fatal") => {
            if dir.data().break_index() {
                dir.sb().data().corrupt(dir.sb(), &corrupt);
            }
            Ok(())
        }
        Fault::Error(error) if error == EIO => Ok(()),
        fault => Err(fault),
    }
}

/// Finds the leaf of `name`. `None` if the index cannot be used.
pub(super) fn walk(
    dir: &Inode,
    hashing: &Hashing,
    name: Name<'_>,
    buffers: &mut Buffers<'_>,
) -> Result<Option<(Path, u32)>> {
    let mut hash = 0;
    let walked = directory(dir).walk(buffers, |function: Function| {
        hash = hashing.hash(function, name.bytes()).major;
        hash
    });
    match walked {
        Ok(path) => Ok(Some((path, hash))),
        Err(fault) => give_up(dir, fault).map(|()| None),
    }
}

/// What a search by the index has come to.
pub(super) enum Search {
    /// The name was found, or not.
    Done(Option<Named>),
    /// The directory has no index, or none that can be used.
    Unusable,
}

/// Looks for `name` in the blocks that may have it.
pub(super) fn search(dir: &Inode, name: Name<'_>) -> Result<Search> {
    let Some(hashing) = hashing(dir) else {
        return Ok(Search::Unusable);
    };
    let mut buffers = Buffers::new(dir);
    if matches!(name.bytes(), b"." | b"..") {
        // They have no hash.
        return find_in_block(dir, &mut buffers, 0, name).map(Search::Done);
    }
    let Some((mut path, hash)) = walk(dir, &hashing, name, &mut buffers)? else {
        return Ok(Search::Unusable);
    };
    loop {
        if let Some(found) = find_in_block(dir, &mut buffers, path.leaf, name)? {
            return Ok(Search::Done(Some(found)));
        }
        match path.next_of(hash, &mut buffers) {
            Ok(true) if !mutant!("collision-lost") => cond_resched(),
            Ok(_) => return Ok(Search::Done(None)),
            Err(fault) => return give_up(dir, fault).map(|()| Search::Unusable),
        }
    }
}
