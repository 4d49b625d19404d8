// SPDX-License-Identifier: GPL-2.0

//! Looking for names in a directory.

use crate::ext2::directory::{Name, NAME_MAX};
use crate::ext2::{Corrupt, Place};
use crate::inode::data::ino32;
use crate::inode::directory::absent;
use crate::inode::directory::block::{block_count, Block, Buffers};
use crate::inode::directory::found::{Named, Search};
use crate::inode::directory::indexed::{hashing, search, Searched};
use crate::types::{Inode, InodeLocked};
use crate::volume::fault::{Fault, Result};
use core::mem;
use kernel::prelude::*;
use kfs::compat::ENAMETOOLONG;
use kfs::fs::inode::lock::Exclusive;
use kfs::task::cond_resched;

/// What a search does about a block that cannot be read, or is corrupt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BadBlock {
    /// It fails.
    Fail,
    /// It goes on, and fails if it finds nothing in the others.
    Skip,
}

/// Runs `visit` with the indexes of the blocks of a directory, from block `from` on and round, until it returns
/// something.
///
/// A crafted directory can have millions of blocks, hence the reschedules.
fn visit_blocks<T>(
    dir: &Inode,
    from: u32,
    bad: BadBlock,
    mut visit: impl FnMut(u32) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let mut fault = None;
    let count = block_count(dir);
    for index in Iterator::chain(from..count, 0..from.min(count)) {
        cond_resched();
        match visit(index) {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(error) if bad == BadBlock::Skip && error.is_of_block() => {
                fault.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    fault.map_or(Ok(None), Err)
}

/// Runs `visit` on the blocks of a directory, one after the other, until it returns something. Fails with a bad
/// block.
pub(super) fn find_block<T>(
    dir: &Inode,
    mut visit: impl FnMut(&mut Block) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let mut spare = KVVec::new();
    visit_blocks(dir, 0, BadBlock::Fail, |index| {
        let mut block = Block::read_one_of_all(dir, index, mem::take(&mut spare))?;
        let found = visit(&mut block)?;
        spare = block.bytes;
        Ok(found)
    })
}

/// Looks for `name` in a directory. Without an index, names are often looked up in the order
/// in which readdir(3) has them, so that the search begins where the last one has ended. It finds a name
/// also behind a bad block.
pub(super) fn find_name(dir: &Inode, name: Name<'_>) -> Result<Option<Named>> {
    find(dir, &mut Search::new(name))
}

/// The same for a name that is to be created: where there is room for it is remembered ([`absent`]).
pub(super) fn find_name_or_room(dir: &Inode, name: Name<'_>) -> Result<Option<Named>> {
    let mut wanted = Search::with_room(name);
    let found = find(dir, &mut wanted)?;
    if let (None, Some((block, room))) = (&found, wanted.only_room()) {
        absent::remember(dir, name, block, room);
    }
    Ok(found)
}

fn find(dir: &Inode, wanted: &mut Search<'_>) -> Result<Option<Named>> {
    if let Searched::Done(found) = search(dir, wanted)? {
        return Ok(found);
    }
    let data = dir.data();
    let from = match mutant!("search-from-start") {
        true => 0,
        false => data.found_in(),
    };
    let mut buffers = Buffers::of_all(dir);
    visit_blocks(dir, from, skip(), |index| {
        let found = wanted.in_block(dir, &mut buffers, index)?;
        if found.is_some() {
            data.set_found_in(index);
        }
        Ok(found)
    })
}

/// For the search for one name: goes on behind a bad block.
fn skip() -> BadBlock {
    match mutant!("bad-block-ends") {
        true => BadBlock::Fail,
        false => BadBlock::Skip,
    }
}

/// Validates a name from the VFS: `ENAMETOOLONG` above 255 bytes.
pub(super) fn checked(name: &[u8]) -> Result<Name<'_>> {
    if name.len() > NAME_MAX {
        return Err(ENAMETOOLONG.into());
    }
    Ok(Name::new(name).ok_or(EINVAL)?)
}

/// That `dir` has no entry for its parent.
pub(crate) fn no_parent(dir: &Inode) -> Fault {
    let what = "directory without an entry for its parent";
    Corrupt::new(Place::Inode(ino32(dir)), what).into()
}

/// Updates the inode after a change of its entries. For a `dirsync` directory, the VFS wrapper
/// syncs it when the operation is done.
pub(super) fn changed(dir: &InodeLocked<Exclusive>) {
    if hashing(dir).is_none() {
        dir.data().set_index(false);
    }
    dir.touch_cmtime();
    dir.mark_inode_dirty();
}
