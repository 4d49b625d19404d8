// SPDX-License-Identifier: GPL-2.0

//! What the worker needs from the filesystem.

use super::counters::Counters;
use super::request::Dio;
use kernel::prelude::*;
use kfs::block::bio::{BioArc, BioArcSet, BioSet};
use kfs::fs::inode::lock::{Exclusive, InodeLocked, Mode};
use kfs::fs::inode::Inode;
use kfs::fs::kiocb::KiocbOwner;
use kfs::fs::super_block::SuperBlock;
use kfs::workqueue::Workqueue;

/// Bios that are kept in reserve for when memory is short.
const BIO_RESERVE: u32 = 4;

/// A run of blocks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// The blocks lie on the device in one piece.
    Mapped {
        /// Number of the first block on the device.
        physical: u64,
        /// How many blocks, one at least.
        len: u32,
        /// The blocks were allocated by this look-up: what they hold belonged to somebody else.
        new: bool,
    },
    /// There are no such blocks.
    Hole {
        /// How many blocks, one at least.
        len: u32,
    },
}

/// A filesystem whose files can be read and written directly.
pub(crate) trait Filesystem: KiocbOwner<Private = BioArc<Dio<Self>>> {
    /// What the worker keeps for a mount.
    fn dio(sb: &SuperBlock<Self>) -> &Mount<Self>;

    /// Looks up the blocks of a file from `block` on, `max` at most. Nothing is changed.
    fn map<M: Mode>(inode: &InodeLocked<Self, M>, block: u64, max: u32) -> Result<Mapping>;

    /// As [`Filesystem::map`], but does not sleep: `EAGAIN` if it would have to.
    fn map_nowait<M: Mode>(inode: &InodeLocked<Self, M>, block: u64, max: u32) -> Result<Mapping>;

    /// Looks up the blocks of a file from `block` on, `max` at most; allocates what is missing.
    ///
    /// Buffers of the device that new blocks had in an earlier life are gone when this returns.
    fn allocate(inode: &InodeLocked<Self, Exclusive>, block: u64, max: u32) -> Result<Mapping>;

    /// Gives a file the block with byte `pos`, in the midst of it, which is in a hole: the page cache
    /// has what is to be written to it.
    fn fill_hole(inode: &InodeLocked<Self, Exclusive>, pos: u64) -> Result;

    /// Frees all blocks of a file that lie wholly behind its first `size` bytes. That may be more
    /// than i_size, which does not change.
    fn truncate_blocks(inode: &InodeLocked<Self, Exclusive>, size: u64);

    /// Frees `len` blocks of a file from its block `block` on, which nobody uses: makes a hole.
    fn punch(inode: &InodeLocked<Self, Exclusive>, block: u64, len: u32);

    /// A direct write begins: its bios are about to be issued.
    fn direct_write_begin(inode: &InodeLocked<Self, Exclusive>);

    /// A direct write has ended: its bios are reaped.
    fn direct_write_end(inode: &Inode<Self>);

    /// Waits until no direct write is under way. What the caller writes next goes to the page
    /// cache, and may be a part of a block of which another part is being written.
    fn direct_writes_wait(inode: &InodeLocked<Self, Exclusive>);
}

/// What the worker keeps for a mount.
pub(crate) struct Mount<F: Filesystem> {
    /// Where retries run. It has to make progress when memory is short, since memory may be short
    /// because of pages that are pinned for, or were written by, requests that wait here (R15).
    pub(super) queue: Workqueue,
    /// Where requests come from, each with its first bio. A submitter that waits for one waits
    /// for another request to be completed, and has none itself.
    pub(super) dios: BioArcSet<Dio<F>>,
    /// Where further bios come from. A submitter that waits for a bio waits for one that another
    /// request has reaped, and reaping needs no bio.
    pub(super) bios: BioSet<u64>,
    /// What has been done.
    pub(crate) counters: Counters,
}

impl<F: Filesystem> Mount<F> {
    /// Sets up the worker for a mount.
    pub(crate) fn new() -> Result<Self> {
        Ok(Mount {
            queue: Workqueue::new(c"retryfs-dio")?,
            dios: BioArcSet::new(BIO_RESERVE)?,
            bios: BioSet::new(BIO_RESERVE)?,
            counters: Counters::new(),
        })
    }
}
