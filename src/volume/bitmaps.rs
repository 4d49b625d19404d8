// SPDX-License-Identifier: GPL-2.0

//! Reading and writing bitmaps and group descriptors through the buffer cache.

use crate::ext2::bitmap;
use crate::ext2::group::GROUP_DESCRIPTOR_SIZE;
use crate::ext2::{Corrupt, Place};
use crate::types::SuperBlock;
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use crate::volume::groups::Groups;
use crate::volume::state::Volume;
use core::ops::Range;
use kfs::block::buffer_head::BufferHead;

impl Groups {
    /// Reads the bitmap of `group` in `block` into [`Groups::bitmap`], and returns its buffer. All of the
    /// group is initialised then. May sleep.
    pub(super) fn read_bitmap(
        &mut self,
        sb: &SuperBlock,
        group: u32,
        block: u32,
    ) -> Result<BufferHead> {
        sb.data().check_device(sb);
        self.initialise(sb, group)?;
        let buffer = sb.bread(block.into())?;
        self.use_bitmap(&buffer)?;
        Ok(buffer)
    }

    /// The same to look up what is in use, or to free it: nothing is initialised, and a bitmap that is not
    /// there has nothing in use.
    pub(super) fn read_bitmap_in_use(
        &mut self,
        sb: &SuperBlock,
        group: u32,
        kind: bitmap::Kind,
    ) -> Result<BufferHead> {
        let volume = sb.data();
        volume.check_device(sb);
        if mutant!("uninit-freed") {
            self.initialise(sb, group)?;
        }
        let places = volume.layout().group(group)?;
        let uninit = self.uninit(group);
        let (block, wrong) = match kind {
            bitmap::Kind::Blocks => (
                places.block_bitmap(),
                uninit
                    .has_no_blocks()
                    .then_some("freeing a block without a block bitmap"),
            ),
            bitmap::Kind::Inodes => (
                places.inode_bitmap(),
                uninit
                    .has_no_inodes()
                    .then_some("freeing an inode without an inode bitmap"),
            ),
        };
        if let Some(what) = wrong.filter(|_| !mutant!("uninit-believed")) {
            return Err(Corrupt::new(Place::Group(group), what).into());
        }
        let buffer = sb.bread(block.into())?;
        self.use_bitmap(&buffer)?;
        Ok(buffer)
    }

    /// The block bitmap of `group` in [`Groups::bitmap`], to look up what is free: one that is not there is not
    /// made on the device. May sleep.
    pub(super) fn read_free_blocks(&mut self, sb: &SuperBlock, group: u32) -> Result {
        let volume = sb.data();
        volume.check_device(sb);
        let layout = volume.layout();
        if mutant!("uninit-trimmed") {
            self.initialise(sb, group)?;
        }
        if self
            .uninit(group)
            .fill_blocks(&layout, group, &mut self.bitmap)?
        {
            return Ok(());
        }
        let block = layout.group(group)?.block_bitmap();
        self.use_bitmap(&sb.bread(block.into())?)
    }

    /// Copies a bitmap that has been read into [`Groups::bitmap`].
    pub(super) fn use_bitmap(&mut self, buffer: &BufferHead) -> Result {
        Ok(buffer.read(0, &mut self.bitmap)?)
    }

    /// Copies the bytes `changed` of [`Groups::bitmap`] back to its buffer, and marks that dirty.
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

    /// Copies the counters of `group` to the buffer of its descriptor, and marks that dirty.
    pub(super) fn store_counts(&mut self, volume: &Volume, group: u32) -> Result {
        let no_group = || Corrupt::new(Place::Group(group), "no such group");
        let counts = self.counts.get(group as usize).ok_or_else(no_group)?;
        let (buffer, offset) = self
            .descriptor(volume.geometry(), group)
            .ok_or_else(no_group)?;
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
