// SPDX-License-Identifier: GPL-2.0

//! New blocks of a direct write: reserved, and then linked.
//!
//! A new block holds stale data until it has been written. So the blocks of a direct write to new blocks
//! are *reserved*: taken from the bitmap, and kept aside as [*pending*](crate::inode::pending). Nobody
//! finds them: whoever looks there finds a hole, in memory and on the device. When they have been written
//! they are *linked*, and only then i_size moves over them. Those that could not be written are given
//! back, and nobody has ever seen them.
//!
//! Blocks of pointers that are missing are linked at once, and empty: they say that there is a hole.
//!
//! To link a run waits for no memory, as that may be freed by who waits for the run; what is needed was taken when it was reserved. And
//! no block of pointers has to be read: its buffer is held.
//!
//! Lock order: the block map, the pending blocks, the deferred pointers.

use crate::ext2::block_map::{store_root, Growth, Slot};
use crate::ext2::pointers::Pointers;
use crate::inode::block_map::{self, Goal, NewBlocks, Run, Unfreed};
use crate::inode::deferred::{self, DataSlots, Written};
use crate::inode::errors;
use crate::inode::in_flight;
use crate::inode::map::Changing;
use crate::inode::pending::{PointerTo, Reserved};
use crate::inode::pointer_blocks::{self, PointerBuffers};
use crate::types::{Inode, InodeLocked};
use crate::volume::blocks::{self, Blocks};
use crate::volume::fault::{Fault, Result};
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
use kfs::fs::inode::lock::Exclusive;
use kfs::mm::nofs::nofs;

/// Reserves at most `max` blocks for the file, from its block `block` on, if that is in a hole: until
/// [`finish`]. If not, looks them up.
///
/// Buffers that alias the blocks are gone from the cache of the device on return; what the blocks hold is
/// stale, and the caller overwrites it. Takes the lock of the block map, then those of the groups; may
/// sleep. `ENOSPC` without a free block, `EFBIG` beyond the largest file; on error nothing is reserved.
pub(crate) fn reserve(inode: &InodeLocked<Exclusive>, block: u64, max: u32) -> Result<Run> {
    let mut device = PointerBuffers::new(inode);
    let run = nofs(|| -> Result<Run> {
        let data = inode.data().get_ref();
        let map = data.map.lock();
        let view = map.view();
        let root = &view.root;
        let branch = block_map::branch(inode, &view, block, &mut device)?;
        let Some(growth) = branch.growth(root, max, &mut device)? else {
            return Run::at(inode, &branch, root, max, &mut device);
        };
        let pending = &mut *data.pending.lock();
        // Nobody writes there: the caller has waited.
        let goal = match pending.goal(block) {
            Some(end) => Goal::behind(end),
            None => block_map::goal(inode, root, block, &branch, &mut device)?,
        };
        let place = pending.place(GFP_KERNEL)?;
        deferred::make_room(inode)?;
        if !mutant!("link-takes-memory") {
            block_map::make_room(inode, block, GFP_KERNEL);
        }
        let reserved = take_blocks(inode, &map, *root, &growth, goal, &mut device)
            .inspect_err(|_| deferred::forget_room(inode))?;
        let blocks = reserved.blocks;
        map.last_block().set(block, blocks.start);
        pending.add(place, block, reserved);
        // For the blocks of pointers, as in `block_map::allocate`.
        inode.mark_inode_dirty();
        Ok(Run { blocks, new: true })
    })?;
    if run.new && cfg!(any(mutant = "link-early", mutant = "hole-direct")) {
        let range = block..block + u64::from(run.blocks.len);
        let _ = finish(inode, None, range.clone(), range.end);
    }
    Ok(run)
}

/// [`reserve`] of all of `len` blocks in one piece, with what is in memory, from a block on that is in a hole.
/// Does not sleep for locks or for the device: `EAGAIN` if it would have to, also where a block of pointers is
/// missing.
pub(crate) fn reserve_nowait(
    inode: &InodeLocked<Exclusive>,
    block: u64,
    len: u32,
) -> Result<Blocks> {
    let data = inode.data().get_ref();
    let mut device = PointerBuffers::in_memory(inode);
    nofs(|| {
        let map = data.map.try_lock().ok_or(EAGAIN)?;
        let view = map.view();
        let root = &view.root;
        let branch = block_map::branch(inode, &view, block, &mut device)?;
        let growth = branch.growth(root, len, &mut device)?.ok_or(EAGAIN)?;
        if growth.data_blocks < len || !growth.indexes().is_empty() {
            return Err(EAGAIN.into());
        }
        let parent = match growth.slot {
            Slot::Block { block, .. } => Some(
                inode
                    .sb()
                    .find_get_block_nowait(block.into())
                    .ok_or(EAGAIN)?,
            ),
            Slot::Inode(_) => None,
        };
        let index = growth.data_index();
        let mut pending = data.pending.try_lock().ok_or(EAGAIN)?;
        let goal = match pending.goal(block) {
            Some(end) => Goal::behind(end),
            None => block_map::goal(inode, root, block, &branch, &mut device)?,
        };
        let place = pending.place(GFP_NOWAIT).map_err(|_| EAGAIN)?;
        let room = deferred::room_nowait(inode)?;
        block_map::make_room(inode, block, GFP_NOWAIT);
        let blocks = blocks::allocate_nowait(inode.sb(), block_map::request(inode, goal, len))?;
        room.keep();
        let at = Some(PointerTo { parent, index });
        let run = Reserved { blocks, at };
        map.last_block().set(block, blocks.start);
        pending.add(place, block, run);
        Ok(blocks)
    })
}

