// SPDX-License-Identifier: GPL-2.0

//! Direct writes to new blocks that are in flight, and what waits for them.
//!
//! With the option `async_alloc` nobody waits for such a write: its retry links the blocks and moves i_size,
//! without the inode lock. What others do to the file meanwhile:
//!
//! * A *direct write* to a block that is new in one of them waits for all of them; or if both write parts of it,
//!   and nobody waits for either, it is behind that one ([`enter`], [`super::turns`]). Any
//!   other goes on beside them; an append begins where the last of them will end ([`append_at`]). One that
//!   moves EOF within a block that the file has is such a write, too, and that block counts as new
//!   ([`first_turn`], [`extends_within`]).
//! * A *buffered write* waits for all of them, as it may move i_size ([`wait`]). So do truncate and fallocate, which
//!   wait for all direct I/O, before they look where EOF is.
//! * A *fallocate* that extends the file by whole blocks is such a write itself, of zeroes, and for others, and to others, as an
//!   aligned direct write is (`vfs/allocate_beyond_eof.rs`).
//! * A *store through a mapping* to a page with such a block inside i_size waits until the write is over, and has dropped the page
//!   ([`wait_to_store`]): the block has no place yet, or the page would be written back with zeroes where the write
//!   has its data. Without the option, too, where EOF moves within a block.
//! * *Writeback* waits for a block that is pending to be linked ([`wait_for_block`]), with the folio lock: what links it does not
//!   take that. Who ends the write then does, so that it must not wait for that.
//! * *Readers* find a hole, or EOF. What they have put into the page cache is dropped when the write ends.
//!
//! All that wait for whole writes hold the inode lock exclusively, so that none can begin, and the retry
//! does not take it. Any other fallocate, and directories, reserve blocks, too, and forget them under the inode lock.

use crate::inode::pending::Reserved;
use crate::inode::turns::{AtBlocks, Come, Enter, ParkingPlace, Room};
use crate::types::{Inode, InodeLocked};
use crate::volume::blocks::Blocks;
use core::ops::Range;
use kernel::prelude::*;
use kernel::sync::CondVarTimeoutResult;
use kernel::time::msecs_to_jiffies;
use kfs::block::bio::ReadyBios;
use kfs::fs::address_space::Patience;
use kfs::fs::inode::lock::Exclusive;
use kfs::mm::nofs::nofs;
use kfs::task::fatal_signal_pending;

/// Where the blocks are that a write in flight has reserved for the file, from its block `block` on, where they begin. May sleep.
pub(crate) fn run_at(inode: &Inode, block: u64) -> Option<Blocks> {
    nofs(|| inode.data().get_ref().pending.lock().run_at(block))
}

/// The write with new blocks in `range`, in blocks of the file, is over. May sleep.
pub(crate) fn forget(inode: &Inode, range: &Range<u64>) {
    let data = inode.data().get_ref();
    let is_awaited = nofs(|| data.pending.lock().remove(range));
    if is_awaited {
        data.linked.notify_all();
    }
}

/// The same of one that has turns `at`.
pub(crate) fn over(inode: &Inode, range: &Range<u64>, at: AtBlocks) {
    nofs(|| inode.data().get_ref().pending.lock().turns.leave(at));
    forget(inode, range);
}

/// The turns that a write takes before it is issued; gives them back if it is not. The inode lock is held until
/// then.
pub(crate) struct Entered<'a>(&'a InodeLocked<Exclusive>);

/// Takes turns for a write of `bytes` of the file, which is about to be issued and will not be waited for, so that
/// it has to wait for none that is in flight. `None` if it has to: for all of them. May sleep, but not for the
/// device.
pub(crate) fn enter(inode: &InodeLocked<Exclusive>, bytes: Range<u64>) -> Option<Entered<'_>> {
    if mutant!("parked-never") {
        return None;
    }
    let data = inode.data().get_ref();
    let bits = u32::from(inode.blkbits());
    nofs(|| {
        let pending = &mut *data.pending.lock();
        // A write that has moved it is in flight until after that: if one has, it is found here.
        let i_size = inode.i_size_read();
        let Enter::Takes(at) = pending.enter(&bytes, i_size, bits) else {
            return None;
        };
        let place = match pending.turns.is_next(at) {
            true => None,
            false => Some(ParkingPlace::new(GFP_KERNEL).ok()?),
        };
        pending.turns.take(at, bytes.end, bits, place);
        data.set_turns(at);
        Some(Entered(inode))
    })
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        leave(self.0);
    }
}

/// Gives back the turns of a write that is not issued, if it has some. May sleep.
pub(crate) fn leave(inode: &InodeLocked<Exclusive>) {
    let data = inode.data().get_ref();
    if let Some(at) = data.take_turns() {
        let is_awaited = nofs(|| data.pending.lock().give_back(at));
        if is_awaited {
            data.linked.notify_all();
        }
    }
}

/// The turns of the write that is being issued, which has them from now on, until [`pass`] and [`over`]. `None`
/// if it has not been entered.
pub(crate) fn turns(inode: &InodeLocked<Exclusive>) -> Option<AtBlocks> {
    inode.data().get_ref().take_turns()
}

