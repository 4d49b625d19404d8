// SPDX-License-Identifier: GPL-2.0

//! Where the data of a file is: `lseek(2)` to data and holes, and `FS_IOC_FIEMAP`.

use crate::inode::errors::reported;
use crate::inode::extents;
use crate::types::{Inode, InodeLocked, RetryFs};
use crate::vfs::file::RegularFile;
use kernel::prelude::*;
use kfs::compat::EOPNOTSUPP;
use kfs::fs::fiemap::{Extent, FiemapExtentInfo};
use kfs::fs::inode::lock::Shared;
use kfs::fs::llseek::Seek;

#[vtable]
impl Seek<RetryFs> for RegularFile {
    fn seek_data(inode: &InodeLocked<Shared>, pos: u64) -> Result<u64> {
        let size = inode.i_size_read();
        let found = next(inode, pos, size)?;
        Ok(found.map_or(size, |extent| extent.logical.max(pos)))
    }

    fn seek_hole(inode: &InodeLocked<Shared>, pos: u64) -> Result<u64> {
        let size = inode.i_size_read();
        let mut end = pos;
        while end < size {
            match next(inode, end, size)? {
                Some(extent) if extent.logical <= end => end = extent.logical + extent.len,
                _ => break,
            }
        }
        Ok(end.min(size))
    }
}

/// As [`extent_from`]. What the page cache has in a hole before it, and gets its block at writeback, is
/// data too: memory that was pinned for a read when a hole was punched there. It is written back
/// first. May sleep.
fn next(inode: &InodeLocked<Shared>, pos: u64, end: u64) -> Result<Option<Extent>> {
    let found = extent_from(inode, pos, end)?;
    let hole = pos..found.map_or(end, |extent| extent.logical);
    if !inode.range_needs_writeback(&hole) || mutant!("seek-unwritten") {
        return Ok(found);
    }
    inode.write_back_range(&hole)?;
    extent_from(inode, pos, end)
}

/// The first extent that has a byte of the file from `pos` on, up to `end`; it may begin before.
/// May sleep.
fn extent_from(inode: &Inode, pos: u64, end: u64) -> Result<Option<Extent>> {
    let bits = inode.blkbits();
    let blocks = pos >> bits..end.div_ceil(1 << bits);
    let found = reported(inode, extents::first(inode, blocks))?;
    Ok(found.map(|extent| Extent {
        logical: extent.block << bits,
        physical: u64::from(extent.start) << bits,
        len: extent.len << bits,
    }))
}

/// Answers `FS_IOC_FIEMAP`. May sleep; takes the inode lock.
pub(super) fn fiemap(inode: &Inode, info: &mut FiemapExtentInfo<'_>) -> Result {
    if !inode.is_reg() {
        return Err(EOPNOTSUPP);
    }
    let range = info.prep(inode)?;
    let locked = inode.lock_shared();
    // Blocks beyond EOF, if there are some, are no part of the file.
    let size = locked.i_size_read();
    let end = range.end.min(size);
    let mut pos = range.start;
    while pos < end {
        let Some(extent) = extent_from(&locked, pos, end)? else {
            return Ok(());
        };
        pos = extent.logical + extent.len;
        let is_last = extent_from(&locked, pos, size)?.is_none();
        if !info.fill_next(&extent, is_last)? {
            return Ok(());
        }
    }
    Ok(())
}