/// Takes what `growth` says is missing from the bitmaps, near `goal`, and links blocks of
/// pointers. An error leaves the file unchanged.
fn take_blocks(
    inode: &Inode,
    map: &Changing<'_>,
    root: Pointers,
    growth: &Growth,
    goal: Goal,
    device: &mut PointerBuffers<'_>,
) -> Result<Reserved> {
    let (mut pointer_blocks, data) = NewBlocks::allocate(inode, growth, goal)?;
    let added = growth.indexes().len() as u64;
    let has_new = !pointer_blocks.blocks().is_empty();
    let linked = parent(growth, has_new, device).and_then(|old| {
        let new = pointer_blocks.link(map, root, growth, None, device)?;
        let (parent, index) = (new.or(old), growth.data_index());
        Ok(PointerTo { parent, index })
    });
    match linked {
        Ok(at) => {
            inode.add_bytes(added << inode.blkbits());
            pointer_blocks.keep();
            Ok(Reserved {
                blocks: data,
                at: Some(at),
            })
        }
        Err(fault) => {
            pointer_blocks.free();
            block_map::give_back(inode, data);
            Err(fault)
        }
    }
}

/// The block that will have the pointers to the data of `growth`, if it is there, and if that is not one that `has_new`.
fn parent(
    growth: &Growth,
    has_new: bool,
    device: &mut PointerBuffers<'_>,
) -> Result<Option<BufferHead>> {
    match growth.slot {
        Slot::Block { block, .. } if !has_new => Ok(Some(device.buffer(block)?.get())),
        Slot::Block { .. } | Slot::Inode(_) => Ok(None),
    }
}

/// Ends what is pending in `range`, in blocks of the file: what is before block `end` has been written,
/// and is linked; the rest is given back.
///
/// The write is in flight until [`forget`](crate::inode::in_flight::forget). With the inode lock, `locked`,
/// empty blocks of pointers beyond EOF are freed, unless others use them. Inside EOF, a store may use them from
/// when the blocks are given back, and nobody else needs the room.
///
/// Takes the lock of the block map, then those of the groups. May sleep, and waits for no memory, but to give blocks back. If blocks
/// cannot be linked, they and those after them are given back, and the error comes with the first of
/// them: `EIO`, a block of pointers cannot be written.
pub(crate) fn finish(
    inode: &Inode,
    locked: Option<&InodeLocked<Exclusive>>,
    range: Range<u64>,
    end: u64,
) -> Result<(), (u64, Fault)> {
    finish_written(inode, locked, range, end, Written::Cached)
}

/// [`finish`] for blocks that are all on the device, whose cache was flushed.
pub(super) fn finish_flushed(inode: &InodeLocked<Exclusive>, range: Range<u64>) -> Result {
    let end = range.end;
    let finished = finish_written(inode, Some(inode), range.clone(), end, Written::Flushed);
    in_flight::forget(inode, &range);
    finished.map_err(|(_, fault)| fault)
}

fn finish_written(
    inode: &Inode,
    locked: Option<&InodeLocked<Exclusive>>,
    range: Range<u64>,
    mut end: u64,
    until: Written,
) -> Result<(), (u64, Fault)> {
    let data = inode.data().get_ref();
    let mut result = Ok(());
    let mut is_empty = false;
    nofs(|| {
        let map = data.map.lock();
        loop {
            let Some((block, blocks, at)) = data.pending.lock().take(&range) else {
                break;
            };
            let mut written = blocks;
            written.len = end.saturating_sub(block).min(written.len.into()) as u32;
            if written.len > 0 {
                if let Err(fault) = link(inode, &map, block, &at, written, until) {
                    result = Err((block, fault));
                    end = block;
                    written.len = 0;
                }
            }
            deferred::forget_room(inode);
            if written.len < blocks.len {
                is_empty = true;
                let rest = Blocks {
                    start: blocks.start + written.len,
                    len: blocks.len - written.len,
                };
                if !mutant!("blocks-kept") {
                    block_map::give_back(inode, rest);
                }
            }
        }
        is_empty = is_empty && !data.pending.lock().has_unlinked();
        data.linked.notify_all();
        // As in `block_map::allocate`.
        inode.mark_inode_dirty();
    });
    if let (true, Some(locked)) = (is_empty, locked) {
        let eof = inode.i_size_read().div_ceil(1 << inode.blkbits());
        let holes = end.max(range.start).max(eof)..range.end;
        if !holes.is_empty() {
            let freed = block_map::punch(locked, holes, Unfreed::Keep);
            errors::log(inode, "cannot free empty blocks of pointers", freed);
        }
    }
    result
}

/// Stores the pointers `at` to the blocks `to`, which have been written `until` there: from block `block`
/// of the file on.
fn link(
    inode: &Inode,
    map: &Changing<'_>,
    block: u64,
    at: &PointerTo,
    to: Blocks,
    until: Written,
) -> Result {
    let age = map.age();
    match &at.parent {
        None => {
            let index = at.index as usize;
            let slots = DataSlots::Root(index..index + to.len as usize);
            deferred::written(inode, slots, until, || {
                let mut root = map.view().root;
                store_root(&mut root, index, to.start, to.len).ok_or(EFBIG)?;
                map.set_root(&root);
                Ok(())
            })?;
        }
        Some(parent) => {
            deferred::written(inode, DataSlots::Block(parent), until, || {
                pointer_blocks::write(map, parent, at.index, to)
            })?;
        }
    }
    let pointers = at.parent.as_ref().map(|parent| parent.block() as u32);
    match mutant!("link-takes-memory") {
        true => block_map::remember(inode, age, block, to, pointers),
        false => block_map::remember_nowait(inode, age, block, to, pointers),
    }
    inode.add_bytes(u64::from(to.len) << inode.blkbits());
    Ok(())
}
