// SPDX-License-Identifier: GPL-2.0

//! `fallocate(2)`: making holes.

use crate::file::FileAddressSpace;
use crate::file_map::{self, Unfreed};
use crate::{InodeLocked, RetryFs};
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::file::File;
use kfs::fs::inode::lock::Exclusive;

/// Makes a hole of the bytes in `range`, which is not empty, as far as the file has them. May sleep.
///
/// Blocks that are in the range as a whole are freed; so is the last block when the range has all of
/// it that is in the file. Of the blocks at both ends, what is in the range is zeroed.
pub(crate) fn punch_hole(file: &File<RetryFs>, range: Range<u64>) -> Result {
    let inode = file.inode();
    let lock = inode.lock();
    lock.sb().data().check_writable()?;
    // Reads and writes that are in flight go to blocks that are about to be freed, or to other parts
    // of those that are about to be written back as a whole. None can begin while the lock is held.
    if !mutant!("punch-no-wait") {
        lock.dio_wait();
    }
    file.modified(&lock)?;
    let size = lock.i_size_read();
    let block = lock.sb().blocksize() as u64;
    if range.start >= size {
        return Ok(());
    }
    let end = match range.end < size {
        true => range.end,
        false => size.next_multiple_of(block),
    };
    punch(&lock, range.start..end, block)?;
    drop(lock);
    if mutant!("punch-no-sync") {
        return Ok(());
    }
    file.sync_if_asked(range.start..end)
}

/// Makes a hole of `range`. Blocks have `block` bytes.
fn punch(inode: &InodeLocked<Exclusive>, range: Range<u64>, block: u64) -> Result {
    let whole = range.start.next_multiple_of(block)..range.end / block * block;
    // Then the device has in each block what belongs there, should it stay in the file after all.
    // What was stored in a hole through a mapping has got its block then, too.
    let pages = range.start / block * block..range.end.next_multiple_of(block);
    let flushed = match mutant!("punch-no-flush") {
        true => Ok(()),
        false => inode.write_and_wait_range(pages),
    };
    let unfreed = match flushed {
        Err(_) if !mutant!("punch-shows-stale") => Unfreed::Lose,
        _ => Unfreed::Keep,
    };
    if whole.start > whole.end {
        return inode.zero_part_of_block::<FileAddressSpace>(range);
    }
    if !mutant!("punch-keeps-parts") {
        inode.zero_part_of_block::<FileAddressSpace>(range.start..whole.start)?;
        inode.zero_part_of_block::<FileAddressSpace>(whole.end..range.end)?;
    }
    if whole.is_empty() {
        return Ok(());
    }
    let blocks = whole.start / block..whole.end / block;
    let free = || file_map::punch(inode, blocks, unfreed);
    let result = match mutant!("punch-keeps-pages") {
        true => free(),
        false => inode.truncate_pagecache_range(whole.start, whole.end, free),
    };
    result.map_err(|fault| fault.report(inode.sb()))
}
