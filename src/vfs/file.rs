// SPDX-License-Identifier: GPL-2.0

//! Regular files: `file_operations`.

use crate::dio::{self, would_block, Block, Overwrite};
use crate::ext2::superblock::LAST_MOUNTED_MAX;
use crate::inode::block_map;
use crate::inode::durable;
use crate::inode::errors::reported;
use crate::inode::in_flight;
use crate::inode::names;
use crate::types::{Inode, RetryFs};
use crate::vfs::address_space::FileAddressSpace;
use crate::vfs::allocate;
use crate::vfs::fallocate;
use crate::vfs::write::{overwrite, write, write_nowait};
use crate::vfs::xattr;
use crate::volume::errors;
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::file::{Allocate, File, FileOperations, Fsync};
use kfs::fs::generic_io::filemap_read;
use kfs::fs::kiocb::{CallDest, CallSource, Io, Kiocb};
use kfs::iov::IovIter;

/// The `file_operations` of regular files.
pub(crate) struct RegularFile;

#[vtable]
impl Fsync<RetryFs> for RegularFile {
    type Mark = (Option<durable::Mark>, names::Mark);

    fn fsync_begin(inode: &Inode) -> Self::Mark {
        // What a write in flight has linked, or moved i_size over, is seen by others, and may have been written to since, before that
        // write marks the inode dirty.
        if !in_flight::is_known_empty(inode) && !mutant!("in-flight-unmarked") {
            inode.mark_inode_dirty();
        }
        let mark = durable::begin(inode);
        if let (Some(mark), true) = (mark, mutant!("fua-marked-early")) {
            durable::synced(inode, mark);
        }
        (mark, names::begin(inode))
    }

    fn fsync_end(inode: &Inode, (mark, names): Self::Mark) {
        names::flushed(inode, names);
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
    fn read_iter<'a>(iocb: Kiocb<'a, RetryFs>, to: CallDest<'a>) -> Result<Io<'a, RetryFs>> {
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
    fn write_iter<'a>(iocb: Kiocb<'a, RetryFs>, from: CallSource<'a>) -> Result<Io<'a, RetryFs>> {
        if iocb.is_nowait() && !xattr::are_known(iocb.inode()) {
            return Err(would_block(iocb.inode().sb(), Block::Metadata));
        }
        let end = (iocb.pos() as u64).saturating_add(from.get(&iocb).count() as u64);
        // Where an append begins is not known yet.
        let is_inside = end <= iocb.inode().i_size_read()
            && (!iocb.is_append() || mutant!("append-as-overwrite"));
        let written = if iocb.is_direct() && is_inside {
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
