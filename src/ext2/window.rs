// SPDX-License-Identifier: GPL-2.0

//! Reservation windows: how long they are.
//!
//! A file that grows has a range of blocks that no other file allocates from, so that files that grow
//! side by side lie in long pieces, as in Linux' ext3 (Mingming Cao et al., "State of the Art: Where we are with
//! the Ext3 filesystem", 2005). A window that was used up is followed by one of eight times the length, up to a
//! whole group, and one that the file has left by a short one. (In ext3 they double up to 1,027 blocks. There a file
//! of 64 MiB has more pieces for that than in ext4, which allocates when it writes back.)

use super::bitmap::Run;

/// The length of a first window, in blocks.
const INITIAL: u32 = 8;

/// A window that is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// How long it is at most, in blocks.
    pub(crate) len: u32,
    /// How many of them should be free in one piece.
    pub(crate) need: u32,
}

/// The blocks of which a window can be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Blocks of a group.
    pub(crate) in_group: u32,
    /// Free blocks of the volume.
    pub(crate) free: u32,
}

/// The window for `want` blocks, the first of which should be `goal`, which are not in the window `old`,
/// if there was one. That should have had `old_len` blocks, and may have found fewer. No window has more
/// than a sixteenth of what is free, so that there is some for others, but for what is wanted at once.
pub(crate) fn next(old: Option<Run>, old_len: u32, goal: u32, want: u32, room: Room) -> Size {
    let is_used_up = old.is_some_and(|old| {
        let end = old.start.saturating_add(old.len);
        (old.start..=end).contains(&goal)
    });
    let most = room.in_group.min(room.free / 16);
    if is_used_up {
        let len = old_len.saturating_mul(8).min(most).max(want);
        // No group is free as a whole.
        let need = len.min(room.in_group / 2).max(want);
        return Size { len, need };
    }
    // It may be a small file: any gap will do.
    let len = INITIAL.min(most).max(want);
    Size { len, need: want }
}
