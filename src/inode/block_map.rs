// SPDX-License-Identifier: GPL-2.0

//! The block map of a file: look-up, allocation, truncation.
//!
//! The format and its algorithms are in [`crate::ext2::block_map`] and [`crate::ext2::truncate`];
//! here they are run on the buffer cache, with the allocators of the volume.

use crate::ext2::block_map::{store_pointers, store_root, Branch, Growth, Mapping};
use crate::ext2::block_map::{PointerBlocks, Slot};
use crate::ext2::pointers::{Path, Pointers, DIRECT};
use crate::ext2::run_cache::RunCache;
pub(crate) use crate::ext2::truncate::Unfreed;
use crate::ext2::truncate::{self, FreeBlocks};
use crate::ext2::Place;
use crate::inode::data::{ino32, mark_buffer_dirty, mark_first_dirty, Map};
use crate::inode::deferred;
use crate::inode::write;
use crate::types::{Inode, InodeLocked};
use crate::volume::blocks::{self, Blocks, Freed};
use crate::volume::fault::{Fault, Result};
use crate::volume::unwritten::First;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
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

/// Looks up at most `max` blocks of the file from its block `block` on.
///
/// The length of a hole is a lower bound: it may continue. Takes the lock of the block map; may
/// sleep. `EFBIG` beyond the largest file, `EIO` when a block of pointers cannot be read.
pub(crate) fn lookup(inode: &Inode, block: u64, max: u32) -> Result<Mapping> {
    nofs(|| {
        let map = &mut *inode.data().get_ref().map.lock();
        if let Some(mapping) = map.get(block, max) {
            return Ok(mapping);
        }
        let layout = inode.sb().data().layout();
        let path = path(inode, block)?;
        let mut device = PointerBuffers::new(inode);
        let branch = Branch::walk(&layout, ino32(inode), &map.pointers, path, &mut device)?;
        let mapping = branch.lookup(&layout, &map.pointers, max, &mut device)?;
        if let Mapping::Mapped { start, len } = mapping {
            let (before, after) = branch.around(&mut device)?;
            let first = start.saturating_sub(before);
            let whole = before + len.max(after + 1);
            // The caller did not ask for the neighbours: corrupt pointers to them are no error
            // here.
            if layout
                .check_data(Place::Inode(ino32(inode)), first, whole)
                .is_ok()
            {
                map.remember(inode, block - u64::from(before), first, whole);
            }
        }
        Ok(mapping)
    })
}

/// [`lookup`] with what is in memory. Does not sleep: `EAGAIN` when the lock of the block map is
/// contended or a block of pointers is not in the buffer cache.
pub(crate) fn lookup_nowait(inode: &Inode, block: u64, max: u32) -> Result<Mapping> {
    let Some(map) = inode.data().get_ref().map.try_lock() else {
        return Err(EAGAIN.into());
    };
    if let Some(mapping) = map.get(block, max) {
        return Ok(mapping);
    }
    let layout = inode.sb().data().layout();
    let path = path(inode, block)?;
    let mut device = CachedPointers(inode);
    let branch = Branch::walk(&layout, ino32(inode), &map.pointers, path, &mut device)?;
    branch.lookup(&layout, &map.pointers, max, &mut device)
}

impl Map {
    /// Looks up in the cache of runs.
    fn get(&self, block: u64, max: u32) -> Option<Mapping> {
        self.runs.as_ref()?.get(block, max)
    }

    /// Caches a run that was looked up or allocated. Called with memory allocation in `nofs`.
    pub(super) fn remember(&mut self, inode: &Inode, block: u64, start: u32, len: u32) {
        if block < DIRECT as u64 {
            // Direct pointers are in memory anyway.
            return;
        }
        if self.runs.is_none() {
            // Optional: without memory, the next look-up walks the pointers again.
            self.runs = KBox::new(RunCache::new(inode.blkbits().into()), GFP_KERNEL).ok();
        }
        if let Some(runs) = &mut self.runs {
            runs.put(block, start, len);
        }
    }

    /// Drops the cache of runs before blocks are freed.
    fn forget(&mut self) {
        if !mutant!("runs-kept") {
            self.runs = None;
        }
    }
}

