// SPDX-License-Identifier: GPL-2.0

//! Regular files: `file_operations`.

use crate::dio::{self, would_block, Block, Overwrite};
use crate::ext2::superblock::LAST_MOUNTED_MAX;
use crate::inode::block_map;
use crate::inode::data::direct_writes_wait;
use crate::inode::durable;
use crate::inode::errors::reported;
use crate::inode::in_flight;
use crate::inode::names;
use crate::types::{Inode, RetryFs};
use crate::vfs::address_space::{free_blocks_beyond_eof, zero_tail_of_block, FileAddressSpace};
use crate::vfs::allocate;
use crate::vfs::fallocate;
use crate::vfs::xattr;
use crate::volume::errors;
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::address_space::nowait::NotWritten;
use kfs::fs::file::{Allocate, File, FileOperations, Fsync};
use kfs::fs::generic_io::{
    __generic_file_write_iter, filemap_read, generic_write_checks, generic_write_checks_behind,
    kiocb_modified,
};
use kfs::fs::kiocb::{Io, Kiocb};
use kfs::iov::{IovIter, IovIterDest, IovIterSource};

/// The `file_operations` of regular files.
pub(crate) struct RegularFile;

#[vtable]
impl Fsync<RetryFs> for RegularFile {
    type Mark = Option<durable::Mark>;

    fn fsync_begin(inode: &Inode) -> Option<durable::Mark> {
        let mark = durable::begin(inode);
        if let (Some(mark), true) = (mark, mutant!("fua-marked-early")) {
            durable::synced(inode, mark);
        }
        mark
    }

    fn fsync_end(inode: &Inode, mark: Option<durable::Mark>) {
        if let Some(mark) = mark {
            durable::synced(inode, mark);
        }
    }

    fn fsync_names(inode: &Inode) -> Result {
        reported(inode, names::sync(inode))
    }
}

#[vtable]
impl FileOperations<RetryFs> for RegularFile {
    const NOWAIT: bool = true;
    const BUFFER_RASYNC: bool = !cfg!(mutant = "rasync-off");
    const BUFFER_WASYNC: bool = !cfg!(mutant = "wasync-off");
    const DIO_PARALLEL_WRITE: bool = !cfg!(mutant = "parallel-write-untold");

    type Pages = FileAddressSpace;

    fn opened(file: &File<RetryFs>) {
        let sb = file.inode().sb();
        let volume = sb.data();
        if volume.is_place_known() || sb.rdonly() || mutant!("place-untold") {
            return;
        }
        // As ext4: the first file that is opened says where.
        let Some(_unfrozen) = sb.try_start_intwrite() else {
            return;
        };
        let mut place = [0; LAST_MOUNTED_MAX];
        if volume.may_tell_place() && file.mount_point(&mut place) {
            // Not worth an error of open(2).
            let _ = errors::reported(sb, volume.set_place(&place));
        }
    }

    fn last_writer_closed(inode: &Inode) {
        if !mutant!("window-outlives-close") {
            block_map::drop_window(inode);
        }
    }

    #[inline(always)]
    fn read_iter<'a>(
        iocb: Kiocb<'a, RetryFs>,
        to: &mut IovIterDest<'a>,
    ) -> Result<Io<'a, RetryFs>> {
        iocb.inode().sb().data().check_up()?;
        match iocb.is_direct() {
            true => dio::direct_read(iocb, to),
            false => filemap_read(iocb, to).map_err(|(iocb, error)| {
                match iocb.is_nowait() && error == EAGAIN && !mutant!("nowait-read-uncounted") {
                    true => would_block(iocb.inode().sb(), Block::Pages),
                    false => error,
                }
            }),
        }
    }

    #[inline(always)]
    fn write_iter<'a>(
        iocb: Kiocb<'a, RetryFs>,
        from: &mut IovIterSource<'a>,
    ) -> Result<Io<'a, RetryFs>> {
        if iocb.is_nowait() && !xattr::are_known(iocb.inode()) {
            return Err(would_block(iocb.inode().sb(), Block::Metadata));
        }
        let end = (iocb.pos() as u64).saturating_add(from.count() as u64);
        let written = if iocb.is_direct() && end <= iocb.inode().i_size_read() {
            match overwrite(iocb, from)? {
                // It is synced.
                Overwrite::Written(io) => return Ok(io),
                Overwrite::NeedsExclusive(iocb, is_counted) => write(iocb, from, is_counted)?,
            }
        } else if iocb.is_nowait() && !iocb.is_direct() {
            return write_nowait(iocb, from);
        } else {
            write(iocb, from, false)?
        };
        match written {
            Io::Done(iocb, bytes) if bytes > 0 && !mutant!("submitter-no-sync") => {
                let bytes = iocb.generic_write_sync(bytes, iocb.may_sleep())?;
                Ok(Io::Done(iocb, bytes))
            }
            other => Ok(other),
        }
    }

    fn punch_hole(file: &File<RetryFs>, range: Range<u64>) -> Result {
        fallocate::punch_hole(file, range)
    }

    fn allocate(file: &File<RetryFs>, range: Range<u64>, how: Allocate) -> Result {
        allocate::allocate(file, range, how)
    }
}

