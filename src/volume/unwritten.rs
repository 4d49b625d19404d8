// SPDX-License-Identifier: GPL-2.0

//! Metadata buffers that are not on the device yet.
//!
//! A buffer that could not be written is no longer dirty: memory reclaim may drop it, and the next
//! read gets stale metadata from the device. Blocks and inodes would be allocated twice. So each
//! buffer is held from when it is dirtied until it has been written, and those that could not be
//! written are redirtied by the next sync.
//!
//! Nobody tells when the kernel has written one. They are swept when there are many, by a sync, and
//! when memory is short: a reference keeps the page of a clean buffer, too.

use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::sync::{new_mutex, Mutex};
use kfs::block::buffer_head::BufferHead;
use kfs::mm::nofs::nofs;

/// The number of held buffers from which on clean ones are swept.
const SWEEP_AT: usize = 256;

/// The metadata buffers that are dirty, or could not be written.
#[pin_data]
pub(crate) struct Unwritten {
    #[pin]
    held: Mutex<Held>,
}

struct Held {
    /// By block number.
    buffers: RBTree<u64, BufferHead>,
    len: usize,
    sweep_at: usize,
}

impl Unwritten {
    /// An initialiser; no buffer is held.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            held <- new_mutex!(Held {
                buffers: RBTree::new(),
                len: 0,
                sweep_at: SWEEP_AT,
            }),
        })
    }

    /// Marks a buffer dirty, and holds it until it has been written. May sleep.
    pub(crate) fn mark_buffer_dirty(&self, buffer: &BufferHead) {
        buffer.mark_dirty();
        self.hold(buffer);
    }

    /// Holds a buffer that has just been marked dirty. May sleep.
    ///
    /// Without memory it is not held: an error in writing it is then reported, but not retried.
    pub(crate) fn hold(&self, buffer: &BufferHead) {
        if mutant!("unwritten-dropped") {
            return;
        }
        nofs(|| {
            let mut held = self.held.lock();
            let block = buffer.block();
            if held.buffers.get(&block).is_some() {
                return;
            }
            if held.len >= held.sweep_at {
                held.sweep();
            }
            let inserted = held
                .buffers
                .try_create_and_insert(block, buffer.get(), GFP_KERNEL);
            if inserted.is_ok() {
                held.len += 1;
            }
        });
    }

    /// Drops the buffers of the `len` blocks from `start` on, which are about to be freed:
    /// redirtied later, they would overwrite what the blocks are allocated for next. May sleep.
    pub(crate) fn forget(&self, start: u32, len: u32) {
        let start = u64::from(start);
        let end = start + u64::from(len);
        nofs(|| {
            let held = &mut *self.held.lock();
            while let Some(cursor) = held.buffers.cursor_lower_bound_mut(&start) {
                if *cursor.current().0 >= end {
                    break;
                }
                cursor.remove_current();
                held.len -= 1;
            }
        });
    }

    /// Redirties buffers that could not be written. May sleep.
    pub(crate) fn redirty_failed(&self) {
        nofs(|| {
            let held = self.held.lock();
            for buffer in held.buffers.values() {
                if buffer.has_write_error() {
                    buffer.mark_dirty();
                }
            }
        });
    }

    /// Drops buffers that have been written. May sleep.
    pub(crate) fn sweep(&self) {
        nofs(|| self.held.lock().sweep());
    }

    /// The number of buffers that are held; 0 when they are in use. Does not sleep.
    pub(crate) fn len(&self) -> usize {
        self.held.try_lock().map_or(0, |held| held.len)
    }

    /// Drops buffers that have been written, unless they are in use, so that their memory can be
    /// reclaimed. Returns how many. For memory reclaim: does not sleep.
    pub(crate) fn reclaim(&self) -> usize {
        let Some(mut held) = self.held.try_lock() else {
            return 0;
        };
        let before = held.len;
        held.sweep();
        before.saturating_sub(held.len)
    }
}

impl Held {
    /// Drops buffers that have been written.
    fn sweep(&mut self) {
        let mut next = self.buffers.cursor_front_mut();
        while let Some(cursor) = next {
            next = if cursor.current().1.is_unwritten() {
                cursor.move_next()
            } else {
                self.len -= 1;
                cursor.remove_current().0
            };
        }
        self.sweep_at = SWEEP_AT.max(2 * self.len);
    }
}
