// SPDX-License-Identifier: GPL-2.0

//! The name that was looked for last to be created, and was not there.
//!
//! Who makes a file looks for its name first, with the inode lock held since. That passes the block in which the name
//! would be, to its end; so it finds room there, too, and the entry is inserted without another look.

use crate::ext2::directory::change::Room;
use crate::ext2::directory::Name;
use crate::types::Inode;
use kernel::prelude::*;

/// Longer names are not kept.
const LONGEST: usize = 48;

/// A name that was not there.
#[derive(Clone, Copy)]
pub(crate) struct Absent {
    name: [u8; LONGEST],
    len: usize,
    /// The only block of the directory that could have it, and room in that.
    block: u32,
    room: Room,
    /// How often entries had been changed ([`InodeData::entries_changed`]).
    ///
    /// [`InodeData::entries_changed`]: crate::inode::data::InodeData::entries_changed
    since: u32,
}

/// Takes note that `dir` has no `name`, which could be in block `block` only, where there is room for it. The inode lock is
/// held. May sleep.
pub(super) fn remember(dir: &Inode, name: Name<'_>, block: u32, room: Room) {
    let mut kept = [0; LONGEST];
    let Some(to) = kept.get_mut(..name.bytes().len()) else {
        return;
    };
    to.copy_from_slice(name.bytes());
    let new = Absent {
        name: kept,
        len: name.bytes().len(),
        block,
        room,
        since: dir.data().entries_changed(),
    };
    let absent = &dir.data().get_ref().absent;
    if let Some(last) = &mut *absent.lock() {
        **last = new;
        return;
    }
    // Optional: without memory, who inserts the name looks for room.
    if let Ok(new) = KBox::new(new, GFP_KERNEL) {
        *absent.lock() = Some(new);
    }
}

/// The block that is to have `name`, and room in it, if that was looked for last, and nothing was changed since. The inode lock is
/// held exclusively. Does not sleep.
pub(super) fn room_for(dir: &Inode, name: Name<'_>) -> Option<(u32, Room)> {
    let last = dir.data().get_ref().absent.lock();
    let last = last.as_ref()?;
    let is_same = last.name.get(..last.len) == Some(name.bytes());
    let is_current = last.since == dir.data().entries_changed() || mutant!("absent-kept");
    (is_same && is_current).then_some((last.block, last.room))
}
