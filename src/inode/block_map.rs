// SPDX-License-Identifier: GPL-2.0

//! The block map of a file: look-up, allocation, truncation.
//!
//! The format and its algorithms are in [`crate::ext2::block_map`] and [`crate::ext2::truncate`];
//! here they are run on the buffer cache, with the allocators of the volume.

use crate::ext2::block_map::{store_root, Branch, Growth, Mapping, PointerBlocks, Slot};
use crate::ext2::pointers::{Path, Pointers, DIRECT};
use crate::ext2::run_cache;
use crate::ext2::truncate;
pub(crate) use crate::ext2::truncate::Unfreed;
use crate::ext2::Place;
use crate::inode::data::ino32;
use crate::inode::deferred;
use crate::inode::dirty::mark_buffer_dirty;
use crate::inode::in_flight;
use crate::inode::map::{Changing, View};
use crate::inode::pointer_blocks::{self, ChangedPointers, PointerBuffers, SyncedPointers};
use crate::inode::run_slot::{KnownPointers, LookedUp};
use crate::inode::tail::Tail;
use crate::types::{Inode, InodeLocked};
use crate::volume::blocks::{self, AllocationRequest, Blocks, Freed};
use crate::volume::fault::{Fault, Result};
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::inode::lock::Exclusive;
use kfs::mm::nofs::nofs;

/// A run of blocks of a file that are contiguous on the volume.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// The blocks of the volume.
    pub(crate) blocks: Blocks,
    /// They were allocated by this call, and hold stale data.
    pub(crate) new: bool,
}

impl Run {
    /// Blocks that the file had before.
    pub(super) fn of(start: u32, len: u32) -> Self {
        Run {
            blocks: Blocks { start, len },
            new: false,
        }
    }

    /// At most `max` blocks from the one on that `branch` leads to, which the file has.
    pub(super) fn at<P: PointerBlocks<Error = Fault>>(
        inode: &Inode,
        branch: &Branch,
        root: &Pointers,
        max: u32,
        device: &mut P,
    ) -> Result<Self> {
        let layout = inode.sb().data().layout();
        match branch.lookup(&layout, root, max, device)? {
            Mapping::Mapped { start, len } => Ok(Run::of(start, len)),
            Mapping::Hole { .. } => Err(EIO.into()),
        }
    }
}

/// Looks up at most `max` blocks of the file from its block `block` on.
///
/// The length of a hole is a lower bound: it may continue. Holds no lock while it reads from the
/// device (see [`crate::inode::map`]); may sleep. `EFBIG` beyond the largest file, `EIO` when a
/// block of pointers cannot be read.
pub(crate) fn lookup(inode: &Inode, block: u64, max: u32) -> Result<Mapping> {
    if let Some(mapping) = inode.data().map.cached(block, max) {
        return Ok(mapping);
    }
    match lookup_in_root(inode, block, max) {
        Some(mapping) => Ok(mapping),
        None => lookup_in_tree(inode, block, max),
    }
}

/// [`lookup`] of what a pointer in the inode leads to. `None` for anything else, and for what is corrupt. Does not
/// sleep.
#[inline]
fn lookup_in_root(inode: &Inode, block: u64, max: u32) -> Option<Mapping> {
    let index = usize::try_from(block).ok().filter(|&n| n < DIRECT)?;
    let map = &inode.data().get_ref().map;
    let view = map.try_view()?;
    let mut direct = view.root.get(index..DIRECT)?.iter().zip(0..max.max(1));
    let (&start, _) = direct.next().filter(|(&start, _)| start != 0)?;
    let follows = |&(&pointer, n): &(&u32, u32)| start.checked_add(n) == Some(pointer);
    let len = 1 + direct.take_while(follows).count() as u32;
    let layout = inode.sb().data().layout();
    layout
        .check_data(Place::Inode(ino32(inode)), start, len)
        .ok()?;
    map.is_current(&view)
        .then_some(Mapping::Mapped { start, len })
}

