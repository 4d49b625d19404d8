// SPDX-License-Identifier: GPL-2.0

//! The block map of a file: look-up, allocation, truncation.
//!
//! The format and its algorithms are in [`crate::ext2::block_map`] and [`crate::ext2::truncate`];
//! here they are run on the buffer cache, with the allocators of the volume.

mod allocate;
mod goal;
mod look_up;
mod new_pointers;

pub(crate) use self::allocate::{allocate, allocate_unless_pending};
pub(super) use self::goal::{goal, request, Goal};
pub(super) use self::look_up::{branch, make_room, remember, remember_nowait};
pub(crate) use self::look_up::{lookup, lookup_cached, lookup_nowait};
pub(super) use self::new_pointers::{give_back, NewBlocks};
use crate::ext2::block_map::{Branch, Mapping, PointerBlocks};
use crate::ext2::pointers::{Path, Pointers};
use crate::ext2::truncate;
pub(crate) use crate::ext2::truncate::Unfreed;
use crate::inode::data::ino32;
use crate::inode::deferred;
use crate::inode::pointer_blocks::{ChangedPointers, SyncedPointers};
use crate::types::{Inode, InodeLocked};
use crate::volume::blocks::{self, Blocks};
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

/// Writes the blocks of pointers that lead to block `block` of the file to the device, and waits. May
/// sleep. `EIO` when the device fails.
pub(super) fn sync_pointers(inode: &InodeLocked<Exclusive>, block: u64) -> Result {
    let layout = inode.sb().data().layout();
    let path = path(inode, block)?;
    let root = inode.data().map.pointers();
    let mut device = SyncedPointers(inode);
    Branch::walk(&layout, ino32(inode), &root, path, &mut device).map(drop)
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