/// Where block `block` of the file, at which there is a turn, is on the volume. May sleep.
pub(crate) fn block_of(inode: &InodeLocked<Exclusive>, block: u64) -> Option<u32> {
    let data = inode.data().get_ref();
    nofs(|| data.pending.lock().turns.block_of(block))
}

/// The write that is being issued is the first one in flight that has a part of block `block` of the file, which is at
/// `at` on the volume. `known_to` is as in [`Turns`](super::turns::Turns). May sleep. `ENOMEM`: others wait for it.
pub(crate) fn first_turn(
    inode: &InodeLocked<Exclusive>,
    block: u64,
    at: u32,
    known_to: Option<u64>,
) -> Result {
    if known_to.is_some() && mutant!("eof-block-untold") {
        return Ok(());
    }
    let data = inode.data().get_ref();
    nofs(|| {
        let room = Room::new(GFP_KERNEL)?;
        data.pending.lock().turns.begin(room, block, at, known_to);
        Ok(())
    })
}

/// Whether the turns `at` have come of the write that is being issued; the error of one before it. May sleep.
pub(crate) fn have_come(inode: &InodeLocked<Exclusive>, at: AtBlocks) -> Result<bool> {
    let data = inode.data().get_ref();
    match nofs(|| data.pending.lock().turns.come(at)) {
        Come::Yes => Ok(true),
        Come::NotYet => Ok(false),
        Come::After(error) => Err(error),
    }
}

/// Keeps bios of the write that is being issued, until [`park`] or [`wait_for_turns`]. May sleep.
pub(crate) fn keep_back(inode: &InodeLocked<Exclusive>, bios: ReadyBios) {
    nofs(|| inode.data().get_ref().pending.lock().turns.keep_back(bios));
}

/// Waits until the turns `at` have come, and submits the bios that were kept back; or ends them, and fails, with the error of
/// one before. Sleeps.
///
/// With the inode lock this is fine: what passes a turn on does not take it.
pub(crate) fn wait_for_turns(inode: &InodeLocked<Exclusive>, at: AtBlocks) -> Result {
    let data = inode.data().get_ref();
    let mut pending = data.pending.lock();
    let gone_on = loop {
        match pending.turns.come(at) {
            Come::Yes => break Ok(()),
            Come::After(error) => break Err(error),
            Come::NotYet => data.linked.wait(&mut pending),
        }
    };
    let bios = pending.turns.take_kept();
    drop(pending);
    match gone_on {
        Ok(()) => bios.submit(),
        Err(error) => bios.fail(error),
    }
    gone_on
}

/// Parks the write that is being issued, with turns `at`: the bios that were kept back are submitted when its turns have
/// come, or fail with the error of one before it. If it is so already, that is done here. May sleep; needs no
/// memory.
pub(crate) fn park(inode: &InodeLocked<Exclusive>, at: AtBlocks) {
    let data = inode.data().get_ref();
    match nofs(|| data.pending.lock().turns.park(at)) {
        Ok(()) => {}
        Err((bios, Come::Yes)) => bios.submit(),
        Err((bios, Come::After(error))) => bios.fail(error),
        // There is memory from when the turns were taken, if they had not come then.
        Err((bios, Come::NotYet)) => bios.fail(ENOMEM),
    }
}

/// Passes the turns `at` on: what the write has written is on the device, and a part of the file; or else it has
/// failed with `error`, and so do those that are parked behind it. Returns the bios of those whose turn has come, which
/// are to be submitted. May sleep; needs no memory.
pub(crate) fn pass(inode: &Inode, at: AtBlocks, error: Option<Error>) -> ReadyBios {
    let data = inode.data().get_ref();
    nofs(|| {
        data.pending.lock().turns.pass(at, error);
        data.linked.notify_all();
    });
    let mut ready = ReadyBios::default();
    while let Some((bios, error)) = nofs(|| data.pending.lock().turns.next(at)) {
        match error {
            Some(error) if !mutant!("parked-after-a-failure") => bios.fail(error),
            _ => ready.append(bios),
        }
    }
    ready
}

/// A write in flight, of which blocks are reserved, will extend the file to byte `end`. Returns up to which byte others will; 0
/// if there are none. May sleep.
pub(crate) fn will_extend(inode: &InodeLocked<Exclusive>, end: u64) -> u64 {
    nofs(|| inode.data().get_ref().pending.lock().extend(end))
}

/// It has ended, and [`forget`] comes after this. The inode lock was held since, so that no append begins behind it: `others` is what
/// [`will_extend`] has returned. May sleep.
pub(crate) fn has_ended(inode: &InodeLocked<Exclusive>, others: u64) {
    nofs(|| inode.data().get_ref().pending.lock().has_ended(others));
}

/// A write in flight of `bytes` of the file, whole blocks that were reserved, has come to nothing, as it must not wait. It began where an
/// append would have: one does so again, unless one has begun behind it. May sleep.
pub(crate) fn refused(inode: &Inode, bytes: &Range<u64>) {
    nofs(|| inode.data().get_ref().pending.lock().refused(bytes));
}

