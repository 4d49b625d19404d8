// SPDX-License-Identifier: GPL-2.0

//! Looking blocks of a file up: what is cached, then what is in memory, then on the device.

use super::path;
use crate::ext2::block_map::{Branch, Mapping, PointerBlocks};
use crate::ext2::pointers::{Path, DIRECT};
use crate::ext2::run_cache;
use crate::ext2::Place;
use crate::inode::data::ino32;
use crate::inode::map::View;
use crate::inode::pointer_blocks::PointerBuffers;
use crate::inode::run_slot::LookedUp;
use crate::types::Inode;
use crate::volume::blocks::Blocks;
use crate::volume::fault::{Fault, Result};
use kernel::alloc::Flags;
use kernel::prelude::*;
use kfs::mm::nofs::nofs;

/// Looks up at most `max` blocks of the file from its block `block` on.
///
/// The length of a hole is a lower bound: it may continue. Holds no lock while it reads from the
/// device (see [`crate::inode::map`]); may sleep. `EFBIG` beyond the largest file, `EIO` when a
/// block of pointers cannot be read.
pub(crate) fn lookup(inode: &Inode, block: u64, max: u32) -> Result<Mapping> {
    let known = match usize::try_from(block) {
        Ok(index) if index < DIRECT => lookup_direct(inode, index, max),
        _ => inode.data().map.cached(block, max),
    };
    match known {
        Some(mapping) => Ok(mapping),
        None => lookup_in_tree(inode, block, max),
    }
}

/// [`lookup`] of what pointer `index` of the inode leads to, which is never cached. `None` for a hole, and for what is
/// corrupt. Does not sleep.
#[inline]
fn lookup_direct(inode: &Inode, index: usize, max: u32) -> Option<Mapping> {
    let (start, len) = inode.data().map.direct_run(index, max)?;
    let layout = inode.sb().data().layout();
    layout
        .check_data(Place::Inode(ino32(inode)), start, len)
        .ok()?;
    Some(Mapping::Mapped { start, len })
}

/// Where the `len` blocks of the file from its block `block` on are, if they are one run, and that is cached, or its
/// block of pointers is known and in memory. Or that the first is in a hole, if that is known so. Does not sleep.
#[inline(always)]
pub(crate) fn lookup_cached(inode: &Inode, block: u64, len: u32) -> Option<Mapping> {
    if let Some(start) = inode.data().map.cached_all(block, len) {
        return Some(Mapping::Mapped { start, len });
    }
    if mutant!("single-one-run") {
        return None;
    }
    match lookup_in_pointers(inode, block, len)? {
        Mapping::Mapped { len: found, .. } if found != len => None,
        found => Some(found),
    }
}

/// [`lookup`] of what is not cached as a whole, while its block of pointers is known, and in memory. Does not sleep.
///
/// Below one block of pointers there may be as many runs as it has pointers: to cache them all would be to have the
/// pointers twice. What is found here costs a little more than what is cached.
#[inline(never)]
fn lookup_in_pointers(inode: &Inode, block: u64, max: u32) -> Option<Mapping> {
    let data = inode.data();
    let map = &data.map;
    if max > 1 {
        if let Some(part) = map.cached(block, max) {
            return Some(part);
        }
    }
    let view = map.try_view()?;
    let known = map.cached_pointers(&view, block)?;
    let path = path(inode, block).ok()?;
    let wanted = Wanted { block, path, max };
    let mut device = PointerBuffers::in_memory(inode);
    let found = find_below(inode, &view, Some(known), wanted, &mut device);
    if !map.is_current(&view) {
        return None;
    }
    // What is corrupt is reported by who may sleep.
    let found = found.ok()?;
    if let Some(new) = found.to_remember {
        map.remember_nowait(view.age(), new);
    }
    Some(found.mapping)
}

