// SPDX-License-Identifier: GPL-2.0

//! Initialising what of a group was left to be initialised later (`uninit_bg`), before it is first used.
//!
//! All of it is done at once, and is on the device before the descriptor says so: what is free later, or never
//! used, is as on a volume without this feature. Only the checksums of descriptors remain.

use crate::ext2::group::GROUP_DESCRIPTOR_SIZE;
use crate::ext2::uninit::Uninit;
use crate::ext2::{Corrupt, Place};
use crate::types::SuperBlock;
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use crate::volume::scratch::Scratch;
use crate::volume::state::Volume;
use kfs::block::bdev::BlockDevice;
use kfs::block::buffer_head::unread::UnreadBuffer;
use kfs::block::buffer_head::BufferHead;

impl Volume {
    /// Initialises what is not of `group`. Takes the lock of initialising, and below it that of the group, but not
    /// while it waits for the device; sleeps. `EINTR` when a signal kills the task meanwhile.
    pub(super) fn initialise(&self, sb: &SuperBlock, group: u32) -> Result {
        let geometry = self.geometry();
        if !geometry.has_uninit_groups() || !self.groups.lock(group)?.uninit(group).is_any() {
            return Ok(());
        }
        let _one_at_a_time = self.initialising.lock();
        // Nobody allocates there before that is done; by now it may be.
        let uninit = self.groups.lock(group)?.uninit(group);
        if !uninit.is_any() {
            return Ok(());
        }
        let layout = self.layout();
        let places = layout.group(group)?;
        let table = uninit.stale_table(geometry);
        let (first, count) = (places.inode_table() + table.start, table.len() as u32);
        if count != 0 && !mutant!("uninit-table") {
            sb.issue_zeroout(first.into(), count.into())?;
            // Somebody may have read the device, or is reading it: who initialises the buffer waits for that.
            for block in first..first + count {
                let cached = sb.find_unread_block(block.into());
                let is_kept =
                    |buffer: &UnreadBuffer| mutant!("uninit-read-kept") && !buffer.is_uptodate();
                if let Some(buffer) = cached.filter(|buffer| !is_kept(buffer)) {
                    buffer.init_zeroed();
                }
            }
        }
        let mut bitmap = Scratch::new(geometry.block_size())?;
        if uninit.fill_blocks(&layout, group, &mut bitmap)? {
            self.write_new_bitmap(sb, places.block_bitmap(), &bitmap)?;
        }
        if uninit.fill_inodes(geometry, &mut bitmap) {
            self.write_new_bitmap(sb, places.inode_bitmap(), &bitmap)?;
        }
        BlockDevice::of(sb).issue_flush()?;
        self.mark_initialised(group, &uninit)?.sync_dirty()?;
        self.groups.lock(group)?.set_initialised(group);
        Ok(())
    }

    /// Notes in the descriptor of `group` that all that was `uninit` is initialised. Returns its buffer, which is
    /// dirty.
    fn mark_initialised(&self, group: u32, uninit: &Uninit) -> Result<&BufferHead> {
        let no_group = Corrupt::new(Place::Group(group), "no such group");
        let descriptor = self.groups.descriptor(self.geometry(), group);
        let (buffer, offset) = descriptor.ok_or(no_group)?;
        let _changing = self.groups.lock(group)?;
        let mut bytes = [0; GROUP_DESCRIPTOR_SIZE];
        buffer.read(offset, &mut bytes)?;
        let changed = uninit.store_done(group, &mut bytes)?;
        let checksums = &self.superblock.checksums;
        let changed = checksums.store(group, &mut bytes, changed)?;
        copy_back(buffer, offset, &bytes, changed)?;
        self.mark_buffer_dirty(buffer);
        Ok(buffer)
    }

    /// Writes `bitmap` to `block`, whatever is there, and waits.
    fn write_new_bitmap(&self, sb: &SuperBlock, block: u32, bitmap: &[u8]) -> Result {
        let buffer = sb.getblk(block.into())?.init_zeroed();
        buffer.write(0, bitmap)?;
        self.mark_buffer_dirty(&buffer);
        Ok(buffer.sync_dirty()?)
    }
}