/// A write in flight will move EOF within block `block` of the file, which is at `at` on the volume: for
/// others, as if it were new in it, until [`forget`]. May sleep. `ENOMEM`.
pub(crate) fn extends_within(inode: &InodeLocked<Exclusive>, block: u64, at: u32) -> Result {
    nofs(|| {
        let blocks = Blocks { start: at, len: 1 };
        let run = Reserved { blocks, at: None };
        let pending = &mut *inode.data().get_ref().pending.lock();
        let place = pending.place(GFP_KERNEL)?;
        pending.add(place, block, run);
        Ok(())
    })
}

/// Whether a page with the blocks in `range`, of those of the file inside i_size, may be stored to: no write in flight has
/// new blocks there, or a turn, as those that move EOF within a block. May sleep, but not for the device.
pub(crate) fn may_store(inode: &Inode, range: &Range<u64>) -> bool {
    let is_in_range = nofs(|| {
        let pending = inode.data().get_ref().pending.lock();
        match mutant!("parked-stored-over") {
            true => pending.is_new(range),
            false => pending.overlaps(range),
        }
    });
    !is_in_range || cfg!(any(mutant = "store-unwaited", mutant = "pending-allocated"))
}

/// Waits until that may be done, or as long as `patience` says. Returns whether it may. Sleeps; without a lock, unless
/// it is [`Patience::Second`].
pub(crate) fn wait_to_store(inode: &Inode, range: &Range<u64>, patience: Patience) -> bool {
    let data = inode.data().get_ref();
    let mut left = msecs_to_jiffies(1000);
    let mut has_signal = false;
    let mut pending = data.pending.lock();
    while pending.overlaps(range) {
        pending.await_removal();
        match patience {
            Patience::Second if !mutant!("store-unbounded") => {
                match data.linked.wait_interruptible_timeout(&mut pending, left) {
                    CondVarTimeoutResult::Woken { jiffies } => left = jiffies,
                    _ => return !pending.overlaps(range),
                }
            }
            Patience::UntilSignal if !mutant!("store-uninterruptible") => {
                if data.linked.wait_interruptible(&mut pending) {
                    return !pending.overlaps(range);
                }
            }
            // A signal that does not kill stays pending, and would end each wait at once from then on.
            Patience::UntilKilled if !has_signal && !mutant!("store-unkillable") => {
                has_signal = data.linked.wait_interruptible(&mut pending);
                if fatal_signal_pending() {
                    return !pending.overlaps(range);
                }
            }
            _ => data.linked.wait(&mut pending),
        }
    }
    true
}

/// Where an append begins, in bytes: at EOF, or where the last of the writes in flight that move it will end.
/// May sleep.
pub(crate) fn append_at(inode: &InodeLocked<Exclusive>) -> u64 {
    // In this order: i_size moves before a write is forgotten.
    let extended_to = nofs(|| inode.data().get_ref().pending.lock().extended_to());
    inode.i_size_read().max(extended_to)
}

/// Waits until no write to new blocks is in flight. With the inode lock held, none can begin. Sleeps.
#[inline]
pub(crate) fn wait(inode: &InodeLocked<Exclusive>) {
    let is_empty = nofs(|| inode.data().get_ref().pending.lock().is_empty());
    if !is_empty && !mutant!("extend-not-waited") {
        inode.dio_wait();
    }
}

/// The same if one has new blocks in `range`, in blocks of the file. Sleeps.
pub(crate) fn wait_for_range(inode: &InodeLocked<Exclusive>, range: &Range<u64>) {
    if is_in_range(inode, range) {
        inode.dio_wait();
    }
}

/// Whether one has new blocks in `range`, in blocks of the file. May sleep, but not for the device.
pub(crate) fn is_in_range(inode: &InodeLocked<Exclusive>, range: &Range<u64>) -> bool {
    nofs(|| inode.data().get_ref().pending.lock().overlaps(range))
}

/// Whether no write to new blocks is in flight. If so, the inode has been marked dirty for all that have moved i_size
/// without the inode lock until now. Does not sleep: false if that cannot be said at once.
pub(crate) fn is_known_empty(inode: &Inode) -> bool {
    let pending = inode.data().get_ref().pending.try_lock();
    pending.is_some_and(|pending| pending.is_empty())
}

/// How many blocks, from block `block` of the file on and `max` at most, are not pending; 0 if that one
/// is. Called with memory allocation in `nofs`; may sleep.
pub(super) fn room(inode: &Inode, block: u64, max: u32) -> u32 {
    inode.data().get_ref().pending.lock().room(block, max)
}

/// Waits until block `block` of the file is not pending. Sleeps, without the lock of the block map.
///
/// With a folio lock this is fine: what links the block does not take it.
pub(super) fn wait_for_block(inode: &Inode, block: u64) {
    let data = inode.data().get_ref();
    let mut pending = data.pending.lock();
    while pending.room(block, 1) == 0 {
        data.linked.wait(&mut pending);
    }
}
