// SPDX-License-Identifier: GPL-2.0

//! Entries that were added to a directory.

use crate::ext2::directory::DirBlock;
use crate::inode::directory::block::Sector;
use kfs::block::buffer_head::BufferHead;

/// An entry that was added, and what it takes to remove it again: nothing that could fail, as a search does when the task is being
/// killed.
pub(crate) struct Added {
    pub(super) at: DirBlock,
    pub(super) buffer: BufferHead,
    /// The sector of the block.
    index: usize,
}

impl Added {
    pub(super) fn new(at: DirBlock, buffer: BufferHead, index: usize) -> Self {
        Added { at, buffer, index }
    }

    /// Where it was added.
    pub(crate) fn sector(&self) -> Sector {
        Sector {
            block: self.buffer.block(),
            index: self.index,
        }
    }
}
