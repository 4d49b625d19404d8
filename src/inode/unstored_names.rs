// SPDX-License-Identifier: GPL-2.0

//! Directories that have got or lost a name and were not stored since: a sync of the volume that begins meanwhile may not bring the
//! name to the device (see [`crate::volume::synced_names`]).

use crate::types::Inode;

/// A directory has changed. Does not sleep.
pub(super) fn changed(dir: &Inode) {
    if dir.data().set_unstored() {
        dir.sb().data().synced_names.add_unstored();
        // It may have been stored between the change and this.
        dir.mark_inode_dirty();
    }
}

/// An inode is about to be stored: returns whether it counts as one that was not. [`end_store`] follows if so. Does not sleep.
pub(super) fn begin_store(inode: &Inode) -> bool {
    inode.data().take_unstored()
}

/// It was stored, or could not be. Does not sleep.
pub(super) fn end_store(dir: &Inode, is_stored: bool) {
    // It counts until here; if it has changed again meanwhile, twice.
    if is_stored || !dir.data().set_unstored() {
        dir.sb().data().synced_names.drop_unstored();
    }
}

/// An inode was deleted. Does not sleep.
pub(crate) fn forget(inode: &Inode) {
    if inode.data().take_unstored() {
        inode.sb().data().synced_names.drop_unstored();
    }
}
