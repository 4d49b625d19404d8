// SPDX-License-Identifier: GPL-2.0

//! Direct writes to new blocks that are in flight, and what waits for them.
//!
//! With the option `async_alloc` nobody waits for such a write: its retry links the blocks and moves i_size,
//! without the inode lock. What others do to the file meanwhile:
//!
//! * A *direct write* to a block that is new in one of them, in whole or in part, waits for all of them. Any
//!   other goes on beside them; an append begins where the last of them will end ([`append_at`]). One that
//!   moves EOF within a block that the file has is such a write, too, and that block counts as new
//!   ([`extends_within`]).
//! * A *buffered write* waits for all of them, as it may move i_size ([`wait`]). So do truncate and fallocate, which
//!   wait for all direct I/O, before they look where EOF is.
//! * A *store through a mapping* to a page with such a block inside i_size waits until the write is over, and has dropped the page
//!   ([`wait_to_store`]): the block has no place yet, or the page would be written back with zeroes where the write
//!   has its data. Without the option, too, where EOF moves within a block.
//! * *Writeback* waits for a block that is pending to be linked ([`wait_for_block`]), with the folio lock: what links it does not
//!   take that. Who ends the write then does, so that it must not wait for that.
//! * *Readers* find a hole, or EOF. What they have put into the page cache is dropped when the write ends.
//!
//! All that wait for whole writes hold the inode lock exclusively, so that none can begin, and the retry
//! does not take it. fallocate and directories reserve blocks, too, and forget them under the inode lock.

use crate::inode::pending::{Place, Reserved};
use crate::types::{Inode, InodeLocked};
use crate::volume::blocks::Blocks;
use core::ops::Range;
use kernel::prelude::*;
use kernel::sync::CondVarTimeoutResult;
use kernel::time::msecs_to_jiffies;
use kfs::fs::address_space::Patience;
use kfs::fs::inode::lock::Exclusive;
use kfs::mm::nofs::nofs;
use kfs::task::fatal_signal_pending;

/// The write with new blocks in `range`, in blocks of the file, is over. May sleep.
pub(crate) fn forget(inode: &Inode, range: &Range<u64>) {
    let data = inode.data().get_ref();
    let is_awaited = nofs(|| data.pending.lock().remove(range));
    if is_awaited {
        data.linked.notify_all();
    }
}

/// A write in flight, of which blocks are reserved, will extend the file to byte `end`. May sleep.
pub(crate) fn will_extend(inode: &InodeLocked<Exclusive>, end: u64) {
    nofs(|| inode.data().get_ref().pending.lock().extend(end));
}

/// A write in flight will move EOF within block `block` of the file, which is at `at` on the volume: for
/// others, as if it were new in it, until [`forget`]. May sleep. `ENOMEM`.
pub(crate) fn extends_within(inode: &InodeLocked<Exclusive>, block: u64, at: u32) -> Result {
    if mutant!("eof-block-untold") {
        return Ok(());
    }
    nofs(|| {
        let place = Place::new(GFP_KERNEL)?;
        let blocks = Blocks { start: at, len: 1 };
        let run = Reserved { blocks, at: None };
        let data = inode.data().get_ref();
        data.pending.lock().add(place, block, run);
        Ok(())
    })
}

/// Whether a page with the blocks in `range`, of those of the file inside i_size, may be stored to: no write in flight has
/// new blocks there, or moves EOF within one. May sleep, but not for the device.
pub(crate) fn may_store(inode: &Inode, range: &Range<u64>) -> bool {
    let is_in_range = nofs(|| inode.data().get_ref().pending.lock().overlaps(range));
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
