// SPDX-License-Identifier: GPL-2.0

//! Adding entries to a directory without an index: into the first block that has room.
//!
//! That the name is not there was found when it was looked up, with the inode lock held since. So blocks of which it is
//! known that they have no room ([`crate::ext2::directory::rooms`]) are not read.

use crate::ext2::directory::rooms::Rooms;
use crate::inode::directory::added::Added;
use crate::inode::directory::block::{block_count, Buffers};
use crate::inode::directory::new_entry::NewEntry;
use crate::types::{Inode, InodeLocked};
use crate::volume::fault::Result;
use kernel::prelude::*;
use kfs::fs::inode::lock::Exclusive;
use kfs::task::cond_resched;

/// Adds `entry` to the first block that has room for it. Returns where it is; `None` if there is
/// none. May sleep. `EEXIST` when there is such an entry in a block that it looks at; fails with a bad block.
pub(super) fn insert(dir: &InodeLocked<Exclusive>, entry: &NewEntry<'_>) -> Result<Option<Added>> {
    let count = block_count(dir);
    let mut buffers = Buffers::of_all(dir);
    let mut index = first(dir, entry, count);
    let mut done = None;
    // A crafted directory can have millions of blocks.
    while index < count {
        cond_resched();
        done = entry.insert(dir, &mut buffers, index)?;
        if done.is_some() {
            break;
        }
        index += 1;
    }
    if let Some(rooms) = &mut *dir.data().get_ref().rooms.lock() {
        rooms.none_below(entry.name, index);
    }
    Ok(done)
}

/// The block to begin with, of `count` ones.
fn first(dir: &Inode, entry: &NewEntry<'_>, count: u32) -> u32 {
    let rooms = &dir.data().get_ref().rooms;
    if count <= 1 || mutant!("room-from-start") {
        return 0;
    }
    if let Some(rooms) = &*rooms.lock() {
        return rooms.first(entry.name);
    }
    // Optional: without memory, the next one is looked for from the first block on, too.
    if let Ok(new) = KBox::new(Rooms::new(), GFP_KERNEL) {
        *rooms.lock() = Some(new);
    }
    0
}

/// An entry in block `index` of the directory was removed, so that there are so many bytes in one piece now, or less.
pub(super) fn freed(dir: &Inode, bytes: usize, index: u32) {
    if mutant!("room-forgotten") {
        return;
    }
    if let Some(rooms) = &mut *dir.data().get_ref().rooms.lock() {
        rooms.freed(bytes, index);
    }
}
