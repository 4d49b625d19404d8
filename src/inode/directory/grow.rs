// SPDX-License-Identifier: GPL-2.0

//! Adding entries to a directory with a hash index: leaves and nodes that are full are split, and a
//! directory of one block gets an index when it is full.

use crate::ext2::directory::hash::{Function, Hashing};
use crate::ext2::directory::index::{Pointer, Root};
use crate::ext2::directory::path::{Frame, Path};
use crate::ext2::directory::split::Named;
use crate::ext2::directory::{DirBlock, Name};
use crate::inode::data::ino32;
use crate::inode::directory::added::Added;
use crate::inode::directory::block::{room, Block, Buffers};
use crate::inode::directory::durable;
use crate::inode::directory::found::find_in_block;
use crate::inode::directory::indexed::{self, give_up, walk};
use crate::inode::directory::new_entry::NewEntry;
use crate::types::{Inode, InodeLocked};
use crate::volume::fault::Result;
use kernel::prelude::*;
use kfs::fs::inode::lock::Exclusive;
use kfs::log::ratelimit as log_ratelimit;

/// Adds `entry` to a directory with an index. Returns where it is; `None` if
/// there is no index that can be used.
///
/// `EEXIST` when there is such an entry; `ENOSPC` without space for new blocks, or when the index is full.
pub(super) fn insert(dir: &InodeLocked<Exclusive>, entry: &NewEntry<'_>) -> Result<Option<Added>> {
    // Each split halves the names of the leaf; and nodes are split on the way.
    const TRIES: usize = 16;
    let Some(hashing) = indexed::hashing(dir) else {
        return Ok(None);
    };
    for attempt in 0..TRIES {
        let mut buffers = Buffers::new(dir);
        let Some(path) = walk(dir, &hashing, entry.name, None, &mut buffers)? else {
            return unusable(dir);
        };
        if attempt == 0 {
            match is_behind(dir, path, entry.name, &mut buffers) {
                Ok(false) => {}
                Ok(true) => return Err(EEXIST.into()),
                Err(fault) => {
                    give_up(dir, fault)?;
                    return unusable(dir);
                }
            }
        }
        if let Some(added) = entry.insert(dir, &mut buffers, path.leaf)? {
            return Ok(Some(added));
        }
        if has_room(dir, &path)? {
            let mut leaf = Block::read(dir, path.leaf, KVVec::new())?;
            split_leaf(dir, &hashing, &path, &mut leaf, &mut buffers)?;
        }
    }
    Err(ENOSPC.into())
}

/// After the index could not be used: without it, names are added to any block with room. That includes
/// those of the index, so that this must be given up, and not only unreadable: `EIO`.
fn unusable(dir: &Inode) -> Result<Option<Added>> {
    match indexed::hashing(dir) {
        Some(_) => Err(EIO.into()),
        None => Ok(None),
    }
}

