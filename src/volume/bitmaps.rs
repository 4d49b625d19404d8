// SPDX-License-Identifier: GPL-2.0

//! Reading and writing bitmaps and group descriptors through the buffer cache.
//!
//! A device may take its time: a disk that tries again, a network. So no lock is held while it reads. The buffer keeps
//! in memory what was read, and what it has changes under the lock of the group only.

use crate::ext2::bitmap;
use crate::ext2::group::{GroupLayout, GROUP_DESCRIPTOR_SIZE};
use crate::ext2::{Corrupt, Place};
use crate::types::SuperBlock;
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use crate::volume::groups::GroupSet;
use crate::volume::state::Volume;
use core::ops::Range;
use kernel::sync::lock::mutex::MutexGuard;
use kfs::block::buffer_head::BufferHead;

impl Volume {
    /// Reads the bitmap of `group` in `block`, and takes the lock of the group then: who needs another bitmap does not
    /// wait for the device meanwhile. Returns the buffer, and the lock with the bitmap in [`GroupSet::bitmap`]. Sleeps.
    fn lock_with_bitmap(
        &self,
        sb: &SuperBlock,
        group: u32,
        block: u32,
    ) -> Result<(BufferHead, MutexGuard<'_, GroupSet>)> {
        let mut locked = None;
        if mutant!("bitmap-read-locked") {
            locked = Some(self.groups.lock(group)?);
        }
        let buffer = sb.bread(block.into())?;
        let mut set = match locked {
            Some(set) => set,
            None => self.groups.lock(group)?,
        };
        set.use_bitmap(&buffer)?;
        Ok((buffer, set))
    }

    /// Gets a bitmap of `group` for an allocator, and the lock of the group. All of the group is initialised then.
    /// Reads from the device, but with no lock of a group. Sleeps.
    pub(super) fn lock_to_allocate(
        &self,
        sb: &SuperBlock,
        group: u32,
        kind: bitmap::Kind,
    ) -> Result<(BufferHead, MutexGuard<'_, GroupSet>)> {
        self.check_device(sb);
        self.initialise(sb, group)?;
        let block = block_of(self.layout().group(group)?, kind);
        self.lock_with_bitmap(sb, group, block)
    }

    /// The same to free something: nothing is initialised, and a bitmap that is not there has nothing in use.
    pub(super) fn lock_to_free(
        &self,
        sb: &SuperBlock,
        group: u32,
        kind: bitmap::Kind,
    ) -> Result<(BufferHead, MutexGuard<'_, GroupSet>)> {
        self.check_device(sb);
        if mutant!("uninit-freed") {
            self.initialise(sb, group)?;
        }
        let block = block_of(self.layout().group(group)?, kind);
        let (buffer, set) = self.lock_with_bitmap(sb, group, block)?;
        let uninit = set.uninit(group);
        let wrong = match kind {
            bitmap::Kind::Blocks => uninit
                .has_no_blocks()
                .then_some("freeing a block without a block bitmap"),
            bitmap::Kind::Inodes => uninit
                .has_no_inodes()
                .then_some("freeing an inode without an inode bitmap"),
        };
        match wrong.filter(|_| !mutant!("uninit-believed")) {
            Some(what) => Err(Corrupt::new(Place::Group(group), what).into()),
            None => Ok((buffer, set)),
        }
    }

    /// The lock of `group`, with the block bitmap in [`GroupSet::bitmap`] to look up what is free: one that is not there
    /// is not made on the device. Sleeps, as the others.
    pub(super) fn lock_to_trim(
        &self,
        sb: &SuperBlock,
        group: u32,
    ) -> Result<MutexGuard<'_, GroupSet>> {
        self.check_device(sb);
        if mutant!("uninit-trimmed") {
            self.initialise(sb, group)?;
        }
        let layout = self.layout();
        let block = layout.group(group)?.block_bitmap();
        let (_, mut set) = self.lock_with_bitmap(sb, group, block)?;
        set.uninit(group)
            .fill_blocks(&layout, group, &mut set.bitmap)?;
        Ok(set)
    }
}

/// The block that holds a bitmap of the group at `places`.
fn block_of(places: &GroupLayout, kind: bitmap::Kind) -> u32 {
    match kind {
        bitmap::Kind::Blocks => places.block_bitmap(),
        bitmap::Kind::Inodes => places.inode_bitmap(),
    }
}

impl GroupSet {
    /// Copies a bitmap that has been read into [`GroupSet::bitmap`].
    pub(super) fn use_bitmap(&mut self, buffer: &BufferHead) -> Result {
        Ok(buffer.read(0, &mut self.bitmap)?)
    }

    /// Copies the bytes `changed` of [`GroupSet::bitmap`] back to its buffer, and marks that dirty.
    pub(super) fn write_bitmap(
        &self,
        volume: &Volume,
        buffer: &BufferHead,
        changed: Range<usize>,
    ) -> Result {
        copy_back(buffer, 0, &self.bitmap, changed)?;
        volume.mark_buffer_dirty(buffer);
        Ok(())
    }

    /// Copies the counters of `group`, one of this set, to the buffer of its descriptor, and marks that dirty.
    pub(super) fn store_counts(&self, volume: &Volume, group: u32) -> Result {
        let no_group = Corrupt::new(Place::Group(group), "no such group");
        let groups = &volume.groups;
        let counts = groups.counts(group);
        let descriptor = groups.descriptor(volume.geometry(), group);
        let (buffer, offset) = descriptor.ok_or(no_group)?;
        let mut bytes = [0; GROUP_DESCRIPTOR_SIZE];
        buffer.read(offset, &mut bytes)?;
        let changed = counts.store(group, &mut bytes)?;
        let checksums = &volume.superblock.checksums;
        let changed = checksums.store(group, &mut bytes, changed)?;
        copy_back(buffer, offset, &bytes, changed)?;
        volume.mark_buffer_dirty(buffer);
        Ok(())
    }
}
