// SPDX-License-Identifier: GPL-2.0

//! Regular files: `file_operations` and `address_space_operations`.

use crate::ext2::block_map::Mapping;
use crate::fault;
use crate::file_map::Unfreed;
use crate::{dio, fallocate, file_map, Inode, InodeLocked, RetryFs, SuperBlock};
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bio::BioArc;
use kfs::fs::address_space::{AddressSpaceOperations, Mapped};
use kfs::fs::file::{File, FileOperations};
use kfs::fs::generic_io::{
    __generic_file_write_iter, generic_file_read_iter, generic_write_checks,
};
use kfs::fs::inode::lock::{Exclusive, Mode};
use kfs::fs::kiocb::{Io, Kiocb, KiocbOwner};
use kfs::iov::IovIter;

/// The operations of open regular files.
pub(crate) struct RegularFile;

impl FileOperations<RetryFs> for RegularFile {
    const NOWAIT: bool = true;

    fn read_iter<'a>(iocb: Kiocb<'a, RetryFs>, to: &mut IovIter<'_>) -> Result<Io<'a, RetryFs>> {
        generic_file_read_iter(iocb, to)
    }

    fn write_iter<'a>(
        mut iocb: Kiocb<'a, RetryFs>,
        from: &mut IovIter<'_>,
    ) -> Result<Io<'a, RetryFs>> {
        let inode = iocb.inode();
        let lock = if !iocb.is_nowait() || mutant!("nowait-locks") {
            inode.lock()
        } else if !iocb.is_direct() {
            return Err(EOPNOTSUPP);
        } else {
            inode.try_lock().ok_or(EAGAIN)?
        };
        lock.sb().data().check_writable()?;
        if generic_write_checks(&mut iocb, from, &lock)? == 0 {
            return Ok(Io::Done(iocb, 0));
        }
        // The file is about to grow over the rest of its last block, which may hold what was
        // stored through a memory mapping.
        let size = lock.i_size_read();
        let in_block = |pos: u64| pos & (lock.sb().blocksize() as u64 - 1) != 0;
        let (start, end) = (iocb.pos() as u64, iocb.pos() as u64 + from.count() as u64);
        if start > size && in_block(size) && !mutant!("old-tail-kept") {
            if iocb.is_nowait() {
                return Err(EAGAIN);
            }
            direct_writes_wait(&lock);
            zero_rest_of_block(&lock, size)?;
        }
        if !iocb.is_direct() && (in_block(start) || (in_block(end) && end < size)) {
            direct_writes_wait(&lock);
        }
        let written = if iocb.is_direct() {
            dio::direct_write(iocb, from, &lock)?
        } else {
            __generic_file_write_iter(iocb, from, &lock)?
        };
        drop(lock);
        match written {
            Io::Done(iocb, bytes) if bytes > 0 && !mutant!("submitter-no-sync") => {
                let bytes = iocb.generic_write_sync(bytes)?;
                Ok(Io::Done(iocb, bytes))
            }
            other => Ok(other),
        }
    }

    fn punch_hole(file: &File<RetryFs>, range: Range<u64>) -> Result {
        fallocate::punch_hole(file, range)
    }
}

/// Zeroes what follows byte `from` in its block, in the page cache. Nothing happens when `from` is
/// the begin of a block, and nothing is allocated for a hole. May sleep.
pub(crate) fn zero_rest_of_block(inode: &InodeLocked<Exclusive>, from: u64) -> Result {
    let end = from.next_multiple_of(inode.sb().blocksize() as u64);
    inode.zero_part_of_block::<FileAddressSpace>(from..end)
}

/// Waits until no direct write is under way.
///
/// A buffered write of a part of a block reads the rest of the block into the page cache, and all
/// of it is written back later. A direct write to the rest that is in flight meanwhile would be
/// overtaken by that, and lost.
fn direct_writes_wait(inode: &InodeLocked<Exclusive>) {
    if inode.data().direct_writes() && !mutant!("part-no-wait") {
        inode.dio_wait();
    }
}

/// The operations on the pages of regular files and long symbolic links.
pub(crate) struct FileAddressSpace;

