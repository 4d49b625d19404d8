// SPDX-License-Identifier: GPL-2.0

//! `fallocate(2)`: punching holes.

use crate::inode::block_map::{self, Unfreed};
use crate::inode::errors::reported;
use crate::types::{InodeLocked, RetryFs};
use crate::vfs::address_space::FileAddressSpace;
use crate::vfs::write::check_writable;
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::file::File;
use kfs::fs::inode::lock::Exclusive;

/// Punches a hole: `range` is in bytes and not empty; what is beyond EOF is ignored.
///
/// Whole blocks in the range are freed, and so is the last one of the file when the range reaches
/// from its start to EOF. Partial blocks at both ends are zeroed in the page cache.
///
/// Takes the inode lock exclusively, waits for direct I/O in flight and writes the range back; may
/// sleep. `EROFS` when an error has stopped changes to the volume; errors of writeback are not
/// returned, as the data is being discarded.
pub(crate) fn punch_hole(file: &File<RetryFs>, range: Range<u64>) -> Result {
    let inode = file.inode();
    let lock = inode.lock();
    check_writable(&lock)?;
    // Direct I/O in flight targets blocks that are about to be freed, or parts of blocks of which
    // the rest is about to be written back. With the inode lock held, no new one can start.
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

/// Punches a hole of the bytes in `range`, in a file with blocks of `block` bytes.
fn punch(inode: &InodeLocked<Exclusive>, range: Range<u64>, block: u64) -> Result {
    let whole = range.start.next_multiple_of(block)..range.end / block * block;
    // Afterwards no block on the device holds stale data, should freeing it fail and the file keep
    // it; and pages dirtied through a mapping over a hole have their blocks.
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
    let free = || block_map::punch(inode, blocks, unfreed);
    let result = match mutant!("punch-keeps-pages") {
        true => free(),
        false => inode.truncate_pagecache_range(whole.start, whole.end, free),
    };
    reported(inode, result)
}