/// Where the `len` blocks of the file from its block `block` on are, if they are one run, and that is cached, or its
/// block of pointers is known and in memory. Does not sleep.
#[inline(always)]
pub(crate) fn lookup_cached(inode: &Inode, block: u64, len: u32) -> Option<u32> {
    let mapping = match inode.data().map.cached(block, len) {
        Some(mapping) => mapping,
        None if mutant!("single-one-run") => return None,
        None => lookup_in_pointers(inode, block, len)?,
    };
    match mapping {
        Mapping::Mapped { start, len: found } if found == len => Some(start),
        _ => None,
    }
}

/// [`lookup`] of what is not cached, while its block of pointers is known, and in memory. Does not sleep.
///
/// Below one block of pointers there may be as many runs as it has pointers: to cache them all would be to have the
/// pointers twice. What is found here costs a little more than what is cached.
#[inline(never)]
fn lookup_in_pointers(inode: &Inode, block: u64, max: u32) -> Option<Mapping> {
    let data = inode.data();
    let map = &data.map;
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
        map.remember_nowait(&view, new);
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
        map.remember_nowait(&view, new);
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
            map.remember(inode.blkbits().into(), &view, new);
        }
        drop(changing);
        return Ok(found.mapping);
    }
    // With the lock, nobody changes anything.
    Err(EIO.into())
}

