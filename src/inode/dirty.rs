// SPDX-License-Identifier: GPL-2.0

//! Marking buffers with metadata of an inode dirty.

use crate::types::Inode;
use crate::volume::unwritten::{is_marked, First};
use kfs::block::buffer_head::BufferHead;

/// Marks a buffer dirty that belongs to the block map or the directory blocks of `inode`, so that
/// fsync(2) of the inode writes it. May sleep.
pub(super) fn mark_buffer_dirty(inode: &Inode, buffer: &BufferHead) {
    let is_held = is_marked(buffer);
    inode.mark_buffer_dirty(buffer);
    if !is_held {
        inode.sb().data().unwritten.hold(buffer);
    }
}

/// The same for a buffer that has to be written before others. May sleep.
pub(super) fn mark_first_dirty(inode: &Inode, buffer: &BufferHead, first: First) {
    inode.mark_buffer_dirty(buffer);
    inode.sb().data().unwritten.hold_first(buffer, first);
}
