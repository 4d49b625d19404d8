// SPDX-License-Identifier: GPL-2.0

//! The inode bitmap that was looked at last.
//!
//! Each inode that is read has its number looked up in the bitmap of its group, and `ls -l` reads one after the other in one group.
//! To look for the buffer in the cache of the device each time was a fiftieth of what a `stat(2)` costs. A reference to it is
//! kept; what it has is changed where it is.

use crate::ext2::bitmap;
use crate::ext2::geometry::InodeSlot;
use crate::types::SuperBlock;
use crate::volume::fault::Result;
use kernel::prelude::*;
use kernel::sync::{new_spinlock, SpinLock};
use kfs::block::buffer_head::BufferHead;

/// The group, and the buffer of its inode bitmap.
#[pin_data]
pub(super) struct LastBitmap {
    #[pin]
    last: SpinLock<Option<(u32, BufferHead)>>,
}

impl LastBitmap {
    /// An initialiser; none was looked at.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            last <- new_spinlock!(None, "LastBitmap"),
        })
    }

    /// Whether the bit of the inode at `slot` is set in the bitmap of its group. May sleep. `EIO` when the bitmap cannot be read.
    pub(super) fn has(&self, sb: &SuperBlock, slot: &InodeSlot) -> Result<bool> {
        let mut byte = [0];
        let at = slot.index as usize / 8;
        if !self.read_kept(slot.group, at, &mut byte)? {
            let block = sb.data().layout().group(slot.group)?.inode_bitmap();
            let buffer = sb.bread(block.into())?;
            buffer.read(at, &mut byte)?;
            self.keep(slot.group, buffer);
        }
        Ok(bitmap::is_set(&byte, slot.index % 8))
    }

    /// Copies bytes from byte `at` on of the bitmap of `group`, if that was looked at last, and nobody else does so now.
    /// Returns whether it has. Does not sleep.
    fn read_kept(&self, group: u32, at: usize, to: &mut [u8]) -> Result<bool> {
        let Some(last) = self.last.try_lock() else {
            return Ok(false);
        };
        match &*last {
            // One that could not be written has to be found as by everybody else.
            Some((of, buffer))
                if (*of == group || mutant!("last-bitmap-any")) && buffer.is_uptodate() =>
            {
                buffer.read(at, to)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn keep(&self, group: u32, buffer: BufferHead) {
        if let Some(mut last) = self.last.try_lock() {
            *last = Some((group, buffer));
        }
    }
}
