// SPDX-License-Identifier: GPL-2.0

//! Writing regular files: the inode lock, and what is done with it before data is written.

use crate::dio::{self, would_block, Block, Overwrite};
use crate::inode::data::direct_writes_wait;
use crate::inode::in_flight::{self, Entered};
use crate::types::{Inode, InodeLocked, RetryFs};
use crate::vfs::address_space::{free_blocks_beyond_eof, zero_tail_of_block, FileAddressSpace};
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::address_space::nowait::NotWritten;
use kfs::fs::address_space::Patience;
use kfs::fs::generic_io::{
    __generic_file_write_iter, generic_write_checks, generic_write_checks_behind, kiocb_modified,
};
use kfs::fs::inode::lock::{Exclusive, Mode};
use kfs::fs::kiocb::{CallSource, Io, Iocb, Kiocb};
use kfs::iov::IovIter;

/// A direct write that does not extend the file, as it seems: with the inode lock shared. Not of an append: a retry moves
/// i_size without the lock, so that what was EOF may be in the midst of the file by now.
pub(super) fn overwrite<'a>(
    mut iocb: Kiocb<'a, RetryFs>,
    from: CallSource<'a>,
) -> Result<Overwrite<'a, RetryFs>> {
    let inode = iocb.inode();
    let lock = if !iocb.is_nowait() || mutant!("nowait-locks") {
        inode.lock_shared()
    } else {
        inode
            .try_lock_shared()
            .ok_or_else(|| would_block(inode.sb(), Block::Lock))?
    };
    check_writable(&lock)?;
    if generic_write_checks(&mut iocb, from, &lock)? == 0 {
        return Ok(Overwrite::Written(Io::Done(iocb, 0)));
    }
    if mutant!("append-as-overwrite") && iocb.is_append() {
        in_flight::wait_to_store(&lock, &(0..u64::MAX), Patience::UntilKilled);
    }
    dio::direct_overwrite(iocb, from, &lock)
}

/// Whether the file may be written to now: it may have been opened before it was made immutable. `EROFS`, `EIO` after a shutdown, `EPERM`.
pub(super) fn check_writable<M: Mode>(lock: &InodeLocked<M>) -> Result {
    lock.sb().data().check_writable(lock.sb())?;
    match lock.is_immutable() && !mutant!("immutable-written") {
        true => Err(EPERM),
        false => Ok(()),
    }
}

/// Any other write: with the inode lock exclusive. `is_counted` as for [`dio::direct_write`].
pub(super) fn write<'a>(
    mut iocb: Kiocb<'a, RetryFs>,
    from: CallSource<'a>,
    is_counted: bool,
) -> Result<Io<'a, RetryFs>> {
    let inode = iocb.inode();
    let lock = if !iocb.is_nowait() || mutant!("nowait-locks") {
        inode.lock()
    } else {
        inode
            .try_lock()
            .ok_or_else(|| would_block(inode.sb(), Block::Lock))?
    };
    check_writable(&lock)?;
    // Once: a remount may change it in the midst of a write.
    lock.data().set_async_alloc(lock.sb().data().async_alloc());
    let at = place(&iocb, &lock);
    let count = match at.behind.filter(|&behind| behind > lock.i_size_read()) {
        Some(behind) => generic_write_checks_behind(&mut iocb, from, &lock, behind)?,
        None => generic_write_checks(&mut iocb, from, &lock)?,
    };
    if count == 0 {
        return Ok(Io::Done(iocb, 0));
    }
    let (start, end) = (
        iocb.pos() as u64,
        iocb.pos() as u64 + from.get(&iocb).count() as u64,
    );
    let entered = enter(&iocb, &lock, start..end);
    prepare_eof(&iocb, &lock, start..end, entered.is_some())?;
    if iocb.is_direct() {
        let waits_for_none = entered.is_some() || at.has_waited;
        dio::direct_write(iocb, from, &lock, is_counted, waits_for_none)
    } else {
        __generic_file_write_iter(iocb, from, &lock)
    }
}

/// Where a write begins, with regard to those in flight, which move i_size when they end.
struct Placed {
    /// An append begins there if that is beyond EOF: behind all in flight.
    behind: Option<u64>,
    /// None is in flight.
    has_waited: bool,
}

