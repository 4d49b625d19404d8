// SPDX-License-Identifier: GPL-2.0

//! The blocks of a file: look-up, allocation, truncation.
//!
//! The rules of the block map are in [`crate::ext2::block_map`] and [`crate::ext2::truncate`]; here
//! they meet the buffers of the device and the allocator.

use crate::blocks::{self, Blocks};
use crate::ext2::block_map::{store_pointers, store_root, Branch, Growth, Mapping, Path};
use crate::ext2::block_map::{PointerBlocks, Slot, DIRECT};
use crate::ext2::inode::Pointers;
use crate::ext2::run_cache::RunCache;
pub(crate) use crate::ext2::truncate::Unfreed;
use crate::ext2::truncate::{self, FreeBlocks};
use crate::ext2::Place;
use crate::fault::{Fault, Result};
use crate::inode::{ino32, mark_buffer_dirty, Map};
use crate::{Inode, InodeLocked};
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
use kfs::fs::inode::lock::Exclusive;
use kfs::mm::nofs::nofs;

/// A run of blocks of a file that lie on the volume in one piece.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Where.
    pub(crate) blocks: Blocks,
    /// They were allocated just now.
    pub(crate) new: bool,
}

/// Looks up at most `max` blocks of the file from its block `block` on. May sleep.
///
/// A hole is at most as long as said, but may be longer. `EFBIG` beyond the largest file.
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
            // What is wrong next to the block is none of who asks for the block.
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

/// The same by what is in memory. Does not sleep: `EAGAIN` if it would have to.
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
    /// What is known from an earlier look-up.
    fn get(&self, block: u64, max: u32) -> Option<Mapping> {
        self.runs.as_ref()?.get(block, max)
    }

    /// Keeps a run that was looked up or allocated, for the next look-up.
    fn remember(&mut self, inode: &Inode, block: u64, start: u32, len: u32) {
        if block < DIRECT as u64 {
            // Those are found as fast without.
            return;
        }
        if self.runs.is_none() {
            // Without memory there is no cache. (Callers are in `nofs`.)
            self.runs = KBox::new(RunCache::new(inode.blkbits().into()), GFP_KERNEL).ok();
        }
        if let Some(runs) = &mut self.runs {
            runs.put(block, start, len);
        }
    }

    /// Forgets what was looked up: blocks are about to be freed.
    fn forget(&mut self) {
        if !mutant!("runs-kept") {
            self.runs = None;
        }
    }
}

/// Looks up at most `max` blocks of the file from its block `block` on, and allocates them when the
/// first is missing. May sleep.
///
/// `ENOSPC` when there is no space; then nothing is allocated. `EFBIG` beyond the largest file.
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
            None => home(inode)?,
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

/// Frees the blocks of the file that lie wholly behind its first `size` bytes. The size of the
/// file does not change. May sleep.
pub(crate) fn truncate(inode: &InodeLocked<Exclusive>, size: u64) -> Result {
    let keep = size.div_ceil(1 << inode.blkbits());
    punch(inode, keep..u64::MAX, Unfreed::Lose)
}

/// Frees the blocks of the file in `range`, which is in blocks: makes a hole. May sleep.
///
/// The caller has seen to it that nobody uses them: not the page cache, and no direct request.
pub(crate) fn punch(inode: &InodeLocked<Exclusive>, range: Range<u64>, unfreed: Unfreed) -> Result {
    let layout = inode.sb().data().layout();
    let mut device = PointerBuffers::new(inode);
    let result = nofs(|| {
        let mut map = inode.data().get_ref().map.lock();
        map.forget();
        let root = &mut map.pointers;
        truncate::free_range(&layout, ino32(inode), root, range, unfreed, &mut device)
    });
    inode.mark_inode_dirty();
    result
}

fn path(inode: &Inode, block: u64) -> Result<Path> {
    Path::new(inode.blkbits().into(), block).ok_or(Fault::Error(EFBIG))
}

/// Where a file without blocks has its first one: in the group of its inode, at one of several
/// places, so that files of one directory do not get in each other's way.
fn home(inode: &Inode) -> Result<u32> {
    const PLACES: u32 = 16;
    let geometry = inode.sb().data().geometry();
    let ino = ino32(inode);
    let group = geometry.inode_slot(ino)?.group;
    let colour = ino % PLACES * (geometry.blocks_per_group() / PLACES);
    Ok(geometry.group_first_block(group).saturating_add(colour))
}