impl AddressSpaceOperations<RetryFs> for FileAddressSpace {
    fn get_block(
        inode: &Inode,
        iblock: u64,
        max_blocks: u32,
        create: bool,
    ) -> Result<Option<Mapped>> {
        let found = if create {
            file_map::allocate(inode, iblock, max_blocks).map(|run| {
                Some(Mapped {
                    block: run.blocks.start.into(),
                    len: run.blocks.len,
                    new: run.new,
                })
            })
        } else {
            file_map::lookup(inode, iblock, max_blocks).map(|mapping| match mapping {
                Mapping::Mapped { start, len } => Some(Mapped {
                    block: start.into(),
                    len,
                    new: false,
                }),
                Mapping::Hole { .. } => None,
            })
        };
        found.map_err(|fault| fault.report(inode.sb()))
    }

    fn write_failed(inode: &InodeLocked<Exclusive>, to: u64) {
        let size = inode.i_size_read();
        if to > size {
            inode.truncate_pagecache(size);
            truncate_blocks(inode, size);
        }
    }

    fn direct_io<'a>(
        iocb: Kiocb<'a, RetryFs>,
        iter: &mut IovIter<'_>,
        lock: Option<&InodeLocked<Exclusive>>,
    ) -> Result<Io<'a, RetryFs>> {
        dio::direct_io(iocb, iter, lock)
    }
}

/// Frees the blocks behind the first `size` bytes. The caller has another error to return; one
/// that happens here is in the log.
fn truncate_blocks(inode: &InodeLocked<Exclusive>, size: u64) {
    if let Err(fault) = file_map::truncate(inode, size) {
        let error = fault.report(inode.sb());
        pr_err!(
            "{}: inode {}: blocks behind the end are not freed: error {}\n",
            inode.sb().id(),
            inode.ino(),
            error.to_errno()
        );
    }
}

impl KiocbOwner for RetryFs {
    type Private = BioArc<dio::Dio<RetryFs>>;
}

impl dio::Filesystem for RetryFs {
    fn dio(sb: &SuperBlock) -> &dio::Mount<RetryFs> {
        &sb.data().dio
    }

    fn map<M: Mode>(inode: &InodeLocked<M>, block: u64, max: u32) -> Result<dio::Mapping> {
        reported(inode, file_map::lookup(inode, block, max)).map(looked_up)
    }

    fn map_nowait<M: Mode>(inode: &InodeLocked<M>, block: u64, max: u32) -> Result<dio::Mapping> {
        match file_map::lookup_nowait(inode, block, max) {
            Ok(mapping) => Ok(looked_up(mapping)),
            // To report it takes time; who waits for the answer will meet it again.
            Err(_) => Err(EAGAIN),
        }
    }

    fn allocate(inode: &InodeLocked<Exclusive>, block: u64, max: u32) -> Result<dio::Mapping> {
        let run = reported(inode, file_map::allocate(inode, block, max))?;
        Ok(dio::Mapping::Mapped {
            physical: run.blocks.start.into(),
            len: run.blocks.len,
            new: run.new,
        })
    }

    fn fill_hole(inode: &InodeLocked<Exclusive>, pos: u64) -> Result {
        inode.fill_hole::<FileAddressSpace>(pos)
    }

    fn truncate_blocks(inode: &InodeLocked<Exclusive>, size: u64) {
        truncate_blocks(inode, size);
    }

    fn punch(inode: &InodeLocked<Exclusive>, block: u64, len: u32) {
        let blocks = block..block + u64::from(len);
        // What is in them must not be seen.
        if let Err(fault) = file_map::punch(inode, blocks, Unfreed::Lose) {
            let error = fault.report(inode.sb());
            pr_err!(
                "{}: inode {}: blocks that could not be written are not freed: error {}\n",
                inode.sb().id(),
                inode.ino(),
                error.to_errno()
            );
        }
    }

    fn direct_write_begin(inode: &InodeLocked<Exclusive>) {
        inode.data().direct_write_begin();
    }

    fn direct_write_end(inode: &Inode) {
        inode.data().direct_write_end();
    }

    fn direct_writes_wait(inode: &InodeLocked<Exclusive>) {
        direct_writes_wait(inode);
    }
}

fn looked_up(mapping: Mapping) -> dio::Mapping {
    match mapping {
        Mapping::Mapped { start, len } => dio::Mapping::Mapped {
            physical: start.into(),
            len,
            new: false,
        },
        Mapping::Hole { len } => dio::Mapping::Hole { len },
    }
}

fn reported<T>(inode: &Inode, result: fault::Result<T>) -> Result<T> {
    result.map_err(|fault| fault.report(inode.sb()))
}
