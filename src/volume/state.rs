// SPDX-License-Identifier: GPL-2.0

//! The state of a mounted volume.

use crate::ext2::choose_group::Totals;
use crate::ext2::group::GroupLayout;
use crate::ext2::superblock::{Superblock, SUPERBLOCK_OFFSET};
use crate::ext2::{Corrupt, Geometry, Layout};
use crate::types::NewSuperBlock;
use crate::volume::fault::{Fault, Result};
use crate::volume::groups::Groups;
use crate::volume::options::Options;
use crate::volume::superblock;
use crate::volume::unwritten::Unwritten;
use core::ops::Range;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_mutex, new_spinlock, Mutex, SpinLock};
use kfs::block::bdev::WriteErrors;
use kfs::block::buffer_head::BufferHead;
use kfs::mm::nofs::nofs;

/// The state of a mounted volume.
#[pin_data]
pub(crate) struct Volume {
    /// The superblock as it was when the volume was mounted.
    pub(crate) superblock: Superblock,
    layouts: KVVec<GroupLayout>,
    /// The feature `large_file` was set since the volume was mounted.
    large_file: Atomic<bool>,
    /// The volume turned out to be corrupt, and nobody may change anything any more. The mount does
    /// not become read-only for the VFS by that: it would not write what is dirty already.
    pub(super) stopped: Atomic<bool>,
    pub(super) write_errors: WriteErrors,
    /// Metadata could not be written since the volume was mounted.
    pub(super) write_failed: Atomic<bool>,
    /// The metadata that may not be on the device yet.
    #[pin]
    pub(crate) unwritten: Unwritten,
    /// Held while the count of inodes that share a block of extended attributes is changed.
    #[pin]
    pub(crate) attribute_blocks: Mutex<()>,
    #[pin]
    options: SpinLock<Options>,
    #[pin]
    pub(super) super_buffer: Mutex<BufferHead>,
    /// The groups. Whoever changes a bitmap holds the lock.
    #[pin]
    pub(super) groups: Mutex<Groups>,
}

impl Volume {
    /// Reads the superblock and the group descriptors from a device.
    ///
    /// Writes to the log why a volume cannot be mounted.
    pub(crate) fn read(sb: &mut NewSuperBlock<'_>) -> Result<impl PinInit<Self, Error>, Error> {
        let device_size = sb.device_size();
        let size = sb
            .min_blocksize(SUPERBLOCK_OFFSET as u32)
            .inspect_err(|_| {
                pr_err!("{}: the device has blocks that are too large\n", sb.id());
            })?;
        let superblock = superblock::parse(sb, size as usize, device_size)?;
        let block_size = superblock.geometry.block_size();
        if block_size < size {
            pr_err!(
                "{}: block size {} is smaller than the device's {}\n",
                sb.id(),
                block_size,
                size
            );
            return Err(EINVAL);
        }
        sb.set_blocksize(block_size)?;
        let super_buffer = superblock::read(sb, block_size as usize)?;

        let forbidden = superblock.features.forbid_write();
        if !forbidden.is_empty() && !sb.rdonly() {
            pr_err!(
                "{}: only a read-only mount is possible: unsupported features: {}\n",
                sb.id(),
                forbidden
            );
            return Err(EINVAL);
        }

        let (layouts, groups) =
            Groups::read(sb, &superblock.geometry).map_err(|fault| match fault {
                Fault::Corrupt(corrupt) => {
                    pr_err!("{}: corrupt: {}\n", sb.id(), corrupt);
                    EUCLEAN
                }
                Fault::Error(error) => {
                    pr_err!("{}: cannot read the group descriptors\n", sb.id());
                    error
                }
            })?;
        if !superblock.state.is_clean() || superblock.state.has_errors() {
            pr_warn!(
                "{}: mounting a volume that was not unmounted cleanly or has errors: run e2fsck\n",
                sb.id()
            );
        }
        let write_errors = sb.device().watch_write_errors();
        let default_options = Options::default_of(&superblock);
        Ok(try_pin_init!(Self {
            superblock,
            layouts,
            large_file: Atomic::new(false),
            stopped: Atomic::new(false),
            write_errors,
            write_failed: Atomic::new(false),
            unwritten <- Unwritten::new(),
            attribute_blocks <- new_mutex!(()),
            options <- new_spinlock!(default_options),
            super_buffer <- new_mutex!(super_buffer),
            groups <- new_mutex!(groups),
        }))
    }

    /// Sizes and places on the volume.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.superblock.geometry
    }

    /// What lies where on the volume.
    pub(crate) fn layout(&self) -> Layout<'_> {
        Layout::new(self.geometry(), &self.layouts)
    }

    /// The mount options.
    pub(crate) fn options(&self) -> Options {
        *self.options.lock()
    }

    /// Sets the mount options.
    pub(crate) fn set_options(&self, options: Options) {
        *self.options.lock() = options;
    }

    /// Whether the feature `large_file` was set since the volume was mounted.
    pub(crate) fn large_file_is_set(&self) -> bool {
        self.large_file.load(ordering::Relaxed)
    }

    /// Remembers that the feature `large_file` was set.
    pub(crate) fn set_large_file(&self) {
        self.large_file.store(true, ordering::Relaxed);
    }

    /// Whether the volume turned out to be corrupt, and nobody may change anything any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(ordering::Relaxed)
    }

    /// Whether somebody may begin to change something: `EROFS` if not. The VFS has asked for what it
    /// knows of, the mount.
    pub(crate) fn check_writable(&self) -> kernel::error::Result {
        if self.is_stopped() && !mutant!("write-read-only") {
            return Err(EROFS);
        }
        Ok(())
    }

    /// The sums over all groups.
    pub(crate) fn totals(&self) -> Totals {
        nofs(|| self.groups.lock().totals)
    }

    /// Blocks that only the privileged may take.
    pub(crate) fn reserved_blocks(&self) -> u32 {
        self.superblock.reserved_blocks
    }

    /// Changes the superblock with `change`, which gets its bytes and the time in seconds since
    /// 1970, and returns which bytes it changed. The buffer is written when `wait` is set, and
    /// otherwise in due course.
    pub(crate) fn update_superblock(
        &self,
        wait: bool,
        change: impl FnOnce(&mut [u8], u32) -> core::result::Result<Range<usize>, Corrupt>,
    ) -> Result {
        let buffer = self.super_buffer.lock();
        superblock::change(&buffer, change)?;
        self.mark_buffer_dirty(&buffer);
        if wait {
            buffer.sync_dirty()?;
        }
        Ok(())
    }

    /// Marks a buffer with metadata dirty. It is written in due course. May sleep.
    pub(crate) fn mark_buffer_dirty(&self, buffer: &BufferHead) {
        self.unwritten.mark_buffer_dirty(buffer);
    }
}