/// Adds the blocks that `growth` says are missing: blocks of pointers, and a run of data.
fn grow(inode: &Inode, root: &mut Pointers, growth: &Growth, goal: u32) -> Result<Blocks> {
    let mut pointer_blocks = NewBlocks::new(inode);
    let mut goal = goal;
    for _ in growth.indexes() {
        goal = pointer_blocks.add(goal)?.saturating_add(1);
    }
    let data = blocks::allocate(inode.sb(), ino32(inode), goal, growth.data_blocks)?;
    let linked = pointer_blocks.link(root, growth, data);
    if let Err(fault) = linked {
        pointer_blocks.give_back();
        // What cannot be freed is lost until the next e2fsck; the first error is the cause.
        let _ = blocks::free(inode.sb(), data);
        return Err(fault);
    }
    let added = u64::from(data.len) + growth.indexes().len() as u64;
    inode.add_bytes(added << inode.blkbits());
    pointer_blocks.keep();
    Ok(data)
}

/// New blocks of pointers that are not part of the file yet; given back when dropped.
struct NewBlocks<'a> {
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

    fn blocks(&self) -> &[u32] {
        self.blocks.get(..self.len).unwrap_or_default()
    }

    /// Allocates one more near `goal`.
    fn add(&mut self, goal: u32) -> Result<u32> {
        let place = self.blocks.get_mut(self.len).ok_or(EFBIG)?;
        let block = blocks::allocate(self.inode.sb(), ino32(self.inode), goal, 1)?;
        *place = block.start;
        self.len += 1;
        Ok(block.start)
    }

    /// Fills the blocks of pointers from the last to the first, then makes them, or the data if
    /// there are none, part of the file.
    fn link(&self, root: &mut Pointers, growth: &Growth, data: Blocks) -> Result {
        let sb = self.inode.sb();
        let mut below = data;
        for (&block, &index) in self.blocks().iter().zip(growth.indexes()).rev() {
            let buffer = sb.getblk(block.into())?;
            buffer.init_zeroed();
            store(self.inode, &buffer, index, below)?;
            below = Blocks {
                start: block,
                len: 1,
            };
        }
        match growth.slot {
            Slot::Inode(index) => {
                store_root(root, index, below.start, below.len).ok_or(EFBIG)?;
            }
            Slot::Block { block, index } => {
                store(self.inode, &sb.bread(block.into())?, index, below)?;
            }
        }
        Ok(())
    }

    /// The blocks are part of the file now.
    fn keep(mut self) {
        self.len = 0;
    }

    fn give_back(&mut self) {
        for &block in self.blocks() {
            if let Ok(buffer) = self.inode.sb().getblk(block.into()) {
                buffer.forget();
            }
            let one = Blocks {
                start: block,
                len: 1,
            };
            // What cannot be freed is lost until the next e2fsck; the first error is the cause.
            let _ = blocks::free(self.inode.sb(), one);
        }
        self.len = 0;
    }
}

impl Drop for NewBlocks<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Writes pointers to `to` into a block of pointers of `inode` from `index` on.
fn store(inode: &Inode, buffer: &BufferHead, index: u32, to: Blocks) -> Result {
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
    mark_buffer_dirty(inode, buffer);
    Ok(())
}

/// The blocks of pointers of a file in the buffer cache. Keeps the one used last.
struct PointerBuffers<'a> {
    inode: &'a Inode,
    last: Option<BufferHead>,
}

impl<'a> PointerBuffers<'a> {
    fn new(inode: &'a Inode) -> Self {
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

/// The blocks of pointers of a file, as far as they are in the buffer cache.
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
        let mut done = 0;
        while done < len {
            let count = (len - done).min(ZEROES.len());
            buffer.write(offset + done, ZEROES.get(..count).unwrap_or_default())?;
            done += count;
        }
        mark_buffer_dirty(inode, buffer);
        Ok(())
    }

    fn restore(&mut self, block: u32, index: u32, start: u32, len: u32) -> Result {
        let inode = self.inode;
        store(inode, self.buffer(block)?, index, Blocks { start, len })
    }

    fn free_data(&mut self, start: u32, len: u32) -> Result {
        blocks::free(self.inode.sb(), Blocks { start, len })?;
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
        // Before it is free: from then on it is another's, who may have changed it already.
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
