// SPDX-License-Identifier: GPL-2.0

//! What the worker needs of the filesystem.

use super::dio::{Dio, Retry};
use super::mount::{DioCache, Mount};
use super::request::Turns;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bio::{BioArcSet, ReadyBios};
use kfs::fs::inode::lock::{Exclusive, InodeLocked, Mode, Shared};
use kfs::fs::inode::Inode;
use kfs::fs::super_block::SuperBlock;

/// The result of a look-up in the block map: a run of blocks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// The blocks are contiguous on the device.
    Mapped {
        /// Number of the first block on the device.
        physical: u64,
        /// The number of blocks, at least one.
        len: u32,
        /// The blocks were reserved by this look-up, and hold stale data.
        new: bool,
    },
    /// No blocks are allocated.
    Hole {
        /// The number of blocks, at least one.
        len: u32,
    },
}

/// Where the worker has stopped, and its caller goes on: at which byte of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// There is a hole.
    Hole(u64),
    /// The memory has to be brought in.
    Memory(u64),
}

/// A filesystem whose files can be read and written directly. Blocks are numbered from the start of
/// the file. All functions may sleep unless they say otherwise.
pub(crate) trait Filesystem: Retry {
    /// The state of the worker for a mount. Does not sleep.
    fn dio(sb: &SuperBlock<Self>) -> &Mount<Self>;

    /// The dios that all mounts share. Does not sleep.
    fn dio_cache(sb: &SuperBlock<Self>) -> &DioCache<Self>;

    /// Looks up at most `max` blocks of a file from `block` on. Allocates nothing.
    fn map<M: Mode>(inode: &InodeLocked<Self, M>, block: u64, max: u32) -> Result<Mapping>;

    /// As [`Filesystem::map`], but does not sleep: `EAGAIN` if it would have to.
    fn map_nowait<M: Mode>(inode: &InodeLocked<Self, M>, block: u64, max: u32) -> Result<Mapping>;

    /// Where `len` blocks of a file from `block` on are, if that is known to be one run: no less. Or that the first is in a hole, if that is
    /// known. Does not sleep, and reads nothing.
    fn map_cached<M: Mode>(inode: &InodeLocked<Self, M>, block: u64, len: u32) -> Option<Mapping>;

    /// Looks up at most `max` blocks of a file from `block` on, and reserves new ones if the first is
    /// in a hole: until [`Filesystem::finish`], a look-up finds the hole. `ENOSPC` without a free block.
    ///
    /// On return, the cache of the device has no buffers that alias new blocks.
    fn reserve(inode: &InodeLocked<Self, Exclusive>, block: u64, max: u32) -> Result<Mapping>;

    /// Reserves all of `len` blocks in one piece from `block` on, which is in a hole, as
    /// [`Filesystem::reserve`] does. Does not sleep for locks or for the device: `EAGAIN` if it would have to, or
    /// if there is no such piece. Returns the first block on the device.
    fn reserve_nowait(inode: &InodeLocked<Self, Exclusive>, block: u64, len: u32) -> Result<u64>;

    /// Whether a write in flight has new blocks in `range`. Does not sleep for the device.
    fn has_new_blocks(inode: &InodeLocked<Self, Exclusive>, range: Range<u64>) -> bool;

    /// Ends what is reserved of the blocks `range` of a file: those before `end` have been written and are
    /// found from now on, the others are given back. If blocks cannot be linked, they and those after them
    /// are given back, and the error comes with the number of the first.
    ///
    /// `locked` is the inode lock, if the caller has it. Takes neither that nor a folio lock.
    fn finish(
        inode: &Inode<Self>,
        locked: Option<&InodeLocked<Self, Exclusive>>,
        range: Range<u64>,
        end: u64,
    ) -> Result<(), (u64, Error)>;

    /// The write with the new blocks `range` is over: i_size has moved.
    fn forget(inode: &Inode<Self>, range: Range<u64>);

    /// The same of one with `turns`.
    fn leave_turns(inode: &Inode<Self>, range: Range<u64>, turns: Turns);

    /// Whether asynchronous writes to new blocks are not waited for. A remount may change that at any time. Does not sleep.
    fn async_alloc(sb: &SuperBlock<Self>) -> bool;

    /// Whether the write that is being made has found it to be so: this does not change until its caller releases the lock. Does not
    /// sleep.
    fn has_async_alloc(inode: &InodeLocked<Self, Exclusive>) -> bool;

    /// A write that is not waited for, and has new blocks, will extend the file to byte `end`. Returns up to which byte others
    /// will; 0 if there are none.
    fn will_extend(inode: &InodeLocked<Self, Exclusive>, end: u64) -> u64;

    /// It has ended with the inode lock held since: `others` is what [`Filesystem::will_extend`] has returned.
    fn has_ended(inode: &InodeLocked<Self, Exclusive>, others: u64);

