// SPDX-License-Identifier: GPL-2.0

//! `fallocate(2)`: allocating what is a hole, and zeroing a range.
//!
//! The format has no unwritten blocks, so that zeroes are really written. That is done by the device,
//! past the page cache, and before anybody can see the blocks: the inode lock keeps direct reads from
//! them, and `invalidate_lock` those that use the page cache.

use crate::ext2::block_map::Mapping;
use crate::inode::block_map;
use crate::inode::errors::reported;
use crate::inode::in_flight;
use crate::inode::new_blocks;
use crate::types::{InodeLocked, RetryFs};
use crate::vfs::address_space::{free_blocks_beyond_eof, zero_tail_of_block, FileAddressSpace};
use crate::vfs::allocate_beyond_eof;
use crate::vfs::write::check_writable;
use core::ops::Range;
use kernel::prelude::*;
use kfs::compat::EOPNOTSUPP;
use kfs::fs::address_space::AddressSpaceOperations;
use kfs::fs::file::{Allocate, File};
use kfs::fs::inode::lock::Exclusive;
use kfs::task::{cond_resched, fatal_signal_pending};

/// How many blocks are zeroed before somebody else gets at the file's pages, and signals are looked at.
const AT_ONCE: u32 = 1024;

/// Allocates and zeroes what is a hole of the bytes in `range`, which is not empty, or all of it, and
/// moves i_size to its end if that is beyond, as `how` says.
///
/// Takes the inode lock exclusively, waits for direct I/O in flight; may sleep, for as long as the
/// device takes to write the zeroes. With the option `async_alloc` it does not do so for whole blocks beyond EOF: see
/// [`allocate_beyond_eof`]. `EOPNOTSUPP` for blocks beyond an EOF that does not move: e2fsck
/// takes these for a fault, and moves EOF behind them. `ENOSPC`, the error of the device, or `EINTR`
/// when a signal kills the task: i_size is as it was then, or has moved by a part, and a part of what is inside may be done.
pub(crate) fn allocate(file: &File<RetryFs>, asked: Range<u64>, how: Allocate) -> Result {
    let inode = file.inode();
    let mut lock = inode.lock();
    check_writable(&lock)?;
    let mut range = asked.clone();
    if !how.keep_size && !mutant!("allocate-locked") {
        lock = match allocate_beyond_eof::allocate(file, lock, &mut range)? {
            Some(lock) => lock,
            None => return file.sync_if_asked(asked),
        };
    }
    // What others have written meanwhile behind a part that is done is not zeroed.
    let zero = how.zero && range.start == asked.start;
    // It targets blocks of which the rest is about to be written back, or zeroed; and may move i_size.
    let early = mutant!("allocate-waits-late").then(|| lock.i_size_read());
    let sized = lock.dio_wait();
    let block = lock.sb().blocksize() as u64;
    let size = early.unwrap_or_else(|| lock.i_size_read());
    if how.keep_size && range.end > size.next_multiple_of(block) {
        return Err(EOPNOTSUPP);
    }
    let extends = !how.keep_size && range.end > size;
    if extends {
        lock.newsize_ok(range.end)?;
    }
    file.modified(&lock)?;
    if extends {
        zero_tail_of_block(&lock, size)?;
        free_blocks_beyond_eof(&lock)?;
    }
    let filled = fill(&lock, &range, zero, block);
    let done = match extends && filled.is_ok() {
        true => sized.truncate_setsize(range.end, || Ok(())),
        false => filled,
    };
    if done.is_err() && !mutant!("allocate-failed-kept") {
        FileAddressSpace::write_failed(&lock, range.end);
    }
    lock.mark_inode_dirty();
    done?;
    drop(lock);
    file.sync_if_asked(asked)
}

/// Gives the blocks of `range` zeroes: those in holes, or with `zero` all, in a file with blocks of
/// `block` bytes.
fn fill(inode: &InodeLocked<Exclusive>, range: &Range<u64>, zero: bool, block: u64) -> Result {
    let bits = inode.blkbits();
    let end = range.end.div_ceil(block);
    // Without those that have other bytes, too.
    let whole = range.start.div_ceil(block)..range.end >> bits;
    let mut at = range.start >> bits;
    while at < end {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        let max = AT_ONCE.min(u32::try_from(end - at).unwrap_or(AT_ONCE));
        let found = reported(inode, block_map::lookup(inode, at, max))?;
        at += match found {
            Mapping::Mapped { len, .. } if !zero => u64::from(len),
            Mapping::Mapped { len, .. } | Mapping::Hole { len } => {
                let max = len.min(max);
                let bytes = at << bits..(at + u64::from(max)) << bits;
                match mutant!("allocate-keeps-pages") {
                    true => fill_run(inode, at, max, &whole)?,
                    false => inode.without_pages(bytes, || fill_run(inode, at, max, &whole))?,
                }
            }
        };
        cond_resched();
    }
    if !zero {
        return Ok(());
    }
    let (first, last) = (whole.start << bits, whole.end << bits);
    if first > last {
        return inode.zero_part_of_block::<FileAddressSpace>(range.clone());
    }
    inode.zero_part_of_block::<FileAddressSpace>(range.start..first)?;
    inode.zero_part_of_block::<FileAddressSpace>(last..range.end)
}

/// Allocates and zeroes at most `max` blocks of the file from its block `at` on, if that is in a hole;
/// or else zeroes those in `whole`. Returns of how many blocks that is true.
fn fill_run(inode: &InodeLocked<Exclusive>, at: u64, max: u32, whole: &Range<u64>) -> Result<u64> {
    let sb = inode.sb();
    if let Mapping::Mapped { start, len } = reported(inode, block_map::lookup(inode, at, max))? {
        let first = at.max(whole.start);
        let end = (at + u64::from(len)).min(whole.end);
        if first < end {
            sb.issue_zeroout(u64::from(start) + (first - at), end - first)?;
        }
        return Ok(len.into());
    }
    // They hold stale data, and are the file's when the device has the zeroes.
    let run = match mutant!("allocate-linked-early") {
        true => reported(inode, block_map::allocate(inode, at, max))?,
        false => reported(inode, new_blocks::reserve(inode, at, max))?,
    };
    let len = u64::from(run.blocks.len);
    let zeroed = match mutant!("allocate-stale") {
        true => Ok(()),
        false => sb.issue_zeroout(run.blocks.start.into(), len),
    };
    let done = match zeroed.is_ok() || mutant!("allocate-failed-kept") {
        true => len,
        false => 0,
    };
    let linked = new_blocks::finish(inode, Some(inode), at..at + len, at + done);
    in_flight::forget(inode, &(at..at + len));
    if !mutant!("allocate-error-lost") {
        zeroed?;
    }
    reported(inode, linked.map_err(|(_, fault)| fault))?;
    Ok(len)
}
