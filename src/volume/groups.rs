// SPDX-License-Identifier: GPL-2.0

//! Block groups in memory: descriptors, counters, and a buffer for bitmaps.

use crate::ext2::bitmap::Run;
use crate::ext2::choose_group::Totals;
use crate::ext2::free_runs::FreeRuns;
use crate::ext2::group::{Group, GroupCounts, GroupLayout, GROUP_DESCRIPTOR_SIZE};
use crate::ext2::superblock::Superblock;
use crate::ext2::uninit::{Checksums, Uninit};
use crate::ext2::{Corrupt, Geometry, Place};
use crate::types::NewSuperBlock;
use crate::volume::fault::Result;
use crate::volume::released::Released;
use crate::volume::totals::SharedTotals;
use crate::volume::windows::Windows;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;

/// Which counters of a group have been compared with its bitmaps.
#[derive(Clone, Copy, Default)]
pub(super) struct Compared {
    pub(super) blocks: bool,
    pub(super) inodes: bool,
}

/// What the block and inode allocators share, under one lock.
pub(crate) struct Groups {
    /// The counters of each group, as in its descriptor.
    pub(super) counts: KVVec<GroupCounts>,
    /// Which of them have been compared with the bitmaps.
    pub(super) compared: KVVec<Compared>,
    /// What is known of their free blocks without a look at the bitmap.
    pub(super) free_runs: KVVec<FreeRuns>,
    /// What of them is not initialised; nothing on volumes without such groups.
    uninit: KVVec<Uninit>,
    /// The buffers of the group descriptors, in order.
    descriptors: KVVec<BufferHead>,
    /// A copy of the bitmap in use: bitmaps are searched and changed here.
    pub(super) bitmap: KVVec<u8>,
    /// Another, of what is not to be allocated.
    pub(super) taken: KVVec<u8>,
    /// Blocks that are free, and not to be allocated yet,
    pub(super) released_blocks: Released,
    /// and inode numbers.
    pub(super) released_numbers: Released,
    /// Blocks that are free, and for one file only.
    pub(super) windows: Windows,
}

impl Groups {
    /// Reads and validates all group descriptors, for a mount from the superblock at byte `super_place`.
    /// May sleep. The last of the results is whether a counter was too large, of which the log has the first; the one
    /// before are the sums.
    pub(super) fn read(
        sb: &mut NewSuperBlock<'_>,
        superblock: &Superblock,
        super_place: u64,
    ) -> Result<(KVVec<GroupLayout>, Self, Totals, bool)> {
        let geometry = &superblock.geometry;
        let checksums = &superblock.checksums;
        let mut descriptors =
            KVVec::with_capacity(geometry.descriptor_blocks() as usize, GFP_KERNEL)?;
        let super_block = super_place / u64::from(geometry.block_size());
        for index in 0..geometry.descriptor_blocks() {
            let block = geometry.descriptor_block(index, super_block);
            descriptors.push(sb.bread(block)?, GFP_KERNEL)?;
        }
        let mut layouts = KVVec::with_capacity(geometry.groups() as usize, GFP_KERNEL)?;
        let mut counts = KVVec::with_capacity(geometry.groups() as usize, GFP_KERNEL)?;
        let mut uninit = KVVec::new();
        let mut totals = Totals::default();
        let mut clamped = false;
        for group in 0..geometry.groups() {
            let bytes = raw(geometry, &descriptors, group)?;
            // As with ext4: a volume that is only read is read as far as that goes.
            if !sb.rdonly() {
                checksums.check(group, &bytes)?;
            }
            if geometry.has_uninit_groups() {
                let found = Uninit::read(geometry, group, &bytes)?;
                uninit.push(found, GFP_KERNEL)?;
            }
            let mut parsed = Group::parse(geometry, group, &bytes)?;
            if let (Some(("free blocks", counted, _)), true) =
                (parsed.clamped, mutant!("counters-unclamped"))
            {
                parsed.counts.free_blocks = counted as u16;
            }
            add(&mut totals, &parsed.counts);
            if let Some((what, counted, most)) = parsed.clamped.filter(|_| !clamped) {
                warn_miscounted(sb.id(), group, what, counted, most);
                clamped = true;
            }
            layouts.push(parsed.layout, GFP_KERNEL)?;
            counts.push(parsed.counts, GFP_KERNEL)?;
        }
        let bitmap = KVVec::from_elem(0, geometry.block_size() as usize, GFP_KERNEL)?;
        let taken = KVVec::from_elem(0, geometry.block_size() as usize, GFP_KERNEL)?;
        let compared =
            KVVec::from_elem(Compared::default(), geometry.groups() as usize, GFP_KERNEL)?;
        let groups = Groups {
            counts,
            compared,
            free_runs: KVVec::from_elem(FreeRuns::UNKNOWN, geometry.groups() as usize, GFP_KERNEL)?,
            uninit,
            descriptors,
            bitmap,
            taken,
            released_blocks: Released::new(geometry.blocks_per_group())?,
            released_numbers: Released::new(geometry.inodes_per_group())?,
            windows: Windows::new(geometry.blocks_per_group()),
        };
        Ok((layouts, groups, totals, clamped))
    }