/// [`lookup`] with what is in memory. Does not sleep: `EAGAIN` when pointers are being changed, or
/// a block of pointers is not in the buffer cache.
pub(crate) fn lookup_nowait(inode: &Inode, block: u64, max: u32) -> Result<Mapping> {
    let data = inode.data();
    let map = &data.map;
    if let Some(mapping) = map.cached(block, max) {
        return Ok(mapping);
    }
    let path = path(inode, block)?;
    let view = map.try_view().ok_or(EAGAIN)?;
    let wanted = Wanted { block, path, max };
    let found = find(inode, &view, wanted, &mut PointerBuffers::in_memory(inode));
    if !map.is_current(&view) {
        return Err(EAGAIN.into());
    }
    let found = found?;
    if let Some(new) = found.to_remember {
        map.remember_nowait(view.age(), new);
    }
    Ok(found.mapping)
}

/// [`lookup`] of what is not cached. Apart, so that one of what is does not make room for this.
#[inline(never)]
fn lookup_in_tree(inode: &Inode, block: u64, max: u32) -> Result<Mapping> {
    nofs(|| lookup_until_current(inode, block, max))
}

fn lookup_until_current(inode: &Inode, block: u64, max: u32) -> Result<Mapping> {
    const TRIES: u32 = 16;
    let data = inode.data();
    let map = &data.map;
    let path = path(inode, block)?;
    let wanted = Wanted { block, path, max };
    let mut changing = None;
    for attempt in 0.. {
        if attempt == TRIES || (attempt == 0 && mutant!("lookup-locked")) {
            // A long truncate, for example. What is needed was read by the attempts before.
            changing = Some(map.lock());
        }
        let view = map.view();
        let found = find(inode, &view, wanted, &mut PointerBuffers::new(inode));
        if !map.is_current(&view) {
            continue;
        }
        let found = found?;
        if let Some(new) = found.to_remember {
            map.remember(inode.blkbits().into(), view.age(), new);
        }
        drop(changing);
        return Ok(found.mapping);
    }
    // With the lock, nobody changes anything.
    Err(EIO.into())
}

/// What is looked up: at most `max` blocks from block `block` of a file on, to which `path` leads.
#[derive(Clone, Copy)]
struct Wanted {
    block: u64,
    path: Path,
    max: u32,
}

/// What a look-up has found.
struct Found {
    mapping: Mapping,
    /// The run that the block is in, if it is to be cached. Direct pointers are in memory anyway.
    to_remember: Option<LookedUp>,
}

/// Follows the pointers of `view`.
fn find<P: PointerBlocks<Error = Fault>>(
    inode: &Inode,
    view: &View,
    wanted: Wanted,
    device: &mut P,
) -> Result<Found> {
    let data = inode.data();
    let known = data.map.cached_pointers(view, wanted.block);
    find_below(inode, view, known, wanted, device)
}

/// Who wants so many blocks,
const READS_ON_FROM: u32 = 8;
/// wants so many times as many soon, perhaps: a file is read ahead.
const READS_ON: u32 = 8;

