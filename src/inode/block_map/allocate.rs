// SPDX-License-Identifier: GPL-2.0

//! Allocating blocks for a file: where it goes on, or in a hole.

use super::{branch, give_back, goal, remember, request, Goal, NewBlocks, Run};
use crate::ext2::block_map::{Growth, Mapping};
use crate::ext2::pointers::Pointers;
use crate::inode::deferred;
use crate::inode::in_flight;
use crate::inode::map::Changing;
use crate::inode::pointer_blocks::{self, PointerBuffers};
use crate::inode::tail::Tail;
use crate::types::Inode;
use crate::volume::blocks::{self, Blocks};
use crate::volume::fault::Result;
use kfs::mm::nofs::nofs;

/// Looks up at most `max` blocks of the file from its block `block` on, and allocates them if the
/// first is in a hole. If a direct write in flight has it, waits until the write has linked it.
///
/// Buffers that alias new blocks are gone from the cache of the device on return; what the blocks
/// hold is stale, and the caller overwrites it. Takes the lock of the block map, then that of the
/// groups; may sleep. `ENOSPC` without a free block, `EFBIG` beyond the largest file; on error
/// nothing is allocated.
pub(crate) fn allocate(inode: &Inode, block: u64, max: u32) -> Result<Run> {
    loop {
        if let Some(run) = allocate_unless_pending(inode, block, max)? {
            return Ok(run);
        }
        in_flight::wait_for_block(inode, block);
    }
}

/// [`allocate`] that does not wait: `None` if a direct write in flight has the block.
pub(crate) fn allocate_unless_pending(inode: &Inode, block: u64, max: u32) -> Result<Option<Run>> {
    if let Some(Mapping::Mapped { start, len }) = inode.data().map.cached(block, max) {
        return Ok(Some(Run::of(start, len)));
    }
    try_allocate(inode, block, max)
}

/// The part of [`allocate_unless_pending`] that holds the lock of the block map. `None` if a direct write in flight has the
/// block.
fn try_allocate(inode: &Inode, block: u64, max: u32) -> Result<Option<Run>> {
    let map = &inode.data().get_ref().map;
    nofs(|| -> Result<Option<Run>> {
        let mut map = map.lock();
        let max = match in_flight::room(inode, block, max) {
            0 if !mutant!("pending-allocated") => return Ok(None),
            room => room.max(1),
        };
        if let Some(blocks) = append(inode, &mut map, block, max)? {
            return Ok(Some(Run { blocks, new: true }));
        }
        fill(inode, &mut map, block, max).map(Some)
    })
}

/// Allocates at most `max` blocks for the file from its block `block` on, if that is where it goes on. `None` if it is
/// not, or that is not known.
fn append(inode: &Inode, map: &mut Changing<'_>, block: u64, max: u32) -> Result<Option<Blocks>> {
    let Some(tail) = map.tail().filter(|tail| tail.block() == block) else {
        return Ok(None);
    };
    let len = tail.room(max)?;
    if len == 0 {
        return Ok(None);
    }
    let goal = Goal::behind(tail.goal());
    let blocks = blocks::allocate(inode.sb(), request(inode, goal, len))?;
    let (parent, index) = tail.slot();
    deferred::unordered(inode, parent, || {
        pointer_blocks::write(map, parent, index, blocks)
    })
    .inspect_err(|_| give_back(inode, blocks))?;
    inode.add_bytes(u64::from(blocks.len) << inode.blkbits());
    if let Some(tail) = map.tail_mut() {
        tail.advance(blocks);
    }
    map.last_block().set(block, blocks.start);
    // As in `fill`.
    inode.mark_inode_dirty();
    Ok(Some(blocks))
}

/// Follows the pointers to block `block` of the file, and allocates at most `max` blocks if there is a hole.
#[inline(never)]
fn fill(inode: &Inode, map: &mut Changing<'_>, block: u64, max: u32) -> Result<Run> {
    let mut device = PointerBuffers::new(inode);
    let view = map.view();
    let root = &view.root;
    let branch = branch(inode, &view, block, &mut device)?;
    let Some(growth) = branch.growth(root, max, &mut device)? else {
        return Run::at(inode, &branch, root, max, &mut device);
    };
    let goal = goal(inode, root, block, &branch, &mut device)?;
    let blocks = grow(inode, map, *root, &growth, goal, &mut device)?;
    // As long as nobody else changes pointers, and no fsync takes these for written.
    inode.mark_inode_dirty();
    map.last_block().set(block, blocks.start);
    remember(inode, view.age(), block, blocks, growth.last_pointers());
    let mut tail = None;
    if let (true, Some(parent)) = (goal.grows && inode.is_reg(), growth.last_pointers()) {
        let parent = device.buffer(parent)?.get();
        tail = Some(Tail::behind(block, blocks, parent, growth.data_index()));
    }
    *map.tail_mut() = tail;
    Ok(Run { blocks, new: true })
}

/// Allocates the blocks that `growth` says are missing, near `goal`: blocks of pointers,
/// and a run of data. Links them into the file last, so that an error leaves it unchanged.
fn grow(
    inode: &Inode,
    map: &Changing<'_>,
    root: Pointers,
    growth: &Growth,
    goal: Goal,
    device: &mut PointerBuffers<'_>,
) -> Result<Blocks> {
    let (mut pointer_blocks, data) = NewBlocks::allocate(inode, growth, goal)?;
    if let Err(fault) = pointer_blocks.link(map, root, growth, Some(data), device) {
        pointer_blocks.free();
        give_back(inode, data);
        return Err(fault);
    }
    let added = u64::from(data.len) + growth.indexes().len() as u64;
    inode.add_bytes(added << inode.blkbits());
    pointer_blocks.keep();
    Ok(data)
}
