// SPDX-License-Identifier: GPL-2.0

//! `fallocate(2)` of whole blocks beyond EOF, with the option `async_alloc`: nobody waits for the device to write the zeroes.
//!
//! It is one more write to new blocks in flight ([`crate::inode::in_flight`]), and does what a direct write does: with the
//! inode lock it *reserves* the blocks, and gives the lock back; the device *writes* the zeroes; then the blocks are *linked*,
//! i_size moves, and those that wait for the blocks go on. What may come to the device in which order is as for a direct write, too
//! ([`crate::inode::deferred`]).
//!
//! The types have this order: [`Reserved`] is to be had for the lock only, [`Zeroed`] for that, and [`Linked`], which moves i_size,
//! for that. Blocks that have not come so far are given back when they are dropped.

use crate::inode::errors::reported;
use crate::inode::in_flight;
use crate::inode::new_blocks;
use crate::types::{Inode, InodeGuard, InodeLocked, RetryFs};
use crate::vfs::address_space::{free_blocks_beyond_eof, FileAddressSpace};
use crate::vfs::write::check_writable;
use crate::volume::blocks;
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::address_space::AddressSpaceOperations;
use kfs::fs::file::File;
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::inode::written::Extending;
use kfs::task::{cond_resched, fatal_signal_pending};

/// How many blocks come into the file at once, after which others get at its end. While they are reserved the lock is held, and memory
/// is needed for each piece.
const AT_ONCE: u64 = 64 << 10;

/// How many blocks a piece has at most, after which signals are looked at.
const PIECE: u64 = 1024;

/// Allocates and zeroes the bytes in `range`, and moves i_size to its end, as far as that is beyond EOF, in whole blocks. Takes what is
/// done out of `range`; gives the inode lock back if a rest is left, which is to be done otherwise. That is all of it without the
/// option.
///
/// Waits for those in flight that have the same blocks, and for no others; may sleep, for as long as the device takes, without
/// the lock. On error, that of [`allocate`](super::allocate::allocate), what is left of `range` is not in the file.
pub(super) fn allocate<'a>(
    file: &'a File<RetryFs>,
    mut lock: InodeGuard<'a, Exclusive>,
    range: &mut Range<u64>,
) -> Result<Option<InodeGuard<'a, Exclusive>>> {
    let inode = file.inode();
    while let Some(blocks) = next(&lock, range)? {
        let end = range.end.min(blocks.end << inode.blkbits());
        lock.newsize_ok(range.end)?;
        file.modified(&lock)?;
        // Nobody has the page of EOF pinned. Who pins it before EOF has moved is not seen: Documentation/faults.rst, "Known, and not mended".
        lock.without_pages(lock.i_size_read()..end, || Ok(()))?;
        if !reserve(&lock, &blocks)? {
            break;
        }
        if !mutant!("allocate-append-at-size") {
            let _ = in_flight::will_extend(&lock, range.end);
        }
        let done = Reserved::unlock(inode, lock, blocks)
            .zero()
            .and_then(Zeroed::link)
            .map(|linked| linked.extend(range.start..end));
        if let Err(error) = done {
            free_beyond_eof(inode, end);
            return Err(error);
        }
        range.start = end;
        if range.is_empty() {
            return Ok(None);
        }
        lock = inode.lock();
        check_writable(&lock)?;
    }
    Ok(Some(lock))
}

/// The first blocks of the file with bytes in `range` that can be allocated at once, if these are beyond EOF, and nobody has them.
fn next(lock: &InodeLocked<Exclusive>, range: &Range<u64>) -> Result<Option<Range<u64>>> {
    let block = 1 << lock.blkbits();
    let is_beyond_eof = || {
        let size = lock.i_size_read();
        size & (block - 1) == 0 && size <= range.start
    };
    let blocks = range.start / block..range.end.div_ceil(block);
    let len = blocks.end - blocks.start;
    if !lock.sb().data().async_alloc() || !is_beyond_eof() {
        return Ok(None);
    }
    // If not all of it will be there, nothing shall be.
    let has_room = |len: u64| u32::try_from(len).is_ok_and(|len| blocks::has_room(lock.sb(), len));
    if len > AT_ONCE && !has_room(len) {
        return Ok(None);
    }
    free_blocks_beyond_eof(lock)?;
    if !mutant!("allocate-in-flight") {
        in_flight::wait_for_range(lock, &blocks);
    }
    // Those have moved it, perhaps.
    let blocks = blocks.start..blocks.end.min(blocks.start + AT_ONCE);
    Ok(is_beyond_eof().then_some(blocks))
}