/// Looks up at most `max` blocks of the file from its block `block` on, and allocates them if the
/// first is in a hole.
///
/// Buffers that alias new blocks are gone from the cache of the device on return; what the blocks
/// hold is stale, and the caller overwrites it. Takes the lock of the block map, then that of the
/// groups; may sleep. `ENOSPC` without a free block, `EFBIG` beyond the largest file; on error
/// nothing is allocated.
pub(crate) fn allocate(inode: &Inode, block: u64, max: u32) -> Result<Run> {
    let layout = inode.sb().data().layout();
    let path = path(inode, block)?;
    let mut device = PointerBuffers::new(inode);
    let run = nofs(|| -> Result<Run> {
        let map = &mut *inode.data().get_ref().map.lock();
        if let Some(Mapping::Mapped { start, len }) = map.get(block, max) {
            return Ok(Run {
                blocks: Blocks { start, len },
                new: false,
            });
        }
        let root = &mut map.pointers;
        let branch = Branch::walk(&layout, ino32(inode), root, path, &mut device)?;
        let Some(growth) = branch.growth(root, max, &mut device)? else {
            return match branch.lookup(&layout, root, max, &mut device)? {
                Mapping::Mapped { start, len } => Ok(Run {
                    blocks: Blocks { start, len },
                    new: false,
                }),
                // `growth` has just found that the block exists.
                Mapping::Hole { .. } => Err(EIO.into()),
            };
        };
        let goal = match branch.goal(root, &mut device)? {
            Some(goal) => goal,
            None => first_goal(inode)?,
        };
        let blocks = grow(inode, root, &growth, goal)?;
        map.remember(inode, block, blocks.start, blocks.len);
        Ok(Run { blocks, new: true })
    })?;
    if run.new {
        let (start, len) = (run.blocks.start.into(), run.blocks.len.into());
        if !mutant!("aliases-kept") {
            inode.sb().clean_bdev_aliases(start, len);
        }
        inode.mark_inode_dirty();
    }
    Ok(run)
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
/// the lock of the block map, then that of the groups; may sleep. The first error ends it;
/// `unfreed` says what becomes of blocks that could not be freed.
pub(crate) fn punch(inode: &InodeLocked<Exclusive>, range: Range<u64>, unfreed: Unfreed) -> Result {
    let layout = inode.sb().data().layout();
    let mut device = PointerBuffers::new(inode);
    let result = nofs(|| {
        let mut map = inode.data().get_ref().map.lock();
        map.forget();
        let root = &mut map.pointers;
        let freed = truncate::free_range(&layout, ino32(inode), root, range, unfreed, &mut device);
        deferred::freed(inode, root);
        freed
    });
    if result.is_err() && unfreed == Unfreed::Lose {
        inode.sb().data().set_leaked();
    }
    inode.mark_inode_dirty();
    result
}

pub(super) fn path(inode: &Inode, block: u64) -> Result<Path> {
    Path::new(inode.blkbits().into(), block).ok_or(Fault::Error(EFBIG))
}

/// The goal for the first block of a file: in the group of its inode, at one of several colours, so
/// that files of one directory that grow at once do not interleave. After `ext2_find_near()`, which
/// takes the colour from the process id.
pub(super) fn first_goal(inode: &Inode) -> Result<u32> {
    const COLOURS: u32 = 16;
    let geometry = inode.sb().data().geometry();
    let ino = ino32(inode);
    let group = geometry.inode_slot(ino)?.group;
    let colour = ino % COLOURS * (geometry.blocks_per_group() / COLOURS);
    Ok(geometry.group_first_block(group).saturating_add(colour))
}

/// Allocates the blocks that `growth` says are missing, near the block `goal`: blocks of pointers,
/// and a run of data. Links them into the file last, so that an error leaves it unchanged.
fn grow(inode: &Inode, root: &mut Pointers, growth: &Growth, goal: u32) -> Result<Blocks> {
    let (mut pointer_blocks, data) = NewBlocks::allocate(inode, growth, goal)?;
    if let Err(fault) = pointer_blocks.link(root, growth, Some(data)) {
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

    /// Allocates the blocks of pointers that `growth` says are missing, near the block `goal`, and a run of
    /// data behind them.
    pub(super) fn allocate(inode: &'a Inode, growth: &Growth, goal: u32) -> Result<(Self, Blocks)> {
        let mut blocks = NewBlocks::new(inode);
        let mut goal = goal;
        for _ in growth.indexes() {
            goal = blocks.add(goal)?.saturating_add(1);
        }
        let data = blocks::allocate(inode.sb(), ino32(inode), goal, growth.data_blocks)?;
        Ok((blocks, data))
    }

    pub(super) fn blocks(&self) -> &[u32] {
        self.blocks.get(..self.len).unwrap_or_default()
    }

    /// Allocates one more block near `goal`, and returns its number.
    fn add(&mut self, goal: u32) -> Result<u32> {
        let place = self.blocks.get_mut(self.len).ok_or(EFBIG)?;
        let block = blocks::allocate(self.inode.sb(), ino32(self.inode), goal, 1)?;
        *place = block.start;
        self.len += 1;
        Ok(block.start)
    }

    /// Fills the blocks of pointers bottom up, and at last stores the one pointer that makes them,
    /// or the data if there are none, part of the file. Without data they say that there is a hole.
    pub(super) fn link(
        &self,
        root: &mut Pointers,
        growth: &Growth,
        data: Option<Blocks>,
    ) -> Result {
        let sb = self.inode.sb();
        let mut below = data;
        for (&block, &index) in self.blocks().iter().zip(growth.indexes()).rev() {
            let buffer = sb.getblk(block.into())?;
            buffer.init_zeroed();
            match below {
                Some(below) => store(self.inode, &buffer, index, below)?,
                None => mark_buffer_dirty(self.inode, &buffer),
            }
            below = Some(Blocks::one(block));
        }
        let inode = self.inode;
        let Some(below) = below else {
            return Ok(());
        };
        let in_root = |root: &mut Pointers, index| -> Result {
            Ok(store_root(root, index, below.start, below.len).ok_or(EFBIG)?)
        };
        match growth.slot {
            Slot::Inode(index) if self.len == 0 => in_root(root, index),
            Slot::Inode(index) => deferred::in_root(inode, index, || in_root(root, index)),
            Slot::Block { block, index } => {
                let buffer = sb.bread(block.into())?;
                match self.len {
                    0 => deferred::unordered(inode, &buffer, || write(&buffer, index, below)),
                    _ => deferred::in_block(inode, &buffer, || write(&buffer, index, below)),
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

/// Stores pointers to the blocks `to` in a block of pointers of `inode`, from `index` on.
fn store(inode: &Inode, buffer: &BufferHead, index: u32, to: Blocks) -> Result {
    write(buffer, index, to)?;
    mark_buffer_dirty(inode, buffer);
    Ok(())
}

/// Writes pointers to the blocks `to` to a buffer, from `index` on.
pub(super) fn write(buffer: &BufferHead, index: u32, to: Blocks) -> Result {
    const POINTERS: u32 = 32;
    let mut bytes = [0; POINTERS as usize * 4];
    let mut done = 0;
    while done < to.len {
        let count = (to.len - done).min(POINTERS);
        let changed = store_pointers(&mut bytes, 0, to.start + done, count).ok_or(EFBIG)?;
        let offset = (index + done) as usize * 4;
        buffer.write(offset, bytes.get(changed).unwrap_or_default())?;
        done += count;
    }
    Ok(())
}

/// Reads blocks of pointers of a file through the buffer cache; keeps the buffer used last. Sleeps.
pub(super) struct PointerBuffers<'a> {
    inode: &'a Inode,
    last: Option<BufferHead>,
}

impl<'a> PointerBuffers<'a> {
    pub(super) fn new(inode: &'a Inode) -> Self {
        PointerBuffers { inode, last: None }
    }

    fn buffer(&mut self, block: u32) -> Result<&BufferHead> {
        if self.last.as_ref().map(BufferHead::block) != Some(block.into()) {
            self.last = None;
        }
        match &mut self.last {
            Some(buffer) => Ok(buffer),
            last => Ok(last.insert(self.inode.sb().bread(block.into())?)),
        }
    }
}

impl PointerBlocks for PointerBuffers<'_> {
    type Error = Fault;

    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result {
        Ok(self.buffer(block)?.read(offset, out)?)
    }
}

/// Reads blocks of pointers of a file that are in the buffer cache: `EAGAIN` for others.
struct CachedPointers<'a>(&'a Inode);

impl PointerBlocks for CachedPointers<'_> {
    type Error = Fault;

    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result {
        let buffer = self.0.sb().find_get_block(block.into()).ok_or(EAGAIN)?;
        Ok(buffer.read(offset, out)?)
    }
}

impl FreeBlocks for PointerBuffers<'_> {
    fn clear(&mut self, block: u32, offset: usize, len: usize) -> Result {
        const ZEROES: [u8; 256] = [0; 256];
        let inode = self.inode;
        let buffer = self.buffer(block)?;
        deferred::before_change(inode, buffer);
        let mut done = 0;
        while done < len {
            let count = (len - done).min(ZEROES.len());
            buffer.write(offset + done, ZEROES.get(..count).unwrap_or_default())?;
            done += count;
        }
        mark_first_dirty(inode, buffer, First::Release);
        Ok(())
    }

    fn clear_root(&mut self, root: &Pointers) -> Result {
        match mutant!("root-released-late") {
            true => Ok(()),
            false => write::store_released(self.inode, root),
        }
    }

    fn restore(&mut self, block: u32, index: u32, start: u32, len: u32) -> Result {
        let inode = self.inode;
        let buffer = self.buffer(block)?;
        deferred::before_change(inode, buffer);
        store(inode, buffer, index, Blocks { start, len })
    }

    fn free_data(&mut self, start: u32, len: u32) -> Result {
        if self.inode.is_dir() && !mutant!("kfs-listed-twice") {
            // Only directories have their data in the cache of the device. Before it is freed: once
            // free, it may be allocated and dirtied by another task.
            self.inode.sb().forget_blocks(start.into(), len.into());
        }
        blocks::free(self.inode.sb(), Blocks { start, len }, Freed::Released)?;
        self.inode.sub_bytes(u64::from(len) << self.inode.blkbits());
        Ok(())
    }

    fn free_pointers(&mut self, block: u32) -> Result {
        self.buffer(block)?;
        let Some(buffer) = self.last.take() else {
            return Ok(());
        };
        let inode = self.inode;
        let same = inode.sb().getblk(block.into())?;
        // Before it is freed: once free, it may be allocated and dirtied by another task.
        buffer.forget();
        self.free_data(block, 1).inspect_err(|error| {
            if !Self::is_corrupt(error) {
                mark_buffer_dirty(inode, &same);
            }
        })
    }

    fn is_corrupt(error: &Fault) -> bool {
        matches!(error, Fault::Corrupt(_))
    }
}
