// SPDX-License-Identifier: GPL-2.0

//! Where a file goes on that grows block by block.
//!
//! The next block of such a file has its pointer behind the last one, in the same block of pointers: who knows that
//! block need not follow the pointers to it again, nor look for a goal. The tail is kept with the right to change
//! pointers ([`crate::inode::map`]), and lost when some are cleared. Others may be stored meanwhile: who goes on here finds
//! in the block of pointers whether the file has the block.

use crate::ext2::block_map::zero_pointers;
use crate::volume::blocks::Blocks;
use crate::volume::fault::Result;
use kfs::block::buffer_head::BufferHead;
use kfs::drop_in_atomic;

/// Behind which block the next one of a file comes, and where its pointer will be.
pub(super) struct Tail {
    /// The next block of the file,
    block: u64,
    /// and where on the volume it should lie.
    goal: u32,
    /// The block of pointers,
    parent: BufferHead,
    /// and the index in it.
    index: u32,
}

drop_in_atomic!(struct Tail { block, goal, parent, index });

impl Tail {
    /// Behind the `blocks`, which block `block` of the file and those after it are. Their pointers are in `parent`, from
    /// `index` on.
    pub(super) fn behind(block: u64, blocks: Blocks, parent: BufferHead, index: u32) -> Self {
        let mut tail = Tail {
            block,
            goal: 0,
            parent,
            index,
        };
        tail.advance(blocks);
        tail
    }

    /// The `blocks` were added to the file, and their pointers are here.
    pub(super) fn advance(&mut self, blocks: Blocks) {
        self.block += u64::from(blocks.len);
        self.goal = blocks.start.saturating_add(blocks.len);
        self.index += blocks.len;
    }

    /// The next block of the file.
    pub(super) fn block(&self) -> u64 {
        self.block
    }

    /// Where it should lie.
    pub(super) fn goal(&self) -> u32 {
        self.goal
    }

    /// The block of pointers, and the index in it.
    pub(super) fn slot(&self) -> (&BufferHead, u32) {
        (&self.parent, self.index)
    }

    /// How many blocks the file has not from there on, `max` at most; 0 when their pointers are in another block.
    ///
    /// The block of pointers is in memory. Does not sleep.
    pub(super) fn room(&self, max: u32) -> Result<u32> {
        zero_pointers(self.parent.size(), self.index, max, |offset, out| {
            Ok(self.parent.read(offset, out)?)
        })
    }
}
