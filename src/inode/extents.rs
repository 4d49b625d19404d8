// SPDX-License-Identifier: GPL-2.0

//! A file as extents: its runs of blocks, in order, as long as they are on the volume.

use crate::ext2::block_map::Mapping;
use crate::inode::block_map;
use crate::types::Inode;
use crate::volume::fault::Result;
use core::ops::Range;
use kfs::task::{cond_resched, fatal_signal_pending};

/// Blocks of a file that are contiguous on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first block of the file.
    pub(crate) block: u64,
    /// The first block on the volume.
    pub(crate) start: u32,
    /// The number of blocks.
    pub(crate) len: u64,
}

/// What is allocated of the file in its `blocks`: the first extent, cut to these; `None` if they are
/// one hole. May sleep. `EINTR` when the task is being killed.
pub(crate) fn first(inode: &Inode, blocks: Range<u64>) -> Result<Option<Extent>> {
    let mut found: Option<Extent> = None;
    let mut block = blocks.start;
    while block < blocks.end {
        if fatal_signal_pending() {
            return Err(kernel::error::code::EINTR.into());
        }
        cond_resched();
        let max = u32::try_from(blocks.end - block).unwrap_or(u32::MAX);
        let mapping = block_map::lookup(inode, block, max)?;
        match (mapping, &mut found) {
            (Mapping::Hole { len }, None) => block += u64::from(len),
            (Mapping::Mapped { start, len }, None) => {
                let len = u64::from(len);
                found = Some(Extent { block, start, len });
                block += len;
            }
            (Mapping::Mapped { start, len }, Some(extent))
                if u64::from(extent.start) + extent.len == u64::from(start) =>
            {
                extent.len += u64::from(len);
                block += u64::from(len);
            }
            _ => break,
        }
    }
    Ok(found)
}