/// Whether `name` is in one of the leaves behind that of `path` that have names of its hash.
fn is_behind(
    dir: &Inode,
    mut path: Path<'_>,
    name: Name<'_>,
    buffers: &mut Buffers<'_>,
) -> Result<bool> {
    while path.next_of(path.hash, buffers)? {
        if find_in_block(dir, buffers, path.leaf, name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves half of the names of `leaf`, to which `path` leads, to a new leaf.
fn split_leaf(
    dir: &InodeLocked<Exclusive>,
    hashing: &Hashing,
    path: &Path<'_>,
    leaf: &mut Block,
    buffers: &mut Buffers<'_>,
) -> Result {
    let frame = path.frames().last().ok_or(EIO)?;
    let mut index = Block::read(dir, frame.block, KVVec::new())?;
    let mut names = names(&leaf.at)?;
    let hash = |name: &[u8]| hashing.hash(path.root.function, name).major;
    let halves = leaf.at.halves(&leaf.bytes, hash, &mut names)?;
    // A leaf without names has room.
    let halves = halves.ok_or(ENOSPC)?;
    let mut new = room(dir)?;
    leaf.at.copy_moving(&mut new, &leaf.bytes, &halves)?;
    let mut spare = room(dir)?;
    leaf.at
        .remove_moving(&mut leaf.bytes, &halves, &mut spare)?;
    let node = &frame.node;
    let hash = match mutant!("split-bound-low") {
        true => halves.hash,
        false => halves.bound(&path.range(buffers)?),
    };
    let pointer = |block| Pointer { hash, block };
    // In the copy first, as it may fail.
    let changed = node.insert(&index.at, &mut index.bytes, frame.at, pointer(0))?;
    let block = append(dir, new)?;
    dir.data().last_leaf.forget();
    node.set(&mut index.bytes, frame.at + 1, pointer(block));
    index.write(dir, changed)?;
    sync(&index);
    release(leaf, dir)?;
    sync(leaf);
    Ok(())
}

/// Brings a block to the device that has just been changed for a split. May sleep.
///
/// Until that has the pointer to the new block, and then the old block without the names that have moved, it is not what `e2fsck -p`
/// mends: that asks for somebody who is not there at boot. So this is not left to writeback, which may come half a minute later. There is
/// no flush, as it is only to be short. What cannot be written is as if writeback had failed: it is tried again by who syncs.
fn sync(block: &Block) {
    if !mutant!("split-left-to-writeback") {
        let _ = block.buffer.sync_dirty();
    }
}

/// Writes a block that has lost names to a new one.
fn release(block: &Block, dir: &Inode) -> Result {
    let all = 0..block.bytes.len();
    match mutant!("split-not-released") {
        true => block.write(dir, all),
        false => block.write_release(dir, all),
    }
    .map(drop)
}

/// Sees to it that the index has room for another pointer where `path` ends. Returns whether it had:
/// otherwise the path is another one now.
fn has_room(dir: &InodeLocked<Exclusive>, path: &Path<'_>) -> Result<bool> {
    match path.frames() {
        [.., last] if !last.node.is_full() => return Ok(true),
        [root] => raise_root(dir, path, root)?,
        [root, node] if !root.node.is_full() => split_node(dir, root, node)?,
        _ => {
            if log_ratelimit(c"retryfs_index_full") {
                let (id, ino) = (dir.sb().id(), ino32(dir));
                pr_warn!("{}: directory {}: its index is full\n", id, ino);
            }
            return Err(ENOSPC.into());
        }
    }
    Ok(false)
}

/// Moves the pointers of the root to a new node.
fn raise_root(dir: &InodeLocked<Exclusive>, path: &Path<'_>, root: &Frame) -> Result {
    let mut block = Block::read(dir, root.block, KVVec::new())?;
    let mut new = room(dir)?;
    root.node.copy_from(&block.at, &mut new, &block.bytes, 0)?;
    let index = append(dir, new)?;
    let changed = path.root.raise(&block.at, &mut block.bytes, index)?;
    block.write(dir, changed)?;
    sync(&block);
    Ok(())
}

/// Moves half of the pointers of `node` to a new one. The root has room for a pointer to that.
fn split_node(dir: &InodeLocked<Exclusive>, root: &Frame, node: &Frame) -> Result {
    let mut above = Block::read(dir, root.block, KVVec::new())?;
    let mut block = Block::read(dir, node.block, KVVec::new())?;
    let stay = node.node.count / 2;
    let hash = node.node.pointer(&block.bytes, stay).hash;
    let mut new = room(dir)?;
    node.node
        .copy_from(&block.at, &mut new, &block.bytes, stay)?;
    let mut pointer = Pointer { hash, block: 0 };
    let changed = root
        .node
        .insert(&above.at, &mut above.bytes, root.at, pointer)?;
    pointer.block = append(dir, new)?;
    root.node.set(&mut above.bytes, root.at + 1, pointer);
    above.write(dir, changed)?;
    sync(&above);
    let changed = node.node.truncate(&mut block.bytes, stay);
    block.write(dir, changed)?;
    sync(&block);
    Ok(())
}

/// Gives a directory of one block an index: its names move to two new leaves. Returns whether it has one
/// now: not if the block is not as it has to be, or nobody knows how its names are to be hashed.
pub(super) fn make_index(dir: &InodeLocked<Exclusive>) -> Result<bool> {
    let Some(hashing) = dir.sb().data().superblock.hashing else {
        return Ok(false);
    };
    let function: Function = hashing.default;
    let mut block = Block::read(dir, 0, KVVec::new())?;
    let mut names = names(&block.at)?;
    let hash = |name: &[u8]| hashing.hash(function, name).major;
    let Some(halves) = block.at.halves(&block.bytes, hash, &mut names)? else {
        return Ok(false);
    };
    let (mut first, mut second) = (room(dir)?, room(dir)?);
    block.at.copy_staying(&mut first, &block.bytes, &halves)?;
    block.at.copy_moving(&mut second, &block.bytes, &halves)?;
    let pointers = |first: u32| {
        let (hash, block) = (halves.hash, first.saturating_add(1));
        [
            Pointer {
                hash: 0,
                block: first,
            },
            Pointer { hash, block },
        ]
    };
    let initialised = Root::init(&block.at, &mut block.bytes, function, &pointers(1));
    if initialised.is_err() {
        return Ok(false);
    }
    // The device may not have it yet, if it is new.
    block.buffer.sync_dirty()?;
    let mut leaves = KVec::new();
    leaves.push(first, GFP_KERNEL)?;
    leaves.push(second, GFP_KERNEL)?;
    let first = durable::append(dir, &leaves)?;
    Root::init(&block.at, &mut block.bytes, function, &pointers(first))?;
    dir.data().last_leaf.forget();
    release(&block, dir)?;
    sync(&block);
    // It is stored that there is one when there is.
    dir.data().set_index(true);
    Ok(true)
}

fn append(dir: &InodeLocked<Exclusive>, block: KVVec<u8>) -> Result<u32> {
    let mut blocks = KVec::new();
    blocks.push(block, GFP_KERNEL)?;
    durable::append(dir, &blocks)
}

/// Room for the names of a block.
fn names(at: &DirBlock) -> Result<KVVec<Named>> {
    Ok(KVVec::from_elem(
        Named::default(),
        at.names_max(),
        GFP_KERNEL,
    )?)
}
