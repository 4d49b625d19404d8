// SPDX-License-Identifier: GPL-2.0

//! Metadata that is not on the device yet.
//!
//! A buffer that could not be written is not dirty any more, so that the kernel may drop it when
//! memory is needed, and read it again: older, as the device has it. Blocks and inodes would then
//! be given out twice. So each buffer is held from when it is changed until it has been written,
//! and what could not be written is tried again with the next sync.

use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::sync::{new_mutex, Mutex};
use kfs::block::buffer_head::BufferHead;
use kfs::mm::nofs::nofs;

/// How many buffers may be held before it is looked which of them are written.
const SWEEP_AT: usize = 256;

/// The buffers with metadata that may not be on the device.
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
    /// Nothing is held.
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
    /// Without memory it is not held: then an error in writing it is noticed, and no more.
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

    /// Lets go of the `len` blocks from `start` on, which are about to be freed: they must not be
    /// written over what comes there. May sleep.
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

    /// Marks what could not be written dirty again. May sleep.
    pub(crate) fn try_again(&self) {
        nofs(|| {
            let held = self.held.lock();
            for buffer in held.buffers.values() {
                if buffer.has_write_error() {
                    buffer.mark_dirty();
                }
            }
        });
    }

    /// Lets go of what is written. May sleep.
    pub(crate) fn sweep(&self) {
        nofs(|| self.held.lock().sweep());
    }
}

impl Held {
    /// Lets go of what is written.
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
