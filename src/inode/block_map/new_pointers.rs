// SPDX-License-Identifier: GPL-2.0

//! New blocks, of pointers for the most part, until they are part of a file.

use super::{request, Goal};
use crate::ext2::block_map::{store_root, Growth, Slot};
use crate::ext2::pointers::Pointers;
use crate::inode::deferred;
use crate::inode::dirty::mark_buffer_dirty;
use crate::inode::map::Changing;
use crate::inode::pointer_blocks::{self, PointerBuffers};
use crate::types::Inode;
use crate::volume::blocks::{self, Blocks, Freed};
use crate::volume::fault::Result;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;

/// Frees blocks that did not become part of a file, after an error, which is the one that the caller
/// gets: if it fails they leak until e2fsck.
pub(in crate::inode) fn give_back(inode: &Inode, blocks: Blocks) {
    if blocks::free(inode.sb(), blocks, Freed::Unused).is_err() {
        inode.sb().data().set_leaked();
    }
}

/// New blocks of pointers that are not part of the file yet; freed when dropped.
pub(in crate::inode) struct NewBlocks<'a> {
    inode: &'a Inode,
    blocks: [u32; 3],
    len: usize,
}

impl<'a> NewBlocks<'a> {
    fn new(inode: &'a Inode) -> Self {
        NewBlocks {
            inode,
            blocks: [0; 3],
            len: 0,
        }
    }

    /// Allocates the blocks of pointers that `growth` says are missing, and a run of data near `goal`.
    ///
    /// Those of a file lie apart from the data, which is in longer pieces so: where there is the first gap in
    /// the group.
    pub(in crate::inode) fn allocate(
        inode: &'a Inode,
        growth: &Growth,
        goal: Goal,
    ) -> Result<(Self, Blocks)> {
        let mut blocks = NewBlocks::new(inode);
        let geometry = inode.sb().data().geometry();
        let mut goal = goal;
        for _ in growth.indexes() {
            match geometry.locate_block(goal.block) {
                Some((group, _)) if inode.is_reg() && !mutant!("pointers-inline") => {
                    blocks.add(geometry.group_first_block(group))?;
                }
                _ => goal.block = blocks.add(goal.block)?.saturating_add(1),
            }
        }
        let data = blocks::allocate(inode.sb(), request(inode, goal, growth.data_blocks))?;
        Ok((blocks, data))
    }

    pub(in crate::inode) fn blocks(&self) -> &[u32] {
        self.blocks.get(..self.len).unwrap_or_default()
    }

    /// Allocates one more block near `block`, and returns its number.
    fn add(&mut self, block: u32) -> Result<u32> {
        let place = self.blocks.get_mut(self.len).ok_or(EFBIG)?;
        let goal = Goal {
            block,
            grows: false,
        };
        let request = request(self.inode, goal, 1);
        let block = blocks::allocate(self.inode.sb(), request)?;
        *place = block.start;
        self.len += 1;
        Ok(block.start)
    }

    /// Fills the blocks of pointers bottom up, and at last stores the one pointer that makes them,
    /// or the data if there are none, part of the file. Without data they say that there is a hole.
    /// `root` is what the inode has now, and `device` reads its blocks of pointers. Returns the lowest of the new blocks.
    pub(in crate::inode) fn link(
        &self,
        map: &Changing<'_>,
        mut root: Pointers,
        growth: &Growth,
        data: Option<Blocks>,
        device: &mut PointerBuffers<'_>,
    ) -> Result<Option<BufferHead>> {
        let sb = self.inode.sb();
        let mut below = data;
        let mut lowest = None;
        for (&block, &index) in self.blocks().iter().zip(growth.indexes()).rev() {
            let buffer = sb.getblk(block.into())?.init_zeroed();
            match below {
                Some(below) => pointer_blocks::store(self.inode, map, &buffer, index, below)?,
                None => mark_buffer_dirty(self.inode, &buffer),
            }
            below = Some(Blocks::one(block));
            lowest.get_or_insert(buffer);
        }
        let inode = self.inode;
        let Some(below) = below else {
            return Ok(None);
        };
        let mut in_root = |index| -> Result {
            store_root(&mut root, index, below.start, below.len).ok_or(EFBIG)?;
            map.set_root(&root);
            Ok(())
        };
        let linked = match growth.slot {
            Slot::Inode(index) if self.len == 0 => in_root(index),
            Slot::Inode(index) => deferred::in_root(inode, index, self.blocks(), || in_root(index)),
            Slot::Block { block, index } => {
                let buffer = device.buffer(block)?;
                match self.len {
                    0 => deferred::unordered(inode, buffer, || {
                        pointer_blocks::write(map, buffer, index, below)
                    }),
                    _ => deferred::in_block(inode, buffer, self.blocks(), || {
                        pointer_blocks::write(map, buffer, index, below)
                    }),
                }
            }
        };
        linked.map(|()| lowest)
    }

    /// The blocks are part of the file now.
    pub(in crate::inode) fn keep(mut self) {
        self.len = 0;
    }

    pub(in crate::inode) fn free(&mut self) {
        for &block in self.blocks() {
            if let Ok(buffer) = self.inode.sb().getblk(block.into()) {
                buffer.forget();
            }
            give_back(self.inode, Blocks::one(block));
        }
        self.len = 0;
    }
}

impl Drop for NewBlocks<'_> {
    fn drop(&mut self) {
        self.free();
    }
}
