// SPDX-License-Identifier: GPL-2.0

//! Block groups in memory: descriptors, counters, and a buffer for bitmaps.

use crate::ext2::choose_group::Totals;
use crate::ext2::group::{Group, GroupCounts, GroupLayout, GROUP_DESCRIPTOR_SIZE};
use crate::ext2::{Corrupt, Geometry, Place};
use crate::types::NewSuperBlock;
use crate::volume::fault::Result;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;

/// What the block and inode allocators share, under one lock.
pub(crate) struct Groups {
    /// The counters of each group, as in its descriptor.
    pub(super) counts: KVVec<GroupCounts>,
    /// Their sums.
    pub(super) totals: Totals,
    /// The buffers of the group descriptors, in order.
    descriptors: KVVec<BufferHead>,
    /// A copy of the bitmap in use: bitmaps are searched and changed here.
    pub(super) bitmap: KVVec<u8>,
}

impl Groups {
    /// Reads and validates all group descriptors. May sleep.
    pub(super) fn read(
        sb: &mut NewSuperBlock<'_>,
        geometry: &Geometry,
    ) -> Result<(KVVec<GroupLayout>, Self)> {
        let mut descriptors =
            KVVec::with_capacity(geometry.descriptor_blocks() as usize, GFP_KERNEL)?;
        if let Some((first, _)) = geometry.descriptor_location(0) {
            for block in first..first + geometry.descriptor_blocks() {
                descriptors.push(sb.bread(block.into())?, GFP_KERNEL)?;
            }
        }
        let mut layouts = KVVec::with_capacity(geometry.groups() as usize, GFP_KERNEL)?;
        let mut counts = KVVec::with_capacity(geometry.groups() as usize, GFP_KERNEL)?;
        let mut totals = Totals::default();
        for group in 0..geometry.groups() {
            let (buffer, offset) = descriptor(geometry, &descriptors, group)
                .ok_or(Corrupt::new(Place::Group(group), "no descriptor"))?;
            let mut bytes = [0; GROUP_DESCRIPTOR_SIZE];
            buffer.read(offset, &mut bytes)?;
            let parsed = Group::parse(geometry, group, &bytes)?;
            // Each counter was checked against its group, and the volume has fewer than 2^32 blocks
            // and inodes.
            totals.free_blocks += u32::from(parsed.counts.free_blocks);
            totals.free_inodes += u32::from(parsed.counts.free_inodes);
            totals.used_dirs += u32::from(parsed.counts.used_dirs);
            layouts.push(parsed.layout, GFP_KERNEL)?;
            counts.push(parsed.counts, GFP_KERNEL)?;
        }
        let bitmap = KVVec::from_elem(0, geometry.block_size() as usize, GFP_KERNEL)?;
        let groups = Groups {
            counts,
            totals,
            descriptors,
            bitmap,
        };
        Ok((layouts, groups))
    }

    /// The counters of `group`; zeroes when there is no such group.
    pub(super) fn counts(&self, group: u32) -> GroupCounts {
        let counts = self.counts.get(group as usize);
        counts.copied().unwrap_or_default()
    }

    /// The buffer of the descriptor of `group`, and the byte offset in it.
    pub(super) fn descriptor(
        &self,
        geometry: &Geometry,
        group: u32,
    ) -> Option<(&BufferHead, usize)> {
        descriptor(geometry, &self.descriptors, group)
    }
}

/// The buffer of the descriptor of `group`, and the byte offset in it.
fn descriptor<'a>(
    geometry: &Geometry,
    descriptors: &'a [BufferHead],
    group: u32,
) -> Option<(&'a BufferHead, usize)> {
    let (block, offset) = geometry.descriptor_location(group)?;
    let (first, _) = geometry.descriptor_location(0)?;
    let buffer = descriptors.get(block.checked_sub(first)? as usize)?;
    Some((buffer, offset as usize))
}
