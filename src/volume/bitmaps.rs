// SPDX-License-Identifier: GPL-2.0

//! Reading and writing bitmaps and group descriptors through the buffer cache.
//!
//! A device may take its time: a disk that tries again, a network. So no lock is held while it reads. The buffer keeps
//! in memory what was read, and what it has changes under the lock of the group only.

use crate::ext2::bitmap::{self, Run};
use crate::ext2::free_runs::PART;
use crate::ext2::group::{GroupLayout, GROUP_DESCRIPTOR_SIZE};
use crate::ext2::{Corrupt, Place};
use crate::types::SuperBlock;
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use crate::volume::groups::GroupSet;
use crate::volume::state::Volume;
use core::ops::Range;
use kernel::error::code::EINVAL;
use kernel::sync::lock::mutex::MutexGuard;
use kfs::block::buffer_head::BufferHead;

impl Volume {
    /// Reads the bitmap of `group` in `block`, and takes the lock of the group then: who needs another bitmap does not
    /// wait for the device meanwhile. Returns the buffer, and the lock. Sleeps.
    fn lock_with_buffer(
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
        let set = match locked {
            Some(set) => set,
            None => self.groups.lock(group)?,
        };
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
        self.lock_with_buffer(sb, group, block)
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
        let (buffer, set) = self.lock_with_buffer(sb, group, block)?;
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
        let (buffer, mut set) = self.lock_with_buffer(sb, group, block)?;
        set.use_bitmap(&buffer)?;
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

/// Copies the words that have `bits` of the bitmap in `buffer` to their place in `to`, which has room for all of it.
pub(super) fn copy_bits(buffer: &BufferHead, bits: Range<u32>, to: &mut [u8]) -> Result {
    let start = bits.start as usize / 64 * 8;
    let end = bits.end.div_ceil(64) as usize * 8;
    let to = to.get_mut(start..end).ok_or(EINVAL)?;
    Ok(buffer.read(start, to)?)
}

impl GroupSet {
    /// Copies a bitmap that has been read into [`GroupSet::bitmap`].
    pub(super) fn use_bitmap(&mut self, buffer: &BufferHead) -> Result {
        Ok(buffer.read(0, &mut self.bitmap)?)
    }

    /// The same of the words that have the bits of `run`, and of no others.
    pub(super) fn use_bits(&mut self, buffer: &BufferHead, run: Run) -> Result {
        let bits = run.start..run.start.saturating_add(run.len);
        copy_bits(buffer, bits, &mut self.bitmap)
    }

    /// The first free bit in `from..end` of the bitmap in `buffer`; `end` when there is none.
    pub(super) fn first_free(&mut self, buffer: &BufferHead, from: u32, end: u32) -> Result<u32> {
        let mut at = from;
        while at < end {
            let stop = (at / 64 * 64).saturating_add(PART).min(end);
            copy_bits(buffer, at..stop, &mut self.bitmap)?;
            if let Some(bit) = bitmap::next_free(&self.bitmap, at, stop) {
                return Ok(bit);
            }
            at = stop;
        }
        Ok(end)
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