/// Reserves `blocks` of the file. False if it has some of them: then, and on error, none is reserved.
fn reserve(lock: &InodeLocked<Exclusive>, blocks: &Range<u64>) -> Result<bool> {
    let reserved = reserve_pieces(lock, blocks);
    if !matches!(reserved, Ok(true)) {
        // Nothing of it is linked, so that nothing can fail.
        let _ = new_blocks::finish(lock, Some(lock), blocks.clone(), blocks.start);
        in_flight::forget(lock, blocks);
    }
    reserved
}

fn reserve_pieces(lock: &InodeLocked<Exclusive>, blocks: &Range<u64>) -> Result<bool> {
    let mut at = blocks.start;
    while at < blocks.end {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        let max = PIECE.min(blocks.end - at) as u32;
        let run = reported(lock, new_blocks::reserve(lock, at, max))?;
        if !run.new {
            return Ok(false);
        }
        at += u64::from(run.blocks.len);
        cond_resched();
    }
    Ok(true)
}

/// Blocks of a file that are reserved, and hold stale data; without the inode lock.
struct Reserved<'a> {
    inode: &'a Inode,
    blocks: Range<u64>,
    /// They are not linked.
    is_pending: bool,
    extending: Extending<'a, RetryFs>,
}

impl<'a> Reserved<'a> {
    /// `blocks` of `inode` have been reserved with its lock, which is given back.
    fn unlock(inode: &'a Inode, lock: InodeGuard<'a, Exclusive>, blocks: Range<u64>) -> Self {
        lock.data().direct_write_begin();
        let reserved = Reserved {
            inode,
            blocks,
            is_pending: true,
            extending: lock.unlock_extending(),
        };
        if mutant!("allocate-linked-unzeroed") {
            let _ = reserved.finish(reserved.blocks.end);
        }
        if mutant!("allocate-eof-early") {
            let (bits, blocks) = (inode.blkbits(), &reserved.blocks);
            reserved
                .extending
                .extend(blocks.start << bits..blocks.end << bits);
        }
        reserved
    }

    /// Has the device write zeroes to them, and waits for that. `EINTR` when a signal kills the task.
    fn zero(self) -> Result<Zeroed<'a>> {
        let mut at = self.blocks.start;
        while at < self.blocks.end && !mutant!("allocate-beyond-eof-stale") {
            let run = in_flight::run_at(self.inode, at).ok_or(EIO)?;
            self.inode
                .sb()
                .issue_zeroout(run.start.into(), run.len.into())?;
            at += u64::from(run.len);
            cond_resched();
        }
        Ok(Zeroed(self))
    }

    /// Links those before block `end` of the file, and gives the others back.
    fn finish(&self, end: u64) -> Result {
        let finished = new_blocks::finish(self.inode, None, self.blocks.clone(), end);
        reported(self.inode, finished.map_err(|(_, fault)| fault))
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.is_pending && !mutant!("allocate-not-given-back") {
            // As in `reserve`.
            let _ = self.finish(self.blocks.start);
        }
        in_flight::forget(self.inode, &self.blocks);
        self.inode.data().direct_write_end();
    }
}

/// The same when they are zeroed.
struct Zeroed<'a>(Reserved<'a>);

impl<'a> Zeroed<'a> {
    /// Makes them a part of the file. On error some of them may be: then EOF is behind them by now, and they are zeroes in the file. For what
    /// can fail is to write a block of pointers that has changed since it was written last. If that is the first one, nothing is linked yet. A
    /// later one was made for these blocks, and has been written; it has changed since only for blocks that others have added behind these.
    fn link(mut self) -> Result<Linked<'a>> {
        self.0.is_pending = false;
        self.0.finish(self.0.blocks.end)?;
        Ok(Linked(self.0))
    }
}

/// The same when they are a part of the file.
struct Linked<'a>(Reserved<'a>);

impl Linked<'_> {
    /// Brings them into sight: `bytes` of the file.
    fn extend(self, bytes: Range<u64>) {
        self.0.extending.extend(bytes);
    }
}

/// Frees what the file has beyond EOF and before byte `end` after a failure: blocks of zeroes, and empty blocks of pointers. Waits for direct
/// I/O in flight, which may have some there.
fn free_beyond_eof(inode: &Inode, end: u64) {
    if mutant!("allocate-pointers-kept") {
        return;
    }
    let lock = inode.lock();
    lock.dio_wait();
    FileAddressSpace::write_failed(&lock, end);
}
