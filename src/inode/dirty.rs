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

/// The same without waiting for memory, see [`Unwritten::hold_nowait`](crate::volume::unwritten::Unwritten::hold_nowait). May sleep.
pub(super) fn mark_buffer_dirty_nowait(inode: &Inode, buffer: &BufferHead) {
    if mutant!("link-holds-waiting") {
        return mark_buffer_dirty(inode, buffer);
    }
    let is_held = is_marked(buffer);
    inode.mark_buffer_dirty(buffer);
    if !is_held {
        inode.sb().data().unwritten.hold_nowait(buffer);
    }
}

/// [`mark_buffer_dirty`] for a buffer that has to be written before others. May sleep.
pub(super) fn mark_first_dirty(inode: &Inode, buffer: &BufferHead, first: First) {
    inode.mark_buffer_dirty(buffer);
    inode.sb().data().unwritten.hold_first(buffer, first);
}