/// Writes the blocks of pointers that lead to block `block` of the file to the device, and waits. May
/// sleep. `EIO` when the device fails.
pub(super) fn sync_pointers(inode: &InodeLocked<Exclusive>, block: u64) -> Result {
    let layout = inode.sb().data().layout();
    let path = path(inode, block)?;
    let root = inode.data().map.pointers();
    let mut device = SyncedPointers(inode);
    Branch::walk(&layout, ino32(inode), &root, path, &mut device).map(drop)
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
/// A short run, of which nothing is left when it has been asked for, does not take the place of a longer one.
///
/// [`Map::cached_pointers`]: crate::inode::map::Map::cached_pointers
#[inline]
fn find_below<P: PointerBlocks<Error = Fault>>(
    inode: &Inode,
    view: &View,
    known: Option<KnownPointers>,
    Wanted { block, path, max }: Wanted,
    device: &mut P,
) -> Result<Found> {
    let layout = inode.sb().data().layout();
    let ino = ino32(inode);
    let pointers = known.map(|known| known.block);
    let branch = walk(inode, view, pointers, path, device)?;
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
        let is_worth_it =
            len > known.map_or(0, |known| known.shortest.min(max)) || mutant!("runs-short");
        // The caller did not ask for the neighbours: corrupt pointers to them are no error here.
        if is_worth_it && layout.check_data(Place::Inode(ino), start, len).is_ok() {
            // Blocks of a file that were found have numbers of 32 bits.
            let block = block.saturating_sub(before.into()) as u32;
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
pub(super) fn branch<P: PointerBlocks<Error = Fault>>(
    inode: &Inode,
    view: &View,
    block: u64,
    device: &mut P,
) -> Result<Branch> {
    let path = path(inode, block)?;
    let known = inode.data().get_ref().map.cached_pointers(view, block);
    let pointers = known.map(|known| known.block);
    walk(inode, view, pointers, path, device)
}

/// Caches that block `block` of the file and those after it are `blocks` since `view`; `pointers` is
/// the block of pointers with those to them, if it is known. Called in `nofs`; may sleep.
pub(super) fn remember(
    inode: &Inode,
    view: &View,
    block: u64,
    blocks: Blocks,
    pointers: Option<u32>,
) {
    // Direct pointers are in memory anyway.
    let Some(block) = u32::try_from(block).ok().filter(|&n| n >= DIRECT as u32) else {
        return;
    };
    let run = run_cache::Run {
        block,
        start: blocks.start,
        len: blocks.len,
    };
    let bits = inode.blkbits().into();
    let new = LookedUp { run, pointers };
    inode.data().map.remember(bits, view, new);
}

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
    remember(inode, &view, block, blocks, growth.last_pointers());
    let mut tail = None;
    if let (true, Some(parent)) = (goal.grows && inode.is_reg(), growth.last_pointers()) {
        let parent = device.buffer(parent)?.get();
        tail = Some(Tail::behind(block, blocks, parent, growth.data_index()));
    }
    *map.tail_mut() = tail;
    Ok(Run { blocks, new: true })
}

/// Whether the file has a block. Does not sleep.
pub(crate) fn has_blocks(inode: &Inode) -> bool {
    let root = inode.data().map.pointers();
    root.iter().any(|&pointer| pointer != 0)
}

/// Frees the blocks of the file that are wholly beyond byte `size`. i_size does not change.
///
/// As [`punch`], but blocks that cannot be freed are lost to the file.
pub(crate) fn truncate(inode: &InodeLocked<Exclusive>, size: u64) -> Result {
    let keep = size.div_ceil(1 << inode.blkbits());
    punch(inode, keep..u64::MAX, Unfreed::Lose)
}

/// Frees the blocks of the file in `range`, in blocks: punches a hole.
///
/// The caller has dropped the range from the page cache and waited for direct I/O in flight. Takes
/// the lock of the block map, then those of the groups; may sleep. The first error ends it;
/// `unfreed` says what becomes of blocks that could not be freed.
pub(crate) fn punch(inode: &InodeLocked<Exclusive>, range: Range<u64>, unfreed: Unfreed) -> Result {
    let layout = inode.sb().data().layout();
    let data = inode.data();
    let result = nofs(|| {
        let mut map = data.map.lock();
        if !mutant!("tail-kept") {
            *map.tail_mut() = None;
        }
        map.last_block().forget();
        if !mutant!("window-outlives-punch") {
            blocks::drop_window(inode.sb(), ino32(inode), &data.get_ref().window);
        }
        let mut root = map.view().root;
        if root.iter().all(|&pointer| pointer == 0) {
            return Ok(());
        }
        let mut device = ChangedPointers::new(inode, &map);
        let ino = ino32(inode);
        let freed = truncate::free_range(&layout, ino, &mut root, range, unfreed, &mut device);
        deferred::freed(inode, &root);
        freed
    });
    if result.is_err() && unfreed == Unfreed::Lose {
        inode.sb().data().set_leaked();
    }
    inode.mark_inode_dirty();
    result
}

/// Gives up the window of the file, and what is kept of where it goes on. Takes the lock of the block map, and that of
/// its group, if there is a window; may sleep.
pub(crate) fn drop_window(inode: &Inode) {
    let data = inode.data().get_ref();
    if data.window.is_there() {
        nofs(|| *data.map.lock().tail_mut() = None);
        blocks::drop_window(inode.sb(), ino32(inode), &data.window);
    }
}

pub(super) fn path(inode: &Inode, block: u64) -> Result<Path> {
    Path::new(inode.blkbits().into(), block).ok_or(Fault::Error(EFBIG))
}

/// Where new blocks of a file should lie.
#[derive(Clone, Copy)]
pub(super) struct Goal {
    /// The first of them.
    pub(super) block: u32,
    /// Whether the file grows there: behind what it has, or from its begin. A block somewhere in a hole is likely
    /// to stay alone, and gets no window.
    pub(super) grows: bool,
}

impl Goal {
    /// Right behind blocks of the file.
    pub(super) const fn behind(end: u32) -> Self {
        Goal {
            block: end,
            grows: true,
        }
    }
}

/// The goal for what is to be allocated for block `block` of the file, to which `branch` leads: right behind
/// the block before it, also where the pointers to them are in different blocks. If the file does not have
/// that, as far behind one below the same block of pointers, or from the one that was allocated last, as it is in the file; without
/// these what [`Branch::goal`] says; and for the first block of all, the first in the group of the inode. So small
/// files that are made one after the other lie together, and [windows](crate::volume::windows) keep apart those that
/// grow side by side.
///
/// Errors of what `device` reads for the block before are none here: nobody has asked for it.
pub(super) fn goal<P: PointerBlocks<Error = Fault>>(
    inode: &Inode,
    root: &Pointers,
    block: u64,
    branch: &Branch,
    device: &mut P,
) -> Result<Goal> {
    let data = data_before(inode, root, block, branch, device);
    if let Some(data) = data.filter(|_| !mutant!("goal-by-pointers")) {
        return Ok(Goal::behind(data.saturating_add(1)));
    }
    let grows = block == 0 || mutant!("window-for-a-hole");
    let geometry = inode.sb().data().geometry();
    let nearest = match branch.is_whole() {
        true => branch.nearest(root, device)?,
        false => None,
    };
    let last = &inode.data().get_ref().map.last_block;
    let volume = geometry.group_first_block(0)..geometry.blocks_count();
    let far = || last.goal(block, &volume);
    if let Some(block) = nearest.or_else(far) {
        return Ok(Goal { block, grows });
    }
    if let Some(block) = branch.goal(root, device)? {
        return Ok(Goal { block, grows });
    }
    let group = geometry.inode_slot(ino32(inode))?.group;
    let colour = match mutant!("files-scattered") {
        true => ino32(inode) % 16 * (geometry.blocks_per_group() / 16),
        false => 0,
    };
    let block = geometry.group_first_block(group).saturating_add(colour);
    Ok(Goal { block, grows })
}

/// The block before block `block` of the file, if it has that.
fn data_before<P: PointerBlocks<Error = Fault>>(
    inode: &Inode,
    root: &Pointers,
    block: u64,
    branch: &Branch,
    device: &mut P,
) -> Option<u32> {
    if let Some(before) = branch.before(root, device).ok()? {
        return (before != 0).then_some(before);
    }
    let layout = inode.sb().data().layout();
    let path = path(inode, block.checked_sub(1)?).ok()?;
    let branch = Branch::walk(&layout, ino32(inode), root, path, device).ok()?;
    branch.data()
}

/// `len` blocks near `goal`, for this inode. Regular files have windows where they grow.
pub(super) fn request(inode: &Inode, goal: Goal, len: u32) -> AllocationRequest<'_> {
    let has_window = inode.is_reg() && goal.grows;
    AllocationRequest {
        ino: ino32(inode),
        window: has_window.then(|| &inode.data().get_ref().window),
        goal: goal.block,
        len,
    }
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

/// Frees blocks that did not become part of a file, after an error, which is the one that the caller
/// gets: if it fails they leak until e2fsck.
pub(super) fn give_back(inode: &Inode, blocks: Blocks) {
    if blocks::free(inode.sb(), blocks, Freed::Unused).is_err() {
        inode.sb().data().set_leaked();
    }
}

/// New blocks of pointers that are not part of the file yet; freed when dropped.
pub(super) struct NewBlocks<'a> {
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
    pub(super) fn allocate(
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

    pub(super) fn blocks(&self) -> &[u32] {
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
    /// `root` is what the inode has now, and `device` reads its blocks of pointers.
    pub(super) fn link(
        &self,
        map: &Changing<'_>,
        mut root: Pointers,
        growth: &Growth,
        data: Option<Blocks>,
        device: &mut PointerBuffers<'_>,
    ) -> Result {
        let sb = self.inode.sb();
        let mut below = data;
        for (&block, &index) in self.blocks().iter().zip(growth.indexes()).rev() {
            let buffer = sb.getblk(block.into())?;
            buffer.init_zeroed();
            match below {
                Some(below) => pointer_blocks::store(self.inode, map, &buffer, index, below)?,
                None => mark_buffer_dirty(self.inode, &buffer),
            }
            below = Some(Blocks::one(block));
        }
        let inode = self.inode;
        let Some(below) = below else {
            return Ok(());
        };
        let mut in_root = |index| -> Result {
            store_root(&mut root, index, below.start, below.len).ok_or(EFBIG)?;
            map.set_root(&root);
            Ok(())
        };
        match growth.slot {
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
        }
    }

    /// The blocks are part of the file now.
    pub(super) fn keep(mut self) {
        self.len = 0;
    }

    pub(super) fn free(&mut self) {
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