/// [`find`] when what [`Map::cached_pointers`] says is `known`.
///
/// A short run that the request uses up does not evict a longer one from the cache.
///
/// [`Map::cached_pointers`]: crate::inode::map::Map::cached_pointers
#[inline]
fn find_below<P: PointerBlocks<Error = Fault>>(
    inode: &Inode,
    view: &View,
    known: Option<u32>,
    Wanted { block, path, max }: Wanted,
    device: &mut P,
) -> Result<Found> {
    let layout = inode.sb().data().layout();
    let ino = ino32(inode);
    let branch = walk(inode, view, known, path, device)?;
    let ahead = match max >= READS_ON_FROM && !mutant!("runs-asked-only") {
        true => max.saturating_mul(READS_ON),
        false => max,
    };
    let found = match branch.lookup(&layout, &view.root, ahead, device) {
        // What is corrupt beyond what the caller asked for is no error here.
        Err(_) if ahead > max => branch.lookup(&layout, &view.root, max, device)?,
        found => found?,
    };
    let mapping = match found {
        Mapping::Mapped { start, len } => Mapping::Mapped {
            start,
            len: len.min(max),
        },
        Mapping::Hole { len } => Mapping::Hole { len: len.min(max) },
    };
    let mut to_remember = None;
    if let (Mapping::Mapped { start, len }, Some(pointers)) = (found, branch.last_pointers()) {
        let (before, after) = branch.around(device)?;
        let start = start.saturating_sub(before);
        let len = before + len.max(after + 1);
        let shortest = known.map_or(0, |_| inode.data().map.shortest_run(block));
        let is_worth_it = len > shortest.min(max) || mutant!("runs-short");
        // The caller did not ask for the neighbours: corrupt pointers to them are no error here.
        // What is cached has numbers of 32 bits. A file on the device may claim to have more blocks, where they are large, and a
        // mapping can ask for these.
        let first = u32::try_from(block.saturating_sub(before.into()));
        let is_cacheable = |&first: &u32| is_worth_it && first.checked_add(len).is_some();
        let block = first.ok().filter(is_cacheable);
        if let Some(block) =
            block.filter(|_| layout.check_data(Place::Inode(ino), start, len).is_ok())
        {
            let run = run_cache::Run { block, start, len };
            to_remember = Some(LookedUp {
                run,
                pointers: Some(pointers),
            });
        }
    }
    Ok(Found {
        mapping,
        to_remember,
    })
}

/// Follows the pointers of `view` on `path`, of which the last block of pointers is `pointers`, if that is known.
#[inline]
fn walk<P: PointerBlocks<Error = Fault>>(
    inode: &Inode,
    view: &View,
    pointers: Option<u32>,
    path: Path,
    device: &mut P,
) -> Result<Branch> {
    let layout = inode.sb().data().layout();
    let ino = ino32(inode);
    match pointers {
        Some(pointers) => Branch::walk_from(&layout, ino, pointers, path, device),
        None => Branch::walk(&layout, ino, &view.root, path, device),
    }
}

/// Follows the pointers of `view` to block `block` of the file, for who has the right to change them.
pub(in crate::inode) fn branch<P: PointerBlocks<Error = Fault>>(
    inode: &Inode,
    view: &View,
    block: u64,
    device: &mut P,
) -> Result<Branch> {
    let path = path(inode, block)?;
    let known = inode.data().get_ref().map.cached_pointers(view, block);
    walk(inode, view, known, path, device)
}

/// Block `block` of a file, if what is known of it is cached. Direct pointers are in memory anyway.
fn cacheable(block: u64) -> Option<u32> {
    u32::try_from(block).ok().filter(|&n| n >= DIRECT as u32)
}

/// Makes room for [`remember_nowait`] of a run from block `block` of the file on. Optional. Called in `nofs`; may sleep, as
/// `flags` say.
pub(in crate::inode) fn make_room(inode: &Inode, block: u64, flags: Flags) {
    if let Some(block) = cacheable(block) {
        inode
            .data()
            .map
            .make_room(inode.blkbits().into(), block, flags);
    }
}

/// Caches that block `block` of the file and those after it are `blocks` since it has the age `age`; `pointers` is
/// the block of pointers with those to them, if it is known. Called in `nofs`; may sleep.
pub(in crate::inode) fn remember(
    inode: &Inode,
    age: usize,
    block: u64,
    blocks: Blocks,
    pointers: Option<u32>,
) {
    make_room(inode, block, GFP_KERNEL);
    remember_nowait(inode, age, block, blocks, pointers);
}

/// The same if there is room. Does not sleep.
pub(in crate::inode) fn remember_nowait(
    inode: &Inode,
    age: usize,
    block: u64,
    blocks: Blocks,
    pointers: Option<u32>,
) {
    let Some(block) = cacheable(block) else {
        return;
    };
    let run = run_cache::Run {
        block,
        start: blocks.start,
        len: blocks.len,
    };
    let new = LookedUp { run, pointers };
    inode.data().map.remember_nowait(age, new);
}
