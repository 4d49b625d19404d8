// SPDX-License-Identifier: GPL-2.0

//! Entries as `readdir(3)` returns them.

use crate::ext2::directory::Entry;
use crate::ext2::inode::FileType;
use kfs::fs::file::DirContext;

/// Emits an entry at the current position. Returns whether there was room for it.
#[must_use]
pub(super) fn emit_entry(context: &mut DirContext<'_>, entry: &Entry<'_>) -> bool {
    let dt = entry.file_type.map_or(DT_UNKNOWN, dt);
    context.emit(entry.name, entry.ino.into(), dt)
}

const DT_UNKNOWN: u8 = 0;

/// The type of an entry as in `d_type` of `readdir(3)`: the upper four bits of the mode.
fn dt(file_type: FileType) -> u8 {
    match file_type {
        FileType::Fifo => 1,
        FileType::CharDevice => 2,
        FileType::Directory => 4,
        FileType::BlockDevice => 6,
        FileType::Regular => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
    }
}
