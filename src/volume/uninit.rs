// SPDX-License-Identifier: GPL-2.0

//! Initialising what of a group was left to be initialised later (`uninit_bg`), before it is first used.
//!
//! All of it is done at once, and is on the device before the descriptor says so: what is free later, or never
//! used, is as on a volume without this feature. Only the checksums of descriptors remain.

use crate::ext2::group::GROUP_DESCRIPTOR_SIZE;
use crate::ext2::{Corrupt, Place};
use crate::types::SuperBlock;
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use crate::volume::groups::Groups;
use kfs::block::bdev::BlockDevice;

impl Groups {
    /// Initialises what is not of `group`. Waits for the device; sleeps. `EINTR` when a signal kills the
    /// task meanwhile.
    pub(super) fn initialise(&mut self, sb: &SuperBlock, group: u32) -> Result {
        let volume = sb.data();
        let uninit = self.uninit(group);
        if !uninit.is_any() {
            return Ok(());
        }
        let (geometry, layout) = (volume.geometry(), volume.layout());
        let places = layout.group(group)?;
        let table = uninit.stale_table(geometry);
        let (first, count) = (places.inode_table() + table.start, table.len() as u32);
        if count != 0 && !mutant!("uninit-table") {
            sb.issue_zeroout(first.into(), count.into())?;
            // Somebody may have read the device.
            for block in first..first + count {
                if let Some(buffer) = sb.find_get_block(block.into()) {
                    buffer.init_zeroed();
                }
            }
        }
        if uninit.fill_blocks(&layout, group, &mut self.bitmap)? {
            self.write_new_bitmap(sb, places.block_bitmap())?;
        }
        if uninit.fill_inodes(geometry, &mut self.bitmap) {
            self.write_new_bitmap(sb, places.inode_bitmap())?;
        }
        BlockDevice::of(sb).issue_flush()?;
        let no_group = Corrupt::new(Place::Group(group), "no such group");
        let (buffer, offset) = self.descriptor(geometry, group).ok_or(no_group)?;
        let mut bytes = [0; GROUP_DESCRIPTOR_SIZE];
        buffer.read(offset, &mut bytes)?;
        let changed = uninit.store_done(group, &mut bytes)?;
        let checksums = &volume.superblock.checksums;
        let changed = checksums.store(group, &mut bytes, changed)?;
        copy_back(buffer, offset, &bytes, changed)?;
        volume.mark_buffer_dirty(buffer);
        buffer.sync_dirty()?;
        self.set_initialised(group);
        Ok(())
    }

    /// Writes [`Groups::bitmap`] to `block`, whatever is there, and waits.
    fn write_new_bitmap(&self, sb: &SuperBlock, block: u32) -> Result {
        let buffer = sb.getblk(block.into())?;
        buffer.init_zeroed();
        buffer.write(0, &self.bitmap)?;
        sb.data().mark_buffer_dirty(&buffer);
        Ok(buffer.sync_dirty()?)
    }
}