/// Decides where a write begins. One through the page cache waits for those in flight; so does an append, without the option
/// `async_alloc`, for what is left of when it was there.
fn place(iocb: &Iocb<RetryFs>, lock: &InodeLocked<Exclusive>) -> Placed {
    let mut behind = None;
    let mut has_waited = false;
    if !iocb.is_direct() {
        in_flight::wait(lock);
        has_waited = true;
    } else if iocb.is_append() {
        has_waited = !iocb.is_nowait() && !lock.data().async_alloc();
        if !has_waited && !mutant!("append-at-size") {
            behind = Some(in_flight::append_at(lock));
        } else if has_waited && !mutant!("append-not-waited") {
            in_flight::wait(lock);
        }
    }
    Placed { behind, has_waited }
}

/// Whether byte `pos` is in the midst of a block.
fn is_in_block(inode: &Inode, pos: u64) -> bool {
    pos & (inode.sb().blocksize() as u64 - 1) != 0
}

/// Has an asynchronous direct write of `bytes`, to parts of blocks, take turns with those in flight, so that it waits
/// for none (`async_alloc`). `None` if it takes none.
fn enter<'l>(
    iocb: &Kiocb<'_, RetryFs>,
    lock: &'l InodeLocked<Exclusive>,
    bytes: Range<u64>,
) -> Option<Entered<'l>> {
    let may_enter = is_in_block(lock, bytes.start | bytes.end | lock.i_size_read())
        && lock.data().async_alloc()
        && iocb.is_direct()
        && !iocb.is_sync()
        && !iocb.is_nowait();
    match may_enter {
        true => in_flight::enter(lock, bytes),
        false => None,
    }
}

/// Does what has to be done before a write of `bytes`, which `has_entered` or not, about EOF: the rest of the block with
/// it may hold data that was stored there through a mapping, and would come into the file with a gap; and there may be blocks beyond
/// it.
fn prepare_eof(
    iocb: &Iocb<RetryFs>,
    lock: &InodeLocked<Exclusive>,
    bytes: Range<u64>,
    has_entered: bool,
) -> Result {
    let Range { start, end } = bytes;
    let size = lock.i_size_read();
    let again = || Err(would_block(lock.sb(), Block::Blocks));
    if start > size && is_in_block(lock, size) && !has_entered && !mutant!("old-tail-kept") {
        if iocb.is_nowait() {
            return again();
        }
        direct_writes_wait(lock);
        // Those have moved it, perhaps.
        zero_tail_of_block(lock, lock.i_size_read())?;
    }
    if end > size && !iocb.is_nowait() {
        free_blocks_beyond_eof(lock)?;
    }
    if end > size && iocb.is_nowait() && !lock.data().has_nothing_beyond_eof() {
        return again();
    }
    let is_in_parts = is_in_block(lock, start) || (is_in_block(lock, end) && end < size);
    if !iocb.is_direct() && is_in_parts {
        direct_writes_wait(lock);
    }
    Ok(())
}

/// A write through the page cache that must not wait: of blocks that the file has, and to pages that are in
/// memory. If something is to be waited for in the midst of it, it is short.
pub(super) fn write_nowait<'a>(
    mut iocb: Kiocb<'a, RetryFs>,
    from: CallSource<'a>,
) -> Result<Io<'a, RetryFs>> {
    let sb = iocb.inode().sb();
    let again = |on| would_block(sb, on);
    let lock = match mutant!("nowait-locks") {
        true => iocb.inode().lock(),
        false => iocb.inode().try_lock().ok_or_else(|| again(Block::Lock))?,
    };
    check_writable(&lock)?;
    // They move i_size, and drop the pages of what they have written, when it has been linked.
    if !in_flight::is_known_empty(&lock) {
        return Err(again(Block::Lock));
    }
    if generic_write_checks(&mut iocb, from, &lock)? == 0 {
        return Ok(Io::Done(iocb, 0));
    }
    let (start, end) = (
        iocb.pos() as u64,
        iocb.pos() as u64 + from.get(&iocb).count() as u64,
    );
    if end > lock.i_size_read() {
        return Err(again(Block::Blocks));
    }
    if iocb.is_dsync() {
        return Err(again(Block::Sync));
    }
    let is_in_parts = is_in_block(&lock, start) || is_in_block(&lock, end);
    if is_in_parts && lock.data().has_direct_writes() && !mutant!("nowait-part") {
        return Err(again(Block::Lock));
    }
    dio::modified(sb, kiocb_modified(&mut iocb, &lock))?;
    lock.write_nowait::<FileAddressSpace>(iocb, from)
        .map_err(|why| match why {
            NotWritten::Page => again(Block::Pages),
            NotWritten::Block => again(Block::Metadata),
            NotWritten::Memory => again(Block::Memory),
            NotWritten::Error(error) => error,
        })
}