/// A direct write that does not extend the file, as it seems: with the inode lock shared.
fn overwrite<'a>(
    mut iocb: Kiocb<'a, RetryFs>,
    from: &mut IovIterSource<'a>,
) -> Result<Overwrite<'a, RetryFs>> {
    let inode = iocb.inode();
    let lock = if !iocb.is_nowait() || mutant!("nowait-locks") {
        inode.lock_shared()
    } else {
        inode
            .try_lock_shared()
            .ok_or_else(|| would_block(inode.sb(), Block::Lock))?
    };
    lock.sb().data().check_writable(lock.sb())?;
    if generic_write_checks(&mut iocb, from, &lock)? == 0 {
        return Ok(Overwrite::Written(Io::Done(iocb, 0)));
    }
    dio::direct_overwrite(iocb, from, &lock)
}

/// Any other write: with the inode lock exclusive. `is_counted` as for [`dio::direct_write`].
fn write<'a>(
    mut iocb: Kiocb<'a, RetryFs>,
    from: &mut IovIterSource<'_>,
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
    lock.sb().data().check_writable(lock.sb())?;
    // Those in flight move i_size when they end. Without the option an append waits for what is left of when it was there,
    // before it looks where EOF is.
    let mut behind = None;
    let mut has_waited = false;
    if !iocb.is_direct() {
        in_flight::wait(&lock);
        has_waited = true;
    } else if iocb.is_append() {
        has_waited = !iocb.is_nowait() && !lock.sb().data().async_alloc();
        if !has_waited && !mutant!("append-at-size") {
            behind = Some(in_flight::append_at(&lock));
        } else if has_waited && !mutant!("append-not-waited") {
            in_flight::wait(&lock);
        }
    }
    let count = match behind.filter(|&behind| behind > lock.i_size_read()) {
        Some(behind) => generic_write_checks_behind(&mut iocb, from, &lock, behind)?,
        None => generic_write_checks(&mut iocb, from, &lock)?,
    };
    if count == 0 {
        return Ok(Io::Done(iocb, 0));
    }
    // A write that starts past i_size exposes the tail of the last block, which may hold data
    // that was stored there through a mapping.
    let size = lock.i_size_read();
    let in_block = |pos: u64| pos & (lock.sb().blocksize() as u64 - 1) != 0;
    let (start, end) = (iocb.pos() as u64, iocb.pos() as u64 + from.count() as u64);
    let may_enter = in_block(start | end | size)
        && lock.sb().data().async_alloc()
        && iocb.is_direct()
        && !iocb.is_sync()
        && !iocb.is_nowait();
    let entered = match may_enter {
        true => in_flight::enter(&lock, start..end),
        false => None,
    };
    if start > size && in_block(size) && entered.is_none() && !mutant!("old-tail-kept") {
        if iocb.is_nowait() {
            return Err(would_block(lock.sb(), Block::Blocks));
        }
        direct_writes_wait(&lock);
        // Those have moved it, perhaps.
        zero_tail_of_block(&lock, lock.i_size_read())?;
    }
    if end > size && !iocb.is_nowait() {
        free_blocks_beyond_eof(&lock)?;
    }
    if end > size && iocb.is_nowait() && !lock.data().has_nothing_beyond_eof() {
        return Err(would_block(lock.sb(), Block::Blocks));
    }
    if !iocb.is_direct() && (in_block(start) || (in_block(end) && end < size)) {
        direct_writes_wait(&lock);
    }
    if iocb.is_direct() {
        let waits_for_none = entered.is_some() || has_waited;
        dio::direct_write(iocb, from, &lock, is_counted, waits_for_none)
    } else {
        __generic_file_write_iter(iocb, from, &lock)
    }
}

/// A write through the page cache that must not wait: of blocks that the file has, and to pages that are in
/// memory. If something is to be waited for in the midst of it, it is short.
fn write_nowait<'a>(
    mut iocb: Kiocb<'a, RetryFs>,
    from: &mut IovIterSource<'_>,
) -> Result<Io<'a, RetryFs>> {
    let sb = iocb.inode().sb();
    let again = |on| would_block(sb, on);
    let lock = match mutant!("nowait-locks") {
        true => iocb.inode().lock(),
        false => iocb.inode().try_lock().ok_or_else(|| again(Block::Lock))?,
    };
    sb.data().check_writable(sb)?;
    if generic_write_checks(&mut iocb, from, &lock)? == 0 {
        return Ok(Io::Done(iocb, 0));
    }
    let (start, end) = (iocb.pos() as u64, iocb.pos() as u64 + from.count() as u64);
    if end > lock.i_size_read() {
        return Err(again(Block::Blocks));
    }
    if iocb.is_dsync() {
        return Err(again(Block::Sync));
    }
    let in_block = |pos: u64| pos & (sb.blocksize() as u64 - 1) != 0;
    let is_in_parts = in_block(start) || in_block(end);
    if is_in_parts && lock.data().has_direct_writes() && !mutant!("nowait-part") {
        return Err(again(Block::Lock));
    }
    // They drop the pages of what they have written, when it has been linked.
    if !in_flight::is_known_empty(&lock) {
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
