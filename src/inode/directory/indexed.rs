// SPDX-License-Identifier: GPL-2.0

//! Looking for names by the hash index of a directory ([`crate::ext2::directory::index`]).
//!
//! An index that breaks the rules is reported, as any corruption, and not used any more: names are looked
//! for in all blocks. The next change of the directory clears its flag.

use crate::ext2::directory::hash::{Function, Hashing};
use crate::ext2::directory::path::Path;
use crate::ext2::directory::Name;
use crate::inode::directory::block::{directory, Buffers};
use crate::inode::directory::found::{find_in_block, Named, Search};
use crate::inode::last_leaf::Leaf;
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

/// Finds the leaf of `name`, whose hash by one function may be known. `None` if the index cannot be used.
pub(super) fn walk<'a>(
    dir: &'a Inode,
    hashing: &Hashing,
    name: Name<'_>,
    known: Option<(Function, u32)>,
    buffers: &mut Buffers<'_>,
) -> Result<Option<Path<'a>>> {
    let walked = directory(dir).walk(buffers, |function: Function| match known {
        Some((by, hash)) if by == function => hash,
        _ => hashing.hash(function, name.bytes()).major,
    });
    match walked {
        Ok(path) => Ok(Some(path)),
        Err(fault) => give_up(dir, fault).map(|()| None),
    }
}

/// Takes note of the leaf of `path`, if names were looked for in it twice in a row: who looks for them in no order does
/// not pay for that.
fn remember(dir: &Inode, path: &Path<'_>, buffers: &mut Buffers<'_>) {
    let data = dir.data();
    if data.found_in() != path.leaf {
        data.set_found_in(path.leaf);
        return;
    }
    // It is optional: the next look-up has the error.
    if let Ok(range) = path.range(buffers) {
        data.last_leaf.set(&Leaf {
            function: path.root.function,
            range,
            block: path.leaf,
        });
    }
}

/// What a search by the index has come to.
pub(super) enum Searched {
    /// The name was found, or not.
    Done(Option<Named>),
    /// The directory has no index, or none that can be used.
    Unusable,
}

/// Looks for a name in the blocks that may have it.
pub(super) fn search(dir: &Inode, wanted: &mut Search<'_>) -> Result<Searched> {
    let name = wanted.name;
    let Some(hashing) = hashing(dir) else {
        return Ok(Searched::Unusable);
    };
    let mut buffers = Buffers::new(dir);
    if matches!(name.bytes(), b"." | b"..") {
        // They have no hash.
        return find_in_block(dir, &mut buffers, 0, name).map(Searched::Done);
    }
    let last = &dir.data().last_leaf;
    let mut known = None;
    if let Some(leaf) = last.get() {
        let hash = hashing.hash(leaf.function, name.bytes()).major;
        if leaf.range.is_first_of(hash) {
            let found = wanted.in_block(dir, &mut buffers, leaf.block)?;
            let is_over = !leaf.range.is_continued(hash) || mutant!("collision-in-last-leaf");
            if found.is_some() || is_over {
                return Ok(Searched::Done(found));
            }
        }
        known = Some((leaf.function, hash));
    }
    let Some(mut path) = walk(dir, &hashing, name, known, &mut buffers)? else {
        return Ok(Searched::Unusable);
    };
    remember(dir, &path, &mut buffers);
    loop {
        if let Some(found) = wanted.in_block(dir, &mut buffers, path.leaf)? {
            return Ok(Searched::Done(Some(found)));
        }
        match path.next_of(path.hash, &mut buffers) {
            Ok(true) if !mutant!("collision-lost") => cond_resched(),
            Ok(_) => return Ok(Searched::Done(None)),
            Err(fault) => return give_up(dir, fault).map(|()| Searched::Unusable),
        }
    }
}