    /// A write that must not wait has come to nothing, and [`Filesystem::forget`] comes after this: `bytes` of the file, which are whole
    /// blocks that were reserved, from where an append would have begun. One does from now on, unless one has begun behind it.
    fn refused(inode: &Inode<Self>, bytes: Range<u64>);

    /// A write in flight will move EOF within block `block` of the file, which is block `physical` of the
    /// device: until [`Filesystem::forget`] that counts as one of its new blocks. `ENOMEM`.
    fn extends_within(inode: &InodeLocked<Self, Exclusive>, block: u64, physical: u64) -> Result;

    /// The turns that the write which is being issued has taken, as it waits for none in flight: to be asked for once. `None` if it
    /// has not been entered, or not since. Does not sleep.
    fn turns(inode: &InodeLocked<Self, Exclusive>) -> Option<Turns>;

    /// Gives them back, if they were not asked for: the write is not issued.
    fn give_back_turns(inode: &InodeLocked<Self, Exclusive>);

    /// Where block `block` of the file is on the device, at which the write that is being issued has a turn.
    fn block_with_turns(inode: &InodeLocked<Self, Exclusive>, block: u64) -> Option<u64>;

    /// The write that is being issued has a part of block `block` of the file, which is block `physical` of the device:
    /// the first turn at it. `known_to`: what the block holds from that byte of the file on is not known; `None` if
    /// the write writes zeroes there. `ENOMEM`: then others wait for it.
    fn first_turn(
        inode: &InodeLocked<Self, Exclusive>,
        block: u64,
        physical: u64,
        known_to: Option<u64>,
    ) -> Result;

    /// Whether the turns of the write that is being issued have come; the error of one before it.
    fn turns_have_come(inode: &InodeLocked<Self, Exclusive>, turns: Turns) -> Result<bool>;

    /// Keeps bios of the write that is being issued, whose turns have not come.
    fn keep_back(inode: &InodeLocked<Self, Exclusive>, bios: ReadyBios);

    /// Waits until they have, and submits the bios that were kept back; or ends them, and fails, with the error of
    /// one before it.
    fn wait_for_turns(inode: &InodeLocked<Self, Exclusive>, turns: Turns) -> Result;

    /// Has the bios that were kept back submitted when its turns have come; or ended, with the
    /// error of one before it. Needs no memory. The write may be over when this returns.
    fn park(inode: &InodeLocked<Self, Exclusive>, turns: Turns);

    /// Passes the turns of a write on, of which all has been done but to move i_size; or which has failed with
    /// `error`, with which those behind it end. Returns the bios of those whose turns have come. Needs no memory, and
    /// takes neither the inode lock nor a folio lock.
    fn pass_turns(inode: &Inode<Self>, turns: Turns, error: Option<Error>) -> ReadyBios;

    /// Waits until no write in flight has new blocks in `range`; if the write that is being made has not found the option, in none.
    fn wait_for_new_blocks(inode: &InodeLocked<Self, Exclusive>, range: Range<u64>);

    /// Allocates the block with byte `pos`, which is in a hole and not block-aligned, through the
    /// page cache, as zeroes that are dirty. i_size does not change.
    fn fill_hole(inode: &InodeLocked<Self, Exclusive>, pos: u64) -> Result;

    /// Frees `len` blocks of a file from `block` on: punches a hole. No page and no direct I/O in
    /// flight uses them. Errors are logged.
    fn punch(inode: &InodeLocked<Self, Exclusive>, block: u64, len: u32);

    /// Counts a direct write in, before its first bio is issued. Does not sleep.
    fn direct_write_begin(inode: &InodeLocked<Self, Shared>);

    /// Counts a direct write out, after its bios are reaped. Does not sleep.
    fn direct_write_end(inode: &Inode<Self>);

    /// Whether blocks that were looked up, with the lock held, are found after a loss of power. Does not
    /// sleep.
    fn is_durable(inode: &InodeLocked<Self, Shared>) -> bool;

    /// Takes note of where the worker has stopped; or that it has not. Does not sleep.
    fn set_stopped(inode: &InodeLocked<Self, Exclusive>, at: Option<Stopped>);

    /// What was noted last. Does not sleep.
    fn stopped(inode: &InodeLocked<Self, Exclusive>) -> Option<Stopped>;

    /// Waits for direct writes in flight, before a buffered write to a part of a block: a direct
    /// write to the rest of the block would race with its writeback.
    fn direct_writes_wait(inode: &InodeLocked<Self, Exclusive>);
}

/// The set from which dios come when memory is not short.
#[inline(always)]
pub(super) fn cached_dios<F: Filesystem>(sb: &SuperBlock<F>) -> &BioArcSet<Dio<F>> {
    match mutant!("dios-cached-by-mount") {
        true => &F::dio(sb).dios,
        false => &F::dio_cache(sb).0,
    }
}