    /// Reads the counters anew, which e2fsck may have repaired under a read-only mount. Returns
    /// their sums, and whether one is too large. Fails, and changes nothing, when the groups are not laid out as in
    /// `layouts` any more.
    pub(super) fn reread(
        &mut self,
        geometry: &Geometry,
        checksums: &Checksums,
        layouts: &[GroupLayout],
    ) -> Result<(Totals, bool)> {
        for (group, layout) in (0..geometry.groups()).zip(layouts) {
            checksums.check(group, &raw(geometry, &self.descriptors, group)?)?;
            if parse(geometry, &self.descriptors, group)?.layout != *layout {
                let what = "bitmaps or inode table have been moved";
                return Err(Corrupt::new(Place::Group(group), what).into());
            }
        }
        let mut clamped = false;
        let mut totals = Totals::default();
        for (group, counts) in (0..geometry.groups()).zip(&mut self.counts) {
            let parsed = parse(geometry, &self.descriptors, group)?;
            *counts = parsed.counts;
            add(&mut totals, counts);
            clamped |= parsed.clamped.is_some();
        }
        for (group, uninit) in (0..geometry.groups()).zip(&mut self.uninit) {
            let bytes = raw(geometry, &self.descriptors, group)?;
            *uninit = Uninit::read(geometry, group, &bytes)?;
        }
        self.compared.fill(Compared::default());
        self.free_runs.fill(FreeRuns::UNKNOWN);
        Ok((totals, clamped))
    }

    /// The counters of `group`; zeroes when there is no such group.
    pub(super) fn counts(&self, group: u32) -> GroupCounts {
        let counts = self.counts.get(group as usize);
        counts.copied().unwrap_or_default()
    }

    /// Counts `len` blocks of `group` as in use.
    pub(super) fn take_counted(&mut self, totals: &SharedTotals, group: u32, len: u32) -> Result {
        if let Some(counts) = self.counts.get_mut(group as usize) {
            counts.take_blocks(group, len)?;
        }
        totals.take_blocks(len);
        Ok(())
    }

    /// What is known of the free blocks of `group`.
    pub(super) fn free_runs(&self, group: u32) -> FreeRuns {
        let known = self.free_runs.get(group as usize);
        known.copied().unwrap_or(FreeRuns::UNKNOWN)
    }

    /// Changes that.
    pub(super) fn change_free_runs(&mut self, group: u32, change: impl FnOnce(&mut FreeRuns)) {
        if let Some(known) = self.free_runs.get_mut(group as usize) {
            change(known);
        }
    }

    /// What of `group` is not initialised.
    pub(super) fn uninit(&self, group: u32) -> Uninit {
        let uninit = self.uninit.get(group as usize);
        uninit.copied().unwrap_or_default()
    }

    /// Notes that all of `group` is.
    pub(super) fn set_initialised(&mut self, group: u32) {
        if let Some(uninit) = self.uninit.get_mut(group as usize) {
            *uninit = Uninit::default();
        }
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

/// All may allocate the blocks of `run` from now on, if they are free.
pub(super) fn freed(geometry: &Geometry, free_runs: &mut [FreeRuns], run: Run) {
    let mut rest = run;
    while let Some((group, start)) = geometry.locate_block(rest.start).filter(|_| rest.len > 0) {
        let len = rest.len.min(geometry.group_blocks(group) - start);
        if let Some(known) = free_runs.get_mut(group as usize) {
            known.freed(Run { start, len });
        }
        rest = Run {
            start: rest.start.saturating_add(len),
            len: rest.len - len,
        };
    }
}

/// Says in the log that the counter `what` of `group` is not `counted` but `found`.
pub(super) fn warn_miscounted(id: &CStr, group: u32, what: &str, counted: u32, found: u32) {
    pr_warn!(
        "{}: group {}: {} {} counted, taken for {} (said once): run e2fsck\n",
        id,
        group,
        counted,
        what,
        found
    );
}

/// Reads the descriptor of `group`.
fn raw(
    geometry: &Geometry,
    descriptors: &[BufferHead],
    group: u32,
) -> Result<[u8; GROUP_DESCRIPTOR_SIZE]> {
    let (buffer, offset) = descriptor(geometry, descriptors, group)
        .ok_or(Corrupt::new(Place::Group(group), "no descriptor"))?;
    let mut bytes = [0; GROUP_DESCRIPTOR_SIZE];
    buffer.read(offset, &mut bytes)?;
    Ok(bytes)
}

/// Reads and validates it.
fn parse(geometry: &Geometry, descriptors: &[BufferHead], group: u32) -> Result<Group> {
    let bytes = raw(geometry, descriptors, group)?;
    Ok(Group::parse(geometry, group, &bytes)?)
}

/// Adds the counters of a group. Each is bounded by the size of its group, and the volume has fewer
/// than 2^32 blocks and inodes.
fn add(totals: &mut Totals, counts: &GroupCounts) {
    totals.free_blocks += u32::from(counts.free_blocks);
    totals.free_inodes += u32::from(counts.free_inodes);
    totals.used_dirs += u32::from(counts.used_dirs);
}

/// The buffer of the descriptor of `group`, and the byte offset in it.
fn descriptor<'a>(
    geometry: &Geometry,
    descriptors: &'a [BufferHead],
    group: u32,
) -> Option<(&'a BufferHead, usize)> {
    let (index, offset) = geometry.descriptor_slot(group)?;
    Some((descriptors.get(index as usize)?, offset as usize))
}
