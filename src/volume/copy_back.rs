// SPDX-License-Identifier: GPL-2.0

//! Copying what [`crate::ext2`] has changed in a copy of a buffer back to it.

use crate::volume::fault::Result;
use core::ops::Range;
use kfs::block::buffer_head::BufferHead;

/// Copies the range `changed` of `bytes` back to `buffer`, where `bytes` starts at byte `offset`.
/// Does not mark the buffer dirty.
pub(crate) fn copy_back(
    buffer: &BufferHead,
    offset: usize,
    bytes: &[u8],
    changed: Range<usize>,
) -> Result {
    let start = offset + changed.start;
    Ok(buffer.write(start, bytes.get(changed).unwrap_or_default())?)
}
