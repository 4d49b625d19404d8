// SPDX-License-Identifier: GPL-2.0

//! What the worker needs from the filesystem.

use super::dio::Retry;
use super::mount::Mount;
use kernel::prelude::*;
use kfs::fs::inode::Inode;
use kfs::fs::inode_lock::{Exclusive, InodeLocked, Mode};
use kfs::fs::super_block::SuperBlock;

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
pub(crate) trait Filesystem: Retry {
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
