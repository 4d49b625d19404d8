// SPDX-License-Identifier: GPL-2.0

//! The pages of regular files and long symbolic links: `address_space_operations`.

use crate::dio;
use crate::ext2::block_map::Mapping;
use crate::inode::block_map::{self, Run};
use crate::inode::errors::{log, reported};
use crate::inode::in_flight;
use crate::types::{Inode, InodeLocked, RetryFs};
use crate::volume::blocks;
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::address_space::{AddressSpaceOperations, Direct, Found, Mapped, Patience};
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::kiocb::{Io, Kiocb};

/// The operations on the pages of regular files and long symbolic links.
pub(crate) struct FileAddressSpace;

#[vtable]
impl AddressSpaceOperations<RetryFs> for FileAddressSpace {
    /// Of 256 KiB, as much as is read ahead for who reads in order (`POSIX_FADV_SEQUENTIAL`). A store through a mapping makes all
    /// of a folio dirty, and direct writes to it collide with that.
    const FOLIO_ORDER_MAX: u32 = 6;

    fn get_block(inode: &Inode, iblock: u64, max_blocks: u32) -> Result<Found> {
        inode.sb().data().check_up()?;
        let found = block_map::lookup(inode, iblock, max_blocks);
        reported(inode, found).map(Found::from)
    }

    fn get_block_create(inode: &Inode, iblock: u64, max_blocks: u32) -> Result<Mapped> {
        inode.sb().data().check_up()?;
        let run = block_map::allocate(inode, iblock, max_blocks);
        reported(inode, run).map(Mapped::from)
    }

    fn get_block_to_store(inode: &Inode, iblock: u64, max_blocks: u32) -> Result<Mapped> {
        if mutant!("store-waits-for-link") {
            return Self::get_block_create(inode, iblock, max_blocks);
        }
        inode.sb().data().check_up()?;
        let found = block_map::allocate_unless_pending(inode, iblock, max_blocks);
        let run = reported(inode, found)?.ok_or(EAGAIN)?;
        Ok(run.into())
    }

    fn get_block_nowait(inode: &Inode, iblock: u64, max_blocks: u32) -> Option<Found> {
        let found = block_map::lookup_nowait(inode, iblock, max_blocks);
        // Reporting an error may sleep: the attempt that may meets it, too.
        found.ok().map(Found::from)
    }

    fn has_room(inode: &Inode, blocks: u32) -> bool {
        // Blocks of pointers, and what others allocate meanwhile.
        let blocks = blocks.saturating_mul(2).saturating_add(16);
        mutant!("room-unasked") || blocks::has_room(inode.sb(), blocks)
    }

    fn may_store(inode: &Inode, bytes: &Range<u64>) -> bool {
        in_flight::may_store(inode, &blocks_of(inode, bytes))
    }

    fn wait_to_store(inode: &Inode, bytes: &Range<u64>, patience: Patience) -> bool {
        in_flight::wait_to_store(inode, &blocks_of(inode, bytes), patience)
    }

    fn write_failed(inode: &InodeLocked<Exclusive>, to: u64) {
        let size = inode.i_size_read();
        if to > size {
            // The caller returns the error of the write.
            let truncated = match mutant!("failed-write-unlocked") {
                true => block_map::truncate(inode, size),
                false => inode.truncate_beyond(size, || block_map::truncate(inode, size)),
            };
            log(inode, "cannot free blocks beyond EOF", truncated);
        }
    }

    fn direct_io<'a>(
        iocb: Kiocb<'a, RetryFs>,
        direct: Direct<'_, 'a, RetryFs>,
    ) -> Result<Io<'a, RetryFs>> {
        dio::direct_io(iocb, direct)
    }
}

impl From<Mapping> for Found {
    fn from(mapping: Mapping) -> Self {
        match mapping {
            Mapping::Mapped { start, len } => Found::Mapped(Mapped {
                block: start.into(),
                len,
                new: false,
            }),
            Mapping::Hole { len } => Found::Hole { len },
        }
    }
}

impl From<Run> for Mapped {
    fn from(run: Run) -> Self {
        Mapped {
            block: run.blocks.start.into(),
            len: run.blocks.len,
            new: run.new,
        }
    }
}

/// The blocks of the file with these bytes.
fn blocks_of(inode: &Inode, bytes: &Range<u64>) -> Range<u64> {
    let bits = inode.blkbits();
    bytes.start >> bits..bytes.end.div_ceil(1 << bits)
}

/// Frees blocks that the file had beyond EOF when it was read from the volume: a crash leaves them,
/// before their data and i_size were written. What they hold is not known. For whoever is about to
/// move i_size forward, which would bring them into sight; does nothing the second time.
///
/// Process context; may sleep. Fails with the error of freeing them.
pub(crate) fn free_blocks_beyond_eof(inode: &InodeLocked<Exclusive>) -> Result {
    let data = inode.data();
    if data.has_nothing_beyond_eof() || mutant!("blocks-beyond-eof-kept") {
        return Ok(());
    }
    in_flight::wait(inode);
    let size = inode.i_size_read();
    reported(
        inode,
        inode.truncate_beyond(size, || block_map::truncate(inode, size)),
    )?;
    data.nothing_beyond_eof();
    Ok(())
}

/// Zeroes the tail of the block with byte `from`, from there on, in the page cache, and marks it
/// dirty. Does nothing when `from` is block-aligned. A hole stays one: only a cached page is
/// zeroed.
///
/// Process context; may sleep. Takes a folio lock. Fails with the error of reading the block.
pub(crate) fn zero_tail_of_block(inode: &InodeLocked<Exclusive>, from: u64) -> Result {
    let end = from.next_multiple_of(inode.sb().blocksize() as u64);
    inode.zero_part_of_block::<FileAddressSpace>(from..end)
}
